/*
 * Until password and ACL files are here, a client may come in if anonymous clients may: a user name
 * that nobody can check proves nothing.
 */
#include "core/access.h"

#include "core/topicmap.h"
#include "mqtt/topic.h"

bool access_may_connect(const struct conf_listener *rules, const struct packet_connect *p)
{
    (void)p;
    return rules->security.allow_anonymous;
}

static bool is_for_clients(struct str topic)
{
    if (str_has_prefix(topic, STR("$CONTROL/")))
        return false;
    return !str_has_prefix(topic, STR("$SYS")) ||
           topic_matches(STR("$SYS/broker/connection/+/state"), topic);
}

bool access_may_write(const struct conf_listener *map, struct str topic)
{
    struct str written;

    if (!is_for_clients(topic))
        return false;
    return LIKELY(!map) || !topicmap_back(map, topic, &written) || is_for_clients(written);
}
