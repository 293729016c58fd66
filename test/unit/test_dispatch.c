/*
 * From bytes to handlers: any split gives the same answers, and what is not allowed ends the
 * connection for the right reason.
 */
#include "core/dispatch.h"

#include "base/rng.h"
#include "mqtt/encode.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct packet_connect hello = {
    .client_id = STR("id"), .level = PROTOCOL_311, .clean_session = true};

/* --- splits --- */

/* A client that does everything, all at once: it subscribes to what it publishes. */
static void send_everything(struct rig_client *c)
{
    static char large[200000];

    memset(large, 'x', sizeof(large) - 1);
    rig_send_connect(c, &hello);
    rig_send_subscribe(c, 1, "a/#", QOS_2);
    rig_publish(c, "a/0", "zero", QOS_0, 0);
    rig_publish(c, "a/1", "one", QOS_1, 2);
    rig_publish(c, "a/2", "two", QOS_2, 3);
    rig_send_ack(c, PACKET_PUBREL, 3);
    rig_publish(c, "a/0", large, QOS_0, 0);
    rig_publish(c, "a/1", "", QOS_1, 4);
    rig_send_ack(c, PACKET_PUBACK, 1); /* its own messages come back with ids from 1 up */
    rig_send_ack(c, PACKET_PUBREC, 2);
    rig_send_ack(c, PACKET_PUBCOMP, 2);
    rig_send_ack(c, PACKET_PUBACK, 3);
    rig_send_unsubscribe(c, 5, "a/#");
    rig_publish(c, "a/1", "nobody", QOS_1, 6);
    rig_send_empty(c, PACKET_PINGREQ);
}

struct expectation {
    enum packet_type type;
    uint16_t id;
};

static const struct expectation answers[] = {
    {PACKET_CONNACK, 0},  {PACKET_SUBACK, 0},  {PACKET_PUBLISH, 0},  {PACKET_PUBLISH, 0},
    {PACKET_PUBACK, 2},   {PACKET_PUBLISH, 0}, {PACKET_PUBREC, 3},   {PACKET_PUBCOMP, 3},
    {PACKET_PUBLISH, 0},  {PACKET_PUBLISH, 0}, {PACKET_PUBACK, 4},   {PACKET_PUBREL, 2},
    {PACKET_UNSUBACK, 5}, {PACKET_PUBACK, 6},  {PACKET_PINGRESP, 0},
};

/* Everything in reads of at most `max` bytes; 0: of random sizes. */
static void run_split(size_t max, struct rng *rng)
{
    struct rig r;
    struct rig_client c;

    rig_begin(&r, false);
    assert_true(rig_open(&r, &c));
    send_everything(&c);
    while (c.out.at < c.out.n) {
        r.max_read = max ? max : 1 + rng_below(rng, rng_below(rng, 8) ? 20 : 60000);
        rig_turn(&r);
        assert_non_null(c.conn);
    }
    rig_settle(&r);
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++)
        assert_int_equal(rig_expect(&c, answers[i].type), answers[i].id);
    rig_expect_nothing(&c);
    assert_int_equal(broker_stats(r.b)->packets_received, 15);
    rig_forget(&c);
    rig_end(&r);
}

static void any_split_gives_the_same_answers(void **state)
{
    static const size_t sizes[] = {SIZE_MAX, 65536, 65535, 4096, 1000, 17, 3, 2, 1};
    struct rng rng;

    (void)state;
    rng_seed(&rng, 11);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        run_split(sizes[i], &rng);
    for (unsigned i = 0; i < 30; i++)
        run_split(0, &rng);
}

static void only_whole_packets_are_kept_waiting(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    unit_needs_tracking();
    rig_begin(&r, false);
    rig_connect(&r, &c, "id", true);
    size_t used = mem_used();
    rig_send(&c, "\x30\x20\x00\x03", 4); /* the beginning of a PUBLISH */
    rig_settle(&r);
    assert_true(mem_used() > used && mem_used() <= used + 64);
    rig_send(&c, "a/b012345678901234567890123456", 30);
    rig_settle(&r);
    assert_int_equal(mem_used(), used);
    assert_int_equal(broker_stats(r.b)->publish_received, 1);
    rig_forget(&c);
    rig_end(&r);
}

/* --- refusals --- */

struct refusal {
    struct str bytes;
    enum reason reason;
};

static const struct refusal of_strangers[] = {
    {STR("\x30\x03\x00\x01t"), REASON_NOT_CONNECT},
    {STR("\xc0\x00"), REASON_NOT_CONNECT},
    {STR("\xe0"), REASON_NOT_CONNECT}, /* the first byte says it all */
    {STR("\x47\x00"), REASON_NOT_CONNECT},
    {STR("\x16\x03\x01\x02\x00"), REASON_TLS_TO_PLAIN},
    {STR("\x11\x0c\x00\x04MQTT"), REASON_FLAGS},
    {STR("\x10\xff\xff\xff\x7f"), REASON_CONNECT_TOO_LARGE},
    {STR("\x10\xff\xff\xff\xff"), REASON_LENGTH_FIELD},
    {STR("\x10\x0c\x00\x04MQTX\x04\x02\x00\x00\x00\x00"), REASON_PROTOCOL_NAME},
    {STR("\x10\x0c\x00\x04MQTT\x04\x03\x00\x00\x00\x00"), REASON_CONNECT_FLAGS},
    {STR("\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x00x"), REASON_SURPLUS},
    {STR("\x10\x0b\x00\x04MQTT\x04\x02\x00\x00\x00"), REASON_TRUNCATED},
};

static const struct refusal of_clients[] = {
    {STR("\x00\x00"), REASON_PACKET_TYPE},
    {STR("\xf0\x00"), REASON_PACKET_TYPE},
    {STR("\x20\x02\x00\x00"), REASON_NOT_FOR_SERVER},
    {STR("\x90\x03\x00\x01\x00"), REASON_NOT_FOR_SERVER},
    {STR("\xb0\x02\x00\x01"), REASON_NOT_FOR_SERVER},
    {STR("\xd0\x00"), REASON_NOT_FOR_SERVER},
    {STR("\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x02xx"), REASON_SECOND_CONNECT},
    {STR("\xc1\x00"), REASON_FLAGS},
    {STR("\xc0\x01\x00"), REASON_SURPLUS},
    {STR("\xe0\x01\x00"), REASON_SURPLUS},
    {STR("\x30\x02\x00\x05"), REASON_TRUNCATED},
    {STR("\x30\x02\x00\x00"), REASON_TOPIC_EMPTY},
    {STR("\x30\x03\x00\x01#"), REASON_TOPIC_WILDCARD},
    {STR("\x36\x05\x00\x01t\x00\x01"), REASON_QOS},
    {STR("\x38\x03\x00\x01t"), REASON_DUP_QOS0},
    {STR("\x32\x05\x00\x01t\x00\x00"), REASON_PACKET_ID_ZERO},
    {STR("\x40\x02\x00\x00"), REASON_PACKET_ID_ZERO},
    {STR("\x60\x02\x00\x01"), REASON_FLAGS},
    {STR("\x80\x06\x00\x01\x00\x01t\x00"), REASON_FLAGS},
    {STR("\x82\x02\x00\x01"), REASON_NO_FILTERS},
    {STR("\x82\x06\x00\x01\x00\x01t\x03"), REASON_REQUESTED_QOS},
    {STR("\x82\x07\x00\x01\x00\x02#a\x00"), REASON_FILTER},
    {STR("\x82\x0b\x00\x01\x00\x06$share\x00"), REASON_OK}, /* not a shared one: a plain filter */
    {STR("\x82\x0d\x00\x01\x00\x08$share/g\x00"), REASON_SHARE_NAME},
    {STR("\xa2\x02\x00\x01"), REASON_NO_FILTERS},
    {STR("\x30\xff\xff\xff\xff"), REASON_LENGTH_FIELD},
    {STR("\x30\x90\x4e"), REASON_PACKET_TOO_LARGE}, /* 10,003 bytes are announced */
    {STR("\x40\xff\x7f"), REASON_SURPLUS},          /* a PUBACK of 16 KiB: refused at once */
};

/* All of the bytes, or one by one. */
static void refuse(const struct refusal *t, bool connected, size_t max_read)
{
    struct rig r;
    struct rig_client c;
    char line[200];

    rig_setup(&r);
    r.conf.global.max_packet_size = 10000;
    rig_start(&r);
    if (connected)
        rig_connect(&r, &c, "id", true);
    else
        assert_true(rig_open(&r, &c));
    r.max_read = max_read;
    rig_send(&c, t->bytes.p, t->bytes.n);
    rig_settle(&r);
    (void)snprintf(line, sizeof(line), "disconnected: %s", reason_text(t->reason));
    if (t->reason == REASON_OK) {
        assert_non_null(c.conn);
    } else if (c.conn || rig_logged(&r, line) != 1) {
        fail_msg("case '%s': %s, log: %.*s", reason_text(t->reason), c.conn ? "open" : "closed",
                 (int)r.log.n, (char *)r.log.p);
    } else {
        rig_expect_nothing(&c);
    }
    rig_forget(&c);
    rig_end(&r);
}

/* Said when it can be seen at once; byte by byte the first one is no CONNECT, and that is all. */
static const struct refusal of_foreigners[] = {
    {STR("GET / HTTP/1.1\r\n"), REASON_HTTP},
    {STR("POST /x HTTP/1.1\r\n"), REASON_HTTP},
    {STR("PRI * HTTP/2.0\r\n"), REASON_HTTP},
    {STR("GETTING"), REASON_NOT_CONNECT},
    {STR("PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n"), REASON_PROXY_HEADER},
    {STR("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"), REASON_PROXY_HEADER},
    {STR("\r\n\r\n\0\r\nQUIT"), REASON_NOT_CONNECT},
};

static void other_protocols_are_known(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(of_foreigners); i++)
        refuse(&of_foreigners[i], false, SIZE_MAX);
}

static void what_is_not_allowed_ends_the_connection(void **state)
{
    (void)state;
    for (unsigned split = 0; split < 2; split++) {
        for (size_t i = 0; i < ARRAY_SIZE(of_strangers); i++)
            refuse(&of_strangers[i], false, split ? 1 : SIZE_MAX);
        for (size_t i = 0; i < ARRAY_SIZE(of_clients); i++)
            refuse(&of_clients[i], true, split ? 1 : SIZE_MAX);
    }
}

/* Each refusal of CONNECT has its code, is flushed, and then the connection closes. */
struct connack_case {
    struct packet_connect p;
    uint8_t code;
};

static const struct connack_case connacks[] = {
    {{.client_id = STR(""), .level = PROTOCOL_311}, CONNACK_IDENTIFIER},
    {{.client_id = STR(""), .level = PROTOCOL_31, .clean_session = true}, CONNACK_IDENTIFIER},
    {{.client_id = STR("id"), .level = PROTOCOL_311, .keepalive_s = 0}, CONNACK_IDENTIFIER},
    {{.client_id = STR("id"), .level = PROTOCOL_311, .keepalive_s = 101}, CONNACK_IDENTIFIER},
    {{.client_id = STR("id"),
      .level = PROTOCOL_311,
      .keepalive_s = 9,
      .has_will = true,
      .will_topic = STR("$SYS/x")},
     CONNACK_NOT_AUTHORISED},
    {{.client_id = STR("id"),
      .level = PROTOCOL_311,
      .keepalive_s = 9,
      .has_will = true,
      .will_qos = QOS_2,
      .will_topic = STR("t")},
     CONNACK_NOT_AUTHORISED},
    {{.client_id = STR("id"),
      .level = PROTOCOL_311,
      .keepalive_s = 9,
      .has_will = true,
      .will_retain = true,
      .will_topic = STR("t")},
     CONNACK_NOT_AUTHORISED},
    {{.client_id = STR("id"), .level = PROTOCOL_311, .keepalive_s = 100}, CONNACK_ACCEPTED},
};

static void a_refused_connect_has_its_code(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(connacks); i++) {
        struct rig r;
        struct rig_client c;
        rig_setup(&r);
        r.conf.global.max_keepalive = 100;
        r.conf.global.retain_available = false;
        r.listener.max_qos = 1;
        rig_start(&r);
        assert_true(rig_open(&r, &c));
        rig_send_connect(&c, &connacks[i].p);
        rig_send_empty(&c, PACKET_PINGREQ); /* what is behind a refusal is not looked at */
        rig_settle(&r);
        rig_expect_connack(&c, false, connacks[i].code);
        assert_int_equal(c.conn != NULL, connacks[i].code == CONNACK_ACCEPTED);
        assert_int_equal(broker_stats(r.b)->sessions, connacks[i].code == CONNACK_ACCEPTED);
        if (!c.conn)
            rig_expect_nothing(&c);
        rig_forget(&c);
        rig_end(&r);
    }
}

static void anonymous_clients_are_refused_if_so_configured(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    rig_setup(&r);
    r.listener.security.allow_anonymous = false;
    rig_start(&r);
    assert_true(rig_open(&r, &c));
    rig_send_connect(&c, &hello);
    rig_settle(&r);
    rig_expect_connack(&c, false, CONNACK_NOT_AUTHORISED);
    rig_expect_closed(&c);
    rig_forget(&c);
    rig_end(&r);
}

/* 3.1.2-2: told with code 1 whatever follows the level. */
static void another_protocol_level_is_told(void **state)
{
    static const struct str packets[] = {STR("\x10\x0c\x00\x04MQTT\x05\x02\x00\x00\x00\x00"),
                                         STR("\x10\x07\x00\x04MQTT\x63"),
                                         STR("\x10\x0e\x00\x06MQIsdp\x04\x02\x00\x00\x00\x00")};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(packets); i++) {
        struct rig r;
        struct rig_client c;
        rig_begin(&r, false);
        assert_true(rig_open(&r, &c));
        rig_send(&c, packets[i].p, packets[i].n);
        rig_settle(&r);
        rig_expect_connack(&c, false, CONNACK_PROTOCOL_VERSION);
        rig_expect_closed(&c);
        rig_forget(&c);
        rig_end(&r);
    }
}

static void after_disconnect_nothing_counts(void **state)
{
    struct rig r;
    struct rig_client c;
    struct rig_client other;

    (void)state;
    rig_begin(&r, false);
    rig_connect(&r, &other, "other", true);
    rig_subscribe(&other, "#", QOS_2);
    rig_connect(&r, &c, "id", true);
    rig_publish(&c, "before", "x", QOS_1, 1);
    rig_send_empty(&c, PACKET_DISCONNECT);
    rig_publish(&c, "behind", "x", QOS_1, 2);
    rig_settle(&r);
    assert_int_equal(rig_expect(&c, PACKET_PUBACK), 1); /* it is flushed */
    rig_expect_nothing(&c);
    rig_expect_closed(&c);
    rig_expect_publish(&other, "before", "x", QOS_1);
    rig_expect_nothing(&other);
    assert_int_equal(rig_logged(&r, "Client id disconnected."), 1);
    rig_forget(&c);
    rig_forget(&other);
    rig_end(&r);
}

/* Nothing that random bytes do is worse than a closed connection. */
static void random_bytes_do_no_harm(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 21);
    for (unsigned round = 0; round < 300; round++) {
        struct rig r;
        struct rig_client c;
        rig_begin(&r, round % 2);
        rig_connect(&r, &c, "id", false);
        for (unsigned i = 0; i < 50 && c.conn; i++) {
            uint8_t packet[64] = {0};
            size_t n = 2 + rng_below(&rng, 60);
            for (size_t k = 0; k < n; k++)
                packet[k] = (uint8_t)rng_below(&rng, rng_below(&rng, 2) ? 4 : 256);
            packet[0] = (uint8_t)((1 + rng_below(&rng, 14)) << 4 | rng_below(&rng, 3));
            packet[1] = (uint8_t)(n - 2);
            packet[2] = packet[4] = 0;
            rig_send(&c, packet, n);
            rig_turn(&r);
        }
        rig_settle(&r);
        rig_check(&r);
        rig_forget(&c);
        rig_end(&r);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(any_split_gives_the_same_answers),
        UNIT_TEST(only_whole_packets_are_kept_waiting),
        UNIT_TEST(other_protocols_are_known),
        UNIT_TEST(what_is_not_allowed_ends_the_connection),
        UNIT_TEST(a_refused_connect_has_its_code),
        UNIT_TEST(anonymous_clients_are_refused_if_so_configured),
        UNIT_TEST(another_protocol_level_is_told),
        UNIT_TEST(after_disconnect_nothing_counts),
        UNIT_TEST(random_bytes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
