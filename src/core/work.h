/*
 * What a turn may cost.
 *
 * The core has no clock to look at, so it counts: each thing done costs about as many units as it
 * takes tenths of a microsecond on a slow machine, system calls that it will cause included. When
 * the turn's budget is spent, what is left waits for the next turn, and everybody gets their share.
 * The longest turn that results is measured by the server.
 */
#ifndef CORE_WORK_H
#define CORE_WORK_H

#include <stdbool.h>
#include <stdint.h>

enum work_cost {
    WORK_TURN = 30000,   /* the budget: nominally 3 ms */
    WORK_SHARE = 7500,   /* of it for what was cut short, however much has come in */
    WORK_READ = 15,      /* a read call */
    WORK_WRITE = 40,     /* a connection becomes dirty: a write call that may wake somebody */
    WORK_PACKET = 2,     /* decode and dispatch */
    WORK_CONNECT = 60,   /* a session found or made, a log line */
    WORK_DELIVERY = 2,   /* one message into one output queue or row */
    WORK_ROUTE = 3,      /* one publication, beside its deliveries */
    WORK_SUBSCRIBE = 50, /* a filter added or removed: cold memory, tables that grow */
    WORK_STEP = 2,       /* a node of the retained tree; four nodes of the subscription trie */
    WORK_FREE = 3,       /* a row or subscription of an ended session */
    WORK_KILOBYTE = 4    /* 1 KiB of payload copied or handed to the kernel */
};

struct work {
    uint64_t spent;
    bool crowded; /* an output queue has grown so much that it should be written before more is read
                   */
};

static inline void work_charge(struct work *w, uint32_t units)
{
    w->spent += units;
}

static inline bool work_is_spent(const struct work *w)
{
    return w->spent >= WORK_TURN || w->crowded;
}

#endif
