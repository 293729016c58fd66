/*
 * CONNECT (3.1): checks, session found or made, takeover, CONNACK. Each refusal is one return with
 * one CONNACK code.
 */
#include "core/admission.h"
#include "core/ending.h"
#include "core/handlers.h"
#include "core/will.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"

#include <stdio.h>

static enum reason send_connack(struct broker *b, struct conn *c, bool present, enum connack code,
                                const char *name)
{
    uint8_t packet[ENCODE_CONNACK_SIZE];
    size_t n = encode_connack(packet, present, code);
    enum outbox_lane lane = code == CONNACK_ACCEPTED ? OUTBOX_STORED : OUTBOX_NEXT;

    log_debug(&b->log, "Sending CONNACK to %s (%d, %d)", name, present, code);
    return outbox_put(&b->hub, &c->out, lane, packet, n) ? REASON_NOMEM : REASON_OK;
}

/* Before an id is known the address stands for it. */
static void refuse(struct broker *b, struct conn *c, struct verdict v,
                   const struct packet_connect *p)
{
    char name[CONN_NAME_MAX];
    char address[PEER_TEXT_MAX];
    char user[CONN_NAME_MAX];
    char detail[CONN_NAME_MAX + 16];

    (void)send_connack(b, c, false, v.code, peer_address(&c->peer, address));
    (void)snprintf(detail, sizeof(detail), "user '%s'",
                   str_escape(p->username, user, sizeof(user)));
    conn_end_named(
        b, c, v.reason, p->has_username ? detail : NULL,
        str_escape(p->client_id.n > 0 ? p->client_id : STR("<unknown>"), name, sizeof(name)));
}

/* --- the session --- */

static struct conn *conn_of(struct session *s)
{
    return CONTAINER_OF(s->out, struct conn, out);
}

/* The same client id is connected already: that connection ends (3.1.4-2). */
static void take_over(struct broker *b, struct conn *c, struct session *s)
{
    char address[PEER_TEXT_MAX];
    char detail[PEER_TEXT_MAX + 16];

    (void)snprintf(detail, sizeof(detail), "by %s:%d", peer_address(&c->peer, address),
                   c->peer.port);
    conn_end(b, conn_of(s), REASON_TAKEN_OVER, detail);
}

/* Find or make the session of this client; NULL without memory. It has no connection then. */
static struct session *session_for(struct broker *b, struct conn *c, const struct packet_connect *p,
                                   bool *present)
{
    struct session *s = sessions_find(&b->sessions, p->client_id);

    if (s && s->out) {
        take_over(b, c, s);
        s = sessions_find(&b->sessions, p->client_id); /* a clean one is gone with its connection */
    }
    *present = s && !p->clean_session;
    if (*present)
        return s;
    if (s) {
        if (sessions_end_reserve(&b->sessions, s))
            return NULL;
        sessions_end(&b->sessions, s);
    }
    return sessions_make(&b->sessions, p->client_id, p->clean_session ? 0 : SESSIONS_NEW);
}

static void log_connected(struct broker *b, const struct conn *c, const struct packet_connect *p,
                          const char *name)
{
    char address[PEER_TEXT_MAX];
    char user[CONN_NAME_MAX];
    const char *kind = p->bridge ? "bridge" : "client";

    if (!b->conf->global.connection_messages)
        return;
    if (p->has_username)
        log_notice(&b->log, "New %s connected from %s as %s (c%d, k%d, u'%s').", kind,
                   peer_address(&c->peer, address), name, p->clean_session, p->keepalive_s,
                   str_escape(p->username, user, sizeof(user)));
    else
        log_notice(&b->log, "New %s connected from %s as %s (c%d, k%d).", kind,
                   peer_address(&c->peer, address), name, p->clean_session, p->keepalive_s);
}

static void log_will(struct broker *b, const struct packet_connect *p)
{
    char topic[512];

    if (!log_wants(&b->log, LOG_LEVEL_DEBUG))
        return;
    if (!p->has_will) {
        log_debug(&b->log, "No will message specified.");
        return;
    }
    log_debug(&b->log, "Will message specified (%zu bytes) (r%d, q%d).", p->will_payload.n,
              p->will_retain, p->will_qos);
    log_debug(&b->log, "\t%s", str_escape(p->will_topic, topic, sizeof(topic)));
}

/* From here on the connection counts as the client's. */
static enum reason admit(struct broker *b, struct conn *c, const struct packet_connect *p)
{
    char name[CONN_NAME_MAX];
    bool present;
    struct session *s = session_for(b, c, p, &present);
    enum reason r;

    if (!s)
        return REASON_NOMEM;
    c->session = s;
    c->state = CONN_OPEN;
    c->level = p->level & 7U;
    c->keepalive_s = p->keepalive_s;
    s->bridge = p->bridge;
    if (present && s->number) {
        s->absent_s = 0;
        sessions_note(&b->sessions, s);
    }
    conn_name(c, name);
    log_connected(b, c, p, name);
    log_will(b, p);
    /* In 3.1 that byte is reserved. */
    r = send_connack(b, c, present && p->level != PROTOCOL_31, CONNACK_ACCEPTED, name);
    session_attach(&b->env, s, &c->out);
    wheel_disarm(&b->wheel, &c->timer);
    if (c->keepalive_s > 0)
        wheel_arm(&b->wheel, &c->timer, b->now.mono_ms + c->keepalive_s * 1500u);
    return r;
}

static enum reason connect_client(struct broker *b, struct conn *c, const struct packet_connect *p)
{
    struct verdict v = admission_check(b->conf, &c->peer, p);

    if (v.reason != REASON_OK) {
        refuse(b, c, v, p);
        return REASON_OK;
    }
    if (will_set(c, p))
        return REASON_NOMEM;
    v.reason = admit(b, c, p);
    if (v.reason != REASON_OK)
        will_drop(c); /* it was never accepted */
    return v.reason;
}

/* An id for a client that has sent none (3.1.3-6). */
static struct str made_id(struct broker *b, const struct conn *c, char *out, size_t cap)
{
    char unique[BROKER_ID_MAX];
    const char *prefix = c->peer.listener->security.auto_id_prefix;

    b->make_id(b->make_id_ctx, unique);
    (void)snprintf(out, cap, "%s%s", prefix ? prefix : "", unique);
    return str_c(out);
}

enum reason on_connect(struct broker *b, struct conn *c, const struct frame *f)
{
    struct packet_connect p;
    char id[BROKER_ID_MAX + 128];
    enum reason r;

    if (c->state == CONN_OPEN)
        return REASON_SECOND_CONNECT;
    work_charge(&b->work, WORK_CONNECT);
    r = decode_connect(f, &p);
    if (r == REASON_PROTOCOL_LEVEL) {
        p.client_id = p.username = STR("");
        p.has_username = false;
        refuse(b, c, (struct verdict){r, CONNACK_PROTOCOL_VERSION}, &p);
        return REASON_OK;
    }
    if (r != REASON_OK)
        return r;
    if (admission_makes_id(&c->peer, &p))
        p.client_id = made_id(b, c, id, sizeof(id));
    return connect_client(b, c, &p);
}
