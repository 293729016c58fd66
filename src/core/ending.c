/*
 * Ending is separate from freeing: the session, the will and the log have their end at once, the
 * memory goes when the server has let go of the descriptor, and never while a handler may still
 * look at it.
 */
#include "core/ending.h"

#include "auth/realm.h"
#include "core/access.h"
#include "core/job.h"
#include "core/will.h"

/* After these nothing that is still to be written would be read, or should be. */
static bool is_abrupt(enum reason why)
{
    return why == REASON_PEER_CLOSED || why == REASON_SOCKET || why == REASON_KEEPALIVE ||
           why == REASON_TAKEN_OVER || why == REASON_CONNECT_TIMEOUT ||
           why == REASON_CONNACK_TIMEOUT || why == REASON_PING_TIMEOUT;
}

static void drop_input(struct broker *b, struct conn *c)
{
    buf_clear(&c->in);
    if (c->pause == PAUSE_BUDGET)
        TAILQ_REMOVE(&b->pending, c, pending);
    c->pause = PAUSE_NONE;
    job_end(b, c);
    logins_drop(&b->logins, c);
}

static void let_go_of_session(struct broker *b, struct conn *c)
{
    struct session *s = c->session;

    if (!s)
        return;
    c->session = NULL;
    session_detach(&b->env, s, b->now.wall_s);
    if (s->number)
        sessions_note(&b->sessions, s);
    else if (!s->own)
        sessions_end(&b->sessions, s);
}

static void end(struct broker *b, struct conn *c, enum reason why)
{
    c->state = CONN_CLOSING;
    wheel_disarm(&b->wheel, &c->timer);
    drop_input(b, c);
    if (why == REASON_DISCONNECT)
        will_drop(c);
    else
        will_publish(b, c);
    let_go_of_session(b, c);
    outbox_shut(&b->hub, &c->out, is_abrupt(why));
    outbox_mark(&b->hub, &c->out);
}

void conn_end(struct broker *b, struct conn *c, enum reason why, const char *detail)
{
    struct party who = conn_party(c);

    if (c->state == CONN_CLOSING)
        return;
    if (c->role == CONN_BRIDGE) {
        b->bridges.hooks->parts(b, c, why);
        end(b, c, why);
        b->bridges.hooks->ended(b, c, why, detail);
        return;
    }
    report_closed(
        &b->report, &who,
        &(struct report_end){.why = why, .detail = detail, .stranger = c->state == CONN_NEW});
    end(b, c, why);
}

/* What in its ACL says that its will must not go there; NULL: that is not why. */
static const char *will_rule(const struct conn *c, const struct packet_connect *p,
                             char out[ACCESS_RULE_MAX])
{
    const struct conf_listener *l = c->peer.listener;
    struct acl_verdict v = access_decide_write(l, p->username, p->client_id, p->will_topic);
    bool reserved = !access_may_write(c->out.map, p->will_topic);

    return reserved || v.granted ? NULL : access_rule(l->realm->acl, &v, out);
}

void conn_refuse(struct broker *b, struct conn *c, enum reason why, const struct packet_connect *p)
{
    struct party who = {.client = p->client_id, .user = p->username, .peer = &c->peer};
    struct report_end how = {.why = why, .stranger = true};
    char rule[ACCESS_RULE_MAX];

    if (c->state == CONN_CLOSING)
        return;
    if (why == REASON_WILL_TOPIC) {
        how.topic = p->will_topic;
        how.rule = will_rule(c, p, rule);
    }
    report_closed(&b->report, &who, &how);
    end(b, c, why);
}

void conn_free(struct broker *b, struct conn *c)
{
    drop_input(b, c);
    wheel_disarm(&b->wheel, &c->timer);
    will_drop(c);
    conn_drop_login(c);
    outbox_clear(&b->hub, &c->out);
    if (b->recheck == c)
        b->recheck = TAILQ_NEXT(c, entry);
    TAILQ_REMOVE(&b->all, c, entry);
    conf_listener_unref(c->peer.listener);
    conf_listener_unref(c->out.map);
    if (c->role == CONN_BRIDGE) {
        b->bridges.hooks->gone(b, c);
        return;
    }
    slab_free(&b->conns, c);
    b->stats.connections--;
}

void conn_want_input(struct broker *b, struct conn *c)
{
    if (c->pause == PAUSE_BUDGET)
        return;
    c->pause = PAUSE_BUDGET;
    TAILQ_INSERT_TAIL(&b->pending, c, pending);
}
