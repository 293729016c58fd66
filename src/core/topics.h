/*
 * Topics that are published to again and again: who has subscribed to them.
 *
 * A search of the trie costs 60 to 100 instructions for each level of a topic and each node that
 * matches a part of it, and most publishers use the same topics all the time. So what a search has
 * found is remembered with the topic's name. What is remembered is used only while no subscription
 * that the topic matches has come, gone or changed (core/changes.h); so a session that leaves the
 * trie is in no answer that is given after that. A name that is known is a valid one, and need not
 * be looked at again.
 *
 * A table of sets of five, found by an unkeyed hash: who makes topics fall into one set loses but
 * the gain. A topic gets in when it is published for the second time, if the first has not been
 * forgotten over too many others, so that a flood of different topics costs and moves nothing. The
 * table begins with nothing and grows with what is in it up to TOPICS_SETS_MAX sets and
 * TOPICS_BYTES_MAX of memory in all; then a topic takes the place of another of its set, or the
 * memory of those whose turn it is. Without memory nothing is remembered.
 *
 * That saved 1,400 of the 2,650 instructions that a message at QoS 0 took from one publisher to one
 * subscriber, with a topic of three levels; 100 are left of them.
 */
#ifndef CORE_TOPICS_H
#define CORE_TOPICS_H

#include "core/changes.h"
#include "core/trie_node.h"

#include <stdbool.h>
#include <stdint.h>

/* Longer names are not remembered; such a one has fewer levels than TOPIC_LEVELS_MAX. */
#define TOPIC_NAME_MAX 128
/* Nor are topics with more subscriptions: what a search costs is little beside their deliveries. */
#define TOPIC_WORDS_MAX 256
#define TOPICS_SETS_MAX 4096
#define TOPICS_BYTES_MAX (4 * 1024 * 1024)

/* Subscriptions, as trie_collect gives them. */
struct topic_words {
    const uintptr_t *v;
    size_t n;
};

struct topic;

#define TOPICS_WAYS 5
#define TOPICS_SEEN_LOG2 14

/* Topics with a part of their hashes: one cache line. */
struct topics_set {
    uint32_t tags[TOPICS_WAYS]; /* 0: none */
    uint32_t next;              /* whose place is taken next */
    struct topic *topics[TOPICS_WAYS];
};

/* Zeroed it is an empty one. It does not move. */
struct topics {
    struct topics_set *sets;              /* NULL: none yet */
    struct topics_set first;              /* of all, while there is one only */
    uint32_t shift;                       /* their number is 2^(32 - shift) */
    uint32_t count;                       /* of topics */
    uint32_t turn;                        /* whose topics go next when memory is full */
    size_t bytes;                         /* all that they take */
    uint16_t seen[1 << TOPICS_SEEN_LOG2]; /* parts of the hashes of what was searched for once */
};

void topics_clear(struct topics *all);

/*
 * The subscriptions to a topic, if they are known: valid until the next topics_keep, and until the
 * trie changes.
 */
bool topics_find(struct topics *all, struct changes *changes, struct str name,
                 struct topic_words *words);
/* Remember what a search has just found for a topic that topics_find did not know; or at least that
 * it was searched for. */
void topics_keep(struct topics *all, struct changes *changes, struct str name,
                 const struct topic_words *words);

#endif
