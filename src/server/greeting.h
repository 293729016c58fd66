/*
 * A connection in front of MQTT, before the core knows it: its PROXY header, and its TLS handshake.
 * links_shake_hands() and link_find_psk() (server/link.h) are here too.
 */
#ifndef SERVER_GREETING_H
#define SERVER_GREETING_H

#include "server/link.h"

/* Whoever the link is must greet first. False: no memory. */
MUST_CHECK bool greeting_begin(struct links *ls, struct link *l, const struct peer *peer);
/* Something has come. */
void greeting_ready(struct links *ls, struct link *l);
/* Its time is over: it is refused. */
void greeting_expire(struct links *ls, struct link *l);
void greeting_free(struct links *ls, struct greeting *g);

#endif
