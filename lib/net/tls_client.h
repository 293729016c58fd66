/*
 * A connection of a client, before its handshake and after it: who is expected at the other end,
 * and which session is resumed.
 *
 * Contexts of clients are made here too: tls_ctx_new_client().
 */
#ifndef NET_TLS_CLIENT_H
#define NET_TLS_CLIENT_H

#include "net/tls_inside.h"

/*
 * Say to a new SSL of context `c`, whose app data is `user`, whom to reach: what is asked for, what
 * must be in the certificate, and the session to resume. ERR_INVAL: nobody can be called that;
 * ERR_NOMEM. What it allocates for user is given back by tls_client_clear in any case.
 */
MUST_CHECK enum err tls_client_prepare(struct tls_ctx *c, SSL *ssl, struct tls_user *user,
                                       const char *host);
/* The handshake is done. False: it has proven too little, and the verdict says so. */
MUST_CHECK bool tls_client_is_proven(const SSL *ssl);
/* TLS has failed: the next connection begins anew. */
void tls_client_forget(struct tls_ctx *c);
/* The connection ends; its session may go on unless TLS has failed. */
void tls_client_end(SSL *ssl);
void tls_client_clear(struct tls_user *user);

#endif
