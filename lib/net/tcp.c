/*
 * Stream sockets as the lowest transport.
 *
 * What moves bytes is one system call, so that who counts calls can count here. A write never
 * raises SIGPIPE: the caller may be a library in somebody else's process.
 */
#include "net/tcp.h"

#include "net/address.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* The most that one tcp_discard() throws away: a number, only because the call wants one. */
#define DISCARD_MAX (1 << 20)
/* The same where bytes cannot be thrown away unread. */
#define DISCARD_BUFFER 16384

static struct tcp *tcp_of(struct transport *t)
{
    return CONTAINER_OF(t, struct tcp, base);
}

/* The result of a system call as the transport speaks it; an interrupted call is tried again by who
 * polls. */
static ssize_t result(ssize_t n)
{
    if (LIKELY(n >= 0)) {
        return n;
    }
    return errno == EINTR || errno == EWOULDBLOCK ? -EAGAIN : -errno;
}

static ssize_t tcp_read(struct transport *t, void *p, size_t n)
{
    return result(recv(tcp_of(t)->fd, p, n, 0));
}

static ssize_t tcp_writev(struct transport *t, const struct iovec *iov, int n)
{
    /* The usual case is one piece, and for that the plain call is the cheaper one. */
    if (n == 1) {
        return result(send(tcp_of(t)->fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL));
    }
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n};
    return result(sendmsg(tcp_of(t)->fd, &message, MSG_NOSIGNAL));
}

static enum err tcp_step(struct transport *t)
{
    (void)t;
    return ERR_OK;
}

static unsigned tcp_wants(const struct transport *t)
{
    (void)t;
    return TRANSPORT_WANTS_NOTHING;
}

static bool tcp_has_input(const struct transport *t)
{
    (void)t;
    return false;
}

static void tcp_finish(struct transport *t)
{
    (void)shutdown(tcp_of(t)->fd, SHUT_WR);
}

static void tcp_close(struct transport *t)
{
    struct tcp *tcp = tcp_of(t);
    (void)close(tcp->fd);
    tcp->fd = -1;
}

static const struct transport_ops tcp_ops = {
    .read = tcp_read,
    .writev = tcp_writev,
    .step = tcp_step,
    .wants = tcp_wants,
    .has_input = tcp_has_input,
    .finish = tcp_finish,
    .close = tcp_close,
};

void tcp_init(struct tcp *t, int fd)
{
    t->base.ops = &tcp_ops;
    t->fd = fd;
}

ssize_t tcp_peek(const struct tcp *t, void *p, size_t n)
{
    return result(recv(t->fd, p, n, MSG_PEEK));
}

/* A Unix socket has no MSG_TRUNC: it would copy, and says that it has nowhere to. */
ssize_t tcp_discard(struct tcp *t)
{
    ssize_t n = result(recv(t->fd, NULL, DISCARD_MAX, MSG_TRUNC));
    if (n != -EFAULT) {
        return n;
    }
    char unread[DISCARD_BUFFER];
    return result(recv(t->fd, unread, sizeof(unread), 0));
}

int tcp_error(const struct tcp *t)
{
    int error = 0;
    socklen_t length = sizeof(error);
    if (getsockopt(t->fd, SOL_SOCKET, SO_ERROR, &error, &length) != 0) {
        return errno;
    }
    return error;
}

static bool set_flag(int fd, int level, int option, bool on)
{
    int value = on;
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

static bool tie_to(int fd, const char *interface)
{
    return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)) ==
           0;
}

static enum err bind_socket(int fd, const struct sockaddr *address, socklen_t length,
                            const char *interface)
{
    /* IPv4 has a socket of its own, so IPv6 must not answer for it as well. */
    if (address->sa_family == AF_INET6 && !set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, true)) {
        return ERR_SYSTEM;
    }
    if (!set_flag(fd, SOL_SOCKET, SO_REUSEADDR, true)) {
        return ERR_SYSTEM;
    }
    if (interface && !tie_to(fd, interface)) {
        return ERR_NOT_FOUND;
    }
    return bind(fd, address, length) == 0 ? ERR_OK : ERR_SYSTEM;
}

enum err tcp_bind(const struct sockaddr *address, socklen_t length, const char *interface, int *fd)
{
    int s = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0) {
        return errno == EAFNOSUPPORT ? ERR_UNSUPPORTED : ERR_SYSTEM;
    }
    enum err e = bind_socket(s, address, length, interface);
    if (e == ERR_OK) {
        *fd = s;
        return e;
    }
    int why = errno;
    (void)close(s);
    errno = why;
    return e;
}

enum err tcp_listen(int fd)
{
    return listen(fd, SOMAXCONN) == 0 ? ERR_OK : ERR_SYSTEM;
}

/* Linux: a listening socket that is shut for reading is a bound one again. */
enum err tcp_unlisten(int fd)
{
    return shutdown(fd, SHUT_RD) == 0 ? ERR_OK : ERR_SYSTEM;
}

void tcp_listen_nodelay(int fd, bool on)
{
    (void)set_flag(fd, IPPROTO_TCP, TCP_NODELAY, on);
}

int tcp_accept(int fd, struct sockaddr_storage *from)
{
    socklen_t length = sizeof(*from);
    int s = accept4(fd, (struct sockaddr *)from, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return s >= 0 ? s : (int)result(-1);
}

static bool set_number(int fd, int level, int option, uint32_t value, uint32_t most)
{
    int number = (int)(value < most ? value : most);
    return number == 0 || setsockopt(fd, level, option, &number, sizeof(number)) == 0;
}

/* The most that the system takes: MAX_TCP_KEEPIDLE, …INTVL and …CNT of Linux. */
static bool set_keepalive(int fd, const struct tcp_how *how)
{
    return set_flag(fd, SOL_SOCKET, SO_KEEPALIVE, true) &&
           set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, how->keepalive_idle, 32767) &&
           set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, how->keepalive_interval, 32767) &&
           set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, how->keepalive_count, 127);
}

/* The port is chosen when it is known whereto: so one port serves for many destinations. */
static enum err bind_from(int fd, int family, const char *text)
{
    struct addresses from = {0};
    if (!addresses_parse(&from, text, family) || addresses_count(&from) == 0) {
        return ERR_INVAL;
    }
    struct sockaddr_storage sa;
    socklen_t length;
    addresses_get(&from, 0, 0, &sa, &length);
    (void)set_flag(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, true);
    return bind(fd, (struct sockaddr *)&sa, length) == 0 ? ERR_OK : ERR_SYSTEM;
}

static enum err connect_socket(int fd, const struct sockaddr *to, socklen_t length,
                               const struct tcp_how *how)
{
    if ((how->keepalive_idle > 0 && !set_keepalive(fd, how)) ||
        !set_number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, how->user_timeout_ms, INT_MAX) ||
        (how->nodelay && !set_flag(fd, IPPROTO_TCP, TCP_NODELAY, true))) {
        return ERR_SYSTEM;
    }
    enum err e = how->bind_address ? bind_from(fd, to->sa_family, how->bind_address) : ERR_OK;
    if (e != ERR_OK || connect(fd, to, length) == 0) {
        return e;
    }
    return errno == EINPROGRESS || errno == EINTR ? ERR_AGAIN : ERR_SYSTEM;
}

enum err tcp_connect(const struct sockaddr *to, socklen_t length, const struct tcp_how *how,
                     int *fd)
{
    int s = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s < 0) {
        return ERR_SYSTEM;
    }
    enum err e = connect_socket(s, to, length, how);
    if (e == ERR_OK || e == ERR_AGAIN) {
        *fd = s;
        return e;
    }
    int why = errno;
    (void)close(s);
    errno = why;
    return e;
}
