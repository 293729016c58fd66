/*
 * Depth first, without recursion; what is found are places, so that a parked walk holds no session.
 */
#include "core/trie_walk.h"

#include "base/mem.h"
#include "core/trie.h"

#include <assert.h>
#include <string.h>

static enum err collect_set(const struct subscribers *set, struct trie_list *words)
{
    const struct members *m = &set->members;

    if (trie_list_fit(words, (size_t)m->n + set->group_count))
        return ERR_NOMEM;
    if (m->n > 0)
        memcpy(words->v + words->n, m->v, m->n * sizeof(*m->v));
    words->n += m->n;
    for (struct group *g = set->groups; g; g = g->next)
        words->v[words->n++] = (uintptr_t)g | WORD_GROUP;
    return ERR_OK;
}

enum err trie_collect(const struct trie_walk *w, struct trie_list *words)
{
    enum err e = ERR_OK;

    words->n = 0;
    for (size_t i = 0; i < w->found.n && !e; i++) {
        uintptr_t subs = *trie_place_subs(w->found.v[i]);
        if (subs & WORD_SINGLE) {
            e = trie_list_fit(words, 1);
            if (!e)
                words->v[words->n++] = subs & ~(uintptr_t)WORD_SINGLE;
        } else if (subs) {
            e = collect_set(trie_set(subs), words);
        }
    }
    return e;
}

static enum err found(struct trie_walk *w, trie_place place)
{
    if (trie_list_fit(&w->found, 1))
        return ERR_NOMEM;
    w->found.v[w->found.n++] = place;
    return ERR_OK;
}

/* A topic, taken apart. */
struct levels {
    const char *topic;
    bool dollar; /* it begins with '$' */
    unsigned n;
    uint32_t cost;                        /* of the visit under way */
    uint32_t begin[TOPIC_LEVELS_MAX + 1]; /* of each level; one behind the end's '/' for the last */
    uint32_t hash[TOPIC_LEVELS_MAX];
};

static struct str level_at(const struct levels *l, unsigned i)
{
    assert(i < l->n);
    return str_of(l->topic + l->begin[i], l->begin[i + 1] - l->begin[i] - 1);
}

static void levels_split(const struct trie *t, struct str topic, struct levels *l)
{
    const char *end = topic.p + topic.n;
    const char *p = topic.p;

    l->topic = topic.p;
    l->dollar = topic.n > 0 && topic.p[0] == '$';
    l->n = 0;
    l->begin[0] = 0;
    do {
        const char *begin = p;
        while (p < end && *p != '/')
            p++;
        l->hash[l->n++] = trie_hash_level(t, str_of(begin, (size_t)(p - begin)));
        l->begin[l->n] = (uint32_t)(p - topic.p) + 1;
    } while (p++ < end && l->n < TOPIC_LEVELS_MAX);
}

void trie_walk_begin(const struct trie *t, struct trie_walk *w)
{
    w->found.n = 0;
    w->stack[0] = (struct trie_visit){.node = t->root, .depth = 0};
    w->top = 1;
}

/* So many further levels on an edge with wildcards cost as much as a visit. */
#define LEVELS_PER_VISIT 4

/* Do the further levels of an edge, `rest`, match the topic's from this depth on, level by level?
 */
static bool levels_match(struct levels *l, struct str rest, uint32_t depth)
{
    struct str level;
    size_t at = 0;
    uint32_t i = depth;
    bool matches = true;

    for (; matches && topic_level(rest, &at, &level); i++)
        matches = str_eq(level, STR("+")) || str_eq(level, level_at(l, i));
    l->cost += (i - depth) / LEVELS_PER_VISIT;
    return matches;
}

static bool edge_matches(struct levels *l, const struct trie_node *n, size_t first, uint32_t depth,
                         uint32_t end)
{
    struct str text = trie_node_text(n);
    struct str rest = str_of(text.p + first + 1, text.n - first - 1);
    struct str have = str_of(l->topic + l->begin[depth], l->begin[end] - l->begin[depth] - 1);

    return n->wild ? levels_match(l, rest, depth) : str_eq(rest, have);
}

/* A child whose first level matches at this depth. */
static void push_if_matching(struct trie_walk *w, struct levels *l, const struct trie_node *n,
                             uint32_t depth)
{
    size_t first = n->kind == NODE_PLUS ? 1 : level_at(l, depth).n;
    uint32_t end = depth + n->levels;

    if (n->levels == 1 || (end <= l->n && edge_matches(l, n, first, depth + 1, end)))
        w->stack[w->top++] = (struct trie_visit){.node = n, .depth = end};
}

static enum err visit(const struct trie *t, struct trie_walk *w, struct levels *l)
{
    struct trie_visit v = w->stack[--w->top];
    bool wildcards = v.depth > 0 || !l->dollar;
    const struct trie_node *exact;
    enum err e = ERR_OK;

    if (v.node->below && wildcards) /* '#' matches its parent too (4.7.1.2) */
        e = found(w, (uintptr_t)v.node | TRIE_PLACE_BELOW);
    if (v.depth == l->n)
        return e || !v.node->here ? e : found(w, (uintptr_t)v.node);
    if (v.node->plus && wildcards)
        push_if_matching(w, l, v.node->plus, v.depth);
    exact = trie_edge(t, v.node, level_at(l, v.depth), l->hash[v.depth]);
    if (exact)
        push_if_matching(w, l, exact, v.depth);
    return e;
}

enum err trie_walk_on(struct trie *t, struct trie_walk *w, struct str topic, uint32_t visits)
{
    struct levels l;
    enum err e = ERR_OK;

    if (w->serial && w->generation != t->generation) {
        trie_walk_begin(t, w);
        w->generation = t->generation;
    }
    levels_split(t, topic, &l);
    while (w->top > 0 && !e) {
        if (visits == 0)
            return ERR_AGAIN;
        l.cost = 1;
        e = visit(t, w, &l);
        t->visits += l.cost;
        visits -= l.cost < visits ? l.cost : visits;
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

    if (*seen >= g->members.n)
        return 0;
    ++*seen;
    if (g->cursor >= g->members.n)
        g->cursor = 0;
    return g->members.v[g->cursor++];
}
