/*
 * A connection in front of MQTT, before the core knows it: its PROXY header, and its TLS handshake.
 */
#ifndef SERVER_GREETING_H
#define SERVER_GREETING_H

#include "net/tls.h"
#include "server/link_state.h"

/* Whoever the link is must greet first. False: no memory. */
MUST_CHECK bool greeting_begin(struct links *ls, struct link *l, const struct peer *peer);
/* Something has come. */
void greeting_ready(struct links *ls, struct link *l);
/* Its time is over: it is refused. */
void greeting_expire(struct links *ls, struct link *l);
void greeting_free(struct links *ls, struct greeting *g);
/* struct tls_settings: a key by the file that is in force where this connection came in. */
size_t greeting_find_psk(void *greeting, struct str identity, uint8_t key[TLS_PSK_MAX]);
/*
 * Go on with handshakes, first come first served, until they have taken some milliseconds of this
 * turn. What is left is for the next one.
 */
void links_shake_hands(struct links *ls);

#endif
