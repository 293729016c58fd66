/*
 * Nodes are 64 bytes from a slab; the text of an edge stands in the node when it is short.
 */
#include "core/trie_node.h"

#include "base/mem.h"
#include "mqtt/topic.h"

#include <assert.h>
#include <string.h>

struct edge_key {
    const struct trie_node *parent;
    struct str level; /* the first of the edge's text */
};

static char *text_elsewhere(const struct trie_node *n)
{
    char *p;

    memcpy(&p, n->text, sizeof(p));
    return p;
}

struct str trie_node_text(const struct trie_node *n)
{
    return str_of(n->text_len <= TRIE_TEXT_INLINE ? n->text : text_elsewhere(n), n->text_len);
}

static struct str first_level(struct str text)
{
    size_t n = 0;

    while (n < text.n && text.p[n] != '/')
        n++;
    return str_of(text.p, n);
}

static uint64_t edge_hash(const void *entry, const void *ctx)
{
    const struct trie_node *n = entry;

    (void)ctx;
    return trie_hash_at(n->level_hash, (uintptr_t)n->parent);
}

static bool edge_equal(const void *entry, const void *key, const void *ctx)
{
    const struct trie_node *n = entry;
    const struct edge_key *k = key;
    struct str text = trie_node_text(n);

    (void)ctx;
    return n->parent == k->parent && text.n >= k->level.n &&
           (text.n == k->level.n || text.p[k->level.n] == '/') &&
           (k->level.n == 0 || memcmp(text.p, k->level.p, k->level.n) == 0);
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

/* Give a node its text; ERR_NOMEM changes nothing. What it had before is the caller's. */
static enum err text_set(const struct trie *t, struct trie_node *n, struct str text)
{
    struct str level = first_level(text);
    char *to = n->text;

    if (text.n > TRIE_TEXT_INLINE) {
        to = mem_alloc(text.n);
        if (!to)
            return ERR_NOMEM;
        memcpy(n->text, &to, sizeof(to));
    }
    if (text.n > 0)
        memcpy(to, text.p, text.n);
    n->text_len = (uint16_t)text.n;
    n->level_hash = trie_hash_level(t, level);
    n->kind = str_eq(level, STR("+")) ? NODE_PLUS : NODE_EXACT;
    n->levels = (uint8_t)topic_levels(text);
    n->wild = text.n > level.n && memchr(text.p + level.n, '+', text.n - level.n);
    return ERR_OK;
}

static void text_free(struct trie_node *n)
{
    if (n->text_len > TRIE_TEXT_INLINE)
        mem_free(text_elsewhere(n), n->text_len);
}

struct trie_node *trie_node_new(struct trie *t, struct trie_node *parent, struct str text)
{
    struct trie_node *n = slab_alloc(&t->nodes);

    t->visits += 16;
    if (!n)
        return NULL;
    *n = (struct trie_node){.parent = parent};
    if (text_set(t, n, text)) {
        slab_free(&t->nodes, n);
        return NULL;
    }
    return n;
}

void trie_node_free(struct trie *t, struct trie_node *n)
{
    t->visits += 16;
    text_free(n);
    slab_free(&t->nodes, n);
}

/* The child whose text begins with this level of a filter. */
static struct trie_node *child_find(const struct trie *t, const struct trie_node *n,
                                    struct str level)
{
    struct edge_key key = {.parent = n, .level = level};

    if (str_eq(level, STR("+")))
        return n->plus;
    return table_find_inline(&t->edges, &edge_ops, t,
                             trie_hash_at(trie_hash_level(t, level), (uintptr_t)n), &key);
}

static enum err child_attach(struct trie *t, struct trie_node *child)
{
    struct trie_node *n = child->parent;

    if (child->kind == NODE_PLUS)
        n->plus = child;
    else if (table_insert(&t->edges, &edge_ops, t, edge_hash(child, t), child))
        return ERR_NOMEM;
    n->children++;
    return ERR_OK;
}

static void child_detach(struct trie *t, struct trie_node *child)
{
    struct trie_node *n = child->parent;
    struct edge_key key = {.parent = n, .level = first_level(trie_node_text(child))};

    if (child->kind == NODE_PLUS)
        n->plus = NULL;
    else
        (void)table_remove(&t->edges, &edge_ops, t, edge_hash(child, t), &key);
    n->children--;
}

static struct trie_node *child_make(struct trie *t, struct trie_node *n, struct str text)
{
    struct trie_node *child = trie_node_new(t, n, text);

    if (!child)
        return NULL;
    if (child_attach(t, child)) {
        trie_node_free(t, child);
        return NULL;
    }
    return child;
}

/*
 * Put a node in the middle of an edge, behind `front` bytes of its text. The node at its end stays
 * where it is: places, and walks that stand on it, know it. ERR_NOMEM changes nothing.
 */
static struct trie_node *edge_split(struct trie *t, struct trie_node *n, size_t front)
{
    struct str text = trie_node_text(n);
    struct edge_key key = {.parent = n->parent, .level = first_level(text)};
    struct trie_node *middle = trie_node_new(t, n->parent, str_of(text.p, front));
    struct trie_node after = *n;
    enum err e;

    if (!middle)
        return NULL;
    if (table_reserve(&t->edges, &edge_ops, t) ||
        text_set(t, &after, str_of(text.p + front + 1, text.n - front - 1))) {
        trie_node_free(t, middle);
        return NULL;
    }
    if (n->kind == NODE_PLUS)
        n->parent->plus = middle;
    else
        (void)table_replace(&t->edges, &edge_ops, t, edge_hash(n, t), &key, middle);
    text_free(n);
    after.parent = middle;
    *n = after;
    e = child_attach(t, n);
    assert(!e);
    return middle;
}

static bool is_useless(const struct trie_node *n)
{
    return n->kind != NODE_ROOT && n->children == 0 && n->here == 0 && n->below == 0;
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

/* How many bytes are levels that two texts have in common? They have the first one. */
static size_t common_levels(struct str a, struct str b)
{
    size_t common = 0;

    for (size_t i = 0;; i++) {
        bool a_ends = i == a.n || a.p[i] == '/';
        bool b_ends = i == b.n || b.p[i] == '/';

        if (a_ends && b_ends)
            common = i;
        if (i == a.n || i == b.n || a.p[i] != b.p[i])
            return common;
    }
}

/* The way to a filter's place, from the root. */
struct way {
    struct str levels; /* without the final '#' */
    size_t at;         /* where the next one begins; behind the end: none is left */
    trie_place below;  /* TRIE_PLACE_BELOW if there was a '#' */
};

static struct way way_of(struct str filter)
{
    if (str_eq(filter, STR("#")))
        return (struct way){.at = 1, .below = TRIE_PLACE_BELOW};
    if (filter.n >= 2 && memcmp(filter.p + filter.n - 2, "/#", 2) == 0)
        return (struct way){.levels = str_of(filter.p, filter.n - 2), .below = TRIE_PLACE_BELOW};
    return (struct way){.levels = filter};
}

static bool way_is_left(const struct way *w)
{
    return w->at <= w->levels.n;
}

/* Only while something is left. */
static struct str way_rest(const struct way *w)
{
    return str_of(w->levels.p + w->at, w->levels.n - w->at);
}

trie_place trie_place_find(const struct trie *t, struct str filter)
{
    const struct trie_node *n = t->root;
    struct way w = way_of(filter);

    while (way_is_left(&w)) {
        struct str rest = way_rest(&w);
        n = child_find(t, n, first_level(rest));
        if (!n || common_levels(trie_node_text(n), rest) != n->text_len)
            return 0;
        w.at += (size_t)n->text_len + 1;
    }
    return (uintptr_t)n | w.below;
}

trie_place trie_place_make(struct trie *t, struct str filter)
{
    struct trie_node *n = t->root;
    struct way w = way_of(filter);

    while (n && way_is_left(&w)) {
        struct str rest = way_rest(&w);
        struct trie_node *child = child_find(t, n, first_level(rest));
        size_t common = child ? common_levels(trie_node_text(child), rest) : rest.n;
        if (!child)
            n = child_make(t, n, rest);
        else
            n = common == child->text_len ? child : edge_split(t, child, common);
        w.at += common + 1;
    }
    return n ? (uintptr_t)n | w.below : 0;
}

struct trie_node *trie_edge(const struct trie *t, const struct trie_node *n, struct str text,
                            uint32_t level_hash)
{
    struct edge_key key = {.parent = n, .level = text};

    /* Most nodes have no exact child: children counts '+' too. */
    if (n->children == (n->plus != NULL))
        return NULL;
    return table_find_inline(&t->edges, &edge_ops, t, trie_hash_at(level_hash, (uintptr_t)n), &key);
}
