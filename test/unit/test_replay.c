/*
 * What survives a crash: the state from its records is the state that was, what must wait for them
 * waits, and bytes that are no records of ours do no harm.
 */
#include "core/replay.h"

#include "base/rng.h"
#include "core/record.h"
#include "mqtt/decode.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct str journal(const struct rig *r)
{
    return str_of((const char *)r->journal.p, r->journal.n);
}

/* --- state = replay(records) --- */

static void each_step_of_a_session_is_rebuilt(void **state)
{
    struct rig r;
    struct rig_client c;
    struct rig_client p;

    (void)state;
    rig_begin(&r, true);
    rig_check_replay(&r);
    rig_connect(&r, &p, "publisher", false);
    rig_connect(&r, &c, "client", false);
    rig_check_replay(&r);
    rig_subscribe(&c, "a/+", QOS_2);
    rig_subscribe(&c, "$share/g/#", QOS_1);
    rig_subscribe(&c, "b", QOS_0);
    rig_subscribe(&c, "b", QOS_1);
    rig_check_replay(&r);
    rig_unsubscribe(&c, "b");
    rig_unsubscribe(&c, "$share/g/#");
    rig_check_replay(&r);
    rig_publish(&p, "a/1", "one", QOS_1, 1);
    rig_publish(&p, "a/2", "two", QOS_2, 2);
    rig_settle(&r);
    rig_check_replay(&r);
    uint16_t one = rig_expect_publish(&c, "a/1", "one", QOS_1).id;
    uint16_t two = rig_expect_publish(&c, "a/2", "two", QOS_2).id;
    rig_send_ack(&c, PACKET_PUBREC, two);
    rig_settle(&r);
    rig_check_replay(&r);
    rig_send_ack(&c, PACKET_PUBACK, one);
    rig_settle(&r);
    rig_check_replay(&r);
    rig_send_ack(&c, PACKET_PUBCOMP, two);
    rig_send_ack(&p, PACKET_PUBREL, 2);
    rig_settle(&r);
    rig_check_replay(&r);
    rig_retain(&p, "r", "first", QOS_0, 0);
    rig_retain(&p, "r", "second", QOS_1, 3);
    rig_retain(&p, "s", "third", QOS_2, 4);
    rig_settle(&r);
    rig_check_replay(&r);
    rig_retain(&p, "r", "", QOS_0, 0);
    rig_settle(&r);
    rig_check_replay(&r);
    rig_forget(&c);
    rig_settle(&r);
    rig_check_replay(&r);
    rig_connect(&r, &c, "client", true); /* ends the former session */
    rig_check_replay(&r);
    rig_forget(&c);
    rig_forget(&p);
    rig_settle(&r);
    rig_check_replay(&r);
    rig_end(&r);
}

static void a_clean_session_is_not_recorded(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    rig_begin(&r, true);
    rig_connect(&r, &c, "client", true);
    rig_subscribe(&c, "#", QOS_2);
    rig_publish(&c, "t", "x", QOS_2, 1);
    rig_settle(&r);
    rig_send_ack(&c, PACKET_PUBREC, 1);
    rig_send_ack(&c, PACKET_PUBREL, 1);
    rig_settle(&r);
    rig_forget(&c);
    rig_settle(&r);
    assert_int_equal(r.journal.n, 0);
    rig_end(&r);
}

/* --- a life with many crashes --- */

#define CLIENTS 5

struct life {
    struct rig r;
    struct rng rng;
    struct rig_client c[CLIENTS];
    bool there[CLIENTS];
    uint16_t id;
};

static void random_topic(struct life *l, char out[16], bool filter)
{
    static const char *const levels[] = {"a", "b", "+", "#"};
    uint32_t kinds = filter ? 4 : 2;
    const char *first = levels[rng_below(&l->rng, kinds)];

    if (first[0] == '#')
        (void)snprintf(out, 16, "#");
    else
        (void)snprintf(out, 16, "%s%s/%s", filter && rng_below(&l->rng, 5) == 0 ? "$share/g/" : "",
                       first, levels[rng_below(&l->rng, kinds)]);
}

static void random_publish(struct life *l, struct rig_client *c)
{
    enum qos qos = (enum qos)rng_below(&l->rng, 3);
    char topic[16];

    random_topic(l, topic, false);
    l->id = (uint16_t)(l->id % 30 + 1);
    rig_send_publish(
        c, &(struct packet_publish){.topic = str_c(topic),
                                    .payload = rng_below(&l->rng, 4) ? STR("payload") : STR(""),
                                    .qos = qos,
                                    .id = qos ? l->id : 0,
                                    .retain = rng_below(&l->rng, 3) == 0});
}

/* Answer some of what it got, so that handshakes stand at every stage. */
static void random_answers(struct life *l, struct rig_client *c)
{
    struct frame f;

    while (rig_next(c, &f)) {
        uint16_t id = rig_id(&f);
        struct packet_publish p;
        if (rng_below(&l->rng, 4) == 0)
            continue;
        if (frame_type(&f) == PACKET_PUBREC)
            rig_send_ack(c, PACKET_PUBREL, id);
        if (frame_type(&f) == PACKET_PUBREL)
            rig_send_ack(c, PACKET_PUBCOMP, id);
        if (frame_type(&f) != PACKET_PUBLISH)
            continue;
        assert_int_equal(decode_publish(&f, &p), REASON_OK);
        if (p.qos)
            rig_send_ack(c, p.qos == QOS_1 ? PACKET_PUBACK : PACKET_PUBREC, p.id);
    }
}

static void random_connect(struct life *l, unsigned i)
{
    char id[16];

    (void)snprintf(id, sizeof(id), "client-%u", i);
    assert_true(rig_open(&l->r, &l->c[i]));
    l->there[i] = true;
    rig_send_connect(&l->c[i], &(struct packet_connect){.client_id = str_c(id),
                                                        .level = PROTOCOL_311,
                                                        .clean_session = rng_below(&l->rng, 8) == 0,
                                                        .has_will = rng_below(&l->rng, 2),
                                                        .will_retain = rng_below(&l->rng, 2),
                                                        .will_qos = (enum qos)rng_below(&l->rng, 3),
                                                        .will_topic = STR("a/b"),
                                                        .will_payload = STR("will")});
}

static void random_step(struct life *l)
{
    unsigned i = rng_below(&l->rng, CLIENTS);
    struct rig_client *c = &l->c[i];
    char filter[16];

    if (!c->conn) {
        if (l->there[i])
            rig_forget(c);
        random_connect(l, i);
        return;
    }
    random_topic(l, filter, true);
    switch (rng_below(&l->rng, 16)) {
    case 0:
        rig_hang_up(c);
        break;
    case 1:
        rig_send_empty(c, PACKET_DISCONNECT);
        break;
    case 2:
    case 3:
        rig_send_subscribe(c, 100, filter, (enum qos)rng_below(&l->rng, 3));
        break;
    case 4:
        rig_send_unsubscribe(c, 101, filter);
        break;
    case 5:
    case 6:
    case 7:
        random_answers(l, c);
        break;
    default:
        random_publish(l, c);
        break;
    }
}

static void live(unsigned seed, unsigned steps, bool crashes)
{
    static struct life l;

    memset(&l, 0, sizeof(l));
    rng_seed(&l.rng, seed);
    rig_setup(&l.r);
    l.r.setup.persistent = true;
    l.r.conf.global.max_inflight_messages = 4;
    l.r.conf.global.max_queued_messages = 10;
    l.r.conf.global.queue_qos0_messages = seed % 2;
    rig_start(&l.r);
    for (unsigned step = 0; step < steps; step++) {
        random_step(&l);
        if (rng_below(&l.rng, 3) == 0)
            rig_turn(&l.r);
        if (step % 20 == 19) {
            rig_turn(&l.r); /* what is not in a frame yet is not rebuilt */
            rig_check(&l.r);
            rig_check_replay(&l.r);
        }
        if (crashes && step % 50 == 49) {
            char *before = rig_dump(&l.r);
            rig_restart(&l.r);
            char *after = rig_dump(&l.r);
            if (strcmp(before, after) != 0)
                fail_msg("before the crash:\n%s\nafter it:\n%s", before, after);
            free(before);
            free(after);
        }
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        if (l.there[i])
            rig_forget(&l.c[i]);
    rig_settle(&l.r);
    rig_end(&l.r);
}

static void a_random_life_is_rebuilt_at_any_time(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 12; seed++)
        live(seed, 500, false);
}

static void a_life_goes_on_after_crashes(void **state)
{
    (void)state;
    for (unsigned seed = 20; seed <= 32; seed++)
        live(seed, 500, true);
}

/* A connection may end while the server writes, when this turn's records have been taken. */
static void what_ends_while_writing_is_recorded_too(void **state)
{
    struct rig r;
    struct rig_client c;
    uint64_t turn;
    struct str records;

    (void)state;
    rig_begin(&r, true);
    assert_true(rig_open(&r, &c));
    rig_send_connect(&c, &(struct packet_connect){.client_id = STR("id"),
                                                  .level = PROTOCOL_311,
                                                  .has_will = true,
                                                  .will_retain = true,
                                                  .will_topic = STR("will"),
                                                  .will_payload = STR("gone")});
    rig_settle(&r);
    rig_expect_connack(&c, false, CONNACK_ACCEPTED);
    rig_subscribe(&c, "t", QOS_0);
    r.now.mono_ms++;
    broker_tick(r.b, r.now);
    (void)broker_work(r.b);
    assert_false(broker_take_records(r.b, &turn, &records));
    rig_close(&c);
    rig_settle(&r);
    assert_int_equal(broker_stats(r.b)->retained, 1);
    rig_check_replay(&r);
    rig_forget(&c);
    rig_end(&r);
}

static bool journal_has(const struct rig *r, enum record_type type)
{
    struct str in = journal(r);
    struct record rec;
    bool has = false;

    while (in.n > 0) {
        assert_ok(record_read(&in, &rec));
        has |= rec.type == type;
    }
    return has;
}

/* The same when the turn had records, which are stored already: they are not taken again. */
static void what_ends_behind_a_frame_is_in_the_next(void **state)
{
    struct rig r;
    struct rig_client c;
    struct rig_client other;
    uint64_t turn;
    struct str records;

    (void)state;
    rig_begin(&r, true);
    rig_connect(&r, &other, "other", false);
    assert_true(rig_open(&r, &c));
    rig_send_connect(&c, &(struct packet_connect){.client_id = STR("id"),
                                                  .level = PROTOCOL_311,
                                                  .clean_session = true,
                                                  .has_will = true,
                                                  .will_retain = true,
                                                  .will_topic = STR("will"),
                                                  .will_payload = STR("gone")});
    rig_settle(&r);
    r.now.mono_ms++;
    broker_tick(r.b, r.now);
    rig_close(&other); /* recorded in this turn … */
    assert_true(broker_take_records(r.b, &turn, &records));
    broker_durable(r.b, turn);
    rig_close(&c); /* … and this behind it */
    r.journal.n = r.journal.at;
    rig_turn(&r);
    assert_true(journal_has(&r, RECORD_RETAIN));
    assert_false(journal_has(&r, RECORD_CLIENT));
    rig_forget(&c);
    rig_forget(&other);
    rig_end(&r);
}

/* A feed that a crash has cut off begins again; one that was finished does not. */
static void a_feed_begins_again_after_a_crash(void **state)
{
    struct rig r;
    struct rig_client c;
    struct rig_client p;
    char topic[16];

    (void)state;
    rig_begin(&r, true);
    rig_connect(&r, &p, "publisher", true);
    for (unsigned i = 0; i < 50; i++) {
        (void)snprintf(topic, sizeof(topic), "r/%u", i);
        rig_retain(&p, topic, "x", QOS_1, (uint16_t)(i + 1));
    }
    rig_settle(&r);
    rig_connect(&r, &c, "client", false);
    rig_send_subscribe(&c, 1, "r/#", QOS_1);
    rig_settle(&r);
    assert_in_range(rig_drain(&c), 20, 21); /* the window */
    rig_check_replay(&r);
    rig_restart(&r);
    rig_forget(&c);
    rig_forget(&p);
    size_t fresh = 0;
    assert_true(rig_connect(&r, &c, "client", false));
    for (unsigned i = 0; i < 40; i++) {
        struct frame f;
        while (rig_next(&c, &f)) {
            struct packet_publish got;
            assert_int_equal(decode_publish(&f, &got), REASON_OK);
            fresh += !got.dup;
            rig_send_ack(&c, PACKET_PUBACK, got.id);
        }
        rig_settle(&r);
    }
    assert_in_range(fresh, 30, 51);
    rig_check_replay(&r);
    rig_restart(&r);
    rig_forget(&c);
    assert_true(rig_connect(&r, &c, "client", false));
    assert_int_equal(rig_drain(&c), 0);
    rig_forget(&c);
    rig_settle(&r);
    rig_end(&r);
}

/* --- what may leave, and when --- */

struct held {
    struct rig r;
    struct rig_client c;
    struct rig_client p;
};

static void held_begin(struct held *h)
{
    memset(h, 0, sizeof(*h));
    rig_begin(&h->r, true);
    rig_connect(&h->r, &h->p, "publisher", false);
    rig_connect(&h->r, &h->c, "client", false);
    rig_subscribe(&h->c, "t/#", QOS_2);
    h->r.hold = true;
}

static void held_end(struct held *h)
{
    rig_forget(&h->c);
    rig_forget(&h->p);
    h->r.hold = false;
    rig_settle(&h->r);
    rig_end(&h->r);
}

static void store(struct held *h)
{
    broker_durable(h->r.b, h->r.recorded);
    rig_settle(&h->r);
}

static void answers_wait_until_they_are_stored(void **state)
{
    static const enum packet_type answers[] = {PACKET_SUBACK, PACKET_UNSUBACK, PACKET_PUBACK,
                                               PACKET_PUBREC, PACKET_PUBCOMP};
    struct held h;

    (void)state;
    held_begin(&h);
    rig_send_subscribe(&h.p, 1, "x", QOS_2);
    rig_send_unsubscribe(&h.p, 2, "x");
    rig_publish(&h.p, "nobody", "x", QOS_1, 3);
    rig_publish(&h.p, "nobody", "x", QOS_2, 4);
    rig_send_ack(&h.p, PACKET_PUBREL, 4);
    rig_settle(&h.r);
    rig_expect_nothing(&h.p);
    rig_send_empty(&h.p, PACKET_PINGREQ);
    rig_settle(&h.r);
    assert_int_equal(rig_expect(&h.p, PACKET_PINGRESP), 0); /* alone passes by */
    rig_expect_nothing(&h.p);
    store(&h);
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
        (void)rig_expect(&h.p, answers[i]);
    rig_expect_nothing(&h.p);
    held_end(&h);
}

static void a_connack_waits_until_it_is_stored(void **state)
{
    struct held h;
    struct rig_client other;

    (void)state;
    held_begin(&h);
    assert_true(rig_open(&h.r, &other));
    rig_send_connect(&other,
                     &(struct packet_connect){.client_id = STR("new"), .level = PROTOCOL_311});
    rig_settle(&h.r);
    rig_expect_nothing(&other);
    store(&h);
    rig_expect_connack(&other, false, CONNACK_ACCEPTED);
    rig_forget(&other);
    held_end(&h);
}

static void qos2_deliveries_wait_and_others_do_not(void **state)
{
    struct held h;
    struct rig_client zero;

    (void)state;
    held_begin(&h);
    h.r.hold = false;
    rig_connect(&h.r, &zero, "zero", true);
    rig_subscribe(&zero, "t/#", QOS_0);
    h.r.hold = true;
    rig_publish(&h.p, "t/0", "zero", QOS_0, 0);
    rig_publish(&h.p, "t/1", "one", QOS_1, 1);
    rig_settle(&h.r);
    rig_expect_publish(&h.c, "t/0", "zero", QOS_0);
    uint16_t one = rig_expect_publish(&h.c, "t/1", "one", QOS_1).id;
    rig_expect_publish(&zero, "t/0", "zero", QOS_0);
    rig_expect_publish(&zero, "t/1", "one", QOS_0);
    rig_expect_nothing(&h.p); /* the PUBACK waits */
    rig_publish(&h.p, "t/2", "two", QOS_2, 2);
    rig_settle(&h.r);
    rig_expect_nothing(&h.c);
    rig_expect_nothing(&zero); /* at QoS 0 too: it derives from QoS 2 */
    rig_publish(&h.p, "t/3", "behind", QOS_0, 0);
    rig_settle(&h.r);
    rig_expect_nothing(&h.c); /* the order stays */
    store(&h);
    assert_int_equal(rig_expect(&h.p, PACKET_PUBACK), 1);
    assert_int_equal(rig_expect(&h.p, PACKET_PUBREC), 2);
    uint16_t two = rig_expect_publish(&h.c, "t/2", "two", QOS_2).id;
    rig_expect_publish(&h.c, "t/3", "behind", QOS_0);
    rig_expect_publish(&zero, "t/2", "two", QOS_0);
    rig_send_ack(&h.c, PACKET_PUBACK, one);
    rig_send_ack(&h.c, PACKET_PUBREC, two);
    rig_settle(&h.r);
    rig_expect_nothing(&h.c); /* PUBREL waits */
    store(&h);
    assert_int_equal(rig_expect(&h.c, PACKET_PUBREL), two);
    rig_forget(&zero);
    held_end(&h);
}

/* Turn by turn: what is durable leaves, and nothing that came later. */
static void each_turn_waits_for_itself(void **state)
{
    struct held h;
    uint64_t turns[5];

    (void)state;
    held_begin(&h);
    for (uint16_t i = 0; i < 5; i++) {
        rig_publish(&h.p, "t/x", "x", QOS_1, (uint16_t)(i + 1));
        rig_settle(&h.r);
        turns[i] = h.r.recorded;
        assert_true(i == 0 || turns[i] > turns[i - 1]);
    }
    rig_expect_nothing(&h.p);
    broker_durable(h.r.b, turns[0] - 1);
    rig_settle(&h.r);
    rig_expect_nothing(&h.p);
    broker_durable(h.r.b, turns[1]);
    rig_settle(&h.r);
    assert_int_equal(rig_expect(&h.p, PACKET_PUBACK), 1);
    assert_int_equal(rig_expect(&h.p, PACKET_PUBACK), 2);
    rig_expect_nothing(&h.p);
    broker_durable(h.r.b, turns[3]);
    rig_settle(&h.r);
    assert_int_equal(rig_expect(&h.p, PACKET_PUBACK), 3);
    assert_int_equal(rig_expect(&h.p, PACKET_PUBACK), 4);
    rig_expect_nothing(&h.p);
    broker_durable(h.r.b, turns[2]); /* late news change nothing */
    broker_durable(h.r.b, turns[4]);
    rig_settle(&h.r);
    assert_int_equal(rig_expect(&h.p, PACKET_PUBACK), 5);
    held_end(&h);
}

/* Answers of a turn that recorded nothing wait only for the turns before it. */
static void nothing_waits_for_a_turn_without_records(void **state)
{
    struct held h;
    struct rig_client clean;

    (void)state;
    held_begin(&h);
    assert_true(rig_open(&h.r, &clean));
    rig_send_connect(&clean, &(struct packet_connect){.client_id = STR("clean"),
                                                      .level = PROTOCOL_311,
                                                      .clean_session = true});
    rig_settle(&h.r);
    rig_expect_connack(&clean, false, CONNACK_ACCEPTED);
    rig_send_subscribe(&clean, 1, "s", QOS_2);
    rig_publish(&clean, "s", "x", QOS_2, 2);
    rig_settle(&h.r);
    assert_int_equal(rig_expect(&clean, PACKET_SUBACK), 0);
    rig_expect_publish(&clean, "s", "x", QOS_2);
    assert_int_equal(rig_expect(&clean, PACKET_PUBREC), 2);
    rig_publish(&h.p, "nobody", "x", QOS_2, 1); /* recorded, and not stored yet */
    rig_settle(&h.r);
    rig_publish(&clean, "s", "y", QOS_1, 3);
    rig_settle(&h.r);
    rig_expect_publish(&clean, "s", "y", QOS_1);
    rig_expect_nothing(&clean);
    store(&h);
    assert_int_equal(rig_expect(&clean, PACKET_PUBACK), 3);
    rig_forget(&clean);
    held_end(&h);
}

/* Whoever takes over or goes leaves no held bytes behind. */
static void what_is_held_dies_with_its_connection(void **state)
{
    struct held h;
    struct rig_client other;

    (void)state;
    held_begin(&h);
    rig_publish(&h.p, "t/x", "x", QOS_2, 1);
    rig_settle(&h.r);
    assert_true(rig_open(&h.r, &other));
    rig_send_connect(&other,
                     &(struct packet_connect){.client_id = STR("client"), .level = PROTOCOL_311});
    rig_settle(&h.r);
    rig_expect_closed(&h.c);
    rig_expect_nothing(&h.c);
    rig_expect_nothing(&other);
    store(&h);
    rig_expect_connack(&other, true, CONNACK_ACCEPTED);
    rig_expect_publish(&other, "t/x", "x", QOS_2);
    rig_expect_nothing(&other);
    rig_forget(&other);
    held_end(&h);
}

/* --- bytes that are not ours --- */

/* A journal with every type of record. */
static void record_everything(struct rig *r)
{
    struct rig_client c;
    struct rig_client p;

    rig_begin(r, true);
    rig_connect(r, &p, "publisher", false);
    rig_retain(&p, "t/r", "retained", QOS_1, 9);
    rig_retain(&p, "gone", "retained", QOS_0, 0);
    rig_retain(&p, "gone", "", QOS_0, 0);
    rig_connect(r, &c, "client", false);
    rig_subscribe(&c, "t/#", QOS_2);
    (void)rig_drain(&c);
    rig_subscribe(&c, "x", QOS_2);
    rig_unsubscribe(&c, "x");
    rig_publish(&p, "t/1", "one", QOS_1, 1);
    rig_publish(&p, "t/2", "two", QOS_2, 2);
    rig_publish(&p, "t/3", "three", QOS_2, 3);
    rig_settle(r);
    (void)rig_drain(&c);
    rig_send_ack(&c, PACKET_PUBREC, 3);
    rig_send_ack(&c, PACKET_PUBACK, 2);
    rig_send_ack(&p, PACKET_PUBREL, 2);
    rig_settle(r);
    rig_forget(&c);
    rig_forget(&p);
    rig_connect(r, &c, "third", false);
    rig_forget(&c);
    rig_connect(r, &c, "third", true);
    rig_forget(&c);
    rig_settle(r);
}

static void the_journal_has_every_type(void **state)
{
    struct rig r;
    unsigned seen = 0;

    (void)state;
    record_everything(&r);
    struct str in = journal(&r);
    while (in.n > 0) {
        struct record rec;
        assert_ok(record_read(&in, &rec));
        seen |= 1u << rec.type;
    }
    assert_int_equal(seen, (1u << RECORD_TYPES) - 2);
    rig_check_replay(&r);
    rig_end(&r);
}

/* Whatever the bytes are: no crash, no leak, and what is accepted is sound. */
static enum err apply(const struct rig *r, struct str bytes)
{
    char *copy = malloc(bytes.n + 1); /* a sanitizer sees where it ends */
    struct broker *b = broker_new(&r->setup);
    enum err e;

    assert_non_null(copy);
    assert_non_null(b);
    if (bytes.n > 0)
        memcpy(copy, bytes.p, bytes.n);
    broker_tick(b, r->now);
    e = broker_apply(b, str_of(copy, bytes.n));
    free(copy);
    if (!e) {
        broker_apply_end(b, 1);
        const char *wrong = broker_check(b);
        if (wrong)
            fail_msg("accepted, but: %s", wrong);
        broker_tick(b, (struct now){.mono_ms = 1000000, .wall_s = 5});
        (void)broker_work(b);
    }
    broker_free(b);
    return e;
}

static void a_journal_may_end_anywhere(void **state)
{
    struct rig r;
    unsigned whole = 0;

    (void)state;
    record_everything(&r);
    struct str all = journal(&r);
    for (size_t n = 0; n <= all.n; n++) {
        enum err e = apply(&r, str_of(all.p, n));
        assert_true(e == ERR_OK || e == ERR_MALFORMED);
        whole += e == ERR_OK;
    }
    assert_in_range(whole, 20, 100); /* once after each record */
    rig_end(&r);
}

static void damaged_journals_are_refused_or_sound(void **state)
{
    struct rig r;
    struct rng rng;
    unsigned refused = 0;
    unsigned accepted = 0;

    (void)state;
    rng_seed(&rng, 8);
    record_everything(&r);
    struct str all = journal(&r);
    char *copy = malloc(all.n);
    assert_non_null(copy);
    for (unsigned i = 0; i < 6000; i++) {
        memcpy(copy, all.p, all.n);
        for (unsigned k = rng_below(&rng, 3) + 1; k > 0; k--)
            copy[rng_below(&rng, (uint32_t)all.n)] =
                (char)(rng_below(&rng, 2) ? rng_below(&rng, 16) : rng_below(&rng, 256));
        enum err e = apply(&r, str_of(copy, all.n));
        assert_true(e == ERR_OK || e == ERR_MALFORMED);
        refused += e != ERR_OK;
        accepted += e == ERR_OK;
    }
    assert_true(refused > 1000 && accepted > 500);
    free(copy);
    rig_end(&r);
}

/* Records that are well formed, but of nobody who could have written them in this order. */
static void made_up_records_are_refused_or_sound(void **state)
{
    static const struct str texts[] = {STR("a"), STR("a/+"),   STR("#"),   STR("$share/g/a"),
                                       STR(""),  STR("a/#/b"), STR("\xff")};
    static const uint64_t numbers[] = {0,         1, 2, 3, 4, 65535, UINT32_MAX, UINT64_MAX - 1,
                                       UINT64_MAX};
    struct rig r;
    struct rng rng;
    unsigned applied = 0;

    (void)state;
    rng_seed(&rng, 9);
    rig_begin(&r, true);
    for (unsigned round = 0; round < 8000; round++) {
        struct buf out = {0};
        unsigned n = 1 + rng_below(&rng, 30);
        assert_ok(buf_reserve(&out, 64 * 100));
        for (unsigned i = 0; i < n; i++) {
            uint32_t odd = rng_below(&rng, 12) ? 4 : ARRAY_SIZE(numbers);
            struct record rec = {
                .type = (enum record_type)(1 + rng_below(&rng, RECORD_TYPES - 1)),
                .session = numbers[1 + rng_below(&rng, odd - 2)],
                .number = numbers[1 + rng_below(&rng, odd - 2)],
                .seq = numbers[rng_below(&rng, odd)],
                .time = numbers[rng_below(&rng, odd)],
                .id = (uint16_t)numbers[rng_below(&rng, odd)],
                .qos = (uint8_t)rng_below(&rng, 3),
                .flags = (uint8_t)rng_below(&rng, 2),
                .text = texts[rng_below(&rng, rng_below(&rng, 12) ? 2 : ARRAY_SIZE(texts))],
                .payload = rng_below(&rng, 4) ? STR("x") : STR(""),
            };
            if (i < 2) /* most need these two to come far */
                rec.type = i ? RECORD_MESSAGE : RECORD_CLIENT;
            record_write(&out, &rec);
        }
        enum err e = apply(&r, buf_str(&out));
        assert_true(e == ERR_OK || e == ERR_MALFORMED);
        applied += e == ERR_OK;
        buf_clear(&out);
    }
    assert_true(applied > 200);
    rig_end(&r);
}

static void replaying_without_memory_says_so(void **state)
{
    struct rig r;

    (void)state;
    unit_needs_tracking();
    record_everything(&r);
    for (uint64_t n = 0;; n++) {
        struct broker *b = broker_new(&r.setup);
        assert_non_null(b);
        broker_tick(b, r.now);
        mem_fail_after(n, 0);
        enum err e = broker_apply(b, journal(&r));
        mem_fail_never();
        broker_free(b);
        if (e == ERR_OK) {
            assert_true(n > 15);
            break;
        }
        assert_err(e, ERR_NOMEM);
    }
    rig_end(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(each_step_of_a_session_is_rebuilt),
        UNIT_TEST(a_clean_session_is_not_recorded),
        UNIT_TEST(a_random_life_is_rebuilt_at_any_time),
        UNIT_TEST(a_life_goes_on_after_crashes),
        UNIT_TEST(what_ends_while_writing_is_recorded_too),
        UNIT_TEST(what_ends_behind_a_frame_is_in_the_next),
        UNIT_TEST(a_feed_begins_again_after_a_crash),
        UNIT_TEST(answers_wait_until_they_are_stored),
        UNIT_TEST(a_connack_waits_until_it_is_stored),
        UNIT_TEST(qos2_deliveries_wait_and_others_do_not),
        UNIT_TEST(each_turn_waits_for_itself),
        UNIT_TEST(nothing_waits_for_a_turn_without_records),
        UNIT_TEST(what_is_held_dies_with_its_connection),
        UNIT_TEST(the_journal_has_every_type),
        UNIT_TEST(a_journal_may_end_anywhere),
        UNIT_TEST(damaged_journals_are_refused_or_sound),
        UNIT_TEST(made_up_records_are_refused_or_sound),
        UNIT_TEST(replaying_without_memory_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
