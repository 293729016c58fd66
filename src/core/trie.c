/*
 * Who has subscribed at a place is nobody, one word in the node itself, or a struct subscribers: an
 * array of words, and shared groups.
 */
#include "core/trie.h"

#include "base/mem.h"
#include "mqtt/topic.h"

#include <assert.h>
#include <string.h>

struct group_key {
    trie_place home;
    struct str name;
};

static uint64_t hash_group(const struct trie *t, trie_place home, struct str name)
{
    return trie_hash_at(trie_hash_level(t, name), home);
}

static uint64_t group_hash(const void *entry, const void *ctx)
{
    const struct group *g = entry;

    return hash_group(ctx, g->home, str_of(g->name, g->name_len));
}

static bool group_equal(const void *entry, const void *key, const void *ctx)
{
    const struct group *g = entry;
    const struct group_key *k = key;

    (void)ctx;
    return g->home == k->home && str_eq(str_of(g->name, g->name_len), k->name);
}

static const struct table_ops group_ops = {.hash = group_hash, .equal = group_equal};

static struct group *group_at(trie_place place)
{
    return (struct group *)(place & ~(trie_place)TRIE_PLACE_GROUP);
}

/* --- the subscribers of a place --- */

/* Make sure that there is a set; a single subscription moves into it. */
static struct subscribers *subs_need_set(uintptr_t *subs)
{
    struct subscribers *set = trie_set(*subs);
    uintptr_t single = *subs & ~(uintptr_t)WORD_SINGLE;
    bool is_new;

    if (set)
        return set;
    set = mem_zalloc(sizeof(*set));
    if (!set)
        return NULL;
    if (single && members_put(&set->members, single, &is_new)) {
        mem_free(set, sizeof(*set));
        return NULL;
    }
    *subs = (uintptr_t)set;
    return set;
}

static void subs_drop_set_if_empty(uintptr_t *subs)
{
    struct subscribers *set = trie_set(*subs);

    if (!set || set->members.n > 0 || set->groups)
        return;
    members_clear(&set->members);
    mem_free(set, sizeof(*set));
    *subs = 0;
}

static enum err subs_join(uintptr_t *subs, uintptr_t word, bool *is_new)
{
    bool single = (*subs & WORD_SINGLE) != 0;
    struct subscribers *set;

    if (*subs == 0 || (single && trie_word_session(*subs) == trie_word_session(word))) {
        *is_new = *subs == 0;
        *subs = word | WORD_SINGLE;
        return ERR_OK;
    }
    set = subs_need_set(subs);
    return set ? members_put(&set->members, word, is_new) : ERR_NOMEM;
}

static void subs_leave(uintptr_t *subs, const struct session *s)
{
    struct subscribers *set = trie_set(*subs);

    if (!set) {
        assert(trie_word_session(*subs) == s);
        *subs = 0;
        return;
    }
    members_remove(&set->members, s);
    subs_drop_set_if_empty(subs);
}

/* The word of a session at any place; 0: it has none there. */
static uintptr_t word_at(trie_place place, const struct session *s)
{
    uintptr_t subs;
    const struct subscribers *set;

    if (trie_place_is_shared(place))
        return members_find(&group_at(place)->members, s);
    subs = *trie_place_subs(place);
    set = trie_set(subs);
    if (set)
        return members_find(&set->members, s);
    return trie_word_session(subs) == s ? subs : 0;
}

/* --- shared groups --- */

static size_t group_size(const struct group *g)
{
    return sizeof(*g) + g->name_len;
}

static struct group *group_find(const struct trie *t, trie_place home, struct str name)
{
    struct group_key key = {.home = home, .name = name};

    return table_find(&t->groups, &group_ops, t, hash_group(t, home, name), &key);
}

static struct group *group_make(struct trie *t, trie_place home, struct str name)
{
    struct subscribers *set = subs_need_set(trie_place_subs(home));
    struct group *g = set ? mem_zalloc(sizeof(*g) + name.n) : NULL;

    if (!g)
        return NULL;
    g->home = home;
    g->name_len = (uint32_t)name.n;
    memcpy(g->name, name.p, name.n);
    if (table_insert(&t->groups, &group_ops, t, hash_group(t, home, name), g)) {
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
    struct group_key key = {.home = g->home, .name = str_of(g->name, g->name_len)};

    if (g->members.n > 0)
        return;
    (void)table_remove(&t->groups, &group_ops, t, hash_group(t, g->home, key.name), &key);
    *g->link = g->next;
    if (g->next)
        g->next->link = g->link;
    trie_set(*trie_place_subs(g->home))->group_count--;
    members_clear(&g->members);
    mem_free(g, group_size(g));
}

static enum err group_join(struct trie *t, trie_place home, struct str name, uintptr_t word,
                           trie_place *place, bool *is_new)
{
    struct group *g = group_find(t, home, name);
    const struct subscribers *set = trie_set(*trie_place_subs(home));
    enum err e;

    if (!g && set && set->group_count >= TRIE_GROUPS_MAX)
        return ERR_FULL;
    if (!g)
        g = group_make(t, home, name);
    if (!g)
        return ERR_NOMEM;
    *place = (uintptr_t)g | TRIE_PLACE_GROUP;
    e = members_put(&g->members, word, is_new);
    if (e)
        group_drop_if_empty(t, g);
    return e;
}

/* --- changes --- */

/* The filter of a place that is no group, as much of it as `room` holds; returns the length of all
 * of it. */
static size_t filter_beginning(trie_place home, char *out, size_t room)
{
    const struct trie_node *n = trie_place_node(home);
    struct str tail = home & TRIE_PLACE_BELOW ? STR("/#") : str_of(NULL, 0);
    size_t whole;
    size_t at;

    if (n->kind == NODE_ROOT && tail.n > 0)
        tail = STR("#");
    whole = tail.n;
    for (const struct trie_node *m = n; m->kind != NODE_ROOT; m = m->parent)
        whole += m->text_len + (size_t)(m->parent->kind != NODE_ROOT);
    at = whole - tail.n;
    if (at < room && tail.n > 0)
        memcpy(out + at, tail.p, tail.n < room - at ? tail.n : room - at);
    for (; n->kind != NODE_ROOT; n = n->parent) {
        struct str text = trie_node_text(n);
        at -= text.n;
        if (at < room && text.n > 0)
            memcpy(out + at, text.p, text.n < room - at ? text.n : room - at);
        if (n->parent->kind != NODE_ROOT && --at < room)
            out[at] = '/';
    }
    return whole;
}

static void note_change(struct trie *t, trie_place home)
{
    char text[CHANGE_TEXT];

    changes_note(&t->changes, text,
                 changes_wanted(&t->changes) ? filter_beginning(home, text, sizeof(text)) : 0);
}

/* --- the door --- */

enum err trie_init(struct trie *t, uint64_t seed)
{
    *t = (struct trie){.seed = seed};
    slab_init(&t->nodes, sizeof(struct trie_node));
    t->root = trie_node_new(t, NULL, str_of(NULL, 0));
    if (!t->root)
        return ERR_NOMEM;
    t->root->kind = NODE_ROOT;
    return ERR_OK;
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
    trie_place home = trie_place_make(t, shared ? inner : filter);
    uintptr_t word = (uintptr_t)s | (uintptr_t)qos;
    enum err e;

    if (!home)
        return ERR_NOMEM;
    *place = home;
    if (shared)
        e = group_join(t, home, group, word, place, is_new);
    else
        e = subs_join(trie_place_subs(home), word, is_new);
    if (e) {
        subs_drop_set_if_empty(trie_place_subs(home));
        trie_prune(t, trie_place_node(home));
        return e;
    }
    note_change(t, home);
    return ERR_OK;
}

trie_place trie_find(const struct trie *t, struct str filter, const struct session *s)
{
    struct str name, inner;
    bool shared = topic_is_shared(filter, &name, &inner);
    trie_place place = trie_place_find(t, shared ? inner : filter);

    if (place && shared) {
        const struct group *g = group_find(t, place, name);
        place = g ? (uintptr_t)g | TRIE_PLACE_GROUP : 0;
    }
    return place && word_at(place, s) ? place : 0;
}

void trie_leave(struct trie *t, trie_place place, const struct session *s)
{
    trie_place home = place;

    if (trie_place_is_shared(place)) {
        struct group *g = group_at(place);
        home = g->home;
        members_remove(&g->members, s);
        group_drop_if_empty(t, g);
        subs_drop_set_if_empty(trie_place_subs(home));
    } else {
        subs_leave(trie_place_subs(home), s);
    }
    note_change(t, home); /* before what was remembered points at somebody who is gone */
    trie_prune(t, trie_place_node(home));
}

/* The filter of a place that is no group, written from its end backwards; returns where it
 * begins. */
static char *write_backwards(trie_place home, char *end)
{
    const struct trie_node *n = trie_place_node(home);

    if (home & TRIE_PLACE_BELOW) {
        *--end = '#';
        if (n->kind != NODE_ROOT)
            *--end = '/';
    }
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
    return trie_word_qos(word_at(place, s));
}

size_t trie_describe(const struct trie *t, trie_place place, const struct session *s, char *out,
                     enum qos *qos)
{
    char *end = out + UINT16_MAX;
    char *begin;

    (void)t;
    *qos = trie_granted(place, s);
    if (trie_place_is_shared(place)) {
        const struct group *g = group_at(place);
        begin = write_backwards(g->home, end) - g->name_len - 8;
        memcpy(begin, "$share/", 7);
        memcpy(begin + 7, g->name, g->name_len);
        begin[7 + g->name_len] = '/';
    } else {
        begin = write_backwards(place, end);
    }
    memmove(out, begin, (size_t)(end - begin));
    return (size_t)(end - begin);
}

size_t trie_node_count(const struct trie *t)
{
    return t->nodes.used;
}
