/*
 * SUBSCRIBE and UNSUBSCRIBE (3.8, 3.10). A packet may hold half a million filters: it is checked as
 * a whole, then worked off within each turn's budget; the connection's input waits meanwhile.
 */
#include "core/bridges.h"
#include "core/feed.h"
#include "core/handlers.h"
#include "core/job.h"
#include "core/subscription.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"
#include "mqtt/topic.h"

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
    str_escape_strict(filter, text, sizeof(text));
    if (qos) {
        log_debug(&b->log, "\t%s (QoS %d)", text, *qos);
        LOG_AT(&b->log, LOG_LEVEL_SUBSCRIBE, "%s %d %s", name, *qos, text);
    } else {
        log_debug(&b->log, "\t%s", text);
        LOG_AT(&b->log, LOG_LEVEL_UNSUBSCRIBE, "%s %s", name, text);
    }
}

/* Behind a mount point: would every filter be one that can be? That it might end in a wildcard
 * which means nothing there is told filter by filter. */
static enum reason check_mapped(struct broker *b, const struct conn *c,
                                const struct packet_filters *p, bool with_qos)
{
    struct str filter;
    enum qos qos;
    size_t at = 0;
    enum reason r = REASON_OK;

    while (c->out.map && (r == REASON_OK || r == REASON_MOUNT_WILDCARD) &&
           decode_filter(p, &at, &filter, with_qos ? &qos : NULL))
        r = topicmap_filter(c->out.map, filter, b->mapped, &filter);
    return r == REASON_MOUNT_WILDCARD ? REASON_OK : r;
}

/* One filter costs a bounded sum, and so much for each level and each node made or freed. */
static void charge(struct broker *b, struct str filter, uint64_t visits_before)
{
    work_charge(&b->work, WORK_SUBSCRIBE + (uint32_t)(filter.n >> 2) +
                              (uint32_t)((b->trie.visits - visits_before) / 2));
}

static void log_denied(struct broker *b, struct str filter)
{
    char text[512];

    if (log_wants(&b->log, LOG_LEVEL_DEBUG))
        log_debug(&b->log, "\t%s (denied)", str_escape_strict(filter, text, sizeof(text)));
}

static void log_refused(struct broker *b, const struct conn *c, struct str filter, enum reason why)
{
    struct party who = conn_party(c);

    log_denied(b, filter);
    report_denied(&b->report, &who,
                  &(struct report_denial){.act = "subscribe to", .topic = filter, .why = why});
}

/* With acl_subscribe check: is there nothing that this could give it? */
static bool is_forbidden(struct broker *b, struct conn *c, struct str whole)
{
    struct str filter = whole;
    struct str group;

    if (LIKELY(!b->env.rights.guarded) || !c->peer.listener->security.acl_subscribe_check)
        return false;
    (void)topic_is_shared(whole, &group, &filter);
    if (session_may_subscribe(&b->env, c->session, filter))
        return false;
    log_denied(b, whole);
    return true;
}

static enum err subscribe_mapped(struct broker *b, struct conn *c, struct str filter, enum qos qos,
                                 uint8_t *code)
{
    enum qos granted = qos < c->out.max_qos ? qos : (enum qos)c->out.max_qos;
    bool feed = retain_may_match(&b->retain, filter);
    uint64_t visits = b->trie.visits;
    enum err e =
        subscription_add(&b->env, c->session, filter, granted, feed ? FEED_ALL : FEED_NONE);

    *code = (uint8_t)granted;
    charge(b, filter, visits);
    if (e == ERR_FULL) {
        log_refused(b, c, filter, REASON_GROUPS);
        *code = SUBACK_FAILURE;
        return ERR_OK;
    }
    if (!e)
        log_filter(b, c, filter, &granted);
    return e;
}

static enum err subscribe_one(struct broker *b, struct conn *c, struct str filter, enum qos qos)
{
    uint8_t code = SUBACK_FAILURE;
    struct str inside = filter;
    bool met;
    enum err e = bridges_meet(b, c, filter, &met);

    if (met)
        code = QOS_0;
    else if (c->out.map && topicmap_filter(c->out.map, filter, b->mapped, &inside) != REASON_OK)
        log_refused(b, c, filter, REASON_MOUNT_WILDCARD);
    else if (!is_forbidden(b, c, inside))
        e = subscribe_mapped(b, c, inside, qos, &code);
    return e ? e : buf_add(&c->job->codes, &code, 1); /* reserved */
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

/* As version 1.5 puts it. */
static void say_requested_qos(struct broker *b, const struct conn *c)
{
    char address[PEER_TEXT_MAX];

    report_aside(&b->report, &c->peer, REASON_REQUESTED_QOS,
                 "Invalid QoS in subscription command from %s, disconnecting.",
                 peer_address(&c->peer, address));
}

enum reason on_subscribe(struct broker *b, struct conn *c, const struct frame *f)
{
    struct packet_filters p;
    struct str filter;
    enum qos qos;

    if (!c->job) {
        enum reason r = decode_subscribe(f, c->level, &p);
        if (r == REASON_REQUESTED_QOS)
            say_requested_qos(b, c);
        if (r == REASON_OK)
            r = check_mapped(b, c, &p, true);
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

static enum err unsubscribe_one(struct broker *b, struct conn *c, struct str filter)
{
    uint64_t visits = b->trie.visits;
    enum err e;

    /* What could not be subscribed to is not there either. */
    if (c->out.map && topicmap_filter(c->out.map, filter, b->mapped, &filter) != REASON_OK)
        return ERR_OK;
    e = subscription_remove(&b->env, c->session, filter);
    if (e)
        return e;
    log_filter(b, c, filter, NULL);
    charge(b, filter, visits);
    return ERR_OK;
}

enum reason on_unsubscribe(struct broker *b, struct conn *c, const struct frame *f)
{
    struct packet_filters p;
    struct str filter;

    if (!c->job) {
        enum reason r = decode_unsubscribe(f, c->level, &p);
        if (r == REASON_OK)
            r = check_mapped(b, c, &p, false);
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
        if (unsubscribe_one(b, c, filter))
            return REASON_NOMEM;
    }
    return REASON_OK;
}
