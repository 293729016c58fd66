/*
 * What the design promises, counted: allocations and write calls of a turn, bytes of an idle
 * connection, of a subscription, of a message that waits.
 *
 * Everything goes through core/broker.h with raw packets, as the server would. The figures are
 * printed; what is asserted are the budgets of src/README.md.
 */
#include "core/broker.h"

#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char payload64[] = "0123456789012345678901234567890123456789012345678901234567890123";

/* A publisher and so many subscribers of one topic. */
struct load {
    struct rig r;
    struct rig_client publisher;
    struct rig_client *subscribers;
    unsigned n;
    uint16_t id; /* of the last QoS 1 publication */
};

static void load_begin(struct load *l, unsigned n, enum qos qos, const char *acl)
{
    char id[32];

    memset(l, 0, sizeof(*l));
    l->n = n;
    l->subscribers = calloc(n, sizeof(*l->subscribers));
    assert_non_null(l->subscribers);
    rig_setup(&l->r);
    rig_acl(&l->r.listener, acl);
    rig_start(&l->r);
    rig_connect(&l->r, &l->publisher, "publisher", true);
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(id, sizeof(id), "subscriber-%u", i);
        rig_connect(&l->r, &l->subscribers[i], id, true);
        rig_subscribe(&l->subscribers[i], "some/topic", qos);
    }
}

static void load_end(struct load *l)
{
    rig_forget(&l->publisher);
    for (unsigned i = 0; i < l->n; i++)
        rig_forget(&l->subscribers[i]);
    rig_settle(&l->r);
    rig_end(&l->r);
    free(l->subscribers);
}

static void send_messages(struct load *l, unsigned n, enum qos qos)
{
    for (unsigned i = 0; i < n; i++) {
        l->id = (uint16_t)(l->id % 65535 + 1);
        rig_publish(&l->publisher, "some/topic", payload64, qos, qos ? l->id : 0);
    }
}

/* Every subscriber reads what it got, and acknowledges QoS 1; returns how many PUBLISH there were.
 */
static size_t take_messages(struct load *l)
{
    size_t n = 0;

    for (unsigned i = 0; i < l->n; i++) {
        struct frame f;
        while (rig_next(&l->subscribers[i], &f)) {
            assert_int_equal(frame_type(&f), PACKET_PUBLISH);
            n++;
            if (f.first & 0x06) {
                const uint8_t *at = (const uint8_t *)f.body.p + 2 + strlen("some/topic");
                rig_send_ack(&l->subscribers[i], PACKET_PUBACK, (uint16_t)(at[0] << 8 | at[1]));
            }
        }
    }
    (void)rig_drain(&l->publisher);
    return n;
}

static uint64_t turns_calls(struct load *l, unsigned turns, unsigned messages, enum qos qos)
{
    uint64_t calls = mem_calls();

    for (unsigned t = 0; t < turns; t++) {
        send_messages(l, messages, qos);
        rig_turn(&l->r);
        assert_int_equal(take_messages(l), (size_t)messages * l->n);
    }
    return mem_calls() - calls;
}

/* `acl`: NULL, or one that grants it. */
static void qos0_allocates_nothing(const char *acl)
{
    static const unsigned receivers[] = {1, 10, 100};
    static const unsigned bursts[] = {1, 7, 50};

    unit_needs_tracking();
    for (size_t i = 0; i < ARRAY_SIZE(receivers); i++) {
        struct load l;
        load_begin(&l, receivers[i], QOS_0, acl);
        for (size_t k = 0; k < ARRAY_SIZE(bursts); k++) {
            (void)turns_calls(&l, 3, bursts[k], QOS_0); /* warm up */
            uint64_t calls = turns_calls(&l, 20, bursts[k], QOS_0);
            print_message("QoS 0, 64 bytes, %u receivers, %u a turn: %llu allocations\n",
                          receivers[i], bursts[k], (unsigned long long)calls);
            assert_int_equal(calls, 0);
        }
        load_end(&l);
    }
}

static void a_qos0_publish_allocates_nothing(void **state)
{
    (void)state;
    qos0_allocates_nothing(NULL);
}

/* Once it is remembered who may. */
static void nor_does_it_under_an_acl(void **state)
{
    (void)state;
    qos0_allocates_nothing("topic read nothing\npattern readwrite some/#\n");
}

/*
 * QoS 1 keeps one message for all, and rows of 16 in a chunk for each receiver; a queue that has
 * become empty gives its chunk back. All these are blocks of the broker's pool, which asks for a
 * page now and then and keeps a few.
 */
static void a_qos1_publish_allocates_pages_at_most(void **state)
{
    static const unsigned receivers[] = {1, 10, 100};

    (void)state;
    unit_needs_tracking();
    for (size_t i = 0; i < ARRAY_SIZE(receivers); i++) {
        struct load l;
        load_begin(&l, receivers[i], QOS_1, NULL);
        (void)turns_calls(&l, 3, 1, QOS_1);
        uint64_t single = turns_calls(&l, 16, 1, QOS_1);
        (void)turns_calls(&l, 3, 16, QOS_1);
        uint64_t stream = turns_calls(&l, 16, 16, QOS_1);
        print_message("QoS 1, 64 bytes, %u receivers: %.2f allocations a message one by one, "
                      "%.2f at 16 a turn\n",
                      receivers[i], (double)single / 16, (double)stream / 256);
        assert_true(single <= receivers[i] / 16);
        assert_true(stream <= receivers[i] / 16);
        load_end(&l);
    }
}

static void one_write_call_for_each_connection_and_turn(void **state)
{
    static const enum qos levels[] = {QOS_0, QOS_1};

    (void)state;
    for (size_t q = 0; q < ARRAY_SIZE(levels); q++) {
        struct load l;
        load_begin(&l, 25, levels[q], NULL);
        for (unsigned messages = 1; messages <= 16; messages *= 4) {
            send_messages(&l, messages, levels[q]);
            rig_turn(&l.r);
            assert_int_equal(l.publisher.reads, 1);
            assert_int_equal(l.publisher.writes, levels[q] ? 1 : 0);
            for (unsigned i = 0; i < l.n; i++)
                assert_int_equal(l.subscribers[i].writes, 1);
            assert_int_equal(take_messages(&l), messages * l.n);
            rig_turn(&l.r); /* their acknowledgements are answered by nothing */
            assert_int_equal(l.r.writes, 0);
        }
        load_end(&l);
    }
}

/* --- bytes --- */

static void connect_many(struct rig *r, struct rig_client *clients, unsigned n, const char *name)
{
    char id[32];

    for (unsigned i = 0; i < n; i++) {
        struct packet_connect p = {.level = PROTOCOL_311, .clean_session = true, .keepalive_s = 60};
        (void)snprintf(id, sizeof(id), "%s-%05u", name, i);
        p.client_id = str_c(id);
        assert_true(rig_open(r, &clients[i]));
        rig_send_connect(&clients[i], &p);
    }
    rig_settle(r);
    for (unsigned i = 0; i < n; i++)
        rig_expect_connack(&clients[i], false, CONNACK_ACCEPTED);
}

static void forget_all(struct rig_client *clients, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        rig_forget(&clients[i]);
}

/* 460 whole bytes with the server's half of 64. */
#define IDLE_BUDGET (460 - 64)

static void an_idle_connection_owns_no_buffers(void **state)
{
    static const unsigned counts[] = {1000, 10000};

    (void)state;
    unit_needs_tracking();
    for (size_t k = 0; k < ARRAY_SIZE(counts); k++) {
        unsigned n = counts[k];
        struct rig_client *clients = calloc(n, sizeof(*clients));
        struct rig r;
        assert_non_null(clients);
        rig_begin(&r, false);
        connect_many(&r, clients, 1000, "warming"); /* spare chunks are for all */
        forget_all(clients, 1000);
        rig_settle(&r);
        size_t used = mem_used();
        connect_many(&r, clients, n, "client");
        double idle = (double)(mem_used() - used) / n;
        print_message("%u idle connections: %.1f bytes each (budget %d)\n", n, idle, IDLE_BUDGET);
        assert_true((unsigned)idle <= IDLE_BUDGET);

        /* having talked at QoS 0 it owns no more than before */
        size_t before = mem_used();
        for (unsigned i = 0; i < n; i++)
            rig_publish(&clients[i], "nobody/listens", payload64, QOS_0, 0);
        for (unsigned i = 0; i < n; i++)
            rig_send_empty(&clients[i], PACKET_PINGREQ);
        rig_settle(&r);
        for (unsigned i = 0; i < n; i++)
            assert_int_equal(rig_expect(&clients[i], PACKET_PINGRESP), 0);
        assert_true(mem_used() <= before + 300 * 1024); /* spare chunks, for all */
        forget_all(clients, n);
        rig_settle(&r);
        rig_end(&r);
        free(clients);
    }
}

/*
 * Node 64, a slot for its edge and one in the session of 11 each, and 4 for pages: with tables as
 * full as they get. Just grown, they are half as full, and still have their former array.
 */
#define SUBSCRIPTION_BUDGET (64 + 11 + 11 + 4)
#define SUBSCRIPTION_GROWN (64 + 3 * (11 + 11) + 4)

static double bytes_of_a_subscription(unsigned n)
{
    char filter[32];
    struct rig r;
    struct rig_client c;

    rig_begin(&r, false);
    rig_connect(&r, &c, "subscriber", true);
    rig_subscribe(&c, "home", QOS_0);
    size_t used = mem_used();
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(filter, sizeof(filter), "home/%u", i);
        rig_send_subscribe(&c, 1, filter, QOS_1);
    }
    rig_settle(&r);
    assert_int_equal(broker_stats(r.b)->subscriptions, n + 1);
    double each = (double)(mem_used() - used) / n;
    rig_forget(&c);
    rig_settle(&r);
    rig_end(&r);
    return each;
}

static void a_subscription_costs_what_is_planned(void **state)
{
    (void)state;
    unit_needs_tracking();
    double full = bytes_of_a_subscription(57000);
    double grown = bytes_of_a_subscription(58000);
    print_message("a subscription: %.1f bytes (budget %d), %.1f when tables have just grown\n",
                  full, SUBSCRIPTION_BUDGET, grown);
    assert_true(full <= SUBSCRIPTION_BUDGET);
    assert_true(grown <= SUBSCRIPTION_GROWN);
}

/* Of a topic of 12 and a payload of 64 bytes: message 128, node 48, edge 11, and the text of a
 * level. */
#define RETAINED_BUDGET (128 + 48 + 11 + 8)

static void a_retained_message_costs_what_is_planned(void **state)
{
    const unsigned n = 50000;
    char topic[32];
    struct rig r;
    struct rig_client c;

    (void)state;
    unit_needs_tracking();
    rig_begin(&r, false);
    rig_connect(&r, &c, "publisher", true);
    rig_retain(&c, "retain", payload64, QOS_0, 0);
    rig_settle(&r);
    size_t used = mem_used();
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(topic, sizeof(topic), "retain/%05u", i);
        rig_retain(&c, topic, payload64, QOS_0, 0);
    }
    rig_settle(&r);
    assert_int_equal(broker_stats(r.b)->retained, n + 1);
    double each = (double)(mem_used() - used) / n;
    print_message("a retained message of 64 bytes: %.1f bytes (budget %d)\n", each,
                  RETAINED_BUDGET);
    assert_true(each <= RETAINED_BUDGET);
    rig_forget(&c);
    rig_settle(&r);
    rig_end(&r);
}

/* Message 24 and its text, in steps of 8, row 16, and a part of what pages have over. */
#define QUEUED_BUDGET (104 + 16 + 4)

static void a_queued_message_costs_what_is_planned(void **state)
{
    const unsigned n = 50000;
    struct rig r;
    struct rig_client absent;
    struct rig_client c;

    (void)state;
    unit_needs_tracking();
    rig_setup(&r);
    r.conf.global.max_queued_messages = 0;
    rig_start(&r);
    rig_connect(&r, &absent, "absent", false);
    rig_subscribe(&absent, "some/topic", QOS_1);
    rig_forget(&absent);
    rig_connect(&r, &c, "publisher", true);
    rig_publish(&c, "some/topic", payload64, QOS_1, 1);
    rig_settle(&r);
    size_t used = mem_used();
    for (unsigned i = 0; i < n; i++)
        rig_publish(&c, "some/topic", payload64, QOS_1, 1);
    rig_settle(&r);
    double each = (double)(mem_used() - used) / n;
    print_message("a queued message of 64 bytes: %.1f bytes (budget %d)\n", each, QUEUED_BUDGET);
    assert_true(each <= QUEUED_BUDGET);
    rig_forget(&c);
    rig_settle(&r);
    rig_end(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(a_qos0_publish_allocates_nothing),
        UNIT_TEST(nor_does_it_under_an_acl),
        UNIT_TEST(a_qos1_publish_allocates_pages_at_most),
        UNIT_TEST(one_write_call_for_each_connection_and_turn),
        UNIT_TEST(an_idle_connection_owns_no_buffers),
        UNIT_TEST(a_subscription_costs_what_is_planned),
        UNIT_TEST(a_retained_message_costs_what_is_planned),
        UNIT_TEST(a_queued_message_costs_what_is_planned),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
