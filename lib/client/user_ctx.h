/*
 * An SSL_CTX that users bring along: its references. Without WITH_TLS (user_ctx_none.c) there is
 * none.
 */
#ifndef CLIENT_USER_CTX_H
#define CLIENT_USER_CTX_H

void user_ctx_ref(void *ssl_ctx);
void user_ctx_unref(void *ssl_ctx); /* NULL is allowed */

#endif
