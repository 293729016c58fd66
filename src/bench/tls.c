/*
 * TLS as a client, over a connected socket.
 *
 * OpenSSL works on memory here and the system calls are ours: so a turn of a connection is one
 * recv() and one send(), with the flags that the moment wants, as it is without TLS.
 */
#include "bench/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    PSK_MAX = 256,
    READ_MAX = BENCH_TLS_ROOM - 18 * 1024, /* beside a record of which a part is here already */
};

struct bench_tls_ctx {
    SSL_CTX *ssl;
    const char *host; /* that its certificate must be of; NULL: anybody's will do */
    const char *identity;
    unsigned char psk[PSK_MAX];
    size_t psk_size;
};

struct bench_tls {
    SSL *ssl;
    BIO *in;     /* from the socket */
    BIO *out;    /* to the socket */
    size_t sent; /* of what is in `out` */
    int fd;
    bool owes; /* the next byte to be written was encrypted before */
};

/* What OpenSSL complains of, in its own words. */
static const char *complaint(void)
{
    const char *words = ERR_reason_error_string(ERR_peek_error());

    ERR_clear_error();
    return words != NULL ? words : "unknown reason";
}

static unsigned give_psk(SSL *ssl, const char *hint, char *identity, unsigned identity_size,
                         unsigned char *psk, unsigned psk_size)
{
    const struct bench_tls_ctx *ctx = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    size_t size = strlen(ctx->identity) + 1;

    (void)hint;
    if (size > identity_size || ctx->psk_size > psk_size) {
        return 0;
    }
    memcpy(identity, ctx->identity, size);
    memcpy(psk, ctx->psk, ctx->psk_size);
    return (unsigned)ctx->psk_size;
}

static bool use_psk(struct bench_tls_ctx *ctx, const struct bench_options *options,
                    struct bench_error *error)
{
    if (OPENSSL_hexstr2buf_ex(ctx->psk, sizeof ctx->psk, &ctx->psk_size, options->psk, '\0') != 1 ||
        ctx->psk_size == 0) {
        ERR_clear_error();
        return bench_fail(error, "--psk: 1 to %d bytes in hexadecimal are wanted", PSK_MAX);
    }
    ctx->identity = options->psk_identity;
    SSL_CTX_set_psk_client_callback(ctx->ssl, give_psk);
    return true;
}

static bool use_files(struct bench_tls_ctx *ctx, const struct bench_options *options,
                      struct bench_error *error)
{
    if (options->cafile != NULL && SSL_CTX_load_verify_file(ctx->ssl, options->cafile) != 1) {
        return bench_fail(error, "--cafile: \"%s\" cannot be used: %s", options->cafile,
                          complaint());
    }
    if (options->cert != NULL && SSL_CTX_use_certificate_chain_file(ctx->ssl, options->cert) != 1) {
        return bench_fail(error, "--cert: \"%s\" cannot be used: %s", options->cert, complaint());
    }
    if (options->key != NULL &&
        SSL_CTX_use_PrivateKey_file(ctx->ssl, options->key, SSL_FILETYPE_PEM) != 1) {
        return bench_fail(error, "--key: \"%s\" cannot be used: %s", options->key, complaint());
    }
    return true;
}

static bool set_up(struct bench_tls_ctx *ctx, const struct bench_options *options,
                   struct bench_error *error)
{
    ctx->ssl = SSL_CTX_new(TLS_client_method());
    if (ctx->ssl == NULL || SSL_CTX_set_app_data(ctx->ssl, ctx) != 1) {
        return bench_fail(error, "TLS cannot be set up: %s", complaint());
    }
    if (options->tls_version != NULL) {
        int version =
            strcmp(options->tls_version, "tlsv1.2") == 0 ? TLS1_2_VERSION : TLS1_3_VERSION;

        SSL_CTX_set_min_proto_version(ctx->ssl, version);
        SSL_CTX_set_max_proto_version(ctx->ssl, version);
    }
    if (options->cafile != NULL && !options->insecure) {
        ctx->host = options->host;
        SSL_CTX_set_verify(ctx->ssl, SSL_VERIFY_PEER, NULL);
    }
    SSL_CTX_set_mode(ctx->ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                   SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_read_ahead(ctx->ssl, 1);
    SSL_CTX_set_options(ctx->ssl, SSL_OP_IGNORE_UNEXPECTED_EOF);
    return use_files(ctx, options, error) && (options->psk == NULL || use_psk(ctx, options, error));
}

bool bench_tls_setup(const struct bench_options *options, struct bench_tls_ctx **out,
                     struct bench_error *error)
{
    *out = NULL;
    if (!options_want_tls(options)) {
        return true;
    }
    *out = calloc(1, sizeof **out);
    if (*out == NULL) {
        return bench_fail(error, "memory is too short");
    }
    return set_up(*out, options, error);
}

void bench_tls_free(struct bench_tls_ctx *ctx)
{
    if (ctx != NULL) {
        SSL_CTX_free(ctx->ssl);
        OPENSSL_cleanse(ctx->psk, sizeof ctx->psk);
        free(ctx);
    }
}

static bool is_address(const char *host)
{
    unsigned char room[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, room) == 1 || inet_pton(AF_INET6, host, room) == 1;
}

static bool expect_host(SSL *ssl, const char *host)
{
    if (host == NULL) {
        return true;
    }
    if (is_address(host)) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    }
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

/* All that waits to be sent: 1 = it has gone, 0 = not yet, -1 with errno. */
static int drain(struct bench_tls *tls, int flags)
{
    char *bytes;
    size_t size = (size_t)BIO_get_mem_data(tls->out, &bytes);

    while (tls->sent < size) {
        ssize_t sent = send(tls->fd, bytes + tls->sent, size - tls->sent, flags | MSG_NOSIGNAL);

        if (sent < 0) {
            return errno == EAGAIN || errno == EINTR ? 0 : -1;
        }
        tls->sent += (size_t)sent;
        if ((flags & MSG_DONTWAIT) != 0 && tls->sent < size) {
            return 0;
        }
    }
    BIO_reset(tls->out);
    tls->sent = 0;
    return 1;
}

/* Like recv(), but what came is handed to TLS. */
static ssize_t fill(struct bench_tls *tls, int flags)
{
    char bytes[READ_MAX];
    ssize_t got = recv(tls->fd, bytes, sizeof bytes, flags);

    if (got > 0 && BIO_write(tls->in, bytes, (int)got) != got) {
        errno = ENOMEM;
        return -1;
    }
    return got;
}

bool bench_tls_shake(struct bench_tls *tls, int flags, bool *done, struct bench_error *error)
{
    for (;;) {
        int result = SSL_do_handshake(tls->ssl);
        bool waits = SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ;
        ssize_t got;

        *done = result == 1;
        /* What is sent here is so little that a socket always takes it. */
        if (drain(tls, flags) != 1) {
            return bench_fail(error, "TLS handshake: %s", strerror(errno));
        }
        if (*done) {
            return true;
        }
        if (!waits) {
            return bench_fail(error, "TLS handshake: %s", complaint());
        }
        got = fill(tls, flags);
        if (got < 0 && errno == EAGAIN && (flags & MSG_DONTWAIT) != 0) {
            return true;
        }
        if (got <= 0) {
            return bench_fail(error, "TLS handshake: %s",
                              got == 0          ? "the broker closed the connection"
                              : errno == EAGAIN ? "no answer within the time limit"
                                                : strerror(errno));
        }
    }
}

struct bench_tls *bench_tls_open(const struct bench_tls_ctx *ctx, int fd, struct bench_error *error)
{
    struct bench_tls *tls = calloc(1, sizeof *tls);

    if (tls == NULL) {
        bench_fail(error, "memory is too short");
        return NULL;
    }
    tls->fd = fd;
    tls->ssl = SSL_new(ctx->ssl);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    if (tls->ssl == NULL || tls->in == NULL || tls->out == NULL ||
        !expect_host(tls->ssl, ctx->host)) {
        bench_fail(error, "TLS cannot be set up: %s", complaint());
        BIO_free(tls->in);
        BIO_free(tls->out);
        SSL_free(tls->ssl);
        free(tls);
        return NULL;
    }
    BIO_set_mem_eof_return(tls->in, -1);
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_connect_state(tls->ssl);
    return tls;
}

void bench_tls_close(struct bench_tls *tls)
{
    if (tls != NULL) {
        SSL_shutdown(tls->ssl);
        drain(tls, MSG_DONTWAIT);
        SSL_free(tls->ssl);
        free(tls);
        ERR_clear_error();
    }
}

/* As much as there is: bytes, 0 when the broker has ended TLS, -1 with errno. */
static ssize_t decrypt(struct bench_tls *tls, char *p, size_t n)
{
    size_t got = 0;
    size_t more;
    int result = 1;
    int error;

    while (got < n && (result = SSL_read_ex(tls->ssl, p + got, n - got, &more)) == 1) {
        got += more;
    }
    if (got > 0) {
        ERR_clear_error();
        return (ssize_t)got;
    }
    error = SSL_get_error(tls->ssl, result);
    ERR_clear_error();
    if (error == SSL_ERROR_ZERO_RETURN) {
        return 0;
    }
    errno = error == SSL_ERROR_WANT_READ ? EAGAIN : EPROTO;
    return -1;
}

ssize_t bench_tls_read(struct bench_tls *tls, void *p, size_t n, int flags)
{
    ssize_t got = decrypt(tls, p, n);

    while (got < 0 && errno == EAGAIN) {
        got = fill(tls, flags);
        if (got <= 0) {
            return got;
        }
        got = decrypt(tls, p, n);
        if ((flags & MSG_DONTWAIT) != 0) {
            break;
        }
    }
    if (drain(tls, MSG_DONTWAIT) < 0) {
        return -1;
    }
    return got;
}

ssize_t bench_tls_write(struct bench_tls *tls, const void *p, size_t n, int flags)
{
    const char *bytes = p;
    size_t taken = 0;
    size_t more;
    int gone = drain(tls, flags);

    if (gone != 1) {
        errno = gone == 0 ? EAGAIN : errno;
        return -1;
    }
    if (tls->owes && n > 0) {
        taken = 1;
        tls->owes = false;
    }
    while (taken < n && SSL_write_ex(tls->ssl, bytes + taken, n - taken, &more) == 1) {
        taken += more;
    }
    gone = taken < n ? -1 : drain(tls, flags);
    if (taken < n) {
        ERR_clear_error();
        errno = EPROTO;
    }
    if (gone == 0) {
        tls->owes = true;
        taken--;
        errno = EAGAIN;
    }
    return gone < 0 || taken == 0 ? -1 : (ssize_t)taken;
}

bool bench_tls_has_input(const struct bench_tls *tls)
{
    return SSL_pending(tls->ssl) > 0 || BIO_ctrl_pending(tls->in) > 0;
}
