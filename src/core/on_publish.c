/*
 * PUBLISH (3.3): to everyone who subscribed, then the answer.
 */
#include "core/access.h"
#include "core/handlers.h"
#include "mqtt/decode.h"

static void log_publish(struct broker *b, const struct conn *c, const struct packet_publish *p,
                        const char *what)
{
    char name[CONN_NAME_MAX];
    char topic[512];

    if (!log_wants(&b->log, LOG_LEVEL_DEBUG))
        return;
    log_debug(&b->log, "%s PUBLISH from %s (d%d, q%d, r%d, m%d, '%s', ... (%zu bytes))", what,
              conn_name(c, name), p->dup, p->qos, p->retain, p->id,
              str_escape(p->topic, topic, sizeof(topic)), p->payload.n);
}

/* Is it to be acknowledged, but given to nobody? */
static bool is_dropped(struct broker *b, const struct conn *c, const struct packet_publish *p)
{
    uint32_t limit = b->conf->global.message_size_limit;

    if (limit > 0 && p->payload.n > limit) {
        log_publish(b, c, p, "Dropped too large");
        b->stats.publish_dropped++;
        return true;
    }
    if (!access_may_write(p->topic)) {
        log_publish(b, c, p, "Denied");
        return true;
    }
    return false;
}

static enum err route(struct broker *b, struct conn *c, const struct packet_publish *p,
                      const struct frame *f)
{
    struct publication pub;
    enum err e;

    publication_init(&pub, p, f->whole, &b->scratch);
    e = route_publish(&b->route, &b->env, &pub, c->session);
    publication_clear(&pub);
    if (e && p->qos == QOS_0) {
        b->stats.publish_dropped++;
        return ERR_OK; /* nobody was promised anything */
    }
    return e;
}

/* QoS 2, method B: given to everyone at its first arrival; its id is remembered until PUBREL
 * (4.3.3). */
static enum reason publish_qos2(struct broker *b, struct conn *c, const struct packet_publish *p,
                                const struct frame *f)
{
    struct session *s = c->session;

    if (session_in_has(s, p->id))
        return send_ack(b, c, PACKET_PUBREC, p->id);
    if (session_in_reserve(&b->env, s))
        return REASON_NOMEM;
    if (!is_dropped(b, c, p) && route(b, c, p, f))
        return REASON_NOMEM;
    session_in_add(&b->env, s, p->id);
    return send_ack(b, c, PACKET_PUBREC, p->id);
}

enum reason on_publish(struct broker *b, struct conn *c, const struct frame *f)
{
    struct packet_publish p;
    enum reason r = decode_publish(f, &p);

    if (r != REASON_OK)
        return r;
    b->stats.publish_received++;
    b->stats.publish_bytes_received += p.payload.n;
    log_publish(b, c, &p, "Received");
    if (p.qos > c->peer.listener->max_qos)
        return REASON_QOS_MAX;
    if (p.retain && !b->conf->global.retain_available)
        return REASON_RETAIN_UNAVAILABLE;
    if (p.qos == QOS_2)
        return publish_qos2(b, c, &p, f);
    if (!is_dropped(b, c, &p) && route(b, c, &p, f))
        return REASON_NOMEM;
    return p.qos == QOS_1 ? send_ack(b, c, PACKET_PUBACK, p.id) : REASON_OK;
}
