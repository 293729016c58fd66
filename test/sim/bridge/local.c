/*
 * The clients of a world: publishers that send a letter again until it is acknowledged, subscribers
 * to everything, and readers who come to see what is retained.
 */
#include "world.h"

#include "mqtt/decode.h"
#include "mqtt/encode.h"

#include <stdio.h>
#include <stdlib.h>

void local_init(struct world *w, unsigned number)
{
    struct local *c = &w->locals[number];
    unsigned each = PUBLISHERS + SUBSCRIBERS + 1;

    *c = (struct local){.number = number, .node = number / each};
    c->kind = number % each < PUBLISHERS ? PUBLISHER
              : number % each < each - 1 ? SUBSCRIBER
                                         : READER;
    c->qos = number % each == PUBLISHERS ? 2 : (uint8_t)rng_below(&w->rng, 3);
    (void)snprintf(c->id, sizeof c->id, "c%u", number);
}

void local_lost(struct local *c)
{
    c->link = NULL;
    c->state = LOCAL_OFF;
    c->rx.n = 0;
}

void locals_forget(struct world *w, unsigned node)
{
    for (struct local *c = w->locals; c < w->locals + LOCALS; c++) {
        if (c->node == node) {
            memset(c->in, 0, sizeof c->in);
            c->subscribed = false;
        }
    }
}

bool local_quiet(const struct local *c)
{
    if (c->kind == READER && !c->wanted)
        return c->rx.n == 0;
    return c->state == LOCAL_UP && c->out_n == 0 && c->rx.n == 0 &&
           (c->kind == PUBLISHER || c->subscribed);
}

/* --- sending --- */

static void send_connect(struct local *c)
{
    struct packet_connect p = {
        .client_id = str_c(c->id), .level = PROTOCOL_311, .clean_session = c->kind == READER};
    size_t n = encode_connect_size(&p);

    bytes_added(&c->link->in, encode_connect(bytes_room(&c->link->in, n), &p));
}

static void send_ack(struct local *c, enum packet_type type, uint16_t id)
{
    struct bytes *to = &c->link->in;

    bytes_added(to, encode_ack(bytes_room(to, ENCODE_ACK_SIZE), type, id));
}

static void send_subscribe(struct local *c)
{
    const struct str filters[] = {STR("#"), STR("$SYS/broker/connection/#")};
    enum qos qos[] = {(enum qos)c->qos, QOS_1};
    unsigned n = c->kind == READER ? 2 : 1;
    size_t size = encode_subscribe_size(filters, n);
    struct bytes *to = &c->link->in;

    bytes_added(to, encode_subscribe(bytes_room(to, size), 1, filters, qos, n));
}

/* A letter's text is its number, and then something that makes it long; one that clears is empty.
 */
static void send_publish(struct world *w, struct local *c, const struct outgoing *o, bool dup)
{
    char room[NAME_MAX_BYTES];
    char text[4096];
    unsigned length = (o->letter * 2654435761u) % 100 == 7 ? 3000 : 12 + o->letter % 60;
    struct packet_publish p = {.topic = str_c(topic_name(w, c->node, o->topic, room)),
                               .id = o->id,
                               .qos = (enum qos)o->qos,
                               .dup = dup,
                               .retain = o->topic >= TOPICS_PLAIN};
    int n = o->letter ? snprintf(text, sizeof text, "%u %*s", o->letter, (int)length, ".") : 0;
    struct bytes *to = &c->link->in;
    size_t head = encode_publish_head_size(p.topic, (size_t)n, p.qos);

    p.payload = str_of(text, (size_t)n);
    bytes_added(to, encode_publish_head(bytes_room(to, head), &p));
    bytes_add(to, text, (size_t)n);
}

static uint16_t free_id(struct local *c)
{
    for (;;) {
        bool used = ++c->last_id == 0;
        for (uint32_t i = 0; i < c->out_n; i++)
            used |= c->out[i].id == c->last_id;
        if (!used)
            return c->last_id;
    }
}

static uint32_t letter_new(struct world *w, const struct local *c, unsigned topic)
{
    w->letters = vec_grow(w->letters, &w->letter_cap, w->letter_n + 1, sizeof *w->letters);
    struct letter *l = &w->letters[w->letter_n];
    *l = (struct letter){.node = (uint8_t)c->node,
                         .topic = (uint8_t)topic,
                         .qos = w->topic_qos[c->node][topic],
                         .retain = topic >= TOPICS_PLAIN,
                         .seq = ++w->next_seq,
                         .round = w->round};
    model_spread(w, l);
    w->totals->letters++;
    return w->letter_n++;
}

/* Of each topic there is one publisher, and one QoS: so what is sent again is in order. */
static void publish(struct world *w, struct local *c)
{
    unsigned topic = rng_below(&w->rng, TOPICS);
    struct outgoing o = {.topic = (uint8_t)topic, .qos = w->topic_qos[c->node][topic]};

    if (c->out_n == OUT_MAX || topic % PUBLISHERS != c->number % (PUBLISHERS + SUBSCRIBERS + 1))
        return;
    if (topic < TOPICS_PLAIN || !chance(w, 300))
        o.letter = letter_new(w, c, topic);
    if (topic >= TOPICS_PLAIN)
        w->retained[c->node][topic] = o.letter;
    o.id = o.qos ? free_id(c) : 0;
    if (o.qos)
        c->out[c->out_n++] = o;
    send_publish(w, c, &o, false);
}

/* --- receiving --- */

static void again(struct world *w, struct local *c)
{
    for (uint32_t i = 0; i < c->out_n; i++) {
        if (c->out[i].released)
            send_ack(c, PACKET_PUBREL, c->out[i].id);
        else
            send_publish(w, c, &c->out[i], true);
    }
}

static void on_connack(struct world *w, struct local *c, const struct frame *f)
{
    bool present;
    uint8_t code;

    enum reason why = decode_connack(f, &present, &code);
    if (!why && code && w->starved)
        return; /* the end follows */
    if (why || code)
        world_fail(w, "client %s: CONNACK %u", c->id, code);
    c->state = LOCAL_UP;
    if (!present) {
        memset(c->in, 0, sizeof c->in);
        c->subscribed = false;
    }
    if (c->kind == PUBLISHER)
        again(w, c);
    else if (!c->subscribed)
        send_subscribe(c);
}

static void on_publish(struct world *w, struct local *c, const struct frame *f)
{
    struct packet_publish p;
    bool known = false;

    if (decode_publish(f, &p) != REASON_OK)
        world_fail(w, "client %s gets a PUBLISH that is wrong", c->id);
    if (p.qos == QOS_2) {
        uint8_t bit = (uint8_t)(1u << (p.id & 7));
        known = c->in[p.id / 8] & bit;
        c->in[p.id / 8] |= bit;
        send_ack(c, PACKET_PUBREC, p.id);
    } else if (p.qos == QOS_1) {
        send_ack(c, PACKET_PUBACK, p.id);
    }
    if (known)
        return;
    if (c->kind == READER)
        audit_retained(w, c, &p);
    else
        audit_arrival(w, c, &p);
}

static void on_ack(struct world *w, struct local *c, const struct frame *f)
{
    uint16_t id;
    uint32_t i = 0;

    if (decode_ack(f, PROTOCOL_311, &id) != REASON_OK)
        world_fail(w, "client %s gets an acknowledgement that is wrong", c->id);
    if (frame_type(f) == PACKET_PUBREL) {
        c->in[id / 8] &= (uint8_t) ~(1u << (id & 7));
        send_ack(c, PACKET_PUBCOMP, id);
        return;
    }
    while (i < c->out_n && c->out[i].id != id)
        i++;
    if (i == c->out_n)
        world_fail(w, "client %s: acknowledgement of %u, which is not on its way", c->id, id);
    if (frame_type(f) == PACKET_PUBREC) {
        c->out[i].released = true;
        send_ack(c, PACKET_PUBREL, id);
        return;
    }
    memmove(&c->out[i], &c->out[i + 1], (c->out_n - i - 1) * sizeof *c->out);
    c->out_n--;
}

static void receive(struct world *w, struct local *c, const struct frame *f)
{
    switch (frame_type(f)) {
    case PACKET_CONNACK:
        on_connack(w, c, f);
        break;
    case PACKET_PUBLISH:
        on_publish(w, c, f);
        break;
    case PACKET_SUBACK:
        c->subscribed = true;
        break;
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        on_ack(w, c, f);
        break;
    default:
        world_fail(w, "client %s gets a packet of type %d", c->id, (int)frame_type(f));
    }
}

static void read_all(struct world *w, struct local *c)
{
    struct frame f;
    size_t need;
    size_t at = 0;

    for (;;) {
        struct str rest = str_of((const char *)c->rx.p + at, c->rx.n - at);
        enum err e = rest.n ? frame_next(rest, PACKET_MAX, &f, &need) : ERR_AGAIN;
        if (e == ERR_AGAIN)
            break;
        if (e)
            world_fail(w, "client %s gets bytes that are no packet", c->id);
        receive(w, c, &f);
        at += f.whole.n;
    }
    bytes_drop(&c->rx, at);
}

static void join(struct world *w, struct local *c)
{
    c->link = wire_open(w, c->node);
    if (!c->link)
        return;
    c->link->local = c;
    c->state = LOCAL_CONNECTING;
    send_connect(c);
}

void local_act(struct world *w, struct local *c)
{
    bool wanted = c->kind != READER || c->wanted;

    if (c->link)
        read_all(w, c);
    if (!c->link && wanted && (w->calm || chance(w, 200)))
        join(w, c);
    if (c->link && !wanted) {
        c->link->gone = true;
        c->link->local = NULL;
        local_lost(c);
    }
    if (c->state == LOCAL_UP && c->kind == PUBLISHER && !w->calm && chance(w, w->knobs.publish))
        publish(w, c);
}
