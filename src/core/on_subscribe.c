/*
 * SUBSCRIBE and UNSUBSCRIBE (3.8, 3.10). A packet may hold half a million filters: it is checked as
 * a whole, then worked off within each turn's budget; the connection's input waits meanwhile.
 */
#include "core/feed.h"
#include "core/handlers.h"
#include "core/job.h"
#include "core/subscription.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"

/* A packet that has been checked before. */
static void decode_again(const struct frame *f, struct packet_filters *p)
{
    const uint8_t *id = (const uint8_t *)f->body.p;

    p->id = (uint16_t)(id[0] << 8 | id[1]);
    p->filters = str_of(f->body.p + 2, f->body.n - 2);
}

static void log_filter(struct broker *b, const struct conn *c, struct str filter,
                       const enum qos *qos)
{
    char name[CONN_NAME_MAX];
    char text[512];

    if (!(b->log.mask & (LOG_LEVEL_DEBUG | LOG_LEVEL_SUBSCRIBE | LOG_LEVEL_UNSUBSCRIBE)))
        return;
    conn_name(c, name);
    str_escape(filter, text, sizeof(text));
    if (qos) {
        log_debug(&b->log, "\t%s (QoS %d)", text, *qos);
        LOG_AT(&b->log, LOG_LEVEL_SUBSCRIBE, "%s %d %s", name, *qos, text);
    } else {
        log_debug(&b->log, "\t%s", text);
        LOG_AT(&b->log, LOG_LEVEL_UNSUBSCRIBE, "%s %s", name, text);
    }
}

/* One filter costs a bounded sum, and so much for each level and each node made or freed. */
static void charge(struct broker *b, struct str filter, uint64_t visits_before)
{
    work_charge(&b->work, WORK_SUBSCRIBE + (uint32_t)(filter.n >> 2) +
                              (uint32_t)((b->trie.visits - visits_before) / 2));
}

static void log_refused(struct broker *b, const struct conn *c, struct str filter)
{
    char name[CONN_NAME_MAX];
    char text[512];

    log_notice(&b->log,
               "Client %s may not subscribe to '%s': this filter has %d shared groups already.",
               conn_name(c, name), str_escape(filter, text, sizeof(text)), TRIE_GROUPS_MAX);
}

static enum err subscribe_one(struct broker *b, struct conn *c, struct str filter, enum qos qos)
{
    enum qos max = (enum qos)c->peer.listener->max_qos;
    uint8_t code = (uint8_t)(qos < max ? qos : max);
    bool feed = retain_may_match(&b->retain, filter);
    uint64_t visits = b->trie.visits;
    enum err e = subscription_add(&b->env, c->session, filter, (enum qos)code, feed);

    charge(b, filter, visits);
    if (e == ERR_FULL) {
        log_refused(b, c, filter);
        code = SUBACK_FAILURE;
    } else if (e) {
        return e;
    } else {
        log_filter(b, c, filter, &qos);
    }
    return buf_add(&c->job->codes, &code, 1); /* reserved */
}

static enum reason send_suback(struct broker *b, struct conn *c, uint16_t id)
{
    uint8_t head[FIXED_HEADER_MAX + 2];
    struct str codes = buf_str(&c->job->codes);
    size_t n = encode_suback_head(head, id, codes.n);
    enum err e = outbox_put_parts(&b->hub, &c->out, OUTBOX_STORED, str_of((char *)head, n), codes);

    job_end(b, c);
    if (e)
        return REASON_NOMEM;
    log_packet(b, c, "Sending SUBACK to");
    /* Retained messages follow, the first of them before anything newer can. */
    feed_pump(&b->env, c->session);
    return REASON_OK;
}

enum reason on_subscribe(struct broker *b, struct conn *c, const struct frame *f)
{
    struct packet_filters p;
    struct str filter;
    enum qos qos;

    if (!c->job) {
        enum reason r = decode_subscribe(f, c->level, &p);
        if (r != REASON_OK)
            return r;
        log_packet(b, c, "Received SUBSCRIBE from");
        if (job_begin(c, p.count))
            return REASON_NOMEM;
    }
    decode_again(f, &p);
    while (!work_is_spent(&b->work)) {
        if (!decode_filter(&p, &c->job->at, &filter, &qos))
            return send_suback(b, c, p.id);
        if (subscribe_one(b, c, filter, qos))
            return REASON_NOMEM;
    }
    return REASON_OK;
}

enum reason on_unsubscribe(struct broker *b, struct conn *c, const struct frame *f)
{
    struct packet_filters p;
    struct str filter;
    uint64_t visits;

    if (!c->job) {
        enum reason r = decode_unsubscribe(f, c->level, &p);
        if (r != REASON_OK)
            return r;
        log_packet(b, c, "Received UNSUBSCRIBE from");
        if (job_begin(c, 0))
            return REASON_NOMEM;
    }
    decode_again(f, &p);
    while (!work_is_spent(&b->work)) {
        if (!decode_filter(&p, &c->job->at, &filter, NULL)) {
            job_end(b, c);
            return send_ack(b, c, PACKET_UNSUBACK, p.id);
        }
        visits = b->trie.visits;
        if (subscription_remove(&b->env, c->session, filter))
            return REASON_NOMEM;
        log_filter(b, c, filter, NULL);
        charge(b, filter, visits);
    }
    return REASON_OK;
}
