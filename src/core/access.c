/*
 * What belongs to the broker is nobody's to write, whatever an ACL says; the ACL decides the rest.
 */
#include "core/access.h"

#include "auth/realm.h"
#include "auth/reserved.h"
#include "core/topicmap.h"

#include <stdio.h>

bool access_may_connect(const struct conf_listener *rules, const struct packet_connect *p)
{
    (void)p;
    return rules->security.allow_anonymous;
}

bool access_may_write_special(const struct conf_listener *map, struct str topic)
{
    struct str written;

    if (topic_is_reserved(topic))
        return false;
    /* What a remote broker has for its own is not ours. */
    if (!map || map->bridge)
        return true;
    return !topicmap_back(map, topic, NULL, &written) || !topic_is_reserved(written);
}

struct acl_verdict access_decide_write(const struct conf_listener *rules, struct str user,
                                       struct str client, struct str topic)
{
    const struct acl *acl = rules->realm ? rules->realm->acl : NULL;
    struct acl_who who;

    if (!acl)
        return (struct acl_verdict){.granted = true};
    who = acl_who(acl, user, client);
    return acl_decide(acl, &who, ACL_WRITE, topic);
}

const char *access_rule(const struct acl *acl, const struct acl_verdict *v,
                        char out[ACCESS_RULE_MAX])
{
    char path[ACCESS_RULE_MAX - 64];

    (void)snprintf(path, sizeof(path), "%s", acl_path(acl));
    if (v->dangerous)
        (void)snprintf(out, ACCESS_RULE_MAX, "acl_file %s: a name or id with + or # has no rights",
                       path);
    else if (v->line == 0)
        (void)snprintf(out, ACCESS_RULE_MAX, "acl_file %s: no line grants it", path);
    else
        (void)snprintf(out, ACCESS_RULE_MAX, "%s:%u", path, v->line);
    return out;
}
