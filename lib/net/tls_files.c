/*
 * Certificates, keys, authorities and revocation lists from files into a context.
 *
 * Files are read by our own hands and parsed from memory: so the reason is known when one cannot be
 * read, and what was read of a key is overwritten.
 */
#include "net/tls_files.h"

#include "base/file.h"
#include "base/mem.h"
#include "net/tls_words.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Revocation lists of a large authority are the largest of these files. */
#define FILE_MAX (64 << 20)
/* Room to begin with: a buffer that grows leaves a copy behind, and it may be a key. */
#define ROOM (256 * 1024)
/* The names of authorities that clients are told: so many at most, or none. */
#define NAMES_MAX 100

/* A file that is being read: which option named it, its bytes, and OpenSSL's view of them. */
struct pem {
    const char *prefix, *option, *path;
    struct buf bytes;
    BIO *bio;
    char *why;
    /* Who knows the passphrase; NULL = nobody. */
    int (*ask)(char *p, int size, int writing, void *data);
    void *ask_data;
    bool asked; /* for a passphrase … */
    bool told;  /* … and there was an answer */
};

static enum err wrong(const struct pem *f, enum err e, const char *what)
{
    (void)snprintf(f->why, TLS_WHY_MAX, "%s%s '%s' %s", f->prefix, f->option, f->path, what);
    tls_words_forget();
    return e;
}

static enum err wrong_because(const struct pem *f, const char *what, const char *reason)
{
    (void)snprintf(f->why, TLS_WHY_MAX, "%s%s '%s' %s: %s", f->prefix, f->option, f->path, what,
                   reason);
    tls_words_forget();
    return ERR_INVAL;
}

static enum err no_memory(const struct pem *f)
{
    (void)wrong(f, ERR_NOMEM, "cannot be read: out of memory");
    return ERR_NOMEM;
}

static void pem_close(struct pem *f)
{
    BIO_free(f->bio);
    OPENSSL_cleanse(f->bytes.data, f->bytes.cap);
    buf_clear(&f->bytes);
}

static enum err pem_open(struct pem *f)
{
    if (buf_reserve(&f->bytes, ROOM) != ERR_OK) {
        return no_memory(f);
    }
    enum err e = file_read(f->path, FILE_MAX, &f->bytes);
    if (e == ERR_SYSTEM) {
        (void)snprintf(f->why, TLS_WHY_MAX, "%s%s '%s' cannot be read: %s", f->prefix, f->option,
                       f->path, strerrordesc_np(errno));
        return e;
    }
    if (e == ERR_TOO_LARGE) {
        return wrong(f, ERR_INVAL, "is too large");
    }
    f->bio = e == ERR_OK ? BIO_new_mem_buf(buf_begin(&f->bytes), (int)f->bytes.len) : NULL;
    return f->bio ? ERR_OK : no_memory(f);
}

static int ask_passphrase(char *p, int size, int writing, void *pem)
{
    struct pem *f = pem;
    /* OpenSSL tries another way when the answer was wrong; a person would be asked twice. */
    int n = f->ask && !f->asked ? f->ask(p, size, writing, f->ask_data) : -1;
    f->asked = true;
    f->told = f->told || n > 0;
    return n <= size ? n : -1;
}

static bool is_at_end(void)
{
    unsigned long e = ERR_peek_last_error();
    return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

/* ---- authorities and revocation lists ---- */

static enum err read_all(struct pem *f, STACK_OF(X509_INFO) * *all)
{
    enum err e = pem_open(f);
    if (e != ERR_OK) {
        return e;
    }
    *all = PEM_X509_INFO_read_bio(f->bio, NULL, ask_passphrase, f);
    return *all ? ERR_OK : wrong_because(f, "is broken", tls_words_take("not PEM"));
}

static void free_all(STACK_OF(X509_INFO) * all)
{
    sk_X509_INFO_pop_free(all, X509_INFO_free);
}

/* Without names clients choose by themselves, as they do when the list is empty. */
static bool tell_names(SSL_CTX *ssl, const STACK_OF(X509_INFO) * all, int certificates)
{
    for (int i = 0; certificates <= NAMES_MAX && i < sk_X509_INFO_num(all); i++) {
        X509 *x = sk_X509_INFO_value(all, i)->x509;
        if (x && SSL_CTX_add_client_CA(ssl, x) != 1) {
            return false;
        }
    }
    return true;
}

static enum err add_authorities(struct tls_ctx *c, const struct pem *f,
                                const STACK_OF(X509_INFO) * all, bool tell)
{
    X509_STORE *store = SSL_CTX_get_cert_store(c->ssl);
    int certificates = 0;
    for (int i = 0; i < sk_X509_INFO_num(all); i++) {
        const X509_INFO *info = sk_X509_INFO_value(all, i);
        if ((info->x509 && X509_STORE_add_cert(store, info->x509) != 1) ||
            (info->crl && X509_STORE_add_crl(store, info->crl) != 1)) {
            return wrong_because(f, "cannot be used", tls_words_take("unknown reason"));
        }
        certificates += info->x509 != NULL;
    }
    if (certificates == 0) {
        return wrong(f, ERR_INVAL, "holds no certificate");
    }
    return !tell || tell_names(c->ssl, all, certificates) ? ERR_OK : no_memory(f);
}

static enum err use_cafile(struct tls_ctx *c, const struct tls_settings *s, char why[TLS_WHY_MAX])
{
    struct pem f = {.prefix = c->prefix, .option = "cafile", .path = s->cafile, .why = why};
    STACK_OF(X509_INFO) *all = NULL;
    enum err e = read_all(&f, &all);
    if (e == ERR_OK) {
        e = add_authorities(c, &f, all, s->wants_certificate);
    }
    free_all(all);
    pem_close(&f);
    return e;
}

static enum err use_capath(struct tls_ctx *c, const struct tls_settings *s, char why[TLS_WHY_MAX])
{
    const struct pem f = {.prefix = c->prefix, .option = "capath", .path = s->capath, .why = why};
    struct stat st;
    if (stat(s->capath, &st) != 0) {
        (void)snprintf(why, TLS_WHY_MAX, "%scapath '%s' cannot be read: %s", c->prefix, s->capath,
                       strerrordesc_np(errno));
        return ERR_SYSTEM;
    }
    if (!S_ISDIR(st.st_mode)) {
        return wrong(&f, ERR_INVAL, "is not a directory");
    }
    if (SSL_CTX_load_verify_dir(c->ssl, s->capath) != 1) {
        return wrong_because(&f, "cannot be used", tls_words_take("unknown reason"));
    }
    return ERR_OK;
}

enum err tls_files_authorities(struct tls_ctx *c, const struct tls_settings *s,
                               char why[TLS_WHY_MAX])
{
    enum err e = s->cafile ? use_cafile(c, s, why) : ERR_OK;
    return e == ERR_OK && s->capath ? use_capath(c, s, why) : e;
}

/* References to the lists are kept, to look at their dates later. */
static enum err add_crls(struct tls_ctx *c, const struct pem *f, const STACK_OF(X509_INFO) * all)
{
    X509_STORE *store = SSL_CTX_get_cert_store(c->ssl);
    size_t room = (size_t)sk_X509_INFO_num(all);
    c->crls = mem_zalloc(room * sizeof(*c->crls));
    if (!c->crls) {
        return no_memory(f);
    }
    c->crl_room = room;
    for (int i = 0; i < sk_X509_INFO_num(all); i++) {
        X509_CRL *crl = sk_X509_INFO_value(all, i)->crl;
        if (crl && (X509_STORE_add_crl(store, crl) != 1 || X509_CRL_up_ref(crl) != 1)) {
            return wrong_because(f, "cannot be used", tls_words_take("unknown reason"));
        }
        if (crl) {
            c->crls[c->crl_count++] = crl;
        }
    }
    return c->crl_count > 0 ? ERR_OK : wrong(f, ERR_INVAL, "holds no revocation list");
}

enum err tls_files_crls(struct tls_ctx *c, const struct tls_settings *s, char why[TLS_WHY_MAX])
{
    struct pem f = {.prefix = c->prefix, .option = "crlfile", .path = s->crlfile, .why = why};
    STACK_OF(X509_INFO) *all = NULL;
    if (!s->crlfile) {
        return ERR_OK;
    }
    enum err e = read_all(&f, &all);
    if (e == ERR_OK) {
        e = add_crls(c, &f, all);
    }
    free_all(all);
    pem_close(&f);
    if (e == ERR_OK &&
        X509_STORE_set_flags(SSL_CTX_get_cert_store(c->ssl), X509_V_FLAG_CRL_CHECK) != 1) {
        return no_memory(&f);
    }
    return e;
}

/* ---- our own certificate and its key ---- */

static enum err use_leaf(SSL_CTX *ssl, struct pem *f)
{
    X509 *leaf = PEM_read_bio_X509(f->bio, NULL, ask_passphrase, f);
    if (!leaf) {
        return is_at_end() ? wrong(f, ERR_INVAL, "holds no certificate")
                           : wrong_because(f, "is broken", tls_words_take("not PEM"));
    }
    int used = SSL_CTX_use_certificate(ssl, leaf);
    X509_free(leaf);
    return used == 1 ? ERR_OK
                     : wrong_because(f, "cannot be used", tls_words_take("unknown reason"));
}

/* An SSL_CTX of somebody else's may have a chain already. */
static enum err use_chain(SSL_CTX *ssl, struct pem *f)
{
    X509 *x;
    (void)SSL_CTX_clear_chain_certs(ssl);
    while ((x = PEM_read_bio_X509(f->bio, NULL, ask_passphrase, f)) != NULL) {
        if (SSL_CTX_add0_chain_cert(ssl, x) != 1) {
            X509_free(x);
            return wrong_because(f, "cannot be used", tls_words_take("unknown reason"));
        }
    }
    if (!is_at_end()) {
        return wrong_because(f, "is broken behind its first certificate",
                             tls_words_take("not PEM"));
    }
    tls_words_forget();
    return ERR_OK;
}

/*
 * A file with one certificate: send along what the authorities' files know of its issuers. OpenSSL
 * would look for them in each handshake.
 */
static void complete_chain(SSL_CTX *ssl)
{
    STACK_OF(X509) *chain = NULL;
    (void)SSL_CTX_get0_chain_certs(ssl, &chain);
    if (!chain || sk_X509_num(chain) == 0) {
        (void)SSL_CTX_build_cert_chain(ssl, SSL_BUILD_CHAIN_FLAG_IGNORE_ERROR |
                                                SSL_BUILD_CHAIN_FLAG_CLEAR_ERROR |
                                                SSL_BUILD_CHAIN_FLAG_NO_ROOT);
    }
    (void)SSL_CTX_set_mode(ssl, SSL_MODE_NO_AUTO_CHAIN);
    tls_words_forget();
}

static enum err use_certfile(struct tls_ctx *c, const struct tls_settings *s, char why[TLS_WHY_MAX])
{
    struct pem f = {.prefix = c->prefix, .option = "certfile", .path = s->certfile, .why = why};
    enum err e = pem_open(&f);
    if (e == ERR_OK) {
        e = use_leaf(c->ssl, &f);
    }
    if (e == ERR_OK) {
        e = use_chain(c->ssl, &f);
    }
    pem_close(&f);
    if (e == ERR_OK) {
        complete_chain(c->ssl);
    }
    return e;
}

static enum err no_key(const struct pem *f)
{
    if (f->told) {
        return wrong(f, ERR_INVAL, "cannot be decrypted: the password is wrong");
    }
    if (f->asked && f->ask) {
        return wrong(f, ERR_INVAL, "is encrypted, and no password was given");
    }
    if (f->asked) {
        return wrong(f, ERR_INVAL,
                     "is encrypted, and nobody can be asked for its passphrase: decrypt it with "
                     "openssl pkey");
    }
    bool none = is_at_end() || ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_UNSUPPORTED;
    return none ? wrong(f, ERR_INVAL, "holds no private key")
                : wrong_because(f, "is broken", tls_words_take("not PEM"));
}

static enum err use_key(SSL_CTX *ssl, EVP_PKEY *key, const struct pem *f, const char *certfile)
{
    X509 *leaf = SSL_CTX_get0_certificate(ssl);
    if (X509_check_private_key(leaf, key) != 1) {
        (void)snprintf(f->why, TLS_WHY_MAX, "%skeyfile '%s' does not belong to %scertfile '%s'",
                       f->prefix, f->path, f->prefix, certfile);
        tls_words_forget();
        return ERR_INVAL;
    }
    if (SSL_CTX_use_PrivateKey(ssl, key) != 1) {
        return wrong_because(f, "cannot be used", tls_words_take("unknown reason"));
    }
    return ERR_OK;
}

static enum err use_keyfile(struct tls_ctx *c, const struct tls_settings *s, char why[TLS_WHY_MAX])
{
    struct pem f = {
        .prefix = c->prefix,
        .option = "keyfile",
        .path = s->keyfile,
        .why = why,
        .ask = s->key_password,
        .ask_data = s->key_password_data,
    };
    enum err e = pem_open(&f);
    if (e == ERR_OK) {
        EVP_PKEY *key = PEM_read_bio_PrivateKey(f.bio, NULL, ask_passphrase, &f);
        e = key ? use_key(c->ssl, key, &f, s->certfile) : no_key(&f);
        EVP_PKEY_free(key);
    }
    pem_close(&f);
    return e;
}

enum err tls_files_pair(struct tls_ctx *c, const struct tls_settings *s, char why[TLS_WHY_MAX])
{
    if (!s->certfile || !s->keyfile) {
        (void)snprintf(why, TLS_WHY_MAX, "TLS needs both a certfile and a keyfile");
        return ERR_INVAL;
    }
    enum err e = use_certfile(c, s, why);
    return e == ERR_OK ? use_keyfile(c, s, why) : e;
}

/* ---- Diffie-Hellman ---- */

static enum err use_dhparam(struct tls_ctx *c, struct pem *f)
{
    EVP_PKEY *group = PEM_read_bio_Parameters(f->bio, NULL);
    if (!group || EVP_PKEY_is_a(group, "DH") != 1) {
        EVP_PKEY_free(group);
        return wrong(f, ERR_INVAL, "holds no Diffie-Hellman parameters");
    }
    if (SSL_CTX_set0_tmp_dh_pkey(c->ssl, group) != 1) {
        EVP_PKEY_free(group);
        return wrong_because(f, "cannot be used", tls_words_take("unknown reason"));
    }
    return ERR_OK;
}

enum err tls_files_dh(struct tls_ctx *c, const struct tls_settings *s, char why[TLS_WHY_MAX])
{
    if (!s->dhparamfile) {
        (void)SSL_CTX_set_dh_auto(c->ssl, 1);
        return ERR_OK;
    }
    struct pem f = {
        .prefix = c->prefix, .option = "dhparamfile", .path = s->dhparamfile, .why = why};
    enum err e = pem_open(&f);
    if (e == ERR_OK) {
        e = use_dhparam(c, &f);
    }
    pem_close(&f);
    return e;
}
