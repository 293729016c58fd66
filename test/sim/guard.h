/*
 * An ACL for the simulated world: each client has a user name, and a few rules of its own, drawn by
 * the seed. What may be is known beforehand, from the same rules by the naive matcher.
 */
#ifndef SIM_GUARD_H
#define SIM_GUARD_H

#include "auth/acl.h"
#include "base/rng.h"
#include "names.h"

#include <stdbool.h>

struct conf_listener;

struct guard {
    bool on;
    bool may_read[CLIENTS][TOPICS];
    bool may_write[CLIENTS][TOPICS];
    struct str text; /* of the file; ours */
};

/* Draw the rules. The last client may everything, and all may write wills. */
void guard_draw(struct guard *g, struct rng *r, const struct names *n);
void guard_clear(struct guard *g);
/* Hang the rules, read anew, on these listeners; without rules nothing. */
void guard_hang(const struct guard *g, struct conf_listener *listeners, unsigned count);
/* Take them off. */
void guard_unhang(struct conf_listener *listeners, unsigned count);
/* The user name of a client; in `room`, 16 bytes. Empty: there are no rules. */
struct str guard_user(const struct guard *g, int client, char *room);

static inline bool guard_reads(const struct guard *g, unsigned client, unsigned topic)
{
    return !g->on || g->may_read[client][topic];
}
/* `publisher`: as in struct letter. */
static inline bool guard_writes(const struct guard *g, unsigned publisher, unsigned topic)
{
    return !g->on || g->may_write[publisher % CLIENTS][topic];
}

#endif
