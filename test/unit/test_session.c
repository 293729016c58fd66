/*
 * Delivery to one client over the life of its session: window, queue, resending, exactly once,
 * feeds of retained messages.
 */
#include "base/mem.h"
#include "core/session.h"

#include "mqtt/decode.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <string.h>

/* A broker with a window of three, a publisher and a subscriber with a persistent session. */
struct scene {
    struct rig r;
    struct rig_client c;
    struct rig_client p;
    uint16_t id;
};

static void scene_begin(struct scene *s, enum qos qos)
{
    memset(s, 0, sizeof(*s));
    rig_setup(&s->r);
    s->r.conf.global.max_inflight_messages = 3;
    s->r.conf.global.max_queued_messages = 5;
    rig_start(&s->r);
    rig_connect(&s->r, &s->p, "publisher", true);
    rig_connect(&s->r, &s->c, "client", false);
    rig_subscribe(&s->c, "t", qos);
}

static void scene_end(struct scene *s)
{
    rig_forget(&s->c);
    rig_forget(&s->p);
    rig_settle(&s->r);
    rig_end(&s->r);
}

static void publish(struct scene *s, const char *payload, enum qos qos)
{
    rig_publish(&s->p, "t", payload, qos, qos ? ++s->id : 0);
    rig_settle(&s->r);
    (void)rig_drain(&s->p);
}

static void again(struct scene *s)
{
    rig_forget(&s->c);
    assert_true(rig_connect(&s->r, &s->c, "client", false));
}

static struct packet_publish expect(struct scene *s, const char *payload, enum qos qos)
{
    return rig_expect_publish(&s->c, "t", payload, qos);
}

/* --- window and queue --- */

static void the_window_limits_what_is_in_flight(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, QOS_1);
    for (unsigned i = 0; i < 5; i++)
        publish(&s, "x", QOS_1);
    uint16_t first = expect(&s, "x", QOS_1).id;
    uint16_t second = expect(&s, "x", QOS_1).id;
    uint16_t third = expect(&s, "x", QOS_1).id;
    rig_expect_nothing(&s.c);
    assert_true(first && second && third && first != second && second != third);
    rig_send_ack(&s.c, PACKET_PUBACK, second); /* in any order */
    rig_settle(&s.r);
    expect(&s, "x", QOS_1);
    rig_expect_nothing(&s.c);
    rig_send_ack(&s.c, PACKET_PUBACK, first);
    rig_send_ack(&s.c, PACKET_PUBACK, third);
    rig_settle(&s.r);
    expect(&s, "x", QOS_1);
    rig_expect_nothing(&s.c);
    publish(&s, "QoS 0 does not wait for the window", QOS_0);
    expect(&s, "QoS 0 does not wait for the window", QOS_0);
    scene_end(&s);
}

/* A QoS 2 message is in flight until PUBCOMP. */
static void the_window_counts_the_whole_handshake(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, QOS_2);
    for (unsigned i = 0; i < 4; i++)
        publish(&s, "x", QOS_2);
    uint16_t id = expect(&s, "x", QOS_2).id;
    expect(&s, "x", QOS_2);
    expect(&s, "x", QOS_2);
    rig_send_ack(&s.c, PACKET_PUBREC, id);
    rig_settle(&s.r);
    assert_int_equal(rig_expect(&s.c, PACKET_PUBREL), id);
    rig_expect_nothing(&s.c);
    rig_send_ack(&s.c, PACKET_PUBREC, id); /* again: answered again */
    rig_settle(&s.r);
    assert_int_equal(rig_expect(&s.c, PACKET_PUBREL), id);
    rig_send_ack(&s.c, PACKET_PUBCOMP, id);
    rig_settle(&s.r);
    expect(&s, "x", QOS_2);
    rig_expect_nothing(&s.c);
    scene_end(&s);
}

static void a_full_queue_drops_and_says_so_once(void **state)
{
    struct scene s;
    char payload[8];

    (void)state;
    scene_begin(&s, QOS_1);
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(payload, sizeof(payload), "%u", i);
        publish(&s, payload, QOS_1);
    }
    assert_int_equal(broker_stats(s.r.b)->publish_dropped, 12);
    assert_int_equal(rig_logged(&s.r, "Outgoing messages are being dropped for client client"), 1);
    for (unsigned i = 0; i < 8; i++) { /* the oldest are there, in order */
        (void)snprintf(payload, sizeof(payload), "%u", i);
        struct packet_publish p = expect(&s, payload, QOS_1);
        rig_send_ack(&s.c, PACKET_PUBACK, p.id);
        rig_settle(&s.r);
    }
    rig_expect_nothing(&s.c);
    publish(&s, "room again", QOS_1);
    expect(&s, "room again", QOS_1);
    assert_int_equal(rig_logged(&s.r, "are accepted again, 12 dropped"), 1);
    scene_end(&s);
}

static void the_queue_may_be_limited_in_bytes(void **state)
{
    struct scene s;

    (void)state;
    memset(&s, 0, sizeof(s));
    rig_setup(&s.r);
    s.r.conf.global.max_queued_messages = 0;
    s.r.conf.global.max_queued_bytes = 100;
    rig_start(&s.r);
    rig_connect(&s.r, &s.p, "publisher", true);
    rig_connect(&s.r, &s.c, "client", false);
    rig_subscribe(&s.c, "t", QOS_1);
    rig_close(&s.c);
    for (unsigned i = 0; i < 10; i++)
        publish(&s, "0123456789012345678901234567890123456789", QOS_1);
    assert_int_equal(broker_stats(s.r.b)->publish_dropped, 8);
    again(&s);
    assert_int_equal(rig_drain(&s.c), 2);
    scene_end(&s);
}

/* --- queue_overflow oldest --- */

static void oldest_begin(struct scene *s, bool persistent, uint32_t messages, uint64_t bytes)
{
    memset(s, 0, sizeof(*s));
    rig_setup(&s->r);
    s->r.setup.persistent = persistent;
    s->r.conf.global.max_inflight_messages = 2;
    s->r.conf.global.max_queued_messages = messages;
    s->r.conf.global.max_queued_bytes = bytes;
    s->r.conf.global.queue_drops_oldest = true;
    rig_start(&s->r);
    rig_connect(&s->r, &s->p, "publisher", true);
    rig_connect(&s->r, &s->c, "client", false);
    rig_subscribe(&s->c, "t", QOS_2);
}

static void publish_number(struct scene *s, unsigned n, enum qos qos)
{
    char text[16];

    (void)snprintf(text, sizeof(text), "%u", n);
    rig_publish(&s->p, "t", text, qos, qos ? ++s->id : 0);
    if (s->id == UINT16_MAX)
        s->id = 0;
    rig_settle(&s->r);
    if (qos == QOS_2)
        rig_send_ack(&s->p, PACKET_PUBREL, s->id);
    (void)rig_drain(&s->p);
}

static void expect_numbers(struct scene *s, unsigned first, unsigned last, enum qos qos)
{
    for (unsigned n = first; n <= last; n++) {
        char text[16];
        uint16_t id;
        (void)snprintf(text, sizeof(text), "%u", n);
        id = expect(s, text, qos).id;
        rig_send_ack(&s->c, PACKET_PUBACK, id);
        rig_settle(&s->r);
    }
    rig_expect_nothing(&s->c);
}

/* The newest stay; what was sent and not acknowledged too; over a restart it is the same. */
static void the_oldest_may_be_dropped_instead(void **state)
{
    (void)state;
    for (int persistent = 0; persistent < 2; persistent++) {
        struct scene s;
        oldest_begin(&s, persistent, 5, 0);
        for (unsigned n = 1; n <= 20; n++)
            publish_number(&s, n, QOS_1);
        assert_int_equal(broker_stats(s.r.b)->publish_dropped, 13);
        assert_int_equal(rig_drain(&s.c), 2);
        rig_close(&s.c);
        publish_number(&s, 21, QOS_1);
        if (persistent) {
            rig_check_replay(&s.r);
            rig_forget(&s.c);
            rig_forget(&s.p);
            rig_restart(&s.r);
        }
        again(&s);
        assert_true(expect(&s, "1", QOS_1).dup);
        assert_true(expect(&s, "2", QOS_1).dup);
        rig_expect_nothing(&s.c);
        rig_send_ack(&s.c, PACKET_PUBACK, 1);
        rig_send_ack(&s.c, PACKET_PUBACK, 2);
        rig_settle(&s.r);
        expect_numbers(&s, 17, 21, QOS_1);
        assert_int_equal(rig_logged(&s.r, "max_queued_messages 5"), 1);
        scene_end(&s);
    }
}

static void one_that_is_too_large_drops_no_other(void **state)
{
    struct scene s;

    (void)state;
    oldest_begin(&s, false, 0, 20);
    rig_close(&s.c);
    for (unsigned n = 101; n <= 110; n++)
        publish_number(&s, n, QOS_1); /* 4 bytes each, with the topic */
    publish(&s, "far too much for this queue", QOS_1);
    assert_int_equal(broker_stats(s.r.b)->publish_dropped, 6);
    again(&s);
    (void)expect(&s, "106", QOS_1);
    scene_end(&s);
}

/* Rows that were dropped are let go of, however long the first one is not acknowledged. */
static void a_long_absence_costs_a_bounded_amount(void **state)
{
    struct scene s;
    size_t used;

    (void)state;
    unit_needs_tracking();
    oldest_begin(&s, false, 3, 0);
    for (unsigned n = 0; n < 10; n++)
        publish_number(&s, n, QOS_1);
    rig_close(&s.c);
    used = mem_used();
    for (unsigned n = 0; n < 200000; n++) {
        rig_publish(&s.p, "t", "x", QOS_1, (uint16_t)(n % 1000 + 1));
        if (n % 100 == 0) {
            rig_settle(&s.r);
            (void)rig_drain(&s.p);
        }
    }
    rig_settle(&s.r);
    assert_in_range(mem_used() - used, 0, 60000 * 17 + 4096);
    rig_check(&s.r);
    again(&s);
    assert_true(rig_drain(&s.c) > 0);
    scene_end(&s);
}

static void qos0_for_the_absent_only_if_so_configured(void **state)
{
    (void)state;
    for (int on = 0; on < 2; on++) {
        struct scene s;
        memset(&s, 0, sizeof(s));
        rig_setup(&s.r);
        s.r.conf.global.queue_qos0_messages = on;
        rig_start(&s.r);
        rig_connect(&s.r, &s.p, "publisher", true);
        rig_connect(&s.r, &s.c, "client", false);
        rig_subscribe(&s.c, "t", QOS_1);
        rig_close(&s.c);
        publish(&s, "1", QOS_1);
        publish(&s, "0", QOS_0);
        publish(&s, "2", QOS_1);
        again(&s);
        expect(&s, "1", QOS_1);
        if (on)
            expect(&s, "0", QOS_0);
        expect(&s, "2", QOS_1);
        rig_expect_nothing(&s.c);
        scene_end(&s);
    }
}

/* Ten clients come back at once, each to a long queue: no turn sends more than its share. */
static void long_queues_drain_within_the_budget(void **state)
{
    const unsigned n = 10000;
    struct rig r;
    struct rig_client p;
    struct rig_client c[10];
    char id[8];
    uint64_t sent = 0;

    (void)state;
    rig_setup(&r);
    r.conf.global.max_inflight_messages = 0;
    r.conf.global.max_queued_messages = 0;
    rig_start(&r);
    for (unsigned i = 0; i < ARRAY_SIZE(c); i++) {
        (void)snprintf(id, sizeof(id), "c%u", i);
        rig_connect(&r, &c[i], id, false);
        rig_subscribe(&c[i], "t", QOS_1);
        rig_forget(&c[i]);
    }
    rig_connect(&r, &p, "publisher", true);
    for (unsigned i = 0; i < n; i++)
        rig_publish(&p, "t", "", QOS_1, 1);
    rig_settle(&r);
    for (unsigned i = 0; i < ARRAY_SIZE(c); i++) {
        (void)snprintf(id, sizeof(id), "c%u", i);
        assert_true(rig_open(&r, &c[i]));
        rig_send_connect(&c[i],
                         &(struct packet_connect){.client_id = str_c(id), .level = PROTOCOL_311});
    }
    do {
        sent = broker_stats(r.b)->publish_sent;
        rig_turn(&r);
        assert_true(broker_stats(r.b)->publish_sent - sent <= WORK_TURN / WORK_DELIVERY + n);
    } while (r.next == 0 || r.moved > 0);
    for (unsigned i = 0; i < ARRAY_SIZE(c); i++) {
        assert_int_equal(rig_drain(&c[i]), n);
        rig_forget(&c[i]);
    }
    rig_forget(&p);
    rig_end(&r);
}

/* --- resending --- */

static void what_is_unfinished_comes_again_in_order(void **state)
{
    struct scene s;
    uint16_t ids[4];

    (void)state;
    scene_begin(&s, QOS_2);
    publish(&s, "a", QOS_2);
    publish(&s, "b", QOS_1);
    publish(&s, "c", QOS_2);
    publish(&s, "d", QOS_1);
    publish(&s, "e", QOS_1);
    struct packet_publish p = expect(&s, "a", QOS_2);
    assert_false(p.dup);
    ids[0] = p.id;
    ids[1] = expect(&s, "b", QOS_1).id;
    ids[2] = expect(&s, "c", QOS_2).id;
    rig_send_ack(&s.c, PACKET_PUBREC, ids[0]);
    rig_settle(&s.r);
    assert_int_equal(rig_expect(&s.c, PACKET_PUBREL), ids[0]);
    for (unsigned round = 0; round < 3; round++) {
        again(&s);
        assert_int_equal(rig_expect(&s.c, PACKET_PUBREL), ids[0]);
        p = expect(&s, "b", QOS_1);
        assert_true(p.dup);
        assert_int_equal(p.id, ids[1]);
        p = expect(&s, "c", QOS_2);
        assert_true(p.dup);
        assert_int_equal(p.id, ids[2]);
        rig_expect_nothing(&s.c);
    }
    rig_send_ack(&s.c, PACKET_PUBCOMP, ids[0]);
    rig_send_ack(&s.c, PACKET_PUBACK, ids[1]);
    rig_settle(&s.r);
    p = expect(&s, "d", QOS_1);
    assert_false(p.dup);
    ids[3] = p.id;
    expect(&s, "e", QOS_1);
    again(&s);
    assert_int_equal(expect(&s, "c", QOS_2).id, ids[2]);
    assert_int_equal(expect(&s, "d", QOS_1).id, ids[3]);
    assert_true(expect(&s, "e", QOS_1).dup);
    rig_expect_nothing(&s.c);
    scene_end(&s);
}

/* Ids are not used again while they may still be on their way, over reconnects too. */
static void ids_go_on_where_they_were(void **state)
{
    struct scene s;
    uint16_t last = 0;

    (void)state;
    scene_begin(&s, QOS_1);
    for (unsigned i = 0; i < 10; i++) {
        publish(&s, "x", QOS_1);
        uint16_t id = expect(&s, "x", QOS_1).id;
        assert_int_equal(id, last + 1);
        last = id;
        rig_send_ack(&s.c, PACKET_PUBACK, id);
        rig_settle(&s.r);
        if (i % 3 == 2)
            again(&s);
    }
    scene_end(&s);
}

static void acknowledgements_of_the_wrong_kind_end_the_connection(void **state)
{
    static const struct {
        enum qos qos;
        enum packet_type type;
    } wrong[] = {{QOS_1, PACKET_PUBREC},
                 {QOS_1, PACKET_PUBCOMP},
                 {QOS_2, PACKET_PUBACK},
                 {QOS_2, PACKET_PUBCOMP}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        struct scene s;
        scene_begin(&s, QOS_2);
        publish(&s, "x", wrong[i].qos);
        uint16_t id = expect(&s, "x", wrong[i].qos).id;
        rig_send_ack(&s.c, wrong[i].type, id);
        rig_settle(&s.r);
        rig_expect_closed(&s.c);
        again(&s); /* and nothing was taken as acknowledged */
        assert_int_equal(expect(&s, "x", wrong[i].qos).id, id);
        scene_end(&s);
    }
}

/* After a crash of the client its acknowledgements may be for what we have forgotten. */
static void acknowledgements_of_the_unknown_are_tolerated(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, QOS_2);
    rig_send_ack(&s.c, PACKET_PUBACK, 77);
    rig_send_ack(&s.c, PACKET_PUBCOMP, 77);
    rig_send_ack(&s.c, PACKET_PUBREC, 78);
    rig_send_ack(&s.c, PACKET_PUBREL, 79);
    rig_settle(&s.r);
    assert_int_equal(rig_expect(&s.c, PACKET_PUBREL), 78);
    assert_int_equal(rig_expect(&s.c, PACKET_PUBCOMP), 79);
    rig_expect_nothing(&s.c);
    assert_non_null(s.c.conn);
    assert_true(rig_logged(&s.r, "unknown packet identifier") >= 1);
    scene_end(&s);
}

/* --- incoming QoS 2 --- */

static void a_repeated_qos2_message_is_given_on_once(void **state)
{
    struct scene s;
    struct rig_client sender;

    (void)state;
    scene_begin(&s, QOS_2);
    rig_connect(&s.r, &sender, "sender", false);
    for (unsigned i = 0; i < 3; i++) {
        rig_publish(&sender, "t", "once", QOS_2, 5);
        rig_settle(&s.r);
        assert_int_equal(rig_expect(&sender, PACKET_PUBREC), 5);
        rig_forget(&sender); /* remembered over reconnects */
        assert_true(rig_connect(&s.r, &sender, "sender", false));
    }
    rig_send_ack(&sender, PACKET_PUBREL, 5);
    rig_send_ack(&sender, PACKET_PUBREL, 5);
    rig_publish(&sender, "t", "another", QOS_2, 5);
    rig_settle(&s.r);
    assert_int_equal(rig_expect(&sender, PACKET_PUBCOMP), 5);
    assert_int_equal(rig_expect(&sender, PACKET_PUBCOMP), 5);
    assert_int_equal(rig_expect(&sender, PACKET_PUBREC), 5);
    expect(&s, "once", QOS_2);
    expect(&s, "another", QOS_2);
    rig_expect_nothing(&s.c);
    rig_forget(&sender);
    scene_end(&s);
}

static void all_ids_may_be_unreleased_at_once(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, QOS_0);
    (void)rig_drain(&s.p);
    for (unsigned id = 1; id <= UINT16_MAX; id++)
        rig_publish(&s.p, "nobody", "", QOS_2, (uint16_t)id);
    rig_settle(&s.r);
    for (unsigned id = 1; id <= UINT16_MAX; id++)
        assert_int_equal(rig_expect(&s.p, PACKET_PUBREC), id);
    for (unsigned id = 1; id <= UINT16_MAX; id++)
        rig_send_ack(&s.p, PACKET_PUBREL, (uint16_t)id);
    rig_settle(&s.r);
    for (unsigned id = 1; id <= UINT16_MAX; id++)
        assert_int_equal(rig_expect(&s.p, PACKET_PUBCOMP), id);
    scene_end(&s);
}

/* --- subscriptions and feeds --- */

static void unsubscribing_stops_new_messages_only(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s, QOS_1);
    for (unsigned i = 0; i < 5; i++)
        publish(&s, "queued", QOS_1);
    rig_send_unsubscribe(&s.c, 9, "t");
    rig_send_unsubscribe(&s.c, 10, "t"); /* 3.10.4-5: answered all the same */
    rig_settle(&s.r);
    for (unsigned i = 0; i < 3; i++)
        rig_send_ack(&s.c, PACKET_PUBACK, expect(&s, "queued", QOS_1).id);
    assert_int_equal(rig_expect(&s.c, PACKET_UNSUBACK), 9);
    assert_int_equal(rig_expect(&s.c, PACKET_UNSUBACK), 10);
    publish(&s, "not for it", QOS_1);
    expect(&s, "queued", QOS_1);
    expect(&s, "queued", QOS_1);
    rig_expect_nothing(&s.c);
    scene_end(&s);
}

#define FED 50

static void retain_some(struct scene *s)
{
    char topic[16];

    for (unsigned i = 0; i < FED; i++) {
        (void)snprintf(topic, sizeof(topic), "r/%u", i);
        rig_retain(&s->p, topic, topic, QOS_1, (uint16_t)(i + 1));
    }
    rig_settle(&s->r);
    (void)rig_drain(&s->p);
}

/* Read and acknowledge what is retained below r/; counts how often each came. */
static unsigned take_fed(struct scene *s, unsigned seen[FED], bool acknowledge)
{
    struct frame f;
    unsigned n = 0;

    while (rig_next(&s->c, &f)) {
        struct packet_publish p;
        char topic[16];
        unsigned i;
        if (frame_type(&f) != PACKET_PUBLISH)
            continue;
        assert_int_equal(decode_publish(&f, &p), REASON_OK);
        assert_true(p.retain);
        (void)snprintf(topic, sizeof(topic), "%.*s", STR_ARG(p.topic));
        assert_int_equal(sscanf(topic, "r/%u", &i), 1);
        assert_true(i < FED);
        seen[i] += !p.dup;
        n++;
        if (acknowledge)
            rig_send_ack(&s->c, PACKET_PUBACK, p.id);
    }
    return n;
}

/* The window is three: the feed takes many rounds, and the session loses its connection meanwhile.
 */
static void a_feed_goes_on_after_a_reconnect(void **state)
{
    struct scene s;
    unsigned seen[FED] = {0};

    (void)state;
    scene_begin(&s, QOS_1);
    retain_some(&s);
    rig_send_subscribe(&s.c, 7, "r/#", QOS_1);
    rig_settle(&s.r);
    for (unsigned round = 0; round < 200; round++) {
        unsigned n = take_fed(&s, seen, round % 2);
        assert_true(n <= 4); /* the window, and one row that waits */
        if (round % 5 == 0)
            again(&s);
        rig_settle(&s.r);
    }
    for (unsigned i = 0; i < FED; i++)
        assert_int_equal(seen[i], 1);
    assert_int_equal(broker_stats(s.r.b)->publish_dropped, 0);
    scene_end(&s);
}

static void unsubscribing_ends_the_feed(void **state)
{
    struct scene s;
    unsigned seen[FED] = {0};

    (void)state;
    scene_begin(&s, QOS_1);
    retain_some(&s);
    rig_send_subscribe(&s.c, 7, "r/#", QOS_1);
    rig_settle(&s.r);
    rig_send_unsubscribe(&s.c, 8, "r/#");
    rig_settle(&s.r);
    for (unsigned round = 0; round < 10; round++) {
        (void)take_fed(&s, seen, true);
        rig_settle(&s.r);
    }
    unsigned got = 0;
    for (unsigned i = 0; i < FED; i++)
        got += seen[i];
    assert_in_range(got, 1, 5);
    scene_end(&s);
}

/* 3.8.4-3: each SUBSCRIBE is given them anew; one that is under way begins again. */
static void subscribing_again_begins_the_feed_again(void **state)
{
    struct scene s;
    unsigned seen[FED] = {0};

    (void)state;
    scene_begin(&s, QOS_1);
    retain_some(&s);
    for (unsigned i = 0; i < 5; i++) {
        rig_send_subscribe(&s.c, 7, "r/#", QOS_1);
        rig_settle(&s.r);
    }
    for (unsigned round = 0; round < 100; round++) {
        (void)take_fed(&s, seen, true);
        rig_settle(&s.r);
    }
    for (unsigned i = 0; i < FED; i++)
        assert_in_range(seen[i], 1, 2);
    rig_send_subscribe(&s.c, 7, "r/#", QOS_0);
    rig_settle(&s.r);
    assert_int_equal(take_fed(&s, seen, false), FED);
    scene_end(&s);
}

/* Two filters that overlap feed both; new messages come in between with RETAIN clear. */
static void several_feeds_run_at_once(void **state)
{
    struct scene s;
    unsigned seen[FED] = {0};

    (void)state;
    scene_begin(&s, QOS_1);
    retain_some(&s);
    rig_send_subscribe(&s.c, 7, "r/#", QOS_1);
    rig_send_subscribe(&s.c, 8, "r/+", QOS_1);
    rig_send_subscribe(&s.c, 9, "r/5", QOS_1);
    rig_settle(&s.r);
    for (unsigned round = 0; round < 200; round++) {
        (void)take_fed(&s, seen, true);
        rig_settle(&s.r);
    }
    for (unsigned i = 0; i < FED; i++)
        assert_int_equal(seen[i], i == 5 ? 3 : 2);
    scene_end(&s);
}

/* What a feed has given that is over says nothing of the next one, which a crash interrupts. */
static void a_later_feed_gives_it_again(void **state)
{
    struct scene s;

    (void)state;
    memset(&s, 0, sizeof(s));
    rig_setup(&s.r);
    s.r.setup.persistent = true;
    s.r.conf.global.max_inflight_messages = 2;
    rig_start(&s.r);
    rig_connect(&s.r, &s.p, "publisher", true);
    rig_retain(&s.p, "kept", "value", QOS_1, 1);
    rig_settle(&s.r);
    rig_connect(&s.r, &s.c, "client", false);
    rig_subscribe(&s.c, "t", QOS_1);
    rig_subscribe(&s.c, "kept", QOS_1);
    rig_send_ack(&s.c, PACKET_PUBACK, rig_expect_publish(&s.c, "kept", "value", QOS_1).id);
    rig_settle(&s.r);
    rig_unsubscribe(&s.c, "kept");
    rig_publish(&s.p, "t", "1", QOS_1, 2);
    rig_publish(&s.p, "t", "2", QOS_1, 3);
    rig_settle(&s.r);
    assert_int_equal(rig_drain(&s.c), 2); /* the window is full */
    rig_subscribe(&s.c, "kept", QOS_1);
    rig_expect_nothing(&s.c);
    rig_forget(&s.c);
    rig_forget(&s.p);
    rig_restart(&s.r);
    assert_true(rig_connect(&s.r, &s.c, "client", false));
    rig_send_ack(&s.c, PACKET_PUBACK, expect(&s, "1", QOS_1).id);
    rig_send_ack(&s.c, PACKET_PUBACK, expect(&s, "2", QOS_1).id);
    rig_settle(&s.r);
    assert_true(rig_expect_publish(&s.c, "kept", "value", QOS_1).retain);
    rig_forget(&s.c);
    rig_settle(&s.r);
    rig_end(&s.r);
}

static void come_and_end(struct scene *s)
{
    struct rig_client other;

    rig_connect(&s->r, &other, "other", false);
    rig_subscribe(&other, "t", QOS_2);
    rig_subscribe(&other, "$share/g/t", QOS_2);
    rig_send_subscribe(&other, 7, "#", QOS_1);
    for (unsigned i = 0; i < 3; i++)
        publish(s, "queued", QOS_2);
    rig_forget(&other);
    assert_false(rig_connect(&s->r, &other, "other", true)); /* ends the former */
    rig_forget(&other);
    rig_settle(&s->r);
    assert_int_equal(broker_stats(s->r.b)->subscriptions, 1);
    assert_int_equal(broker_stats(s->r.b)->shared_subscriptions, 0);
}

/* A session that ends with a feed, rows and subscriptions leaves nothing. */
static void an_ended_session_leaves_nothing(void **state)
{
    struct scene s;

    (void)state;
    unit_needs_tracking();
    scene_begin(&s, QOS_1);
    retain_some(&s);
    size_t used = mem_used();
    come_and_end(&s);
    assert_true(mem_used() < used + 120000); /* chunks and pages that are kept for the next */
    used = mem_used();
    for (unsigned i = 0; i < 20; i++)
        come_and_end(&s);
    assert_true(mem_used() < used + 1000);
    scene_end(&s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(the_window_limits_what_is_in_flight),
        UNIT_TEST(the_window_counts_the_whole_handshake),
        UNIT_TEST(a_full_queue_drops_and_says_so_once),
        UNIT_TEST(the_queue_may_be_limited_in_bytes),
        UNIT_TEST(the_oldest_may_be_dropped_instead),
        UNIT_TEST(one_that_is_too_large_drops_no_other),
        UNIT_TEST(a_long_absence_costs_a_bounded_amount),
        UNIT_TEST(qos0_for_the_absent_only_if_so_configured),
        UNIT_TEST(long_queues_drain_within_the_budget),
        UNIT_TEST(what_is_unfinished_comes_again_in_order),
        UNIT_TEST(ids_go_on_where_they_were),
        UNIT_TEST(acknowledgements_of_the_wrong_kind_end_the_connection),
        UNIT_TEST(acknowledgements_of_the_unknown_are_tolerated),
        UNIT_TEST(a_repeated_qos2_message_is_given_on_once),
        UNIT_TEST(all_ids_may_be_unreleased_at_once),
        UNIT_TEST(unsubscribing_stops_new_messages_only),
        UNIT_TEST(a_feed_goes_on_after_a_reconnect),
        UNIT_TEST(unsubscribing_ends_the_feed),
        UNIT_TEST(subscribing_again_begins_the_feed_again),
        UNIT_TEST(several_feeds_run_at_once),
        UNIT_TEST(a_later_feed_gives_it_again),
        UNIT_TEST(an_ended_session_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
