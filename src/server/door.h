/*
 * Who may come in, and who came.
 *
 * Connections are counted in groups, one for each listener of the configuration: it shares rules
 * and a limit among its sockets and connections. A group outlives its listener until its last
 * connection is gone, so whoever is connected keeps the rules that were in force; when the listener
 * comes back it finds its connections again.
 *
 * Every connection that is turned away is a line on the log, unless like lines flood it.
 */
#ifndef SERVER_DOOR_H
#define SERVER_DOOR_H

#include "base/flood.h"
#include "base/log.h"
#include "conf/conf.h"
#include "core/broker.h"
#include "net/tls_ctx.h"
#include "server/reserve.h"
#include "server/wrap.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct group {
    struct conf_listener *rules; /* one reference; NULL: this place is free */
    uint32_t open;               /* connections */
    uint32_t sockets;            /* that listen */
    struct tls_ctx *tls;         /* for newcomers, one reference; NULL: not encrypted */
};

struct door {
    struct group *groups;
    size_t group_count;
    uint32_t open;    /* connections of all groups */
    int32_t max_open; /* global_max_connections; -1 = no limit */
    bool closed;      /* the end has begun */
    const struct log *log;
    struct flood flood;
    struct reserve reserve;
    struct wrap wrap;
};

/* Why somebody is turned away, for the log. */
struct refusal {
    const char
        *what; /* what follows "denied", e.g. ": max_connections exceeded (2 on port 1883)" */
    const char *reason; /* the same as a phrase of its own */
    const char *rule;   /* the option or the files that decided */
    bool personal;      /* it is about this address: floods are counted for each */
};

/* `log` must outlive it. */
void door_init(struct door *d, const struct log *log);
void door_clear(struct door *d);

/* A new group with these rules. ERR_NOMEM, or ERR_FULL: more cannot be told apart. */
MUST_CHECK enum err door_add(struct door *d, struct conf_listener *rules, uint16_t *group);
static inline struct group *door_group(const struct door *d, uint16_t group)
{
    return &d->groups[group];
}
/* From now on these rules are in force for it. */
void door_rule(struct door *d, uint16_t group, struct conf_listener *rules);
/* From now on it serves newcomers by these keys, of which it takes a reference; NULL: by none. */
void door_key(struct door *d, uint16_t group, struct tls_ctx *tls);
/* Forget the group if it has neither sockets nor connections. */
void door_settle(struct door *d, uint16_t group);

/* "port 1883" or "path /run/mosquitto.sock"; returns out. */
#define DOOR_PLACE_MAX 160
const char *door_place(const struct conf_listener *rules, char out[DOOR_PLACE_MAX]);

/*
 * May the peer, whose connection was just accepted, stay? Limits, then whom the listener takes for
 * a proxy, otherwise hosts.allow and hosts.deny. Says so if not.
 */
bool door_admits(struct door *d, uint16_t group, const struct peer *peer, uint64_t now_ms);
/* May it, as far as hosts.allow and hosts.deny go? Says so if not. */
bool door_passes_wrap(struct door *d, const struct peer *peer, uint64_t now_ms);
/* Tell that it may not. */
void door_refuse(struct door *d, const struct peer *peer, uint64_t now_ms,
                 const struct refusal *why);
/* A connection counts, or does no longer. */
void door_enter(struct door *d, uint16_t group);
void door_leave(struct door *d, uint16_t group);

/* Tell of refusals that have only been counted; and when there is something to tell, monotonic ms,
 * UINT64_MAX = never. */
void door_tell(struct door *d, uint64_t now_ms);
uint64_t door_deadline(const struct door *d);

#endif
