/*
 * A will is a message that waits for a connection to end badly.
 */
#include "core/will.h"

/* In the message's flags, which are ours. */
#define WILL_RETAIN 1

enum err will_set(struct conn *c, const struct packet_connect *p)
{
    if (!p->has_will)
        return ERR_OK;
    c->will = message_new(p->will_topic, p->will_payload, p->will_qos);
    if (!c->will)
        return ERR_NOMEM;
    c->will->flags = p->will_retain ? WILL_RETAIN : 0;
    return ERR_OK;
}

void will_drop(struct conn *c)
{
    message_unref(c->will);
    c->will = NULL;
}

void will_publish(struct broker *b, struct conn *c)
{
    struct publication pub;
    char name[CONN_NAME_MAX];
    enum err e;

    if (!c->will)
        return;
    publication_init_message(&pub, c->will, &b->scratch);
    pub.retain = c->will->flags & WILL_RETAIN;
    will_drop(c);
    e = route_find(&b->route, &b->env, pub.topic, NULL);
    if (!e)
        e = route_publish(&b->route, &b->env, &pub, c->session);
    publication_clear(&pub);
    if (e) {
        b->stats.publish_dropped++;
        log_error(&b->log, "Error: The will of client %s was not published: %s.",
                  conn_name(c, name), err_word(e));
    }
}
