/*
 * Pre-shared keys.
 *
 * One callback serves TLS 1.2 and 1.3. Sessions are not resumed: a handshake by a key costs hardly
 * more, a key that is taken away ends there and then, and a resumed session of TLS 1.3 would not
 * tell whose it is.
 */
#include "net/tls_psk.h"

#include "net/tls_inside.h"
#include "net/tls_words.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>

/* What a client offers up to TLS 1.2: nothing by which a certificate alone would do. */
#define SUITES "kECDHEPSK:kDHEPSK:kPSK:!eNULL"
/* And with TLS 1.3: a key is bound to SHA-256, and a server with a certificate as well may take a
 * suite with another digest first, and then the key is of no use. */
#define SUITES_TLS13 "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"

/* ---- a server ---- */

/* The client may name several identities, one call for each until a key is found. */
static unsigned give_key(SSL *ssl, const char *identity, unsigned char *key, unsigned max)
{
    struct tls_user *user = tls_user_of(ssl);
    struct str name = str_c(identity);
    uint8_t found[TLS_PSK_MAX];
    size_t n = tls_ctx_of(ssl)->find_psk(user->owner, name, found);
    user->unknown_identity = n == 0 || n > sizeof(found) || n > max;
    if (user->unknown_identity) {
        return 0;
    }
    str_dup_free(user->identity);
    user->identity = str_dup(name);
    if (user->identity) {
        memcpy(key, found, n);
    }
    OPENSSL_cleanse(found, sizeof(found));
    return user->identity ? (unsigned)n : 0;
}

enum err tls_psk_serve(struct tls_ctx *c, const struct tls_settings *s, char why[TLS_WHY_MAX])
{
    if (!s->find_psk) {
        (void)snprintf(why, TLS_WHY_MAX, "psk_hint: there are no keys; a psk_file is needed");
        return ERR_INVAL;
    }
    if (SSL_CTX_use_psk_identity_hint(c->ssl, s->psk_hint) != 1) {
        (void)snprintf(why, TLS_WHY_MAX, "psk_hint '%s': %s", s->psk_hint,
                       tls_words_take("too long"));
        return ERR_INVAL;
    }
    c->has_psk = true;
    c->find_psk = s->find_psk;
    SSL_CTX_set_psk_server_callback(c->ssl, give_key);
    (void)SSL_CTX_set_options(c->ssl, SSL_OP_NO_TICKET);
    if (SSL_CTX_set_num_tickets(c->ssl, 0) != 1) {
        (void)snprintf(why, TLS_WHY_MAX, "psk_hint: %s", tls_words_take("cannot be used"));
        return ERR_INVAL;
    }
    return ERR_OK;
}

/* ---- a client ---- */

static unsigned show_key(SSL *ssl, const char *hint, char *identity, unsigned identity_max,
                         unsigned char *key, unsigned key_max)
{
    const struct tls_ctx *c = tls_ctx_of(ssl);
    size_t n = strlen(c->psk_identity) + 1;
    (void)hint;
    if (n > identity_max || c->psk_size > key_max) {
        return 0;
    }
    memcpy(identity, c->psk_identity, n);
    memcpy(key, c->psk_key, c->psk_size);
    return (unsigned)c->psk_size;
}

/* A key of an odd number of digits is read as if a 0 were before it, as in a psk_file. */
static enum err read_key(struct tls_ctx *c, const char *hex, char why[TLS_WHY_MAX])
{
    size_t digits = strlen(hex);
    size_t odd = digits % 2;
    size_t n = (digits + odd) / 2;
    bool good = n > 0 && n <= sizeof(c->psk_key);
    for (size_t i = 0; good && i < digits; i++) {
        int digit = OPENSSL_hexchar2int((unsigned char)hex[i]);
        uint8_t *byte = &c->psk_key[(i + odd) / 2];
        good = digit >= 0;
        *byte = (uint8_t)((unsigned)*byte << 4U | ((unsigned)digit & 15U));
    }
    if (!good) {
        (void)snprintf(why, TLS_WHY_MAX, "%spsk is not a key of 1 to %d bytes in hexadecimal",
                       c->prefix, TLS_PSK_MAX);
        tls_words_forget();
        return ERR_INVAL;
    }
    c->psk_size = n;
    return ERR_OK;
}

static enum err keep_identity(struct tls_ctx *c, const char *identity, char why[TLS_WHY_MAX])
{
    size_t n = strlen(identity);
    if (n == 0 || n > PSK_MAX_IDENTITY_LEN) {
        (void)snprintf(why, TLS_WHY_MAX, "%sidentity is not of 1 to %d bytes", c->prefix,
                       PSK_MAX_IDENTITY_LEN);
        return ERR_INVAL;
    }
    c->psk_identity = str_dup(str_c(identity));
    if (!c->psk_identity) {
        (void)snprintf(why, TLS_WHY_MAX, "out of memory");
        return ERR_NOMEM;
    }
    return ERR_OK;
}

static enum err set_suites(const struct tls_ctx *c, const struct tls_client_settings *s,
                           char why[TLS_WHY_MAX])
{
    if ((s->ciphers || SSL_CTX_set_cipher_list(c->ssl, SUITES) == 1) &&
        (s->ciphers_tls13 || SSL_CTX_set_ciphersuites(c->ssl, SUITES_TLS13) == 1)) {
        return ERR_OK;
    }
    (void)snprintf(why, TLS_WHY_MAX, "%spsk: %s", c->prefix,
                   tls_words_take("this OpenSSL has no cipher for it"));
    return ERR_INVAL;
}

enum err tls_psk_offer(struct tls_ctx *c, const struct tls_client_settings *s,
                       char why[TLS_WHY_MAX])
{
    if (!s->psk_key || !s->psk_identity) {
        (void)snprintf(why, TLS_WHY_MAX, "%s%s needs %s%s too", c->prefix,
                       s->psk_key ? "psk" : "identity", c->prefix, s->psk_key ? "identity" : "psk");
        return ERR_INVAL;
    }
    enum err e = read_key(c, s->psk_key, why);
    if (e == ERR_OK) {
        e = keep_identity(c, s->psk_identity, why);
    }
    if (e == ERR_OK) {
        e = set_suites(c, s, why);
    }
    if (e == ERR_OK) {
        c->has_psk = true;
        SSL_CTX_set_psk_client_callback(c->ssl, show_key);
        (void)SSL_CTX_set_options(c->ssl, SSL_OP_NO_TICKET);
    }
    return e;
}
