/*
 * Topics at a bridge's border: the rules of its `topic` lines.
 *
 * A rule takes the prefix of one side off and puts that of the other side before. A topic may match
 * several rules: those with prefixes go before those without, which change nothing; among equals
 * the order of the file decides. Here a message goes out once, under one name.
 */
#ifndef CORE_BRIDGE_MAP_H
#define CORE_BRIDGE_MAP_H

#include "conf/conf.h"
#include "mqtt/reason.h"

/* What a mapped topic may take. */
#define BRIDGE_MAP_ROOM UINT16_MAX
/*
 * What a topic of the remote broker is called here: a part of `name`, or written to `room`
 * (BRIDGE_MAP_ROOM bytes). REASON_OK; REASON_UNMAPPED, REASON_MOUNT_LENGTH, REASON_LEVELS: it has
 * no name here.
 */
enum reason bridge_map_in(const struct conf_bridge *bridge, struct str name, char *room,
                          struct str *inside);
/* What a topic of ours is called there, likewise; false: it has no name there. `room` NULL: only
 * whether it has one. */
bool bridge_map_out(const struct conf_bridge *bridge, struct str inside, char *room,
                    struct str *name);
/* Is it a local prefix without its '/'? "a/#" matches that, too, but it has no name there. */
bool bridge_map_is_root(const struct conf_bridge *bridge, struct str inside);

#endif
