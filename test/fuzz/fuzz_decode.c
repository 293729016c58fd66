/*
 * Any bytes as a stream of packets: nothing is read outside of them, views lie inside of their
 * packet, and what was accepted encodes to something that decodes to the same.
 *
 * The first input byte chooses the protocol version and the packet limit, the rest is the stream.
 */
#include "mqtt/decode.h"
#include "mqtt/encode.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert: this must hold in every build. */
static void must(bool holds)
{
    if (!holds)
        abort();
}

static void must_lie_in(struct str part, struct str whole)
{
    must(part.n == 0 || (part.p >= whole.p && part.p + part.n <= whole.p + whole.n));
}

/* Cut what was encoded into a frame again. */
static struct frame reframe(const uint8_t *p, size_t n)
{
    struct frame f;
    size_t need;

    must(frame_next(str_of((const char *)p, n), PACKET_MAX, &f, &need) == ERR_OK && need == n);
    return f;
}

static void on_connect(const struct frame *f)
{
    struct packet_connect p;
    struct packet_connect q;

    if (decode_connect(f, &p) != REASON_OK)
        return;
    must_lie_in(p.client_id, f->body);
    must_lie_in(p.will_payload, f->body);
    must_lie_in(p.password, f->body);
    must(utf8_valid(p.client_id) && utf8_valid(p.username) && utf8_valid(p.will_topic));
    must(p.level == PROTOCOL_31 || p.level == PROTOCOL_311);
    must(!p.has_password || p.has_username);
    uint8_t *out = malloc(encode_connect_size(&p));
    must(out != NULL);
    struct frame g = reframe(out, encode_connect(out, &p));
    must(decode_connect(&g, &q) == REASON_OK);
    must(str_eq(p.client_id, q.client_id) && str_eq(p.will_topic, q.will_topic));
    must(str_eq(p.will_payload, q.will_payload) && str_eq(p.username, q.username));
    must(str_eq(p.password, q.password) && p.will_qos == q.will_qos && p.level == q.level);
    must(p.keepalive_s == q.keepalive_s && p.clean_session == q.clean_session);
    free(out);
}

static void on_publish(const struct frame *f)
{
    struct packet_publish p;
    struct packet_publish q;

    if (decode_publish(f, &p) != REASON_OK)
        return;
    must_lie_in(p.topic, f->body);
    must_lie_in(p.payload, f->body);
    must(topic_matches(STR("#"), p.topic) == (p.topic.p[0] != '$'));
    must(topic_matches(p.topic, p.topic));
    size_t head = encode_publish_head_size(p.topic, p.payload.n, p.qos);
    uint8_t *out = malloc(head + p.payload.n);
    must(out != NULL);
    must(encode_publish_head(out, &p) == head);
    if (p.payload.n)
        memcpy(out + head, p.payload.p, p.payload.n);
    struct frame g = reframe(out, head + p.payload.n);
    must(g.first == f->first && str_eq(g.body, f->body));
    must(decode_publish(&g, &q) == REASON_OK && str_eq(p.topic, q.topic));
    free(out);
}

static void on_filters(const struct frame *f, uint8_t level)
{
    struct packet_filters p;
    struct str filter;
    enum qos qos = QOS_0;
    size_t at = 0;
    uint32_t n = 0;
    bool with_qos = frame_type(f) == PACKET_SUBSCRIBE;
    enum reason r = with_qos ? decode_subscribe(f, level, &p) : decode_unsubscribe(f, level, &p);

    if (r != REASON_OK)
        return;
    while (decode_filter(&p, &at, &filter, with_qos ? &qos : NULL)) {
        must_lie_in(filter, f->body);
        must(utf8_valid(filter) && topic_check_subscription(filter) == REASON_OK);
        must(qos <= QOS_2);
        n++;
    }
    must(n == p.count && n > 0 && p.id != 0 && at == p.filters.n);
}

static void on_ack(const struct frame *f, uint8_t level)
{
    uint8_t out[ENCODE_ACK_SIZE];
    uint16_t id;

    if (decode_ack(f, level, &id) != REASON_OK)
        return;
    must(id != 0 && encode_ack(out, frame_type(f), id) == ENCODE_ACK_SIZE);
    must(str_eq(reframe(out, ENCODE_ACK_SIZE).body, f->body));
}

static void on_answer(const struct frame *f)
{
    struct str codes;
    bool session;
    uint8_t code;
    uint16_t id;

    if (frame_type(f) == PACKET_CONNACK) {
        if (decode_connack(f, &session, &code) == REASON_OK)
            must(f->body.n == 2 && (code == CONNACK_ACCEPTED || !session));
        return;
    }
    if (decode_suback(f, &id, &codes) == REASON_OK)
        must(id != 0 && codes.n > 0 && codes.n + 2 == f->body.n);
}

static void on_frame(const struct frame *f, uint8_t level)
{
    switch (frame_type(f)) {
    case PACKET_CONNECT:
        on_connect(f);
        break;
    case PACKET_PUBLISH:
        on_publish(f);
        break;
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
        on_filters(f, level);
        break;
    case PACKET_CONNACK:
    case PACKET_SUBACK:
        on_answer(f);
        break;
    case PACKET_PINGREQ:
    case PACKET_PINGRESP:
    case PACKET_DISCONNECT:
        must((decode_empty(f) == REASON_OK) == (f->body.n == 0 && (f->first & 15) == 0));
        break;
    default:
        on_ack(f, level);
    }
}

/* Each packet is looked at in an allocation of its own size, so that a read behind it is seen. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame f;
    size_t need;

    if (size == 0)
        return 0;
    uint8_t level = data[0] & 1 ? PROTOCOL_31 : PROTOCOL_311;
    size_t max = data[0] & 2 ? 1000 : PACKET_MAX;
    struct str in = str_of((const char *)data + 1, size - 1);
    while (frame_next(in, max, &f, &need) == ERR_OK) {
        must(need == f.whole.n && need <= max && need <= in.n && need >= 2);
        char *copy = malloc(need);
        must(copy != NULL);
        memcpy(copy, in.p, need);
        must(frame_next(str_of(copy, need), max, &f, &need) == ERR_OK);
        on_frame(&f, level);
        free(copy);
        in = str_of(in.p + need, in.n - need);
    }
    must(need == 0 || need > in.n || need > max);
    return 0;
}
