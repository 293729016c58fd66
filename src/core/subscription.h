/*
 * The subscriptions of a session (3.8, 3.10). Adding and removing one costs the same however many
 * there are.
 */
#ifndef CORE_SUBSCRIPTION_H
#define CORE_SUBSCRIPTION_H

#include "core/session.h"

/*
 * Subscribe to a valid filter (3.8.4): granted as asked. With `feed`, the retained messages that
 * match will be given as the session drains. ERR_NOMEM changes nothing.
 */
MUST_CHECK enum err subscription_add(struct session_env *env, struct session *s, struct str filter,
                                     enum qos qos, bool feed);
/* No error when there was no such subscription (3.10.4). ERR_NOMEM changes nothing. */
MUST_CHECK enum err subscription_remove(struct session_env *env, struct session *s,
                                        struct str filter);
/* Drop the subscriptions of an ended session within the budget; true when there are none left. */
bool subscription_drop_all(struct session_env *env, struct session *s);

#endif
