/*
 * Askers: channels of c-ares, by which name servers are asked, and their sockets.
 *
 * c-ares reads /etc/resolv.conf when a channel is made. Channels live for the look-ups that use
 * them, and are not used for new ones for long: a changed file is seen, and where nobody asks
 * nothing is open. A question cannot be taken back: it goes with its channel.
 */
#ifndef NET_RESOLVE_ASKER_H
#define NET_RESOLVE_ASKER_H

#include "base/base.h"

#include <ares.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

struct asker {
    TAILQ_ENTRY(asker) entry;
    struct askers *all;
    ares_channel channel; /* to put questions to */
    uint64_t born;
    size_t users; /* look-ups */
};

/* Those of one resolver. It stays where it is: its channels know it. */
struct askers {
    TAILQ_HEAD(, asker) list; /* the youngest first */
    /* From now on wait for this: bits of enum transport_wants; 0: forget the descriptor, which is
     * about to be closed. */
    void (*watch)(void *ctx, int fd, unsigned wants);
    void *ctx;
    const char *servers; /* "127.0.0.1:5353,…"; NULL: those of /etc/resolv.conf */
    uint32_t try_ms;     /* how long the first attempt waits; each further round of c-ares waits
                            twice as long */
    int receives;        /* that are left in this turn */
};

/* What is said of watching, of servers and of time has been filled in. */
void askers_init(struct askers *all);
/* One that is young enough, made if need be, has one user more. A status of ares.h; *out is set
 * with ARES_SUCCESS alone. */
MUST_CHECK int asker_take(struct askers *all, uint64_t now_ms, struct asker **out);
/* It has one user fewer. It is still there until askers_retire(). */
void asker_leave(struct asker *a);
/* Free those that have no users. What they were asked and have not answered comes back from
 * within. */
void askers_retire(struct askers *all);

/* A descriptor is ready for this (bits of enum transport_wants). Answers come from within. */
void askers_ready(struct askers *all, int fd, unsigned is);
/* What has waited long enough is asked again or given up. Answers come from within. */
void askers_work(struct askers *all);
/* Milliseconds until one of them has something to do, by time or by being retired; -1: only when
 * something comes. */
int askers_timeout_ms(const struct askers *all);

/* Of two times to wait, in milliseconds, the shorter; -1 is for ever. */
static inline int sooner_ms(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

#endif
