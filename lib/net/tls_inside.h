/*
 * What the files of TLS share.
 *
 * OpenSSL hands its callbacks an SSL or an SSL_CTX; both carry a pointer of ours (their "app
 * data"), so nothing is found by way of a global.
 */
#ifndef NET_TLS_INSIDE_H
#define NET_TLS_INSIDE_H

#include "net/tls_settings.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

/* The app data of ssl. */
struct tls_ctx {
    uint32_t refs;
    SSL_CTX *ssl;
    BIO_METHOD *bio; /* how its connections reach the layer below */
    X509_CRL **crls; /* of crlfile, to look at their dates */
    size_t crl_count, crl_room;
    char *certfile, *crlfile; /* for words */
    bool ignores_dates;       /* of client certificates */
    bool has_psk;
    size_t (*find_psk)(void *owner, struct str identity, uint8_t key[TLS_PSK_MAX]);
    void (*keylog)(void *ctx, const char *line);
    void *keylog_ctx;
};

/* The app data of a connection's SSL: whom pre-shared keys are looked up for, and what was found.
 */
struct tls_user {
    void *owner;
    char *identity;        /* of the key in use, or NULL */
    bool unknown_identity; /* the client named one that has no key */
};

static inline struct tls_ctx *tls_ctx_of(const SSL *ssl)
{
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

#endif
