/*
 * Log lines as messages: where they go, and that they never feed themselves.
 */
#include "server/logsink.h"

#include "rig.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static struct rig r;
static struct rig_client watcher;
static struct logsink sink;
static const struct log_style plain;

/* A broker that logs all it does to its own subscribers, one of which is there. */
static int setup(void **state)
{
    int result = unit_begin(state);
    struct conf_global g = {.log_dest = CONF_LOG_TOPIC, .log_type = LOG_LEVEL_ALL};
    logsink_init(&sink);
    logsink_configure(&sink, &g);
    rig_setup(&r);
    r.setup.log = (struct log){LOG_LEVEL_ALL, logsink_line, &sink};
    r.conf.global.max_inflight_messages = 1;
    r.conf.global.max_queued_messages = 1;
    rig_start(&r);
    (void)rig_connect(&r, &watcher, "watcher", true);
    rig_subscribe(&watcher, "$SYS/broker/log/#", QOS_0);
    log_topic_close(&sink.topic);
    assert_ok(log_topic_open(&sink.topic));
    return result;
}

static int teardown(void **state)
{
    rig_forget(&watcher);
    rig_end(&r);
    logsink_clear(&sink);
    return unit_end(state);
}

#define TOPIC_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void say(enum log_level level, const char *text)
{
    logsink_line(&sink, level, str_c(text), NULL);
}

/* A turn as the server's loop has it. */
static void turn(void)
{
    rig_turn(&r);
    logsink_publish(&sink, r.b);
}

static void each_level_has_its_topic(void **state)
{
    (void)state;
    say(LOG_LEVEL_ERROR, "e");
    say(LOG_LEVEL_WARNING, "w");
    say(LOG_LEVEL_NOTICE, "n");
    say(LOG_LEVEL_INFO, "i");
    say(LOG_LEVEL_DEBUG, "d");
    say(LOG_LEVEL_SUBSCRIBE, "s");
    say(LOG_LEVEL_UNSUBSCRIBE, "u");
    rig_expect_nothing(&watcher);
    assert_true(logsink_has_news(&sink));
    turn();
    assert_false(logsink_has_news(&sink));
    rig_settle(&r);
    (void)rig_expect_publish(&watcher, "$SYS/broker/log/E", "e", QOS_0);
    (void)rig_expect_publish(&watcher, "$SYS/broker/log/W", "w", QOS_0);
    (void)rig_expect_publish(&watcher, "$SYS/broker/log/N", "n", QOS_0);
    (void)rig_expect_publish(&watcher, "$SYS/broker/log/I", "i", QOS_0);
    (void)rig_expect_publish(&watcher, "$SYS/broker/log/M/subscribe", "s", QOS_0);
    (void)rig_expect_publish(&watcher, "$SYS/broker/log/M/unsubscribe", "u", QOS_0);
    rig_expect_nothing(&watcher);
}

static void publishing_makes_no_news(void **state)
{
    (void)state;
    say(LOG_LEVEL_NOTICE, "n");
    for (int i = 0; i < 20; i++)
        turn();
    assert_false(logsink_has_news(&sink));
    (void)rig_expect_publish(&watcher, "$SYS/broker/log/N", "n", QOS_0);
    rig_expect_nothing(&watcher);
}

/* That a log message is dropped is a line for all other destinations. */
static void a_log_message_that_is_dropped_is_no_news(void **state)
{
    struct rig_client slow;
    (void)state;
    (void)rig_connect(&r, &slow, "slow", true);
    rig_subscribe(&slow, "$SYS/broker/log/#", QOS_2);
    log_topic_close(&sink.topic);
    assert_ok(log_topic_open(&sink.topic));
    for (int i = 0; i < 5; i++)
        say(LOG_LEVEL_NOTICE, "n");
    uint64_t before = broker_stats(r.b)->publish_dropped;
    logsink_publish(&sink, r.b);
    assert_int_not_equal(broker_stats(r.b)->publish_dropped, before);
    assert_false(logsink_has_news(&sink));
    rig_settle(&r);
    for (int i = 0; i < 5; i++)
        (void)rig_expect_publish(&watcher, "$SYS/broker/log/N", "n", QOS_0);
    rig_expect_nothing(&watcher);
    rig_forget(&slow);
}

static void what_becomes_of_a_log_message_is_no_news(void **state)
{
    struct log_about about = {.topic = STR("$SYS/broker/log/N")};
    (void)state;
    logsink_line(&sink, LOG_LEVEL_NOTICE, STR("denied"), &about);
    assert_false(logsink_has_news(&sink));
    about.topic = STR("$SYS/broker/uptime");
    logsink_line(&sink, LOG_LEVEL_NOTICE, STR("denied"), &about);
    assert_true(logsink_has_news(&sink));
}

static void a_flood_is_bounded_and_counted(void **state)
{
    unsigned got = 0;
    (void)state;
    for (int i = 0; i < 100000; i++)
        say(LOG_LEVEL_NOTICE, "line");
    assert_in_range(logsink_lost(&sink), 90000, 99900);
    for (int i = 0; i < 2000 && logsink_has_news(&sink); i++)
        turn();
    rig_settle(&r);
    struct frame f;
    char expected[64];
    (void)snprintf(expected, sizeof(expected), "(%llu log lines were lost here)",
                   (unsigned long long)logsink_lost(&sink));
    for (; got < 100000 - logsink_lost(&sink); got++)
        (void)rig_expect_publish(&watcher, "$SYS/broker/log/N", "line", QOS_0);
    (void)rig_expect_publish(&watcher, "$SYS/broker/log/W", expected, QOS_0);
    assert_false(rig_next(&watcher, &f));
    say(LOG_LEVEL_INFO, "after");
    turn();
    rig_settle(&r);
    (void)rig_expect_publish(&watcher, "$SYS/broker/log/I", "after", QOS_0);
}

static void room_in_front_is_used_again(void **state)
{
    struct log_topic t;
    struct log_text line = {.n = 1001};
    size_t put = 0;
    (void)state;
    memset(line.bytes, 'x', sizeof(line.bytes));
    log_topic_init(&t);
    assert_ok(log_topic_open(&t));
    for (; t.lost == 0 && put < 1000; put++)
        log_topic_put(&t, LOG_LEVEL_NOTICE, &line);
    assert_in_range(put, 60, 66);
    t.lost = 0;
    rig_turn(&r);
    t.begin = t.end / (put - 1) * 10; /* ten have been published */
    for (int i = 0; i < 10; i++)
        log_topic_put(&t, LOG_LEVEL_NOTICE, &line);
    assert_int_equal(t.lost, 0);
    log_topic_put(&t, LOG_LEVEL_NOTICE, &line);
    assert_int_equal(t.lost, 1);
    log_topic_close(&t);
}

static void a_turn_is_left_to_others_when_it_was_much(void **state)
{
    (void)state;
    for (int i = 0; i < 600; i++)
        say(LOG_LEVEL_NOTICE, "line");
    sink.topic.rests = true;
    size_t before = sink.topic.begin;
    log_topic_publish(&sink.topic, r.b, &plain);
    assert_int_equal(sink.topic.begin, before);
    log_topic_publish(&sink.topic, r.b, &plain);
    assert_true(sink.topic.begin > before);
    assert_true(logsink_has_news(&sink));
}

static void a_closed_one_takes_nothing(void **state)
{
    struct log_entry entry = {LOG_LEVEL_NOTICE, STR("n"), NULL};
    (void)state;
    assert_true(log_topic_wants(&sink.topic, &entry));
    say(LOG_LEVEL_NOTICE, "n");
    log_topic_close(&sink.topic);
    assert_false(log_topic_wants(&sink.topic, &entry));
    assert_false(logsink_has_news(&sink));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TOPIC_TEST(each_level_has_its_topic),
        TOPIC_TEST(publishing_makes_no_news),
        TOPIC_TEST(a_log_message_that_is_dropped_is_no_news),
        TOPIC_TEST(what_becomes_of_a_log_message_is_no_news),
        TOPIC_TEST(a_flood_is_bounded_and_counted),
        TOPIC_TEST(room_in_front_is_used_again),
        TOPIC_TEST(a_turn_is_left_to_others_when_it_was_much),
        TOPIC_TEST(a_closed_one_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
