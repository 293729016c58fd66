/*
 * What a bridge is.
 */
#ifndef CORE_BRIDGE_STATE_H
#define CORE_BRIDGE_STATE_H

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
    size_t met;                   /* the address of its last connection */
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
    uint64_t stuck_seq; /* of the message that was in flight first when it was lost … */
    uint32_t stuck;     /* … so often, one after another */
    bool has_conn;
    bool ready;       /* its session has the subscriptions that the section wants */
    bool is_wanted;   /* on the list */
    bool wants_probe; /* … for a probe */
    bool plain;       /* goes without the bit that says that it is a bridge */
    bool doubted;    /* … because a connection with it was closed: that may have another reason */
    bool asked;      /* for the remote broker's name, on this connection … */
    bool answered;   /* … and it did not take that ill */
    bool shy;        /* it did: it is not asked any more while in doubt */
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
#define BRIDGE_ADDRESS_MAX 300

#endif
