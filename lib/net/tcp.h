/*
 * Stream sockets as the lowest transport, and what it takes to listen and accept.
 */
#ifndef NET_TCP_H
#define NET_TCP_H

#include "base/err.h"
#include "net/transport.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct tcp {
    struct transport base;
    int fd;
};

/* Takes a connected, non-blocking socket: transport_close() closes it. */
void tcp_init(struct tcp *t, int fd);
/* As transport_read(), but what is read stays to be read again. */
ssize_t tcp_peek(const struct tcp *t, void *p, size_t n);
/*
 * Throw away what has arrived and is unread, in one call that copies nothing where the socket knows
 * how to: how many bytes, or as transport_read().
 */
ssize_t tcp_discard(struct tcp *t);
/* The pending error of the socket as an errno value, 0 for none; the socket forgets it. */
int tcp_error(const struct tcp *t);

/*
 * A non-blocking socket at this address that does not listen yet. IPv6 means IPv6 only. With
 * `interface` (NULL = any) it will only take what comes in there. ERR_UNSUPPORTED when the machine
 * does not have that address family, ERR_NOT_FOUND when the socket cannot be tied to the interface,
 * otherwise ERR_SYSTEM; all with errno.
 */
MUST_CHECK enum err tcp_bind(const struct sockaddr *address, socklen_t length,
                             const char *interface, int *fd);
/* Listen where it is bound. ERR_SYSTEM with errno. */
MUST_CHECK enum err tcp_listen(int fd);
/*
 * Listen no longer, but keep address and port: others of ours may bind there, and tcp_listen()
 * brings it back. Whoever waits to be accepted is cut off. ERR_SYSTEM with errno.
 */
MUST_CHECK enum err tcp_unlisten(int fd);
/* Connections accepted from now on send small packets at once. They inherit it: it costs no call
 * for each. */
void tcp_listen_nodelay(int fd, bool on);
/* The next connection, non-blocking and closed on exec, or -errno (-EAGAIN: there is none). */
int tcp_accept(int fd, struct sockaddr_storage *from);

/* How to connect; all zero: as the system does. */
struct tcp_how {
    const char *bind_address;    /* an address to connect from, or NULL */
    uint32_t keepalive_idle;     /* seconds until the first probe; 0 = no probes of ours */
    uint32_t keepalive_interval; /* seconds between probes; 0 = the system's */
    uint32_t keepalive_count;    /* probes until it counts as broken; 0 = the system's */
    uint32_t user_timeout_ms;    /* without an acknowledgement; 0 = the system's */
    bool nodelay;
};
/*
 * Begin to connect: a non-blocking socket, closed on exec. ERR_OK: connected; ERR_AGAIN: on its
 * way, and when it is writable tcp_error() tells what has become of it. ERR_SYSTEM with errno:
 * there is no socket; ERR_INVAL: bind_address is no address of this family.
 */
MUST_CHECK enum err tcp_connect(const struct sockaddr *to, socklen_t length,
                                const struct tcp_how *how, int *fd);

#endif
