/*
 * The wording of ends, refusals, denials and drops; what a hostile name can make of it (nothing);
 * and how floods are cut.
 */
#include "core/report.h"

#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything that was written, and what the last line was about. */
struct heard {
    unsigned lines;
    char text[LOG_LINE_MAX + 1];
    struct log_about about;
    char address[PEER_TEXT_MAX]; /* what about.address shows: the reporter's own is gone by then */
    enum log_level level;
};

struct scene {
    struct heard heard;
    struct log log;
    struct conf conf;
    struct conf_listener listener;
    struct peer peer;
    struct party who;
    struct report report;
};

static void hear(void *ctx, enum log_level level, struct str line, const struct log_about *about)
{
    struct heard *h = ctx;

    h->lines++;
    h->level = level;
    memcpy(h->text, line.p, line.n);
    h->text[line.n] = '\0';
    h->about = about ? *about : (struct log_about){0};
    assert_true(h->about.address.n <= sizeof(h->address));
    if (h->about.address.n > 0)
        memcpy(h->address, h->about.address.p, h->about.address.n);
    h->about.address.p = h->address;
}

static void scene_begin(struct scene *s)
{
    memset(s, 0, sizeof(*s));
    s->log = (struct log){LOG_LEVEL_DEFAULT, hear, &s->heard};
    s->conf.global.connection_messages = true;
    s->listener.port = 1883;
    s->peer =
        (struct peer){.ip = {10, 0, 0, 7}, .family = 4, .port = 4001, .listener = &s->listener};
    s->who = (struct party){.client = STR("thermo"), .user = STR("joe"), .peer = &s->peer};
    report_init(&s->report, &s->log, &s->conf);
    s->report.now_ms = 1000;
}

static void close_for(struct scene *s, enum reason why, const char *detail, bool stranger)
{
    report_closed(&s->report, &s->who,
                  &(struct report_end){.why = why, .detail = detail, .stranger = stranger});
}

static void deny(struct scene *s, struct str topic)
{
    report_denied(
        &s->report, &s->who,
        &(struct report_denial){.act = "publish to", .topic = topic, .why = REASON_TOPIC_RESERVED});
}

/* --- shapes --- */

static void an_end_names_everything(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    s.conf.global.max_packet_size = 2000000;
    close_for(&s, REASON_PACKET_TOO_LARGE, NULL, false);
    assert_string_equal(s.heard.text, "Client thermo [10.0.0.7:4001] disconnected: oversize packet "
                                      "(max_packet_size 2000000, user 'joe').");
    assert_int_equal(s.heard.level, LOG_LEVEL_NOTICE);
    assert_string_equal(s.heard.about.event, "closed");
    assert_string_equal(s.heard.about.rule, "max_packet_size");
    assert_string_equal(s.heard.about.reason, "oversize packet");
    assert_true(str_eq_c(s.heard.about.client, "thermo"));
    assert_true(str_eq_c(s.heard.about.user, "joe"));
    assert_int_equal(s.heard.about.port, 4001);
    s.who.user = STR("");
    close_for(&s, REASON_SOCKET, "Connection reset by peer", false);
    assert_string_equal(
        s.heard.text,
        "Client thermo [10.0.0.7:4001] disconnected: connection lost: Connection reset by peer.");
    assert_null(s.heard.about.rule);
    close_for(&s, REASON_TAKEN_OVER, "by 10.0.0.8:99", false);
    assert_string_equal(
        s.heard.text,
        "Client thermo [10.0.0.7:4001] disconnected: session taken over by 10.0.0.8:99.");
    assert_string_equal(s.heard.about.event, "taken_over");
}

static void a_refusal_of_nobody_in_particular(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    s.who = (struct party){.peer = &s.peer};
    close_for(&s, REASON_ANONYMOUS, NULL, true);
    assert_string_equal(s.heard.text,
                        "Client <unknown> [10.0.0.7:4001] disconnected: not authorised: anonymous "
                        "clients are not allowed (allow_anonymous false).");
    assert_string_equal(s.heard.about.event, "refused");
    assert_int_equal(s.heard.about.client.n, 0);
    report_closed(
        &s.report, &s.who,
        &(struct report_end){.why = REASON_WILL_TOPIC, .topic = STR("$SYS/x"), .stranger = true});
    assert_string_equal(
        s.heard.text,
        "Client <unknown> [10.0.0.7:4001] disconnected: will topic not allowed: '$SYS/x'.");
    assert_true(str_eq_c(s.heard.about.topic, "$SYS/x"));
}

/* What a line of a file has decided is told by the line. */
static void another_rule_takes_the_place_of_the_option(void **state)
{
    struct scene s;
    struct report_denial d = {
        .act = "read", .topic = STR("a/b"), .why = REASON_ACL, .rule = "/etc/acl:17"};

    (void)state;
    scene_begin(&s);
    report_denied(&s.report, &s.who, &d);
    assert_string_equal(s.heard.text,
                        "Client thermo [10.0.0.7:4001] denied: read 'a/b': not allowed "
                        "by the ACL (/etc/acl:17, user 'joe').");
    assert_string_equal(s.heard.about.rule, "/etc/acl:17");
    assert_string_equal(s.heard.about.event, "denied");
    d.rule = NULL;
    s.who.user = STR("");
    s.who.peer = NULL;
    report_denied(&s.report, &s.who, &d);
    assert_string_equal(
        s.heard.text,
        "Client thermo [not connected] denied: read 'a/b': not allowed by the ACL (acl_file).");
    s.who.peer = &s.peer;
    report_closed(&s.report, &s.who,
                  &(struct report_end){.why = REASON_WILL_TOPIC,
                                       .topic = STR("w"),
                                       .rule = "acl_file /etc/acl: no line grants it",
                                       .stranger = true});
    assert_string_equal(s.heard.text, "Client thermo [10.0.0.7:4001] disconnected: will topic not "
                                      "allowed: 'w' (acl_file /etc/acl: no line grants it).");
}

/* What every user of version 1 knows stays as it was. */
static void known_lines_stay(void **state)
{
    struct scene s;
    struct packet_connect p = {.clean_session = true, .keepalive_s = 60};

    (void)state;
    scene_begin(&s);
    report_opened(&s.report, &s.peer);
    assert_string_equal(s.heard.text, "New connection from 10.0.0.7 on port 1883.");
    report_connected(&s.report, &s.who, &p);
    assert_string_equal(s.heard.text, "New client connected from 10.0.0.7 as thermo (c1, k60).");
    p.username = STR("joe");
    p.has_username = p.bridge = true;
    report_connected(&s.report, &s.who, &p);
    assert_string_equal(s.heard.text,
                        "New bridge connected from 10.0.0.7 as thermo (c1, k60, u'joe').");
    close_for(&s, REASON_DISCONNECT, NULL, false);
    assert_string_equal(s.heard.text, "Client thermo disconnected.");
    assert_true(str_eq_c(s.heard.about.address, "10.0.0.7"));
}

static void connection_messages_are_for_orderly_ends(void **state)
{
    static const enum reason silent[] = {REASON_DISCONNECT, REASON_PEER_CLOSED, REASON_SHUTDOWN};
    struct scene s;
    struct packet_connect p = {.keepalive_s = 60};

    (void)state;
    scene_begin(&s);
    s.conf.global.connection_messages = false;
    report_opened(&s.report, &s.peer);
    report_connected(&s.report, &s.who, &p);
    for (size_t i = 0; i < ARRAY_SIZE(silent); i++) {
        close_for(&s, silent[i], NULL, false);
        close_for(&s, silent[i], NULL, true);
    }
    assert_int_equal(s.heard.lines, 0);
    close_for(&s, REASON_KEEPALIVE, NULL, false);
    assert_int_equal(s.heard.lines, 1);
}

static void messages_name_topic_and_limit(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    s.conf.global.message_size_limit = 10;
    s.conf.global.max_queued_messages = 1000;
    deny(&s, STR("$SYS/a"));
    assert_string_equal(s.heard.text, "Client thermo [10.0.0.7:4001] denied: publish to '$SYS/a': "
                                      "reserved for the broker (user 'joe').");
    assert_string_equal(s.heard.about.event, "denied");
    report_dropped(&s.report, &s.who, STR("a"), REASON_PAYLOAD_TOO_LARGE);
    assert_string_equal(s.heard.text,
                        "Client thermo [10.0.0.7:4001] dropped: publish to 'a': oversize payload "
                        "(message_size_limit 10, user 'joe').");
    report_dropping(&s.report, &s.who, REASON_QUEUE_FULL);
    assert_string_equal(s.heard.text,
                        "Outgoing messages are being dropped for client thermo [10.0.0.7:4001]: "
                        "queue is full (max_queued_messages 1000, user 'joe').");
    s.who = (struct party){.client = STR("thermo")};
    report_dropping(&s.report, &s.who, REASON_QUEUE_FULL);
    assert_string_equal(s.heard.text,
                        "Outgoing messages are being dropped for client thermo [not connected]: "
                        "queue is full (max_queued_messages 1000).");
    report_episode(&s.report, &s.who, 4132, true);
    assert_string_equal(s.heard.text, "Outgoing messages for client thermo [not connected] are "
                                      "accepted again, 4,132 dropped.");
    assert_int_equal(s.heard.about.more, 4132);
    report_episode(&s.report, &s.who, 3, false);
    assert_string_equal(s.heard.text, "Outgoing messages were dropped for client thermo "
                                      "[not connected] until it left: 3.");
}

static void memory_is_a_rule_only_where_it_is_limited(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    report_will_lost(&s.report, &s.who, STR("w"), REASON_NOMEM);
    assert_string_equal(s.heard.text, "Error: The will of client thermo [10.0.0.7:4001] was not "
                                      "published to 'w': out of memory (user 'joe').");
    assert_int_equal(s.heard.level, LOG_LEVEL_ERROR);
    s.conf.global.memory_limit = 5000000;
    report_will_lost(&s.report, &s.who, STR("w"), REASON_NOMEM);
    assert_string_equal(s.heard.text,
                        "Error: The will of client thermo [10.0.0.7:4001] was not published to "
                        "'w': out of memory (memory_limit 5000000, user 'joe').");
    report_unreadable(&s.report, &s.who, 77);
    assert_non_null(strstr(s.heard.text, "client thermo [10.0.0.7:4001] cannot be read back from "
                                         "position 77 of the journal"));
}

/* Every reason with an option has a line that names it, and a value if it has one. */
static void every_rule_is_in_its_line(void **state)
{
    static char prefix[] = "fleet[1]";
    static char mount[] = "site/";
    struct scene s;

    (void)state;
    for (int r = 1; r < REASON_COUNT; r++) {
        const char *rule = reason_rule((enum reason)r);
        char text[100];
        scene_begin(&s);
        s.conf.global.memory_limit = 1;
        s.conf.global.clientid_prefixes = prefix;
        s.listener.mount_point = mount;
        close_for(&s, (enum reason)r, NULL, true);
        assert_int_equal(s.heard.lines, 1);
        if (!rule || r == REASON_DISCONNECT)
            continue;
        (void)snprintf(text, sizeof(text), "(%s", rule);
        assert_non_null(strstr(s.heard.text, text));
        assert_string_equal(s.heard.about.rule, rule);
    }
    scene_begin(&s);
    s.conf.global.clientid_prefixes = prefix;
    close_for(&s, REASON_CLIENT_ID_PREFIX, NULL, true);
    assert_non_null(strstr(s.heard.text, "(clientid_prefixes fleet\\x5b1\\x5d, user 'joe')."));
}

/* --- what peers choose --- */

/* The first '[' of a line is ours, and there is one; quotes come in ours only. */
static void expect_unforged(const struct scene *s, unsigned quotes)
{
    const char *first = strchr(s->heard.text, '[');

    assert_non_null(first);
    assert_int_equal(strncmp(first, "[10.0.0.7:4001] ", 16), 0);
    assert_null(strchr(first + 1, '['));
    for (const char *p = s->heard.text; (p = strchr(p, '\'')); p++)
        quotes--;
    assert_int_equal(quotes, 0);
    assert_null(strchr(s->heard.text, '\n'));
    assert_null(strchr(s->heard.text, '\x1b'));
}

static void names_cannot_forge_a_line(void **state)
{
    static const char *const evil[] = {
        "x [6.6.6.6:1] disconnected: not authorised",
        "x' [6.6.6.6:1] disconnected: not authorised (user 'y",
        "x\n1: Client y [6.6.6.6:1] disconnected: not authorised.",
        "\x1b[2K\rx",
        "]]]][[[[''''\"\"\"\"\\\\",
    };
    struct scene s;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(evil); i++) {
        struct str name = str_c(evil[i]);
        scene_begin(&s);
        s.who.client = s.who.user = name;
        close_for(&s, REASON_ANONYMOUS, NULL, true);
        expect_unforged(&s, 2);
        deny(&s, name);
        expect_unforged(&s, 4);
        report_dropped(&s.report, &s.who, name, REASON_PAYLOAD_TOO_LARGE);
        expect_unforged(&s, 4);
        report_will_lost(&s.report, &s.who, name, REASON_NOMEM);
        expect_unforged(&s, 4);
        close_for(&s, REASON_DISCONNECT, NULL, false);
        assert_null(strchr(s.heard.text, '['));
        assert_true(str_eq(s.heard.about.client, name)); /* for who keeps that apart */
    }
}

/* --- floods --- */

static void a_flood_of_refusals_is_counted(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    for (unsigned i = 0; i < 5000; i++) {
        report_opened(&s.report, &s.peer);
        close_for(&s, REASON_ANONYMOUS, NULL, true);
    }
    assert_int_equal(s.heard.lines, 20); /* ten of each */
    assert_int_equal(report_next(&s.report), 2000);
    report_counts(&s.report, 1999);
    assert_int_equal(s.heard.lines, 20);
    report_counts(&s.report, 2000);
    assert_int_equal(s.heard.lines, 21);
    assert_string_equal(s.heard.text,
                        "Clients from 10.0.0.7 disconnected: not authorised: anonymous clients "
                        "are not allowed … and 4,990 more.");
    assert_int_equal(s.heard.about.more, 4990);
    assert_string_equal(s.heard.about.reason, reason_text(REASON_ANONYMOUS));
    assert_true(report_next(&s.report) == UINT64_MAX);
}

/* Another address, another reason, another client: each has its own first line. */
static void a_flood_hides_nobody_else(void **state)
{
    struct scene s;
    unsigned before;

    (void)state;
    scene_begin(&s);
    for (unsigned i = 0; i < 1000; i++)
        close_for(&s, REASON_NOT_CONNECT, NULL, true);
    before = s.heard.lines;
    close_for(&s, REASON_ANONYMOUS, NULL, true);
    assert_int_equal(s.heard.lines, before + 1);
    s.peer.ip[3] = 8;
    close_for(&s, REASON_NOT_CONNECT, NULL, true);
    report_opened(&s.report, &s.peer);
    assert_int_equal(s.heard.lines, before + 3);
    for (unsigned i = 0; i < 1000; i++)
        deny(&s, STR("t"));
    before = s.heard.lines;
    s.who.client = STR("other");
    deny(&s, STR("t"));
    assert_int_equal(s.heard.lines, before + 1);
}

/* What clients do without fault is said each time, whatever the number. */
static void accepted_clients_are_never_cut(void **state)
{
    static const enum reason why[] = {REASON_DISCONNECT, REASON_PEER_CLOSED, REASON_SOCKET,
                                      REASON_KEEPALIVE, REASON_SHUTDOWN};
    struct packet_connect p = {.keepalive_s = 60};
    struct scene s;

    (void)state;
    scene_begin(&s);
    for (unsigned i = 0; i < 1000; i++) {
        report_opened(&s.report, &s.peer);
        report_connected(&s.report, &s.who, &p);
        close_for(&s, why[i % ARRAY_SIZE(why)], NULL, false);
    }
    assert_int_equal(s.heard.lines, 3000);
    assert_true(report_next(&s.report) == UINT64_MAX);
}

/* Two with one id that throw each other out. */
static void a_fight_for_an_id_is_counted(void **state)
{
    struct packet_connect p = {.keepalive_s = 60};
    struct scene s;

    (void)state;
    scene_begin(&s);
    for (unsigned i = 0; i < 1000; i++) {
        report_opened(&s.report, &s.peer);
        report_connected(&s.report, &s.who, &p);
        close_for(&s, REASON_TAKEN_OVER, "by 10.0.0.8:1", false);
    }
    assert_int_equal(s.heard.lines, 30);
    report_counts(&s.report, UINT64_MAX);
    assert_int_equal(s.heard.lines, 31);
}

static void asides_go_with_the_line_that_they_explain(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    for (unsigned i = 0; i < 1000; i++) {
        report_aside(&s.report, &s.peer, REASON_PROTOCOL_LEVEL, "Invalid %d.", 9);
        close_for(&s, REASON_PROTOCOL_LEVEL, NULL, true);
    }
    assert_int_equal(s.heard.lines, 20);
    report_counts(&s.report, UINT64_MAX);
    assert_int_equal(s.heard.lines, 21);
    assert_int_equal(s.heard.about.more, 990);
}

static void more_subjects_than_slots_are_told_together(void **state)
{
    struct scene s;
    unsigned lines;

    (void)state;
    scene_begin(&s);
    for (unsigned i = 0; i < 100000; i++) {
        s.peer.ip[2] = (uint8_t)(i >> 8);
        s.peer.ip[3] = (uint8_t)i;
        close_for(&s, REASON_NOT_CONNECT, NULL, true);
    }
    lines = s.heard.lines;
    assert_true(lines <= FLOOD_SLOTS * FLOOD_BURST);
    report_counts(&s.report, 2000);
    assert_true(s.heard.lines <= lines + FLOOD_SLOTS);
    assert_non_null(strstr(s.heard.text, "Lines like these about other clients … and "));
}

static void counts_cannot_be_forged_either(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    s.who.client = STR("x [6.6.6.6:1] disconnected: not authorised\n");
    for (unsigned i = 0; i < 100; i++)
        deny(&s, STR("t"));
    report_counts(&s.report, UINT64_MAX);
    assert_string_equal(s.heard.text,
                        "Client x \\x5b6.6.6.6:1\\x5d disconnected: not authorised\\x0a "
                        "denied: reserved for the broker … and 90 more.");
}

static void nobody_listens_nothing_is_counted(void **state)
{
    struct scene s;

    (void)state;
    scene_begin(&s);
    s.log.mask = LOG_LEVEL_ERROR;
    for (unsigned i = 0; i < 100; i++) {
        report_opened(&s.report, &s.peer);
        close_for(&s, REASON_NOT_CONNECT, NULL, true);
        report_dropped(&s.report, &s.who, STR("t"), REASON_NOMEM);
    }
    assert_int_equal(s.heard.lines, 0);
    assert_true(report_next(&s.report) == UINT64_MAX);
}

/* --- the whole broker --- */

static void a_takeover_names_both(void **state)
{
    struct packet_connect p = {.client_id = STR("id"),
                               .level = PROTOCOL_311,
                               .clean_session = true,
                               .username = STR("joe"),
                               .has_username = true};
    struct rig r;
    struct rig_client a;
    struct rig_client b;

    (void)state;
    rig_begin(&r, false);
    assert_true(rig_open(&r, &a));
    rig_send_connect(&a, &p);
    rig_settle(&r);
    rig_connect(&r, &b, "id", true);
    assert_int_equal(rig_logged(&r, "Client id [127.0.0.1:4000] disconnected: session taken over "
                                    "by 127.0.0.1:4000 (user 'joe')."),
                     1);
    rig_forget(&a);
    rig_forget(&b);
    rig_end(&r);
}

/* The count comes when it is due, not when somebody happens to do something. */
static void a_count_is_a_deadline_of_the_broker(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    rig_begin(&r, false);
    for (unsigned i = 0; i < 50; i++) {
        assert_true(rig_open(&r, &c));
        rig_send(&c, "GET / HTTP/1.0\r\n", 16);
        rig_settle(&r);
        rig_forget(&c);
    }
    rig_settle(&r);
    assert_true(r.next <= r.now.mono_ms + FLOOD_WINDOW_MS);
    rig_pass(&r, FLOOD_WINDOW_MS);
    assert_true(rig_logged(&r, "appears to be using HTTP") <= FLOOD_BURST + 1);
    assert_int_equal(rig_logged(&r, "Clients from 127.0.0.1 disconnected: appears to be using HTTP "
                                    "to connect to an MQTT listener … and 40 more."),
                     1);
    rig_end(&r);
}

/* The broker stops: what was counted is told at once. */
static void counts_are_told_at_the_end(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    rig_begin(&r, false);
    rig_connect(&r, &c, "id", true);
    for (unsigned i = 0; i < 30; i++)
        rig_publish(&c, "$SYS/x", "", QOS_0, 0);
    rig_settle(&r);
    assert_int_equal(rig_logged(&r, "denied: publish to '$SYS/x'"), FLOOD_BURST);
    broker_stop(r.b, REASON_SHUTDOWN);
    assert_int_equal(rig_logged(&r, "Client id denied: reserved for the broker … and 20 more."), 1);
    rig_forget(&c);
    rig_end(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(an_end_names_everything),
        UNIT_TEST(a_refusal_of_nobody_in_particular),
        UNIT_TEST(another_rule_takes_the_place_of_the_option),
        UNIT_TEST(known_lines_stay),
        UNIT_TEST(connection_messages_are_for_orderly_ends),
        UNIT_TEST(messages_name_topic_and_limit),
        UNIT_TEST(memory_is_a_rule_only_where_it_is_limited),
        UNIT_TEST(every_rule_is_in_its_line),
        UNIT_TEST(names_cannot_forge_a_line),
        UNIT_TEST(a_flood_of_refusals_is_counted),
        UNIT_TEST(a_flood_hides_nobody_else),
        UNIT_TEST(accepted_clients_are_never_cut),
        UNIT_TEST(a_fight_for_an_id_is_counted),
        UNIT_TEST(asides_go_with_the_line_that_they_explain),
        UNIT_TEST(more_subjects_than_slots_are_told_together),
        UNIT_TEST(counts_cannot_be_forged_either),
        UNIT_TEST(nobody_listens_nothing_is_counted),
        UNIT_TEST(a_takeover_names_both),
        UNIT_TEST(a_count_is_a_deadline_of_the_broker),
        UNIT_TEST(counts_are_told_at_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
