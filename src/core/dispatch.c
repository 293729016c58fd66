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

static enum reason handle(struct broker *b, struct conn *c, const struct frame *f)
{
    enum packet_type type = frame_type(f);
    bool bridge = c->role == CONN_BRIDGE;
    packet_handler *h;

    if (type == 0 || type > PACKET_DISCONNECT)
        return REASON_PACKET_TYPE;
    h = UNLIKELY(bridge) ? bridges_handler(type) : handlers[type];
    if (!h)
        return bridge ? REASON_NOT_FOR_CLIENT : REASON_NOT_FOR_SERVER;
    return h(b, c, f);
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
    if (c->state != CONN_NEW || in.p[0] == PACKET_CONNECT << 4)
        return REASON_OK;
    if (c->role == CONN_BRIDGE)
        return in.p[0] == PACKET_CONNACK << 4 ? REASON_OK : REASON_NOT_CONNACK;
    for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
        if (str_has_prefix(in, foreign[i].bytes))
            return foreign[i].reason;
    }
    return (uint8_t)in.p[0] >> 4 == PACKET_CONNECT ? REASON_FLAGS : REASON_NOT_CONNECT;
}

/* Packets with nothing but an id, or nothing at all: what announces more is refused before it
 * comes. */
static bool is_short(enum packet_type type)
{
    return type == PACKET_CONNACK || (type >= PACKET_PUBACK && type <= PACKET_PUBCOMP) ||
           type >= PACKET_PINGREQ;
}

static size_t packet_max(const struct broker *b, const struct conn *c, uint8_t first)
{
    if (c->state == CONN_NEW && c->role == CONN_CLIENT)
        return CONNECT_PACKET_MAX;
    if (is_short((enum packet_type)(first >> 4)))
        return SHORT_PACKET_MAX;
    return b->conf->global.max_packet_size > 0 ? b->conf->global.max_packet_size : PACKET_MAX;
}

static enum reason too_large(const struct conn *c, uint8_t first)
{
    if (c->state == CONN_NEW && c->role == CONN_CLIENT)
        return REASON_CONNECT_TOO_LARGE;
    return is_short((enum packet_type)(first >> 4)) ? REASON_SURPLUS : REASON_PACKET_TOO_LARGE;
}

/* The next packet: REASON_OK with *whole, or without it when not all of it is here. */
static enum reason next_packet(const struct broker *b, struct conn *c, struct str in,
                               struct frame *f, bool *whole)
{
    size_t need = 0;
    enum reason r = check_stranger(c, in);
    enum err e;

    if (r != REASON_OK)
        return r;
    e = frame_next(in, packet_max(b, c, (uint8_t)in.p[0]), f, &need);
    c->need = e ? (uint32_t)need : 0;
    *whole = !e;
    if (e == ERR_TOO_LARGE)
        return too_large(c, (uint8_t)in.p[0]);
    return e == ERR_MALFORMED ? REASON_LENGTH_FIELD : REASON_OK;
}

/* Must this packet wait? The journal has no room for what it would store. At QoS 0 that is nothing,
 * unless such messages may be queued, or delivered at another QoS. */
static bool waits_for_storage(const struct broker *b, const struct frame *f)
{
    return b->storage_paused && frame_type(f) == PACKET_PUBLISH &&
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

static void pause_input(struct broker *b, struct conn *c, enum conn_pause why)
{
    if (why == PAUSE_BUDGET) {
        conn_want_input(b, c);
        return;
    }
    c->pause = why & 7U;
    outbox_mark(&b->hub, &c->out); /* its wish has changed */
}

size_t dispatch_input(struct broker *b, struct conn *c, struct str bytes)
{
    size_t at = 0;

    c->need = 0;
    while (c->state != CONN_CLOSING && at < bytes.n) {
        struct frame f;
        bool whole = false;
        enum conn_pause pause = pause_now(b, c);
        enum reason r = REASON_OK;
        if (!pause)
            r = next_packet(b, c, str_of(bytes.p + at, bytes.n - at), &f, &whole);
        if (whole && waits_for_storage(b, &f))
            pause = PAUSE_STORAGE;
        if (whole && !pause) {
            work_charge(&b->work, WORK_PACKET);
            r = handle(b, c, &f);
            pause = r == REASON_OK ? unfinished(c) : PAUSE_NONE;
            b->stats.packets_received += pause == PAUSE_NONE;
        }
        if (r != REASON_OK)
            conn_end(b, c, r, NULL);
        else if (pause)
            pause_input(b, c, pause);
        if (r != REASON_OK || pause || !whole)
            break;
        c->last_in_ms = b->now.mono_ms;
        at += f.whole.n;
    }
    return c->state == CONN_CLOSING ? bytes.n : at;
}
