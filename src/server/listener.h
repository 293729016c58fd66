/*
 * Listening sockets: opening them, accepting within limits, and living without free descriptors.
 */
#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H

#include "base/log.h"
#include "conf/conf.h"
#include "server/link.h"
#include "server/poll.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/* One socket. A listener of the configuration has one for each address that its name stands for. */
struct listener {
    TAILQ_ENTRY(listener) entry;
    struct watch watch;
    uint16_t group;     /* the index of its listener in the configuration */
    bool ready;         /* has been reported in this turn */
    uint8_t batch;      /* how many to accept at once: adapts to how many come */
    uint64_t denied_ms; /* when the last refusal was logged, monotonic */
    uint32_t denied;    /* refusals since that were not */
};

TAILQ_HEAD(listener_list, listener);

struct listeners {
    struct listener_list list;
    const struct conf *conf;
    const struct log *log;
    struct poll *poll;
    bool ready;          /* one of them is */
    int reserve_fd;      /* given up for a moment when no other descriptor is free */
    uint64_t refused_ms; /* when that happened last, monotonic; 0 = never */
    bool resting;        /* not watched, because accepting fails and waiting is all that helps */
    uint64_t rest_ms;    /* until then */
    uint8_t watch_kind;
};

/*
 * Open all listeners of the configuration, saying so for each; what cannot be done is an error on
 * the log. ERR_SYSTEM or ERR_NOMEM; listeners_close() is due in any case. `conf`, `log` and `poll`
 * must outlive it, but see listeners_adopt().
 */
MUST_CHECK enum err listeners_open(struct listeners *ls, const struct conf *conf,
                                   const struct log *log, struct poll *poll, uint8_t watch_kind);
void listeners_close(struct listeners *ls);
/* Would this configuration listen where that one does? */
bool listeners_same(const struct conf *a, const struct conf *b);
/* Go on with another configuration, for which listeners_same() was true. */
void listeners_adopt(struct listeners *ls, const struct conf *conf);

/* Its watch has been reported. */
void listener_ready(struct listeners *ls, struct watch *w);
/*
 * Accept some connections where that was reported. To be called when the other events have been
 * served: whoever left before these came has then made room for them.
 */
void listeners_accept(struct listeners *ls, struct links *links);
/* Watch again after a rest; to be called once in a turn. */
void listeners_wake(struct listeners *ls, uint64_t now_ms);
/* When listeners_wake() has something to do, monotonic ms; UINT64_MAX = never. */
uint64_t listeners_deadline(const struct listeners *ls);

#endif
