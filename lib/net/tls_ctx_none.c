/*
 * What is said to who wants TLS of a build that is without.
 */
#include "net/tls_ctx.h"

#include <stdio.h>

enum err tls_ctx_new(const struct tls_settings *s, struct tls_ctx **out, char why[TLS_WHY_MAX])
{
    (void)s;
    *out = NULL;
    (void)snprintf(why, TLS_WHY_MAX, "TLS needs a build with WITH_TLS=yes");
    return ERR_UNSUPPORTED;
}

enum err tls_ctx_new_client(const struct tls_client_settings *s, struct tls_ctx **out,
                            char why[TLS_WHY_MAX])
{
    (void)s;
    *out = NULL;
    (void)snprintf(why, TLS_WHY_MAX, "TLS needs a build with WITH_TLS=yes");
    return ERR_UNSUPPORTED;
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *c)
{
    return c;
}

void tls_ctx_unref(struct tls_ctx *c)
{
    (void)c;
}

enum err tls_ctx_check(const struct tls_ctx *c, int64_t now, char why[TLS_WHY_MAX])
{
    (void)c;
    (void)now;
    why[0] = '\0';
    return ERR_UNSUPPORTED;
}

int64_t tls_ctx_expires(const struct tls_ctx *c)
{
    (void)c;
    return 0;
}

int64_t tls_ctx_begins(const struct tls_ctx *c)
{
    (void)c;
    return 0;
}
