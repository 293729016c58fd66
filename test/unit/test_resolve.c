/*
 * Look-ups, with a name server of the test's own in the same loop.
 *
 * What the server answers stands in the name: "a2.…" has two IPv4 addresses, "silent.…" none ever.
 */
#include "net/resolve.h"

#include "net/hosts.h"
#include "net/transport.h"
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { A = 1, CNAME = 5, AAAA = 28, SRV = 33, WATCHED_MAX = 16, TRY_MS = 100, LIMIT_TRIES = 5 };

#define REFUSED "- no name server can be reached, or none is willing to answer"

/* A wide margin: sanitizers and other tests beside us are slow, but seconds are no matter of
 * chance. */
#define CALL_MAX_US 10000

struct got {
    struct net *net;
    struct resolve *look;
    char text[2048]; /* addresses and ports with blanks between; or "-" and why not */
    bool done;
    void (*and_then)(struct got *g);
    struct got *other;
};

struct net {
    struct resolver *resolver;
    struct pollfd watched[WATCHED_MAX];
    size_t watched_count;
    int udp;
    int tcp;
    int accepted; /* -1: none */
    char servers[128];
    char hosts[64];
    unsigned asked[64]; /* by type */
    unsigned ready_calls;
    uint64_t slowest_us; /* CPU of one call */
};

static uint64_t us(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static uint64_t ms(void)
{
    return us(CLOCK_MONOTONIC) / 1000;
}

/* ---- The name server ---- */

struct question {
    char name[256];
    unsigned type;
    size_t end; /* of the question, in the packet */
};

static bool read_question(const uint8_t *p, size_t n, struct question *q)
{
    size_t at = 12, out = 0;
    while (at < n && p[at] > 0 && at + 1 + p[at] < n && out + p[at] + 1 < sizeof(q->name)) {
        memcpy(q->name + out, p + at + 1, p[at]);
        out += p[at];
        q->name[out++] = '.';
        at += 1 + (size_t)p[at];
    }
    q->name[out > 0 ? out - 1 : 0] = '\0';
    q->type = at + 5 <= n ? (unsigned)(p[at + 1] << 8 | p[at + 2]) : 0;
    q->end = at + 5;
    return at + 5 <= n;
}

struct reply {
    uint8_t p[65535];
    size_t n;
    unsigned answers;
};

static void put(struct reply *r, const void *p, size_t n)
{
    assert_true(r->n + n <= sizeof(r->p));
    memcpy(r->p + r->n, p, n);
    r->n += n;
}

static void record(struct reply *r, unsigned type, const void *data, size_t n)
{
    const uint8_t head[] = {0xc0, 12, 0,  (uint8_t)type,     0,         1, 0,
                            0,    0,  60, (uint8_t)(n >> 8), (uint8_t)n};
    put(r, head, sizeof(head));
    put(r, data, n);
    r->answers++;
}

static void many(struct reply *r, unsigned type, unsigned count)
{
    for (unsigned i = 1; i <= count; i++) {
        const uint8_t four[4] = {10, 0, (uint8_t)(i >> 8), (uint8_t)i};
        const uint8_t six[16] = {0xfd, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i};
        if (type == A)
            record(r, A, four, 4);
        else
            record(r, AAAA, six, 16);
    }
}

static void service(struct reply *r, unsigned priority, unsigned port, const char *label)
{
    uint8_t data[64] = {0, (uint8_t)priority, 0, 0, (uint8_t)(port >> 8), (uint8_t)port};
    size_t n = strlen(label);
    data[6] = (uint8_t)n;
    memcpy(data + 7, label, n);
    memcpy(data + 7 + n, "\4test", 6);
    record(r, SRV, data, n > 0 ? 13 + n : 7);
}

static void services(struct reply *r, const char *name)
{
    if (strstr(name, "order")) {
        service(r, 30, 1885, "silent");
        service(r, 20, 1884, "a1");
        service(r, 10, 1883, "both");
    } else if (strstr(name, "hostsfile")) {
        service(r, 1, 7777, "known");
    } else if (strstr(name, "none")) {
        service(r, 0, 0, "");
    } else if (strstr(name, "hundred")) {
        for (unsigned i = 0; i < 100; i++)
            service(r, i, 2000 + i, "a40");
    }
}

/* Records of this type for this name, by what the name says. */
static void answer(struct reply *r, const struct question *q)
{
    unsigned count = 0;
    if (q->type == SRV) {
        services(r, q->name);
    } else if (strncmp(q->name, "both", 4) == 0) {
        many(r, q->type, 2);
    } else if (sscanf(q->name, "a%u.", &count) == 1 && q->type == A) {
        many(r, A, count);
    } else if (strncmp(q->name, "chain", 5) == 0) {
        for (int i = 0; i < 50; i++)
            record(r, CNAME, "\xc0\x0c", 2);
        many(r, q->type, 1);
    }
}

/* 0: no such reply at all. */
static int rcode_of(const struct question *q)
{
    static const struct {
        const char *word;
        int rcode;
    } words[] = {{"failing", 2}, {"unknown", 3}, {"refused", 5}};
    for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
        if (strstr(q->name, words[i].word) && (q->type == SRV || !strstr(q->name, "srv-only")))
            return words[i].rcode;
    }
    return 0;
}

static bool is_silent(const struct question *q)
{
    return strstr(q->name, "silent") || (strstr(q->name, "no-aaaa") && q->type == AAAA) ||
           (strstr(q->name, "no-srv-answer") && q->type == SRV);
}

/* The whole reply to a packet; false: silence. */
static bool serve(struct net *net, const uint8_t *p, size_t n, bool over_tcp, struct reply *r)
{
    struct question q;
    *r = (struct reply){.n = 0};
    if (!read_question(p, n, &q) || q.type >= ARRAY_SIZE(net->asked))
        return false;
    net->asked[q.type]++;
    if (is_silent(&q))
        return false;
    put(r, p, q.end);
    int rcode = rcode_of(&q);
    memcpy(r->p + 2, "\x81\x80\0\1\0\0\0\0\0\0", 10);
    r->p[3] = (uint8_t)(0x80 | rcode);
    if (strstr(q.name, "bytcp") && !over_tcp) {
        r->p[2] |= 2;
        return true;
    }
    if (rcode == 0)
        answer(r, &q);
    r->p[6] = (uint8_t)(r->answers >> 8);
    r->p[7] = (uint8_t)r->answers;
    if (strstr(q.name, "garbage")) {
        r->p[7] = 3;
        put(r, "\xc0\xff\0\1\0\1\0\0\0\0\xff\xff garbage", 20);
    }
    return true;
}

static void serve_udp(struct net *net)
{
    static struct reply r;
    struct sockaddr_in from;
    uint8_t p[1024];
    socklen_t length = sizeof(from);
    ssize_t n = recvfrom(net->udp, p, sizeof(p), 0, (struct sockaddr *)&from, &length);
    if (n <= 0)
        return;
    bool speaks = serve(net, p, (size_t)n, false, &r);
    if (memmem(p, (size_t)n, "noise", 5) || memmem(p, (size_t)n, "flood", 5)) {
        /* Somebody else's, and most of them cut. */
        p[0] ^= 0xff;
        for (int i = 0; i < 200; i++)
            (void)sendto(net->udp, p, (size_t)(i % 60), 0, (struct sockaddr *)&from, length);
    }
    if (speaks)
        (void)sendto(net->udp, r.p, r.n, 0, (struct sockaddr *)&from, length);
}

/* One connection at a time, and one question on each. */
static void serve_tcp(struct net *net)
{
    static struct reply r;
    uint8_t p[1024];
    if (net->accepted < 0) {
        net->accepted = accept(net->tcp, NULL, NULL);
        return;
    }
    ssize_t n = recv(net->accepted, p, sizeof(p), 0);
    if (n > 2 && serve(net, p + 2, (size_t)n - 2, true, &r)) {
        const uint8_t size[] = {(uint8_t)(r.n >> 8), (uint8_t)r.n};
        (void)send(net->accepted, size, 2, MSG_NOSIGNAL);
        (void)send(net->accepted, r.p, r.n, MSG_NOSIGNAL);
    }
    (void)close(net->accepted);
    net->accepted = -1;
}

/* ---- The loop ---- */

static void watch(void *ctx, int fd, unsigned wants)
{
    struct net *net = ctx;
    size_t i = 0;
    while (i < net->watched_count && net->watched[i].fd != fd)
        i++;
    if (wants == 0) {
        assert_true(i < net->watched_count);
        net->watched[i] = net->watched[--net->watched_count];
        return;
    }
    assert_true(i < WATCHED_MAX);
    net->watched[i].fd = fd;
    net->watched[i].events = (short)((wants & TRANSPORT_WANTS_READ ? POLLIN : 0) |
                                     (wants & TRANSPORT_WANTS_WRITE ? POLLOUT : 0));
    if (i == net->watched_count)
        net->watched_count++;
}

static void measure(struct net *net, uint64_t began)
{
    uint64_t took = us(CLOCK_THREAD_CPUTIME_ID) - began;
    net->slowest_us = took > net->slowest_us ? took : net->slowest_us;
}

static void call_ready(struct net *net, const struct pollfd *p)
{
    unsigned is = (p->revents & (POLLIN | POLLERR | POLLHUP) ? (unsigned)TRANSPORT_WANTS_READ : 0) |
                  (p->revents & POLLOUT ? (unsigned)TRANSPORT_WANTS_WRITE : 0);
    if (is == 0)
        return;
    uint64_t began = us(CLOCK_THREAD_CPUTIME_ID);
    net->ready_calls++;
    resolver_ready(net->resolver, p->fd, is);
    measure(net, began);
}

static void turn(struct net *net)
{
    struct pollfd p[WATCHED_MAX + 2];
    size_t n = net->watched_count;
    memcpy(p, net->watched, n * sizeof(*p));
    p[n] = (struct pollfd){.fd = net->udp, .events = POLLIN};
    p[n + 1] =
        (struct pollfd){.fd = net->accepted < 0 ? net->tcp : net->accepted, .events = POLLIN};
    int wait = resolver_timeout_ms(net->resolver);
    assert_true(poll(p, n + 2, wait < 0 || wait > 5000 ? 5000 : wait) >= 0);
    if (p[n].revents)
        serve_udp(net);
    if (p[n + 1].revents)
        serve_tcp(net);
    for (size_t i = 0; i < n; i++)
        call_ready(net, &p[i]);
    uint64_t began = us(CLOCK_THREAD_CPUTIME_ID);
    resolver_work(net->resolver);
    measure(net, began);
}

static void wait_for(struct net *net, const struct got *g)
{
    uint64_t began = ms();
    while (!g->done) {
        turn(net);
        assert_true(ms() - began < 20000);
    }
}

/* Nothing is looked up: nothing is open, and nobody wants to be called. */
static void assert_idle(struct net *net)
{
    resolver_work(net->resolver);
    assert_int_equal(resolver_timeout_ms(net->resolver), -1);
    if (feature_built(FEATURE_SRV))
        assert_int_equal(net->watched_count, 0);
}

/* ---- Asking ---- */

static void on_done(void *ctx, const struct resolve_answer *a)
{
    struct got *g = ctx;
    assert_false(g->done);
    g->done = true;
    assert_true(a->count <= RESOLVE_ADDRESSES_MAX);
    (void)snprintf(g->text, sizeof(g->text), "%s", a->count > 0 ? "" : "- ");
    for (size_t i = 0; i < a->count; i++) {
        char one[64];
        char port[8];
        size_t n = strlen(g->text);
        assert_int_equal(getnameinfo((const struct sockaddr *)&a->addresses[i].sa,
                                     a->addresses[i].length, one, sizeof(one), port, sizeof(port),
                                     NI_NUMERICHOST | NI_NUMERICSERV),
                         0);
        (void)snprintf(g->text + n, sizeof(g->text) - n, "%s%s:%s", i > 0 ? " " : "", one, port);
    }
    if (a->count == 0)
        (void)snprintf(g->text + 2, sizeof(g->text) - 2, "%s", a->why);
    if (g->and_then)
        g->and_then(g);
}

static void start(struct net *net, struct got *g, const char *host, const char *service_name,
                  int family)
{
    const struct resolve_ask ask = {.host = host,
                                    .port = 1883,
                                    .service = service_name,
                                    .family = family,
                                    .done = on_done,
                                    .ctx = g};
    g->net = net;
    g->done = false;
    assert_ok(resolve_start(net->resolver, &ask, &g->look));
    assert_false(g->done);
}

static void assert_answer(struct net *net, const char *host, const char *service_name, int family,
                          const char *expected)
{
    struct got g = {0};
    start(net, &g, host, service_name, family);
    wait_for(net, &g);
    assert_string_equal(g.text, expected);
    assert_idle(net);
}

static int bound_socket(int type, uint16_t *port)
{
    struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(*port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(sa);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sa, length) != 0)
        return -1;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &length), 0);
    *port = ntohs(sa.sin_port);
    return fd;
}

static void open_servers(struct net *net, uint16_t *port)
{
    /* The same port for both: what is free for one is nearly always free for the other. */
    do {
        *port = 0;
        net->udp = bound_socket(SOCK_DGRAM, port);
        net->tcp = bound_socket(SOCK_STREAM, port);
    } while (net->tcp < 0 && close(net->udp) == 0);
    assert_int_equal(listen(net->tcp, 16), 0);
}

static void open_net(struct net *net)
{
    uint16_t port;
    memset(net, 0, sizeof(*net));
    net->accepted = -1;
    open_servers(net, &port);
    (void)snprintf(net->servers, sizeof(net->servers), "127.0.0.1:%u", port);
    (void)snprintf(net->hosts, sizeof(net->hosts), "/tmp/test_resolve.XXXXXX");
    int fd = mkstemp(net->hosts);
    static const char text[] = "10.7.7.7 known.test known\nfd00::7 known.test\n";
    assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
    (void)close(fd);
    const struct resolver_poll poll_by = {.watch = watch,
                                          .ctx = net,
                                          .servers = net->servers,
                                          .hosts = net->hosts,
                                          .seed = 1,
                                          .try_ms = TRY_MS};
    net->resolver = resolver_new(&poll_by);
    assert_non_null(net->resolver);
}

static void close_net(struct net *net)
{
    resolver_free(net->resolver);
    assert_int_equal(net->watched_count, 0);
    (void)close(net->udp);
    (void)close(net->tcp);
    if (net->accepted >= 0)
        (void)close(net->accepted);
    (void)unlink(net->hosts);
}

#define needs_servers()                                                                            \
    do {                                                                                           \
        if (!feature_built(FEATURE_SRV))                                                           \
            skip();                                                                                \
    } while (0)

/* ---- With either twin ---- */

static void addresses_are_their_own_answer(void **state)
{
    (void)state;
    struct net net;
    open_net(&net);
    assert_answer(&net, "10.0.0.1", NULL, AF_UNSPEC, "10.0.0.1:1883");
    assert_answer(&net, "fd00::1", "_mqtt._tcp", AF_UNSPEC, "fd00::1:1883");
    assert_answer(&net, "fd00::1", NULL, AF_INET, "- the name has no IPv4 address");
    for (size_t i = 0; i < ARRAY_SIZE(net.asked); i++)
        assert_int_equal(net.asked[i], 0);
    close_net(&net);
}

static void the_hosts_file_comes_before_name_servers(void **state)
{
    (void)state;
    struct net net;
    open_net(&net);
    assert_answer(&net, "known.test", NULL, AF_UNSPEC, "fd00::7:1883 10.7.7.7:1883");
    assert_answer(&net, "known.test", "_mqtt._tcp", AF_INET, "10.7.7.7:1883");
    assert_answer(&net, "localhost", "_mqtt._tcp", AF_INET, "127.0.0.1:1883");
    for (size_t i = 0; i < ARRAY_SIZE(net.asked); i++)
        assert_int_equal(net.asked[i], 0);
    close_net(&net);
}

static void nonsense_is_not_looked_up(void **state)
{
    (void)state;
    struct net net;
    struct resolve *look = NULL;
    open_net(&net);
    static const char *const bad[] = {"", "a b", "a..b", "broker.test\n", "\xc3\xbc.test"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        const struct resolve_ask ask = {.host = bad[i], .done = on_done};
        assert_err(resolve_start(net.resolver, &ask, &look), ERR_INVAL);
    }
    assert_idle(&net);
    close_net(&net);
}

static void start_another(struct got *g)
{
    g->other->other = NULL;
    start(g->net, g->other, "10.0.0.9", NULL, AF_UNSPEC);
}

static void a_look_up_may_begin_when_another_ends(void **state)
{
    (void)state;
    struct net net;
    open_net(&net);
    struct got second = {0};
    struct got first = {.and_then = start_another, .other = &second};
    start(&net, &first, "10.0.0.8", NULL, AF_UNSPEC);
    wait_for(&net, &first);
    wait_for(&net, &second);
    assert_string_equal(second.text, "10.0.0.9:1883");
    assert_idle(&net);
    close_net(&net);
}

static void cancel_both(struct got *g)
{
    resolve_cancel(g->other->look);
    resolve_cancel(g->look);
}

static void a_look_up_may_be_cancelled_when_another_ends(void **state)
{
    (void)state;
    struct net net;
    open_net(&net);
    struct got second = {0};
    struct got first = {.and_then = cancel_both, .other = &second};
    start(&net, &first, "10.0.0.8", NULL, AF_UNSPEC);
    start(&net, &second, "10.0.0.9", NULL, AF_UNSPEC);
    wait_for(&net, &first);
    assert_idle(&net);
    assert_false(second.done);
    close_net(&net);
}

static void a_resolver_may_go_with_look_ups_under_way(void **state)
{
    (void)state;
    struct net net;
    struct got g[3] = {0};
    open_net(&net);
    start(&net, &g[0], "localhost", NULL, AF_UNSPEC);
    close_net(&net);
    assert_false(g[0].done);
}

static void failing_memory_is_survived(void **state)
{
    (void)state;
    unit_needs_tracking();
    bool ended = false;
    for (uint64_t n = 0; !ended; n++) {
        struct net net;
        struct got g = {.net = &net};
        const struct resolve_ask ask = {.host = "known.test", .done = on_done, .ctx = &g};
        open_net(&net);
        mem_fail_after(n, 1);
        enum err e = resolve_start(net.resolver, &ask, &g.look);
        if (e == ERR_OK)
            wait_for(&net, &g);
        else
            assert_int_equal(e, ERR_NOMEM);
        ended = mem_failed() == 0 || (g.done && g.text[0] != '-');
        mem_fail_never();
        close_net(&net);
    }
}

/* ---- The C library's ---- */

/* A name that this machine's own file knows, and that is not known to us alone; "": there is none.
 */
static void name_of_this_machine(char *out, size_t cap)
{
    char line[512];
    char name[256] = "";
    FILE *f = fopen("/etc/hosts", "re");
    out[0] = '\0';
    while (f && !out[0] && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "%*[0-9.] %255s", name) == 1 && !strstr(name, "localhost"))
            (void)snprintf(out, cap, "%s", name);
    }
    if (f)
        (void)fclose(f);
}

static void a_thread_brings_the_answer(void **state)
{
    (void)state;
    char name[256];
    name_of_this_machine(name, sizeof(name));
    if (feature_built(FEATURE_SRV) || !name[0])
        skip();
    struct net net;
    struct got g[40] = {0};
    open_net(&net);
    for (size_t i = 0; i < ARRAY_SIZE(g); i++)
        start(&net, &g[i], name, i % 2 ? "_mqtt._tcp" : NULL, AF_INET);
    turn(&net);
    resolve_cancel(g[1].look);
    g[1].done = true;
    for (size_t i = 0; i < ARRAY_SIZE(g); i++) {
        wait_for(&net, &g[i]);
        assert_true(i == 1 || g[i].text[0] != '-');
    }
    /* What was cancelled comes back too, and is thrown away. */
    while (resolver_timeout_ms(net.resolver) >= 0)
        turn(&net);
    start(&net, &g[0], name, NULL, AF_INET);
    wait_for(&net, &g[0]);
    close_net(&net);
}

static void without_c_ares_there_are_no_services(void **state)
{
    (void)state;
    if (feature_built(FEATURE_SRV))
        skip();
    struct net net;
    open_net(&net);
    assert_answer(&net, "_mqtt._tcp.broker.test", NULL, AF_UNSPEC,
                  "- SRV records need a broker that was built WITH_SRV");
    close_net(&net);
}

/* ---- Name servers ---- */

static void both_families_are_asked_for(void **state)
{
    (void)state;
    needs_servers();
    struct net net;
    open_net(&net);
    assert_answer(&net, "both.test", NULL, AF_UNSPEC,
                  "fd00::1:1883 10.0.0.1:1883 fd00::2:1883 10.0.0.2:1883");
    assert_answer(&net, "a2.test.", NULL, AF_UNSPEC, "10.0.0.1:1883 10.0.0.2:1883");
    assert_int_equal(net.asked[A], 2);
    assert_int_equal(net.asked[AAAA], 2);
    assert_int_equal(net.asked[SRV], 0);
    assert_answer(&net, "both.test", NULL, AF_INET, "10.0.0.1:1883 10.0.0.2:1883");
    assert_int_equal(net.asked[AAAA], 2);
    assert_answer(&net, "both.test", NULL, AF_INET6, "fd00::1:1883 fd00::2:1883");
    assert_int_equal(net.asked[A], 3);
    close_net(&net);
}

static void failures_have_their_words(void **state)
{
    (void)state;
    needs_servers();
    struct net net;
    open_net(&net);
    assert_answer(&net, "unknown.test", NULL, AF_UNSPEC, "- there is no such name");
    assert_answer(&net, "a0.test", NULL, AF_UNSPEC, "- the name has no address");
    assert_answer(&net, "a1.test", NULL, AF_INET6, "- the name has no IPv6 address");
    assert_answer(&net, "failing.test", NULL, AF_INET, REFUSED);
    assert_answer(&net, "refused.test", NULL, AF_INET, REFUSED);
    assert_answer(&net, "garbage.test", NULL, AF_UNSPEC,
                  "- the name server's answer makes no sense");
    close_net(&net);
}

static void services_come_by_priority(void **state)
{
    (void)state;
    needs_servers();
    struct net net;
    open_net(&net);
    uint64_t began = ms();
    assert_answer(&net, "order.test", "_mqtt._tcp", AF_UNSPEC,
                  "fd00::1:1883 10.0.0.1:1883 fd00::2:1883 10.0.0.2:1883 10.0.0.1:1884");
    /* One of the hosts is never heard of: that is waited for only a little. */
    assert_in_range(ms() - began, TRY_MS / 2, 3 * TRY_MS);
    assert_answer(&net, "_mqtt._tcp.order.test", NULL, AF_INET6, "fd00::1:1883 fd00::2:1883");
    assert_answer(&net, "hostsfile.test", "_mqtt._tcp", AF_INET, "10.7.7.7:7777");
    close_net(&net);
}

static void without_services_the_host_is_asked_for(void **state)
{
    (void)state;
    needs_servers();
    struct net net;
    open_net(&net);
    assert_answer(&net, "a1.test", "_mqtt._tcp", AF_INET, "10.0.0.1:1883");
    assert_answer(&net, "a1.unknown-srv-only.test", "_mqtt._tcp", AF_INET, "10.0.0.1:1883");
    assert_answer(&net, "a1.failing-srv-only.test", "_mqtt._tcp", AF_INET, "10.0.0.1:1883");
    unsigned hosts = net.asked[A];
    /* … but not when its domain has spoken, or when it was not a host that was named. */
    assert_answer(&net, "none.test", "_mqtt._tcp", AF_INET,
                  "- its domain says that the service is not offered");
    assert_answer(&net, "_mqtt._tcp.a1.test", NULL, AF_INET,
                  "- the name has no SRV record that can be used");
    assert_answer(&net, "_mqtt._tcp.unknown.test", NULL, AF_INET, "- there is no such name");
    assert_int_equal(net.asked[A], hosts);
    close_net(&net);
}

static void silence_about_services_is_the_end(void **state)
{
    (void)state;
    needs_servers();
    struct net net;
    open_net(&net);
    uint64_t began = ms();
    assert_answer(&net, "a1.no-srv-answer.test", "_mqtt._tcp", AF_UNSPEC,
                  "- no name server answers");
    assert_in_range(ms() - began, 2 * TRY_MS, 6 * TRY_MS);
    assert_int_equal(net.asked[SRV], 2);
    assert_int_equal(net.asked[A], 0);
    close_net(&net);
}

static void silence_ends_a_look_up(void **state)
{
    (void)state;
    needs_servers();
    struct net net;
    open_net(&net);
    uint64_t began = ms();
    assert_answer(&net, "silent.test", NULL, AF_UNSPEC, "- no name server answers");
    assert_in_range(ms() - began, 2 * TRY_MS, 6 * TRY_MS);
    began = ms();
    assert_answer(&net, "a1.no-aaaa.test", NULL, AF_UNSPEC, "10.0.0.1:1883");
    assert_in_range(ms() - began, 0, 2 * TRY_MS);
    close_net(&net);
}

/* Answers for a look-up through these servers. */
static void assert_with_servers(const char *servers, const char *expected)
{
    struct net net;
    char all[128];
    open_net(&net);
    resolver_free(net.resolver);
    (void)snprintf(all, sizeof(all), servers, net.servers);
    const struct resolver_poll poll_by = {
        .watch = watch, .ctx = &net, .servers = all, .hosts = net.hosts, .try_ms = TRY_MS};
    net.resolver = resolver_new(&poll_by);
    assert_non_null(net.resolver);
    uint64_t began = ms();
    assert_answer(&net, "a1.test", NULL, AF_UNSPEC, expected);
    assert_in_range(ms() - began, 0, (LIMIT_TRIES + 1) * TRY_MS);
    close_net(&net);
}

static void another_name_server_is_asked(void **state)
{
    (void)state;
    needs_servers();
    uint16_t port = 0;
    char servers[128];
    int dead = bound_socket(SOCK_DGRAM, &port);
    (void)snprintf(servers, sizeof(servers), "127.0.0.1:%u,%%s", port);
    assert_with_servers(servers, "10.0.0.1:1883");
    /* However many there are, the look-up has its end. */
    (void)snprintf(servers, sizeof(servers),
                   "127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u,127.0.0.1:%u,"
                   "127.0.0.1:%u",
                   port, port, port, port, port, port);
    assert_with_servers(servers, "- the name servers have not answered in time");
    (void)close(dead);
    (void)snprintf(servers, sizeof(servers), "127.0.0.1:%u", port);
    assert_with_servers(servers, REFUSED);
    (void)snprintf(servers, sizeof(servers), "127.0.0.1:%u,%%s", port);
    assert_with_servers(servers, "10.0.0.1:1883");
}

static void count_words(const char *text, size_t *words)
{
    *words = text[0] != '\0';
    for (const char *c = text; *c; c++)
        *words += *c == ' ';
}

static void a_flood_of_addresses_is_bounded(void **state)
{
    (void)state;
    needs_servers();
    struct net net;
    struct got g = {0};
    size_t words;
    open_net(&net);
    static const char *const names[] = {"a200.test", "a4000.bytcp.test"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        start(&net, &g, names[i], NULL, AF_INET);
        wait_for(&net, &g);
        count_words(g.text, &words);
        assert_int_equal(words, RESOLVE_ADDRESSES_MAX / 2);
    }
    /* A hundred services with forty addresses each: only a few hosts are asked for. */
    start(&net, &g, "hundred.test", "_mqtt._tcp", AF_INET);
    wait_for(&net, &g);
    count_words(g.text, &words);
    assert_int_equal(words, RESOLVE_ADDRESSES_MAX);
    /* Each over UDP and, for it is long, once more over TCP. */
    assert_in_range(net.asked[A], 3, 4 + 2 * 8);
    assert_answer(&net, "chain.test", NULL, AF_UNSPEC, "fd00::1:1883 10.0.0.1:1883");
    assert_in_range(net.slowest_us, 0, CALL_MAX_US);
    close_net(&net);
}

static void noise_is_not_heard(void **state)
{
    (void)state;
    needs_servers();
    struct net net;
    open_net(&net);
    assert_answer(&net, "a1.noise.test", NULL, AF_INET, "10.0.0.1:1883");
    /* 200 packets that mean nothing came before: some in each turn. */
    assert_in_range(net.ready_calls, 200 / 32, 200);
    assert_answer(&net, "silent.flood.test", NULL, AF_INET, "- no name server answers");
    close_net(&net);
}

static void what_is_cancelled_is_not_answered(void **state)
{
    (void)state;
    needs_servers();
    struct net net;
    struct got g[3] = {0};
    open_net(&net);
    start(&net, &g[0], "both.test", NULL, AF_UNSPEC);
    start(&net, &g[1], "silent.test", "_mqtt._tcp", AF_UNSPEC);
    start(&net, &g[2], "a1.test", NULL, AF_UNSPEC);
    resolve_cancel(g[0].look);
    resolver_work(net.resolver);
    assert_int_not_equal(net.watched_count, 0);
    resolve_cancel(g[1].look);
    wait_for(&net, &g[2]);
    assert_idle(&net);
    /* Between question and answer. */
    start(&net, &g[0], "both.test", NULL, AF_UNSPEC);
    resolver_work(net.resolver);
    resolve_cancel(g[0].look);
    assert_idle(&net);
    assert_false(g[0].done);
    assert_false(g[1].done);
    start(&net, &g[1], "silent.test", NULL, AF_UNSPEC);
    resolver_work(net.resolver);
    close_net(&net);
    assert_false(g[1].done);
}

static void failing_memory_is_told(void **state)
{
    (void)state;
    needs_servers();
    unit_needs_tracking();
    bool ended = false;
    for (uint64_t n = 0; !ended; n++) {
        struct net net;
        struct got g = {.net = &net};
        const struct resolve_ask ask = {
            .host = "order.test", .service = "_mqtt._tcp", .done = on_done, .ctx = &g};
        open_net(&net);
        mem_fail_after(n, 0);
        enum err e = resolve_start(net.resolver, &ask, &g.look);
        if (e == ERR_OK)
            wait_for(&net, &g);
        ended = mem_failed() == 0;
        mem_fail_never();
        close_net(&net);
        assert_true(n < 100);
    }
}

/* A dead name server and all bridges at once: each turn stays short, and all of them learn of it.
 */
static void a_hundred_look_ups_in_silence_cost_little(void **state)
{
    (void)state;
    needs_servers();
    struct net net;
    static struct got g[100];
    open_net(&net);
    memset(g, 0, sizeof(g));
    uint64_t began = ms();
    for (size_t i = 0; i < ARRAY_SIZE(g); i++)
        start(&net, &g[i], "silent.test", i % 2 ? "_mqtt._tcp" : NULL, AF_UNSPEC);
    for (size_t i = 0; i < ARRAY_SIZE(g); i++) {
        wait_for(&net, &g[i]);
        assert_int_equal(g[i].text[0], '-');
    }
    assert_in_range(ms() - began, 0, 10 * TRY_MS);
    assert_idle(&net);
    print_message("the longest call took %u us of CPU\n", (unsigned)net.slowest_us);
    assert_in_range(net.slowest_us, 0, CALL_MAX_US);
    close_net(&net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(addresses_are_their_own_answer),
        UNIT_TEST(the_hosts_file_comes_before_name_servers),
        UNIT_TEST(nonsense_is_not_looked_up),
        UNIT_TEST(a_look_up_may_begin_when_another_ends),
        UNIT_TEST(a_look_up_may_be_cancelled_when_another_ends),
        UNIT_TEST(a_resolver_may_go_with_look_ups_under_way),
        UNIT_TEST(failing_memory_is_survived),
        UNIT_TEST(a_thread_brings_the_answer),
        UNIT_TEST(without_c_ares_there_are_no_services),
        UNIT_TEST(both_families_are_asked_for),
        UNIT_TEST(failures_have_their_words),
        UNIT_TEST(services_come_by_priority),
        UNIT_TEST(without_services_the_host_is_asked_for),
        UNIT_TEST(silence_about_services_is_the_end),
        UNIT_TEST(silence_ends_a_look_up),
        UNIT_TEST(another_name_server_is_asked),
        UNIT_TEST(a_flood_of_addresses_is_bounded),
        UNIT_TEST(noise_is_not_heard),
        UNIT_TEST(what_is_cancelled_is_not_answered),
        UNIT_TEST(failing_memory_is_told),
        UNIT_TEST(a_hundred_look_ups_in_silence_cost_little),
    };
    return cmocka_run_group_tests_name("resolve", tests, NULL, NULL);
}
