/*
 * Records name sessions and messages by number; the two tables from numbers to them live only while
 * replaying. The bytes are not trusted: what makes no sense is refused.
 */
#include "core/replay.h"

#include "base/mem.h"
#include "core/feed.h"
#include "core/subscription.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"

struct replay {
    struct table sessions; /* of struct numbered_session */
    struct table messages; /* of struct message; each holds a reference */
};

struct numbered_session {
    uint64_t number;
    struct session *session;
};

static uint64_t hash_number(uint64_t n)
{
    return table_mix(0, n);
}

static uint64_t session_hash(const void *entry, const void *ctx)
{
    const struct numbered_session *n = entry;

    (void)ctx;
    return hash_number(n->number);
}

static bool session_equal(const void *entry, const void *key, const void *ctx)
{
    const struct numbered_session *n = entry;
    const uint64_t *number = key;

    (void)ctx;
    return n->number == *number;
}

static const struct table_ops session_ops = {.hash = session_hash, .equal = session_equal};

static uint64_t message_hash(const void *entry, const void *ctx)
{
    const struct message *m = entry;

    (void)ctx;
    return hash_number(m->number);
}

static bool message_equal(const void *entry, const void *key, const void *ctx)
{
    const struct message *m = entry;
    const uint64_t *number = key;

    (void)ctx;
    return m->number == *number;
}

static const struct table_ops message_ops = {.hash = message_hash, .equal = message_equal};

static struct session *find_session(const struct broker *b, uint64_t number)
{
    const struct numbered_session *n =
        table_find(&b->replay->sessions, &session_ops, NULL, hash_number(number), &number);

    return n ? n->session : NULL;
}

static struct message *find_message(const struct broker *b, uint64_t number)
{
    return table_find(&b->replay->messages, &message_ops, NULL, hash_number(number), &number);
}

static void forget_session(struct broker *b, uint64_t number)
{
    struct numbered_session *n =
        table_remove(&b->replay->sessions, &session_ops, NULL, hash_number(number), &number);

    mem_free(n, n ? sizeof(*n) : 0);
}

static enum err remember_session(struct broker *b, struct session *s)
{
    struct numbered_session *n = mem_alloc(sizeof(*n));

    if (!n)
        return ERR_NOMEM;
    *n = (struct numbered_session){.number = s->number, .session = s};
    if (table_insert(&b->replay->sessions, &session_ops, NULL, hash_number(n->number), n)) {
        mem_free(n, sizeof(*n));
        return ERR_NOMEM;
    }
    return ERR_OK;
}

/* --- one function per record type --- */

static enum err apply_client(struct broker *b, const struct record *r, struct session *s)
{
    if (r->session == 0 || r->session >= SESSIONS_NEW - 1 || r->text.n > UINT16_MAX ||
        r->time > INT64_MAX)
        return ERR_MALFORMED;
    if (!s) {
        if (sessions_find(&b->sessions, r->text))
            return ERR_MALFORMED;
        s = sessions_make(&b->sessions, r->text, r->session);
        if (!s || remember_session(b, s))
            return ERR_NOMEM;
        if (b->persist.next_session <= r->session)
            b->persist.next_session = r->session + 1;
    }
    s->absent_s = (int64_t)r->time;
    return ERR_OK;
}

static enum err apply_client_end(struct broker *b, const struct record *r, struct session *s)
{
    forget_session(b, r->session);
    sessions_end(&b->sessions, s);
    return ERR_OK;
}

static enum err apply_subscribe(struct broker *b, const struct record *r, struct session *s)
{
    if (!utf8_valid(r->text) || topic_check_subscription(r->text) != REASON_OK)
        return ERR_MALFORMED;
    return subscription_add(&b->env, s, r->text, (enum qos)r->qos, r->flags & RECORD_FLAG_FEED);
}

static enum err apply_unsubscribe(struct broker *b, const struct record *r, struct session *s)
{
    return subscription_remove(&b->env, s, r->text);
}

static enum err apply_fed(struct broker *b, const struct record *r, struct session *s)
{
    feed_end(&b->env, s, r->text);
    return ERR_OK;
}

static enum err apply_message(struct broker *b, const struct record *r, struct session *s)
{
    struct message *m;

    (void)s;
    if (r->number == 0 || r->number == UINT64_MAX || r->text.n > UINT16_MAX ||
        r->payload.n > PACKET_MAX || !utf8_valid(r->text) || topic_check_name(r->text) != REASON_OK)
        return ERR_MALFORMED;
    if (find_message(b, r->number))
        return ERR_OK;
    m = message_new(r->text, r->payload, (enum qos)r->qos);
    if (!m)
        return ERR_NOMEM;
    m->number = r->number;
    if (table_insert(&b->replay->messages, &message_ops, NULL, hash_number(m->number), m)) {
        message_unref(m);
        return ERR_NOMEM;
    }
    if (b->persist.next_message <= m->number)
        b->persist.next_message = m->number + 1;
    return ERR_OK;
}

static enum err apply_queue(struct broker *b, const struct record *r, struct session *s)
{
    struct message *m = find_message(b, r->number);

    if (!m || r->seq == 0 || r->qos > m->qos)
        return ERR_MALFORMED;
    if (session_need_flow(s) || flow_reserve(s->flow))
        return ERR_NOMEM;
    if (flow_head(s->flow) == flow_tail(s->flow) && r->seq > flow_tail(s->flow))
        flow_resume_at(s->flow, r->seq, flow_last_id(s->flow));
    if (r->seq > flow_tail(s->flow))
        return ERR_MALFORMED;
    if (r->seq == flow_tail(s->flow))
        (void)flow_push(s->flow, m, (enum qos)r->qos, r->flags & RECORD_FLAG_RETAIN);
    return ERR_OK;
}

static enum err apply_begin(struct broker *b, const struct record *r, struct session *s)
{
    const struct flow_row *row = s->flow ? flow_row_at(s->flow, r->seq) : NULL;

    (void)b;
    if (!row)
        return ERR_OK;
    if (row->qos == QOS_0)
        flow_set_done(s->flow, r->seq);
    else if (r->id == 0)
        return ERR_MALFORMED;
    else
        flow_set_begun(s->flow, r->seq, r->id);
    return ERR_OK;
}

static enum err apply_received(struct broker *b, const struct record *r, struct session *s)
{
    (void)b;
    if (s->flow)
        flow_set_received(s->flow, r->seq);
    return ERR_OK;
}

static enum err apply_done(struct broker *b, const struct record *r, struct session *s)
{
    (void)b;
    if (s->flow)
        flow_set_done(s->flow, r->seq);
    return ERR_OK;
}

static enum err apply_in_add(struct broker *b, const struct record *r, struct session *s)
{
    if (r->id == 0)
        return ERR_MALFORMED;
    if (session_in_reserve(&b->env, s))
        return ERR_NOMEM;
    session_in_add(&b->env, s, r->id);
    return ERR_OK;
}

static enum err apply_in_remove(struct broker *b, const struct record *r, struct session *s)
{
    return session_in_remove(&b->env, s, r->id);
}

static enum err apply_retain(struct broker *b, const struct record *r, struct session *s)
{
    struct message *m = find_message(b, r->number);
    struct retain_node *node;

    (void)s;
    if (!m || m->payload_len == 0)
        return ERR_MALFORMED;
    if (retain_reserve(&b->retain, message_topic(m), &node))
        return ERR_NOMEM;
    retain_set(&b->retain, node, m);
    b->stats.retained = b->retain.count;
    return ERR_OK;
}

static enum err apply_retain_clear(struct broker *b, const struct record *r, struct session *s)
{
    (void)s;
    (void)retain_remove(&b->retain, r->text);
    b->stats.retained = b->retain.count;
    return ERR_OK;
}

typedef enum err applier(struct broker *b, const struct record *r, struct session *s);

static const struct {
    applier *apply;
    bool of_session; /* the session must be known */
} appliers[RECORD_TYPES] = {
    [RECORD_CLIENT] = {apply_client, false},
    [RECORD_CLIENT_END] = {apply_client_end, true},
    [RECORD_SUBSCRIBE] = {apply_subscribe, true},
    [RECORD_UNSUBSCRIBE] = {apply_unsubscribe, true},
    [RECORD_FED] = {apply_fed, true},
    [RECORD_MESSAGE] = {apply_message, false},
    [RECORD_QUEUE] = {apply_queue, true},
    [RECORD_BEGIN] = {apply_begin, true},
    [RECORD_RECEIVED] = {apply_received, true},
    [RECORD_DONE] = {apply_done, true},
    [RECORD_IN_ADD] = {apply_in_add, true},
    [RECORD_IN_REMOVE] = {apply_in_remove, true},
    [RECORD_RETAIN] = {apply_retain, false},
    [RECORD_RETAIN_CLEAR] = {apply_retain_clear, false},
};

static enum err replay_begin(struct broker *b)
{
    if (b->replay)
        return ERR_OK;
    b->replay = mem_zalloc(sizeof(*b->replay));
    b->persist.replaying = true;
    return b->replay ? ERR_OK : ERR_NOMEM;
}

enum err broker_apply(struct broker *b, struct str records)
{
    enum err e = replay_begin(b);

    while (!e && records.n > 0) {
        struct record r;
        struct session *s;
        e = record_read(&records, &r);
        if (e)
            break;
        s = find_session(b, r.session);
        e = appliers[r.type].of_session && !s ? ERR_MALFORMED : appliers[r.type].apply(b, &r, s);
    }
    return e;
}

void replay_free(struct broker *b)
{
    uint64_t cursor = 0;
    struct numbered_session *n;
    struct message *m;

    if (!b->replay)
        return;
    while ((n = table_next(&b->replay->sessions, &cursor)))
        mem_free(n, sizeof(*n));
    cursor = 0;
    while ((m = table_next(&b->replay->messages, &cursor)))
        message_unref(m);
    table_clear(&b->replay->sessions);
    table_clear(&b->replay->messages);
    mem_free(b->replay, sizeof(*b->replay));
    b->replay = NULL;
}

void broker_apply_end(struct broker *b, int64_t wall_s)
{
    uint64_t cursor = 0;
    struct session *s;

    replay_free(b);
    b->persist.replaying = false;
    while ((s = sessions_next(&b->sessions, &cursor))) {
        if (s->absent_s == 0)
            s->absent_s = wall_s;
        session_settle(s);
    }
}
