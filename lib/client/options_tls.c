/*
 * What the user has said of TLS, as a context.
 *
 * The password of a key is asked for while the lock is held, by whichever thread connects: so the
 * user's function may call nothing of the library that takes it.
 */
#include "client/client.h"

#include "net/tls_ctx.h"

enum err options_tls_ctx(const struct client_options *o, struct tls_ctx **out,
                         char why[TLS_WHY_MAX])
{
    const struct tls_client_settings s = {
        .cafile = o->cafile,
        .capath = o->capath,
        .use_os_certs = o->tls_os_certs,
        .certfile = o->certfile,
        .keyfile = o->keyfile,
        .ciphers = o->ciphers,
        .alpn = o->alpn,
        .psk_identity = o->psk_identity,
        .psk_key = o->psk_key,
        .lowest = o->tls_version,
        .insecure = o->tls_insecure,
        .unverified = o->tls_unverified,
        .key_password = o->key_password,
        /* The function knows its client by this, and what it keeps with it by mosquitto_userdata().
         */
        .key_password_data = CONTAINER_OF(o, struct mosquitto, options),
        .ssl_ctx = o->ssl_ctx,
        .ssl_ctx_as_is = !o->ssl_ctx_with_defaults,
        .require_ocsp = o->tls_ocsp,
    };
    return tls_ctx_new_client(&s, out, why);
}
