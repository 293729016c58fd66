/*
 * Who has subscribed at one place: words in a dense array.
 *
 * A publication reads them in one pass of sequential memory, in an order that depends on nothing
 * but who came and went (walking a hash table cost 59 instructions a receiver). From
 * MEMBERS_INDEXED words on a table tells where a session's word stands; below that a look at each
 * is quicker.
 *
 * A word is the address of a session, which is a multiple of 16, and low bits that belong to its
 * subscription.
 */
#ifndef CORE_MEMBERS_H
#define CORE_MEMBERS_H

#include "base/err.h"
#include "base/table.h"

#include <stdbool.h>
#include <stdint.h>

struct session;

#define MEMBERS_FLAGS 15u
#define MEMBERS_INDEXED 16

struct members {
    uintptr_t *v;
    uint32_t n;
    uint32_t cap;
    struct table *index; /* of places in v, counted from 1; NULL while there are few */
};

/* The word of a session; 0: it is not there. */
uintptr_t members_find(const struct members *m, const struct session *s);
/* Add a word, or put it in the place of the one that its session has. ERR_NOMEM changes nothing. */
MUST_CHECK enum err members_put(struct members *m, uintptr_t word, bool *is_new);
/* A session leaves, if it is there; the last word takes its place. */
void members_remove(struct members *m, const struct session *s);
void members_clear(struct members *m);

#endif
