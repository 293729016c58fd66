/*
 * What the log says of connections that end, of what is refused, denied, taken over or dropped: in
 * one place, so that every such line names client, user, address and port, and the rule or limit
 * that decided, and has the same shape:
 *
 *     Client ID [ADDRESS:PORT] disconnected: REASON (OPTION VALUE, user 'NAME').
 *     Client ID [ADDRESS:PORT] denied: publish to 'TOPIC': REASON (…).
 *     Client ID [ADDRESS:PORT] dropped: publish to 'TOPIC': REASON (…).
 *
 * Peers choose ids, names and topics. These are printed so that no bracket and no quote of theirs
 * looks like one of ours (str_escape_strict): the first '[' of a line begins the address.
 *
 * Floods are cut (base/flood.h): by address and reason what peers do wrong, by client id and reason
 * what is denied or dropped, by client id takeovers. That connections are opened is not said while
 * such ends come in a flood from the same address: the ends are counted. What accepted clients do
 * that is no fault (DISCONNECT, closing, getting lost) is never cut.
 */
#ifndef CORE_REPORT_H
#define CORE_REPORT_H

#include "base/flood.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/peer.h"
#include "mqtt/packet.h"
#include "mqtt/reason.h"

/* Who a line is about. */
struct party {
    struct str client;       /* id; empty: not known */
    struct str user;         /* the name that it gave; empty: none */
    const struct peer *peer; /* NULL: not connected */
};

struct report {
    const struct log *log;
    const struct conf *conf; /* for the values of limits; replaced on reload */
    uint64_t now_ms;         /* monotonic */
    struct flood flood;
};

void report_init(struct report *r, const struct log *log, const struct conf *conf);
/* Tell the counts that are due (monotonic ms); with UINT64_MAX all of them. */
void report_counts(struct report *r, uint64_t now_ms);
/* When a count is due; UINT64_MAX: none. */
static inline uint64_t report_next(const struct report *r)
{
    return flood_deadline(&r->flood);
}

/* A connection was opened; a CONNECT was accepted. With connection_messages. */
void report_opened(struct report *r, const struct peer *peer);
void report_connected(struct report *r, const struct party *p, const struct packet_connect *c);

/* Of an address so many logins have failed that the next ones have to wait. */
void report_slowed(struct report *r, const struct peer *peer, uint32_t failed);

struct report_end {
    enum reason why;
    const char *detail; /* printable, or NULL */
    struct str topic;   /* that it was about; empty: none */
    const char *rule;   /* that decided, printable; NULL: the reason's option */
    bool stranger;      /* no CONNECT was accepted */
};
void report_closed(struct report *r, const struct party *p, const struct report_end *end);
/* Lines of version 1.5 that say at level information what a peer will be disconnected for. */
void report_aside(struct report *r, const struct peer *peer, enum reason why, const char *fmt, ...)
    PRINTF(4, 5) COLD;

/* One message or subscription. */
struct report_denial {
    const char *act; /* "publish to", "read", "subscribe to" … */
    struct str topic;
    enum reason why;
    const char *rule; /* as above */
};
void report_denied(struct report *r, const struct party *p, const struct report_denial *d);
/* An acknowledgement, for instance PUBREC, of nothing that it was sent. */
void report_unknown_id(struct report *r, const struct party *p, const char *packet, uint16_t id);
/* A message that this client has sent. */
void report_dropped(struct report *r, const struct party *p, struct str topic, enum reason why);
/* Messages for this client: the first of an episode, and how many there were in the end: they are
 * accepted again, or the client is gone. */
void report_dropping(struct report *r, const struct party *p, enum reason why);
void report_episode(struct report *r, const struct party *p, uint64_t dropped, bool accepted);
/* A message for this client that the journal cannot give back. */
void report_unreadable(struct report *r, const struct party *p, uint64_t position);
void report_will_lost(struct report *r, const struct party *p, struct str topic, enum reason why);

#endif
