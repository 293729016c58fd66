/*
 * Topics at a connection's border: rewritten on their way in, and back again on their way out.
 *
 * A listener's mount point is one rule: it stands before every topic of its clients, as all others
 * see them, and is taken off again before they do. So a client neither sees nor reaches anything
 * outside. A connection keeps the rule of its CONNECT (struct outbox, `map`): everything that it
 * has subscribed to stands behind the mount point of that time. A bridge has many rules
 * (bridge_map.h), and subscribes to nothing by packets.
 *
 * The mount point is put before the text, whatever it ends in: "m" before "a" is "ma", and then "#"
 * could not say what it means any more: such a filter is refused. Behind a mount point a '$' stands
 * at the beginning of no topic, so that "#" gives what a client has published to "$x", too (4.7.2
 * keeps that from wildcards); the broker's own topics cannot be there.
 */
#ifndef CORE_TOPICMAP_H
#define CORE_TOPICMAP_H

#include "conf/conf.h"
#include "mqtt/reason.h"

/* What a mapped topic may take. */
#define TOPICMAP_ROOM UINT16_MAX

/*
 * What a topic name that a client wrote is called inside: in `room`, TOPICMAP_ROOM bytes.
 * REASON_OK, REASON_MOUNT_LENGTH or REASON_LEVELS; from a bridge also REASON_UNMAPPED.
 */
enum reason topicmap_name(const struct conf_listener *map, struct str name, char *room,
                          struct str *inside);
/*
 * The same for what SUBSCRIBE and UNSUBSCRIBE carry; of $share/GROUP/FILTER it is FILTER that is
 * mapped. REASON_MOUNT_WILDCARD: a wildcard cannot stand behind this mount point.
 */
enum reason topicmap_filter(const struct conf_listener *map, struct str filter, char *room,
                            struct str *inside);
/* What its client calls a topic, perhaps in `room`; false: it is outside, and has no name there. */
bool topicmap_back(const struct conf_listener *map, struct str inside, char *room,
                   struct str *name);
/* Has a topic a name there? */
bool topicmap_shows(const struct conf_listener *map, struct str inside);
/*
 * Is a topic outside the mount point itself, with or without its '/'? Filters behind a mount point
 * match that too (4.7.1.2), but it has no name there.
 */
bool topicmap_is_root(const struct conf_listener *map, struct str inside);

#endif
