/*
 * One dial after another, a step at a time.
 *
 * Each stands in the list of its stage, in which all have the same time limit, so that the first is
 * the one that is due first. Whoever can go on stands in the queue as well.
 */
#include "server/dial.h"

#include "base/mem.h"
#include "net/resolve.h"
#include "net/tls.h"
#include "server/lookups.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* How long each stage may take. The resolver has limits of its own, which are shorter. */
#define RESOLVE_MS 30000
#define CONNECT_MS 5000
#define SHAKE_MS 10000
/* What steps may take of one turn, passed by what the last of them takes: some 2 ms. */
#define TURN_NS 2000000
/* How often we ask whether what we do is still wanted. */
#define LOOK_MS 1000
/* Why a dial failed, as text. */
#define WHY_MAX 480
#define PLACE_MAX (INET6_ADDRSTRLEN + 16)

enum stage {
    STAGE_BEGINNING, /* queued */
    STAGE_RESOLVING,
    STAGE_TRYING, /* queued: the next address is to be tried */
    STAGE_CONNECTING,
    STAGE_SHAKING
};
#define STAGES 5

static const uint32_t patience_ms[STAGES] = {[STAGE_BEGINNING] = UINT32_MAX,
                                             [STAGE_RESOLVING] = RESOLVE_MS,
                                             [STAGE_TRYING] = UINT32_MAX,
                                             [STAGE_CONNECTING] = CONNECT_MS,
                                             [STAGE_SHAKING] = SHAKE_MS};

struct dial {
    TAILQ_ENTRY(dial) entry; /* in the list of its stage */
    TAILQ_ENTRY(dial) place; /* in the queue */
    struct dials *ds;
    struct dial_order order;
    struct resolve *look_up;           /* NULL: none is under way */
    struct resolve_address *addresses; /* NULL: not known yet */
    size_t count;
    size_t next;       /* address to be tried */
    struct link *link; /* to the one before; NULL: there is none */
    uint64_t deadline_ms;
    uint8_t stage;
    bool queued;
    char why[WHY_MAX]; /* the last address did not do */
};

TAILQ_HEAD(dial_list, dial);

struct dials {
    struct dials_setup use;
    struct dial_list list[STAGES];
    struct dial_list queue;
    struct lookups lookups;
    bool more;        /* there may be orders that this turn had no time for */
    uint64_t look_ms; /* when to ask what is still wanted */
    uint64_t now_ms;  /* of this turn */
};

static const struct conf_bridge_address *target(const struct dial *d)
{
    return &d->order.conf->addresses[d->order.address];
}

/* --- lists --- */

static void leave_queue(struct dial *d)
{
    if (d->queued) {
        TAILQ_REMOVE(&d->ds->queue, d, place);
        d->queued = false;
    }
}

static void enqueue(struct dial *d)
{
    if (!d->queued) {
        TAILQ_INSERT_TAIL(&d->ds->queue, d, place);
        d->queued = true;
    }
}

/* It is at this stage from now on, and not longer than that allows. */
static void enter(struct dial *d, enum stage stage)
{
    struct dials *ds = d->ds;
    TAILQ_REMOVE(&ds->list[d->stage], d, entry);
    d->stage = (uint8_t)stage;
    d->deadline_ms = ds->now_ms + patience_ms[stage];
    TAILQ_INSERT_TAIL(&ds->list[stage], d, entry);
}

/* The socket goes at once. */
static void hang_up(struct dial *d)
{
    if (d->link) {
        d->link->dial = NULL;
        link_close(d->ds->use.links, d->link);
        d->link = NULL;
    }
}

/* What the other side has been told arrives before the socket goes. */
static void part(struct dial *d)
{
    d->link->conn = NULL;
    link_part(d->ds->use.links, d->link);
    d->link = NULL;
}

static void drop(struct dial *d)
{
    leave_queue(d);
    hang_up(d);
    if (d->look_up) {
        resolve_cancel(d->look_up);
    }
    TAILQ_REMOVE(&d->ds->list[d->stage], d, entry);
    conf_bridge_unref(d->order.conf);
    mem_free(d->addresses, d->count * sizeof(*d->addresses));
    mem_free(d, sizeof(*d));
}

/* --- how it ends --- */

/* As strerror(), for the middle of a sentence. */
static const char *errno_phrase(int error, char out[WHY_MAX])
{
    if (error == EMFILE || error == ENFILE) {
        return "no file descriptor is free";
    }
    (void)snprintf(out, WHY_MAX, "%s", strerror(error));
    if (out[0] >= 'A' && out[0] <= 'Z' && out[1] >= 'a' && out[1] <= 'z') {
        out[0] = (char)(out[0] + ('a' - 'A'));
    }
    return out;
}

static void fail(struct dial *d, const char *why)
{
    broker_dial_failed(d->ds->use.broker, d->order.ticket, why);
    drop(d);
}

/* IPv4 and IPv6 alone are what names stand for. */
static void set_peer(struct peer *peer, const struct sockaddr_storage *sa)
{
    if (sa->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)sa;
        peer->family = 4;
        peer->port = ntohs(in->sin_port);
        memcpy(peer->ip, &in->sin_addr, sizeof(in->sin_addr));
    } else {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)sa;
        peer->family = 6;
        peer->port = ntohs(in6->sin6_port);
        memcpy(peer->ip, &in6->sin6_addr, sizeof(in6->sin6_addr));
    }
}

/* The address that is being tried, or was tried last. */
static struct peer callee(const struct dial *d)
{
    struct peer peer = {.accept_ms = (uint32_t)d->ds->now_ms};
    set_peer(&peer, &d->addresses[d->next - 1].sa);
    return peer;
}

static const char *place_of(const struct dial *d, char out[PLACE_MAX])
{
    char text[PEER_TEXT_MAX];
    struct peer peer = callee(d);
    (void)snprintf(out, PLACE_MAX, "%.*s port %u", INET6_ADDRSTRLEN, peer_address(&peer, text),
                   peer.port);
    return out;
}

/* This address did not do; perhaps the next one does. Its link is gone. */
static void try_next(struct dial *d, const char *why)
{
    char place[PLACE_MAX];
    if (d->count > 1) {
        (void)place_of(d, place);
        log_debug(d->ds->use.log, "Bridge %s: %s: %s.", d->order.conf->name, place, why);
        (void)snprintf(d->why, WHY_MAX, "%s (the last of %zu addresses, %s)", why, d->count, place);
    } else {
        (void)snprintf(d->why, WHY_MAX, "%s", why);
    }
    enter(d, STAGE_TRYING);
    enqueue(d);
}

static void give_up_address(struct dial *d, const char *why)
{
    hang_up(d);
    try_next(d, why);
}

/* Connected, encryption included. */
static void arrive(struct dial *d)
{
    struct dials *ds = d->ds;
    struct link *l = d->link;
    struct peer peer = callee(d);
    if (d->order.probe) {
        broker_dial_probed(ds->use.broker, d->order.ticket);
        transport_finish(l->io);
        part(d);
    } else if (link_hand_over(ds->use.links, l, d->order.ticket, &peer)) {
        d->link = NULL;
        link_watch(ds->use.links, l, POLL_IN);
        link_keep_input(ds->use.links, l);
    }
    drop(d);
}

/* --- TLS --- */

static void log_negotiated(const struct dial *d)
{
    if (log_wants(d->ds->use.log, LOG_LEVEL_DEBUG)) {
        char place[PLACE_MAX];
        char text[TLS_TEXT_MAX];
        log_debug(d->ds->use.log, "Bridge %s negotiated %s with %s.", d->order.conf->name,
                  tls_text(d->link->io, text), place_of(d, place));
    }
}

static void begin_shaking(struct dial *d)
{
    struct links *ls = d->ds->use.links;
    struct tls_ctx *ctx = bridge_keys_find(d->ds->use.keys, d->order.conf);
    struct transport *tls = ctx ? tls_connect(ctx, &d->link->tcp.base, target(d)->host) : NULL;
    if (!tls) {
        fail(d, ctx ? "no memory for TLS" : "its TLS settings are not in force any more");
        return;
    }
    d->link->io = tls;
    ls->encrypted++;
    enter(d, STAGE_SHAKING);
    enqueue(d);
}

static void shake(struct dial *d)
{
    enum err e = transport_step(d->link->io);
    char why[WHY_MAX];
    if (e == ERR_OK) {
        log_negotiated(d);
        arrive(d);
    } else if (e != ERR_AGAIN) {
        (void)snprintf(why, sizeof(why), "TLS handshake failed: %s", tls_why(d->link->io));
        part(d); /* an alert may be on its way that tells the other side */
        try_next(d, why);
    } else if (poll_change(d->ds->use.links->poll, &d->link->watch, link_wanted(d->link)) !=
               ERR_OK) {
        give_up_address(d, errno_phrase(errno, why));
    }
}

/* --- TCP --- */

static void connected(struct dial *d)
{
    if (conf_bridge_has_tls(d->order.conf)) {
        begin_shaking(d);
    } else {
        arrive(d);
    }
}

static void look_at_connection(struct dial *d)
{
    char why[WHY_MAX];
    int error = tcp_error(&d->link->tcp);
    if (error) {
        give_up_address(d, errno_phrase(error, why));
    } else {
        connected(d);
    }
}

static const char *why_not_connected(const struct dial *d, enum err e, int error, char out[WHY_MAX])
{
    char phrase[WHY_MAX];
    const char *from = d->order.conf->bind_address;
    if (e == ERR_INVAL) {
        return "bridge_bind_address is of another family than the address";
    }
    if (e != ERR_SYSTEM) {
        return err_word(e);
    }
    if (from && error == EADDRNOTAVAIL) {
        (void)snprintf(out, WHY_MAX, "bridge_bind_address %.64s: %.200s", from,
                       errno_phrase(error, phrase));
        return out;
    }
    return errno_phrase(error, out);
}

static void try_address(struct dial *d)
{
    const struct conf_bridge *conf = d->order.conf;
    const struct tcp_how how = {.bind_address = conf->bind_address,
                                .keepalive_idle = conf->tcp_keepalive_idle,
                                .keepalive_interval = conf->tcp_keepalive_interval,
                                .keepalive_count = conf->tcp_keepalive_count,
                                .user_timeout_ms = conf->tcp_user_timeout_ms,
                                .nodelay = true};
    char why[WHY_MAX];
    int fd = -1;
    if (d->next == d->count) {
        fail(d, d->why);
        return;
    }
    const struct resolve_address *a = &d->addresses[d->next++];
    enum err e = tcp_connect((const struct sockaddr *)&a->sa, a->length, &how, &fd);
    if (e != ERR_OK && e != ERR_AGAIN) {
        try_next(d, why_not_connected(d, e, errno, why));
        return;
    }
    d->link = link_dial(d->ds->use.links, fd, d);
    if (!d->link) {
        try_next(d, errno_phrase(errno, why));
        return;
    }
    enter(d, STAGE_CONNECTING);
}

/* --- names --- */

/* resolve_ask.done */
static void answered(void *dial, const struct resolve_answer *a)
{
    struct dial *d = dial;
    d->look_up = NULL;
    if (a->count == 0) {
        fail(d, a->why);
        return;
    }
    d->addresses = mem_alloc(a->count * sizeof(*d->addresses));
    if (!d->addresses) {
        fail(d, "out of memory");
        return;
    }
    memcpy(d->addresses, a->addresses, a->count * sizeof(*d->addresses));
    d->count = a->count;
    enter(d, STAGE_TRYING);
    enqueue(d);
}

/* Of an address; AF_UNSPEC: it is a name, or NULL. */
static int family_of(const char *host)
{
    uint8_t ip[16];
    if (host && inet_pton(AF_INET, host, ip) == 1) {
        return AF_INET;
    }
    return host && inet_pton(AF_INET6, host, ip) == 1 ? AF_INET6 : AF_UNSPEC;
}

static enum err look_up(struct dial *d)
{
    const struct conf_bridge *conf = d->order.conf;
    const struct conf_bridge_address *to = target(d);
    const char *service = conf_bridge_has_tls(conf) ? "_secure-mqtt._tcp" : "_mqtt._tcp";
    bool named = family_of(to->host) == AF_UNSPEC;
    const struct resolve_ask ask = {.host = to->host,
                                    .port = to->port ? to->port : CONF_DEFAULT_PORT,
                                    .service = named && to->port == 0 ? service : NULL,
                                    /* What we call from decides what can be called. */
                                    .family = named ? family_of(conf->bind_address) : AF_UNSPEC,
                                    .done = answered,
                                    .ctx = d};
    return lookups_ask(&d->ds->lookups, &ask, &d->look_up);
}

static void begin(struct dial *d)
{
    enum err e = look_up(d);
    if (e == ERR_OK) {
        enter(d, STAGE_RESOLVING);
    } else {
        fail(d, e == ERR_INVAL ? "this cannot be the name of a host" : "out of memory");
    }
}

/* --- turns --- */

static void step(struct dial *d)
{
    switch ((enum stage)d->stage) {
    case STAGE_BEGINNING:
        begin(d);
        break;
    case STAGE_TRYING:
        try_address(d);
        break;
    case STAGE_CONNECTING:
        look_at_connection(d);
        break;
    case STAGE_SHAKING:
        shake(d);
        break;
    case STAGE_RESOLVING: /* is never queued */
        break;
    }
}

static void expire(struct dial *d)
{
    char why[WHY_MAX];
    switch ((enum stage)d->stage) {
    case STAGE_RESOLVING:
        fail(d, "its name could not be looked up in time");
        break;
    case STAGE_CONNECTING:
        (void)snprintf(why, sizeof(why), "no answer within %d s", CONNECT_MS / 1000);
        give_up_address(d, why);
        break;
    case STAGE_SHAKING:
        (void)snprintf(why, sizeof(why), "no TLS handshake within %d s", SHAKE_MS / 1000);
        give_up_address(d, why);
        break;
    case STAGE_BEGINNING: /* these two never wait for anybody */
    case STAGE_TRYING:
        break;
    }
}

static void expire_all(struct dials *ds)
{
    for (int i = 0; i < STAGES; i++) {
        struct dial *d;
        while (i != STAGE_BEGINNING && i != STAGE_TRYING &&
               (d = TAILQ_FIRST(&ds->list[i])) != NULL && d->deadline_ms <= ds->now_ms) {
            expire(d);
        }
    }
}

/* Who is not wanted any more goes. */
static void look_around(struct dials *ds)
{
    if (ds->now_ms < ds->look_ms) {
        return;
    }
    ds->look_ms = ds->now_ms + LOOK_MS;
    for (int i = 0; i < STAGES; i++) {
        struct dial *d = TAILQ_FIRST(&ds->list[i]);
        while (d) {
            struct dial *next = TAILQ_NEXT(d, entry);
            if (!broker_wants_dial(ds->use.broker, d->order.ticket)) {
                drop(d);
            }
            d = next;
        }
    }
}

static void take(struct dials *ds, const struct dial_order *order)
{
    struct dial *d = mem_zalloc(sizeof(*d));
    if (!d) {
        broker_dial_failed(ds->use.broker, order->ticket, "out of memory");
        conf_bridge_unref(order->conf);
        return;
    }
    d->ds = ds;
    d->order = *order;
    TAILQ_INSERT_TAIL(&ds->list[STAGE_BEGINNING], d, entry);
    enqueue(d);
}

/* Whoever has been taken goes first; the core keeps the others until there is time for them. False:
 * there is nothing more to do. */
static bool go_on(struct dials *ds)
{
    struct dial *d = TAILQ_FIRST(&ds->queue);
    struct dial_order order;
    if (d) {
        leave_queue(d);
        step(d);
        return true;
    }
    if (broker_take_dial(ds->use.broker, &order)) {
        take(ds, &order);
        return true;
    }
    return false;
}

static void go_on_for_a_while(struct dials *ds)
{
    ds->more = go_on(ds);
    if (!ds->more) {
        return;
    }
    uint64_t (*cpu_ns)(void) = ds->use.links->cpu_ns;
    uint64_t begin_ns = cpu_ns();
    do {
        ds->more = go_on(ds);
    } while (ds->more && !broker_is_spent(ds->use.broker) && cpu_ns() - begin_ns < TURN_NS);
}

void dials_turn(struct dials *ds)
{
    ds->now_ms = ds->use.links->now_ms;
    lookups_work(&ds->lookups);
    expire_all(ds);
    look_around(ds);
    go_on_for_a_while(ds);
    lookups_settle(&ds->lookups, !TAILQ_EMPTY(&ds->list[STAGE_RESOLVING]), ds->now_ms);
    lookups_bury(&ds->lookups);
}

uint64_t dials_deadline(const struct dials *ds)
{
    if (!TAILQ_EMPTY(&ds->queue) || ds->more) {
        return 0;
    }
    uint64_t due = ds->lookups.due_ms;
    for (int i = 0; i < STAGES; i++) {
        const struct dial *first = TAILQ_FIRST(&ds->list[i]);
        if (first) {
            due = earlier(due, earlier(first->deadline_ms, ds->look_ms));
        }
    }
    return due;
}

void dials_ready(struct dials *ds, struct watch *w, unsigned events)
{
    lookups_ready(&ds->lookups, w, events);
}

void dial_ready(struct dial *d)
{
    enqueue(d);
}

/* --- life --- */

enum err dials_new(const struct dials_setup *setup, struct dials **out)
{
    struct dials *ds = mem_zalloc(sizeof(*ds));
    *out = ds;
    if (!ds) {
        return ERR_NOMEM;
    }
    ds->use = *setup;
    lookups_init(&ds->lookups, &(struct lookups_setup){.poll = setup->links->poll,
                                                       .watch_kind = setup->watch_kind,
                                                       .seed = setup->seed,
                                                       .hosts = setup->hosts});
    for (int i = 0; i < STAGES; i++) {
        TAILQ_INIT(&ds->list[i]);
    }
    TAILQ_INIT(&ds->queue);
    return ERR_OK;
}

void dials_free(struct dials *ds)
{
    if (!ds) {
        return;
    }
    for (int i = 0; i < STAGES; i++) {
        while (!TAILQ_EMPTY(&ds->list[i])) {
            drop(TAILQ_FIRST(&ds->list[i]));
        }
    }
    lookups_clear(&ds->lookups);
    mem_free(ds, sizeof(*ds));
}
