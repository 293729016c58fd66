/*
 * Pre-shared keys: a client proves that it has the key of the identity that it names.
 */
#ifndef NET_TLS_PSK_H
#define NET_TLS_PSK_H

#include "base/err.h"
#include "net/tls_settings.h"

struct tls_ctx;

/*
 * Serve by the keys that find_psk gives, with psk_hint as the hint. ERR_INVAL and why,
 * ERR_UNSUPPORTED likewise: not in this build.
 */
MUST_CHECK enum err tls_psk_serve(struct tls_ctx *c, const struct tls_settings *s,
                                  char why[TLS_WHY_MAX]);
/* As a client, prove to have psk_key as psk_identity, and let no certificate do instead. Likewise.
 */
MUST_CHECK enum err tls_psk_offer(struct tls_ctx *c, const struct tls_client_settings *s,
                                  char why[TLS_WHY_MAX]);

#endif
