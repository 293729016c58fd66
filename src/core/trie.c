/*
 * Nodes are 64 bytes from a slab; the text of a level stands in the node when it is short. A node's
 * subscriptions are nothing, one word in place, or a hash set of words (struct subscribers), which
 * is walked as it is when a topic matches.
 */
#include "core/trie.h"

#include "base/mem.h"
#include "mqtt/topic.h"

#include <assert.h>
#include <string.h>

#define TEXT_INLINE 24

enum node_kind { NODE_ROOT, NODE_EXACT, NODE_PLUS, NODE_HASH };

struct trie_node {
    struct trie_node *parent;
    struct trie_node *plus; /* the child '+' */
    struct trie_node *hash; /* the child '#' */
    uintptr_t subs;         /* 0; a subscription's word with WORD_SINGLE; a struct subscribers */
    uint32_t children;      /* of all three kinds */
    uint16_t text_len;
    uint8_t kind;
    bool buried; /* useless, and listed in trie.graves */
    union {
        char here[TEXT_INLINE];
        char *elsewhere;
    } text;
};

/* Low bits of words; sessions are 16-aligned, the rest at least 8. */
#define WORD_GROUP 4u
#define WORD_SINGLE 8u

struct subscribers {
    struct table members; /* of words: session | qos */
    struct group *groups;
};

struct group { /* of $share */
    struct group *next;
    struct group **link;
    struct trie_node *node;
    struct table members;
    uint64_t cursor; /* where the next publication goes on */
    uint32_t name_len;
    char name[];
};

struct edge_key {
    const struct trie_node *parent;
    struct str text;
};

struct group_key {
    const struct trie_node *node;
    struct str name;
};

static struct str node_text(const struct trie_node *n)
{
    return str_of(n->text_len <= TEXT_INLINE ? n->text.here : n->text.elsewhere, n->text_len);
}

static uint64_t hash_edge(const struct trie *t, const struct trie_node *parent, struct str text)
{
    return table_mix(table_hash(t->seed, text.p, text.n), (uintptr_t)parent);
}

static uint64_t edge_hash(const void *entry, const void *ctx)
{
    const struct trie_node *n = entry;

    return hash_edge(ctx, n->parent, node_text(n));
}

static bool edge_equal(const void *entry, const void *key, const void *ctx)
{
    const struct trie_node *n = entry;
    const struct edge_key *k = key;

    (void)ctx;
    return n->parent == k->parent && str_eq(node_text(n), k->text);
}

static const struct table_ops edge_ops = {.hash = edge_hash, .equal = edge_equal};

static uint64_t group_hash(const void *entry, const void *ctx)
{
    const struct group *g = entry;

    return hash_edge(ctx, g->node, str_of(g->name, g->name_len));
}

static bool group_equal(const void *entry, const void *key, const void *ctx)
{
    const struct group *g = entry;
    const struct group_key *k = key;

    (void)ctx;
    return g->node == k->node && str_eq(str_of(g->name, g->name_len), k->name);
}

static const struct table_ops group_ops = {.hash = group_hash, .equal = group_equal};

static uint64_t hash_session(const struct session *s)
{
    return table_mix(0, (uintptr_t)s);
}

static uint64_t member_hash(const void *entry, const void *ctx)
{
    (void)ctx;
    return hash_session(trie_word_session((uintptr_t)entry));
}

static bool member_equal(const void *entry, const void *key, const void *ctx)
{
    (void)ctx;
    return trie_word_session((uintptr_t)entry) == key;
}

static const struct table_ops member_ops = {.hash = member_hash, .equal = member_equal};

/* --- nodes --- */

static struct trie_node *node_new(struct trie *t, struct trie_node *parent, enum node_kind kind,
                                  struct str text)
{
    struct trie_node *n = slab_alloc(&t->nodes);

    if (!n)
        return NULL;
    *n = (struct trie_node){.parent = parent, .kind = (uint8_t)kind, .text_len = (uint16_t)text.n};
    if (text.n <= TEXT_INLINE) {
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

static void node_free(struct trie *t, struct trie_node *n)
{
    if (n->text_len > TEXT_INLINE)
        mem_free(n->text.elsewhere, n->text_len);
    slab_free(&t->nodes, n);
}

static enum node_kind level_kind(struct str level)
{
    if (level.n != 1)
        return NODE_EXACT;
    return level.p[0] == '+' ? NODE_PLUS : level.p[0] == '#' ? NODE_HASH : NODE_EXACT;
}

static struct trie_node *child_find(const struct trie *t, const struct trie_node *n,
                                    struct str level)
{
    struct edge_key key = {.parent = n, .text = level};

    switch (level_kind(level)) {
    case NODE_PLUS:
        return n->plus;
    case NODE_HASH:
        return n->hash;
    default:
        return table_find(&t->edges, &edge_ops, t, hash_edge(t, n, level), &key);
    }
}

static enum err child_attach(struct trie *t, struct trie_node *n, struct trie_node *child)
{
    if (child->kind == NODE_PLUS) {
        n->plus = child;
    } else if (child->kind == NODE_HASH) {
        n->hash = child;
    } else {
        enum err e =
            table_insert(&t->edges, &edge_ops, t, hash_edge(t, n, node_text(child)), child);
        if (e)
            return e;
    }
    n->children++;
    return ERR_OK;
}

static void child_detach(struct trie *t, struct trie_node *child)
{
    struct trie_node *n = child->parent;
    struct edge_key key = {.parent = n, .text = node_text(child)};

    if (child->kind == NODE_PLUS)
        n->plus = NULL;
    else if (child->kind == NODE_HASH)
        n->hash = NULL;
    else
        (void)table_remove(&t->edges, &edge_ops, t, hash_edge(t, n, key.text), &key);
    n->children--;
}

static struct trie_node *child_make(struct trie *t, struct trie_node *n, struct str level)
{
    struct trie_node *child = node_new(t, n, level_kind(level), level);

    if (!child)
        return NULL;
    if (child_attach(t, n, child)) {
        node_free(t, child);
        return NULL;
    }
    return child;
}

static bool is_useless(const struct trie_node *n)
{
    return n->kind != NODE_ROOT && n->children == 0 && n->subs == 0 && !n->buried;
}

static enum err list_fit(struct trie_list *l, size_t more);

/* While a walk is parked a useless node may stand on its stack: it goes later. False without memory
 * to remember it. */
static bool bury(struct trie *t, struct trie_node *n)
{
    if (list_fit(&t->graves, 1))
        return false;
    n->buried = true;
    t->graves.v[t->graves.n++] = (uintptr_t)n;
    return true;
}

/* Remove a node that has become useless, and its parents likewise. */
static void prune(struct trie *t, struct trie_node *n)
{
    while (is_useless(n)) {
        struct trie_node *parent = n->parent;
        if (t->parked > 0 && bury(t, n))
            return;
        t->generation += t->parked > 0;
        child_detach(t, n);
        node_free(t, n);
        n = parent;
    }
}

static void prune_graves(struct trie *t)
{
    while (t->graves.n > 0) {
        struct trie_node *n = (struct trie_node *)t->graves.v[--t->graves.n];
        n->buried = false;
        prune(t, n);
    }
}

static struct trie_node *node_find(const struct trie *t, struct str filter)
{
    struct trie_node *n = t->root;
    struct str level;
    size_t at = 0;

    while (n && topic_level(filter, &at, &level))
        n = child_find(t, n, level);
    return n;
}

static struct trie_node *node_make(struct trie *t, struct str filter)
{
    struct trie_node *n = t->root;
    struct str level;
    size_t at = 0;

    while (topic_level(filter, &at, &level)) {
        struct trie_node *child = child_find(t, n, level);
        if (!child)
            child = child_make(t, n, level);
        if (!child) {
            prune(t, n);
            return NULL;
        }
        n = child;
    }
    return n;
}

/* --- a node's subscribers --- */

static struct subscribers *node_set(const struct trie_node *n)
{
    return n->subs == 0 || (n->subs & WORD_SINGLE) ? NULL : (struct subscribers *)n->subs;
}

/* Make sure that the node has a set; a single subscription moves into it. */
static struct subscribers *node_need_set(struct trie_node *n)
{
    struct subscribers *set = node_set(n);
    uintptr_t single = n->subs & ~(uintptr_t)WORD_SINGLE;

    if (set)
        return set;
    set = mem_zalloc(sizeof(*set));
    if (!set)
        return NULL;
    if (single && table_insert(&set->members, &member_ops, NULL,
                               hash_session(trie_word_session(single)), (void *)single)) {
        mem_free(set, sizeof(*set));
        return NULL;
    }
    n->subs = (uintptr_t)set;
    return set;
}

static void node_drop_set_if_empty(struct trie_node *n)
{
    struct subscribers *set = node_set(n);

    if (!set || set->members.count > 0 || set->groups)
        return;
    table_clear(&set->members);
    mem_free(set, sizeof(*set));
    n->subs = 0;
}

static enum err members_put(struct table *members, struct session *s, enum qos qos, bool *is_new)
{
    void *word = (void *)((uintptr_t)s | (uintptr_t)qos);

    *is_new = !table_replace(members, &member_ops, NULL, hash_session(s), s, word);
    return *is_new ? table_insert(members, &member_ops, NULL, hash_session(s), word) : ERR_OK;
}

static enum err node_join(struct trie_node *n, struct session *s, enum qos qos, bool *is_new)
{
    uintptr_t word = (uintptr_t)s | (uintptr_t)qos | WORD_SINGLE;
    bool single = (n->subs & WORD_SINGLE) != 0;
    struct subscribers *set;

    if (n->subs == 0 || (single && trie_word_session(n->subs) == s)) {
        *is_new = n->subs == 0;
        n->subs = word;
        return ERR_OK;
    }
    set = node_need_set(n);
    return set ? members_put(&set->members, s, qos, is_new) : ERR_NOMEM;
}

static void node_leave(struct trie_node *n, const struct session *s)
{
    struct subscribers *set = node_set(n);

    if (!set) {
        assert(trie_word_session(n->subs) == s);
        n->subs = 0;
        return;
    }
    (void)table_remove(&set->members, &member_ops, NULL, hash_session(s), s);
    node_drop_set_if_empty(n);
}

static uintptr_t node_word(const struct trie_node *n, const struct session *s)
{
    const struct subscribers *set = node_set(n);

    if (set)
        return (uintptr_t)table_find(&set->members, &member_ops, NULL, hash_session(s), s);
    return trie_word_session(n->subs) == s ? n->subs : 0;
}

/* --- shared groups --- */

static size_t group_size(const struct group *g)
{
    return sizeof(*g) + g->name_len;
}

static struct group *group_find(const struct trie *t, const struct trie_node *n, struct str name)
{
    struct group_key key = {.node = n, .name = name};

    return table_find(&t->groups, &group_ops, t, hash_edge(t, n, name), &key);
}

static struct group *group_make(struct trie *t, struct trie_node *n, struct str name)
{
    struct subscribers *set = node_need_set(n);
    struct group *g = set ? mem_zalloc(sizeof(*g) + name.n) : NULL;

    if (!g)
        return NULL;
    g->node = n;
    g->name_len = (uint32_t)name.n;
    memcpy(g->name, name.p, name.n);
    if (table_insert(&t->groups, &group_ops, t, hash_edge(t, n, name), g)) {
        mem_free(g, group_size(g));
        return NULL;
    }
    g->next = set->groups;
    g->link = &set->groups;
    if (g->next)
        g->next->link = &g->next;
    set->groups = g;
    return g;
}

static void group_drop_if_empty(struct trie *t, struct group *g)
{
    struct group_key key = {.node = g->node, .name = str_of(g->name, g->name_len)};

    if (g->members.count > 0)
        return;
    (void)table_remove(&t->groups, &group_ops, t, hash_edge(t, g->node, key.name), &key);
    *g->link = g->next;
    if (g->next)
        g->next->link = g->link;
    table_clear(&g->members);
    mem_free(g, group_size(g));
}

static enum err group_join(struct trie *t, struct trie_node *n, struct str name, struct session *s,
                           enum qos qos, trie_place *place, bool *is_new)
{
    struct group *g = group_find(t, n, name);
    enum err e;

    if (!g)
        g = group_make(t, n, name);
    if (!g)
        return ERR_NOMEM;
    e = members_put(&g->members, s, qos, is_new);
    if (e)
        group_drop_if_empty(t, g);
    *place = (uintptr_t)g | TRIE_PLACE_GROUP;
    return e;
}

/* --- the door --- */

enum err trie_init(struct trie *t, uint64_t seed)
{
    *t = (struct trie){.seed = seed};
    slab_init(&t->nodes, sizeof(struct trie_node));
    t->root = node_new(t, NULL, NODE_ROOT, str_of(NULL, 0));
    return t->root ? ERR_OK : ERR_NOMEM;
}

void trie_clear(struct trie *t)
{
    if (t->root)
        node_free(t, t->root);
    table_clear(&t->edges);
    table_clear(&t->groups);
    trie_list_clear(&t->graves);
    slab_clear(&t->nodes);
}

enum err trie_subscribe(struct trie *t, struct str filter, struct session *s, enum qos qos,
                        trie_place *place, bool *is_new)
{
    struct str group, inner;
    bool shared = topic_is_shared(filter, &group, &inner);
    struct trie_node *n = node_make(t, shared ? inner : filter);
    enum err e;

    if (!n)
        return ERR_NOMEM;
    if (shared) {
        e = group_join(t, n, group, s, qos, place, is_new);
    } else {
        e = node_join(n, s, qos, is_new);
        *place = (uintptr_t)n;
    }
    if (e) {
        node_drop_set_if_empty(n);
        prune(t, n);
    }
    return e;
}

trie_place trie_find(const struct trie *t, struct str filter, const struct session *s)
{
    struct str name, inner;
    bool shared = topic_is_shared(filter, &name, &inner);
    const struct trie_node *n = node_find(t, shared ? inner : filter);
    struct group *g;

    if (!n)
        return 0;
    if (!shared)
        return node_word(n, s) ? (uintptr_t)n : 0;
    g = group_find(t, n, name);
    if (!g || !table_find(&g->members, &member_ops, NULL, hash_session(s), s))
        return 0;
    return (uintptr_t)g | TRIE_PLACE_GROUP;
}

void trie_leave(struct trie *t, trie_place place, const struct session *s)
{
    struct trie_node *n;

    if (trie_place_is_shared(place)) {
        struct group *g = (struct group *)(place & ~(uintptr_t)TRIE_PLACE_GROUP);
        n = g->node;
        (void)table_remove(&g->members, &member_ops, NULL, hash_session(s), s);
        group_drop_if_empty(t, g);
        node_drop_set_if_empty(n);
    } else {
        n = (struct trie_node *)place;
        node_leave(n, s);
    }
    prune(t, n);
}

/* The filter of a node, written from its end backwards; returns where it begins. */
static char *write_backwards(const struct trie_node *n, char *end)
{
    for (; n->kind != NODE_ROOT; n = n->parent) {
        struct str text = node_text(n);
        end -= text.n;
        memcpy(end, text.n > 0 ? text.p : "", text.n);
        if (n->parent->kind != NODE_ROOT)
            *--end = '/';
    }
    return end;
}

size_t trie_describe(const struct trie *t, trie_place place, const struct session *s, char *out,
                     enum qos *qos)
{
    char *end = out + UINT16_MAX;
    char *begin;

    (void)t;
    if (trie_place_is_shared(place)) {
        const struct group *g = (const struct group *)(place & ~(uintptr_t)TRIE_PLACE_GROUP);
        uintptr_t word = (uintptr_t)table_find(&g->members, &member_ops, NULL, hash_session(s), s);
        *qos = trie_word_qos(word);
        begin = write_backwards(g->node, end) - g->name_len - 8;
        memcpy(begin, "$share/", 7);
        memcpy(begin + 7, g->name, g->name_len);
        begin[7 + g->name_len] = '/';
    } else {
        const struct trie_node *n = (const struct trie_node *)place;
        *qos = trie_word_qos(node_word(n, s));
        begin = write_backwards(n, end);
    }
    memmove(out, begin, (size_t)(end - begin));
    return (size_t)(end - begin);
}

/* --- matching --- */

static enum err list_fit(struct trie_list *l, size_t more)
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

static enum err collect_set(const struct subscribers *set, struct trie_list *words)
{
    uint64_t cursor = 0;
    void *word;

    if (list_fit(words, set->members.count))
        return ERR_NOMEM;
    while ((word = table_next(&set->members, &cursor)))
        words->v[words->n++] = (uintptr_t)word;
    for (struct group *g = set->groups; g; g = g->next) {
        if (list_fit(words, 1))
            return ERR_NOMEM;
        words->v[words->n++] = (uintptr_t)g | WORD_GROUP;
    }
    return ERR_OK;
}

enum err trie_collect(const struct trie_walk *w, struct trie_list *words)
{
    enum err e;

    words->n = 0;
    e = list_fit(words, w->found.n);
    for (size_t i = 0; i < w->found.n && !e; i++) {
        const struct trie_node *n = (const struct trie_node *)w->found.v[i];
        if (n->subs & WORD_SINGLE) {
            e = list_fit(words, 1);
            if (!e)
                words->v[words->n++] = n->subs & ~(uintptr_t)WORD_SINGLE;
        } else if (n->subs) {
            e = collect_set(node_set(n), words);
        }
    }
    return e;
}

static enum err found(struct trie_walk *w, const struct trie_node *n)
{
    if (n->subs == 0)
        return ERR_OK;
    if (list_fit(&w->found, 1))
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

static const struct trie_node *exact_child(const struct trie *t, const struct trie_node *n,
                                           const struct levels *l, uint32_t depth)
{
    struct edge_key key = {.parent = n, .text = l->text[depth]};

    /* Most nodes have no exact child: children counts the wildcards too. */
    if (n->children == (n->plus != NULL) + (uint32_t)(n->hash != NULL))
        return NULL;
    return table_find(&t->edges, &edge_ops, t, table_mix(l->hash[depth], (uintptr_t)n), &key);
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
    exact = exact_child(t, v.node, l, v.depth);
    if (exact)
        push(w, exact, v.depth + 1);
    return e;
}

enum err trie_walk_on(struct trie *t, struct trie_walk *w, struct str topic, uint32_t visits)
{
    bool dollar = topic.n > 0 && topic.p[0] == '$';
    struct levels l;
    enum err e = ERR_OK;

    if (w->parked && w->generation != t->generation) {
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

struct trie_walk *trie_walk_park(struct trie *t, struct trie_walk *w)
{
    struct trie_walk *copy = mem_alloc(sizeof(*copy));

    if (!copy)
        return NULL;
    *copy = *w;
    copy->parked = true;
    copy->generation = t->generation;
    t->parked++;
    *w = (struct trie_walk){0};
    return copy;
}

void trie_walk_free(struct trie *t, struct trie_walk *parked)
{
    assert(parked->parked);
    trie_walk_clear(parked);
    mem_free(parked, sizeof(*parked));
    if (--t->parked == 0)
        prune_graves(t);
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

size_t trie_node_count(const struct trie *t)
{
    return t->nodes.used;
}
