/*
 * Sorting costs a list of pointers, never a copy of a message.
 */
#include "core/visit.h"

#include "base/mem.h"
#include "core/feed.h"
#include "core/state.h"

#include <stdlib.h>

#define FILTER_ROOM 65536

/* --- messages and rows --- */

static struct visit_message describe_entry(const struct stored *e)
{
    struct visit_message m = {.away = true, .position = e->position, .bytes = e->bytes};

    return m;
}

static struct visit_message describe_message(const struct message *body)
{
    const struct stored *e = stored_of(body);
    struct visit_message m = {
        .topic = message_topic(body), .payload = message_payload(body), .qos = (enum qos)body->qos};

    if (e) {
        m.position = e->position;
        m.bytes = e->bytes;
    }
    return m;
}

static enum err visit_row(const struct visitor *v, const struct visit_session *s, uint64_t seq,
                          const struct flow_row *row)
{
    struct visit_message m;
    struct visit_row out = {.seq = seq,
                            .qos = (enum qos)row->qos,
                            .retain = row->retain,
                            .state = (enum flow_state)row->state,
                            .id = row->id};

    if (row->away) {
        m = describe_entry(stored_of_ticket(row->ticket));
        out.message = &m;
    } else if (row->message) {
        m = describe_message(row->message);
        out.message = &m;
    }
    return v->row(v->ctx, s, &out);
}

static enum err visit_flow(const struct visitor *v, const struct visit_session *out,
                           const struct session *s)
{
    enum err e = ERR_OK;

    if (!s->flow)
        return ERR_OK;
    for (uint64_t seq = flow_head(s->flow); v->row && !e && seq < flow_tail(s->flow); seq++) {
        const struct flow_row *row = flow_row_at(s->flow, seq);
        if (row->state != FLOW_DONE)
            e = visit_row(v, out, seq, row);
    }
    for (uint32_t id = idset_next(flow_inbound(s->flow), 1); v->inbound && !e && id;
         id = idset_next(flow_inbound(s->flow), id + 1))
        e = v->inbound(v->ctx, out, (uint16_t)id);
    return e;
}

/* --- subscriptions --- */

/* A session's subscriptions while they are sorted; their texts stand in one buffer. */
struct filters {
    struct visit_subscription *all;
    size_t count;
    struct buf text;
};

static int compare_filters(const void *a, const void *b)
{
    const struct visit_subscription *x = a;
    const struct visit_subscription *y = b;

    return str_cmp(x->filter, y->filter);
}

/* The buffer moves while it grows: slices begin as lengths, and point only when all is there. */
static void point_filters(struct filters *f)
{
    const char *p = (const char *)buf_begin(&f->text);

    for (size_t i = 0; i < f->count; i++) {
        f->all[i].filter.p = p;
        p += f->all[i].filter.n;
    }
}

static enum err gather_filters(const struct broker *b, const struct session *s, struct filters *f)
{
    uint64_t cursor = 0;
    trie_place place;

    while ((place = (trie_place)table_next(&s->subs, &cursor))) {
        struct visit_subscription *sub = &f->all[f->count];
        char *to;
        if (buf_reserve(&f->text, FILTER_ROOM))
            return ERR_NOMEM;
        to = (char *)buf_end(&f->text);
        sub->filter.n = trie_describe(&b->trie, place, s, to, &sub->qos);
        sub->feed = feed_find(&b->env, s, str_of(to, sub->filter.n)) != NULL;
        buf_added(&f->text, sub->filter.n);
        f->count++;
    }
    point_filters(f);
    qsort(f->all, f->count, sizeof(*f->all), compare_filters);
    return ERR_OK;
}

static enum err visit_subscriptions(const struct broker *b, const struct visitor *v,
                                    const struct visit_session *out, const struct session *s)
{
    struct filters f = {0};
    size_t size = s->subs.count * sizeof(*f.all);
    enum err e;

    if (!v->subscription || size == 0)
        return ERR_OK;
    f.all = mem_zalloc(size);
    e = f.all ? gather_filters(b, s, &f) : ERR_NOMEM;
    for (size_t i = 0; i < f.count && !e; i++)
        e = v->subscription(v->ctx, out, &f.all[i]);
    buf_clear(&f.text);
    mem_free(f.all, size);
    return e;
}

/* --- sessions --- */

static enum err visit_session(const struct broker *b, const struct visitor *v,
                              const struct session *s)
{
    struct visit_session out = {.id = session_id(s),
                                .number = s->number,
                                .absent_s = s->absent_s,
                                .tail = session_tail(s),
                                .last_id = s->last_id,
                                .subscriptions = s->subs.count};
    enum err e;

    if (s->flow) {
        out.last_id = flow_last_id(s->flow);
        out.queued = flow_queued(s->flow);
        out.inflight = flow_inflight(s->flow);
        out.bytes = flow_queued_bytes(s->flow) + flow_inflight_bytes(s->flow);
    }
    e = v->session ? v->session(v->ctx, &out) : ERR_OK;
    if (!e)
        e = visit_subscriptions(b, v, &out, s);
    return e ? e : visit_flow(v, &out, s);
}

static int compare_sessions(const void *a, const void *b)
{
    return str_cmp(session_id(*(struct session *const *)a),
                   session_id(*(struct session *const *)b));
}

static enum err visit_sessions(const struct broker *b, const struct visitor *v)
{
    size_t size = b->sessions.by_id.count * sizeof(struct session *);
    const struct session **all = mem_alloc(size);
    const struct session *s;
    uint64_t cursor = 0;
    size_t n = 0;
    enum err e = all ? ERR_OK : ERR_NOMEM;

    while (!e && (s = sessions_next(&b->sessions, &cursor))) {
        if (s->number)
            all[n++] = s;
    }
    if (!e)
        qsort(all, n, sizeof(struct session *), compare_sessions);
    for (size_t i = 0; i < n && !e; i++)
        e = visit_session(b, v, all[i]);
    mem_free(all, size);
    return e;
}

enum err visit_client(const struct broker *b, struct str id, const struct visitor *v)
{
    const struct session *s = sessions_find(&b->sessions, id);

    return s && s->number ? visit_session(b, v, s) : ERR_NOT_FOUND;
}

/* --- retained messages --- */

static int compare_topics(const void *a, const void *b)
{
    return str_cmp(message_topic(*(struct message *const *)a),
                   message_topic(*(struct message *const *)b));
}

static enum err visit_retained(const struct broker *b, const struct visitor *v)
{
    size_t size = (size_t)b->retain.count * sizeof(struct message *);
    const struct message **all = mem_alloc(size);
    const struct message *m;
    uint64_t cursor = 0;
    size_t n = 0;
    enum err e = all ? ERR_OK : ERR_NOMEM;

    while (!e && (m = retain_walk(&b->retain, &cursor)))
        all[n++] = m;
    if (!e)
        qsort(all, n, sizeof(struct message *), compare_topics);
    for (size_t i = 0; i < n && !e; i++) {
        struct visit_message out = describe_message(all[i]);
        e = v->retained(v->ctx, &out);
    }
    mem_free(all, size);
    return e;
}

enum err visit_all(const struct broker *b, const struct visitor *v)
{
    enum err e = visit_sessions(b, v);

    return e || !v->retained ? e : visit_retained(b, v);
}
