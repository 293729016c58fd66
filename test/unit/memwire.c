/*
 * A transport of memory, and a TLS client at its other end.
 */
#include "memwire.h"

#include "unit.h"

#include <errno.h>
#include <string.h>

/* With chance: now and then nothing, else some of it. */
static size_t how_many(struct memwire *w, size_t n)
{
    if (!w->chance || n == 0) {
        return n;
    }
    uint32_t kind = rng_below(w->chance, 8);
    if (kind == 0) {
        return 0;
    }
    uint32_t most = kind < 4 ? 40 : 40000;
    size_t some = rng_below(w->chance, most) + 1;
    return some < n ? some : n;
}

static struct memwire *memwire_of(struct transport *t)
{
    return CONTAINER_OF(t, struct memwire, base);
}

static ssize_t memwire_read(struct transport *t, void *p, size_t n)
{
    struct memwire *w = memwire_of(t);
    w->reads++;
    if (w->error != 0) {
        return -w->error;
    }
    size_t some = how_many(w, w->in.len < n ? w->in.len : n);
    if (some == 0) {
        return w->ended && w->in.len == 0 ? 0 : -EAGAIN;
    }
    memcpy(p, buf_begin(&w->in), some);
    buf_drop(&w->in, some);
    return (ssize_t)some;
}

static ssize_t memwire_writev(struct transport *t, const struct iovec *iov, int n)
{
    struct memwire *w = memwire_of(t);
    size_t left = w->room;
    size_t done = 0;
    w->writes++;
    if (w->error != 0) {
        return -w->error;
    }
    for (int i = 0; i < n && left > 0; i++) {
        size_t fit = iov[i].iov_len < left ? iov[i].iov_len : left;
        size_t some = how_many(w, fit);
        if (buf_add(&w->out, iov[i].iov_base, some) != ERR_OK) {
            return -ENOMEM;
        }
        done += some;
        left -= some;
        if (some < iov[i].iov_len) {
            break;
        }
    }
    if (w->room != SIZE_MAX) {
        w->room = left;
    }
    return done > 0 ? (ssize_t)done : -EAGAIN;
}

static enum err memwire_step(struct transport *t)
{
    (void)t;
    return ERR_OK;
}

static unsigned memwire_wants(const struct transport *t)
{
    (void)t;
    return TRANSPORT_WANTS_NOTHING;
}

static bool memwire_has_input(const struct transport *t)
{
    (void)t;
    return false;
}

static void memwire_finish(struct transport *t)
{
    memwire_of(t)->finished = true;
}

static void memwire_close(struct transport *t)
{
    memwire_of(t)->closed = true;
}

static const struct transport_ops memwire_ops = {
    .read = memwire_read,
    .writev = memwire_writev,
    .step = memwire_step,
    .wants = memwire_wants,
    .has_input = memwire_has_input,
    .finish = memwire_finish,
    .close = memwire_close,
};

void memwire_init(struct memwire *w)
{
    *w = (struct memwire){.base = {.ops = &memwire_ops}, .room = SIZE_MAX};
}

void memwire_clear(struct memwire *w)
{
    buf_clear(&w->in);
    buf_clear(&w->out);
}

/* ---- the client ---- */

static int client_write(BIO *bio, const char *p, int n)
{
    struct memwire *w = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    return buf_add(&w->in, p, (size_t)n) == ERR_OK ? n : -1;
}

static int client_read(BIO *bio, char *p, int n)
{
    struct memwire *w = BIO_get_data(bio);
    size_t some = (size_t)n < w->out.len ? (size_t)n : w->out.len;
    BIO_clear_retry_flags(bio);
    if (some == 0) {
        if (w->finished || w->closed) {
            return 0;
        }
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(p, buf_begin(&w->out), some);
    buf_drop(&w->out, some);
    return (int)some;
}

static long client_ctrl(BIO *bio, int command, long number, void *p)
{
    (void)bio;
    (void)number;
    (void)p;
    return command == BIO_CTRL_FLUSH;
}

void memclient_init(struct memclient *c)
{
    *c = (struct memclient){.ctx = SSL_CTX_new(TLS_client_method())};
    assert_non_null(c->ctx);
    SSL_CTX_set_security_level(c->ctx, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(c->ctx, TLS1_1_VERSION), 1);
    (void)SSL_CTX_set_options(c->ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
}

void memclient_connect(struct memclient *c, struct memwire *w)
{
    BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "client");
    assert_int_equal(BIO_meth_set_write(m, client_write), 1);
    assert_int_equal(BIO_meth_set_read(m, client_read), 1);
    assert_int_equal(BIO_meth_set_ctrl(m, client_ctrl), 1);
    c->method = m;
    BIO *bio = BIO_new(m);
    BIO_set_data(bio, w);
    BIO_set_init(bio, 1);
    c->ssl = SSL_new(c->ctx);
    assert_non_null(c->ssl);
    SSL_set_bio(c->ssl, bio, bio);
    SSL_set_connect_state(c->ssl);
}

void memclient_disconnect(struct memclient *c)
{
    /* Else OpenSSL takes it for broken, and its session with it. */
    if (c->ssl) {
        SSL_set_shutdown(c->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    }
    SSL_free(c->ssl);
    BIO_meth_free(c->method);
    c->ssl = NULL;
    c->method = NULL;
}

void memclient_clear(struct memclient *c)
{
    memclient_disconnect(c);
    SSL_CTX_free(c->ctx);
    c->ctx = NULL;
}
