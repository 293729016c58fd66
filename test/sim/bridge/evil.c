/*
 * A remote that is no broker: it says anything, some of it in the form of packets, and remembers
 * just enough of what a bridge has said to be believed now and then.
 */
#include "mqtt/encode.h"
#include "world.h"

#include <stdlib.h>

enum manner {
    MANNER_ACCEPTS, /* says CONNACK first, and then anything */
    MANNER_REFUSES, /* CONNACK with some code */
    MANNER_EARLY,   /* anything, before and instead of CONNACK */
    MANNER_SILENT,
    MANNERS
};

struct evil {
    enum manner manner;
    bool greeted;
    struct bytes heard;
    uint16_t id; /* of the last PUBLISH, SUBSCRIBE … that came */
    uint8_t type;
    unsigned wrong; /* of 1000 packets: a byte of it is changed */
};

struct evil *evil_new(struct world *w)
{
    struct evil *e = calloc(1, sizeof *e);

    if (!e)
        exit(2);
    e->manner = (enum manner)(chance(w, 600) ? MANNER_ACCEPTS : rng_below(&w->rng, MANNERS));
    e->wrong = chance(w, 500) ? 0 : 100;
    return e;
}

void evil_free(struct evil *e)
{
    if (e)
        bytes_clear(&e->heard);
    free(e);
}

void evil_hear(struct evil *e, const void *p, size_t n)
{
    struct frame f;
    size_t need;

    bytes_add(&e->heard, p, n);
    while (e->heard.n && frame_next(str_of((const char *)e->heard.p, e->heard.n), PACKET_MAX, &f,
                                    &need) == ERR_OK) {
        size_t at = 0;
        if (frame_type(&f) == PACKET_PUBLISH && f.body.n > 2)
            at = 2 + (size_t)((uint8_t)f.body.p[0] << 8 | (uint8_t)f.body.p[1]);
        if (f.body.n >= at + 2)
            e->id = (uint16_t)((uint8_t)f.body.p[at] << 8 | (uint8_t)f.body.p[at + 1]);
        e->type = (uint8_t)frame_type(&f);
        bytes_drop(&e->heard, f.whole.n);
    }
}

static uint16_t some_id(struct world *w, const struct evil *e)
{
    return chance(w, 500) ? e->id : (uint16_t)rng_below(&w->rng, chance(w, 100) ? 65536 : 6);
}

static void add_publish(struct world *w, struct bytes *to, const struct evil *e)
{
    static const char *const names[] = {
        "a/h",
        "r/a/h",
        "y/h/b",
        "two/far",
        "unknown/x",
        "",
        "a/+",
        "#",
        "$SYS/broker/peer/00000000000000000000000000000000",
        "$SYS/broker/connection/b0/state",
        "$x/y",
        "far/c/h",
    };
    char payload[300];
    struct packet_publish p = {.topic = str_c(names[rng_below(&w->rng, ARRAY_SIZE(names))]),
                               .qos = (enum qos)rng_below(&w->rng, 3),
                               .retain = chance(w, 200),
                               .dup = chance(w, 200)};

    p.id = p.qos ? some_id(w, e) : 0;
    p.dup = p.dup && p.qos;
    memset(payload, 'h', sizeof payload);
    p.payload = str_of(payload, rng_below(&w->rng, sizeof payload));
    size_t n = encode_publish_head_size(p.topic, p.payload.n, p.qos);
    bytes_added(to, encode_publish_head(bytes_room(to, n), &p));
    bytes_add(to, payload, p.payload.n);
}

static void add_suback(struct world *w, struct bytes *to, const struct evil *e)
{
    static const uint8_t codes[] = {0, 1, 2, 0x80, 0x80, 3};
    size_t n = rng_below(&w->rng, 4);
    uint8_t *p = bytes_room(to, FIXED_HEADER_MAX + 2 + n);
    size_t at = encode_suback_head(p, some_id(w, e), n);

    for (size_t i = 0; i < n; i++)
        p[at++] = codes[rng_below(&w->rng, ARRAY_SIZE(codes))];
    bytes_added(to, at);
}

/* A packet of any type, with a length that may not be true. */
static void add_any(struct world *w, struct bytes *to)
{
    static const uint8_t lengths[][5] = {
        {0xff, 0xff, 0xff, 0x7f}, {0xff, 0xff, 0xff, 0xff, 1}, {0x80, 0x80, 0x80, 0x01}, {0}, {5}};
    uint8_t p[40];
    size_t n = 1;

    p[0] = (uint8_t)rng_below(&w->rng, 256);
    const uint8_t *length = lengths[rng_below(&w->rng, ARRAY_SIZE(lengths))];
    for (size_t i = 0; i < 5 && (i == 0 || length[i - 1] & 0x80); i++)
        p[n++] = length[i];
    for (unsigned i = rng_below(&w->rng, 20); i > 0; i--)
        p[n++] = (uint8_t)rng_below(&w->rng, 256);
    bytes_add(to, p, n);
}

static void add_ack(struct world *w, struct bytes *to, const struct evil *e)
{
    static const enum packet_type types[] = {PACKET_PUBACK, PACKET_PUBREC, PACKET_PUBREL,
                                             PACKET_PUBCOMP, PACKET_UNSUBACK};
    enum packet_type type = types[rng_below(&w->rng, ARRAY_SIZE(types))];

    bytes_added(to, encode_ack(bytes_room(to, ENCODE_ACK_SIZE), type, some_id(w, e)));
}

/* What a broker would answer. */
static void add_answer(struct world *w, struct bytes *to, const struct evil *e)
{
    if (e->type == PACKET_SUBSCRIBE)
        add_suback(w, to, e);
    else if (e->type == PACKET_PUBLISH || e->type == PACKET_UNSUBSCRIBE)
        add_ack(w, to, e);
    else
        bytes_added(to, encode_empty(bytes_room(to, ENCODE_EMPTY_SIZE), PACKET_PINGRESP));
}

static void add_connack(struct world *w, struct bytes *to, bool good)
{
    bool present = chance(w, 500);
    enum connack code = good ? CONNACK_ACCEPTED : (enum connack)rng_below(&w->rng, 8);

    bytes_added(to, encode_connack(bytes_room(to, ENCODE_CONNACK_SIZE), present, code));
}

static void add_packet(struct world *w, struct bytes *to, const struct evil *e)
{
    switch (rng_below(&w->rng, 8)) {
    case 0:
    case 1:
        add_publish(w, to, e);
        break;
    case 2:
        add_ack(w, to, e);
        break;
    case 3:
        add_suback(w, to, e);
        break;
    case 4:
        if (chance(w, 100))
            add_connack(w, to, false);
        break;
    case 5:
        if (chance(w, 100))
            add_any(w, to);
        break;
    default:
        add_answer(w, to, e);
    }
}

void evil_act(struct world *w, struct wire *l)
{
    struct evil *e = l->evil;
    uint32_t from = l->in.n;

    if (l->gone || e->manner == MANNER_SILENT || l->in.n > 100000)
        return;
    if (!e->greeted && e->manner != MANNER_EARLY) {
        if (e->type != PACKET_CONNECT || !chance(w, 300))
            return;
        e->greeted = true;
        add_connack(w, &l->in, e->manner == MANNER_ACCEPTS);
        return;
    }
    for (unsigned i = rng_below(&w->rng, 4); i > 0; i--)
        add_packet(w, &l->in, e);
    if (l->in.n > from && chance(w, e->wrong))
        l->in.p[from + rng_below(&w->rng, l->in.n - from)] ^=
            (uint8_t)(1 + rng_below(&w->rng, 255));
    if (chance(w, 10))
        l->gone = true;
}
