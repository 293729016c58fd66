/*
 * One bridge: a session here that is ours, and a connection to a remote broker where we are the
 * client.
 *
 * Its life is a walk through the states below. The server makes connections: the bridge says when
 * it wants one, and to which address. All addresses of a section are tried one after another; then
 * there is a pause, which grows with each vain round (restart_timeout) and is random, so that a
 * thousand bridges do not come back in the same moment.
 */
#ifndef CORE_BRIDGE_H
#define CORE_BRIDGE_H

#include "core/bridge_state.h"

/* A bridge of this section, with its session; it begins with bridge_begin. NULL without memory. */
MUST_CHECK struct bridge *bridge_new(struct broker *b, struct conf_bridge *conf);
/* It has no connection. Its session stays. */
void bridge_free(struct broker *b, struct bridge *br);
/* Connect, unless it is lazy and has nothing to do. */
void bridge_begin(struct broker *b, struct bridge *br);
/* Connect now, or as soon as the former connection is closed. */
void bridge_dial(struct broker *b, struct bridge *br);
/* An attempt failed: another address, or a pause. */
void bridge_failed(struct broker *b, struct bridge *br, const char *why);
/* Another section takes the place of its own: at once, or with the next connection. */
void bridge_change(struct broker *b, struct bridge *br, struct conf_bridge *conf);
/* It is not in the configuration any more: it ends with all that it has. */
void bridge_remove(struct broker *b, struct bridge *br);
/* Its timer has fired. */
void bridge_wake(struct broker *b, struct bridge *br);
/* A lazy one: does so much wait that it should connect? */
bool bridge_has_enough(const struct bridge *br);

/* Hooks of its connection: see bridging.h. */
void bridge_parts(struct broker *b, struct conn *c, enum reason why);
void bridge_ended(struct broker *b, struct conn *c, enum reason why, const char *detail);
void bridge_gone(struct broker *b, struct conn *c);

#endif
