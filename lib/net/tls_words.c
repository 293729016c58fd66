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

/* Of a client, as a server says it; and of a server, as a client does. */
enum side { OF_CLIENT, OF_SERVER, SIDES };

struct word {
    long code;
    const char *phrase[SIDES];
};

#define SAME(words)                                                                                \
    {                                                                                              \
        words, words                                                                               \
    }
#define PEER(words)                                                                                \
    {                                                                                              \
        "the client " words, "the server " words                                                   \
    }
#define CERTIFICATE(words)                                                                         \
    {                                                                                              \
        "certificate " words, "the server's certificate is " words                                 \
    }

static const struct word reasons[] = {
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
     SAME("certificate required, and the client has none")},
    {SSL_R_NO_SHARED_CIPHER, SAME("no shared cipher")},
    {SSL_R_NO_SUITABLE_KEY_SHARE, SAME("no shared group for the key exchange")},
    {SSL_R_NO_SHARED_GROUPS, SAME("no shared group for the key exchange")},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, SAME("no shared signature algorithm")},
    {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, SAME("no shared signature algorithm")},
    {SSL_R_UNSUPPORTED_PROTOCOL, SAME("TLS version too low")},
    {SSL_R_VERSION_TOO_LOW, SAME("TLS version too low")},
    {SSL_R_INAPPROPRIATE_FALLBACK, SAME("TLS version lower than it needs to be")},
    {SSL_R_PSK_IDENTITY_NOT_FOUND, SAME("unknown PSK identity")},
    {SSL_R_BINDER_DOES_NOT_VERIFY, SAME("wrong PSK")},
    {SSL_R_DH_KEY_TOO_SMALL, PEER("uses a Diffie-Hellman group that is too small")},
    {SSL_R_NO_CIPHERS_AVAILABLE, SAME("no cipher fits the TLS versions that are allowed")},
    {SSL_R_WRONG_CIPHER_RETURNED, PEER("has chosen a cipher that was not offered")},
    {SSL_R_UNKNOWN_CIPHER_RETURNED, PEER("has chosen a cipher that was not offered")},
    {SSL_R_UNEXPECTED_EOF_WHILE_READING, PEER("went away")},
};

static const struct word verdicts[] = {
    {X509_V_ERR_CERT_REVOKED, {"certificate revoked", "the server's certificate was revoked"}},
    {X509_V_ERR_CERT_HAS_EXPIRED, {"certificate expired", "the server's certificate has expired"}},
    {X509_V_ERR_CERT_NOT_YET_VALID, CERTIFICATE("not valid yet")},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, CERTIFICATE("of an unknown authority")},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, CERTIFICATE("of an unknown authority")},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, CERTIFICATE("of an unknown authority")},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, CERTIFICATE("signed by itself, an unknown authority")},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, CERTIFICATE("of an unknown authority")},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE,
     {"certificate with a wrong signature", "the server's certificate has a wrong signature"}},
    {X509_V_ERR_INVALID_PURPOSE,
     {"certificate that is not for clients", "the server's certificate is not for servers"}},
    {X509_V_ERR_INVALID_CA,
     {"certificate signed by one that is no authority's",
      "the server's certificate is signed by one that is no authority's"}},
    {X509_V_ERR_EE_KEY_TOO_SMALL,
     {"certificate with a key that is too small", "the server's certificate has too small a key"}},
    {X509_V_ERR_CA_KEY_TOO_SMALL, SAME("the key of its certificate's authority is too small")},
    {X509_V_ERR_CA_MD_TOO_WEAK, SAME("its certificate's chain is signed with too weak a digest")},
    {X509_V_ERR_HOSTNAME_MISMATCH, CERTIFICATE("for another name")},
    {X509_V_ERR_IP_ADDRESS_MISMATCH, CERTIFICATE("for another address")},
    {X509_V_ERR_UNABLE_TO_GET_CRL,
     SAME("there is no revocation list of its certificate's authority")},
    {X509_V_ERR_CRL_HAS_EXPIRED,
     SAME("the revocation list of its certificate's authority has expired")},
    {X509_V_ERR_CRL_NOT_YET_VALID,
     SAME("the revocation list of its certificate's authority is not valid yet")},
    {X509_V_ERR_CRL_SIGNATURE_FAILURE, SAME("the revocation list has a wrong signature")},
    {X509_V_ERR_CERT_CHAIN_TOO_LONG,
     {"certificate chain too long", "the server's certificate chain is too long"}},
};

/* Alerts that the peer has sent, by their number in TLS: RFC 8446, 6. */
static const struct word alerts[] = {
    {10, PEER("did not understand: unexpected message")},
    {20, PEER("could not decrypt: bad record MAC")},
    {22, PEER("got a record that is too long")},
    {40, PEER("refused the handshake")},
    {42, PEER("does not trust our certificate: bad certificate")},
    {43, PEER("does not trust our certificate: of a kind that it does not support")},
    {44, PEER("does not trust our certificate: revoked")},
    {45, PEER("does not trust our certificate: expired")},
    {46, PEER("does not trust our certificate: unknown problem")},
    {47, PEER("did not understand: illegal parameter")},
    {48, PEER("does not trust our certificate: unknown CA")},
    {49, PEER("denies access")},
    {50, PEER("did not understand: decode error")},
    {51, PEER("could not decrypt, or verify a signature")},
    {70, PEER("does not speak our TLS versions")},
    {71, PEER("wants better security")},
    {80, PEER("has an internal error")},
    {90, PEER("gave up")},
    {109, PEER("misses an extension")},
    {110, PEER("does not support an extension of ours")},
    {112, PEER("does not know our name")},
    {113, PEER("does not take our proof that our certificate was not revoked")},
    {115, PEER("does not know the PSK identity")},
    {116, PEER("wants a certificate of us")},
    {120, PEER("speaks no protocol of ours")},
};

static const char *find(const struct word *words, size_t n, long code, const struct tls_state *s)
{
    for (size_t i = 0; i < n; i++) {
        if (words[i].code == code) {
            return words[i].phrase[s->is_client ? OF_SERVER : OF_CLIENT];
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

/* It was spoken to as if it spoke TLS: a CONNACK at most is what MQTT has to say to that. */
const char *tls_words_server(const struct tls_state *s)
{
    static const char http[] = "HTTP/";
    if (s->first_n == 0 || s->first[0] == SSL3_RT_HANDSHAKE || s->first[0] == SSL3_RT_ALERT) {
        return NULL;
    }
    if (s->first_n >= 5 && memcmp(s->first, http, 5) == 0) {
        return "the server speaks HTTP without TLS on this port";
    }
    if (s->first_n >= 2 && s->first[0] == 0x20 && s->first[1] == 2) {
        return "the server speaks MQTT without TLS on this port";
    }
    return "the server does not speak TLS on this port";
}

static const char *by_reason(int reason, const struct tls_state *s)
{
    switch (reason) {
    case SSL_R_CERTIFICATE_VERIFY_FAILED: {
        if (s->is_client && s->has_psk) {
            return "the server shows a certificate in the place of the PSK";
        }
        const char *verdict = find(verdicts, ARRAY_SIZE(verdicts), s->verify, s);
        return verdict ? verdict : X509_verify_cert_error_string(s->verify);
    }
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
        return "HTTP without TLS on a TLS listener";
    case SSL_R_WRONG_VERSION_NUMBER:
        return s->is_client ? tls_words_server(s) : no_tls(s);
    case SSL_R_DIGEST_CHECK_FAILED:
    case SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC:
        return s->has_psk ? "wrong PSK" : "its bytes cannot be decrypted";
    default:
        return find(reasons, ARRAY_SIZE(reasons), reason, s);
    }
}

/* What a server says to a client that has not proven what it should, by number. */
static const char *refusal(int alert, const struct tls_state *s)
{
    bool wrong_key = alert == SSL_AD_BAD_RECORD_MAC || alert == SSL_AD_DECRYPT_ERROR ||
                     alert == SSL_AD_ILLEGAL_PARAMETER;
    bool unknown = alert == SSL_AD_HANDSHAKE_FAILURE || alert == SSL_AD_UNKNOWN_PSK_IDENTITY;
    if (s->is_client && s->has_psk && (wrong_key || unknown)) {
        return wrong_key ? "the server refused: wrong PSK"
                         : "the server refused: it does not know the PSK identity, or wants no PSK";
    }
    bool misses = alert == SSL_AD_HANDSHAKE_FAILURE || alert == SSL_AD_BAD_CERTIFICATE ||
                  alert == SSL_AD_CERTIFICATE_REQUIRED || alert == SSL_AD_ACCESS_DENIED;
    if (s->was_asked && misses) {
        return "the server wants a certificate of us, and there is none";
    }
    return find(alerts, ARRAY_SIZE(alerts), alert, s);
}

static const char *by_code(unsigned long code, const struct tls_state *s)
{
    if (ERR_GET_LIB(code) != ERR_LIB_SSL) {
        return NULL;
    }
    int reason = ERR_GET_REASON(code);
    if (reason >= SSL_AD_REASON_OFFSET && reason < SSL_AD_REASON_OFFSET + 256) {
        return refusal(reason - SSL_AD_REASON_OFFSET, s);
    }
    /* Without a known key it goes on as if it had named none, and fails for lack of a certificate.
     */
    if (s->unknown_identity) {
        return "unknown PSK identity";
    }
    return by_reason(reason, s);
}

/*
 * The cipher or the store may have complained first, but what it meant for TLS is said by TLS.
 * Where memory was missing, no verdict is worth anything.
 */
const char *tls_words_connection(const struct tls_state *s)
{
    static const char no_memory[] = "out of memory";
    const char *phrase = s->verdict;
    const char *plain = NULL;
    unsigned long code;
    while ((code = ERR_get_error()) != 0) {
        if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE) {
            phrase = no_memory;
        }
        phrase = phrase ? phrase : by_code(code, s);
        plain = plain ? plain : own_words(code);
    }
    return phrase ? phrase : plain ? plain : "TLS has failed";
}
