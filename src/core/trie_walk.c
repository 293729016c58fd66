/*
 * Depth first, without recursion; what is found are nodes, so that a parked walk holds no session.
 */
#include "core/trie_walk.h"

#include "base/mem.h"
#include "core/trie.h"

#include <assert.h>

static enum err collect_set(const struct subscribers *set, struct trie_list *words)
{
    uint64_t cursor = 0;
    void *word;

    if (trie_list_fit(words, set->members.count))
        return ERR_NOMEM;
    while ((word = table_next(&set->members, &cursor)))
        words->v[words->n++] = (uintptr_t)word;
    for (struct group *g = set->groups; g; g = g->next) {
        if (trie_list_fit(words, 1))
            return ERR_NOMEM;
        words->v[words->n++] = (uintptr_t)g | WORD_GROUP;
    }
    return ERR_OK;
}

enum err trie_collect(const struct trie_walk *w, struct trie_list *words)
{
    enum err e;

    words->n = 0;
    e = trie_list_fit(words, w->found.n);
    for (size_t i = 0; i < w->found.n && !e; i++) {
        const struct trie_node *n = (const struct trie_node *)w->found.v[i];
        if (n->subs & WORD_SINGLE) {
            e = trie_list_fit(words, 1);
            if (!e)
                words->v[words->n++] = n->subs & ~(uintptr_t)WORD_SINGLE;
        } else if (n->subs) {
            e = collect_set(trie_node_set(n), words);
        }
    }
    return e;
}

static enum err found(struct trie_walk *w, const struct trie_node *n)
{
    if (n->subs == 0)
        return ERR_OK;
    if (trie_list_fit(&w->found, 1))
        return ERR_NOMEM;
    w->found.v[w->found.n++] = (uintptr_t)n;
    return ERR_OK;
}

struct levels {
    unsigned n;
    struct str text[TOPIC_LEVELS_MAX];
    uint64_t hash[TOPIC_LEVELS_MAX];
};

static void levels_split(const struct trie *t, struct str topic, struct levels *l)
{
    size_t at = 0;

    l->n = 0;
    while (l->n < TOPIC_LEVELS_MAX && topic_level(topic, &at, &l->text[l->n])) {
        l->hash[l->n] = table_hash(t->seed, l->text[l->n].p, l->text[l->n].n);
        l->n++;
    }
}

static void push(struct trie_walk *w, const struct trie_node *n, uint32_t depth)
{
    w->stack[w->top++] = (struct trie_visit){.node = n, .depth = depth};
}

void trie_walk_begin(const struct trie *t, struct trie_walk *w)
{
    w->found.n = 0;
    w->top = 0;
    push(w, t->root, 0);
}

static enum err visit(const struct trie *t, struct trie_walk *w, const struct levels *l,
                      bool dollar)
{
    struct trie_visit v = w->stack[--w->top];
    bool wildcards = v.depth > 0 || !dollar;
    const struct trie_node *exact;
    enum err e = ERR_OK;

    if (v.node->hash && wildcards)
        e = found(w, v.node->hash); /* '#' matches its parent too (4.7.1.2) */
    if (v.depth == l->n)
        return e ? e : found(w, v.node);
    if (v.node->plus && wildcards)
        push(w, v.node->plus, v.depth + 1);
    exact = trie_edge(t, v.node, l->text[v.depth], l->hash[v.depth]);
    if (exact)
        push(w, exact, v.depth + 1);
    return e;
}

enum err trie_walk_on(struct trie *t, struct trie_walk *w, struct str topic, uint32_t visits)
{
    bool dollar = topic.n > 0 && topic.p[0] == '$';
    struct levels l;
    enum err e = ERR_OK;

    if (w->serial && w->generation != t->generation) {
        trie_walk_begin(t, w);
        w->generation = t->generation;
    }
    levels_split(t, topic, &l);
    while (w->top > 0 && !e) {
        if (visits-- == 0)
            return ERR_AGAIN;
        t->visits++;
        e = visit(t, w, &l, dollar);
    }
    return e;
}

/* The place of a serial number among the parked ones, or of a free one for 0; TRIE_PARKED_MAX:
 * none. */
static size_t parked_at(const struct trie *t, uint64_t serial)
{
    size_t i = 0;

    while (i < TRIE_PARKED_MAX && t->parked[i] != serial)
        i++;
    return i;
}

bool trie_walk_is_full(const struct trie *t)
{
    return parked_at(t, 0) == TRIE_PARKED_MAX;
}

struct trie_walk *trie_walk_park(struct trie *t, struct trie_walk *w)
{
    struct trie_walk *copy = trie_walk_is_full(t) ? NULL : mem_alloc(sizeof(*copy));

    if (!copy)
        return NULL;
    *copy = *w;
    copy->serial = ++t->serial;
    copy->generation = t->generation;
    t->parked[parked_at(t, 0)] = copy->serial;
    *w = (struct trie_walk){0};
    return copy;
}

/* So many nodes go with the end of a walk; more are left to trie_sweep. */
#define SWEEP_AT_ONCE 1000

void trie_walk_free(struct trie *t, struct trie_walk *parked)
{
    assert(parked->serial);
    t->parked[parked_at(t, parked->serial)] = 0;
    trie_walk_clear(parked);
    mem_free(parked, sizeof(*parked));
    (void)trie_sweep(t, SWEEP_AT_ONCE);
}

void trie_walk_clear(struct trie_walk *w)
{
    trie_list_clear(&w->found);
}

uintptr_t trie_group_next(uintptr_t group_word, uint32_t *seen)
{
    struct group *g = (struct group *)(group_word & ~(uintptr_t)WORD_GROUP);
    void *word;

    if (*seen >= g->members.count)
        return 0;
    ++*seen;
    word = table_next(&g->members, &g->cursor);
    if (!word) {
        g->cursor = 0;
        word = table_next(&g->members, &g->cursor);
    }
    return (uintptr_t)word;
}
