/*
 * What OpenSSL has to say, in words for people.
 *
 * All phrases are constant: who keeps one owns nothing. What has no phrase here is said as OpenSSL
 * says it.
 */
#include "net/tls_words.h"

#include "base/base.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <string.h>

struct word {
    long code;
    const char *phrase;
};

static const struct word reasons[] = {
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "certificate required, and the client has none"},
    {SSL_R_NO_SHARED_CIPHER, "no shared cipher"},
    {SSL_R_NO_SUITABLE_KEY_SHARE, "no shared group for the key exchange"},
    {SSL_R_NO_SHARED_GROUPS, "no shared group for the key exchange"},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "no shared signature algorithm"},
    {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, "no shared signature algorithm"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "TLS version too low"},
    {SSL_R_VERSION_TOO_LOW, "TLS version too low"},
    {SSL_R_INAPPROPRIATE_FALLBACK, "TLS version lower than it needs to be"},
    {SSL_R_PSK_IDENTITY_NOT_FOUND, "unknown PSK identity"},
    {SSL_R_BINDER_DOES_NOT_VERIFY, "wrong PSK"},
    {SSL_R_UNEXPECTED_EOF_WHILE_READING, "the client went away"},
};

static const struct word verdicts[] = {
    {X509_V_ERR_CERT_REVOKED, "certificate revoked"},
    {X509_V_ERR_CERT_HAS_EXPIRED, "certificate expired"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "certificate not valid yet"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "certificate of an unknown authority"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "certificate of an unknown authority"},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "certificate of an unknown authority"},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "certificate signed by itself, an unknown authority"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "certificate of an unknown authority"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, "certificate with a wrong signature"},
    {X509_V_ERR_INVALID_PURPOSE, "certificate that is not for clients"},
    {X509_V_ERR_UNABLE_TO_GET_CRL, "there is no revocation list of its certificate's authority"},
    {X509_V_ERR_CRL_HAS_EXPIRED, "the revocation list of its certificate's authority has expired"},
    {X509_V_ERR_CRL_NOT_YET_VALID,
     "the revocation list of its certificate's authority is not valid yet"},
    {X509_V_ERR_CRL_SIGNATURE_FAILURE, "the revocation list has a wrong signature"},
    {X509_V_ERR_CERT_CHAIN_TOO_LONG, "certificate chain too long"},
};

/* Alerts that the client has sent, by their number in TLS: RFC 8446, 6. */
static const struct word alerts[] = {
    {10, "the client did not understand: unexpected message"},
    {20, "the client could not decrypt: bad record MAC"},
    {22, "the client got a record that is too long"},
    {40, "the client refused the handshake"},
    {42, "the client does not trust our certificate: bad certificate"},
    {43, "the client does not trust our certificate: of a kind that it does not support"},
    {44, "the client does not trust our certificate: revoked"},
    {45, "the client does not trust our certificate: expired"},
    {46, "the client does not trust our certificate: unknown problem"},
    {47, "the client did not understand: illegal parameter"},
    {48, "the client does not trust our certificate: unknown CA"},
    {49, "the client denies access"},
    {50, "the client did not understand: decode error"},
    {51, "the client could not decrypt, or verify a signature"},
    {70, "the client does not speak our TLS versions"},
    {71, "the client wants better security"},
    {80, "the client has an internal error"},
    {90, "the client gave up"},
    {109, "the client misses an extension"},
    {110, "the client does not support an extension of ours"},
    {112, "the client does not know our name"},
    {115, "the client does not know the PSK identity"},
    {116, "the client wants a certificate of us"},
    {120, "the client speaks no protocol of ours"},
};

static const char *find(const struct word *words, size_t n, long code)
{
    for (size_t i = 0; i < n; i++) {
        if (words[i].code == code) {
            return words[i].phrase;
        }
    }
    return NULL;
}

void tls_words_forget(void)
{
    if (ERR_peek_error() != 0) {
        ERR_clear_error();
    }
}

/* The reason's text is part of OpenSSL's tables. */
static const char *own_words(unsigned long code)
{
    if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE) {
        return "out of memory";
    }
    return ERR_reason_error_string(code);
}

const char *tls_words_take(const char *otherwise)
{
    unsigned long code = ERR_peek_error();
    const char *phrase = code != 0 ? own_words(code) : NULL;
    tls_words_forget();
    return phrase ? phrase : otherwise;
}

/* It did not begin as TLS does. */
static const char *no_tls(const struct tls_state *s)
{
    static const char proxy_1[] = "PROXY";
    static const char proxy_2[] = "\r\n\r\n";
    if (s->first_n >= 5 && memcmp(s->first, proxy_1, 5) == 0) {
        return "a PROXY header, which this listener does not expect";
    }
    if (s->first_n >= 4 && memcmp(s->first, proxy_2, 4) == 0) {
        return "a PROXY header, which this listener does not expect";
    }
    if (s->first_n > 0 && s->first[0] == 0x10) {
        return "MQTT without TLS on a TLS listener";
    }
    return "not TLS: these are other bytes, on a TLS listener";
}

static const char *by_reason(int reason, const struct tls_state *s)
{
    switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED: {
        const char *verdict = find(verdicts, ARRAY_SIZE(verdicts), s->verify);
        return verdict ? verdict : X509_verify_cert_error_string(s->verify);
    }
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        return "HTTP without TLS on a TLS listener";
    case SSL_R_WRONG_VERSION_NUMBER:
        return no_tls(s);
    case SSL_R_DIGEST_CHECK_FAILED:
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
        return s->has_psk ? "wrong PSK" : "its bytes cannot be decrypted";
    default:
        return find(reasons, ARRAY_SIZE(reasons), reason);
    }
}

static const char *by_code(unsigned long code, const struct tls_state *s)
{
    if (ERR_GET_LIB(code) != ERR_LIB_SSL) {
        return NULL;
    }
    int reason = ERR_GET_REASON(code);
    if (reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
        return find(alerts, ARRAY_SIZE(alerts), reason - SSL_AD_REASON_OFFSET);
    }
    /* Without a known key it goes on as if it had named none, and fails for lack of a certificate.
     */
    if (s->unknown_identity) {
        return "unknown PSK identity";
    }
    return by_reason(reason, s);
}

/* The cipher or the store may have complained first, but what it meant for TLS is said by TLS. */
const char *tls_words_connection(const struct tls_state *s)
{
    const char *phrase = NULL;
    const char *plain = NULL;
    unsigned long code;
    while (!phrase && (code = ERR_get_error()) != 0) {
        phrase = by_code(code, s);
        plain = plain ? plain : own_words(code);
    }
    tls_words_forget();
    return phrase ? phrase : plain ? plain : "TLS has failed";
}
