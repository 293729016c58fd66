/*
 * The tree of levels under the subscription trie: nodes, edges, and when a node may go.
 *
 * Only the trie's own files look at nodes. All exact edges of all nodes stand in one hash table;
 * '+' and '#' are fields.
 */
#ifndef CORE_TRIE_NODE_H
#define CORE_TRIE_NODE_H

#include "base/err.h"
#include "base/slab.h"
#include "base/str.h"
#include "base/table.h"

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
};

#define TRIE_SESSION_ALIGN 16

/* Low bits of words; sessions are 16-aligned, the rest at least 8. */
#define WORD_GROUP 4u
#define WORD_SINGLE 8u

#define TRIE_TEXT_INLINE 24

enum node_kind { NODE_ROOT, NODE_EXACT, NODE_PLUS, NODE_HASH };

struct trie_node {
    struct trie_node *parent;
    struct trie_node *plus; /* the child '+' */
    struct trie_node *hash; /* the child '#' */
    uintptr_t subs;         /* 0; a subscription's word with WORD_SINGLE; a struct subscribers */
    uint32_t children;      /* of all three kinds */
    uint16_t text_len;
    uint8_t kind; /* enum node_kind */
    union {
        char here[TRIE_TEXT_INLINE];
        char *elsewhere;
    } text;
};

struct subscribers {
    struct table members; /* of words: session | qos */
    struct group *groups;
    uint32_t group_count;
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

/* NULL: none, or a single one, which stands in place. */
static inline struct subscribers *trie_node_set(const struct trie_node *n)
{
    return n->subs == 0 || (n->subs & WORD_SINGLE) ? NULL : (struct subscribers *)n->subs;
}

/* Make sure that so many more fit in. ERR_NOMEM changes nothing. */
MUST_CHECK enum err trie_list_fit(struct trie_list *l, size_t more);
void trie_list_clear(struct trie_list *l);

struct str trie_node_text(const struct trie_node *n);
uint64_t trie_hash_edge(const struct trie *t, const struct trie_node *parent, struct str text);
MUST_CHECK struct trie_node *trie_node_new(struct trie *t, struct trie_node *parent,
                                           enum node_kind kind, struct str text);
void trie_node_free(struct trie *t, struct trie_node *n);
/* The child for a level of a topic, whose hash by the trie's seed is known; NULL when there is
 * none. */
struct trie_node *trie_edge(const struct trie *t, const struct trie_node *n, struct str text,
                            uint64_t text_hash);
/* The node of a filter, or NULL. */
struct trie_node *trie_node_find(const struct trie *t, struct str filter);
/* The node of a filter, made if it is not there; NULL without memory. */
MUST_CHECK struct trie_node *trie_node_make(struct trie *t, struct str filter);
/*
 * Remove a node that has become useless, and its parents likewise. A parked walk may still stand on
 * it: then it leaves the tree, but its memory stays until that walk has ended; where memory to
 * remember it is wanting, it goes at once and the generation tells the walks.
 */
void trie_prune(struct trie *t, struct trie_node *n);
/* Free at most so many nodes that no parked walk can know; true when there are more. */
bool trie_sweep(struct trie *t, uint32_t most);

#endif
