/*
 * Who a peer is, and what it may read or write.
 */
#ifndef CORE_ACCESS_H
#define CORE_ACCESS_H

#include "auth/acl.h"
#include "conf/conf.h"
#include "mqtt/packet.h"

/* May this client come in? */
bool access_may_connect(const struct conf_listener *rules, const struct packet_connect *p);
/*
 * May clients publish to this topic at all? $SYS and $CONTROL belong to the broker; bridges report
 * their state below $SYS. Behind a mount point (`map`, or NULL) that holds for what the client
 * wrote, and for what became of it.
 */
bool access_may_write_special(const struct conf_listener *map, struct str topic);
static inline bool access_may_write(const struct conf_listener *map, struct str topic)
{
    bool special = map || (topic.n > 0 && topic.p[0] == '$');

    return LIKELY(!special) || access_may_write_special(map, topic);
}
/*
 * What the ACL of this listener says of somebody who is not connected yet, and says of a topic that
 * is to be written; granted if there is none.
 */
struct acl_verdict access_decide_write(const struct conf_listener *rules, struct str user,
                                       struct str client, struct str topic);
/* Which line of an ACL decided, or that none did: for the log. Returns out. */
#define ACCESS_RULE_MAX 256
const char *access_rule(const struct acl *acl, const struct acl_verdict *v,
                        char out[ACCESS_RULE_MAX]);

#endif
