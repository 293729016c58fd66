/*
 * What the files of TLS share.
 *
 * OpenSSL hands its callbacks an SSL, which carries a pointer of ours (its "app data"), so nothing
 * is found by way of a global. An SSL_CTX carries none: it may be somebody else's, and several
 * contexts of ours may share it.
 */
#ifndef NET_TLS_INSIDE_H
#define NET_TLS_INSIDE_H

#include "base/err.h"
#include "net/tls_settings.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

struct tls_ctx {
    uint32_t refs;
    SSL_CTX *ssl;
    bool as_is;      /* it is the caller's, and nothing in it is ours */
    BIO_METHOD *bio; /* how its connections reach the layer below */
    X509_CRL **crls; /* of crlfile, to look at their dates */
    size_t crl_count, crl_room;
    char *certfile, *crlfile; /* for words */
    const char *prefix;       /* of options, likewise; never NULL */
    bool has_psk;
    void (*keylog)(void *ctx, const char *line);
    void *keylog_ctx;

    /* Of a server. */
    bool ignores_dates; /* of client certificates */
    size_t (*find_psk)(void *owner, struct str identity, uint8_t key[TLS_PSK_MAX]);

    /* Of a client. */
    bool is_client, insecure, unverified, require_ocsp;
    char *psk_identity;
    uint8_t psk_key[TLS_PSK_MAX];
    size_t psk_size;
    SSL_SESSION *session; /* the latest, to be resumed … */
    char *session_host;   /* … with whom it was */
};

/* What a verdict on a server takes in words. */
#define TLS_VERDICT_MAX 400

/* What a client knows of the server at the other end. */
struct tls_remote {
    char *host;          /* who is to be there: without brackets, zone, or a dot at its end */
    bool was_asked;      /* it wants a certificate of us, and there is none */
    bool is_stapled;     /* it has proven that its certificate was not revoked */
    const char *verdict; /* what is wrong with it; NULL = nothing yet */
    char room[TLS_VERDICT_MAX]; /* where that may be written */
};

/* The app data of a connection's SSL. */
struct tls_user {
    struct tls_ctx *ctx;
    char *identity;            /* of the pre-shared key in use, or NULL */
    struct tls_remote *remote; /* of a client; else NULL */

    /* Of a server: whom pre-shared keys are looked up for, and what was found. */
    void *owner;
    bool unknown_identity; /* the client named one that has no key */
};

static inline struct tls_user *tls_user_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

static inline struct tls_ctx *tls_ctx_of(const SSL *ssl)
{
    return tls_user_of(ssl)->ctx;
}

/*
 * A context with one reference around `ssl`, which it takes in any case (NULL: there was no memory
 * for it). In it is what servers and clients have in common: versions, ciphers, the key log, ways
 * and limits; with `s` NULL nothing is put into it. ERR_INVAL and why; ERR_NOMEM likewise.
 */
MUST_CHECK enum err tls_inside_new(SSL_CTX *ssl, const struct tls_settings *s, struct tls_ctx **out,
                                   char why[TLS_WHY_MAX]);
/* The ways alone, for a connection whose SSL_CTX is not ours. */
void tls_inside_set_ways(SSL *ssl);
/* When its last reference has gone. */
void tls_inside_free(struct tls_ctx *c);

#endif
