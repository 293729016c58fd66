/*
 * Where a dial goes: the addresses of a host, which a resolver looks up without waiting, or that of
 * a path; and which addresses of ours it comes from.
 */
#ifndef CLIENT_DIAL_NAMES_H
#define CLIENT_DIAL_NAMES_H

#include "base/base.h"
#include "base/err.h"
#include "net/address.h"
#include "net/resolve.h"

#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DIAL_NAMES_SOCKETS_MAX 15
#define DIAL_PLACE_MAX (NI_MAXHOST + NI_MAXSERV + 16)

/* All zero: nothing is known, and nothing is to be freed. */
struct dial_names {
    struct addresses from; /* to connect from; none: any */

    struct resolver *resolver; /* until there are addresses */
    struct resolve *look_up;
    struct pollfd sockets[DIAL_NAMES_SOCKETS_MAX]; /* of the resolver */
    int socket_count;

    bool answered;
    struct resolve_address addresses[RESOLVE_ADDRESSES_MAX]; /* in the order to try them */
    size_t count;
    char why[RESOLVE_WHY_MAX]; /* after a failure: a phrase, without a full stop */
};

/* Whereto, and where from. */
struct dial_names_ask {
    const char *host;         /* a name, or an address */
    uint16_t port;            /* 0: the usual one */
    bool path;                /* the host is a path, at which there is a Unix socket */
    bool tls;                 /* it is the port of MQTT over TLS */
    bool srv;                 /* ask for SRV records of such a service first */
    const char *proxy_host;   /* look this one up instead; NULL: there is none */
    uint16_t proxy_port;      /* 0: the usual one */
    const char *bind_address; /* or a name that `hosts` knows; NULL: any */
    /* As in struct resolver_poll; must live as long as the names. */
    const char *servers, *hosts;
    uint32_t try_ms;
};

/* Begin; then dial_names_step(). ERR_NOMEM; ERR_INVAL: there can be no such thing, or not in this
 * build. */
MUST_CHECK enum err dial_names_begin(struct dial_names *n, const struct dial_names_ask *ask);
/* Go on with what is possible. ERR_OK: the addresses are there; ERR_AGAIN: poll for the sockets;
 * ERR_NOT_FOUND: there are none. Once, when it is not ERR_AGAIN. */
MUST_CHECK enum err dial_names_step(struct dial_names *n);
/* Milliseconds until there is something to do though no socket is ready; -1: never. */
int dial_names_timeout_ms(const struct dial_names *n);
/* Give up what is under way. */
void dial_names_clear(struct dial_names *n);

/* The bind address of this family, as text; NULL: there is none. */
const char *dial_names_source(const struct dial_names *n, int family, char out[NI_MAXHOST]);
/* "10.0.0.1 port 1883", of the i-th address. */
const char *dial_names_place(const struct dial_names *n, size_t i, char out[DIAL_PLACE_MAX]);

#endif
