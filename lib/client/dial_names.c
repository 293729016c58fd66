/*
 * Names to addresses, for one dial.
 *
 * The resolver is that of this dial alone, and gone as soon as it has answered.
 */
#include "client/dial_names.h"

#include "base/feature.h"
#include "net/hosts.h"
#include "net/transport.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/un.h>

#define PORT_PLAIN 1883
#define PORT_TLS 8883
#define PORT_PROXY 1080

static enum err failed(struct dial_names *n, enum err e, const char *why)
{
    (void)snprintf(n->why, sizeof(n->why), "%s", why);
    return e;
}

/* ---- Where from ---- */

static bool find_source(struct dial_names *n, const char *text, const char *hosts)
{
    return addresses_parse(&n->from, text, AF_UNSPEC) ||
           hosts_find(hosts, text, AF_UNSPEC, &n->from) == ERR_OK;
}

const char *dial_names_source(const struct dial_names *n, int family, char out[NI_MAXHOST])
{
    for (size_t i = 0; i < addresses_count(&n->from); i++) {
        struct sockaddr_storage sa;
        socklen_t length;
        addresses_get(&n->from, i, 0, &sa, &length);
        if (sa.ss_family == family && getnameinfo((const struct sockaddr *)&sa, length, out,
                                                  NI_MAXHOST, NULL, 0, NI_NUMERICHOST) == 0) {
            return out;
        }
    }
    return NULL;
}

/* What we connect from decides whereto. */
static int family_of(const struct addresses *from)
{
    if (from->count6 > 0 && from->count4 > 0) {
        return AF_UNSPEC;
    }
    return from->count6 > 0 ? AF_INET6 : from->count4 > 0 ? AF_INET : AF_UNSPEC;
}

/* ---- Beginning ---- */

static enum err begin_path(struct dial_names *n, const char *path)
{
    struct resolve_address *a = &n->addresses[0];
    struct sockaddr_un *un = (struct sockaddr_un *)(void *)&a->sa;
    size_t size = strlen(path) + 1;
    if (size == 1 || size > sizeof(un->sun_path)) {
        return failed(n, ERR_INVAL, "a socket cannot have such a path: it is empty, or too long");
    }
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, size);
    a->length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    n->count = 1;
    n->answered = true;
    return ERR_OK;
}

/* For struct resolver_poll. What there is no room for is not heard of: then the look-up runs into
 * its time limit. */
static void watch_socket(void *names, int fd, unsigned wants)
{
    struct dial_names *n = names;
    int i = 0;
    while (i < n->socket_count && n->sockets[i].fd != fd) {
        i++;
    }
    if (wants == 0) {
        if (i < n->socket_count) {
            n->sockets[i] = n->sockets[--n->socket_count];
        }
        return;
    }
    if (i == DIAL_NAMES_SOCKETS_MAX) {
        return;
    }
    n->socket_count += i == n->socket_count;
    int events =
        (wants & TRANSPORT_WANTS_READ ? POLLIN : 0) | (wants & TRANSPORT_WANTS_WRITE ? POLLOUT : 0);
    n->sockets[i] = (struct pollfd){.fd = fd, .events = (short)events};
}

/* resolve_ask.done */
static void answered(void *names, const struct resolve_answer *a)
{
    struct dial_names *n = names;
    n->look_up = NULL;
    n->answered = true;
    n->count = a->count;
    if (a->count == 0) {
        (void)failed(n, ERR_NOT_FOUND, a->why);
    } else {
        memcpy(n->addresses, a->addresses, a->count * sizeof(*n->addresses));
    }
}

static enum err ask_resolver(struct dial_names *n, const struct dial_names_ask *ask)
{
    const char *service = ask->tls ? "_secure-mqtt._tcp" : "_mqtt._tcp";
    uint16_t usual = ask->proxy_host ? PORT_PROXY : ask->tls ? PORT_TLS : PORT_PLAIN;
    uint16_t port = ask->proxy_host ? ask->proxy_port : ask->port;
    const struct resolve_ask look_up = {
        .host = ask->proxy_host ? ask->proxy_host : ask->host,
        .port = port > 0 ? port : usual,
        .service = ask->srv ? service : NULL,
        .family = family_of(&n->from),
        .done = answered,
        .ctx = n,
    };
    enum err e = n->resolver ? resolve_start(n->resolver, &look_up, &n->look_up) : ERR_NOMEM;
    if (e == ERR_OK) {
        return e;
    }
    return failed(n, e, e == ERR_INVAL ? "this cannot be the name of a host" : "out of memory");
}

static enum err begin_name(struct dial_names *n, const struct dial_names_ask *ask)
{
    struct resolver_poll poll = {
        .watch = watch_socket,
        .ctx = n,
        .servers = ask->servers,
        .hosts = ask->hosts,
        .try_ms = ask->try_ms,
    };
    /* Without chance the first SRV record of several is taken, which does no harm. */
    (void)!getrandom(&poll.seed, sizeof(poll.seed), GRND_NONBLOCK);
    n->resolver = resolver_new(&poll);
    return ask_resolver(n, ask);
}

enum err dial_names_begin(struct dial_names *n, const struct dial_names_ask *ask)
{
    if (ask->path) {
        return begin_path(n, ask->host);
    }
    if (ask->srv && !feature_built(FEATURE_SRV)) {
        return failed(n, ERR_INVAL, "SRV records need a build with WITH_SRV=yes");
    }
    if (ask->srv && ask->proxy_host) {
        return failed(n, ERR_INVAL, "SRV records cannot be looked up through a proxy");
    }
    if (ask->bind_address && !find_source(n, ask->bind_address, ask->hosts)) {
        return failed(n, ERR_INVAL, "the address to connect from is none of this machine's");
    }
    return begin_name(n, ask);
}

/* ---- Going on ---- */

static void wake_resolver(struct dial_names *n)
{
    struct pollfd ready[DIAL_NAMES_SOCKETS_MAX];
    int count = n->socket_count;
    memcpy(ready, n->sockets, sizeof(ready));
    if (count == 0 || poll(ready, (nfds_t)count, 0) <= 0) {
        return;
    }
    for (int i = 0; i < count; i++) {
        const short broken = POLLERR | POLLHUP | POLLNVAL;
        unsigned is =
            (ready[i].revents & (POLLIN | broken) ? (unsigned)TRANSPORT_WANTS_READ : 0U) |
            (ready[i].revents & (POLLOUT | broken) ? (unsigned)TRANSPORT_WANTS_WRITE : 0U);
        if (is) {
            resolver_ready(n->resolver, ready[i].fd, is);
        }
    }
}

enum err dial_names_step(struct dial_names *n)
{
    if (n->resolver) {
        wake_resolver(n);
        resolver_work(n->resolver);
    }
    if (!n->answered) {
        return ERR_AGAIN;
    }
    dial_names_clear(n);
    return n->count > 0 ? ERR_OK : ERR_NOT_FOUND;
}

int dial_names_timeout_ms(const struct dial_names *n)
{
    return n->resolver ? resolver_timeout_ms(n->resolver) : -1;
}

void dial_names_clear(struct dial_names *n)
{
    resolver_free(n->resolver);
    n->resolver = NULL;
}

/* ---- Words ---- */

const char *dial_names_place(const struct dial_names *n, size_t i, char out[DIAL_PLACE_MAX])
{
    const struct resolve_address *a = &n->addresses[i];
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    if (getnameinfo((const struct sockaddr *)&a->sa, a->length, host, sizeof(host), port,
                    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return "an address that cannot be written";
    }
    (void)snprintf(out, DIAL_PLACE_MAX, "%s port %s", host, port);
    return out;
}
