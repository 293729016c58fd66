/*
 * What must survive a crash, as records of this turn; and what waits for them.
 *
 * Everything that changes a persistent session or the retained messages is recorded in the frame of
 * the turn in which it happened. Without persistence nothing is recorded, nothing waits, and every
 * function here does nothing.
 *
 * Memory first, change after: callers reserve room for their records, which then cannot fail to be
 * written.
 */
#ifndef CORE_PERSIST_H
#define CORE_PERSIST_H

#include "core/record.h"
#include "core/stored.h"
#include "mqtt/message.h"

#include <stdbool.h>

/* So many bytes are left free in front of the records, for whoever stores them. */
#define PERSIST_FRAME_ROOM 96

struct persist {
    bool enabled;
    bool replaying;        /* mutators run, nothing is recorded */
    uint64_t turn;         /* whose records are being gathered; the first is 1 */
    uint64_t durable;      /* all turns up to this one are stored */
    uint64_t recorded;     /* the last turn that had records */
    uint64_t next_message; /* numbers of messages and sessions are never used again */
    uint64_t next_session;
    uint64_t place;   /* position in the journal of this turn's first record */
    struct buf frame; /* this turn's records, behind the room */
    struct buf spare; /* an empty buffer for the next */
    bool lasting;     /* this turn's records tell of more than messages that stand in it */
    uint64_t first;   /* number of the first message of this turn */
    size_t promised;  /* bytes of the frame that somebody counts on */
    uint64_t live;    /* bytes of records that sessions would take now */
    struct stored_all stored;
};

/* What records cost in the journal beside their strings, roughly: for the figure of live bytes. */
enum { PERSIST_ROW_BYTES = 24, PERSIST_SUBSCRIPTION_BYTES = 12, PERSIST_SESSION_BYTES = 24 };

void persist_init(struct persist *p, bool enabled);
/* No stored message may be left. */
void persist_clear(struct persist *p);

/*
 * End the turn: what is done from now on is of the next one. True with its records in *frame, which
 * was empty and is the caller's afterwards; false when it had none: it is as durable as its
 * predecessor.
 */
bool persist_end_turn(struct persist *p, uint64_t *turn, struct buf *frame);
/* A buffer that may be filled again. Taken, or freed. */
void persist_reuse(struct persist *p, struct buf *frame);
/* Turns up to this one are durable. Returns up to which one nothing is missing: those behind it may
 * have had no records. */
uint64_t persist_durable(struct persist *p, uint64_t turn);

static inline bool persist_on(const struct persist *p)
{
    return p->enabled && !p->replaying;
}

/* Room for records with `strings` bytes of text and payload in all, and `count` of them; for one
 * new message among them. */
MUST_CHECK enum err persist_reserve(struct persist *p, size_t count, size_t strings);
/*
 * The same for a whole fan-out, during which others may reserve and write too: what was promised
 * stays free until persist_fulfil. One promise at a time.
 */
MUST_CHECK enum err persist_promise(struct persist *p, size_t count, size_t strings);
void persist_fulfil(struct persist *p);
/* Record; after persist_reserve or persist_promise only. Returns the record's position in the
 * journal. */
uint64_t persist_write(struct persist *p, const struct record *r);
/*
 * Record a message if that has not been done. After persist_reserve with its topic and payload.
 * Returns its entry; NULL when nothing is being recorded.
 */
struct stored *persist_message(struct persist *p, struct message *m);
/* Record a message anew that the journal has already: its entry moves. */
void persist_move(struct persist *p, struct stored *e, const struct record *r);

#endif
