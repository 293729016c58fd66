/*
 * The acknowledgements of QoS 1 and 2 (3.4 to 3.7), both ways.
 */
#include "core/bridges.h"
#include "core/handlers.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"

static const char *const names[] = {[PACKET_PUBACK] = "PUBACK",
                                    [PACKET_PUBREC] = "PUBREC",
                                    [PACKET_PUBREL] = "PUBREL",
                                    [PACKET_PUBCOMP] = "PUBCOMP",
                                    [PACKET_UNSUBACK] = "UNSUBACK"};

static COLD void log_sent(struct broker *b, const struct conn *c, enum packet_type type,
                          uint16_t id)
{
    char name[CONN_NAME_MAX];

    if (type == PACKET_UNSUBACK)
        log_packet(b, c, "Sending UNSUBACK to");
    else
        log_debug(&b->log, "Sending %s to %s (Mid: %d)", names[type], conn_name(c, name), id);
}

enum reason send_ack(struct broker *b, struct conn *c, enum packet_type type, uint16_t id)
{
    uint8_t packet[ENCODE_ACK_SIZE];
    size_t n = encode_ack(packet, type, id);

    if (outbox_put(&b->hub, &c->out, OUTBOX_STORED, packet, n))
        return REASON_NOMEM;
    if (UNLIKELY(log_wants(&b->log, LOG_LEVEL_DEBUG)))
        log_sent(b, c, type, id);
    return REASON_OK;
}

void log_packet(struct broker *b, const struct conn *c, const char *what)
{
    char name[CONN_NAME_MAX];

    if (log_wants(&b->log, LOG_LEVEL_DEBUG))
        log_debug(&b->log, "%s %s", what, conn_name(c, name));
}

static COLD void log_received(struct broker *b, const struct conn *c, enum packet_type type,
                              uint16_t id)
{
    char name[CONN_NAME_MAX];

    log_debug(&b->log, "Received %s from %s (Mid: %d)", names[type], conn_name(c, name), id);
}

static inline enum reason decode(struct broker *b, struct conn *c, const struct frame *f,
                                 uint16_t *id)
{
    enum reason r = decode_ack(f, c->level, id);

    if (r == REASON_OK && UNLIKELY(log_wants(&b->log, LOG_LEVEL_DEBUG)))
        log_received(b, c, frame_type(f), *id);
    return r;
}

enum reason on_ack(struct broker *b, struct conn *c, const struct frame *f)
{
    uint16_t id;
    enum reason r = decode(b, c, f, &id);

    if (r != REASON_OK)
        return r;
    if (UNLIKELY(c->role == CONN_BRIDGE) && bridges_asked(c, id))
        return REASON_OK;
    return session_acknowledge(&b->env, c->session, frame_type(f), id);
}

/* Answered whether the id is known or not: the client has no other way to finish (4.3.3). */
enum reason on_pubrel(struct broker *b, struct conn *c, const struct frame *f)
{
    uint16_t id;
    enum reason r = decode(b, c, f, &id);

    if (r != REASON_OK)
        return r;
    if (session_in_remove(&b->env, c->session, id))
        return REASON_NOMEM;
    return send_ack(b, c, PACKET_PUBCOMP, id);
}
