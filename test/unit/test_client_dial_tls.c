/*
 * The client's way to a broker by TLS, whose server is ours and plays in the same loop.
 */
#include "client/dial.h"

#include "certs.h"
#include "client_dial_rig.h"
#include "net/tcp.h"
#include "net/tls.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

#define HOSTS "127.0.0.2 broker.example\n127.0.0.1 broker.example wrong.example\n"

/* Made once: keys take their time. */
static struct files {
    char directory[64];
    char ca[CERTS_PATH_MAX], cert[CERTS_PATH_MAX], key[CERTS_PATH_MAX], hosts[CERTS_PATH_MAX];
} files;

static int make_files(void **state)
{
    (void)state;
    certs_directory(files.directory);
    struct certs_pair ca = certs_make(&(struct certs_wish){.cn = "Test CA", .ca = true});
    struct certs_pair server = certs_make(&(struct certs_wish){
        .cn = "a server", .san = "DNS:broker.example,DNS:localhost", .issuer = &ca});
    (void)certs_write(files.directory, "ca.pem", &ca.x, 1, files.ca);
    (void)certs_write(files.directory, "cert.pem", &server.x, 1, files.cert);
    (void)certs_write_key(files.directory, "key.pem", server.key, NULL, files.key);
    (void)certs_write_text(files.directory, "hosts", HOSTS, files.hosts);
    certs_free(&ca);
    certs_free(&server);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    certs_remove(files.directory);
    return 0;
}

/* ---- A server ---- */

struct server {
    struct peer peer;
    struct tls_ctx *ctx;
    struct tcp tcp;
    struct transport *tls;
    enum err result; /* of its handshake */
    uint16_t port;
};

static void serve(struct peer *peer)
{
    struct server *s = CONTAINER_OF(peer, struct server, peer);
    struct pollfd ready = {.fd = peer->listener, .events = POLLIN};
    if (!s->tls && poll(&ready, 1, 0) == 1) {
        peer->fd = accepted(peer->listener);
        tcp_init(&s->tcp, peer->fd);
        s->tls = tls_accept(s->ctx, &s->tcp.base, NULL);
        assert_non_null(s->tls);
        s->result = ERR_AGAIN;
    } else if (s->tls && s->result == ERR_AGAIN) {
        s->result = transport_step(s->tls);
    }
}

static void hang_up(struct server *s)
{
    if (s->tls) {
        transport_close(s->tls);
        s->tls = NULL;
    }
}

static void begin_server(struct server *s)
{
    const struct tls_settings settings = {.certfile = files.cert, .keyfile = files.key};
    char why[TLS_WHY_MAX];
    *s = (struct server){.peer = {.turn = serve}};
    s->peer.listener = listening("127.0.0.1", &s->port);
    assert_ok(tls_ctx_new(&settings, &s->ctx, why));
}

static void end_server(struct server *s)
{
    hang_up(s);
    (void)close(s->peer.listener);
    tls_ctx_unref(s->ctx);
}

/* ---- A client ---- */

static struct tls_ctx *trusting(void)
{
    const struct tls_client_settings settings = {.cafile = files.ca};
    struct tls_ctx *ctx;
    char why[TLS_WHY_MAX];
    assert_ok(tls_ctx_new_client(&settings, &ctx, why));
    return ctx;
}

/* The dial lets go of its own reference only: the way has one of its own. */
static void arrives(struct dial *d, struct server *s, struct tls_ctx *ctx)
{
    struct dial_way way;
    char byte = 0;
    struct iovec iov = {.iov_base = "a", .iov_len = 1};
    assert_ok(finish(d, &s->peer));
    dial_take(d, &way);
    dial_free(d);
    tls_ctx_unref(ctx);
    assert_ptr_equal(way.tls, way.transport);
    assert_int_equal(transport_writev(way.transport, &iov, 1), 1);
    for (int i = 0; i < TURNS && byte == 0; i++) {
        struct pollfd p = {.fd = s->peer.fd, .events = POLLIN};
        (void)poll(&p, 1, 10);
        serve(&s->peer);
        (void)!transport_read(s->tls, &byte, 1);
    }
    assert_ok(s->result);
    assert_int_equal(byte, 'a');
    dial_way_close(&way);
    hang_up(s);
}

static void by_name(void **state)
{
    (void)state;
    struct server server;
    begin_server(&server);
    struct tls_ctx *ctx = trusting();
    const struct dial_settings s = {
        .host = "broker.example", .port = server.port, .tls = ctx, .hosts = files.hosts};
    arrives(dial(&s), &server, ctx); /* the first address refuses */
    end_server(&server);
}

static void by_path(void **state)
{
    (void)state;
    struct server server;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    begin_server(&server);
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "%s/socket", files.directory);
    (void)close(server.peer.listener);
    server.peer.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server.peer.listener, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(server.peer.listener, 8), 0);
    struct tls_ctx *ctx = trusting();
    arrives(dial(&(struct dial_settings){.host = un.sun_path, .tls = ctx}), &server, ctx);
    end_server(&server);
}

/* To the certificate it is the name that counts, not where it led. */
static void by_another_name(void **state)
{
    (void)state;
    struct server server;
    begin_server(&server);
    struct tls_ctx *ctx = trusting();
    struct dial *d = dial(&(struct dial_settings){
        .host = "wrong.example", .port = server.port, .tls = ctx, .hosts = files.hosts});
    assert_err(finish(d, &server.peer), ERR_CLOSED);
    expect(d, DIAL_TLS, 0,
           "the TLS handshake has failed: the server's certificate is not for wrong.example, but "
           "for broker.example, localhost");
    dial_free(d);
    tls_ctx_unref(ctx);
    end_server(&server);
}

/* It is a broker, but one without TLS; and one that goes away. */
static void by_something_else(void **state)
{
    (void)state;
    static const struct {
        const char *says, *why;
        int error;
    } cases[] = {
        {"\x20\x02",
         "the TLS handshake has failed: the server speaks MQTT without TLS on this port", 0},
        {"", "the TLS handshake has failed: the server closed the connection during the handshake",
         0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint16_t port = 0;
        int listener = listening("127.0.0.1", &port);
        struct tls_ctx *ctx = trusting();
        struct dial *d =
            dial(&(struct dial_settings){.host = "127.0.0.1", .port = port, .tls = ctx});
        int fd = accepted(listener);
        ssize_t n = (ssize_t)strlen(cases[i].says);
        assert_err(dial_step(d, now), ERR_AGAIN);
        assert_int_equal(write(fd, cases[i].says, (size_t)n), n);
        assert_int_equal(shutdown(fd, SHUT_WR), 0);
        assert_err(finish(d, NULL), ERR_CLOSED);
        expect(d, DIAL_TLS, cases[i].error, cases[i].why);
        dial_free(d);
        tls_ctx_unref(ctx);
        (void)close(fd);
        (void)close(listener);
    }
}

static void by_somebody_silent(void **state)
{
    (void)state;
    uint16_t port = 0;
    int listener = listening("127.0.0.1", &port);
    struct tls_ctx *ctx = trusting();
    struct dial *d = dial(&(struct dial_settings){.host = "127.0.0.1", .port = port, .tls = ctx});
    int fd = accepted(listener);
    assert_err(dial_step(d, now), ERR_AGAIN);
    assert_err(dial_step(d, now + DIAL_TOTAL_MS), ERR_CLOSED);
    expect(d, DIAL_TLS, ETIMEDOUT, "there was no answer in time");
    dial_free(d);
    tls_ctx_unref(ctx);
    (void)close(fd);
    (void)close(listener);
}

static void without_memory(void **state)
{
    (void)state;
    unit_needs_tracking();
    struct server server;
    begin_server(&server);
    struct tls_ctx *ctx = trusting();
    const struct dial_settings s = {.host = "localhost", .port = server.port, .tls = ctx};
    bool good = false;
    for (uint64_t n = 0; !good; n++) {
        assert_true(n < 200);
        mem_fail_after(n, 0);
        struct dial *d = dial_new(&s, now);
        enum err e = d ? dial_step(d, now) : ERR_NOMEM;
        good = mem_failed() == 0;
        mem_fail_never();
        assert_true(good || e != ERR_OK);
        e = e == ERR_AGAIN ? finish(d, &server.peer) : e;
        assert_int_not_equal(e, ERR_AGAIN);
        assert_true(!good || e == ERR_OK);
        dial_free(d);
        hang_up(&server);
        /* Whoever was let go of unseen is not the next one. */
        struct pollfd p = {.fd = server.peer.listener, .events = POLLIN};
        while (poll(&p, 1, 0) == 1) {
            (void)close(accepted(server.peer.listener));
        }
    }
    tls_ctx_unref(ctx);
    end_server(&server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(by_name),
        UNIT_TEST(by_path),
        UNIT_TEST(by_another_name),
        UNIT_TEST(by_something_else),
        UNIT_TEST(by_somebody_silent),
        UNIT_TEST(without_memory),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
