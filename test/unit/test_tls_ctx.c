/*
 * Contexts from files: what is wrong with them is said in words.
 */
#include "net/tls_ctx.h"

#include "certs.h"
#include "unit.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define DAY 86400

/* A leaf below an intermediate below a root, and others that do not fit. */
static struct files {
    char directory[64];
    struct certs_pair root, middle, leaf, other, weak, twin;
    char cert[CERTS_PATH_MAX], key[CERTS_PATH_MAX], ca[CERTS_PATH_MAX];
    char chain[CERTS_PATH_MAX], other_key[CERTS_PATH_MAX], locked[CERTS_PATH_MAX];
    char mixed[CERTS_PATH_MAX], twins[CERTS_PATH_MAX], empty[CERTS_PATH_MAX],
        garbage[CERTS_PATH_MAX];
    char weak_cert[CERTS_PATH_MAX], weak_key[CERTS_PATH_MAX], torn[CERTS_PATH_MAX];
    char crls[CERTS_PATH_MAX], old_crl[CERTS_PATH_MAX];
} files;

static void write_certificates(void)
{
    const char *d = files.directory;
    X509 *chain[] = {files.leaf.x, files.middle.x, files.root.x};
    X509 *mixed[] = {files.leaf.x, files.other.x};
    (void)certs_write(d, "cert.pem", chain, 1, files.cert);
    (void)certs_write(d, "chain.pem", chain, 3, files.chain);
    (void)certs_write(d, "ca.pem", chain + 1, 2, files.ca);
    X509 *twins[] = {files.leaf.x, files.twin.x};
    (void)certs_write(d, "mixed.pem", mixed, 2, files.mixed);
    (void)certs_write(d, "twins.pem", twins, 2, files.twins);
    (void)certs_write(d, "weak.pem", &files.weak.x, 1, files.weak_cert);
    (void)certs_write_key(d, "key.pem", files.leaf.key, NULL, files.key);
    (void)certs_write_key(d, "other.key", files.other.key, NULL, files.other_key);
    (void)certs_write_key(d, "weak.key", files.weak.key, NULL, files.weak_key);
    (void)certs_write_key(d, "locked.key", files.leaf.key, "secret", files.locked);
    (void)certs_write_text(d, "empty.pem", "", files.empty);
    (void)certs_write_text(d, "garbage.pem", "this is not PEM\n", files.garbage);
    (void)certs_write_text(d, "torn.pem",
                           "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n",
                           files.torn);
}

static void write_lists(void)
{
    X509_CRL *crls[] = {certs_crl(&files.root, 5, 10), certs_crl(&files.middle, 6, 5)};
    X509_CRL *old = certs_crl(&files.root, 0, -2);
    (void)certs_write_crls(files.directory, "crls.pem", crls, 2, files.crls);
    (void)certs_write_crls(files.directory, "old_crl.pem", &old, 1, files.old_crl);
    X509_CRL_free(crls[0]);
    X509_CRL_free(crls[1]);
    X509_CRL_free(old);
}

static int make_files(void **state)
{
    (void)state;
    certs_directory(files.directory);
    files.root = certs_make(&(struct certs_wish){.cn = "Root", .ca = true, .until_days = 100});
    files.middle = certs_make(&(struct certs_wish){
        .cn = "Middle", .ca = true, .issuer = &files.root, .from_days = -5, .until_days = 20});
    files.leaf = certs_make(&(struct certs_wish){
        .cn = "localhost", .issuer = &files.middle, .from_days = -3, .until_days = 30});
    /* Called like the one that has signed, but another. */
    files.twin = certs_make(&(struct certs_wish){.cn = "Middle", .ca = true});
    files.other = certs_make(&(struct certs_wish){.cn = "Other", .ca = true});
    files.weak = certs_make(&(struct certs_wish){.cn = "weak", .key = CERTS_RSA_1024});
    write_certificates();
    write_lists();
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    certs_free(&files.root);
    certs_free(&files.middle);
    certs_free(&files.leaf);
    certs_free(&files.other);
    certs_free(&files.weak);
    certs_free(&files.twin);
    certs_remove(files.directory);
    return 0;
}

static struct tls_settings usual(void)
{
    return (struct tls_settings){.certfile = files.cert, .keyfile = files.key};
}

static struct tls_ctx *make(const struct tls_settings *s)
{
    struct tls_ctx *c;
    char why[TLS_WHY_MAX];
    if (tls_ctx_new(s, &c, why) != ERR_OK) {
        fail_msg("%s", why);
    }
    assert_string_equal(why, "");
    assert_int_equal(ERR_peek_error(), 0);
    return c;
}

/* `why` may name one path, as %s. */
static void refuse_as(const struct tls_settings *s, enum err e, const char *why, const char *path)
{
    struct tls_ctx *c;
    char got[TLS_WHY_MAX];
    char wanted[TLS_WHY_MAX];
    const char *hole = strstr(why, "%s");
    assert_err(tls_ctx_new(s, &c, got), e);
    assert_null(c);
    assert_int_equal(ERR_peek_error(), 0);
    if (hole) {
        (void)snprintf(wanted, sizeof(wanted), "%.*s%s%s", (int)(hole - why), why, path, hole + 2);
    } else {
        (void)snprintf(wanted, sizeof(wanted), "%s", why);
    }
    assert_string_equal(got, wanted);
}

static void refuse(const struct tls_settings *s, const char *why, const char *path)
{
    refuse_as(s, ERR_INVAL, why, path);
}

static void good_ones(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct tls_ctx *c = make(&s);
    assert_ptr_equal(tls_ctx_ref(c), c);
    tls_ctx_unref(c);
    tls_ctx_unref(c);
    s.cafile = files.ca;
    s.capath = files.directory;
    s.crlfile = files.crls;
    s.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384";
    s.ciphers_tls13 = "TLS_AES_128_GCM_SHA256";
    s.lowest = 11;
    s.wants_certificate = s.require_certificate = s.ignores_dates = true;
    tls_ctx_unref(make(&s));
    tls_ctx_unref(NULL);
}

static void files_that_cannot_be_read(void **state)
{
    (void)state;
    static const char missing[] = "/nowhere/x.pem";
    struct tls_settings s = usual();
    s.certfile = missing;
    refuse_as(&s, ERR_SYSTEM, "certfile '/nowhere/x.pem' cannot be read: No such file or directory",
              "");
    s = usual();
    s.keyfile = missing;
    refuse_as(&s, ERR_SYSTEM, "keyfile '/nowhere/x.pem' cannot be read: No such file or directory",
              "");
    s = usual();
    s.cafile = files.directory;
    refuse_as(&s, ERR_SYSTEM, "cafile '%s' cannot be read: Is a directory", files.directory);
    s = usual();
    s.capath = missing;
    refuse_as(&s, ERR_SYSTEM, "capath '/nowhere/x.pem' cannot be read: No such file or directory",
              "");
    s.capath = files.ca;
    refuse(&s, "capath '%s' is not a directory", files.ca);
    s = usual();
    s.crlfile = missing;
    refuse_as(&s, ERR_SYSTEM, "crlfile '/nowhere/x.pem' cannot be read: No such file or directory",
              "");
    s = usual();
    s.dhparamfile = missing;
    refuse_as(&s, ERR_SYSTEM,
              "dhparamfile '/nowhere/x.pem' cannot be read: No such file or directory", "");
}

static void certificates_that_are_none(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    s.certfile = files.empty;
    refuse(&s, "certfile '%s' holds no certificate", files.empty);
    s.certfile = files.garbage;
    refuse(&s, "certfile '%s' holds no certificate", files.garbage);
    s.certfile = files.key;
    refuse(&s, "certfile '%s' holds no certificate", files.key);
    s.certfile = NULL;
    refuse(&s, "TLS needs both a certfile and a keyfile", "");
    s.certfile = files.weak_cert;
    s.keyfile = files.weak_key;
    refuse(&s, "certfile '%s' cannot be used: ee key too small", files.weak_cert);
    s.certfile = files.torn;
    struct tls_ctx *c;
    char why[TLS_WHY_MAX];
    assert_err(tls_ctx_new(&s, &c, why), ERR_INVAL);
    assert_non_null(strstr(why, "torn.pem' is broken: "));
}

static void keys_that_do_not_fit(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    char why[TLS_WHY_MAX];
    s.keyfile = files.other_key;
    (void)snprintf(why, sizeof(why), "keyfile '%s' does not belong to certfile '%s'",
                   files.other_key, files.cert);
    refuse(&s, why, "");
    s.keyfile = files.weak_key;
    (void)snprintf(why, sizeof(why), "keyfile '%s' does not belong to certfile '%s'",
                   files.weak_key, files.cert);
    refuse(&s, why, "");
    s.keyfile = files.cert;
    refuse(&s, "keyfile '%s' holds no private key", files.cert);
    s.keyfile = files.empty;
    refuse(&s, "keyfile '%s' holds no private key", files.empty);
    s.keyfile = files.locked;
    refuse(&s,
           "keyfile '%s' is encrypted, and nobody can be asked for its passphrase: decrypt it with "
           "openssl pkey",
           files.locked);
}

static void lists_of_others(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    s.cafile = files.empty;
    refuse(&s, "cafile '%s' holds no certificate", files.empty);
    s.cafile = files.key;
    refuse(&s, "cafile '%s' holds no certificate", files.key);
    s = usual();
    s.crlfile = files.empty;
    refuse(&s, "crlfile '%s' holds no revocation list", files.empty);
    s.crlfile = files.ca;
    refuse(&s, "crlfile '%s' holds no revocation list", files.ca);
    s = usual();
    s.dhparamfile = files.garbage;
    refuse(&s, "dhparamfile '%s' holds no Diffie-Hellman parameters", files.garbage);
}

static void ciphers_and_versions(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    s.ciphers = "FOO";
    refuse(&s, "ciphers 'FOO': no such cipher", "");
    s = usual();
    s.ciphers_tls13 = "TLS_FOO";
    refuse(&s, "ciphers_tls1.3 'TLS_FOO': no such cipher", "");
    s = usual();
    s.lowest = 14;
    struct tls_ctx *c;
    char why[TLS_WHY_MAX];
    assert_err(tls_ctx_new(&s, &c, why), ERR_INVAL);
}

static void pre_shared_keys(void **state)
{
    (void)state;
    struct tls_settings s = {.psk_hint = "hint"};
    if (!feature_built(FEATURE_TLS_PSK)) {
        refuse_as(&s, ERR_UNSUPPORTED, "psk_hint needs a build with WITH_TLS_PSK=yes", "");
        return;
    }
    refuse(&s, "psk_hint: there are no keys; a psk_file is needed", "");
}

/* ---- is it good? ---- */

static void expect_bad(const struct tls_ctx *c, int64_t now, const char *before, const char *path,
                       const char *after)
{
    char why[TLS_WHY_MAX];
    char wanted[TLS_WHY_MAX];
    assert_err(tls_ctx_check(c, now, why), ERR_INVAL);
    (void)snprintf(wanted, sizeof(wanted), "%s'%s'%s", before, path, after);
    assert_string_equal(why, wanted);
    assert_int_equal(ERR_peek_error(), 0);
}

static const char *day(int64_t t, const char *words, char out[64])
{
    char date[16];
    time_t seconds = (time_t)t;
    struct tm tm;
    (void)strftime(date, sizeof(date), "%Y-%m-%d", gmtime_r(&seconds, &tm));
    (void)snprintf(out, 64, " %s %s", words, date);
    return out;
}

static void dates(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    char why[TLS_WHY_MAX];
    char end[64];
    int64_t now = time(NULL);
    struct tls_ctx *c = make(&s);
    int64_t until = tls_ctx_expires(c);
    assert_in_range(until, now + 30 * DAY - 60, now + 30 * DAY + 60);
    assert_ok(tls_ctx_check(c, now, why));
    assert_ok(tls_ctx_check(c, until, why));
    expect_bad(c, until + 1, "certfile ", files.cert, day(until, "expired on", end));
    expect_bad(c, now - 4 * DAY, "certfile ", files.cert,
               day(until - 33 * DAY, "is not valid before", end));
    tls_ctx_unref(c);

    s.certfile = files.chain;
    c = make(&s);
    until = tls_ctx_expires(c);
    assert_in_range(until, now + 20 * DAY - 60, now + 20 * DAY + 60);
    assert_ok(tls_ctx_check(c, now, why));
    expect_bad(c, until + 1, "certificate 2 of the chain of certfile ", files.chain,
               day(until, "expired on", end));
    tls_ctx_unref(c);
}

static void chains(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    char why[TLS_WHY_MAX];
    int64_t now = time(NULL);
    s.certfile = files.mixed;
    struct tls_ctx *c = make(&s);
    expect_bad(c, now, "certificate 2 of certfile ", files.mixed,
               " has not signed the one before it");
    tls_ctx_unref(c);
    s.certfile = files.twins;
    c = make(&s);
    expect_bad(c, now, "certificate 2 of certfile ", files.twins,
               " has not signed the one before it");
    tls_ctx_unref(c);
    /* One certificate: what the authorities' file knows of its issuers is shown too. */
    s = usual();
    s.cafile = files.ca;
    c = make(&s);
    assert_ok(tls_ctx_check(c, now, why));
    assert_in_range(tls_ctx_expires(c), now + 20 * DAY - 60, now + 20 * DAY + 60);
    tls_ctx_unref(c);
}

static void revocation_lists_have_dates(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    char why[TLS_WHY_MAX];
    char end[64];
    int64_t now = time(NULL);
    s.crlfile = files.crls;
    struct tls_ctx *c = make(&s);
    assert_ok(tls_ctx_check(c, now, why));
    tls_ctx_unref(c);
    s.crlfile = files.old_crl;
    c = make(&s);
    assert_err(tls_ctx_check(c, now, why), ERR_INVAL);
    expect_bad(c, now, "crlfile ", files.old_crl, day(now - 2 * DAY, "expired on", end));
    tls_ctx_unref(c);
}

static void without_memory(void **state)
{
    (void)state;
    unit_needs_tracking();
    struct tls_settings s = usual();
    struct tls_ctx *c = NULL;
    s.cafile = files.ca;
    s.crlfile = files.crls;
    for (uint64_t n = 0; !c; n++) {
        char why[TLS_WHY_MAX];
        mem_fail_after(n, 0);
        enum err e = tls_ctx_new(&s, &c, why);
        mem_fail_never();
        assert_int_equal(e, c ? ERR_OK : ERR_NOMEM);
        assert_true((c != NULL) == (why[0] == '\0'));
        assert_true(n < 100);
        assert_int_equal(ERR_peek_error(), 0);
    }
    tls_ctx_unref(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(good_ones),
        UNIT_TEST(files_that_cannot_be_read),
        UNIT_TEST(certificates_that_are_none),
        UNIT_TEST(keys_that_do_not_fit),
        UNIT_TEST(lists_of_others),
        UNIT_TEST(ciphers_and_versions),
        UNIT_TEST(pre_shared_keys),
        UNIT_TEST(dates),
        UNIT_TEST(chains),
        UNIT_TEST(revocation_lists_have_dates),
        UNIT_TEST(without_memory),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
