/*
 * Decoding by tables: what is accepted and what it means, what is refused and why. Packets are
 * copied into exact allocations, so that a sanitizer sees a read behind the end.
 */
#include "mqtt/decode.h"

#include "mqtt/topic.h"
#include "unit.h"

#include <stdlib.h>

/* A packet of its own allocation, without the rest of a stream behind it. */
static struct frame frame_of(struct str bytes)
{
    struct frame f;
    size_t need;
    char *p = malloc(bytes.n);

    assert_non_null(p);
    memcpy(p, bytes.p, bytes.n);
    assert_ok(frame_next(str_of(p, bytes.n), PACKET_MAX, &f, &need));
    assert_int_equal(need, bytes.n);
    return f;
}

static void frame_drop(struct frame *f)
{
    free((char *)f->whole.p);
}

/* A frame of a first byte and a body. */
static struct frame frame_with(uint8_t first, struct str body)
{
    char bytes[512];

    assert_true(body.n < 128);
    bytes[0] = (char)first;
    bytes[1] = (char)body.n;
    if (body.n)
        memcpy(bytes + 2, body.p, body.n);
    return frame_of(str_of(bytes, body.n + 2));
}

/* --- CONNECT --- */

struct connect_case {
    uint8_t first;
    struct str body;
    enum reason reason;
};

#define MQTT4 "\x00\x04MQTT\x04"
#define MQTT3 "\x00\x06MQIsdp\x03"

static const struct connect_case connects[] = {
    {0x10, STR(MQTT4 "\x02\x00\x3C\x00\x01x"), REASON_OK},
    {0x10, STR(MQTT3 "\x02\x00\x3C\x00\x01x"), REASON_OK},
    {0x10, STR(MQTT4 "\x02\x00\x00\x00\x00"), REASON_OK}, /* empty id: not for us to judge */
    {0x10, STR("\x00\x04MQTT\x84\x02\x00\x00\x00\x01x"), REASON_OK},
    {0x10, STR("\x00\x06MQIsdp\x83\x02\x00\x00\x00\x01x"), REASON_OK},
    /* 23 characters is what 3.1 promises; more are welcome */
    {0x10, STR(MQTT3 "\x02\x00\x00\x00\x18yyyyyyyyyyyyyyyyyyyyyyyy"), REASON_OK},
    /* flags of the fixed header */
    {0x11, STR(MQTT4 "\x02\x00\x3C\x00\x01x"), REASON_FLAGS},
    {0x18, STR(MQTT3 "\x02\x00\x3C\x00\x01x"), REASON_FLAGS},
    /* name and level */
    {0x10, STR("\x00\x04MQTX\x04\x02\x00\x3C\x00\x01x"), REASON_PROTOCOL_NAME},
    {0x10, STR("\x00\x04mqtt\x04\x02\x00\x3C\x00\x01x"), REASON_PROTOCOL_NAME},
    {0x10, STR("\x00\x00\x04\x02\x00\x3C\x00\x01x"), REASON_PROTOCOL_NAME},
    {0x10, STR("\x00\x04\xFF\xFF\xFF\xFF"), REASON_PROTOCOL_NAME},
    {0x10, STR("\x00\x04MQTT\x05\x02\x00\x3C\x00\x00\x01x"), REASON_PROTOCOL_LEVEL},
    {0x10, STR("\x00\x04MQTT\x05"), REASON_PROTOCOL_LEVEL}, /* nothing behind it is looked at */
    {0x10, STR("\x00\x04MQTT\x03\x02\x00\x3C\x00\x01x"), REASON_PROTOCOL_LEVEL},
    {0x10, STR("\x00\x06MQIsdp\x04\x02\x00\x3C\x00\x01x"), REASON_PROTOCOL_LEVEL},
    {0x10, STR("\x00\x04MQTT\x00\x02\x00\x3C\x00\x01x"), REASON_PROTOCOL_LEVEL},
    {0x10, STR("\x00\x04MQTT\x80\x02\x00\x3C\x00\x01x"), REASON_PROTOCOL_LEVEL},
    /* cut short anywhere */
    {0x10, STR(""), REASON_TRUNCATED},
    {0x10, STR("\x00"), REASON_TRUNCATED},
    {0x10, STR("\x00\x04MQT"), REASON_TRUNCATED},
    {0x10, STR("\x00\x04MQTT"), REASON_TRUNCATED},
    {0x10, STR(MQTT4), REASON_TRUNCATED},
    {0x10, STR(MQTT4 "\x02\x00"), REASON_TRUNCATED},
    {0x10, STR(MQTT4 "\x02\x00\x3C"), REASON_TRUNCATED},
    {0x10, STR(MQTT4 "\x02\x00\x3C\x00"), REASON_TRUNCATED},
    {0x10, STR(MQTT4 "\x02\x00\x3C\x00\x02x"), REASON_TRUNCATED},
    {0x10, STR(MQTT4 "\x06\x00\x3C\x00\x01x"), REASON_TRUNCATED},
    {0x10, STR(MQTT4 "\x06\x00\x3C\x00\x01x\x00\x01w"), REASON_TRUNCATED},
    {0x10, STR(MQTT4 "\x06\x00\x3C\x00\x01x\x00\x01w\x00\x02p"), REASON_TRUNCATED},
    {0x10, STR(MQTT4 "\x82\x00\x3C\x00\x01x"), REASON_TRUNCATED},
    {0x10, STR(MQTT4 "\xC2\x00\x3C\x00\x01x\x00\x01u"), REASON_TRUNCATED},
    {0x10, STR(MQTT4 "\xC2\x00\x3C\x00\x01x\x00\x01u\x00\x01"), REASON_TRUNCATED},
    /* bytes too many */
    {0x10, STR(MQTT4 "\x02\x00\x3C\x00\x01xy"), REASON_SURPLUS},
    {0x10, STR(MQTT3 "\x02\x00\x3C\x00\x01xy"), REASON_SURPLUS},
    {0x10, STR(MQTT4 "\xC2\x00\x3C\x00\x01x\x00\x01u\x00\x01pz"), REASON_SURPLUS},
    /* connect flags */
    {0x10, STR(MQTT4 "\x03\x00\x3C\x00\x01x"), REASON_CONNECT_FLAGS},
    {0x10, STR(MQTT3 "\x03\x00\x3C\x00\x01x"), REASON_OK},
    {0x10, STR(MQTT4 "\x0A\x00\x3C\x00\x01x"), REASON_CONNECT_FLAGS}, /* QoS without a will */
    {0x10, STR(MQTT4 "\x22\x00\x3C\x00\x01x"), REASON_CONNECT_FLAGS}, /* RETAIN without one */
    {0x10, STR(MQTT3 "\x3A\x00\x3C\x00\x01x"), REASON_OK},
    {0x10, STR(MQTT4 "\x1E\x00\x3C\x00\x01x\x00\x01w\x00\x00"), REASON_CONNECT_FLAGS}, /* QoS 3 */
    {0x10, STR(MQTT3 "\x1E\x00\x3C\x00\x01x\x00\x01w\x00\x00"), REASON_CONNECT_FLAGS},
    {0x10, STR(MQTT4 "\x42\x00\x3C\x00\x01x\x00\x01p"), REASON_CONNECT_FLAGS}, /* 3.1.2-22 */
    {0x10, STR(MQTT3 "\x42\x00\x3C\x00\x01x\x00\x01p"), REASON_CONNECT_FLAGS},
    /* strings */
    {0x10, STR(MQTT4 "\x02\x00\x3C\x00\x01\xFF"), REASON_UTF8},
    {0x10, STR(MQTT4 "\x02\x00\x3C\x00\x01\x00"), REASON_UTF8},
    {0x10, STR(MQTT4 "\x06\x00\x3C\x00\x01x\x00\x01\xFF\x00\x00"), REASON_UTF8},
    {0x10, STR(MQTT4 "\x82\x00\x3C\x00\x01x\x00\x01\xFF"), REASON_UTF8},
    {0x10, STR(MQTT4 "\x06\x00\x3C\x00\x01x\x00\x01w\x00\x01\xFF"), REASON_OK}, /* bytes */
    {0x10, STR(MQTT4 "\xC2\x00\x3C\x00\x01x\x00\x01u\x00\x01\xFF"), REASON_OK}, /* 3.1.3.5 */
    {0x10, STR(MQTT4 "\x06\x00\x3C\x00\x01x\x00\x00\x00\x00"), REASON_TOPIC_EMPTY},
    {0x10, STR(MQTT4 "\x06\x00\x3C\x00\x01x\x00\x01#\x00\x00"), REASON_TOPIC_WILDCARD},
};

static void connects_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(connects); i++) {
        struct packet_connect p;
        struct frame f = frame_with(connects[i].first, connects[i].body);
        enum reason r = decode_connect(&f, &p);
        if (r != connects[i].reason)
            fail_msg("case %zu: %s", i, reason_text(r));
        frame_drop(&f);
    }
}

static void all_fields_of_connect_are_seen(void **state)
{
    struct packet_connect p;
    struct frame f = frame_with(
        0x10, STR(MQTT4 "\xF6\x01\x02\x00\x02id\x00\x03w/t\x00\x02hi\x00\x02me\x00\x03pwd"));

    (void)state;
    assert_int_equal(decode_connect(&f, &p), REASON_OK);
    assert_int_equal(p.level, PROTOCOL_311);
    assert_false(p.bridge);
    assert_true(p.clean_session && p.has_will && p.will_retain && p.has_username && p.has_password);
    assert_int_equal(p.will_qos, QOS_2);
    assert_int_equal(p.keepalive_s, 0x0102);
    assert_true(str_eq(p.client_id, STR("id")));
    assert_true(str_eq(p.will_topic, STR("w/t")));
    assert_true(str_eq(p.will_payload, STR("hi")));
    assert_true(str_eq(p.username, STR("me")));
    assert_true(str_eq(p.password, STR("pwd")));
    frame_drop(&f);
}

static void nothing_is_invented_in_connect(void **state)
{
    struct packet_connect p;
    struct frame f = frame_with(0x10, STR(MQTT3 "\x38\x00\x00\x00\x02id"));

    (void)state;
    memset(&p, 0xFF, sizeof(p));
    assert_int_equal(decode_connect(&f, &p), REASON_OK);
    assert_false(p.clean_session || p.has_will || p.will_retain || p.has_username ||
                 p.has_password || p.bridge);
    assert_int_equal(p.will_qos, QOS_0);
    assert_int_equal(p.will_topic.n + p.will_payload.n + p.username.n + p.password.n, 0);
    frame_drop(&f);
}

static void the_level_found_is_told(void **state)
{
    struct packet_connect p;
    struct frame f = frame_with(0x10, STR("\x00\x04MQTT\x85"));

    (void)state;
    assert_int_equal(decode_connect(&f, &p), REASON_PROTOCOL_LEVEL);
    assert_int_equal(p.level, 5);
    frame_drop(&f);
    f = frame_with(0x10, STR("\x00\x06MQIsdp\x83\x02\x00\x00\x00\x00"));
    assert_int_equal(decode_connect(&f, &p), REASON_OK);
    assert_int_equal(p.level, PROTOCOL_31);
    assert_true(p.bridge);
    frame_drop(&f);
}

/* 3.1: what the flags announce may be missing altogether. */
static void an_old_login_may_be_missing(void **state)
{
    struct packet_connect p;
    struct frame f = frame_with(0x10, STR(MQTT3 "\xC2\x00\x00\x00\x01x"));

    (void)state;
    assert_int_equal(decode_connect(&f, &p), REASON_OK);
    assert_false(p.has_username || p.has_password);
    frame_drop(&f);
    f = frame_with(0x10, STR(MQTT3 "\xC2\x00\x00\x00\x01x\x00\x01u"));
    assert_int_equal(decode_connect(&f, &p), REASON_OK);
    assert_true(p.has_username && !p.has_password && str_eq(p.username, STR("u")));
    frame_drop(&f);
    f = frame_with(0x10, STR(MQTT3 "\xC2\x00\x00\x00\x01x\x00\x02u"));
    assert_int_equal(decode_connect(&f, &p), REASON_TRUNCATED);
    frame_drop(&f);
}

/* --- PUBLISH --- */

struct publish_case {
    uint8_t first;
    struct str body;
    enum reason reason;
    struct packet_publish want;
};

static const struct publish_case publishes[] = {
    {0x30, STR("\x00\x01tpay"), REASON_OK, {STR("t"), STR("pay"), 0, QOS_0, false, false}},
    {0x31, STR("\x00\x01tpay"), REASON_OK, {STR("t"), STR("pay"), 0, QOS_0, true, false}},
    {0x30, STR("\x00\x01t"), REASON_OK, {STR("t"), STR(""), 0, QOS_0, false, false}},
    {0x32, STR("\x00\x03t/u\x12\x34p"), REASON_OK, {STR("t/u"), STR("p"), 0x1234, QOS_1, 0, 0}},
    {0x3A, STR("\x00\x01t\xFF\xFFp"), REASON_OK, {STR("t"), STR("p"), 0xFFFF, QOS_1, 0, true}},
    {0x34, STR("\x00\x01t\x00\x01"), REASON_OK, {STR("t"), STR(""), 1, QOS_2, false, false}},
    {0x3D, STR("\x00\x01t\x00\x01\xFF"), REASON_OK, {STR("t"), STR("\xFF"), 1, QOS_2, true, true}},
    {0x36, STR("\x00\x01t\x00\x01"), REASON_QOS, {.id = 0}},
    {0x3E, STR("\x00\x01t\x00\x01"), REASON_QOS, {.id = 0}},
    {0x38, STR("\x00\x01t"), REASON_DUP_QOS0, {.id = 0}},
    {0x30, STR(""), REASON_TRUNCATED, {.id = 0}},
    {0x30, STR("\x00"), REASON_TRUNCATED, {.id = 0}},
    {0x30, STR("\x00\x02t"), REASON_TRUNCATED, {.id = 0}},
    {0x30, STR("\xFF\xFFt"), REASON_TRUNCATED, {.id = 0}},
    {0x32, STR("\x00\x01t"), REASON_TRUNCATED, {.id = 0}},
    {0x32, STR("\x00\x01t\x01"), REASON_TRUNCATED, {.id = 0}},
    {0x32, STR("\x00\x01t\x00\x00"), REASON_PACKET_ID_ZERO, {.id = 0}},
    {0x34, STR("\x00\x01t\x00\x00pay"), REASON_PACKET_ID_ZERO, {.id = 0}},
    {0x30, STR("\x00\x00pay"), REASON_TOPIC_EMPTY, {.id = 0}},
    {0x30, STR("\x00\x01#"), REASON_TOPIC_WILDCARD, {.id = 0}},
    {0x30,
     STR("\x00\x03"
         "a/+"),
     REASON_TOPIC_WILDCARD,
     {.id = 0}},
    {0x30, STR("\x00\x01\xFF"), REASON_UTF8, {.id = 0}},
    {0x30, STR("\x00\x02#\xFF"), REASON_UTF8, {.id = 0}}, /* UTF-8 first */
    {0x30, STR("\x00\x01\x00"), REASON_UTF8, {.id = 0}},
};

static void publishes_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(publishes); i++) {
        const struct packet_publish *want = &publishes[i].want;
        struct packet_publish p;
        struct frame f = frame_with(publishes[i].first, publishes[i].body);
        enum reason r = decode_publish(&f, &p);
        if (r != publishes[i].reason)
            fail_msg("case %zu: %s", i, reason_text(r));
        if (r == REASON_OK && !(str_eq(p.topic, want->topic) && str_eq(p.payload, want->payload) &&
                                p.id == want->id && p.qos == want->qos &&
                                p.retain == want->retain && p.dup == want->dup))
            fail_msg("case %zu: wrong fields", i);
        frame_drop(&f);
    }
}

static void deep_topics_are_refused(void **state)
{
    char bytes[2 + 2 + 3 + TOPIC_LEVELS_MAX];
    struct packet_publish p;

    (void)state;
    memset(bytes, '/', sizeof(bytes));
    memcpy(bytes, "\x30\xCC\x01\x00\xC8", 5); /* 204 bytes, a topic of 200 */
    struct frame f = frame_of(str_of(bytes, 3 + 204));
    assert_int_equal(decode_publish(&f, &p), REASON_LEVELS);
    frame_drop(&f);
}

/* --- acknowledgements --- */

struct ack_case {
    uint8_t first;
    struct str body;
    enum reason v31;
    enum reason v311;
};

static const struct ack_case acks[] = {
    {0x40, STR("\x12\x34"), REASON_OK, REASON_OK},
    {0x50, STR("\x12\x34"), REASON_OK, REASON_OK},
    {0x62, STR("\x12\x34"), REASON_OK, REASON_OK},
    {0x70, STR("\x12\x34"), REASON_OK, REASON_OK},
    {0xB0, STR("\x12\x34"), REASON_OK, REASON_OK},
    {0x6A, STR("\x12\x34"), REASON_OK, REASON_FLAGS},
    {0x60, STR("\x12\x34"), REASON_FLAGS, REASON_FLAGS},
    {0x63, STR("\x12\x34"), REASON_FLAGS, REASON_FLAGS},
    {0x68, STR("\x12\x34"), REASON_FLAGS, REASON_FLAGS},
    {0x42, STR("\x12\x34"), REASON_FLAGS, REASON_FLAGS},
    {0x48, STR("\x12\x34"), REASON_FLAGS, REASON_FLAGS},
    {0x51, STR("\x12\x34"), REASON_FLAGS, REASON_FLAGS},
    {0x74, STR("\x12\x34"), REASON_FLAGS, REASON_FLAGS},
    {0x40, STR(""), REASON_TRUNCATED, REASON_TRUNCATED},
    {0x40, STR("\x01"), REASON_TRUNCATED, REASON_TRUNCATED},
    {0x40, STR("\x12\x34\x00"), REASON_SURPLUS, REASON_SURPLUS},
    {0x62, STR("\x12\x34\x00\x00"), REASON_SURPLUS, REASON_SURPLUS},
    {0x40, STR("\x00\x00"), REASON_PACKET_ID_ZERO, REASON_PACKET_ID_ZERO},
    {0x70, STR("\x00\x00"), REASON_PACKET_ID_ZERO, REASON_PACKET_ID_ZERO},
};

static void acks_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(acks); i++) {
        uint16_t id = 0;
        struct frame f = frame_with(acks[i].first, acks[i].body);
        if (decode_ack(&f, PROTOCOL_31, &id) != acks[i].v31)
            fail_msg("case %zu, 3.1", i);
        if (decode_ack(&f, PROTOCOL_311, &id) != acks[i].v311)
            fail_msg("case %zu, 3.1.1", i);
        if (acks[i].v311 == REASON_OK)
            assert_int_equal(id, 0x1234);
        frame_drop(&f);
    }
}

/* --- SUBSCRIBE and UNSUBSCRIBE --- */

static const struct ack_case subscribes[] = {
    {0x82, STR("\x00\x07\x00\x01t\x00"), REASON_OK, REASON_OK},
    {0x82, STR("\x00\x07\x00\x01t\x02\x00\x01#\x01"), REASON_OK, REASON_OK},
    {0x82, STR("\x00\x07\x00\x0A$share/g/#\x01"), REASON_OK, REASON_OK},
    {0x8A, STR("\x00\x07\x00\x01t\x00"), REASON_OK, REASON_FLAGS},
    {0x80, STR("\x00\x07\x00\x01t\x00"), REASON_FLAGS, REASON_FLAGS},
    {0x83, STR("\x00\x07\x00\x01t\x00"), REASON_FLAGS, REASON_FLAGS},
    {0x82, STR("\x00\x00\x00\x01t\x00"), REASON_PACKET_ID_ZERO, REASON_PACKET_ID_ZERO},
    {0x82, STR(""), REASON_TRUNCATED, REASON_TRUNCATED},
    {0x82, STR("\x01"), REASON_TRUNCATED, REASON_TRUNCATED},
    {0x82, STR("\x00\x07"), REASON_NO_FILTERS, REASON_NO_FILTERS},
    {0x82, STR("\x00\x07\x00"), REASON_TRUNCATED, REASON_TRUNCATED},
    {0x82, STR("\x00\x07\x00\x01t"), REASON_TRUNCATED, REASON_TRUNCATED},
    {0x82, STR("\x00\x07\x00\x02t"), REASON_TRUNCATED, REASON_TRUNCATED},
    {0x82, STR("\x00\x07\x00\x01t\x03"), REASON_REQUESTED_QOS, REASON_REQUESTED_QOS},
    {0x82, STR("\x00\x07\x00\x01t\x04"), REASON_REQUESTED_QOS, REASON_REQUESTED_QOS},
    {0x82, STR("\x00\x07\x00\x01t\x80"), REASON_REQUESTED_QOS, REASON_REQUESTED_QOS},
    {0x82, STR("\x00\x07\x00\x00\x00"), REASON_TOPIC_EMPTY, REASON_TOPIC_EMPTY},
    {0x82, STR("\x00\x07\x00\x01\xFF\x00"), REASON_UTF8, REASON_UTF8},
    {0x82, STR("\x00\x07\x00\x02++\x00"), REASON_FILTER, REASON_FILTER},
    {0x82, STR("\x00\x07\x00\x01t\x00\x00\x02#/\x00"), REASON_FILTER, REASON_FILTER},
    {0x82, STR("\x00\x07\x00\x08$share/g\x00"), REASON_SHARE_NAME, REASON_SHARE_NAME},
};

static void subscribes_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(subscribes); i++) {
        struct packet_filters p;
        struct frame f = frame_with(subscribes[i].first, subscribes[i].body);
        if (decode_subscribe(&f, PROTOCOL_31, &p) != subscribes[i].v31)
            fail_msg("case %zu, 3.1", i);
        if (decode_subscribe(&f, PROTOCOL_311, &p) != subscribes[i].v311)
            fail_msg("case %zu, 3.1.1", i);
        frame_drop(&f);
    }
}

static const struct ack_case unsubscribes[] = {
    {0xA2, STR("\x00\x07\x00\x01t"), REASON_OK, REASON_OK},
    {0xA2, STR("\x00\x07\x00\x01t\x00\x03$SY"), REASON_OK, REASON_OK},
    {0xAA, STR("\x00\x07\x00\x01t"), REASON_OK, REASON_FLAGS},
    {0xA0, STR("\x00\x07\x00\x01t"), REASON_FLAGS, REASON_FLAGS},
    {0xA2, STR("\x00\x00\x00\x01t"), REASON_PACKET_ID_ZERO, REASON_PACKET_ID_ZERO},
    {0xA2, STR("\x00\x07"), REASON_NO_FILTERS, REASON_NO_FILTERS},
    {0xA2, STR("\x00\x07\x00\x01t\x00"), REASON_TRUNCATED, REASON_TRUNCATED},
    {0xA2, STR("\x00\x07\x00\x00"), REASON_TOPIC_EMPTY, REASON_TOPIC_EMPTY},
    {0xA2, STR("\x00\x07\x00\x01\x01"), REASON_UTF8, REASON_UTF8},
    {0xA2, STR("\x00\x07\x00\x02#a"), REASON_FILTER, REASON_FILTER},
};

static void unsubscribes_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(unsubscribes); i++) {
        struct packet_filters p;
        struct frame f = frame_with(unsubscribes[i].first, unsubscribes[i].body);
        if (decode_unsubscribe(&f, PROTOCOL_31, &p) != unsubscribes[i].v31)
            fail_msg("case %zu, 3.1", i);
        if (decode_unsubscribe(&f, PROTOCOL_311, &p) != unsubscribes[i].v311)
            fail_msg("case %zu, 3.1.1", i);
        frame_drop(&f);
    }
}

static void filters_are_walked(void **state)
{
    struct packet_filters p;
    struct str filter;
    enum qos qos;
    size_t at = 0;
    struct frame f = frame_with(0x82, STR("\x01\x02\x00\x01t\x02\x00\x03"
                                          "a/#\x00\x00\x01t\x01"));

    (void)state;
    assert_int_equal(decode_subscribe(&f, PROTOCOL_311, &p), REASON_OK);
    assert_int_equal(p.id, 0x0102);
    assert_int_equal(p.count, 3);
    assert_true(decode_filter(&p, &at, &filter, &qos));
    assert_true(str_eq(filter, STR("t")) && qos == QOS_2);
    assert_true(decode_filter(&p, &at, &filter, &qos));
    assert_true(str_eq(filter, STR("a/#")) && qos == QOS_0);
    assert_true(decode_filter(&p, &at, &filter, &qos));
    assert_true(str_eq(filter, STR("t")) && qos == QOS_1);
    assert_false(decode_filter(&p, &at, &filter, &qos));
    assert_false(decode_filter(&p, &at, &filter, &qos));
    frame_drop(&f);

    at = 0;
    f = frame_with(0xA2, STR("\x00\x01\x00\x01t\x00\x01#"));
    assert_int_equal(decode_unsubscribe(&f, PROTOCOL_311, &p), REASON_OK);
    assert_int_equal(p.count, 2);
    assert_true(decode_filter(&p, &at, &filter, NULL));
    assert_true(str_eq(filter, STR("t")));
    assert_true(decode_filter(&p, &at, &filter, NULL));
    assert_true(str_eq(filter, STR("#")));
    assert_false(decode_filter(&p, &at, &filter, NULL));
    frame_drop(&f);
}

/* --- the others --- */

static void empty_packets_are_empty(void **state)
{
    static const uint8_t types[] = {0xC0, 0xD0, 0xE0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        for (uint8_t flags = 0; flags < 16; flags++) {
            struct frame f = frame_with(types[i] | flags, STR(""));
            assert_int_equal(decode_empty(&f), flags ? REASON_FLAGS : REASON_OK);
            frame_drop(&f);
        }
        struct frame f = frame_with(types[i], STR("\x00"));
        assert_int_equal(decode_empty(&f), REASON_SURPLUS);
        frame_drop(&f);
    }
}

struct connack_case {
    uint8_t first;
    struct str body;
    enum reason reason;
    bool session;
    uint8_t code;
};

static const struct connack_case connacks[] = {
    {0x20, STR("\x00\x00"), REASON_OK, false, 0},
    {0x20, STR("\x01\x00"), REASON_OK, true, 0},
    {0x20, STR("\x00\x05"), REASON_OK, false, 5},
    {0x20, STR("\x00\xFF"), REASON_OK, false, 255},
    {0x21, STR("\x00\x00"), REASON_FLAGS, false, 0},
    {0x20, STR(""), REASON_TRUNCATED, false, 0},
    {0x20, STR("\x00"), REASON_TRUNCATED, false, 0},
    {0x20, STR("\x00\x00\x00"), REASON_SURPLUS, false, 0},
    {0x20, STR("\x02\x00"), REASON_CONNECT_FLAGS, false, 0},
    {0x20, STR("\x01\x01"), REASON_CONNECT_FLAGS, false, 0}, /* 3.2.2-4 */
};

static void connacks_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(connacks); i++) {
        bool session = false;
        uint8_t code = 0;
        struct frame f = frame_with(connacks[i].first, connacks[i].body);
        enum reason r = decode_connack(&f, &session, &code);
        if (r != connacks[i].reason)
            fail_msg("case %zu: %s", i, reason_text(r));
        if (r == REASON_OK && (session != connacks[i].session || code != connacks[i].code))
            fail_msg("case %zu: wrong fields", i);
        frame_drop(&f);
    }
}

static const struct connect_case subacks[] = {
    {0x90, STR("\x00\x09\x00\x01\x02\x80"), REASON_OK}, {0x90, STR("\x00\x09\x00"), REASON_OK},
    {0x91, STR("\x00\x09\x00"), REASON_FLAGS},          {0x90, STR(""), REASON_TRUNCATED},
    {0x90, STR("\x00\x09"), REASON_TRUNCATED}, /* no code at all */
    {0x90, STR("\x00\x00\x00"), REASON_PACKET_ID_ZERO}, {0x90, STR("\x00\x09\x03"), REASON_QOS},
    {0x90, STR("\x00\x09\x00\x81"), REASON_QOS},
};

static void subacks_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(subacks); i++) {
        uint16_t id = 0;
        struct str codes = {0};
        struct frame f = frame_with(subacks[i].first, subacks[i].body);
        enum reason r = decode_suback(&f, &id, &codes);
        if (r != subacks[i].reason)
            fail_msg("case %zu: %s", i, reason_text(r));
        if (r == REASON_OK) {
            assert_int_equal(id, 9);
            assert_int_equal(codes.n, subacks[i].body.n - 2);
        }
        frame_drop(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(connects_are_judged),
        UNIT_TEST(all_fields_of_connect_are_seen),
        UNIT_TEST(nothing_is_invented_in_connect),
        UNIT_TEST(the_level_found_is_told),
        UNIT_TEST(an_old_login_may_be_missing),
        UNIT_TEST(publishes_are_judged),
        UNIT_TEST(deep_topics_are_refused),
        UNIT_TEST(acks_are_judged),
        UNIT_TEST(subscribes_are_judged),
        UNIT_TEST(unsubscribes_are_judged),
        UNIT_TEST(filters_are_walked),
        UNIT_TEST(empty_packets_are_empty),
        UNIT_TEST(connacks_are_judged),
        UNIT_TEST(subacks_are_judged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
