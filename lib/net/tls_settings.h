/*
 * What is to be said to make a TLS context, of a server or of a client.
 */
#ifndef NET_TLS_SETTINGS_H
#define NET_TLS_SETTINGS_H

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TLS_WHY_MAX 400
#define TLS_PSK_MAX 256 /* bytes of a key */

/* Paths and lists are as in mosquitto.conf; NULL = not given. */
struct tls_settings {
    const char *certfile, *keyfile; /* PEM; the certificate with its chain */
    const char *cafile, *capath;    /* who signs client certificates */
    const char *crlfile;
    const char *ciphers; /* TLS 1.2 and older */
    const char *ciphers_tls13;
    const char *dhparamfile;
    const char *psk_hint;     /* serve by pre-shared keys; no certificate then */
    unsigned lowest;          /* version: 11, 12 or 13; 0 = 12 */
    bool wants_certificate;   /* ask for one, and check it if there is one */
    bool require_certificate; /* … and there must be one */
    bool ignores_dates;       /* of client certificates */
    /* The password of an encrypted keyfile: as OpenSSL's pem_password_cb, with its `userdata`; NULL
     * = a key that needs one is refused. */
    int (*key_password)(char *buf, int size, int rwflag, void *userdata);
    void *key_password_data;
    /* Told the secrets of each connection, a line of the NSS format without its end; NULL = nobody
     * is. */
    void (*keylog)(void *ctx, const char *line);
    void *keylog_ctx;
    /* What the names of options begin with in words about them; lives for ever; NULL = nothing. */
    const char *prefix;
    /* The key of a PSK identity: its length, at most TLS_PSK_MAX; 0: there is none. `owner` is what
     * tls_accept was given. */
    size_t (*find_psk)(void *owner, struct str identity, uint8_t key[TLS_PSK_MAX]);
};

/* The same for a client. */
struct tls_client_settings {
    const char *cafile, *capath; /* who signs the server's certificate; PEM */
    bool use_os_certs;           /* … or the authorities that the system trusts */
    const char *certfile, *keyfile;
    const char *ciphers; /* TLS 1.2 and older */
    const char *ciphers_tls13;
    const char *alpn;         /* protocols to offer, with commas between them */
    const char *psk_identity; /* both, the key in hexadecimal: no certificates then */
    const char *psk_key;
    unsigned lowest; /* version: 11, 12 or 13; 0 = 12 */
    bool insecure;   /* do not compare the host's name with the certificate */
    bool unverified; /* do not look at the certificate at all; no authorities are needed then */
    int (*key_password)(char *buf, int size, int rwflag, void *userdata); /* as above */
    void *key_password_data;
    /*
     * An SSL_CTX of the caller's: a reference of its own is taken. NULL = a new one. The settings
     * here are put into it, and what authorities it has may do; it is for connections of ours alone
     * then, and for contexts that are made by one thread at a time. If `ssl_ctx_as_is` it is not
     * touched: it decides itself whom it trusts, and where it looks at certificates at all, only
     * the host's name is compared as well, unless `insecure`.
     */
    void *ssl_ctx;
    bool ssl_ctx_as_is;
    bool require_ocsp; /* the server must staple a proof that its certificate was not revoked */
    void (*keylog)(void *ctx, const char *line); /* as above */
    void *keylog_ctx;
    const char *prefix; /* likewise: "bridge_" */
};

#endif
