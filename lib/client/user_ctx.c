/*
 * References to a user's SSL_CTX. user_ctx_none.c is the twin.
 */
#include "client/user_ctx.h"

#include <openssl/ssl.h>

void user_ctx_ref(void *ssl_ctx)
{
    SSL_CTX_up_ref(ssl_ctx);
}

void user_ctx_unref(void *ssl_ctx)
{
    SSL_CTX_free(ssl_ctx);
}
