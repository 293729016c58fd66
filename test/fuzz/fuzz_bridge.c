/*
 * Bytes of a hostile remote into a bridge's connection.
 *
 * The first byte chooses the section and the rest of the configuration; then come commands, each a
 * byte and its argument: bytes for the bridge, a turn, time, the end of the connection, a dial that
 * fails, letters of a local client, a reload, durable records, a crash. Whatever they are: no crash
 * of ours, nothing kept, the invariants hold, and with persistence a broker rebuilt from the
 * records is sound.
 */
#include "base/mem.h"
#include "base/rng.h"
#include "core/broker.h"
#include "mqtt/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_HEAD 48

struct frame_copy {
    char *p;
    size_t n;
    uint64_t position;
};

struct world {
    struct conf *conf;
    uint8_t bits;
    struct broker *broker;
    struct conn *bridge; /* NULL: not connected */
    struct conn *client;
    struct dial_order dial; /* conf NULL: none */
    struct now now;
    struct rng rng;
    bool persistent;
    unsigned ids;
    unsigned letters;
    unsigned reloads;
    uint64_t turn; /* the last with records */
    struct frame_copy *frames;
    size_t frame_n;
    uint64_t position;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* --- the configuration --- */

static const char *const topics[] = {
    "topic # both 2\n",
    "topic a/# both 1 l/ r/\ntopic # in 2 down/ \"\"\ntopic # out 0\n",
    "topic +/b both 2 x/ y/\ntopic \"\" in 1 one/local two/far\n",
    "topic # out 1 \"\" up/\ntopic c/# in 0 l/ far/\n",
};

static struct conf *configured(const struct world *w)
{
    static const struct log quiet = {0};
    struct conf_args args = {.file = "m.conf", .hostname = "h"};
    char text[1000];
    struct conf *c;

    (void)snprintf(text, sizeof text,
                   "listener 1883 127.0.0.1\nallow_anonymous true\nsys_interval 0\n"
                   "max_queued_messages %u\nmax_inflight_messages %u\nconnection b\naddress n\n%s"
                   "try_private %s\nnotifications %s\ncleansession %s\nround_robin %s\n"
                   "restart_timeout 1 2\nkeepalive_interval %u\n%s",
                   w->bits & 4 ? 3 : 0, w->bits & 8 ? 1 : 20, topics[w->bits & 3],
                   w->bits & 16 ? "false" : "true", w->bits & 32 ? "false" : "true",
                   w->bits & 64 ? "true" : "false", w->reloads & 1 ? "true" : "false",
                   10 + w->reloads / 2, w->reloads & 4 ? "topic more/# both 1\n" : "");
    if (conf_load_text(&args, str_c(text), &quiet, &c) != ERR_OK)
        abort();
    return c;
}

static void make_id(void *ctx, char out[BROKER_ID_MAX])
{
    struct world *w = ctx;

    (void)snprintf(out, BROKER_ID_MAX, "made-%u", w->ids++);
}

static struct broker *new_broker(struct world *w)
{
    struct broker_setup setup = {
        .conf = w->conf,
        .seed = 1,
        .persistent = w->persistent,
        .make_id = make_id,
        .make_id_ctx = w,
    };
    struct broker *b = broker_new(&setup);
    struct broker_lost lost;

    if (!b)
        abort();
    for (size_t i = 0; i < w->frame_n; i++) {
        const struct frame_copy *f = &w->frames[i];
        if (broker_apply(b, f->position, str_of(f->p, f->n)) != ERR_OK)
            abort();
    }
    if (broker_apply_end(b, w->turn, w->now.wall_s, &lost) != ERR_OK || lost.rows > 0)
        abort();
    broker_place(b, w->position);
    broker_tick(b, w->now);
    return b;
}

/* --- turns --- */

static void keep_records(struct world *w, struct str records)
{
    w->frames = realloc(w->frames, (w->frame_n + 1) * sizeof *w->frames);
    char *copy = malloc(records.n);
    if (!w->frames || !copy)
        abort();
    memcpy(copy, records.p, records.n);
    w->frames[w->frame_n++] = (struct frame_copy){copy, records.n, w->position};
    w->position += records.n + FRAME_HEAD;
}

static void commit(struct world *w)
{
    struct buf frame = {0};
    uint64_t turn;

    if (broker_take_records(w->broker, &turn, &frame)) {
        struct str all = buf_str(&frame);
        w->turn = turn;
        keep_records(w, str_of(all.p + BROKER_FRAME_ROOM, all.n - BROKER_FRAME_ROOM));
        broker_reuse(w->broker, &frame);
    }
    broker_place(w->broker, w->position);
}

static void write_conn(struct world *w, struct conn **c)
{
    struct iovec iov[4];
    size_t total = 0;
    int n = broker_output(w->broker, *c, iov, 4);

    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    size_t out = rng_below(&w->rng, 8) ? total : rng_below(&w->rng, (uint32_t)total + 1);
    if (out)
        broker_sent(w->broker, *c, out);
    enum wish wish = broker_wish(w->broker, *c);
    if (wish == WISH_CLOSE || (wish == WISH_FLUSH_CLOSE && total == 0)) {
        broker_closed(w->broker, *c, REASON_OK, NULL);
        *c = NULL;
    }
}

static void drop_dial(struct world *w)
{
    conf_bridge_unref(w->dial.conf);
    w->dial.conf = NULL;
}

/* One dial at a time; it comes through, or a command has made it fail. */
static void dials(struct world *w)
{
    struct peer peer = {.ip = {127, 0, 0, 1}, .family = 4, .port = 1883};

    if (w->dial.conf && !w->bridge) {
        if (w->dial.probe)
            broker_dial_probed(w->broker, w->dial.ticket);
        else
            w->bridge = broker_dialed(w->broker, w->dial.ticket, &peer, &w->bridge);
        drop_dial(w);
    }
    if (!w->dial.conf)
        (void)broker_take_dial(w->broker, &w->dial);
}

static void turn(struct world *w)
{
    struct conn *c;

    (void)broker_work(w->broker);
    dials(w);
    commit(w);
    while ((c = broker_take_dirty(w->broker)))
        write_conn(w, conn_link(c));
    if (w->bridge)
        write_conn(w, &w->bridge);
    broker_tick(w->broker, w->now);
}

/* --- what happens --- */

static void give(struct world *w, struct conn *c, const uint8_t *p, size_t n)
{
    while (n > 0) {
        struct span room = broker_room(w->broker, c);
        size_t part = 1 + rng_below(&w->rng, (uint32_t)n);
        if (room.n == 0)
            return;
        if (part > room.n)
            part = room.n;
        memcpy(room.p, p, part);
        broker_input(w->broker, c, part);
        p += part;
        n -= part;
    }
}

/* What a remote must say first to be believed. */
static void welcome(struct world *w, uint8_t code)
{
    uint8_t p[ENCODE_CONNACK_SIZE];

    for (unsigned i = 0; i < 4 && !w->bridge; i++) {
        w->now.mono_ms += 1000;
        broker_tick(w->broker, w->now);
        turn(w);
    }
    if (w->bridge)
        give(w, w->bridge, p, encode_connack(p, code & 1, (enum connack)(code >> 1)));
    turn(w);
}

static void open_client(struct world *w)
{
    static const uint8_t connect[] = {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T',
                                      4,    2,  0, 0, 0,   1,   'c', /* and everything */
                                      0x82, 6,  0, 1, 0,   1,   '#', 2};
    struct peer peer = {.ip = {127, 0, 0, 1},
                        .family = 4,
                        .listener = w->conf->listeners[0],
                        .accept_ms = (uint32_t)w->now.mono_ms};

    w->client = broker_open(w->broker, &peer, &w->client);
    if (w->client)
        give(w, w->client, connect, sizeof connect);
}

static void publish(struct world *w, uint8_t what)
{
    static const char *const names[] = {"a/x", "l/a/x", "x/y/b", "one/local"};
    char payload[32];
    uint8_t head[64];
    struct packet_publish p = {.topic = str_c(names[what & 3]), .retain = what & 16};

    if (!w->client)
        open_client(w);
    if (!w->client)
        return;
    p.qos = (enum qos)((what >> 2 & 3) % 3);
    p.id = p.qos ? (uint16_t)(1 + w->letters % 60000) : 0;
    (void)snprintf(payload, sizeof payload, "letter %u", w->letters++);
    p.payload = str_c(payload);
    give(w, w->client, head, encode_publish_head(head, &p));
    if (w->client)
        give(w, w->client, (const uint8_t *)payload, p.payload.n);
}

static void reload(struct world *w)
{
    w->reloads++;
    struct conf *fresh = configured(w);
    if (broker_prepare(w->broker, fresh) != ERR_OK)
        abort();
    broker_commit(w->broker);
    conf_free(w->conf);
    w->conf = fresh;
}

static void check(const struct world *w)
{
    const char *wrong = broker_check(w->broker);

    if (wrong) {
        (void)fprintf(stderr, "broker_check: %s\n", wrong);
        abort();
    }
}

static void end_broker(struct world *w)
{
    check(w);
    drop_dial(w);
    broker_free(w->broker);
    w->bridge = NULL;
    w->client = NULL;
}

static void crash(struct world *w)
{
    if (!w->persistent)
        return;
    turn(w);
    end_broker(w);
    w->broker = new_broker(w);
    check(w);
}

static void lose(struct world *w, uint8_t what)
{
    if (w->bridge) {
        broker_closed(w->broker, w->bridge, what & 1 ? REASON_SOCKET : REASON_PEER_CLOSED, NULL);
        w->bridge = NULL;
    } else if (w->dial.conf) {
        broker_dial_failed(w->broker, w->dial.ticket, "Connection refused");
        drop_dial(w);
    }
}

static void pass(struct world *w, uint64_t ms)
{
    w->now.mono_ms += ms;
    broker_tick(w->broker, w->now);
    turn(w);
}

/* Returns how many bytes of the argument were used. */
static size_t command(struct world *w, uint8_t what, const uint8_t *arg, size_t left)
{
    switch (what >> 5) {
    case 0:
        pass(w, (uint64_t)(what & 31) * 500);
        return 0;
    case 1:
        lose(w, what);
        return 0;
    case 2:
        publish(w, what);
        return 0;
    case 3:
        if ((what & 7) == 0)
            crash(w);
        else if ((what & 7) == 1)
            reload(w);
        else if (w->persistent)
            broker_durable(w->broker, w->turn);
        return 0;
    case 4:
        welcome(w, what & 16 ? what & 15 : what & 1);
        return 0;
    default: { /* bytes */
        size_t n = left ? arg[0] : 0;
        if (n + 1 > left)
            n = left ? left - 1 : 0;
        if (left && w->bridge)
            give(w, w->bridge, arg + 1, n);
        if (what & 16)
            turn(w);
        return left ? n + 1 : 0;
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w = {.now = {.mono_ms = 1000, .wall_s = 1700000000}, .position = FRAME_HEAD};
    size_t before = mem_used();

    if (size == 0)
        return 0;
    w.bits = data[0];
    w.persistent = data[0] & 128;
    rng_seed(&w.rng, data[0] * 1000003ull + size);
    w.conf = configured(&w);
    w.broker = new_broker(&w);
    for (size_t at = 1; at < size;) {
        uint8_t what = data[at++];
        at += command(&w, what, data + at, size - at);
    }
    crash(&w);
    end_broker(&w);
    conf_free(w.conf);
    if (mem_used() != before)
        abort();
    for (size_t i = 0; i < w.frame_n; i++)
        free(w.frames[i].p);
    free(w.frames);
    return 0;
}
