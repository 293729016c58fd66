/*
 * All sessions by client id.
 */
#ifndef CORE_SESSIONS_H
#define CORE_SESSIONS_H

#include "core/session.h"

struct sessions {
    struct table by_id;
    struct session_list ended; /* taken apart a few at a time */
    struct session_env *env;
};

void sessions_init(struct sessions *all, struct session_env *env);
void sessions_clear(struct sessions *all); /* whatever it takes: no budget */

struct session *sessions_find(const struct sessions *all, struct str id);
/*
 * Make a session. `number` 0: clean; SESSIONS_NEW: persistent, numbered and recorded now; else a
 * replayed one. The id must not be there yet. NULL without memory.
 */
#define SESSIONS_NEW UINT64_MAX
MUST_CHECK struct session *sessions_make(struct sessions *all, struct str id, uint64_t number);
/* Record that a persistent session is connected (time 0) or absent since. Without memory the record
 * is left out. */
void sessions_note(struct sessions *all, const struct session *s);
/* Memory for the record of sessions_end. */
MUST_CHECK enum err sessions_end_reserve(struct sessions *all, const struct session *s);
/* The session, not connected, ends: its id is free at once, what it had goes bit by bit. */
void sessions_end(struct sessions *all, struct session *s);
/* Go on taking ended sessions apart; true when there is more to do. */
bool sessions_work(struct sessions *all);
/* Walk: *cursor begins with 0. */
struct session *sessions_next(const struct sessions *all, uint64_t *cursor);

#endif
