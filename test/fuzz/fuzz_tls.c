/*
 * Bytes of a hostile peer into a TLS session, over a transport of memory.
 *
 * The first byte chooses whether we are the server or the client, by which context (certificate,
 * client certificates, stapled proofs, pre-shared keys, versions), and who speaks. Either the rest
 * are the peer's bytes as they are, in pieces; or a real peer shakes hands and talks, and the rest
 * says where its bytes are changed, doubled, left out or cut: so what comes behind the first
 * packets is reached too. Random numbers are the system's, so an input of the second kind may take
 * another way the next time.
 *
 * Whatever comes: what has failed stays failed, and says why; no call loops or piles up output;
 * OpenSSL's error queue and our memory are left as they were.
 */
#include "base/mem.h"
#include "net/tls.h"
#include "net/tls_client.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CONTEXTS = 4, OUT_MAX = 1 << 20, TURNS_MAX = 4000 };

static struct tls_ctx *listeners[CONTEXTS];
static struct tls_ctx *clients[CONTEXTS];
/* The peers. */
static SSL_CTX *client_ctx;
static SSL_CTX *server_ctx;
static const unsigned char the_key[16] = "0123456789abcdef";

/* ---- the layer below ---- */

struct wire {
    struct transport base;
    const uint8_t *in;
    size_t n;       /* bytes in `in` */
    size_t piece;   /* most for one read; 0 = all */
    BIO *from, *to; /* of the peer, if there is one */
    size_t written;
    bool ended;
};

static ssize_t wire_read(struct transport *t, void *p, size_t n)
{
    struct wire *w = (struct wire *)t;
    size_t most = w->piece > 0 && w->piece < n ? w->piece : n;
    size_t some = w->n < most ? w->n : most;

    if (some == 0)
        return w->ended ? 0 : -EAGAIN;
    memcpy(p, w->in, some);
    w->in += some;
    w->n -= some;
    return (ssize_t)some;
}

static ssize_t wire_writev(struct transport *t, const struct iovec *iov, int n)
{
    struct wire *w = (struct wire *)t;
    ssize_t all = 0;

    for (int i = 0; i < n; i++) {
        if (w->to && BIO_write(w->to, iov[i].iov_base, (int)iov[i].iov_len) < 0)
            abort();
        all += (ssize_t)iov[i].iov_len;
    }
    w->written += (size_t)all;
    if (w->written > OUT_MAX)
        abort();
    return all > 0 ? all : -EAGAIN;
}

static enum err wire_step(struct transport *t)
{
    (void)t;
    return ERR_OK;
}

static unsigned wire_wants(const struct transport *t)
{
    (void)t;
    return TRANSPORT_WANTS_NOTHING;
}

static bool wire_has_input(const struct transport *t)
{
    (void)t;
    return false;
}

static void wire_ignore(struct transport *t)
{
    (void)t;
}

static const struct transport_ops wire_ops = {
    .read = wire_read,
    .writev = wire_writev,
    .step = wire_step,
    .wants = wire_wants,
    .has_input = wire_has_input,
    .finish = wire_ignore,
    .close = wire_ignore,
};

/* ---- contexts, and their peers ---- */

static const char *write_pem(X509 *x, EVP_PKEY *key)
{
    static char path[2][64];
    char *out = path[key != NULL];
    int fd = memfd_create("pem", 0);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;

    if (!f || (x && PEM_write_X509(f, x) != 1) ||
        (key && PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL) != 1) || fflush(f) != 0)
        abort();
    (void)snprintf(out, sizeof(path[0]), "/proc/self/fd/%d", fd);
    return out;
}

static X509 *make_certificate(EVP_PKEY *key)
{
    X509 *x = X509_new();
    X509_NAME *name = X509_NAME_new();

    if (!x || !name ||
        !X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"test", -1, -1,
                                    0))
        abort();
    X509_gmtime_adj(X509_getm_notBefore(x), -86400);
    X509_gmtime_adj(X509_getm_notAfter(x), 86400L * 365);
    if (!X509_set_subject_name(x, name) || !X509_set_issuer_name(x, name) ||
        !X509_set_pubkey(x, key) || X509_sign(x, key, EVP_sha256()) <= 0)
        abort();
    X509_NAME_free(name);
    return x;
}

static size_t find_psk(void *owner, struct str identity, uint8_t key[TLS_PSK_MAX])
{
    (void)owner;
    if (!str_eq_c(identity, "dora"))
        return 0;
    memcpy(key, the_key, sizeof(the_key));
    return sizeof(the_key);
}

static unsigned offer_psk(SSL *ssl, const char *hint, char *identity, unsigned identity_max,
                          unsigned char *key, unsigned key_max)
{
    (void)ssl;
    (void)hint;
    if (identity_max < 5 || key_max < sizeof(the_key))
        return 0;
    memcpy(identity, "dora", 5);
    memcpy(key, the_key, sizeof(the_key));
    return sizeof(the_key);
}

static unsigned find_psk_of_peer(SSL *ssl, const char *identity, unsigned char *key,
                                 unsigned key_max)
{
    (void)ssl;
    if (strcmp(identity, "dora") != 0 || key_max < sizeof(the_key))
        return 0;
    memcpy(key, the_key, sizeof(the_key));
    return sizeof(the_key);
}

/* An OCSP response that is none: its bytes are to be changed. */
static int give_staple(SSL *ssl, void *unused)
{
    static const unsigned char busy[] = {0x30, 0x03, 0x0a, 0x01, 0x03};
    unsigned char *bytes = OPENSSL_memdup(busy, sizeof(busy));

    (void)unused;
    if (!bytes)
        abort();
    (void)SSL_set_tlsext_status_ocsp_resp(ssl, bytes, (long)sizeof(busy));
    return SSL_TLSEXT_ERR_OK;
}

static void connect_as(int i, const struct tls_client_settings *s)
{
    char why[TLS_WHY_MAX];

    if (tls_ctx_new_client(s, &clients[i], why) != ERR_OK)
        clients[i] = tls_ctx_ref(clients[0]);
}

static void set_up_clients(const struct tls_settings *files)
{
    struct tls_client_settings s = {.cafile = files->certfile, .alpn = "mqtt", .lowest = 11};

    connect_as(0, &s);
    s.require_ocsp = true;
    connect_as(1, &s);
    connect_as(2, &(struct tls_client_settings){.cafile = files->certfile,
                                                .certfile = files->certfile,
                                                .keyfile = files->keyfile,
                                                .insecure = true});
    connect_as(3, &(struct tls_client_settings){.psk_identity = "dora",
                                                .psk_key = "30313233343536373839616263646566"});
}

static void use_pair(SSL_CTX *ctx, X509 *x, EVP_PKEY *key)
{
    if (!ctx || !SSL_CTX_use_certificate(ctx, x) || !SSL_CTX_use_PrivateKey(ctx, key))
        abort();
    SSL_CTX_set_security_level(ctx, 0);
}

static void listen_as(int i, const struct tls_settings *s)
{
    char why[TLS_WHY_MAX];

    /* A build may be without pre-shared keys: then it is an ordinary listener. */
    if (tls_ctx_new(s, &listeners[i], why) != ERR_OK)
        listeners[i] = tls_ctx_ref(listeners[0]);
}

static void set_up(void)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = make_certificate(key);
    struct tls_settings s = {.certfile = write_pem(x, NULL), .keyfile = write_pem(NULL, key)};

    listen_as(0, &s);
    s.lowest = 11;
    listen_as(1, &s);
    s.cafile = s.certfile;
    s.wants_certificate = s.require_certificate = true;
    listen_as(2, &s);
    listen_as(3, &(struct tls_settings){.psk_hint = "hint", .find_psk = find_psk});
    set_up_clients(&s);
    client_ctx = SSL_CTX_new(TLS_client_method());
    use_pair(client_ctx, x, key);
    server_ctx = SSL_CTX_new(TLS_server_method());
    use_pair(server_ctx, x, key);
    (void)SSL_CTX_set_tlsext_status_cb(server_ctx, give_staple);
    X509_free(x);
    EVP_PKEY_free(key);
}

/* ---- a turn ---- */

static void check_failed(struct transport *t)
{
    char room[8];
    struct iovec iov = {.iov_base = room, .iov_len = sizeof(room)};
    char name[TLS_NAME_MAX];
    size_t n;

    if (tls_why(t)[0] == '\0' || transport_read(t, room, sizeof(room)) >= 0 ||
        transport_writev(t, &iov, 1) >= 0 || transport_step(t) == ERR_OK)
        abort();
    (void)!tls_name(t, TLS_IDENTITY, name, &n);
}

/* False: it is over. */
static bool serve_once(struct transport *t, bool *shaken)
{
    char room[20000];
    struct iovec iov = {.iov_base = room, .iov_len = 100};
    ssize_t n;
    int reads = 0;

    if (!*shaken) {
        enum err e = transport_step(t);

        if (e != ERR_OK && e != ERR_AGAIN) {
            if (e != ERR_CLOSED || tls_why(t)[0] == '\0')
                check_failed(t);
            return false;
        }
        *shaken = e == ERR_OK;
        return true;
    }
    do {
        n = transport_read(t, room, sizeof(room));
        if (++reads > TURNS_MAX)
            abort();
    } while (n > 0 && transport_has_input(t));
    if (n < 0 && n != -EAGAIN)
        check_failed(t);
    if (n == 0 || (n < 0 && n != -EAGAIN))
        return false;
    return transport_writev(t, &iov, 1) > 0;
}

static void end_session(struct transport *t)
{
    char text[TLS_TEXT_MAX];
    char name[TLS_NAME_MAX];
    size_t n;

    (void)tls_text(t, text);
    (void)!tls_name(t, TLS_SUBJECT, name, &n);
    transport_finish(t);
    transport_close(t);
    if (ERR_peek_error() != 0)
        abort();
}

/* Our side of a connection: as a server, or else as a client. */
static struct transport *open_session(struct wire *w, uint8_t how)
{
    unsigned i = how % CONTEXTS;
    struct transport *t = how & 8 ? tls_connect(clients[i], &w->base, "test")
                                  : tls_accept(listeners[i], &w->base, NULL);

    if (!t)
        abort();
    return t;
}

/* The peer's bytes as they are. */
static void speak_raw(const uint8_t *data, size_t size, uint8_t how)
{
    static const size_t pieces[] = {0, 1, 7, 100};
    struct wire w = {
        .base = {.ops = &wire_ops}, .in = data, .n = size, .piece = pieces[how >> 4 & 3]};
    struct transport *t = open_session(&w, how);
    bool shaken = false;

    for (int i = 0; i < TURNS_MAX && w.n > 0 && serve_once(t, &shaken); i++)
        ;
    w.ended = true;
    for (int i = 0; i < 3 && serve_once(t, &shaken); i++)
        ;
    end_session(t);
}

/* What a real peer says, after the fuzzer has had its hands on it. */
static size_t spoil(uint8_t *p, size_t n, size_t max, const uint8_t **data, size_t *size)
{
    while (*size >= 4 && n > 0) {
        const uint8_t *d = *data;
        size_t at = ((size_t)d[1] << 8 | d[2]) % n;

        *data += 4;
        *size -= 4;
        switch (d[0] % 8) {
        case 0:
            return n;
        case 1:
            p[at] ^= d[3];
            break;
        case 2:
            p[at] = d[3];
            break;
        case 3:
            return at;
        case 4:
            if (n + (n - at) <= max) {
                memmove(p + n, p + at, n - at);
                n += n - at;
            }
            break;
        case 5:
            memmove(p + at, p + at + 1, n - at - 1);
            n--;
            break;
        case 6:
            return n;
        default:
            return n;
        }
    }
    return n;
}

static void peer_turn(SSL *ssl, unsigned turn)
{
    char room[256] = {0};

    if (SSL_do_handshake(ssl) != 1)
        return;
    (void)!SSL_read(ssl, room, sizeof(room));
    if (turn % 4 == 3 && SSL_version(ssl) == TLS1_3_VERSION)
        (void)SSL_key_update(ssl, SSL_KEY_UPDATE_REQUESTED);
    if (turn % 4 == 2 && SSL_is_server(ssl))
        (void)SSL_new_session_ticket(ssl);
    (void)!SSL_write(ssl, room, (int)(turn * 37 % sizeof(room)) + 1);
}

static int trust_anybody(int good, X509_STORE_CTX *x)
{
    (void)good;
    (void)x;
    return 1;
}

static SSL *make_peer(BIO *in, BIO *out, uint8_t how)
{
    bool serves = how & 8;
    SSL *ssl = SSL_new(serves ? server_ctx : client_ctx);

    if (!ssl || !in || !out)
        abort();
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(ssl, in, out);
    if (serves)
        SSL_set_accept_state(ssl);
    else
        SSL_set_connect_state(ssl);
    if (how & 16)
        (void)SSL_set_max_proto_version(ssl, TLS1_2_VERSION);
    if (how & 32 && serves)
        SSL_set_psk_server_callback(ssl, find_psk_of_peer);
    else if (how & 32)
        SSL_set_psk_client_callback(ssl, offer_psk);
    if (how & 64)
        SSL_set_verify(ssl, serves ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, trust_anybody);
    return ssl;
}

static void speak_as_peer(const uint8_t *data, size_t size, uint8_t how)
{
    BIO *to_peer = BIO_new(BIO_s_mem());
    BIO *from_peer = BIO_new(BIO_s_mem());
    SSL *ssl = make_peer(to_peer, from_peer, how);
    struct wire w = {.base = {.ops = &wire_ops}, .to = to_peer};
    struct transport *t = open_session(&w, how);
    static uint8_t bytes[65536];
    bool shaken = false;
    bool goes_on = true;

    for (unsigned turn = 0; turn < 12 && goes_on; turn++) {
        peer_turn(ssl, turn);
        ERR_clear_error();
        int got = BIO_read(from_peer, bytes, sizeof(bytes) / 4);
        w.in = bytes;
        w.n = got > 0 ? spoil(bytes, (size_t)got, sizeof(bytes), &data, &size) : 0;
        ERR_clear_error();
        for (int i = 0; i < 8 && goes_on; i++)
            goes_on = serve_once(t, &shaken);
    }
    end_session(t);
    SSL_free(ssl);
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t before;

    if (!client_ctx)
        set_up();
    if (size < 2)
        return 0;
    before = mem_used();
    ERR_clear_error();
    if (data[0] & 4)
        speak_as_peer(data + 1, size - 1, data[0]);
    else
        speak_raw(data + 1, size - 1, data[0]);
    for (int i = 0; i < CONTEXTS; i++)
        tls_client_forget(clients[i]);
    if (mem_used() != before)
        abort();
    return 0;
}
