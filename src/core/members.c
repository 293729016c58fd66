/*
 * The index holds places instead of words, so that its entries are compared with what stands there.
 */
#include "core/members.h"

#include "base/mem.h"

#define CAP_LEAST 3 /* what fits in the smallest block that malloc cuts */

static const struct session *session_of(uintptr_t word)
{
    return (const struct session *)(word & ~(uintptr_t)MEMBERS_FLAGS);
}

static uint64_t hash_session(const struct session *s)
{
    return table_hash_number((uintptr_t)s);
}

static const struct session *session_at(const struct members *m, const void *entry)
{
    return session_of(m->v[(uintptr_t)entry - 1]);
}

static uint64_t place_hash(const void *entry, const void *ctx)
{
    return hash_session(session_at(ctx, entry));
}

static bool place_equal(const void *entry, const void *key, const void *ctx)
{
    return session_at(ctx, entry) == key;
}

static const struct table_ops ops = {.hash = place_hash, .equal = place_equal};

/* Where the session's word stands, counted from 1; 0: nowhere. */
static uint32_t place_of(const struct members *m, const struct session *s)
{
    if (m->index)
        return (uint32_t)(uintptr_t)table_find(m->index, &ops, m, hash_session(s), s);
    for (uint32_t i = 0; i < m->n; i++) {
        if (session_of(m->v[i]) == s)
            return i + 1;
    }
    return 0;
}

uintptr_t members_find(const struct members *m, const struct session *s)
{
    uint32_t place = place_of(m, s);

    return place ? m->v[place - 1] : 0;
}

static enum err index_add(struct members *m, uint32_t place)
{
    return table_insert(m->index, &ops, m, hash_session(session_of(m->v[place - 1])),
                        (void *)(uintptr_t)place);
}

static void index_drop(struct members *m)
{
    if (!m->index)
        return;
    table_clear(m->index);
    mem_free(m->index, sizeof(*m->index));
    m->index = NULL;
}

static enum err index_make(struct members *m)
{
    enum err e = ERR_OK;

    m->index = mem_zalloc(sizeof(*m->index));
    if (!m->index)
        return ERR_NOMEM;
    for (uint32_t place = 1; place <= m->n && !e; place++)
        e = index_add(m, place);
    if (e)
        index_drop(m);
    return e;
}

static enum err resize(struct members *m, uint32_t cap)
{
    uintptr_t *v = mem_realloc(m->v, m->cap * sizeof(*v), cap * sizeof(*v));

    if (!v)
        return ERR_NOMEM;
    m->v = v;
    m->cap = cap;
    return ERR_OK;
}

static enum err add(struct members *m, uintptr_t word)
{
    enum err e = ERR_OK;

    if (m->n == m->cap)
        e = resize(m, m->cap ? m->cap + (m->cap + 1) / 2 : CAP_LEAST);
    if (e)
        return e;
    m->v[m->n++] = word;
    if (m->index)
        e = index_add(m, m->n);
    else if (m->n == MEMBERS_INDEXED)
        e = index_make(m);
    m->n -= e != ERR_OK;
    return e;
}

enum err members_put(struct members *m, uintptr_t word, bool *is_new)
{
    uint32_t place = place_of(m, session_of(word));

    *is_new = place == 0;
    if (*is_new)
        return add(m, word);
    m->v[place - 1] = word;
    return ERR_OK;
}

void members_remove(struct members *m, const struct session *s)
{
    uint32_t place = place_of(m, s);
    const struct session *last = m->n ? session_of(m->v[m->n - 1]) : NULL;

    if (!place)
        return;
    if (m->index) {
        (void)table_remove(m->index, &ops, m, hash_session(s), s);
        if (last != s)
            (void)table_replace(m->index, &ops, m, hash_session(last), last,
                                (void *)(uintptr_t)place);
    }
    m->v[place - 1] = m->v[m->n - 1];
    m->n--;
    if (m->n < MEMBERS_INDEXED / 2)
        index_drop(m);
    /* Without memory it stays as large as it is, and tries again at the next removal. */
    if (m->n < m->cap / 4 && m->n >= CAP_LEAST)
        (void)!resize(m, m->cap / 2);
}

void members_clear(struct members *m)
{
    index_drop(m);
    mem_free(m->v, m->cap * sizeof(*m->v));
    *m = (struct members){0};
}
