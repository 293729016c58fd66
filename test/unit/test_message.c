/*
 * Messages and publications: counting, the wire forms, when the packet that came in is used as it
 * is.
 */
#include "mqtt/message.h"

#include "mqtt/decode.h"
#include "mqtt/encode.h"
#include "unit.h"

#include <stdlib.h>

static struct publication_scratch scratch;

/* An incoming packet and its view. */
struct incoming {
    uint8_t bytes[4096];
    struct frame frame;
    struct packet_publish p;
};

static void incoming_make(struct incoming *in, struct str topic, struct str payload, enum qos qos)
{
    struct packet_publish p = {
        .topic = topic, .payload = payload, .qos = qos, .id = qos != QOS_0 ? 7 : 0, .retain = true};
    size_t need;

    size_t n = encode_publish_head(in->bytes, &p);
    memcpy(in->bytes + n, payload.p, payload.n);
    assert_ok(frame_next(str_of((char *)in->bytes, n + payload.n), PACKET_MAX, &in->frame, &need));
    assert_int_equal(decode_publish(&in->frame, &in->p), REASON_OK);
}

/* Does the wire form, copied and patched, decode to this publication? */
static void check_wire(struct publication *pub, enum qos qos, bool retain, bool dup, uint16_t id)
{
    struct packet_publish q;
    struct frame f;
    size_t need;
    struct str wire = publication_wire(pub, qos != QOS_0);
    uint8_t *copy = malloc(wire.n);

    assert_non_null(copy);
    assert_int_equal(wire.n, publication_size(pub, qos));
    memcpy(copy, wire.p, wire.n);
    publication_patch(copy, pub, qos, retain, dup, id);
    assert_ok(frame_next(str_of((char *)copy, wire.n), PACKET_MAX, &f, &need));
    assert_int_equal(need, wire.n);
    assert_int_equal(decode_publish(&f, &q), REASON_OK);
    assert_true(str_eq(q.topic, pub->topic) && str_eq(q.payload, pub->payload));
    assert_true(q.qos == qos && q.retain == retain && q.dup == dup);
    assert_int_equal(q.id, qos != QOS_0 ? id : 0);
    free(copy);
}

static void check_all_wires(struct publication *pub)
{
    check_wire(pub, QOS_0, false, false, 0);
    check_wire(pub, QOS_0, true, false, 0);
    check_wire(pub, QOS_1, false, false, 1);
    check_wire(pub, QOS_1, true, true, 0xFFFF);
    check_wire(pub, QOS_2, false, true, 0x1234);
    check_wire(pub, QOS_2, true, false, 2);
}

static void a_message_holds_its_bytes(void **state)
{
    (void)state;
    struct message *m = message_new(STR("a/b"), STR("payload"), QOS_2);
    assert_non_null(m);
    assert_true(str_eq(message_topic(m), STR("a/b")));
    assert_true(str_eq(message_payload(m), STR("payload")));
    assert_int_equal(m->qos, QOS_2);
    assert_null(m->blob.keeper);
    assert_int_equal(m->flags, 0);
    assert_ptr_equal(message_ref(m), m);
    assert_int_equal(m->blob.refs, 2);
    message_unref(m);
    assert_true(str_eq(message_payload(m), STR("payload")));
    message_unref(m);
    message_unref(NULL);
}

static void a_message_may_be_empty(void **state)
{
    (void)state;
    struct message *m = message_new(STR("t"), str_of(NULL, 0), QOS_0);
    assert_non_null(m);
    assert_int_equal(message_payload(m).n, 0);
    message_unref(m);
    m = message_new(str_of(NULL, 0), str_of(NULL, 0), QOS_0);
    assert_non_null(m);
    assert_int_equal(message_topic(m).n, 0);
    message_unref(m);
}

static void without_memory_nothing_is_kept(void **state)
{
    struct packet_publish p = {.topic = STR("t"), .payload = STR("p"), .qos = QOS_1};
    struct publication pub;

    (void)state;
    unit_needs_tracking();
    publication_init(&pub, &p, str_of(NULL, 0), &scratch);
    mem_fail_after(0, 1);
    assert_null(message_new(STR("t"), STR("p"), QOS_0));
    assert_err(publication_keep(&pub), ERR_NOMEM);
    mem_fail_never();
    assert_null(pub.message);
    assert_ok(publication_keep(&pub));
    struct message *m = pub.message;
    assert_non_null(m);
    assert_true(str_eq(message_topic(m), STR("t")) && m->qos == QOS_1);
    assert_ok(publication_keep(&pub)); /* once only */
    assert_ptr_equal(pub.message, m);
    message_ref(m);
    publication_clear(&pub);
    assert_int_equal(m->blob.refs, 1);
    message_unref(m);
}

static void the_wire_fits_every_receiver(void **state)
{
    static char payload[PUBLICATION_COPY_MAX];
    static const size_t sizes[] = {0, 1, 100, 119, 120, 121, 122, 123, 124, 1400};
    struct incoming in;
    struct publication pub;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        for (int qos = QOS_0; qos <= QOS_2; qos++) {
            incoming_make(&in, STR("a/b"), str_of(payload, sizes[i]), (enum qos)qos);
            publication_init(&pub, &in.p, in.frame.whole, &scratch);
            assert_true(pub.retain && pub.qos == (enum qos)qos);
            check_all_wires(&pub);
            publication_clear(&pub);
            publication_init(&pub, &in.p, str_of(NULL, 0), &scratch);
            check_all_wires(&pub);
            publication_clear(&pub);
        }
    }
}

static void the_packet_that_came_in_is_used(void **state)
{
    struct incoming in;
    struct publication pub;

    (void)state;
    incoming_make(&in, STR("a/b"), STR("xyz"), QOS_0);
    publication_init(&pub, &in.p, in.frame.whole, &scratch);
    assert_ptr_equal(publication_wire(&pub, false).p, in.frame.whole.p);
    assert_ptr_equal(publication_wire(&pub, true).p, scratch.bytes[1]);
    assert_ptr_equal(publication_wire(&pub, true).p, scratch.bytes[1]);
    publication_clear(&pub);
    incoming_make(&in, STR("a/b"), STR("xyz"), QOS_2);
    publication_init(&pub, &in.p, in.frame.whole, &scratch);
    assert_ptr_equal(publication_wire(&pub, true).p, in.frame.whole.p);
    assert_ptr_equal(publication_wire(&pub, false).p, scratch.bytes[0]);
    publication_clear(&pub);
}

/* A padded length field would shift the id and make the packet longer than was asked for. */
static void a_padded_packet_is_encoded_anew(void **state)
{
    static const uint8_t padded[] = "\x32\x86\x80\x00\x00\x01t\x00\x07p";
    struct frame f;
    struct packet_publish p;
    struct publication pub;
    size_t need;

    (void)state;
    assert_ok(frame_next(str_of((const char *)padded, 10), PACKET_MAX, &f, &need));
    assert_int_equal(decode_publish(&f, &p), REASON_OK);
    publication_init(&pub, &p, f.whole, &scratch);
    assert_ptr_equal(publication_wire(&pub, true).p, scratch.bytes[1]);
    check_all_wires(&pub);
    publication_clear(&pub);
}

/* The topic was mapped to another of the same length: the frame is of no use. */
static void another_topic_is_encoded_anew(void **state)
{
    struct incoming in;
    struct publication pub;

    (void)state;
    incoming_make(&in, STR("a/b"), STR("xyz"), QOS_1);
    in.p.topic = STR("c/d");
    publication_init(&pub, &in.p, in.frame.whole, &scratch);
    check_all_wires(&pub);
    publication_clear(&pub);
}

/* A payload cut short: neither. */
static void another_payload_is_encoded_anew(void **state)
{
    struct incoming in;
    struct publication pub;

    (void)state;
    incoming_make(&in, STR("a/b"), STR("xyz"), QOS_1);
    in.p.payload.n--;
    publication_init(&pub, &in.p, in.frame.whole, &scratch);
    check_all_wires(&pub);
    publication_clear(&pub);
}

static void small_is_what_fits_the_scratch(void **state)
{
    static char payload[PUBLICATION_COPY_MAX];
    struct packet_publish p = {.topic = STR("t"), .qos = QOS_2};
    struct publication pub;

    (void)state;
    p.payload = str_of(payload, PUBLICATION_COPY_MAX - 3 - 3 - 2);
    publication_init(&pub, &p, str_of(NULL, 0), &scratch);
    assert_int_equal(publication_size(&pub, QOS_1), PUBLICATION_COPY_MAX);
    assert_true(publication_is_small(&pub, QOS_1));
    check_all_wires(&pub);
    publication_clear(&pub);
    p.payload.n++;
    publication_init(&pub, &p, str_of(NULL, 0), &scratch);
    assert_false(publication_is_small(&pub, QOS_2));
    assert_true(publication_is_small(&pub, QOS_0));
    check_wire(&pub, QOS_0, true, false, 0);
    publication_clear(&pub);
}

static void a_kept_message_is_published_again(void **state)
{
    struct publication pub;

    (void)state;
    struct message *m = message_new(STR("a"), STR("b"), QOS_1);
    assert_non_null(m);
    publication_init_message(&pub, m, &scratch);
    assert_int_equal(m->blob.refs, 2);
    assert_int_equal(pub.qos, QOS_1);
    check_all_wires(&pub);
    assert_ok(publication_keep(&pub));
    assert_ptr_equal(pub.message, m);
    publication_clear(&pub);
    assert_int_equal(m->blob.refs, 1);
    message_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(a_message_holds_its_bytes),       UNIT_TEST(a_message_may_be_empty),
        UNIT_TEST(without_memory_nothing_is_kept),  UNIT_TEST(the_wire_fits_every_receiver),
        UNIT_TEST(the_packet_that_came_in_is_used), UNIT_TEST(a_padded_packet_is_encoded_anew),
        UNIT_TEST(another_topic_is_encoded_anew),   UNIT_TEST(another_payload_is_encoded_anew),
        UNIT_TEST(small_is_what_fits_the_scratch),  UNIT_TEST(a_kept_message_is_published_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
