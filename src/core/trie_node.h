/*
 * The tree of levels under the subscription trie: nodes, edges, and when a node may go.
 *
 * Only the trie's own files look at nodes. All exact edges of all nodes stand in one hash table, by
 * the level that they begin with; '+' is a field.
 *
 * An edge carries as many levels as there are without a branch, so `home/17/+/state` below `home`
 * is one node, not three, and is split when another filter leaves it halfway. It stays split until
 * what is below has gone: so a filter takes two nodes at most where it is new. (Of 100,000 filters
 * `site/NUMBER/+/temperature` each took 298 bytes, and takes 92.)
 *
 * '#' is no node at all: `home/#` is a second list of subscribers of the node `home`.
 */
#ifndef CORE_TRIE_NODE_H
#define CORE_TRIE_NODE_H

#include "base/err.h"
#include "base/slab.h"
#include "base/str.h"
#include "base/table.h"
#include "core/changes.h"
#include "core/members.h"

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

struct session;

/* Words or nodes, as many as there were; the memory is kept for the next lookup. */
struct trie_list {
    uintptr_t *v;
    size_t n;
    size_t cap;
};

/* At most so many searches wait for their next turn at a time; the others wait for one of these to
 * end. */
#define TRIE_PARKED_MAX 4
/* Shared groups of one filter; more would make every publication that it matches a long one. */
#define TRIE_GROUPS_MAX 1000

struct trie {
    struct table edges;
    struct table groups;
    struct slab nodes;
    struct trie_node *root;
    uint64_t seed;
    uint64_t
        visits; /* what all this has cost: nodes looked at, and sixteen for one made or freed */
    uint64_t parked[TRIE_PARKED_MAX]; /* serial numbers of parked walks; 0 = free */
    uint64_t serial;                  /* of the walk parked last */
    uint64_t generation;              /* of nodes that parked walks may know */
    struct trie_list
        graves; /* pairs: a node that has left the tree, and the walk parked last then */
    size_t graves_first;
    struct changes changes; /* of what topics match */
};

#define TRIE_SESSION_ALIGN 16

/* Low bits of words; sessions are 16-aligned, the rest at least 8. */
#define WORD_GROUP 4u
#define WORD_SINGLE 8u

#define TRIE_TEXT_INLINE 20

enum node_kind { NODE_ROOT, NODE_EXACT, NODE_PLUS };

struct trie_node {
    struct trie_node *parent;
    struct trie_node *plus; /* the child that begins with '+' */
    uintptr_t here;         /* who has subscribed to this node: 0; a word with WORD_SINGLE; a struct
                               subscribers */
    uintptr_t below;        /* likewise, to this and all that is below: FILTER/# */
    uint32_t children;      /* of both kinds */
    uint32_t level_hash;    /* of the text's first level: moving an edge in the table, and removing
                               one, need not look at texts (with shorter look-ups, 750 of
                                       4,720 instructions for a subscription that comes and goes) */
    uint16_t text_len;
    uint8_t levels;              /* of the text */
    uint8_t kind : 2;            /* enum node_kind: what the text begins with */
    bool wild : 1;               /* there is a '+' behind its first level */
    char text[TRIE_TEXT_INLINE]; /* of the edge to this node: one level or more, '+' among them; a
                                    pointer to it when it is longer */
};

static_assert(sizeof(struct trie_node) == 64, "a node is a cache line");

/* Where a subscription lives: a node, its list `below`, or a group of either. Valid as long as the
 * subscription. */
typedef uintptr_t trie_place;
#define TRIE_PLACE_GROUP 1u
#define TRIE_PLACE_BELOW 2u

struct subscribers {
    struct members members; /* session | qos */
    struct group *groups;
    uint32_t group_count;
};

struct group { /* of $share */
    struct group *next;
    struct group **link;
    trie_place home;
    struct members members;
    uint32_t cursor; /* where the next publication goes on */
    uint32_t name_len;
    char name[];
};

/* Of a place that is not a group. */
static inline struct trie_node *trie_place_node(trie_place p)
{
    return (struct trie_node *)(p & ~(trie_place)TRIE_PLACE_BELOW);
}

static inline uintptr_t *trie_place_subs(trie_place p)
{
    struct trie_node *n = trie_place_node(p);

    return p & TRIE_PLACE_BELOW ? &n->below : &n->here;
}

/* NULL: none, or a single one, which stands in place. */
static inline struct subscribers *trie_set(uintptr_t subs)
{
    return subs == 0 || (subs & WORD_SINGLE) ? NULL : (struct subscribers *)subs;
}

/* Make sure that so many more fit in. ERR_NOMEM changes nothing. */
MUST_CHECK enum err trie_list_fit(struct trie_list *l, size_t more);
void trie_list_clear(struct trie_list *l);

struct str trie_node_text(const struct trie_node *n);
/* The hash of a name, and that of a name at a place. */
static inline uint32_t trie_hash_level(const struct trie *t, struct str name)
{
    return (uint32_t)table_hash(t->seed, name.p, name.n);
}
static inline uint64_t trie_hash_at(uint32_t level_hash, uintptr_t at)
{
    return table_mix(level_hash, at);
}
/* Not yet known to its parent; NULL without memory. */
MUST_CHECK struct trie_node *trie_node_new(struct trie *t, struct trie_node *parent,
                                           struct str text);
void trie_node_free(struct trie *t, struct trie_node *n);
/* The child whose text begins with this level of a topic, whose hash by the trie's seed is known;
 * NULL when there is none. */
struct trie_node *trie_edge(const struct trie *t, const struct trie_node *n, struct str text,
                            uint32_t level_hash);
/* The place of a plain filter, or 0. */
trie_place trie_place_find(const struct trie *t, struct str filter);
/* The place of a plain filter, made if it is not there; 0 without memory. */
MUST_CHECK trie_place trie_place_make(struct trie *t, struct str filter);
/*
 * Remove a node that has become useless, and its parents likewise. A parked walk may still stand on
 * it: then it leaves the tree, but its memory stays until that walk has ended; where memory to
 * remember it is wanting, it goes at once and the generation tells the walks.
 */
void trie_prune(struct trie *t, struct trie_node *n);
/* Free at most so many nodes that no parked walk can know; true when there are more. */
bool trie_sweep(struct trie *t, uint32_t most);

#endif
