/*
 * A node's subscriptions are nothing, one word in place, or a hash set of words (struct
 * subscribers), which is walked as it is when a topic matches.
 */
#include "core/trie.h"

#include "base/mem.h"
#include "mqtt/topic.h"

#include <assert.h>
#include <string.h>

struct group_key {
    const struct trie_node *node;
    struct str name;
};

static uint64_t group_hash(const void *entry, const void *ctx)
{
    const struct group *g = entry;

    return trie_hash_edge(ctx, g->node, str_of(g->name, g->name_len));
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

/* --- a node's subscribers --- */

/* Make sure that the node has a set; a single subscription moves into it. */
static struct subscribers *node_need_set(struct trie_node *n)
{
    struct subscribers *set = trie_node_set(n);
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
    struct subscribers *set = trie_node_set(n);

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
    struct subscribers *set = trie_node_set(n);

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
    const struct subscribers *set = trie_node_set(n);

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

    return table_find(&t->groups, &group_ops, t, trie_hash_edge(t, n, name), &key);
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
    if (table_insert(&t->groups, &group_ops, t, trie_hash_edge(t, n, name), g)) {
        mem_free(g, group_size(g));
        return NULL;
    }
    g->next = set->groups;
    g->link = &set->groups;
    if (g->next)
        g->next->link = &g->next;
    set->groups = g;
    set->group_count++;
    return g;
}

static void group_drop_if_empty(struct trie *t, struct group *g)
{
    struct group_key key = {.node = g->node, .name = str_of(g->name, g->name_len)};

    if (g->members.count > 0)
        return;
    (void)table_remove(&t->groups, &group_ops, t, trie_hash_edge(t, g->node, key.name), &key);
    *g->link = g->next;
    if (g->next)
        g->next->link = g->link;
    trie_node_set(g->node)->group_count--;
    table_clear(&g->members);
    mem_free(g, group_size(g));
}

static enum err group_join(struct trie *t, struct trie_node *n, struct str name, struct session *s,
                           enum qos qos, trie_place *place, bool *is_new)
{
    struct group *g = group_find(t, n, name);
    enum err e;

    if (!g && trie_node_set(n) && trie_node_set(n)->group_count >= TRIE_GROUPS_MAX)
        return ERR_FULL;
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
    t->root = trie_node_new(t, NULL, NODE_ROOT, str_of(NULL, 0));
    return t->root ? ERR_OK : ERR_NOMEM;
}

void trie_clear(struct trie *t)
{
    (void)trie_sweep(t, UINT32_MAX);
    if (t->root)
        trie_node_free(t, t->root);
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
    struct trie_node *n = trie_node_make(t, shared ? inner : filter);
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
        trie_prune(t, n);
    }
    return e;
}

trie_place trie_find(const struct trie *t, struct str filter, const struct session *s)
{
    struct str name, inner;
    bool shared = topic_is_shared(filter, &name, &inner);
    const struct trie_node *n = trie_node_find(t, shared ? inner : filter);
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
    trie_prune(t, n);
}

/* The filter of a node, written from its end backwards; returns where it begins. */
static char *write_backwards(const struct trie_node *n, char *end)
{
    for (; n->kind != NODE_ROOT; n = n->parent) {
        struct str text = trie_node_text(n);
        end -= text.n;
        memcpy(end, text.n > 0 ? text.p : "", text.n);
        if (n->parent->kind != NODE_ROOT)
            *--end = '/';
    }
    return end;
}

enum qos trie_granted(trie_place place, const struct session *s)
{
    const struct group *g;

    if (!trie_place_is_shared(place))
        return trie_word_qos(node_word((const struct trie_node *)place, s));
    g = (const struct group *)(place & ~(uintptr_t)TRIE_PLACE_GROUP);
    return trie_word_qos((uintptr_t)table_find(&g->members, &member_ops, NULL, hash_session(s), s));
}

size_t trie_describe(const struct trie *t, trie_place place, const struct session *s, char *out,
                     enum qos *qos)
{
    char *end = out + UINT16_MAX;
    char *begin;

    (void)t;
    *qos = trie_granted(place, s);
    if (trie_place_is_shared(place)) {
        const struct group *g = (const struct group *)(place & ~(uintptr_t)TRIE_PLACE_GROUP);
        begin = write_backwards(g->node, end) - g->name_len - 8;
        memcpy(begin, "$share/", 7);
        memcpy(begin + 7, g->name, g->name_len);
        begin[7 + g->name_len] = '/';
    } else {
        begin = write_backwards((const struct trie_node *)place, end);
    }
    memmove(out, begin, (size_t)(end - begin));
    return (size_t)(end - begin);
}

size_t trie_node_count(const struct trie *t)
{
    return t->nodes.used;
}
