/*
 * Subscriptions, found by topic.
 *
 * Filters are stored level by level. '+' and '#' are not keys among the other children but fields
 * of the node, so a lookup asks three questions per level and never scans. A topic that begins with
 * '$' skips the wildcards of the first level (MQTT 3.1.1, 4.7.2). All exact edges of all nodes
 * stand in one hash table; levels without a branch between them share an edge.
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

#include "core/trie_node.h"
#include "mqtt/packet.h"

#include <stdbool.h>
#include <stdint.h>

static inline bool trie_place_is_shared(trie_place p)
{
    return (p & TRIE_PLACE_GROUP) != 0;
}

MUST_CHECK enum err trie_init(struct trie *t, uint64_t seed);
void trie_clear(struct trie *t); /* no subscriptions may be left */

/*
 * Subscribe a session to a valid filter, plain or $share/GROUP/FILTER. *is_new: false when it had
 * it and only the QoS changed. ERR_NOMEM, and ERR_FULL for too many groups of one filter, leave
 * everything as it was.
 */
MUST_CHECK enum err trie_subscribe(struct trie *t, struct str filter, struct session *s,
                                   enum qos qos, trie_place *place, bool *is_new);
/* The place of this session's subscription; 0 when it has none to that filter. */
trie_place trie_find(const struct trie *t, struct str filter, const struct session *s);
/* The session, subscribed there, leaves. */
void trie_leave(struct trie *t, trie_place place, const struct session *s);
/* The QoS that was granted to a subscription of this session. */
enum qos trie_granted(trie_place place, const struct session *s);
/* The filter of a place, as it was subscribed, and the session's granted QoS; `out` has at least
 * 65536 bytes. */
size_t trie_describe(const struct trie *t, trie_place place, const struct session *s, char *out,
                     enum qos *qos);

static inline bool trie_word_is_group(uintptr_t word)
{
    return (word & 4) != 0;
}
static inline struct session *trie_word_session(uintptr_t word)
{
    return (struct session *)(word & ~(uintptr_t)MEMBERS_FLAGS);
}
static inline enum qos trie_word_qos(uintptr_t word)
{
    return (enum qos)(word & 3);
}
/* Number of nodes, for invariants and $SYS. */
size_t trie_node_count(const struct trie *t);

#endif
