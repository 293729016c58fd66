/*
 * Connections that we make, for bridges: resolve, connect, shake hands, each with a time limit.
 *
 * All addresses of a name are tried in turn. A dial has a link as soon as it has a socket, and the
 * core gets that when the last step is done. Whatever can be done at once is not done where it is
 * reported: like handshakes of newcomers, steps of dials queue up, and each turn takes some.
 */
#ifndef SERVER_DIAL_H
#define SERVER_DIAL_H

#include "server/bridge_keys.h"
#include "server/link_state.h"

struct dials;

/* All of it must outlive the dials, but the broker only as long as there are turns. */
struct dials_setup {
    struct links *links;
    struct broker *broker;
    const struct bridge_keys *keys; /* that are in force */
    const struct log *log;
    uint8_t watch_kind; /* of the resolver's descriptors, which the poll of the links watches */
    uint64_t seed;      /* chance, for the resolver */
    const char *hosts;  /* for tests: a file instead of /etc/hosts */
};

/* ERR_NOMEM. Where bridges are not built in, *out is NULL, and all else does nothing. */
MUST_CHECK enum err dials_new(const struct dials_setup *setup, struct dials **out);
/* What is on its way is closed. Before the links are cleared; calls nothing of the broker. NULL is
 * allowed. */
void dials_free(struct dials *ds);
/* Once in a turn, after broker_work: take what the core wants, go on with what can go on. */
void dials_turn(struct dials *ds);
/* One of the resolver's descriptors is ready. */
void dials_ready(struct dials *ds, struct watch *w, unsigned events);
/* When dials_turn() has something to do, monotonic ms; 0: at once; UINT64_MAX: never. */
uint64_t dials_deadline(const struct dials *ds);

/* Something has happened to the socket of its link. */
void dial_ready(struct dial *d);

#endif
