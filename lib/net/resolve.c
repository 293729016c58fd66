/*
 * Look-ups by c-ares. resolve_none.c is the twin that asks the C library.
 *
 * c-ares only carries questions and raw answers: which hosts are known without asking is for
 * net/hosts, what an answer says for net/dns. So whatever a name server sends costs one walk over
 * its bytes, and what is kept of it is bounded.
 *
 * A look-up is in one of two lists: `due`, where the next step is ours, or `asking`, where it is
 * a name server's. Only resolver_work() takes steps, so many a turn, and only it calls done();
 * what c-ares calls us for merely moves a look-up from one list to the other.
 *
 * c-ares reads /etc/resolv.conf when a channel is made. Channels live for the look-ups that use
 * them, and are not used for new ones for long: a changed file is seen, and an idle resolver has
 * nothing open. A question cannot be taken back: it is forgotten by its look-up instead, and goes
 * with its channel.
 *
 * ares_library_init() is not called: outside Windows it only counts its calls, and that without a
 * lock, while resolvers may be made by several threads.
 */
#include "net/resolve.h"

#include "base/mem.h"
#include "base/rng.h"
#include "net/dns.h"
#include "net/hosts.h"
#include "net/transport.h"

#include <ares.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    TRY_MS = 2000,         /* each further round of c-ares waits twice as long */
    TRIES = 2,             /* of each name server */
    LIMIT_TRIES = 5,       /* the whole look-up, in first tries */
    CHANNEL_AGE_MS = 5000, /* then new look-ups get a new channel */
    STEPS_A_TURN = 8,
    RECEIVES_A_TURN = 32, /* datagrams: who floods us waits for the next turn */
    SERVICES_MAX = 32,    /* SRV records that are looked at … */
    TARGETS_MAX = 8,      /* … and hosts of these that are looked up */
    FULL_NAME_SIZE = 2 * HOST_NAME_LENGTH + 2
};

/* A channel of c-ares. */
struct asker {
    TAILQ_ENTRY(asker) entry;
    struct resolver *resolver;
    ares_channel channel;
    uint64_t born;
    size_t users; /* look-ups */
};

/* A question that c-ares has; it gives it back by on_answer(), exactly once. */
struct question {
    LIST_ENTRY(question) entry;
    struct resolve *look; /* NULL: nobody waits for it any more */
    struct addresses *found;
    enum dns_type type;
};

struct target {
    char name[HOST_NAME_LENGTH + 2];
    uint16_t port;
    struct addresses found;
};

enum stage { STAGE_NEW, STAGE_SERVICES, STAGE_ADDRESSES };

struct resolve {
    TAILQ_ENTRY(resolve) entry;
    LIST_HEAD(, question) questions;
    struct resolver *resolver;
    struct asker *asker; /* NULL: nobody had to be asked yet */
    struct target *targets;
    size_t target_count;
    uint64_t deadline;
    enum stage stage;
    int status;      /* why there is no answer, a status of ares.h */
    bool is_due;     /* in which list */
    bool is_busy;    /* in none: resolver_work() has it */
    bool is_late;    /* out of time */
    bool is_refused; /* the service is not offered, its own domain says */
    int family;
    uint16_t port;
    bool wants_service;
    void (*done)(void *ctx, const struct resolve_answer *a);
    void *ctx;
    char host[HOST_NAME_LENGTH + 2];
    char service[FULL_NAME_SIZE]; /* the name of the SRV records */
};

TAILQ_HEAD(looks, resolve);
TAILQ_HEAD(askers, asker);

struct resolver {
    struct resolver_poll poll;
    struct rng rng;
    struct looks due;
    struct looks asking;
    struct askers askers; /* the youngest first */
    int receives;         /* that are left in this turn */
};

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static uint32_t try_ms(const struct resolver *r)
{
    return r->poll.try_ms > 0 ? r->poll.try_ms : TRY_MS;
}

/* ---- Sockets, as c-ares asks for them ---- */

static ares_socket_t open_socket(int family, int type, int protocol, void *ctx)
{
    (void)ctx;
    return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

static int close_socket(ares_socket_t fd, void *ctx)
{
    (void)ctx;
    return close(fd);
}

static int connect_socket(ares_socket_t fd, const struct sockaddr *to, ares_socklen_t length,
                          void *ctx)
{
    (void)ctx;
    return connect(fd, to, length);
}

/* c-ares reads on until there is nothing left, which is for the sender to decide: so we say when.
 */
static ares_ssize_t receive(ares_socket_t fd, void *p, size_t n, int flags, struct sockaddr *from,
                            ares_socklen_t *length, void *ctx)
{
    struct resolver *r = ctx;
    if (r->receives <= 0) {
        errno = EWOULDBLOCK;
        return -1;
    }
    r->receives--;
    return recvfrom(fd, p, n, flags, from, length);
}

static ares_ssize_t send_pieces(ares_socket_t fd, const struct iovec *iov, int n, void *ctx)
{
    (void)ctx;
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)n};
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void on_socket(void *ctx, ares_socket_t fd, int reads, int writes)
{
    struct resolver *r = ctx;
    unsigned wants = (reads ? (unsigned)TRANSPORT_WANTS_READ : 0) |
                     (writes ? (unsigned)TRANSPORT_WANTS_WRITE : 0);
    r->poll.watch(r->poll.ctx, fd, wants);
}

/* ---- Channels ---- */

static int open_channel(struct resolver *r, ares_channel *channel)
{
    static const struct ares_socket_functions sockets = {
        .asocket = open_socket,
        .aclose = close_socket,
        .aconnect = connect_socket,
        .arecvfrom = receive,
        .asendv = send_pieces,
    };
    struct ares_options options = {
        .timeout = (int)try_ms(r),
        .tries = TRIES,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = r,
    };
    int status = ares_init_options(channel, &options,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) {
        return status;
    }
    ares_set_socket_functions(*channel, &sockets, r);
    if (r->poll.servers) {
        status = ares_set_servers_ports_csv(*channel, r->poll.servers);
    }
    if (status != ARES_SUCCESS) {
        ares_destroy(*channel);
    }
    return status;
}

static int asker_new(struct resolver *r, uint64_t now, struct asker **out)
{
    struct asker *a = mem_zalloc(sizeof(*a));
    if (!a) {
        return ARES_ENOMEM;
    }
    a->resolver = r;
    a->born = now;
    int status = open_channel(r, &a->channel);
    if (status != ARES_SUCCESS) {
        mem_free(a, sizeof(*a));
        return status;
    }
    TAILQ_INSERT_HEAD(&r->askers, a, entry);
    *out = a;
    return ARES_SUCCESS;
}

/* What was asked and is not answered comes back to on_answer() by this. */
static void asker_free(struct asker *a)
{
    TAILQ_REMOVE(&a->resolver->askers, a, entry);
    ares_destroy(a->channel);
    mem_free(a, sizeof(*a));
}

static int asker_take(struct resolve *l)
{
    struct resolver *r = l->resolver;
    uint64_t now = now_ms();
    struct asker *a = TAILQ_FIRST(&r->askers);
    if (l->asker) {
        return ARES_SUCCESS;
    }
    if (!a || now - a->born >= CHANNEL_AGE_MS) {
        int status = asker_new(r, now, &a);
        if (status != ARES_SUCCESS) {
            return status;
        }
    }
    a->users++;
    l->asker = a;
    return ARES_SUCCESS;
}

static void askers_retire(struct resolver *r)
{
    struct asker *next;
    for (struct asker *a = TAILQ_FIRST(&r->askers); a; a = next) {
        next = TAILQ_NEXT(a, entry);
        if (a->users == 0) {
            asker_free(a);
        }
    }
}

/* ---- Lists ---- */

static void leave_list(struct resolve *l)
{
    if (!l->is_busy) {
        TAILQ_REMOVE(l->is_due ? &l->resolver->due : &l->resolver->asking, l, entry);
    }
    l->is_busy = true;
}

static void enter_list(struct resolve *l, bool due)
{
    struct looks *list = due ? &l->resolver->due : &l->resolver->asking;
    TAILQ_INSERT_TAIL(list, l, entry);
    l->is_due = due;
    l->is_busy = false;
}

static void forget_questions(struct resolve *l)
{
    struct question *q;
    while ((q = LIST_FIRST(&l->questions))) {
        LIST_REMOVE(q, entry);
        q->look = NULL;
    }
}

static void look_free(struct resolve *l)
{
    leave_list(l);
    forget_questions(l);
    if (l->asker) {
        l->asker->users--;
    }
    mem_free(l->targets, l->target_count * sizeof(*l->targets));
    mem_free(l, sizeof(*l));
}

/* ---- Answers ---- */

/* What says most about the failure stays: that there is no such record says least. */
static void note_status(struct resolve *l, int status)
{
    if (l->status == ARES_SUCCESS || l->status == ARES_ENODATA) {
        l->status = status;
    }
}

static int status_of(enum err e)
{
    switch (e) {
    case ERR_OK:
        return ARES_SUCCESS;
    case ERR_NOMEM:
        return ARES_ENOMEM;
    case ERR_NOT_FOUND:
        return ARES_ENODATA;
    default:
        return ARES_EBADRESP;
    }
}

/* Once there is something to try, the other questions are waited for only a little longer. */
static void take_addresses(struct resolve *l, const struct question *q, const uint8_t *p, size_t n)
{
    int family = q->type == DNS_A ? AF_INET : AF_INET6;
    enum err e = dns_addresses(p, n, family, q->found);
    note_status(l, status_of(e));
    if (e == ERR_OK) {
        uint64_t soon = now_ms() + try_ms(l->resolver) / 2;
        l->deadline = soon < l->deadline ? soon : l->deadline;
    }
}

static struct target *targets_make(struct resolve *l, size_t count)
{
    l->targets = mem_zalloc(count * sizeof(*l->targets));
    l->target_count = l->targets ? count : 0;
    if (!l->targets) {
        note_status(l, ARES_ENOMEM);
    }
    return l->targets;
}

static void take_services(struct resolve *l, const uint8_t *p, size_t n)
{
    struct dns_service services[SERVICES_MAX];
    size_t count = 0;
    enum err e = dns_services(p, n, services, SERVICES_MAX, &count);
    if (e != ERR_OK) {
        note_status(l, status_of(e));
        return;
    }
    dns_services_order(services, count, &l->resolver->rng);
    l->is_refused = count == 1 && services[0].target[0] == '\0';
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (services[i].target[0] != '\0') {
            services[used++] = services[i];
        }
    }
    used = used < TARGETS_MAX ? used : TARGETS_MAX;
    if (used == 0 || !targets_make(l, used)) {
        note_status(l, ARES_ENODATA);
        return;
    }
    for (size_t i = 0; i < used; i++) {
        struct target *t = &l->targets[i];
        memcpy(t->name, services[i].target, sizeof(services[i].target));
        t->port = services[i].port;
    }
}

static void on_answer(void *ctx, int status, int timeouts, unsigned char *answer, int n)
{
    (void)timeouts;
    struct question *q = ctx;
    struct resolve *l = q->look;
    if (!l) {
        mem_free(q, sizeof(*q));
        return;
    }
    LIST_REMOVE(q, entry);
    if (status != ARES_SUCCESS) {
        note_status(l, status);
    } else if (q->type == DNS_SRV) {
        take_services(l, answer, (size_t)n);
    } else {
        take_addresses(l, q, answer, (size_t)n);
    }
    mem_free(q, sizeof(*q));
    if (LIST_EMPTY(&l->questions) && !l->is_busy) {
        leave_list(l);
        enter_list(l, true);
    }
}

/* ---- Steps of one look-up ---- */

/* A name that a name server gave is whole; what a person wrote may lack the domain. */
static void ask(struct resolve *l, const char *name, enum dns_type type, struct addresses *found)
{
    struct question *q = mem_zalloc(sizeof(*q));
    if (!q) {
        note_status(l, ARES_ENOMEM);
        return;
    }
    q->look = l;
    q->type = type;
    q->found = found;
    LIST_INSERT_HEAD(&l->questions, q, entry);
    if (name == l->host || name == l->service) {
        ares_search(l->asker->channel, name, DNS_CLASS_IN, (int)type, on_answer, q);
    } else {
        ares_query(l->asker->channel, name, DNS_CLASS_IN, (int)type, on_answer, q);
    }
}

/* Is it known without asking? */
static bool find_here(struct resolve *l, const char *name, struct addresses *found)
{
    if (addresses_parse(found, name, l->family)) {
        return true;
    }
    enum err e = hosts_find(l->resolver->poll.hosts, name, l->family, found);
    if (e == ERR_NOMEM) {
        note_status(l, ARES_ENOMEM);
    }
    return e == ERR_OK;
}

static void ask_addresses(struct resolve *l, const char *name, struct addresses *found)
{
    if (find_here(l, name, found)) {
        return;
    }
    int status = asker_take(l);
    if (status != ARES_SUCCESS) {
        note_status(l, status);
        return;
    }
    if (l->family != AF_INET) {
        ask(l, name, DNS_AAAA, found);
    }
    if (l->family != AF_INET6) {
        ask(l, name, DNS_A, found);
    }
}

/* The host itself, at the port that was asked for. */
static void begin_host(struct resolve *l)
{
    l->stage = STAGE_ADDRESSES;
    l->status = ARES_SUCCESS;
    struct target *t = targets_make(l, 1);
    if (t) {
        t->port = l->port;
        ask_addresses(l, l->host, &t->found);
    }
}

static void begin_services(struct resolve *l)
{
    l->stage = STAGE_SERVICES;
    int status = asker_take(l);
    if (status != ARES_SUCCESS) {
        note_status(l, status);
        return;
    }
    ask(l, l->service, DNS_SRV, NULL);
}

static void begin(struct resolve *l)
{
    struct addresses here = {0};
    l->deadline = now_ms() + (uint64_t)LIMIT_TRIES * try_ms(l->resolver);
    if (!l->wants_service || find_here(l, l->host, &here)) {
        begin_host(l);
    } else {
        begin_services(l);
    }
}

/* Who has not answered about a service would not answer about the host either. */
static bool is_silence(const struct resolve *l)
{
    return l->is_late || l->status == ARES_ETIMEOUT || l->status == ARES_ENOMEM;
}

/* ERR_AGAIN: there are questions to be asked or to be waited for. */
static enum err services_known(struct resolve *l)
{
    if (l->target_count > 0) {
        l->stage = STAGE_ADDRESSES;
        l->status = ARES_SUCCESS;
        for (size_t i = 0; i < l->target_count; i++) {
            ask_addresses(l, l->targets[i].name, &l->targets[i].found);
        }
        return ERR_AGAIN;
    }
    if (l->is_refused || is_silence(l) || l->host[0] == '_') {
        return ERR_OK;
    }
    begin_host(l);
    return ERR_AGAIN;
}

/* ERR_OK: that is all that will be known. */
static enum err step(struct resolve *l)
{
    switch (l->stage) {
    case STAGE_NEW:
        begin(l);
        return ERR_AGAIN;
    case STAGE_SERVICES:
        return services_known(l);
    default:
        return ERR_OK;
    }
}

/* ---- The end of a look-up ---- */

static size_t gather(const struct resolve *l, struct resolve_address *out)
{
    size_t n = 0;
    for (size_t i = 0; i < l->target_count; i++) {
        const struct target *t = &l->targets[i];
        size_t count = addresses_count(&t->found);
        for (size_t k = 0; k < count && n < RESOLVE_ADDRESSES_MAX; k++, n++) {
            addresses_get(&t->found, k, t->port, &out[n].sa, &out[n].length);
        }
    }
    return n;
}

static const char *status_words(const struct resolve *l)
{
    switch (l->status) {
    case ARES_ENOTFOUND:
        return "there is no such name";
    case ARES_ETIMEOUT:
        return "no name server answers";
    case ARES_ECONNREFUSED: /* c-ares also says so when all of them have failed or refused */
        return "no name server can be reached, or none is willing to answer";
    case ARES_EBADRESP:
    case ARES_EFORMERR:
    case ARES_EBADNAME:
        return "the name server's answer makes no sense";
    case ARES_ENOMEM:
        return err_word(ERR_NOMEM);
    case ARES_SUCCESS:
    case ARES_ENODATA:
        return addresses_none(l->family);
    default:
        return ares_strerror(l->status);
    }
}

static void say_why(const struct resolve *l, char *out, size_t cap)
{
    if (l->is_late) {
        (void)snprintf(out, cap, "the name servers have not answered in time");
    } else if (l->is_refused) {
        (void)snprintf(out, cap, "its domain says that the service is not offered");
    } else if (l->stage == STAGE_SERVICES && l->status == ARES_ENODATA) {
        (void)snprintf(out, cap, "the name has no SRV record that can be used");
    } else {
        (void)snprintf(out, cap, "%s", status_words(l));
    }
}

/* Busy until it is freed: so a done() that cancels it does no harm. */
static void give(struct resolve *l)
{
    struct resolve_address addresses[RESOLVE_ADDRESSES_MAX];
    char why[RESOLVE_WHY_MAX] = "";
    struct resolve_answer answer = {.addresses = addresses, .why = why};
    answer.count = gather(l, addresses);
    if (answer.count == 0) {
        say_why(l, why, sizeof(why));
    }
    l->done(l->ctx, &answer);
    look_free(l);
}

static void go_on(struct resolve *l)
{
    leave_list(l);
    if (step(l) == ERR_OK) {
        give(l);
    } else {
        enter_list(l, LIST_EMPTY(&l->questions));
    }
}

static void expire(struct resolver *r)
{
    uint64_t now = now_ms();
    struct resolve *next;
    for (struct resolve *l = TAILQ_FIRST(&r->asking); l; l = next) {
        next = TAILQ_NEXT(l, entry);
        if (now >= l->deadline) {
            leave_list(l);
            forget_questions(l);
            l->is_late = true;
            enter_list(l, true);
        }
    }
}

/* ---- The interface ---- */

struct resolver *resolver_new(const struct resolver_poll *poll)
{
    struct resolver *r = mem_zalloc(sizeof(*r));
    if (!r) {
        return NULL;
    }
    r->poll = *poll;
    rng_seed(&r->rng, poll->seed);
    TAILQ_INIT(&r->due);
    TAILQ_INIT(&r->asking);
    TAILQ_INIT(&r->askers);
    return r;
}

void resolver_free(struct resolver *r)
{
    if (!r) {
        return;
    }
    struct resolve *l;
    while ((l = TAILQ_FIRST(&r->due)) || (l = TAILQ_FIRST(&r->asking))) {
        look_free(l);
    }
    askers_retire(r);
    mem_free(r, sizeof(*r));
}

void resolver_ready(struct resolver *r, int fd, unsigned is)
{
    ares_socket_t reads = is & TRANSPORT_WANTS_READ ? fd : ARES_SOCKET_BAD;
    ares_socket_t writes = is & TRANSPORT_WANTS_WRITE ? fd : ARES_SOCKET_BAD;
    struct asker *a;
    r->receives = RECEIVES_A_TURN;
    TAILQ_FOREACH(a, &r->askers, entry)
    {
        ares_process_fd(a->channel, reads, writes);
    }
}

void resolver_work(struct resolver *r)
{
    struct asker *a;
    TAILQ_FOREACH(a, &r->askers, entry)
    {
        ares_process_fd(a->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
    expire(r);
    struct resolve *l;
    for (int i = 0; i < STEPS_A_TURN && (l = TAILQ_FIRST(&r->due)); i++) {
        go_on(l);
    }
    askers_retire(r);
}

static int until(uint64_t when)
{
    uint64_t now = now_ms();
    return when > now ? (int)(when - now) : 0;
}

static int asker_timeout_ms(const struct asker *a)
{
    struct timeval t;
    if (a->users == 0) {
        return 0;
    }
    if (!ares_timeout(a->channel, NULL, &t)) {
        return -1;
    }
    return (int)(t.tv_sec * 1000 + (t.tv_usec + 999) / 1000);
}

static int sooner(int a, int b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

int resolver_timeout_ms(struct resolver *r)
{
    if (!TAILQ_EMPTY(&r->due)) {
        return 0;
    }
    int best = -1;
    const struct asker *a;
    TAILQ_FOREACH(a, &r->askers, entry)
    {
        best = sooner(best, asker_timeout_ms(a));
    }
    const struct resolve *l;
    TAILQ_FOREACH(l, &r->asking, entry)
    {
        best = sooner(best, until(l->deadline));
    }
    return best;
}

/* A service's name stands before that of the host; one that is too long has no records. */
static void set_service(struct resolve *l, const struct resolve_ask *ask)
{
    int n = ask->host[0] == '_' ? snprintf(l->service, sizeof(l->service), "%s", ask->host)
            : ask->service
                ? snprintf(l->service, sizeof(l->service), "%s.%s", ask->service, ask->host)
                : 0;
    l->wants_service = n > 0 && n < (int)sizeof(l->service) && host_is_name(l->service);
}

enum err resolve_start(struct resolver *r, const struct resolve_ask *ask, struct resolve **out)
{
    struct addresses literal = {0};
    if (!host_is_name(ask->host) && !addresses_parse(&literal, ask->host, AF_UNSPEC)) {
        return ERR_INVAL;
    }
    struct resolve *l = mem_zalloc(sizeof(*l));
    if (!l) {
        return ERR_NOMEM;
    }
    l->resolver = r;
    l->family = ask->family;
    l->port = ask->port;
    l->done = ask->done;
    l->ctx = ask->ctx;
    (void)snprintf(l->host, sizeof(l->host), "%s", ask->host);
    set_service(l, ask);
    LIST_INIT(&l->questions);
    enter_list(l, true);
    *out = l;
    return ERR_OK;
}

void resolve_cancel(struct resolve *l)
{
    if (!l->is_busy) {
        look_free(l);
    }
}
