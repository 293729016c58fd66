/*
 * Certificates, keys and revocation lists for tests, made as they run: nothing of the kind lies in
 * the tree, where it would expire.
 */
#ifndef UNIT_CERTS_H
#define UNIT_CERTS_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

struct certs_pair {
    X509 *x;
    EVP_PKEY *key;
};

enum certs_key { CERTS_EC, CERTS_RSA_1024, CERTS_RSA_2048, CERTS_RSA_4096 };

struct certs_wish {
    const char *cn; /* NULL = it has none */
    size_t cn_size; /* 0 = to its NUL */
    int cn_type;    /* an MBSTRING_…; 0 = MBSTRING_UTF8, V_ASN1_… as it is */
    enum certs_key key;
    bool ca;
    const char *san; /* "DNS:a.example,IP:127.0.0.1"; NULL = none */
    const char *eku; /* "OCSPSigning"; NULL = for anything */
    long serial;
    int from_days, until_days;       /* from now; both 0 = from yesterday for a month */
    const struct certs_pair *issuer; /* NULL = itself */
};

/* Ends the test that cannot have it. */
struct certs_pair certs_make(const struct certs_wish *wish);
void certs_free(struct certs_pair *pair);
/* A list of `issuer` that revokes this serial number (0 = none), next due in so many days. */
X509_CRL *certs_crl(const struct certs_pair *issuer, long serial, int due_days);

/* A directory for files, removed with all in it by certs_remove. */
void certs_directory(char path[64]);
void certs_remove(const char *path);
/* Files in it; `out` is the path. Any of the certificates may be NULL. */
#define CERTS_PATH_MAX 128
const char *certs_write(const char *directory, const char *name, X509 *const *all, size_t n,
                        char out[CERTS_PATH_MAX]);
const char *certs_write_key(const char *directory, const char *name, EVP_PKEY *key,
                            const char *passphrase, char out[CERTS_PATH_MAX]);
const char *certs_write_crls(const char *directory, const char *name, X509_CRL *const *all,
                             size_t n, char out[CERTS_PATH_MAX]);
const char *certs_write_text(const char *directory, const char *name, const char *text,
                             char out[CERTS_PATH_MAX]);

#endif
