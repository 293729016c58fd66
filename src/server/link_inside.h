/*
 * What a link can become, for who stands in front of MQTT: between link.c and greeting.c.
 */
#ifndef SERVER_LINK_INSIDE_H
#define SERVER_LINK_INSIDE_H

#include "server/link.h"

static inline bool link_is_encrypted(const struct link *l)
{
    return l->io != &l->tcp.base;
}

/* What its transport must see happen, as bits of enum poll_interest; never nothing. */
unsigned link_wanted(const struct link *l);
/* It is in this state, and not longer than so many ms. */
void link_await(struct links *ls, struct link *l, enum link_state state, uint32_t patience_ms);
/* The core has it from here on: it is live. False: no memory, and nothing has changed. */
MUST_CHECK bool link_introduce(struct links *ls, struct link *l, const struct peer *peer);
/* It begins to be read: what its transport holds, too. */
void link_start(struct links *ls, struct link *l);
/* The peer is told that nothing more will come, and may read what has been sent. It has no conn. */
void link_part(struct links *ls, struct link *l);
/* At once; it has no conn. */
void link_close(struct links *ls, struct link *l);
/* At once, whether it has a conn or not. */
void link_end(struct links *ls, struct link *l, enum reason why, const char *detail);

#endif
