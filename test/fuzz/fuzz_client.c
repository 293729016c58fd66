/*
 * The client's engine as the other side of a hostile broker.
 *
 * The first byte is the window; then come commands, each a byte and its argument: bytes of the
 * broker's, its answers in good order, requests of the user's, writes of any length, time, losses,
 * calls from within an event, failing memory. Whatever they are: what the engine sends is MQTT and
 * begins with CONNECT, nothing follows DISCONNECT, no packet id is used twice at once, the window
 * holds, each message is told once, none is acknowledged before it is settled, and nothing is kept.
 */
#include "base/mem.h"
#include "client/engine.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIRE_MAX (256 * 1024)

struct client {
    struct engine *e;
    uint64_t now;
    uint32_t window;
    bool connected;             /* there is a connection */
    bool greeted, said_goodbye; /* CONNECT, DISCONNECT were seen on it */
    uint8_t wire[WIRE_MAX];     /* written and not looked at */
    size_t wire_n;
    bool waits[65536];   /* published at QoS 1 or 2, and not told yet */
    bool seen[65536];    /* … and seen on the wire */
    bool asked[65536];   /* ids of filters, on this connection, not answered */
    uint32_t inflight;   /* messages seen on the wire that are not acknowledged */
    uint64_t unfinished; /* accepted at QoS 1 or 2 and not told */
    bool due[65536];   /* an inbound message at QoS 1 with this id was settled on this connection */
    bool known[65536]; /* … at QoS 2, on any */
    uint16_t last_id;
    uint64_t losses;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert: this must hold in every build. */
static void check(bool holds, const char *text, int line)
{
    if (holds)
        return;
    (void)fprintf(stderr, "line %d: %s\n", line, text);
    abort();
}
#define must(expr) check((expr), #expr, __LINE__)

/* --- what the engine sends --- */

static void lost(struct client *c)
{
    engine_lost(c->e);
    must(engine_state(c->e) == ENGINE_IDLE);
    c->connected = c->greeted = c->said_goodbye = false;
    c->losses++;
    c->wire_n = 0;
    memset(c->due, 0, sizeof(c->due));
    memset(c->asked, 0, sizeof(c->asked));
}

static void see_publish(struct client *c, const struct frame *f)
{
    struct packet_publish p;

    must(decode_publish(f, &p) == REASON_OK);
    if (p.qos == QOS_0) {
        must(!p.dup);
        return;
    }
    must(!c->asked[p.id]);
    if (c->waits[p.id] && !c->seen[p.id]) { /* else the broker was too early */
        c->seen[p.id] = true;
        c->inflight++;
        must(c->window == 0 || c->inflight <= c->window);
    }
}

static void see_filters(struct client *c, const struct frame *f)
{
    struct packet_filters p;
    bool subscribe = frame_type(f) == PACKET_SUBSCRIBE;

    must((subscribe ? decode_subscribe(f, PROTOCOL_311, &p)
                    : decode_unsubscribe(f, PROTOCOL_311, &p)) == REASON_OK);
    must(!c->seen[p.id]);
}

static void see_ack(struct client *c, const struct frame *f)
{
    uint16_t id;

    must(decode_ack(f, PROTOCOL_311, &id) == REASON_OK);
    if (frame_type(f) == PACKET_PUBACK)
        must(c->due[id]);
    if (frame_type(f) == PACKET_PUBREC)
        must(c->known[id]);
}

static void see(struct client *c, const struct frame *f)
{
    struct packet_connect connect;

    must(!c->said_goodbye);
    must(c->greeted == (frame_type(f) != PACKET_CONNECT));
    switch (frame_type(f)) {
    case PACKET_CONNECT:
        must(decode_connect(f, &connect) == REASON_OK);
        c->greeted = true;
        break;
    case PACKET_PUBLISH:
        see_publish(c, f);
        break;
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
        see_filters(c, f);
        break;
    case PACKET_PINGREQ:
    case PACKET_DISCONNECT:
        must(decode_empty(f) == REASON_OK);
        c->said_goodbye = frame_type(f) == PACKET_DISCONNECT;
        break;
    default:
        must(frame_type(f) >= PACKET_PUBACK && frame_type(f) <= PACKET_PUBCOMP);
        see_ack(c, f);
    }
}

/* Write at most n bytes, and look at the packets that are whole. */
static void write_some(struct client *c, size_t n)
{
    struct iovec iov[2];
    size_t taken = 0;
    struct frame f;
    size_t need;

    int count = engine_iovec(c->e, iov, 2);
    must(count >= 0 && count <= 2 && (c->connected || count == 0));
    for (int i = 0; i < count && n > taken; i++) {
        size_t part = iov[i].iov_len < n - taken ? iov[i].iov_len : n - taken;
        must(c->wire_n + part <= WIRE_MAX);
        memcpy(c->wire + c->wire_n, iov[i].iov_base, part);
        c->wire_n += part;
        taken += part;
    }
    if (taken > 0)
        engine_written(c->e, taken, c->now);
    struct str in = str_of((const char *)c->wire, c->wire_n);
    while (frame_next(in, PACKET_MAX, &f, &need) == ERR_OK) {
        see(c, &f);
        in = str_of(in.p + f.whole.n, in.n - f.whole.n);
    }
    memmove(c->wire, in.p, in.n);
    c->wire_n = in.n;
    must(!c->said_goodbye || (c->wire_n == 0 && engine_iovec(c->e, iov, 2) == 0));
}

/* --- what the user does --- */

static void op_connect(struct client *c, uint8_t arg)
{
    const struct packet_connect p = {.client_id = STR("c"),
                                     .level = arg & 2 ? PROTOCOL_31 : PROTOCOL_311,
                                     .keepalive_s = arg & 4 ? 10 : 0,
                                     .clean_session = arg & 1};

    if (c->connected)
        lost(c);
    enum err e = engine_connect(c->e, &p, c->now);
    must(e == ERR_OK || (e == ERR_NOMEM && engine_state(c->e) == ENGINE_IDLE));
    c->connected = e == ERR_OK;
}

static void op_publish(struct client *c, uint8_t arg)
{
    static const char payload[256 * 16] = {'p'};
    const struct packet_publish p = {.topic = STR("t/u"),
                                     .payload =
                                         str_of(payload, (size_t)arg * (arg & 0x40 ? 16 : 1)),
                                     .qos = (enum qos)(arg % 3),
                                     .retain = arg & 8};
    uint16_t id = 0;

    enum err e = engine_publish(c->e, &p, &id);
    must(e == ERR_OK || e == ERR_NOMEM ||
         (e == ERR_CLOSED && engine_state(c->e) != ENGINE_CONNECTED));
    if (e != ERR_OK)
        return;
    must(id != 0);
    c->last_id = id;
    if (p.qos != QOS_0) {
        must(!c->waits[id]);
        c->waits[id] = true;
        c->unfinished++;
    }
}

static void op_filters(struct client *c, uint8_t arg)
{
    const struct str filters[] = {STR("a/+"), STR("#"), STR("b")};
    const enum qos qos[] = {QOS_2, QOS_0, QOS_1};
    size_t n = 1 + arg % 3;
    uint16_t id = 0;

    enum err e = arg & 4 ? engine_unsubscribe(c->e, filters, n, &id)
                         : engine_subscribe(c->e, filters, qos, n, &id);
    must(e == ERR_OK || e == ERR_NOMEM ||
         (e == ERR_CLOSED && engine_state(c->e) != ENGINE_CONNECTED));
    if (e != ERR_OK)
        return;
    must(id != 0 && !c->waits[id] && !c->asked[id]);
    c->asked[id] = true;
    c->last_id = id;
}

static void see_published(struct client *c, uint16_t id)
{
    if (!c->waits[id])
        return; /* of QoS 0 */
    c->waits[id] = false;
    c->unfinished--;
    c->inflight -= c->seen[id];
    c->seen[id] = false;
}

/* What a callback does, by the argument of the command. */
static void in_event(struct client *c, uint8_t arg)
{
    switch (arg >> 5) {
    case 1:
        op_publish(c, arg);
        break;
    case 2:
        must(engine_disconnect(c->e, c->now) != ERR_OK || engine_state(c->e) != ENGINE_CONNECTED);
        break;
    case 3:
        lost(c);
        break;
    case 4:
        op_connect(c, arg);
        break;
    case 5:
        op_filters(c, arg);
        break;
    default:
        break;
    }
}

static void op_events(struct client *c, uint8_t arg)
{
    struct engine_event ev;
    enum err e;

    while ((e = engine_next(c->e, &ev)) == ERR_OK) {
        const struct packet_publish *m = &ev.message;
        must(engine_state(c->e) == ENGINE_CONNECTED || ev.kind == ENGINE_CONNACK ||
             ev.kind == ENGINE_PUBLISHED);
        if (ev.kind == ENGINE_PUBLISHED)
            see_published(c, ev.id);
        if (ev.kind == ENGINE_SUBSCRIBED || ev.kind == ENGINE_UNSUBSCRIBED) {
            must(c->connected && c->asked[ev.id]);
            c->asked[ev.id] = false;
        }
        uint64_t before = c->losses;
        in_event(c, arg);
        if (ev.kind == ENGINE_MESSAGE) {
            must(m->topic.p[m->topic.n] == '\0' && m->payload.p[m->payload.n] == '\0');
            must(m->topic.n == strlen(m->topic.p));
            if (m->qos == QOS_2)
                c->known[m->id] = true;
            else if (before == c->losses)
                c->due[m->id] = true;
        }
        bool refused = ev.kind == ENGINE_CONNACK && ev.code != 0;
        if (engine_settle(c->e, &ev) != ERR_OK || refused) {
            lost(c);
            return;
        }
    }
    if (e != ERR_AGAIN) {
        must(e == ERR_MALFORMED || e == ERR_PROTOCOL || e == ERR_NOMEM);
        must(engine_why(c->e) != NULL);
        lost(c);
    }
    must(engine_unfinished(c->e) <= c->unfinished);
}

static void op_tick(struct client *c, uint8_t arg)
{
    c->now += (uint64_t)arg * 100;
    enum err e = engine_tick(c->e, c->now);
    if (e != ERR_OK)
        lost(c);
    else
        must(engine_deadline(c->e) > c->now);
}

/* --- what the broker does --- */

static void feed(struct client *c, const uint8_t *p, size_t n)
{
    while (c->connected && n > 0) {
        size_t room = 0;
        uint8_t *to = engine_room(c->e, &room);
        if (!to)
            return;
        must(room > 0);
        size_t part = room < n ? room : n;
        memcpy(to, p, part);
        engine_filled(c->e, part, c->now);
        p += part;
        n -= part;
    }
}

static void op_connack(struct client *c, uint8_t arg)
{
    const uint8_t bytes[] = {0x20, 2, arg & 1, arg >> 4};

    feed(c, bytes, sizeof(bytes));
}

static void op_ack(struct client *c, uint8_t arg)
{
    static const uint8_t types[] = {0x40, 0x50, 0x70, 0x62, 0x90, 0xB0, 0x62, 0x50};
    uint16_t id = (uint16_t)(c->last_id - (arg >> 3));
    const uint8_t bytes[] = {types[arg & 7], types[arg & 7] == 0x90 ? 3 : 2, (uint8_t)(id >> 8),
                             (uint8_t)id, 1};

    feed(c, bytes, types[arg & 7] == 0x90 ? 5 : 4);
}

static void op_deliver(struct client *c, uint8_t arg)
{
    uint8_t qos = arg % 3;
    uint8_t bytes[] = {(uint8_t)(0x30 | qos << 1 | (arg & 0x40 ? 8 : 0)),
                       6,
                       0,
                       1,
                       'm',
                       0,
                       (uint8_t)(1 + (arg >> 2 & 7)),
                       'x'};

    if (qos == 0)
        bytes[0] = 0x30;
    feed(c, bytes, sizeof(bytes));
}

static void op(struct client *c, uint8_t code, uint8_t arg)
{
    switch (code % 13) {
    case 1:
        op_connect(c, arg);
        break;
    case 2:
        op_connack(c, arg);
        break;
    case 3:
        op_publish(c, arg);
        break;
    case 4:
        op_filters(c, arg);
        break;
    case 5:
        write_some(c, arg & 0x80 ? SIZE_MAX : arg);
        break;
    case 6:
        op_events(c, arg);
        break;
    case 7:
        op_ack(c, arg);
        break;
    case 8:
        op_deliver(c, arg);
        break;
    case 9:
        lost(c);
        break;
    case 10:
        (void)!engine_disconnect(c->e, c->now);
        break;
    case 11:
        op_tick(c, arg);
        break;
    default:
        mem_fail_after(arg, 0);
    }
}

static void run(struct client *c, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i + 2 <= size; i += 2) {
        if (data[i] % 13 != 0) {
            op(c, data[i], data[i + 1]);
            continue;
        }
        size_t n = data[i + 1] < size - i - 2 ? data[i + 1] : size - i - 2;
        feed(c, data + i + 2, n);
        i += n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct client c;
    const struct log quiet = {0};
    size_t used = mem_used();

    if (size == 0)
        return 0;
    memset(&c, 0, sizeof(c));
    c.e = engine_new(&quiet);
    must(c.e != NULL);
    c.window = data[0] & 7;
    engine_set_window(c.e, c.window);
    run(&c, data + 1, size - 1);
    mem_fail_never();
    engine_free(c.e);
    must(mem_used() == used);
    return 0;
}
