/*
 * Retained messages on their way to a new subscription (3.3.1.3).
 *
 * A feed is a cursor that belongs to a session. It goes on only while the session's outbox and
 * window have room, so a million retained messages cost a reader nothing but time, and a session
 * that does not read one cursor.
 */
#ifndef CORE_FEED_H
#define CORE_FEED_H

#include "core/session.h"

/* Make sure that the next feed_begin has room in the table. */
MUST_CHECK enum err feed_reserve(struct session_env *env);
/* A prepared cursor becomes this session's feed, in the place of a former one for the same filter.
 * After feed_reserve. */
void feed_begin(struct session_env *env, struct session *s, struct retain_cursor *c);
/*
 * After a restart feeds begin anew, but what they have given already is not given again. A feed has
 * given what stands in rows from its first one on: `since`, its session's tail when it began. So
 * what others gave before, for the same filter even, says nothing of it. Feeds that go on are begun
 * in the order of their rows, before others: the first of a session is the oldest.
 */
void feed_resume(struct session_env *env, const struct session *s, struct str filter,
                 uint64_t since);
/* What feeds of a session have given, for all of them together: message numbers, each with the last
 * row that it was given in. Note one. */
MUST_CHECK enum err feed_given_add(struct table *given, uint64_t number, uint64_t seq);
void feed_given_clear(struct table *given);
/* Takes the table, or frees it if this session has no feed. ERR_NOMEM: it is freed too. */
MUST_CHECK enum err feed_has_given(struct session_env *env, const struct session *s,
                                   struct table *given);
/* This session's feed for a filter, or NULL. */
struct retain_cursor *feed_find(const struct session_env *env, const struct session *s,
                                struct str filter);
/* Is there a feed, and is it to go on after a crash? */
static inline bool feed_is_lasting(const struct retain_cursor *feed)
{
    return feed && !feed->unsafe_only;
}
/* End this session's feed for a filter, if there is one. */
void feed_end(struct session_env *env, struct session *s, struct str filter);
/* Go on with this session's feeds while outbox, window and budget allow. */
void feed_pump(struct session_env *env, struct session *s);
/* Drop the feeds of an ended session within the budget; true when there are none left. */
bool feed_drop_all(struct session_env *env, struct session *s);

#endif
