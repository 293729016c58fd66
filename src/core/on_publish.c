/*
 * PUBLISH (3.3): to everyone who subscribed, then the answer.
 *
 * Most topics have been published to before: then neither their names are checked nor the trie is
 * searched (core/topics.h).
 */
#include "core/access.h"
#include "core/bridges.h"
#include "core/handlers.h"
#include "core/job.h"
#include "core/topicmap.h"
#include "mqtt/decode.h"

struct arrival {
    struct packet_publish p;
    const struct frame *f;
    bool known; /* b->route has its receivers already */
};

static COLD void write_publish(struct broker *b, const struct conn *c,
                               const struct packet_publish *p, const char *what)
{
    char name[CONN_NAME_MAX];
    char topic[512];

    log_debug(&b->log, "%s PUBLISH from %s (d%d, q%d, r%d, m%d, '%s', ... (%zu bytes))", what,
              conn_name(c, name), p->dup, p->qos, p->retain, p->id,
              str_escape_strict(p->topic, topic, sizeof(topic)), p->payload.n);
}

static inline void log_publish(struct broker *b, const struct conn *c,
                               const struct packet_publish *p, const char *what)
{
    if (UNLIKELY(log_wants(&b->log, LOG_LEVEL_DEBUG)))
        write_publish(b, c, p, what);
}

static void drop(struct broker *b, const struct conn *c, const struct packet_publish *p,
                 enum reason why)
{
    struct party who = conn_party(c);

    report_dropped(&b->report, &who, p->topic, why);
    b->stats.publish_dropped++;
}

/* Without memory for that nobody knows what it may: nothing is acknowledged then. */
static COLD bool has_rights(struct broker *b, const struct conn *c)
{
    return c->job || c->session->own || session_rights(&b->env, c->session);
}

static bool is_forbidden(struct broker *b, const struct conn *c, const struct packet_publish *p)
{
    struct rights_topic t = rights_topic(&b->env.rights, p->topic);

    if (LIKELY(session_may(&b->env, c->session, ACL_WRITE, &t)))
        return false;
    log_publish(b, c, p, "Denied");
    b->stats.publish_denied++;
    return true;
}

/* Is it to be acknowledged, but given to nobody? */
static bool is_dropped(struct broker *b, const struct conn *c, const struct packet_publish *p)
{
    uint32_t limit = b->conf->global.message_size_limit;

    if (limit > 0 && p->payload.n > limit) {
        log_publish(b, c, p, "Dropped too large");
        drop(b, c, p, REASON_PAYLOAD_TOO_LARGE);
        return true;
    }
    if (!access_may_write(c->out.map, p->topic)) {
        struct party who = conn_party(c);
        log_publish(b, c, p, "Denied");
        report_denied(&b->report, &who,
                      &(struct report_denial){
                          .act = "publish to", .topic = p->topic, .why = REASON_TOPIC_RESERVED});
        return true;
    }
    return UNLIKELY(b->env.rights.guarded) && is_forbidden(b, c, p);
}

/*
 * Look for its receivers. ERR_AGAIN: the search goes on next turn, with the packet still at the
 * front of the input.
 */
static enum err find_receivers(struct broker *b, struct conn *c, const struct packet_publish *p)
{
    struct trie_walk *walk = c->job ? c->job->walk : NULL;
    enum err e;

    /* Others are being searched for already: wait without beginning. */
    if (c->job && !walk && trie_walk_is_full(&b->trie))
        return ERR_AGAIN;
    if (c->job)
        c->job->walk = NULL;
    e = route_find(&b->route, &b->env, p->topic, &walk);
    if (e != ERR_AGAIN) {
        job_end(b, c);
    } else if (c->job || !job_begin(c, 0)) {
        c->job->walk = walk;
    } else {
        if (walk)
            trie_walk_free(&b->trie, walk);
        e = ERR_NOMEM;
    }
    return e;
}

/* Is it given to nobody? That, or that it came, is said once. */
static bool is_settled(struct broker *b, const struct conn *c, const struct packet_publish *p)
{
    if (c->job)
        return false;
    if (is_dropped(b, c, p))
        return true;
    log_publish(b, c, p, "Received");
    return false;
}

/* REASON_OK also when it is not done yet: then c->job is there. */
static enum reason route(struct broker *b, struct conn *c, const struct arrival *a)
{
    const struct packet_publish *p = &a->p;
    struct publication pub;
    bool blind = UNLIKELY(b->env.rights.guarded) && !has_rights(b, c);
    enum err e = blind ? ERR_NOMEM : ERR_OK;

    if (!e && is_settled(b, c, p))
        return REASON_OK;
    if (!e && !a->known)
        e = find_receivers(b, c, p);
    if (e == ERR_AGAIN)
        return REASON_OK;
    if (!e) {
        publication_init(&pub, p, a->f->whole, &b->scratch);
        e = route_publish(&b->route, &b->env, &pub, c->session);
        publication_clear(&pub);
    }
    if (e && p->qos == QOS_0) {
        drop(b, c, p, REASON_NOMEM);
        return REASON_OK; /* nobody was promised anything */
    }
    return e ? REASON_NOMEM : REASON_OK;
}

static enum reason check(struct broker *b, const struct conn *c, const struct packet_publish *p)
{
    if (c->job)
        return REASON_OK; /* checked when it came */
    b->stats.publish_received++;
    b->stats.publish_bytes_received += p->payload.n;
    if (p->qos > c->peer.listener->max_qos)
        return REASON_QOS_MAX;
    return p->retain && !b->conf->global.retain_available ? REASON_RETAIN_UNAVAILABLE : REASON_OK;
}

enum err publish_own(struct broker *b, const struct packet_publish *p)
{
    struct publication pub;
    enum err e = route_find(&b->route, &b->env, p->topic, NULL);

    publication_init(&pub, p, STR(""), &b->scratch);
    if (!e)
        e = route_publish(&b->route, &b->env, &pub, NULL);
    publication_clear(&pub);
    b->stats.publish_dropped += e != ERR_OK;
    return e;
}

/* At QoS 2 after session_in_reserve. */
static enum reason acknowledge(struct broker *b, struct conn *c, const struct packet_publish *p)
{
    if (p->qos == QOS_0)
        return REASON_OK;
    if (p->qos == QOS_1)
        return send_ack(b, c, PACKET_PUBACK, p->id);
    session_in_add(&b->env, c->session, p->id);
    return send_ack(b, c, PACKET_PUBREC, p->id);
}

/* What is given to nobody is answered all the same. */
static enum reason answer(struct broker *b, struct conn *c, const struct packet_publish *p)
{
    if (p->qos == QOS_2 && session_in_reserve(&b->env, c->session))
        return REASON_NOMEM;
    return acknowledge(b, c, p);
}

/* Is it only a name that no topic can have? Some brokers of other makes let such names pass. */
static bool is_misnamed(const struct packet_publish *p, enum reason decoded)
{
    bool name = decoded == REASON_TOPIC_EMPTY || decoded == REASON_TOPIC_WILDCARD ||
                decoded == REASON_LEVELS;

    return name && (p->qos == QOS_0 || p->id != 0);
}

/*
 * A remote broker sends what it likes: what has no name here is dropped, and the connection goes
 * on; to end it would bring the same message again, for ever. REASON_UNMAPPED: that is done with.
 */
static enum reason check_bridged(struct broker *b, struct conn *c, struct packet_publish *p,
                                 enum reason decoded)
{
    struct str name = p->topic;
    enum reason r = decoded;

    if (r == REASON_OK)
        r = bridges_met(b, c, p) ? REASON_UNMAPPED
                                 : topicmap_name(c->out.map, name, b->mapped, &p->topic);
    p->retain = p->retain && b->conf->global.retain_available;
    c->out.published = true; /* the link is in use */
    if (r == REASON_OK)
        return r;
    p->topic = name;
    if (!str_has_prefix(name, STR("$SYS/"))) {
        log_publish(b, c, p, "Dropped unmapped");
        drop(b, c, p, r);
    }
    r = answer(b, c, p);
    return r == REASON_OK ? REASON_UNMAPPED : r;
}

/* Its name is not known to be a valid one, or not what others call it. */
static enum reason read_publish(struct broker *b, struct conn *c, struct arrival *a)
{
    enum reason r = decode_publish(a->f, &a->p);

    if (UNLIKELY(c->role == CONN_BRIDGE) && (r == REASON_OK || is_misnamed(&a->p, r)))
        r = check_bridged(b, c, &a->p, r);
    else if (r == REASON_OK && c->out.map)
        r = topicmap_name(c->out.map, a->p.topic, b->mapped, &a->p.topic);
    a->known =
        r == REASON_OK && c->out.map && !c->job && route_recall(&b->route, &b->env, a->p.topic);
    return r;
}

/*
 * QoS 2, method B: given to everyone at its first arrival; its id is remembered until PUBREL
 * (4.3.3).
 */
static enum reason publish(struct broker *b, struct conn *c, const struct arrival *a)
{
    const struct packet_publish *p = &a->p;
    enum reason r;

    if (p->qos == QOS_2 && session_in_has(c->session, p->id)) {
        log_publish(b, c, p, "Received");
        return send_ack(b, c, PACKET_PUBREC, p->id);
    }
    if (p->qos == QOS_2 && session_in_reserve(&b->env, c->session))
        return REASON_NOMEM;
    r = route(b, c, a);
    return r != REASON_OK || c->job ? r : acknowledge(b, c, p);
}

enum reason on_publish(struct broker *b, struct conn *c, const struct frame *f)
{
    struct arrival a;
    enum reason r = REASON_OK;

    a.f = f;
    a.known = !c->job && !c->out.map && decode_publish_outline(f, &a.p) &&
              route_recall(&b->route, &b->env, a.p.topic);
    if (UNLIKELY(!a.known))
        r = read_publish(b, c, &a);
    if (r == REASON_UNMAPPED)
        return REASON_OK;
    if (r == REASON_OK && UNLIKELY(c->session->bridge) && !c->job)
        bridges_watch(b, c, &a.p);
    if (r == REASON_OK)
        r = check(b, c, &a.p);
    return r == REASON_OK ? publish(b, c, &a) : r;
}
