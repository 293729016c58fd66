/*
 * What tests of the client's dial share: listeners, and a loop in which the other side plays along,
 * with time that the test makes.
 */
#ifndef UNIT_CLIENT_DIAL_RIG_H
#define UNIT_CLIENT_DIAL_RIG_H

#include "client/dial.h"
#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <unistd.h>

#define TURNS 500 /* of 10 ms at most */

/* ---- The other side ---- */

static inline struct sockaddr_in loopback(const char *address, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_int_equal(inet_pton(AF_INET, address, &in.sin_addr), 1);
    return in;
}

/* A port at that address where nobody listens, until listen() is called. */
static inline int bound(const char *address, uint16_t *port)
{
    struct sockaddr_in in = loopback(address, *port);
    socklen_t n = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&in, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &n), 0);
    *port = ntohs(in.sin_port);
    return fd;
}

static inline int listening(const char *address, uint16_t *port)
{
    int fd = bound(address, port);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static inline int accepted(int listener)
{
    struct pollfd p = {.fd = listener, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

/* ---- The dial ---- */

static uint64_t now;

/* What the other side does in each turn; NULL: nothing. */
struct peer {
    void (*turn)(struct peer *p);
    int listener, fd; /* -1: not there yet */
};

static inline void wait_for(const struct dial *d)
{
    struct pollfd fds[DIAL_FDS_MAX];
    int n = dial_poll(d, fds, DIAL_FDS_MAX);
    assert_int_equal(n > 0 ? fds[0].fd : -1, dial_fd(d));
    (void)poll(fds, (nfds_t)n, 10);
}

/* Until it has come to an end, however it may be. Time stands still. */
static inline enum err finish(struct dial *d, struct peer *p)
{
    enum err e = dial_step(d, now);
    for (int i = 0; e == ERR_AGAIN && i < TURNS; i++) {
        if (p && p->turn) {
            p->turn(p);
        }
        assert_true(dial_deadline(d, now) >= now);
        wait_for(d);
        e = dial_step(d, now);
    }
    assert_int_not_equal(e, ERR_AGAIN);
    return e;
}

static inline struct dial *dial(const struct dial_settings *s)
{
    struct dial *d = dial_new(s, now);
    assert_non_null(d);
    return d;
}

static inline void expect(struct dial *d, enum dial_failure failure, int error, const char *why)
{
    assert_string_equal(dial_why(d), why);
    assert_int_equal(dial_failure(d), failure);
    assert_int_equal(dial_error(d), error);
    assert_int_equal(dial_fd(d), -1);
    assert_int_equal(dial_step(d, now), ERR_CLOSED); /* it stays so */
}

/* A byte each way, and both ends are closed. */
static inline void talk(struct dial_way *way, int fd)
{
    char byte = 0;
    struct iovec iov = {.iov_base = "a", .iov_len = 1};
    assert_int_equal(transport_writev(way->transport, &iov, 1), 1);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(byte, 'a');
    assert_int_equal(write(fd, "b", 1), 1);
    p.fd = way->fd;
    assert_int_equal(poll(&p, 1, 5000), 1);
    assert_int_equal(transport_read(way->transport, &byte, 1), 1);
    assert_int_equal(byte, 'b');
    dial_way_close(way);
    assert_null(way->transport);
    (void)close(fd);
}

#endif
