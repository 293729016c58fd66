/*
 * The proof that a server's certificate was not revoked.
 *
 * The response counts only as it is: nobody is asked over the network.
 */
#include "net/tls_ocsp.h"

#include "net/tls_verdict.h"
#include "net/tls_words.h"

#include <openssl/ocsp.h>
#include <stdio.h>

/* Clocks may differ by so many seconds. */
#define LEEWAY 300
/* A response that does not say when the next one is due counts for a day. */
#define UNDATED_MAX 86400

const char tls_ocsp_nothing[] =
    "the server sends no proof that its certificate was not revoked (OCSP)";

struct proof {
    OCSP_RESPONSE *response;
    OCSP_BASICRESP *basic;
    STACK_OF(X509) * chain; /* of the server, as it was checked; not owned */
};

static const char *parse(struct proof *p, const SSL *ssl)
{
    const unsigned char *bytes = NULL;
    long n = SSL_get_tlsext_status_ocsp_resp((SSL *)(uintptr_t)ssl, &bytes);
    if (!bytes || n <= 0) {
        return tls_ocsp_nothing;
    }
    const unsigned char *end = bytes;
    p->response = d2i_OCSP_RESPONSE(NULL, &end, n);
    if (!p->response || end != bytes + n) {
        return "the server's OCSP response is broken";
    }
    if (OCSP_response_status(p->response) != OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        return "the server's OCSP response is none: its authority was not able to answer";
    }
    p->basic = OCSP_response_get1_basic(p->response);
    return p->basic ? NULL : "the server's OCSP response is broken";
}

static const char *check_signature(const struct proof *p, const SSL *ssl)
{
    X509_STORE *store = SSL_CTX_get_cert_store(SSL_get_SSL_CTX(ssl));
    return OCSP_basic_verify(p->basic, p->chain, store, 0) == 1
               ? NULL
               : "the server's OCSP response is not signed by the authority of its certificate";
}

static bool is_about(const OCSP_SINGLERESP *single, const X509 *x, const X509 *issuer)
{
    const OCSP_CERTID *id = OCSP_SINGLERESP_get0_id(single);
    ASN1_OBJECT *hash = NULL;
    if (OCSP_id_get0_info(NULL, &hash, NULL, NULL, (OCSP_CERTID *)(uintptr_t)id) != 1) {
        return false;
    }
    const EVP_MD *md = EVP_get_digestbyobj(hash);
    OCSP_CERTID *ours = md ? OCSP_cert_to_id(md, x, issuer) : NULL;
    bool same = ours && OCSP_id_cmp(ours, id) == 0;
    OCSP_CERTID_free(ours);
    return same;
}

/* The answer about the server's certificate, or NULL. */
static OCSP_SINGLERESP *find_answer(const struct proof *p)
{
    int last = sk_X509_num(p->chain) - 1;
    const X509 *x = sk_X509_value(p->chain, 0);
    const X509 *issuer = sk_X509_value(p->chain, last > 0 ? 1 : 0);
    for (int i = 0; i < OCSP_resp_count(p->basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(p->basic, i);
        if (is_about(single, x, issuer)) {
            return single;
        }
    }
    return NULL;
}

static const char *revoked(const ASN1_GENERALIZEDTIME *when, char room[TLS_VERDICT_MAX])
{
    char date[32];
    (void)snprintf(room, TLS_VERDICT_MAX, "the server's certificate was revoked on %s",
                   tls_verdict_date(when, date));
    return room;
}

static const char *check_answer(const struct proof *p, char room[TLS_VERDICT_MAX])
{
    ASN1_GENERALIZEDTIME *when = NULL;
    ASN1_GENERALIZEDTIME *from = NULL;
    ASN1_GENERALIZEDTIME *until = NULL;
    OCSP_SINGLERESP *single = find_answer(p);
    if (!single) {
        return "the server's OCSP response is about another certificate";
    }
    int status = OCSP_single_get0_status(single, NULL, &when, &from, &until);
    if (status == V_OCSP_CERTSTATUS_REVOKED) {
        return revoked(when, room);
    }
    if (status != V_OCSP_CERTSTATUS_GOOD) {
        return "the authority of the server's certificate does not know it (OCSP)";
    }
    if (OCSP_check_validity(from, until, LEEWAY, until ? -1 : UNDATED_MAX) != 1) {
        return "the server's OCSP response is out of date";
    }
    return NULL;
}

const char *tls_ocsp_check(SSL *ssl, char room[TLS_VERDICT_MAX])
{
    struct proof p = {.chain = SSL_get0_verified_chain(ssl)};
    const char *why = p.chain ? parse(&p, ssl) : tls_ocsp_nothing;
    if (!why) {
        why = check_signature(&p, ssl);
    }
    if (!why) {
        why = check_answer(&p, room);
    }
    OCSP_BASICRESP_free(p.basic);
    OCSP_RESPONSE_free(p.response);
    tls_words_forget();
    return why;
}
