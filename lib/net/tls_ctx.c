/*
 * Contexts: what TLS needs to know of a listener.
 *
 * Sessions are resumed by tickets alone, so nothing is kept for a client that is gone. A ticket is
 * worth as much as the certificate behind it: when that has expired, it is ignored and the client
 * is looked at anew.
 */
#include "net/tls_ctx.h"

#include "base/mem.h"
#include "net/tls_files.h"
#include "net/tls_inside.h"
#include "net/tls_psk.h"
#include "net/tls_wire.h"
#include "net/tls_words.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- what OpenSSL asks ---- */

/* A client that offers other protocols only is served all the same: it has reached this port. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *n,
                           const unsigned char *offered, unsigned offered_n, void *unused)
{
    static const unsigned char ours[] = "\x04mqtt";
    unsigned char *chosen = NULL;
    (void)ssl;
    (void)unused;
    if (SSL_select_next_proto(&chosen, n, ours, sizeof(ours) - 1, offered, offered_n) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static int forgive_dates(int good, X509_STORE_CTX *x)
{
    int error = X509_STORE_CTX_get_error(x);
    if (good == 0 &&
        (error == X509_V_ERR_CERT_HAS_EXPIRED || error == X509_V_ERR_CERT_NOT_YET_VALID)) {
        X509_STORE_CTX_set_error(x, X509_V_OK);
        return 1;
    }
    return good;
}

static void log_secret(const SSL *ssl, const char *line)
{
    const struct tls_ctx *c = tls_ctx_of(ssl);
    c->keylog(c->keylog_ctx, line);
}

static SSL_TICKET_RETURN judge_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                      size_t n, SSL_TICKET_STATUS status, void *unused)
{
    (void)name;
    (void)n;
    (void)unused;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) {
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    const X509 *peer = SSL_SESSION_get0_peer(session);
    if (peer && !tls_ctx_of(ssl)->ignores_dates &&
        X509_cmp_time(X509_get0_notAfter(peer), NULL) <= 0) {
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    }
    return status == SSL_TICKET_SUCCESS_RENEW || SSL_version(ssl) >= TLS1_3_VERSION
               ? SSL_TICKET_RETURN_USE_RENEW
               : SSL_TICKET_RETURN_USE;
}

/* ---- making one ---- */

/* What a client may show: a chain of eight, each of 4 KiB; each costs a signature to be checked. */
#define CHAIN_BYTES (32L * 1024)
#define CHAIN_LENGTH 8

static enum err set_versions(SSL_CTX *ssl, const struct tls_settings *s, char why[TLS_WHY_MAX])
{
    static const int versions[] = {TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
    unsigned lowest = s->lowest == 0 ? 12 : s->lowest;
    if (lowest < 11 || lowest > 13 ||
        SSL_CTX_set_min_proto_version(ssl, versions[lowest - 11]) != 1 ||
        SSL_CTX_set_max_proto_version(ssl, 0) != 1) {
        (void)snprintf(why, TLS_WHY_MAX, "tls_version: this OpenSSL cannot do it (%s)",
                       tls_words_take("unknown version"));
        return ERR_INVAL;
    }
    /* What TLS 1.1 signs with is below the usual level; who asks for it means to have it. */
    if (lowest < 12 && !(s->ciphers && strstr(s->ciphers, "@SECLEVEL"))) {
        SSL_CTX_set_security_level(ssl, 0);
    }
    return ERR_OK;
}

static enum err set_ciphers(SSL_CTX *ssl, const struct tls_settings *s, char why[TLS_WHY_MAX])
{
    if (s->ciphers && SSL_CTX_set_cipher_list(ssl, s->ciphers) != 1) {
        (void)snprintf(why, TLS_WHY_MAX, "ciphers '%s': no such cipher", s->ciphers);
        tls_words_forget();
        return ERR_INVAL;
    }
    if (s->ciphers_tls13 && SSL_CTX_set_ciphersuites(ssl, s->ciphers_tls13) != 1) {
        (void)snprintf(why, TLS_WHY_MAX, "ciphers_tls1.3 '%s': no such cipher", s->ciphers_tls13);
        tls_words_forget();
        return ERR_INVAL;
    }
    tls_words_forget();
    return ERR_OK;
}

static enum err set_ways(struct tls_ctx *c, char why[TLS_WHY_MAX])
{
    static const unsigned char name[] = "mosquitto";
    (void)SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                          SSL_OP_CIPHER_SERVER_PREFERENCE |
                                          SSL_OP_IGNORE_UNEXPECTED_EOF);
    (void)SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_read_ahead(c->ssl, 1);
    (void)SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_select_cb(c->ssl, choose_protocol, NULL);
    if (SSL_CTX_set_session_id_context(c->ssl, name, sizeof(name) - 1) != 1 ||
        SSL_CTX_set_num_tickets(c->ssl, 1) != 1 ||
        SSL_CTX_set_session_ticket_cb(c->ssl, NULL, judge_ticket, NULL) != 1) {
        (void)snprintf(why, TLS_WHY_MAX, "TLS cannot be set up: %s", tls_words_take("no memory"));
        return ERR_INVAL;
    }
    return ERR_OK;
}

static void set_verify(struct tls_ctx *c, const struct tls_settings *s)
{
    int mode = SSL_VERIFY_NONE;
    if (s->wants_certificate || s->require_certificate) {
        mode = SSL_VERIFY_PEER;
    }
    if (s->require_certificate) {
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    }
    c->ignores_dates = s->ignores_dates;
    SSL_CTX_set_verify_depth(c->ssl, CHAIN_LENGTH);
    (void)SSL_CTX_set_max_cert_list(c->ssl, CHAIN_BYTES);
    SSL_CTX_set_verify(c->ssl, mode, s->ignores_dates ? forgive_dates : NULL);
}

static enum err set_certificates(struct tls_ctx *c, const struct tls_settings *s,
                                 char why[TLS_WHY_MAX])
{
    enum err e = tls_files_authorities(c, s, why);
    if (e == ERR_OK) {
        e = tls_files_pair(c, s, why);
    }
    if (e == ERR_OK) {
        e = tls_files_crls(c, s, why);
    }
    if (e == ERR_OK) {
        set_verify(c, s);
    }
    return e;
}

static enum err build(struct tls_ctx *c, const struct tls_settings *s, char why[TLS_WHY_MAX])
{
    enum err e = set_ways(c, why);
    if (e == ERR_OK) {
        e = set_versions(c->ssl, s, why);
    }
    if (e == ERR_OK) {
        e = set_ciphers(c->ssl, s, why);
    }
    if (e == ERR_OK) {
        e = tls_files_dh(c, s, why);
    }
    if (e == ERR_OK) {
        e = s->psk_hint ? tls_psk_serve(c, s, why) : set_certificates(c, s, why);
    }
    if (e == ERR_OK && s->keylog) {
        c->keylog = s->keylog;
        c->keylog_ctx = s->keylog_ctx;
        SSL_CTX_set_keylog_callback(c->ssl, log_secret);
    }
    return e;
}

static bool keep_names(struct tls_ctx *c, const struct tls_settings *s)
{
    c->certfile = s->certfile ? str_dup(str_c(s->certfile)) : NULL;
    c->crlfile = s->crlfile ? str_dup(str_c(s->crlfile)) : NULL;
    return (c->certfile || !s->certfile) && (c->crlfile || !s->crlfile);
}

enum err tls_ctx_new(const struct tls_settings *s, struct tls_ctx **out, char why[TLS_WHY_MAX])
{
    *out = NULL;
    why[0] = '\0';
    tls_words_forget();
    struct tls_ctx *c = mem_zalloc(sizeof(*c));
    if (!c) {
        (void)snprintf(why, TLS_WHY_MAX, "out of memory");
        return ERR_NOMEM;
    }
    c->refs = 1;
    c->ssl = SSL_CTX_new(TLS_server_method());
    c->bio = tls_wire_method();
    enum err e = ERR_NOMEM;
    if (c->ssl && c->bio && SSL_CTX_set_app_data(c->ssl, c) == 1 && keep_names(c, s)) {
        e = build(c, s, why);
    } else {
        (void)snprintf(why, TLS_WHY_MAX, "TLS cannot be set up: %s",
                       tls_words_take("out of memory"));
    }
    if (e != ERR_OK) {
        tls_ctx_unref(c);
        return e;
    }
    *out = c;
    return ERR_OK;
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *c)
{
    c->refs++;
    return c;
}

void tls_ctx_unref(struct tls_ctx *c)
{
    if (!c || --c->refs > 0) {
        return;
    }
    for (size_t i = 0; i < c->crl_count; i++) {
        X509_CRL_free(c->crls[i]);
    }
    mem_free((void *)c->crls, c->crl_room * sizeof(*c->crls));
    SSL_CTX_free(c->ssl);
    BIO_meth_free(c->bio);
    str_dup_free(c->certfile);
    str_dup_free(c->crlfile);
    mem_free(c, sizeof(*c));
}

/* ---- looking at one ---- */

/* The i-th certificate that clients are shown, ours first; NULL = there are no more. */
static X509 *shown(const struct tls_ctx *c, int i)
{
    STACK_OF(X509) *chain = NULL;
    if (i == 0) {
        return SSL_CTX_get0_certificate(c->ssl);
    }
    (void)SSL_CTX_get0_chain_certs(c->ssl, &chain);
    return chain && i <= sk_X509_num(chain) ? sk_X509_value(chain, i - 1) : NULL;
}

static bool seconds_of(const ASN1_TIME *t, int64_t *seconds)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0;
    int rest = 0;
    bool good = epoch && ASN1_TIME_diff(&days, &rest, epoch, t) == 1;
    ASN1_TIME_free(epoch);
    tls_words_forget();
    *seconds = good ? (int64_t)days * 86400 + rest : 0;
    return good;
}

static const char *date_of(const ASN1_TIME *t, char out[32])
{
    struct tm tm;
    if (ASN1_TIME_to_tm(t, &tm) != 1) {
        tls_words_forget();
        return "an unknown date";
    }
    (void)snprintf(out, 32, "%04d-%02d-%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday);
    return out;
}

#define SHOWN_MAX (TLS_WHY_MAX - 48)

/* "certfile '/x.pem'" or "certificate 2 of the chain of certfile '/x.pem'". */
static void name_shown(const struct tls_ctx *c, int i, char out[SHOWN_MAX])
{
    if (i == 0) {
        (void)snprintf(out, SHOWN_MAX, "certfile '%s'", c->certfile);
        return;
    }
    (void)snprintf(out, SHOWN_MAX, "certificate %d of the chain of certfile '%s'", i + 1,
                   c->certfile);
}

static enum err bad(const char *what, const char *verb, const char *date, char why[TLS_WHY_MAX])
{
    (void)snprintf(why, TLS_WHY_MAX, "%s %s %s", what, verb, date);
    return ERR_INVAL;
}

static enum err check_dates(const struct tls_ctx *c, int i, int64_t now, char why[TLS_WHY_MAX])
{
    const X509 *x = shown(c, i);
    char what[SHOWN_MAX];
    char date[32];
    int64_t from;
    int64_t until;
    if (!seconds_of(X509_get0_notBefore(x), &from) || !seconds_of(X509_get0_notAfter(x), &until)) {
        name_shown(c, i, what);
        return bad(what, "has", "broken dates", why);
    }
    if (now > until) {
        name_shown(c, i, what);
        return bad(what, "expired on", date_of(X509_get0_notAfter(x), date), why);
    }
    if (now < from) {
        name_shown(c, i, what);
        return bad(what, "is not valid before", date_of(X509_get0_notBefore(x), date), why);
    }
    return ERR_OK;
}

static enum err check_link(const struct tls_ctx *c, int i, char why[TLS_WHY_MAX])
{
    X509 *subject = shown(c, i);
    X509 *issuer = shown(c, i + 1);
    if (!issuer || (X509_check_issued(issuer, subject) == X509_V_OK &&
                    X509_verify(subject, X509_get0_pubkey(issuer)) == 1)) {
        return ERR_OK;
    }
    tls_words_forget();
    (void)snprintf(why, TLS_WHY_MAX,
                   "certificate %d of certfile '%s' has not signed the one before it", i + 2,
                   c->certfile);
    return ERR_INVAL;
}

static enum err check_crls(const struct tls_ctx *c, int64_t now, char why[TLS_WHY_MAX])
{
    for (size_t i = 0; i < c->crl_count; i++) {
        const ASN1_TIME *last = X509_CRL_get0_lastUpdate(c->crls[i]);
        const ASN1_TIME *next = X509_CRL_get0_nextUpdate(c->crls[i]);
        char what[SHOWN_MAX];
        char date[32];
        int64_t when;
        (void)snprintf(what, sizeof(what), "crlfile '%s'", c->crlfile);
        if (next && seconds_of(next, &when) && now > when) {
            return bad(what, "expired on", date_of(next, date), why);
        }
        if (seconds_of(last, &when) && now < when) {
            return bad(what, "is not valid before", date_of(last, date), why);
        }
    }
    return ERR_OK;
}

enum err tls_ctx_check(const struct tls_ctx *c, int64_t now, char why[TLS_WHY_MAX])
{
    why[0] = '\0';
    for (int i = 0; shown(c, i); i++) {
        enum err e = check_dates(c, i, now, why);
        if (e == ERR_OK) {
            e = check_link(c, i, why);
        }
        if (e != ERR_OK) {
            return e;
        }
    }
    return check_crls(c, now, why);
}

int64_t tls_ctx_expires(const struct tls_ctx *c)
{
    int64_t first = 0;
    for (int i = 0; shown(c, i); i++) {
        int64_t until;
        if (seconds_of(X509_get0_notAfter(shown(c, i)), &until) && (first == 0 || until < first)) {
            first = until;
        }
    }
    return first;
}

static int64_t later(int64_t seconds, const ASN1_TIME *t)
{
    int64_t when;
    return seconds_of(t, &when) && when > seconds ? when : seconds;
}

int64_t tls_ctx_begins(const struct tls_ctx *c)
{
    int64_t last = 0;
    for (int i = 0; shown(c, i); i++) {
        last = later(last, X509_get0_notBefore(shown(c, i)));
    }
    for (size_t i = 0; i < c->crl_count; i++) {
        last = later(last, X509_CRL_get0_lastUpdate(c->crls[i]));
    }
    return last;
}
