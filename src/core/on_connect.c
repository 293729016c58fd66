/*
 * CONNECT (3.1): checks, session found or made, takeover, CONNACK. Each refusal is one return with
 * one CONNACK code.
 */
#include "core/admission.h"
#include "core/ending.h"
#include "core/handlers.h"
#include "core/login.h"
#include "core/will.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"

#include <stdio.h>

/* Before an id is known the address stands for it. */
static void log_connack(const struct broker *b, const struct conn *c, bool present,
                        enum connack code)
{
    char name[CONN_NAME_MAX > PEER_TEXT_MAX ? CONN_NAME_MAX : PEER_TEXT_MAX];

    if (!log_wants(&b->log, LOG_LEVEL_DEBUG))
        return;
    if (c->session)
        conn_name(c, name);
    else
        peer_address(&c->peer, name);
    log_debug(&b->log, "Sending CONNACK to %s (%d, %d)", name, present, code);
}

static enum reason send_connack(struct broker *b, struct conn *c, bool present, enum connack code)
{
    uint8_t packet[ENCODE_CONNACK_SIZE];
    size_t n = encode_connack(packet, present, code);
    enum outbox_lane lane = code == CONNACK_ACCEPTED ? OUTBOX_STORED : OUTBOX_NEXT;

    log_connack(b, c, present, code);
    return outbox_put(&b->hub, &c->out, lane, packet, n) ? REASON_NOMEM : REASON_OK;
}

static void refuse(struct broker *b, struct conn *c, struct verdict v,
                   const struct packet_connect *p)
{
    (void)send_connack(b, c, false, v.code);
    conn_refuse(b, c, v.reason, p);
}

/* The name of the protocol that a CONNECT begins with. */
static struct str protocol_name(const struct frame *f)
{
    const uint8_t *p = (const uint8_t *)f->body.p;

    return str_of(f->body.p + 2, (size_t)p[0] << 8 | p[1]);
}

/* With the bit that a bridge sets. */
static uint8_t level_byte(const struct frame *f)
{
    struct str name = protocol_name(f);

    return (uint8_t)name.p[name.n];
}

/* It is no CONNECT that could be answered with more than the one code for a wrong version
 * (3.1.2.2).
 */
static void refuse_unread(struct broker *b, struct conn *c, enum reason why,
                          const struct packet_connect *p, const struct frame *f)
{
    char address[PEER_TEXT_MAX];
    char name[CONN_NAME_MAX];

    peer_address(&c->peer, address);
    if (why == REASON_PROTOCOL_NAME)
        report_aside(&b->report, &c->peer, why, "Invalid protocol \"%s\" in CONNECT from %s.",
                     str_escape_strict(protocol_name(f), name, sizeof(name)), address);
    if (why == REASON_PROTOCOL_LEVEL) {
        report_aside(&b->report, &c->peer, why, "Invalid protocol version %d in CONNECT from %s.",
                     level_byte(f), address);
        refuse(b, c, (struct verdict){why, CONNACK_PROTOCOL_VERSION}, p);
        return;
    }
    conn_refuse(b, c, why, p);
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
    log_debug(&b->log, "\t%s", str_escape_strict(p->will_topic, topic, sizeof(topic)));
}

/* From here on the connection counts as the client's. */
static enum reason admit(struct broker *b, struct conn *c, const struct packet_connect *p)
{
    bool present;
    struct session *s = session_for(b, c, p, &present);
    struct party who;
    enum reason r;

    if (!s)
        return REASON_NOMEM;
    c->session = s;
    c->state = CONN_OPEN;
    c->level = p->level & 7U;
    c->keepalive_s = p->keepalive_s;
    s->bridge = p->bridge;
    if (s->number && (present || s->bridge)) {
        s->absent_s = 0;
        sessions_note(&b->sessions, s);
    }
    who = conn_party(c);
    report_connected(&b->report, &who, p);
    log_will(b, p);
    /* In 3.1 that byte is reserved. */
    r = send_connack(b, c, present && p->level != PROTOCOL_31, CONNACK_ACCEPTED);
    session_attach(&b->env, s, &c->out);
    wheel_disarm(&b->wheel, &c->timer);
    if (c->keepalive_s > 0)
        wheel_arm(&b->wheel, &c->timer, b->now.mono_ms + c->keepalive_s * 1500u);
    return r;
}

/* From now on the mount point of its listener is this connection's, whatever becomes of the
 * listener. */
static enum reason mount(struct broker *b, struct conn *c, struct packet_connect *p)
{
    if (c->peer.listener->mount_point && !c->out.map)
        c->out.map = conf_listener_ref(c->peer.listener);
    if (!c->out.map || !p->has_will)
        return REASON_OK;
    return topicmap_name(c->out.map, p->will_topic, b->mapped, &p->will_topic);
}

/* Would it need a session of its own where there may be none? */
static bool is_full(const struct broker *b, const struct packet_connect *p)
{
    int32_t max = b->conf->global.global_max_clients;

    return max >= 0 && b->stats.sessions >= (uint64_t)max &&
           !sessions_find(&b->sessions, p->client_id);
}

/* Is this the session of a bridge of ours? That is nobody's to take. */
static bool is_bridges(const struct broker *b, const struct packet_connect *p)
{
    const struct session *s = sessions_find(&b->sessions, p->client_id);

    return s && s->own;
}

/* May it come in? REASON_OK also while its login waits. */
static struct verdict judge(struct broker *b, struct conn *c, const struct frame *f,
                            const struct packet_connect *p)
{
    const struct admission a = {
        .conf = b->conf, .rules = c->peer.listener, .proven = conn_is_proven(c), .map = c->out.map};
    struct verdict v = admission_check(&a, p);

    if (v.reason == REASON_OK && is_bridges(b, p))
        v = (struct verdict){REASON_BRIDGE_ID, CONNACK_IDENTIFIER};
    if (v.reason == REASON_OK && is_full(b, p))
        v = (struct verdict){REASON_CLIENTS_MAX, CONNACK_UNAVAILABLE};
    if (v.reason == REASON_OK && admission_wants_password(&a, p))
        v = login_check(b, c, f, p);
    if (v.reason == REASON_OK && !login_waits(c))
        v = admission_check_will(&a, p);
    return v;
}

static enum reason connect_client(struct broker *b, struct conn *c, const struct frame *f,
                                  const struct packet_connect *p)
{
    struct verdict v = judge(b, c, f, p);

    if (v.reason == REASON_NOMEM)
        return REASON_NOMEM;
    if (v.reason != REASON_OK) {
        refuse(b, c, v, p);
        return REASON_OK;
    }
    if (login_waits(c))
        return REASON_OK;
    login_passed(b, c);
    if (conn_keep_login(c, p) || will_set(c, p))
        return REASON_NOMEM;
    v.reason = admit(b, c, p);
    if (v.reason != REASON_OK)
        will_drop(c); /* it was never accepted */
    return v.reason;
}

/* A name that is proven takes the place of what CONNECT says. */
static void take_proven_name(const struct conn *c, struct packet_connect *p)
{
    if (!conn_is_proven(c))
        return;
    p->has_username = true;
    p->username = str_of(c->login->user, c->login->user_len);
}

/* An id for a client that has sent none (3.1.3-6). */
static struct str make_id(struct broker *b, const struct conn *c, char *out, size_t cap)
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
    b->stats.connects_received += !conn_waiting(c); /* otherwise it has been here before */
    r = decode_connect(f, &p);
    if (r == REASON_OK)
        r = mount(b, c, &p);
    if (r == REASON_OK) {
        take_proven_name(c, &p);
        admission_rename(c->peer.listener, &p);
        if (admission_makes_id(c->peer.listener, &p))
            p.client_id = make_id(b, c, id, sizeof(id));
        r = connect_client(b, c, f, &p);
    }
    if (r == REASON_OK || c->state == CONN_OPEN)
        return r;
    refuse_unread(b, c, r, &p, f);
    return REASON_OK;
}
