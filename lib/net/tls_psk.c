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

/* The client may name several identities, one call for each until a key is found. */
static unsigned give_key(SSL *ssl, const char *identity, unsigned char *key, unsigned max)
{
    struct tls_user *user = SSL_get_app_data(ssl);
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
