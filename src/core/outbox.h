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
    uint8_t head[FIXED_HEADER_MAX + 4 + UINT16_MAX]; /* of the PUBLISH that is put somewhere */
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
    if (LIKELY(o->is_dirty))
        return;
    o->is_dirty = true;
    TAILQ_INSERT_TAIL(&hub->dirty, o, dirty);
    work_charge(hub->work, WORK_WRITE);
}

size_t outbox_held_bytes(const struct outbox *o); /* of a held lane that is there */
/* All bytes that wait, in both lanes. */
static inline size_t outbox_bytes(const struct outbox *o)
{
    return o->ready.bytes + (UNLIKELY(o->held) ? outbox_held_bytes(o) : 0);
}
/* Queue a packet of any size that is given in two parts. ERR_NOMEM queues nothing; ERR_CLOSED when
 * shut. */
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
/* --- outbox_publish, and what it consists of --- */

static inline bool outbox_must_wait(const struct outbox_hub *hub, enum outbox_lane lane)
{
    return lane == OUTBOX_STORED && hub->persist->enabled;
}
/* A packet of n bytes has been put into one of the lanes. */
static inline void outbox_count(struct outbox_hub *hub, struct outbox *o, size_t n)
{
    size_t all = outbox_bytes(o);

    o->packets++;
    hub->stats->output_packets++;
    hub->stats->packets_sent++;
    hub->stats->output_bytes += n;
    if (UNLIKELY(all >= OUTBOX_CROWDED) && all - n < OUTBOX_CROWDED)
        hub->work->crowded = true;
}
/* Room for a packet of n bytes in the ready lane, counted already; NULL without memory. */
static inline uint8_t *outbox_room(struct outbox_hub *hub, struct outbox *o, size_t n)
{
    uint8_t *p = outq_room(&o->ready, &hub->pool, n);

    if (UNLIKELY(!p))
        return NULL;
    outq_added(&o->ready, n);
    outbox_mark(hub, o);
    outbox_count(hub, o, n);
    return p;
}
/*
 * Queue a packet of n bytes (n <= OUTQ_CONTIGUOUS). ERR_NOMEM queues nothing; ERR_CLOSED when shut.
 * In the header, since nearly all are acknowledgements, which so become one store of four bytes:
 * that saved 120 of 1,710 instructions a message at QoS 1.
 */
MUST_CHECK static inline enum err outbox_put(struct outbox_hub *hub, struct outbox *o,
                                             enum outbox_lane lane, const void *packet, size_t n)
{
    if (UNLIKELY(o->shut || o->held || outbox_must_wait(hub, lane)))
        return outbox_put_parts(hub, o, lane, str_of(packet, n), str_of(NULL, 0));
    uint8_t *p = outbox_room(hub, o, n);
    if (UNLIKELY(!p))
        return ERR_NOMEM;
    memcpy(p, packet, n);
    return ERR_OK;
}
/* A packet that is among those counted was a PUBLISH. */
static inline void outbox_count_publish(struct outbox_hub *hub, struct outbox *o,
                                        const struct publication *pub)
{
    o->published = true;
    hub->stats->publish_sent++;
    hub->stats->publish_bytes_sent += pub->payload.n;
    work_charge(hub->work, WORK_DELIVERY + (uint32_t)(pub->payload.n >> 10) * WORK_KILOBYTE);
}
/* The packet of a small publication, called what it is called here, to where there is room. */
static ALWAYS_INLINE void outbox_write(uint8_t *p, struct publication *pub,
                                       const struct outbox_publish *how)
{
    struct str wire = publication_wire(pub, how->qos != QOS_0);

    memcpy(p, wire.p, wire.n);
    publication_patch(p, pub, how->qos, how->retain, how->dup, how->id);
}
/* For what is not ordinary: large, held, shut, by another name. */
MUST_CHECK enum err outbox_publish_special(struct outbox_hub *hub, struct outbox *o,
                                           struct publication *pub, struct outbox_publish how);
/*
 * Queue a PUBLISH, whose topic is inside the mount point if there is one. ERR_NOMEM queues nothing;
 * ERR_CLOSED when shut.
 *
 * In the header, since at QoS 0 this is most of a delivery: with what the caller knows already it
 * is a copy and a few sums. That saved 140 of the 620 instructions that a delivery to one of 100
 * subscribers took.
 */
MUST_CHECK static ALWAYS_INLINE enum err outbox_publish(struct outbox_hub *hub, struct outbox *o,
                                                        struct publication *pub,
                                                        const struct outbox_publish *how)
{
    if (UNLIKELY(o->shut || o->held || o->map || outbox_must_wait(hub, how->lane) ||
                 !publication_is_small(pub, how->qos)))
        return outbox_publish_special(hub, o, pub, *how);
    uint8_t *p = outbox_room(hub, o, publication_size(pub, how->qos));
    if (UNLIKELY(!p))
        return ERR_NOMEM;
    outbox_count_publish(hub, o, pub);
    outbox_write(p, pub, how); /* the last, so that little must survive the call of memcpy */
    return ERR_OK;
}

/* The first n bytes of the ready lane have been written. */
void outbox_sent(struct outbox_hub *hub, struct outbox *o, size_t n);
/* Turns up to this one are durable: what waited for them moves to the ready lanes. */
void outbox_release(struct outbox_hub *hub, uint64_t turn);
/* Drop what is held and take nothing more; `all`: drop what is ready too. */
void outbox_shut(struct outbox_hub *hub, struct outbox *o, bool all);
/* The connection goes: off every list, nothing left. */
void outbox_clear(struct outbox_hub *hub, struct outbox *o);

#endif
