/*
 * The session of a bridge here: an ordinary one, whose subscriptions are its `out` topics.
 */
#ifndef CORE_BRIDGE_SESSION_H
#define CORE_BRIDGE_SESSION_H

#include "core/bridge_state.h"

/* Find or make it, with the subscriptions that the section wants and no other. ERR_NOMEM. */
MUST_CHECK enum err bridge_session_open(struct broker *b, struct bridge *br);
/* Give the remote broker the retained messages of these topics: all of them, or only those of QoS
 * 0, of which some may have been missed. ERR_NOMEM. */
MUST_CHECK enum err bridge_session_feed(struct broker *b, struct bridge *br, bool all);
/* It is not connected: a clean one goes. */
void bridge_session_rest(struct broker *b, struct bridge *br);
/* It ends, with all that waits. */
void bridge_session_end(struct broker *b, struct bridge *br);
/* What waits in it. */
uint64_t bridge_session_queued(const struct bridge *br);
uint64_t bridge_session_queued_bytes(const struct bridge *br);

#endif
