/*
 * Waiting for descriptors: epoll, level-triggered, one struct watch for each descriptor.
 *
 * Level-triggered, because then one read for each event is enough: what is left is simply reported
 * again, and no read is spent on learning that there is nothing more.
 *
 * Events that a turn has no budget for stay here and are handed out first in the next turn, before
 * the system is asked again: so that whoever is reported first does not always go first.
 *
 * The system reports in the order in which descriptors became ready. When 15,000 clients come or
 * leave at once, whoever is connected would stand behind all of them: 200 ms. So of those that are
 * ready for the first time, and of those that have hung up, each turn serves only a few and passes
 * by the others, which will be reported again. To look at one of them costs a hundredth of serving
 * it.
 */
#ifndef SERVER_POLL_H
#define SERVER_POLL_H

#include "base/base.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

#define POLL_BATCH 512  /* events in one turn at most */
#define POLL_PATIENT 16 /* of these, newcomers and those that have hung up */

enum poll_interest {
    POLL_NOTHING = 0, /* errors and hang-ups are reported all the same */
    POLL_IN = 1 << 0,
    POLL_OUT = 1 << 1,
    POLL_ERROR = 1 << 2 /* only reported: the descriptor failed, or both directions are shut */
};

/* Embedded in whatever owns the descriptor; fd is -1 when it has been closed. */
struct watch {
    int fd;
    uint8_t kind;     /* the owner's word for what it is embedded in */
    uint8_t interest; /* bits of enum poll_interest, as the kernel knows them */
    bool newcomer;    /* it has not been handed out yet */
};

struct poll {
    int fd;
    int next;    /* the first event that has not been handed out */
    int count;   /* events of this batch */
    int patient; /* so many newcomers and hung-up ones have been handed out in this turn */
    struct epoll_event events[POLL_BATCH];
};

/* ERR_SYSTEM: errno says why. */
MUST_CHECK enum err poll_init(struct poll *p);
void poll_clear(struct poll *p);

/* Watch w->fd. ERR_SYSTEM leaves it unwatched. */
MUST_CHECK enum err poll_add(struct poll *p, struct watch *w, unsigned interest);
/* Watch for something else; makes no call when nothing changes. ERR_SYSTEM leaves it as it was. */
MUST_CHECK enum err poll_change(struct poll *p, struct watch *w, unsigned interest);

/* Are there events that have not been handed out? */
static inline bool poll_pending(const struct poll *p)
{
    return p->next < p->count;
}

/* A turn begins: wait for events at most timeout_ms (-1 = for ever), unless some are pending. */
void poll_wait(struct poll *p, int timeout_ms);
/* The next watch that is ready and *events, bits of enum poll_interest; NULL when there is none.
 * Passes by closed ones, and more than POLL_PATIENT of those that can wait. */
struct watch *poll_next(struct poll *p, unsigned *events);
/* Forget pending events of closed watches: to be called before those are freed. */
void poll_drop_closed(struct poll *p);

#endif
