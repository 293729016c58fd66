/*
 * Feeds are found by session and filter, so that subscribing again begins the same one anew instead
 * of adding another.
 */
#include "core/feed.h"

#include "base/mem.h"

#include <assert.h>

struct feed_key {
    const struct session *session;
    struct str filter;
};

static uint64_t hash_feed(const struct session_env *env, const struct session *s, struct str filter)
{
    return table_mix(table_hash(env->seed, filter.p, filter.n), (uintptr_t)s);
}

static uint64_t feed_hash(const void *entry, const void *ctx)
{
    const struct retain_cursor *c = entry;

    return hash_feed(ctx, c->owner, retain_cursor_filter(c));
}

static bool feed_equal(const void *entry, const void *key, const void *ctx)
{
    const struct retain_cursor *c = entry;
    const struct feed_key *k = key;

    (void)ctx;
    return c->owner == k->session && str_eq(retain_cursor_filter(c), k->filter);
}

static const struct table_ops feed_ops = {.hash = feed_hash, .equal = feed_equal};

struct retain_cursor *feed_find(const struct session_env *env, const struct session *s,
                                struct str filter)
{
    struct feed_key key = {.session = s, .filter = filter};

    if (TAILQ_EMPTY(&s->cursors))
        return NULL;
    return table_find(&env->feeds, &feed_ops, env, hash_feed(env, s, filter), &key);
}

/* --- what was given in a former life --- */

struct given {
    uint64_t number; /* of the message */
    uint64_t seq;    /* the last row that it was given in */
};

static const size_t given_key = offsetof(struct given, number);

static struct given *given_find(const struct table *given, uint64_t number)
{
    return table_find(given, &table_of_numbers, &given_key, table_hash_number(number), &number);
}

enum err feed_given_add(struct table *given, uint64_t number, uint64_t seq)
{
    struct given *g = given_find(given, number);

    if (g) {
        g->seq = seq > g->seq ? seq : g->seq;
        return ERR_OK;
    }
    g = mem_alloc(sizeof(*g));
    if (!g)
        return ERR_NOMEM;
    *g = (struct given){.number = number, .seq = seq};
    if (table_insert(given, &table_of_numbers, &given_key, table_hash_number(number), g)) {
        mem_free(g, sizeof(*g));
        return ERR_NOMEM;
    }
    return ERR_OK;
}

void feed_given_clear(struct table *given)
{
    uint64_t cursor = 0;
    struct given *g;

    while ((g = table_next(given, &cursor)))
        mem_free(g, sizeof(*g));
    table_clear(given);
}

struct resumed {
    uint64_t session;   /* its address */
    struct table given; /* of struct given */
};

static const size_t resumed_key = offsetof(struct resumed, session);

static uint64_t key_of(const struct session *s)
{
    return (uintptr_t)s;
}

void feed_resume(struct session_env *env, const struct session *s, struct str filter,
                 uint64_t since)
{
    struct retain_cursor *c = feed_find(env, s, filter);

    if (!c || since > c->since) /* rows are missing: others will have their numbers */
        return;
    c->resumed = true;
    c->since = since;
}

enum err feed_has_given(struct session_env *env, const struct session *s, struct table *given)
{
    struct resumed *r = NULL;
    enum err e = ERR_OK;

    if (given->count > 0 && !TAILQ_EMPTY(&s->cursors)) {
        r = mem_alloc(sizeof(*r));
        e = r ? ERR_OK : ERR_NOMEM;
    }
    if (r) {
        *r = (struct resumed){.session = key_of(s), .given = *given};
        e = table_insert(&env->resumed, &table_of_numbers, &resumed_key,
                         table_hash_number(r->session), r);
    }
    if (!r || e)
        feed_given_clear(given);
    if (r && e)
        mem_free(r, sizeof(*r));
    *given = (struct table){0};
    return e;
}

/* Has this feed, in a former life? */
static bool was_given(const struct session_env *env, const struct retain_cursor *c,
                      const struct message *m)
{
    const struct stored *e = stored_of(m);
    const uint64_t key = key_of(c->owner);
    const struct resumed *r;
    const struct given *g;

    if (LIKELY(!c->resumed) || !e)
        return false;
    r = table_find(&env->resumed, &table_of_numbers, &resumed_key, table_hash_number(key), &key);
    g = r ? given_find(&r->given, e->number) : NULL;
    return g && g->seq >= c->since;
}

/* All its feeds are over. */
static void forget_given(struct session_env *env, const struct session *s)
{
    const uint64_t key = key_of(s);
    struct resumed *r;

    if (LIKELY(env->resumed.count == 0) || !TAILQ_EMPTY(&s->cursors))
        return;
    r = table_remove(&env->resumed, &table_of_numbers, &resumed_key, table_hash_number(key), &key);
    if (!r)
        return;
    feed_given_clear(&r->given);
    mem_free(r, sizeof(*r));
}

/* --- feeds --- */

void feed_end(struct session_env *env, struct session *s, struct str filter)
{
    struct feed_key key = {.session = s, .filter = filter};
    struct retain_cursor *c = NULL;

    if (!TAILQ_EMPTY(&s->cursors))
        c = table_remove(&env->feeds, &feed_ops, env, hash_feed(env, s, filter), &key);
    if (!c)
        return;
    TAILQ_REMOVE(&s->cursors, c, entry);
    retain_cursor_free(env->retain, c);
    forget_given(env, s);
}

/* A prepared cursor becomes this session's feed, in the place of a former one for the same filter.
 * A slot was reserved. */
void feed_begin(struct session_env *env, struct session *s, struct retain_cursor *c)
{
    struct str filter = retain_cursor_filter(c);
    struct feed_key key = {.session = s, .filter = filter};
    uint64_t hash = hash_feed(env, s, filter);
    struct retain_cursor *former;
    enum err e = ERR_OK;

    c->owner = s;
    former = table_replace(&env->feeds, &feed_ops, env, hash, &key, c);
    if (former) {
        TAILQ_REMOVE(&s->cursors, former, entry);
        retain_cursor_free(env->retain, former);
    } else {
        e = table_insert(&env->feeds, &feed_ops, env, hash, c);
    }
    assert(!e);
    TAILQ_INSERT_TAIL(&s->cursors, c, entry);
    session_want_work(env, s);
}

static void feed_finished(struct session_env *env, struct session *s, struct retain_cursor *c)
{
    struct str filter = retain_cursor_filter(c);

    /* Without memory for the record the feed would begin again after a crash: allowed. */
    if (!c->unsafe_only && !session_record_reserve(env, s, 1, filter.n))
        session_record(env, s, (struct record){.type = RECORD_FED, .text = filter});
    feed_end(env, s, filter);
}

/*
 * One cursor goes on. ERR_OK: it may go on now; ERR_NOT_FOUND: it is finished; ERR_AGAIN: another
 * time, and broker_work should come back; ERR_FULL: when the outbox or the window has room again.
 */
static enum err feed_step(struct session_env *env, struct session *s, struct retain_cursor *c)
{
    unsigned budget = 64;
    struct message *m;
    enum err e;

    if (outbox_bytes(s->out) >= OUTBOX_PUMP)
        return ERR_FULL;
    if (work_is_spent(env->work))
        return ERR_AGAIN;
    if (c->qos > QOS_0 && session_reserve_alone(env, s, 0))
        return ERR_AGAIN;
    if (c->qos > QOS_0 && !flow_window_open(s->flow, session_limits(env, s)))
        return ERR_FULL;
    e = retain_cursor_next(env->retain, c, &budget, &m);
    work_charge(env->work, (64 - budget) * WORK_STEP);
    if (e == ERR_AGAIN)
        return ERR_OK;
    if (e)
        return e;
    if (c->qos > QOS_0 && (was_given(env, c, m) || (c->unsafe_only && m->qos > QOS_0)))
        return ERR_OK;
    return session_give_retained(env, s, m, c->qos) ? ERR_OK : ERR_AGAIN;
}

void feed_pump(struct session_env *env, struct session *s)
{
    struct retain_cursor *c;

    while (s->out && !s->out->shut && (c = TAILQ_FIRST(&s->cursors))) {
        enum err e = feed_step(env, s, c);
        if (e == ERR_NOT_FOUND)
            feed_finished(env, s, c);
        else if (e == ERR_FULL)
            return;
        else if (e)
            break;
    }
    if (s->out && !s->out->shut && !TAILQ_EMPTY(&s->cursors))
        session_want_work(env, s);
}

enum err feed_reserve(struct session_env *env)
{
    return table_reserve(&env->feeds, &feed_ops, env);
}

bool feed_drop_all(struct session_env *env, struct session *s)
{
    struct retain_cursor *c;

    while ((c = TAILQ_FIRST(&s->cursors))) {
        if (work_is_spent(env->work))
            return false;
        feed_end(env, s, retain_cursor_filter(c));
        work_charge(env->work, WORK_FREE);
    }
    return true;
}
