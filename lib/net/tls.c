/*
 * TLS over another transport, as a server or as a client.
 *
 * A write gathers small pieces into records and records into one write below, of 64 KiB: small
 * messages cost one call, and a bulk of them no more memory. OpenSSL's own rule,
 * that a write which did not get through is repeated with the same bytes, never comes to bear: the
 * wire takes all. What the layer below did not take is kept, and one byte of the caller's is left
 * uncounted so that it comes again.
 */
#include "net/tls.h"

#include "base/mem.h"
#include "net/tls_client.h"
#include "net/tls_inside.h"
#include "net/tls_wire.h"
#include "net/tls_words.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#define RECORD SSL3_RT_MAX_PLAIN_LENGTH
/* What a record is longer than what it carries, and a key update beside it, at most. */
#define RECORD_EXTRA 512
#define RECORDS 4 /* in one write below */
#define ROOM (RECORDS * (RECORD + RECORD_EXTRA))
#define ROUNDS 4 /* writes below for one above, if it has so much */
/* Each key update of a peer costs as much as thousands of bytes, and so does each ticket: it has so
 * many at first, and one more for each read that brings data. */
#define KEY_UPDATES 16

struct tls {
    struct transport base;
    struct tls_ctx *ctx;
    SSL *ssl;
    struct tls_wire wire;
    struct tls_user user;
    const char *why;
    int error;       /* what it failed by: errno; 0 = it has not */
    bool shaken;     /* the handshake is done */
    bool has_input;  /* there may be some in here */
    bool owes;       /* the next byte to be written is one that was encrypted before */
    uint8_t updates; /* of keys, more than reads that brought data */
};

static struct tls *tls_of(struct transport *t)
{
    return CONTAINER_OF(t, struct tls, base);
}

static const struct tls *tls_of_const(const struct transport *t)
{
    return CONTAINER_OF(t, const struct tls, base);
}

/* ---- failing ---- */

static void fail(struct tls *tls, int error, const char *why)
{
    if (tls->error == 0) {
        tls->error = error;
        tls->why = why;
    }
    tls_words_forget();
}

/* Words for a log of a server, and for one of a client. */
static const char *by_side(const struct tls *tls, const char *of_client, const char *of_server)
{
    return tls->ctx->is_client ? of_server : of_client;
}

static void fail_below(struct tls *tls, int error)
{
    /* The wire's own verdict on what the peer began with. */
    const char *words = strerrordesc_np(error);
    if (error == EMSGSIZE) {
        words = by_side(tls, "a ClientHello that is too long, or cut to pieces",
                        "a ServerHello that is too long, or cut to pieces");
    }
    fail(tls, error, words ? words : "the connection broke");
}

static struct tls_state state_of(const struct tls *tls)
{
    const struct tls_remote *remote = tls->user.remote;
    return (struct tls_state){
        .is_client = tls->ctx->is_client,
        .verify = SSL_get_verify_result(tls->ssl),
        .has_psk = tls->ctx->has_psk,
        .unknown_identity = tls->user.unknown_identity,
        .was_asked = remote && remote->was_asked,
        .verdict = remote ? remote->verdict : NULL,
        .first = tls->wire.first,
        .first_n = tls->wire.first_n,
    };
}

static void fail_tls(struct tls *tls)
{
    const struct tls_state state = state_of(tls);
    fail(tls, EPROTO, tls_words_connection(&state));
    if (tls->user.remote) {
        tls_client_forget(tls->ctx);
    }
}

enum verdict { WAITS, ENDED, FAILED };

/* A call into OpenSSL has not done what it was to do. */
static enum verdict judge(struct tls *tls, int result)
{
    int e = SSL_get_error(tls->ssl, result);
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
        return WAITS;
    }
    if (e == SSL_ERROR_ZERO_RETURN) {
        return ENDED;
    }
    if (tls->wire.error != 0) {
        fail_below(tls, tls->wire.error);
    } else if (tls->wire.ended && ERR_peek_error() == 0) {
        return ENDED;
    } else {
        fail_tls(tls);
    }
    return FAILED;
}

static void begin(struct tls *tls, uint8_t *room, size_t size)
{
    tls_words_forget();
    tls_wire_begin(&tls->wire, room, size);
}

/* 0, -EAGAIN, or -errno and it has failed. */
static int flush(struct tls *tls)
{
    int e = tls_wire_flush(&tls->wire);
    if (e != 0 && e != -EAGAIN) {
        fail_below(tls, -e);
    }
    return e;
}

/* ---- reading ---- */

static bool is_update(const SSL *ssl)
{
    switch (SSL_get_state(ssl)) {
    case TLS_ST_SR_KEY_UPDATE:
    case TLS_ST_CR_KEY_UPDATE:
    case TLS_ST_CR_SESSION_TICKET:
    case TLS_ST_CR_HELLO_REQ:
        return true;
    default:
        return false;
    }
}

/*
 * OpenSSL would answer a thousand key updates in one call. This is called for each, while it is
 * read; from the next record on it is as if the peer had ended.
 */
static void count_updates(const SSL *ssl, int where, int unused)
{
    struct tls *tls = CONTAINER_OF(tls_user_of(ssl), struct tls, user);
    (void)unused;
    if (where & SSL_CB_LOOP && is_update(ssl) && ++tls->updates > KEY_UPDATES) {
        fail(tls, EPROTO,
             by_side(tls, "the client updates its keys all the time",
                     "the server updates its keys, or sends tickets, all the time"));
        SSL_set_shutdown(tls->ssl, SSL_RECEIVED_SHUTDOWN);
    }
}

static ssize_t tls_read(struct transport *t, void *p, size_t n)
{
    struct tls *tls = tls_of(t);
    if (UNLIKELY(tls->error != 0)) {
        return -tls->error;
    }
    begin(tls, NULL, 0);
    size_t got = 0;
    size_t more = 0;
    int result = 1;
    do {
        result = SSL_read_ex(tls->ssl, (char *)p + got, n - got, &more);
        got += result == 1 ? more : 0;
    } while (result == 1 && got < n && SSL_has_pending(tls->ssl));
    enum verdict v = result == 1 ? WAITS : judge(tls, result);
    (void)flush(tls);
    /* Whoever got bytes is told of their end by the next call, and has to make it. */
    tls->has_input = got > 0 && (result == 1 ? SSL_has_pending(tls->ssl) != 0 : v != WAITS);
    if (got > 0) {
        if (UNLIKELY(tls->updates > 0)) {
            tls->updates--;
        }
        return (ssize_t)got;
    }
    if (tls->error != 0) {
        return -tls->error;
    }
    return v == ENDED ? 0 : -EAGAIN;
}

static bool tls_has_input(const struct transport *t)
{
    return tls_of_const(t)->has_input;
}

/* ---- writing ---- */

/* The bytes to be written, piece by piece. */
struct cursor {
    const struct iovec *iov;
    int n;
    size_t skip; /* of the first */
};

static void cursor_skip(struct cursor *c, size_t n)
{
    while (c->n > 0 && n >= c->iov->iov_len - c->skip) {
        n -= c->iov->iov_len - c->skip;
        c->skip = 0;
        c->iov++;
        c->n--;
    }
    if (c->n > 0) {
        c->skip += n;
    }
}

/* The next record's bytes: where they lie if that is in one place, else copied to `copy`. */
static const uint8_t *next_record(const struct cursor *from, uint8_t copy[RECORD], size_t *n)
{
    struct cursor c = *from;
    const uint8_t *first = (const uint8_t *)c.iov->iov_base + c.skip;
    size_t size = c.iov->iov_len - c.skip;
    if (size >= RECORD || c.n == 1) {
        *n = size < RECORD ? size : RECORD;
        return first;
    }
    size_t used = 0;
    while (c.n > 0 && used < RECORD) {
        size_t piece = c.iov->iov_len - c.skip;
        size_t part = piece < RECORD - used ? piece : RECORD - used;
        memcpy(copy + used, (const uint8_t *)c.iov->iov_base + c.skip, part);
        used += part;
        cursor_skip(&c, part);
    }
    *n = used;
    return copy;
}

/* How many bytes were encrypted, of at most RECORDS records. */
static size_t encrypt(struct tls *tls, struct cursor *c)
{
    uint8_t copy[RECORD];
    size_t taken = 0;
    for (int i = 0; i < RECORDS && c->n > 0; i++) {
        size_t n;
        size_t done = 0;
        const uint8_t *bytes = next_record(c, copy, &n);
        if (n == 0) {
            break;
        }
        int result = SSL_write_ex(tls->ssl, bytes, n, &done);
        if (result != 1) {
            if (judge(tls, result) != WAITS) {
                fail(tls, EPIPE, by_side(tls, "the client ended TLS", "the server ended TLS"));
            }
            break;
        }
        taken += done;
        cursor_skip(c, done);
    }
    return taken;
}

static ssize_t tls_writev(struct transport *t, const struct iovec *iov, int n)
{
    struct tls *tls = tls_of(t);
    uint8_t room[ROOM];
    if (UNLIKELY(tls->error != 0)) {
        return -tls->error;
    }
    if (UNLIKELY(!tls_wire_is_clear(&tls->wire))) {
        int e = flush(tls);
        if (e != 0) {
            return e;
        }
    }
    struct cursor c = {.iov = iov, .n = n};
    cursor_skip(&c, 0);
    size_t taken = 0;
    if (tls->owes && c.n > 0) {
        cursor_skip(&c, 1);
        taken = 1;
        tls->owes = false;
    }
    int e = 0;
    for (int i = 0; i < ROUNDS && e == 0 && (i == 0 || c.n > 0); i++) {
        begin(tls, room, sizeof(room));
        taken += encrypt(tls, &c);
        e = flush(tls);
    }
    if (tls->error != 0) {
        return -tls->error;
    }
    if (e == -EAGAIN && taken > 0) {
        tls->owes = true;
        taken--;
    }
    return taken > 0 ? (ssize_t)taken : -EAGAIN;
}

/* ---- handshake and end ---- */

static enum err failed(const struct tls *tls)
{
    switch (tls->error) {
    case EPROTO:
        return ERR_PROTOCOL;
    case ENOMEM:
        return ERR_NOMEM;
    default:
        errno = tls->error;
        return ERR_SYSTEM;
    }
}

/* What is clear after its first bytes need not be waited for. */
static void look_at_beginning(struct tls *tls)
{
    const struct tls_state state = state_of(tls);
    const char *words = tls->ctx->is_client ? tls_words_server(&state) : NULL;
    if (words) {
        fail(tls, EPROTO, words);
    }
}

static enum err closed(struct tls *tls)
{
    fail(tls, ECONNRESET,
         by_side(tls, "the client closed the connection during the handshake",
                 "the server closed the connection during the handshake"));
    return ERR_CLOSED;
}

static enum err shaken(struct tls *tls)
{
    if (tls->user.remote && !tls_client_is_proven(tls->ssl)) {
        fail(tls, EPROTO, tls->user.remote->verdict);
        return failed(tls);
    }
    tls->shaken = true;
    tls->has_input = SSL_has_pending(tls->ssl) != 0;
    return ERR_OK;
}

static enum err shake(struct tls *tls)
{
    begin(tls, NULL, 0);
    int result = SSL_do_handshake(tls->ssl);
    enum verdict v = result == 1 ? WAITS : judge(tls, result);
    /* Also when it has failed: an alert tells the peer why. */
    (void)flush(tls);
    tls_words_forget();
    if (result != 1) {
        look_at_beginning(tls);
    }
    if (v == ENDED && tls->error != EPROTO) {
        return closed(tls);
    }
    if (tls->error != 0) {
        return failed(tls);
    }
    return result == 1 ? shaken(tls) : ERR_AGAIN;
}

static enum err tls_step(struct transport *t)
{
    struct tls *tls = tls_of(t);
    if (tls->error != 0) {
        return failed(tls);
    }
    if (!tls->shaken) {
        return shake(tls);
    }
    if (!tls_wire_is_clear(&tls->wire)) {
        (void)flush(tls);
    }
    return tls->error != 0 ? failed(tls) : ERR_OK;
}

static unsigned tls_wants(const struct transport *t)
{
    const struct tls *tls = tls_of_const(t);
    unsigned wants = tls->shaken ? TRANSPORT_WANTS_NOTHING : TRANSPORT_WANTS_READ;
    return wants | (tls_wire_is_clear(&tls->wire) ? 0U : (unsigned)TRANSPORT_WANTS_WRITE);
}

/* What does not fit into the layer below now is lost: the caller has nothing more to write, so that
 * is the farewell at most. */
static void tls_finish(struct transport *t)
{
    struct tls *tls = tls_of(t);
    if (tls->shaken && tls->error == 0) {
        begin(tls, NULL, 0);
        (void)SSL_shutdown(tls->ssl);
        (void)flush(tls);
        tls_words_forget();
    }
    transport_finish(tls->wire.under);
}

static void free_tls(struct tls *tls)
{
    if (tls->user.remote && tls->ssl && tls->error != EPROTO) {
        tls_client_end(tls->ssl);
    }
    SSL_free(tls->ssl);
    tls_client_clear(&tls->user);
    buf_clear(&tls->wire.pending);
    str_dup_free(tls->user.identity);
    tls_ctx_unref(tls->ctx);
    mem_free(tls, sizeof(*tls));
    tls_words_forget();
}

static void tls_close(struct transport *t)
{
    struct tls *tls = tls_of(t);
    struct transport *under = tls->wire.under;
    free_tls(tls);
    transport_close(under);
}

static const struct transport_ops tls_ops = {
    .read = tls_read,
    .writev = tls_writev,
    .step = tls_step,
    .wants = tls_wants,
    .has_input = tls_has_input,
    .finish = tls_finish,
    .close = tls_close,
};

static struct tls *make(struct tls_ctx *ctx, struct transport *under, void *owner)
{
    struct tls *tls = mem_zalloc(sizeof(*tls));
    if (!tls) {
        return NULL;
    }
    tls->base.ops = &tls_ops;
    tls->ctx = tls_ctx_ref(ctx);
    tls->wire.under = under;
    tls->user.ctx = ctx;
    tls->user.owner = owner;
    tls->why = "nothing has failed";
    tls->ssl = SSL_new(ctx->ssl);
    BIO *bio = tls->ssl ? tls_wire_bio(ctx->bio, &tls->wire) : NULL;
    if (!bio || SSL_set_app_data(tls->ssl, &tls->user) != 1) {
        BIO_free(bio);
        free_tls(tls);
        return NULL;
    }
    SSL_set_info_callback(tls->ssl, count_updates);
    SSL_set_bio(tls->ssl, bio, bio);
    return tls;
}

struct transport *tls_accept(struct tls_ctx *ctx, struct transport *under, void *owner)
{
    struct tls *tls = make(ctx, under, owner);
    if (!tls) {
        return NULL;
    }
    SSL_set_accept_state(tls->ssl);
    return &tls->base;
}

struct transport *tls_connect(struct tls_ctx *ctx, struct transport *under, const char *host)
{
    struct tls *tls = make(ctx, under, NULL);
    if (!tls) {
        return NULL;
    }
    SSL_set_connect_state(tls->ssl);
    enum err e = tls_client_prepare(ctx, tls->ssl, &tls->user, host);
    if (e == ERR_NOMEM) {
        free_tls(tls);
        return NULL;
    }
    if (e != ERR_OK) {
        fail(tls, EPROTO, "no certificate can be for a host of that name");
    }
    return &tls->base;
}

/* ---- what is known of it ---- */

const char *tls_why(const struct transport *t)
{
    return tls_of_const(t)->why;
}

const char *tls_text(const struct transport *t, char out[TLS_TEXT_MAX])
{
    const struct tls *tls = tls_of_const(t);
    (void)snprintf(out, TLS_TEXT_MAX, "%s cipher %s", SSL_get_version(tls->ssl),
                   SSL_get_cipher_name(tls->ssl));
    return out;
}

void *tls_ssl(const struct transport *t)
{
    return tls_of_const(t)->ssl;
}

/* A user name must be text, and nothing in it may look like its end. */
static enum err take_name(struct str name, char out[TLS_NAME_MAX], size_t *n)
{
    if (name.n == 0) {
        return ERR_NOT_FOUND;
    }
    if (name.n >= TLS_NAME_MAX) {
        return ERR_TOO_LARGE;
    }
    for (struct str rest = name; rest.n > 0;) {
        uint32_t c = 0;
        size_t length = str_character(rest, &c);
        if (length == 0 || c == 0) {
            return ERR_UTF8;
        }
        rest = str_of(rest.p + length, rest.n - length);
    }
    memcpy(out, name.p, name.n);
    out[name.n] = '\0';
    *n = name.n;
    return ERR_OK;
}

static enum err take_common_name(const X509_NAME *subject, char out[TLS_NAME_MAX], size_t *n)
{
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at < 0) {
        return ERR_NOT_FOUND;
    }
    unsigned char *text = NULL;
    int size =
        ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
    if (size < 0) {
        tls_words_forget();
        return ERR_UTF8;
    }
    enum err e = take_name(str_of((const char *)text, (size_t)size), out, n);
    OPENSSL_free(text);
    return e;
}

static enum err take_subject(const X509_NAME *subject, char out[TLS_NAME_MAX], size_t *n)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    enum err e = ERR_NOMEM;
    if (bio && X509_NAME_print_ex(bio, subject, 0, XN_FLAG_RFC2253) >= 0) {
        long size = BIO_get_mem_data(bio, &text);
        e = take_name(str_of(text, size > 0 ? (size_t)size : 0), out, n);
    }
    BIO_free(bio);
    tls_words_forget();
    return e;
}

enum err tls_name(const struct transport *t, enum tls_name which, char out[TLS_NAME_MAX], size_t *n)
{
    const struct tls *tls = tls_of_const(t);
    out[0] = '\0';
    *n = 0;
    if (tls->ctx->has_psk) {
        return which == TLS_IDENTITY && tls->user.identity
                   ? take_name(str_c(tls->user.identity), out, n)
                   : ERR_NOT_FOUND;
    }
    const X509 *x = SSL_get0_peer_certificate(tls->ssl);
    if (!x || SSL_get_verify_result(tls->ssl) != X509_V_OK) {
        return ERR_NOT_FOUND;
    }
    const X509_NAME *subject = X509_get_subject_name(x);
    return which == TLS_SUBJECT ? take_subject(subject, out, n) : take_common_name(subject, out, n);
}
