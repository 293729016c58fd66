/*
 * TLS as a client over transports of memory, against our own server, OpenSSL's, and strangers.
 */
#include "net/tls.h"

#include "certs.h"
#include "memwire.h"
#include "net/tls_inside.h"
#include "unit.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define HOST "broker.example"

/* Made once: keys take their time. */
static struct files {
    char directory[64];
    struct certs_pair ca, server, client;
    char ca_path[CERTS_PATH_MAX], cert_path[CERTS_PATH_MAX], key_path[CERTS_PATH_MAX];
    char client_path[CERTS_PATH_MAX], client_key_path[CERTS_PATH_MAX];
} files;

static int make_files(void **state)
{
    (void)state;
    certs_directory(files.directory);
    files.ca = certs_make(&(struct certs_wish){.cn = "Test CA", .ca = true});
    files.server = certs_make(&(struct certs_wish){.cn = "a server",
                                                   .san = "DNS:" HOST ",IP:127.0.0.1,IP:fe80::1",
                                                   .serial = 5,
                                                   .issuer = &files.ca});
    files.client =
        certs_make(&(struct certs_wish){.cn = "alice", .serial = 7, .issuer = &files.ca});
    (void)certs_write(files.directory, "ca.pem", &files.ca.x, 1, files.ca_path);
    (void)certs_write(files.directory, "cert.pem", &files.server.x, 1, files.cert_path);
    (void)certs_write_key(files.directory, "key.pem", files.server.key, NULL, files.key_path);
    (void)certs_write(files.directory, "client.pem", &files.client.x, 1, files.client_path);
    (void)certs_write_key(files.directory, "client.key", files.client.key, NULL,
                          files.client_key_path);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    certs_free(&files.ca);
    certs_free(&files.server);
    certs_free(&files.client);
    certs_remove(files.directory);
    return 0;
}

/* ---- two ends ---- */

struct end {
    struct tls_ctx *ctx;
    struct memwire wire;
    struct transport *t;
    enum err result; /* of the handshake */
};

struct ends {
    struct end client, server;
    int version; /* the highest of the server; 0 = any */
};

static struct tls_client_settings usual(void)
{
    return (struct tls_client_settings){.cafile = files.ca_path};
}

static struct tls_settings usual_server(void)
{
    return (struct tls_settings){.certfile = files.cert_path, .keyfile = files.key_path};
}

static void make_client(struct ends *e, const struct tls_client_settings *s)
{
    char why[TLS_WHY_MAX];
    if (tls_ctx_new_client(s, &e->client.ctx, why) != ERR_OK) {
        fail_msg("%s", why);
    }
}

static void make_server(struct ends *e, const struct tls_settings *s)
{
    char why[TLS_WHY_MAX];
    if (tls_ctx_new(s, &e->server.ctx, why) != ERR_OK) {
        fail_msg("%s", why);
    }
}

static void make_ends(struct ends *e, const struct tls_client_settings *client,
                      const struct tls_settings *server)
{
    *e = (struct ends){0};
    make_client(e, client);
    make_server(e, server);
}

/* False: without memory. */
static bool try_to_carry(struct memwire *from, struct memwire *to)
{
    if (buf_add(&to->in, buf_begin(&from->out), from->out.len) != ERR_OK) {
        return false;
    }
    buf_clear(&from->out);
    to->ended = to->ended || from->closed || from->finished;
    return true;
}

static void carry(struct memwire *from, struct memwire *to)
{
    assert_true(try_to_carry(from, to));
}

static void begin_end(struct end *end)
{
    memwire_init(&end->wire);
    end->result = ERR_AGAIN;
}

/* False: without memory. */
static bool begin(struct ends *e, const char *host)
{
    begin_end(&e->client);
    begin_end(&e->server);
    if (e->version != 0) {
        assert_int_equal(SSL_CTX_set_max_proto_version(e->server.ctx->ssl, e->version), 1);
    }
    e->client.t = tls_connect(e->client.ctx, &e->client.wire.base, host);
    e->server.t = tls_accept(e->server.ctx, &e->server.wire.base, e);
    return e->client.t && e->server.t;
}

static void step(struct end *end)
{
    if (end->result == ERR_AGAIN) {
        end->result = transport_step(end->t);
        if (end->result != ERR_OK && end->result != ERR_AGAIN) {
            transport_finish(end->t);
        }
    }
    assert_int_equal(ERR_peek_error(), 0);
}

static void shake(struct ends *e)
{
    for (int i = 0; i < 10; i++) {
        step(&e->client);
        carry(&e->client.wire, &e->server.wire);
        step(&e->server);
        carry(&e->server.wire, &e->client.wire);
    }
}

static ssize_t hears(struct end *end, void *p, size_t n)
{
    ssize_t result = transport_read(end->t, p, n);
    assert_int_equal(ERR_peek_error(), 0);
    return result;
}

static ssize_t says(struct end *end, const void *p, size_t n)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
    ssize_t result = transport_writev(end->t, &iov, 1);
    assert_int_equal(ERR_peek_error(), 0);
    return result;
}

static void close_end(struct end *end)
{
    if (end->t) {
        transport_close(end->t);
        assert_true(end->wire.closed);
        end->t = NULL;
    }
    memwire_clear(&end->wire);
    assert_int_equal(ERR_peek_error(), 0);
}

static void disconnect(struct ends *e)
{
    close_end(&e->client);
    close_end(&e->server);
}

static void clear_ends(struct ends *e)
{
    disconnect(e);
    tls_ctx_unref(e->client.ctx);
    tls_ctx_unref(e->server.ctx);
}

/* A byte each way, so that what comes after the handshake has come. */
static void talk(struct ends *e)
{
    char room[8];
    assert_int_equal(says(&e->client, "a", 1), 1);
    carry(&e->client.wire, &e->server.wire);
    assert_int_equal(hears(&e->server, room, sizeof(room)), 1);
    assert_int_equal(says(&e->server, "b", 1), 1);
    carry(&e->server.wire, &e->client.wire);
    assert_int_equal(hears(&e->client, room, sizeof(room)), 1);
    assert_int_equal(room[0], 'b');
}

static void open_ends(struct ends *e, const char *host)
{
    assert_true(begin(e, host));
    shake(e);
    if (e->client.result != ERR_OK) {
        fail_msg("%s", tls_why(e->client.t));
    }
    assert_ok(e->server.result);
    talk(e);
}

/* The client has ended it, for this reason. */
static void expect(const struct ends *e, const char *why)
{
    assert_int_not_equal(e->client.result, ERR_OK);
    assert_int_not_equal(e->client.result, ERR_AGAIN);
    assert_string_equal(tls_why(e->client.t), why);
    assert_true(transport_read(e->client.t, (char[8]){0}, 8) < 0);
    assert_int_not_equal(transport_step(e->client.t), ERR_OK);
}

static void bytes_both_ways(void **state)
{
    (void)state;
    const struct tls_client_settings s = usual();
    const struct tls_settings server = usual_server();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ends e;
        char text[TLS_TEXT_MAX];
        make_ends(&e, &s, &server);
        e.version = version;
        open_ends(&e, HOST);
        const char *expected = version == TLS1_3_VERSION
                                   ? "TLSv1.3 cipher TLS_AES_256_GCM_SHA384"
                                   : "TLSv1.2 cipher ECDHE-ECDSA-AES256-GCM-SHA384";
        assert_string_equal(tls_text(e.client.t, text), expected);
        assert_int_equal(transport_wants(e.client.t), TRANSPORT_WANTS_NOTHING);
        clear_ends(&e);
    }
}

/* ---- who is there ---- */

static void names_of_hosts(void **state)
{
    (void)state;
    static const struct {
        const char *san, *cn, *host, *why;
    } cases[] = {
        {"DNS:" HOST, "x", HOST, NULL},
        {"DNS:" HOST, "x", "Broker.Example", NULL},
        {"DNS:" HOST, "x", HOST ".", NULL},
        {NULL, HOST, HOST, NULL},
        {"DNS:*.site.example", "x", "a.site.example", NULL},
        {"DNS:*.example", "x", HOST,
         "the server's certificate is not for " HOST ", but for *.example"},
        {"IP:127.0.0.1", "x", "127.0.0.1", NULL},
        {"IP:fe80::1", "x", "fe80::1%lo", NULL},
        {"IP:fe80::1", "x", "FE80:0::1", NULL},
        {"DNS:" HOST, "x", "other.example",
         "the server's certificate is not for other.example, but for " HOST},
        {"DNS:a,DNS:b,IP:::1,DNS:c,email:d@e", "x", HOST,
         "the server's certificate is not for " HOST ", but for a, b, ::1 and 1 more"},
        {NULL, "x", HOST, "the server's certificate is not for " HOST ", but for x"},
        {NULL, "x\n[y]", HOST,
         "the server's certificate is not for " HOST ", but for x\\x0a\\x5by\\x5d"},
        {NULL, NULL, HOST,
         "the server's certificate is not for " HOST ", but for nobody: it has no name"},
        {"DNS:a", HOST, HOST, "the server's certificate is not for " HOST ", but for a"},
        {"DNS:b*.example", "x", HOST,
         "the server's certificate is not for " HOST ", but for b*.example"},
        {"DNS:*.site.example", "x", "a.b.site.example",
         "the server's certificate is not for a.b.site.example, but for *.site.example"},
        {"DNS:b*.site.example", "x", "broker.site.example",
         "the server's certificate is not for broker.site.example, but for b*.site.example"},
        {"DNS:*", "x", HOST, "the server's certificate is not for " HOST ", but for *"},
        {"DNS:127.0.0.1", "127.0.0.1", "127.0.0.1",
         "the server's certificate is not for 127.0.0.1, but for 127.0.0.1 (an address must be in "
         "it as IP)"},
        {"DNS:" HOST, "x", "", "no certificate can be for a host of that name"},
        {"DNS:" HOST, "x", ".example", "no certificate can be for a host of that name"},
        {"DNS:" HOST, "x", ".", "no certificate can be for a host of that name"},
        {"DNS:" HOST, "x", HOST "%lo", "no certificate can be for a host of that name"},
        {"DNS:" HOST, "x", "%lo", "no certificate can be for a host of that name"},
    };
    const struct tls_client_settings s = usual();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ends e;
        char cert[CERTS_PATH_MAX];
        char key[CERTS_PATH_MAX];
        struct certs_pair pair = certs_make(
            &(struct certs_wish){.cn = cases[i].cn, .san = cases[i].san, .issuer = &files.ca});
        const struct tls_settings server = {
            .certfile = certs_write(files.directory, "n.pem", &pair.x, 1, cert),
            .keyfile = certs_write_key(files.directory, "n.key", pair.key, NULL, key),
        };
        make_ends(&e, &s, &server);
        if (cases[i].why) {
            assert_true(begin(&e, cases[i].host));
            shake(&e);
            expect(&e, cases[i].why);
        } else {
            open_ends(&e, cases[i].host);
        }
        clear_ends(&e);
        certs_free(&pair);
    }
}

/* A server with a certificate of its own, made for the case. */
static void make_other_server(struct ends *e, const struct certs_pair *pair,
                              const struct certs_pair *ca)
{
    char cert[CERTS_PATH_MAX];
    char key[CERTS_PATH_MAX];
    X509 *const chain[] = {pair->x, ca ? ca->x : NULL};
    const struct tls_settings s = {
        .certfile = certs_write(files.directory, "o.pem", chain, 2, cert),
        .keyfile = certs_write_key(files.directory, "o.key", pair->key, NULL, key),
    };
    make_server(e, &s);
}

static const char *day(int days, char out[16])
{
    time_t then = time(NULL) + (time_t)days * 86400;
    struct tm tm;
    (void)gmtime_r(&then, &tm);
    (void)strftime(out, 16, "%Y-%m-%d", &tm);
    return out;
}

static void meet(struct ends *e, int version, const struct certs_wish *wish,
                 const struct certs_pair *shown_ca, const char *why)
{
    const struct tls_client_settings s = usual();
    struct certs_pair pair = certs_make(wish);
    *e = (struct ends){.version = version};
    make_client(e, &s);
    make_other_server(e, &pair, shown_ca);
    assert_true(begin(e, HOST));
    shake(e);
    expect(e, why);
    certs_free(&pair);
    clear_ends(e);
}

static void certificates_that_will_not_do(void **state)
{
    (void)state;
    struct certs_pair other = certs_make(&(struct certs_wish){.cn = "Other 'CA'", .ca = true});
    struct certs_pair nobody = certs_make(&(struct certs_wish){.ca = true});
    struct certs_pair old = certs_make(&(struct certs_wish){
        .cn = "Old CA", .ca = true, .issuer = &files.ca, .from_days = -9, .until_days = -8});
    struct certs_pair none = certs_make(&(struct certs_wish){.cn = "none", .issuer = &files.ca});
    char from[16];
    char until[16];
    char ca_until[16];
    char expired[80];
    char early[80];
    char old_ca[80];
    (void)snprintf(expired, sizeof(expired), "the server's certificate expired on %s",
                   day(-10, until));
    (void)snprintf(early, sizeof(early), "the server's certificate is not valid before %s",
                   day(10, from));
    (void)snprintf(old_ca, sizeof(old_ca), "certificate 2 of the server's chain expired on %s",
                   day(-8, ca_until));
    const struct {
        struct certs_wish wish;
        const struct certs_pair *shown;
        const char *why;
    } cases[] = {
        {{.from_days = -20, .until_days = -10, .issuer = &files.ca}, NULL, expired},
        {{.from_days = 10, .until_days = 20, .issuer = &files.ca}, NULL, early},
        {{.issuer = &other},
         NULL,
         "the server's certificate is of an authority that is not trusted: Other \\x27CA\\x27"},
        {{.issuer = &other},
         &other,
         "certificate 2 of the server's chain is of an authority that is not trusted: "
         "Other \\x27CA\\x27"},
        {{.cn = "x", .issuer = &nobody},
         NULL,
         "the server's certificate is of an authority that is not trusted: it has no name"},
        {{.cn = "self"},
         NULL,
         "the server's certificate is signed by itself, an unknown authority"},
        {{.issuer = &files.ca, .eku = "clientAuth"},
         NULL,
         "the server's certificate is not for servers"},
        {{.issuer = &old}, &old, old_ca},
        {{.issuer = &none},
         &none,
         "the server's certificate is signed by one that is no authority's"},
        {{.issuer = &files.ca, .key = CERTS_RSA_1024},
         NULL,
         "the server's certificate has too small a key"},
    };
    for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
        struct ends e;
        struct certs_wish wish = cases[i / 2].wish;
        wish.san = "DNS:" HOST;
        if (wish.key != CERTS_RSA_1024) {
            meet(&e, i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION, &wish, cases[i / 2].shown,
                 cases[i / 2].why);
        }
    }
    certs_free(&other);
    certs_free(&nobody);
    certs_free(&old);
    certs_free(&none);
}

/* It forgives the name, and nothing else. */
static void insecure(void **state)
{
    (void)state;
    struct tls_client_settings s = usual();
    struct ends e = {0};
    struct certs_pair self = certs_make(&(struct certs_wish){.cn = HOST});
    struct certs_pair old = certs_make(
        &(struct certs_wish){.cn = HOST, .issuer = &files.ca, .from_days = -9, .until_days = -8});
    const struct tls_settings server = usual_server();
    s.insecure = true;
    make_ends(&e, &s, &server);
    open_ends(&e, "another.name");
    disconnect(&e);
    open_ends(&e, "10.9.8.7");
    disconnect(&e);
    tls_ctx_unref(e.server.ctx);
    make_other_server(&e, &self, NULL);
    assert_true(begin(&e, HOST));
    shake(&e);
    expect(&e, "the server's certificate is signed by itself, an unknown authority");
    disconnect(&e);
    tls_ctx_unref(e.server.ctx);
    make_other_server(&e, &old, NULL);
    assert_true(begin(&e, HOST));
    shake(&e);
    assert_non_null(strstr(tls_why(e.client.t), "expired on"));
    clear_ends(&e);
    certs_free(&self);
    certs_free(&old);
}

static void authorities_of_the_system(void **state)
{
    (void)state;
    struct tls_client_settings s = {.use_os_certs = true};
    const struct tls_settings server = usual_server();
    struct ends e;
    assert_int_equal(setenv("SSL_CERT_FILE", files.ca_path, 1), 0);
    make_ends(&e, &s, &server);
    open_ends(&e, HOST);
    clear_ends(&e);
    assert_int_equal(setenv("SSL_CERT_FILE", files.client_path, 1), 0);
    make_ends(&e, &s, &server);
    assert_true(begin(&e, HOST));
    shake(&e);
    expect(&e, "the server's certificate is of an authority that is not trusted: Test CA");
    clear_ends(&e);
    assert_int_equal(unsetenv("SSL_CERT_FILE"), 0);
}

static void authorities_in_a_directory(void **state)
{
    (void)state;
    struct tls_client_settings s = {.capath = files.directory};
    const struct tls_settings server = usual_server();
    struct ends e;
    char name[32];
    char path[CERTS_PATH_MAX];
    (void)snprintf(name, sizeof(name), "%08lx.0",
                   X509_NAME_hash_ex(X509_get_subject_name(files.ca.x), NULL, NULL, NULL));
    make_ends(&e, &s, &server);
    assert_true(begin(&e, HOST));
    shake(&e);
    expect(&e, "the server's certificate is of an authority that is not trusted: Test CA");
    clear_ends(&e);
    (void)certs_write(files.directory, name, &files.ca.x, 1, path);
    make_ends(&e, &s, &server);
    open_ends(&e, HOST);
    clear_ends(&e);
    assert_int_equal(remove(path), 0);
}

/* ---- who we are ---- */

static struct tls_settings with_clients(void)
{
    struct tls_settings s = usual_server();
    s.cafile = files.ca_path;
    s.wants_certificate = true;
    s.require_certificate = true;
    return s;
}

/* What the server has against us comes in the handshake or, with TLS 1.3, behind it. */
static void expect_refusal(struct ends *e, const char *why)
{
    char room[8];
    if (e->client.result == ERR_OK) {
        assert_int_equal(e->version, TLS1_3_VERSION);
        assert_int_equal(hears(&e->client, room, sizeof(room)), -EPROTO);
        e->client.result = transport_step(e->client.t);
    }
    expect(e, why);
}

static void a_certificate_of_ours(void **state)
{
    (void)state;
    const struct tls_settings server = with_clients();
    struct tls_client_settings s = usual();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ends e;
        char name[TLS_NAME_MAX];
        size_t n;
        s.certfile = files.client_path;
        s.keyfile = files.client_key_path;
        make_ends(&e, &s, &server);
        e.version = version;
        open_ends(&e, HOST);
        assert_ok(tls_name(e.server.t, TLS_IDENTITY, name, &n));
        assert_string_equal(name, "alice");
        assert_ok(tls_name(e.client.t, TLS_IDENTITY, name, &n));
        assert_string_equal(name, "a server");
        clear_ends(&e);

        s.certfile = s.keyfile = NULL;
        make_ends(&e, &s, &server);
        e.version = version;
        assert_true(begin(&e, HOST));
        shake(&e);
        expect_refusal(&e, "the server wants a certificate of us, and there is none");
        clear_ends(&e);
    }
}

static void a_certificate_of_ours_that_will_not_do(void **state)
{
    (void)state;
    const struct tls_settings server = with_clients();
    struct tls_client_settings s = usual();
    char cert[CERTS_PATH_MAX];
    char key[CERTS_PATH_MAX];
    const struct {
        struct certs_wish wish;
        const char *why;
    } cases[] = {
        {{.cn = "mallory"}, "the server does not trust our certificate: unknown CA"},
        {{.cn = "old", .issuer = &files.ca, .from_days = -9, .until_days = -8},
         "the server does not trust our certificate: expired"},
    };
    for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
        struct ends e;
        struct certs_pair pair = certs_make(&cases[i / 2].wish);
        s.certfile = certs_write(files.directory, "c.pem", &pair.x, 1, cert);
        s.keyfile = certs_write_key(files.directory, "c.key", pair.key, NULL, key);
        make_ends(&e, &s, &server);
        e.version = i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION;
        assert_true(begin(&e, HOST));
        shake(&e);
        expect_refusal(&e, cases[i / 2].why);
        clear_ends(&e);
        certs_free(&pair);
    }
}

/* ---- pre-shared keys ---- */

static size_t find_psk(void *owner, struct str identity, uint8_t key[TLS_PSK_MAX])
{
    assert_non_null(owner);
    if (!str_eq_c(identity, "dora")) {
        return 0;
    }
    memcpy(key, "\x01\x23\x45\x67\x89\xab\xcd\xef", 8);
    return 8;
}

static void by_pre_shared_key(void **state)
{
    (void)state;
    static const char unknown[] =
        "the server refused: it does not know the PSK identity, or wants no PSK";
    static const struct {
        const char *identity, *key, *why;
    } cases[] = {
        {"dora", "0123456789abcdef", NULL},
        {"dora", "123456789ABCDEF", NULL},
        {"dora", "0123456789abcdee", "the server refused: wrong PSK"},
        {"dora", "00", "the server refused: wrong PSK"},
        {"eve", "0123456789abcdef", unknown},
    };
    const struct tls_settings server = {.psk_hint = "hint", .find_psk = find_psk};
    if (!feature_built(FEATURE_TLS_PSK)) {
        skip();
    }
    for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
        const struct tls_client_settings s = {.psk_identity = cases[i / 2].identity,
                                              .psk_key = cases[i / 2].key};
        struct ends e;
        char name[TLS_NAME_MAX];
        size_t n;
        make_ends(&e, &s, &server);
        e.version = i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION;
        if (cases[i / 2].why) {
            assert_true(begin(&e, "any.name"));
            shake(&e);
            expect_refusal(&e, cases[i / 2].why);
        } else {
            open_ends(&e, "any.name");
            assert_ok(tls_name(e.server.t, TLS_IDENTITY, name, &n));
            assert_string_equal(name, "dora");
        }
        assert_null(e.client.ctx->session);
        clear_ends(&e);
    }
}

static unsigned find_dora(SSL *ssl, const char *identity, unsigned char *key, unsigned key_max)
{
    (void)key_max;
    return (unsigned)find_psk(ssl, str_c(identity), key);
}

static void a_server_with_keys_and_a_certificate(void **state)
{
    (void)state;
    const struct tls_settings server = usual_server();
    const struct tls_client_settings s = {.psk_identity = "dora", .psk_key = "0123456789abcdef"};
    if (!feature_built(FEATURE_TLS_PSK)) {
        skip();
    }
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ends e;
        make_ends(&e, &s, &server);
        e.version = version;
        SSL_CTX_set_psk_server_callback(e.server.ctx->ssl, find_dora);
        open_ends(&e, HOST);
        clear_ends(&e);
    }
}

/* Be it ever so valid: who has the key is whom we want. */
static void a_certificate_in_the_place_of_a_key(void **state)
{
    (void)state;
    const struct tls_settings server = usual_server();
    const struct tls_client_settings s = {.psk_identity = "dora", .psk_key = "0123"};
    if (!feature_built(FEATURE_TLS_PSK)) {
        skip();
    }
    struct ends e;
    make_ends(&e, &s, &server);
    assert_true(begin(&e, HOST));
    shake(&e);
    expect(&e, "the server shows a certificate in the place of the PSK");
    disconnect(&e);
    e.version = TLS1_2_VERSION;
    assert_true(begin(&e, HOST));
    shake(&e);
    expect(&e, "the server refused: it does not know the PSK identity, or wants no PSK");
    clear_ends(&e);
}

/* ---- resumption ---- */

/* OpenSSL's view of the connection that was made last: nothing but the secrets' log hands it out.
 */
static const SSL *seen;

static void see(const SSL *ssl, const char *line)
{
    (void)line;
    seen = ssl;
}

static bool opens_resumed(struct ends *e, const char *host)
{
    SSL_CTX_set_keylog_callback(e->client.ctx->ssl, see);
    open_ends(e, host);
    return SSL_session_reused(seen) == 1;
}

static void farewell(struct ends *e)
{
    transport_finish(e->client.t);
    disconnect(e);
}

static void sessions_are_resumed(void **state)
{
    (void)state;
    const struct tls_client_settings s = usual();
    const struct tls_settings server = usual_server();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ends e;
        char name[TLS_NAME_MAX];
        size_t n;
        make_ends(&e, &s, &server);
        e.version = version;
        assert_false(opens_resumed(&e, HOST));
        farewell(&e);
        assert_true(opens_resumed(&e, HOST));
        assert_ok(tls_name(e.client.t, TLS_IDENTITY, name, &n));
        assert_string_equal(name, "a server");
        /* Without a farewell too: connections break. */
        disconnect(&e);
        assert_true(opens_resumed(&e, HOST "."));
        e.client.wire.error = ECONNRESET;
        assert_int_equal(hears(&e.client, name, 1), -ECONNRESET);
        disconnect(&e);
        assert_true(opens_resumed(&e, HOST));
        disconnect(&e);
        /* Nobody else gets to see it. */
        assert_false(opens_resumed(&e, "127.0.0.1"));
        disconnect(&e);
        assert_false(opens_resumed(&e, HOST));
        disconnect(&e);
        /* A server that does not know it any more. */
        tls_ctx_unref(e.server.ctx);
        make_server(&e, &server);
        assert_false(opens_resumed(&e, HOST));
        disconnect(&e);
        assert_true(opens_resumed(&e, HOST));
        clear_ends(&e);
    }
}

static void sessions_that_are_over(void **state)
{
    (void)state;
    const struct tls_client_settings s = usual();
    const struct tls_settings server = usual_server();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ends e;
        char room[8];
        make_ends(&e, &s, &server);
        e.version = version;
        assert_false(opens_resumed(&e, HOST));
        disconnect(&e);
        assert_true(SSL_SESSION_set_time(e.client.ctx->session, time(NULL) - 100000) > 0);
        assert_false(opens_resumed(&e, HOST));
        disconnect(&e);
        /* TLS itself has failed. */
        assert_true(opens_resumed(&e, HOST));
        assert_int_equal(says(&e.server, "x", 1), 1);
        carry(&e.server.wire, &e.client.wire);
        buf_begin(&e.client.wire.in)[8] ^= 1;
        assert_int_equal(hears(&e.client, room, sizeof(room)), -EPROTO);
        assert_string_equal(tls_why(e.client.t), "its bytes cannot be decrypted");
        disconnect(&e);
        assert_false(opens_resumed(&e, HOST));
        clear_ends(&e);
    }
}

/* What was proven then has expired since. */
static void a_session_of_an_expired_certificate(void **state)
{
    (void)state;
    struct certs_pair soon = certs_make(&(struct certs_wish){.cn = HOST, .issuer = &files.ca});
    const struct tls_client_settings s = usual();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ends e = {.version = version};
        make_client(&e, &s);
        make_other_server(&e, &soon, NULL);
        assert_false(opens_resumed(&e, HOST));
        disconnect(&e);
        X509 *kept = SSL_SESSION_get0_peer(e.client.ctx->session);
        assert_non_null(X509_time_adj_ex(X509_getm_notAfter(kept), 0, -5, NULL));
        assert_false(opens_resumed(&e, HOST));
        clear_ends(&e);
    }
    certs_free(&soon);
}

/* ---- stapled proofs ---- */

struct staple {
    const struct certs_pair *signer;
    const struct certs_pair *about_issuer;
    long serial;
    int status;
    int from_s, until_s; /* from now; until 0 = it does not say */
    bool shows_signer;
    const EVP_MD *md; /* of the certificate's id; NULL = SHA-1 */
    int cut;          /* bytes at its end that are left out; below 0: added */
    int refusal;      /* an OCSP_RESPONSE_STATUS_… */
    size_t spoil;     /* which byte is changed; 0 = none */
};

static OCSP_CERTID *id_of(const struct staple *w)
{
    ASN1_INTEGER *serial = ASN1_INTEGER_new();
    assert_int_equal(ASN1_INTEGER_set(serial, w->serial), 1);
    OCSP_CERTID *id =
        OCSP_cert_id_new(w->md ? w->md : EVP_sha1(), X509_get_subject_name(w->about_issuer->x),
                         X509_get0_pubkey_bitstr(w->about_issuer->x), serial);
    ASN1_INTEGER_free(serial);
    assert_non_null(id);
    return id;
}

static OCSP_BASICRESP *sign_answer(const struct staple *w)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    ASN1_TIME *when = ASN1_TIME_set(NULL, time(NULL) - 86400);
    ASN1_TIME *from = ASN1_TIME_set(NULL, time(NULL) + w->from_s);
    ASN1_TIME *until = w->until_s != 0 ? ASN1_TIME_set(NULL, time(NULL) + w->until_s) : NULL;
    OCSP_CERTID *id = id_of(w);
    bool revoked = w->status == V_OCSP_CERTSTATUS_REVOKED;
    assert_non_null(
        OCSP_basic_add1_status(basic, id, w->status, 0, revoked ? when : NULL, from, until));
    assert_int_equal(OCSP_basic_sign(basic, w->signer->x, w->signer->key, EVP_sha256(), NULL,
                                     w->shows_signer ? 0 : OCSP_NOCERTS),
                     1);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(when);
    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    return basic;
}

static unsigned char *staple_bytes(const struct staple *w, size_t *n)
{
    OCSP_BASICRESP *basic = w->refusal ? NULL : sign_answer(w);
    OCSP_RESPONSE *response = OCSP_response_create(w->refusal, basic);
    assert_non_null(response);
    int size = i2d_OCSP_RESPONSE(response, NULL);
    unsigned char *bytes = OPENSSL_zalloc((size_t)size + 64);
    unsigned char *end = bytes;
    assert_int_equal(i2d_OCSP_RESPONSE(response, &end), size);
    if (w->spoil > 0) {
        bytes[w->spoil % (size_t)size] ^= 1;
    }
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    *n = (size_t)(size - w->cut);
    return bytes;
}

static int give_staple(SSL *ssl, void *arg)
{
    size_t n;
    if (!arg) {
        return SSL_TLSEXT_ERR_NOACK;
    }
    unsigned char *bytes = staple_bytes(arg, &n);
    (void)SSL_set_tlsext_status_ocsp_resp(ssl, bytes, (long)n);
    return SSL_TLSEXT_ERR_OK;
}

static void meet_stapling(struct ends *e, int version, const struct staple *w)
{
    struct tls_client_settings s = usual();
    const struct tls_settings server = usual_server();
    s.require_ocsp = true;
    make_ends(e, &s, &server);
    e->version = version;
    (void)SSL_CTX_set_tlsext_status_cb(e->server.ctx->ssl, give_staple);
    (void)SSL_CTX_set_tlsext_status_arg(e->server.ctx->ssl, (void *)(uintptr_t)w);
    assert_true(begin(e, HOST));
    shake(e);
}

static struct staple good_staple(void)
{
    return (struct staple){.signer = &files.ca,
                           .about_issuer = &files.ca,
                           .serial = 5,
                           .status = V_OCSP_CERTSTATUS_GOOD,
                           .from_s = -3600,
                           .until_s = 3600};
}

static void check_staple(const struct staple *w, const char *why)
{
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ends e;
        meet_stapling(&e, version, w);
        if (why) {
            expect(&e, why);
            assert_err(e.server.result, ERR_PROTOCOL);
            assert_string_equal(tls_why(e.server.t),
                                "the client does not take our proof that our certificate was not "
                                "revoked");
        } else {
            assert_ok(e.client.result);
            talk(&e);
            assert_null(e.client.ctx->session);
        }
        clear_ends(&e);
    }
}

static void stapled_proofs(void **state)
{
    (void)state;
    struct staple w = good_staple();
    check_staple(&w, NULL);
    w.md = EVP_sha256();
    check_staple(&w, NULL);
    w = good_staple();
    w.until_s = 0;
    check_staple(&w, NULL);
    w.from_s = 200; /* clocks differ */
    check_staple(&w, NULL);
    check_staple(NULL, "the server sends no proof that its certificate was not revoked (OCSP)");
}

static const char foreign[] =
    "the server's OCSP response is not signed by the authority of its certificate";

static void stapled_proofs_that_prove_nothing(void **state)
{
    (void)state;
    static const char dated[] = "the server's OCSP response is out of date";
    char room[80];
    char date[16];
    struct staple w = good_staple();
    w.status = V_OCSP_CERTSTATUS_REVOKED;
    (void)snprintf(room, sizeof(room), "the server's certificate was revoked on %s", day(-1, date));
    check_staple(&w, room);
    w.status = V_OCSP_CERTSTATUS_UNKNOWN;
    check_staple(&w, "the authority of the server's certificate does not know it (OCSP)");
    w = good_staple();
    w.serial = 6;
    check_staple(&w, "the server's OCSP response is about another certificate");
    w = good_staple();
    w.about_issuer = &files.client;
    check_staple(&w, foreign);
    w = good_staple();
    w.until_s = -1000;
    check_staple(&w, dated);
    w = good_staple();
    w.from_s = 1000;
    check_staple(&w, dated);
    w = good_staple();
    w.until_s = 0;
    w.from_s = -2 * 86400;
    check_staple(&w, dated);
    w = good_staple();
    w.refusal = OCSP_RESPONSE_STATUS_TRYLATER;
    check_staple(&w, "the server's OCSP response is none: its authority was not able to answer");
    w = good_staple();
    w.cut = 1;
    check_staple(&w, "the server's OCSP response is broken");
    w.cut = -1;
    check_staple(&w, "the server's OCSP response is broken");
}

static void who_may_sign_a_proof(void **state)
{
    (void)state;
    struct certs_pair charged = certs_make(
        &(struct certs_wish){.cn = "responder", .eku = "OCSPSigning", .issuer = &files.ca});
    struct certs_pair other_ca = certs_make(&(struct certs_wish){.cn = "Other CA", .ca = true});
    struct certs_pair stranger = certs_make(
        &(struct certs_wish){.cn = "responder", .eku = "OCSPSigning", .issuer = &other_ca});
    struct certs_pair old = certs_make(&(struct certs_wish){.cn = "responder",
                                                            .eku = "OCSPSigning",
                                                            .issuer = &files.ca,
                                                            .from_days = -9,
                                                            .until_days = -8});
    struct staple w = good_staple();
    w.shows_signer = true;
    w.signer = &charged;
    check_staple(&w, NULL);
    /* One whom the authority has signed, but not charged with this; the server itself, say. */
    w.signer = &files.client;
    check_staple(&w, foreign);
    w.signer = &files.server;
    check_staple(&w, foreign);
    w.signer = &stranger;
    check_staple(&w, foreign);
    w.signer = &other_ca;
    check_staple(&w, foreign);
    w.signer = &old;
    check_staple(&w, foreign);
    w.signer = &charged;
    w.shows_signer = false;
    check_staple(&w, foreign);
    certs_free(&charged);
    certs_free(&other_ca);
    certs_free(&stranger);
    certs_free(&old);
}

/* Whatever byte of it is changed, it proves nothing any more. */
static void a_proof_that_was_tampered_with(void **state)
{
    (void)state;
    struct staple w = good_staple();
    size_t size;
    OPENSSL_free(staple_bytes(&w, &size));
    for (w.spoil = 1; w.spoil < size; w.spoil += 3) {
        struct ends e;
        meet_stapling(&e, w.spoil % 2 ? TLS1_2_VERSION : TLS1_3_VERSION, &w);
        assert_int_not_equal(e.client.result, ERR_OK);
        clear_ends(&e);
    }
}

/* ---- protocols, versions, ciphers ---- */

static void alpn(void **state)
{
    (void)state;
    static const struct {
        const char *offer, *chosen;
    } cases[] = {{"mqtt", "mqtt"}, {"h2, mqtt", "mqtt"}, {"x-amzn-mqtt-ca", ""}, {NULL, ""}};
    const struct tls_settings server = usual_server();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct tls_client_settings s = usual();
        struct ends e;
        const unsigned char *chosen = NULL;
        unsigned n = 0;
        s.alpn = cases[i].offer;
        make_ends(&e, &s, &server);
        (void)opens_resumed(&e, HOST);
        SSL_get0_alpn_selected(seen, &chosen, &n);
        assert_int_equal(n, strlen(cases[i].chosen));
        if (n > 0) {
            assert_memory_equal(chosen, cases[i].chosen, n);
        }
        clear_ends(&e);
    }
}

/* What a server is told of whom we want. */
static char told[64];

static int note_name(SSL *ssl, int *alert, void *unused)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    (void)unused;
    (void)snprintf(told, sizeof(told), "%s", name ? name : "");
    return SSL_TLSEXT_ERR_OK;
}

static void a_name_is_told_an_address_is_not(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {HOST, HOST}, {HOST ".", HOST}, {"127.0.0.1", ""}, {"fe80::1%lo", ""}};
    const struct tls_client_settings s = usual();
    const struct tls_settings server = usual_server();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ends e;
        make_ends(&e, &s, &server);
        (void)SSL_CTX_set_tlsext_servername_callback(e.server.ctx->ssl, note_name);
        (void)snprintf(told, sizeof(told), "nothing");
        open_ends(&e, cases[i][0]);
        assert_string_equal(told, cases[i][1]);
        clear_ends(&e);
    }
}

static void versions(void **state)
{
    (void)state;
    struct tls_client_settings s = usual();
    struct tls_settings server = usual_server();
    struct ends e;
    char text[TLS_TEXT_MAX];
    server.lowest = 11;
    make_ends(&e, &s, &server);
    e.version = TLS1_1_VERSION;
    assert_true(begin(&e, HOST));
    shake(&e);
    expect(&e, "the server does not speak our TLS versions");
    clear_ends(&e);
    s.lowest = 11;
    make_ends(&e, &s, &server);
    e.version = TLS1_1_VERSION;
    open_ends(&e, HOST);
    assert_non_null(strstr(tls_text(e.client.t, text), "TLSv1.1 "));
    clear_ends(&e);
    s.lowest = 13;
    make_ends(&e, &s, &server);
    e.version = TLS1_2_VERSION;
    assert_true(begin(&e, HOST));
    shake(&e);
    expect(&e, "the server does not speak our TLS versions");
    clear_ends(&e);
}

static void ciphers(void **state)
{
    (void)state;
    struct tls_client_settings s = usual();
    const struct tls_settings server = usual_server();
    struct ends e;
    char text[TLS_TEXT_MAX];
    s.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
    s.ciphers_tls13 = "TLS_CHACHA20_POLY1305_SHA256";
    make_ends(&e, &s, &server);
    open_ends(&e, HOST);
    assert_string_equal(tls_text(e.client.t, text), "TLSv1.3 cipher TLS_CHACHA20_POLY1305_SHA256");
    disconnect(&e);
    e.version = TLS1_2_VERSION;
    open_ends(&e, HOST);
    assert_string_equal(tls_text(e.client.t, text), "TLSv1.2 cipher ECDHE-ECDSA-AES128-GCM-SHA256");
    clear_ends(&e);
    s.ciphers = "ECDHE-RSA-AES128-GCM-SHA256";
    make_ends(&e, &s, &server);
    e.version = TLS1_2_VERSION;
    assert_true(begin(&e, HOST));
    shake(&e);
    expect(&e, "the server refused the handshake");
    clear_ends(&e);
}

/* Ciphers without any proof of who is there are no way around it, even if they are asked for. */
static void nobody_in_particular(void **state)
{
    (void)state;
    struct tls_client_settings s = usual();
    struct tls_settings server = usual_server();
    struct ends e;
    s.ciphers = server.ciphers = "aNULL:@SECLEVEL=0";
    make_ends(&e, &s, &server);
    e.version = TLS1_2_VERSION;
    assert_true(begin(&e, HOST));
    shake(&e);
    expect(&e, "the server has shown no certificate");
    clear_ends(&e);
}

static void note_line(void *ctx, const char *line)
{
    assert_ok(buf_printf(ctx, "%s\n", line));
}

static void secrets_are_told(void **state)
{
    (void)state;
    struct buf lines = {0};
    struct tls_client_settings s = usual();
    const struct tls_settings server = usual_server();
    struct ends e;
    s.keylog = note_line;
    s.keylog_ctx = &lines;
    make_ends(&e, &s, &server);
    open_ends(&e, HOST);
    assert_ok(buf_add(&lines, "", 1));
    assert_non_null(strstr((char *)buf_begin(&lines), "CLIENT_TRAFFIC_SECRET_0 "));
    clear_ends(&e);
    buf_clear(&lines);
}

/* ---- strangers at the other end ---- */

static void other_bytes_than_tls(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *why;
    } cases[] = {
        {"\x20\x02\0\x01", 4, "the server speaks MQTT without TLS on this port"},
        {"\x20\x02\0\0\x90\x03", 6, "the server speaks MQTT without TLS on this port"},
        {"HTTP/1.1 400 Bad Request\r\n\r\n", 28, "the server speaks HTTP without TLS on this port"},
        {"SSH-2.0-OpenSSH_9.2p1\r\n", 23, "the server does not speak TLS on this port"},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, "the server does not speak TLS on this port"},
        {"", 0, "the server closed the connection during the handshake"},
        {"\x20\x02\0", 3, "the server speaks MQTT without TLS on this port"},
        {"\x15\x03\x03\0\x02\x02\x28", 7, "the server refused the handshake"},
        {"\x15\x03\x03\0\x02\x02\x70", 7, "the server does not know our name"},
        {"\x15\x03\x03\0\x02\x02\xff", 7, "TLS has failed"},
        {"\x16\x03\x03\0\x02\x02\0\0\0", 9, "a ServerHello that is too long, or cut to pieces"},
        {"\x16\x03\x03\x40\0\x02\x01\0\0", 9, "a ServerHello that is too long, or cut to pieces"},
    };
    const struct tls_client_settings s = usual();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ends e = {0};
        make_client(&e, &s);
        begin_end(&e.client);
        e.client.t = tls_connect(e.client.ctx, &e.client.wire.base, HOST);
        assert_int_equal(transport_wants(e.client.t), TRANSPORT_WANTS_READ);
        assert_err(transport_step(e.client.t), ERR_AGAIN);
        assert_true(e.client.wire.out.len > 100);
        assert_ok(buf_add(&e.client.wire.in, cases[i].bytes, cases[i].n));
        /* What is clear already is not waited for. */
        step(&e.client);
        assert_true(e.client.result != ERR_AGAIN || cases[i].n == 0);
        e.client.wire.ended = true;
        step(&e.client);
        expect(&e, cases[i].why);
        close_end(&e.client);
        tls_ctx_unref(e.client.ctx);
    }
}

static void a_broken_connection(void **state)
{
    (void)state;
    const struct tls_client_settings s = usual();
    struct ends e = {0};
    make_client(&e, &s);
    begin_end(&e.client);
    e.client.t = tls_connect(e.client.ctx, &e.client.wire.base, HOST);
    e.client.wire.error = ECONNRESET;
    assert_err(transport_step(e.client.t), ERR_SYSTEM);
    assert_string_equal(tls_why(e.client.t), "Connection reset by peer");
    close_end(&e.client);
    tls_ctx_unref(e.client.ctx);
}

/* What is done to the stream of the server. */
struct harm {
    size_t at;  /* at which of its bytes */
    int change; /* 0 = it ends there; else it is changed thus */
};

/* On what the server has said after `before` bytes. False: nothing comes through any more. */
static bool inflict(const struct harm *harm, size_t before, struct buf *out)
{
    if (harm->at < before || harm->at >= before + out->len) {
        return harm->at >= before || harm->change != 0;
    }
    size_t at = harm->at - before;
    if (harm->change == 0) {
        out->len = (uint32_t)at;
        return false;
    }
    buf_begin(out)[at] ^= (uint8_t)harm->change;
    return true;
}

/* How many bytes the server would have sent. */
static size_t shake_harmed(struct ends *e, const struct harm *harm)
{
    size_t sent = 0;
    char room[8];
    for (int i = 0; i < 10; i++) {
        step(&e->client);
        carry(&e->client.wire, &e->server.wire);
        step(&e->server);
        if (e->server.result == ERR_OK && i == 8) {
            (void)says(&e->server, "b", 1);
        }
        size_t more = e->server.wire.out.len;
        bool goes_on = !harm || inflict(harm, sent, &e->server.wire.out);
        sent += more;
        if (!e->client.wire.ended) {
            carry(&e->server.wire, &e->client.wire);
        }
        e->client.wire.ended = e->client.wire.ended || !goes_on;
    }
    ssize_t n = e->client.result == ERR_OK ? hears(&e->client, room, sizeof(room)) : -EPROTO;
    assert_true(n == -EAGAIN || n == -EPROTO || n == 0 || (n == 1 && room[0] == 'b'));
    return sent;
}

static void bytes_that_are_cut_or_changed(void **state)
{
    (void)state;
    const struct tls_client_settings s = usual();
    const struct tls_settings server = usual_server();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ends e;
        make_ends(&e, &s, &server);
        e.version = version;
        assert_true(begin(&e, HOST));
        size_t all = shake_harmed(&e, NULL);
        assert_true(all > 500);
        disconnect(&e);
        static const int changes[] = {0, 1, 0x80, 0xff};
        for (size_t at = 0; at < all; at++) {
            struct harm harm = {.at = at, .change = changes[at % ARRAY_SIZE(changes)]};
            assert_true(begin(&e, HOST));
            (void)shake_harmed(&e, &harm);
            assert_true(tls_why(e.client.t)[0] != '\0');
            disconnect(&e);
        }
        clear_ends(&e);
    }
}

/* Hundreds of them in one read would take longer than any turn may. */
static void tickets_without_end(void **state)
{
    (void)state;
    const struct tls_client_settings s = usual();
    const struct tls_settings server = usual_server();
    struct ends e;
    char room[8];
    make_ends(&e, &s, &server);
    SSL_CTX_set_keylog_callback(e.server.ctx->ssl, see);
    open_ends(&e, HOST);
    SSL *ssl = (SSL *)(uintptr_t)seen;
    ssize_t n = 1;
    int turns = 0;
    for (; n == 1 && turns < 40; turns++) {
        for (int i = 0; i < (turns < 20 ? 1 : 10); i++) {
            assert_int_equal(SSL_new_session_ticket(ssl), 1);
        }
        assert_int_equal(says(&e.server, "x", 1), 1);
        carry(&e.server.wire, &e.client.wire);
        n = hears(&e.client, room, sizeof(room));
    }
    assert_int_equal(n, -EPROTO);
    assert_true(turns > 20 && turns < 24);
    assert_string_equal(tls_why(e.client.t),
                        "the server updates its keys, or sends tickets, all the time");
    clear_ends(&e);
}

static void short_reads_and_writes(void **state)
{
    (void)state;
    struct tls_client_settings s = usual();
    const struct tls_settings server = with_clients();
    struct rng chance;
    s.certfile = files.client_path;
    s.keyfile = files.client_key_path;
    rng_seed(&chance, 6);
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ends e;
        char room[8];
        make_ends(&e, &s, &server);
        e.version = version;
        assert_true(begin(&e, HOST));
        e.client.wire.chance = e.server.wire.chance = &chance;
        for (int i = 0; i < 3000; i++) {
            bool writes = transport_wants(e.client.t) & TRANSPORT_WANTS_WRITE;
            if (e.client.result == ERR_OK && writes) {
                assert_ok(transport_step(e.client.t));
            }
            step(&e.client);
            carry(&e.client.wire, &e.server.wire);
            if (e.server.result == ERR_OK && transport_wants(e.server.t) & TRANSPORT_WANTS_WRITE) {
                assert_ok(transport_step(e.server.t));
            }
            step(&e.server);
            carry(&e.server.wire, &e.client.wire);
        }
        assert_ok(e.client.result);
        assert_ok(e.server.result);
        e.client.wire.chance = e.server.wire.chance = NULL;
        (void)hears(&e.client, room, sizeof(room));
        talk(&e);
        clear_ends(&e);
    }
}

/* ---- contexts ---- */

static void expect_bad(const struct tls_client_settings *s, enum err expected, const char *why)
{
    struct tls_ctx *c;
    char got[TLS_WHY_MAX];
    assert_err(tls_ctx_new_client(s, &c, got), expected);
    assert_null(c);
    assert_string_equal(got, why);
    assert_int_equal(ERR_peek_error(), 0);
}

static void settings_that_will_not_do(void **state)
{
    (void)state;
    struct tls_client_settings s = {.prefix = "bridge_"};
    char why[TLS_WHY_MAX];
    expect_bad(&s, ERR_INVAL,
               "TLS needs to know who signs the server's certificate: bridge_cafile, bridge_capath "
               "or bridge_tls_use_os_certs");
    s.cafile = "/nonexistent";
    expect_bad(&s, ERR_SYSTEM,
               "bridge_cafile '/nonexistent' cannot be read: No such file or directory");
    s.cafile = files.key_path;
    (void)snprintf(why, sizeof(why), "bridge_cafile '%s' holds no certificate", files.key_path);
    expect_bad(&s, ERR_INVAL, why);
    s.cafile = files.ca_path;
    s.certfile = files.client_path;
    expect_bad(&s, ERR_INVAL, "bridge_certfile needs bridge_keyfile too");
    s.keyfile = files.key_path;
    (void)snprintf(why, sizeof(why), "bridge_keyfile '%s' does not belong to bridge_certfile '%s'",
                   files.key_path, files.client_path);
    expect_bad(&s, ERR_INVAL, why);
    s.certfile = NULL;
    expect_bad(&s, ERR_INVAL, "bridge_keyfile needs bridge_certfile too");
    s.keyfile = NULL;
    s.ciphers = "nonsense";
    expect_bad(&s, ERR_INVAL, "bridge_ciphers 'nonsense': no such cipher");
    s.ciphers = NULL;
    s.ciphers_tls13 = "nonsense";
    expect_bad(&s, ERR_INVAL, "bridge_ciphers_tls1.3 'nonsense': no such cipher");
    s.ciphers_tls13 = NULL;
    s.lowest = 10;
    expect_bad(&s, ERR_INVAL, "bridge_tls_version: this OpenSSL cannot do it (unknown version)");
}

static void protocols_that_will_not_do(void **state)
{
    (void)state;
    static const char *const bad[] = {"", ",", "mqtt,", ",mqtt", "a,,b", " "};
    struct tls_client_settings s = usual();
    char why[TLS_WHY_MAX];
    char name[300];
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        s.alpn = bad[i];
        (void)snprintf(why, sizeof(why),
                       "alpn '%s': each name has 1 to 255 bytes, with a comma between them",
                       bad[i]);
        expect_bad(&s, ERR_INVAL, why);
    }
    struct tls_ctx *c;
    memset(name, 'x', sizeof(name));
    name[256] = '\0';
    s.alpn = name;
    assert_err(tls_ctx_new_client(&s, &c, why), ERR_INVAL);
    name[255] = '\0';
    assert_ok(tls_ctx_new_client(&s, &c, why));
    tls_ctx_unref(c);
}

static void keys_that_will_not_do(void **state)
{
    (void)state;
    static const char bad[] = "psk is not a key of 1 to 256 bytes in hexadecimal";
    struct tls_client_settings s = {.psk_identity = "dora"};
    char key[2 * TLS_PSK_MAX + 2];
    if (!feature_built(FEATURE_TLS_PSK)) {
        s.psk_key = "01";
        expect_bad(&s, ERR_UNSUPPORTED, "psk needs a build with WITH_TLS_PSK=yes");
        skip();
    }
    expect_bad(&s, ERR_INVAL, "identity needs psk too");
    s.psk_key = "";
    expect_bad(&s, ERR_INVAL, bad);
    s.psk_key = "0x12";
    expect_bad(&s, ERR_INVAL, bad);
    memset(key, 'a', sizeof(key));
    key[sizeof(key) - 1] = '\0';
    s.psk_key = key;
    expect_bad(&s, ERR_INVAL, bad);
    s.psk_key = "12";
    s.psk_identity = NULL;
    expect_bad(&s, ERR_INVAL, "psk needs identity too");
    s.psk_identity = "";
    expect_bad(&s, ERR_INVAL, "identity is not of 1 to 256 bytes");
}

static void a_certificate_of_ours_has_dates(void **state)
{
    (void)state;
    struct tls_client_settings s = usual();
    struct tls_ctx *c;
    char why[TLS_WHY_MAX];
    int64_t now = time(NULL);
    assert_ok(tls_ctx_new_client(&s, &c, why));
    assert_int_equal(tls_ctx_expires(c), 0);
    assert_ok(tls_ctx_check(c, now, why));
    tls_ctx_unref(c);
    s.certfile = files.client_path;
    s.keyfile = files.client_key_path;
    s.prefix = "bridge_";
    assert_ok(tls_ctx_new_client(&s, &c, why));
    assert_ok(tls_ctx_check(c, now, why));
    assert_true(tls_ctx_expires(c) > now);
    assert_err(tls_ctx_check(c, now + 40 * 86400, why), ERR_INVAL);
    assert_non_null(strstr(why, "bridge_certfile '"));
    assert_non_null(strstr(why, "expired on"));
    tls_ctx_unref(c);
}

/* ---- without memory ---- */

/* Two connections, of which the second is resumed; false if memory was missed. */
static bool whole_life(struct ends *e)
{
    const struct tls_client_settings s = {.cafile = files.ca_path,
                                          .certfile = files.client_path,
                                          .keyfile = files.client_key_path,
                                          .alpn = "a,mqtt"};
    char why[TLS_WHY_MAX];
    enum err made = tls_ctx_new_client(&s, &e->client.ctx, why);
    bool good = made == ERR_OK;
    assert_true(good || (made == ERR_NOMEM && why[0] != '\0'));
    for (int i = 0; i < 2 && good; i++) {
        good = begin(e, HOST);
        for (int turn = 0; turn < 10 && good; turn++) {
            step(&e->client);
            good = try_to_carry(&e->client.wire, &e->server.wire);
            step(&e->server);
            good = good && try_to_carry(&e->server.wire, &e->client.wire);
        }
        good = good && e->client.result == ERR_OK;
        char room[8];
        good = good && hears(&e->client, room, sizeof(room)) == -EAGAIN;
        disconnect(e);
    }
    tls_ctx_unref(e->client.ctx);
    return good;
}

static void without_memory(void **state)
{
    (void)state;
    unit_needs_tracking();
    const struct tls_settings server = usual_server();
    bool good = false;
    for (uint64_t n = 0; !good; n++) {
        struct ends e = {0};
        make_server(&e, &server);
        size_t before = mem_used();
        mem_fail_after(n, 0);
        good = whole_life(&e) && mem_failed() == 0;
        mem_fail_never();
        assert_int_equal(mem_used(), before);
        assert_true(n < 1000);
        assert_int_equal(ERR_peek_error(), 0);
        tls_ctx_unref(e.server.ctx);
    }
}

/* ---- what the client library asks for ---- */

static void looks_at_nothing(void **state)
{
    (void)state;
    struct tls_client_settings s = {.unverified = true};
    struct ends e = {0};
    struct certs_pair self =
        certs_make(&(struct certs_wish){.cn = "self", .from_days = -9, .until_days = -8});
    char why[TLS_WHY_MAX];
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        e = (struct ends){.version = version};
        make_client(&e, &s);
        make_other_server(&e, &self, NULL);
        open_ends(&e, HOST);
        disconnect(&e);
        open_ends(&e, "10.9.8.7");
        clear_ends(&e);
    }
    /* What is named has to be there all the same. */
    s.cafile = "/nonexistent";
    assert_err(tls_ctx_new_client(&s, &e.client.ctx, why), ERR_SYSTEM);
    certs_free(&self);
}

/* Who wants a proof of no revocation is not content with nothing. */
static void looks_at_nothing_but_wants_a_proof(void **state)
{
    (void)state;
    const struct tls_client_settings s = {.unverified = true, .require_ocsp = true};
    const struct tls_settings server = usual_server();
    struct ends e;
    make_ends(&e, &s, &server);
    assert_true(begin(&e, HOST));
    shake(&e);
    assert_int_not_equal(e.client.result, ERR_OK);
    assert_int_not_equal(e.client.result, ERR_AGAIN);
    clear_ends(&e);
}

static void this_version_or_newer(void **state)
{
    (void)state;
    static const struct {
        unsigned lowest;
        int server;
        const char *text; /* NULL: it fails */
    } cases[] = {
        {12, 0, "TLSv1.3 "},
        {12, TLS1_2_VERSION, "TLSv1.2 "},
        {0, TLS1_2_VERSION, "TLSv1.2 "},
        {11, TLS1_1_VERSION, "TLSv1.1 "},
        {13, 0, "TLSv1.3 "},
        {13, TLS1_2_VERSION, NULL},
        {12, TLS1_1_VERSION, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct tls_client_settings s = usual();
        struct tls_settings server = usual_server();
        struct ends e;
        char text[TLS_TEXT_MAX];
        s.lowest = cases[i].lowest;
        server.lowest = 11;
        make_ends(&e, &s, &server);
        e.version = cases[i].server;
        if (cases[i].text) {
            open_ends(&e, HOST);
            assert_non_null(strstr(tls_text(e.client.t, text), cases[i].text));
        } else {
            assert_true(begin(&e, HOST));
            shake(&e);
            expect(&e, "the server does not speak our TLS versions");
        }
        clear_ends(&e);
    }
}

static void versions_that_cannot_be(void **state)
{
    (void)state;
    static const unsigned cases[] = {10, 14, 1};
    struct tls_client_settings s = usual();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        s.lowest = cases[i];
        expect_bad(&s, ERR_INVAL, "tls_version: this OpenSSL cannot do it (unknown version)");
    }
}

/* The password that is given for a key; NULL: none is. */
struct password {
    const char *password;
    int size; /* of what it says it has written; 0 = as it is */
    unsigned asked;
};

static int tell(char *p, int size, int writing, void *password)
{
    struct password *t = password;
    int n = t->password ? (int)strlen(t->password) : 0;
    assert_int_equal(writing, 0);
    assert_true(n <= size);
    memcpy(p, t->password ? t->password : "", (size_t)n);
    t->asked++;
    return t->size > 0 ? t->size : n;
}

static void an_encrypted_key(void **state)
{
    (void)state;
    static const char wrong[] = "cannot be decrypted: the password is wrong";
    static const struct {
        struct password given;
        const char *why;
    } cases[] = {
        {{"secret", 0, 0}, NULL},
        {{"sesame", 0, 0}, wrong},
        {{NULL, 0, 0}, "is encrypted, and no password was given"},
        {{NULL, -1, 0}, "is encrypted, and no password was given"},
        {{"secret", 1 << 20, 0}, wrong}, /* it claims to have written far too much */
    };
    const struct tls_settings server = with_clients();
    char key[CERTS_PATH_MAX];
    (void)certs_write_key(files.directory, "secret.key", files.client.key, "secret", key);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct password given = cases[i].given;
        struct tls_client_settings s = usual();
        char why[TLS_WHY_MAX];
        s.certfile = files.client_path;
        s.keyfile = key;
        s.key_password = tell;
        s.key_password_data = &given;
        if (cases[i].why) {
            (void)snprintf(why, sizeof(why), "keyfile '%s' %s", key, cases[i].why);
            expect_bad(&s, ERR_INVAL, why);
        } else {
            struct ends e;
            make_ends(&e, &s, &server);
            open_ends(&e, HOST);
            clear_ends(&e);
        }
        assert_int_equal(given.asked, 1);
    }
}

/* ---- an SSL_CTX of the caller's ---- */

static SSL_CTX *somebodys(int mode, bool trusting)
{
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    assert_non_null(c);
    SSL_CTX_set_verify(c, mode, NULL);
    if (trusting) {
        assert_int_equal(SSL_CTX_load_verify_file(c, files.ca_path), 1);
    }
    return c;
}

static void a_foreign_context_as_it_is(void **state)
{
    (void)state;
    static const struct {
        int mode;
        bool trusting, insecure;
        const char *host, *own_host, *why;
    } cases[] = {
        {SSL_VERIFY_PEER, true, false, HOST, NULL, NULL},
        {SSL_VERIFY_PEER, true, false, "127.0.0.1", NULL, NULL},
        {SSL_VERIFY_PEER, true, false, "other.example", NULL,
         "the server's certificate is for another name"},
        {SSL_VERIFY_PEER, true, true, "other.example", NULL, NULL},
        {SSL_VERIFY_PEER, true, false, "other.example", HOST, NULL},
        {SSL_VERIFY_PEER, true, false, HOST, "other.example",
         "the server's certificate is for another name"},
        {SSL_VERIFY_PEER, false, true, HOST, NULL,
         "the server's certificate is of an unknown authority"},
        {SSL_VERIFY_NONE, false, false, "other.example", NULL, NULL},
    };
    const struct tls_settings server = usual_server();
    for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
        SSL_CTX *own = somebodys(cases[i / 2].mode, cases[i / 2].trusting);
        const struct tls_client_settings s = {
            .ssl_ctx = own,
            .ssl_ctx_as_is = true,
            .insecure = cases[i / 2].insecure,
            .cafile = "/nonexistent",
            .alpn = ",",
        };
        struct ends e;
        if (cases[i / 2].own_host) {
            assert_int_equal(
                X509_VERIFY_PARAM_set1_host(SSL_CTX_get0_param(own), cases[i / 2].own_host, 0), 1);
        }
        assert_int_equal(SSL_CTX_set_app_data(own, own), 1);
        make_ends(&e, &s, &server);
        e.version = i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION;
        if (cases[i / 2].why) {
            assert_true(begin(&e, cases[i / 2].host));
            shake(&e);
            assert_int_not_equal(e.client.result, ERR_OK);
            assert_ptr_equal(strstr(tls_why(e.client.t), cases[i / 2].why), tls_why(e.client.t));
        } else {
            open_ends(&e, cases[i / 2].host);
            assert_ptr_equal(SSL_get_SSL_CTX(tls_ssl(e.client.t)), own);
        }
        clear_ends(&e);
        assert_ptr_equal(SSL_CTX_get_app_data(own), own);
        assert_null(SSL_CTX_sess_get_new_cb(own));
        SSL_CTX_free(own);
    }
}

static int chain_length(SSL_CTX *c)
{
    STACK_OF(X509) *chain = NULL;
    (void)SSL_CTX_get0_chain_certs(c, &chain);
    return chain ? sk_X509_num(chain) : 0;
}

/* Several contexts of ours may stand on it, one after the other and at once. */
static void a_foreign_context_with_our_settings(void **state)
{
    (void)state;
    const struct tls_settings server = with_clients();
    SSL_CTX *own = somebodys(SSL_VERIFY_NONE, true);
    X509 *const chain[] = {files.client.x, files.ca.x};
    char cert[CERTS_PATH_MAX];
    struct tls_client_settings s = {
        .ssl_ctx = own,
        .certfile = certs_write(files.directory, "chain.pem", chain, 2, cert),
        .keyfile = files.client_key_path,
    };
    struct ends e;
    struct ends other;
    make_ends(&e, &s, &server);
    make_ends(&other, &s, &server);
    assert_int_equal(SSL_CTX_get_verify_mode(own), SSL_VERIFY_PEER);
    assert_int_equal(chain_length(own), 1);
    open_ends(&e, HOST);
    open_ends(&other, "127.0.0.1");
    assert_string_equal(e.client.ctx->session_host, HOST);
    assert_string_equal(other.client.ctx->session_host, "127.0.0.1");
    disconnect(&e);
    assert_true(begin(&e, "other.example"));
    shake(&e);
    expect(&e, "the server's certificate is not for other.example, but for " HOST
               ", 127.0.0.1, fe80::1");
    clear_ends(&e);
    clear_ends(&other);
    s.cafile = "/nonexistent";
    expect_bad(&s, ERR_SYSTEM, "cafile '/nonexistent' cannot be read: No such file or directory");
    SSL_CTX_free(own);
}

static void a_foreign_context_without_memory(void **state)
{
    (void)state;
    unit_needs_tracking();
    SSL_CTX *own = somebodys(SSL_VERIFY_PEER, true);
    for (int as_is = 0; as_is <= 1; as_is++) {
        const struct tls_client_settings s = {.ssl_ctx = own, .ssl_ctx_as_is = as_is};
        bool good = false;
        for (uint64_t n = 0; !good; n++) {
            struct tls_ctx *c;
            char why[TLS_WHY_MAX];
            assert_true(n < 100);
            mem_fail_after(n, 0);
            enum err e = tls_ctx_new_client(&s, &c, why);
            good = mem_failed() == 0;
            mem_fail_never();
            assert_err(e, good ? ERR_OK : ERR_NOMEM);
            tls_ctx_unref(c);
        }
    }
    SSL_CTX_free(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(bytes_both_ways),
        UNIT_TEST(names_of_hosts),
        UNIT_TEST(certificates_that_will_not_do),
        UNIT_TEST(insecure),
        UNIT_TEST(authorities_of_the_system),
        UNIT_TEST(authorities_in_a_directory),
        UNIT_TEST(a_certificate_of_ours),
        UNIT_TEST(a_certificate_of_ours_that_will_not_do),
        UNIT_TEST(by_pre_shared_key),
        UNIT_TEST(a_server_with_keys_and_a_certificate),
        UNIT_TEST(a_certificate_in_the_place_of_a_key),
        UNIT_TEST(sessions_are_resumed),
        UNIT_TEST(sessions_that_are_over),
        UNIT_TEST(a_session_of_an_expired_certificate),
        UNIT_TEST(stapled_proofs),
        UNIT_TEST(stapled_proofs_that_prove_nothing),
        UNIT_TEST(who_may_sign_a_proof),
        UNIT_TEST(a_proof_that_was_tampered_with),
        UNIT_TEST(alpn),
        UNIT_TEST(a_name_is_told_an_address_is_not),
        UNIT_TEST(versions),
        UNIT_TEST(ciphers),
        UNIT_TEST(nobody_in_particular),
        UNIT_TEST(secrets_are_told),
        UNIT_TEST(other_bytes_than_tls),
        UNIT_TEST(a_broken_connection),
        UNIT_TEST(bytes_that_are_cut_or_changed),
        UNIT_TEST(tickets_without_end),
        UNIT_TEST(short_reads_and_writes),
        UNIT_TEST(settings_that_will_not_do),
        UNIT_TEST(protocols_that_will_not_do),
        UNIT_TEST(keys_that_will_not_do),
        UNIT_TEST(a_certificate_of_ours_has_dates),
        UNIT_TEST(without_memory),
        UNIT_TEST(looks_at_nothing),
        UNIT_TEST(looks_at_nothing_but_wants_a_proof),
        UNIT_TEST(this_version_or_newer),
        UNIT_TEST(versions_that_cannot_be),
        UNIT_TEST(an_encrypted_key),
        UNIT_TEST(a_foreign_context_as_it_is),
        UNIT_TEST(a_foreign_context_with_our_settings),
        UNIT_TEST(a_foreign_context_without_memory),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
