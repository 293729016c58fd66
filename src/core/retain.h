/*
 * Retained messages by topic, and cursors that feed them to a new subscription as it drains
 * (3.3.1.3).
 *
 * A tree of levels; the children of a node are a list, for walking, and stand in one hash table
 * with all other edges, for finding. A node with neither message nor children goes, unless a cursor
 * stands on it.
 *
 * A cursor is a place in the walk over the tree in pre-order, confined to what its filter can
 * match. It reads the value that a topic has when it comes by, so it needs no memory for what is
 * still to come, and may be left standing for any time.
 */
#ifndef CORE_RETAIN_H
#define CORE_RETAIN_H

#include "base/err.h"
#include "base/slabs.h"
#include "base/str.h"
#include "base/table.h"
#include "mqtt/message.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct retain_node;

struct retain {
    struct table edges;
    struct slabs nodes; /* without malloc's header and rounding */
    struct retain_node
        *roots[2]; /* of plain topics; of those that begin with '$', which no wildcard enters */
    uint64_t seed;
    uint64_t visits; /* what changes have cost: a level looked up, eight for a node made or freed */
    uint64_t count;  /* retained messages */
    uint64_t bytes;  /* of their topics and payloads */
};

struct retain_cursor {
    TAILQ_ENTRY(retain_cursor) entry; /* for its session */
    const void *owner;                /* the session */
    uint64_t since;                   /* its owner's: what it gives is in rows from this one on */
    struct retain_node *at;           /* pinned; given last, or a root */
    unsigned depth;                   /* levels of `at` */
    unsigned levels;                  /* of the filter; a final '#' not counted */
    bool rest;                        /* the filter ends in '#' */
    bool resumed;                     /* its owner's: some were given in a former life (feed.c) */
    bool unsafe_only;                 /* its owner's: what goes at QoS 0, no more (feed.c) */
    enum qos qos;                     /* granted */
    uint32_t filter_len;
    uint32_t *offsets; /* where each level begins, and the end; behind the filter in the same
                          allocation */
    char filter[];
};

TAILQ_HEAD(retain_cursors, retain_cursor);

MUST_CHECK enum err retain_init(struct retain *r, uint64_t seed);
void retain_clear(struct retain *r); /* no cursors may be left */

/* Does what is retained for this topic outlive the process? What the broker says of itself does
 * not.
 */
static inline bool retain_is_lasting(struct str topic)
{
    return !str_has_prefix(topic, STR("$SYS/"));
}
/* The message retained for a topic, or NULL. */
struct message *retain_find(const struct retain *r, struct str topic);
/*
 * Make room for a message of this topic, so that retain_set cannot fail: the topic's node.
 * ERR_NOMEM changes nothing. Must be followed by retain_set or retain_drop_if_empty.
 */
MUST_CHECK enum err retain_reserve(struct retain *r, struct str topic, struct retain_node **node);
void retain_set(struct retain *r, struct retain_node *node,
                struct message *m);                        /* takes a reference of its own */
struct message *retain_at(const struct retain_node *node); /* or NULL */
void retain_drop_if_empty(struct retain *r, struct retain_node *node);
/* Forget what is retained for a topic; false if nothing was. */
bool retain_remove(struct retain *r, struct str topic);

/* NULL without memory. `filter` is valid and not shared. */
MUST_CHECK struct retain_cursor *retain_cursor_new(struct retain *r, struct str filter,
                                                   enum qos qos);
void retain_cursor_free(struct retain *r, struct retain_cursor *c);
static inline struct str retain_cursor_filter(const struct retain_cursor *c)
{
    return str_of(c->filter, c->filter_len);
}
/*
 * The next retained message that the filter matches: ERR_OK and *m (no reference), ERR_NOT_FOUND at
 * the end, ERR_AGAIN when *budget steps were taken without finding one; *budget counts down.
 */
MUST_CHECK enum err retain_cursor_next(struct retain *r, struct retain_cursor *c, unsigned *budget,
                                       struct message **m);
/* Could anything that is retained match? Cheap: false only when surely not. */
bool retain_may_match(const struct retain *r, struct str filter);

/* Walk over all retained messages, in no particular order: *cursor begins with 0; NULL at the end.
 */
struct message *retain_walk(const struct retain *r, uint64_t *cursor);

#endif
