/*
 * What is said to who wants pre-shared keys of a build that is without.
 */
#include "net/tls_psk.h"

#include <stdio.h>

enum err tls_psk_serve(struct tls_ctx *c, const struct tls_settings *s, char why[TLS_WHY_MAX])
{
    (void)c;
    (void)s;
    (void)snprintf(why, TLS_WHY_MAX, "psk_hint needs a build with WITH_TLS_PSK=yes");
    return ERR_UNSUPPORTED;
}

enum err tls_psk_offer(struct tls_ctx *c, const struct tls_client_settings *s,
                       char why[TLS_WHY_MAX])
{
    (void)c;
    (void)snprintf(why, TLS_WHY_MAX, "%spsk needs a build with WITH_TLS_PSK=yes",
                   s->prefix ? s->prefix : "");
    return ERR_UNSUPPORTED;
}
