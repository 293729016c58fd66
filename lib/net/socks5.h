/*
 * The handshake with a SOCKS5 proxy (RFC 1928, RFC 1929), by which it connects us to a host that it
 * looks up itself: pure bytes in both directions, over whatever transport the caller has.
 *
 * Without WITH_SOCKS socks5_begin() is ERR_UNSUPPORTED.
 */
#ifndef NET_SOCKS5_H
#define NET_SOCKS5_H

#include "base/err.h"
#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

#define SOCKS5_HOST_MAX 255 /* also of user name and password */
#define SOCKS5_OUT_MAX 520
#define SOCKS5_IN_MAX 262

struct socks5 {
    struct str host, username, password; /* username.p NULL: none; the caller's, until it is done */
    uint16_t port;
    uint8_t state;
    uint8_t out[SOCKS5_OUT_MAX]; /* to be written: out_len - out_at bytes from out_at */
    size_t out_at, out_len;
    uint8_t in[SOCKS5_IN_MAX]; /* what has come of the answer, in_len of in_need bytes */
    size_t in_len, in_need;
    const char *why; /* after a failure: a phrase without a full stop */
};

/* ERR_INVAL: host, user name or password are empty where they must not be, or too long. */
MUST_CHECK enum err socks5_begin(struct socks5 *s, struct str host, uint16_t port,
                                 struct str username, struct str password);
/*
 * Go on, by these bytes of the proxy's (n may be 0), of which *used were taken: none beyond the
 * handshake, so that the next ones belong to the connection. ERR_AGAIN: write what is in `out`
 * and bring more; ERR_OK: connected; ERR_DENIED: the proxy refuses us; ERR_NOT_FOUND: it cannot
 * reach the host; ERR_PROTOCOL: it is no SOCKS5 proxy, or one that has failed. `why` says more.
 */
MUST_CHECK enum err socks5_step(struct socks5 *s, const uint8_t *p, size_t n, size_t *used);

#endif
