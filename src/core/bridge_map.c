/*
 * Two searches over few rules, one for each way.
 */
#include "core/bridge_map.h"

#include "mqtt/topic.h"

#include <string.h>

static bool has_prefix(const struct conf_bridge_topic *t)
{
    return t->local_prefix > 0 || t->remote_prefix > 0;
}

/* The rule for a topic that is called so on the side that it comes from; NULL: none. */
static const struct conf_bridge_topic *find_rule(const struct conf_bridge *bridge,
                                                 enum conf_direction way, struct str name)
{
    const struct conf_bridge_topic *plain = NULL;

    for (size_t i = 0; i < bridge->topic_count; i++) {
        const struct conf_bridge_topic *t = &bridge->topics[i];
        size_t prefix = way == CONF_IN ? t->remote_prefix : t->local_prefix;
        /* "p/#" matches "p" as well (4.7.1-2), which has no prefix to take off. */
        if (!(t->direction & way) || name.n < prefix || (plain && !has_prefix(t)) ||
            !topic_matches(str_c(way == CONF_IN ? t->remote : t->local), name))
            continue;
        if (has_prefix(t))
            return t;
        plain = t;
    }
    return plain;
}

bool bridge_map_is_root(const struct conf_bridge *bridge, struct str inside)
{
    for (size_t i = 0; i < bridge->topic_count; i++) {
        const struct conf_bridge_topic *t = &bridge->topics[i];
        if (t->direction & CONF_OUT && t->local_prefix == inside.n + 1 &&
            t->local[inside.n] == '/' && memcmp(t->local, inside.p, inside.n) == 0)
            return true;
    }
    return false;
}

/* `name` with the first `off` bytes replaced; false: too long. */
static bool replace(struct str name, size_t off, struct str by, char *room, struct str *out)
{
    size_t rest = name.n - off;

    if (by.n + rest > BRIDGE_MAP_ROOM)
        return false;
    if (!room)
        return true;
    if (by.n > 0)
        memcpy(room, by.p, by.n);
    if (rest > 0)
        memcpy(room + by.n, name.p + off, rest);
    *out = str_of(room, by.n + rest);
    return true;
}

enum reason bridge_map_in(const struct conf_bridge *bridge, struct str name, char *room,
                          struct str *inside)
{
    const struct conf_bridge_topic *t = find_rule(bridge, CONF_IN, name);

    if (!t)
        return REASON_UNMAPPED;
    *inside = name;
    if (!has_prefix(t))
        return REASON_OK;
    if (!replace(name, t->remote_prefix, str_of(t->local, t->local_prefix), room, inside))
        return REASON_MOUNT_LENGTH;
    if (inside->n == 0)
        return REASON_UNMAPPED;
    return topic_levels(*inside) > TOPIC_LEVELS_MAX ? REASON_LEVELS : REASON_OK;
}

bool bridge_map_out(const struct conf_bridge *bridge, struct str inside, char *room,
                    struct str *name)
{
    const struct conf_bridge_topic *t = find_rule(bridge, CONF_OUT, inside);

    if (!t || inside.n - t->local_prefix + t->remote_prefix == 0)
        return false;
    *name = inside;
    return !has_prefix(t) ||
           replace(inside, t->local_prefix, str_of(t->remote, t->remote_prefix), room, name);
}
