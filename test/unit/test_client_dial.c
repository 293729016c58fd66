/*
 * The client's way to a broker: what comes of each step, with listeners and a proxy that are played
 * in the same loop, and with time that the test makes.
 */
#include "client/dial.h"

#include "client_dial_rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static void arrives(struct dial *d, int listener)
{
    struct dial_way way;
    assert_ok(finish(d, NULL));
    dial_take(d, &way);
    dial_free(d);
    assert_null(way.tls);
    talk(&way, accepted(listener));
}

/* ---- Sockets ---- */

static void connects(void **state)
{
    (void)state;
    uint16_t port = 0;
    int listener = listening("127.0.0.1", &port);
    struct dial *d = dial(&(struct dial_settings){.host = "127.0.0.1", .port = port});
    assert_true(dial_fd(d) >= 0); /* at once: nobody had to be asked */
    arrives(d, listener);
    d = dial(&(struct dial_settings){.host = "localhost", .port = port, .nodelay = true});
    assert_true(dial_fd(d) >= 0);
    arrives(d, listener);
    (void)close(listener);
}

static void can_be_left_at_any_time(void **state)
{
    (void)state;
    uint16_t port = 0;
    int listener = listening("127.0.0.1", &port);
    dial_free(dial(&(struct dial_settings){.host = "127.0.0.1", .port = port}));
    struct dial *d = dial(&(struct dial_settings){.host = "127.0.0.1", .port = port});
    assert_ok(finish(d, NULL));
    dial_free(d);
    dial_free(NULL);
    struct dial_way way = {0};
    dial_way_close(&way);
    (void)close(listener);
}

static void is_refused(void **state)
{
    (void)state;
    uint16_t port = 0;
    int closed = bound("127.0.0.1", &port);
    struct dial *d = dial(&(struct dial_settings){.host = "127.0.0.1", .port = port});
    assert_err(finish(d, NULL), ERR_CLOSED);
    expect(d, DIAL_CONNECT, ECONNREFUSED, "Connection refused");
    dial_free(d);
    (void)close(closed);
}

/* ---- Names ---- */

static char hosts_path[64];

static const char *hosts(const char *text)
{
    (void)snprintf(hosts_path, sizeof(hosts_path), "/tmp/test_client_dial.XXXXXX");
    int fd = mkstemp(hosts_path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    (void)close(fd);
    return hosts_path;
}

static void tries_all_addresses(void **state)
{
    (void)state;
    uint16_t port = 0;
    int listener = listening("127.0.0.1", &port);
    const struct dial_settings s = {
        .host = "two.test",
        .port = port,
        .hosts = hosts("127.0.0.2 two.test\n127.0.0.1 two.test\n"),
    };
    arrives(dial(&s), listener);
    (void)close(listener);
    struct dial *d = dial(&s);
    char why[DIAL_WHY_MAX];
    assert_err(finish(d, NULL), ERR_CLOSED);
    (void)snprintf(why, sizeof(why),
                   "Connection refused (the last of 2 addresses, 127.0.0.1 port %u)", port);
    expect(d, DIAL_CONNECT, ECONNREFUSED, why);
    dial_free(d);
    (void)unlink(hosts_path);
}

static void names_without_addresses(void **state)
{
    (void)state;
    struct dial_settings s = {
        .host = "nobody.test",
        .port = 1883,
        .hosts = hosts("fd00::1 six.test\n"),
        .servers = "127.0.0.1:9",
        .try_ms = 50,
    };
    struct dial *d;
    if (feature_built(FEATURE_SRV)) {
        d = dial(&s);
        assert_err(finish(d, NULL), ERR_CLOSED);
        assert_int_equal(dial_failure(d), DIAL_LOOKUP);
        assert_string_equal(dial_why(d),
                            "no name server can be reached, or none is willing to answer");
        dial_free(d);
        s.srv = true;
        dial_free(dial(&s)); /* under way */
        s.srv = false;
    }
    /* Where the address to connect from is of another family, none is left. */
    s.host = "fd00::1";
    s.bind_address = "127.0.0.1";
    d = dial(&s);
    assert_err(finish(d, NULL), ERR_CLOSED);
    assert_int_equal(dial_failure(d), DIAL_LOOKUP);
    dial_free(d);
    (void)unlink(hosts_path);
}

static void hosts_that_cannot_be(void **state)
{
    (void)state;
    char path[200];
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    static const char no_name[] = "this cannot be the name of a host";
    static const char no_path[] = "a socket cannot have such a path: it is empty, or too long";
    const struct {
        struct dial_settings s;
        const char *why;
    } cases[] = {
        {{.host = "", .port = 1}, no_name},
        {{.host = "two words", .port = 1}, no_name},
        {{.host = "/a/path", .port = 1}, no_name},
        {{.host = "", .port = 0}, no_path},
        {{.host = path, .port = 0}, no_path},
        {{.host = "127.0.0.1", .port = 1, .bind_address = "300.1.1.1"},
         "the address to connect from is none of this machine's"},
        {{.host = "a", .srv = true, .proxy_host = "b"},
         feature_built(FEATURE_SRV) ? "SRV records cannot be looked up through a proxy"
                                    : "SRV records need a build with WITH_SRV=yes"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct dial *d = dial(&cases[i].s);
        assert_err(dial_step(d, now), ERR_CLOSED);
        expect(d, DIAL_INVALID, 0, cases[i].why);
        dial_free(d);
    }
}

/* ---- Patience ---- */

/* Nobody is accepted there, and its queue is full: who connects hears nothing. */
struct hole {
    int listener, waiting[8];
};

static void dig(struct hole *h, const char *address, uint16_t *port)
{
    struct sockaddr_in in;
    h->listener = bound(address, port);
    assert_int_equal(listen(h->listener, 0), 0);
    in = loopback(address, *port);
    for (size_t i = 0; i < ARRAY_SIZE(h->waiting); i++) {
        h->waiting[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(h->waiting[i], (struct sockaddr *)&in, sizeof(in));
    }
}

static void fill(struct hole *h)
{
    for (size_t i = 0; i < ARRAY_SIZE(h->waiting); i++) {
        (void)close(h->waiting[i]);
    }
    (void)close(h->listener);
}

static void does_not_wait_for_ever(void **state)
{
    (void)state;
    struct hole hole;
    uint16_t port = 0;
    dig(&hole, "127.0.0.2", &port);
    struct dial *d = dial(&(struct dial_settings){.host = "127.0.0.2", .port = port});
    assert_int_equal(dial_deadline(d, now), now + DIAL_TOTAL_MS);
    assert_err(dial_step(d, now + DIAL_ADDRESS_MS), ERR_AGAIN); /* there is no other */
    assert_err(dial_step(d, now + DIAL_TOTAL_MS - 1), ERR_AGAIN);
    struct pollfd p;
    assert_int_equal(dial_poll(d, &p, 1), 1);
    assert_int_equal(p.events, POLLOUT);
    assert_int_equal(p.fd, dial_fd(d));
    assert_err(dial_step(d, now + DIAL_TOTAL_MS), ERR_CLOSED);
    expect(d, DIAL_CONNECT, ETIMEDOUT, "there was no answer in time");
    dial_free(d);
    fill(&hole);
}

static void leaves_a_silent_address(void **state)
{
    (void)state;
    struct hole hole;
    uint16_t port = 0;
    dig(&hole, "127.0.0.2", &port);
    int listener = listening("127.0.0.1", &port);
    const struct dial_settings s = {
        .host = "two.test",
        .port = port,
        .hosts = hosts("127.0.0.2 two.test\n127.0.0.1 two.test\n"),
    };
    struct dial *d = dial(&s);
    assert_int_equal(dial_deadline(d, now), now + DIAL_ADDRESS_MS);
    assert_err(dial_step(d, now + DIAL_ADDRESS_MS - 1), ERR_AGAIN);
    now += DIAL_ADDRESS_MS;
    arrives(d, listener);
    (void)close(listener);
    (void)unlink(hosts_path);
    fill(&hole);
}

/* ---- Where from ---- */

static void connects_from_an_address(void **state)
{
    (void)state;
    uint16_t port = 0;
    int listener = listening("127.0.0.1", &port);
    static const char *const from[] = {"127.0.0.9", "here.test"};
    struct dial_settings s = {
        .host = "localhost", .port = port, .hosts = hosts("127.0.0.9 here.test\n")};
    for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
        struct sockaddr_in in;
        socklen_t n = sizeof(in);
        struct dial_way way;
        s.bind_address = from[i];
        struct dial *d = dial(&s);
        assert_ok(finish(d, NULL));
        dial_take(d, &way);
        dial_free(d);
        assert_int_equal(getsockname(way.fd, (struct sockaddr *)&in, &n), 0);
        assert_int_equal(in.sin_addr.s_addr, loopback("127.0.0.9", 0).sin_addr.s_addr);
        talk(&way, accepted(listener));
    }
    s.bind_address = "192.0.2.1"; /* nobody has this one */
    struct dial *d = dial(&s);
    assert_err(finish(d, NULL), ERR_CLOSED);
    expect(d, DIAL_CONNECT, EADDRNOTAVAIL,
           "cannot connect from 192.0.2.1: Cannot assign requested address");
    dial_free(d);
    (void)close(listener);
    (void)unlink(hosts_path);
}

/* ---- Paths ---- */

static void connects_to_a_path(void **state)
{
    (void)state;
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    (void)snprintf(un.sun_path, sizeof(un.sun_path), "/tmp/test_client_dial.%d", (int)getpid());
    /* What is said of TCP is of no matter here, and no proxy reaches this machine. */
    const struct dial_settings s = {.host = un.sun_path,
                                    .nodelay = true,
                                    .bind_address = "127.0.0.9",
                                    .proxy_host = "127.0.0.1",
                                    .proxy_port = 9};
    struct dial *d = dial(&s);
    assert_err(finish(d, NULL), ERR_CLOSED);
    expect(d, DIAL_CONNECT, ENOENT, "No such file or directory");
    dial_free(d);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(listener, 8), 0);
    arrives(dial(&s), listener);
    (void)close(listener);
    d = dial(&s);
    assert_err(finish(d, NULL), ERR_CLOSED);
    expect(d, DIAL_CONNECT, ECONNREFUSED, "Connection refused");
    dial_free(d);
    (void)unlink(un.sun_path);
}

/* ---- Proxies ---- */

#define TO_HOST                                                                                    \
    "\x05\x01\x00\x03\x0e"                                                                         \
    "broker.example\x07\x5b"
#define CONNECTED "\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34"

/* A proxy that has learned by heart what it hears and says, and says it a byte a turn. */
struct proxy {
    struct peer peer;
    struct str heard[3], says[3];
    size_t step, at; /* of which exchange; how much of that was said */
    bool ends;       /* it closes when it has said all */
};

static bool has_heard(const struct proxy *p)
{
    char got[300];
    size_t n = p->heard[p->step].n;
    ssize_t there = recv(p->peer.fd, got, sizeof(got), MSG_PEEK);
    if (there < (ssize_t)n) {
        return false;
    }
    assert_int_equal(there, n);
    assert_memory_equal(got, p->heard[p->step].p, n);
    return recv(p->peer.fd, got, n, 0) == (ssize_t)n;
}

static void say(struct proxy *p)
{
    const struct str *says = &p->says[p->step];
    if (p->at == 0 && !has_heard(p)) {
        return;
    }
    if (p->at < says->n) {
        assert_int_equal(write(p->peer.fd, says->p + p->at, 1), 1);
        p->at++;
    }
    if (p->at == says->n) {
        p->step++;
        p->at = 0;
    }
}

static void serve(struct peer *peer)
{
    struct proxy *p = CONTAINER_OF(peer, struct proxy, peer);
    struct pollfd ready = {.fd = peer->listener, .events = POLLIN};
    if (peer->fd < 0 && poll(&ready, 1, 0) == 1) {
        peer->fd = accepted(peer->listener);
    } else if (peer->fd >= 0 && p->step < 3 && p->heard[p->step].n > 0) {
        say(p);
    } else if (peer->fd >= 0 && p->ends) {
        (void)close(peer->fd);
        peer->fd = -1;
        peer->turn = NULL;
    }
}

static void begin_proxy(struct proxy *p, uint16_t *port)
{
    *port = 0;
    p->peer = (struct peer){.turn = serve, .listener = listening("127.0.0.1", port), .fd = -1};
    p->step = 0;
    p->at = 0;
}

static void end_proxy(struct proxy *p)
{
    if (p->peer.fd >= 0) {
        (void)close(p->peer.fd);
    }
    (void)close(p->peer.listener);
}

static struct dial_settings by_proxy(uint16_t port)
{
    return (struct dial_settings){.host = "broker.example",
                                  .port = 1883,
                                  .proxy_host = "127.0.0.1",
                                  .proxy_port = port,
                                  .proxy_username = "user",
                                  .proxy_password = "secret",
                                  .servers = "127.0.0.1:9"};
}

static void goes_by_proxy(void **state)
{
    (void)state;
    struct proxy p = {
        .heard = {STR("\x05\x02\x00\x02"), STR("\x01\x04user\x06secret"), STR(TO_HOST)},
        .says = {STR("\x05\x02"), STR("\x01\x00"), STR(CONNECTED)},
    };
    uint16_t port;
    struct dial_way way;
    if (!feature_built(FEATURE_SOCKS)) {
        skip();
    }
    begin_proxy(&p, &port);
    const struct dial_settings s = by_proxy(port);
    struct dial *d = dial(&s);
    assert_ok(finish(d, &p.peer));
    dial_take(d, &way);
    dial_free(d);
    talk(&way, p.peer.fd);
    p.peer.fd = -1;
    end_proxy(&p);
}

/* The broker behind the proxy may be quick: not a byte of what it says is lost. */
static void leaves_the_rest_to_its_user(void **state)
{
    (void)state;
    struct proxy p = {
        .heard = {STR("\x05\x02\x00\x02"), STR(TO_HOST)},
        .says = {STR("\x05\x00"), STR(CONNECTED)},
    };
    char byte = 0;
    uint16_t port;
    struct dial_way way;
    if (!feature_built(FEATURE_SOCKS)) {
        skip();
    }
    begin_proxy(&p, &port);
    const struct dial_settings s = by_proxy(port);
    struct dial *d = dial(&s);
    for (int i = 0; p.step < 1 || p.at + 1 < p.says[1].n; i++) {
        assert_true(i < TURNS);
        assert_err(dial_step(d, now), ERR_AGAIN);
        serve(&p.peer);
        wait_for(d);
    }
    assert_int_equal(write(p.peer.fd, CONNECTED "x", 11) > 0, 1); /* … far more than was asked */
    assert_ok(finish(d, NULL));
    dial_take(d, &way);
    dial_free(d);
    for (size_t i = 1; i < sizeof(CONNECTED) - 1; i++) {
        assert_int_equal(transport_read(way.transport, &byte, 1), 1);
        assert_int_equal(byte, (CONNECTED)[i]);
    }
    assert_int_equal(transport_read(way.transport, &byte, 1), 1);
    assert_int_equal(byte, 'x');
    dial_way_close(&way);
    end_proxy(&p);
}

static void proxies_that_refuse(void **state)
{
    (void)state;
    const struct {
        struct proxy p;
        enum dial_failure failure;
        int error;
        const char *why;
    } cases[] = {
        {{.heard = {STR("\x05\x02\x00\x02")}, .says = {STR("\x05\xff")}},
         DIAL_PROXY_AUTH,
         0,
         "the proxy does not log in by user name and password"},
        {{.heard = {STR("\x05\x02\x00\x02"), STR("\x01\x04user\x06secret")},
          .says = {STR("\x05\x02"), STR("\x01\x01")}},
         DIAL_PROXY_AUTH,
         0,
         "the proxy does not take this user name and password"},
        {{.heard = {STR("\x05\x02\x00\x02"), STR(TO_HOST)},
          .says = {STR("\x05\x00"), STR("\x05\x04")}},
         DIAL_PROXY_TARGET,
         0,
         "the proxy cannot find or reach the host"},
        {{.heard = {STR("\x05\x02\x00\x02")}, .says = {STR("HT")}},
         DIAL_PROXY,
         0,
         "what answers is no SOCKS5 proxy"},
        {{.heard = {STR("\x05\x02\x00\x02")}, .says = {STR("\x05")}, .ends = true},
         DIAL_PROXY,
         ECONNRESET,
         "the proxy has closed the connection"},
    };
    if (!feature_built(FEATURE_SOCKS)) {
        skip();
    }
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct proxy p = cases[i].p;
        uint16_t port;
        begin_proxy(&p, &port);
        const struct dial_settings s = by_proxy(port);
        struct dial *d = dial(&s);
        assert_err(finish(d, &p.peer), ERR_CLOSED);
        expect(d, cases[i].failure, cases[i].error, cases[i].why);
        dial_free(d);
        end_proxy(&p);
    }
}

static void proxies_that_are_not_there(void **state)
{
    (void)state;
    uint16_t port = 0;
    int closed = bound("127.0.0.1", &port);
    struct dial_settings s = by_proxy(port);
    struct dial *d = dial(&s);
    assert_err(finish(d, NULL), ERR_CLOSED);
    expect(d, DIAL_CONNECT, ECONNREFUSED, "the proxy: Connection refused");
    dial_free(d);
    assert_int_equal(listen(closed, 8), 0);
    d = dial(&s);
    for (int i = 0; i < 3; i++) {
        (void)!dial_step(d, now);
    }
    enum err e = dial_step(d, now + DIAL_TOTAL_MS); /* it says nothing */
    assert_err(e, ERR_CLOSED);
    if (feature_built(FEATURE_SOCKS)) {
        expect(d, DIAL_PROXY, ETIMEDOUT, "there was no answer in time");
    } else {
        expect(d, DIAL_INVALID, 0, "a proxy needs a build with WITH_SOCKS=yes");
    }
    dial_free(d);
    s.host = "";
    if (feature_built(FEATURE_SOCKS)) {
        d = dial(&s);
        assert_err(finish(d, NULL), ERR_CLOSED);
        expect(d, DIAL_INVALID, 0, "host, user name or password do not fit a SOCKS5 proxy");
        dial_free(d);
    }
    (void)close(closed);
}

/* ---- Memory ---- */

static void without_memory(void **state)
{
    (void)state;
    unit_needs_tracking();
    uint16_t port = 0;
    int listener = listening("127.0.0.1", &port);
    const struct dial_settings s = {
        .host = "two.test",
        .port = port,
        .bind_address = "127.0.0.1",
        .hosts = hosts("127.0.0.1 two.test\n"),
    };
    bool good = false;
    for (uint64_t n = 0; !good; n++) {
        assert_true(n < 100);
        mem_fail_after(n, 0);
        struct dial *d = dial_new(&s, now);
        enum err e = d ? finish(d, NULL) : ERR_NOMEM;
        good = mem_failed() == 0;
        mem_fail_never();
        assert_true(good ? e == ERR_OK : e != ERR_OK && e != ERR_AGAIN);
        dial_free(d);
    }
    (void)close(listener);
    (void)unlink(hosts_path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(connects),
        UNIT_TEST(can_be_left_at_any_time),
        UNIT_TEST(is_refused),
        UNIT_TEST(tries_all_addresses),
        UNIT_TEST(names_without_addresses),
        UNIT_TEST(hosts_that_cannot_be),
        UNIT_TEST(does_not_wait_for_ever),
        UNIT_TEST(leaves_a_silent_address),
        UNIT_TEST(connects_from_an_address),
        UNIT_TEST(connects_to_a_path),
        UNIT_TEST(goes_by_proxy),
        UNIT_TEST(leaves_the_rest_to_its_user),
        UNIT_TEST(proxies_that_refuse),
        UNIT_TEST(proxies_that_are_not_there),
        UNIT_TEST(without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
