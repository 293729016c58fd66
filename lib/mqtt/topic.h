/*
 * Topic names and filters (4.7): validate, split into levels, match. No recursion, no allocation.
 */
#ifndef MQTT_TOPIC_H
#define MQTT_TOPIC_H

#include "base/str.h"
#include "mqtt/reason.h"

/* More levels than anybody needs, fewer than a hostile peer would like (Mosquitto has the same
 * limit). */
#define TOPIC_LEVELS_MAX 200

/* The UTF-8 check is the decoder's; these check what is behind it. REASON_OK or why not. */
enum reason topic_check_name(struct str topic);    /* 3.3.2-2, 4.7.1-1, 4.7.3-1 */
enum reason topic_check_filter(struct str filter); /* 4.7.1-2, 4.7.1-3; not for $share/… */

/* "$share/GROUP/FILTER": true and the two parts; `filter` may be invalid still. False: not a shared
 * subscription. */
bool topic_is_shared(struct str whole, struct str *group, struct str *filter);
/* The check for what SUBSCRIBE and UNSUBSCRIBE carry: a filter, or a shared one with a group name
 * without '+', '#', '/'. */
enum reason topic_check_subscription(struct str whole);

/* The next level of *rest (up to '/' or the end); false after the last. "a//b" has three levels,
 * "/" has two. Start with *at = 0. */
bool topic_level(struct str topic, size_t *at, struct str *level);
/* Number of levels. */
unsigned topic_levels(struct str topic);

/* Does the (valid) filter match the (valid) name? 4.7.1, 4.7.2 ('$' topics). Plain and slow enough
 * to trust: for tests, rules, small sets. */
bool topic_matches(struct str filter, struct str name);

#endif
