/*
 * All sessions by client id.
 */
#ifndef CORE_SESSIONS_H
#define CORE_SESSIONS_H

#include "core/broker.h"
#include "core/session.h"

struct sessions {
    struct table by_id;
    struct table by_number;    /* persistent ones */
    struct session_list ended; /* taken apart a few at a time */
    struct session_env *env;
    uint64_t expiring;  /* where the walk for those that have expired stands */
    uint64_t expire_ms; /* when it begins anew, monotonic */
};

void sessions_init(struct sessions *all, struct session_env *env);
void sessions_clear(struct sessions *all); /* whatever it takes: no budget */

struct session *sessions_find(const struct sessions *all, struct str id);
/* By its number in the journal; NULL: none, or ended. */
struct session *sessions_numbered(const struct sessions *all, uint64_t number);
/*
 * Make a session. `number` 0: clean; SESSIONS_NEW: persistent, numbered and recorded now; else a
 * replayed one. The id must not be there yet. NULL without memory.
 */
#define SESSIONS_NEW UINT64_MAX
MUST_CHECK struct session *sessions_make(struct sessions *all, struct str id, uint64_t number);
/* Record that a persistent session is connected (time 0) or absent since, and where its flow is.
 * Without memory the record is left out. */
void sessions_note(struct sessions *all, struct session *s);
/* Note all that were connected when the former process ended: they are absent since the start of
 * this one. */
void sessions_note_absent(struct sessions *all);
/* Memory for the record of sessions_end. */
MUST_CHECK enum err sessions_end_reserve(struct sessions *all, const struct session *s);
/* The session, not connected, ends: its id is free at once, what it had goes bit by bit. */
void sessions_end(struct sessions *all, struct session *s);
/* Go on taking ended sessions apart; true when there is more to do. */
bool sessions_work(struct sessions *all);
/*
 * End persistent sessions whose client has been away for more than `limit_s` seconds (0 = never), a
 * few in each turn. Returns when to come back: 0 = at once, there is more to do; UINT64_MAX =
 * never.
 */
uint64_t sessions_expire(struct sessions *all, const struct now *now, int64_t limit_s);
/* The wall clock was set: those that went away at or after `since` did so `by` seconds later than
 * it said. */
void sessions_clock_set(struct sessions *all, int64_t since, int64_t by);
/* Walk: *cursor begins with 0. */
struct session *sessions_next(const struct sessions *all, uint64_t *cursor);

#endif
