/*
 * Names to addresses, without waiting for them.
 *
 * A resolver owns sockets that somebody must poll: it says which through `watch`, is told when one
 * is ready, and when its next deadline has come. Nothing here blocks, however many name servers
 * are dead. Answers never come from within resolve_start(). Every look-up asks anew; how long an
 * answer may be kept is for name servers to know.
 */
#ifndef NET_RESOLVE_H
#define NET_RESOLVE_H

#include "base/base.h"
#include "base/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct resolver;
struct resolve; /* one look-up */

/* The caller polls for us. */
struct resolver_poll {
    /* From now on wait for this: bits of enum transport_wants; 0: forget the descriptor, which is
     * about to be closed. Level-triggered: what is left unread is reported again. */
    void (*watch)(void *ctx, int fd, unsigned wants);
    void *ctx;
    uint64_t seed; /* chance, to choose between SRV records */
    /* For tests; zero otherwise. The strings must live as long as the resolver. */
    const char *servers; /* "127.0.0.1:5353,…" instead of those of /etc/resolv.conf */
    const char *hosts;   /* a file instead of /etc/hosts */
    uint32_t try_ms;     /* how long the first attempt waits, instead of 2 s; a look-up as a whole
                            takes five times as long at most */
};

/* No socket is open while nothing is looked up. `poll` is copied. NULL without memory. */
MUST_CHECK struct resolver *resolver_new(const struct resolver_poll *poll);
/* Look-ups that are under way are cancelled. NULL is allowed. Not from within done(). */
void resolver_free(struct resolver *r);
/* A descriptor is ready for this (bits of enum transport_wants). */
void resolver_ready(struct resolver *r, int fd, unsigned is);
/* Go on with some of those look-ups that can go on, give their answers, and give up what has taken
 * too long. Once in each turn, after resolver_ready(). */
void resolver_work(struct resolver *r);
/* Milliseconds until resolver_work() has something to do; 0: now; -1: only when something comes. */
int resolver_timeout_ms(struct resolver *r);

/* One address, in the order in which they are to be tried. */
struct resolve_address {
    struct sockaddr_storage sa; /* with its port */
    socklen_t length;
};

#define RESOLVE_WHY_MAX 200
#define RESOLVE_ADDRESSES_MAX 32

struct resolve_answer {
    const struct resolve_address *addresses; /* valid during the call; at most
                                                RESOLVE_ADDRESSES_MAX */
    size_t count;                            /* 0: there are none, and `why` says why */
    const char *why;                         /* a phrase for the log, without a full stop */
};

struct resolve_ask {
    const char *host;    /* a name, or an address; copied */
    uint16_t port;       /* for names without SRV records */
    const char *service; /* "_mqtt._tcp": ask for SRV records first, and take what they say of
                            hosts and ports, by priority and weight (RFC 2782); NULL: do not */
    int family;          /* AF_UNSPEC, AF_INET or AF_INET6: only such addresses */
    void (*done)(void *ctx, const struct resolve_answer *a); /* once; the look-up is gone then */
    void *ctx;
};

/*
 * Begin. Addresses and names that /etc/hosts knows are answered without asking anybody, also for
 * SRV records. A name that begins with '_' is that of an SRV record itself, whatever `service`
 * says. Without FEATURE_SRV no name has SRV records. ERR_NOMEM, or ERR_INVAL: this cannot be a
 * name.
 */
MUST_CHECK enum err resolve_start(struct resolver *r, const struct resolve_ask *ask,
                                  struct resolve **out);
/* It is not wanted any more: done() will not be called. Allowed at any time, also from within a
 * done(), even its own. */
void resolve_cancel(struct resolve *l);

#endif
