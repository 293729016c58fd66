/*
 * Bridges, with the test as the remote broker.
 */
#include "core/bridge.h"
#include "core/state.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- a broker with bridges --- */

struct world {
    struct rig rig;
    struct conf *conf; /* that the bridges are from */
    struct rig_client remote;
};

static void quiet(void *ctx, enum log_level level, struct str line, const struct log_about *about)
{
    (void)ctx;
    (void)about;
    if (level == LOG_LEVEL_ERROR)
        print_message("%.*s\n", (int)line.n, line.p);
}

static struct conf *parse(const char *text)
{
    const struct log log = {.mask = LOG_LEVEL_ALL, .sink = quiet};
    const struct conf_args args = {.file = "bridge.conf", .hostname = "here"};
    struct conf *conf = NULL;

    assert_int_equal(conf_load_text(&args, str_c(text), &log, &conf), ERR_OK);
    return conf;
}

static void take_bridges(struct world *w, const char *text)
{
    w->conf = parse(text);
    w->rig.conf.bridges = w->conf->bridges;
    w->rig.conf.bridge_count = w->conf->bridge_count;
}

static void begin(struct world *w, const char *text, bool persistent)
{
    memset(w, 0, sizeof(*w));
    rig_setup(&w->rig);
    w->rig.setup.persistent = persistent;
    w->rig.conf.global.log_type = LOG_LEVEL_DEFAULT;
    take_bridges(w, text);
    rig_start(&w->rig);
    rig_turn(&w->rig);
}

static void end(struct world *w)
{
    rig_forget(&w->remote);
    rig_end(&w->rig);
    conf_free(w->conf);
}

/* As on SIGHUP. */
static void reload(struct world *w, const char *text)
{
    struct conf *old = w->conf;

    take_bridges(w, text);
    assert_int_equal(broker_prepare(w->rig.b, &w->rig.conf), ERR_OK);
    broker_commit(w->rig.b);
    conf_free(old);
    rig_turn(&w->rig);
}

static void connack(struct rig_client *c, bool present, uint8_t code)
{
    const uint8_t packet[] = {PACKET_CONNACK << 4, 2, present, code};

    rig_send(c, packet, sizeof(packet));
}

/* The CONNECT that the bridge sends; it lives until the next turn. */
static struct packet_connect expect_connect(struct world *w)
{
    struct packet_connect p;
    struct frame f;

    assert_true(rig_dial(&w->rig, &w->remote));
    rig_settle(&w->rig);
    assert_true(rig_next(&w->remote, &f));
    assert_int_equal(decode_connect(&f, &p), REASON_OK);
    return p;
}

/* Up, and all that is said first is thrown away. */
static void connect(struct world *w, bool present)
{
    (void)expect_connect(w);
    connack(&w->remote, present, 0);
    rig_settle(&w->rig);
    (void)rig_drain(&w->remote);
}

static void expect_filter(struct rig_client *c, enum packet_type type, const char *filter, int qos)
{
    struct packet_filters p;
    struct frame f;
    struct str got;
    enum qos granted = QOS_0;
    size_t at = 0;

    assert_true(rig_next(c, &f));
    assert_int_equal(frame_type(&f), type);
    if (type == PACKET_SUBSCRIBE)
        assert_int_equal(decode_subscribe(&f, PROTOCOL_311, &p), REASON_OK);
    else
        assert_int_equal(decode_unsubscribe(&f, PROTOCOL_311, &p), REASON_OK);
    assert_true(decode_filter(&p, &at, &got, type == PACKET_SUBSCRIBE ? &granted : NULL));
    if (!str_eq_c(got, filter))
        fail_msg("%.*s instead of %s", (int)got.n, got.p, filter);
    assert_int_equal(granted, qos);
}

static void expect_empty(struct rig_client *c, enum packet_type type)
{
    struct frame f;

    assert_true(rig_next(c, &f));
    assert_int_equal(frame_type(&f), type);
    assert_int_equal(f.body.n, 0);
}

#define SIMPLE                                                                                     \
    "connection up\naddress remote.example:1884\ntry_private false\nnotifications false\n"         \
    "bridge_attempt_unsubscribe false\n"

/* --- going up --- */

static void it_says_who_it_is(void **state)
{
    struct world w;
    struct packet_connect p;

    (void)state;
    begin(&w,
          "connection up\naddress remote.example:1884\ntopic a/# out 1\n"
          "keepalive_interval 30\nremote_username joe\nremote_password secret\n",
          false);
    p = expect_connect(&w);
    assert_true(str_eq_c(p.client_id, "here.up"));
    assert_true(p.bridge);
    assert_int_equal(p.level, PROTOCOL_311);
    assert_false(p.clean_session);
    assert_int_equal(p.keepalive_s, 30);
    assert_true(str_eq_c(p.username, "joe"));
    assert_true(str_eq_c(p.password, "secret"));
    assert_true(p.has_will && p.will_retain && p.will_qos == QOS_1);
    assert_true(str_eq_c(p.will_topic, "$SYS/broker/connection/here.up/state"));
    assert_true(str_eq_c(p.will_payload, "0"));
    assert_int_equal(rig_logged(&w.rig, "Connecting bridge up (remote.example:1884)"), 1);
    end(&w);
}

static void it_asks_for_what_it_wants(void **state)
{
    struct world w;

    (void)state;
    begin(&w,
          "connection up\naddress remote.example\ntry_private false\n"
          "topic a/# out 1 here/ there/\ntopic b in 2\ntopic c both 1 l/ r/\n",
          false);
    (void)expect_connect(&w);
    connack(&w.remote, false, 0);
    rig_settle(&w.rig);
    expect_filter(&w.remote, PACKET_UNSUBSCRIBE, "there/a/#", 0);
    expect_filter(&w.remote, PACKET_SUBSCRIBE, "b", 2);
    expect_filter(&w.remote, PACKET_SUBSCRIBE, "r/c", 1);
    assert_true(
        rig_expect_publish(&w.remote, "$SYS/broker/connection/here.up/state", "1", QOS_1).retain);
    rig_expect_nothing(&w.remote);
    assert_int_equal(rig_logged(&w.rig, "Bridge up connected to remote.example:1883 as here.up."),
                     1);
    end(&w);
}

static void a_broker_that_knows_no_bridges_is_asked_again(void **state)
{
    struct world w;
    struct packet_connect p;

    (void)state;
    for (int closes = 0; closes < 2; closes++) {
        begin(&w, "connection up\naddress remote.example\ntopic a out\n", false);
        assert_true(expect_connect(&w).bridge);
        if (closes)
            rig_close(&w.remote);
        else
            connack(&w.remote, false, 1);
        rig_settle(&w.rig);
        rig_forget(&w.remote);
        p = expect_connect(&w);
        assert_false(p.bridge);
        connack(&w.remote, false, 0);
        rig_settle(&w.rig);
        assert_int_equal(rig_logged(&w.rig, "Bridge up connected"), 1);
        end(&w);
    }
}

static void other_refusals_make_it_wait(void **state)
{
    struct world w;

    (void)state;
    begin(&w, SIMPLE "restart_timeout 5\ntopic a out\n", false);
    (void)expect_connect(&w);
    connack(&w.remote, false, 5);
    rig_settle(&w.rig);
    rig_expect_closed(&w.remote);
    assert_int_equal(rig_logged(&w.rig, "Warning: Unable to connect bridge up "
                                        "(remote.example:1884): connection refused: not "
                                        "authorised (CONNACK 5); next attempt in 5.0 s."),
                     1);
    assert_false(rig_dial(&w.rig, &w.remote));
    rig_pass(&w.rig, 4900);
    assert_false(rig_dial(&w.rig, &w.remote));
    rig_pass(&w.rig, 200);
    assert_true(rig_dial(&w.rig, &w.remote));
    end(&w);
}

/* The addresses in turn at once, then a pause. */
static void each_address_is_tried(void **state)
{
    struct world w;
    struct dial_order order;

    (void)state;
    begin(&w, "connection up\naddresses one two:7 [::1]:9\nrestart_timeout 3\ntopic a out\n",
          false);
    for (size_t i = 0; i < 3; i++) {
        assert_true(rig_take_dial(&w.rig, &order));
        assert_int_equal(order.address, i);
        assert_true(broker_wants_dial(w.rig.b, order.ticket));
        broker_dial_failed(w.rig.b, order.ticket, "no luck");
        assert_false(broker_wants_dial(w.rig.b, order.ticket));
        conf_bridge_unref(order.conf);
    }
    assert_false(rig_take_dial(&w.rig, &order));
    assert_int_equal(rig_logged(&w.rig, "(two:7): no luck; trying [::1]:9 next."), 1);
    rig_pass(&w.rig, 3001);
    assert_true(rig_take_dial(&w.rig, &order));
    assert_int_equal(order.address, 0);
    conf_bridge_unref(order.conf);
    end(&w);
}

/* --- messages --- */

static void topics_are_mapped_both_ways(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    begin(&w, SIMPLE "topic a/# both 2 here/ there/\n", false);
    rig_connect(&w.rig, &c, "c", true);
    rig_subscribe(&c, "#", QOS_2);
    connect(&w, false);
    rig_publish(&w.remote, "there/a/x", "in", QOS_1, 7);
    rig_publish(&w.remote, "elsewhere", "not", QOS_1, 8);
    rig_settle(&w.rig);
    rig_expect_publish(&c, "here/a/x", "in", QOS_1);
    rig_expect_nothing(&c);
    assert_int_equal(rig_expect(&w.remote, PACKET_PUBACK), 7);
    assert_int_equal(rig_expect(&w.remote, PACKET_PUBACK), 8);
    rig_expect_nothing(&w.remote); /* no echo */
    rig_publish(&c, "here/a/y", "out", QOS_1, 1);
    rig_settle(&w.rig);
    rig_expect_publish(&w.remote, "there/a/y", "out", QOS_1);
    rig_forget(&c);
    end(&w);
}

static void what_waits_goes_out_in_order_and_once(void **state)
{
    struct world w;
    struct rig_client c;
    uint16_t first;

    (void)state;
    begin(&w, SIMPLE "topic # out 2\n", true);
    rig_connect(&w.rig, &c, "c", true);
    rig_publish(&c, "q", "1", QOS_2, 1);
    rig_publish(&c, "q", "2", QOS_1, 2);
    rig_settle(&w.rig);
    rig_forget(&c);
    rig_restart(&w.rig);
    rig_turn(&w.rig);
    (void)expect_connect(&w);
    connack(&w.remote, false, 0);
    rig_settle(&w.rig);
    first = rig_expect_publish(&w.remote, "q", "1", QOS_2).id;
    rig_expect_publish(&w.remote, "q", "2", QOS_1);
    rig_send_ack(&w.remote, PACKET_PUBREC, first);
    rig_settle(&w.rig);
    assert_int_equal(rig_expect(&w.remote, PACKET_PUBREL), first);
    rig_forget(&w.remote);
    rig_restart(&w.rig);
    rig_turn(&w.rig);
    (void)expect_connect(&w);
    connack(&w.remote, true, 0);
    rig_settle(&w.rig);
    assert_int_equal(rig_expect(&w.remote, PACKET_PUBREL), first);
    assert_true(rig_expect_publish(&w.remote, "q", "2", QOS_1).dup);
    rig_expect_nothing(&w.remote);
    end(&w);
}

/* A remote broker that has forgotten us gives the same packet ids to other messages. */
static void what_the_remote_forgot_is_forgotten(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    for (int present = 0; present < 2; present++) {
        begin(&w, SIMPLE "topic # in 2\n", false);
        rig_connect(&w.rig, &c, "c", true);
        rig_subscribe(&c, "#", QOS_2);
        connect(&w, true);
        rig_publish(&w.remote, "t", "first", QOS_2, 5);
        rig_settle(&w.rig);
        rig_expect_publish(&c, "t", "first", QOS_2);
        rig_forget(&w.remote);
        rig_pass(&w.rig, 60000);
        connect(&w, present);
        rig_publish(&w.remote, "t", "second", QOS_2, 5);
        rig_settle(&w.rig);
        if (!present)
            rig_expect_publish(&c, "t", "second", QOS_2);
        rig_expect_nothing(&c);
        rig_forget(&c);
        end(&w);
    }
}

static void retained_messages_and_their_end_travel(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    begin(&w, SIMPLE "topic # out 1\n", false);
    rig_connect(&w.rig, &c, "c", true);
    connect(&w, false);
    rig_retain(&c, "kept", "x", QOS_1, 1);
    rig_settle(&w.rig);
    assert_true(rig_expect_publish(&w.remote, "kept", "x", QOS_1).retain);
    rig_forget(&w.remote);
    rig_retain(&c, "kept", "", QOS_1, 2);
    rig_pass(&w.rig, 60000);
    (void)expect_connect(&w);
    connack(&w.remote, true, 0);
    rig_settle(&w.rig);
    assert_true(rig_expect_publish(&w.remote, "kept", "x", QOS_1).dup);
    assert_true(rig_expect_publish(&w.remote, "kept", "", QOS_1).retain);
    rig_expect_nothing(&w.remote);
    rig_forget(&c);
    end(&w);
}

/* --- lazy --- */

static void a_lazy_bridge_comes_and_goes(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    begin(&w, SIMPLE "start_type lazy\nthreshold 3\nidle_timeout 20\ntopic # out 0\n", false);
    rig_connect(&w.rig, &c, "c", true);
    for (int i = 0; i < 3; i++) {
        assert_false(rig_dial(&w.rig, &w.remote));
        rig_publish(&c, "t", "x", QOS_0, 0);
        rig_settle(&w.rig);
    }
    connect(&w, false);
    for (int i = 0; i < 19; i++)
        rig_pass(&w.rig, 1000);
    assert_non_null(w.remote.conn);
    for (int i = 0; i < 5; i++)
        rig_pass(&w.rig, 1000);
    rig_settle(&w.rig);
    expect_empty(&w.remote, PACKET_DISCONNECT);
    rig_expect_closed(&w.remote);
    assert_int_equal(rig_logged(&w.rig, "has exceeded idle timeout"), 1);
    rig_forget(&c);
    end(&w);
}

/* --- hostile --- */

static void what_a_server_may_not_send_ends_it(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *said;
    } cases[] = {
        {"\xc0\x00", 2, "PINGREQ"},
        {"\x10\x02\x00\x00", 4, "CONNECT"},
        {"\x82\x02\x00\x01", 4, "SUBSCRIBE"},
        {"\xe0\x00", 2, "DISCONNECT"},
        {"\x20\x02\x00\x00", 4, "CONNACK again"},
        {"\x90\x03\x00\x09\x00", 5, "SUBACK of nothing"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct world w;
        begin(&w, SIMPLE "topic # in 2\n", false);
        connect(&w, false);
        rig_send(&w.remote, cases[i].bytes, cases[i].n);
        rig_settle(&w.rig);
        if (w.remote.conn)
            fail_msg("%s is accepted", cases[i].said);
        assert_int_equal(rig_logged(&w.rig, "Warning: Bridge up disconnected from "
                                            "remote.example:1884: protocol error"),
                         1);
        end(&w);
    }
}

static void nothing_comes_before_connack(void **state)
{
    struct world w;

    (void)state;
    begin(&w, SIMPLE "topic # in 2\n", false);
    (void)expect_connect(&w);
    rig_publish(&w.remote, "t", "x", QOS_1, 1);
    rig_settle(&w.rig);
    rig_expect_closed(&w.remote);
    assert_int_equal(rig_logged(&w.rig, "the first packet is not CONNACK"), 1);
    end(&w);
}

/* Some brokers of other makes let such names pass; to end the connection would not end that. */
static void names_that_no_topic_can_have_are_dropped(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    begin(&w, SIMPLE "topic # in 2\n", false);
    rig_connect(&w.rig, &c, "c", true);
    rig_subscribe(&c, "#", QOS_2);
    connect(&w, false);
    rig_publish(&w.remote, "a/+/b", "x", QOS_1, 9);
    rig_publish(&w.remote, "#", "x", QOS_2, 10);
    rig_publish(&w.remote, "good", "x", QOS_1, 11);
    rig_settle(&w.rig);
    rig_expect_publish(&c, "good", "x", QOS_1);
    rig_expect_nothing(&c);
    assert_int_equal(rig_expect(&w.remote, PACKET_PUBACK), 9);
    assert_int_equal(rig_expect(&w.remote, PACKET_PUBREC), 10);
    assert_int_equal(rig_expect(&w.remote, PACKET_PUBACK), 11);
    assert_int_equal(rig_logged(&w.rig, "publish to 'a/+/b': invalid topic: wildcard"), 1);
    rig_forget(&c);
    end(&w);
}

/* A remote broker that cannot take a message, and closes, is sent it again and again. */
static void a_message_that_ends_connections_is_named(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    begin(&w, SIMPLE "topic # out 1\n", false);
    rig_connect(&w.rig, &c, "c", true);
    rig_publish(&c, "too hard", "x", QOS_1, 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(rig_logged(&w.rig, "too hard"), 0);
        connect(&w, true);
        rig_forget(&w.remote);
        rig_pass(&w.rig, 60000);
    }
    assert_int_equal(rig_logged(&w.rig, "(3 times now while a message on topic 'too hard' was the "
                                        "next to be acknowledged)"),
                     1);
    rig_forget(&c);
    end(&w);
}

/* Not after a pause: somebody else may be there. */
static void another_address_is_tried_at_once(void **state)
{
    struct world w;
    struct dial_order order;

    (void)state;
    begin(&w, "connection up\naddresses one two\nrestart_timeout 3\ntopic a out\n", false);
    connect(&w, false);
    rig_pass(&w.rig, 3000);
    rig_forget(&w.remote);
    assert_true(rig_take_dial(&w.rig, &order));
    assert_int_equal(order.address, 1);
    broker_dial_failed(w.rig.b, order.ticket, "no luck");
    conf_bridge_unref(order.conf);
    assert_false(rig_take_dial(&w.rig, &order));
    rig_pass(&w.rig, 3001);
    connect(&w, false);
    rig_forget(&w.remote); /* that was short: there is a pause */
    assert_false(rig_take_dial(&w.rig, &order));
    end(&w);
}

static void silence_is_noticed(void **state)
{
    struct world w;

    (void)state;
    begin(&w, SIMPLE "keepalive_interval 10\ntopic # in 2\n", false);
    connect(&w, false);
    rig_pass(&w.rig, 10001);
    rig_settle(&w.rig);
    expect_empty(&w.remote, PACKET_PINGREQ);
    rig_pass(&w.rig, 10001);
    rig_settle(&w.rig);
    rig_expect_closed(&w.remote);
    assert_int_equal(rig_logged(&w.rig, "no answer to PINGREQ"), 1);
    end(&w);
}

static void nobody_takes_its_session(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    begin(&w, SIMPLE "topic # out 2\n", false);
    assert_true(rig_open(&w.rig, &c));
    rig_send_connect(
        &c, &(struct packet_connect){.client_id = STR("local.here.up"), .level = PROTOCOL_311});
    rig_settle(&w.rig);
    rig_expect_connack(&c, false, 2);
    rig_expect_closed(&c);
    assert_int_equal(rig_logged(&w.rig, "belongs to a bridge"), 1);
    rig_forget(&c);
    end(&w);
}

/* --- reload --- */

static void only_what_changed_is_changed(void **state)
{
    struct world w;
    struct rig_client other;

    (void)state;
    begin(&w, "connection one\naddress a\ntopic a out 1\nconnection two\naddress b\ntopic b in 1\n",
          false);
    connect(&w, false);
    assert_true(rig_dial(&w.rig, &other));
    connack(&other, false, 0);
    rig_settle(&w.rig);
    (void)rig_drain(&other);
    reload(&w,
           "connection two\naddress b\ntopic c in 1\nconnection one\naddress a\ntopic a out 1\n");
    rig_settle(&w.rig);
    assert_non_null(w.remote.conn);
    rig_expect_nothing(&w.remote);
    rig_expect_closed(&other);
    assert_int_equal(rig_logged(&w.rig, "Bridge two stopped: its section has changed."), 1);
    rig_forget(&other);
    assert_true(rig_dial(&w.rig, &other));
    rig_settle(&w.rig);
    connack(&other, true, 0);
    rig_settle(&w.rig);
    reload(&w, "connection one\naddress a\ntopic a out 1\n");
    rig_settle(&w.rig);
    assert_non_null(w.remote.conn);
    rig_expect_closed(&other);
    assert_int_equal(rig_logged(&w.rig, "Bridge two stopped: removed from the configuration."), 1);
    assert_int_equal(broker_stats(w.rig.b)->sessions, 1);
    rig_forget(&other);
    end(&w);
}

/* --- circles --- */

/* A bridge of the other broker has told its name, and so has the broker that ours has reached. */
static void nothing_returns_to_the_broker_that_it_came_from(void **state)
{
    struct world w;
    struct rig_client inbound;

    (void)state;
    begin(&w, "connection up\naddress a\nnotifications false\ntopic # both 1\n", false);
    assert_true(rig_open(&w.rig, &inbound));
    rig_send_connect(&inbound, &(struct packet_connect){.client_id = STR("theirs"),
                                                        .level = PROTOCOL_311,
                                                        .clean_session = true,
                                                        .bridge = true});
    rig_settle(&w.rig);
    rig_expect_connack(&inbound, false, 0);
    rig_send_subscribe(&inbound, 1, "$SYS/broker/peer/their-name", QOS_0);
    rig_send_subscribe(&inbound, 2, "#", QOS_1);
    rig_settle(&w.rig);
    assert_true(rig_drain(&inbound) == 1);
    connect(&w, false);
    rig_publish(&w.remote, "$SYS/broker/peer/our-name", "their-name", QOS_0, 0);
    rig_settle(&w.rig);
    rig_publish(&w.remote, "t", "from there", QOS_0, 0);
    rig_publish(&inbound, "t", "from there", QOS_0, 0);
    rig_settle(&w.rig);
    rig_expect_nothing(&w.remote);
    rig_expect_nothing(&inbound);
    rig_forget(&inbound);
    end(&w);
}

static void a_flood_is_noticed(void **state)
{
    struct world w;

    (void)state;
    begin(&w, SIMPLE "topic # in 0\n", false);
    connect(&w, false);
    for (int i = 0; i < 300; i++)
        rig_publish(&w.remote, "round/and/round", "x", QOS_0, 0);
    rig_settle(&w.rig);
    assert_int_equal(rig_logged(&w.rig, "loop of bridges"), 1);
    assert_int_equal(rig_logged(&w.rig, "round/and/round"), 1);
    end(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(it_says_who_it_is),
        UNIT_TEST(it_asks_for_what_it_wants),
        UNIT_TEST(a_broker_that_knows_no_bridges_is_asked_again),
        UNIT_TEST(other_refusals_make_it_wait),
        UNIT_TEST(each_address_is_tried),
        UNIT_TEST(topics_are_mapped_both_ways),
        UNIT_TEST(what_waits_goes_out_in_order_and_once),
        UNIT_TEST(what_the_remote_forgot_is_forgotten),
        UNIT_TEST(retained_messages_and_their_end_travel),
        UNIT_TEST(a_lazy_bridge_comes_and_goes),
        UNIT_TEST(what_a_server_may_not_send_ends_it),
        UNIT_TEST(nothing_comes_before_connack),
        UNIT_TEST(names_that_no_topic_can_have_are_dropped),
        UNIT_TEST(a_message_that_ends_connections_is_named),
        UNIT_TEST(another_address_is_tried_at_once),
        UNIT_TEST(silence_is_noticed),
        UNIT_TEST(nobody_takes_its_session),
        UNIT_TEST(only_what_changed_is_changed),
        UNIT_TEST(nothing_returns_to_the_broker_that_it_came_from),
        UNIT_TEST(a_flood_is_noticed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
