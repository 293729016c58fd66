/*
 * Who is at the other end of a connection, as the server saw it come.
 */
#ifndef CORE_PEER_H
#define CORE_PEER_H

#include "conf/conf.h"

#include <stdint.h>

/* Who is at the other end. Copied by broker_open, which takes a reference to the listener's rules.
 */
struct peer {
    uint8_t ip[16]; /* network order; IPv4 in the first four bytes; all zero for a Unix socket */
    uint8_t family; /* 4, 6, or 0 for a Unix socket */
    uint16_t port;
    uint32_t accept_ms;             /* monotonic; the low bits are enough */
    struct conf_listener *listener; /* that accepted it */
};

/* Text of the address without port, e.g. "::1"; of a Unix socket its path. Returns out. */
#define PEER_TEXT_MAX 128
char *peer_address(const struct peer *p, char out[PEER_TEXT_MAX]);

#endif
