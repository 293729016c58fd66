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

static const size_t number_key = offsetof(struct session, number);

void sessions_init(struct sessions *all, struct session_env *env)
{
    *all = (struct sessions){.env = env};
    TAILQ_INIT(&all->ended);
}

struct session *sessions_find(const struct sessions *all, struct str id)
{
    return table_find(&all->by_id, &ops, all, hash_id(all, id), &id);
}

struct session *sessions_numbered(const struct sessions *all, uint64_t number)
{
    return table_find(&all->by_number, &table_of_numbers, &number_key, table_hash_number(number),
                      &number);
}

void sessions_note(struct sessions *all, struct session *s)
{
    struct persist *p = all->env->persist;
    const struct flow *f = s->flow;
    struct record r = {.type = RECORD_CLIENT,
                       .session = s->number,
                       .seq = f ? flow_begun(f) : s->tail,
                       .time = (uint64_t)s->absent_s,
                       .id = f ? flow_last_id(f) : s->last_id,
                       .text = session_id(s)};

    if (!s->number || !persist_on(p) || persist_reserve(p, 1, s->id_len))
        return;
    s->position = persist_write(p, &r);
    session_record_owner(all->env, s);
    if (s->bridge && !persist_reserve(p, 1, 0))
        session_record(
            all->env, s,
            (struct record){.type = RECORD_BRIDGE, .flags = s->own ? RECORD_FLAG_OWN : 0});
}

void sessions_note_absent(struct sessions *all)
{
    uint64_t cursor = 0;
    struct session *s;

    while ((s = sessions_next(all, &cursor))) {
        if (s->unnoted)
            sessions_note(all, s);
        s->unnoted = false;
    }
}

static size_t session_size(struct str id)
{
    size_t n = offsetof(struct session, id) + id.n;

    return n < sizeof(struct session) ? sizeof(struct session) : n;
}

/* Into both tables, with memory for its first record; or into none. */
static enum err make_known(struct sessions *all, struct session *s)
{
    struct str id = session_id(s);

    if (persist_reserve(all->env->persist, 1, id.n) ||
        table_insert(&all->by_id, &ops, all, hash_id(all, id), s))
        return ERR_NOMEM;
    if (s->number == 0 || !table_insert(&all->by_number, &table_of_numbers, &number_key,
                                        table_hash_number(s->number), s))
        return ERR_OK;
    (void)table_remove(&all->by_id, &ops, all, hash_id(all, id), &id);
    return ERR_NOMEM;
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
    s->number = number == SESSIONS_NEW ? p->next_session : number;
    if (make_known(all, s)) {
        mem_free(s, session_size(session_id(s)));
        return NULL;
    }
    if (number == SESSIONS_NEW)
        p->next_session++;
    session_weigh(all->env, s, PERSIST_SESSION_BYTES + s->id_len);
    if (++all->env->stats->sessions > all->env->stats->sessions_most)
        all->env->stats->sessions_most = all->env->stats->sessions;
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

    if (s->number) {
        (void)persist_write(all->env->persist,
                            &(struct record){.type = RECORD_CLIENT_END, .session = s->number});
        session_weigh(all->env, s, -(int64_t)s->live);
        (void)table_remove(&all->by_number, &table_of_numbers, &number_key,
                           table_hash_number(s->number), &s->number);
    }
    (void)table_remove(&all->by_id, &ops, all, hash_id(all, id), &id);
    session_leave_work(all->env, s);
    session_set_kin(all->env, s, 0);
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
        session_disown(all->env, s);
        mem_free(s, session_size(session_id(s)));
    }
    return false;
}

/* The walk begins so often, and looks at so many sessions in a turn. */
enum { EXPIRE_EVERY_MS = 5000, EXPIRE_PER_TURN = 1000 };

static bool has_expired(const struct session *s, int64_t now_s, int64_t limit_s)
{
    return s->number && !s->out && !s->own && s->absent_s > 0 && now_s - s->absent_s > limit_s;
}

static void expire(struct sessions *all, struct session *s)
{
    char id[128];

    if (sessions_end_reserve(all, s))
        return; /* the next walk finds it again */
    log_notice(all->env->log, "Expiring persistent client %s due to timeout.",
               str_escape_strict(session_id(s), id, sizeof(id)));
    sessions_end(all, s);
    all->env->stats->sessions_expired++;
}

uint64_t sessions_expire(struct sessions *all, const struct now *now, int64_t limit_s)
{
    struct session *s = NULL;

    if (limit_s == 0)
        return UINT64_MAX;
    if (all->expiring == 0 && now->mono_ms < all->expire_ms)
        return all->expire_ms;
    for (int n = 0; n < EXPIRE_PER_TURN && !work_is_spent(all->env->work); n++) {
        s = sessions_next(all, &all->expiring);
        if (!s)
            break;
        if (has_expired(s, now->wall_s, limit_s))
            expire(all, s);
        work_charge(all->env->work, WORK_PACKET);
    }
    if (s)
        return 0;
    all->expiring = 0;
    all->expire_ms = now->mono_ms + EXPIRE_EVERY_MS;
    return all->expire_ms;
}

void sessions_clock_set(struct sessions *all, int64_t since, int64_t by)
{
    uint64_t cursor = 0;
    struct session *s;

    while ((s = sessions_next(all, &cursor))) {
        if (!s->out && s->absent_s >= since)
            s->absent_s += by;
    }
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
    table_clear(&all->by_number);
    do
        *all->env->work = (struct work){0};
    while (sessions_work(all));
}

struct session *sessions_next(const struct sessions *all, uint64_t *cursor)
{
    return table_next(&all->by_id, cursor);
}
