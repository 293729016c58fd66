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
#include "mqtt/message.h"

#include <stdbool.h>

struct persist {
    bool enabled;
    bool replaying;        /* mutators run, nothing is recorded */
    uint64_t turn;         /* whose records are being gathered; the first is 1 */
    uint64_t durable;      /* all turns up to this one are stored */
    uint64_t recorded;     /* the last turn that had records */
    uint64_t next_message; /* numbers of messages and sessions are never used again */
    uint64_t next_session;
    struct buf frame; /* this turn's records */
    struct buf taken; /* those of the turn that ended last: for the journal */
    size_t promised;  /* bytes of the frame that somebody counts on */
};

void persist_init(struct persist *p, bool enabled);
void persist_clear(struct persist *p);

/*
 * End the turn: what is done from now on is of the next one. True with its records, valid until
 * persist_forget; false when it had none: it is as durable as its predecessor.
 */
bool persist_end_turn(struct persist *p, uint64_t *turn, struct str *records);
/* The records of the turn that ended last are stored, or on their way. */
void persist_forget(struct persist *p);
/* Turns up to this one are durable. Returns up to which one nothing is missing: those behind it may
 * have had no records. */
uint64_t persist_durable(struct persist *p, uint64_t turn);

static inline bool persist_on(const struct persist *p)
{
    return p->enabled && !p->replaying;
}

/* Room for records with `strings` bytes of text and payload in all, and `count` of them. */
MUST_CHECK enum err persist_reserve(struct persist *p, size_t count, size_t strings);
/*
 * The same for a whole fan-out, during which others may reserve and write too: what was promised
 * stays free until persist_fulfil. One promise at a time.
 */
MUST_CHECK enum err persist_promise(struct persist *p, size_t count, size_t strings);
void persist_fulfil(struct persist *p);
/* Record; after persist_reserve or persist_promise only. */
void persist_write(struct persist *p, const struct record *r);
/* Record a message if that has not been done; its number is set. After persist_reserve with its
 * topic and payload. */
void persist_message(struct persist *p, struct message *m);

#endif
