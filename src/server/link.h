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

#include "base/buf.h"
#include "base/slab.h"
#include "core/broker.h"
#include "net/tcp.h"
#include "net/tls.h"
#include "server/door.h"
#include "server/poll.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

enum link_state {
    LINK_GREETING,  /* in front of MQTT: the core does not know it */
    LINK_LIVE,      /* open on both sides */
    LINK_HOLDING,   /* the same, and its transport holds input that is to be read next turn */
    LINK_FLUSHING,  /* the core wants to close it when the rest has been written */
    LINK_LINGERING, /* no conn any more: all is written, the peer is to read it before the socket
                       goes */
    LINK_DEAD       /* closed; to be buried at the end of the turn */
};
#define LINK_STATES 6

/* What a connection awaits in front of MQTT, in this order. */
enum greeting_stage { GREETING_PROXY, GREETING_FIRST_BYTE /* of TLS */, GREETING_HANDSHAKE };

/* What has come in front of MQTT, and from whom. */
struct greeting {
    STAILQ_ENTRY(greeting) entry; /* among those whose handshake can go on */
    struct link *link;
    const struct links *links;
    struct peer peer;
    struct buf header;
    uint8_t stage; /* of enum greeting_stage */
    bool queued;   /* its handshake can go on */
};

STAILQ_HEAD(greeting_queue, greeting);

struct link {
    TAILQ_ENTRY(link) entry; /* in the list of its state */
    struct transport *io;    /* the topmost layer */
    union {
        struct conn *conn;         /* NULL when lingering or dead */
        struct greeting *greeting; /* while greeting */
    };
    struct tcp tcp; /* the lowest layer */
    struct watch watch;
    uint32_t deadline_ms; /* of all states without MQTT: low bits of the monotonic time */
    uint16_t group;       /* of the door, for which it counts until it lingers or is dead */
    uint8_t state;
    uint8_t blocked : 1; /* the socket did not take all: write again after POLL_OUT only */
    uint8_t vain : 7;    /* reads in a row, of an encrypted link, that gave nothing */
};

TAILQ_HEAD(link_list, link);

struct links {
    struct slab slab;
    struct link_list list[LINK_STATES]; /* those with a deadline: the earliest first */
    struct greeting_queue handshakes;   /* that can go on */
    struct link *writable[POLL_BATCH];  /* reported in this turn as ready for the rest */
    int writable_count;
    uint8_t watch_kind; /* for their watches */
    bool again; /* the next turn must not wait: something was cut short, or has left work behind */
    uint32_t spent;           /* of what one turn may write and close */
    uint32_t lingering;       /* how many do */
    uint32_t encrypted;       /* how many are */
    uint64_t now_ms;          /* of this turn */
    uint64_t (*cpu_ns)(void); /* of this thread: what handshakes cost is measured */
    struct poll *poll;
    struct door *door;
    struct broker *broker;
};

/* What it is given must outlive it, but the broker only as long as there are turns. */
void links_init(struct links *ls, struct poll *poll, struct door *door, struct broker *broker,
                uint8_t watch_kind);
/* struct tls_settings: a key by the file that is in force where this connection came in. */
size_t link_find_psk(void *greeting, struct str identity, uint8_t key[TLS_PSK_MAX]);
/* Closes all that are left. Calls nothing of the broker, which may be gone. */
void links_clear(struct links *ls);

/*
 * Make a link for a socket that was accepted and admitted to the group; takes fd, and closes it
 * when memory or the system does not allow it. The broker has it at once, or after its PROXY
 * header, if the rules of the group want one, and its TLS handshake, if the group has keys.
 */
void link_open(struct links *ls, int fd, const struct peer *peer, uint16_t group);
/* Its watch has been reported with these bits of enum poll_interest: one read at most. */
void link_ready(struct links *ls, struct watch *w, unsigned events);
/* One read of each whose transport holds input that no watch will report, while the core takes any.
 */
void links_read_held(struct links *ls);
/*
 * Go on with handshakes, first come first served, until they have taken some milliseconds of this
 * turn. What is left is for the next one.
 */
void links_shake_hands(struct links *ls);
/* Is there something for another turn at once? */
bool links_hurry(const struct links *ls);
/*
 * Write what waits, one call for each connection, and do what the core wishes for each. Stops when
 * that was much; then `again` is set, and the rest is for the next turn.
 */
void links_flush(struct links *ls);
/* End those that took too long: to send what comes first, or to read their last bytes. */
void links_expire(struct links *ls);
/* When links_expire has something to do, monotonic ms; UINT64_MAX = never. */
uint64_t links_deadline(const struct links *ls);
/* Free what died in this turn. */
void links_bury(struct links *ls);
/* About how many bytes transports have taken that base/mem does not count. */
size_t links_uncounted(const struct links *ls);
/* Is there still something to be written, or a connection that the core has not let go? */
bool links_busy(const struct links *ls);

#endif
