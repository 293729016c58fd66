/*
 * The client's side: contexts for it, and what a connection of it begins and ends with.
 *
 * The server's certificate is checked, and its name by OpenSSL itself; `insecure` leaves out the
 * name, `unverified` all of it, and an SSL_CTX that is used as it is has ways of its own, to which
 * the name is added. The latest session is kept in the context with the host that it was made
 * with, and is offered to no other. A session of TLS 1.3 is offered once, so that connections
 * cannot be told to be of the same client. Where a proof of no revocation is required, or a
 * pre-shared key is all there is, nothing is resumed: each connection proves it anew.
 */
#include "net/tls_client.h"

#include "base/buf.h"
#include "base/mem.h"
#include "net/tls_ctx.h"
#include "net/tls_files.h"
#include "net/tls_ocsp.h"
#include "net/tls_psk.h"
#include "net/tls_verdict.h"
#include "net/tls_words.h"

#include <arpa/inet.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

#define HOST_MAX 253
#define PROTOCOL_MAX 255

/* ---- what OpenSSL asks ---- */

static int note_verdict(int good, X509_STORE_CTX *x)
{
    const SSL *ssl = X509_STORE_CTX_get_ex_data(x, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_remote *remote = tls_user_of(ssl)->remote;
    if (good == 0 && !remote->verdict && !tls_ctx_of(ssl)->has_psk &&
        tls_verdict_words(x, remote->host, remote->room)) {
        remote->verdict = remote->room;
    }
    return good;
}

/* Asked only when the server wants a certificate and we were given none. */
static int note_demand(SSL *ssl, X509 **certificate, EVP_PKEY **key)
{
    (void)certificate;
    (void)key;
    tls_user_of(ssl)->remote->was_asked = true;
    return 0;
}

static int judge_staple(SSL *ssl, void *unused)
{
    struct tls_remote *remote = tls_user_of(ssl)->remote;
    (void)unused;
    remote->verdict = tls_ocsp_check(ssl, remote->room);
    remote->is_stapled = remote->verdict == NULL;
    return remote->is_stapled;
}

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_ctx *c = tls_ctx_of(ssl);
    char *host = str_dup(str_c(tls_user_of(ssl)->remote->host));
    if (!host) {
        return 0;
    }
    tls_client_forget(c);
    c->session = session;
    c->session_host = host;
    return 1;
}

/* ---- making a context ---- */

/* What it has in common with a server's. */
static struct tls_settings common(const struct tls_client_settings *s)
{
    return (struct tls_settings){
        .certfile = s->certfile,
        .keyfile = s->keyfile,
        .cafile = s->cafile,
        .capath = s->capath,
        .ciphers = s->ciphers,
        .ciphers_tls13 = s->ciphers_tls13,
        .lowest = s->lowest,
        .key_password = s->key_password,
        .key_password_data = s->key_password_data,
        .keylog = s->keylog,
        .keylog_ctx = s->keylog_ctx,
        .prefix = s->prefix,
    };
}

static enum err add_protocol(struct buf *list, struct str name)
{
    const uint8_t size = (uint8_t)name.n;
    enum err e = buf_add(list, &size, 1);
    return e == ERR_OK ? buf_add(list, name.p, name.n) : e;
}

/* "a,b" to the form that goes over the wire. */
static enum err list_protocols(struct str names, struct buf *list)
{
    for (;;) {
        const char *comma = names.n > 0 ? memchr(names.p, ',', names.n) : NULL;
        size_t n = comma ? (size_t)(comma - names.p) : names.n;
        struct str name = str_trim(str_of(names.p, n));
        if (name.n == 0 || name.n > PROTOCOL_MAX) {
            return ERR_INVAL;
        }
        enum err e = add_protocol(list, name);
        if (e != ERR_OK || !comma) {
            return e;
        }
        names = str_of(comma + 1, names.n - n - 1);
    }
}

static enum err offer_protocols(const struct tls_ctx *c, const char *names, char why[TLS_WHY_MAX])
{
    struct buf list = {0};
    enum err e = list_protocols(str_c(names), &list);
    if (e == ERR_OK && SSL_CTX_set_alpn_protos(c->ssl, buf_begin(&list), (unsigned)list.len) != 0) {
        e = list.len > UINT16_MAX ? ERR_INVAL : ERR_NOMEM;
    }
    buf_clear(&list);
    if (e != ERR_OK) {
        (void)snprintf(why, TLS_WHY_MAX, "%salpn '%.100s': %s", c->prefix, names,
                       e == ERR_NOMEM ? "out of memory"
                                      : "each name has 1 to 255 bytes, with a comma between them");
        tls_words_forget();
    }
    return e;
}

static enum err use_authorities(struct tls_ctx *c, const struct tls_client_settings *s,
                                char why[TLS_WHY_MAX])
{
    const struct tls_settings files = common(s);
    bool none = !s->cafile && !s->capath && !s->use_os_certs;
    if (none && (s->unverified || s->ssl_ctx)) {
        return ERR_OK;
    }
    if (none) {
        (void)snprintf(why, TLS_WHY_MAX,
                       "TLS needs to know who signs the server's certificate: %scafile, %scapath "
                       "or %stls_use_os_certs",
                       c->prefix, c->prefix, c->prefix);
        return ERR_INVAL;
    }
    if (s->use_os_certs && SSL_CTX_set_default_verify_paths(c->ssl) != 1) {
        (void)snprintf(why, TLS_WHY_MAX, "%stls_use_os_certs: %s", c->prefix,
                       tls_words_take("the system's certificates cannot be read"));
        return ERR_INVAL;
    }
    return tls_files_authorities(c, &files, why);
}

static enum err use_pair(struct tls_ctx *c, const struct tls_client_settings *s,
                         char why[TLS_WHY_MAX])
{
    const struct tls_settings files = common(s);
    if (!s->certfile && !s->keyfile) {
        SSL_CTX_set_client_cert_cb(c->ssl, note_demand);
        return ERR_OK;
    }
    if (!s->certfile || !s->keyfile) {
        (void)snprintf(why, TLS_WHY_MAX, "%s%s needs %s%s too", c->prefix,
                       s->certfile ? "certfile" : "keyfile", c->prefix,
                       s->certfile ? "keyfile" : "certfile");
        return ERR_INVAL;
    }
    return tls_files_pair(c, &files, why);
}

static enum err require_staple(struct tls_ctx *c)
{
    c->require_ocsp = true;
    (void)SSL_CTX_set_tlsext_status_cb(c->ssl, judge_staple);
    return SSL_CTX_set_tlsext_status_type(c->ssl, TLSEXT_STATUSTYPE_ocsp) == 1 ? ERR_OK : ERR_NOMEM;
}

static void keep_sessions(const struct tls_ctx *c)
{
    long mode = SSL_SESS_CACHE_OFF;
    if (!c->require_ocsp && !c->has_psk) {
        mode = SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL;
        SSL_CTX_sess_set_new_cb(c->ssl, keep_session);
    }
    (void)SSL_CTX_set_session_cache_mode(c->ssl, mode);
}

static enum err use_certificates(struct tls_ctx *c, const struct tls_client_settings *s,
                                 char why[TLS_WHY_MAX])
{
    enum err e = use_authorities(c, s, why);
    if (e == ERR_OK) {
        e = use_pair(c, s, why);
    }
    if (e == ERR_OK && s->require_ocsp) {
        e = require_staple(c);
    }
    return e;
}

static enum err build(struct tls_ctx *c, const struct tls_client_settings *s, char why[TLS_WHY_MAX])
{
    c->unverified = s->unverified;
    if (s->unverified) {
        SSL_CTX_set_verify(c->ssl, SSL_VERIFY_NONE, NULL);
    } else {
        SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, note_verdict);
    }
    enum err e =
        s->psk_identity || s->psk_key ? tls_psk_offer(c, s, why) : use_certificates(c, s, why);
    if (e == ERR_OK && s->alpn) {
        e = offer_protocols(c, s->alpn, why);
    }
    if (e == ERR_OK) {
        keep_sessions(c);
    }
    return e;
}

/* A reference; NULL without memory. */
static SSL_CTX *ctx_of(const struct tls_client_settings *s)
{
    SSL_CTX *given = s->ssl_ctx;
    if (!given) {
        return SSL_CTX_new(TLS_client_method());
    }
    return SSL_CTX_up_ref(given) == 1 ? given : NULL;
}

enum err tls_ctx_new_client(const struct tls_client_settings *s, struct tls_ctx **out,
                            char why[TLS_WHY_MAX])
{
    const struct tls_settings same = common(s);
    bool as_is = s->ssl_ctx && s->ssl_ctx_as_is;
    tls_words_forget();
    enum err e = tls_inside_new(ctx_of(s), as_is ? NULL : &same, out, why);
    if (e == ERR_OK) {
        (*out)->is_client = true;
        (*out)->as_is = as_is;
        (*out)->insecure = s->insecure;
        e = as_is ? ERR_OK : build(*out, s, why);
    }
    if (e != ERR_OK) {
        tls_ctx_unref(*out);
        *out = NULL;
    }
    return e;
}

/* ---- a connection ---- */

static bool is_address(const char *host)
{
    unsigned char room[sizeof(struct in6_addr)];
    return inet_pton(AF_INET, host, room) == 1 || inet_pton(AF_INET6, host, room) == 1;
}

/*
 * The name as it is in certificates: without a dot at its end, or an interface. OpenSSL would take
 * an empty one for any, and one that begins with a dot for all below it.
 */
static enum err copy_host(const char *host, char **out)
{
    size_t n = strcspn(host, "%");
    bool has_interface = host[n] != '\0';
    if (!has_interface && n > 1 && host[n - 1] == '.') {
        n--;
    }
    if (n == 0 || n > HOST_MAX || host[0] == '.') {
        return ERR_INVAL;
    }
    *out = str_dup(str_of(host, n));
    if (!*out) {
        return ERR_NOMEM;
    }
    return has_interface && !is_address(*out) ? ERR_INVAL : ERR_OK;
}

/* Is the name to be compared? Somebody else's SSL_CTX may expect another one. */
static bool is_by_name(const struct tls_ctx *c, SSL *ssl)
{
    if (c->as_is && (SSL_get_verify_mode(ssl) == SSL_VERIFY_NONE ||
                     X509_VERIFY_PARAM_get0_host(SSL_get0_param(ssl), 0))) {
        return false;
    }
    return !c->insecure && !c->unverified && !c->has_psk;
}

static bool expect_host(const struct tls_ctx *c, SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    bool by_name = is_by_name(c, ssl);
    if (is_address(host)) {
        return !by_name || X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
    }
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return (!by_name || X509_VERIFY_PARAM_set1_host(param, host, 0) == 1) &&
           SSL_set_tlsext_host_name(ssl, host) == 1;
}

/* OpenSSL has the clock. */
static bool is_to_come(const ASN1_TIME *t)
{
    return t && X509_cmp_time(t, NULL) > 0;
}

/* Would the server, and we, still stand by it? */
static bool is_fresh(SSL_SESSION *session)
{
    const X509 *server = SSL_SESSION_get0_peer(session);
    long end = SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session);
    ASN1_TIME *until = ASN1_TIME_set(NULL, end);
    bool fresh = SSL_SESSION_is_resumable(session) == 1 && server &&
                 is_to_come(X509_get0_notAfter(server)) && is_to_come(until);
    ASN1_TIME_free(until);
    return fresh;
}

/* Without memory the connection is made anew: nothing is lost. */
static void resume(struct tls_ctx *c, SSL *ssl, const char *host)
{
    if (!c->session || strcmp(c->session_host, host) != 0) {
        return;
    }
    bool fresh = is_fresh(c->session);
    if (fresh && SSL_set_session(ssl, c->session) != 1) {
        tls_words_forget();
    }
    if (!fresh || SSL_SESSION_get_protocol_version(c->session) >= TLS1_3_VERSION) {
        tls_client_forget(c);
    }
}

enum err tls_client_prepare(struct tls_ctx *c, SSL *ssl, struct tls_user *user, const char *host)
{
    if (c->as_is) {
        tls_inside_set_ways(ssl);
    }
    user->remote = mem_zalloc(sizeof(*user->remote));
    enum err e = user->remote ? copy_host(host, &user->remote->host) : ERR_NOMEM;
    if (e == ERR_OK && !expect_host(c, ssl, user->remote->host)) {
        tls_words_forget();
        e = ERR_NOMEM;
    }
    if (e == ERR_OK) {
        resume(c, ssl, user->remote->host);
    }
    return e;
}

bool tls_client_is_proven(const SSL *ssl)
{
    const struct tls_ctx *c = tls_ctx_of(ssl);
    struct tls_remote *remote = tls_user_of(ssl)->remote;
    if (c->has_psk || c->unverified || c->as_is) {
        return true;
    }
    if (!SSL_get0_peer_certificate(ssl) || SSL_get_verify_result(ssl) != X509_V_OK) {
        remote->verdict = "the server has shown no certificate";
    } else if (c->require_ocsp && !remote->is_stapled) {
        remote->verdict = tls_ocsp_nothing;
    }
    return !remote->verdict;
}

void tls_client_forget(struct tls_ctx *c)
{
    SSL_SESSION_free(c->session);
    str_dup_free(c->session_host);
    c->session = NULL;
    c->session_host = NULL;
}

void tls_client_end(SSL *ssl)
{
    /* Else OpenSSL would hold the session to be broken with the connection. */
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

void tls_client_clear(struct tls_user *user)
{
    if (user->remote) {
        str_dup_free(user->remote->host);
        mem_free(user->remote, sizeof(*user->remote));
        user->remote = NULL;
    }
}
