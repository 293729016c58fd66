/*
 * The packets that only a client receives, and its keepalive. The remote broker is believed no more
 * than any client is.
 */
#include "core/bridge.h"
#include "core/bridge_session.h"
#include "core/bridge_speak.h"
#include "core/bridges.h"
#include "core/ending.h"
#include "core/handlers.h"
#include "mqtt/decode.h"

#include <stdio.h>

static const char *connack_text(uint8_t code)
{
    static const char *const texts[] = {
        [CONNACK_PROTOCOL_VERSION] = "unacceptable protocol version",
        [CONNACK_IDENTIFIER] = "client identifier rejected",
        [CONNACK_UNAVAILABLE] = "server unavailable",
        [CONNACK_BAD_LOGIN] = "bad user name or password",
        [CONNACK_NOT_AUTHORISED] = "not authorised",
    };

    return code < ARRAY_SIZE(texts) ? texts[code] : "unknown code";
}

static void refused(struct broker *b, struct conn *c, uint8_t code)
{
    char detail[64];

    bridge_of(c)->refused = code;
    (void)snprintf(detail, sizeof(detail), "%s (CONNACK %u)", connack_text(code), code);
    conn_end(b, c, REASON_CONNACK_REFUSED, detail);
}

/* The session here and the connection become one. ERR_NOMEM. */
static enum err join(struct broker *b, struct bridge *br, bool present)
{
    struct conn *c = &br->conn;
    struct session *s;

    if ((!br->session || !br->ready) && bridge_session_open(b, br))
        return ERR_NOMEM;
    s = br->session;
    if (!present && session_forget_inbound(&b->env, s))
        return ERR_NOMEM;
    c->session = s;
    c->state = CONN_OPEN;
    c->level = br->conf->protocol_version & 7U;
    c->keepalive_s = (uint16_t)br->conf->keepalive;
    br->state = BRIDGE_UP;
    br->up_ms = b->now.mono_ms;
    br->active_ms = b->now.mono_ms;
    br->probe_ms = b->now.mono_ms + br->conf->restart_base * UINT64_C(1000);
    if (s->number) {
        s->absent_s = 0;
        sessions_note(&b->sessions, s);
    }
    return ERR_OK;
}

/*
 * First the requests, then what waits. Retained messages of these topics are given again if the
 * remote broker may not have them: it remembers nothing of us, or some were dropped meanwhile.
 */
static enum err speak(struct broker *b, struct bridge *br, bool present)
{
    bool all = !present || br->lost || br->former;
    enum err e = bridge_send_requests(b, br);

    /* Whose name is known may have been another one, which has sent what this one is to have. */
    if (!br->asked || br->former || br->address != br->met)
        session_set_kin(&b->env, br->session, 0);
    br->met = br->address;
    if (!e)
        e = bridge_notify_up(b, br);
    session_attach(&b->env, br->session, &br->conn.out);
    if (!e)
        e = bridge_session_feed(b, br, all);
    if (e)
        return e;
    br->lost = false;
    conf_bridge_unref(br->former);
    br->former = NULL;
    return ERR_OK;
}

static enum reason accepted(struct broker *b, struct bridge *br, bool present)
{
    char place[BRIDGE_ADDRESS_MAX];
    struct conn *c = &br->conn;
    /* 3.1 does not tell whether there is a session; mostly there is, and what was begun goes on. */
    bool goes_on = !br->conf->clean && (present || br->conf->protocol_version == PROTOCOL_31);

    if (join(b, br, goes_on))
        return REASON_NOMEM;
    log_notice(&b->log, "Bridge %s connected to %s as %s.", br->conf->name,
               bridge_place(bridge_address(br), place), br->conf->remote_clientid);
    br->last_error[0] = '\0';
    br->tried = 0;
    br->known = br->conf->try_private && !br->plain;
    br->closes = 0;
    wheel_arm(&b->wheel, &c->timer, b->now.mono_ms + c->keepalive_s * UINT64_C(1000));
    wheel_arm(&b->bridges.wheel, &br->timer, b->now.mono_ms);
    if (speak(b, br, present))
        return REASON_NOMEM;
    bridge_tell(b, br);
    return REASON_OK;
}

static enum reason on_connack(struct broker *b, struct conn *c, const struct frame *f)
{
    bool present;
    uint8_t code;
    enum reason r = decode_connack(f, &present, &code);

    if (r != REASON_OK)
        return r;
    if (c->state != CONN_NEW)
        return REASON_SECOND_CONNACK;
    log_debug(&b->log, "Received CONNACK on connection %s.", bridge_of(c)->conf->remote_clientid);
    if (code != CONNACK_ACCEPTED) {
        refused(b, c, code);
        return REASON_OK;
    }
    /* In 3.1 that byte is reserved: nothing is known. */
    return accepted(b, bridge_of(c),
                    present && bridge_of(c)->conf->protocol_version != PROTOCOL_31);
}

static enum reason on_suback(struct broker *b, struct conn *c, const struct frame *f)
{
    struct bridge *br = bridge_of(c);
    const char *filter;
    struct str codes;
    uint16_t id;
    bool asked;
    enum reason r = decode_suback(f, &id, &codes);

    if (r != REASON_OK)
        return r;
    log_packet(b, c, "Received SUBACK from");
    filter = bridge_subscribed(br, id, &asked);
    if (!asked || codes.n != 1)
        return REASON_SUBACK;
    br->answered = br->answered || !filter;
    if ((uint8_t)codes.p[0] == SUBACK_FAILURE && filter)
        log_warning(&b->log,
                    "Warning: Bridge %s: the remote broker refuses the subscription to '%s'.",
                    br->conf->name, filter);
    return REASON_OK;
}

static enum reason on_unsuback(struct broker *b, struct conn *c, const struct frame *f)
{
    uint16_t id;
    enum reason r = decode_ack(f, c->level, &id);

    if (r == REASON_OK)
        log_packet(b, c, "Received UNSUBACK from");
    return r;
}

static enum reason on_pingresp(struct broker *b, struct conn *c, const struct frame *f)
{
    enum reason r = decode_empty(f);

    if (r == REASON_OK)
        log_packet(b, c, "Received PINGRESP from");
    return r;
}

packet_handler *bridges_handler(enum packet_type type)
{
    static packet_handler *const handlers[16] = {
        [PACKET_CONNACK] = on_connack,   [PACKET_PUBLISH] = on_publish,
        [PACKET_PUBACK] = on_ack,        [PACKET_PUBREC] = on_ack,
        [PACKET_PUBREL] = on_pubrel,     [PACKET_PUBCOMP] = on_ack,
        [PACKET_SUBACK] = on_suback,     [PACKET_UNSUBACK] = on_unsuback,
        [PACKET_PINGRESP] = on_pingresp,
    };

    return handlers[type];
}

bool bridges_asked(const struct conn *c, uint16_t id)
{
    const struct bridge *br = CONTAINER_OF(c, const struct bridge, conn);
    const struct flow *f = c->session ? c->session->flow : NULL;

    return br->notice == id && !(f && flow_has_id(f, id));
}

void bridges_due(struct broker *b, struct conn *c)
{
    struct bridge *br = bridge_of(c);
    uint64_t keepalive_ms = c->keepalive_s * UINT64_C(1000);

    if (c->state == CONN_NEW) {
        conn_end(b, c, REASON_CONNACK_TIMEOUT, NULL);
        return;
    }
    /* While we do not look at its input, its silence proves nothing. */
    if (c->pause == PAUSE_BUDGET || c->pause == PAUSE_STORAGE)
        conn_heard(c, b->now.mono_ms);
    if (br->pinged && conn_silent_ms(c, b->now.mono_ms) > b->now.mono_ms - br->ping_ms) {
        conn_end(b, c, REASON_PING_TIMEOUT, NULL);
        return;
    }
    br->pinged = bridge_send_ping(b, br) == ERR_OK;
    br->ping_ms = b->now.mono_ms;
    wheel_arm(&b->wheel, &c->timer, b->now.mono_ms + keepalive_ms);
}
