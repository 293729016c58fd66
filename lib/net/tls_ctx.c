/*
 * Contexts: what TLS needs to know of a listener.
 *
 * Sessions are resumed by tickets alone, so nothing is kept for a client that is gone. A ticket is
 * worth as much as the certificate behind it: when that has expired, it is ignored and the client
 * is looked at anew.
 */
#include "net/tls_ctx.h"

#include "net/tls_files.h"
#include "net/tls_inside.h"
#include "net/tls_psk.h"
#include "net/tls_verdict.h"
#include "net/tls_words.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>

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

static enum err set_ways(struct tls_ctx *c, char why[TLS_WHY_MAX])
{
    static const unsigned char name[] = "mosquitto";
    (void)SSL_CTX_set_options(c->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
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
        e = tls_files_dh(c, s, why);
    }
    if (e == ERR_OK) {
        e = s->psk_hint ? tls_psk_serve(c, s, why) : set_certificates(c, s, why);
    }
    return e;
}

enum err tls_ctx_new(const struct tls_settings *s, struct tls_ctx **out, char why[TLS_WHY_MAX])
{
    tls_words_forget();
    enum err e = tls_inside_new(SSL_CTX_new(TLS_server_method()), s, out, why);
    if (e == ERR_OK) {
        e = build(*out, s, why);
    }
    if (e != ERR_OK) {
        tls_ctx_unref(*out);
        *out = NULL;
    }
    return e;
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *c)
{
    c->refs++;
    return c;
}

void tls_ctx_unref(struct tls_ctx *c)
{
    if (c && --c->refs == 0) {
        tls_inside_free(c);
    }
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

#define SHOWN_MAX (TLS_WHY_MAX - 48)

/* "certfile '/x.pem'" or "certificate 2 of the chain of certfile '/x.pem'". */
static void name_shown(const struct tls_ctx *c, int i, char out[SHOWN_MAX])
{
    if (i == 0) {
        (void)snprintf(out, SHOWN_MAX, "%scertfile '%s'", c->prefix, c->certfile);
        return;
    }
    (void)snprintf(out, SHOWN_MAX, "certificate %d of the chain of %scertfile '%s'", i + 1,
                   c->prefix, c->certfile);
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
        return bad(what, "expired on", tls_verdict_date(X509_get0_notAfter(x), date), why);
    }
    if (now < from) {
        name_shown(c, i, what);
        return bad(what, "is not valid before", tls_verdict_date(X509_get0_notBefore(x), date),
                   why);
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
                   "certificate %d of %scertfile '%s' has not signed the one before it", i + 2,
                   c->prefix, c->certfile);
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
            return bad(what, "expired on", tls_verdict_date(next, date), why);
        }
        if (seconds_of(last, &when) && now < when) {
            return bad(what, "is not valid before", tls_verdict_date(last, date), why);
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
