/*
 * Certificates, keys and revocation lists for tests.
 */
#include "certs.h"

#include "unit.h"

#include <dirent.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static EVP_PKEY *make_key(enum certs_key kind)
{
    switch (kind) {
    case CERTS_RSA_1024:
        return EVP_RSA_gen(1024);
    case CERTS_RSA_2048:
        return EVP_RSA_gen(2048);
    case CERTS_RSA_4096:
        return EVP_RSA_gen(4096);
    default:
        return EVP_EC_gen("P-256");
    }
}

static void add_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void set_subject(X509 *x, const struct certs_wish *w)
{
    X509_NAME *name = X509_NAME_new();
    assert_int_equal(X509_NAME_add_entry_by_txt(name, "O", MBSTRING_UTF8,
                                                (const unsigned char *)"Test", -1, -1, 0),
                     1);
    if (w->cn) {
        int size = (int)(w->cn_size > 0 ? w->cn_size : strlen(w->cn));
        int type = w->cn_type != 0 ? w->cn_type : MBSTRING_UTF8;
        assert_int_equal(
            X509_NAME_add_entry_by_txt(name, "CN", type, (const unsigned char *)w->cn, size, -1, 0),
            1);
    }
    assert_int_equal(X509_set_subject_name(x, name), 1);
    X509_NAME_free(name);
}

struct certs_pair certs_make(const struct certs_wish *w)
{
    struct certs_pair p = {.x = X509_new(), .key = make_key(w->key)};
    const struct certs_pair *issuer = w->issuer ? w->issuer : &p;
    bool usual = w->from_days == 0 && w->until_days == 0;
    assert_non_null(p.x);
    assert_non_null(p.key);
    assert_int_equal(X509_set_version(p.x, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(p.x), w->serial > 0 ? w->serial : 1),
                     1);
    assert_non_null(X509_time_adj_ex(X509_getm_notBefore(p.x), usual ? -1 : w->from_days, 0, NULL));
    assert_non_null(X509_time_adj_ex(X509_getm_notAfter(p.x), usual ? 30 : w->until_days, 0, NULL));
    set_subject(p.x, w);
    assert_int_equal(X509_set_issuer_name(p.x, X509_get_subject_name(issuer->x)), 1);
    assert_int_equal(X509_set_pubkey(p.x, p.key), 1);
    add_extension(p.x, issuer->x, NID_basic_constraints, w->ca ? "critical,CA:TRUE" : "CA:FALSE");
    add_extension(p.x, issuer->x, NID_subject_key_identifier, "hash");
    if (w->san) {
        add_extension(p.x, issuer->x, NID_subject_alt_name, w->san);
    }
    if (w->eku) {
        add_extension(p.x, issuer->x, NID_ext_key_usage, w->eku);
    }
    assert_true(X509_sign(p.x, issuer->key, EVP_sha256()) > 0);
    return p;
}

void certs_free(struct certs_pair *p)
{
    X509_free(p->x);
    EVP_PKEY_free(p->key);
    *p = (struct certs_pair){0};
}

static void revoke_serial(X509_CRL *crl, long serial)
{
    X509_REVOKED *revoked = X509_REVOKED_new();
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    ASN1_TIME *when = X509_gmtime_adj(NULL, 0);
    assert_int_equal(ASN1_INTEGER_set(number, serial), 1);
    assert_int_equal(X509_REVOKED_set_serialNumber(revoked, number), 1);
    assert_int_equal(X509_REVOKED_set_revocationDate(revoked, when), 1);
    assert_int_equal(X509_CRL_add0_revoked(crl, revoked), 1);
    ASN1_INTEGER_free(number);
    ASN1_TIME_free(when);
}

X509_CRL *certs_crl(const struct certs_pair *issuer, long serial, int due_days)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *t = ASN1_TIME_new();
    assert_int_equal(X509_CRL_set_version(crl, X509_CRL_VERSION_2), 1);
    assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(issuer->x)), 1);
    assert_non_null(X509_time_adj_ex(t, -10, 0, NULL));
    assert_int_equal(X509_CRL_set1_lastUpdate(crl, t), 1);
    assert_non_null(X509_time_adj_ex(t, due_days, 0, NULL));
    assert_int_equal(X509_CRL_set1_nextUpdate(crl, t), 1);
    ASN1_TIME_free(t);
    if (serial > 0) {
        revoke_serial(crl, serial);
    }
    assert_true(X509_CRL_sign(crl, issuer->key, EVP_sha256()) > 0);
    return crl;
}

void certs_directory(char path[64])
{
    (void)snprintf(path, 64, "/tmp/unit_certs.XXXXXX");
    assert_non_null(mkdtemp(path));
}

void certs_remove(const char *path)
{
    DIR *d = opendir(path);
    const struct dirent *entry;
    while (d && (entry = readdir(d)) != NULL) {
        char file[CERTS_PATH_MAX + 256];
        (void)snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
        (void)unlink(file);
    }
    if (d) {
        (void)closedir(d);
    }
    (void)rmdir(path);
}

static FILE *create(const char *directory, const char *name, char out[CERTS_PATH_MAX])
{
    (void)snprintf(out, CERTS_PATH_MAX, "%s/%s", directory, name);
    FILE *f = fopen(out, "w");
    assert_non_null(f);
    return f;
}

const char *certs_write(const char *directory, const char *name, X509 *const *all, size_t n,
                        char out[CERTS_PATH_MAX])
{
    FILE *f = create(directory, name, out);
    for (size_t i = 0; i < n; i++) {
        if (all[i]) {
            assert_int_equal(PEM_write_X509(f, all[i]), 1);
        }
    }
    assert_int_equal(fclose(f), 0);
    return out;
}

const char *certs_write_key(const char *directory, const char *name, EVP_PKEY *key,
                            const char *passphrase, char out[CERTS_PATH_MAX])
{
    FILE *f = create(directory, name, out);
    const EVP_CIPHER *cipher = passphrase ? EVP_aes_128_cbc() : NULL;
    assert_int_equal(PEM_write_PKCS8PrivateKey(f, key, cipher, passphrase,
                                               passphrase ? (int)strlen(passphrase) : 0, NULL,
                                               NULL),
                     1);
    assert_int_equal(fclose(f), 0);
    return out;
}

const char *certs_write_crls(const char *directory, const char *name, X509_CRL *const *all,
                             size_t n, char out[CERTS_PATH_MAX])
{
    FILE *f = create(directory, name, out);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(PEM_write_X509_CRL(f, all[i]), 1);
    }
    assert_int_equal(fclose(f), 0);
    return out;
}

const char *certs_write_text(const char *directory, const char *name, const char *text,
                             char out[CERTS_PATH_MAX])
{
    FILE *f = create(directory, name, out);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    return out;
}
