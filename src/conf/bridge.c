/*
 * A bridge's section once it has been read: compared, released, and seen as the rules of a
 * connection.
 */
#include "base/mem.h"
#include "conf/conf.h"
#include "conf/fields.h"

bool conf_bridge_same(const struct conf_bridge *a, const struct conf_bridge *b)
{
    return fields_same(a, b, HOME_BRIDGE);
}

void conf_bridge_unref(struct conf_bridge *b)
{
    if (!b || --b->refs > 0)
        return;
    fields_free(b, HOME_BRIDGE);
    str_dup_free(b->file);
    mem_free(b, sizeof(*b));
}

struct conf_listener *conf_bridge_rules(struct conf_bridge *b)
{
    struct conf_listener *l = mem_zalloc(sizeof(*l));
    enum err e, security;

    if (!l)
        return NULL;
    l->refs = 1;
    e = fields_defaults(l, HOME_LISTENER);
    security = fields_defaults(&l->security, HOME_SECURITY);
    if (e || security) {
        conf_listener_unref(l);
        return NULL;
    }
    l->security.allow_anonymous = true;
    l->bridge = conf_bridge_ref(b);
    return l;
}
