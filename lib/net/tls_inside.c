/*
 * What contexts of servers and of clients have in common.
 */
#include "net/tls_inside.h"

#include "base/mem.h"
#include "net/tls_wire.h"
#include "net/tls_words.h"

#include <stdio.h>
#include <string.h>

/* What a peer may show: a chain of eight, each of 4 KiB; each costs a signature to be checked. */
#define CHAIN_BYTES (32L * 1024)
#define CHAIN_LENGTH 8
/* What the transport over it counts on. */
#define OPTIONS (SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF)
#define MODES                                                                                      \
    (SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER)

static void log_secret(const SSL *ssl, const char *line)
{
    const struct tls_ctx *c = tls_ctx_of(ssl);
    c->keylog(c->keylog_ctx, line);
}

void tls_inside_set_ways(SSL *ssl)
{
    (void)SSL_set_options(ssl, OPTIONS);
    (void)SSL_set_mode(ssl, MODES);
    SSL_set_read_ahead(ssl, 1);
}

static void set_ways(struct tls_ctx *c, const struct tls_settings *s)
{
    (void)SSL_CTX_set_options(c->ssl, OPTIONS);
    (void)SSL_CTX_set_mode(c->ssl, MODES);
    (void)SSL_CTX_set_read_ahead(c->ssl, 1);
    SSL_CTX_set_verify_depth(c->ssl, CHAIN_LENGTH);
    (void)SSL_CTX_set_max_cert_list(c->ssl, CHAIN_BYTES);
    if (s->keylog) {
        c->keylog = s->keylog;
        c->keylog_ctx = s->keylog_ctx;
        SSL_CTX_set_keylog_callback(c->ssl, log_secret);
    }
}

static enum err set_versions(const struct tls_ctx *c, const struct tls_settings *s,
                             char why[TLS_WHY_MAX])
{
    static const int versions[] = {TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
    unsigned lowest = s->lowest == 0 ? 12 : s->lowest;
    if (lowest < 11 || lowest > 13 ||
        SSL_CTX_set_min_proto_version(c->ssl, versions[lowest - 11]) != 1 ||
        SSL_CTX_set_max_proto_version(c->ssl, 0) != 1) {
        (void)snprintf(why, TLS_WHY_MAX, "%stls_version: this OpenSSL cannot do it (%s)", c->prefix,
                       tls_words_take("unknown version"));
        return ERR_INVAL;
    }
    /* What TLS 1.1 signs with is below the usual level; who asks for it means to have it. */
    if (lowest < 12 && !(s->ciphers && strstr(s->ciphers, "@SECLEVEL"))) {
        SSL_CTX_set_security_level(c->ssl, 0);
    }
    return ERR_OK;
}

static enum err no_cipher(const struct tls_ctx *c, const char *option, const char *list,
                          char why[TLS_WHY_MAX])
{
    (void)snprintf(why, TLS_WHY_MAX, "%s%s '%s': no such cipher", c->prefix, option, list);
    tls_words_forget();
    return ERR_INVAL;
}

static enum err set_ciphers(const struct tls_ctx *c, const struct tls_settings *s,
                            char why[TLS_WHY_MAX])
{
    if (s->ciphers && SSL_CTX_set_cipher_list(c->ssl, s->ciphers) != 1) {
        return no_cipher(c, "ciphers", s->ciphers, why);
    }
    if (s->ciphers_tls13 && SSL_CTX_set_ciphersuites(c->ssl, s->ciphers_tls13) != 1) {
        return no_cipher(c, "ciphers_tls1.3", s->ciphers_tls13, why);
    }
    tls_words_forget();
    return ERR_OK;
}

static bool keep_names(struct tls_ctx *c, const struct tls_settings *s)
{
    c->certfile = s->certfile ? str_dup(str_c(s->certfile)) : NULL;
    c->crlfile = s->crlfile ? str_dup(str_c(s->crlfile)) : NULL;
    return (c->certfile || !s->certfile) && (c->crlfile || !s->crlfile);
}

static enum err build(struct tls_ctx *c, const struct tls_settings *s, char why[TLS_WHY_MAX])
{
    c->bio = tls_wire_method();
    if (!c->ssl || !c->bio || (s && !keep_names(c, s))) {
        (void)snprintf(why, TLS_WHY_MAX, "TLS cannot be set up: %s",
                       tls_words_take("out of memory"));
        return ERR_NOMEM;
    }
    if (!s) {
        return ERR_OK;
    }
    set_ways(c, s);
    enum err e = set_versions(c, s, why);
    return e == ERR_OK ? set_ciphers(c, s, why) : e;
}

enum err tls_inside_new(SSL_CTX *ssl, const struct tls_settings *s, struct tls_ctx **out,
                        char why[TLS_WHY_MAX])
{
    *out = NULL;
    why[0] = '\0';
    struct tls_ctx *c = mem_zalloc(sizeof(*c));
    if (!c) {
        SSL_CTX_free(ssl);
        (void)snprintf(why, TLS_WHY_MAX, "out of memory");
        return ERR_NOMEM;
    }
    c->refs = 1;
    c->ssl = ssl;
    c->prefix = s && s->prefix ? s->prefix : "";
    enum err e = build(c, s, why);
    if (e != ERR_OK) {
        tls_inside_free(c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

void tls_inside_free(struct tls_ctx *c)
{
    for (size_t i = 0; i < c->crl_count; i++) {
        X509_CRL_free(c->crls[i]);
    }
    mem_free((void *)c->crls, c->crl_room * sizeof(*c->crls));
    SSL_SESSION_free(c->session);
    SSL_CTX_free(c->ssl);
    BIO_meth_free(c->bio);
    str_dup_free(c->certfile);
    str_dup_free(c->crlfile);
    str_dup_free(c->psk_identity);
    str_dup_free(c->session_host);
    OPENSSL_cleanse(c->psk_key, sizeof(c->psk_key));
    mem_free(c, sizeof(*c));
}
