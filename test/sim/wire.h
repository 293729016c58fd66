/*
 * Packets onto a cable.
 */
#ifndef SIM_WIRE_H
#define SIM_WIRE_H

#include "client.h"
#include "sim.h"

void wire_connect(struct sim *s, struct cable *k, const struct client *c);
void wire_publish(struct sim *s, struct cable *k, uint32_t letter, uint16_t id, bool dup);
/* An acknowledgement or a release. */
void wire_ack(struct cable *k, enum op_kind kind, uint16_t id, uint32_t uid);
/* SUBSCRIBE or UNSUBSCRIBE: op holds kind, id, filters and QoS. */
void wire_filters(struct sim *s, struct cable *k, struct op op);
void wire_empty(struct cable *k, enum op_kind kind);
/* Bytes that are no packet, or not allowed here; the broker must close. */
void wire_illegal(struct sim *s, struct cable *k);
/* A CONNECT that is refused, or something that is no CONNECT. */
void wire_no_connect(struct sim *s, struct cable *k);
/* The beginning of a packet whose end never comes. */
void wire_part(struct cable *k);

#endif
