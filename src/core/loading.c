/*
 * Numbers and filters come from the journal, not from a peer, but are as little trusted: the tables
 * are keyed with a fixed seed, and nobody who could choose collisions writes our files.
 */
#include "core/loading.h"

#include "base/mem.h"
#include "core/feed.h"

#include <string.h>

/* --- filters of one session --- */

static uint64_t hash_text(struct str text)
{
    return table_hash(0, text.p, text.n);
}

static struct str filter_text(const struct loading_filter *f)
{
    return str_of(f->text, f->len);
}

static uint64_t filter_hash(const void *entry, const void *ctx)
{
    (void)ctx;
    return hash_text(filter_text(entry));
}

static bool filter_equal(const void *entry, const void *key, const void *ctx)
{
    const struct str *text = key;

    (void)ctx;
    return str_eq(filter_text(entry), *text);
}

static const struct table_ops filter_ops = {.hash = filter_hash, .equal = filter_equal};

static void filter_free(struct loading_filter *f)
{
    mem_free(f, f ? sizeof(*f) + f->len : 0);
}

static struct loading_filter *filter_find(const struct loading_session *l, struct str text)
{
    return table_find(&l->filters, &filter_ops, NULL, hash_text(text), &text);
}

/* What was given stays, though there may be no other: of one under way cleaning may have moved the
 * FEED behind this. */
static void set_feed(struct loading_session *l, struct loading_filter *f, bool feed)
{
    l->feeds += feed;
    l->feeds -= f->feed;
    f->feed = feed;
}

/* NULL without memory. */
static struct loading_filter *filter_make(struct loading_session *l, struct str filter)
{
    struct loading_filter *f = filter_find(l, filter);

    if (f)
        return f;
    f = mem_alloc(sizeof(*f) + filter.n);
    if (!f)
        return NULL;
    *f = (struct loading_filter){.len = (uint32_t)filter.n};
    memcpy(f->text, filter.p, filter.n);
    if (table_insert(&l->filters, &filter_ops, NULL, hash_text(filter), f)) {
        filter_free(f);
        return NULL;
    }
    return f;
}

enum err loading_subscribe(struct loading_session *l, struct str filter, enum qos qos)
{
    struct loading_filter *f = filter_make(l, filter);

    if (!f)
        return ERR_NOMEM;
    f->qos = qos;
    set_feed(l, f, false);
    return ERR_OK;
}

enum err loading_feed(struct loading_session *l, struct str filter, enum qos qos, uint64_t since)
{
    struct loading_filter *f = filter_make(l, filter);

    if (!f)
        return ERR_NOMEM;
    f->qos = qos;
    f->since = since;
    set_feed(l, f, true);
    return ERR_OK;
}

void loading_unsubscribe(struct loading_session *l, struct str filter)
{
    struct loading_filter *f =
        table_remove(&l->filters, &filter_ops, NULL, hash_text(filter), &filter);

    if (f)
        set_feed(l, f, false);
    filter_free(f);
}

void loading_fed(struct loading_session *l, struct str filter)
{
    struct loading_filter *f = filter_find(l, filter);

    if (f)
        set_feed(l, f, false);
}

struct loading_filter *loading_next_filter(const struct loading_session *l, uint64_t *cursor)
{
    return table_next(&l->filters, cursor);
}

/* --- sessions --- */

static const size_t session_key = offsetof(struct loading_session, number);

static void session_free(struct loading_session *l)
{
    uint64_t cursor = 0;
    struct loading_filter *f;

    if (!l)
        return;
    while ((f = loading_next_filter(l, &cursor)))
        filter_free(f);
    table_clear(&l->filters);
    feed_given_clear(&l->given);
    flow_free(l->flow);
    mem_free(l->id, l->id ? (size_t)l->id_len + 1 : 0);
    mem_free(l->user, l->user ? (size_t)l->user_len + 1 : 0);
    mem_free(l, sizeof(*l));
}

static void release(struct stored *e)
{
    if (e->body)
        message_unref(e->body);
    else
        blob_unref(&e->blob);
}

void loading_clear(struct loading *all)
{
    uint64_t cursor = 0;
    struct loading_session *l;
    struct stored *e;

    while ((l = loading_next(all, &cursor)))
        session_free(l);
    table_clear(&all->sessions);
    cursor = 0;
    while ((e = table_next(&all->messages, &cursor)))
        release(e);
    table_clear(&all->messages);
}

struct loading_session *loading_session(struct loading *all, uint64_t number)
{
    struct loading_session *l = table_find(&all->sessions, &table_of_numbers, &session_key,
                                           table_hash_number(number), &number);

    if (l)
        return l;
    l = mem_zalloc(sizeof(*l));
    if (!l)
        return NULL;
    l->number = number;
    if (table_insert(&all->sessions, &table_of_numbers, &session_key, table_hash_number(number),
                     l)) {
        session_free(l);
        return NULL;
    }
    if (number > all->highest)
        all->highest = number;
    return l;
}

void loading_end(struct loading *all, uint64_t number)
{
    if (number > all->highest)
        all->highest = number;
    session_free(table_remove(&all->sessions, &table_of_numbers, &session_key,
                              table_hash_number(number), &number));
}

/* Of n + 1 bytes; NULL without memory. */
static char *copy_of(struct str text)
{
    char *copy = mem_alloc(text.n + 1);

    if (copy && text.n > 0)
        memcpy(copy, text.p, text.n);
    return copy;
}

enum err loading_name(struct loading_session *l, struct str id)
{
    if (l->id)
        return ERR_OK;
    l->id = copy_of(id);
    if (!l->id)
        return ERR_NOMEM;
    l->id_len = (uint16_t)id.n;
    return ERR_OK;
}

enum err loading_own(struct loading_session *l, struct str user, uint16_t port)
{
    char *copy = copy_of(user);

    if (!copy)
        return ERR_NOMEM;
    mem_free(l->user, l->user ? (size_t)l->user_len + 1 : 0);
    l->user = copy;
    l->user_len = (uint16_t)user.n;
    l->port = port;
    return ERR_OK;
}

enum err loading_need_flow(struct loading_session *l)
{
    if (!l->flow)
        l->flow = flow_new(NULL);
    return l->flow ? ERR_OK : ERR_NOMEM;
}

struct loading_session *loading_next(const struct loading *all, uint64_t *cursor)
{
    return table_next(&all->sessions, cursor);
}

/* --- messages --- */

static const size_t message_key = offsetof(struct stored, number);

/* Mostly it is the newest, or one newer still: then there is nothing to look for. */
struct stored *loading_find_message(const struct loading *all, uint64_t number)
{
    if (!all->newest || number >= all->newest->number)
        return all->newest && number == all->newest->number ? all->newest : NULL;
    return table_find(&all->messages, &table_of_numbers, &message_key, table_hash_number(number),
                      &number);
}

struct stored *loading_message(struct loading *all, struct stored_all *stored, uint64_t number)
{
    struct stored *e = loading_find_message(all, number);

    if (e)
        return e;
    if (table_reserve(&all->messages, &table_of_numbers, &message_key) || stored_reserve(stored))
        return NULL;
    e = stored_add(stored, number);
    if (table_insert(&all->messages, &table_of_numbers, &message_key, table_hash_number(number),
                     e)) {
        blob_unref(&e->blob);
        return NULL;
    }
    if (!all->newest || number > all->newest->number)
        all->newest = e;
    return e;
}
