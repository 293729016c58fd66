/*
 * TLS as a client, over a connected socket.
 *
 * Reading and writing look like recv() and send(), errno included, so that a connection without TLS
 * is the same call for who carries load.
 */
#ifndef BENCH_TLS_H
#define BENCH_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "bench/error.h"
#include "bench/options.h"

struct bench_tls_ctx;
struct bench_tls;

/* *out is NULL when the options ask for no TLS. */
bool bench_tls_setup(const struct bench_options *options, struct bench_tls_ctx **out,
                     struct bench_error *error);
void bench_tls_free(struct bench_tls_ctx *ctx); /* NULL is allowed */

/* Nothing is sent yet. NULL: see the error. */
struct bench_tls *bench_tls_open(const struct bench_tls_ctx *ctx, int fd,
                                 struct bench_error *error);

/*
 * The handshake, as far as it gets: without flags to its end, with MSG_DONTWAIT until it has to
 * wait for the broker (*done is false then). False: see the error; bench_tls_close is due all the
 * same.
 */
bool bench_tls_shake(struct bench_tls *tls, int flags, bool *done, struct bench_error *error);
void bench_tls_close(struct bench_tls *tls); /* tells the broker; NULL is allowed */

/* Makes one recv() at most if `flags` say so; nothing that it has read is left inside when `n` is
 * BENCH_TLS_ROOM or more. */
#define BENCH_TLS_ROOM (64 * 1024)
ssize_t bench_tls_read(struct bench_tls *tls, void *p, size_t n, int flags);
/* What it did not take is given again, the same bytes. */
ssize_t bench_tls_write(struct bench_tls *tls, const void *p, size_t n, int flags);
/* Is there input that has left the socket already? */
bool bench_tls_has_input(const struct bench_tls *tls);

#endif
