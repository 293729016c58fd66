/*
 * The line to one address: a socket, what is said to a proxy there, and TLS on top of it, until
 * there is a stream to the broker itself.
 */
#ifndef CLIENT_DIAL_LINE_H
#define CLIENT_DIAL_LINE_H

#include "base/base.h"
#include "base/err.h"
#include "net/resolve.h"
#include "net/socks5.h"
#include "net/tcp.h"
#include "net/tls_ctx.h"
#include "net/transport.h"

#include <stdbool.h>
#include <stdint.h>

#define DIAL_LINE_WHY_MAX 400

/* Whom it is to reach. All of it is the caller's, and must live as long as the line. */
struct dial_line_to {
    bool by_proxy; /* what answers is a SOCKS5 proxy, which is asked for the host … */
    const char *host;
    uint16_t port;
    const char *username, *password; /* … and is told these; or NULL */
    struct tls_ctx *tls;             /* NULL: none */
    const char *name;                /* that the certificate must be for */
    bool nodelay;
    const char *bind_address; /* from where, as the user says it; NULL: any */
};

enum dial_line_stage {
    LINE_DOWN, /* there is no socket */
    LINE_CONNECTING,
    LINE_PROXYING, /* talking with the proxy */
    LINE_SHAKING,  /* the handshake of TLS */
    LINE_UP
};

/* All zero but for `to`: down. */
struct dial_line {
    struct dial_line_to to;
    enum dial_line_stage stage;
    struct tcp *tcp;       /* NULL: there is no socket */
    struct transport *io;  /* the topmost layer; NULL likewise */
    struct transport *tls; /* that layer, or NULL */
    struct socks5 socks;
    /* After a failure. */
    int error;                   /* an errno, or 0 */
    char why[DIAL_LINE_WHY_MAX]; /* a phrase, without a full stop */
};

/* Begin with this address, from `source` if there is a bind_address: that as an address of the same
 * family, or NULL if it has none. ERR_CLOSED and ERR_NOMEM as below; then the line is down. */
MUST_CHECK enum err dial_line_open(struct dial_line *l, const struct resolve_address *a,
                                   const char *source);
/*
 * Go on with what is possible, though nobody has seen the socket ready. ERR_OK: it is up;
 * ERR_AGAIN: poll. Otherwise `why` tells, and the stage is still that in which it has failed.
 * ERR_CLOSED: this address did not do, `error`. With another address it would be the same after
 * ERR_DENIED, ERR_NOT_FOUND and ERR_PROTOCOL, which are socks5_step()'s; ERR_INVAL: nothing of the
 * kind can be asked of a proxy, or not in this build; and ERR_NOMEM.
 */
MUST_CHECK enum err dial_line_step(struct dial_line *l);
/* What to poll its socket for. */
short dial_line_events(const struct dial_line *l);
/* Is there something of the other side's that was not read yet, or its end? */
bool dial_line_hears(const struct dial_line *l);
/* Hang up, if there is a socket; what it has failed of is still known. */
void dial_line_close(struct dial_line *l);
/* It is down; its socket and its layers are the caller's. */
void dial_line_leave(struct dial_line *l);

#endif
