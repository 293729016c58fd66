/*
 * Packets onto a cable, right ones and wrong ones. Each whole one is also an operation for the
 * model.
 */
#include "wire.h"

#include "mqtt/encode.h"
#include "mqtt/topic.h"

#include <stdio.h>

static void put_op(struct cable *k, struct op op)
{
    op.end = k->tx_start + k->tx.n;
    k->ops = vec_grow(k->ops, &k->op_cap, k->op_n + 1, sizeof *k->ops);
    k->ops[k->op_n++] = op;
}

/* What a client behind the mount point calls a topic. */
static struct str name_of(const struct sim *s, const struct cable *k, unsigned topic)
{
    struct str name = s->names.topic[topic];

    return k->mounted ? str_of(name.p + s->mount.n, name.n - s->mount.n) : name;
}

/* The same for a filter; `room` is for those that must be put together. */
static struct str filter_of(const struct sim *s, const struct cable *k, unsigned filter,
                            char room[64])
{
    struct str name = s->names.filter[filter];
    struct str group;
    struct str bare;

    if (!k->mounted)
        return name;
    if (!topic_is_shared(name, &group, &bare))
        return str_of(name.p + s->mount.n, name.n - s->mount.n);
    (void)snprintf(room, 64, "$share/%.*s/%.*s", STR_ARG(group), (int)(bare.n - s->mount.n),
                   bare.p + s->mount.n);
    return str_c(room);
}

void wire_connect(struct sim *s, struct cable *k, const struct client *c)
{
    uint8_t will[64];
    char user[16];
    struct packet_connect p = {
        .client_id = str_c(c->id),
        .keepalive_s = k->keepalive_s,
        .level = k->level,
        .clean_session = k->clean,
        .username = guard_user(&s->guard, c->number, user),
    };

    p.has_username = p.username.n > 0;

    if (k->will) {
        const struct letter *l = &s->letters.all[k->will];
        letter_payload(&s->letters, k->will, will);
        p.has_will = true;
        p.will_topic = name_of(s, k, l->topic);
        p.will_payload = str_of((const char *)will, l->size);
        p.will_qos = (enum qos)l->qos;
        p.will_retain = l->retain;
    }
    bytes_added(&k->tx, encode_connect(bytes_room(&k->tx, encode_connect_size(&p)), &p));
    put_op(k, (struct op){.kind = OP_CONNECT});
}

void wire_publish(struct sim *s, struct cable *k, uint32_t letter, uint16_t id, bool dup)
{
    const struct letter *l = &s->letters.all[letter];
    struct packet_publish p = {
        .topic = name_of(s, k, l->topic),
        .payload = {.p = NULL, .n = l->size},
        .id = id,
        .qos = (enum qos)l->qos,
        .retain = l->retain,
        .dup = dup,
    };

    bytes_added(&k->tx, encode_publish_head(bytes_room(&k->tx, 64), &p));
    letter_payload(&s->letters, letter, bytes_room(&k->tx, l->size));
    bytes_added(&k->tx, l->size);
    put_op(k, (struct op){.kind = OP_PUBLISH, .letter = letter, .id = id});
}

void wire_ack(struct cable *k, enum op_kind kind, uint16_t id, uint32_t uid)
{
    static const enum packet_type types[] = {
        [OP_PUBACK] = PACKET_PUBACK,
        [OP_PUBREC] = PACKET_PUBREC,
        [OP_PUBREL] = PACKET_PUBREL,
        [OP_PUBCOMP] = PACKET_PUBCOMP,
    };

    bytes_added(&k->tx, encode_ack(bytes_room(&k->tx, ENCODE_ACK_SIZE), types[kind], id));
    put_op(k, (struct op){.kind = kind, .id = id, .uid = uid});
}

void wire_filters(struct sim *s, struct cable *k, struct op op)
{
    struct str filters[OP_FILTERS];
    enum qos qos[OP_FILTERS];
    char room[OP_FILTERS][64];

    for (uint8_t i = 0; i < op.n; i++) {
        filters[i] = filter_of(s, k, op.filter[i], room[i]);
        qos[i] = (enum qos)op.qos[i];
    }
    if (op.kind == OP_SUBSCRIBE) {
        uint8_t *to = bytes_room(&k->tx, encode_subscribe_size(filters, op.n));
        bytes_added(&k->tx, encode_subscribe(to, op.id, filters, qos, op.n));
    } else {
        uint8_t *to = bytes_room(&k->tx, encode_unsubscribe_size(filters, op.n));
        bytes_added(&k->tx, encode_unsubscribe(to, op.id, filters, op.n));
    }
    put_op(k, op);
}

void wire_empty(struct cable *k, enum op_kind kind)
{
    enum packet_type type = kind == OP_PING ? PACKET_PINGREQ : PACKET_DISCONNECT;

    bytes_added(&k->tx, encode_empty(bytes_room(&k->tx, ENCODE_EMPTY_SIZE), type));
    put_op(k, (struct op){.kind = kind});
}

struct sample {
    const char *bytes;
    size_t n;
    uint8_t code; /* CONNACK before the end */
};
#define SAMPLE(lit)                                                                                \
    {                                                                                              \
        lit, sizeof(lit) - 1, 0                                                                    \
    }
#define REFUSED(lit, connack)                                                                      \
    {                                                                                              \
        lit, sizeof(lit) - 1, connack                                                              \
    }

static const struct sample illegal[] = {
    SAMPLE("\x36\x07\x00\x01"
           "a\x00\x01xy"), /* QoS 3 */
    SAMPLE("\x80\x06\x00\x01\x00\x01"
           "a\x00"),             /* SUBSCRIBE without its flags */
    SAMPLE("\x30\x03\x00\x01+"), /* wildcard in a topic name */
    SAMPLE("\x32\x05\x00\x01"
           "a\x00\x00"),                                     /* packet id 0 */
    SAMPLE("\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01z"), /* a second CONNECT */
    SAMPLE("\x20\x02\x00\x00"),                              /* CONNACK */
    SAMPLE("\x90\x03\x00\x01\x00"),                          /* SUBACK */
    SAMPLE("\xd0\x00"),                                      /* PINGRESP */
    SAMPLE("\x00\x00"),                                      /* type 0 */
    SAMPLE("\xf0\x00"),                                      /* type 15 */
    SAMPLE("\x60\x02\x00\x01"),                              /* PUBREL without its flags */
    SAMPLE("\xe1\x00"),                                      /* DISCONNECT with flags */
    SAMPLE("\xe0\x01\x00"),                                  /* DISCONNECT with a body */
    SAMPLE("\x30\x04\x00\x02\xc3\x28"),                      /* not UTF-8 */
    SAMPLE("\x30\xff\xff\xff\xff\x01"),                      /* length of five bytes */
    SAMPLE("\x82\x02\x00\x01"),                              /* SUBSCRIBE to nothing */
    SAMPLE("\x82\x07\x00\x01\x00\x02"
           "a#\x00"), /* misplaced wildcard */
    SAMPLE("\x82\x06\x00\x01\x00\x01"
           "a\x03"),            /* requested QoS 3 */
    SAMPLE("\x30\x02\x00\x00"), /* empty topic */
    SAMPLE("\xc0\x01\x00"),     /* PINGREQ with a body */
    SAMPLE("\x38\x03\x00\x01"
           "a"), /* DUP at QoS 0 */
    SAMPLE("\x30\x03\x00\x05"
           "a"),                    /* topic longer than the packet */
    SAMPLE("\xa2\x02\x00\x01"),     /* UNSUBSCRIBE from nothing */
    SAMPLE("\x40\x03\x00\x01\x00"), /* PUBACK too long */
};

static const struct sample no_connect[] = {
    REFUSED("\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x01z", 1),  /* level 5 */
    REFUSED("\x10\x0c\x00\x04MQTT\x04\x00\x00\x00\x00\x00", 2),   /* no id, not clean */
    REFUSED("\x10\x0e\x00\x06MQIsdp\x03\x02\x00\x00\x00\x00", 2), /* no id in 3.1 */
    SAMPLE("\x10\x0d\x00\x04MQTX\x04\x02\x00\x00\x00\x01z"),
    SAMPLE("\x10\x0d\x00\x04MQTT\x04\x03\x00\x00\x00\x01z"),  /* reserved flag */
    SAMPLE("\x10\x0e\x00\x04MQTT\x04\x02\x00\x00\x00\x01zz"), /* surplus */
    SAMPLE("\xc0\x00"),
    SAMPLE("\x30\x03\x00\x01"
           "a"),
    SAMPLE("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), /* TLS */
    SAMPLE("\x10\xff\xff\xff\x7f"),
};

static void put_sample(struct sim *s, struct cable *k, const struct sample *from, size_t n,
                       enum op_kind kind)
{
    const struct sample *x = &from[rng_below(&s->rng, (uint32_t)n)];

    bytes_add(&k->tx, x->bytes, x->n);
    put_op(k, (struct op){.kind = kind, .code = x->code, .start = k->tx_start + k->tx.n - x->n});
}

void wire_illegal(struct sim *s, struct cable *k)
{
    put_sample(s, k, illegal, ARRAY_SIZE(illegal), OP_ILLEGAL);
}

void wire_no_connect(struct sim *s, struct cable *k)
{
    put_sample(s, k, no_connect, ARRAY_SIZE(no_connect), OP_REFUSED);
}

void wire_part(struct cable *k)
{
    bytes_add(&k->tx,
              "\x32\x20\x00\x03"
              "a/b\x00",
              8);
}
