/*
 * A session that has ended may own a million subscriptions; it leaves the table at once and is
 * taken apart within each turn's budget.
 */
#include "core/sessions.h"

#include "base/mem.h"
#include "core/feed.h"
#include "core/subscription.h"

#include <string.h>

static uint64_t hash_id(const struct sessions *all, struct str id)
{
    return table_hash(all->env->seed, id.p, id.n);
}

static uint64_t session_hash(const void *entry, const void *ctx)
{
    return hash_id(ctx, session_id(entry));
}

static bool session_equal(const void *entry, const void *key, const void *ctx)
{
    const struct str *id = key;

    (void)ctx;
    return str_eq(session_id(entry), *id);
}

static const struct table_ops ops = {.hash = session_hash, .equal = session_equal};

void sessions_init(struct sessions *all, struct session_env *env)
{
    *all = (struct sessions){.env = env};
    TAILQ_INIT(&all->ended);
}

struct session *sessions_find(const struct sessions *all, struct str id)
{
    return table_find(&all->by_id, &ops, all, hash_id(all, id), &id);
}

void sessions_note(struct sessions *all, const struct session *s)
{
    struct record r = {.type = RECORD_CLIENT,
                       .session = s->number,
                       .time = (uint64_t)s->absent_s,
                       .text = session_id(s)};

    if (s->number && !persist_reserve(all->env->persist, 1, s->id_len))
        persist_write(all->env->persist, &r);
}

static size_t session_size(struct str id)
{
    size_t n = offsetof(struct session, id) + id.n;

    return n < sizeof(struct session) ? sizeof(struct session) : n;
}

struct session *sessions_make(struct sessions *all, struct str id, uint64_t number)
{
    struct persist *p = all->env->persist;
    struct session *s = mem_zalloc(session_size(id));

    if (!s)
        return NULL;
    s->id_len = (uint16_t)id.n;
    if (id.n > 0)
        memcpy(s->id, id.p, id.n);
    TAILQ_INIT(&s->cursors);
    if (persist_reserve(p, 1, id.n) || table_insert(&all->by_id, &ops, all, hash_id(all, id), s)) {
        mem_free(s, session_size(session_id(s)));
        return NULL;
    }
    s->number = number == SESSIONS_NEW ? p->next_session++ : number;
    all->env->stats->sessions++;
    if (number == SESSIONS_NEW)
        sessions_note(all, s);
    return s;
}

enum err sessions_end_reserve(struct sessions *all, const struct session *s)
{
    return s->number ? persist_reserve(all->env->persist, 1, 0) : ERR_OK;
}

void sessions_end(struct sessions *all, struct session *s)
{
    struct str id = session_id(s);

    if (s->number)
        persist_write(all->env->persist,
                      &(struct record){.type = RECORD_CLIENT_END, .session = s->number});
    (void)table_remove(&all->by_id, &ops, all, hash_id(all, id), &id);
    session_leave_work(all->env, s);
    s->number = 0;
    s->serial = 0;
    s->ended = true;
    all->env->stats->sessions--;
    TAILQ_INSERT_TAIL(&all->ended, s, work);
}

bool sessions_work(struct sessions *all)
{
    struct session *s;

    while ((s = TAILQ_FIRST(&all->ended))) {
        if (!feed_drop_all(all->env, s) || !session_drop_rows(all->env, s) ||
            !subscription_drop_all(all->env, s))
            return true;
        TAILQ_REMOVE(&all->ended, s, work);
        mem_free(s, session_size(session_id(s)));
    }
    return false;
}

void sessions_clear(struct sessions *all)
{
    uint64_t cursor = 0;
    struct session *s;

    all->env->persist->replaying = true; /* what dies with the broker is not recorded */
    while ((s = table_next(&all->by_id, &cursor))) {
        session_leave_work(all->env, s);
        s->ended = true;
        s->serial = 0;
        TAILQ_INSERT_TAIL(&all->ended, s, work);
    }
    table_clear(&all->by_id);
    do
        *all->env->work = (struct work){0};
    while (sessions_work(all));
}

struct session *sessions_next(const struct sessions *all, uint64_t *cursor)
{
    return table_next(&all->by_id, cursor);
}
