/*
 * One attempt to reach a broker: name, addresses, socket, proxy, TLS, without waiting for any of
 * them.
 *
 * A dial owns its descriptors until it is done; whoever polls asks which ones. Addresses are tried
 * in the order in which they came, the next one as soon as one has failed or was silent for
 * DIAL_ADDRESS_MS (when there is another one).
 */
#ifndef CLIENT_DIAL_H
#define CLIENT_DIAL_H

#include "base/err.h"
#include "net/tls_ctx.h"
#include "net/transport.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#define DIAL_ADDRESS_MS 5000
#define DIAL_TOTAL_MS 60000
#define DIAL_FDS_MAX 16
#define DIAL_WHY_MAX 400

struct dial;

struct dial_settings { /* strings are copied */
    const char *host;  /* a name, an address, or a path when port is 0 (Unix socket) */
    uint16_t port;
    bool srv;                 /* ask for SRV records of the name: _mqtt, or _secure-mqtt with TLS */
    const char *bind_address; /* NULL: any */
    bool nodelay;
    struct tls_ctx *tls;    /* NULL: none; a reference of its own is taken */
    const char *proxy_host; /* SOCKS5; NULL: none */
    uint16_t proxy_port;
    const char *proxy_username, *proxy_password; /* or NULL */
    /* For tests; zero otherwise. As in struct resolver_poll; these must live as long as the dial.
     */
    const char *servers, *hosts;
    uint32_t try_ms;
};

/* Why a dial has failed; the public error of it is made by who dials. */
enum dial_failure {
    DIAL_LOOKUP,  /* the name has no address */
    DIAL_CONNECT, /* no address of it can be reached: `error` */
    DIAL_PROXY,   /* the proxy refuses, or cannot reach it */
    DIAL_PROXY_AUTH,
    DIAL_PROXY_TARGET, /* … says that the host does not exist or cannot be reached */
    DIAL_TLS,          /* the handshake has failed */
    DIAL_NOMEM,
    DIAL_INVALID /* such a host, or address to bind to, cannot be, or not in this build */
};

/* Begin. Addresses, and names that need no name server, have their socket when this returns. NULL
 * without memory. */
MUST_CHECK struct dial *dial_new(const struct dial_settings *s, uint64_t now_ms);
void dial_free(struct dial *d); /* and everything that was not taken; NULL is allowed */

/*
 * Go on with what is possible; which descriptors are ready it sees by itself, so that it does no
 * harm to come for nothing. ERR_OK: dial_take(); ERR_AGAIN: poll; otherwise it has failed.
 */
MUST_CHECK enum err dial_step(struct dial *d, uint64_t now_ms);
/* What to poll for: at most n entries, with their events; how many. */
int dial_poll(const struct dial *d, struct pollfd *fds, int n);
/* When to step at the latest, though no descriptor is ready; UINT64_MAX: never. */
uint64_t dial_deadline(struct dial *d, uint64_t now_ms);
/* The descriptor that matters most now, for loops that poll one only; -1: none. */
int dial_fd(const struct dial *d);

/* After ERR_OK: the way, owned by the caller now, who ends it by dial_way_close(). The layer of TLS
 * may have input already: transport_has_input(). */
struct dial_way {
    struct transport *transport; /* the topmost layer */
    struct transport *tls;       /* that of TLS, or NULL */
    void *bottom;
    int fd;
};
void dial_take(struct dial *d, struct dial_way *way);
/* Close and free; a zeroed way is allowed, and left behind. */
void dial_way_close(struct dial_way *way);

/* After a failure. */
enum dial_failure dial_failure(const struct dial *d);
int dial_error(const struct dial *d);       /* an errno, also of other failures; 0: none */
const char *dial_why(const struct dial *d); /* a phrase, without a full stop */

#endif
