/*
 * Ending is separate from freeing: the session, the will and the log have their end at once, the
 * memory goes when the server has let go of the descriptor, and never while a handler may still
 * look at it.
 */
#include "core/ending.h"

#include "core/job.h"
#include "core/will.h"

static bool is_orderly(enum reason why)
{
    return why == REASON_DISCONNECT || why == REASON_PEER_CLOSED || why == REASON_SHUTDOWN;
}

static void log_end(struct broker *b, const struct conn *c, enum reason why, const char *detail,
                    const char *name)
{
    char address[PEER_TEXT_MAX];

    if (is_orderly(why) && !b->conf->global.connection_messages)
        return;
    if (why == REASON_DISCONNECT) {
        log_notice(&b->log, "Client %s disconnected.", name);
        return;
    }
    log_notice(&b->log, "Client %s [%s:%d] disconnected: %s%s%s.", name,
               peer_address(&c->peer, address), c->peer.port, reason_text(why), detail ? ": " : "",
               detail ? detail : "");
}

/* After these nothing that is still to be written would be read, or should be. */
static bool is_abrupt(enum reason why)
{
    return why == REASON_PEER_CLOSED || why == REASON_SOCKET || why == REASON_KEEPALIVE ||
           why == REASON_TAKEN_OVER || why == REASON_CONNECT_TIMEOUT;
}

static void drop_input(struct broker *b, struct conn *c)
{
    buf_clear(&c->in);
    if (c->pause == PAUSE_BUDGET)
        TAILQ_REMOVE(&b->pending, c, pending);
    c->pause = PAUSE_NONE;
    job_end(b, c);
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
    else
        sessions_end(&b->sessions, s);
}

void conn_end_named(struct broker *b, struct conn *c, enum reason why, const char *detail,
                    const char *name)
{
    if (c->state == CONN_CLOSING)
        return;
    log_end(b, c, why, detail, name);
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
    char name[CONN_NAME_MAX];

    conn_end_named(b, c, why, detail, conn_name(c, name));
}

void conn_free(struct broker *b, struct conn *c)
{
    drop_input(b, c);
    wheel_disarm(&b->wheel, &c->timer);
    will_drop(c);
    outbox_clear(&b->hub, &c->out);
    TAILQ_REMOVE(&b->all, c, entry);
    conf_listener_unref(c->peer.listener);
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
