/*
 * Application messages: counted and immutable when kept, views while they only pass through.
 *
 * A publication lives on the stack of one dispatch. It becomes a message, with one allocation and
 * one copy of topic and payload, when somebody must keep it: a queue, the retained tree, a large
 * payload in an output queue.
 */
#ifndef MQTT_MESSAGE_H
#define MQTT_MESSAGE_H

#include "base/blob.h"
#include "base/err.h"
#include "mqtt/encode.h"
#include "mqtt/packet.h"

struct message {
    struct blob blob; /* first: a message may be sliced into output queues */
    uint32_t payload_len;
    uint16_t topic_len;
    uint8_t qos;   /* as published */
    uint8_t flags; /* the core's */
    char data[];   /* topic, then payload */
};

/* NULL without memory; one reference. topic.n <= 65535. */
MUST_CHECK struct message *message_new(struct str topic, struct str payload, enum qos qos);
/* The same from a pool that outlives it; NULL: by itself. */
MUST_CHECK struct message *message_new_in(struct slabs *pool, struct str topic, struct str payload,
                                          enum qos qos);
static inline struct message *message_ref(struct message *m)
{
    blob_ref(&m->blob);
    return m;
}
/* NULL is allowed. */
static inline void message_unref(struct message *m)
{
    if (m)
        blob_unref(&m->blob);
}
static inline struct str message_topic(const struct message *m)
{
    return str_of(m->data, m->topic_len);
}
static inline struct str message_payload(const struct message *m)
{
    return str_of(m->data + m->topic_len, m->payload_len);
}

/*
 * PUBLISH packets of at most this many bytes in all are encoded once and copied into each output
 * queue; larger ones are sent as a copied head and a slice of the kept message (the two meet near 1
 * KiB, see the measurements in src/README.md).
 */
#define PUBLICATION_COPY_MAX 1536

/* Room for the encoded forms of one publication; the broker has one of these and lends it to each.
 */
struct publication_scratch {
    uint8_t bytes[2][PUBLICATION_COPY_MAX];
    struct slabs *pool; /* for publications that are kept; NULL: each by itself */
};

struct publication {
    struct str topic;
    struct str payload;
    enum qos qos; /* as published: the most that any receiver gets */
    bool retain;
    struct message *message; /* when kept; holds one reference */
    /* Of the packet without and with a packet id: */
    uint32_t size[2];    /* bytes in all: known once, not summed up for each receiver */
    const char *wire[2]; /* encoded; NULL until asked for */
    struct publication_scratch *scratch;
};

/*
 * A view of what is to be sent. `frame` may be the packet as it came in when topic and payload are
 * unchanged in it (it then is the wire form for its own kind, with its first byte and id to be
 * replaced), or empty. The slices must outlive it.
 */
void publication_init(struct publication *pub, const struct packet_publish *p, struct str frame,
                      struct publication_scratch *scratch);
/* A view of a kept message; takes a reference of its own. */
void publication_init_message(struct publication *pub, struct message *m,
                              struct publication_scratch *scratch);
/* Give back what it holds. */
static inline void publication_clear(struct publication *pub)
{
    message_unref(pub->message);
    pub->message = NULL;
}
/* Make the message if it is not there yet. ERR_NOMEM changes nothing. */
MUST_CHECK enum err publication_keep(struct publication *pub);
/* Bytes of the whole packet at this QoS. */
static inline size_t publication_size(const struct publication *pub, enum qos qos)
{
    return pub->size[qos != QOS_0];
}
static inline bool publication_is_small(const struct publication *pub, enum qos qos)
{
    return publication_size(pub, qos) <= PUBLICATION_COPY_MAX;
}
void publication_encode(struct publication *pub, bool with_id); /* publication_wire's alone */
/*
 * The packet's bytes for QoS 0 (with_id false) or QoS 1 and 2 (true), for a small publication. Copy
 * them, then set first byte and id with publication_patch. Valid until publication_clear or the
 * next use of the scratch.
 */
static inline struct str publication_wire(struct publication *pub, bool with_id)
{
    if (UNLIKELY(!pub->wire[with_id]))
        publication_encode(pub, with_id);
    return str_of(pub->wire[with_id], pub->size[with_id]);
}
/* `out` holds a copy of publication_wire: set its first byte (QoS, DUP, RETAIN) and, if qos > 0,
 * its id. */
static inline void publication_patch(uint8_t *out, const struct publication *pub, enum qos qos,
                                     bool retain, bool dup, uint16_t id)
{
    out[0] = encode_publish_first(qos, retain, dup);
    if (qos != QOS_0)
        (void)encode_u16(out + pub->size[1] - pub->payload.n - 2, id);
}

#endif
