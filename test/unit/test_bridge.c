/*
 * Bridges, with the test as the remote broker.
 */
#include "base/mem.h"
#include "core/bridge.h"
#include "core/bridge_session.h"
#include "core/bridges.h"
#include "core/ending.h"
#include "core/handlers.h"
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
    rig_forget(&w.remote);
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

/* "here/#" matches "here" as well, which has no prefix to take off. */
static void what_is_shorter_than_its_prefix_has_no_name(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    begin(&w, SIMPLE "topic # both 1 here/ there/\n", false);
    rig_connect(&w.rig, &c, "c", true);
    rig_subscribe(&c, "#", QOS_2);
    connect(&w, false);
    rig_publish(&w.remote, "there", "in", QOS_1, 7);
    rig_publish(&c, "here", "out", QOS_0, 0);
    rig_settle(&w.rig);
    assert_int_equal(rig_expect(&w.remote, PACKET_PUBACK), 7);
    rig_expect_nothing(&w.remote);
    rig_expect_publish(&c, "here", "out", QOS_0);
    rig_expect_nothing(&c);
    rig_forget(&c);
    end(&w);
}

/* A connection that is closed may mean anything: then the name is asked for without the bit, but
 * not of a remote broker that takes it ill. */
static void in_doubt_the_name_is_asked_for_once(void **state)
{
    struct world w;

    (void)state;
    begin(&w, "connection up\naddress a\nnotifications false\ntopic x in\n", false);
    assert_true(expect_connect(&w).bridge);
    rig_forget(&w.remote);
    rig_settle(&w.rig);
    for (int shy = 0; shy < 2; shy++) {
        struct frame f;
        assert_false(expect_connect(&w).bridge);
        connack(&w.remote, true, 0);
        rig_settle(&w.rig);
        if (!shy)
            assert_true(rig_next(&w.remote, &f)); /* for the name */
        expect_filter(&w.remote, PACKET_SUBSCRIBE, "x", 0);
        rig_expect_nothing(&w.remote);
        rig_forget(&w.remote);
        rig_pass(&w.rig, 60000);
    }
    assert_true(expect_connect(&w).bridge);
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

/* The limits of queues hold for bridges, and so does what is dropped. */
static void a_full_queue_drops_what_is_configured(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    for (int oldest = 0; oldest < 2; oldest++) {
        memset(&w, 0, sizeof(w));
        rig_setup(&w.rig);
        w.rig.conf.global.max_queued_messages = 3;
        w.rig.conf.global.queue_drops_oldest = oldest;
        take_bridges(&w, SIMPLE "topic # out 1\n");
        rig_start(&w.rig);
        rig_turn(&w.rig);
        rig_connect(&w.rig, &c, "c", true);
        for (uint16_t i = 1; i <= 9; i++) {
            char text[2] = {(char)('0' + i), '\0'};
            rig_publish(&c, "t", text, QOS_1, i);
        }
        rig_settle(&w.rig);
        assert_int_equal(TAILQ_FIRST(&w.rig.b->bridges.all)->dropped, 6);
        assert_int_equal(rig_logged(&w.rig, "dropped for client local.here.up [not connected]: "
                                            "queue is full (max_queued_messages 3)"),
                         1);
        (void)expect_connect(&w);
        connack(&w.remote, true, 0);
        rig_settle(&w.rig);
        rig_expect_publish(&w.remote, "t", oldest ? "7" : "1", QOS_1);
        rig_expect_publish(&w.remote, "t", oldest ? "8" : "2", QOS_1);
        rig_expect_publish(&w.remote, "t", oldest ? "9" : "3", QOS_1);
        rig_expect_nothing(&w.remote);
        rig_forget(&c);
        end(&w);
    }
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

static void no_connack_is_noticed(void **state)
{
    struct world w;

    (void)state;
    begin(&w, SIMPLE "topic # in 2\n", false);
    (void)expect_connect(&w);
    rig_pass(&w.rig, 14000);
    assert_non_null(w.remote.conn);
    rig_pass(&w.rig, 1001);
    rig_settle(&w.rig);
    rig_expect_closed(&w.remote);
    assert_int_equal(rig_logged(&w.rig, "no CONNACK in time"), 1);
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

/* Its section went while the broker was not running. */
static void a_session_without_a_section_ends(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    begin(&w, SIMPLE "topic # out 1\n", true);
    rig_connect(&w.rig, &c, "c", false);
    rig_publish(&c, "t", "x", QOS_1, 1);
    rig_settle(&w.rig);
    assert_int_equal(broker_stats(w.rig.b)->sessions, 2);
    rig_forget(&c);
    w.rig.conf.bridge_count = 0;
    rig_restart(&w.rig);
    rig_settle(&w.rig);
    assert_int_equal(broker_stats(w.rig.b)->sessions, 1);
    assert_int_equal(rig_logged(&w.rig, "local.here.up of a bridge that is not configured any more "
                                        "ends, with 1 messages"),
                     1);
    end(&w);
}

/* What waits for a bridge of another broker keeps its RETAIN, over a restart too. */
static void the_journal_knows_who_is_a_bridge(void **state)
{
    const struct packet_connect p = {
        .client_id = STR("theirs"), .level = PROTOCOL_311, .bridge = true};
    struct world w;
    struct rig_client theirs;
    struct rig_client c;

    (void)state;
    begin(&w, SIMPLE "topic other out 1\n", true);
    assert_true(rig_open(&w.rig, &theirs));
    rig_send_connect(&theirs, &p);
    rig_settle(&w.rig);
    rig_expect_connack(&theirs, false, 0);
    rig_subscribe(&theirs, "#", QOS_1);
    rig_forget(&theirs);
    rig_restart(&w.rig);
    rig_connect(&w.rig, &c, "c", true);
    rig_retain(&c, "t", "", QOS_1, 1);
    rig_settle(&w.rig);
    assert_true(rig_open(&w.rig, &theirs));
    rig_send_connect(&theirs, &p);
    rig_settle(&w.rig);
    rig_expect_connack(&theirs, true, 0);
    assert_true(rig_expect_publish(&theirs, "t", "", QOS_1).retain);
    rig_forget(&theirs);
    rig_forget(&c);
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

/* --- states that change under way --- */

/* Nobody has asked for "here" itself: that it cannot pass is no loss. */
static void the_prefix_itself_is_no_loss(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    begin(&w, SIMPLE "topic # out 2 here/ there/\n", false);
    rig_connect(&w.rig, &c, "c", true);
    rig_publish(&c, "here", "waits", QOS_1, 1);
    rig_settle(&w.rig);
    connect(&w, false);
    rig_publish(&c, "here", "x", QOS_0, 0);
    rig_publish(&c, "here/x", "x", QOS_0, 0);
    rig_settle(&w.rig);
    rig_expect_publish(&w.remote, "there/x", "x", QOS_0);
    rig_expect_nothing(&w.remote);
    assert_int_equal(TAILQ_FIRST(&w.rig.b->bridges.all)->dropped, 0);
    rig_forget(&c);
    end(&w);
}

#define TWO(one, two)                                                                              \
    "connection one\naddress a\ntry_private false\nlocal_clientid " one                            \
    "\ntopic a out 1\nconnection two\naddress b\ntry_private false\nlocal_clientid " two           \
    "\ntopic b out 1\n"

/* Each bridge has its own session, whatever ids they exchange. */
static void bridges_exchange_their_ids(void **state)
{
    struct world w;
    struct rig_client c;
    struct rig_client other;

    (void)state;
    for (int up = 0; up < 2; up++) {
        begin(&w, TWO("x", "y"), true);
        rig_connect(&w.rig, &c, "c", true);
        if (up) {
            connect(&w, false);
            assert_true(rig_dial(&w.rig, &other));
            connack(&other, false, 0);
            rig_settle(&w.rig);
        }
        reload(&w, TWO("y", "x"));
        rig_settle(&w.rig);
        if (up) {
            rig_forget(&w.remote);
            rig_forget(&other);
        }
        rig_publish(&c, "a", "to one", QOS_1, 1);
        rig_publish(&c, "b", "to two", QOS_1, 2);
        rig_settle(&w.rig);
        assert_int_equal(broker_stats(w.rig.b)->sessions, 3);
        (void)expect_connect(&w);
        connack(&w.remote, true, 0);
        assert_true(rig_dial(&w.rig, &other));
        connack(&other, true, 0);
        rig_settle(&w.rig);
        assert_int_equal(rig_drain(&w.remote), 2); /* and the notification */
        assert_int_equal(rig_drain(&other), 2);
        rig_forget(&other);
        rig_forget(&c);
        end(&w);
    }
}

/* An id is taken over from a bridge whose change waits for its next connection. */
static void an_id_is_taken_from_a_bridge_that_is_up(void **state)
{
    struct world w;
    struct rig_client other;

    (void)state;
    begin(&w, TWO("x", "y") "bridge_reload_type lazy\n", true);
    connect(&w, false);
    assert_true(rig_dial(&w.rig, &other));
    connack(&other, false, 0);
    rig_settle(&w.rig);
    reload(&w, TWO("y", "z") "bridge_reload_type lazy\n");
    rig_settle(&w.rig);
    rig_forget(&w.remote);
    rig_settle(&w.rig);
    rig_expect_closed(&other);
    rig_forget(&other);
    rig_settle(&w.rig);
    assert_int_equal(broker_stats(w.rig.b)->sessions, 2);
    end(&w);
}

static void a_bridge_becomes_lazy(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    begin(&w, SIMPLE "start_type once\ntopic # out 1\n", false);
    rig_connect(&w.rig, &c, "c", true);
    connect(&w, false);
    rig_forget(&w.remote);
    rig_settle(&w.rig);
    assert_false(rig_dial(&w.rig, &w.remote));
    reload(&w, SIMPLE "start_type lazy\nthreshold 2\ntopic # out 1\n");
    for (int i = 0; i < 2; i++) {
        assert_false(rig_dial(&w.rig, &w.remote));
        rig_publish(&c, "t", "x", QOS_0, 0);
        rig_settle(&w.rig);
    }
    assert_true(rig_dial(&w.rig, &w.remote));
    rig_forget(&w.remote);
    reload(&w, SIMPLE "restart_timeout 7\ntopic # out 1\n");
    assert_int_equal(w.rig.b->bridges.lazy, 0);
    rig_forget(&c);
    end(&w);
}

/* Also of a section that was in force between two connections only. */
static void what_was_subscribed_is_undone(void **state)
{
    struct world w;

    (void)state;
    begin(&w, SIMPLE "topic a in 1\n", false);
    connect(&w, false);
    reload(&w, SIMPLE "topic b in 1\n");
    rig_forget(&w.remote);
    reload(&w, SIMPLE "topic c in 1\n");
    (void)expect_connect(&w);
    connack(&w.remote, true, 0);
    rig_settle(&w.rig);
    expect_filter(&w.remote, PACKET_UNSUBSCRIBE, "a", 0);
    expect_filter(&w.remote, PACKET_SUBSCRIBE, "c", 1);
    rig_expect_nothing(&w.remote);
    end(&w);
}

static void copies_have_room_in_a_lazy_bridge(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    for (int i = 0; i < 2; i++) {
        memset(&w, 0, sizeof(w));
        rig_setup(&w.rig);
        w.rig.conf.global.allow_duplicate_messages = true;
        take_bridges(&w, i ? SIMPLE "start_type lazy\nthreshold 999\ntopic t out 0\ntopic # out 1\n"
                           : SIMPLE "start_type lazy\nthreshold 999\ntopic t out 1\ntopic # out\n");
        rig_start(&w.rig);
        rig_turn(&w.rig);
        rig_connect(&w.rig, &c, "c", true);
        for (uint16_t id = 1; id <= 300; id++) {
            rig_publish(&c, "t", "x", QOS_1, id);
            rig_settle(&w.rig);
        }
        assert_int_equal(bridge_session_queued(TAILQ_FIRST(&w.rig.b->bridges.all)), 600);
        rig_forget(&c);
        end(&w);
    }
}

/* The broker at the second address is another one, even if it does not say so. */
static void another_broker_is_no_relative(void **state)
{
    struct world w;
    struct rig_client inbound;

    (void)state;
    begin(&w, "connection up\naddresses one two\nnotifications false\ntopic # both 1\n", false);
    assert_true(rig_open(&w.rig, &inbound));
    rig_send_connect(&inbound, &(struct packet_connect){.client_id = STR("theirs"),
                                                        .level = PROTOCOL_311,
                                                        .clean_session = true,
                                                        .bridge = true});
    rig_settle(&w.rig);
    rig_send_subscribe(&inbound, 1, "$SYS/broker/peer/their-name", QOS_0);
    rig_settle(&w.rig);
    connect(&w, false);
    rig_publish(&w.remote, "$SYS/broker/peer/our-name", "their-name", QOS_0, 0);
    rig_settle(&w.rig);
    rig_pass(&w.rig, 30000);
    rig_forget(&w.remote);
    connect(&w, false);
    assert_int_equal(rig_logged(&w.rig, "Bridge up connected to two:1883"), 1);
    rig_publish(&inbound, "t", "from there", QOS_0, 0);
    rig_settle(&w.rig);
    rig_expect_publish(&w.remote, "t", "from there", QOS_0);
    rig_forget(&inbound);
    end(&w);
}

/* Each bridge says that it is not connected as long as it is not, also after a crash. */
static void a_notification_does_not_outlive_a_crash(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    begin(&w,
          "connection up\naddress a\ntry_private false\nnotification_topic up/state\n"
          "topic a out 1\n",
          true);
    connect(&w, false);
    rig_forget(&w.remote);
    rig_settle(&w.rig);
    rig_pass(&w.rig, 60000);
    connect(&w, false);
    rig_settle(&w.rig);
    rig_restart(&w.rig);
    rig_turn(&w.rig);
    rig_connect(&w.rig, &c, "c", true);
    rig_subscribe(&c, "up/state", QOS_0);
    rig_expect_publish(&c, "up/state", "0", QOS_0);
    rig_forget(&c);
    end(&w);
}

/* What can never pass is no reason to give all that is retained with every connection. */
static void what_cannot_pass_is_given_up(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    begin(&w, SIMPLE "bridge_max_packet_size 100\ntopic # out 1\n", false);
    rig_connect(&w.rig, &c, "c", true);
    connect(&w, false);
    rig_retain(&c, "small", "x", QOS_1, 1);
    rig_retain(&c,
               "large/large/large/large/large/large/large/large/large/large/large/large/large/large"
               "/large/large/large",
               "x", QOS_1, 2);
    rig_settle(&w.rig);
    rig_send_ack(&w.remote, PACKET_PUBACK, rig_expect_publish(&w.remote, "small", "x", QOS_1).id);
    rig_settle(&w.rig);
    for (int i = 0; i < 2; i++) {
        rig_forget(&w.remote);
        rig_pass(&w.rig, 60000);
        (void)expect_connect(&w);
        connack(&w.remote, true, 0);
        rig_settle(&w.rig);
        rig_expect_nothing(&w.remote);
    }
    assert_int_equal(TAILQ_FIRST(&w.rig.b->bridges.all)->dropped, 1);
    rig_forget(&c);
    end(&w);
}

/* A topic that a prefix makes longer: than a piece of output, and than there can be. */
static void topics_grow(void **state)
{
    static char text[70000];
    static char prefix[40001];
    static char topic[65001];
    static const size_t sizes[] = {1, 4000, 9000, 25535, 25536, 65000};
    struct world w;

    (void)state;
    memset(prefix, 'p', sizeof(prefix) - 2);
    prefix[sizeof(prefix) - 2] = '/';
    (void)snprintf(text, sizeof(text), SIMPLE "topic # both 1 \"\" %s\n", prefix);
    begin(&w, text, true);
    connect(&w, false);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        memset(topic, 't', sizes[i]);
        topic[sizes[i]] = '\0';
        for (int qos = 0; qos < 2; qos++) {
            struct packet_publish p = {
                .topic = str_c(topic), .payload = STR("x"), .qos = (enum qos)qos};
            struct frame f;
            assert_int_equal(publish_own(w.rig.b, &p), ERR_OK);
            rig_settle(&w.rig);
            assert_int_equal(rig_next(&w.remote, &f), sizes[i] + 40000 <= UINT16_MAX);
            if (sizes[i] + 40000 > UINT16_MAX)
                continue;
            assert_int_equal(decode_publish(&f, &p), REASON_OK);
            assert_int_equal(p.topic.n, sizes[i] + 40000);
            assert_true(p.topic.p[39999] == '/' && p.topic.p[40000] == 't');
            assert_true(str_eq_c(p.payload, "x"));
        }
    }
    end(&w);
}

/* Rows whose message is in the journal only; the link is lost in their midst, and some have no name
 * any more when they come back. */
static void what_left_memory_comes_in_order(void **state)
{
    struct world w;
    struct rig_client c;
    char payload[600];
    struct frame f;
    struct packet_publish p;
    int next = 0;
    int lives;

    (void)state;
    memset(&w, 0, sizeof(w));
    rig_setup(&w.rig);
    w.rig.setup.persistent = true;
    w.rig.conf.global.persistence_memory_limit = 2000;
    take_bridges(&w, SIMPLE "topic # out 1 a/ b/\ntopic c out 1\n");
    rig_start(&w.rig);
    rig_turn(&w.rig);
    rig_connect(&w.rig, &c, "c", true);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(payload, sizeof(payload), "%0500d", i);
        rig_publish(&c, i % 10 == 5 ? "c" : "a/x", payload, i % 3 ? QOS_1 : QOS_2,
                    (uint16_t)(i + 1));
        rig_settle(&w.rig);
        rig_drain(&c);
    }
    rig_forget(&c);
    reload(&w, SIMPLE "topic # out 1 a/ b/\n");
    for (lives = 0; next < 100 && lives < 20; lives++) {
        (void)expect_connect(&w);
        connack(&w.remote, true, 0);
        for (int turns = 0, got = 0; turns < 200 && got < 15; turns++) {
            rig_turn(&w.rig);
            while (got < 15 && rig_next(&w.remote, &f)) {
                if (frame_type(&f) != PACKET_PUBLISH)
                    continue;
                assert_int_equal(decode_publish(&f, &p), REASON_OK);
                assert_true(str_eq_c(p.topic, "b/x"));
                (void)snprintf(payload, sizeof(payload), "%0500d", next);
                assert_true(str_eq_c(p.payload, payload));
                rig_send_ack(&w.remote, PACKET_PUBACK, p.id);
                next += next % 10 == 4 ? 2 : 1;
                got++;
            }
        }
        rig_turn(&w.rig);
        rig_turn(&w.rig);
        rig_forget(&w.remote);
        if (lives % 2)
            rig_restart(&w.rig);
        rig_pass(&w.rig, 60000);
    }
    assert_int_equal(next, 100);
    assert_true(lives < 20);
    end(&w);
}

/* What a change waits for is the next connection, also of a bridge that rests before that. */
static void a_change_does_not_wait_longer(void **state)
{
    static const char section[] = "connection up\naddress %s\ntry_private false\n"
                                  "start_type lazy\nthreshold 1\nidle_timeout 5\n"
                                  "bridge_reload_type lazy\ntopic # out 0\n";
    char text[512];
    struct dial_order order;
    struct world w;

    (void)state;
    (void)snprintf(text, sizeof(text), section, "one");
    begin(&w, text, false);
    assert_int_equal(broker_publish_local(w.rig.b, STR("t"), STR("x"), false), ERR_OK);
    rig_settle(&w.rig);
    connect(&w, false);
    (void)snprintf(text, sizeof(text), section, "two");
    reload(&w, text);
    for (int i = 0; i < 8; i++)
        rig_pass(&w.rig, 1000);
    rig_settle(&w.rig);
    rig_expect_closed(&w.remote);
    assert_int_equal(broker_publish_local(w.rig.b, STR("t"), STR("x"), false), ERR_OK);
    rig_settle(&w.rig);
    assert_true(rig_take_dial(&w.rig, &order));
    assert_string_equal(order.conf->addresses[0].host, "two");
    conf_bridge_unref(order.conf);
    end(&w);
}

/* To one of the states of a bridge; the last one is "just closed". */
static void walk_to(struct world *w, int to)
{
    struct dial_order order;

    if (to == 1) {
        assert_true(rig_take_dial(&w->rig, &order)); /* dialling */
        conf_bridge_unref(order.conf);
    } else if (to == 2) {
        assert_true(rig_take_dial(&w->rig, &order)); /* waiting */
        broker_dial_failed(w->rig.b, order.ticket, "no luck");
        conf_bridge_unref(order.conf);
    } else if (to == 3) {
        (void)expect_connect(w); /* greeting */
    } else if (to >= 4) {
        connect(w, false); /* up */
    }
    if (to == 5) {
        w->remote.window = 0; /* what is said last cannot leave: parting */
        conn_end(w->rig.b, &TAILQ_FIRST(&w->rig.b->bridges.all)->conn, REASON_BRIDGE_PRIMARY, NULL);
    } else if (to == 6) {
        rig_send_empty(&w->remote, PACKET_PINGREQ); /* waiting, not closed yet */
        w->remote.window = 0;
        broker_publish_local(w->rig.b, STR("a"), STR("x"), false);
        rig_turn(&w->rig);
    } else if (to == 7) {
        rig_forget(&w->remote);
    }
}

enum { WALKS = 8 };

static void it_goes_in_every_state(void **state)
{
    static const char *const after[] = {
        "", "connection up\naddress other\ntopic a out 1\ntopic b in 1\n",
        SIMPLE "start_type lazy\ntopic # out 1\n", SIMPLE "local_clientid else\ntopic a out 1\n"};

    (void)state;
    for (int i = 0; i < 3 * WALKS * (int)ARRAY_SIZE(after); i++) {
        struct world w;
        begin(&w, SIMPLE "restart_timeout 1\nlocal_clientid its\ntopic a out 1\n", i % 2);
        walk_to(&w, i % WALKS);
        assert_null(bridges_examine(w.rig.b));
        if (i / WALKS % 3) {
            reload(&w, after[i / WALKS / 3]);
            rig_check(&w.rig);
        }
        if (i / WALKS % 3 == 2) {
            rig_forget(&w.remote);
            rig_settle(&w.rig);
            rig_check(&w.rig);
            rig_pass(&w.rig, 2000);
            assert_int_equal(broker_stats(w.rig.b)->sessions, i / WALKS / 3 > 0);
        }
        end(&w);
    }
}

static void who_has_its_id_must_go(void **state)
{
    struct world w;
    struct rig_client c;

    (void)state;
    for (int clean = 0; clean < 2; clean++) {
        begin(&w, "", true);
        rig_connect(&w.rig, &c, "local.here.up", clean);
        rig_subscribe(&c, "a", QOS_1);
        reload(&w, SIMPLE "topic b out 1\n");
        rig_settle(&w.rig);
        rig_expect_closed(&c);
        rig_check(&w.rig);
        assert_int_equal(broker_stats(w.rig.b)->subscriptions, 1);
        rig_forget(&c);
        end(&w);
    }
}

/* --- without memory --- */

/* A remote broker that remembers. */
struct far {
    bool open[UINT16_MAX + 1]; /* ids of QoS 2 between PUBREC and PUBREL */
    bool known;
    unsigned one; /* messages that came */
    unsigned two;
    unsigned released; /* of its own */
};

static void far_publish(struct rig_client *c, struct far *far, const struct frame *f)
{
    struct packet_publish p;

    assert_int_equal(decode_publish(f, &p), REASON_OK);
    if (!str_has_prefix(p.topic, STR("there/")))
        return;
    far->one += p.qos == QOS_1;
    far->two += p.qos == QOS_2 && !far->open[p.id];
    if (p.qos == QOS_2)
        far->open[p.id] = true;
    if (p.qos > QOS_0)
        rig_send_ack(c, p.qos == QOS_1 ? PACKET_PUBACK : PACKET_PUBREC, p.id);
}

static void far_answer(struct rig_client *c, struct far *far, const struct frame *f)
{
    uint16_t id = rig_id(f);

    switch ((int)frame_type(f)) {
    case PACKET_CONNECT:
        connack(c, far->known, 0);
        far->known = true;
        break;
    case PACKET_PUBLISH:
        far_publish(c, far, f);
        break;
    case PACKET_PUBREL:
        far->open[id] = false;
        rig_send_ack(c, PACKET_PUBCOMP, id);
        break;
    case PACKET_PUBREC:
        rig_send_ack(c, PACKET_PUBREL, id);
        break;
    case PACKET_PUBCOMP:
        far->released++;
        break;
    default:
        break;
    }
}

/* Some seconds at the other end. */
static void far_turns(struct world *w, struct far *far, int seconds)
{
    struct frame f;

    for (int i = 0; i < seconds; i++) {
        if (!w->remote.conn) {
            rig_forget(&w->remote);
            (void)rig_dial(&w->rig, &w->remote);
        }
        for (int n = 0; n < 6; n++) {
            rig_settle(&w->rig);
            while (w->remote.conn && rig_next(&w->remote, &f))
                far_answer(&w->remote, far, &f);
        }
        assert_null(bridges_examine(w->rig.b));
        rig_pass(&w->rig, 1000);
    }
}

static void commit(struct world *w, const struct conf *conf)
{
    w->rig.conf.bridges = conf->bridges;
    w->rig.conf.bridge_count = conf->bridge_count;
    assert_int_equal(broker_prepare(w->rig.b, &w->rig.conf), ERR_OK);
    broker_commit(w->rig.b);
    assert_null(bridges_examine(w->rig.b));
}

/* Was it promised that this gets there? */
static bool give(struct world *w, struct rig_client *c, enum qos qos, uint16_t id)
{
    struct frame f;
    bool told = false;

    if (!c->conn)
        return false;
    rig_publish(c, "here/a", "x", qos, id);
    rig_settle(&w->rig);
    while (c->conn && rig_next(c, &f))
        told = told || frame_type(&f) == PACKET_PUBACK || frame_type(&f) == PACKET_PUBREC;
    return told;
}

#define WORN SIMPLE "restart_timeout 1\ntopic a out 2 here/ there/\n"

/* Messages wait, the link comes, is lost, its section changes. `birth`: from the beginning, to the
 * end. Says how many allocations failed. */
static uint64_t a_life(unsigned n, int all, bool birth, bool persistent)
{
    static struct far far;
    struct conf *changed = parse(WORN "topic b in 2\n");
    struct conf *none = parse("");
    struct rig_client c;
    unsigned one = 0;
    unsigned two = 0;
    uint64_t failed;
    struct world w;

    memset(&far, 0, sizeof(far));
    memset(&w, 0, sizeof(w));
    rig_setup(&w.rig);
    w.rig.setup.persistent = persistent;
    take_bridges(&w, WORN);
    rig_start(&w.rig);
    rig_connect(&w.rig, &c, "c", true);
    rig_retain(&c, "here/a", "kept", QOS_1, 9);
    if (birth)
        mem_fail_after(n, all);
    far_turns(&w, &far, birth);
    rig_forget(&w.remote);
    if (!birth)
        mem_fail_after(n, all);
    one += give(&w, &c, QOS_1, 1);
    two += give(&w, &c, QOS_2, 2);
    far_turns(&w, &far, 2);
    one += give(&w, &c, QOS_1, 3);
    if (w.remote.conn)
        rig_publish(&w.remote, "b", "in", QOS_2, 77);
    commit(&w, changed);
    far_turns(&w, &far, 2);
    two += give(&w, &c, QOS_2, 4);
    rig_forget(&w.remote);
    far_turns(&w, &far, 2);
    if (birth)
        commit(&w, none);
    failed = mem_failed();
    mem_fail_never();
    far_turns(&w, &far, birth ? 0 : 12);
    if (!birth && (far.one < one || far.two < two || far.two > 2))
        fail_msg("%u: %u of %u, %u of %u", n, far.one, one, far.two, two);
    commit(&w, none);
    rig_settle(&w.rig);
    rig_settle(&w.rig);
    assert_true(TAILQ_EMPTY(&w.rig.b->bridges.all) || w.remote.conn);
    rig_forget(&c);
    end(&w);
    conf_free(changed);
    conf_free(none);
    return failed;
}

/* What waits for a bridge begins with its section, as soon as there is memory. */
static void a_session_is_made_when_there_is_memory(void **state)
{
    struct conf *conf = parse(SIMPLE "topic a out 1\ntopic b out 1\n");
    uint64_t failed = 1;

    (void)state;
    unit_needs_tracking();
    for (int persistent = 0; persistent < 2; persistent++, failed = 1) {
        for (unsigned n = 0; failed > 0; n++) {
            struct world w;
            begin(&w, SIMPLE "topic a out 1\n", persistent);
            mem_fail_after(n, 0);
            commit(&w, conf);
            failed = mem_failed();
            mem_fail_never();
            rig_pass(&w.rig, 6000);
            for (int i = 0; i < 2; i++) {
                struct packet_publish p = {
                    .topic = str_c(i ? "b" : "a"), .payload = STR("x"), .qos = QOS_1};
                assert_int_equal(publish_own(w.rig.b, &p), ERR_OK);
            }
            assert_int_equal(bridge_session_queued(TAILQ_FIRST(&w.rig.b->bridges.all)), 2);
            end(&w);
        }
    }
    conf_free(conf);
}

static void each_allocation_fails(void **state)
{
    unsigned n;

    (void)state;
    unit_needs_tracking();
    for (int i = 0; i < 8; i++) {
        for (n = 0; a_life(n, i & 1, i & 2, i & 4) > 0; n++) {
            if (n > 3000)
                fail_msg("there is no end to it");
        }
        assert_true(n > 20);
    }
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
        UNIT_TEST(what_is_shorter_than_its_prefix_has_no_name),
        UNIT_TEST(in_doubt_the_name_is_asked_for_once),
        UNIT_TEST(what_waits_goes_out_in_order_and_once),
        UNIT_TEST(what_the_remote_forgot_is_forgotten),
        UNIT_TEST(retained_messages_and_their_end_travel),
        UNIT_TEST(a_full_queue_drops_what_is_configured),
        UNIT_TEST(a_lazy_bridge_comes_and_goes),
        UNIT_TEST(what_a_server_may_not_send_ends_it),
        UNIT_TEST(nothing_comes_before_connack),
        UNIT_TEST(names_that_no_topic_can_have_are_dropped),
        UNIT_TEST(a_message_that_ends_connections_is_named),
        UNIT_TEST(another_address_is_tried_at_once),
        UNIT_TEST(no_connack_is_noticed),
        UNIT_TEST(silence_is_noticed),
        UNIT_TEST(nobody_takes_its_session),
        UNIT_TEST(only_what_changed_is_changed),
        UNIT_TEST(a_session_without_a_section_ends),
        UNIT_TEST(the_journal_knows_who_is_a_bridge),
        UNIT_TEST(nothing_returns_to_the_broker_that_it_came_from),
        UNIT_TEST(a_flood_is_noticed),
        UNIT_TEST(the_prefix_itself_is_no_loss),
        UNIT_TEST(bridges_exchange_their_ids),
        UNIT_TEST(an_id_is_taken_from_a_bridge_that_is_up),
        UNIT_TEST(a_bridge_becomes_lazy),
        UNIT_TEST(what_was_subscribed_is_undone),
        UNIT_TEST(copies_have_room_in_a_lazy_bridge),
        UNIT_TEST(another_broker_is_no_relative),
        UNIT_TEST(a_notification_does_not_outlive_a_crash),
        UNIT_TEST(what_cannot_pass_is_given_up),
        UNIT_TEST(it_goes_in_every_state),
        UNIT_TEST(who_has_its_id_must_go),
        UNIT_TEST(a_change_does_not_wait_longer),
        UNIT_TEST(topics_grow),
        UNIT_TEST(what_left_memory_comes_in_order),
        UNIT_TEST(a_session_is_made_when_there_is_memory),
        UNIT_TEST(each_allocation_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
