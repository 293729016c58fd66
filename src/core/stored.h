/*
 * Messages that stand in the journal, in its order.
 *
 * An entry lives as long as somebody needs the message: its body, while that is in memory, holds
 * one reference, and each queue row that knows the message only by its entry (a ticket) holds one.
 * When the body goes with its own last reference while tickets are left, the payload is in the
 * journal only, and is fetched when it is wanted.
 *
 * Entries stand in a list in the order of their records: records are only ever added at the end of
 * the journal. So cleaning, which goes through old records in their order, finds the entry of each
 * at the front, and no table by number is needed.
 *
 * The entry keeps a checksum of its record from the moment that the body may go: what comes back
 * from the disk is not trusted.
 *
 * Messages that are not recorded have no entry. They are counted here all the same, by a keeper
 * that they share, so that it is known how many there are of both kinds.
 */
#ifndef CORE_STORED_H
#define CORE_STORED_H

#include "base/slab.h"
#include "mqtt/flow_row.h"
#include "mqtt/message.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct stored {
    struct blob blob; /* first: a ticket is a reference to it */
    union {
        struct blob_keeper keeper; /* of the body, while it is in memory */
        uint16_t topic_len;        /* while it is not */
    };
    TAILQ_ENTRY(stored) entry; /* by position, once it has one */
    uint64_t number;           /* in the journal; never used again */
    uint64_t position : 56;    /* of its record; 0 = not known yet (while replaying) */
    uint64_t overhead : 8;     /* bytes of its record that are not topic and payload */
    struct message *body;      /* in memory, or NULL; not counted */
    uint32_t bytes;            /* of its record */
    uint32_t sum;              /* of topic and payload; 0 = not asked for yet */
};

TAILQ_HEAD(stored_list, stored);

struct stored_all {
    struct blob_keeper keeper; /* of the entries */
    struct blob_keeper plain;  /* of messages that are held, but not recorded */
    struct stored_list list;   /* by position */
    struct stored *cursor;     /* where stored_at looked last; NULL = at the end */
    struct slab entries;
    struct stored *spare;    /* for the next stored_add */
    uint64_t record_bytes;   /* of all entries */
    uint64_t resident_bytes; /* of the bodies in memory */
    uint64_t resident_limit; /* above it queued bodies are not kept; 0 = no limit */
    uint64_t count;          /* messages that somebody needs, recorded or only held */
    uint64_t payload_bytes;  /* of these */
};

void stored_init(struct stored_all *all);
/* No entries may be left. */
void stored_clear(struct stored_all *all);

/* Make sure that the next stored_add cannot fail. ERR_NOMEM changes nothing. */
MUST_CHECK enum err stored_reserve(struct stored_all *all);
/*
 * An entry for this number, which has none yet; after stored_reserve. One reference, the caller's:
 * stored_attach takes it over, or blob_unref gives it back.
 */
struct stored *stored_add(struct stored_all *all, uint64_t number);
/* The entry whose record stands at this position, or NULL. Quick when asked in growing order. */
struct stored *stored_at(struct stored_all *all, uint64_t position);
/* What a record of a message consists of, in bytes. */
struct stored_size {
    uint32_t record; /* all in all */
    uint32_t payload;
    uint16_t topic;
};
/* Where its record is now, behind all others. */
void stored_place(struct stored_all *all, struct stored *e, uint64_t position,
                  struct stored_size size);
static inline uint32_t stored_content(const struct stored *e)
{
    return e->bytes - e->overhead;
}
/* A queue or the retained messages need this message: count it, until it goes. */
static inline void stored_hold(struct stored_all *all, struct message *m)
{
    if (m->blob.keeper)
        return;
    m->blob.keeper = &all->plain;
    all->count++;
    all->payload_bytes += m->payload_len;
}
/* This is its body: takes a reference to the entry over. The message has no entry yet. */
void stored_attach(struct stored_all *all, struct stored *e, struct message *m);
/* The entry of a message, or NULL. */
struct stored *stored_of(const struct message *m);
/* What topic and payload must add up to when they come back; not 0. */
uint32_t stored_sum(struct str topic, struct str payload);
/* A ticket for a message whose body may go: notes its sum. The reference is not counted yet. */
struct blob *stored_ticket(struct stored *e);
static inline struct stored *stored_of_ticket(struct blob *ticket)
{
    return CONTAINER_OF(ticket, struct stored, blob);
}
/* The entry of a row's message, or NULL: it has none, or the row has no message any more. */
struct stored *stored_of_row(const struct flow_row *row);
/* May another body of `bytes` stay in memory? */
static inline bool stored_has_room(const struct stored_all *all, size_t bytes)
{
    return all->resident_limit == 0 || all->resident_bytes + bytes <= all->resident_limit;
}

#endif
