/*
 * The bytes are not trusted: what makes no sense is refused. What speaks of things that have ended
 * meanwhile is legal, since cleaning leaves such records behind, and means nothing.
 *
 * Messages are held until the last record has been applied: a row that needs one may come later.
 * But their payloads are not: most of a journal is dead, and what nobody in sight needs can be read
 * again.
 */
#include "core/replay.h"

#include "base/mem.h"
#include "core/feed.h"
#include "core/loading.h"
#include "core/subscription.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"

#include <stdlib.h>

struct replay {
    struct loading loading;
    struct record last; /* the last MESSAGE of this frame: RETAIN may need its payload */
};

/* --- messages --- */

/* NULL without memory. */
static struct stored *message_of(struct broker *b, uint64_t number)
{
    if (b->persist.next_message <= number)
        b->persist.next_message = number + 1;
    return loading_message(&b->replay->loading, &b->persist.stored, number);
}

/* If nobody in sight needs the payload any more, that goes; a row that comes later can fetch it. */
static void release_body(struct stored *e)
{
    struct message *body = e ? e->body : NULL;

    if (!body || e->blob.refs > 1 || body->blob.refs > 1)
        return;
    (void)blob_ref(&e->blob); /* the hold, which was by the body */
    message_unref(body);
}

/* Have its payload in memory. What holds the entry holds the body from now on. */
static enum err need_body(struct broker *b, struct stored *e, const struct record *r)
{
    struct message *m;

    if (e->body)
        return ERR_OK;
    m = message_new_in(&b->pool, r->text, r->payload, (enum qos)r->qos);
    if (!m)
        return ERR_NOMEM;
    stored_attach(&b->persist.stored, e, m);
    return ERR_OK;
}

static enum err apply_message(struct broker *b, const struct record *r, uint64_t position,
                              size_t bytes)
{
    struct stored *e;

    if (r->number == 0 || r->number >= UINT64_MAX - 1 || r->text.n > UINT16_MAX ||
        r->payload.n > PACKET_MAX || !utf8_valid(r->text) || topic_check_name(r->text) != REASON_OK)
        return ERR_MALFORMED;
    e = message_of(b, r->number);
    if (!e)
        return ERR_NOMEM;
    b->replay->last = *r;
    e->sum = stored_sum(r->text, r->payload);
    stored_place(&b->persist.stored, e, position,
                 (struct stored_size){.record = (uint32_t)bytes,
                                      .payload = (uint32_t)r->payload.n,
                                      .topic = (uint16_t)r->text.n});
    if (stored_has_room(&b->persist.stored, bytes))
        (void)need_body(b, e, r); /* without memory it stays in the journal */
    return ERR_OK;
}

static enum err apply_retain(struct broker *b, const struct record *r)
{
    struct stored *e = loading_find_message(&b->replay->loading, r->number);
    struct retain_node *node;
    struct message *former;

    if (e && !e->body && b->replay->last.number == r->number && need_body(b, e, &b->replay->last))
        return ERR_NOMEM;
    if (!e || !e->body)
        return ERR_OK; /* it has been recorded anew, further on */
    if (e->body->payload_len == 0)
        return ERR_MALFORMED;
    if (retain_reserve(&b->retain, message_topic(e->body), &node))
        return ERR_NOMEM;
    former = retain_at(node);
    if (former)
        author_forget(&b->env.authors, former);
    retain_set(&b->retain, node, e->body);
    if (former && former != e->body)
        release_body(stored_of(former));
    return ERR_OK;
}

/* Behind the RETAIN of its message, in the same frame. */
static enum err apply_author(struct broker *b, const struct record *r)
{
    const struct stored *e = loading_find_message(&b->replay->loading, r->number);
    struct authored *a;
    struct rights *by;

    if (r->text.n > UINT16_MAX || r->payload.n > UINT16_MAX)
        return ERR_MALFORMED;
    if (!e || !e->body || retain_find(&b->retain, message_topic(e->body)) != e->body)
        return ERR_OK;
    by = rights_get(&b->env.rights,
                    &(struct rights_who){.user = r->text, .client = r->payload, .port = r->id});
    if (!by)
        return ERR_NOMEM;
    a = author_reserve(&b->env.authors, by);
    rights_unref(&b->env.rights, by);
    if (!a)
        return ERR_NOMEM;
    author_set(&b->env.authors, a, e->body);
    return ERR_OK;
}

static void apply_retain_clear(struct broker *b, struct str topic)
{
    struct message *former = retain_find(&b->retain, topic);

    if (former)
        author_forget(&b->env.authors, former);
    (void)retain_remove(&b->retain, topic);
    if (former)
        release_body(stored_of(former));
}

/* --- sessions --- */

static enum err apply_client(struct loading_session *l, const struct record *r, uint64_t position)
{
    if (r->text.n > UINT16_MAX || r->time > INT64_MAX || loading_need_flow(l))
        return r->text.n > UINT16_MAX || r->time > INT64_MAX ? ERR_MALFORMED : ERR_NOMEM;
    l->absent_s = (int64_t)r->time;
    l->position = position;
    l->bridge = false;
    l->own = false;
    flow_load_position(l->flow, r->seq, r->id);
    return loading_name(l, r->text);
}

static enum err apply_subscribe(struct loading_session *l, const struct record *r)
{
    if (!utf8_valid(r->text) || topic_check_subscription(r->text) != REASON_OK)
        return ERR_MALFORMED;
    if (r->type == RECORD_FEED)
        return loading_feed(l, r->text, (enum qos)r->qos, r->seq);
    if (r->flags & RECORD_FLAG_FEED)
        return loading_feed(l, r->text, (enum qos)r->qos, UINT64_MAX);
    return loading_subscribe(l, r->text, (enum qos)r->qos);
}

static enum err apply_queue(struct broker *b, struct loading_session *l, const struct record *r)
{
    struct stored *e = r->number ? message_of(b, r->number) : NULL;
    enum err err;

    if ((r->number && !e) || loading_need_flow(l))
        return ERR_NOMEM;
    err = flow_load_row(l->flow, r->seq, e ? &e->blob : NULL, 0, (enum qos)r->qos,
                        r->flags & RECORD_FLAG_RETAIN);
    if (!err && (r->flags & RECORD_FLAG_GIVEN))
        err = feed_given_add(&l->given, r->number, r->seq);
    if (!err && r->id != 0)
        flow_load_begun(l->flow, r->seq, r->id);
    return err == ERR_INVAL ? ERR_MALFORMED : err;
}

static enum err apply_in_add(struct loading_session *l, const struct record *r)
{
    if (r->id == 0)
        return ERR_MALFORMED;
    if (loading_need_flow(l) || idset_reserve(flow_inbound(l->flow)))
        return ERR_NOMEM;
    (void)idset_add(flow_inbound(l->flow), r->id);
    return ERR_OK;
}

static enum err apply_to_flow(struct loading_session *l, const struct record *r)
{
    const struct flow_row *row;
    struct stored *e;

    if (loading_need_flow(l))
        return ERR_NOMEM;
    row = flow_row_at(l->flow, r->seq);
    e = row && row->away ? stored_of_ticket(row->ticket) : NULL;
    if (r->type == RECORD_BEGIN)
        flow_load_begun(l->flow, r->seq, r->id);
    else if (r->type == RECORD_RECEIVED)
        flow_load_received(l->flow, r->seq);
    else if (r->type == RECORD_DONE)
        flow_load_done(l->flow, r->seq);
    else
        (void)idset_remove(flow_inbound(l->flow), r->id);
    release_body(e);
    return ERR_OK;
}

static enum err apply_to_session(struct broker *b, const struct record *r, uint64_t position)
{
    struct loading_session *l;

    if (r->session == 0 || r->session >= SESSIONS_NEW - 1)
        return ERR_MALFORMED;
    l = loading_session(&b->replay->loading, r->session);
    if (!l)
        return ERR_NOMEM;
    switch (r->type) {
    case RECORD_CLIENT:
        return apply_client(l, r, position);
    case RECORD_SUBSCRIBE:
    case RECORD_FEED:
        return apply_subscribe(l, r);
    case RECORD_UNSUBSCRIBE:
        loading_unsubscribe(l, r->text);
        return ERR_OK;
    case RECORD_FED:
        loading_fed(l, r->text);
        return ERR_OK;
    case RECORD_QUEUE:
        return apply_queue(b, l, r);
    case RECORD_GIVEN:
        return feed_given_add(&l->given, r->number, r->seq);
    case RECORD_GIVEN_FORMERLY:
        return ERR_OK;
    case RECORD_IN_ADD:
        return apply_in_add(l, r);
    case RECORD_BRIDGE:
        l->bridge = true;
        l->own = r->flags & RECORD_FLAG_OWN;
        return ERR_OK;
    case RECORD_OWNER:
        return r->text.n > UINT16_MAX ? ERR_MALFORMED : loading_own(l, r->text, r->id);
    default:
        return apply_to_flow(l, r);
    }
}

static enum err apply(struct broker *b, const struct record *r, uint64_t position, size_t bytes)
{
    switch (r->type) {
    case RECORD_MESSAGE:
        return apply_message(b, r, position, bytes);
    case RECORD_RETAIN:
        return apply_retain(b, r);
    case RECORD_AUTHOR:
        return apply_author(b, r);
    case RECORD_RETAIN_CLEAR:
        apply_retain_clear(b, r->text);
        return ERR_OK;
    case RECORD_CLIENT_END:
        loading_end(&b->replay->loading, r->session);
        return ERR_OK;
    default:
        return apply_to_session(b, r, position);
    }
}

static enum err replay_begin(struct broker *b)
{
    if (!b->replay)
        b->replay = mem_zalloc(sizeof(*b->replay));
    b->persist.replaying = true;
    return b->replay ? ERR_OK : ERR_NOMEM;
}

enum err broker_apply(struct broker *b, uint64_t position, struct str records)
{
    enum err e = replay_begin(b);

    while (!e && records.n > 0) {
        struct record r;
        size_t before = records.n;
        e = record_read(&records, &r);
        if (!e)
            e = apply(b, &r, position, before - records.n);
        position += before - records.n;
    }
    if (b->replay)
        b->replay->last.number = 0;
    return e;
}

/* --- the end --- */

void replay_free(struct broker *b)
{
    if (!b->replay)
        return;
    loading_clear(&b->replay->loading);
    mem_free(b->replay, sizeof(*b->replay));
    b->replay = NULL;
}

/* Rows learn where their messages are. One whose message never came is lost. */
static void resolve_rows(struct flow *f, uint64_t *lost)
{
    for (uint64_t seq = flow_head(f); seq < flow_tail(f); seq++) {
        const struct flow_row *row = flow_row_at(f, seq);
        const struct stored *e;
        if (!row || !row->away)
            continue;
        e = stored_of_ticket(row->ticket);
        if (e->position > 0) {
            flow_load_resolve(f, seq, e->body, stored_content(e));
        } else {
            flow_load_done(f, seq);
            ++*lost;
        }
    }
}

static int compare_since(const void *a, const void *b)
{
    const struct loading_filter *const *x = a;
    const struct loading_filter *const *y = b;

    return ((*x)->since > (*y)->since) - ((*x)->since < (*y)->since);
}

static enum err resume_feeds(struct broker *b, struct session *s,
                             const struct loading_filter *const *f, size_t n)
{
    enum err e = ERR_OK;

    for (size_t i = 0; i < n && !e; i++) {
        struct str filter = str_of(f[i]->text, f[i]->len);
        e = subscription_add(&b->env, s, filter, f[i]->qos, FEED_ALL);
        if (!e)
            feed_resume(&b->env, s, filter, f[i]->since);
    }
    return e;
}

static enum err subscribe_all(struct broker *b, struct session *s, const struct loading_session *l)
{
    const struct loading_filter **fed = mem_alloc(l->feeds * sizeof(*fed));
    const struct loading_filter *f;
    uint64_t cursor = 0;
    size_t n = 0;
    enum err e = fed ? ERR_OK : ERR_NOMEM;

    while (!e && (f = loading_next_filter(l, &cursor))) {
        if (f->feed)
            fed[n++] = f;
        else
            e = subscription_add(&b->env, s, str_of(f->text, f->len), f->qos, FEED_NONE);
    }
    if (n > 0)
        qsort(fed, n, sizeof(*fed), compare_since);
    if (!e)
        e = resume_feeds(b, s, fed, n);
    mem_free(fed, fed ? l->feeds * sizeof(*fed) : 0);
    return e;
}

/* What has been collected of a session becomes one. */
static enum err make_session(struct broker *b, struct loading_session *l, int64_t wall_s,
                             uint64_t *lost)
{
    struct session *s;
    enum err e;

    resolve_rows(l->flow, lost);
    e = flow_load_end(l->flow, lost);
    if (e)
        return e;
    s = sessions_make(&b->sessions, str_of(l->id, l->id_len), l->number);
    if (!s)
        return ERR_NOMEM;
    s->absent_s = l->absent_s ? l->absent_s : wall_s;
    s->unnoted = l->absent_s == 0;
    b->unnoted |= s->unnoted;
    s->position = l->position;
    s->bridge = l->bridge;
    s->own = l->own;
    s->flow = l->flow;
    l->flow = NULL;
    session_weigh(&b->env, s,
                  (int64_t)(flow_queued(s->flow) + flow_inflight(s->flow)) * PERSIST_ROW_BYTES);
    session_settle(s);
    if (l->user)
        e = session_owned(&b->env, s, str_of(l->user, l->user_len), l->port);
    if (!e)
        e = subscribe_all(b, s, l);
    return e ? e : feed_has_given(&b->env, s, &l->given);
}

static enum err make_sessions(struct broker *b, int64_t wall_s, uint64_t *lost)
{
    uint64_t cursor = 0;
    struct loading_session *l;
    enum err e = ERR_OK;

    while (!e && (l = loading_next(&b->replay->loading, &cursor))) {
        if (l->id && !sessions_find(&b->sessions, str_of(l->id, l->id_len)))
            e = make_session(b, l, wall_s, lost);
    }
    return e;
}

enum err broker_apply_end(struct broker *b, uint64_t turn, int64_t wall_s, struct broker_lost *lost)
{
    enum err e = replay_begin(b);

    *lost = (struct broker_lost){0};
    if (!e)
        e = make_sessions(b, wall_s, &lost->rows);
    if (e)
        return e;
    b->persist.next_session = b->replay->loading.highest + 1;
    replay_free(b);
    b->persist.replaying = false;
    b->persist.turn = turn + 1;
    b->persist.durable = b->persist.recorded = turn;
    b->stats.retained = b->retain.count;
    return ERR_OK;
}
