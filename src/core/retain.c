/*
 * The tree, and the walk over it. A cursor's whole state is the node on which it stands: the path
 * to the node tells which levels of the filter it has passed.
 */
#include "core/retain.h"

#include "base/mem.h"
#include "mqtt/topic.h"

#include <string.h>

struct retain_node {
    struct retain_node *parent;
    struct retain_node *first; /* child */
    struct retain_node *next;  /* sibling */
    struct retain_node *prev;
    struct message *message;
    uint32_t pins;       /* cursors that stand here */
    uint32_t level_hash; /* of the text: moving an edge in the table need not look at it */
    uint16_t text_len;
    char text[];
};

struct edge_key {
    const struct retain_node *parent;
    struct str text;
};

static struct str node_text(const struct retain_node *n)
{
    return str_of(n->text, n->text_len);
}

static uint32_t hash_level(const struct retain *r, struct str text)
{
    return (uint32_t)table_hash(r->seed, text.p, text.n);
}

static uint64_t hash_edge(const struct retain_node *parent, uint32_t level_hash)
{
    return table_mix(level_hash, (uintptr_t)parent);
}

static uint64_t edge_hash(const void *entry, const void *ctx)
{
    const struct retain_node *n = entry;

    (void)ctx;
    return hash_edge(n->parent, n->level_hash);
}

static bool edge_equal(const void *entry, const void *key, const void *ctx)
{
    const struct retain_node *n = entry;
    const struct edge_key *k = key;

    (void)ctx;
    return n->parent == k->parent && str_eq(node_text(n), k->text);
}

static const struct table_ops edge_ops = {.hash = edge_hash, .equal = edge_equal};

/* Where the walk begins: wildcards of the first level do not match names that begin with '$'
 * (4.7.2). */
static struct retain_node *root_of(const struct retain *r, struct str topic)
{
    return r->roots[topic.n > 0 && topic.p[0] == '$'];
}

static struct retain_node *child_find(const struct retain *r, const struct retain_node *n,
                                      struct str text)
{
    struct edge_key key = {.parent = n, .text = text};

    if (!n->first)
        return NULL;
    return table_find_inline(&r->edges, &edge_ops, r, hash_edge(n, hash_level(r, text)), &key);
}

static size_t node_size(size_t text)
{
    return offsetof(struct retain_node, text) + text;
}

static struct retain_node *node_new(struct retain *r, struct retain_node *parent, struct str text)
{
    struct retain_node *n = slabs_take(&r->nodes, node_size(text.n));

    if (!n)
        return NULL;
    memset(n, 0, offsetof(struct retain_node, text));
    n->parent = parent;
    n->text_len = (uint16_t)text.n;
    n->level_hash = hash_level(r, text);
    if (text.n > 0)
        memcpy(n->text, text.p, text.n);
    return n;
}

static void node_free(struct retain *r, struct retain_node *n)
{
    slabs_give(&r->nodes, n, node_size(n->text_len));
}

static struct retain_node *child_make(struct retain *r, struct retain_node *parent, struct str text)
{
    struct retain_node *n = node_new(r, parent, text);

    r->visits += 8;
    if (!n)
        return NULL;
    if (table_insert(&r->edges, &edge_ops, r, edge_hash(n, r), n)) {
        node_free(r, n);
        return NULL;
    }
    n->next = parent->first;
    if (n->next)
        n->next->prev = n;
    parent->first = n;
    return n;
}

static void child_remove(struct retain *r, struct retain_node *n)
{
    struct edge_key key = {.parent = n->parent, .text = node_text(n)};

    r->visits += 8;
    (void)table_remove(&r->edges, &edge_ops, r, edge_hash(n, r), &key);
    if (n->prev)
        n->prev->next = n->next;
    else
        n->parent->first = n->next;
    if (n->next)
        n->next->prev = n->prev;
    node_free(r, n);
}

enum err retain_init(struct retain *r, uint64_t seed)
{
    *r = (struct retain){.seed = seed};
    slabs_init(&r->nodes);
    r->roots[0] = node_new(r, NULL, str_of(NULL, 0));
    r->roots[1] = node_new(r, NULL, str_of(NULL, 0));
    return r->roots[0] && r->roots[1] ? ERR_OK : ERR_NOMEM;
}

/* The first leaf below n: children go before their parents. */
static struct retain_node *deepest(struct retain_node *n)
{
    while (n->first)
        n = n->first;
    return n;
}

static void clear_below(struct retain *r, struct retain_node *root)
{
    while (root && root->first) {
        struct retain_node *n = deepest(root);
        message_unref(n->message);
        child_remove(r, n);
    }
    if (root)
        node_free(r, root);
}

void retain_clear(struct retain *r)
{
    clear_below(r, r->roots[0]);
    clear_below(r, r->roots[1]);
    table_clear(&r->edges);
    slabs_clear(&r->nodes);
    *r = (struct retain){0};
}

void retain_drop_if_empty(struct retain *r, struct retain_node *n)
{
    while (n->parent && !n->first && !n->message && n->pins == 0) {
        struct retain_node *parent = n->parent;
        child_remove(r, n);
        n = parent;
    }
}

static struct retain_node *node_find(const struct retain *r, struct str topic)
{
    struct retain_node *n = root_of(r, topic);
    struct str level;
    size_t at = 0;

    while (n && topic_level(topic, &at, &level))
        n = child_find(r, n, level);
    return n;
}

struct message *retain_find(const struct retain *r, struct str topic)
{
    const struct retain_node *n = node_find(r, topic);

    return n ? n->message : NULL;
}

enum err retain_reserve(struct retain *r, struct str topic, struct retain_node **node)
{
    struct retain_node *n = root_of(r, topic);
    struct str level;
    size_t at = 0;

    while (topic_level(topic, &at, &level)) {
        r->visits++;
        struct retain_node *child = child_find(r, n, level);
        if (!child)
            child = child_make(r, n, level);
        if (!child) {
            retain_drop_if_empty(r, n);
            return ERR_NOMEM;
        }
        n = child;
    }
    *node = n;
    return ERR_OK;
}

static void forget(struct retain *r, struct retain_node *n)
{
    if (!n->message)
        return;
    r->count--;
    r->bytes -= (uint64_t)n->message->topic_len + n->message->payload_len;
    message_unref(n->message);
    n->message = NULL;
}

void retain_set(struct retain *r, struct retain_node *node, struct message *m)
{
    message_ref(m);
    forget(r, node);
    node->message = m;
    r->count++;
    r->bytes += (uint64_t)m->topic_len + m->payload_len;
}

struct message *retain_at(const struct retain_node *node)
{
    return node->message;
}

bool retain_remove(struct retain *r, struct str topic)
{
    struct retain_node *n = node_find(r, topic);

    if (!n || !n->message)
        return false;
    forget(r, n);
    retain_drop_if_empty(r, n);
    return true;
}

/* --- cursors --- */

static size_t offsets_at(size_t filter_len)
{
    size_t align = _Alignof(uint32_t);

    return (sizeof(struct retain_cursor) + filter_len + align - 1) / align * align;
}

static size_t cursor_size(size_t filter_len, unsigned levels)
{
    return offsets_at(filter_len) + ((size_t)levels + 1) * sizeof(uint32_t);
}

struct retain_cursor *retain_cursor_new(struct retain *r, struct str filter, enum qos qos)
{
    unsigned levels = topic_levels(filter);
    struct retain_cursor *c = mem_zalloc(cursor_size(filter.n, levels));
    struct str level;
    size_t at = 0;
    unsigned i = 0;

    if (!c)
        return NULL;
    memcpy(c->filter, filter.p, filter.n);
    c->filter_len = (uint32_t)filter.n;
    c->qos = qos;
    c->offsets = (uint32_t *)(void *)((char *)c + offsets_at(filter.n));
    c->offsets[0] = 0;
    while (topic_level(filter, &at, &level)) {
        c->offsets[i + 1] = c->offsets[i] + (uint32_t)level.n + 1;
        i++;
    }
    c->rest = str_eq(level, STR("#"));
    c->levels = c->rest ? levels - 1 : levels;
    c->at = root_of(r, filter);
    c->at->pins++;
    return c;
}

/* The i-th level of the filter, from 0. */
static struct str cursor_level(const struct retain_cursor *c, unsigned i)
{
    return str_of(c->filter + c->offsets[i], c->offsets[i + 1] - c->offsets[i] - 1);
}

static void cursor_stand(struct retain *r, struct retain_cursor *c, struct retain_node *n)
{
    struct retain_node *former = c->at;

    n->pins++;
    c->at = n;
    former->pins--;
    retain_drop_if_empty(r, former);
}

void retain_cursor_free(struct retain *r, struct retain_cursor *c)
{
    c->at->pins--;
    retain_drop_if_empty(r, c->at);
    mem_free(c, cursor_size(c->filter_len, c->rest ? c->levels + 1 : c->levels));
}

/* May any child be taken from a node at this depth, or one by name only? */
static bool is_wild(const struct retain_cursor *c, unsigned depth)
{
    return depth >= c->levels || str_eq(cursor_level(c, depth), STR("+"));
}

static struct retain_node *step_down(const struct retain *r, const struct retain_cursor *c,
                                     const struct retain_node *n, unsigned depth)
{
    if (depth >= c->levels && !c->rest)
        return NULL;
    if (is_wild(c, depth))
        return n->first;
    return child_find(r, n, cursor_level(c, depth));
}

/* The next node of the walk after n at *depth, NULL at the end; *steps counts what was looked at.
 */
static struct retain_node *step(const struct retain *r, const struct retain_cursor *c,
                                struct retain_node *n, unsigned *depth, unsigned *steps)
{
    struct retain_node *to = step_down(r, c, n, *depth);

    if (to) {
        ++*depth;
        return to;
    }
    for (; n->parent; n = n->parent) {
        ++*steps;
        --*depth;
        to = is_wild(c, *depth) ? n->next : NULL;
        if (to) {
            ++*depth;
            return to;
        }
    }
    return NULL;
}

static bool stands_on_match(const struct retain_cursor *c)
{
    return c->at->message && (c->depth == c->levels || (c->rest && c->depth > c->levels));
}

enum err retain_cursor_next(struct retain *r, struct retain_cursor *c, unsigned *budget,
                            struct message **m)
{
    while (*budget > 0) {
        unsigned steps = 1;
        unsigned depth = c->depth;
        struct retain_node *n = step(r, c, c->at, &depth, &steps);
        if (!n)
            return ERR_NOT_FOUND;
        c->depth = depth;
        cursor_stand(r, c, n);
        *budget -= steps < *budget ? steps : *budget;
        if (stands_on_match(c)) {
            *m = c->at->message;
            return ERR_OK;
        }
    }
    return ERR_AGAIN;
}

bool retain_may_match(const struct retain *r, struct str filter)
{
    const struct retain_node *n = root_of(r, filter);
    struct str level;
    size_t at = 0;

    if (r->count == 0)
        return false;
    while (n && topic_level(filter, &at, &level)) {
        if (str_eq(level, STR("+")) || str_eq(level, STR("#")))
            return true;
        n = child_find(r, n, level);
    }
    return n && n->message;
}

struct message *retain_walk(const struct retain *r, uint64_t *cursor)
{
    const struct retain_node *n;

    while ((n = table_next(&r->edges, cursor)))
        if (n->message)
            return n->message;
    return NULL;
}
