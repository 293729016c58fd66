/*
 * Until password and ACL files are here, a client may come in if anonymous clients may: a user name
 * that nobody can check proves nothing.
 */
#include "core/access.h"

#include "mqtt/topic.h"

bool access_may_connect(const struct conf_listener *rules, const struct packet_connect *p)
{
    (void)p;
    return rules->security.allow_anonymous;
}

bool access_may_write(struct str topic)
{
    if (str_has_prefix(topic, STR("$CONTROL/")))
        return false;
    return !str_has_prefix(topic, STR("$SYS")) ||
           topic_matches(STR("$SYS/broker/connection/+/state"), topic);
}
