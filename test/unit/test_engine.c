/*
 * The client's half of MQTT, from its header: each test plays the broker with bytes of its own.
 */
#include "client/engine.h"

#include "unit/engine_rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <string.h>

static struct engine_rig *const r = &engine_rig;

/* A rig before, and after it no byte of memory that was not there. */
static int begin(void **state)
{
    int failed = unit_begin(state);

    engine_rig_begin(r);
    return failed;
}

static int end(void **state)
{
    mem_fail_never();
    engine_rig_end(r);
    return unit_end(state);
}

#define ENGINE_TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

/* --- short words --- */

static enum err try_publish(const char *topic, const char *payload, enum qos qos, uint16_t *id)
{
    const struct packet_publish p = {.topic = str_c(topic), .payload = str_c(payload), .qos = qos};

    return engine_publish(r->e, &p, id);
}

static uint16_t publish(const char *topic, const char *payload, enum qos qos)
{
    uint16_t id = 0;

    assert_ok(try_publish(topic, payload, qos, &id));
    assert_int_not_equal(id, 0);
    return id;
}

static uint16_t subscribe(const char *filter, enum qos qos)
{
    const struct str f = str_c(filter);
    uint16_t id = 0;

    assert_ok(engine_subscribe(r->e, &f, &qos, 1, &id));
    assert_int_not_equal(id, 0);
    return id;
}

static uint16_t unsubscribe(const char *filter)
{
    const struct str f = str_c(filter);
    uint16_t id = 0;

    assert_ok(engine_unsubscribe(r->e, &f, 1, &id));
    assert_int_not_equal(id, 0);
    return id;
}

static void take_id(enum engine_kind kind, uint16_t id, int line)
{
    engine_rig_take(r, kind, line);
    if (r->ev.id != id)
        fail_msg("line %d: id %u instead of %u", line, r->ev.id, id);
}
#define TAKE_ID(kind, id) take_id(kind, id, __LINE__)

static void expect_message(const char *topic, const char *payload, enum qos qos, int line)
{
    engine_rig_expect(r, ENGINE_MESSAGE, line);
    const struct packet_publish *m = &r->ev.message;
    if (!str_eq_c(m->topic, topic) || !str_eq_c(m->payload, payload) || m->qos != qos)
        fail_msg("line %d: '%.*s' '%.*s' at QoS %d", line, STR_ARG(m->topic), STR_ARG(m->payload),
                 (int)m->qos);
    assert_int_equal(m->topic.p[m->topic.n], '\0');
    assert_int_equal(m->payload.p[m->payload.n], '\0');
}

static void take_message(const char *topic, const char *payload, enum qos qos, int line)
{
    expect_message(topic, payload, qos, line);
    assert_ok(engine_settle(r->e, &r->ev));
}
#define EXPECT_MESSAGE(t, p, q) expect_message(t, p, q, __LINE__)
#define TAKE_MESSAGE(t, p, q) take_message(t, p, q, __LINE__)

static void lose(void)
{
    engine_lost(r->e);
    assert_int_equal(engine_state(r->e), ENGINE_IDLE);
    r->out_n = 0;
}

/* --- CONNECT and CONNACK --- */

static void connect_has_what_it_was_given(void **state)
{
    const struct packet_connect p = {.client_id = STR("id"),
                                     .will_topic = STR("w/t"),
                                     .will_payload = STR("gone"),
                                     .username = STR("me"),
                                     .password = STR("pw"),
                                     .keepalive_s = 258,
                                     .level = PROTOCOL_311,
                                     .clean_session = true,
                                     .has_will = true,
                                     .will_retain = true,
                                     .will_qos = QOS_1,
                                     .has_username = true,
                                     .has_password = true};

    (void)state;
    assert_ok(engine_connect(r->e, &p, r->now));
    assert_int_equal(engine_state(r->e), ENGINE_CONNECTING);
    assert_false(engine_is_drained(r->e));
    SENT(r, 0x10, 33, 0, 4, 'M', 'Q', 'T', 'T', 4, 0xEE, 1, 2, 0, 2, 'i', 'd', 0, 3, 'w', '/', 't',
         0, 4, 'g', 'o', 'n', 'e', 0, 2, 'm', 'e', 0, 2, 'p', 'w');
    assert_true(engine_is_drained(r->e));
    QUIET(r);
}

static void connect_speaks_3_1(void **state)
{
    const struct packet_connect p = {
        .client_id = STR("x"), .keepalive_s = 60, .level = PROTOCOL_31};

    (void)state;
    assert_ok(engine_connect(r->e, &p, r->now));
    SENT(r, 0x10, 15, 0, 6, 'M', 'Q', 'I', 's', 'd', 'p', 3, 0, 0, 60, 0, 1, 'x');
}

static void connect_copies_what_it_is_given(void **state)
{
    char id[] = "id";
    const struct packet_connect p = {.client_id = str_c(id), .level = PROTOCOL_311};

    (void)state;
    assert_ok(engine_connect(r->e, &p, r->now));
    memset(id, '!', 2);
    SENT(r, 0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 4, 0, 0, 0, 0, 2, 'i', 'd');
    r->lines_n = 0;
    subscribe("f", QOS_0);
    assert_non_null(strstr(r->lines, "Client id sending SUBSCRIBE"));
}

static void connack_is_told(void **state)
{
    (void)state;
    engine_rig_hello(r, false);
    QUIET(r);
    FEED(r, 0x20, 2, 1, 0);
    EXPECT(r, ENGINE_CONNACK);
    assert_int_equal(r->ev.code, 0);
    assert_true(r->ev.session_present);
    assert_ok(engine_settle(r->e, &r->ev));
    assert_int_equal(engine_state(r->e), ENGINE_CONNECTED);
    QUIET(r);
    SENT_NOTHING(r);
}

static void a_refusal_is_told_with_its_code(void **state)
{
    static const uint8_t codes[] = {1, 2, 3, 4, 5, 6, 0x87, 255};

    (void)state;
    for (size_t i = 0; i < sizeof(codes); i++) {
        engine_rig_hello(r, true);
        const uint8_t connack[] = {0x20, 2, 0, codes[i]};
        engine_rig_feed(r, connack, sizeof(connack));
        TAKE(r, ENGINE_CONNACK);
        assert_int_equal(r->ev.code, codes[i]);
        assert_int_not_equal(engine_state(r->e), ENGINE_CONNECTED);
        lose();
    }
}

/* Nor does anything come that the broker says behind it. */
static void nothing_comes_after_a_refusal(void **state)
{
    struct engine_event ev;

    (void)state;
    engine_rig_hello(r, true);
    FEED(r, 0x20, 2, 0, 5, 0x30, 3, 0, 1, 'a', 0x32, 5, 0, 1, 'a', 0, 7);
    TAKE(r, ENGINE_CONNACK);
    assert_int_not_equal(engine_next(r->e, &ev), ERR_OK);
    SENT_NOTHING(r);
}

/* --- without a connection --- */

static void without_a_connection_nothing_moves(void **state)
{
    const struct str filter = STR("f");
    const enum qos qos = QOS_0;
    uint16_t id = 0;

    (void)state;
    assert_int_equal(engine_state(r->e), ENGINE_IDLE);
    SENT_NOTHING(r);
    QUIET(r);
    assert_int_equal(engine_deadline(r->e), UINT64_MAX);
    assert_ok(engine_tick(r->e, r->now + 1000000));
    assert_err(try_publish("t", "p", QOS_0, &id), ERR_CLOSED);
    assert_err(engine_subscribe(r->e, &filter, &qos, 1, &id), ERR_CLOSED);
    assert_err(engine_unsubscribe(r->e, &filter, 1, &id), ERR_CLOSED);
    assert_ok(engine_disconnect(r->e, r->now));
    assert_int_equal(engine_state(r->e), ENGINE_IDLE);
    engine_lost(r->e);
    assert_int_equal(engine_unfinished(r->e), 0);
    assert_non_null(engine_why(r->e));
    SENT_NOTHING(r);
    engine_free(NULL);
}

static void what_was_published_before_goes_behind_connect(void **state)
{
    const struct packet_connect p = {.client_id = STR("c"), .level = PROTOCOL_311};

    (void)state;
    assert_int_equal(publish("a", "1", QOS_1), 1);
    assert_int_equal(publish("b", "2", QOS_2), 2);
    assert_int_equal(engine_unfinished(r->e), 2);
    assert_ok(engine_connect(r->e, &p, r->now));
    SENT(r, 0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 0, 0, 0, 0, 1, 'c', /* CONNECT first */
         0x32, 6, 0, 1, 'a', 0, 1, '1', 0x34, 6, 0, 1, 'b', 0, 2, '2');
    FEED(r, 0x20, 2, 0, 0);
    TAKE(r, ENGINE_CONNACK);
    QUIET(r);
    SENT_NOTHING(r); /* not again */
}

static void requests_do_not_wait_for_connack(void **state)
{
    (void)state;
    engine_rig_hello(r, true);
    publish("a", "0", QOS_0);
    assert_int_equal(publish("a", "1", QOS_1), 2);
    assert_int_equal(subscribe("f", QOS_1), 3);
    assert_int_equal(unsubscribe("g"), 4);
    SENT(r, 0x30, 4, 0, 1, 'a', '0', 0x32, 6, 0, 1, 'a', 0, 2, '1', 0x82, 6, 0, 3, 0, 1, 'f', 1,
         0xA2, 5, 0, 4, 0, 1, 'g');
}

static void a_refused_client_keeps_its_messages(void **state)
{
    (void)state;
    engine_rig_hello(r, true);
    uint16_t id = publish("a", "1", QOS_1);
    SENT(r, 0x32, 6, 0, 1, 'a', 0, 1, '1');
    FEED(r, 0x20, 2, 0, 5);
    TAKE(r, ENGINE_CONNACK);
    lose();
    assert_int_equal(engine_unfinished(r->e), 1);
    engine_rig_online(r, true, false);
    engine_rig_write(r);
    assert_int_equal(r->out_n, 8);
    assert_memory_equal(r->out + 1, ((uint8_t[]){6, 0, 1, 'a', 0, 1, '1'}), 7);
    FEED(r, 0x40, 2, 0, 1);
    TAKE_ID(ENGINE_PUBLISHED, id);
}

/* --- messages out --- */

static void qos0_is_told_when_it_is_written(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    uint16_t first = publish("a", "xx", QOS_0);
    uint16_t second = publish("a", "yy", QOS_0);
    assert_int_not_equal(first, second);
    assert_int_equal(engine_unfinished(r->e), 0);
    QUIET(r);
    engine_rig_write_some(r, 6);
    QUIET(r);
    assert_false(engine_is_drained(r->e));
    engine_rig_write_some(r, 1);
    TAKE_ID(ENGINE_PUBLISHED, first);
    QUIET(r);
    engine_rig_write_some(r, 6);
    QUIET(r);
    engine_rig_write_some(r, 1);
    assert_true(engine_is_drained(r->e));
    TAKE_ID(ENGINE_PUBLISHED, second);
    QUIET(r);
}

static void qos0_that_was_not_written_is_never_told(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    publish("a", "xx", QOS_0);
    engine_rig_write_some(r, 6);
    lose();
    QUIET(r);
    engine_rig_online(r, true, false);
    SENT_NOTHING(r);
    uint16_t id = publish("a", "yy", QOS_0);
    engine_rig_write(r);
    TAKE_ID(ENGINE_PUBLISHED, id);
    QUIET(r);
}

static void qos0_in_between_is_told_in_its_turn(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    uint16_t one = publish("a", "1", QOS_1);
    uint16_t zero = publish("a", "0", QOS_0);
    subscribe("f", QOS_0);
    engine_rig_write(r);
    TAKE_ID(ENGINE_PUBLISHED, zero);
    QUIET(r);
    FEED(r, 0x40, 2, 0, 1);
    TAKE_ID(ENGINE_PUBLISHED, one);
    QUIET(r);
}

static void qos1_is_told_when_it_is_acknowledged(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    uint16_t id = publish("a", "1", QOS_1);
    SENT(r, 0x32, 6, 0, 1, 'a', 0, 1, '1');
    QUIET(r);
    assert_int_equal(engine_unfinished(r->e), 1);
    FEED(r, 0x40, 2, 0, 1);
    TAKE_ID(ENGINE_PUBLISHED, id);
    assert_int_equal(engine_unfinished(r->e), 0);
    FEED(r, 0x40, 2, 0, 1); /* again: of nothing that is known */
    QUIET(r);
    SENT_NOTHING(r);
}

static void qos2_goes_its_way(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    uint16_t id = publish("a", "1", QOS_2);
    SENT(r, 0x34, 6, 0, 1, 'a', 0, 1, '1');
    FEED(r, 0x50, 2, 0, 1);
    QUIET(r);
    SENT(r, 0x62, 2, 0, 1);
    FEED(r, 0x50, 2, 0, 1);
    QUIET(r);
    SENT(r, 0x62, 2, 0, 1);
    assert_int_equal(engine_unfinished(r->e), 1);
    FEED(r, 0x70, 2, 0, 1);
    TAKE_ID(ENGINE_PUBLISHED, id);
    assert_int_equal(engine_unfinished(r->e), 0);
    QUIET(r);
}

static void retain_is_sent(void **state)
{
    const struct packet_publish p = {
        .topic = STR("a"), .payload = STR("r"), .qos = QOS_1, .retain = true};
    uint16_t id;

    (void)state;
    assert_ok(engine_publish(r->e, &p, &id));
    engine_rig_online(r, true, false);
    SENT(r, 0x33, 6, 0, 1, 'a', 0, 1, 'r');
}

static void an_empty_payload_is_one(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    publish("a", "", QOS_0);
    publish("a", "", QOS_1);
    SENT(r, 0x30, 3, 0, 1, 'a', 0x32, 5, 0, 1, 'a', 0, 2);
}

static void the_window_holds_messages_back(void **state)
{
    (void)state;
    engine_set_window(r->e, 2);
    engine_rig_online(r, true, false);
    for (int i = 0; i < 4; i++)
        publish("a", "x", i == 1 ? QOS_2 : QOS_1);
    assert_int_equal(engine_unfinished(r->e), 4);
    SENT(r, 0x32, 6, 0, 1, 'a', 0, 1, 'x', 0x34, 6, 0, 1, 'a', 0, 2, 'x');
    publish("b", "0", QOS_0); /* is not held back */
    SENT(r, 0x30, 4, 0, 1, 'b', '0');
    TAKE_ID(ENGINE_PUBLISHED, 5);
    FEED(r, 0x50, 2, 0, 2); /* PUBREC makes no room */
    QUIET(r);
    SENT(r, 0x62, 2, 0, 2);
    FEED(r, 0x40, 2, 0, 1);
    TAKE_ID(ENGINE_PUBLISHED, 1);
    QUIET(r);
    SENT(r, 0x32, 6, 0, 1, 'a', 0, 3, 'x');
    FEED(r, 0x70, 2, 0, 2);
    TAKE_ID(ENGINE_PUBLISHED, 2);
    QUIET(r);
    SENT(r, 0x32, 6, 0, 1, 'a', 0, 4, 'x');
}

static unsigned publishes_of(uint32_t window, unsigned messages)
{
    engine_reset(r->e);
    engine_set_window(r->e, window);
    engine_rig_online(r, true, false);
    for (unsigned i = 0; i < messages; i++)
        publish("a", "x", QOS_1);
    engine_rig_write(r);
    unsigned sent = (unsigned)(r->out_n / 8);
    lose();
    return sent;
}

static void the_window_is_20_to_begin_with(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    for (int i = 0; i < 30; i++)
        publish("a", "x", QOS_2);
    engine_rig_write(r);
    assert_int_equal(r->out_n, 20 * 8);
    lose();
    assert_int_equal(publishes_of(1, 5), 1);
    assert_int_equal(publishes_of(25, 30), 25);
    assert_int_equal(publishes_of(0, 3000), 3000);
}

/* --- messages in --- */

static void a_message_at_qos0_comes(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    FEED(r, 0x31, 7, 0, 3, 'a', '/', 'b', 'h', 'i', 0x30, 3, 0, 1, 'c');
    EXPECT_MESSAGE("a/b", "hi", QOS_0);
    assert_true(r->ev.message.retain);
    assert_int_equal(r->ev.message.id, 0);
    assert_ok(engine_settle(r->e, &r->ev));
    TAKE_MESSAGE("c", "", QOS_0);
    assert_false(r->ev.message.retain);
    QUIET(r);
    SENT_NOTHING(r);
}

static void a_message_at_qos1_is_acknowledged_when_settled(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    FEED(r, 0x3A, 6, 0, 1, 'a', 1, 7, 'x');
    EXPECT_MESSAGE("a", "x", QOS_1);
    assert_true(r->ev.message.dup);
    assert_int_equal(r->ev.message.id, 0x107);
    SENT_NOTHING(r);
    assert_ok(engine_settle(r->e, &r->ev));
    SENT(r, 0x40, 2, 1, 7);
    QUIET(r);
    SENT_NOTHING(r);
}

static void a_message_at_qos2_comes_once(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    FEED(r, 0x34, 6, 0, 1, 'a', 0, 7, 'x');
    EXPECT_MESSAGE("a", "x", QOS_2);
    SENT_NOTHING(r);
    assert_ok(engine_settle(r->e, &r->ev));
    SENT(r, 0x50, 2, 0, 7);
    FEED(r, 0x3C, 6, 0, 1, 'a', 0, 7, 'x');
    QUIET(r);
    SENT(r, 0x50, 2, 0, 7);
    FEED(r, 0x62, 2, 0, 7);
    QUIET(r);
    SENT(r, 0x70, 2, 0, 7);
    FEED(r, 0x62, 2, 0, 7); /* unknown by now, and answered all the same */
    QUIET(r);
    SENT(r, 0x70, 2, 0, 7);
    FEED(r, 0x34, 6, 0, 1, 'a', 0, 7, 'y');
    TAKE_MESSAGE("a", "y", QOS_2);
    SENT(r, 0x50, 2, 0, 7);
}

static void acknowledgements_keep_the_order(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    FEED(r, 0x32, 5, 0, 1, 'a', 0, 9, 0x34, 5, 0, 1, 'b', 0, 3, 0x32, 5, 0, 1, 'c', 0, 5);
    TAKE_MESSAGE("a", "", QOS_1);
    TAKE_MESSAGE("b", "", QOS_2);
    TAKE_MESSAGE("c", "", QOS_1);
    SENT(r, 0x40, 2, 0, 9, 0x50, 2, 0, 3, 0x40, 2, 0, 5);
}

static void the_same_id_in_both_directions_is_not_the_same(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    uint16_t id = publish("a", "1", QOS_2);
    SENT(r, 0x34, 6, 0, 1, 'a', 0, 1, '1');
    FEED(r, 0x34, 6, 0, 1, 'b', 0, 1, '2');
    TAKE_MESSAGE("b", "2", QOS_2);
    SENT(r, 0x50, 2, 0, 1);
    FEED(r, 0x50, 2, 0, 1);
    QUIET(r);
    SENT(r, 0x62, 2, 0, 1);
    FEED(r, 0x62, 2, 0, 1, 0x70, 2, 0, 1);
    TAKE_ID(ENGINE_PUBLISHED, id);
    SENT(r, 0x70, 2, 0, 1);
}

static void an_event_is_kept_until_the_next_is_asked_for(void **state)
{
    uint8_t filler[400] = {0x30, 0x8D, 0x03, 0, 1, 'z'};

    (void)state;
    engine_rig_online(r, true, false);
    FEED(r, 0x32, 8, 0, 1, 'a', 0, 7, 'o', 'n', 'e');
    EXPECT_MESSAGE("a", "one", QOS_1);
    const struct packet_publish m = r->ev.message;
    for (int i = 0; i < 500; i++) /* the input grows under it */
        engine_rig_feed(r, filler, sizeof(filler));
    assert_true(str_eq_c(m.topic, "a") && str_eq_c(m.payload, "one"));
    publish("q", "", QOS_1);
    engine_lost(r->e);
    engine_rig_hello(r, true);
    FEED(r, 0x20, 2, 0, 0);
    assert_true(str_eq_c(m.topic, "a") && str_eq_c(m.payload, "one"));
    assert_int_equal(m.payload.p[m.payload.n], '\0');
    assert_ok(engine_settle(r->e, &r->ev));
    TAKE(r, ENGINE_CONNACK);
}

/* --- filters --- */

static void subscriptions_are_acknowledged(void **state)
{
    const struct str filters[] = {STR("a/+"), STR("b"), STR("#")};
    const enum qos qos[] = {QOS_0, QOS_2, QOS_1};
    uint16_t id;

    (void)state;
    engine_rig_online(r, true, false);
    assert_ok(engine_subscribe(r->e, filters, qos, 3, &id));
    SENT(r, 0x82, 16, 0, 1, 0, 3, 'a', '/', '+', 0, 0, 1, 'b', 2, 0, 1, '#', 1);
    assert_ok(engine_unsubscribe(r->e, filters, 3, &id));
    SENT(r, 0xA2, 13, 0, 2, 0, 3, 'a', '/', '+', 0, 1, 'b', 0, 1, '#');
    QUIET(r);
    FEED(r, 0x90, 5, 0, 1, 0, 0x80, 1, 0xB0, 2, 0, 2);
    TAKE_ID(ENGINE_SUBSCRIBED, 1);
    assert_int_equal(r->ev.codes.n, 3);
    assert_memory_equal(r->ev.codes.p, "\0\x80\1", 3);
    TAKE_ID(ENGINE_UNSUBSCRIBED, 2);
    QUIET(r);
    SENT_NOTHING(r);
}

static void unanswered_requests_end_with_their_connection(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    subscribe("a", QOS_0);
    unsubscribe("b");
    engine_rig_write(r);
    lose();
    assert_int_equal(engine_unfinished(r->e), 0);
    engine_rig_online(r, true, false);
    QUIET(r);
    SENT_NOTHING(r);
}

static void too_many_requests_are_refused(void **state)
{
    const struct str filter = STR("f");
    const enum qos qos = QOS_0;
    uint16_t id;

    (void)state;
    engine_rig_online(r, true, false);
    for (int i = 0; i < 65535; i++) {
        subscribe("f", QOS_0);
        engine_rig_write(r);
        r->out_n = 0;
    }
    assert_err(engine_subscribe(r->e, &filter, &qos, 1, &id), ERR_FULL);
    assert_err(engine_unsubscribe(r->e, &filter, 1, &id), ERR_FULL);
    SENT_NOTHING(r);
    FEED(r, 0x90, 3, 0x12, 0x34, 0);
    TAKE_ID(ENGINE_SUBSCRIBED, 0x1234);
    assert_int_equal(unsubscribe("f"), 0x1234); /* the only one that is free */
}

static void what_is_too_large_is_refused(void **state)
{
    static struct str filters[4200];
    static enum qos qos[4200];
    static char text[65535];
    uint16_t id;

    (void)state;
    engine_rig_online(r, true, false);
    memset(text, 'x', sizeof(text));
    for (size_t i = 0; i < 4200; i++)
        filters[i] = str_of(text, sizeof(text));
    assert_err(engine_subscribe(r->e, filters, qos, 4200, &id), ERR_TOO_LARGE);
    assert_err(engine_unsubscribe(r->e, filters, 4200, &id), ERR_TOO_LARGE);
    /* Its size is known before anything is copied. */
    for (int i = QOS_0; i <= QOS_2; i++) {
        const struct packet_publish p = {
            .topic = STR("t"), .payload = str_of(text, 268435455), .qos = (enum qos)i};
        assert_err(engine_publish(r->e, &p, &id), ERR_TOO_LARGE);
    }
    SENT_NOTHING(r);
    assert_int_equal(engine_unfinished(r->e), 0);
    QUIET(r);
}

/* --- connections that are lost --- */

static void after_a_loss_all_is_sent_again_in_order(void **state)
{
    (void)state;
    engine_set_window(r->e, 4);
    engine_rig_online(r, false, false);
    for (int i = 0; i < 6; i++)
        publish("a", "x", i % 2 ? QOS_2 : QOS_1);
    engine_rig_write(r);
    r->out_n = 0;
    FEED(r, 0x50, 2, 0, 2, 0x40, 2, 0, 3); /* 1 and 4 are as they were, 2 is received, 3 is done */
    TAKE_ID(ENGINE_PUBLISHED, 3);
    QUIET(r);
    SENT(r, 0x62, 2, 0, 2, 0x32, 6, 0, 1, 'a', 0, 5, 'x');
    lose();
    assert_int_equal(engine_unfinished(r->e), 5);
    engine_rig_hello(r, false);
    SENT_NOTHING(r); /* what is sent again waits for CONNACK */
    publish("b", "y", QOS_1);
    SENT_NOTHING(r); /* … and the others behind it */
    FEED(r, 0x20, 2, 1, 0);
    TAKE(r, ENGINE_CONNACK);
    QUIET(r);
    SENT(r, 0x3A, 6, 0, 1, 'a', 0, 1, 'x', 0x62, 2, 0, 2, 0x3C, 6, 0, 1, 'a', 0, 4, 'x', /* */
         0x3A, 6, 0, 1, 'a', 0, 5, 'x');
    FEED(r, 0x40, 2, 0, 1, 0x70, 2, 0, 2);
    TAKE_ID(ENGINE_PUBLISHED, 1);
    TAKE_ID(ENGINE_PUBLISHED, 2);
    QUIET(r);
    SENT(r, 0x34, 6, 0, 1, 'a', 0, 6, 'x', 0x32, 6, 0, 1, 'b', 0, 7, 'y');
}

static void a_loss_during_the_handshake_changes_nothing(void **state)
{
    (void)state;
    engine_rig_online(r, false, false);
    publish("a", "x", QOS_2);
    engine_rig_write(r);
    FEED(r, 0x50, 2, 0, 1);
    QUIET(r);
    lose(); /* PUBREL has not gone */
    for (int i = 0; i < 3; i++) {
        engine_rig_hello(r, false);
        QUIET(r);
        SENT_NOTHING(r);
        lose();
    }
    engine_rig_online(r, false, true);
    QUIET(r);
    SENT(r, 0x62, 2, 0, 1);
    FEED(r, 0x70, 2, 0, 1);
    TAKE_ID(ENGINE_PUBLISHED, 1);
}

static void a_message_that_was_partly_written_is_sent_again_whole(void **state)
{
    (void)state;
    engine_rig_online(r, false, false);
    publish("a", "x", QOS_1);
    engine_rig_write_some(r, 3);
    lose();
    engine_rig_online(r, false, true);
    QUIET(r);
    SENT(r, 0x3A, 6, 0, 1, 'a', 0, 1, 'x');
}

/* A broker without the session knows nothing of what was received: PUBREL finishes it all the same.
 */
static void a_new_session_finishes_old_messages(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    publish("a", "x", QOS_2);
    publish("b", "y", QOS_1);
    engine_rig_write(r);
    r->out_n = 0;
    FEED(r, 0x50, 2, 0, 1);
    QUIET(r);
    engine_rig_write(r);
    lose();
    engine_rig_online(r, true, false);
    QUIET(r);
    engine_rig_write(r);
    assert_int_equal(r->out_n, 12);
    assert_memory_equal(r->out, ((uint8_t[]){0x62, 2, 0, 1}), 4);
    assert_memory_equal(r->out + 5, ((uint8_t[]){6, 0, 1, 'b', 0, 2, 'y'}), 7);
    FEED(r, 0x70, 2, 0, 1, 0x40, 2, 0, 2);
    TAKE_ID(ENGINE_PUBLISHED, 1);
    TAKE_ID(ENGINE_PUBLISHED, 2);
}

static void a_session_that_is_there_keeps_inbound_ids(void **state)
{
    (void)state;
    engine_rig_online(r, false, false);
    FEED(r, 0x34, 6, 0, 1, 'a', 0, 7, 'x');
    TAKE_MESSAGE("a", "x", QOS_2);
    SENT(r, 0x50, 2, 0, 7);
    lose();
    engine_rig_online(r, false, true);
    FEED(r, 0x3C, 6, 0, 1, 'a', 0, 7, 'x');
    QUIET(r);
    SENT(r, 0x50, 2, 0, 7);
    FEED(r, 0x62, 2, 0, 7);
    QUIET(r);
    SENT(r, 0x70, 2, 0, 7);
}

static void a_session_that_is_gone_forgets_inbound_ids(void **state)
{
    (void)state;
    engine_rig_online(r, false, false);
    FEED(r, 0x34, 6, 0, 1, 'a', 0, 7, 'x');
    TAKE_MESSAGE("a", "x", QOS_2);
    lose();
    engine_rig_online(r, false, false);
    FEED(r, 0x34, 6, 0, 1, 'a', 0, 7, 'z');
    TAKE_MESSAGE("a", "z", QOS_2);
    SENT(r, 0x50, 2, 0, 7);
}

/* MQTT 3.1 has no flag for a session that is there; what is sent again is marked. */
static void a_31_broker_that_has_lost_the_session_is_believed(void **state)
{
    (void)state;
    const struct packet_connect p = {.client_id = STR("c"), .level = PROTOCOL_31};

    for (int round = 0; round < 2; round++) {
        assert_ok(engine_connect(r->e, &p, r->now));
        engine_rig_write(r);
        r->out_n = 0;
        FEED(r, 0x20, 2, 0, 0);
        TAKE(r, ENGINE_CONNACK);
        FEED(r, 0x34, 6, 0, 1, 'a', 0, 7, 'x');
        TAKE_MESSAGE("a", "x", QOS_2);
        SENT(r, 0x50, 2, 0, 7);
        FEED(r, 0x3c, 6, 0, 1, 'a', 0, 7, 'x');
        QUIET(r);
        SENT(r, 0x50, 2, 0, 7);
        lose();
    }
}

static void what_is_settled_after_the_loss_is_not_acknowledged(void **state)
{
    (void)state;
    engine_rig_online(r, false, false);
    FEED(r, 0x32, 6, 0, 1, 'a', 0, 7, 'x', 0x32, 6, 0, 1, 'b', 0, 8, 'y');
    EXPECT_MESSAGE("a", "x", QOS_1);
    lose();
    assert_true(str_eq_c(r->ev.message.payload, "x"));
    assert_ok(engine_settle(r->e, &r->ev));
    SENT_NOTHING(r);
    QUIET(r); /* the one behind it went with its connection */
    engine_rig_online(r, false, true);
    SENT_NOTHING(r);
}

static void what_is_settled_on_the_next_connection_is_not_acknowledged_there(void **state)
{
    (void)state;
    engine_rig_online(r, false, false);
    FEED(r, 0x32, 6, 0, 1, 'a', 0, 7, 'x');
    EXPECT_MESSAGE("a", "x", QOS_1);
    const struct engine_event old = r->ev;
    engine_lost(r->e);
    engine_rig_hello(r, false);
    assert_ok(engine_settle(r->e, &old));
    FEED(r, 0x20, 2, 1, 0);
    TAKE(r, ENGINE_CONNACK);
    QUIET(r);
    SENT_NOTHING(r);
}

/* The callback has seen it, so it must not see it again, though the broker sends it again. */
static void qos2_is_handed_over_once_though_the_connection_is_lost_meanwhile(void **state)
{
    (void)state;
    engine_rig_online(r, false, false);
    FEED(r, 0x34, 6, 0, 1, 'a', 0, 7, 'x');
    EXPECT_MESSAGE("a", "x", QOS_2);
    lose();
    assert_ok(engine_settle(r->e, &r->ev));
    engine_rig_online(r, false, true);
    FEED(r, 0x3C, 6, 0, 1, 'a', 0, 7, 'x');
    QUIET(r);
    SENT(r, 0x50, 2, 0, 7);
}

static void bytes_of_a_lost_connection_are_gone(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    FEED(r, 0x30, 6, 0, 1, 'a'); /* a half */
    QUIET(r);
    lose();
    engine_rig_online(r, true, false);
    FEED(r, 0x30, 3, 0, 1, 'b');
    TAKE_MESSAGE("b", "", QOS_0);
    QUIET(r);
}

static void a_reset_forgets_everything(void **state)
{
    (void)state;
    engine_rig_online(r, false, false);
    publish("a", "x", QOS_2);
    subscribe("f", QOS_0);
    FEED(r, 0x34, 5, 0, 1, 'a', 0, 7);
    TAKE_MESSAGE("a", "", QOS_2);
    lose();
    publish("b", "y", QOS_1);
    engine_reset(r->e);
    assert_int_equal(engine_state(r->e), ENGINE_IDLE);
    assert_int_equal(engine_unfinished(r->e), 0);
    QUIET(r);
    engine_rig_online(r, false, true);
    QUIET(r);
    SENT_NOTHING(r);
    FEED(r, 0x34, 5, 0, 1, 'a', 0, 7);
    TAKE_MESSAGE("a", "", QOS_2);
}

/* --- the end --- */

static void disconnect_comes_last(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    publish("a", "x", QOS_0);
    assert_ok(engine_disconnect(r->e, r->now));
    assert_int_equal(engine_state(r->e), ENGINE_CLOSING);
    assert_false(engine_is_drained(r->e));
    SENT(r, 0x30, 4, 0, 1, 'a', 'x', 0xE0, 0);
    assert_true(engine_is_drained(r->e));
    assert_ok(engine_disconnect(r->e, r->now));
    SENT_NOTHING(r);
}

static void nothing_comes_or_goes_after_disconnect(void **state)
{
    uint16_t id;

    (void)state;
    engine_set_window(r->e, 1);
    engine_rig_online(r, true, false);
    publish("a", "x", QOS_1);
    publish("a", "y", QOS_1);
    engine_rig_write(r);
    r->out_n = 0;
    assert_ok(engine_disconnect(r->e, r->now));
    SENT(r, 0xE0, 0);
    FEED(r, 0x40, 2, 0, 1, 0x32, 5, 0, 1, 'a', 0, 9, 0x34, 5, 0, 1, 'a', 0, 9);
    QUIET(r);
    (void)try_publish("a", "z", QOS_1, &id);
    (void)try_publish("a", "z", QOS_0, &id);
    assert_ok(engine_tick(r->e, r->now + 1000));
    SENT_NOTHING(r);
    QUIET(r);
}

static void disconnect_before_connack(void **state)
{
    (void)state;
    engine_rig_hello(r, true);
    assert_ok(engine_disconnect(r->e, r->now));
    SENT(r, 0xE0, 0);
    FEED(r, 0x20, 2, 0, 0);
    QUIET(r);
    lose();
    engine_rig_online(r, true, false);
}

static void disconnect_lets_a_callback_finish(void **state)
{
    static const enum qos qos[] = {QOS_0, QOS_1, QOS_2};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        engine_rig_online(r, true, false);
        if (qos[i] == QOS_0)
            FEED(r, 0x30, 3, 0, 1, 'a');
        else
            FEED(r, (uint8_t)(0x30 | i << 1), 5, 0, 1, 'a', 0, 7);
        FEED(r, 0x32, 5, 0, 1, 'b', 0, 8);
        EXPECT_MESSAGE("a", "", qos[i]);
        assert_ok(engine_disconnect(r->e, r->now));
        if (qos[i] != QOS_0) {
            SENT_NOTHING(r);
            assert_false(engine_is_drained(r->e));
        }
        assert_ok(engine_settle(r->e, &r->ev));
        if (qos[i] == QOS_0)
            SENT(r, 0xE0, 0);
        else
            SENT(r, qos[i] == QOS_1 ? 0x40 : 0x50, 2, 0, 7, 0xE0, 0);
        assert_true(engine_is_drained(r->e));
        QUIET(r);
        lose();
    }
}

static void a_loss_while_closing_ends_it(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    FEED(r, 0x32, 5, 0, 1, 'a', 0, 7);
    EXPECT_MESSAGE("a", "", QOS_1);
    assert_ok(engine_disconnect(r->e, r->now));
    engine_lost(r->e);
    assert_int_equal(engine_state(r->e), ENGINE_IDLE);
    assert_ok(engine_settle(r->e, &r->ev));
    SENT_NOTHING(r);
    engine_rig_online(r, true, false);
    SENT_NOTHING(r);
}

/* --- ids --- */

static void all_requests_share_ids(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    assert_int_equal(publish("a", "", QOS_0), 1);
    assert_int_equal(subscribe("a", QOS_0), 2);
    assert_int_equal(publish("a", "", QOS_1), 3);
    assert_int_equal(unsubscribe("a"), 4);
    assert_int_equal(publish("a", "", QOS_2), 5);
    lose();
    assert_int_equal(publish("a", "", QOS_1), 6);
    engine_rig_online(r, true, false);
    assert_int_equal(publish("a", "", QOS_0), 7);
}

/* Let the counter go on by so many. */
static void spend_ids(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        publish("a", "", QOS_0);
        engine_rig_write(r);
        r->out_n = 0;
        TAKE(r, ENGINE_PUBLISHED);
    }
}

/* The ids of all requests that were written; nothing else may be there. */
static unsigned sent_ids(uint16_t *ids, unsigned max)
{
    unsigned n = 0;

    engine_rig_write(r);
    for (size_t at = 0; at < r->out_n; at += 2u + r->out[at + 1]) {
        const uint8_t *p = r->out + at;
        size_t id = p[0] >> 4 == PACKET_PUBLISH ? 4u + p[3] : 2u;
        assert_true(n < max);
        ids[n++] = (uint16_t)(p[id] << 8 | p[id + 1]);
    }
    r->out_n = 0;
    return n;
}

static void ids_go_around_and_leave_out_what_is_in_flight(void **state)
{
    uint16_t ids[8];

    (void)state;
    engine_rig_online(r, true, false);
    publish("a", "", QOS_1); /* 1 */
    subscribe("f", QOS_1);   /* 2 */
    unsubscribe("f");        /* 3 */
    publish("a", "", QOS_2); /* 4 */
    engine_rig_write(r);
    r->out_n = 0;
    FEED(r, 0x50, 2, 0, 4); /* waits for PUBCOMP */
    QUIET(r);
    engine_rig_write(r);
    r->out_n = 0;
    spend_ids(65535 - 4);
    assert_int_equal(subscribe("g", QOS_0), 5);
    assert_int_equal(unsubscribe("g"), 6);
    assert_int_equal(sent_ids(ids, 8), 2);
    assert_true(ids[0] == 5 && ids[1] == 6);
}

static void a_message_never_goes_out_with_an_id_in_flight(void **state)
{
    uint16_t ids[8];

    (void)state;
    engine_rig_online(r, true, false);
    publish("a", "", QOS_1); /* 1 */
    subscribe("f", QOS_1);   /* 2 */
    engine_rig_write(r);
    r->out_n = 0;
    spend_ids(65535 - 2);
    for (int i = 0; i < 3; i++)
        publish("b", "", QOS_1);
    unsigned n = sent_ids(ids, 8);
    for (unsigned i = 0; i < n; i++)
        assert_true(ids[i] > 2);
    FEED(r, 0x40, 2, 0, 1, 0x90, 3, 0, 2, 1);
    TAKE_ID(ENGINE_PUBLISHED, 1);
    TAKE_ID(ENGINE_SUBSCRIBED, 2);
    QUIET(r);
    assert_int_equal(n + sent_ids(ids, 8), 3);
}

/* Acknowledge what was sent, and see that each was published once, in its order. */
static uint64_t acknowledge_all(uint16_t *expected)
{
    static uint16_t ids[4096];
    uint64_t done = 0;
    unsigned n;

    while ((n = sent_ids(ids, 4096)) > 0)
        for (unsigned i = 0; i < n; i++, done++) {
            *expected = (uint16_t)(*expected == 65535 ? 1 : *expected + 1);
            assert_int_equal(ids[i], *expected);
            FEED(r, 0x40, 2, (uint8_t)(ids[i] >> 8), (uint8_t)ids[i]);
            TAKE_ID(ENGINE_PUBLISHED, ids[i]);
            QUIET(r);
        }
    return done;
}

static void more_messages_than_ids_may_wait(void **state)
{
    uint16_t expected = 0;

    (void)state;
    for (unsigned i = 0; i < 70000; i++)
        publish("a", "", QOS_1);
    assert_int_equal(engine_unfinished(r->e), 70000);
    engine_rig_online(r, true, false);
    assert_int_equal(acknowledge_all(&expected), 70000);
    assert_int_equal(engine_unfinished(r->e), 0);
}

/* --- brokers that do wrong --- */

struct wrong {
    const char *what;
    size_t n;
    uint8_t bytes[12];
};

static void must_be_refused(const struct wrong *w)
{
    struct engine_event ev;

    engine_rig_feed(r, w->bytes, w->n);
    enum err e = engine_next(r->e, &ev);
    if (e != ERR_MALFORMED && e != ERR_PROTOCOL)
        fail_msg("%s: %s", w->what, err_word(e));
    if (engine_why(r->e)[0] == '\0')
        fail_msg("%s: no word of why", w->what);
    e = engine_next(r->e, &ev);
    if (e == ERR_OK)
        fail_msg("%s: an event after it", w->what);
}

static void what_no_broker_may_send_is_refused(void **state)
{
    static const struct wrong cases[] = {
        {"type 0", 2, {0x00, 0}},
        {"type 15", 2, {0xF0, 0}},
        {"CONNECT", 15, {0x10, 10, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0}},
        {"a second CONNACK", 4, {0x20, 2, 0, 0}},
        {"SUBSCRIBE", 8, {0x82, 6, 0, 1, 0, 1, 'a', 0}},
        {"UNSUBSCRIBE", 7, {0xA2, 5, 0, 1, 0, 1, 'a'}},
        {"PINGREQ", 2, {0xC0, 0}},
        {"DISCONNECT", 2, {0xE0, 0}},
        {"PUBLISH at QoS 3", 8, {0x36, 6, 0, 1, 'a', 0, 1, 'x'}},
        {"PUBLISH without a topic", 2, {0x30, 0}},
        {"PUBLISH to nothing", 4, {0x30, 2, 0, 0}},
        {"PUBLISH to +", 5, {0x30, 3, 0, 1, '+'}},
        {"PUBLISH to a/#", 7, {0x30, 5, 0, 3, 'a', '/', '#'}},
        {"PUBLISH to a NUL", 5, {0x30, 3, 0, 1, 0}},
        {"PUBLISH to no UTF-8", 6, {0x30, 4, 0, 2, 0xC3, 0x28}},
        {"PUBLISH to a surrogate", 7, {0x30, 5, 0, 3, 0xED, 0xA0, 0x80}},
        {"PUBLISH with id 0", 7, {0x32, 5, 0, 1, 'a', 0, 0}},
        {"PUBLISH cut within its id", 6, {0x32, 4, 0, 1, 'a', 0}},
        {"PUBLISH whose topic is longer than it", 5, {0x30, 3, 0, 9, 'a'}},
        {"PUBACK of 3 bytes", 5, {0x40, 3, 0, 1, 0}},
        {"PUBACK of 1 byte", 3, {0x40, 1, 0}},
        {"PUBACK with flags", 4, {0x41, 2, 0, 1}},
        {"PUBACK of id 0", 4, {0x40, 2, 0, 0}},
        {"PUBREL without its flags", 4, {0x60, 2, 0, 1}},
        {"PUBREL of id 0", 4, {0x62, 2, 0, 0}},
        {"SUBACK without codes", 4, {0x90, 2, 0, 1}},
        {"SUBACK with code 3", 5, {0x90, 3, 0, 1, 3}},
        {"PINGRESP with a body", 3, {0xD0, 1, 0}},
        {"PINGRESP with flags", 2, {0xD8, 0}},
        {"a length of five bytes", 6, {0x30, 0x80, 0x80, 0x80, 0x80, 1}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        engine_reset(r->e);
        engine_rig_online(r, true, false);
        subscribe("f", QOS_0);
        must_be_refused(&cases[i]);
        lose();
    }
}

static void what_does_not_fit_a_request_is_refused(void **state)
{
    static const struct wrong cases[] = {
        {"PUBACK for QoS 2", 4, {0x40, 2, 0, 2}},
        {"PUBREC for QoS 1", 4, {0x50, 2, 0, 1}},
        {"PUBCOMP for QoS 1", 4, {0x70, 2, 0, 1}},
        {"PUBCOMP before PUBREC", 4, {0x70, 2, 0, 2}},
        {"SUBACK with a code too many", 6, {0x90, 4, 0, 3, 0, 0}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        engine_reset(r->e);
        engine_rig_online(r, true, false);
        uint16_t ids[] = {publish("a", "", QOS_1), publish("a", "", QOS_2), subscribe("f", QOS_1),
                          unsubscribe("f")};
        struct wrong w = cases[i];
        w.bytes[3] = (uint8_t)ids[w.bytes[3] - 1];
        w.bytes[2] = (uint8_t)(ids[cases[i].bytes[3] - 1] >> 8);
        engine_rig_write(r);
        must_be_refused(&w);
        lose();
        assert_int_equal(engine_unfinished(r->e), 2);
    }
}

static void connack_must_come_first(void **state)
{
    static const struct wrong cases[] = {
        {"PUBLISH", 5, {0x30, 3, 0, 1, 'a'}},
        {"PUBACK", 4, {0x40, 2, 0, 1}},
        {"PUBREC", 4, {0x50, 2, 0, 2}},
        {"PUBREL", 4, {0x62, 2, 0, 1}},
        {"PUBCOMP", 4, {0x70, 2, 0, 1}},
        {"SUBACK", 5, {0x90, 3, 0, 3, 0}},
        {"UNSUBACK", 4, {0xB0, 2, 0, 1}},
        {"PINGRESP", 2, {0xD0, 0}},
        {"CONNACK of 3 bytes", 5, {0x20, 3, 0, 0, 0}},
        {"CONNACK with flags", 4, {0x21, 2, 0, 0}},
        {"CONNACK with reserved bits", 4, {0x20, 2, 2, 0}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        engine_reset(r->e);
        engine_rig_hello(r, true);
        publish("a", "", QOS_1);
        publish("a", "", QOS_2);
        subscribe("f", QOS_0);
        must_be_refused(&cases[i]);
        lose();
    }
}

static void unknown_ids_are_no_events(void **state)
{
    static const struct wrong cases[] = {
        {"PUBACK", 4, {0x40, 2, 0x7F, 1}},   {"PUBREC", 4, {0x50, 2, 0x7F, 1}},
        {"PUBCOMP", 4, {0x70, 2, 0x7F, 1}},  {"SUBACK", 5, {0x90, 3, 0x7F, 1, 0}},
        {"UNSUBACK", 4, {0xB0, 2, 0x7F, 1}},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct engine_event ev;
        engine_reset(r->e);
        engine_rig_online(r, true, false);
        engine_rig_feed(r, cases[i].bytes, cases[i].n);
        if (engine_next(r->e, &ev) == ERR_OK)
            fail_msg("%s of an unknown id is an event", cases[i].what);
        lose();
    }
}

/* What is in front of the fault arrives. */
static void messages_before_a_fault_are_handed_over(void **state)
{
    struct engine_event ev;

    (void)state;
    engine_rig_online(r, true, false);
    FEED(r, 0x32, 5, 0, 1, 'a', 0, 7, 0x30, 3, 0, 1, '#');
    TAKE_MESSAGE("a", "", QOS_1);
    assert_int_not_equal(engine_next(r->e, &ev), ERR_OK);
    SENT(r, 0x40, 2, 0, 7);
}

/* A length alone costs nothing like it. */
static void an_announced_length_is_not_believed(void **state)
{
    (void)state;
    unit_needs_tracking();
    engine_rig_online(r, true, false);
    size_t before = mem_used();
    FEED(r, 0x30, 0xFF, 0xFF, 0xFF, 0x7F, 0, 1, 'a');
    QUIET(r);
    size_t room;
    assert_non_null(engine_room(r->e, &room));
    assert_in_range(mem_used() - before, 0, 4 * 1024 * 1024);
}

static void a_large_message_comes_whole(void **state)
{
    static uint8_t packet[300000];
    const uint8_t head[] = {0x30, 0xDB, 0xA7, 0x12, 0, 1, 'a'}; /* 299,995 bytes follow */

    (void)state;
    engine_rig_online(r, true, false);
    memcpy(packet, head, sizeof(head));
    memset(packet + sizeof(head), 'x', sizeof(packet) - sizeof(head));
    size_t n = 4 + 299995;
    for (size_t at = 0; at < n; at += 7777) {
        QUIET(r);
        engine_rig_feed(r, packet + at, n - at < 7777 ? n - at : 7777);
    }
    TAKE(r, ENGINE_MESSAGE);
    assert_int_equal(r->ev.message.payload.n, 299992);
    assert_int_equal(r->ev.message.payload.p[299992], '\0');
    QUIET(r);
}

static void a_large_message_goes_whole(void **state)
{
    static char payload[200001];

    (void)state;
    engine_rig_online(r, true, false);
    memset(payload, 'y', sizeof(payload) - 1);
    for (int qos = QOS_0; qos <= QOS_2; qos++) {
        publish("a", payload, (enum qos)qos);
        memset(payload, 'z', sizeof(payload) - 1); /* it is a copy that goes */
        while (!engine_is_drained(r->e))
            engine_rig_write_some(r, 4093);
        size_t head = qos == QOS_0 ? 7 : 9;
        assert_int_equal(r->out_n, head + 200000);
        for (size_t i = head; i < r->out_n; i++)
            assert_int_equal(r->out[i], 'y');
        r->out_n = 0;
        memset(payload, 'y', sizeof(payload) - 1);
    }
    TAKE(r, ENGINE_PUBLISHED);
}

/* --- cut anywhere --- */

/* A day in the life of a client, as its broker tells it. */
static const uint8_t story[] = {
    0x20, 2, 0, 0,                     /* CONNACK */
    0x40, 2, 0, 1,                     /* PUBACK */
    0x50, 2, 0, 2,                     /* PUBREC */
    0x90, 3, 0, 3, 1,                  /* SUBACK */
    0x30, 6, 0, 3, 'a', '/', 'b', 'x', /* PUBLISH */
    0x32, 6, 0, 1, 'c', 0,   9,   'y', /* … at QoS 1 */
    0xD0, 0,                           /* PINGRESP */
    0x34, 6, 0, 1, 'd', 0,   9,   'z', /* … at QoS 2 */
    0x62, 2, 0, 9,                     /* PUBREL */
    0x70, 2, 0, 2,                     /* PUBCOMP */
    0xB0, 2, 0, 4,                     /* UNSUBACK */
};

/* The kinds of events and the bytes sent, as text, for the story in two pieces. */
static void tell(size_t cut, char out[256], uint8_t sent[256], size_t *sent_n)
{
    const struct {
        size_t from, to;
    } part[] = {{0, cut}, {cut, sizeof(story)}};
    size_t n = 0;

    engine_reset(r->e);
    engine_rig_hello(r, true);
    publish("p", "", QOS_1);
    publish("p", "", QOS_2);
    subscribe("f", QOS_1);
    unsubscribe("g");
    for (int i = 0; i < 2; i++) {
        engine_rig_feed(r, story + part[i].from, part[i].to - part[i].from);
        enum err e;
        while ((e = engine_next(r->e, &r->ev)) == ERR_OK) {
            const struct packet_publish *m = &r->ev.message;
            bool message = r->ev.kind == ENGINE_MESSAGE;
            n += (size_t)snprintf(out + n, 256 - n, "%d:%u:%.*s ", (int)r->ev.kind, r->ev.id,
                                  message ? (int)m->payload.n : 0, message ? m->payload.p : "");
            assert_ok(engine_settle(r->e, &r->ev));
        }
        assert_int_equal(e, ERR_AGAIN);
    }
    engine_rig_write(r);
    assert_true(r->out_n <= 256);
    memcpy(sent, r->out, r->out_n);
    *sent_n = r->out_n;
    lose();
}

static void it_does_not_matter_where_the_input_is_cut(void **state)
{
    char whole[256], cut[256];
    uint8_t sent[256], cut_sent[256];
    size_t n, cut_n;

    (void)state;
    tell(sizeof(story), whole, sent, &n);
    for (size_t at = 0; at < sizeof(story); at++) {
        tell(at, cut, cut_sent, &cut_n);
        assert_string_equal(cut, whole);
        assert_int_equal(cut_n, n);
        assert_memory_equal(cut_sent, sent, n);
    }
}

static void each_byte_may_come_alone(void **state)
{
    unsigned events = 0, all = 0;

    (void)state;
    engine_rig_hello(r, true);
    publish("p", "", QOS_1);
    publish("p", "", QOS_2);
    subscribe("f", QOS_1);
    unsubscribe("g");
    for (size_t i = 0; i < sizeof(story); i++) {
        engine_rig_feed(r, story + i, 1);
        assert_err(engine_rig_drain(r, &events), ERR_AGAIN);
        all += events;
    }
    assert_int_equal(all, 8);
    assert_int_equal(engine_unfinished(r->e), 0);
}

/* --- time --- */

static void hello_with_keepalive(uint16_t seconds)
{
    const struct packet_connect p = {.client_id = STR("c"),
                                     .level = PROTOCOL_311,
                                     .keepalive_s = seconds,
                                     .clean_session = true};

    assert_ok(engine_connect(r->e, &p, r->now));
    engine_rig_write(r);
    r->out_n = 0;
}

static void online_with_keepalive(uint16_t seconds)
{
    hello_with_keepalive(seconds);
    FEED(r, 0x20, 2, 0, 0);
    TAKE(r, ENGINE_CONNACK);
}

/* Let time pass as the loop does: to the deadline or `until`. */
static enum err pass(uint64_t until)
{
    while (r->now < until) {
        uint64_t next = engine_deadline(r->e);
        assert_true(next > r->now || next == 0 || engine_state(r->e) != ENGINE_IDLE);
        r->now = next > until ? until : next <= r->now ? r->now + 1 : next;
        enum err e = engine_tick(r->e, r->now);
        if (e != ERR_OK)
            return e;
        engine_rig_write(r);
        if (r->out_n > 0)
            return ERR_OK;
    }
    return ERR_OK;
}

static void silence_is_broken_by_pings(void **state)
{
    (void)state;
    online_with_keepalive(10);
    for (int i = 0; i < 5; i++) {
        uint64_t before = r->now;
        assert_ok(pass(before + 60000));
        SENT(r, 0xC0, 0);
        assert_in_range(r->now - before, 5000, 10000);
        assert_ok(engine_tick(r->e, r->now)); /* one is enough */
        SENT_NOTHING(r);
        FEED(r, 0xD0, 0);
        QUIET(r);
    }
}

/* What is sent keeps the broker content (3.1.2-24); but then the broker's silence is asked about.
 */
static void sending_alone_does_not_hide_a_dead_broker(void **state)
{
    enum err e = ERR_OK;

    (void)state;
    online_with_keepalive(10);
    uint64_t begun = r->now;
    while (e == ERR_OK && r->now < begun + 100000) {
        publish("a", "", QOS_0);
        engine_rig_write(r);
        TAKE(r, ENGINE_PUBLISHED);
        r->out_n = 0;
        e = pass(r->now + 1000);
    }
    assert_int_equal(e, ERR_CLOSED);
    assert_in_range(r->now - begun, 10000, 30000);
}

static void receiving_alone_does_not_replace_a_ping(void **state)
{
    unsigned pings = 0;

    (void)state;
    online_with_keepalive(10);
    for (int i = 0; i < 60; i++) { /* a minute */
        FEED(r, 0x30, 3, 0, 1, 'a');
        TAKE(r, ENGINE_MESSAGE);
        assert_ok(pass(r->now + 1000));
        if (r->out_n > 0) {
            SENT(r, 0xC0, 0);
            FEED(r, 0xD0, 0);
            pings++;
        }
    }
    assert_in_range(pings, 5, 12);
}

static void a_broker_that_does_not_answer_is_given_up(void **state)
{
    (void)state;
    online_with_keepalive(10);
    assert_ok(pass(r->now + 60000));
    SENT(r, 0xC0, 0);
    uint64_t asked = r->now;
    assert_err(pass(r->now + 60000), ERR_CLOSED);
    assert_in_range(r->now - asked, 1, 20000);
}

static void a_connect_without_answer_is_given_up(void **state)
{
    (void)state;
    hello_with_keepalive(10);
    assert_err(pass(r->now + 600000), ERR_CLOSED);
    SENT_NOTHING(r); /* nor is a PINGREQ sent before CONNACK */
}

/* The program reads nothing for a while, and the answer is behind what waits. */
static void who_is_heard_is_not_given_up(void **state)
{
    unsigned pings = 0;

    (void)state;
    hello_with_keepalive(10);
    r->now += 50000;
    engine_heard(r->e, r->now);
    assert_ok(engine_tick(r->e, r->now));
    FEED(r, 0x20, 2, 0, 0);
    TAKE(r, ENGINE_CONNACK);
    for (int i = 0; i < 60; i++) {
        r->now += 1000;
        engine_heard(r->e, r->now);
        assert_ok(engine_tick(r->e, r->now));
        engine_rig_write(r);
        pings += r->out_n > 0;
        r->out_n = 0;
    }
    assert_in_range(pings, 5, 7); /* it must hear of us all the same */
    enum err e = ERR_OK;
    for (int i = 0; i < 5 && e == ERR_OK; i++) {
        e = pass(r->now + 60000);
        r->out_n = 0;
    }
    assert_err(e, ERR_CLOSED);
}

/* A broker that wants answers and reads none of them must not fill our memory. */
static void answers_that_nobody_reads_are_not_kept_for_ever(void **state)
{
    static const uint8_t release[] = {0x62, 2, 0, 7, 0x62, 2, 0, 8, 0x62, 2, 0, 9, 0x62, 2, 0, 10};
    enum err e = ERR_AGAIN;
    unsigned events;
    size_t rounds = 0;

    (void)state;
    for (int twice = 0; twice < 2; twice++) {
        engine_rig_online(r, true, false);
        for (rounds = 0; rounds < 1000000; rounds++) {
            engine_rig_feed(r, release, sizeof(release));
            if ((e = engine_rig_drain(r, &events)) != ERR_AGAIN)
                break;
        }
        assert_err(e, ERR_PROTOCOL);
        assert_in_range(rounds * sizeof(release), 2 * 65535 * 4, 4 * 1024 * 1024);
        lose();
    }
    /* One that reads gets as many as it likes. */
    engine_rig_online(r, true, false);
    for (rounds = 0; rounds < 200000; rounds++) {
        engine_rig_feed(r, release, sizeof(release));
        assert_err(engine_rig_drain(r, &events), ERR_AGAIN);
        engine_rig_write(r);
        r->out_n = 0;
    }
}

/* What lies before a PINGREQ may take long to be written, and what lies before its answer long to
 * come: that is no silence. */
static void slow_connections_are_not_given_up(void **state)
{
    static const char big[4000];
    struct packet_publish p = {.topic = STR("a"), .payload = str_of(big, sizeof(big))};
    uint16_t id;

    (void)state;
    online_with_keepalive(10);
    assert_ok(engine_publish(r->e, &p, &id));
    for (int i = 0; i < 120; i++) { /* two minutes */
        r->now += 1000;
        engine_rig_write_some(r, 10);
        assert_ok(engine_tick(r->e, r->now));
    }
    for (int i = 0; i < 120; i++) {
        FEED(r, 0x30, 3, 0, 1, 'a');
        TAKE(r, ENGINE_MESSAGE);
        r->now += 1000;
        assert_ok(engine_tick(r->e, r->now));
    }
    assert_err(pass(r->now + 60000), ERR_CLOSED);
}

/* A broker whose answer is behind much else goes by what it hears (3.1.2-24). */
static void pings_go_on_without_an_answer(void **state)
{
    uint64_t last;

    (void)state;
    online_with_keepalive(10);
    last = r->now;
    for (int i = 0; i < 100; i++) {
        FEED(r, 0x30, 3, 0, 1, 'a');
        TAKE(r, ENGINE_MESSAGE);
        assert_ok(pass(r->now + 1000));
        if (r->out_n > 0) {
            SENT(r, 0xC0, 0);
            last = r->now;
        }
        assert_true(r->now - last <= 11000);
    }
}

/* The engine has not been told the time for long when somebody wants to disconnect. */
static void disconnect_has_its_time_from_when_it_is_wanted(void **state)
{
    (void)state;
    engine_rig_online(r, true, false);
    r->now += 3600000;
    assert_ok(engine_disconnect(r->e, r->now));
    assert_ok(engine_tick(r->e, r->now));
    SENT(r, 0xE0, 0);
}

/* … and as long as it goes forward at all. */
static void disconnect_waits_for_what_is_before_it(void **state)
{
    static const char big[4000];
    struct packet_publish p = {.topic = STR("a"), .payload = str_of(big, sizeof(big))};
    uint16_t id;

    (void)state;
    engine_rig_online(r, true, false);
    assert_ok(engine_publish(r->e, &p, &id));
    assert_ok(engine_disconnect(r->e, r->now));
    while (!engine_is_drained(r->e)) {
        r->now += 5000;
        assert_ok(engine_tick(r->e, r->now));
        engine_rig_write_some(r, 1000);
    }
    r->out_n = 0;
    engine_rig_online(r, true, false);
    assert_ok(engine_publish(r->e, &p, &id));
    assert_ok(engine_disconnect(r->e, r->now));
    assert_err(engine_tick(r->e, r->now + 60000), ERR_CLOSED);
}

static void without_keepalive_nobody_asks(void **state)
{
    (void)state;
    online_with_keepalive(0);
    assert_ok(pass(r->now + 100000000));
    SENT_NOTHING(r);
    assert_int_equal(engine_deadline(r->e), UINT64_MAX);
}

/* The shortest and the longest, looked at every moment: never an early tick, never a late one. */
static void deadlines_are_true(void **state)
{
    (void)state;
    online_with_keepalive(1);
    uint64_t last = r->now;
    for (int i = 0; i < 5000; i++) {
        uint64_t due = engine_deadline(r->e);
        r->now++;
        assert_ok(engine_tick(r->e, r->now));
        engine_rig_write(r);
        if (r->out_n == 0)
            continue;
        assert_true(due <= r->now);
        assert_in_range(r->now - last, 1, 1000);
        last = r->now;
        SENT(r, 0xC0, 0);
        FEED(r, 0xD0, 0);
        QUIET(r);
    }
    lose();
    online_with_keepalive(65535);
    uint64_t before = r->now;
    assert_ok(pass(before + 100000000));
    SENT(r, 0xC0, 0);
    assert_true(r->now - before <= 65535000);
}

/* --- the log --- */

static void says(const char *text)
{
    if (strcmp(r->lines, text) != 0)
        print_error("wanted:\n%sgot:\n%s", text, r->lines);
    assert_string_equal(r->lines, text);
    r->lines_n = 0;
    r->lines[0] = '\0';
}

static void what_is_sent_is_logged(void **state)
{
    const struct str filters[] = {STR("x"), STR("y/#")};
    const enum qos qos[] = {QOS_0, QOS_2};
    uint16_t id;

    (void)state;
    engine_rig_online(r, true, false);
    says("Client c sending CONNECT\nClient c received CONNACK (0)\n");
    const struct packet_publish p = {
        .topic = STR("a/b"), .payload = STR("hello"), .qos = QOS_1, .retain = true};
    assert_ok(engine_publish(r->e, &p, &id));
    says("Client c sending PUBLISH (d0, q1, r1, m1, 'a/b', ... (5 bytes))\n");
    publish("a/b", "", QOS_2);
    says("Client c sending PUBLISH (d0, q2, r0, m2, 'a/b', ... (0 bytes))\n");
    publish("z", "1", QOS_0);
    says("Client c sending PUBLISH (d0, q0, r0, m3, 'z', ... (1 bytes))\n");
    assert_ok(engine_subscribe(r->e, filters, qos, 2, &id));
    says("Client c sending SUBSCRIBE (Mid: 4, Topic: x, QoS: 0)\n"
         "Client c sending SUBSCRIBE (Mid: 4, Topic: y/#, QoS: 2)\n");
    assert_ok(engine_unsubscribe(r->e, filters, 2, &id));
    says("Client c sending UNSUBSCRIBE (Mid: 5, Topic: x)\n"
         "Client c sending UNSUBSCRIBE (Mid: 5, Topic: y/#)\n");
    lose();
    r->lines_n = 0;
    engine_rig_online(r, true, true);
    says("Client c sending CONNECT\nClient c received CONNACK (0)\n"
         "Client c sending PUBLISH (d1, q1, r1, m1, 'a/b', ... (5 bytes))\n"
         "Client c sending PUBLISH (d1, q2, r0, m2, 'a/b', ... (0 bytes))\n");
    assert_ok(engine_disconnect(r->e, r->now));
    says("Client c sending DISCONNECT\n");
}

static void what_is_received_is_logged(void **state)
{
    unsigned events;

    (void)state;
    engine_rig_hello(r, true);
    publish("p", "", QOS_1);
    publish("p", "", QOS_2);
    subscribe("f", QOS_1);
    unsubscribe("g");
    r->lines_n = 0;
    engine_rig_feed(r, story, sizeof(story));
    assert_err(engine_rig_drain(r, &events), ERR_AGAIN);
    says("Client c received CONNACK (0)\n"
         "Client c received PUBACK (Mid: 1)\n"
         "Client c received PUBREC (Mid: 2)\n"
         "Client c sending PUBREL (Mid: 2)\n"
         "Client c received SUBACK\n"
         "Client c received PUBLISH (d0, q0, r0, m0, 'a/b', ... (1 bytes))\n"
         "Client c received PUBLISH (d0, q1, r0, m9, 'c', ... (1 bytes))\n"
         "Client c sending PUBACK (Mid: 9)\n"
         "Client c received PINGRESP\n"
         "Client c received PUBLISH (d0, q2, r0, m9, 'd', ... (1 bytes))\n"
         "Client c sending PUBREC (Mid: 9)\n"
         "Client c received PUBREL (Mid: 9)\n"
         "Client c sending PUBCOMP (Mid: 9)\n"
         "Client c received PUBCOMP (Mid: 2)\n"
         "Client c received UNSUBACK\n");
}

static void pings_are_logged(void **state)
{
    (void)state;
    online_with_keepalive(10);
    r->lines_n = 0;
    assert_ok(pass(r->now + 60000));
    says("Client c sending PINGREQ\n");
}

/* --- no memory --- */

/* Once more when memory fails; a failure may be had once, then there is memory again. */
#define INSIST(expr)                                                                               \
    do {                                                                                           \
        enum err insist_e = (expr);                                                                \
        if (insist_e == ERR_NOMEM)                                                                 \
            insist_e = (expr);                                                                     \
        assert_ok(insist_e);                                                                       \
    } while (0)

static bool feed_if_room(const void *p, size_t n)
{
    size_t room;
    uint8_t *to = engine_room(r->e, &room);

    if (!to)
        return false;
    assert_true(room >= n);
    memcpy(to, p, n);
    engine_filled(r->e, n, r->now);
    return true;
}

static void connect_insisting(bool present)
{
    const uint8_t connack[] = {0x20, 2, present, 0};
    const struct packet_connect p = {.client_id = STR("c"), .level = PROTOCOL_311};

    for (int i = 0; i < 3; i++) {
        enum err e = engine_connect(r->e, &p, r->now);
        if (e != ERR_OK) {
            assert_int_equal(e, ERR_NOMEM);
            assert_int_equal(engine_state(r->e), ENGINE_IDLE);
            SENT_NOTHING(r);
            continue;
        }
        engine_rig_write(r);
        unsigned events;
        if (feed_if_room(connack, sizeof(connack)) && engine_rig_drain(r, &events) == ERR_AGAIN)
            return;
        engine_lost(r->e);
        r->out_n = 0;
    }
    fail_msg("no connection");
}

/* One allocation fails while a client talks: it may lose its connection, but nothing else. */
static uint64_t talk_without_memory(uint64_t after)
{
    const uint8_t inbound[] = {0x34, 5, 0, 1, 'm', 0, 9};
    const uint8_t released[] = {0x62, 2, 0, 9};
    const uint8_t acks[] = {0x40, 2, 0, 1, 0x50, 2, 0, 2, 0x70, 2, 0, 2};
    unsigned messages = 0, published = 0;
    uint16_t id;

    engine_reset(r->e);
    mem_fail_after(after, 0);
    INSIST(try_publish("a", "xyz", QOS_1, &id));
    INSIST(try_publish("a", "xyz", QOS_2, &id));
    assert_int_equal(engine_unfinished(r->e), 2);
    connect_insisting(false);
    for (int round = 0; round < 4 && (messages == 0 || published < 2); round++) {
        enum err e = ERR_NOMEM;
        engine_rig_write(r);
        if (feed_if_room(messages ? released : inbound, messages ? 4 : sizeof(inbound)) &&
            feed_if_room(acks, sizeof(acks)))
            while ((e = engine_next(r->e, &r->ev)) == ERR_OK) {
                messages += r->ev.kind == ENGINE_MESSAGE;
                published += r->ev.kind == ENGINE_PUBLISHED;
                e = engine_settle(r->e, &r->ev);
                if (e != ERR_OK)
                    break;
            }
        if (e == ERR_AGAIN)
            continue;
        assert_int_equal(e, ERR_NOMEM);
        engine_lost(r->e);
        connect_insisting(true);
    }
    assert_int_equal(messages, 1);
    assert_int_equal(published, 2);
    assert_int_equal(engine_unfinished(r->e), 0);
    uint64_t failed = mem_failed();
    mem_fail_never();
    engine_lost(r->e);
    r->out_n = 0;
    return failed;
}

static void a_talk_outlives_each_failure(void **state)
{
    (void)state;
    unit_needs_tracking();
    uint64_t n = 0;
    while (talk_without_memory(n) > 0)
        n++;
    assert_true(n > 2);
}

/* Requests that fail have changed nothing. */
static void requests_without_memory_change_nothing(void **state)
{
    const struct str filter = STR("f");
    const enum qos qos = QOS_1;
    uint16_t id;

    (void)state;
    unit_needs_tracking();
    for (uint64_t n = 0; n < 40; n++) {
        engine_reset(r->e);
        engine_rig_online(r, true, false);
        mem_fail_after(n, 1);
        enum err e[5];
        e[0] = try_publish("a", "", QOS_0, &id);
        e[1] = try_publish("a", "", QOS_1, &id);
        e[2] = try_publish("a", "", QOS_2, &id);
        e[3] = engine_subscribe(r->e, &filter, &qos, 1, &id);
        e[4] = engine_unsubscribe(r->e, &filter, 1, &id);
        mem_fail_never();
        unsigned good[5];
        for (int i = 0; i < 5; i++) {
            assert_true(e[i] == ERR_OK || e[i] == ERR_NOMEM);
            good[i] = e[i] == ERR_OK;
        }
        assert_int_equal(engine_unfinished(r->e), good[1] + good[2]);
        engine_rig_write(r);
        assert_int_equal(r->out_n,
                         good[0] * 5 + (good[1] + good[2]) * 7 + good[3] * 8 + good[4] * 7);
        lose();
    }
}

static void an_engine_needs_memory(void **state)
{
    (void)state;
    unit_needs_tracking();
    for (uint64_t n = 0;; n++) {
        mem_fail_after(n, 0);
        struct engine *e = engine_new(&r->log);
        bool failed = mem_failed() > 0;
        mem_fail_never();
        engine_free(e);
        if (!failed)
            break;
        assert_null(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(connect_has_what_it_was_given),
        ENGINE_TEST(connect_speaks_3_1),
        ENGINE_TEST(connect_copies_what_it_is_given),
        ENGINE_TEST(connack_is_told),
        ENGINE_TEST(a_refusal_is_told_with_its_code),
        ENGINE_TEST(nothing_comes_after_a_refusal),
        ENGINE_TEST(without_a_connection_nothing_moves),
        ENGINE_TEST(what_was_published_before_goes_behind_connect),
        ENGINE_TEST(requests_do_not_wait_for_connack),
        ENGINE_TEST(a_refused_client_keeps_its_messages),
        ENGINE_TEST(qos0_is_told_when_it_is_written),
        ENGINE_TEST(qos0_that_was_not_written_is_never_told),
        ENGINE_TEST(qos0_in_between_is_told_in_its_turn),
        ENGINE_TEST(qos1_is_told_when_it_is_acknowledged),
        ENGINE_TEST(qos2_goes_its_way),
        ENGINE_TEST(retain_is_sent),
        ENGINE_TEST(an_empty_payload_is_one),
        ENGINE_TEST(the_window_holds_messages_back),
        ENGINE_TEST(the_window_is_20_to_begin_with),
        ENGINE_TEST(a_message_at_qos0_comes),
        ENGINE_TEST(a_message_at_qos1_is_acknowledged_when_settled),
        ENGINE_TEST(a_message_at_qos2_comes_once),
        ENGINE_TEST(acknowledgements_keep_the_order),
        ENGINE_TEST(the_same_id_in_both_directions_is_not_the_same),
        ENGINE_TEST(an_event_is_kept_until_the_next_is_asked_for),
        ENGINE_TEST(subscriptions_are_acknowledged),
        ENGINE_TEST(unanswered_requests_end_with_their_connection),
        ENGINE_TEST(too_many_requests_are_refused),
        ENGINE_TEST(what_is_too_large_is_refused),
        ENGINE_TEST(after_a_loss_all_is_sent_again_in_order),
        ENGINE_TEST(a_loss_during_the_handshake_changes_nothing),
        ENGINE_TEST(a_message_that_was_partly_written_is_sent_again_whole),
        ENGINE_TEST(a_new_session_finishes_old_messages),
        ENGINE_TEST(a_session_that_is_there_keeps_inbound_ids),
        ENGINE_TEST(a_session_that_is_gone_forgets_inbound_ids),
        ENGINE_TEST(a_31_broker_that_has_lost_the_session_is_believed),
        ENGINE_TEST(what_is_settled_after_the_loss_is_not_acknowledged),
        ENGINE_TEST(what_is_settled_on_the_next_connection_is_not_acknowledged_there),
        ENGINE_TEST(qos2_is_handed_over_once_though_the_connection_is_lost_meanwhile),
        ENGINE_TEST(bytes_of_a_lost_connection_are_gone),
        ENGINE_TEST(a_reset_forgets_everything),
        ENGINE_TEST(disconnect_comes_last),
        ENGINE_TEST(nothing_comes_or_goes_after_disconnect),
        ENGINE_TEST(disconnect_before_connack),
        ENGINE_TEST(disconnect_lets_a_callback_finish),
        ENGINE_TEST(a_loss_while_closing_ends_it),
        ENGINE_TEST(all_requests_share_ids),
        ENGINE_TEST(ids_go_around_and_leave_out_what_is_in_flight),
        ENGINE_TEST(a_message_never_goes_out_with_an_id_in_flight),
        ENGINE_TEST(more_messages_than_ids_may_wait),
        ENGINE_TEST(what_no_broker_may_send_is_refused),
        ENGINE_TEST(what_does_not_fit_a_request_is_refused),
        ENGINE_TEST(connack_must_come_first),
        ENGINE_TEST(unknown_ids_are_no_events),
        ENGINE_TEST(messages_before_a_fault_are_handed_over),
        ENGINE_TEST(an_announced_length_is_not_believed),
        ENGINE_TEST(a_large_message_comes_whole),
        ENGINE_TEST(a_large_message_goes_whole),
        ENGINE_TEST(it_does_not_matter_where_the_input_is_cut),
        ENGINE_TEST(each_byte_may_come_alone),
        ENGINE_TEST(silence_is_broken_by_pings),
        ENGINE_TEST(sending_alone_does_not_hide_a_dead_broker),
        ENGINE_TEST(receiving_alone_does_not_replace_a_ping),
        ENGINE_TEST(a_broker_that_does_not_answer_is_given_up),
        ENGINE_TEST(a_connect_without_answer_is_given_up),
        ENGINE_TEST(answers_that_nobody_reads_are_not_kept_for_ever),
        ENGINE_TEST(slow_connections_are_not_given_up),
        ENGINE_TEST(pings_go_on_without_an_answer),
        ENGINE_TEST(disconnect_has_its_time_from_when_it_is_wanted),
        ENGINE_TEST(disconnect_waits_for_what_is_before_it),
        ENGINE_TEST(who_is_heard_is_not_given_up),
        ENGINE_TEST(without_keepalive_nobody_asks),
        ENGINE_TEST(deadlines_are_true),
        ENGINE_TEST(what_is_sent_is_logged),
        ENGINE_TEST(what_is_received_is_logged),
        ENGINE_TEST(pings_are_logged),
        ENGINE_TEST(a_talk_outlives_each_failure),
        ENGINE_TEST(requests_without_memory_change_nothing),
        ENGINE_TEST(an_engine_needs_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
