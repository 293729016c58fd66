/*
 * Encoding: known bytes, and everything decodes to what was encoded. Sizes are told exactly.
 */
#include "mqtt/encode.h"

#include "mqtt/decode.h"
#include "unit.h"

#include <stdlib.h>

static struct frame frame_of(const uint8_t *p, size_t n)
{
    struct frame f;
    size_t need;

    assert_ok(frame_next(str_of((const char *)p, n), PACKET_MAX, &f, &need));
    assert_int_equal(need, n);
    return f;
}

struct header_case {
    size_t rest;
    struct str bytes;
};

static const struct header_case headers[] = {
    /* table 2.4 */
    {0, STR("\x30\x00")},
    {127, STR("\x30\x7F")},
    {128, STR("\x30\x80\x01")},
    {16383, STR("\x30\xFF\x7F")},
    {16384, STR("\x30\x80\x80\x01")},
    {2097151, STR("\x30\xFF\xFF\x7F")},
    {2097152, STR("\x30\x80\x80\x80\x01")},
    {268435455, STR("\x30\xFF\xFF\xFF\x7F")},
};

static void headers_are_minimal(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
        uint8_t out[FIXED_HEADER_MAX];
        size_t n = encode_header(out, 0x30, headers[i].rest);
        assert_true(str_eq(str_of((char *)out, n), headers[i].bytes));
        assert_int_equal(encode_header_size(headers[i].rest), n);
    }
}

static void small_packets_have_known_bytes(void **state)
{
    uint8_t out[8];

    (void)state;
    assert_int_equal(encode_connack(out, true, CONNACK_ACCEPTED), ENCODE_CONNACK_SIZE);
    assert_memory_equal(out, "\x20\x02\x01\x00", 4);
    assert_int_equal(encode_connack(out, false, CONNACK_PROTOCOL_VERSION), ENCODE_CONNACK_SIZE);
    assert_memory_equal(out, "\x20\x02\x00\x01", 4);
    assert_int_equal(encode_ack(out, PACKET_PUBACK, 0x1234), ENCODE_ACK_SIZE);
    assert_memory_equal(out, "\x40\x02\x12\x34", 4);
    assert_int_equal(encode_ack(out, PACKET_PUBREC, 1), ENCODE_ACK_SIZE);
    assert_memory_equal(out, "\x50\x02\x00\x01", 4);
    assert_int_equal(encode_ack(out, PACKET_PUBREL, 0xFFFF), ENCODE_ACK_SIZE);
    assert_memory_equal(out, "\x62\x02\xFF\xFF", 4);
    assert_int_equal(encode_ack(out, PACKET_PUBCOMP, 1), ENCODE_ACK_SIZE);
    assert_memory_equal(out, "\x70\x02\x00\x01", 4);
    assert_int_equal(encode_ack(out, PACKET_UNSUBACK, 1), ENCODE_ACK_SIZE);
    assert_memory_equal(out, "\xB0\x02\x00\x01", 4);
    assert_int_equal(encode_empty(out, PACKET_PINGREQ), ENCODE_EMPTY_SIZE);
    assert_memory_equal(out, "\xC0\x00", 2);
    assert_int_equal(encode_empty(out, PACKET_PINGRESP), ENCODE_EMPTY_SIZE);
    assert_memory_equal(out, "\xD0\x00", 2);
    assert_int_equal(encode_empty(out, PACKET_DISCONNECT), ENCODE_EMPTY_SIZE);
    assert_memory_equal(out, "\xE0\x00", 2);
    assert_int_equal(encode_suback_head(out, 0x0102, 3), 4);
    assert_memory_equal(out, "\x90\x05\x01\x02", 4);
    assert_int_equal(encode_suback_head(out, 1, 126), 5);
    assert_memory_equal(out, "\x90\x80\x01\x00\x01", 5);
}

static void an_empty_string_is_two_zeros(void **state)
{
    uint8_t out[2] = {1, 1};

    (void)state;
    assert_ptr_equal(encode_str(out, str_of(NULL, 0)), out + 2);
    assert_memory_equal(out, "\x00\x00", 2);
}

/* Payload sizes on both sides of each step of the length field, topic of `topic` bytes. */
static void publish_round_trip(size_t topic, size_t payload, enum qos qos, bool retain, bool dup)
{
    char *name = malloc(topic);
    char *body = calloc(1, payload + 1);
    assert_non_null(name);
    assert_non_null(body);
    memset(name, 't', topic);
    struct packet_publish p = {
        .topic = str_of(name, topic),
        .payload = str_of(body, payload),
        .id = qos != QOS_0 ? 0xABCD : 0,
        .qos = qos,
        .retain = retain,
        .dup = dup,
    };
    struct packet_publish q;

    size_t head = encode_publish_head_size(p.topic, payload, qos);
    uint8_t *out = malloc(head + payload);
    assert_non_null(out);
    assert_int_equal(encode_publish_head(out, &p), head);
    memcpy(out + head, body, payload);
    struct frame f = frame_of(out, head + payload);
    assert_int_equal(decode_publish(&f, &q), REASON_OK);
    assert_true(str_eq(p.topic, q.topic) && str_eq(p.payload, q.payload));
    assert_true(p.id == q.id && p.qos == q.qos && p.retain == q.retain && p.dup == q.dup);
    free(out);
    free(body);
    free(name);
}

static void publishes_go_round(void **state)
{
    static const size_t payloads[] = {0,     1,     119,     120,     121,    122,   123,
                                      16376, 16377, 16378,   16379,   16380,  16381, 16382,
                                      16383, 16384, 2097140, 2097147, 2097150};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(payloads); i++) {
        publish_round_trip(3, payloads[i], QOS_0, false, false);
        publish_round_trip(3, payloads[i], QOS_1, true, false);
        publish_round_trip(3, payloads[i], QOS_2, false, true);
    }
    publish_round_trip(65535, 10, QOS_2, true, true);
}

static void a_publish_has_known_bytes(void **state)
{
    struct packet_publish p = {.topic = STR("a/b"), .payload = STR("xy"), .id = 10, .qos = QOS_1};
    uint8_t out[16];

    (void)state;
    assert_int_equal(encode_publish_head(out, &p), 9);
    assert_memory_equal(out,
                        "\x32\x09\x00\x03"
                        "a/b\x00\x0A",
                        9);
}

static void connect_round_trip(const struct packet_connect *p)
{
    struct packet_connect q;
    size_t n = encode_connect_size(p);
    uint8_t *out = malloc(n);

    assert_non_null(out);
    assert_int_equal(encode_connect(out, p), n);
    struct frame f = frame_of(out, n);
    assert_int_equal(decode_connect(&f, &q), REASON_OK);
    assert_true(str_eq(p->client_id, q.client_id) && str_eq(p->will_topic, q.will_topic));
    assert_true(str_eq(p->will_payload, q.will_payload) && str_eq(p->username, q.username));
    assert_true(str_eq(p->password, q.password));
    assert_int_equal(p->keepalive_s, q.keepalive_s);
    assert_int_equal(p->level, q.level);
    assert_int_equal(p->will_qos, q.will_qos);
    assert_true(p->bridge == q.bridge && p->clean_session == q.clean_session &&
                p->has_will == q.has_will && p->will_retain == q.will_retain &&
                p->has_username == q.has_username && p->has_password == q.has_password);
    free(out);
}

/* Every combination of what a CONNECT may hold. */
static void connects_go_round(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 1u << 7; bits++) {
        for (unsigned qos = 0; qos < 3; qos++) {
            struct packet_connect p = {
                .client_id = bits & 1 ? STR("client") : STR(""),
                .keepalive_s = 0x1234,
                .level = bits & 2 ? PROTOCOL_31 : PROTOCOL_311,
                .bridge = bits & 4,
                .clean_session = bits & 8,
                .has_will = bits & 16,
                .has_username = bits & 32,
                .has_password = (bits & 64) && (bits & 32),
            };
            if (p.has_will) {
                p.will_topic = STR("w");
                p.will_payload = STR("bye");
                p.will_qos = (enum qos)qos;
                p.will_retain = qos & 1;
            }
            if (p.has_username)
                p.username = STR("user");
            if (p.has_password)
                p.password = STR("\xFF\x00");
            connect_round_trip(&p);
        }
    }
}

static void filters_go_round(void **state)
{
    static const struct str filters[] = {STR("a"), STR("#"), STR("$share/g/+/x"), STR("a")};
    static const enum qos qos[] = {QOS_0, QOS_2, QOS_1, QOS_2};
    uint8_t out[128];
    struct packet_filters p;
    struct str filter;
    enum qos granted;
    size_t at = 0;

    (void)state;
    size_t n = encode_subscribe(out, 77, filters, qos, ARRAY_SIZE(filters));
    assert_int_equal(n, encode_subscribe_size(filters, ARRAY_SIZE(filters)));
    struct frame f = frame_of(out, n);
    assert_int_equal(decode_subscribe(&f, PROTOCOL_311, &p), REASON_OK);
    assert_int_equal(p.id, 77);
    assert_int_equal(p.count, ARRAY_SIZE(filters));
    for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
        assert_true(decode_filter(&p, &at, &filter, &granted));
        assert_true(str_eq(filter, filters[i]) && granted == qos[i]);
    }

    n = encode_unsubscribe(out, 78, filters, ARRAY_SIZE(filters));
    assert_int_equal(n, encode_unsubscribe_size(filters, ARRAY_SIZE(filters)));
    f = frame_of(out, n);
    assert_int_equal(decode_unsubscribe(&f, PROTOCOL_311, &p), REASON_OK);
    assert_int_equal(p.id, 78);
    at = 0;
    for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
        assert_true(decode_filter(&p, &at, &filter, NULL));
        assert_true(str_eq(filter, filters[i]));
    }
}

static void answers_go_round(void **state)
{
    static const enum packet_type types[] = {PACKET_PUBACK, PACKET_PUBREC, PACKET_PUBREL,
                                             PACKET_PUBCOMP, PACKET_UNSUBACK};
    uint8_t out[16];
    uint16_t id;
    bool session;
    uint8_t code;
    struct str codes;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        struct frame f = frame_of(out, encode_ack(out, types[i], 0xFEDC));
        assert_int_equal(frame_type(&f), types[i]);
        assert_int_equal(decode_ack(&f, PROTOCOL_311, &id), REASON_OK);
        assert_int_equal(id, 0xFEDC);
    }
    struct frame f = frame_of(out, encode_connack(out, true, CONNACK_ACCEPTED));
    assert_int_equal(decode_connack(&f, &session, &code), REASON_OK);
    assert_true(session && code == CONNACK_ACCEPTED);
    size_t n = encode_suback_head(out, 5, 2);
    memcpy(out + n, "\x02\x80", 2);
    f = frame_of(out, n + 2);
    assert_int_equal(decode_suback(&f, &id, &codes), REASON_OK);
    assert_true(id == 5 && str_eq(codes, STR("\x02\x80")));
    f = frame_of(out, encode_empty(out, PACKET_DISCONNECT));
    assert_int_equal(decode_empty(&f), REASON_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(headers_are_minimal),
        UNIT_TEST(small_packets_have_known_bytes),
        UNIT_TEST(an_empty_string_is_two_zeros),
        UNIT_TEST(publishes_go_round),
        UNIT_TEST(a_publish_has_known_bytes),
        UNIT_TEST(connects_go_round),
        UNIT_TEST(filters_go_round),
        UNIT_TEST(answers_go_round),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
