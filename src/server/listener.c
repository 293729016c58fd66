/*
 * Listening sockets.
 *
 * Without a free descriptor accept() fails and leaves the connection in the queue, so a
 * level-triggered poll reports it for ever. Therefore one descriptor is kept in reserve: it is
 * closed, the connection accepted with it and closed, and the reserve taken again. The client
 * learns at once that there is no room, and the loop does not spin.
 */
#include "server/listener.h"

#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BATCH_MAX 64
/* How long to leave a listener alone when accepting fails for a reason that only time heals. */
#define REST_MS 200
/* Refusals are logged so often at most, for each socket. */
#define DENIED_LOG_MS 1000
/* Without a refusal for so long, the next lack of descriptors is a new one and is logged again. */
#define EPISODE_MS 10000

/* "ADDRESS:PORT" or "[ADDRESS]:PORT", for an error. */
static void address_text(const struct addrinfo *a, uint16_t port, char *out, size_t cap)
{
    char host[NI_MAXHOST];
    if (getnameinfo(a->ai_addr, a->ai_addrlen, host, sizeof(host), NULL, 0, NI_NUMERICHOST) != 0) {
        (void)snprintf(host, sizeof(host), "?");
    }
    (void)snprintf(out, cap, a->ai_family == AF_INET6 ? "[%s]:%u" : "%s:%u", host, port);
}

/* Takes fd. */
static enum err add_listener(struct listeners *ls, int fd, uint16_t group)
{
    struct listener *l = mem_alloc(sizeof(*l));
    if (!l) {
        (void)close(fd);
        errno = ENOMEM;
        return ERR_SYSTEM;
    }
    *l = (struct listener){.group = group, .batch = 1};
    l->watch = (struct watch){.fd = fd, .kind = ls->watch_kind};
    TAILQ_INSERT_TAIL(&ls->list, l, entry);
    tcp_listen_nodelay(fd, ls->conf->global.set_tcp_nodelay);
    return poll_add(ls->poll, &l->watch, POLL_IN);
}

/*
 * A machine without IPv6 lacks the family, or all its addresses. That does no harm when it was not
 * IPv6 alone that was asked for: an earlier socket serves the same. IPv4 comes first always.
 */
static bool can_do_without(const struct listeners *ls, uint16_t group, enum err e, int why)
{
    const struct listener *last = TAILQ_LAST(&ls->list, listener_list);
    bool served = last && (ls->conf->local_only || last->group == group);
    return served && (e == ERR_UNSUPPORTED || why == EADDRNOTAVAIL);
}

/* ERR_UNSUPPORTED: not here, and that does no harm. */
static enum err open_one(struct listeners *ls, const struct addrinfo *a, uint16_t group)
{
    uint16_t port = ls->conf->listeners[group]->port;
    bool six = a->ai_family == AF_INET6;
    log_info(ls->log, "Opening %s listen socket on port %u.", six ? "ipv6" : "ipv4", port);
    int fd = -1;
    enum err e = tcp_listen(a->ai_addr, a->ai_addrlen, &fd);
    if (e == ERR_OK) {
        e = add_listener(ls, fd, group);
    }
    if (e == ERR_OK) {
        return e;
    }
    int why = errno;
    if (six && can_do_without(ls, group, e, why)) {
        log_info(ls->log, "No IPv6 on this machine: port %u is served on IPv4 only.", port);
        return ERR_UNSUPPORTED;
    }
    char text[NI_MAXHOST + 16];
    address_text(a, port, text, sizeof(text));
    log_error(ls->log, "Error: %s (%s)", strerror(why), text);
    return ERR_SYSTEM;
}

/* Open all addresses of one listener. */
static enum err open_host(struct listeners *ls, uint16_t group)
{
    const char *host = ls->conf->listeners[group]->address;
    char port[8];
    (void)snprintf(port, sizeof(port), "%u", ls->conf->listeners[group]->port);
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    int failed = getaddrinfo(host, port, &hints, &found);
    if (failed) {
        log_error(ls->log, "Error: Cannot listen on %s, port %s: %s", host ? host : "any address",
                  port, failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
        return ERR_SYSTEM;
    }
    enum err e = ERR_OK;
    for (int six = 0; six < 2; six++) {
        for (const struct addrinfo *a = found; a && e != ERR_SYSTEM; a = a->ai_next) {
            if ((a->ai_family == AF_INET6) == six) {
                e = open_one(ls, a, group);
            }
        }
    }
    freeaddrinfo(found);
    return e == ERR_SYSTEM ? ERR_SYSTEM : ERR_OK;
}

static int open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

enum err listeners_open(struct listeners *ls, const struct conf *conf, const struct log *log,
                        struct poll *poll, uint8_t watch_kind)
{
    *ls = (struct listeners){.conf = conf, .log = log, .poll = poll, .watch_kind = watch_kind};
    TAILQ_INIT(&ls->list);
    ls->reserve_fd = open_reserve();
    enum err e = ERR_OK;
    for (size_t i = 0; i < conf->listener_count && e == ERR_OK; i++) {
        e = open_host(ls, (uint16_t)i);
    }
    return e;
}

void listeners_close(struct listeners *ls)
{
    struct listener *l;
    TAILQ_FOREACH(l, &ls->list, entry)
    {
        (void)close(l->watch.fd);
        l->watch.fd = -1;
    }
    if (!TAILQ_EMPTY(&ls->list)) {
        poll_drop_closed(ls->poll);
    }
    while ((l = TAILQ_FIRST(&ls->list)) != NULL) {
        TAILQ_REMOVE(&ls->list, l, entry);
        mem_free(l, sizeof(*l));
    }
    if (ls->reserve_fd >= 0) {
        (void)close(ls->reserve_fd);
    }
    ls->reserve_fd = -1;
    ls->resting = false;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool listeners_same(const struct conf *a, const struct conf *b)
{
    if (a->listener_count != b->listener_count || a->local_only != b->local_only) {
        return false;
    }
    for (size_t i = 0; i < a->listener_count; i++) {
        const struct conf_listener *x = a->listeners[i];
        const struct conf_listener *y = b->listeners[i];
        if (x->port != y->port || !same_text(x->address, y->address)) {
            return false;
        }
    }
    return true;
}

void listeners_adopt(struct listeners *ls, const struct conf *conf)
{
    ls->conf = conf;
    const struct listener *l;
    TAILQ_FOREACH(l, &ls->list, entry)
    {
        tcp_listen_nodelay(l->watch.fd, conf->global.set_tcp_nodelay);
    }
}

static void peer_from(struct peer *p, const struct sockaddr_storage *from)
{
    if (from->ss_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, from, sizeof(in));
        memcpy(p->ip, &in.sin_addr, 4);
        p->family = 4;
        p->port = ntohs(in.sin_port);
    } else if (from->ss_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, from, sizeof(in6));
        memcpy(p->ip, &in6.sin6_addr, 16);
        p->family = 6;
        p->port = ntohs(in6.sin6_port);
    }
}

/* Whoever is refused tries again at once, and so may fill the log: say it once a second, and how
 * many more there were. */
static void log_denied(struct listeners *ls, struct listener *l, const struct peer *peer)
{
    if (l->denied_ms != 0 && peer->accept_ms - l->denied_ms < DENIED_LOG_MS) {
        l->denied++;
        return;
    }
    if (l->denied > 0) {
        log_notice(ls->log, "%u more client connections denied: max_connections exceeded.",
                   l->denied);
    }
    char text[PEER_TEXT_MAX];
    log_notice(ls->log, "Client connection from %s denied: max_connections exceeded.",
               peer_address(peer, text));
    l->denied = 0;
    l->denied_ms = peer->accept_ms;
}

static void admit(struct listeners *ls, struct listener *l, int fd,
                  const struct sockaddr_storage *from, struct links *links)
{
    struct conf_listener *rules = ls->conf->listeners[l->group];
    struct peer peer = {.listener = rules, .accept_ms = links->now_ms};
    peer_from(&peer, from);
    if (rules->max_connections >= 0 && links->open[l->group] >= (uint32_t)rules->max_connections) {
        (void)close(fd);
        log_denied(ls, l, &peer);
        return;
    }
    link_open(links, fd, &peer, l->group);
}

/* False: the system does not even let us change what we watch. */
static bool watch_all(struct listeners *ls, unsigned interest)
{
    bool done = true;
    struct listener *l;
    TAILQ_FOREACH(l, &ls->list, entry)
    {
        done = poll_change(ls->poll, &l->watch, interest) == ERR_OK && done;
    }
    return done;
}

static void rest(struct listeners *ls, uint64_t now_ms)
{
    ls->resting = true;
    ls->rest_ms = now_ms + REST_MS;
    (void)watch_all(ls, POLL_NOTHING);
}

/* No descriptor is free. False: not even the reserve helps. */
static bool refuse_one(struct listeners *ls, const struct listener *l, uint64_t now_ms)
{
    if (ls->refused_ms == 0 || now_ms - ls->refused_ms >= EPISODE_MS) {
        log_warning(ls->log, "Warning: No free file descriptors: new clients are refused.");
    }
    ls->refused_ms = now_ms;
    if (ls->reserve_fd >= 0) {
        (void)close(ls->reserve_fd);
    }
    struct sockaddr_storage from;
    int fd = tcp_accept(l->watch.fd, &from);
    if (fd >= 0) {
        (void)close(fd);
    }
    ls->reserve_fd = open_reserve();
    return fd >= 0;
}

/* Accept one. False: stop for this turn. */
static bool accept_one(struct listeners *ls, struct listener *l, struct links *links)
{
    struct sockaddr_storage from;
    int fd = tcp_accept(l->watch.fd, &from);
    if (fd >= 0) {
        admit(ls, l, fd, &from, links);
        return true;
    }
    switch (-fd) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
        if (refuse_one(ls, l, links->now_ms)) {
            return true;
        }
        rest(ls, links->now_ms);
        return false;
    case ENOBUFS:
    case ENOMEM:
    case EPERM:
        rest(ls, links->now_ms);
        return false;
    default:
        /* The peer gave up while it was queued, or the network failed: nothing about the next one.
         */
        return true;
    }
}

/*
 * At a low rate one connection comes at a time, and asking for a second one is a call for nothing;
 * in a storm each turn should take many. So the batch doubles while it is used up.
 */
static void accept_some(struct listeners *ls, struct listener *l, struct links *links)
{
    for (uint8_t i = 0; i < l->batch; i++) {
        if (!accept_one(ls, l, links)) {
            l->batch = (uint8_t)(i > 1 ? i : 1);
            return;
        }
    }
    l->batch = l->batch < BATCH_MAX ? (uint8_t)(l->batch * 2) : BATCH_MAX;
}

void listener_ready(struct listeners *ls, struct watch *w)
{
    struct listener *l = CONTAINER_OF(w, struct listener, watch);
    l->ready = true;
    ls->ready = true;
}

void listeners_accept(struct listeners *ls, struct links *links)
{
    if (LIKELY(!ls->ready)) {
        return;
    }
    struct listener *l;
    TAILQ_FOREACH(l, &ls->list, entry)
    {
        if (l->ready) {
            l->ready = false;
            accept_some(ls, l, links);
        }
    }
    ls->ready = false;
}

void listeners_wake(struct listeners *ls, uint64_t now_ms)
{
    if (LIKELY(!ls->resting) || now_ms < ls->rest_ms) {
        return;
    }
    ls->resting = !watch_all(ls, POLL_IN);
    ls->rest_ms = now_ms + REST_MS;
}

uint64_t listeners_deadline(const struct listeners *ls)
{
    return ls->resting ? ls->rest_ms : UINT64_MAX;
}
