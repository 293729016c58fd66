/*
 * All bridges of a broker, as data: what state.h holds of them.
 */
#ifndef CORE_BRIDGING_H
#define CORE_BRIDGING_H

#include "base/rng.h"
#include "base/wheel.h"
#include "core/broker.h"
#include "core/circle.h"

#include <sys/queue.h>

struct bridge;

/* What becomes of connections with CONN_BRIDGE concerns their bridges, of which those who end
 * connections know nothing. */
struct bridge_hooks {
    /* It is about to end: say farewell, if there is time for that. */
    void (*parts)(struct broker *b, struct conn *c, enum reason why);
    /* It has ended. */
    void (*ended)(struct broker *b, struct conn *c, enum reason why, const char *detail);
    /* It is closed, and its memory may be used again. */
    void (*gone)(struct broker *b, struct conn *c);
};

/* Messages in flight over one bridge at most: the packet ids of its requests are further away. */
#define BRIDGE_INFLIGHT_MAX 16384

struct bridges {
    const struct bridge_hooks *hooks;
    TAILQ_HEAD(, bridge) all;
    TAILQ_HEAD(, bridge) wanted; /* to be dialled for, or probed */
    struct wheel wheel;
    struct rng rng;
    uint64_t ticket;   /* the last one */
    uint64_t tell_ms;  /* when their figures are to be told */
    uint32_t lazy;     /* bridges that wait for something to do */
    uint64_t again_ms; /* when those that there was no memory for are tried again; 0: none */
    bool begun;
    bool stopped;             /* the broker ends: none is connected any more */
    struct circle circle;     /* of what bridges bring */
    char name[BROKER_ID_MAX]; /* see bridge_own_name; empty: not made yet */
};

#endif
