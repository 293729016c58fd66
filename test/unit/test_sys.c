/*
 * What the broker tells of itself: that it is there, right, told only when it has changed, in time,
 * and never the reason for trouble.
 */
#include "core/sys.h"

#include "core/state.h"
#include "mqtt/decode.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROOT "$SYS/broker/"

/* For tests that want values, and for the one that wants none. */
#define needs_sys(wanted)                                                                          \
    do {                                                                                           \
        if (feature_built(FEATURE_SYS_TREE) != (wanted))                                           \
            skip();                                                                                \
    } while (0)

/* All topics, and what is said first in a broker where nothing has happened; NULL: some number. */
static const struct {
    const char *topic;
    const char *first;
    enum feature needs;
} topics[] = {
    {"version", "mosquitto version 9.8.7", FEATURE_NONE},
    {"uptime", "0 seconds", FEATURE_NONE},
    {"clients/total", "0", FEATURE_NONE},
    {"clients/connected", "0", FEATURE_NONE},
    {"clients/active", "0", FEATURE_NONE},
    {"clients/disconnected", "0", FEATURE_NONE},
    {"clients/inactive", "0", FEATURE_NONE},
    {"clients/maximum", "0", FEATURE_NONE},
    {"clients/expired", "0", FEATURE_NONE},
    {"connections/socket/count", "0", FEATURE_NONE},
    {"messages/received", "0", FEATURE_NONE},
    {"messages/sent", "0", FEATURE_NONE},
    {"messages/stored", NULL, FEATURE_NONE},
    {"store/messages/count", NULL, FEATURE_NONE},
    {"store/messages/bytes", NULL, FEATURE_NONE},
    {"retained messages/count", NULL, FEATURE_NONE},
    {"subscriptions/count", "0", FEATURE_NONE},
    {"shared_subscriptions/count", "0", FEATURE_NONE},
    {"bytes/received", "0", FEATURE_NONE},
    {"bytes/sent", "0", FEATURE_NONE},
    {"publish/messages/received", "0", FEATURE_NONE},
    {"publish/messages/sent", "0", FEATURE_NONE},
    {"publish/messages/dropped", "0", FEATURE_NONE},
    {"publish/bytes/received", "0", FEATURE_NONE},
    {"publish/bytes/sent", "0", FEATURE_NONE},
    {"packet/out/bytes", "0", FEATURE_NONE},
    {"packet/out/count", "0", FEATURE_NONE},
    {"heap/current", NULL, FEATURE_MEMORY_TRACKING},
    {"heap/maximum", NULL, FEATURE_MEMORY_TRACKING},
    {"load/messages/received/1min", "0.00", FEATURE_NONE},
    {"load/messages/received/5min", "0.00", FEATURE_NONE},
    {"load/messages/received/15min", "0.00", FEATURE_NONE},
    {"load/messages/sent/1min", "0.00", FEATURE_NONE},
    {"load/messages/sent/5min", "0.00", FEATURE_NONE},
    {"load/messages/sent/15min", "0.00", FEATURE_NONE},
    {"load/publish/received/1min", "0.00", FEATURE_NONE},
    {"load/publish/received/5min", "0.00", FEATURE_NONE},
    {"load/publish/received/15min", "0.00", FEATURE_NONE},
    {"load/publish/sent/1min", "0.00", FEATURE_NONE},
    {"load/publish/sent/5min", "0.00", FEATURE_NONE},
    {"load/publish/sent/15min", "0.00", FEATURE_NONE},
    {"load/publish/dropped/1min", "0.00", FEATURE_NONE},
    {"load/publish/dropped/5min", "0.00", FEATURE_NONE},
    {"load/publish/dropped/15min", "0.00", FEATURE_NONE},
    {"load/bytes/received/1min", "0.00", FEATURE_NONE},
    {"load/bytes/received/5min", "0.00", FEATURE_NONE},
    {"load/bytes/received/15min", "0.00", FEATURE_NONE},
    {"load/bytes/sent/1min", "0.00", FEATURE_NONE},
    {"load/bytes/sent/5min", "0.00", FEATURE_NONE},
    {"load/bytes/sent/15min", "0.00", FEATURE_NONE},
    {"load/sockets/1min", "0.00", FEATURE_NONE},
    {"load/sockets/5min", "0.00", FEATURE_NONE},
    {"load/sockets/15min", "0.00", FEATURE_NONE},
    {"load/connections/1min", "0.00", FEATURE_NONE},
    {"load/connections/5min", "0.00", FEATURE_NONE},
    {"load/connections/15min", "0.00", FEATURE_NONE},
};

static unsigned topics_built(void)
{
    unsigned n = 0;

    for (size_t i = 0; i < ARRAY_SIZE(topics); i++)
        n += feature_built(topics[i].needs);
    return n;
}

/* --- a broker that tells --- */

static void sys_start(struct rig *r, uint32_t interval_s)
{
    rig_setup(r);
    r->setup.version = "9.8.7";
    r->conf.global.sys_interval = interval_s;
    rig_start(r);
}

/* What is said now, or NULL; valid until the next call. */
static const char *said(const struct rig *r, const char *topic)
{
    static char text[128];
    char full[128];

    (void)snprintf(full, sizeof(full), ROOT "%s", topic);
    const struct message *m = retain_find(&r->b->retain, str_c(full));
    if (!m)
        return NULL;
    assert_int_equal(m->qos, QOS_2);
    (void)snprintf(text, sizeof(text), "%.*s", STR_ARG(message_payload(m)));
    return text;
}

static void expect(const struct rig *r, const char *topic, const char *text)
{
    const char *now = said(r, topic);

    if (!now || strcmp(now, text) != 0)
        fail_msg("%s is %s, not %s", topic, now ? now : "not there", text);
}

static uint64_t number(const struct rig *r, const char *topic)
{
    const char *text = said(r, topic);
    char *end = NULL;

    assert_non_null(text);
    uint64_t n = strtoull(text, &end, 10);
    assert_true(*text && *end == '\0');
    return n;
}

static void expect_all(const struct rig *r)
{
    for (size_t i = 0; i < ARRAY_SIZE(topics); i++) {
        if (!feature_built(topics[i].needs))
            assert_null(said(r, topics[i].topic));
        else if (topics[i].first)
            expect(r, topics[i].topic, topics[i].first);
        else
            assert_true(number(r, topics[i].topic) > 0);
    }
}

static void until_next_round(struct rig *r)
{
    rig_settle(r);
    assert_true(r->next > r->now.mono_ms && r->next != UINT64_MAX);
    rig_pass(r, r->next - r->now.mono_ms - 1); /* the turn itself takes a millisecond */
    rig_settle(r);
}

/* --- the tests --- */

static void all_is_there_after_the_first_turn(void **state)
{
    struct rig r;

    (void)state;
    needs_sys(true);
    sys_start(&r, 10);
    rig_turn(&r);
    expect_all(&r);
    assert_int_equal(r.b->stats.retained, topics_built());
    assert_int_equal(number(&r, "retained messages/count"), topics_built());
    assert_int_equal(number(&r, "messages/stored"), topics_built());
    assert_int_equal(number(&r, "store/messages/count"), topics_built());
    rig_end(&r);
}

static void a_broker_that_knows_no_version_tells_none(void **state)
{
    struct rig r;

    (void)state;
    needs_sys(true);
    sys_start(&r, 10);
    rig_end(&r);
    r.setup.version = NULL;
    rig_start(&r);
    rig_turn(&r);
    assert_null(said(&r, "version"));
    expect(&r, "clients/total", "0");
    broker_free(r.b);
}

static void without_an_interval_nothing_is_said(void **state)
{
    struct rig r;

    (void)state;
    sys_start(&r, 0);
    rig_turn(&r);
    rig_pass(&r, 100000);
    assert_int_equal(r.b->stats.retained, 0);
    assert_true(r.next == UINT64_MAX);
    rig_end(&r);
}

static void a_build_without_it_says_nothing(void **state)
{
    struct rig r;

    (void)state;
    needs_sys(false);
    sys_start(&r, 10);
    rig_turn(&r);
    rig_pass(&r, 100000);
    assert_int_equal(r.b->stats.retained, 0);
    assert_true(r.next == UINT64_MAX);
    rig_end(&r);
}

/* The broker is called when a round is due, and not before. */
static void rounds_come_in_time(void **state)
{
    struct rig r;

    (void)state;
    needs_sys(true);
    sys_start(&r, 10);
    rig_turn(&r);
    uint64_t first = r.now.mono_ms;
    assert_int_equal(r.next, first + 10000);
    rig_pass(&r, 9998);
    expect(&r, "uptime", "0 seconds");
    rig_turn(&r);
    expect(&r, "uptime", "10 seconds");
    assert_int_equal(r.next, first + 20000);
    rig_pass(&r, 10500); /* late, but the ones after it keep their times */
    expect(&r, "uptime", "20 seconds");
    assert_int_equal(r.next, first + 30000);
    rig_pass(&r, 100000); /* what was missed is not made up for */
    expect(&r, "uptime", "120 seconds");
    assert_int_equal(r.next, r.now.mono_ms + 10000);
    rig_end(&r);
}

/* The payloads of the packets that came for a topic, in order, e.g. "1 2 "; drops the others. */
static const char *heard(struct rig_client *c, const char *topic)
{
    static char all[512];
    struct packet_publish p;
    struct frame f;

    all[0] = '\0';
    while (rig_next(c, &f)) {
        assert_int_equal(decode_publish(&f, &p), REASON_OK);
        if (str_has_prefix(p.topic, STR(ROOT)) &&
            str_eq_c(str_of(p.topic.p + 12, p.topic.n - 12), topic))
            (void)snprintf(all + strlen(all), sizeof(all) - strlen(all), "%.*s%s ",
                           STR_ARG(p.payload), p.retain ? "(retained)" : "");
    }
    return all;
}

static void what_has_not_changed_is_not_said_again(void **state)
{
    struct rig r;
    struct rig_client watcher;
    struct rig_client other;

    (void)state;
    needs_sys(true);
    sys_start(&r, 10);
    rig_turn(&r);
    rig_connect(&r, &watcher, "watcher", true);
    rig_subscribe(&watcher, ROOT "clients/#", QOS_0);
    assert_string_equal(heard(&watcher, "clients/total"), "0(retained) ");
    until_next_round(&r);
    assert_string_equal(heard(&watcher, "clients/total"), "1 ");
    until_next_round(&r);
    until_next_round(&r);
    rig_expect_nothing(&watcher);
    rig_connect(&r, &other, "other", true);
    until_next_round(&r);
    assert_string_equal(heard(&watcher, "clients/connected"), "2 ");
    rig_forget(&other);
    until_next_round(&r);
    assert_string_equal(heard(&watcher, "clients/connected"), "1 ");
    expect(&r, "clients/maximum", "2");
    rig_forget(&watcher);
    rig_end(&r);
}

/*
 * Sockets opened in rounds of so many seconds; the averages that the formula gives, worked out
 * apart from this program.
 */
static void loads_are_exponential_averages(void **state)
{
    static const struct {
        unsigned sockets;
        unsigned seconds;
        const char *averages[3];
    } rounds[] = {
        {60, 60, {"37.93", "10.88", "3.87"}}, {0, 60, {"13.95", "8.90", "3.62"}},
        {1, 60, {"5.77", "7.47", "3.45"}},    {0, 120, {"0.78", "5.01", "3.02"}},
        {10, 60, {"6.61", "5.91", "3.47"}},   {0, 3600, {"0.00", "0.00", "0.06"}},
    };
    struct rig r;

    (void)state;
    needs_sys(true);
    sys_start(&r, 60);
    rig_turn(&r);
    for (size_t i = 0; i < ARRAY_SIZE(rounds); i++) {
        for (unsigned n = 0; n < rounds[i].sockets; n++) {
            struct rig_client c;
            assert_true(rig_open(&r, &c));
            rig_forget(&c);
        }
        rig_pass(&r, rounds[i].seconds * 1000 - 1);
        expect(&r, "load/sockets/1min", rounds[i].averages[0]);
        expect(&r, "load/sockets/5min", rounds[i].averages[1]);
        expect(&r, "load/sockets/15min", rounds[i].averages[2]);
        expect(&r, "load/connections/1min", "0.00");
    }
    rig_end(&r);
}

/* After the turns that follow, the values are these. */
static void expect_number(struct rig *r, const char *topic, uint64_t n)
{
    if (number(r, topic) != n)
        fail_msg("%s is %s, not %llu", topic, said(r, topic), (unsigned long long)n);
}

static void clients_are_counted(void **state)
{
    struct rig r;
    struct rig_client a;
    struct rig_client b;

    (void)state;
    needs_sys(true);
    sys_start(&r, 5);
    r.conf.global.persistent_client_expiration_s = 60;
    rig_turn(&r);
    rig_connect(&r, &a, "a", false);
    rig_connect(&r, &b, "b", true);
    rig_subscribe(&a, "x", QOS_1);
    rig_subscribe(&a, "y", QOS_1);
    rig_subscribe(&b, "$share/group/x", QOS_1);
    rig_forget(&a);
    until_next_round(&r);
    expect_number(&r, "clients/total", 2);
    expect_number(&r, "clients/connected", 1);
    expect_number(&r, "clients/active", 1);
    expect_number(&r, "clients/disconnected", 1);
    expect_number(&r, "clients/inactive", 1);
    expect_number(&r, "clients/maximum", 2);
    expect_number(&r, "clients/expired", 0);
    expect_number(&r, "subscriptions/count", 2);
    expect_number(&r, "shared_subscriptions/count", 1);
    expect_number(&r, "connections/socket/count", 2);
    rig_pass(&r, 70000);
    until_next_round(&r);
    expect_number(&r, "clients/total", 1);
    expect_number(&r, "clients/expired", 1);
    rig_forget(&b);
    rig_end(&r);
}

static void sessions_that_expire_are_counted(void **state)
{
    struct rig r;
    struct rig_client c;
    const char *ids[] = {"a", "b", "c"};

    (void)state;
    needs_sys(true);
    rig_setup(&r);
    r.setup.persistent = true;
    r.conf.global.sys_interval = 5;
    r.conf.global.persistent_client_expiration_s = 60;
    rig_start(&r);
    for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
        rig_connect(&r, &c, ids[i], false);
        rig_forget(&c);
    }
    until_next_round(&r);
    expect_number(&r, "clients/disconnected", 3);
    rig_pass(&r, 70000);
    until_next_round(&r);
    until_next_round(&r);
    expect_number(&r, "clients/expired", 3);
    expect_number(&r, "clients/total", 0);
    expect_number(&r, "clients/maximum", 3);
    rig_end(&r);
}

static void traffic_is_counted(void **state)
{
    static const uint8_t in[] = {0xe0, 0x00}; /* DISCONNECT */
    struct rig r;
    struct rig_client c;

    (void)state;
    needs_sys(true);
    sys_start(&r, 5);
    rig_turn(&r);
    rig_connect(&r, &c, "c", true);                 /* 15 bytes in, 4 out */
    rig_subscribe(&c, "t", QOS_1);                  /* 8 in, 5 out */
    rig_publish(&c, "t", "twelve bytes", QOS_0, 0); /* 17 in, 17 out */
    rig_publish(&c, "t", "five.", QOS_1, 7);        /* 12 in, 12 out, PUBACK of 4 out */
    rig_settle(&r);
    rig_send_ack(&c, PACKET_PUBACK, 1); /* 4 in */
    rig_send_empty(&c, PACKET_PINGREQ); /* 2 in, 2 out */
    rig_settle(&r);
    rig_send(&c, in, sizeof(in)); /* 2 in */
    rig_settle(&r);
    until_next_round(&r);
    expect_number(&r, "bytes/received", 15 + 8 + 17 + 12 + 4 + 2 + 2);
    expect_number(&r, "bytes/sent", 4 + 5 + 17 + 12 + 4 + 2);
    expect_number(&r, "messages/received", 7);
    expect_number(&r, "messages/sent", 6);
    expect_number(&r, "publish/messages/received", 2);
    expect_number(&r, "publish/messages/sent", 2);
    expect_number(&r, "publish/bytes/received", 17);
    expect_number(&r, "publish/bytes/sent", 17);
    expect_number(&r, "packet/out/bytes", 0);
    expect_number(&r, "packet/out/count", 0);
    rig_forget(&c);
    rig_end(&r);
}

static void refused_clients_are_connections_too(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    needs_sys(true);
    sys_start(&r, 60);
    r.listener.security.allow_anonymous = false;
    rig_turn(&r);
    assert_true(rig_open(&r, &c));
    rig_send_connect(&c, &(struct packet_connect){
                             .client_id = STR("c"), .level = PROTOCOL_311, .clean_session = true});
    rig_settle(&r);
    assert_null(c.conn);
    rig_forget(&c);
    until_next_round(&r);
    expect(&r, "load/connections/1min", "0.63");
    expect_number(&r, "messages/received", 1);
    expect_number(&r, "clients/maximum", 0);
    rig_end(&r);
}

/* What its reader does not take waits, and goes with it. */
static void bytes_that_wait_are_told(void **state)
{
    static char large[3000];
    struct rig r;
    struct rig_client reader;
    struct rig_client c;

    (void)state;
    needs_sys(true);
    memset(large, 'x', sizeof(large) - 1);
    sys_start(&r, 5);
    rig_connect(&r, &reader, "reader", true);
    rig_subscribe(&reader, "t", QOS_0);
    rig_connect(&r, &c, "c", true);
    reader.window = 0;
    rig_publish(&c, "t", large, QOS_0, 0);
    rig_publish(&c, "t", "small", QOS_0, 0);
    rig_settle(&r);
    reader.window = 100;
    rig_turn(&r);
    reader.window = 0;
    until_next_round(&r);
    expect_number(&r, "packet/out/bytes", 3 + 3 + 2999 + 2 + 3 + 5 - 100);
    expect_number(&r, "packet/out/count", 2);
    rig_forget(&reader);
    until_next_round(&r);
    expect_number(&r, "packet/out/bytes", 0);
    expect_number(&r, "packet/out/count", 0);
    rig_forget(&c);
    rig_end(&r);
}

/* A message for many is one; what is said here counts, being retained. */
static void messages_are_counted_once_each(bool persistent)
{
    struct rig r;
    struct rig_client a;
    struct rig_client b;
    struct rig_client p;

    rig_setup(&r);
    r.setup.persistent = persistent;
    r.conf.global.sys_interval = 5;
    rig_start(&r);
    rig_turn(&r);
    unsigned own = (unsigned)r.b->stats.retained;
    rig_connect(&r, &a, "a", false);
    rig_connect(&r, &b, "b", true); /* whose queue is not recorded */
    rig_subscribe(&a, "q/#", QOS_1);
    rig_subscribe(&b, "q/#", QOS_2);
    b.window = 0;
    rig_close(&a);
    rig_connect(&r, &p, "p", true);
    uint64_t bytes = r.b->persist.stored.payload_bytes;
    rig_publish(&p, "q/both", "0123456789", QOS_1, 1);
    rig_retain(&p, "q/kept", "01234", QOS_1, 2);
    rig_retain(&p, "kept", "abc", QOS_0, 0);
    rig_publish(&p, "q/gone", "abc", QOS_0, 0);
    rig_settle(&r);
    assert_int_equal(r.b->persist.stored.count, own + 3);
    assert_int_equal(r.b->persist.stored.payload_bytes, bytes + 18);
    until_next_round(&r);
    expect_number(&r, "store/messages/count", own + 3);
    expect_number(&r, "messages/stored", own + 3);
    expect_number(&r, "retained messages/count", own + 2);
    rig_forget(&b);
    assert_int_equal(r.b->persist.stored.count, own + 3);
    rig_retain(&p, "q/kept", "", QOS_0, 0); /* but it waits in the queue of the absent one */
    rig_settle(&r);
    assert_int_equal(r.b->persist.stored.count, own + 3);
    assert_int_equal(r.b->stats.retained, own + 1);
    rig_forget(&a);
    rig_connect(&r, &a, "a", true); /* ends that session */
    rig_settle(&r);
    assert_int_equal(r.b->persist.stored.count, own + 1);
    rig_forget(&a);
    rig_forget(&p);
    rig_end(&r);
}

static void messages_are_counted(void **state)
{
    (void)state;
    needs_sys(true);
    messages_are_counted_once_each(false);
    messages_are_counted_once_each(true);
}

/* Those whose content stands in the journal only are counted as the others, a restart included. */
static void messages_in_the_journal_are_counted(void **state)
{
    struct rig r;
    struct rig_client a;
    struct rig_client p;

    (void)state;
    needs_sys(true);
    rig_setup(&r);
    r.setup.persistent = true;
    r.conf.global.persistence_memory_limit = 1;
    rig_start(&r);
    rig_connect(&r, &a, "a", false);
    rig_subscribe(&a, "#", QOS_1);
    rig_forget(&a);
    rig_connect(&r, &p, "p", true);
    for (uint16_t i = 1; i <= 50; i++)
        rig_publish(&p, "some/topic", "0123456789", QOS_1, i);
    rig_settle(&r);
    rig_forget(&p);
    assert_int_equal(r.b->persist.stored.resident_bytes, 0);
    assert_int_equal(r.b->persist.stored.count, 50);
    assert_int_equal(r.b->persist.stored.payload_bytes, 500);
    rig_restart(&r);
    assert_int_equal(r.b->persist.stored.count, 50);
    assert_int_equal(r.b->persist.stored.payload_bytes, 500);
    rig_connect(&r, &a, "a", false);
    for (unsigned got = 0; got < 50;) {
        struct frame f;
        rig_settle(&r);
        while (rig_next(&a, &f)) {
            const uint8_t *at = (const uint8_t *)f.body.p + 2 + strlen("some/topic");
            rig_send_ack(&a, PACKET_PUBACK, (uint16_t)(at[0] << 8 | at[1]));
            got++;
        }
    }
    rig_settle(&r);
    assert_int_equal(r.b->persist.stored.count, 0);
    assert_int_equal(r.b->persist.stored.payload_bytes, 0);
    rig_forget(&a);
    rig_end(&r);
}

static void drops_are_counted(void **state)
{
    struct rig r;
    struct rig_client a;
    struct rig_client p;

    (void)state;
    needs_sys(true);
    sys_start(&r, 60);
    r.conf.global.message_size_limit = 10;
    r.conf.global.max_queued_messages = 2;
    rig_end(&r);
    rig_start(&r);
    rig_turn(&r);
    rig_connect(&r, &a, "a", false);
    rig_subscribe(&a, "q", QOS_1);
    rig_forget(&a);
    rig_connect(&r, &p, "p", true);
    for (uint16_t i = 1; i <= 5; i++)
        rig_publish(&p, "q", "queued", QOS_1, i); /* three too many */
    rig_publish(&p, "x", "larger than allowed", QOS_1, 6);
    rig_publish(&p, "$SYS/broker/uptime", "years", QOS_1, 7); /* denied, not dropped */
    until_next_round(&r);
    expect_number(&r, "publish/messages/dropped", 4);
    expect(&r, "load/publish/dropped/1min", "2.53");
    expect(&r, "uptime", "60 seconds");
    rig_forget(&p);
    rig_end(&r);
}

/* --- reload --- */

static void reload(struct rig *r, struct conf *fresh, uint32_t interval_s)
{
    *fresh = r->conf;
    fresh->global.sys_interval = interval_s;
    assert_ok(broker_prepare(r->b, fresh));
    broker_commit(r->b);
    assert_int_equal(broker_next(r->b), 0);
    rig_turn(r);
}

static void the_interval_can_be_changed(void **state)
{
    struct conf fresh[3];
    struct rig r;
    struct rig_client c;

    (void)state;
    needs_sys(true);
    sys_start(&r, 0);
    rig_turn(&r);
    rig_connect(&r, &c, "c", true);
    rig_subscribe(&c, ROOT "uptime", QOS_0);
    rig_pass(&r, 30000);
    reload(&r, &fresh[0], 10);
    assert_string_equal(heard(&c, "uptime"), "30 seconds ");
    assert_int_equal(r.b->stats.retained, topics_built());
    expect(&r, "load/sockets/1min", "0.00"); /* what was before has no rate */
    assert_int_equal(r.next, r.now.mono_ms + 10000);
    reload(&r, &fresh[1], 2);
    assert_int_equal(r.next, r.now.mono_ms + 2000);
    until_next_round(&r);
    assert_string_equal(heard(&c, "uptime"), "32 seconds ");
    reload(&r, &fresh[2], 0);
    rig_settle(&r);
    assert_string_equal(heard(&c, "uptime"), " "); /* taken back */
    assert_int_equal(r.b->stats.retained, 0);
    assert_int_equal(r.b->persist.stored.count, 0);
    assert_true(r.next == UINT64_MAX);
    rig_forget(&c);
    rig_end(&r);
}

/* --- it is nobody's trouble --- */

static void nothing_of_it_is_stored(void **state)
{
    struct rig r;

    (void)state;
    needs_sys(true);
    rig_setup(&r);
    r.setup.persistent = true;
    r.conf.global.sys_interval = 1;
    rig_start(&r);
    rig_turn(&r);
    for (unsigned i = 0; i < 5; i++)
        until_next_round(&r);
    assert_true(r.b->stats.retained > 50);
    assert_int_equal(r.frame_count, 0);
    rig_end(&r);
}

/* Many who listen to all of it: each gets all, once, and no turn does more than its share. */
static void a_round_for_many_goes_over_many_turns(void **state)
{
    static struct rig_client clients[400];
    struct rig r;
    char id[32];

    (void)state;
    needs_sys(true);
    sys_start(&r, 3600);
    rig_turn(&r);
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
        (void)snprintf(id, sizeof(id), "client-%zu", i);
        rig_connect(&r, &clients[i], id, true);
        rig_subscribe(&clients[i], ROOT "#", QOS_0);
        assert_int_equal(rig_drain(&clients[i]), topics_built());
    }
    rig_pass(&r, 3600 * 1000);
    unsigned turns = 1;
    size_t most = 0;
    size_t all = 0;
    while (r.next == 0) {
        size_t now = rig_drain(&clients[0]);
        most = now > most ? now : most;
        all += now;
        turns++;
        assert_true(r.b->work.spent < WORK_TURN + 2 * 400 * (WORK_DELIVERY + WORK_WRITE));
        rig_turn(&r);
    }
    all += rig_drain(&clients[0]);
    print_message("a round for %zu clients: %u turns, %zu of %zu values in one\n",
                  ARRAY_SIZE(clients), turns, most, all);
    assert_true(turns > 2);
    assert_true(all > 20 && all <= topics_built());
    for (size_t i = 1; i < ARRAY_SIZE(clients); i++)
        assert_int_equal(rig_drain(&clients[i]), all);
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        rig_forget(&clients[i]);
    rig_end(&r);
}

/* Without memory values are left out, and come with the next round. */
static void allocations_fail(int all)
{
    uint64_t failed = 1;
    unsigned n = 0;

    for (; failed > 0; n++) {
        struct rig r;
        sys_start(&r, 5);
        mem_fail_after(n, all);
        rig_turn(&r);
        failed = mem_failed();
        mem_fail_never();
        rig_check(&r);
        until_next_round(&r);
        for (size_t i = 0; i < ARRAY_SIZE(topics); i++)
            assert_int_equal(said(&r, topics[i].topic) != NULL, feature_built(topics[i].needs));
        expect(&r, "uptime", "5 seconds");
        rig_end(&r);
    }
    /* Values are published in steps that each need memory: more than the first of them failed. */
    assert_true(n > 10);
}

static void failing_allocations_only_delay(void **state)
{
    (void)state;
    needs_sys(true);
    unit_needs_tracking();
    allocations_fail(0);
    allocations_fail(1);
}

/* What could not be taken back for want of memory is taken back later. */
static void taking_back_is_tried_again(void **state)
{
    struct conf fresh;
    struct rig r;

    (void)state;
    needs_sys(true);
    unit_needs_tracking();
    for (unsigned n = 0; n < 200; n += 7) {
        sys_start(&r, 5);
        rig_turn(&r);
        mem_fail_after(n, 1);
        reload(&r, &fresh, 0);
        mem_fail_never();
        rig_settle(&r);
        if (r.b->stats.retained > 0)
            until_next_round(&r);
        assert_int_equal(r.b->stats.retained, 0);
        assert_true(r.next == UINT64_MAX);
        rig_end(&r);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(all_is_there_after_the_first_turn),
        UNIT_TEST(a_broker_that_knows_no_version_tells_none),
        UNIT_TEST(without_an_interval_nothing_is_said),
        UNIT_TEST(a_build_without_it_says_nothing),
        UNIT_TEST(rounds_come_in_time),
        UNIT_TEST(what_has_not_changed_is_not_said_again),
        UNIT_TEST(loads_are_exponential_averages),
        UNIT_TEST(clients_are_counted),
        UNIT_TEST(sessions_that_expire_are_counted),
        UNIT_TEST(traffic_is_counted),
        UNIT_TEST(refused_clients_are_connections_too),
        UNIT_TEST(bytes_that_wait_are_told),
        UNIT_TEST(messages_are_counted),
        UNIT_TEST(messages_in_the_journal_are_counted),
        UNIT_TEST(drops_are_counted),
        UNIT_TEST(the_interval_can_be_changed),
        UNIT_TEST(nothing_of_it_is_stored),
        UNIT_TEST(a_round_for_many_goes_over_many_turns),
        UNIT_TEST(failing_allocations_only_delay),
        UNIT_TEST(taking_back_is_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
