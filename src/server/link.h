/*
 * One connection's descriptor and transport, tied to its conn: the core's half is conn, ours is
 * link.
 *
 * A link has no buffer of its own: it reads into the core's and writes from the core's. There are
 * as many links as clients, so it is kept at 64 bytes.
 *
 * A link that ends is closed at once but freed at the end of the turn, by links_bury(): events
 * of this turn may still name it.
 */
#ifndef SERVER_LINK_H
#define SERVER_LINK_H

#include "base/slab.h"
#include "core/broker.h"
#include "net/tcp.h"
#include "server/poll.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

enum link_state {
    LINK_LIVE,      /* open on both sides */
    LINK_FLUSHING,  /* the core wants to close it when the rest has been written */
    LINK_LINGERING, /* no conn any more: all is written, the peer is to read it before the socket
                       goes */
    LINK_DEAD       /* closed; to be buried at the end of the turn */
};
#define LINK_STATES 4

struct link {
    TAILQ_ENTRY(link) entry; /* in the list of its state */
    struct transport *io;    /* the topmost layer */
    struct conn *conn;       /* NULL when lingering or dead */
    struct tcp tcp;          /* the lowest layer */
    struct watch watch;
    uint32_t deadline_ms; /* of flushing and lingering: low bits of the monotonic time */
    uint16_t group;       /* whose limit of connections it counts for */
    uint8_t state;
    bool blocked; /* the socket did not take all: write again after POLL_OUT only */
};

TAILQ_HEAD(link_list, link);

struct links {
    struct slab slab;
    struct link_list list[LINK_STATES]; /* flushing and lingering: the earliest deadline first */
    struct link *writable[POLL_BATCH];  /* reported in this turn as ready for the rest */
    int writable_count;
    uint8_t watch_kind; /* for their watches */
    bool again; /* the next turn must not wait: something was cut short, or has left work behind */
    uint32_t spent;  /* of what one turn may write and close */
    uint64_t now_ms; /* of this turn */
    uint32_t *open;  /* connections in each group */
    size_t group_count;
    struct poll *poll;
    struct broker *broker;
};

/* ERR_NOMEM. */
MUST_CHECK enum err links_init(struct links *ls, struct poll *poll, struct broker *broker,
                               size_t group_count, uint8_t watch_kind);
/* Closes all that are left. Calls nothing of the broker, which may be gone. */
void links_clear(struct links *ls);

/* Make a link for an accepted socket; takes fd, and closes it when memory or the system does not
 * allow it. */
void link_open(struct links *ls, int fd, const struct peer *peer, uint16_t group);
/* Its watch has been reported with these bits of enum poll_interest: one read at most. */
void link_ready(struct links *ls, struct watch *w, unsigned events);
/*
 * Write what waits, one call for each connection, and do what the core wishes for each. Stops when
 * that was much; then `again` is set, and the rest is for the next turn.
 */
void links_flush(struct links *ls);
/* End those that took too long to read their last bytes. */
void links_expire(struct links *ls);
/* When links_expire has something to do, monotonic ms; UINT64_MAX = never. */
uint64_t links_deadline(const struct links *ls);
/* Free what died in this turn. */
void links_bury(struct links *ls);
/* Is there still something to be written, or a connection that the core has not let go? */
bool links_busy(const struct links *ls);

#endif
