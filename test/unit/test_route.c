/*
 * One publication to all its receivers: who, at which QoS, with which flags, and all or none.
 */
#include "core/route.h"

#include "core/outbox.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void the_lower_qos_counts(void **state)
{
    struct rig r;
    struct rig_client subscribers[3];
    struct rig_client p;
    char id[8];

    (void)state;
    rig_begin(&r, false);
    rig_connect(&r, &p, "publisher", true);
    for (unsigned s = 0; s < 3; s++) {
        (void)snprintf(id, sizeof(id), "s%u", s);
        rig_connect(&r, &subscribers[s], id, true);
        rig_subscribe(&subscribers[s], "t", (enum qos)s);
    }
    for (unsigned q = 0; q < 3; q++) {
        rig_publish(&p, "t", "x", (enum qos)q, q ? (uint16_t)(q + 1) : 0);
        rig_settle(&r);
        for (unsigned s = 0; s < 3; s++) {
            rig_expect_publish(&subscribers[s], "t", "x", (enum qos)(q < s ? q : s));
            rig_expect_nothing(&subscribers[s]);
        }
    }
    for (unsigned s = 0; s < 3; s++)
        rig_forget(&subscribers[s]);
    rig_forget(&p);
    rig_end(&r);
}

/* 3.3.5-1: of several subscriptions that match, the highest QoS; we send one copy. */
static void overlapping_subscriptions_give_one_copy_at_the_highest_qos(void **state)
{
    static const char *const filters[] = {"a/b", "a/+", "#", "a/#", "+/b"};

    (void)state;
    for (size_t highest = 0; highest < ARRAY_SIZE(filters); highest++) {
        struct rig r;
        struct rig_client c;
        rig_begin(&r, false);
        rig_connect(&r, &c, "id", true);
        for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
            rig_subscribe(&c, filters[i], i == highest ? QOS_2 : (enum qos)(i % 2));
        rig_publish(&c, "a/b", "x", QOS_2, 9);
        rig_settle(&r);
        struct packet_publish p = rig_expect_publish(&c, "a/b", "x", QOS_2);
        assert_false(p.retain);
        assert_int_equal(rig_expect(&c, PACKET_PUBREC), 9);
        rig_expect_nothing(&c);
        rig_forget(&c);
        rig_end(&r);
    }
}

/* With upgrade_outgoing_qos the subscription alone decides, for retained messages and queues too.
 */
static void the_granted_qos_counts_if_told_so(void **state)
{
    struct rig r;
    struct rig_client s;
    struct rig_client absent;
    struct rig_client p;

    (void)state;
    for (unsigned kind = 0; kind < 6; kind++) {
        enum qos granted = (enum qos)(kind % 3);
        rig_setup(&r);
        r.setup.persistent = kind >= 3;
        r.conf.global.upgrade_outgoing_qos = true;
        rig_start(&r);
        rig_connect(&r, &p, "publisher", true);
        rig_connect(&r, &absent, "absent", false);
        rig_subscribe(&absent, "t", granted);
        rig_forget(&absent);
        rig_connect(&r, &s, "s", true);
        rig_subscribe(&s, "t", granted);
        rig_retain(&p, "t", "at 0", QOS_0, 0);
        rig_publish(&p, "t", "at 2", QOS_2, 7);
        rig_settle(&r);
        assert_false(rig_expect_publish(&s, "t", "at 0", granted).retain);
        rig_expect_publish(&s, "t", "at 2", granted);
        rig_subscribe(&s, "+", granted);
        assert_true(rig_expect_publish(&s, "t", "at 0", granted).retain);
        if (kind >= 3)
            rig_check_replay(&r);
        assert_true(rig_connect(&r, &absent, "absent", false));
        if (granted > QOS_0) {
            rig_expect_publish(&absent, "t", "at 0", granted);
            rig_expect_publish(&absent, "t", "at 2", granted);
        }
        rig_expect_nothing(&absent);
        rig_forget(&absent);
        rig_forget(&s);
        rig_forget(&p);
        rig_end(&r);
    }
}

/* A large one at QoS 0 becomes a row like any other. */
static void an_upgraded_message_is_acknowledged_and_sent_again(void **state)
{
    static char payload[5000];
    struct rig r;
    struct rig_client s;
    struct rig_client p;

    (void)state;
    memset(payload, 'x', sizeof(payload) - 1);
    rig_setup(&r);
    r.conf.global.upgrade_outgoing_qos = true;
    rig_start(&r);
    rig_connect(&r, &p, "publisher", true);
    rig_connect(&r, &s, "s", false);
    rig_subscribe(&s, "t", QOS_1);
    rig_publish(&p, "t", payload, QOS_0, 0);
    rig_settle(&r);
    uint16_t id = rig_expect_publish(&s, "t", payload, QOS_1).id;
    rig_forget(&s);
    assert_true(rig_connect(&r, &s, "s", false));
    struct packet_publish again = rig_expect_publish(&s, "t", payload, QOS_1);
    assert_true(again.dup && again.id == id);
    rig_send_ack(&s, PACKET_PUBACK, id);
    rig_settle(&r);
    rig_forget(&s);
    assert_true(rig_connect(&r, &s, "s", false));
    rig_expect_nothing(&s);
    rig_forget(&s);
    rig_forget(&p);
    rig_end(&r);
}

/* Where the client is now counts, whatever was granted to it elsewhere. */
static void max_qos_is_for_deliveries_too(void **state)
{
    struct conf_listener low;
    struct rig r;
    struct rig_client s;
    struct rig_client p;

    (void)state;
    rig_begin(&r, false);
    low = r.listener;
    low.max_qos = 1;
    rig_connect(&r, &p, "publisher", true);
    rig_retain(&p, "kept", "x", QOS_2, 1);
    rig_connect(&r, &s, "s", false);
    rig_subscribe(&s, "t", QOS_2);
    rig_forget(&s);
    rig_publish(&p, "t", "queued", QOS_2, 2); /* keeps the QoS that it was queued at */
    rig_settle(&r);
    r.through = &low;
    assert_true(rig_connect(&r, &s, "s", false));
    rig_expect_publish(&s, "t", "queued", QOS_2);
    rig_publish(&p, "t", "live", QOS_2, 3);
    rig_settle(&r);
    rig_expect_publish(&s, "t", "live", QOS_1);
    rig_send_subscribe(&s, 9, "kept", QOS_2);
    rig_settle(&r);
    struct frame f;
    assert_true(rig_next(&s, &f) && frame_type(&f) == PACKET_SUBACK);
    assert_int_equal(f.body.p[2], QOS_1);
    rig_expect_publish(&s, "kept", "x", QOS_1);
    rig_send_publish(&s, &(struct packet_publish){
                             .topic = STR("x"), .payload = STR("x"), .id = 1, .qos = QOS_2});
    rig_settle(&r);
    rig_expect_closed(&s);
    rig_forget(&s);
    rig_forget(&p);
    rig_end(&r);
}

/* --- duplicates --- */

static void begin_duplicates(struct rig *r, bool persistent, bool queue_qos0)
{
    rig_setup(r);
    r->setup.persistent = persistent;
    r->conf.global.allow_duplicate_messages = true;
    r->conf.global.queue_qos0_messages = queue_qos0;
    r->conf.global.max_inflight_messages = 0;
    r->conf.global.max_queued_messages = 0;
    rig_start(r);
}

/* How many PUBLISH of each QoS has it got? */
static void count_copies(struct rig_client *c, unsigned copies[3])
{
    struct frame f;

    memset(copies, 0, 3 * sizeof(*copies));
    while (rig_next(c, &f)) {
        if (frame_type(&f) == PACKET_PUBLISH)
            copies[f.first >> 1 & 3]++;
    }
}

/* One copy for each subscription that matches, each at its own QoS. */
static void every_subscription_gets_its_copy_if_told_so(void **state)
{
    static const char *const filters[] = {"a/b", "a/+", "#", "a/#", "+/b", "+/+", "+/#", "other"};
    unsigned copies[3];
    struct rig r;
    struct rig_client c;
    struct rig_client p;

    (void)state;
    for (unsigned kind = 0; kind < 8; kind++) {
        begin_duplicates(&r, kind & 1, kind & 2);
        rig_connect(&r, &p, "publisher", true);
        rig_connect(&r, &c, "c", false);
        for (unsigned i = 0; i < ARRAY_SIZE(filters); i++)
            rig_subscribe(&c, filters[i], (enum qos)(i % 3));
        rig_subscribe(&c, "$share/g/a/b", QOS_1);
        if (kind & 4)
            rig_forget(&c);
        for (uint16_t n = 1; n <= 20; n++)
            rig_publish(&p, "a/b", "x", QOS_2, n);
        rig_settle(&r);
        rig_check(&r);
        if (kind & 1)
            rig_check_replay(&r);
        if (kind & 4)
            assert_true(rig_connect(&r, &c, "c", false));
        count_copies(&c, copies);
        assert_int_equal(copies[0], !(kind & 4) || kind & 2 ? 60 : 0);
        assert_int_equal(copies[1], 60);
        assert_int_equal(copies[2], 40);
        rig_check(&r);
        rig_forget(&c);
        rig_forget(&p);
        rig_end(&r);
    }
}

/* A topic of twelve levels, and filters with '+' in every place: more copies than a chunk of rows
 * holds. */
static void very_many_copies_are_no_trouble(void **state)
{
    char filter[] = "0/1/2/3/4/5/6/7";
    unsigned copies[3];
    struct rig r;
    struct rig_client c;
    struct rig_client p;

    (void)state;
    begin_duplicates(&r, false, false);
    rig_connect(&r, &p, "publisher", true);
    rig_connect(&r, &c, "c", true);
    for (unsigned i = 0; i < 256; i++) {
        for (unsigned level = 0; level < 8; level++)
            filter[level * 2] = i >> level & 1 ? '+' : (char)('0' + level);
        rig_subscribe(&c, filter, QOS_1);
    }
    rig_publish(&p, "0/1/2/3/4/5/6/7", "x", QOS_1, 1);
    rig_publish(&p, "0/1/2/3/4/5/6/7", "x", QOS_1, 2);
    rig_settle(&r);
    count_copies(&c, copies);
    assert_int_equal(copies[1], 512);
    rig_forget(&c);
    rig_forget(&p);
    rig_end(&r);
}

/* CPU time that publications for one client with so many copies take; its queue is full. */
static double seconds_for_copies(unsigned count)
{
    char filter[] = "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a";
    clock_t began;
    struct rig r;
    struct rig_client c;
    struct rig_client p;

    begin_duplicates(&r, false, false);
    r.conf.global.max_queued_messages = 1;
    r.conf.global.max_inflight_messages = 1;
    rig_restart(&r);
    rig_connect(&r, &p, "publisher", true);
    rig_connect(&r, &c, "c", true);
    for (unsigned i = 0; i < count; i++) {
        for (unsigned level = 0; level < sizeof(filter) / 2; level++)
            filter[level * 2] = i >> level & 1 ? '+' : 'a';
        rig_subscribe(&c, filter, QOS_1);
    }
    began = clock();
    for (uint16_t id = 1; id <= 5; id++)
        rig_publish(&p, "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a", "x", QOS_1, id);
    rig_settle(&r);
    assert_true(broker_stats(r.b)->publish_dropped >= 5 * (count - 2));
    began = clock() - began;
    rig_forget(&c);
    rig_forget(&p);
    rig_end(&r);
    return (double)began / CLOCKS_PER_SEC;
}

/* Eight times as many copies take about eight times as long, not the square of that. */
static void copies_take_time_in_proportion(void **state)
{
    double few;
    double many;
    unsigned tries = 0;

    (void)state;
    do {
        few = seconds_for_copies(1U << 12);
        many = seconds_for_copies(1U << 15);
    } while (many > 24 * few && ++tries < 5);
    print_message("%u copies: %.4f s, %u copies: %.4f s\n", 1U << 12, few, 1U << 15, many);
    assert_true(many <= 24 * few);
}

/* 3.3.1-8 to 3.3.1-12 */
static void retain_is_for_those_who_come_later(void **state)
{
    struct rig r;
    struct rig_client early;
    struct rig_client late;

    (void)state;
    rig_begin(&r, false);
    rig_connect(&r, &early, "early", true);
    rig_subscribe(&early, "t", QOS_0);
    rig_retain(&early, "t", "first", QOS_0, 0);
    rig_retain(&early, "t", "second", QOS_1, 1);
    rig_settle(&r);
    assert_false(rig_expect_publish(&early, "t", "first", QOS_0).retain);
    assert_false(rig_expect_publish(&early, "t", "second", QOS_0).retain);
    rig_connect(&r, &late, "late", true);
    rig_subscribe(&late, "t", QOS_2);
    assert_true(rig_expect_publish(&late, "t", "second", QOS_1).retain);
    rig_publish(&early, "t", "not retained", QOS_0, 0);
    rig_settle(&r);
    assert_false(rig_expect_publish(&late, "t", "not retained", QOS_0).retain);
    rig_retain(&early, "t", "", QOS_0, 0); /* forgets it; is delivered like any other */
    rig_settle(&r);
    assert_false(rig_expect_publish(&late, "t", "", QOS_0).retain);
    assert_int_equal(broker_stats(r.b)->retained, 0);
    rig_subscribe(&late, "t", QOS_2);
    rig_expect_nothing(&late);
    rig_forget(&early);
    rig_forget(&late);
    rig_end(&r);
}

static void some_publications_are_answered_and_given_to_nobody(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    rig_setup(&r);
    r.conf.global.message_size_limit = 5;
    rig_start(&r);
    rig_connect(&r, &c, "id", true);
    rig_subscribe(&c, "#", QOS_2);
    rig_subscribe(&c, "$SYS/#", QOS_2);
    rig_retain(&c, "$SYS/x", "x", QOS_1, 1);
    rig_publish(&c, "t", "123456", QOS_2, 2);
    rig_publish(&c, "t", "12345", QOS_0, 0);
    rig_settle(&r);
    assert_int_equal(rig_expect(&c, PACKET_PUBACK), 1);
    assert_int_equal(rig_expect(&c, PACKET_PUBREC), 2);
    rig_expect_publish(&c, "t", "12345", QOS_0);
    rig_expect_nothing(&c);
    assert_int_equal(broker_stats(r.b)->retained, 0);
    rig_forget(&c);
    rig_end(&r);
}

/* Per receiver the order of what one client has sent stays, whatever the sizes. */
static void the_order_of_a_publisher_stays(void **state)
{
    static char payload[3000];
    struct rig r;
    struct rig_client c;
    struct rig_client p;
    char topic[16];

    (void)state;
    memset(payload, 'x', sizeof(payload) - 1);
    for (int qos = 0; qos < 2; qos++) {
        rig_setup(&r);
        r.conf.global.max_inflight_messages = 0;
        rig_start(&r);
        rig_connect(&r, &c, "subscriber", true);
        rig_subscribe(&c, "t/#", QOS_1);
        rig_connect(&r, &p, "publisher", true);
        c.window = 5000;
        for (unsigned i = 0; i < 200; i++) {
            (void)snprintf(topic, sizeof(topic), "t/%u", i);
            rig_publish(&p, topic, i % 3 ? "" : payload, (enum qos)qos,
                        qos ? (uint16_t)(i + 1) : 0);
        }
        rig_settle(&r);
        for (unsigned i = 0; i < 200; i++) {
            (void)snprintf(topic, sizeof(topic), "t/%u", i);
            rig_expect_publish(&c, topic, i % 3 ? "" : payload, (enum qos)qos);
        }
        rig_expect_nothing(&c);
        rig_forget(&c);
        rig_forget(&p);
        rig_end(&r);
    }
}

/* --- shared --- */

#define MEMBERS 4

struct sharing {
    struct rig r;
    struct rig_client members[MEMBERS];
    struct rig_client p;
};

static void sharing_begin(struct sharing *s, bool clean)
{
    char id[16];

    rig_begin(&s->r, false);
    for (unsigned i = 0; i < MEMBERS; i++) {
        (void)snprintf(id, sizeof(id), "member-%u", i);
        rig_connect(&s->r, &s->members[i], id, clean);
        rig_subscribe(&s->members[i], "$share/group/t/+", QOS_1);
    }
    rig_connect(&s->r, &s->p, "publisher", true);
}

static void sharing_end(struct sharing *s)
{
    for (unsigned i = 0; i < MEMBERS; i++)
        rig_forget(&s->members[i]);
    rig_forget(&s->p);
    rig_settle(&s->r);
    rig_end(&s->r);
}

static void publish_shared(struct sharing *s, unsigned n, enum qos qos)
{
    for (unsigned i = 0; i < n; i++)
        rig_publish(&s->p, "t/x", "x", qos, qos ? (uint16_t)(i + 1) : 0);
    rig_settle(&s->r);
}

static void a_group_shares_messages_evenly(void **state)
{
    struct sharing s;

    (void)state;
    sharing_begin(&s, true);
    publish_shared(&s, 10 * MEMBERS, QOS_0);
    for (unsigned i = 0; i < MEMBERS; i++)
        assert_int_equal(rig_drain(&s.members[i]), 10);
    rig_unsubscribe(&s.members[1], "$share/group/t/+");
    publish_shared(&s, 9 * (MEMBERS - 1), QOS_0);
    for (unsigned i = 0; i < MEMBERS; i++)
        assert_int_equal(rig_drain(&s.members[i]), i == 1 ? 0 : 9);
    sharing_end(&s);
}

static void a_group_prefers_members_that_are_there(void **state)
{
    struct sharing s;

    (void)state;
    sharing_begin(&s, false);
    rig_forget(&s.members[0]);
    rig_forget(&s.members[2]);
    publish_shared(&s, 20, QOS_1);
    size_t got1 = rig_drain(&s.members[1]);
    size_t got3 = rig_drain(&s.members[3]);
    assert_int_equal(got1 + got3, 20);
    assert_true(got1 >= 5 && got3 >= 5);
    sharing_end(&s);
}

/* Nobody is there: the message waits for one of them, and for one only. */
static void a_group_of_absent_members_queues_for_one(void **state)
{
    struct sharing s;
    char id[16];
    size_t got = 0;

    (void)state;
    sharing_begin(&s, false);
    for (unsigned i = 0; i < MEMBERS; i++)
        rig_forget(&s.members[i]);
    publish_shared(&s, 12, QOS_1);
    for (unsigned i = 0; i < MEMBERS; i++) {
        (void)snprintf(id, sizeof(id), "member-%u", i);
        assert_true(rig_connect(&s.r, &s.members[i], id, false));
        got += rig_drain(&s.members[i]);
    }
    assert_int_equal(got, 12);
    sharing_end(&s);
}

/* Who does not read gets a bounded share; the others get the rest. */
static void a_group_passes_by_who_is_behind(void **state)
{
    static char payload[1001];
    struct sharing s;
    size_t got = 0;

    (void)state;
    memset(payload, 'x', sizeof(payload) - 1);
    sharing_begin(&s, true);
    s.members[0].window = 0;
    for (unsigned i = 0; i < 4000; i++) {
        rig_publish(&s.p, "t/x", payload, QOS_0, 0);
        if (i % 20 == 19)
            rig_turn(&s.r);
    }
    rig_settle(&s.r);
    for (unsigned i = 1; i < MEMBERS; i++)
        got += rig_drain(&s.members[i]);
    assert_true(got >= 4000 - OUTBOX_PUMP / 1000 - 1);
    assert_int_equal(broker_stats(s.r.b)->publish_dropped, 0);
    sharing_end(&s);
}

static void shared_and_plain_subscriptions_meet(void **state)
{
    struct sharing s;
    size_t got = 0;

    (void)state;
    sharing_begin(&s, true);
    for (unsigned i = 0; i < MEMBERS; i++)
        rig_subscribe(&s.members[i], "$share/other/#", QOS_0);
    rig_subscribe(&s.members[3], "t/x", QOS_0);
    publish_shared(&s, 40, QOS_0);
    size_t plain = rig_drain(&s.members[3]);
    assert_int_equal(plain, 40); /* at most once each, by whichever of its subscriptions */
    for (unsigned i = 0; i < 3; i++)
        got += rig_drain(&s.members[i]);
    assert_in_range(got, 20, 80);
    sharing_end(&s);
}

/* --- bridges --- */

static void connect_bridge(struct rig *r, struct rig_client *c)
{
    assert_true(rig_open(r, c));
    rig_send_connect(c, &(struct packet_connect){.client_id = STR("bridge"),
                                                 .level = PROTOCOL_311,
                                                 .bridge = true,
                                                 .clean_session = true});
    rig_settle(r);
    rig_expect_connack(c, false, CONNACK_ACCEPTED);
}

static void a_bridge_gets_retain_as_published_and_no_echo(void **state)
{
    struct rig r;
    struct rig_client bridge;
    struct rig_client c;

    (void)state;
    rig_begin(&r, false);
    connect_bridge(&r, &bridge);
    rig_subscribe(&bridge, "#", QOS_2);
    rig_connect(&r, &c, "client", true);
    rig_subscribe(&c, "#", QOS_2);
    rig_retain(&c, "t", "from client", QOS_1, 1);
    rig_publish(&c, "t", "not retained", QOS_0, 0);
    rig_settle(&r);
    assert_true(rig_expect_publish(&bridge, "t", "from client", QOS_1).retain);
    assert_false(rig_expect_publish(&bridge, "t", "not retained", QOS_0).retain);
    assert_false(rig_expect_publish(&c, "t", "from client", QOS_1).retain);
    assert_int_equal(rig_expect(&c, PACKET_PUBACK), 1);
    rig_retain(&bridge, "t", "from bridge", QOS_1, 1);
    rig_settle(&r);
    assert_int_equal(rig_expect(&bridge, PACKET_PUBACK), 1);
    rig_expect_nothing(&bridge);
    assert_int_equal(rig_drain(&c), 2);
    rig_forget(&bridge);
    rig_forget(&c);
    rig_end(&r);
}

/* --- failing memory --- */

/* Seventeen filters that match the second of these topics; "t/#" is one. */
static const char *const topics[] = {"t/1", "t/a level that is long/and/one more"};
#define OVERLAPPING 17

static const char *overlapping(size_t k)
{
    static const char *const levels[] = {"t", "a level that is long", "and", "one more"};
    static char filter[64];

    filter[0] = 0;
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        strcat(filter, i ? "/" : "");
        strcat(filter, k >> i & 1 ? "+" : levels[i]);
    }
    return k < OVERLAPPING - 1 ? filter : "t/#";
}

static void subscribe_overlapping(struct rig_client *c, size_t n)
{
    for (size_t k = OVERLAPPING - n; k < OVERLAPPING; k++)
        rig_subscribe(c, overlapping(k), k % 2 ? QOS_1 : QOS_2);
}

/* At QoS 1 and 2 all receivers get it, or the publisher is not answered and nobody gets it. */
static void with_failing_memory_all_get_it_or_none(void **state)
{
    struct rig_client s[6];
    struct rig_client p;
    char id[8];
    uint64_t failed = 1;

    (void)state;
    unit_needs_tracking();
    for (uint64_t n = 0; failed > 0; n++) {
        for (unsigned kind = 0; kind < 8; kind++) {
            enum qos qos = kind & 1 ? QOS_2 : QOS_1;
            size_t each = kind & 4 ? OVERLAPPING : 1; /* copies */
            size_t got = 0;
            struct rig r;
            if (each == 1)
                rig_begin(&r, kind & 2);
            else
                begin_duplicates(&r, kind & 2, n & 1);
            for (unsigned i = 0; i < ARRAY_SIZE(s); i++) {
                (void)snprintf(id, sizeof(id), "s%u", i);
                rig_connect(&r, &s[i], id, i % 2);
                subscribe_overlapping(&s[i], each);
                if (i > 3)
                    rig_close(&s[i]);
            }
            rig_connect(&r, &p, "publisher", false);
            rig_retain(&p, topics[each > 1 || n % 2], "x", qos, 7);
            mem_fail_after(n / 2, 0);
            rig_turn(&r);
            failed = mem_failed();
            mem_fail_never();
            rig_settle(&r);
            rig_check(&r);
            bool answered = p.in.n > p.in.at;
            for (unsigned i = 0; i < 4; i++) {
                size_t m = rig_drain(&s[i]);
                assert_true(m == 0 || m == each);
                got += m;
            }
            rig_forget(&s[4]);
            (void)rig_connect(&r, &s[4], "s4", false);
            got += rig_drain(&s[4]);
            assert_true(got == 0 || got == 5 * each);
            assert_true(!answered || got == 5 * each);
            assert_int_equal(broker_stats(r.b)->retained, got > 0);
            for (unsigned i = 0; i < ARRAY_SIZE(s); i++)
                rig_forget(&s[i]);
            rig_forget(&p);
            rig_end(&r);
        }
        if (n > 1000)
            fail_msg("there is no end to it");
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(the_lower_qos_counts),
        UNIT_TEST(overlapping_subscriptions_give_one_copy_at_the_highest_qos),
        UNIT_TEST(the_granted_qos_counts_if_told_so),
        UNIT_TEST(an_upgraded_message_is_acknowledged_and_sent_again),
        UNIT_TEST(max_qos_is_for_deliveries_too),
        UNIT_TEST(every_subscription_gets_its_copy_if_told_so),
        UNIT_TEST(very_many_copies_are_no_trouble),
        UNIT_TEST(copies_take_time_in_proportion),
        UNIT_TEST(retain_is_for_those_who_come_later),
        UNIT_TEST(some_publications_are_answered_and_given_to_nobody),
        UNIT_TEST(the_order_of_a_publisher_stays),
        UNIT_TEST(a_group_shares_messages_evenly),
        UNIT_TEST(a_group_prefers_members_that_are_there),
        UNIT_TEST(a_group_of_absent_members_queues_for_one),
        UNIT_TEST(a_group_passes_by_who_is_behind),
        UNIT_TEST(shared_and_plain_subscriptions_meet),
        UNIT_TEST(a_bridge_gets_retain_as_published_and_no_echo),
        UNIT_TEST(with_failing_memory_all_get_it_or_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
