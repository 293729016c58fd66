/*
 * What is to be said to make a TLS context.
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
    /* Told the secrets of each connection, a line of the NSS format without its end; NULL = nobody
     * is. */
    void (*keylog)(void *ctx, const char *line);
    void *keylog_ctx;
    /* The key of a PSK identity: its length, at most TLS_PSK_MAX; 0: there is none. `owner` is what
     * tls_accept was given. */
    size_t (*find_psk)(void *owner, struct str identity, uint8_t key[TLS_PSK_MAX]);
};

#endif
