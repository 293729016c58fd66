/*
 * Subscriptions, found by topic.
 *
 * Filters are stored level by level. '+' and '#' are not keys among the other children but fields
 * of the node, so a lookup asks three questions per level and never scans. A topic that begins with
 * '$' skips the wildcards of the first level (MQTT 3.1.1, 4.7.2). All exact edges of all nodes
 * stand in one hash table.
 *
 * The trie holds sessions but does not own them: a session removes its subscriptions before it
 * dies. A session keeps, for each of its subscriptions, the *place* in the trie: so ending it costs
 * the same per subscription however many there are.
 *
 * A subscription is one word: the session's address, which is a multiple of 16, and the granted QoS
 * in its low bits.
 */
#ifndef CORE_TRIE_H
#define CORE_TRIE_H

#include "base/err.h"
#include "base/slab.h"
#include "base/str.h"
#include "base/table.h"
#include "mqtt/packet.h"
#include "mqtt/topic.h"

#include <stdbool.h>
#include <stdint.h>

struct session;
struct trie_node;

#define TRIE_SESSION_ALIGN 16

/* Where a subscription lives: a node, or a group of a node. Valid as long as the subscription. */
typedef uintptr_t trie_place;
#define TRIE_PLACE_GROUP 1u

static inline bool trie_place_is_shared(trie_place p)
{
    return (p & TRIE_PLACE_GROUP) != 0;
}

/* Words or nodes, as many as there were; the memory is kept for the next lookup. */
struct trie_list {
    uintptr_t *v;
    size_t n;
    size_t cap;
};

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
    struct trie_list found; /* nodes whose subscribers match */
    uint32_t top;           /* of the stack; 0 = finished, or not begun */
    bool parked;
    uint32_t generation; /* when it was parked */
    struct trie_visit stack[TOPIC_LEVELS_MAX + 2];
};

struct trie {
    struct table edges;
    struct table groups;
    struct slab nodes;
    struct trie_node *root;
    uint64_t seed;
    uint64_t visits;         /* nodes that lookups have asked so far: what matching has cost */
    uint32_t parked;         /* walks that will go on: nodes must stay */
    uint32_t generation;     /* of nodes that parked walks may know */
    struct trie_list graves; /* nodes that go when no walk is parked */
};

MUST_CHECK enum err trie_init(struct trie *t, uint64_t seed);
void trie_clear(struct trie *t); /* no subscriptions may be left */

/*
 * Subscribe a session to a valid filter, plain or $share/GROUP/FILTER. *is_new: false when it had
 * it and only the QoS changed. ERR_NOMEM leaves everything as it was.
 */
MUST_CHECK enum err trie_subscribe(struct trie *t, struct str filter, struct session *s,
                                   enum qos qos, trie_place *place, bool *is_new);
/* The place of this session's subscription; 0 when it has none to that filter. */
trie_place trie_find(const struct trie *t, struct str filter, const struct session *s);
/* The session, subscribed there, leaves. */
void trie_leave(struct trie *t, trie_place place, const struct session *s);
/* The filter of a place, as it was subscribed, and the session's granted QoS; `out` has at least
 * 65536 bytes. */
size_t trie_describe(const struct trie *t, trie_place place, const struct session *s, char *out,
                     enum qos *qos);

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
void trie_walk_free(struct trie *t, struct trie_walk *parked);
void trie_walk_clear(struct trie_walk *w); /* one that was never parked */

/*
 * All subscriptions that a finished walk has found, as they are now: words for trie_word_session
 * and trie_word_qos; a session may be there several times. Of each shared group there is one word
 * for trie_group_next. ERR_NOMEM: the list is not complete.
 */
MUST_CHECK enum err trie_collect(const struct trie_walk *w, struct trie_list *words);
void trie_list_clear(struct trie_list *l);

static inline bool trie_word_is_group(uintptr_t word)
{
    return (word & 4) != 0;
}
static inline struct session *trie_word_session(uintptr_t word)
{
    return (struct session *)(word & ~(uintptr_t)(TRIE_SESSION_ALIGN - 1));
}
static inline enum qos trie_word_qos(uintptr_t word)
{
    return (enum qos)(word & 3);
}
/*
 * The members of a matched group, in turn: each call gives the next member's word, going round from
 * where the last publication stopped; 0 after each has been seen once. *seen begins with 0.
 */
uintptr_t trie_group_next(uintptr_t group_word, uint32_t *seen);

/* Number of nodes, for invariants and $SYS. */
size_t trie_node_count(const struct trie *t);

#endif
