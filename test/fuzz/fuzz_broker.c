/*
 * Bytes as several connections to a whole broker.
 *
 * The input is a list of commands, each a byte and its argument: open, close, bytes for a
 * connection (in pieces that depend on the input), a turn, time, durable records, a crash. The
 * first byte chooses the configuration. Passwords, where there are any, are checked between turns,
 * in any order, and their file changes now and then. Whatever they are: no crash, nothing kept, the
 * invariants hold, and with persistence a broker rebuilt from the records is the same as the one
 * that wrote them.
 */
#include "auth/realm.h"
#include "base/mem.h"
#include "base/rng.h"
#include "core/broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNS 6

struct frame_copy {
    char *p;
    size_t n;
    uint64_t position;
};

#define FRAME_HEAD 48
#define FETCHES 256
#define JOBS 3

struct world {
    struct conf conf;
    struct conf_listener listener;
    struct conf_listener *listeners[1];
    struct broker *broker;
    struct conn *conns[CONNS];
    struct now now;
    struct rng rng;
    bool persistent;
    unsigned ids;
    uint64_t turn; /* the last with records */
    struct frame_copy *frames;
    size_t frame_n;
    size_t frame_first; /* those before it have been cleaned away */
    uint64_t position;  /* of the next frame's records */
    struct fetch fetches[FETCHES];
    size_t fetch_n;
    struct realm realm;
    struct login_job jobs[JOBS];
    size_t job_n;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void make_id(void *ctx, char out[BROKER_ID_MAX])
{
    struct world *w = ctx;

    (void)snprintf(out, BROKER_ID_MAX, "made-%u", w->ids++);
}

static struct broker *new_broker(struct world *w)
{
    struct broker_setup setup = {
        .conf = &w->conf,
        .seed = 1,
        .persistent = w->persistent,
        .make_id = make_id,
        .make_id_ctx = w,
    };
    struct broker *b = broker_new(&setup);
    struct broker_lost lost;

    if (!b)
        abort();
    for (size_t i = w->frame_first; i < w->frame_n; i++) {
        const struct frame_copy *f = &w->frames[i];
        if (broker_apply(b, f->position, str_of(f->p, f->n)) != ERR_OK)
            abort();
    }
    if (broker_apply_end(b, w->turn, w->now.wall_s, &lost) != ERR_OK || lost.rows > 0)
        abort();
    broker_place(b, w->position);
    return b;
}

static void configure(struct world *w, uint8_t bits)
{
    w->listener = (struct conf_listener){
        .refs = 1,
        .port = 1883,
        .max_connections = -1,
        .max_qos = bits & 1 ? 1 : 2,
        .accept_versions = CONF_MQTT_31 | CONF_MQTT_311,
        .security = {.allow_anonymous = true, .allow_zero_length_clientid = true},
    };
    w->listeners[0] = &w->listener;
    w->conf = (struct conf){.listeners = w->listeners, .listener_count = 1};
    w->conf.global = (struct conf_global){
        .global_max_clients = -1,
        .global_max_connections = -1,
        .retain_available = true,
        .queue_qos0_messages = bits & 2,
        .max_inflight_messages = bits & 4 ? 1 : 20,
        .max_queued_messages = bits & 8 ? 3 : 0,
        .max_packet_size = bits & 16 ? 200 : 0,
        .persistence_memory_limit = bits & 64 ? 1000 : 0,
    };
    w->persistent = bits & 32;
}

/* --- passwords --- */

static struct pwfile *users(unsigned which)
{
    static const char *const texts[] = {"a:a\nb:b\n", "a:b\n", ""};
    static const struct log quiet = {0};
    struct pwfile *f;

    if (pwfile_parse(str_c(texts[which % 3]), "users", &quiet, &f) != ERR_OK)
        abort();
    return f;
}

static void begin_passwords(struct world *w, uint8_t bits)
{
    if (!(bits & 128))
        return;
    w->realm = (struct realm){.refs = 1, .passwords = users(0)};
    w->listener.realm = &w->realm;
    w->conf.global.login_failure_limit = 2;
    w->conf.global.login_failure_delay = 1;
}

static void change_passwords(struct world *w)
{
    if (!w->listener.realm)
        return;
    pwfile_unref(w->realm.passwords);
    w->realm.passwords = users(rng_below(&w->rng, 3));
    broker_rights_changed(w->broker);
}

static void answer(struct world *w, size_t i)
{
    struct login_job job = w->jobs[i];
    struct str password = str_of(job.password, job.password_len);

    w->jobs[i] = w->jobs[--w->job_n];
    broker_login_done(w->broker, &job, pwhash_matches(job.hash, password));
}

static void answer_all(struct world *w)
{
    while (w->job_n > 0)
        answer(w, 0);
}

static void check_passwords(struct world *w)
{
    while (w->job_n < JOBS && broker_take_login(w->broker, &w->jobs[w->job_n]))
        w->job_n++;
    if (w->job_n > 0 && rng_below(&w->rng, 2))
        answer(w, rng_below(&w->rng, (uint32_t)w->job_n));
    if (rng_below(&w->rng, 64) == 0)
        change_passwords(w);
}

/* --- connections --- */

static void end_conn(struct world *w, unsigned i, enum reason why)
{
    broker_closed(w->broker, w->conns[i], why, NULL);
    w->conns[i] = NULL;
}

static void open_conn(struct world *w, unsigned i)
{
    struct peer peer = {.ip = {i % 2 ? 127 : 10, 0, 0, 1}, /* only the others are slowed down */
                        .family = 4,
                        .listener = &w->listener,
                        .accept_ms = (uint32_t)w->now.mono_ms};

    if (!w->conns[i])
        w->conns[i] = broker_open(w->broker, &peer, (void *)&w->conns[i]);
}

static void give(struct world *w, unsigned i, const uint8_t *p, size_t n)
{
    open_conn(w, i);
    while (n > 0 && w->conns[i]) {
        struct span room = broker_room(w->broker, w->conns[i]);
        size_t part = 1 + rng_below(&w->rng, (uint32_t)n);
        if (room.n == 0)
            return;
        if (part > room.n)
            part = room.n;
        memcpy(room.p, p, part);
        broker_input(w->broker, w->conns[i], part);
        p += part;
        n -= part;
    }
}

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

/* What stands at a position, up to the end of its frame. */
static struct str journal_at(const struct world *w, uint64_t position)
{
    for (size_t i = w->frame_first; i < w->frame_n; i++) {
        const struct frame_copy *f = &w->frames[i];
        if (position >= f->position && position < f->position + f->n)
            return str_of(f->p + (position - f->position), f->n - (position - f->position));
    }
    return str_of(NULL, 0);
}

static void fetch(struct world *w)
{
    struct fetch f;

    for (size_t i = 0; i < w->fetch_n; i++) {
        struct str bytes = journal_at(w, w->fetches[i].position);
        if (bytes.n > w->fetches[i].length)
            bytes.n = w->fetches[i].length;
        if (rng_below(&w->rng, 8) == 0)
            bytes.n = 0;
        broker_fetched(w->broker, &w->fetches[i], bytes);
    }
    w->fetch_n = 0;
    while (broker_take_fetch(w->broker, &f)) {
        if (w->fetch_n == FETCHES || journal_at(w, f.position).n < f.least)
            abort();
        w->fetches[w->fetch_n++] = f;
    }
}

/* Write some of what waits; close what wants to be closed. */
static void write_conn(struct world *w, unsigned i)
{
    struct iovec iov[4];
    size_t total = 0;
    int n = broker_output(w->broker, w->conns[i], iov, 4);

    for (int j = 0; j < n; j++)
        total += iov[j].iov_len;
    size_t out = rng_below(&w->rng, 4) ? total : rng_below(&w->rng, (uint32_t)total + 1);
    if (out)
        broker_sent(w->broker, w->conns[i], out);
    enum wish wish = broker_wish(w->broker, w->conns[i]);
    if (wish == WISH_CLOSE || (wish == WISH_FLUSH_CLOSE && total == 0))
        end_conn(w, i, REASON_OK);
}

static void turn(struct world *w)
{
    (void)broker_work(w->broker);
    if (w->listener.realm)
        check_passwords(w);
    commit(w);
    fetch(w);
    while (broker_take_dirty(w->broker))
        continue;
    for (unsigned i = 0; i < CONNS; i++) {
        if (w->conns[i])
            write_conn(w, i);
    }
    broker_tick(w->broker, w->now);
}

/* The next line of a text, without its sequence number if it is of a flow. */
static struct str next_line(struct str *text)
{
    const char *end = text->n > 0 ? memchr(text->p, '\n', text->n) : NULL;
    size_t n = end ? (size_t)(end - text->p) + 1 : text->n;
    struct str line = str_of(text->p, n);
    const char *tail = str_has_prefix(line, STR("flow ")) ? memmem(line.p, n, " tail ", 6) : NULL;

    *text = str_of(text->p + n, text->n - n);
    return tail ? str_of(line.p, (size_t)(tail - line.p)) : line;
}

/* Of finished rows at the end of a queue cleaning leaves no trace. */
static bool is_same(struct str a, struct str b)
{
    while (a.n > 0 && b.n > 0 && str_eq(next_line(&a), next_line(&b)))
        continue;
    return a.n == 0 && b.n == 0;
}

static void compare(struct world *w)
{
    struct buf live = {0};
    struct buf again = {0};
    struct broker *b = new_broker(w);

    if (broker_dump(w->broker, &live) || broker_dump(b, &again) ||
        !is_same(buf_str(&live), buf_str(&again)))
        abort();
    buf_clear(&live);
    buf_clear(&again);
    broker_free(b);
}

/* Clean the older half of the journal away, in as many turns as it takes. */
static void clean(struct world *w)
{
    size_t end = w->frame_first + (w->frame_n - w->frame_first) / 2;

    if (!w->persistent)
        return;
    for (; w->frame_first < end; w->frame_first++) {
        struct frame_copy f = w->frames[w->frame_first];
        struct str left = str_of(f.p, f.n);
        while (left.n > 0) {
            if (broker_renew(w->broker, &f.position, &left) != ERR_OK)
                abort();
            turn(w);
        }
    }
    commit(w);
    compare(w);
}

static void crash(struct world *w)
{
    if (!w->persistent)
        return;
    turn(w);
    while (broker_work(w->broker) == 0)
        turn(w);
    turn(w);
    compare(w);
    w->fetch_n = 0;
    answer_all(w);
    broker_free(w->broker);
    memset(w->conns, 0, sizeof w->conns);
    w->broker = new_broker(w);
    broker_tick(w->broker, w->now);
}

/* Returns how many bytes of the argument were used. */
static size_t command(struct world *w, uint8_t what, const uint8_t *arg, size_t left)
{
    unsigned conn = what % CONNS;

    switch (what >> 5) {
    case 0:
        turn(w);
        return 0;
    case 1:
        if (w->conns[conn])
            end_conn(w, conn, what & 16 ? REASON_SOCKET : REASON_PEER_CLOSED);
        return 0;
    case 2:
        w->now.mono_ms += (uint64_t)(what & 31) * 700;
        turn(w);
        return 0;
    case 3:
        broker_durable(w->broker, w->turn);
        turn(w);
        return 0;
    case 4:
        if (what & 1)
            crash(w);
        else
            clean(w);
        return 0;
    default: { /* bytes */
        size_t n = left ? arg[0] : 0;
        if (n + 1 > left)
            n = left ? left - 1 : 0;
        if (left)
            give(w, conn, arg + 1, n);
        if (what & 16)
            turn(w);
        return left ? n + 1 : 0;
    }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world w;
    size_t before = mem_used();

    if (size == 0)
        return 0;
    w = (struct world){.now = {.mono_ms = 1000, .wall_s = 1700000000}, .position = FRAME_HEAD};
    configure(&w, data[0]);
    begin_passwords(&w, data[0]);
    rng_seed(&w.rng, data[0] * 1000003ull + size);
    w.broker = new_broker(&w);
    broker_tick(w.broker, w.now);
    for (size_t at = 1; at < size;) {
        uint8_t what = data[at++];
        at += command(&w, what, data + at, size - at);
    }
    if (broker_check(w.broker))
        abort();
    crash(&w);
    answer_all(&w);
    broker_free(w.broker);
    pwfile_unref(w.realm.passwords);
    if (mem_used() != before)
        abort();
    for (size_t i = 0; i < w.frame_n; i++)
        free(w.frames[i].p);
    free(w.frames);
    return 0;
}
