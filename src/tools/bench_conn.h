/*
 * Connections to the broker: dialling and logging in, one after the other and blocking, before
 * anything is measured.
 */
#ifndef TOOLS_BENCH_CONN_H
#define TOOLS_BENCH_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "tools/bench_error.h"
#include "tools/bench_wire.h"

struct target {
    struct sockaddr_storage address;
    socklen_t address_size;
    double timeout; /* seconds, for each answer */
};

bool target_resolve(struct target *target, const char *host, uint64_t port,
                    struct bench_error *error);

/* Raises the limit of descriptors so that `connections` fit, or says why they do not. */
bool conn_make_room(uint64_t connections, struct bench_error *error);

/* A connected socket, or -1. */
int conn_dial(const struct target *target, struct bench_error *error);
bool conn_send(int fd, const uint8_t *bytes, size_t size, struct bench_error *error);

/* Send a request now, and later wait for its answer: so that many can be under way. */
bool conn_login_send(int fd, const struct wire_login *login, struct bench_error *error);
bool conn_login_wait(int fd, struct bench_error *error);
bool conn_subscribe_send(int fd, const char *filter, unsigned qos, struct bench_error *error);
bool conn_subscribe_wait(int fd, unsigned *granted, struct bench_error *error);

/* Judges a CONNACK. */
bool conn_accepted(const struct wire_packet *packet, struct bench_error *error);

/* Says DISCONNECT and closes. */
void conn_leave(int fd);

#endif
