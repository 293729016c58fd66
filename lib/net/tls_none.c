/*
 * A build without TLS has no contexts, so nobody comes here.
 */
#include "net/tls.h"

struct transport *tls_accept(struct tls_ctx *ctx, struct transport *under, void *owner)
{
    (void)ctx;
    (void)under;
    (void)owner;
    return NULL;
}

struct transport *tls_connect(struct tls_ctx *ctx, struct transport *under, const char *host)
{
    (void)ctx;
    (void)under;
    (void)host;
    return NULL;
}

const char *tls_why(const struct transport *t)
{
    (void)t;
    return "TLS is not available";
}

const char *tls_text(const struct transport *t, char out[TLS_TEXT_MAX])
{
    (void)t;
    out[0] = '\0';
    return out;
}

void *tls_ssl(const struct transport *t)
{
    (void)t;
    return NULL;
}

enum err tls_name(const struct transport *t, enum tls_name which, char out[TLS_NAME_MAX], size_t *n)
{
    (void)t;
    (void)which;
    out[0] = '\0';
    *n = 0;
    return ERR_NOT_FOUND;
}
