/*
 * Application messages, kept and passing.
 *
 * A publication encodes itself at most twice, without and with a packet id; what differs between
 * receivers (QoS, DUP, RETAIN, the id) is patched in each copy. The packet as it came in is one of
 * the two forms already, if it is encoded as we would do it.
 */
#include "mqtt/message.h"

#include <assert.h>

struct message *message_new(struct str topic, struct str payload, enum qos qos)
{
    return message_new_in(NULL, topic, payload, qos);
}

struct message *message_new_in(struct slabs *pool, struct str topic, struct str payload,
                               enum qos qos)
{
    assert(topic.n <= UINT16_MAX);
    if (payload.n > PACKET_MAX)
        return NULL;
    size_t size = offsetof(struct message, data) + topic.n + payload.n;
    struct blob *blob = blob_new_in(pool, size);
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

/*
 * Is `frame` what we would encode ourselves? Its length field may be longer than need be, or the
 * topic another than that in it: then offsets and sizes would not fit.
 */
static bool frame_is_wire(const struct publication *pub, struct str frame)
{
    size_t behind_topic = pub->payload.n + (pub->qos != QOS_0 ? 2 : 0);
    size_t size = publication_size(pub, pub->qos);

    return frame.n == size && size <= PUBLICATION_COPY_MAX &&
           pub->topic.p + pub->topic.n + behind_topic == frame.p + size;
}

/* 3.3 */
static void set_sizes(struct publication *pub)
{
    size_t n = pub->payload.n;

    pub->size[0] = (uint32_t)(encode_publish_head_size(pub->topic, n, QOS_0) + n);
    pub->size[1] = (uint32_t)(encode_publish_head_size(pub->topic, n, QOS_1) + n);
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
    set_sizes(pub);
    if (frame.n && frame_is_wire(pub, frame))
        pub->wire[p->qos != QOS_0] = frame.p;
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
    set_sizes(pub);
}

enum err publication_keep(struct publication *pub)
{
    if (!pub->message)
        pub->message = message_new_in(pub->scratch->pool, pub->topic, pub->payload, pub->qos);
    return pub->message ? ERR_OK : ERR_NOMEM;
}

/* 3.3 */
void publication_encode(struct publication *pub, bool with_id)
{
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
    pub->wire[with_id] = (const char *)out;
}
