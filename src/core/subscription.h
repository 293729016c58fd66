/*
 * The subscriptions of a session (3.8, 3.10). Adding and removing one costs the same however many
 * there are.
 */
#ifndef CORE_SUBSCRIPTION_H
#define CORE_SUBSCRIPTION_H

#include "core/session.h"

/* Which retained messages are given as the session drains. */
enum feed {
    FEED_NONE, /* a feed for this filter that is under way ends */
    FEED_ALL,
    FEED_UNSAFE /* what goes at QoS 0: it may have been lost on the way. Not after a crash of ours
                 */
};

/* Subscribe to a valid filter (3.8.4): granted as asked. ERR_NOMEM changes nothing. */
MUST_CHECK enum err subscription_add(struct session_env *env, struct session *s, struct str filter,
                                     enum qos qos, enum feed feed);
/* What the journal says of a subscription with this feed, or NULL; the session is the caller's. */
struct record subscription_record(struct str filter, enum qos qos,
                                  const struct retain_cursor *feed);
/* No error when there was no such subscription (3.10.4). ERR_NOMEM changes nothing. */
MUST_CHECK enum err subscription_remove(struct session_env *env, struct session *s,
                                        struct str filter);
/* Drop the subscriptions of an ended session within the budget; true when there are none left. */
bool subscription_drop_all(struct session_env *env, struct session *s);

#endif
