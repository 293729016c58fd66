/*
 * Cut packets out of the stream, see that they are allowed, hand them over.
 */
#include "core/dispatch.h"

#include "core/bridges.h"
#include "core/ending.h"
#include "core/handlers.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"

static enum reason on_pingreq(struct broker *b, struct conn *c, const struct frame *f)
{
    uint8_t packet[ENCODE_EMPTY_SIZE];
    size_t n = encode_empty(packet, PACKET_PINGRESP);
    enum reason r = decode_empty(f);

    if (r != REASON_OK)
        return r;
    log_packet(b, c, "Received PINGREQ from");
    if (outbox_put(&b->hub, &c->out, OUTBOX_NOW, packet, n))
        return REASON_NOMEM;
    log_packet(b, c, "Sending PINGRESP to");
    return REASON_OK;
}

static enum reason on_disconnect(struct broker *b, struct conn *c, const struct frame *f)
{
    enum reason r =
        decode_empty(f); /* with wrong flags it is none, and the will goes out (3.14.1-1) */

    if (r != REASON_OK)
        return r;
    log_packet(b, c, "Received DISCONNECT from");
    return REASON_DISCONNECT;
}

/* What a client may send; NULL: only a server sends that. */
static packet_handler *const handlers[16] = {
    [PACKET_CONNECT] = on_connect,     [PACKET_PUBLISH] = on_publish,
    [PACKET_PUBACK] = on_ack,          [PACKET_PUBREC] = on_ack,
    [PACKET_PUBREL] = on_pubrel,       [PACKET_PUBCOMP] = on_ack,
    [PACKET_SUBSCRIBE] = on_subscribe, [PACKET_UNSUBSCRIBE] = on_unsubscribe,
    [PACKET_PINGREQ] = on_pingreq,     [PACKET_DISCONNECT] = on_disconnect,
};

static COLD enum reason not_handled(enum packet_type type, bool bridge)
{
    if (type == 0 || type > PACKET_DISCONNECT)
        return REASON_PACKET_TYPE;
    return bridge ? REASON_NOT_FOR_CLIENT : REASON_NOT_FOR_SERVER;
}

static inline enum reason handle(struct broker *b, struct conn *c, const struct frame *f)
{
    enum packet_type type = frame_type(f);
    bool bridge = c->role == CONN_BRIDGE;
    packet_handler *h = UNLIKELY(bridge) ? bridges_handler(type) : handlers[type];

    return LIKELY(h) ? h(b, c, f) : not_handled(type, bridge);
}

/* How other protocols begin. */
static const struct {
    struct str bytes;
    enum reason reason;
} foreign[] = {
    {STR("\x16"), REASON_TLS_TO_PLAIN}, /* a handshake record */
    {STR("GET "), REASON_HTTP},           {STR("HEAD "), REASON_HTTP},
    {STR("POST "), REASON_HTTP},          {STR("PUT "), REASON_HTTP},
    {STR("DELETE "), REASON_HTTP},        {STR("OPTIONS "), REASON_HTTP},
    {STR("CONNECT "), REASON_HTTP},       {STR("PRI * HTTP"), REASON_HTTP},
    {STR("PROXY "), REASON_PROXY_HEADER}, {STR("\r\n\r\n\0\r\nQUIT\n"), REASON_PROXY_HEADER},
};

/* Before CONNECT, or from a remote broker CONNACK, nothing else is even waited for. */
static enum reason check_stranger(const struct conn *c, struct str in)
{
    if (in.p[0] == PACKET_CONNECT << 4)
        return REASON_OK;
    if (c->role == CONN_BRIDGE)
        return in.p[0] == PACKET_CONNACK << 4 ? REASON_OK : REASON_NOT_CONNACK;
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        if (str_has_prefix(in, foreign[i].bytes))
            return foreign[i].reason;
    }
    return (uint8_t)in.p[0] >> 4 == PACKET_CONNECT ? REASON_FLAGS : REASON_NOT_CONNECT;
}

/* Packets with nothing but an id, or nothing at all, a bit for each type: what announces more is
 * refused before it comes. */
#define SHORT_TYPES                                                                                \
    (1u << PACKET_CONNACK | 1u << PACKET_PUBACK | 1u << PACKET_PUBREC | 1u << PACKET_PUBREL |      \
     1u << PACKET_PUBCOMP | 1u << PACKET_PINGREQ | 1u << PACKET_PINGRESP |                         \
     1u << PACKET_DISCONNECT | 1u << 15)

static inline bool is_short(uint8_t first)
{
    return SHORT_TYPES >> (first >> 4) & 1;
}

static inline size_t packet_max(const struct broker *b, const struct conn *c, uint8_t first)
{
    uint32_t limit = b->conf->global.max_packet_size;

    if (UNLIKELY(c->state == CONN_NEW) && c->role == CONN_CLIENT)
        return CONNECT_PACKET_MAX;
    if (is_short(first))
        return SHORT_PACKET_MAX;
    return UNLIKELY(limit > 0) ? limit : PACKET_MAX;
}

static enum reason too_large(const struct conn *c, uint8_t first)
{
    if (c->state == CONN_NEW && c->role == CONN_CLIENT)
        return REASON_CONNECT_TOO_LARGE;
    return is_short(first) ? REASON_SURPLUS : REASON_PACKET_TOO_LARGE;
}

/* The journal has no room: must this packet wait for what it would store? At QoS 0 that is nothing,
 * unless such messages may be queued, or delivered at another QoS. */
static bool waits_for_storage(const struct broker *b, const struct frame *f)
{
    return frame_type(f) == PACKET_PUBLISH &&
           ((f->first & ~(unsigned)PUBLISH_DUP & 0x0f) != 0 || b->env.upgrade || b->env.queue_qos0);
}

static enum conn_pause pause_now(const struct broker *b, const struct conn *c)
{
    if (outbox_bytes(&c->out) > OUTBOX_PAUSE)
        return PAUSE_OUTPUT;
    return work_is_spent(&b->work) ? PAUSE_BUDGET : PAUSE_NONE;
}

/* Is the packet that was handled at the front still? Why? */
static enum conn_pause unfinished(const struct conn *c)
{
    if (c->job)
        return PAUSE_BUDGET;
    return conn_waiting(c) ? PAUSE_LOGIN : PAUSE_NONE;
}

/* Nothing more is looked at now: 0 bytes are done with. */
static COLD size_t pause_input(struct broker *b, struct conn *c, enum conn_pause why)
{
    if (why == PAUSE_BUDGET) {
        conn_want_input(b, c);
        return 0;
    }
    c->pause = why & 7U;
    outbox_mark(&b->hub, &c->out); /* its wish has changed */
    return 0;
}

/* Nor ever. */
static COLD size_t end(struct broker *b, struct conn *c, enum reason why)
{
    conn_end(b, c, why, NULL);
    return 0;
}

/* There is no whole packet, but perhaps so much of one that more need not be waited for. */
static COLD size_t no_packet(struct broker *b, struct conn *c, uint8_t first, enum err e,
                             size_t need)
{
    c->need = (uint32_t)need;
    if (e == ERR_AGAIN)
        return 0;
    return end(b, c, e == ERR_TOO_LARGE ? too_large(c, first) : REASON_LENGTH_FIELD);
}

/* The packet at the front. Returns its size when it is done with, else 0: then nothing behind it is
 * to be looked at now. */
static inline size_t one_packet(struct broker *b, struct conn *c, struct str in)
{
    enum conn_pause pause = pause_now(b, c);
    enum reason r = REASON_OK;
    struct frame f;
    size_t need;
    enum err e;

    if (UNLIKELY(pause))
        return pause_input(b, c, pause);
    if (UNLIKELY(c->state == CONN_NEW))
        r = check_stranger(c, in);
    if (UNLIKELY(r != REASON_OK))
        return end(b, c, r);
    e = frame_next(in, packet_max(b, c, (uint8_t)in.p[0]), &f, &need);
    if (UNLIKELY(e))
        return no_packet(b, c, (uint8_t)in.p[0], e, need);
    if (UNLIKELY(b->storage_paused) && waits_for_storage(b, &f))
        return pause_input(b, c, PAUSE_STORAGE);
    work_charge(&b->work, WORK_PACKET);
    r = handle(b, c, &f);
    pause = LIKELY(r == REASON_OK) ? unfinished(c) : PAUSE_NONE;
    if (UNLIKELY(pause))
        return pause_input(b, c, pause);
    b->stats.packets_received++;
    if (UNLIKELY(r != REASON_OK))
        return end(b, c, r);
    conn_heard(c, b->now.mono_ms);
    return f.whole.n;
}

size_t dispatch_input(struct broker *b, struct conn *c, struct str bytes)
{
    size_t at = 0;
    size_t n = SIZE_MAX;

    c->need = 0;
    while (n > 0 && at < bytes.n && LIKELY(c->state != CONN_CLOSING)) {
        n = one_packet(b, c, str_of(bytes.p + at, bytes.n - at));
        at += n;
    }
    return c->state == CONN_CLOSING ? bytes.n : at;
}
