/*
 * What TLS needs to know of a listener, made from files: certificates, keys, authorities,
 * revocation lists, ciphers, or pre-shared keys. Counted: connections keep the one that they came
 * with.
 *
 * Files are read when a context is made and never again. Ticket keys are its own, so nobody resumes
 * under a new context what another one has let in.
 */
#ifndef NET_TLS_CTX_H
#define NET_TLS_CTX_H

#include "base/err.h"
#include "net/tls_settings.h"

#include <stdint.h>

struct tls_ctx;

/*
 * One reference. ERR_INVAL: something is wrong with a file or list, or they do not belong together;
 * `why` names option, file and reason in one phrase. ERR_SYSTEM: a file cannot be read, likewise.
 * ERR_NOMEM, ERR_UNSUPPORTED (not in this build). Dates are not looked at: tls_ctx_check().
 */
MUST_CHECK enum err tls_ctx_new(const struct tls_settings *s, struct tls_ctx **out,
                                char why[TLS_WHY_MAX]);
/* The same for a client. Certificates of servers are checked unless it is `unverified`: it takes
 * one of cafile, capath, use_os_certs and psk_key, or an SSL_CTX that has authorities already. */
MUST_CHECK enum err tls_ctx_new_client(const struct tls_client_settings *s, struct tls_ctx **out,
                                       char why[TLS_WHY_MAX]);
struct tls_ctx *tls_ctx_ref(struct tls_ctx *c);
void tls_ctx_unref(struct tls_ctx *c); /* NULL is allowed; keys are zeroed when it goes */
/*
 * Would clients be content with it? ERR_INVAL and why: its certificate, or another of its chain, is
 * not valid at `now` (Unix seconds), the chain does not link, or a revocation list is past its date
 * so that no client certificate would do. Whoever replaces a good context by such a one makes
 * things worse; at a start a warning is enough.
 */
MUST_CHECK enum err tls_ctx_check(const struct tls_ctx *c, int64_t now, char why[TLS_WHY_MAX]);
/* Until when its own certificate, and its chain, are valid: Unix seconds, the earliest; 0: there is
 * none (PSK). */
int64_t tls_ctx_expires(const struct tls_ctx *c);
/* Since when all of that, and its revocation lists, are valid: Unix seconds, the latest; 0: there
 * is none. */
int64_t tls_ctx_begins(const struct tls_ctx *c);

#endif
