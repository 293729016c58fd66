/*
 * What TLS needs to know of a listener, made from files: certificates, keys, authorities, revocation
 * lists, ciphers, or pre-shared keys. Counted: connections keep the one that they came with.
 *
 * A context is built and checked whole (the pair matches, dates, chain) before anybody uses it.
 */
#ifndef NET_TLS_CTX_H
#define NET_TLS_CTX_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tls_ctx;

#define TLS_WHY_MAX 400
#define TLS_PSK_MAX 256 /* bytes of a key */

/* Paths and lists are as in mosquitto.conf; NULL = not given. */
struct tls_settings {
    const char *certfile, *keyfile; /* PEM; the certificate with its chain */
    const char *cafile, *capath;    /* who signs client certificates */
    const char *crlfile;
    const char *ciphers;       /* TLS 1.2 and older */
    const char *ciphers_tls13;
    const char *dhparamfile;
    const char *psk_hint; /* serve by pre-shared keys; no certificate then */
    unsigned lowest;      /* version: 11, 12 or 13 */
    bool wants_certificate;     /* ask for one, and check it if there is one */
    bool require_certificate;   /* … and there must be one */
    bool ignores_dates;         /* of client certificates */
    const char *keylog;         /* file that secrets are appended to, in NSS format; NULL = none */
    /* The key of a PSK identity: its length, at most TLS_PSK_MAX; 0: there is none. `owner` is what
     * tls_accept was given. */
    size_t (*find_psk)(void *owner, struct str identity, uint8_t key[TLS_PSK_MAX]);
};

/*
 * One reference. ERR_INVAL: something is wrong with a file or list; `why` names option, file and
 * reason in one phrase. ERR_SYSTEM: a file cannot be read, likewise. ERR_NOMEM, ERR_UNSUPPORTED (not
 * in this build).
 */
MUST_CHECK enum err tls_ctx_new(const struct tls_settings *s, struct tls_ctx **out,
                                char why[TLS_WHY_MAX]);
struct tls_ctx *tls_ctx_ref(struct tls_ctx *c);
void tls_ctx_unref(struct tls_ctx *c); /* NULL is allowed; keys are zeroed when it goes */
/* Until when its own certificate, and its chain, are valid: Unix seconds, the earliest; 0: there is
 * none (PSK). */
int64_t tls_ctx_expires(const struct tls_ctx *c);

#endif
