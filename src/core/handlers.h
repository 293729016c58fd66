/*
 * One handler per packet type that a client sends. Each returns REASON_OK, or why the connection
 * must end.
 */
#ifndef CORE_HANDLERS_H
#define CORE_HANDLERS_H

#include "core/state.h"
#include "mqtt/frame.h"

/* While the password is being checked (login_waits) it is called again with the same packet. */
enum reason on_connect(struct broker *b, struct conn *c, const struct frame *f); /* 3.1 */
enum reason on_ack(struct broker *b, struct conn *c, const struct frame *f);     /* 3.4, 3.5, 3.7 */
enum reason on_pubrel(struct broker *b, struct conn *c, const struct frame *f);  /* 3.6 */
/* These three leave c->job behind when the turn's budget ends before the packet: then they are
 * called again with it. */
enum reason on_publish(struct broker *b, struct conn *c, const struct frame *f);     /* 3.3 */
enum reason on_subscribe(struct broker *b, struct conn *c, const struct frame *f);   /* 3.8 */
enum reason on_unsubscribe(struct broker *b, struct conn *c, const struct frame *f); /* 3.10 */

/* Queue an acknowledgement that may leave once this turn is stored, and say so at debug level. */
enum reason send_ack(struct broker *b, struct conn *c, enum packet_type type, uint16_t id);

/*
 * The broker itself publishes. Without memory that is not done, or not to all: it is counted as a
 * drop, and ERR_NOMEM.
 */
enum err publish_own(struct broker *b, const struct packet_publish *p);

/* At debug level: `what`, such as "Received PINGREQ from", and the client's id. */
void log_packet(struct broker *b, const struct conn *c, const char *what);

#endif
