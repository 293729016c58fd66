/*
 * The client's half of MQTT: what a broker sends, and what that means for the user.
 */
#include "client/engine_inside.h"

#include "mqtt/decode.h"

/* What a packet has led to: an event, nothing, or the end of the connection. */
enum outcome { EVENT, QUIET, BROKEN, STARVED };

static enum outcome broken(struct engine *e, enum reason reason)
{
    e->why = reason_text(reason);
    return BROKEN;
}

static enum outcome quiet(enum err err)
{
    return err == ERR_OK ? QUIET : STARVED;
}

/* 3.2 */
static enum outcome on_connack(struct engine *e, const struct frame *f, struct engine_event *ev)
{
    enum reason reason = decode_connack(f, &ev->session_present, &ev->code);

    if (reason != REASON_OK)
        return broken(e, reason);
    if (e->has_connack)
        return broken(e, REASON_SECOND_CONNACK);
    e->has_connack = true;
    engine_log(e, "received CONNACK (%d)", ev->code);
    ev->kind = ENGINE_CONNACK;
    e->refused = ev->code != CONNACK_ACCEPTED;
    if (e->refused)
        return EVENT;
    if (e->state == ENGINE_CONNECTING)
        e->state = ENGINE_CONNECTED;
    e->resends = false;
    if (e->flow && e->forgets && !ev->session_present)
        idset_clear(flow_inbound(e->flow));
    return engine_pump(e) == ERR_OK ? EVENT : STARVED;
}

/* The event owns what it shows, and C strings can be made of it. */
static enum err copy_message(struct engine *e, const struct packet_publish *p)
{
    buf_drop(&e->delivery, e->delivery.len);
    if (buf_reserve(&e->delivery, p->topic.n + p->payload.n + 2) != ERR_OK ||
        buf_add(&e->delivery, p->topic.p, p->topic.n) != ERR_OK ||
        buf_add(&e->delivery, "", 1) != ERR_OK ||
        buf_add(&e->delivery, p->payload.p, p->payload.n) != ERR_OK ||
        buf_add(&e->delivery, "", 1) != ERR_OK)
        return ERR_NOMEM;
    return ERR_OK;
}

static void show_message(struct engine *e, const struct packet_publish *p, struct engine_event *ev)
{
    const char *topic = buf_str(&e->delivery).p;

    ev->kind = ENGINE_MESSAGE;
    ev->message = *p;
    ev->message.topic = str_of(topic, p->topic.n);
    ev->message.payload = str_of(topic + p->topic.n + 1, p->payload.n);
    e->unsettled = p->qos != QOS_0;
}

/* Is this QoS 2 message new? Its id is remembered until PUBREL (4.3.3, method B). */
static enum err remember(struct engine *e, uint16_t id, bool *is_new)
{
    if (!e->flow)
        e->flow = flow_new(NULL);
    if (!e->flow || idset_reserve(flow_inbound(e->flow)) != ERR_OK)
        return ERR_NOMEM;
    *is_new = idset_add(flow_inbound(e->flow), id);
    return ERR_OK;
}

/* A broker of MQTT 3.1 does not say whether it has lost our session, but marks what it sends again.
 */
static bool is_repeated(const struct engine *e, const struct packet_publish *p)
{
    return e->forgets || p->dup;
}

/* 3.3 */
static enum outcome on_publish(struct engine *e, const struct frame *f, struct engine_event *ev)
{
    struct packet_publish p;
    enum reason reason = decode_publish(f, &p);
    bool is_new = true;

    if (reason != REASON_OK && reason != REASON_LEVELS)
        return broken(e, reason);
    engine_log_publish(e, "received", &p, p.id);
    if (copy_message(e, &p) != ERR_OK)
        return STARVED;
    if (p.qos == QOS_2 && remember(e, p.id, &is_new) != ERR_OK)
        return STARVED;
    if (!is_new && is_repeated(e, &p))
        return quiet(engine_send_ack(e, PACKET_PUBREC, p.id));
    show_message(e, &p, ev);
    return EVENT;
}

/* 4.3.3: an id that we do not know is released all the same, so that the broker may forget it */
static enum outcome on_pubrec(struct engine *e, uint16_t id)
{
    uint64_t seq = 0;
    enum flow_answer answer =
        e->flow ? flow_acknowledge(e->flow, PACKET_PUBREC, id, &seq) : FLOW_UNKNOWN;

    if (answer == FLOW_WRONG_TYPE)
        return broken(e, REASON_ACK_TYPE);
    /* A row that was not sent on this connection yet is still to be sent. */
    if (answer == FLOW_UNKNOWN && seq != 0)
        return QUIET;
    return quiet(engine_send_ack(e, PACKET_PUBREL, id));
}

/* PUBACK and PUBCOMP: 4.3.2, 4.3.3 */
static enum outcome on_finished(struct engine *e, enum packet_type type, uint16_t id,
                                struct engine_event *ev)
{
    uint64_t seq = 0;
    enum flow_answer answer = e->flow ? flow_acknowledge(e->flow, type, id, &seq) : FLOW_UNKNOWN;

    if (answer == FLOW_WRONG_TYPE)
        return broken(e, REASON_ACK_TYPE);
    if (answer != FLOW_ACCEPTED)
        return QUIET;
    ev->kind = ENGINE_PUBLISHED;
    ev->id = id;
    return engine_pump(e) == ERR_OK ? EVENT : STARVED;
}

static enum outcome on_pubrel(struct engine *e, uint16_t id)
{
    if (e->flow)
        idset_remove(flow_inbound(e->flow), id);
    return quiet(engine_send_ack(e, PACKET_PUBCOMP, id));
}

static enum outcome on_ack(struct engine *e, const struct frame *f, struct engine_event *ev)
{
    enum packet_type type = frame_type(f);
    uint16_t id = 0;
    enum reason reason = decode_ack(f, PROTOCOL_311, &id);

    if (reason != REASON_OK)
        return broken(e, reason);
    engine_log(e, "received %s (Mid: %d)", engine_ack_name(type), id);
    if (type == PACKET_PUBREC)
        return on_pubrec(e, id);
    return type == PACKET_PUBREL ? on_pubrel(e, id) : on_finished(e, type, id, ev);
}

/* Take the request that this answers off the list; 0: there is none. */
static uint32_t take_pending(struct engine *e, enum packet_type answer, uint16_t id)
{
    struct engine_pending *all = (struct engine_pending *)(void *)buf_begin(&e->pending);
    size_t n = e->pending.len / sizeof(*all);

    for (size_t i = 0; i < n; i++) {
        uint32_t filters = all[i].filters;
        if (all[i].id != id || all[i].type != (uint16_t)answer)
            continue;
        /* Answers come in the order of requests, as a rule: then this moves nothing. */
        memmove(&all[1], &all[0], i * sizeof(*all));
        buf_drop(&e->pending, sizeof(*all));
        idset_remove(&e->pending_ids, id);
        return filters;
    }
    return 0;
}

/* 3.9 */
static enum outcome on_suback(struct engine *e, const struct frame *f, struct engine_event *ev)
{
    struct str codes;
    enum reason reason = decode_suback(f, &ev->id, &codes);

    if (reason != REASON_OK)
        return broken(e, reason);
    engine_log(e, "received SUBACK");
    uint32_t filters = take_pending(e, PACKET_SUBACK, ev->id);
    if (filters == 0)
        return QUIET;
    if (codes.n != filters)
        return broken(e, codes.n < filters ? REASON_TRUNCATED : REASON_SURPLUS);
    buf_drop(&e->delivery, e->delivery.len);
    if (buf_add(&e->delivery, codes.p, codes.n) != ERR_OK)
        return STARVED;
    ev->kind = ENGINE_SUBSCRIBED;
    ev->codes = buf_str(&e->delivery);
    return engine_pump(e) == ERR_OK ? EVENT : STARVED;
}

/* 3.11 */
static enum outcome on_unsuback(struct engine *e, const struct frame *f, struct engine_event *ev)
{
    enum reason reason = decode_ack(f, PROTOCOL_311, &ev->id);

    if (reason != REASON_OK)
        return broken(e, reason);
    engine_log(e, "received UNSUBACK");
    if (take_pending(e, PACKET_UNSUBACK, ev->id) == 0)
        return QUIET;
    /* Its id is free: a message may have waited for that. */
    ev->kind = ENGINE_UNSUBSCRIBED;
    return engine_pump(e) == ERR_OK ? EVENT : STARVED;
}

/* 3.13 */
static enum outcome on_pingresp(struct engine *e, const struct frame *f)
{
    enum reason reason = decode_empty(f);

    if (reason != REASON_OK)
        return broken(e, reason);
    engine_log(e, "received PINGRESP");
    e->pinging = false;
    return QUIET;
}

static enum outcome on_packet(struct engine *e, const struct frame *f, struct engine_event *ev)
{
    if (!e->has_connack && frame_type(f) != PACKET_CONNACK)
        return broken(e, REASON_NOT_CONNACK);
    switch (frame_type(f)) {
    case PACKET_CONNACK:
        return on_connack(e, f, ev);
    case PACKET_PUBLISH:
        return on_publish(e, f, ev);
    case PACKET_PUBACK:
    case PACKET_PUBREC:
    case PACKET_PUBREL:
    case PACKET_PUBCOMP:
        return on_ack(e, f, ev);
    case PACKET_SUBACK:
        return on_suback(e, f, ev);
    case PACKET_UNSUBACK:
        return on_unsuback(e, f, ev);
    case PACKET_PINGRESP:
        return on_pingresp(e, f);
    default:
        return broken(e, REASON_NOT_FOR_CLIENT);
    }
}

static const struct engine_mark *first_mark(const struct engine *e)
{
    return (const struct engine_mark *)(const void *)buf_begin(&e->marks);
}

bool engine_has_written(const struct engine *e)
{
    return e->marks.len > 0 && first_mark(e)->end <= e->queued_bytes - e->out.bytes;
}

/* The next message of QoS 0 whose bytes have left. */
static bool next_mark(struct engine *e, struct engine_event *ev)
{
    if (!engine_has_written(e))
        return false;
    ev->kind = ENGINE_PUBLISHED;
    ev->id = first_mark(e)->id;
    buf_drop(&e->marks, sizeof(struct engine_mark));
    return true;
}

/* One packet off the input. ERR_AGAIN: there is none, or nothing counts any more. */
static enum err next_frame(struct engine *e, struct frame *f)
{
    if (e->state == ENGINE_IDLE || e->state == ENGINE_CLOSING || e->refused)
        return ERR_AGAIN;
    if (e->clogged) {
        e->why = "the broker reads no acknowledgements";
        return ERR_PROTOCOL;
    }
    enum err err = frame_next(buf_str(&e->in), PACKET_MAX, f, &e->need);
    if (err == ERR_OK)
        e->need = 0;
    else if (err != ERR_AGAIN)
        e->why = reason_text(REASON_LENGTH_FIELD);
    return err;
}

enum err engine_next(struct engine *e, struct engine_event *ev)
{
    struct frame f;
    enum err err;

    *ev = (struct engine_event){.epoch = e->epoch};
    if (next_mark(e, ev))
        return ERR_OK;
    while ((err = next_frame(e, &f)) == ERR_OK) {
        enum outcome outcome = on_packet(e, &f, ev);
        buf_drop(&e->in, f.whole.n);
        if (outcome == EVENT)
            return ERR_OK;
        if (outcome == BROKEN)
            return ERR_PROTOCOL;
        if (outcome == STARVED)
            return ERR_NOMEM;
    }
    return err;
}

enum err engine_settle(struct engine *e, const struct engine_event *ev)
{
    enum qos qos = ev->message.qos;

    if (ev->kind != ENGINE_MESSAGE || qos == QOS_0 || ev->epoch != e->epoch || !e->unsettled)
        return ERR_OK;
    e->unsettled = false;
    enum err err = engine_send_ack(e, qos == QOS_1 ? PACKET_PUBACK : PACKET_PUBREC, ev->message.id);
    return err == ERR_OK ? engine_finish(e) : err;
}
