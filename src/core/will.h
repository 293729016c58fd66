/*
 * The will of a connection (3.1.2.5).
 */
#ifndef CORE_WILL_H
#define CORE_WILL_H

#include "core/state.h"

/* Keep the will of a CONNECT, after conn_keep_login. ERR_NOMEM changes nothing. */
MUST_CHECK enum err will_set(struct conn *c, const struct packet_connect *p);
bool will_is_set(const struct conn *c);
void will_drop(struct conn *c);
/* Publish it, if there is one, and forget it. */
void will_publish(struct broker *b, struct conn *c);

#endif
