/*
 * One bridge: a session here that is ours, and a connection to a remote broker where we are the
 * client.
 *
 * Its life is a walk through the states below. The server makes connections: the bridge says when
 * it wants one, and to which address. All addresses of a section are tried one after another; then
 * there is a pause, which grows with each vain round (restart_timeout) and is random, so that a
 * thousand bridges do not come back in the same moment.
 */
#ifndef CORE_BRIDGE_H
#define CORE_BRIDGE_H

#include "core/conn.h"
#include "core/session.h"

#include <sys/queue.h>

enum bridge_state {
    BRIDGE_NEW,
    BRIDGE_IDLE,     /* lazy: nothing to do; once: it has been */
    BRIDGE_WAITING,  /* for its next attempt */
    BRIDGE_WANTED,   /* … which the server is to make */
    BRIDGE_DIALLING, /* the server is at it */
    BRIDGE_GREETING, /* connected; CONNACK is to come */
    BRIDGE_UP,
    BRIDGE_PARTING /* its connection has ended, and as soon as it is closed there will be another */
};

enum bridge_value {
    BRIDGE_SAYS_STATE,
    BRIDGE_SAYS_QUEUED,
    BRIDGE_SAYS_QUEUED_BYTES,
    BRIDGE_SAYS_DROPPED,
    BRIDGE_SAYS_LAST_ERROR,
    BRIDGE_SAYS_ADDRESS,
    BRIDGE_VALUES
};

#define BRIDGE_WHY_MAX 256

struct bridge {
    struct conn conn; /* while has_conn */
    TAILQ_ENTRY(bridge) entry;
    TAILQ_ENTRY(bridge) wanted;   /* among those that the server is to dial for */
    struct conf_bridge *conf;     /* one reference, as each of these */
    struct conf_bridge *fresh;    /* from the next connection on; NULL: no other */
    struct conf_bridge *former;   /* whose subscriptions the remote broker has still; or NULL */
    struct conf_listener *rules;  /* of its connection */
    struct session *session;      /* NULL: a clean one that is made with the next connection */
    struct wheel_timer timer;     /* waiting: the next attempt; up: a look around */
    uint64_t ticket;              /* of the dial; 0 = none */
    uint64_t probe;               /* of the probe; 0 = none */
    uint64_t up_ms;               /* since when it has been up */
    uint64_t active_ms;           /* when a message went over it last */
    uint64_t ping_ms;             /* when PINGREQ was sent last */
    uint64_t probe_ms;            /* when the first address is to be tried again */
    uint64_t dropped;             /* messages */
    uint64_t said[BRIDGE_VALUES]; /* hashes of what stands below $SYS; 0 = nothing */
    size_t address;               /* of conf->addresses */
    size_t tried;                 /* addresses, since the last pause */
    uint32_t delay_ms;            /* the last pause; 0: none since it was up */
    uint16_t notice;  /* packet id of the notification on this connection; 0: none was sent */
    uint16_t request; /* packet id of its first request on this connection */
    enum bridge_state state;
    bool has_conn;
    bool is_wanted;   /* on the list */
    bool wants_probe; /* … for a probe */
    bool plain;       /* goes without the bit that says that it is a bridge */
    bool doubted;    /* … because a connection with it was closed: that may have another reason */
    bool known;      /* the remote broker has accepted that bit */
    bool pinged;     /* PINGREQ is out */
    bool lost;       /* messages were dropped since it was up */
    bool removed;    /* it is freed with its connection */
    bool notified;   /* "1" stands on its notification topic here */
    uint8_t refused; /* by this code of CONNACK */
    uint8_t closes;  /* connections with that bit, one after another, that were just closed */
    char last_error[BRIDGE_WHY_MAX];
};

TAILQ_HEAD(bridge_list, bridge);

static inline struct bridge *bridge_of(struct conn *c)
{
    return CONTAINER_OF(c, struct bridge, conn);
}
/* From the section in force. */
static inline const struct conf_bridge_address *bridge_address(const struct bridge *br)
{
    return &br->conf->addresses[br->address];
}
/* "HOST:PORT"; returns out. */
#define BRIDGE_ADDRESS_MAX 300
const char *bridge_place(const struct conf_bridge_address *a, char out[BRIDGE_ADDRESS_MAX]);

/* A bridge of this section, with its session; it begins with bridge_begin. NULL without memory. */
MUST_CHECK struct bridge *bridge_new(struct broker *b, struct conf_bridge *conf);
/* It has no connection. Its session stays. */
void bridge_free(struct broker *b, struct bridge *br);
/* Connect, unless it is lazy and has nothing to do. */
void bridge_begin(struct broker *b, struct bridge *br);
/* Connect now, or as soon as the former connection is closed. */
void bridge_dial(struct broker *b, struct bridge *br);
/* An attempt failed: another address, or a pause. */
void bridge_failed(struct broker *b, struct bridge *br, const char *why);
/* Another section takes the place of its own: at once, or with the next connection. */
void bridge_change(struct broker *b, struct bridge *br, struct conf_bridge *conf);
/* It is not in the configuration any more: it ends with all that it has. */
void bridge_remove(struct broker *b, struct bridge *br);
/* Its timer has fired. */
void bridge_wake(struct broker *b, struct bridge *br);
/* A lazy one: does so much wait that it should connect? */
bool bridge_has_enough(const struct bridge *br);
/* It is not to be dialled any more. */
void bridge_unwant(struct broker *b, struct bridge *br);

#endif
