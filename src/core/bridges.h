/*
 * All bridges of the broker, and what the rest of the core asks of them. Twin: bridges_none.c.
 */
#ifndef CORE_BRIDGES_H
#define CORE_BRIDGES_H

#include "core/broker.h"
#include "mqtt/frame.h"
#include "mqtt/packet.h"

struct session;
struct session_env;

void bridges_init(struct broker *b, uint64_t seed);
void bridges_clear(struct broker *b);
/* Start, change and stop them as the configuration says now; those whose section is the same do not
 * notice. */
void bridges_commit(struct broker *b);
/* The broker ends: no new connections. */
void bridges_stop(struct broker *b);
/* Once in a turn: do what is due. */
void bridges_work(struct broker *b);
/* When there is something to do, monotonic ms; 0 = at once, UINT64_MAX = never. */
uint64_t bridges_next(const struct broker *b);

/* --- of connections with CONN_BRIDGE --- */

/* What the remote broker may send; NULL: only a client sends that. */
typedef enum reason packet_handler(struct broker *b, struct conn *c, const struct frame *f);
packet_handler *bridges_handler(enum packet_type type);
/* Its timer has fired: CONNACK is due, or it is time for PINGREQ. */
void bridges_due(struct broker *b, struct conn *c);
/* Is this the acknowledgement of a request of its own, not of a message? */
bool bridges_asked(const struct conn *c, uint16_t id);
/* A PUBLISH that it brings: is it only the other broker's name? */
bool bridges_met(struct broker *b, struct conn *c, const struct packet_publish *p);

/* --- of bridges of others --- */

/* A bridge subscribes: does it only tell the name of its broker, and ask for ours? Answered then.
 * ERR_NOMEM. */
MUST_CHECK enum err bridges_meet(struct broker *b, struct conn *c, struct str filter, bool *met);
/* A bridge brings this message: does it come round and round? That is logged. */
void bridges_watch(struct broker *b, const struct conn *c, const struct packet_publish *p);

/* For broker_check: NULL, or what is wrong. */
const char *bridges_examine(const struct broker *b);

/* A session_env's own_dropped. */
void bridges_count_drop(struct session_env *env, const struct session *s, bool could_pass);

#endif
