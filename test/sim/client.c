/*
 * The clients.
 */
#include "client.h"

#include "mqtt/decode.h"
#include "mqtt/topic.h"
#include "sim.h"
#include "wire.h"

#include <stdio.h>
#include <stdlib.h>

#define SLOT_HIGH 96 /* slots from here on are ids at the upper end */

uint16_t id_of_slot(unsigned slot)
{
    return (uint16_t)(slot < SLOT_HIGH ? slot + 1 : 65535 - (ID_SLOTS - 1 - slot));
}

int slot_of_id(uint16_t id)
{
    if (id >= 1 && id <= SLOT_HIGH)
        return id - 1;
    return id > 65535 - (ID_SLOTS - SLOT_HIGH) ? ID_SLOTS - 1 - (65535 - id) : -1;
}

void client_init(struct client *c, int number)
{
    *c = (struct client){.number = number, .level = number % 4 == 3 ? PROTOCOL_31 : PROTOCOL_311};
    c->anonymous = number == CLIENTS - 2;
    if (c->anonymous)
        c->level = PROTOCOL_311;
    else
        (void)snprintf(c->id, sizeof c->id, number == CLIENTS - 1 ? "reader" : "client%d", number);
}

void client_clear(struct client *c)
{
    free(c->in);
    free(c->reactions);
    free(c->twice);
}

void client_lost(struct client *c)
{
    c->cable = NULL;
    c->connected = false;
    c->reaction_n = 0;
    c->silent = false;
}

/* What came before counts no more: the session is new. */
static void forget_incoming(struct client *c)
{
    c->epoch++;
    c->in_n = 0;
    for (unsigned p = 0; p < PUBLISHERS; p++) {
        for (unsigned t = 0; t < TOPICS; t++)
            c->last_seq[p][t][1] = 0;
    }
}

static void forget_state(struct client *c)
{
    forget_incoming(c);
    c->out_n = 0;
}

void client_forget(struct client *c)
{
    forget_state(c);
    memset(c->last_seq, 0, sizeof c->last_seq);
}

/* --- what arrives --- */

static void react(struct client *c, enum op_kind kind, uint16_t id, uint32_t uid)
{
    c->reactions =
        vec_grow(c->reactions, &c->reaction_cap, c->reaction_n + 1, sizeof *c->reactions);
    c->reactions[c->reaction_n++] = (struct reaction){.kind = kind, .id = id, .uid = uid};
}

static struct incoming *incoming_find(struct client *c, uint16_t id)
{
    for (uint32_t i = 0; i < c->in_n; i++) {
        if (c->in[i].id == id)
            return &c->in[i];
    }
    return NULL;
}

static void receive_qos2(struct sim *s, struct client *c, const struct packet_publish *p,
                         uint32_t letter, uint32_t uid)
{
    struct incoming *in = incoming_find(c, p->id);

    if (in && in->letter != letter && s->letters.all[letter].size &&
        s->letters.all[in->letter].size)
        sim_fail(s, "client %d gets message %u with packet id %u, which message %u still has",
                 c->number, letter, p->id, in->letter);
    if (!in) {
        c->in = vec_grow(c->in, &c->in_cap, c->in_n + 1, sizeof *c->in);
        c->in[c->in_n++] = (struct incoming){.letter = letter, .uid = uid, .id = p->id};
        if (!p->retain)
            audit_arrival(s, c, letter, 2);
    }
    react(c, OP_PUBREC, p->id, uid);
}

static void receive_publish(struct sim *s, struct cable *k, const struct frame *f)
{
    struct client *c = &s->clients[k->client];
    struct packet_publish p;
    uint32_t letter;
    enum reason why = decode_publish(f, &p);

    if (why != REASON_OK)
        sim_fail(s, "client %d gets a PUBLISH that is none: %s; first byte %02x", c->number,
                 reason_text(why), f->first);
    if (k->dead)
        return;
    uint32_t uid = audit_publish(s, k, &p, &letter);
    trace_add(&s->trace, "client %d gets message %u '%.*s' q%u r%d d%d id %u (row %u)", c->number,
              letter, STR_ARG(p.topic), (unsigned)p.qos, p.retain, p.dup, p.id, uid);
    if (p.qos == 2) {
        receive_qos2(s, c, &p, letter, uid);
        return;
    }
    if (p.qos == 1)
        react(c, OP_PUBACK, p.id, uid);
    if (!p.retain && letter)
        audit_arrival(s, c, letter, (uint8_t)p.qos);
}

static void receive_pubrel(struct sim *s, struct cable *k, uint16_t id)
{
    struct client *c = &s->clients[k->client];

    if (k->dead)
        return;
    uint32_t uid = audit_pubrel(s, k, id);
    struct incoming *in = incoming_find(c, id);
    if (in)
        *in = c->in[--c->in_n];
    react(c, OP_PUBCOMP, id, uid);
}

static void resend(struct sim *s, struct cable *k, const struct client *c)
{
    for (uint32_t i = 0; i < c->out_n; i++) {
        const struct outgoing *o = &c->out[i];
        if (o->released)
            wire_ack(k, OP_PUBREL, o->id, 0);
        else
            wire_publish(s, k, o->letter, o->id, true);
    }
}

static void receive_connack(struct sim *s, struct cable *k, const struct frame *f)
{
    struct client *c = &s->clients[k->client < 0 ? 0 : k->client];
    struct expect got = {.type = PACKET_CONNACK};
    struct expect was;
    bool present;

    if (decode_connack(f, &present, &got.code[0]) != REASON_OK)
        sim_fail(s, "a CONNACK that is none");
    got.present = present && k->level == PROTOCOL_311;
    if (present && k->level != PROTOCOL_311)
        sim_fail(s, "session present in MQTT 3.1");
    /* A 3.1 client cannot see it; the model knows. */
    for (uint32_t i = 0; i < k->expect_n && k->level != PROTOCOL_311; i++)
        got.present = k->expects[i].type == PACKET_CONNACK ? k->expects[i].present : got.present;
    audit_expect(s, k, &got, &was);
    if (k->client < 0 || c->cable != k || got.code[0])
        return;
    c->connected = true;
    bool kept = k->level == PROTOCOL_311 ? present : was.present == 1;
    if (!k->clean && !kept && !k->eager)
        forget_state(c);
    else if (!k->clean && !kept)
        forget_incoming(c); /* what it sends was begun on this connection */
    if (!k->eager)
        resend(s, k, c);
}

static void out_remove(struct client *c, uint32_t at)
{
    memmove(c->out + at, c->out + at + 1, (c->out_n - at - 1) * sizeof *c->out);
    c->out_n--;
}

static void receive_ack(struct sim *s, struct cable *k, enum packet_type type, uint16_t id)
{
    struct client *c = &s->clients[k->client];
    struct expect got = {.type = (uint8_t)type, .id = id};
    struct expect was;

    audit_expect(s, k, &got, &was);
    for (uint32_t i = 0; i < c->out_n; i++) {
        struct outgoing *o = &c->out[i];
        if (o->id != id || (o->qos == 1) != (type == PACKET_PUBACK) ||
            o->released != (type == PACKET_PUBCOMP))
            continue;
        if (type == PACKET_PUBREC)
            o->released = true;
        else
            out_remove(c, i);
        break;
    }
    if (type == PACKET_PUBREC)
        react(c, OP_PUBREL, id, 0);
}

static void receive_suback(struct sim *s, struct cable *k, const struct frame *f)
{
    struct expect got = {.type = PACKET_SUBACK};
    struct expect was;
    struct str codes;

    if (decode_suback(f, &got.id, &codes) != REASON_OK || codes.n > OP_FILTERS)
        sim_fail(s, "a SUBACK that is none");
    got.n = (uint8_t)codes.n;
    memcpy(got.code, codes.p, codes.n);
    audit_expect(s, k, &got, &was);
}

static void receive_plain(struct sim *s, struct cable *k, enum packet_type type,
                          const struct frame *f)
{
    struct expect got = {.type = (uint8_t)type};
    struct expect was;
    enum reason why =
        type == PACKET_PINGRESP ? decode_empty(f) : decode_ack(f, PROTOCOL_311, &got.id);

    if (why != REASON_OK)
        sim_fail(s, "a packet of type %d that is none: %s", (int)type, reason_text(why));
    audit_expect(s, k, &got, &was);
}

void client_receive(struct sim *s, struct cable *k, const struct frame *f)
{
    enum packet_type type = frame_type(f);
    uint16_t id = 0;

    s->totals->sent++;
    if (type != PACKET_PUBLISH)
        trace_add(&s->trace, "client %d gets type %d, %zu bytes, on connection %u", k->client,
                  (int)type, f->whole.n, k->serial);
    if (k->client == STRANGER && type != PACKET_CONNACK)
        sim_fail(s, "a packet of type %d to somebody who never connected", (int)type);
    switch (type) {
    case PACKET_CONNACK:
        receive_connack(s, k, f);
        break;
    case PACKET_PUBLISH:
        receive_publish(s, k, f);
        break;
    case PACKET_PUBREL:
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBCOMP:
        if (decode_ack(f, PROTOCOL_311, &id) != REASON_OK)
            sim_fail(s, "an acknowledgement of type %d that is none", (int)type);
        if (type == PACKET_PUBREL)
            receive_pubrel(s, k, id);
        else
            receive_ack(s, k, type, id);
        break;
    case PACKET_SUBACK:
        receive_suback(s, k, f);
        break;
    case PACKET_UNSUBACK:
    case PACKET_PINGRESP:
        receive_plain(s, k, type, f);
        break;
    case PACKET_CONNECT:
    case PACKET_SUBSCRIBE:
    case PACKET_UNSUBSCRIBE:
    case PACKET_PINGREQ:
    case PACKET_DISCONNECT:
        sim_fail(s, "a packet of type %d from a server", (int)type);
    }
}

/* --- what is sent --- */

static void send_reactions(struct client *c, uint32_t n)
{
    if (n > c->reaction_n)
        n = c->reaction_n;
    if (n == 0)
        return;
    for (uint32_t i = 0; i < n; i++)
        wire_ack(c->cable, c->reactions[i].kind, c->reactions[i].id, c->reactions[i].uid);
    memmove(c->reactions, c->reactions + n, (c->reaction_n - n) * sizeof *c->reactions);
    c->reaction_n -= n;
}

static uint32_t make_will(struct sim *s, const struct client *c)
{
    bool kept = chance(s, s->knobs.retain);

    return letter_new(&s->letters, (uint8_t)PUBLISHER_WILL(c->number),
                      (uint16_t)TOPIC_WILL(c->number), (uint8_t)rng_below(&s->rng, 3), kept,
                      LETTER_MIN + rng_below(&s->rng, 20));
}

/* Two connections of one client: the later one wins, unless the first has not even asked yet. */
static void abandon(struct client *c)
{
    struct cable *k = c->cable;

    k->deaf = true;
    if (!k->accepted) {
        bytes_drop(&k->tx, k->tx.n);
        k->op_n = 0;
        k->cut = true;
    }
    client_lost(c);
}

/* What it still has to send again would become something else behind the mount point. */
static bool may_mount(const struct sim *s, const struct client *c)
{
    for (uint32_t i = 0; i < c->out_n; i++) {
        if (!sim_sees(s, true, s->letters.all[c->out[i].letter].topic))
            return false;
    }
    return true;
}

/* Behind the mount point this time? Every third client is at home there. */
static bool is_to_mount(struct sim *s, const struct client *c, bool clean)
{
    bool at_home = s->knobs.mount && c->number % 3 == 1;

    if (!s->knobs.mount || c->number == CLIENTS - 1)
        return false;
    return (clean || may_mount(s, c)) && at_home != chance(s, s->knobs.wander);
}

static void connect_now(struct sim *s, struct client *c, bool clean)
{
    static const uint16_t keepalives[] = {0, 0, 60, 5, 1};
    bool mounted = is_to_mount(s, c, clean || c->clean);
    struct cable *k = cable_open(s, c->number, mounted);

    if (!k)
        return;
    if (c->cable)
        abandon(c);
    c->cable = k;
    c->mounted = mounted;
    k->clean = clean;
    k->level = c->level;
    k->keepalive_s = s->calm ? 0 : keepalives[rng_below(&s->rng, ARRAY_SIZE(keepalives))];
    if (!s->calm && chance(s, 400) && sim_sees(s, mounted, TOPIC_WILL((unsigned)c->number)))
        k->will = make_will(s, c);
    if (clean || c->clean)
        forget_state(c);
    c->clean = clean;
    k->eager = c->out_n == 0 && chance(s, 300);
    trace_add(&s->trace,
              "client %d connects on %u, clean %d, level %u, keepalive %u, will %u, mounted %d",
              c->number, k->serial, clean, k->level, k->keepalive_s, k->will, mounted);
    wire_connect(s, k, c);
}

static uint16_t free_id(struct client *c)
{
    for (;;) {
        uint16_t id = id_of_slot(c->next_slot++ % ID_SLOTS);
        uint32_t i = 0;
        while (i < c->out_n && c->out[i].id != id)
            i++;
        if (i == c->out_n)
            return id;
    }
}

static void publish(struct sim *s, struct client *c, uint16_t topic, uint8_t qos, bool kept,
                    uint32_t size)
{
    uint16_t id = 0;

    if (qos && c->out_n == OUT_MAX)
        qos = 0;
    uint32_t letter = letter_new(&s->letters, (uint8_t)c->number, topic, qos, kept, size);
    if (qos) {
        id = free_id(c);
        c->out[c->out_n++] = (struct outgoing){.letter = letter, .id = id, .qos = qos};
    }
    wire_publish(s, c->cable, letter, id, false);
    trace_add(&s->trace, "client %d publishes message %u '%s' q%u r%d id %u, %u bytes", c->number,
              letter, s->names.topic[topic].p, qos, kept, id, size);
}

static uint32_t draw_size(struct sim *s, bool kept)
{
    if (kept && chance(s, 250))
        return 0;
    if (rarely(s, s->knobs.big))
        return 60000 + rng_below(&s->rng, 100000);
    if (chance(s, 100))
        return LETTER_MIN + rng_below(&s->rng, 3000);
    return LETTER_MIN + rng_below(&s->rng, 40);
}

/* One of the topics that it can name, if it finds one in good time. */
static uint16_t draw_topic(struct sim *s, const struct client *c)
{
    uint16_t topic = (uint16_t)rng_below(&s->rng, s->knobs.topics);

    for (unsigned i = 0; i < 100 && !sim_sees(s, c->mounted, topic); i++)
        topic = (uint16_t)rng_below(&s->rng, i < 50 ? s->knobs.topics : TOPICS);
    return topic;
}

static void act_publish(struct sim *s, struct client *c)
{
    bool kept = chance(s, s->knobs.retain);
    uint16_t topic = draw_topic(s, c);

    if (!sim_sees(s, c->mounted, topic))
        return;
    if (chance(s, s->knobs.burst)) {
        unsigned n = 100 + rng_below(&s->rng, 1500);
        /* Each of them may have to be acknowledged before the next. */
        n = s->conf[0].global.upgrade_outgoing_qos ? n / 20 : n;
        for (; n > 0; n--)
            publish(s, c, topic, 0, false, LETTER_MIN);
        return;
    }
    if (chance(s, s->knobs.many) && sim_sees(s, c->mounted, TOPIC_MANY(0))) {
        topic = (uint16_t)TOPIC_MANY(rng_below(&s->rng, MANY_TOPICS));
        kept = true;
    }
    publish(s, c, topic, (uint8_t)rng_below(&s->rng, 3), kept, draw_size(s, kept));
}

/* Has the filter a name on its side? Of a shared one the filter inside it counts. */
static bool can_name(const struct sim *s, const struct client *c, uint8_t filter)
{
    struct str group;
    struct str bare = s->names.filter[filter];

    (void)topic_is_shared(bare, &group, &bare);
    return !c->mounted || sim_mounts(s, bare);
}

static void act_filters(struct sim *s, struct client *c, enum op_kind kind)
{
    struct op op = {.kind = kind, .id = (uint16_t)(200 + rng_below(&s->rng, 60000))};

    op.n = (uint8_t)(1 + rng_below(&s->rng, OP_FILTERS));
    for (uint8_t i = 0; i < op.n; i++) {
        do
            op.filter[i] = (uint8_t)rng_below(&s->rng, FILTERS);
        while ((s->names.shared[op.filter[i]] && !s->knobs.share) || !can_name(s, c, op.filter[i]));
        if (kind == OP_SUBSCRIBE)
            op.qos[i] = (uint8_t)rng_below(&s->rng, 3);
        trace_add(&s->trace, "client %d %s '%s' q%u", c->number,
                  kind == OP_SUBSCRIBE ? "subscribes" : "unsubscribes",
                  s->names.filter[op.filter[i]].p, op.qos[i]);
    }
    wire_filters(s, c->cable, op);
}

static void act_filter(struct sim *s, struct client *c, enum op_kind kind, uint8_t filter)
{
    struct op op = {.kind = kind, .id = (uint16_t)(200 + rng_below(&s->rng, 60000)), .n = 1};

    op.filter[0] = filter;
    if (kind == OP_SUBSCRIBE)
        op.qos[0] = (uint8_t)(chance(s, 100) ? 0 : 1 + rng_below(&s->rng, 2));
    trace_add(&s->trace, "client %d %s '%s' q%u", c->number,
              kind == OP_SUBSCRIBE ? "subscribes" : "unsubscribes", s->names.filter[filter].p,
              op.qos[0]);
    wire_filters(s, c->cable, op);
}

/* Feeds for filters that have much in common begin, begin anew and end. */
static void act_keen(struct sim *s, struct client *c)
{
    static const char *const filters[] = {"r/#", "r/+", "r/1", "+/+", "#", "+/#", "a/#", "a/+"};
    const char *text = filters[rng_below(&s->rng, ARRAY_SIZE(filters))];
    uint8_t filter = (uint8_t)names_filter(&s->names, text);
    uint32_t how = rng_below(&s->rng, 100);

    if (!can_name(s, c, filter))
        return;
    if (how < 50)
        act_filter(s, c, OP_UNSUBSCRIBE, filter);
    if (how >= 20)
        act_filter(s, c, OP_SUBSCRIBE, filter);
}

/* Acknowledgements that nobody waits for: tolerated. */
static void act_unasked(struct sim *s, struct client *c)
{
    static const enum op_kind kinds[] = {OP_PUBACK, OP_PUBREC, OP_PUBREL, OP_PUBCOMP};

    wire_ack(c->cable, kinds[rng_below(&s->rng, ARRAY_SIZE(kinds))],
             (uint16_t)(60000 + rng_below(&s->rng, 10)), 0);
}

/* A QoS 2 PUBLISH once more before its PUBREL: answered, not routed. */
static void act_repeat(struct sim *s, struct client *c)
{
    for (uint32_t i = 0; i < c->out_n; i++) {
        const struct outgoing *o = &c->out[i];
        if (o->qos == 2 && !o->released && c->reaction_n == 0) {
            wire_publish(s, c->cable, o->letter, o->id, true);
            return;
        }
    }
}

static void act_leave(struct sim *s, struct client *c)
{
    struct cable *k = c->cable;
    uint32_t how = rng_below(&s->rng, 100);

    trace_add(&s->trace, "client %d leaves, way %u", c->number, how);
    if (how < 40) {
        wire_empty(k, OP_DISCONNECT);
        if (how < 10)
            wire_empty(k, OP_PING); /* must be ignored */
    } else if (how < 60) {
        wire_part(k);
        k->cut = true;
    } else if (how < 75) {
        k->deaf = true;
        k->cut = true;
    } else if (how < 90) {
        k->cut = true;
    } else if (!c->anonymous) {
        connect_now(s, c, chance(s, 300));
    }
}

static void act_other(struct sim *s, struct client *c)
{
    uint32_t what = rng_below(&s->rng, 100);

    if (what < 45)
        act_filters(s, c, OP_SUBSCRIBE);
    else if (what < 58)
        act_filters(s, c, OP_UNSUBSCRIBE);
    else if (what < 66)
        wire_empty(c->cable, OP_PING);
    else if (what < 72)
        act_unasked(s, c);
    else if (what < 78)
        act_repeat(s, c);
    else if (what < 82)
        c->cable->stuck = s->knobs.slow != 0;
    else if (what < 84)
        c->silent = true;
    else
        act_leave(s, c);
}

static void stay_alive(struct sim *s, struct client *c)
{
    const struct cable *k = c->cable;

    if (k->keepalive_s && k->tx.n == 0 && s->now.mono_ms - k->packet_ms > k->keepalive_s * 700u)
        wire_empty(c->cable, OP_PING);
}

static bool is_done_for(const struct cable *k)
{
    return k->dead || k->cut;
}

void client_act(struct sim *s, struct client *c)
{
    struct cable *k = c->cable;

    if (!k) {
        if (chance(s, s->knobs.busy / 3 + 1))
            connect_now(s, c, c->anonymous || chance(s, 300));
        return;
    }
    if (k->stuck && chance(s, 60))
        k->stuck = false;
    if (is_done_for(k) || (c->silent && !chance(s, 10)))
        return;
    c->silent = false;
    if (c->connected && chance(s, s->knobs.prompt))
        send_reactions(c, chance(s, 700) ? UINT32_MAX : 1 + rng_below(&s->rng, 3));
    if (!c->connected && !k->eager)
        return;
    stay_alive(s, c);
    if (!chance(s, s->knobs.busy) || k->tx.n > 200000)
        return;
    if (rarely(s, s->knobs.illegal))
        wire_illegal(s, k);
    else if (chance(s, s->knobs.publish))
        act_publish(s, c);
    else if (chance(s, s->knobs.keen))
        act_keen(s, c);
    else
        act_other(s, c);
}

void client_finish(struct sim *s, struct client *c)
{
    const struct session *mine = &s->model.sessions[c->number];

    if (!c->cable) {
        if (mine->exists || mine->unsure || c->out_n)
            connect_now(s, c, c->anonymous);
        return;
    }
    c->silent = false;
    c->cable->stuck = false;
    if (is_done_for(c->cable) || !c->connected)
        return;
    send_reactions(c, UINT32_MAX);
    stay_alive(s, c);
}

void client_join(struct sim *s, struct client *c, const struct op *op)
{
    connect_now(s, c, true);
    wire_filters(s, c->cable, *op);
}

bool client_quiet(const struct client *c)
{
    return c->cable ? c->connected && c->out_n == 0 && c->in_n == 0 && c->reaction_n == 0 &&
                          c->cable->tx.n == 0
                    : c->out_n == 0;
}

void stranger_act(struct sim *s)
{
    struct cable *k = cable_open(s, STRANGER, s->knobs.mount && chance(s, 500));

    if (!k)
        return;
    if (chance(s, 700)) {
        wire_no_connect(s, k);
        bytes_add(&k->tx, "garbage", rng_below(&s->rng, 8));
    } else if (chance(s, 500)) {
        bytes_add(&k->tx, "\x10\x20\x00", 3);
    }
    k->cut = chance(s, 300);
}
