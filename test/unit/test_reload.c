/*
 * Another configuration while clients are connected: whose rules are whose, and what takes effect
 * at once.
 */
#include "core/broker.h"

#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A configuration with listeners that may come and go. */
#define LISTENERS 50

struct rules {
    struct conf conf;
    struct conf_listener listeners[LISTENERS];
    struct conf_listener *list[LISTENERS];
};

/* Listeners on the ports `first` … `last`. */
static void rules_init(struct rules *s, const struct rig *r, uint16_t first, uint16_t last)
{
    s->conf = r->conf;
    s->conf.listeners = s->list;
    s->conf.listener_count = 0;
    for (uint16_t port = first; port <= last; port++) {
        struct conf_listener *l = &s->listeners[s->conf.listener_count];
        *l = r->listener;
        l->refs = 1;
        l->port = port;
        s->list[s->conf.listener_count++] = l;
    }
}

static void load(struct rig *r, struct rules *s)
{
    assert_ok(broker_prepare(r->b, &s->conf));
    broker_commit(r->b);
}

/* Publishing at QoS 2 shows whether max_qos is 1. */
static bool is_cut(struct rig_client *c)
{
    rig_send_publish(
        c, &(struct packet_publish){.topic = STR("t"), .payload = STR("x"), .id = 1, .qos = QOS_2});
    rig_settle(c->rig);
    return !c->conn;
}

static void connect_through(struct rig *r, struct rig_client *c, const char *id,
                            struct conf_listener *l)
{
    r->through = l;
    (void)rig_connect(r, c, id, true);
    r->through = NULL;
}

static void rules_are_those_of_the_same_socket(void **state)
{
    static struct rules before, after;
    struct rig_client c[3];
    struct rig r;

    (void)state;
    rig_begin(&r, false);
    rules_init(&before, &r, 1, 3);
    rules_init(&after, &r, 2, 4);
    load(&r, &before);
    for (unsigned i = 0; i < 3; i++)
        connect_through(&r, &c[i], i ? i == 1 ? "b" : "c" : "a", &before.listeners[i]);
    after.listeners[0].max_qos = 1; /* port 2 */
    after.listeners[2].max_qos = 1; /* port 4 */
    before.listeners[1].address = "::1";
    after.listeners[0].address = "::1";
    load(&r, &after);
    assert_int_equal(before.listeners[0].refs, 2); /* gone: it keeps what it came with */
    assert_int_equal(before.listeners[1].refs, 1);
    assert_int_equal(before.listeners[2].refs, 1);
    assert_int_equal(after.listeners[0].refs, 2);
    assert_int_equal(after.listeners[1].refs, 2);
    assert_int_equal(after.listeners[2].refs, 1);
    assert_false(is_cut(&c[0]));
    assert_true(is_cut(&c[1]));
    assert_false(is_cut(&c[2]));
    for (unsigned i = 0; i < 3; i++)
        rig_forget(&c[i]);
    for (unsigned i = 0; i < 3; i++)
        assert_true(before.listeners[i].refs == 1 && after.listeners[i].refs == 1);
    rig_end(&r);
}

/* A socket that comes back finds those who came through it before. */
static void a_listener_that_returns_has_its_clients(void **state)
{
    static struct rules before, without, after;
    struct rig_client c;
    struct rig r;

    (void)state;
    rig_begin(&r, false);
    rules_init(&before, &r, 1, 2);
    rules_init(&without, &r, 1, 1);
    rules_init(&after, &r, 1, 2);
    load(&r, &before);
    connect_through(&r, &c, "c", &before.listeners[1]);
    load(&r, &without);
    assert_int_equal(before.listeners[1].refs, 2);
    after.listeners[1].max_qos = 1;
    load(&r, &after);
    assert_int_equal(before.listeners[1].refs, 1);
    assert_true(is_cut(&c));
    rig_forget(&c);
    rig_end(&r);
}

/* Who is in stays in: what a CONNECT is asked counts for the next one, but for who it is (see
 * test_login.c). */
static void rules_of_connecting_are_for_newcomers(void **state)
{
    static struct rules fresh;
    struct rig_client old;
    struct rig_client late;
    struct rig r;

    (void)state;
    rig_begin(&r, false);
    rules_init(&fresh, &r, 1883, 1883);
    fresh.listeners[0].use_username_as_clientid = true;
    fresh.listeners[0].accept_versions = CONF_MQTT_31;
    fresh.conf.global.clientid_prefixes = "x";
    fresh.conf.global.max_keepalive = 1;
    fresh.conf.global.global_max_clients = 0;
    rig_connect(&r, &old, "old", true);
    rig_subscribe(&old, "t", QOS_1);
    load(&r, &fresh);
    rig_publish(&old, "t", "x", QOS_1, 1);
    rig_settle(&r);
    rig_expect_publish(&old, "t", "x", QOS_1);
    assert_int_equal(rig_expect(&old, PACKET_PUBACK), 1);
    r.through = &fresh.listeners[0];
    assert_true(rig_open(&r, &late));
    rig_send_connect(&late,
                     &(struct packet_connect){.client_id = STR("late"), .level = PROTOCOL_311});
    rig_settle(&r);
    rig_expect_connack(&late, false, CONNACK_PROTOCOL_VERSION);
    rig_forget(&late);
    rig_forget(&old);
    rig_end(&r);
}

/* What limits packets and deliveries counts at once, for everybody. */
static void limits_are_for_all(void **state)
{
    static struct rules fresh;
    struct rig_client c;
    struct rig_client other;
    struct rig r;

    (void)state;
    rig_setup(&r);
    r.conf.global.max_inflight_messages = 1;
    rig_start(&r);
    rules_init(&fresh, &r, 1883, 1883);
    fresh.conf.global.max_inflight_messages = 3;
    fresh.conf.global.upgrade_outgoing_qos = true;
    fresh.conf.global.allow_duplicate_messages = true;
    fresh.conf.global.message_size_limit = 1;
    fresh.conf.global.max_packet_size = 100;
    fresh.conf.global.retain_available = false;
    rig_connect(&r, &c, "c", true);
    rig_subscribe(&c, "t", QOS_1);
    rig_subscribe(&c, "+", QOS_0);
    rig_connect(&r, &other, "other", true);
    for (uint16_t n = 1; n <= 4; n++)
        rig_publish(&other, "t", "x", QOS_1, n);
    rig_settle(&r);
    (void)rig_drain(&other);
    assert_int_equal(rig_drain(&c), 1);
    load(&r, &fresh);
    rig_settle(&r);
    assert_int_equal(rig_drain(&c), 2); /* the window is wider: what waited may go */
    for (uint16_t n = 1; n <= 4; n++)
        rig_send_ack(&c, PACKET_PUBACK, n);
    rig_settle(&r);
    (void)rig_drain(&c);
    rig_send_ack(&c, PACKET_PUBACK, 4);
    rig_publish(&other, "t", "x", QOS_0, 0);
    rig_publish(&other, "t", "too long", QOS_0, 0);
    rig_settle(&r);
    struct frame f;
    unsigned qos[3] = {0};
    while (rig_next(&c, &f))
        qos[f.first >> 1 & 3]++;
    assert_int_equal(qos[0], 1);
    assert_int_equal(qos[1], 1);
    rig_retain(&other, "t", "x", QOS_0, 0);
    rig_settle(&r);
    rig_expect_closed(&other);
    rig_publish(&c, "t",
                "0123456789012345678901234567890123456789012345678901234567890123456789"
                "012345678901234567890123456789",
                QOS_0, 0);
    rig_settle(&r);
    rig_expect_closed(&c);
    rig_forget(&c);
    rig_forget(&other);
    rig_end(&r);
}

/* --- how long it takes --- */

#define MANY 20000

/* So many clients of all listeners, each with a session. */
static void connect_many(struct rig *r, struct rules *s, struct rig_client *c)
{
    char id[16];

    for (unsigned i = 0; i < MANY; i++) {
        struct packet_connect p = {.level = PROTOCOL_311, .clean_session = true};
        (void)snprintf(id, sizeof(id), "client-%u", i);
        p.client_id = str_c(id);
        r->through = &s->listeners[i * 7 % LISTENERS];
        assert_true(rig_open(r, &c[i]));
        rig_send_connect(&c[i], &p);
    }
    rig_settle(r);
    for (unsigned i = 0; i < MANY; i++)
        rig_expect_connack(&c[i], false, CONNACK_ACCEPTED);
}

static double cpu_ms(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t), 0);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void fifty_listeners_and_many_connections_take_no_time(void **state)
{
    static struct rules rules[2];
    struct rig_client *c = calloc(MANY, sizeof(*c));
    double best = 1e9;
    struct rig r;

    (void)state;
    assert_non_null(c);
    rig_begin(&r, false);
    for (unsigned i = 0; i < 2; i++)
        rules_init(&rules[i], &r, 1, LISTENERS);
    load(&r, &rules[0]);
    connect_many(&r, &rules[0], c);
    for (unsigned n = 1; n <= 6; n++) {
        assert_ok(broker_prepare(r.b, &rules[n % 2].conf));
        double began = cpu_ms();
        broker_commit(r.b);
        double took = cpu_ms() - began;
        best = took < best ? took : best;
    }
    print_message("%d connections of %d listeners take new rules in %.2f ms\n", MANY, LISTENERS,
                  best);
    assert_true(best < 10);
    for (unsigned i = 0; i < LISTENERS; i++) {
        assert_int_equal(rules[0].listeners[i].refs, 1 + MANY / LISTENERS);
        assert_int_equal(rules[1].listeners[i].refs, 1);
    }
    for (unsigned i = 0; i < MANY; i++)
        rig_forget(&c[i]);
    rig_end(&r);
    free(c);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(rules_are_those_of_the_same_socket),
        UNIT_TEST(a_listener_that_returns_has_its_clients),
        UNIT_TEST(rules_of_connecting_are_for_newcomers),
        UNIT_TEST(limits_are_for_all),
        UNIT_TEST(fifty_listeners_and_many_connections_take_no_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
