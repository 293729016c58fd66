/*
 * One connection: protocol state, what has been read of an unfinished packet, keepalive.
 */
#ifndef CORE_CONN_H
#define CORE_CONN_H

#include "base/buf.h"
#include "base/wheel.h"
#include "core/broker.h"
#include "core/outbox.h"
#include "core/report.h"
#include "mqtt/message.h"
#include "mqtt/packet.h"
#include "mqtt/reason.h"

#include <sys/queue.h>

struct conn_job;
struct login;
struct session;

enum conn_state {
    CONN_NEW,    /* no CONNECT accepted yet */
    CONN_OPEN,   /* has a session */
    CONN_CLOSING /* ended; only waits for the server to close it */
};

enum conn_role {
    CONN_CLIENT, /* a client's: we are the server */
    CONN_BRIDGE  /* of a bridge of ours, whose struct it is in: we are the client */
};

/* Why its input is not looked at now. */
enum conn_pause {
    PAUSE_NONE,
    PAUSE_BUDGET,  /* this turn's budget was spent: on the list of those that go on next turn */
    PAUSE_STORAGE, /* a PUBLISH waits for the journal to have room */
    PAUSE_LOGIN,   /* its password is being checked */
    PAUSE_OUTPUT   /* it does not read the answers to what it has sent */
};

/* What CONNECT has brought, or is about to, of clients that gave a user name or a will. */
struct conn_login {
    struct message *will;  /* NULL: none, or no longer */
    struct login *waiting; /* for the password to be checked; NULL: not now */
    uint64_t proof;        /* of the password that was right: see login_passed; 0: none was asked */
    uint16_t user_len;
    bool proven; /* the name, before CONNECT: broker_name */
    char user[];
};

struct conn {
    struct outbox out; /* first: the dirty list holds outboxes */
    void *link;
    struct session *session;
    struct buf in;            /* the beginning of a packet, or what a pause has left */
    struct conn_job *job;     /* the packet at the front of `in` goes on next turn */
    struct conn_login *login; /* or NULL */
    struct peer peer;
    struct wheel_timer timer;  /* CONNECT timeout, then keepalive */
    TAILQ_ENTRY(conn) entry;   /* all connections */
    TAILQ_ENTRY(conn) pending; /* those that go on next turn */
    uint32_t last_in_ms;       /* monotonic; the low bits are enough: see conn_heard */
    uint32_t need;             /* size of the packet that begins in `in`, 0 = not known yet */
    uint16_t keepalive_s;
    uint8_t level : 3; /* of the protocol */
    uint8_t state : 2; /* enum conn_state */
    uint8_t pause : 3; /* enum conn_pause */
    uint8_t role;      /* enum conn_role */
};

TAILQ_HEAD(conn_list, conn);

/* Its keepalive begins anew. */
static inline void conn_heard(struct conn *c, uint64_t now_ms)
{
    c->last_in_ms = (uint32_t)now_ms;
}
/* How long ago that was; less than 49 days, since the longest keepalive ends after two minutes. */
static inline uint32_t conn_silent_ms(const struct conn *c, uint64_t now_ms)
{
    return (uint32_t)now_ms - c->last_in_ms;
}

#define CONN_NAME_MAX 128
/* Its client id for the log, escaped, or "<unknown>"; returns out. */
const char *conn_name(const struct conn *c, char out[CONN_NAME_MAX]);
/* Who is at the other end, for lines that say all of it. */
struct party conn_party(const struct conn *c);

/* Its user name is proven before its CONNECT: see broker_name. */
MUST_CHECK enum err conn_prove(struct conn *c, struct str user);
static inline bool conn_is_proven(const struct conn *c)
{
    return c->login && c->login->proven;
}
/* The login that waits; NULL: none does. */
static inline struct login *conn_waiting(const struct conn *c)
{
    return c->login ? c->login->waiting : NULL;
}
/* Keep the user name, and have a place for the will, unless that was done. ERR_NOMEM changes
 * nothing. */
MUST_CHECK enum err conn_keep_login(struct conn *c, const struct packet_connect *p);
/* After the will is gone; harmless without a login. */
void conn_drop_login(struct conn *c);

#endif
