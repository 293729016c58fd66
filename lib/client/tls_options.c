/*
 * What users set for TLS.
 *
 * Files must be there when they are named. What is in them is looked at when the next connect makes
 * a context of all this (options_tls).
 */
#include "client/options_inside.h"

#include "base/feature.h"
#include "client/user_ctx.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define PSK_DIGITS_MAX ((size_t)2 * TLS_PSK_MAX)

static int put(struct mosquitto *m, const struct option_string *s, size_t n)
{
    enum err e = option_strings(s, n);

    if (!e)
        m->tls_stale = true;
    return client_error(e);
}

/* ---- Certificates --------------------------------------------------------------------------- */

static bool can_be_read(const char *path)
{
    FILE *f = fopen(path, "re");

    if (f)
        fclose(f);
    return f != NULL;
}

static int check_files(const struct client_options *o, const char *const files[4])
{
    const char *cafile = files[0];
    const char *capath = files[1];
    const char *certfile = files[2];
    const char *keyfile = files[3];

    if ((!cafile && !capath && !o->tls_os_certs) || !certfile != !keyfile)
        return MOSQ_ERR_INVAL;
    if ((cafile && !can_be_read(cafile)) || (certfile && !can_be_read(certfile)) ||
        (keyfile && !can_be_read(keyfile)))
        return MOSQ_ERR_INVAL;
    return MOSQ_ERR_SUCCESS;
}

int mosquitto_tls_set(struct mosquitto *mosq, const char *cafile, const char *capath,
                      const char *certfile, const char *keyfile,
                      int (*pw_callback)(char *buf, int size, int rwflag, void *userdata))
{
    const char *const files[4] = {cafile, capath, certfile, keyfile};

    if (!mosq)
        return MOSQ_ERR_INVAL;
    if (!feature_built(FEATURE_TLS))
        return MOSQ_ERR_NOT_SUPPORTED;
    client_enter(mosq);
    struct client_options *o = &mosq->options;
    const struct option_string s[] = {
        {&o->cafile, cafile},
        {&o->capath, capath},
        {&o->certfile, certfile},
        {&o->keyfile, keyfile},
    };
    int error = check_files(o, files);
    if (!error)
        error = put(mosq, s, ARRAY_SIZE(s));
    if (!error) {
        o->tls = true;
        o->key_password = pw_callback;
    }
    client_leave(mosq);
    return error;
}

int mosquitto_tls_insecure_set(struct mosquitto *mosq, bool value)
{
    if (!mosq)
        return MOSQ_ERR_INVAL;
    if (!feature_built(FEATURE_TLS))
        return MOSQ_ERR_NOT_SUPPORTED;
    client_enter(mosq);
    mosq->options.tls_insecure = value;
    mosq->tls_stale = true;
    client_leave(mosq);
    return MOSQ_ERR_SUCCESS;
}

/* ---- Versions and ciphers ------------------------------------------------------------------- */

static bool version_of(const char *word, unsigned *version)
{
    static const struct {
        const char *word;
        unsigned version;
    } versions[] = {{"tlsv1.3", 13}, {"tlsv1.2", 12}, {"tlsv1.1", 11}};

    *version = 0;
    for (size_t i = 0; word && i < ARRAY_SIZE(versions); i++) {
        if (strcasecmp(word, versions[i].word) == 0)
            *version = versions[i].version;
    }
    return !word || *version != 0;
}

int mosquitto_tls_opts_set(struct mosquitto *mosq, int cert_reqs, const char *tls_version,
                           const char *ciphers)
{
    unsigned version;

    if (!mosq || !version_of(tls_version, &version))
        return MOSQ_ERR_INVAL;
    if (!feature_built(FEATURE_TLS))
        return MOSQ_ERR_NOT_SUPPORTED;
    client_enter(mosq);
    int error = put(mosq, &(struct option_string){&mosq->options.ciphers, ciphers}, 1);
    if (!error) {
        mosq->options.tls_unverified = cert_reqs == 0;
        mosq->options.tls_version = version;
    }
    client_leave(mosq);
    return error;
}

/* ---- Pre-shared keys ------------------------------------------------------------------------ */

static bool is_key(const char *psk)
{
    size_t n = 0;

    for (; n <= PSK_DIGITS_MAX && psk[n]; n++) {
        if (!isxdigit((unsigned char)psk[n]))
            return false;
    }
    return n > 0 && n <= PSK_DIGITS_MAX;
}

int mosquitto_tls_psk_set(struct mosquitto *mosq, const char *psk, const char *identity,
                          const char *ciphers)
{
    if (!mosq || !psk || !identity || !is_key(psk))
        return MOSQ_ERR_INVAL;
    if (!feature_built(FEATURE_TLS_PSK))
        return MOSQ_ERR_NOT_SUPPORTED;
    client_enter(mosq);
    const struct option_string s[] = {
        {&mosq->options.psk_key, psk},
        {&mosq->options.psk_identity, identity},
        {&mosq->options.ciphers, ciphers},
    };
    int error = put(mosq, s, ARRAY_SIZE(s));
    if (!error)
        mosq->options.tls = true;
    client_leave(mosq);
    return error;
}

/* ---- Other options -------------------------------------------------------------------------- */

/* Is TLS asked for at all? */
static void settle(struct mosquitto *m)
{
    struct client_options *o = &m->options;

    o->tls = o->cafile || o->capath || o->psk_key || o->tls_os_certs || o->ssl_ctx;
    m->tls_stale = true;
}

int option_tls_flag(struct mosquitto *m, bool *flag, int value)
{
    if (!feature_built(FEATURE_TLS))
        return MOSQ_ERR_NOT_SUPPORTED;
    *flag = value != 0;
    settle(m);
    return MOSQ_ERR_SUCCESS;
}

int option_tls_alpn(struct mosquitto *m, const char *value)
{
    if (!feature_built(FEATURE_TLS))
        return MOSQ_ERR_NOT_SUPPORTED;
    return put(m, &(struct option_string){&m->options.alpn, value}, 1);
}

int option_tls_ctx(struct mosquitto *m, void *ssl_ctx)
{
    if (!feature_built(FEATURE_TLS))
        return MOSQ_ERR_NOT_SUPPORTED;
    user_ctx_ref(ssl_ctx);
    user_ctx_unref(m->options.ssl_ctx);
    m->options.ssl_ctx = ssl_ctx;
    settle(m);
    return MOSQ_ERR_SUCCESS;
}
