/*
 * A build without TLS says so to who asks for it.
 */
#include "bench/tls.h"

#include <errno.h>

bool bench_tls_setup(const struct bench_options *options, struct bench_tls_ctx **out,
                     struct bench_error *error)
{
    *out = NULL;
    return !options_want_tls(options) || bench_fail(error, "TLS needs a build with WITH_TLS=yes");
}

void bench_tls_free(struct bench_tls_ctx *ctx)
{
    (void)ctx;
}

struct bench_tls *bench_tls_open(const struct bench_tls_ctx *ctx, int fd, struct bench_error *error)
{
    (void)ctx;
    (void)fd;
    bench_fail(error, "TLS needs a build with WITH_TLS=yes");
    return NULL;
}

bool bench_tls_shake(struct bench_tls *tls, int flags, bool *done, struct bench_error *error)
{
    (void)tls;
    (void)flags;
    (void)done;
    return bench_fail(error, "TLS needs a build with WITH_TLS=yes");
}

void bench_tls_close(struct bench_tls *tls)
{
    (void)tls;
}

ssize_t bench_tls_read(struct bench_tls *tls, void *p, size_t n, int flags)
{
    (void)tls;
    (void)p;
    (void)n;
    (void)flags;
    errno = ENOSYS;
    return -1;
}

ssize_t bench_tls_write(struct bench_tls *tls, const void *p, size_t n, int flags)
{
    (void)tls;
    (void)p;
    (void)n;
    (void)flags;
    errno = ENOSYS;
    return -1;
}

bool bench_tls_has_input(const struct bench_tls *tls)
{
    (void)tls;
    return false;
}
