/*
 * Client engines against the real core, in memory: connections break at any byte, the broker dies
 * and is rebuilt from its records. What was published at QoS 1 arrives, at QoS 2 once, each in its
 * order; what was told to be published has been.
 *
 * Everything follows from a seed, which a failure prints.
 */
#include "base/rng.h"
#include "client/engine.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <string.h>

#define PARTIES 3
#define NEVER UINT64_MAX

struct party {
    struct engine *e;
    struct rig_client c;
    bool open;
    bool wants_loss;           /* in the middle of an event */
    bool subscribed;           /* SUBACK has come */
    char id[4];                /* "p0" … */
    uint64_t cut_out, cut_in;  /* the connection ends after so many bytes; NEVER */
    unsigned published[3];     /* numbers given to messages, by QoS */
    unsigned next[PARTIES][3]; /* the number of the next new message, by publisher and QoS */
};

struct world {
    struct rig r;
    struct rng rng;
    struct party p[PARTIES];
    uint64_t bytes_out, bytes_in; /* of the first peer */
    unsigned losses, restarts;
};

static uint64_t seed;

static void check(bool holds, const char *what, int line)
{
    if (!holds)
        fail_msg("seed %llu, line %d: %s", (unsigned long long)seed, line, what);
}
#define must(expr) check((expr), #expr, __LINE__)

/* --- connections --- */

static void party_connect(struct world *w, struct party *p)
{
    const struct packet_connect connect = {.client_id = str_c(p->id), .level = PROTOCOL_311};

    must(rig_open(&w->r, &p->c));
    must(engine_connect(p->e, &connect, w->r.now.mono_ms) == ERR_OK);
    p->open = true;
}

/* Both sides forget the connection; the broker may see it later than the client. */
static void party_lose(struct world *w, struct party *p)
{
    if (!p->open)
        return;
    if (p->c.conn && rng_below(&w->rng, 2)) {
        rig_hang_up(&p->c);
        rig_turn(&w->r);
    }
    rig_forget(&p->c);
    engine_lost(p->e);
    p->open = p->wants_loss = false;
    p->cut_in = p->cut_out = NEVER;
    w->losses++;
}

static void write_part(struct world *w, struct party *p, uint64_t most)
{
    struct iovec iov[8];
    uint64_t left = most < p->cut_out ? most : p->cut_out;
    size_t taken = 0;

    int n = engine_iovec(p->e, iov, 8);
    for (int i = 0; i < n && left > 0; i++) {
        size_t part = iov[i].iov_len < left ? iov[i].iov_len : (size_t)left;
        if (p->c.conn)
            rig_send(&p->c, iov[i].iov_base, part);
        taken += part;
        left -= part;
    }
    if (taken > 0)
        engine_written(p->e, taken, w->r.now.mono_ms);
    if (p == w->p)
        w->bytes_out += taken;
    if (p->cut_out != NEVER)
        p->cut_out -= taken;
}

static void read_part(struct world *w, struct party *p, uint64_t most)
{
    struct rig_bytes *in = &p->c.in;
    uint64_t left = in->n - in->at;

    left = left < most ? left : most;
    left = left < p->cut_in ? left : p->cut_in;
    if (p == w->p)
        w->bytes_in += left;
    if (p->cut_in != NEVER)
        p->cut_in -= left;
    while (left > 0) {
        size_t room;
        uint8_t *to = engine_room(p->e, &room);
        must(to && room > 0);
        size_t n = room < left ? room : (size_t)left;
        memcpy(to, in->p + in->at, n);
        engine_filled(p->e, n, w->r.now.mono_ms);
        in->at += n;
        left -= n;
    }
}

/* --- events --- */

static void see_message(struct party *p, const struct packet_publish *m)
{
    unsigned from, qos, number;

    must(sscanf(m->payload.p, "%u %u %u", &from, &qos, &number) == 3);
    must(from < PARTIES && qos < 3 && m->qos == qos);
    unsigned *next = &p->next[from][qos];
    switch (qos) {
    case QOS_0: /* may be lost */
        must(number >= *next);
        *next = number + 1;
        break;
    case QOS_1: /* may come again */
        must(number <= *next);
        *next += number == *next;
        break;
    default:
        must(number == *next);
        ++*next;
    }
}

static void take_events(struct world *w, struct party *p)
{
    struct engine_event ev;
    enum err e;

    while ((e = engine_next(p->e, &ev)) == ERR_OK) {
        if (ev.kind == ENGINE_MESSAGE)
            see_message(p, &ev.message);
        if (ev.kind == ENGINE_CONNACK)
            must(ev.code == 0);
        if (ev.kind == ENGINE_SUBSCRIBED)
            p->subscribed = true;
        if (p->wants_loss && ev.kind == ENGINE_MESSAGE) {
            party_lose(w, p);
            must(engine_settle(p->e, &ev) == ERR_OK);
            return;
        }
        must(engine_settle(p->e, &ev) == ERR_OK);
    }
    if (e != ERR_AGAIN)
        print_error("%s\n", engine_why(p->e));
    must(e == ERR_AGAIN);
}

static void party_step(struct world *w, struct party *p, uint64_t most)
{
    if (!p->open)
        return;
    write_part(w, p, most);
    if (p->cut_out == 0) {
        rig_turn(&w->r); /* what has been written arrives */
        party_lose(w, p);
        return;
    }
    read_part(w, p, most);
    take_events(w, p);
    if (p->open && (p->cut_in == 0 || (!p->c.conn && p->c.in.at == p->c.in.n)))
        party_lose(w, p);
}

/* --- the user --- */

static void party_publish(struct party *p, unsigned index, enum qos qos)
{
    char text[32];
    uint16_t id;

    (void)snprintf(text, sizeof(text), "%u %u %u", index, (unsigned)qos, p->published[qos]);
    const struct packet_publish m = {.topic = STR("t/x"), .payload = str_c(text), .qos = qos};
    enum err e = engine_publish(p->e, &m, &id);
    must(e == ERR_OK || (e == ERR_CLOSED && qos == QOS_0 && !p->open));
    p->published[qos] += e == ERR_OK;
}

static void party_subscribe(struct party *p)
{
    const struct str filter = STR("t/#");
    const enum qos qos = QOS_2;
    uint16_t id;

    must(engine_subscribe(p->e, &filter, &qos, 1, &id) == ERR_OK);
}

/* --- the world --- */

static void world_begin(struct world *w, uint64_t from)
{
    seed = from;
    memset(w, 0, sizeof(*w));
    rng_seed(&w->rng, seed);
    rig_setup(&w->r);
    w->r.conf.global.max_queued_messages = 0;
    w->r.conf.global.max_inflight_messages = rng_below(&w->rng, 2) ? 20 : 3;
    w->r.setup.persistent = true;
    rig_start(&w->r);
    for (unsigned i = 0; i < PARTIES; i++) {
        struct party *p = &w->p[i];
        p->e = engine_new(NULL);
        must(p->e != NULL);
        p->cut_in = p->cut_out = NEVER;
        (void)snprintf(p->id, sizeof(p->id), "p%u", i);
        engine_set_window(p->e, rng_below(&w->rng, 2) ? 20 : 1 + rng_below(&w->rng, 4));
    }
}

static bool is_done(const struct world *w)
{
    for (unsigned i = 0; i < PARTIES; i++) {
        const struct party *p = &w->p[i];
        if (!p->subscribed || engine_unfinished(p->e) > 0)
            return false;
        for (unsigned j = 0; j < PARTIES; j++)
            if (p->next[j][1] != w->p[j].published[1] || p->next[j][2] != w->p[j].published[2])
                return false;
    }
    return true;
}

/* No more trouble: all arrives. */
static void run_to_the_end(struct world *w)
{
    for (unsigned i = 0; i < 5000 && !is_done(w); i++) {
        for (unsigned j = 0; j < PARTIES; j++) {
            if (!w->p[j].open)
                party_connect(w, &w->p[j]);
            party_step(w, &w->p[j], NEVER);
        }
        rig_turn(&w->r);
    }
    must(is_done(w));
}

static void subscribe_all(struct world *w)
{
    for (unsigned i = 0; i < PARTIES; i++) {
        party_connect(w, &w->p[i]);
        party_subscribe(&w->p[i]);
    }
    run_to_the_end(w);
}

static void world_end(struct world *w)
{
    run_to_the_end(w);
    for (unsigned i = 0; i < 20; i++) { /* nothing comes behind the last */
        for (unsigned j = 0; j < PARTIES; j++)
            party_step(w, &w->p[j], NEVER);
        rig_turn(&w->r);
    }
    for (unsigned i = 0; i < PARTIES; i++) {
        must(engine_is_drained(w->p[i].e));
        rig_forget(&w->p[i].c);
        engine_free(w->p[i].e);
    }
    rig_end(&w->r);
}

/* --- trouble at random --- */

static void restart(struct world *w)
{
    rig_restart(&w->r);
    w->restarts++;
}

static void trouble(struct world *w, struct party *p)
{
    switch (rng_below(&w->rng, 8)) {
    case 0:
        party_lose(w, p);
        break;
    case 1:
        p->wants_loss = p->open;
        break;
    case 2:
    case 3:
        p->cut_out = 1 + rng_below(&w->rng, 60);
        break;
    case 4:
    case 5:
        p->cut_in = 1 + rng_below(&w->rng, 60);
        break;
    case 6:
        restart(w);
        break;
    default:
        rig_pass(&w->r, 1000);
    }
}

static void live(struct world *w)
{
    for (unsigned i = 0; i < 500; i++) {
        unsigned index = rng_below(&w->rng, PARTIES);
        struct party *p = &w->p[index];
        uint32_t what = rng_below(&w->rng, 100);
        if (!p->open) {
            if (what < 50)
                party_connect(w, p);
        } else if (what >= 94) {
            trouble(w, p);
        }
        if (what < 40 && engine_unfinished(p->e) < 30)
            party_publish(p, index, (enum qos)(what % 3));
        party_step(w, p, what % 2 ? NEVER : 1 + rng_below(&w->rng, 30));
        if (what % 4 == 0)
            rig_turn(&w->r);
    }
}

static void random_trouble_loses_nothing(void **state)
{
    static struct world w;
    unsigned losses = 0, restarts = 0;

    (void)state;
    for (uint64_t s = 1; s <= 600; s++) {
        world_begin(&w, s);
        subscribe_all(&w);
        live(&w);
        world_end(&w);
        losses += w.losses;
        restarts += w.restarts;
    }
    assert_true(losses > 500 && restarts > 50); /* there was trouble indeed */
}

/* --- one loss, at each byte --- */

/* Each publishes at all QoS; the first one's connection ends at some byte. */
static void one_loss(struct world *w, uint64_t cut_out, uint64_t cut_in)
{
    world_begin(w, 7);
    subscribe_all(w);
    w->bytes_in = w->bytes_out = 0;
    w->p[0].cut_out = cut_out;
    w->p[0].cut_in = cut_in;
    for (unsigned i = 0; i < 12; i++)
        party_publish(&w->p[i % PARTIES], i % PARTIES, (enum qos)(i / PARTIES % 3));
    world_end(w);
    if (cut_out < NEVER || cut_in < NEVER)
        must(w->losses == 1);
}

static void a_loss_at_any_byte_loses_nothing(void **state)
{
    static struct world w;

    (void)state;
    one_loss(&w, NEVER, NEVER);
    uint64_t out = w.bytes_out, in = w.bytes_in;
    assert_true(out > 50 && in > 100);
    for (uint64_t at = 1; at <= out; at++)
        one_loss(&w, at, NEVER);
    for (uint64_t at = 1; at <= in; at++)
        one_loss(&w, NEVER, at);
}

/* The broker dies after any of its turns. */
static void a_restart_at_any_turn_loses_nothing(void **state)
{
    static struct world w;

    (void)state;
    for (unsigned at = 0; at < 40; at++) {
        world_begin(&w, 11);
        subscribe_all(&w);
        for (unsigned i = 0; i < 12; i++)
            party_publish(&w.p[i % PARTIES], i % PARTIES, (enum qos)(i / PARTIES % 3));
        for (unsigned i = 0; i < at; i++) {
            party_step(&w, &w.p[i % PARTIES], NEVER);
            rig_turn(&w.r);
        }
        restart(&w);
        world_end(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(random_trouble_loses_nothing),
        UNIT_TEST(a_loss_at_any_byte_loses_nothing),
        UNIT_TEST(a_restart_at_any_turn_loses_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
