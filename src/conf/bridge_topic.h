/*
 * The `topic` line of a bridge: PATTERN [out|in|both [QOS [LOCAL-PREFIX [REMOTE-PREFIX]]]].
 */
#ifndef CONF_BRIDGE_TOPIC_H
#define CONF_BRIDGE_TOPIC_H

#include "base/str.h"
#include "conf/conf.h"

#define BRIDGE_TOPICS_MAX 4096 /* of one bridge: each is asked about each message */

/*
 * Add what the line says. ERR_INVAL: *why says what would be right. ERR_EXISTS: an earlier line
 * says the same. ERR_NOMEM.
 */
MUST_CHECK enum err bridge_topic_add(struct conf_bridge *b, struct str text, const char **why);
/* The same topics in the same order? */
bool bridge_topics_same(const struct conf_bridge *a, const struct conf_bridge *b);
void bridge_topics_free(struct conf_bridge *b);

#endif
