/*
 * Stream sockets as the lowest transport, and what it takes to listen and accept.
 */
#ifndef NET_TCP_H
#define NET_TCP_H

#include "base/err.h"
#include "net/transport.h"

#include <stdbool.h>
#include <sys/socket.h>

struct tcp {
    struct transport base;
    int fd;
};

/* Takes a connected, non-blocking socket: transport_close() closes it. */
void tcp_init(struct tcp *t, int fd);
/*
 * Throw away what has arrived and is unread, in one call that copies nothing: how many bytes, or as
 * transport_read().
 */
ssize_t tcp_discard(struct tcp *t);
/* The pending error of the socket as an errno value, 0 for none; the socket forgets it. */
int tcp_error(const struct tcp *t);

/*
 * Listen at this address without blocking. IPv6 means IPv6 only. ERR_UNSUPPORTED when the machine
 * does not have that address family, otherwise ERR_SYSTEM with errno.
 */
MUST_CHECK enum err tcp_listen(const struct sockaddr *address, socklen_t length, int *fd);
/* Connections accepted from now on send small packets at once. They inherit it: it costs no call
 * for each. */
void tcp_listen_nodelay(int fd, bool on);
/* The next connection, non-blocking and closed on exec, or -errno (-EAGAIN: there is none). */
int tcp_accept(int fd, struct sockaddr_storage *from);

#endif
