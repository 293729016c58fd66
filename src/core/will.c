/*
 * A will is a message that waits for a connection to end badly.
 */
#include "core/will.h"

/* In the message's flags, which are ours. */
#define WILL_RETAIN 1

enum err will_set(struct conn *c, const struct packet_connect *p)
{
    struct message *m;

    if (!p->has_will)
        return ERR_OK;
    m = message_new(p->will_topic, p->will_payload, p->will_qos);
    if (!m)
        return ERR_NOMEM;
    m->flags = p->will_retain ? WILL_RETAIN : 0;
    c->login->will = m;
    return ERR_OK;
}

bool will_is_set(const struct conn *c)
{
    return c->login && c->login->will;
}

void will_drop(struct conn *c)
{
    if (!will_is_set(c))
        return;
    message_unref(c->login->will);
    c->login->will = NULL;
}

/* The right to write there may have been taken away since CONNECT. */
static bool is_allowed(struct broker *b, struct conn *c, struct str topic)
{
    struct rights_topic t;

    if (LIKELY(!b->env.rights.guarded) || !c->session)
        return true;
    t = rights_topic(&b->env.rights, topic);
    if (session_may(&b->env, c->session, ACL_WRITE, &t))
        return true;
    b->stats.publish_denied++;
    return false;
}

void will_publish(struct broker *b, struct conn *c)
{
    struct publication pub;
    struct party who = conn_party(c);
    enum err e;

    if (!will_is_set(c))
        return;
    publication_init_message(&pub, c->login->will, &b->scratch);
    pub.retain = c->login->will->flags & WILL_RETAIN;
    will_drop(c);
    if (!is_allowed(b, c, pub.topic)) {
        publication_clear(&pub);
        return;
    }
    e = route_find(&b->route, &b->env, pub.topic, NULL);
    if (!e)
        e = route_publish(&b->route, &b->env, &pub, c->session);
    if (e) {
        b->stats.publish_dropped++;
        report_will_lost(&b->report, &who, pub.topic, REASON_NOMEM);
    }
    publication_clear(&pub);
}
