/*
 * The mount point, on and off.
 */
#include "core/topicmap.h"

#include "core/bridge_map.h"
#include "mqtt/topic.h"

#include <string.h>

/* `head`, the mount point and `tail` in one. */
static enum reason put(const struct conf_listener *map, struct str head, struct str tail,
                       char *room, struct str *inside)
{
    struct str mount = str_c(map->mount_point);
    char *at = room;

    if (head.n + mount.n + tail.n > TOPICMAP_ROOM)
        return REASON_MOUNT_LENGTH;
    if (head.n > 0)
        memcpy(at, head.p, head.n);
    at += head.n;
    memcpy(at, mount.p, mount.n);
    at += mount.n;
    if (tail.n > 0)
        memcpy(at, tail.p, tail.n);
    *inside = str_of(room, head.n + mount.n + tail.n);
    return REASON_OK;
}

/* Levels are counted as the broker counts them: behind the mount point. */
static enum reason check_levels(struct str topic)
{
    if (topic.n < TOPIC_LEVELS_MAX || topic_levels(topic) <= TOPIC_LEVELS_MAX)
        return REASON_OK;
    return REASON_LEVELS;
}

enum reason topicmap_name(const struct conf_listener *map, struct str name, char *room,
                          struct str *inside)
{
    enum reason r;

    if (map->bridge)
        return bridge_map_in(map->bridge, name, room, inside);
    r = put(map, str_of(NULL, 0), name, room, inside);
    return r == REASON_OK ? check_levels(*inside) : r;
}

enum reason topicmap_filter(const struct conf_listener *map, struct str filter, char *room,
                            struct str *inside)
{
    struct str group;
    struct str tail = filter;
    struct str head = str_of(NULL, 0);
    enum reason r;

    if (topic_is_shared(filter, &group, &tail))
        head = str_of(filter.p, filter.n - tail.n);
    r = put(map, head, tail, room, inside);
    if (r == REASON_OK)
        r = topic_check_filter(str_of(inside->p + head.n, inside->n - head.n));
    return r == REASON_FILTER ? REASON_MOUNT_WILDCARD : r; /* alone it was a good one */
}

bool topicmap_back(const struct conf_listener *map, struct str inside, char *room, struct str *name)
{
    size_t n;

    if (map->bridge)
        return bridge_map_out(map->bridge, inside, room, name);
    n = strlen(map->mount_point);
    if (inside.n <= n || memcmp(inside.p, map->mount_point, n) != 0)
        return false;
    *name = str_of(inside.p + n, inside.n - n);
    return true;
}

bool topicmap_shows(const struct conf_listener *map, struct str inside)
{
    struct str name;

    return topicmap_back(map, inside, NULL, &name);
}

bool topicmap_is_root(const struct conf_listener *map, struct str inside)
{
    struct str mount = str_c(map->mount_point ? map->mount_point : "");

    if (map->bridge)
        return bridge_map_is_root(map->bridge, inside);
    if (str_eq(inside, mount))
        return true;
    return mount.n > 0 && mount.p[mount.n - 1] == '/' &&
           str_eq(inside, str_of(mount.p, mount.n - 1));
}
