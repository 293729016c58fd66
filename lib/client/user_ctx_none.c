/*
 * No TLS, so nobody's SSL_CTX: the twin of user_ctx.c.
 */
#include "client/user_ctx.h"

void user_ctx_ref(void *ssl_ctx)
{
    (void)ssl_ctx;
}

void user_ctx_unref(void *ssl_ctx)
{
    (void)ssl_ctx;
}
