/*
 * Nodes are 64 bytes from a slab; the text of a level stands in the node when it is short.
 */
#include "core/trie_node.h"

#include "base/mem.h"
#include "mqtt/topic.h"

#include <string.h>

struct edge_key {
    const struct trie_node *parent;
    struct str text;
};

struct str trie_node_text(const struct trie_node *n)
{
    return str_of(n->text_len <= TRIE_TEXT_INLINE ? n->text.here : n->text.elsewhere, n->text_len);
}

uint64_t trie_hash_edge(const struct trie *t, const struct trie_node *parent, struct str text)
{
    return table_mix(table_hash(t->seed, text.p, text.n), (uintptr_t)parent);
}

static uint64_t edge_hash(const void *entry, const void *ctx)
{
    const struct trie_node *n = entry;

    return trie_hash_edge(ctx, n->parent, trie_node_text(n));
}

static bool edge_equal(const void *entry, const void *key, const void *ctx)
{
    const struct trie_node *n = entry;
    const struct edge_key *k = key;

    (void)ctx;
    return n->parent == k->parent && str_eq(trie_node_text(n), k->text);
}

static const struct table_ops edge_ops = {.hash = edge_hash, .equal = edge_equal};

enum err trie_list_fit(struct trie_list *l, size_t more)
{
    size_t cap = l->cap ? l->cap : 64;
    uintptr_t *v;

    if (l->n + more <= l->cap)
        return ERR_OK;
    while (cap < l->n + more)
        cap *= 2;
    v = mem_realloc(l->v, l->cap * sizeof(*v), cap * sizeof(*v));
    if (!v)
        return ERR_NOMEM;
    l->v = v;
    l->cap = cap;
    return ERR_OK;
}

void trie_list_clear(struct trie_list *l)
{
    mem_free(l->v, l->cap * sizeof(*l->v));
    *l = (struct trie_list){0};
}

struct trie_node *trie_node_new(struct trie *t, struct trie_node *parent, enum node_kind kind,
                                struct str text)
{
    struct trie_node *n = slab_alloc(&t->nodes);

    t->visits += 16;
    if (!n)
        return NULL;
    *n = (struct trie_node){.parent = parent, .kind = (uint8_t)kind, .text_len = (uint16_t)text.n};
    if (text.n <= TRIE_TEXT_INLINE) {
        if (text.n > 0)
            memcpy(n->text.here, text.p, text.n);
        return n;
    }
    n->text.elsewhere = mem_alloc(text.n);
    if (!n->text.elsewhere) {
        slab_free(&t->nodes, n);
        return NULL;
    }
    memcpy(n->text.elsewhere, text.p, text.n);
    return n;
}

void trie_node_free(struct trie *t, struct trie_node *n)
{
    t->visits += 16;
    if (n->text_len > TRIE_TEXT_INLINE)
        mem_free(n->text.elsewhere, n->text_len);
    slab_free(&t->nodes, n);
}

static enum node_kind level_kind(struct str level)
{
    if (level.n != 1)
        return NODE_EXACT;
    return level.p[0] == '+' ? NODE_PLUS : level.p[0] == '#' ? NODE_HASH : NODE_EXACT;
}

static struct trie_node *trie_child(const struct trie *t, const struct trie_node *n,
                                    struct str level)
{
    struct edge_key key = {.parent = n, .text = level};

    switch (level_kind(level)) {
    case NODE_PLUS:
        return n->plus;
    case NODE_HASH:
        return n->hash;
    default:
        return table_find(&t->edges, &edge_ops, t, trie_hash_edge(t, n, level), &key);
    }
}

static enum err child_attach(struct trie *t, struct trie_node *n, struct trie_node *child)
{
    if (child->kind == NODE_PLUS) {
        n->plus = child;
    } else if (child->kind == NODE_HASH) {
        n->hash = child;
    } else {
        enum err e = table_insert(&t->edges, &edge_ops, t,
                                  trie_hash_edge(t, n, trie_node_text(child)), child);
        if (e)
            return e;
    }
    n->children++;
    return ERR_OK;
}

static void child_detach(struct trie *t, struct trie_node *child)
{
    struct trie_node *n = child->parent;
    struct edge_key key = {.parent = n, .text = trie_node_text(child)};

    if (child->kind == NODE_PLUS)
        n->plus = NULL;
    else if (child->kind == NODE_HASH)
        n->hash = NULL;
    else
        (void)table_remove(&t->edges, &edge_ops, t, trie_hash_edge(t, n, key.text), &key);
    n->children--;
}

static struct trie_node *child_make(struct trie *t, struct trie_node *n, struct str level)
{
    struct trie_node *child = trie_node_new(t, n, level_kind(level), level);

    if (!child)
        return NULL;
    if (child_attach(t, n, child)) {
        trie_node_free(t, child);
        return NULL;
    }
    return child;
}

static bool is_useless(const struct trie_node *n)
{
    return n->kind != NODE_ROOT && n->children == 0 && n->subs == 0;
}

/* Close the gap that swept graves have left at the front. */
static void graves_close_up(struct trie *t)
{
    struct trie_list *g = &t->graves;

    if (t->graves_first == 0 || t->graves_first < g->n / 2)
        return;
    memmove(g->v, g->v + t->graves_first, (g->n - t->graves_first) * sizeof(*g->v));
    g->n -= t->graves_first;
    t->graves_first = 0;
}

static bool bury(struct trie *t, struct trie_node *n)
{
    graves_close_up(t);
    if (trie_list_fit(&t->graves, 2))
        return false;
    t->graves.v[t->graves.n++] = (uintptr_t)n;
    t->graves.v[t->graves.n++] = (uintptr_t)t->serial;
    return true;
}

/* The parked walk that has waited longest; one more than the last when none is parked. */
static uint64_t oldest_walk(const struct trie *t)
{
    uint64_t oldest = t->serial + 1;

    for (size_t i = 0; i < TRIE_PARKED_MAX; i++) {
        if (t->parked[i] && t->parked[i] < oldest)
            oldest = t->parked[i];
    }
    return oldest;
}

void trie_prune(struct trie *t, struct trie_node *n)
{
    bool known = oldest_walk(t) <= t->serial;

    while (is_useless(n)) {
        struct trie_node *parent = n->parent;
        child_detach(t, n);
        if (!known || !bury(t, n)) {
            t->generation += known;
            trie_node_free(t, n);
        }
        n = parent;
    }
}

bool trie_sweep(struct trie *t, uint32_t most)
{
    uint64_t oldest = oldest_walk(t);

    while (t->graves_first < t->graves.n && t->graves.v[t->graves_first + 1] < oldest) {
        if (most-- == 0)
            return true;
        trie_node_free(t, (struct trie_node *)t->graves.v[t->graves_first]);
        t->graves_first += 2;
    }
    graves_close_up(t);
    return false;
}

struct trie_node *trie_node_find(const struct trie *t, struct str filter)
{
    struct trie_node *n = t->root;
    struct str level;
    size_t at = 0;

    while (n && topic_level(filter, &at, &level))
        n = trie_child(t, n, level);
    return n;
}

struct trie_node *trie_node_make(struct trie *t, struct str filter)
{
    struct trie_node *n = t->root;
    struct str level;
    size_t at = 0;

    while (topic_level(filter, &at, &level)) {
        struct trie_node *child = trie_child(t, n, level);
        if (!child)
            child = child_make(t, n, level);
        if (!child) {
            trie_prune(t, n);
            return NULL;
        }
        n = child;
    }
    return n;
}

struct trie_node *trie_edge(const struct trie *t, const struct trie_node *n, struct str text,
                            uint64_t text_hash)
{
    struct edge_key key = {.parent = n, .text = text};

    /* Most nodes have no exact child: children counts the wildcards too. */
    if (n->children == (n->plus != NULL) + (uint32_t)(n->hash != NULL))
        return NULL;
    return table_find(&t->edges, &edge_ops, t, table_mix(text_hash, (uintptr_t)n), &key);
}
