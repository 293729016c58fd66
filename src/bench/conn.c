/*
 * Connections to the broker: dialling and logging in, before anything is measured.
 *
 * The sockets stay in blocking mode with a time limit; the loops that carry load ask for
 * MSG_DONTWAIT with each call instead.
 */
#include "bench/conn.h"

#include <errno.h>
#include <inttypes.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "bench/tls.h"

enum {
    ANSWER_ROOM = 64,
    OTHER_DESCRIPTORS = 16,
    SOURCES = 8,
    PACKET_ID_SIZE = 2,
    QOS_MAX = 2,
};

bool target_resolve(struct target *target, const char *host, uint64_t port,
                    struct bench_error *error)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char service[16];
    int code;

    snprintf(service, sizeof service, "%" PRIu64, port);
    code = getaddrinfo(host, service, &hints, &found);
    if (code != 0) {
        return bench_fail(error, "--host: \"%s\" cannot be resolved: %s", host, gai_strerror(code));
    }
    memcpy(&target->address, found->ai_addr, found->ai_addrlen);
    target->address_size = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

bool conn_make_room(uint64_t connections, struct bench_error *error)
{
    struct rlimit limit;
    rlim_t wanted = connections + OTHER_DESCRIPTORS;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return bench_fail(error, "cannot read the limit of open files: %s", strerror(errno));
    }
    if (limit.rlim_cur >= wanted) {
        return true;
    }
    limit.rlim_cur = wanted;
    if (limit.rlim_max < wanted) {
        rlim_t hard = limit.rlim_max;

        limit.rlim_max = wanted;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            return bench_fail(error,
                              "%" PRIu64 " connections need %ju open files, and the hard limit "
                              "is %ju; raise it (ulimit -Hn) or lower --clients",
                              connections, (uintmax_t)wanted, (uintmax_t)hard);
        }
        return true;
    }
    return setrlimit(RLIMIT_NOFILE, &limit) == 0 ||
           bench_fail(error, "cannot raise the limit of open files: %s", strerror(errno));
}

static int make_socket(const struct target *target, int flags, struct bench_error *error)
{
    int fd = socket(target->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    int on = 1;

    if (fd < 0) {
        bench_fail(error, "cannot make a socket: %s", strerror(errno));
        return -1;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static int dial(const struct target *target, struct bench_error *error)
{
    int fd = make_socket(target, 0, error);
    struct timeval limit = {
        .tv_sec = (time_t)target->timeout,
        .tv_usec = (suseconds_t)((target->timeout - (double)(time_t)target->timeout) * 1e6),
    };

    if (fd < 0) {
        return -1;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (connect(fd, (const struct sockaddr *)&target->address, target->address_size) != 0) {
        bench_fail(error, "cannot connect to the broker: %s",
                   strerror(errno == EINPROGRESS ? ETIMEDOUT : errno));
        close(fd);
        return -1;
    }
    return fd;
}

bool conn_dial(struct conn *c, const struct target *target, struct bench_error *error)
{
    bool done;

    c->tls = NULL;
    c->fd = dial(target, error);
    if (c->fd < 0 || target->tls == NULL) {
        return c->fd >= 0;
    }
    c->tls = bench_tls_open(target->tls, c->fd, error);
    if (c->tls == NULL || !bench_tls_shake(c->tls, 0, &done, error)) {
        conn_close(c);
    }
    return c->fd >= 0;
}

/* A connection is told apart by both its ends: eight source addresses have eight times the ports.
 */
static void choose_source(int fd, const struct target *target, uint64_t number)
{
    const struct sockaddr_in *to = (const struct sockaddr_in *)&target->address;
    struct sockaddr_in from = {.sin_family = AF_INET};
    int on = 1;

    if (to->sin_family == AF_INET && ntohl(to->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET) {
        from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(number % SOURCES));
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        (void)!bind(fd, (const struct sockaddr *)&from, sizeof from);
    }
}

bool conn_begin(struct conn *c, const struct target *target, uint64_t number,
                struct bench_error *error)
{
    *c = (struct conn){.fd = make_socket(target, SOCK_NONBLOCK, error)};
    if (c->fd < 0) {
        return false;
    }
    choose_source(c->fd, target, number);
    return connect(c->fd, (const struct sockaddr *)&target->address, target->address_size) == 0 ||
           errno == EINPROGRESS ||
           bench_fail(error, "cannot connect to the broker: %s", strerror(errno));
}

bool conn_go_on(struct conn *c, const struct target *target, bool *done, struct bench_error *error)
{
    int code = 0;
    socklen_t size = sizeof code;

    if (c->tls == NULL) {
        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &code, &size) != 0 || code != 0) {
            return bench_fail(error, "cannot connect to the broker: %s",
                              strerror(code != 0 ? code : errno));
        }
        *done = target->tls == NULL;
        if (*done) {
            return true;
        }
        c->tls = bench_tls_open(target->tls, c->fd, error);
    }
    return c->tls != NULL && bench_tls_shake(c->tls, MSG_DONTWAIT, done, error);
}

void conn_close(struct conn *c)
{
    bench_tls_close(c->tls);
    close(c->fd);
    *c = (struct conn){.fd = -1};
}

ssize_t conn_read(struct conn *c, void *p, size_t n, int flags)
{
    return c->tls == NULL ? recv(c->fd, p, n, flags) : bench_tls_read(c->tls, p, n, flags);
}

ssize_t conn_write(struct conn *c, const void *p, size_t n, int flags)
{
    return c->tls == NULL ? send(c->fd, p, n, flags | MSG_NOSIGNAL)
                          : bench_tls_write(c->tls, p, n, flags);
}

bool conn_has_input(const struct conn *c)
{
    return c->tls != NULL && bench_tls_has_input(c->tls);
}

bool conn_send(struct conn *c, const uint8_t *bytes, size_t size, struct bench_error *error)
{
    ssize_t sent = conn_write(c, bytes, size, 0);

    return sent == (ssize_t)size ||
           bench_fail(error, "cannot send to the broker: %s", strerror(errno));
}

bool conn_login_send(struct conn *c, const struct wire_login *login, struct bench_error *error)
{
    uint8_t packet[WIRE_SMALL_MAX];

    return conn_send(c, packet, wire_connect(packet, login), error);
}

bool conn_subscribe_send(struct conn *c, const char *filter, unsigned qos,
                         struct bench_error *error)
{
    uint8_t packet[WIRE_SMALL_MAX];

    return conn_send(c, packet, wire_subscribe(packet, 1, filter, qos), error);
}

/* Reads one packet and not a byte more: what follows belongs to the loop. */
static bool wait_for(struct conn *c, enum wire_type type, const char *name,
                     uint8_t room[ANSWER_ROOM], struct wire_packet *packet,
                     struct bench_error *error)
{
    size_t have = 0;
    size_t want = WIRE_EMPTY_SIZE;
    enum wire_result result = WIRE_MORE;

    while (result == WIRE_MORE && want <= ANSWER_ROOM) {
        ssize_t got = conn_read(c, room + have, want - have, 0);

        if (got <= 0) {
            return bench_fail(error, "waiting for %s: %s", name,
                              got == 0          ? "the broker closed the connection"
                              : errno == EAGAIN ? "no answer within the time limit"
                                                : strerror(errno));
        }
        have += (size_t)got;
        result = wire_next(room, have, packet);
        want = packet->size > have ? packet->size : have + 1;
    }
    if (result != WIRE_PACKET || packet->type != type) {
        return bench_fail(error, "waiting for %s: the broker sent something else (first byte %u)",
                          name, room[0]);
    }
    return true;
}

bool conn_accepted(const struct wire_packet *packet, struct bench_error *error)
{
    static const char *const reasons[] = {
        "accepted",           "unacceptable protocol version", "client id rejected",
        "server unavailable", "wrong username or password",    "not authorised",
    };
    unsigned code = packet->body_size == 2 ? packet->body[1] : sizeof reasons;

    if (code == 0) {
        return true;
    }
    return bench_fail(error, "the broker refused the connection: code %u (%s)", code,
                      code < sizeof reasons / sizeof reasons[0] ? reasons[code] : "unknown");
}

bool conn_login_wait(struct conn *c, struct bench_error *error)
{
    uint8_t room[ANSWER_ROOM];
    struct wire_packet packet = {0};

    return wait_for(c, WIRE_CONNACK, "CONNACK", room, &packet, error) &&
           conn_accepted(&packet, error);
}

bool conn_granted(const struct wire_packet *packet, unsigned *granted, struct bench_error *error)
{
    if (packet->body_size <= PACKET_ID_SIZE) {
        return bench_fail(error, "the broker sent a SUBACK without codes");
    }
    for (size_t i = PACKET_ID_SIZE; i < packet->body_size; i++) {
        if (packet->body[i] > QOS_MAX) {
            return bench_fail(error, "the broker refused the subscription");
        }
        if (packet->body[i] < *granted) {
            *granted = packet->body[i];
        }
    }
    return true;
}

bool conn_subscribe_wait(struct conn *c, unsigned *granted, struct bench_error *error)
{
    uint8_t room[ANSWER_ROOM];
    struct wire_packet packet = {0};

    *granted = QOS_MAX;
    return wait_for(c, WIRE_SUBACK, "SUBACK", room, &packet, error) &&
           conn_granted(&packet, granted, error);
}

void conn_leave(struct conn *c)
{
    uint8_t packet[WIRE_EMPTY_SIZE];

    (void)!conn_write(c, packet, wire_empty(packet, WIRE_DISCONNECT), MSG_DONTWAIT);
    conn_close(c);
}
