/*
 * What a link is, and what can become of it: the ground that link (reading, writing) and greeting
 * (what stands in front of MQTT) share.
 *
 * A link has no buffer of its own: it reads into the core's and writes from the core's. There are
 * as many links as clients, so it is kept at 64 bytes.
 *
 * A link that ends is closed at once but freed at the end of the turn, by links_bury(): events
 * of this turn may still name it.
 */
#ifndef SERVER_LINK_STATE_H
#define SERVER_LINK_STATE_H

#include "base/buf.h"
#include "base/slab.h"
#include "core/broker.h"
#include "net/tcp.h"
#include "server/door.h"
#include "server/poll.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

enum link_state {
    LINK_GREETING,  /* in front of MQTT: the core does not know it */
    LINK_DIALLING,  /* the same, and it is we who have called: a bridge's */
    LINK_LIVE,      /* open on both sides */
    LINK_HOLDING,   /* the same, and its transport holds input that is to be read next turn */
    LINK_FLUSHING,  /* the core wants to close it when the rest has been written */
    LINK_LINGERING, /* no conn any more: all is written, the peer is to read it before the socket
                       goes */
    LINK_DEAD       /* closed; to be buried at the end of the turn */
};
#define LINK_STATES 7

/* What a connection awaits in front of MQTT, in this order. */
enum greeting_stage { GREETING_PROXY, GREETING_FIRST_BYTE /* of TLS */, GREETING_HANDSHAKE };

/* What has come in front of MQTT, and from whom. */
struct greeting {
    TAILQ_ENTRY(greeting) entry; /* among those whose handshake can go on */
    struct link *link;
    const struct links *links;
    struct peer peer;
    struct buf header;
    uint8_t stage; /* of enum greeting_stage */
    bool queued;   /* its handshake can go on */
};

TAILQ_HEAD(greeting_queue, greeting);

struct dial;

struct link {
    TAILQ_ENTRY(link) entry; /* in the list of its state */
    struct transport *io;    /* the topmost layer */
    union {
        struct conn *conn;         /* NULL when lingering or dead */
        struct greeting *greeting; /* while greeting */
        struct dial *dial;         /* while dialling: it owns the link, and has the time limit */
    };
    struct tcp tcp; /* the lowest layer */
    struct watch watch;
    uint32_t deadline_ms; /* of all other states without MQTT: low bits of the monotonic time */
    uint16_t group;       /* of the door, for which it counts until it lingers or is dead */
    uint8_t state;
    uint8_t blocked : 1; /* the socket did not take all: write again after POLL_OUT only */
    uint8_t vain : 7;    /* reads in a row, of an encrypted link, that gave nothing */
};

TAILQ_HEAD(link_list, link);

/* Of a connection that is a bridge's: the door has not let it in, and no limit of it counts. */
#define LINK_NO_GROUP UINT16_MAX

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

/*
 * What one turn may write and close, before it has a look at what came in and after: a write to a
 * socket wakes its reader and takes some 4 µs, and a turn should stay well below 10 ms.
 */
#define LINKS_TURN 1024
/* So many reads in a row without a byte are no record that comes in pieces. */
#define LINK_VAIN_MAX 100

static inline bool link_is_encrypted(const struct link *l)
{
    return l->io != &l->tcp.base;
}

/* Does the core know it? */
static inline bool link_has_conn(const struct link *l)
{
    return l->state == LINK_LIVE || l->state == LINK_HOLDING || l->state == LINK_FLUSHING;
}

/* --- waiting --- */

/* It is in this state, and not longer than so many ms. */
void link_await(struct links *ls, struct link *l, enum link_state state, uint32_t patience_ms);
/* What its transport must see happen, as bits of enum poll_interest; never nothing. */
unsigned link_wanted(const struct link *l);
/*
 * What TLS has to say on its own account goes first: until that is written, reading would only give
 * it more to answer. While bytes of ours wait to be written as well, reading goes on, because the
 * peer may be waiting for just that; but not if TLS refuses to.
 */
bool link_has_to_speak(const struct link *l);
/* Watch it for this, and for what it needs besides. It has ended if that is not possible. */
void link_watch(struct links *ls, struct link *l, unsigned interest);
/*
 * What its transport holds will not be reported: so it is remembered, unless the core does not want
 * it now. When it does again, it says so.
 */
void link_keep_input(struct links *ls, struct link *l);

/* --- a new one --- */

/* Takes fd; it is not watched yet. NULL without memory: errno says so, and fd is closed. */
MUST_CHECK struct link *link_new(struct links *ls, int fd, uint16_t group, enum link_state state);
/*
 * The same for a socket that this dial has opened, which is connected or on its way. NULL: also
 * when the system does not allow it. It says by dial_ready() when it can be written to.
 */
MUST_CHECK struct link *link_dial(struct links *ls, int fd, struct dial *dial);

/* --- from one state to another --- */

/* The core has it from here on: it is live. False: no memory, and nothing has changed. */
MUST_CHECK bool link_introduce(struct links *ls, struct link *l, const struct peer *peer);
/* The same for one that was dialled. False: the core does not want it, or there is no memory. */
MUST_CHECK bool link_hand_over(struct links *ls, struct link *l, uint64_t ticket,
                               const struct peer *peer);
/* The core lets go of it: from here on it counts for no limit. */
void link_let_go(struct links *ls, struct link *l, enum reason why, const char *detail);
/*
 * The peer is told that nothing more will come. A socket that is closed with unread bytes resets
 * the connection, and a reset takes from the peer what it has not read yet: so it lingers. No conn.
 */
void link_part(struct links *ls, struct link *l);
/* What a lingering peer sends is thrown away until it closes. */
void link_linger(struct links *ls, struct link *l);
/* At once; it has no conn. */
void link_close(struct links *ls, struct link *l);
/* At once, whether it has a conn or not. `detail` is a phrase for the log, or NULL. */
void link_end(struct links *ls, struct link *l, enum reason why, const char *detail);

#endif
