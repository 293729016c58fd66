/*
 * A connection's output: what may be written now, and what must wait until this turn's records are
 * durable.
 *
 * Two lanes. *Ready* may leave at the end of the turn. *Held* waits for the journal, in stretches
 * that know their turn. Once something is held, all that comes after it queues behind it, so that
 * the order within a connection never changes; only PINGRESP passes by. Without persistence nothing
 * is ever held.
 */
#ifndef CORE_OUTBOX_H
#define CORE_OUTBOX_H

#include "base/outq.h"
#include "core/persist.h"
#include "core/stats.h"
#include "core/topicmap.h"
#include "core/work.h"
#include "mqtt/message.h"

#include <sys/queue.h>

/* QoS 0 messages are dropped for a connection that has so many bytes waiting already; the chunks
 * that hold them take up to twice as much. */
#define OUTBOX_MAX (2 * 1024 * 1024)
/* Its own requests are left unread while so many bytes wait: answers cannot be dropped. */
#define OUTBOX_PAUSE (OUTBOX_MAX + 256 * 1024)
/* Queued QoS 1 and 2 messages and retained feeds go on while fewer bytes wait. */
#define OUTBOX_PUMP (128 * 1024)
/* An output queue that passes this ends the turn's reading: writing comes first. */
#define OUTBOX_CROWDED (512 * 1024)

struct outbox_held;
struct conf_listener;

struct outbox {
    struct outq ready;
    struct outbox_held *held; /* NULL when nothing waits */
    TAILQ_ENTRY(outbox) dirty;
    struct conf_listener *map; /* whose mount point is taken off topics; NULL = none */
    bool is_dirty;
    bool shut;        /* takes nothing more */
    bool published;   /* a PUBLISH was put here since this was cleared */
    uint8_t max_qos;  /* of what is delivered to it */
    uint32_t packets; /* that wait: an estimate while only a part of the bytes has been written */
};

TAILQ_HEAD(outbox_list, outbox);
TAILQ_HEAD(outbox_held_list, outbox_held);

/* What all outboxes of a broker share. */
struct outbox_hub {
    struct outq_pool pool;
    struct outbox_list dirty;
    struct outbox_held_list waiting;
    struct persist *persist;
    struct stats *stats;
    struct work *work;
    char mapped[TOPICMAP_ROOM]; /* the topic of the PUBLISH that is put somewhere, as it is called
                                   there */
};

enum outbox_lane {
    OUTBOX_NOW,   /* past everything that waits: PINGRESP only */
    OUTBOX_NEXT,  /* in its order; waits only behind what waits */
    OUTBOX_STORED /* only when this turn's records are durable */
};

void outbox_hub_init(struct outbox_hub *hub, struct persist *p, struct stats *stats,
                     struct work *w);
void outbox_hub_clear(struct outbox_hub *hub);

static inline void outbox_mark(struct outbox_hub *hub, struct outbox *o)
{
    if (o->is_dirty)
        return;
    o->is_dirty = true;
    TAILQ_INSERT_TAIL(&hub->dirty, o, dirty);
    work_charge(hub->work, WORK_WRITE);
}

/* All bytes that wait, in both lanes. */
size_t outbox_bytes(const struct outbox *o);
/* Queue a packet of n bytes (n <= OUTQ_CONTIGUOUS). ERR_NOMEM queues nothing; ERR_CLOSED when shut.
 */
MUST_CHECK enum err outbox_put(struct outbox_hub *hub, struct outbox *o, enum outbox_lane lane,
                               const void *packet, size_t n);
/* The same for packets of any size given in two parts. */
MUST_CHECK enum err outbox_put_parts(struct outbox_hub *hub, struct outbox *o,
                                     enum outbox_lane lane, struct str head, struct str tail);
/* How a publication is sent to one receiver. */
struct outbox_publish {
    enum qos qos;
    uint16_t id;
    bool retain;
    bool dup;
    enum outbox_lane lane;
};
/* Queue a PUBLISH, whose topic is inside the mount point if there is one. ERR_NOMEM queues nothing.
 */
MUST_CHECK enum err outbox_publish(struct outbox_hub *hub, struct outbox *o,
                                   struct publication *pub, const struct outbox_publish *how);

/* The first n bytes of the ready lane have been written. */
void outbox_sent(struct outbox_hub *hub, struct outbox *o, size_t n);
/* Turns up to this one are durable: what waited for them moves to the ready lanes. */
void outbox_release(struct outbox_hub *hub, uint64_t turn);
/* Drop what is held and take nothing more; `all`: drop what is ready too. */
void outbox_shut(struct outbox_hub *hub, struct outbox *o, bool all);
/* The connection goes: off every list, nothing left. */
void outbox_clear(struct outbox_hub *hub, struct outbox *o);

#endif
