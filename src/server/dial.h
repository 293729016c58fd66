/*
 * Connections that we make, for bridges: resolve, connect, shake hands, each with a time limit.
 *
 * All addresses of a name are tried in turn. A dial becomes a link as soon as it has a socket, and
 * the core's when the last step is done. Like handshakes of newcomers, steps of handshakes queue
 * up, and each turn takes some.
 */
#ifndef SERVER_DIAL_H
#define SERVER_DIAL_H

#include "server/link_state.h"

struct dials;

struct dials_setup {
    struct links *links;
    struct poll *poll;
    struct broker *broker;
    const struct log *log;
    uint8_t watch_kind; /* of the resolver's descriptors */
};

/* NULL without memory. */
MUST_CHECK struct dials *dials_new(const struct dials_setup *setup);
void dials_free(struct dials *ds); /* NULL is allowed; links are gone already, or will be cleared */
/* Once in a turn, after broker_work: take what the core wants, go on with what can go on. */
void dials_turn(struct dials *ds);
/* One of the resolver's descriptors is ready. */
void dials_ready(struct dials *ds, struct watch *w, unsigned events);
/* When dials_turn() has something to do, monotonic ms; 0: at once; UINT64_MAX: never. */
uint64_t dials_deadline(const struct dials *ds);

#endif
