/*
 * One publication to all its receivers.
 */
#ifndef CORE_ROUTE_H
#define CORE_ROUTE_H

#include "core/session.h"
#include "core/topics.h"
#include "core/trie_walk.h"

struct receiver {
    struct session *session;
    /* Granted: the highest of all its subscriptions that match (3.3.5-1); with
     * allow_duplicate_messages there is a receiver for each of these. */
    enum qos qos;
    uint32_t rows; /* of the first of a session: so many of its receivers need one */
};

struct route {
    struct trie_walk walk;
    struct trie_list found;   /* by a search */
    struct topic_words words; /* of whoever has subscribed: found, or known */
    struct topics topics;
    struct receiver *receivers;
    size_t cap;
    size_t n;
    uint64_t serial;
    bool unknown; /* of somebody there was no memory for what it may read */
};

void route_clear(struct route *r);

/*
 * Find who has subscribed to a topic as route_find does, but only if that is known since other
 * publications to it; the topic's bytes may be unchecked still: one that is known is a valid name.
 */
MUST_CHECK static inline bool route_recall(struct route *r, struct session_env *env,
                                           struct str topic)
{
    if (!topics_find(&r->topics, &env->trie->changes, topic, &r->words))
        return false;
    work_charge(env->work, WORK_ROUTE);
    return true;
}
/*
 * Find who has subscribed to a topic, for the route_publish that must follow at once. `parked`
 * NULL: as long as it takes. Otherwise ERR_AGAIN when that is longer than a turn should be: *parked
 * then holds what is needed to go on, and is given again; it is NULL at first, and after every
 * other answer. What a client publishes to (`parked` is given) is remembered for route_recall.
 */
MUST_CHECK enum err route_find(struct route *r, struct session_env *env, struct str topic,
                               struct trie_walk **parked);
/*
 * Give a publication to everyone whom route_find has found, and to the retained messages if it asks
 * for that. `source` is the publisher's session or NULL. At QoS 1 and 2 all memory is found first:
 * ERR_NOMEM then means that nobody has got anything. At QoS 0 ERR_NOMEM may mean that some have
 * not.
 */
MUST_CHECK enum err route_publish(struct route *r, struct session_env *env, struct publication *pub,
                                  struct session *source);

#endif
