/*
 * The PROXY protocol: a header in front of everything else, in which a proxy tells whose connection
 * it passes on. Version 1 is a line of text, version 2 is binary; as HAProxy specifies them.
 *
 * Nothing here reads or waits: bytes in, an answer out.
 */
#ifndef SERVER_PROXY_H
#define SERVER_PROXY_H

#include "base/base.h"
#include "base/err.h"
#include "conf/conf.h"
#include "core/broker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROXY_V1_MAX 107       /* bytes of a line, its end included */
#define PROXY_V2_START 16      /* what every header of version 2 begins with */
#define PROXY_V2_REST_MAX 4096 /* what may follow: addresses, and what proxies want to add */
#define PROXY_MAX (PROXY_V2_START + PROXY_V2_REST_MAX)

struct proxy_header {
    bool own; /* says nothing of another: it is the proxy's own connection, or it does not know */
    bool tls; /* the client came over TLS, so says the proxy */
    uint8_t family; /* 4, 6, or 0 for a Unix socket */
    uint8_t ip[16]; /* as in struct peer; an IPv4 address within IPv6 has become one */
    uint16_t port;
};

/*
 * Read the header at the beginning of n bytes. ERR_OK: it is *length bytes long, and all that
 * follows is not ours. ERR_AGAIN: all that is there is part of it, and more must come.
 * ERR_MALFORMED: there is none, or it is broken; ERR_UNSUPPORTED: it is of a version that is not
 * wanted; ERR_TOO_LARGE.
 */
MUST_CHECK enum err proxy_parse(enum conf_proxy wanted, const uint8_t *p, size_t n,
                                struct proxy_header *h, size_t *length);

/* May this peer speak for others at this listener? An address in IPv6 clothes is an IPv4 address.
 */
bool proxy_trusts(const struct conf_listener *rules, const struct peer *peer);

#endif
