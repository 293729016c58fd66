/*
 * Application messages, kept and passing.
 *
 * A publication encodes itself at most twice, without and with a packet id; what differs between
 * receivers (QoS, DUP, RETAIN, the id) is patched in each copy. The packet as it came in is one of
 * the two forms already, if it is encoded as we would do it.
 */
#include "mqtt/message.h"

#include "mqtt/encode.h"

#include <assert.h>

struct message *message_new(struct str topic, struct str payload, enum qos qos)
{
    assert(topic.n <= UINT16_MAX);
    if (payload.n > PACKET_MAX)
        return NULL;
    size_t size = offsetof(struct message, data) + topic.n + payload.n;
    struct blob *blob = blob_new(size);
    if (!blob)
        return NULL;
    struct message *m = CONTAINER_OF(blob, struct message, blob);
    m->payload_len = (uint32_t)payload.n;
    m->topic_len = (uint16_t)topic.n;
    m->qos = (uint8_t)qos;
    m->flags = 0;
    if (topic.n)
        memcpy(m->data, topic.p, topic.n);
    if (payload.n)
        memcpy(m->data + topic.n, payload.p, payload.n);
    return m;
}

void message_unref(struct message *m)
{
    if (m)
        blob_unref(&m->blob);
}

/*
 * Is `frame` what we would encode ourselves? Its length field may be longer than need be, or the
 * topic another than that in it: then offsets and sizes would not fit.
 */
static bool frame_is_wire(const struct publication *pub, struct str frame)
{
    size_t size = publication_size(pub, pub->qos);
    size_t topic_at = encode_publish_head_size(pub->topic, pub->payload.n, pub->qos) -
                      pub->topic.n - (pub->qos != QOS_0 ? 2 : 0);

    return frame.n == size && size <= PUBLICATION_COPY_MAX && pub->topic.p == frame.p + topic_at;
}

void publication_init(struct publication *pub, const struct packet_publish *p, struct str frame,
                      struct publication_scratch *scratch)
{
    *pub = (struct publication){
        .topic = p->topic,
        .payload = p->payload,
        .qos = p->qos,
        .retain = p->retain,
        .scratch = scratch,
    };
    if (frame.n && frame_is_wire(pub, frame))
        pub->wire[p->qos != QOS_0] = frame;
}

void publication_init_message(struct publication *pub, struct message *m,
                              struct publication_scratch *scratch)
{
    *pub = (struct publication){
        .topic = message_topic(m),
        .payload = message_payload(m),
        .qos = (enum qos)m->qos,
        .message = message_ref(m),
        .scratch = scratch,
    };
}

void publication_clear(struct publication *pub)
{
    message_unref(pub->message);
    *pub = (struct publication){0};
}

enum err publication_keep(struct publication *pub)
{
    if (!pub->message)
        pub->message = message_new(pub->topic, pub->payload, pub->qos);
    return pub->message ? ERR_OK : ERR_NOMEM;
}

/* 3.3 */
size_t publication_size(const struct publication *pub, enum qos qos)
{
    return encode_publish_head_size(pub->topic, pub->payload.n, qos) + pub->payload.n;
}

/* 3.3 */
struct str publication_wire(struct publication *pub, bool with_id)
{
    struct str *wire = &pub->wire[with_id];

    if (LIKELY(wire->p))
        return *wire;
    struct packet_publish p = {
        .topic = pub->topic,
        .payload = pub->payload,
        .qos = with_id ? QOS_1 : QOS_0,
    };
    assert(publication_is_small(pub, p.qos));
    uint8_t *out = pub->scratch->bytes[with_id];
    size_t n = encode_publish_head(out, &p);
    if (pub->payload.n)
        memcpy(out + n, pub->payload.p, pub->payload.n);
    *wire = str_of((const char *)out, n + pub->payload.n);
    return *wire;
}

/* 3.3.1, 3.3.2.2 */
void publication_patch(uint8_t *out, const struct publication *pub, enum qos qos, bool retain,
                       bool dup, uint16_t id)
{
    unsigned flags = (unsigned)qos << 1;

    flags |= dup ? PUBLISH_DUP : 0u;
    flags |= retain ? PUBLISH_RETAIN : 0u;
    out[0] = (uint8_t)((unsigned)PACKET_PUBLISH << 4 | flags);
    if (qos != QOS_0)
        encode_u16(out + encode_publish_head_size(pub->topic, pub->payload.n, qos) - 2, id);
}
