/*
 * Connections to the broker: dialling and logging in, one after the other and blocking, before
 * anything is measured.
 */
#ifndef BENCH_CONN_H
#define BENCH_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "bench/error.h"
#include "bench/wire.h"

struct bench_tls;
struct bench_tls_ctx;

struct target {
    struct sockaddr_storage address;
    socklen_t address_size;
    double timeout;            /* seconds, for each answer */
    struct bench_tls_ctx *tls; /* NULL: without TLS */
};

struct conn {
    int fd;                /* -1: there is none */
    struct bench_tls *tls; /* NULL: without TLS */
};

bool target_resolve(struct target *target, const char *host, uint64_t port,
                    struct bench_error *error);

/* Raises the limit of descriptors so that `connections` fit, or says why they do not. */
bool conn_make_room(uint64_t connections, struct bench_error *error);

/* Connects, and shakes hands where it has to; else there is none afterwards. */
bool conn_dial(struct conn *c, const struct target *target, struct bench_error *error);
void conn_close(struct conn *c);

/*
 * The same without waiting: conn_begin starts, and once the socket is writable, then whenever it is
 * readable, conn_go_on has it go on until *done. From a loopback address the connections with
 * different numbers come from eight addresses, so that there are ports enough. False: see the
 * error.
 */
bool conn_begin(struct conn *c, const struct target *target, uint64_t number,
                struct bench_error *error);
bool conn_go_on(struct conn *c, const struct target *target, bool *done, struct bench_error *error);
/* As recv() and send(). What conn_write has not taken is given again, the same bytes. */
ssize_t conn_read(struct conn *c, void *p, size_t n, int flags);
ssize_t conn_write(struct conn *c, const void *p, size_t n, int flags);
/* Is there input that epoll does not know of? */
bool conn_has_input(const struct conn *c);

bool conn_send(struct conn *c, const uint8_t *bytes, size_t size, struct bench_error *error);

/* Send a request now, and later wait for its answer: so that many can be under way. */
bool conn_login_send(struct conn *c, const struct wire_login *login, struct bench_error *error);
bool conn_login_wait(struct conn *c, struct bench_error *error);
bool conn_subscribe_send(struct conn *c, const char *filter, unsigned qos,
                         struct bench_error *error);
bool conn_subscribe_wait(struct conn *c, unsigned *granted, struct bench_error *error);

/* Judges a CONNACK. */
bool conn_accepted(const struct wire_packet *packet, struct bench_error *error);
/* Judges a SUBACK; *granted becomes the lowest QoS in it, if that is lower. */
bool conn_granted(const struct wire_packet *packet, unsigned *granted, struct bench_error *error);

/* Says DISCONNECT and closes. */
void conn_leave(struct conn *c);

#endif
