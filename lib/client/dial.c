/*
 * One attempt to reach a broker, a step at a time.
 *
 * Each step looks at the descriptors itself, without waiting, and then goes from one stage to the
 * next until something has to be waited for. What goes wrong with one address leads to the next
 * one; of the last one it is told. A host that is reached through a proxy is never looked up here:
 * its name goes to the proxy.
 */
#include "client/dial.h"

#include "base/feature.h"
#include "base/mem.h"
#include "base/str.h"
#include "net/hosts.h"
#include "net/resolve.h"
#include "net/socks5.h"
#include "net/tcp.h"
#include "net/tls.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/un.h>

#define SOCKETS_MAX (DIAL_FDS_MAX - 1) /* of the resolver; one more is ours */
#define PORT_PLAIN 1883
#define PORT_TLS 8883
#define PORT_PROXY 1080
#define PLACE_MAX (NI_MAXHOST + NI_MAXSERV + 16)

enum stage {
    STAGE_LOOKING,    /* for addresses */
    STAGE_TRYING,     /* the next address is to be tried */
    STAGE_CONNECTING, /* … it is */
    STAGE_PROXYING,   /* talking with the proxy */
    STAGE_SHAKING,    /* the handshake of TLS */
    STAGE_ARRIVED,
    STAGE_FAILED
};

struct dial {
    enum stage stage;
    uint64_t now_ms, limit_ms; /* now, and when all has taken too long */
    uint64_t patience_ms;      /* when this address has been silent for too long */

    char *host;
    uint16_t port;
    bool srv, nodelay;
    struct tls_ctx *ctx;
    char *proxy_host, *proxy_username, *proxy_password;
    uint16_t proxy_port;
    char *bind_address;
    struct addresses from; /* what bind_address says */

    struct resolver *resolver; /* until there are addresses */
    struct resolve *look_up;
    struct pollfd sockets[SOCKETS_MAX]; /* of the resolver */
    int socket_count;
    struct resolve_address addresses[RESOLVE_ADDRESSES_MAX];
    size_t count, next;

    struct tcp *tcp;       /* NULL: there is no socket */
    struct transport *io;  /* the topmost layer; NULL likewise */
    struct transport *tls; /* that layer, or NULL */
    struct socks5 socks;

    enum dial_failure failure;
    int error;
    char why[DIAL_WHY_MAX];
};

/* ---- Failing ---- */

static void hang_up(struct dial *d)
{
    if (d->io) {
        transport_close(d->io);
    }
    mem_free(d->tcp, sizeof(*d->tcp));
    d->io = NULL;
    d->tls = NULL;
    d->tcp = NULL;
}

static void note(struct dial *d, enum dial_failure failure, int error, const char *why)
{
    d->failure = failure;
    d->error = error;
    (void)snprintf(d->why, sizeof(d->why), "%s", why);
}

/* There is no other way. */
static void fail(struct dial *d, enum dial_failure failure, const char *why)
{
    hang_up(d);
    note(d, failure, 0, why);
    d->stage = STAGE_FAILED;
}

static bool goes_by_proxy(const struct dial *d)
{
    return d->proxy_host != NULL;
}

static bool is_path(const struct dial *d)
{
    return d->port == 0 && !d->srv;
}

/* "10.0.0.1 port 1883", of the address that was tried last. */
static const char *place_of(const struct dial *d, char out[PLACE_MAX])
{
    const struct resolve_address *a = &d->addresses[d->next - 1];
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    if (getnameinfo((const struct sockaddr *)&a->sa, a->length, host, sizeof(host), port,
                    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return "an address that cannot be written";
    }
    (void)snprintf(out, PLACE_MAX, "%s port %s", host, port);
    return out;
}

/* This address did not do; perhaps the next one does. */
static void give_up_address(struct dial *d, enum dial_failure failure, int error, const char *why)
{
    const char *proxy = goes_by_proxy(d) && failure == DIAL_CONNECT ? "the proxy: " : "";
    char place[PLACE_MAX];
    d->failure = failure;
    d->error = error;
    if (d->count > 1) {
        (void)snprintf(d->why, sizeof(d->why), "%s%.250s (the last of %zu addresses, %.100s)",
                       proxy, why, d->count, place_of(d, place));
    } else {
        (void)snprintf(d->why, sizeof(d->why), "%s%s", proxy, why);
    }
    hang_up(d);
    d->stage = STAGE_TRYING;
}

static void give_up_error(struct dial *d, enum dial_failure failure, int error)
{
    const char *words = strerrordesc_np(error);
    give_up_address(d, failure, error, words ? words : "it cannot be reached");
}

/* ---- The layers above a socket ---- */

static void shake(struct dial *d)
{
    enum err e = transport_step(d->tls);
    char why[DIAL_WHY_MAX];
    if (e == ERR_OK) {
        d->stage = STAGE_ARRIVED;
    } else if (e != ERR_AGAIN) {
        int error = e == ERR_SYSTEM ? errno : 0;
        (void)snprintf(why, sizeof(why), "the TLS handshake has failed: %s", tls_why(d->tls));
        transport_finish(d->tls); /* an alert may be on its way that tells the other side */
        give_up_address(d, DIAL_TLS, error, why);
    }
}

/* What a certificate may be for: no path is a name, and at a path this machine answers. */
static const char *name_of(const struct dial *d)
{
    return is_path(d) ? "localhost" : d->host;
}

static void begin_shaking(struct dial *d)
{
    d->tls = tls_connect(d->ctx, &d->tcp->base, name_of(d));
    if (!d->tls) {
        fail(d, DIAL_NOMEM, "out of memory");
        return;
    }
    d->io = d->tls;
    d->stage = STAGE_SHAKING;
}

/* There is a stream to the broker itself. */
static void reached(struct dial *d)
{
    if (d->ctx) {
        begin_shaking(d);
    } else {
        d->stage = STAGE_ARRIVED;
    }
}

static void refused_by_proxy(struct dial *d, enum err e)
{
    fail(d,
         e == ERR_DENIED      ? DIAL_PROXY_AUTH
         : e == ERR_NOT_FOUND ? DIAL_PROXY_TARGET
                              : DIAL_PROXY,
         d->socks.why);
}

static void proxy_broke(struct dial *d, ssize_t result)
{
    if (result == 0) {
        give_up_address(d, DIAL_PROXY, ECONNRESET, "the proxy has closed the connection");
    } else {
        give_up_error(d, DIAL_PROXY, (int)-result);
    }
}

/* Write what is to be written: 1, or a result of transport_writev(). */
static ssize_t tell_proxy(struct dial *d)
{
    struct socks5 *s = &d->socks;
    while (s->out_at < s->out_len) {
        struct iovec rest = {.iov_base = s->out + s->out_at, .iov_len = s->out_len - s->out_at};
        ssize_t n = transport_writev(d->io, &rest, 1);
        if (n < 0) {
            return n;
        }
        s->out_at += (size_t)n;
    }
    return 1;
}

/* No byte more than the handshake has is read: the next ones are the broker's. */
static ssize_t hear_proxy(struct dial *d, enum err *e)
{
    uint8_t answer[SOCKS5_IN_MAX];
    size_t used;
    ssize_t n = transport_read(d->io, answer, d->socks.in_need - d->socks.in_len);
    if (n > 0) {
        *e = socks5_step(&d->socks, answer, (size_t)n, &used);
    }
    return n;
}

static void talk_with_proxy(struct dial *d)
{
    enum err e = ERR_AGAIN;
    ssize_t n = 1;
    while (e == ERR_AGAIN && n > 0) {
        n = tell_proxy(d);
        if (n > 0) {
            n = hear_proxy(d, &e);
        }
    }
    if (e == ERR_OK) {
        reached(d);
    } else if (e != ERR_AGAIN) {
        refused_by_proxy(d, e);
    } else if (n != -EAGAIN) {
        proxy_broke(d, n);
    }
}

static void begin_proxying(struct dial *d)
{
    enum err e = socks5_begin(&d->socks, str_c(d->host), d->port, str_c(d->proxy_username),
                              str_c(d->proxy_password));
    if (e == ERR_OK) {
        d->stage = STAGE_PROXYING;
    } else {
        fail(d, DIAL_INVALID,
             e == ERR_INVAL ? "host, user name or password do not fit a SOCKS5 proxy"
                            : d->socks.why);
    }
}

/* ---- Sockets ---- */

static void connected(struct dial *d)
{
    if (goes_by_proxy(d)) {
        begin_proxying(d);
    } else {
        reached(d);
    }
}

static void look_at_connection(struct dial *d)
{
    struct pollfd socket = {.fd = d->tcp->fd, .events = POLLOUT};
    if (poll(&socket, 1, 0) <= 0) {
        return;
    }
    int error = tcp_error(d->tcp);
    if (error) {
        give_up_error(d, DIAL_CONNECT, error);
    } else {
        connected(d);
    }
}

/* The address of this family to connect from, as text; NULL: there is none. */
static const char *bind_text(const struct dial *d, int family, char out[NI_MAXHOST])
{
    for (size_t i = 0; i < addresses_count(&d->from); i++) {
        struct sockaddr_storage sa;
        socklen_t length;
        addresses_get(&d->from, i, 0, &sa, &length);
        if (sa.ss_family == family && getnameinfo((const struct sockaddr *)&sa, length, out,
                                                  NI_MAXHOST, NULL, 0, NI_NUMERICHOST) == 0) {
            return out;
        }
    }
    return NULL;
}

static void not_begun(struct dial *d, enum err e, int error)
{
    char why[DIAL_WHY_MAX];
    if (e == ERR_INVAL) {
        give_up_address(d, DIAL_CONNECT, EADDRNOTAVAIL,
                        "the address to connect from is of another family");
    } else if (d->bind_address && error == EADDRNOTAVAIL) {
        (void)snprintf(why, sizeof(why), "cannot connect from %.100s: %s", d->bind_address,
                       strerrordesc_np(error));
        give_up_address(d, DIAL_CONNECT, error, why);
    } else {
        give_up_error(d, DIAL_CONNECT, error);
    }
}

static enum err connect_to(struct dial *d, const struct resolve_address *a, int *fd)
{
    char text[NI_MAXHOST];
    bool internet = a->sa.ss_family != AF_UNIX;
    bool bound = internet && d->bind_address;
    const struct tcp_how how = {
        .bind_address = bound ? bind_text(d, a->sa.ss_family, text) : NULL,
        .nodelay = internet && d->nodelay,
    };
    if (bound && !how.bind_address) {
        return ERR_INVAL;
    }
    return tcp_connect((const struct sockaddr *)&a->sa, a->length, &how, fd);
}

static void be_patient(struct dial *d)
{
    d->patience_ms = d->now_ms + DIAL_ADDRESS_MS;
}

static void try_address(struct dial *d)
{
    int fd = -1;
    if (d->next == d->count) {
        d->stage = STAGE_FAILED;
        return;
    }
    d->tcp = mem_alloc(sizeof(*d->tcp));
    if (!d->tcp) {
        fail(d, DIAL_NOMEM, "out of memory");
        return;
    }
    enum err e = connect_to(d, &d->addresses[d->next++], &fd);
    if (e != ERR_OK && e != ERR_AGAIN) {
        not_begun(d, e, errno);
        return;
    }
    tcp_init(d->tcp, fd);
    d->io = &d->tcp->base;
    d->stage = STAGE_CONNECTING;
    be_patient(d);
}

/* ---- Names ---- */

/* For struct resolver_poll. What there is no room for is not heard of: then the look-up runs into
 * its time limit. */
static void watch_socket(void *dial, int fd, unsigned wants)
{
    struct dial *d = dial;
    int i = 0;
    while (i < d->socket_count && d->sockets[i].fd != fd) {
        i++;
    }
    if (wants == 0) {
        if (i < d->socket_count) {
            d->sockets[i] = d->sockets[--d->socket_count];
        }
        return;
    }
    if (i == SOCKETS_MAX) {
        return;
    }
    d->socket_count += i == d->socket_count;
    int events =
        (wants & TRANSPORT_WANTS_READ ? POLLIN : 0) | (wants & TRANSPORT_WANTS_WRITE ? POLLOUT : 0);
    d->sockets[i] = (struct pollfd){.fd = fd, .events = (short)events};
}

/* resolve_ask.done */
static void answered(void *dial, const struct resolve_answer *a)
{
    struct dial *d = dial;
    d->look_up = NULL;
    if (a->count == 0) {
        fail(d, DIAL_LOOKUP, a->why);
        return;
    }
    memcpy(d->addresses, a->addresses, a->count * sizeof(*d->addresses));
    d->count = a->count;
    d->stage = STAGE_TRYING;
}

static void wake_resolver(struct dial *d)
{
    struct pollfd ready[SOCKETS_MAX];
    int n = d->socket_count;
    memcpy(ready, d->sockets, sizeof(ready));
    if (n == 0 || poll(ready, (nfds_t)n, 0) <= 0) {
        return;
    }
    for (int i = 0; i < n; i++) {
        const short broken = POLLERR | POLLHUP | POLLNVAL;
        unsigned is =
            (ready[i].revents & (POLLIN | broken) ? (unsigned)TRANSPORT_WANTS_READ : 0U) |
            (ready[i].revents & (POLLOUT | broken) ? (unsigned)TRANSPORT_WANTS_WRITE : 0U);
        if (is) {
            resolver_ready(d->resolver, ready[i].fd, is);
        }
    }
}

static void look_up(struct dial *d)
{
    wake_resolver(d);
    resolver_work(d->resolver);
    if (d->stage != STAGE_LOOKING) {
        resolver_free(d->resolver);
        d->resolver = NULL;
    }
}

/* What we connect from decides whereto. */
static int family_of(const struct addresses *from)
{
    if (from->count6 > 0 && from->count4 > 0) {
        return AF_UNSPEC;
    }
    return from->count6 > 0 ? AF_INET6 : from->count4 > 0 ? AF_INET : AF_UNSPEC;
}

static enum err begin_resolve(struct dial *d)
{
    const char *service = d->ctx ? "_secure-mqtt._tcp" : "_mqtt._tcp";
    uint16_t usual = d->ctx ? PORT_TLS : PORT_PLAIN;
    const struct resolve_ask ask = {
        .host = goes_by_proxy(d) ? d->proxy_host : d->host,
        .port = goes_by_proxy(d) ? d->proxy_port
                : d->port > 0    ? d->port
                                 : usual,
        .service = d->srv ? service : NULL,
        .family = family_of(&d->from),
        .done = answered,
        .ctx = d,
    };
    return d->resolver ? resolve_start(d->resolver, &ask, &d->look_up) : ERR_NOMEM;
}

static void begin_looking(struct dial *d, const struct dial_settings *s)
{
    struct resolver_poll poll = {
        .watch = watch_socket,
        .ctx = d,
        .servers = s->servers,
        .hosts = s->hosts,
        .try_ms = s->try_ms,
    };
    /* Without chance the first SRV record of several is taken, which does no harm. */
    (void)!getrandom(&poll.seed, sizeof(poll.seed), GRND_NONBLOCK);
    d->resolver = resolver_new(&poll);
    enum err e = begin_resolve(d);
    if (e == ERR_INVAL) {
        fail(d, DIAL_INVALID, "this cannot be the name of a host");
    } else if (e != ERR_OK) {
        fail(d, DIAL_NOMEM, "out of memory");
    }
}

static void begin_path(struct dial *d)
{
    struct resolve_address *a = &d->addresses[0];
    struct sockaddr_un *path = (struct sockaddr_un *)(void *)&a->sa;
    size_t n = strlen(d->host) + 1;
    if (n == 1 || n > sizeof(path->sun_path)) {
        fail(d, DIAL_INVALID, "a socket cannot have such a path: it is empty, or too long");
        return;
    }
    path->sun_family = AF_UNIX;
    memcpy(path->sun_path, d->host, n);
    a->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
    d->count = 1;
    d->stage = STAGE_TRYING;
}

static bool find_bind_address(struct dial *d, const char *hosts)
{
    const char *text = d->bind_address;
    return addresses_parse(&d->from, text, AF_UNSPEC) ||
           hosts_find(hosts, text, AF_UNSPEC, &d->from) == ERR_OK;
}

static void begin(struct dial *d, const struct dial_settings *s)
{
    if (is_path(d)) {
        begin_path(d);
    } else if (d->srv && !feature_built(FEATURE_SRV)) {
        fail(d, DIAL_INVALID, "SRV records need a build with WITH_SRV=yes");
    } else if (d->srv && goes_by_proxy(d)) {
        fail(d, DIAL_INVALID, "SRV records cannot be looked up through a proxy");
    } else if (d->bind_address && !find_bind_address(d, s->hosts)) {
        fail(d, DIAL_INVALID, "the address to connect from is none of this machine's");
    } else {
        begin_looking(d, s);
    }
}

/* ---- Steps ---- */

/* False: something has to be waited for, or it is over. */
static bool go_on(struct dial *d)
{
    enum stage before = d->stage;
    switch (before) {
    case STAGE_LOOKING:
        look_up(d);
        break;
    case STAGE_TRYING:
        try_address(d);
        return true;
    case STAGE_CONNECTING:
        look_at_connection(d);
        break;
    case STAGE_PROXYING:
        talk_with_proxy(d);
        break;
    case STAGE_SHAKING:
        shake(d);
        break;
    case STAGE_ARRIVED:
    case STAGE_FAILED:
        return false;
    }
    return d->stage != before;
}

static short events_of(const struct dial *d)
{
    unsigned wants = transport_wants(d->io);
    switch (d->stage) {
    case STAGE_CONNECTING:
        return POLLOUT;
    case STAGE_PROXYING:
        return d->socks.out_at < d->socks.out_len ? POLLOUT : POLLIN;
    default:
        return (short)((wants & TRANSPORT_WANTS_READ ? POLLIN : 0) |
                       (wants & TRANSPORT_WANTS_WRITE ? POLLOUT : 0));
    }
}

/* An address that says something has the time that it needs. */
static void hear(struct dial *d)
{
    struct pollfd socket = {.events = POLLIN};
    if (d->tcp && d->stage != STAGE_CONNECTING) {
        socket.fd = d->tcp->fd;
        if (poll(&socket, 1, 0) > 0) {
            be_patient(d);
        }
    }
}

static bool has_address(const struct dial *d)
{
    return d->stage == STAGE_CONNECTING || d->stage == STAGE_PROXYING || d->stage == STAGE_SHAKING;
}

static uint64_t patience_of(const struct dial *d)
{
    return has_address(d) && d->next < d->count ? d->patience_ms : UINT64_MAX;
}

/* An end for who is silent: the next address, or at last all of it. */
static void lose_patience(struct dial *d)
{
    enum dial_failure failure = d->stage == STAGE_SHAKING    ? DIAL_TLS
                                : d->stage == STAGE_PROXYING ? DIAL_PROXY
                                : d->stage == STAGE_LOOKING  ? DIAL_LOOKUP
                                                             : DIAL_CONNECT;
    if (d->now_ms >= d->limit_ms) {
        hang_up(d);
        note(d, failure, ETIMEDOUT, "there was no answer in time");
        d->stage = STAGE_FAILED;
    } else if (d->now_ms >= patience_of(d)) {
        give_up_address(d, failure, ETIMEDOUT, "there was no answer in time");
    }
}

enum err dial_step(struct dial *d, uint64_t now_ms)
{
    d->now_ms = now_ms;
    hear(d);
    do {
        while (go_on(d)) {
        }
        if (d->stage < STAGE_ARRIVED) {
            lose_patience(d);
        }
    } while (d->stage == STAGE_TRYING);
    if (d->stage == STAGE_FAILED) {
        return d->failure == DIAL_NOMEM ? ERR_NOMEM : ERR_CLOSED;
    }
    return d->stage == STAGE_ARRIVED ? ERR_OK : ERR_AGAIN;
}

int dial_poll(const struct dial *d, struct pollfd *fds, int n)
{
    int used = 0;
    if (d->io && used < n) {
        fds[used++] = (struct pollfd){.fd = d->tcp->fd, .events = events_of(d)};
    }
    for (int i = 0; i < d->socket_count && used < n; i++) {
        fds[used++] = d->sockets[i];
    }
    return used;
}

uint64_t dial_deadline(struct dial *d, uint64_t now_ms)
{
    if (d->stage >= STAGE_ARRIVED) {
        return now_ms;
    }
    int ms = d->resolver ? resolver_timeout_ms(d->resolver) : -1;
    uint64_t due = earlier(d->limit_ms, patience_of(d));
    return ms >= 0 ? earlier(due, now_ms + (uint64_t)ms) : due;
}

int dial_fd(const struct dial *d)
{
    if (d->tcp) {
        return d->tcp->fd;
    }
    return d->socket_count > 0 ? d->sockets[0].fd : -1;
}

/* ---- The result ---- */

void dial_take(struct dial *d, struct dial_way *way)
{
    *way = (struct dial_way){.transport = d->io, .tls = d->tls, .bottom = d->tcp, .fd = d->tcp->fd};
    d->io = NULL;
    d->tls = NULL;
    d->tcp = NULL;
}

void dial_way_close(struct dial_way *way)
{
    if (way->transport) {
        transport_close(way->transport);
        mem_free(way->bottom, sizeof(struct tcp));
    }
    *way = (struct dial_way){0};
}

enum dial_failure dial_failure(const struct dial *d)
{
    return d->failure;
}

int dial_error(const struct dial *d)
{
    return d->error;
}

const char *dial_why(const struct dial *d)
{
    return d->why;
}

/* ---- Life ---- */

/* False: without memory. */
static bool copy_text(char **out, const char *text)
{
    *out = text ? str_dup(str_c(text)) : NULL;
    return *out || !text;
}

static bool copy_settings(struct dial *d, const struct dial_settings *s)
{
    d->port = s->port;
    d->srv = s->srv;
    bool proxied = s->proxy_host && !is_path(d);
    d->nodelay = s->nodelay;
    d->proxy_port = s->proxy_port > 0 ? s->proxy_port : PORT_PROXY;
    d->ctx = s->tls ? tls_ctx_ref(s->tls) : NULL;
    d->host = str_dup(str_c(s->host));
    return d->host && copy_text(&d->bind_address, s->bind_address) &&
           (!proxied || (copy_text(&d->proxy_host, s->proxy_host) &&
                         copy_text(&d->proxy_username, s->proxy_username) &&
                         copy_text(&d->proxy_password, s->proxy_password)));
}

struct dial *dial_new(const struct dial_settings *s, uint64_t now_ms)
{
    struct dial *d = mem_zalloc(sizeof(*d));
    if (!d) {
        return NULL;
    }
    d->now_ms = now_ms;
    d->limit_ms = now_ms + DIAL_TOTAL_MS;
    if (!copy_settings(d, s)) {
        dial_free(d);
        return NULL;
    }
    begin(d, s);
    (void)!dial_step(d, now_ms); /* what has become of it the next step tells again */
    return d;
}

void dial_free(struct dial *d)
{
    if (!d) {
        return;
    }
    hang_up(d);
    resolver_free(d->resolver);
    tls_ctx_unref(d->ctx);
    str_dup_free(d->host);
    str_dup_free(d->bind_address);
    str_dup_free(d->proxy_host);
    str_dup_free(d->proxy_username);
    str_dup_free(d->proxy_password);
    mem_free(d, sizeof(*d));
}
