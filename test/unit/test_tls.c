/*
 * TLS over a transport of memory, against OpenSSL's own client.
 */
#include "net/tls.h"

#include "certs.h"
#include "memwire.h"
#include "net/tls_inside.h"
#include "unit.h"

#include <errno.h>
#include <openssl/err.h>
#include <string.h>

/* Made once: keys take their time. */
static struct files {
    char directory[64];
    struct certs_pair ca, server, client, revoked, old, stranger;
    char ca_path[CERTS_PATH_MAX], cert_path[CERTS_PATH_MAX], key_path[CERTS_PATH_MAX];
    char crl_path[CERTS_PATH_MAX];
} files;

static int make_files(void **state)
{
    (void)state;
    certs_directory(files.directory);
    files.ca = certs_make(&(struct certs_wish){.cn = "CA", .ca = true});
    files.server = certs_make(&(struct certs_wish){.cn = "localhost", .issuer = &files.ca});
    files.client =
        certs_make(&(struct certs_wish){.cn = "alice", .serial = 7, .issuer = &files.ca});
    files.revoked = certs_make(&(struct certs_wish){.cn = "bob", .serial = 8, .issuer = &files.ca});
    files.old = certs_make(&(struct certs_wish){
        .cn = "carol", .serial = 9, .issuer = &files.ca, .from_days = -20, .until_days = -10});
    files.stranger = certs_make(&(struct certs_wish){.cn = "mallory"});
    X509_CRL *crl = certs_crl(&files.ca, 8, 10);
    (void)certs_write(files.directory, "ca.pem", &files.ca.x, 1, files.ca_path);
    (void)certs_write(files.directory, "cert.pem", &files.server.x, 1, files.cert_path);
    (void)certs_write_key(files.directory, "key.pem", files.server.key, NULL, files.key_path);
    (void)certs_write_crls(files.directory, "crl.pem", &crl, 1, files.crl_path);
    X509_CRL_free(crl);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    certs_free(&files.ca);
    certs_free(&files.server);
    certs_free(&files.client);
    certs_free(&files.revoked);
    certs_free(&files.old);
    certs_free(&files.stranger);
    certs_remove(files.directory);
    return 0;
}

/* Both ends of a connection. */
struct ends {
    struct tls_ctx *ctx;
    struct memwire wire;
    struct transport *t;
    struct memclient client;
    enum err end; /* of the handshake */
};

static struct tls_settings usual(void)
{
    return (struct tls_settings){.certfile = files.cert_path, .keyfile = files.key_path};
}

static struct tls_settings with_clients(void)
{
    struct tls_settings s = usual();
    s.cafile = files.ca_path;
    s.wants_certificate = true;
    s.require_certificate = true;
    return s;
}

static void make_ends(struct ends *e, const struct tls_settings *s)
{
    char why[TLS_WHY_MAX];
    *e = (struct ends){0};
    if (tls_ctx_new(s, &e->ctx, why) != ERR_OK) {
        fail_msg("%s", why);
    }
    memclient_init(&e->client);
    memwire_init(&e->wire);
}

/* Until both are done, or one has failed; then what remains is exchanged. */
static void handshake(struct ends *e)
{
    bool client_done = false;
    memclient_connect(&e->client, &e->wire);
    e->t = tls_accept(e->ctx, &e->wire.base, e);
    assert_non_null(e->t);
    e->end = ERR_AGAIN;
    for (int i = 0; i < 100000 && (e->end == ERR_AGAIN || !client_done); i++) {
        if (!client_done) {
            int result = SSL_do_handshake(e->client.ssl);
            client_done =
                result == 1 || SSL_get_error(e->client.ssl, result) != SSL_ERROR_WANT_READ;
            ERR_clear_error();
        }
        if (e->end == ERR_AGAIN) {
            e->end = transport_step(e->t);
        } else if (e->end == ERR_OK) {
            assert_ok(transport_step(e->t));
        } else {
            break;
        }
        assert_int_equal(ERR_peek_error(), 0);
    }
}

static void clear_ends(struct ends *e)
{
    if (e->t) {
        transport_close(e->t);
        assert_true(e->wire.closed);
    }
    memclient_clear(&e->client);
    memwire_clear(&e->wire);
    tls_ctx_unref(e->ctx);
    assert_int_equal(ERR_peek_error(), 0);
}

static void open_ends(struct ends *e, const struct tls_settings *s)
{
    make_ends(e, s);
    handshake(e);
    if (e->end != ERR_OK) {
        fail_msg("%s", tls_why(e->t));
    }
}

static void client_says(struct ends *e, const void *p, size_t n)
{
    size_t done = 0;
    assert_int_equal(SSL_write_ex(e->client.ssl, p, n, &done), 1);
    assert_int_equal(done, n);
}

static size_t client_hears(struct ends *e, void *p, size_t n)
{
    size_t got = 0;
    size_t more;
    while (got < n && SSL_read_ex(e->client.ssl, (char *)p + got, n - got, &more) == 1) {
        got += more;
    }
    ERR_clear_error();
    return got;
}

static ssize_t says(struct ends *e, const void *p, size_t n)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)p, .iov_len = n};
    ssize_t result = transport_writev(e->t, &iov, 1);
    assert_int_equal(ERR_peek_error(), 0);
    return result;
}

static ssize_t hears(struct ends *e, void *p, size_t n)
{
    ssize_t result = transport_read(e->t, p, n);
    assert_int_equal(ERR_peek_error(), 0);
    return result;
}

static void bytes_both_ways(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    char room[64];
    char text[TLS_TEXT_MAX];
    size_t n;
    open_ends(&e, &s);
    assert_string_equal(tls_text(e.t, text), "TLSv1.3 cipher TLS_AES_256_GCM_SHA384");
    assert_err(tls_name(e.t, TLS_IDENTITY, (char[TLS_NAME_MAX]){0}, &n), ERR_NOT_FOUND);
    assert_int_equal(transport_wants(e.t), TRANSPORT_WANTS_NOTHING);
    assert_int_equal(hears(&e, room, sizeof(room)), -EAGAIN);
    client_says(&e, "hello", 5);
    assert_int_equal(hears(&e, room, sizeof(room)), 5);
    assert_memory_equal(room, "hello", 5);
    assert_int_equal(says(&e, "world", 5), 5);
    assert_int_equal(client_hears(&e, room, sizeof(room)), 5);
    assert_memory_equal(room, "world", 5);
    clear_ends(&e);
}

/* ---- writing ---- */

/* How many records lie in the bytes that were written, and whether they end with the last. */
static int count_records(const struct buf *b)
{
    const uint8_t *p = buf_begin(b);
    size_t left = b->len;
    int n = 0;
    while (left >= 5) {
        size_t size = 5 + ((size_t)p[3] << 8 | p[4]);
        assert_true(size <= left);
        p += size;
        left -= size;
        n++;
    }
    assert_int_equal(left, 0);
    return n;
}

static void small_writes_share_a_record(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    struct iovec iov[60];
    char room[61 * 80];
    open_ends(&e, &s);
    (void)client_hears(&e, room, sizeof(room));
    char bytes[60 * 80];
    memset(bytes, 'x', sizeof(bytes));
    for (size_t i = 0; i < 60; i++) {
        bytes[i * 80] = (char)i;
        iov[i] = (struct iovec){.iov_base = bytes + i * 80, .iov_len = 80};
    }
    e.wire.writes = 0;
    assert_int_equal(transport_writev(e.t, iov, 60), sizeof(bytes));
    assert_int_equal(e.wire.writes, 1);
    assert_int_equal(count_records(&e.wire.out), 1);
    assert_int_equal(client_hears(&e, room, sizeof(room)), sizeof(bytes));
    assert_memory_equal(room, bytes, sizeof(bytes));
    clear_ends(&e);
}

static void many_records_are_one_write(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    static char bytes[300000];
    static char room[300000];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(i * 7 + i / 251);
    }
    open_ends(&e, &s);
    (void)client_hears(&e, room, sizeof(room));
    e.wire.writes = 0;
    /* Empty pieces are nothing, large ones are not copied together with small ones. */
    struct iovec iov[] = {{.iov_base = bytes, .iov_len = 0},
                          {.iov_base = bytes, .iov_len = 10},
                          {.iov_base = bytes + 10, .iov_len = 0},
                          {.iov_base = bytes + 10, .iov_len = 65526}};
    assert_int_equal(transport_writev(e.t, iov, 4), 65536);
    assert_int_equal(e.wire.writes, 1);
    assert_int_equal(count_records(&e.wire.out), 4);
    assert_int_equal(client_hears(&e, room, sizeof(room)), 65536);
    assert_memory_equal(room, bytes, 65536);
    assert_int_equal(transport_writev(e.t, iov, 1), -EAGAIN);
    assert_int_equal(transport_writev(e.t, iov, 0), -EAGAIN);
    /* A bulk goes in several writes, but does not go on for ever. */
    e.wire.writes = 0;
    assert_int_equal(says(&e, bytes, sizeof(bytes)), 4 * 65536);
    assert_int_equal(e.wire.writes, 4);
    assert_int_equal(client_hears(&e, room, sizeof(room)), 4 * 65536);
    assert_memory_equal(room, bytes, 4 * 65536);
    clear_ends(&e);
}

static void a_bulk_that_is_stopped(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    static char bytes[200000];
    static char room[200000];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(i * 11 + i / 253);
    }
    open_ends(&e, &s);
    (void)client_hears(&e, room, sizeof(room));
    e.wire.room = 100000;
    ssize_t taken = says(&e, bytes, sizeof(bytes));
    assert_int_equal(taken, 2 * 65536 - 1);
    e.wire.room = SIZE_MAX;
    assert_int_equal(says(&e, bytes + taken, sizeof(bytes) - (size_t)taken),
                     sizeof(bytes) - (size_t)taken);
    assert_int_equal(client_hears(&e, room, sizeof(room)), sizeof(bytes));
    assert_memory_equal(room, bytes, sizeof(bytes));
    clear_ends(&e);
}

static void a_short_write_comes_again(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    char room[64];
    open_ends(&e, &s);
    (void)client_hears(&e, room, sizeof(room));
    e.wire.room = 12;
    assert_int_equal(says(&e, "0123456789", 10), 9);
    assert_int_equal(transport_wants(e.t), TRANSPORT_WANTS_WRITE);
    assert_int_equal(says(&e, "9abc", 4), -EAGAIN);
    assert_ok(transport_step(e.t));
    assert_int_equal(transport_wants(e.t), TRANSPORT_WANTS_WRITE);
    assert_int_equal(client_hears(&e, room, sizeof(room)), 0);
    e.wire.room = SIZE_MAX;
    assert_ok(transport_step(e.t));
    assert_int_equal(transport_wants(e.t), TRANSPORT_WANTS_NOTHING);
    assert_int_equal(says(&e, "9", 1), 1);
    e.wire.room = 0;
    assert_int_equal(says(&e, "a", 1), -EAGAIN);
    e.wire.room = SIZE_MAX;
    assert_int_equal(says(&e, "abc", 3), 3);
    assert_int_equal(client_hears(&e, room, sizeof(room)), 13);
    assert_memory_equal(room, "0123456789abc", 13);
    clear_ends(&e);
}

/* ---- streams ---- */

#define STREAM (3U << 20)

struct stream {
    struct rng data;
    uint64_t word;
    size_t at;
};

static uint8_t next_byte(struct stream *s)
{
    if (s->at % 8 == 0) {
        s->word = rng_u64(&s->data);
    }
    return (uint8_t)(s->word >> (s->at++ % 8 * 8));
}

/* A stream's bytes from `from` on, without losing its place. */
static void peek_bytes(const struct stream *s, uint8_t *p, size_t n)
{
    struct stream copy = *s;
    for (size_t i = 0; i < n; i++) {
        p[i] = next_byte(&copy);
    }
}

static void take_bytes(struct stream *s, const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (next_byte(s) != p[i]) {
            fail_msg("byte %zu differs", s->at - 1);
        }
    }
}

static struct stream stream_of(uint64_t seed)
{
    struct stream s = {0};
    rng_seed(&s.data, seed);
    return s;
}

static void write_pieces(struct ends *e, struct stream *out, struct rng *chance)
{
    uint8_t bytes[40000];
    struct iovec iov[20];
    size_t n = 0;
    int count = 1 + (int)rng_below(chance, 20);
    uint32_t most = rng_below(chance, 4) == 0 ? 40000 : 200;
    for (int i = 0; i < count; i++) {
        size_t size = rng_below(chance, most) + 1;
        size = size < sizeof(bytes) - n ? size : sizeof(bytes) - n;
        size = size < STREAM - out->at - n ? size : STREAM - out->at - n;
        iov[i] = (struct iovec){.iov_base = bytes + n, .iov_len = size};
        n += size;
    }
    peek_bytes(out, bytes, n);
    ssize_t taken = transport_writev(e->t, iov, count);
    if (taken != -EAGAIN) {
        assert_true(taken > 0 && (size_t)taken <= n);
        take_bytes(out, bytes, (size_t)taken);
    }
}

static bool read_some(struct ends *e, struct stream *in, struct rng *chance)
{
    uint8_t room[70000];
    size_t n = rng_below(chance, 8) == 0 ? sizeof(room) : rng_below(chance, 3000) + 1;
    ssize_t got = hears(e, room, n);
    if (got == -EAGAIN) {
        assert_false(transport_has_input(e->t));
        return false;
    }
    assert_true(got > 0 && (size_t)got <= n);
    take_bytes(in, room, (size_t)got);
    return true;
}

static void client_writes(struct ends *e, struct stream *out, struct rng *chance)
{
    uint8_t bytes[20000];
    size_t n = rng_below(chance, rng_below(chance, 3) == 0 ? sizeof(bytes) : 300) + 1;
    n = n < STREAM - out->at ? n : STREAM - out->at;
    if (n > 0 && e->wire.in.len < 100000) {
        peek_bytes(out, bytes, n);
        client_says(e, bytes, n);
        take_bytes(out, bytes, n);
    }
}

/* Each end asks the other for new keys now and then; only TLS 1.3 can. */
static void change_keys(struct ends *e, struct rng *chance)
{
    if (SSL_version(e->client.ssl) == TLS1_3_VERSION && rng_below(chance, 200) == 0) {
        assert_int_equal(SSL_key_update(e->client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    }
}

static void stream_both_ways(int version, uint64_t seed)
{
    struct tls_settings s = usual();
    struct ends e;
    struct rng chance;
    rng_seed(&chance, seed);
    make_ends(&e, &s);
    e.wire.chance = &chance;
    assert_int_equal(SSL_CTX_set_max_proto_version(e.client.ctx, version), 1);
    handshake(&e);
    assert_ok(e.end);
    struct stream down_sent = stream_of(seed);
    struct stream down_got = down_sent;
    struct stream up_sent = stream_of(seed + 1);
    struct stream up_got = up_sent;
    uint8_t room[50000];
    for (int idle = 0; down_got.at < STREAM || up_got.at < STREAM; idle++) {
        size_t before = down_got.at + up_got.at;
        if (down_sent.at < STREAM) {
            write_pieces(&e, &down_sent, &chance);
        }
        client_writes(&e, &up_sent, &chance);
        (void)read_some(&e, &up_got, &chance);
        change_keys(&e, &chance);
        size_t got = client_hears(&e, room, rng_below(&chance, sizeof(room)) + 1);
        take_bytes(&down_got, room, got);
        if (transport_wants(e.t) & TRANSPORT_WANTS_WRITE && rng_below(&chance, 2)) {
            assert_ok(transport_step(e.t));
        }
        idle = down_got.at + up_got.at > before ? 0 : idle;
        assert_true(idle < 10000);
    }
    e.wire.chance = NULL;
    clear_ends(&e);
}

static void short_reads_and_writes(void **state)
{
    (void)state;
    stream_both_ways(TLS1_3_VERSION, 1);
    stream_both_ways(TLS1_3_VERSION, 2);
    stream_both_ways(TLS1_2_VERSION, 3);
}

static void input_that_epoll_does_not_know_of(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    char room[64];
    open_ends(&e, &s);
    client_says(&e, "0123456789", 10);
    client_says(&e, "abc", 3);
    e.wire.reads = 0;
    assert_int_equal(hears(&e, room, 4), 4);
    assert_true(transport_has_input(e.t));
    assert_int_equal(hears(&e, room, 6), 6);
    assert_true(transport_has_input(e.t));
    assert_int_equal(hears(&e, room, sizeof(room)), 3);
    assert_false(transport_has_input(e.t));
    assert_true(e.wire.reads <= 3);
    clear_ends(&e);
}

static void one_read_below_for_one_above(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    static char room[60000];
    open_ends(&e, &s);
    for (int i = 0; i < 100; i++) {
        client_says(&e, "0123456789", 10);
    }
    e.wire.reads = 0;
    assert_int_equal(hears(&e, room, sizeof(room)), 1000);
    assert_int_equal(e.wire.reads, 1);
    assert_false(transport_has_input(e.t));
    /* Also when there is more: its turn comes when it is reported again. */
    client_says(&e, room, sizeof(room));
    e.wire.reads = 0;
    ssize_t n = hears(&e, room, sizeof(room));
    assert_true(n > 0 && n < (ssize_t)sizeof(room));
    assert_int_equal(e.wire.reads, 1);
    clear_ends(&e);
}

static void a_client_that_only_asks_for_keys(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    char room[64];
    open_ends(&e, &s);
    e.wire.room = 0;
    for (int i = 0; i < 20000; i++) {
        assert_int_equal(SSL_key_update(e.client.ssl, SSL_KEY_UPDATE_REQUESTED), 1);
        client_says(&e, "x", 1);
        if (e.wire.in.len > 1 << 20) {
            break;
        }
        ssize_t n = hears(&e, room, sizeof(room));
        assert_true(n == 1 || n == -EAGAIN || n == -EPROTO);
    }
    /* It is answered up to a limit, and then not listened to. */
    assert_true(transport_wants(e.t) & TRANSPORT_WANTS_WRITE);
    assert_true(e.wire.in.len > 100000);
    e.wire.room = SIZE_MAX;
    assert_ok(transport_step(e.t));
    assert_int_equal(transport_wants(e.t), TRANSPORT_WANTS_NOTHING);
    assert_true(e.wire.out.len < 300000);
    assert_int_equal(hears(&e, room, 1), 1);
    clear_ends(&e);
}

static void ask_for_keys(struct ends *e, int times)
{
    for (int i = 0; i < times; i++) {
        assert_int_equal(SSL_key_update(e->client.ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
        assert_int_equal(SSL_do_handshake(e->client.ssl), 1);
    }
}

/* Hundreds of them in one read would take longer than any turn may. */
static void key_updates_without_end(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    char room[64];
    open_ends(&e, &s);
    for (int i = 0; i < 200; i++) {
        ask_for_keys(&e, 1);
        client_says(&e, "x", 1);
        assert_int_equal(hears(&e, room, sizeof(room)), 1);
    }
    ask_for_keys(&e, 10);
    assert_int_equal(hears(&e, room, sizeof(room)), -EAGAIN);
    ask_for_keys(&e, 100);
    client_says(&e, "x", 1);
    assert_int_equal(hears(&e, room, sizeof(room)), -EPROTO);
    assert_string_equal(tls_why(e.t), "the client updates its keys all the time");
    assert_int_equal(ERR_peek_error(), 0);
    clear_ends(&e);
}

/* ---- ends ---- */

static void an_end_of_stream(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    char room[64];
    for (int notified = 0; notified < 2; notified++) {
        struct ends e;
        open_ends(&e, &s);
        client_says(&e, "bye", 3);
        if (notified) {
            (void)SSL_shutdown(e.client.ssl);
        } else {
            e.wire.ended = true;
        }
        assert_int_equal(hears(&e, room, sizeof(room)), 3);
        assert_int_equal(hears(&e, room, sizeof(room)), 0);
        assert_int_equal(hears(&e, room, sizeof(room)), 0);
        clear_ends(&e);
    }
}

static void an_end_behind_bytes_is_input(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    char room[64];
    open_ends(&e, &s);
    client_says(&e, "bye", 3);
    (void)SSL_shutdown(e.client.ssl);
    assert_int_equal(hears(&e, room, sizeof(room)), 3);
    assert_true(transport_has_input(e.t));
    assert_int_equal(hears(&e, room, sizeof(room)), 0);
    assert_false(transport_has_input(e.t));
    clear_ends(&e);
}

static void finishing_says_so(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    char room[64];
    open_ends(&e, &s);
    (void)client_hears(&e, room, sizeof(room));
    assert_int_equal(says(&e, "last", 4), 4);
    transport_finish(e.t);
    assert_true(e.wire.finished);
    assert_int_equal(client_hears(&e, room, sizeof(room)), 4);
    assert_int_equal(SSL_get_shutdown(e.client.ssl), SSL_RECEIVED_SHUTDOWN);
    /* Reading goes on. */
    client_says(&e, "more", 4);
    assert_int_equal(hears(&e, room, sizeof(room)), 4);
    clear_ends(&e);
}

static void errors_of_the_layer_below(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    char room[8];
    open_ends(&e, &s);
    e.wire.error = ECONNRESET;
    assert_int_equal(hears(&e, room, sizeof(room)), -ECONNRESET);
    assert_string_equal(tls_why(e.t), "Connection reset by peer");
    assert_int_equal(says(&e, "x", 1), -ECONNRESET);
    assert_err(transport_step(e.t), ERR_SYSTEM);
    assert_int_equal(errno, ECONNRESET);
    clear_ends(&e);
    open_ends(&e, &s);
    e.wire.error = EPIPE;
    assert_int_equal(says(&e, "x", 1), -EPIPE);
    assert_int_equal(hears(&e, room, sizeof(room)), -EPIPE);
    transport_finish(e.t);
    clear_ends(&e);
}

static void bytes_that_were_tampered_with(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    char room[64];
    open_ends(&e, &s);
    client_says(&e, "good", 4);
    size_t good = e.wire.in.len;
    client_says(&e, "evil", 4);
    buf_begin(&e.wire.in)[good + 8] ^= 1;
    assert_int_equal(hears(&e, room, sizeof(room)), 4);
    assert_true(transport_has_input(e.t));
    assert_int_equal(hears(&e, room, sizeof(room)), -EPROTO);
    assert_string_equal(tls_why(e.t), "its bytes cannot be decrypted");
    assert_int_equal(says(&e, "x", 1), -EPROTO);
    assert_err(transport_step(e.t), ERR_PROTOCOL);
    clear_ends(&e);
}

static void no_renegotiation(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    char room[64];
    make_ends(&e, &s);
    assert_int_equal(SSL_CTX_set_max_proto_version(e.client.ctx, TLS1_2_VERSION), 1);
    handshake(&e);
    assert_ok(e.end);
    assert_int_equal(SSL_renegotiate(e.client.ssl), 1);
    (void)SSL_do_handshake(e.client.ssl);
    ERR_clear_error();
    assert_true(hears(&e, room, sizeof(room)) < 0);
    assert_int_not_equal(SSL_do_handshake(e.client.ssl), 1);
    assert_int_equal(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION);
    ERR_clear_error();
    clear_ends(&e);
}

/* ---- handshakes that fail ---- */

static void expect_failure(struct ends *e, const char *why)
{
    assert_int_not_equal(e->end, ERR_OK);
    assert_int_not_equal(e->end, ERR_AGAIN);
    assert_string_equal(tls_why(e->t), why);
    assert_true(transport_read(e->t, (char[8]){0}, 8) < 0);
    assert_int_equal(ERR_peek_error(), 0);
}

static void other_bytes_than_tls(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *why;
    } cases[] = {
        {"\x10\x10\0\4MQTT\4\2\0\x3c\0\4abcd", 18, "MQTT without TLS on a TLS listener"},
        {"GET / HTTP/1.1\r\n\r\n", 18, "HTTP without TLS on a TLS listener"},
        {"CONNECT x:1 HTTP/1.1\r\n\r\n", 24, "HTTP without TLS on a TLS listener"},
        {"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", 32,
         "a PROXY header, which this listener does not expect"},
        {"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c............", 28,
         "a PROXY header, which this listener does not expect"},
        {"SSH-2.0-OpenSSH_9.2p1\r\n", 23, "not TLS: these are other bytes, on a TLS listener"},
        {"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16,
         "not TLS: these are other bytes, on a TLS listener"},
    };
    struct tls_settings s = usual();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ends e;
        make_ends(&e, &s);
        assert_ok(buf_add(&e.wire.in, cases[i].bytes, cases[i].n));
        e.t = tls_accept(e.ctx, &e.wire.base, NULL);
        assert_int_equal(transport_wants(e.t), TRANSPORT_WANTS_READ);
        e.end = transport_step(e.t);
        expect_failure(&e, cases[i].why);
        transport_finish(e.t);
        assert_true(e.wire.finished);
        clear_ends(&e);
    }
}

static void a_hello_that_promises_much(void **state)
{
    (void)state;
    static const char *const hellos[] = {"\x16\x03\x01\x40\x00\x01\x01\x00\x00",
                                         "\x16\x03\x01\x00\x02\x01\x00\x01\x00"};
    struct tls_settings s = usual();
    for (size_t i = 0; i < ARRAY_SIZE(hellos); i++) {
        struct ends e;
        make_ends(&e, &s);
        assert_ok(buf_add(&e.wire.in, hellos[i], 9));
        e.t = tls_accept(e.ctx, &e.wire.base, NULL);
        e.end = transport_step(e.t);
        expect_failure(&e, "a ClientHello that is too long, or cut to pieces");
        clear_ends(&e);
    }
}

static void a_client_that_goes_away(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    make_ends(&e, &s);
    e.t = tls_accept(e.ctx, &e.wire.base, NULL);
    assert_err(transport_step(e.t), ERR_AGAIN);
    e.wire.ended = true;
    assert_err(transport_step(e.t), ERR_CLOSED);
    assert_string_equal(tls_why(e.t), "the client closed the connection during the handshake");
    clear_ends(&e);
}

static void versions_and_ciphers(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    make_ends(&e, &s);
    assert_int_equal(SSL_CTX_set_max_proto_version(e.client.ctx, TLS1_1_VERSION), 1);
    handshake(&e);
    expect_failure(&e, "TLS version too low");
    clear_ends(&e);

    s.lowest = 13;
    make_ends(&e, &s);
    assert_int_equal(SSL_CTX_set_max_proto_version(e.client.ctx, TLS1_2_VERSION), 1);
    handshake(&e);
    expect_failure(&e, "TLS version too low");
    clear_ends(&e);

    s.lowest = 11;
    make_ends(&e, &s);
    assert_int_equal(SSL_CTX_set_max_proto_version(e.client.ctx, TLS1_1_VERSION), 1);
    handshake(&e);
    assert_ok(e.end);
    clear_ends(&e);

    s.lowest = 12;
    s.ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256";
    make_ends(&e, &s);
    assert_int_equal(SSL_CTX_set_max_proto_version(e.client.ctx, TLS1_2_VERSION), 1);
    assert_int_equal(SSL_CTX_set_cipher_list(e.client.ctx, "ECDHE-ECDSA-AES256-GCM-SHA384"), 1);
    handshake(&e);
    expect_failure(&e, "no shared cipher");
    clear_ends(&e);
}

static void the_client_refuses_us(void **state)
{
    (void)state;
    struct tls_settings s = usual();
    struct ends e;
    make_ends(&e, &s);
    SSL_CTX_set_verify(e.client.ctx, SSL_VERIFY_PEER, NULL);
    handshake(&e);
    expect_failure(&e, "the client does not trust our certificate: unknown CA");
    clear_ends(&e);
}

/* ---- certificates of clients ---- */

static void show(struct ends *e, const struct certs_pair *p)
{
    assert_int_equal(SSL_CTX_use_certificate(e->client.ctx, p->x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(e->client.ctx, p->key), 1);
}

static void who_may_come(void **state)
{
    (void)state;
    struct tls_settings s = with_clients();
    struct ends e;
    const struct {
        const struct certs_pair *pair;
        const char *why;
    } cases[] = {
        {&files.client, NULL},
        {&files.revoked, "certificate revoked"},
        {&files.old, "certificate expired"},
        {&files.stranger, "certificate signed by itself, an unknown authority"},
        {NULL, "certificate required, and the client has none"},
    };
    s.crlfile = files.crl_path;
    for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
        make_ends(&e, &s);
        int version = i % 2 ? TLS1_2_VERSION : TLS1_3_VERSION;
        assert_int_equal(SSL_CTX_set_max_proto_version(e.client.ctx, version), 1);
        if (cases[i / 2].pair) {
            show(&e, cases[i / 2].pair);
        }
        handshake(&e);
        if (cases[i / 2].why) {
            expect_failure(&e, cases[i / 2].why);
        } else {
            assert_ok(e.end);
        }
        clear_ends(&e);
    }
}

static void a_certificate_that_may_be(void **state)
{
    (void)state;
    struct tls_settings s = with_clients();
    struct ends e;
    char name[TLS_NAME_MAX];
    size_t n;
    s.require_certificate = false;
    open_ends(&e, &s);
    assert_err(tls_name(e.t, TLS_IDENTITY, name, &n), ERR_NOT_FOUND);
    clear_ends(&e);
    make_ends(&e, &s);
    show(&e, &files.stranger);
    handshake(&e);
    expect_failure(&e, "certificate signed by itself, an unknown authority");
    clear_ends(&e);
}

static void dates_do_not_matter(void **state)
{
    (void)state;
    struct tls_settings s = with_clients();
    struct ends e;
    char name[TLS_NAME_MAX];
    size_t n;
    s.ignores_dates = true;
    s.crlfile = files.crl_path;
    make_ends(&e, &s);
    show(&e, &files.old);
    handshake(&e);
    assert_ok(e.end);
    assert_ok(tls_name(e.t, TLS_IDENTITY, name, &n));
    assert_string_equal(name, "carol");
    clear_ends(&e);
    make_ends(&e, &s);
    show(&e, &files.revoked);
    handshake(&e);
    expect_failure(&e, "certificate revoked");
    clear_ends(&e);
}

static void names(void **state)
{
    (void)state;
    const struct {
        struct certs_wish wish;
        enum err e;
        const char *name, *subject;
    } cases[] = {
        {{.cn = "alice"}, ERR_OK, "alice", "CN=alice,O=Test"},
        {{.cn = "J\xc3\xbcrgen"}, ERR_OK, "J\xc3\xbcrgen", "CN=J\\C3\\BCrgen,O=Test"},
        {{.cn = "J\xfcrgen", .cn_type = V_ASN1_T61STRING},
         ERR_OK,
         "J\xc3\xbcrgen",
         "CN=J\\C3\\BCrgen,O=Test"},
        {{.cn = "a,b"}, ERR_OK, "a,b", "CN=a\\,b,O=Test"},
        {{.cn = "al\0ice", .cn_size = 6}, ERR_UTF8, NULL, "CN=al\\00ice,O=Test"},
        {{.cn = NULL}, ERR_NOT_FOUND, NULL, "O=Test"},
    };
    struct tls_settings s = with_clients();
    char name[TLS_NAME_MAX];
    size_t n;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ends e;
        struct certs_wish wish = cases[i].wish;
        wish.issuer = &files.ca;
        struct certs_pair pair = certs_make(&wish);
        make_ends(&e, &s);
        show(&e, &pair);
        handshake(&e);
        assert_ok(e.end);
        assert_err(tls_name(e.t, TLS_IDENTITY, name, &n), cases[i].e);
        assert_string_equal(name, cases[i].name ? cases[i].name : "");
        assert_int_equal(n, strlen(name));
        assert_ok(tls_name(e.t, TLS_SUBJECT, name, &n));
        assert_string_equal(name, cases[i].subject);
        clear_ends(&e);
        certs_free(&pair);
    }
}

/* ---- resumption ---- */

static SSL_SESSION *kept;

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(kept);
    kept = session;
    return 1;
}

/* Another connection of the same client, to another or the same context. */
static void come_again(struct ends *e, struct tls_ctx *ctx)
{
    char room[8];
    (void)client_hears(e, room, sizeof(room));
    transport_close(e->t);
    memclient_disconnect(&e->client);
    memwire_clear(&e->wire);
    memwire_init(&e->wire);
    memclient_connect(&e->client, &e->wire);
    assert_non_null(kept);
    assert_int_equal(SSL_set_session(e->client.ssl, kept), 1);
    e->t = tls_accept(ctx, &e->wire.base, NULL);
    e->end = ERR_AGAIN;
    for (int i = 0; i < 10 && e->end == ERR_AGAIN; i++) {
        (void)SSL_do_handshake(e->client.ssl);
        ERR_clear_error();
        e->end = transport_step(e->t);
    }
    (void)SSL_do_handshake(e->client.ssl);
    (void)client_hears(e, room, sizeof(room));
}

static void sessions_are_resumed(void **state)
{
    (void)state;
    struct tls_settings s = with_clients();
    char why[TLS_WHY_MAX];
    char name[TLS_NAME_MAX];
    size_t n;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ends e;
        struct tls_ctx *other;
        make_ends(&e, &s);
        (void)SSL_CTX_set_session_cache_mode(e.client.ctx, SSL_SESS_CACHE_CLIENT);
        SSL_CTX_sess_set_new_cb(e.client.ctx, keep_session);
        assert_int_equal(SSL_CTX_set_max_proto_version(e.client.ctx, version), 1);
        show(&e, &files.client);
        handshake(&e);
        assert_ok(e.end);
        come_again(&e, e.ctx);
        assert_ok(e.end);
        assert_int_equal(SSL_session_reused(e.client.ssl), 1);
        assert_ok(tls_name(e.t, TLS_IDENTITY, name, &n));
        assert_string_equal(name, "alice");
        come_again(&e, e.ctx);
        assert_int_equal(SSL_session_reused(e.client.ssl), 1);
        assert_ok(tls_ctx_new(&s, &other, why));
        come_again(&e, other);
        assert_ok(e.end);
        assert_int_equal(SSL_session_reused(e.client.ssl), 0);
        clear_ends(&e);
        tls_ctx_unref(other);
        SSL_SESSION_free(kept);
        kept = NULL;
    }
}

/* Its certificate ends between the two: the ticket counts for nothing then. */
static void a_ticket_of_an_expired_certificate(void **state)
{
    (void)state;
    struct tls_settings s = with_clients();
    struct ends e;
    s.ignores_dates = true;
    make_ends(&e, &s);
    (void)SSL_CTX_set_session_cache_mode(e.client.ctx, SSL_SESS_CACHE_CLIENT);
    SSL_CTX_sess_set_new_cb(e.client.ctx, keep_session);
    show(&e, &files.old);
    handshake(&e);
    assert_ok(e.end);
    come_again(&e, e.ctx);
    assert_int_equal(SSL_session_reused(e.client.ssl), 1);
    e.ctx->ignores_dates = false;
    come_again(&e, e.ctx);
    assert_int_equal(SSL_session_reused(e.client.ssl), 0);
    clear_ends(&e);
    SSL_SESSION_free(kept);
    kept = NULL;
}

/* ---- pre-shared keys ---- */

static const unsigned char the_key[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

static size_t find_psk(void *owner, struct str identity, uint8_t key[TLS_PSK_MAX])
{
    assert_non_null(owner);
    if (!str_eq_c(identity, "dora")) {
        return 0;
    }
    memcpy(key, the_key, sizeof(the_key));
    return sizeof(the_key);
}

static const char *psk_identity;
static unsigned char psk_key[16];

static unsigned offer_psk(SSL *ssl, const char *hint, char *identity, unsigned size,
                          unsigned char *key, unsigned key_size)
{
    (void)ssl;
    (void)hint;
    assert_true(size > strlen(psk_identity) && key_size >= sizeof(psk_key));
    memcpy(identity, psk_identity, strlen(psk_identity) + 1);
    memcpy(key, psk_key, sizeof(psk_key));
    return sizeof(psk_key);
}

static void open_psk(struct ends *e, int version, const char *identity, int key_change)
{
    struct tls_settings s = {.psk_hint = "hint", .find_psk = find_psk};
    psk_identity = identity;
    memcpy(psk_key, the_key, sizeof(psk_key));
    psk_key[0] = (unsigned char)(psk_key[0] + key_change);
    make_ends(e, &s);
    assert_int_equal(tls_ctx_expires(e->ctx), 0);
    SSL_CTX_set_psk_client_callback(e->client.ctx, offer_psk);
    assert_int_equal(SSL_CTX_set_max_proto_version(e->client.ctx, version), 1);
    handshake(e);
}

static void by_pre_shared_key(void **state)
{
    (void)state;
    if (!feature_built(FEATURE_TLS_PSK)) {
        skip();
    }
    char name[TLS_NAME_MAX];
    size_t n;
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        struct ends e;
        open_psk(&e, version, "dora", 0);
        assert_ok(e.end);
        assert_ok(tls_name(e.t, TLS_IDENTITY, name, &n));
        assert_string_equal(name, "dora");
        (void)client_hears(&e, name, 1);
        assert_int_equal(SSL_SESSION_has_ticket(SSL_get_session(e.client.ssl)), 0);
        assert_err(tls_name(e.t, TLS_SUBJECT, name, &n), ERR_NOT_FOUND);
        clear_ends(&e);
        open_psk(&e, version, "dora", 1);
        expect_failure(&e, "wrong PSK");
        clear_ends(&e);
        open_psk(&e, version, "eve", 0);
        expect_failure(&e, "unknown PSK identity");
        clear_ends(&e);
    }
}

/* ---- the rest ---- */

static void alpn(void **state)
{
    (void)state;
    static const struct {
        const char *offer, *chosen;
    } cases[] = {{"\x04mqtt", "mqtt"}, {"\x02h2\x04mqtt", "mqtt"}, {"\x02h2", ""}};
    struct tls_settings s = usual();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct ends e;
        const unsigned char *chosen = NULL;
        unsigned n = 0;
        make_ends(&e, &s);
        assert_int_equal(SSL_CTX_set_alpn_protos(e.client.ctx,
                                                 (const unsigned char *)cases[i].offer,
                                                 (unsigned)strlen(cases[i].offer)),
                         0);
        handshake(&e);
        assert_ok(e.end);
        SSL_get0_alpn_selected(e.client.ssl, &chosen, &n);
        assert_int_equal(n, strlen(cases[i].chosen));
        if (n > 0) {
            assert_memory_equal(chosen, cases[i].chosen, n);
        }
        clear_ends(&e);
    }
}

static void note_line(void *ctx, const char *line)
{
    assert_ok(buf_printf(ctx, "%s\n", line));
}

static void secrets_are_told(void **state)
{
    (void)state;
    struct buf lines = {0};
    struct tls_settings s = usual();
    struct ends e;
    s.keylog = note_line;
    s.keylog_ctx = &lines;
    open_ends(&e, &s);
    assert_ok(buf_add(&lines, "", 1));
    assert_non_null(strstr((char *)buf_begin(&lines), "CLIENT_TRAFFIC_SECRET_0 "));
    clear_ends(&e);
    buf_clear(&lines);
}

static bool whole_life(struct ends *e)
{
    char room[64];
    bool good = false;
    memclient_init(&e->client);
    memwire_init(&e->wire);
    memclient_connect(&e->client, &e->wire);
    e->t = tls_accept(e->ctx, &e->wire.base, NULL);
    if (!e->t) {
        memclient_clear(&e->client);
        return false;
    }
    e->end = ERR_AGAIN;
    for (int i = 0; i < 10 && e->end == ERR_AGAIN; i++) {
        (void)SSL_do_handshake(e->client.ssl);
        ERR_clear_error();
        e->end = transport_step(e->t);
    }
    if (e->end == ERR_OK) {
        e->wire.room = 3;
        good = says(e, "01234567", 8) == 7;
        e->wire.room = SIZE_MAX;
        good = good && says(e, "7", 1) == 1 && hears(e, room, sizeof(room)) == -EAGAIN;
    }
    good = good || tls_why(e->t)[0] == '\0';
    transport_close(e->t);
    memclient_clear(&e->client);
    memwire_clear(&e->wire);
    return good;
}

static void without_memory(void **state)
{
    (void)state;
    unit_needs_tracking();
    struct tls_settings s = usual();
    char why[TLS_WHY_MAX];
    struct ends e = {0};
    assert_ok(tls_ctx_new(&s, &e.ctx, why));
    bool good = false;
    for (uint64_t n = 0; !good; n++) {
        mem_fail_after(n, 0);
        good = whole_life(&e);
        bool failed = mem_failed() > 0;
        mem_fail_never();
        assert_true(good || failed);
        assert_true(n < 1000);
        assert_int_equal(ERR_peek_error(), 0);
    }
    tls_ctx_unref(e.ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(bytes_both_ways),
        UNIT_TEST(small_writes_share_a_record),
        UNIT_TEST(many_records_are_one_write),
        UNIT_TEST(a_bulk_that_is_stopped),
        UNIT_TEST(a_short_write_comes_again),
        UNIT_TEST(short_reads_and_writes),
        UNIT_TEST(input_that_epoll_does_not_know_of),
        UNIT_TEST(one_read_below_for_one_above),
        UNIT_TEST(a_client_that_only_asks_for_keys),
        UNIT_TEST(key_updates_without_end),
        UNIT_TEST(an_end_of_stream),
        UNIT_TEST(an_end_behind_bytes_is_input),
        UNIT_TEST(finishing_says_so),
        UNIT_TEST(errors_of_the_layer_below),
        UNIT_TEST(bytes_that_were_tampered_with),
        UNIT_TEST(no_renegotiation),
        UNIT_TEST(other_bytes_than_tls),
        UNIT_TEST(a_hello_that_promises_much),
        UNIT_TEST(a_client_that_goes_away),
        UNIT_TEST(versions_and_ciphers),
        UNIT_TEST(the_client_refuses_us),
        UNIT_TEST(who_may_come),
        UNIT_TEST(a_certificate_that_may_be),
        UNIT_TEST(dates_do_not_matter),
        UNIT_TEST(names),
        UNIT_TEST(sessions_are_resumed),
        UNIT_TEST(a_ticket_of_an_expired_certificate),
        UNIT_TEST(by_pre_shared_key),
        UNIT_TEST(alpn),
        UNIT_TEST(secrets_are_told),
        UNIT_TEST(without_memory),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
