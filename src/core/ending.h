/*
 * How connections end.
 */
#ifndef CORE_ENDING_H
#define CORE_ENDING_H

#include "core/state.h"

/*
 * End a connection: log why, publish its will unless it said DISCONNECT (3.1.2.5), let go of its
 * session, and have the server close it. Harmless on one that has ended. `detail` is added to the
 * reason, or NULL.
 */
void conn_end(struct broker *b, struct conn *c, enum reason why, const char *detail);
/* The same for one whose CONNECT was not accepted: what stands in that is only what it claims. */
void conn_refuse(struct broker *b, struct conn *c, enum reason why, const struct packet_connect *p);
/* Free one that has ended and whose link is gone. */
void conn_free(struct broker *b, struct conn *c);
/* Its input goes on next turn. */
void conn_want_input(struct broker *b, struct conn *c);

#endif
