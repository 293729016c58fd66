/*
 * Looking up a topic in the subscription trie.
 */
#ifndef CORE_TRIE_WALK_H
#define CORE_TRIE_WALK_H

#include "core/trie_node.h"
#include "mqtt/topic.h"

/* A node that matches the first `depth` levels of the topic. */
struct trie_visit {
    const struct trie_node *node;
    uint32_t depth;
};

/*
 * A lookup, whole or under way. It walks depth first with a stack of its own: each level leaves at
 * most one sibling behind, so the stack is as deep as the topic.
 */
struct trie_walk {
    struct trie_list found; /* places whose subscribers match */
    uint32_t top;           /* of the stack; 0 = finished, or not begun */
    uint64_t serial;        /* 0 = not parked */
    uint64_t generation;    /* of the trie, when it was parked */
    struct trie_visit stack[TOPIC_LEVELS_MAX + 2];
};

/*
 * Find what matches a topic name: begin with an empty walk, then trie_walk_on until it no longer
 * answers ERR_AGAIN, which it does after `visits` nodes. Filters can be built so that a topic leads
 * through very many nodes and to few subscribers: whoever serves others too walks a few thousand at
 * a time. Between two calls a walk must be parked if the trie may change meanwhile. ERR_NOMEM: the
 * walk is of no use any more.
 */
void trie_walk_begin(const struct trie *t, struct trie_walk *w);
MUST_CHECK enum err trie_walk_on(struct trie *t, struct trie_walk *w, struct str topic,
                                 uint32_t visits);
/*
 * A copy of an unfinished walk, which it empties, to be gone on with in a later turn; NULL without
 * memory. While walks are parked no node is freed; where memory forbids that, they begin anew.
 */
MUST_CHECK struct trie_walk *trie_walk_park(struct trie *t, struct trie_walk *w);
/* No more walks can be parked now. */
bool trie_walk_is_full(const struct trie *t);
void trie_walk_free(struct trie *t, struct trie_walk *parked);
void trie_walk_clear(struct trie_walk *w); /* one that was never parked */

/*
 * All subscriptions that a finished walk has found, as they are now: words for trie_word_session
 * and trie_word_qos; a session may be there several times. Of each shared group there is one word
 * for trie_group_next. ERR_NOMEM: the list is not complete.
 */
MUST_CHECK enum err trie_collect(const struct trie_walk *w, struct trie_list *words);
/*
 * The members of a matched group, in turn: each call gives the next member's word, going round from
 * where the last publication stopped; 0 after each has been seen once. *seen begins with 0.
 */
uintptr_t trie_group_next(uintptr_t group_word, uint32_t *seen);

#endif
