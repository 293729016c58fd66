/*
 * Look-ups by the C library, which waits: so each has a thread, and so many are at work at once.
 * SRV records are beyond it: a host is taken for one that has none. resolve.c is the twin that asks
 * by c-ares.
 *
 * A thread touches its errand, and a mailbox where it leaves it when it is done. Nothing can make
 * it stop sooner: a look-up that is cancelled or out of time forgets its errand, which is freed
 * when it comes back; and when the resolver is gone by then, the last thread frees the mailbox.
 */
#include "net/resolve.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/hosts.h"
#include "net/transport.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

enum {
    LIMIT_MS = 10000,
    LIMIT_TRIES = 5, /* the same in terms of resolver_poll.try_ms */
    STEPS_A_TURN = 8,
    THREADS_MAX = 16,
    STACK_SIZE = 256 * 1024
};

struct errand {
    SLIST_ENTRY(errand) entry;
    struct resolve *look; /* the loop's: NULL when nobody waits for it any more */
    struct mailbox *mailbox;
    struct addrinfo *found; /* from here on the thread's, until it is in the mailbox */
    int error;              /* of getaddrinfo() */
    int system_error;
    int family;
    char host[HOST_NAME_LENGTH + 2];
};

SLIST_HEAD(errands, errand);

struct mailbox {
    pthread_mutex_t lock;
    struct errands done;
    size_t holders; /* the resolver and each thread */
    int bell;       /* rings when there is something; an eventfd */
};

struct resolve {
    TAILQ_ENTRY(resolve) entry;
    struct resolver *resolver;
    struct errand *errand; /* NULL: none is under way */
    uint64_t deadline;
    bool is_due;
    bool is_busy;
    bool is_late;
    bool is_begun;
    int family;
    uint16_t port;
    const char *why; /* it has failed */
    struct addresses found;
    void (*done)(void *ctx, const struct resolve_answer *a);
    void *ctx;
    char host[HOST_NAME_LENGTH + 2];
};

TAILQ_HEAD(looks, resolve);

struct resolver {
    struct resolver_poll poll;
    struct mailbox *mailbox; /* NULL until it is needed */
    size_t threads;
    struct looks due;
    struct looks asking;
};

static uint64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- The mailbox ---- */

static struct mailbox *mailbox_new(void)
{
    struct mailbox *m = mem_zalloc(sizeof(*m));
    if (!m) {
        return NULL;
    }
    m->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (m->bell < 0 || pthread_mutex_init(&m->lock, NULL) != 0) {
        if (m->bell >= 0) {
            (void)close(m->bell);
        }
        mem_free(m, sizeof(*m));
        return NULL;
    }
    SLIST_INIT(&m->done);
    m->holders = 1;
    return m;
}

static void errand_free(struct errand *e)
{
    if (e->found) {
        freeaddrinfo(e->found);
    }
    mem_free(e, sizeof(*e));
}

static struct errands mailbox_empty(struct mailbox *m)
{
    (void)pthread_mutex_lock(&m->lock);
    struct errands done = m->done;
    SLIST_INIT(&m->done);
    (void)pthread_mutex_unlock(&m->lock);
    return done;
}

/*
 * With an errand to be left there, or NULL. The last one clears the mailbox away, with what came
 * too late. All in one go under the lock: who has left does not touch it any more, so that once
 * each errand is back it is the resolver that is the last.
 */
static void mailbox_leave(struct mailbox *m, struct errand *left)
{
    static const uint64_t one = 1;
    (void)pthread_mutex_lock(&m->lock);
    if (left) {
        SLIST_INSERT_HEAD(&m->done, left, entry);
        ssize_t rung = write(m->bell, &one, sizeof(one));
        (void)rung; /* it can only fail when it rings already */
    }
    size_t holders = --m->holders;
    (void)pthread_mutex_unlock(&m->lock);
    if (holders > 0) {
        return;
    }
    struct errands done = m->done;
    struct errand *e;
    while ((e = SLIST_FIRST(&done))) {
        SLIST_REMOVE_HEAD(&done, entry);
        errand_free(e);
    }
    (void)close(m->bell);
    (void)pthread_mutex_destroy(&m->lock);
    mem_free(m, sizeof(*m));
}

/* ---- The threads ---- */

static void *run(void *ctx)
{
    struct errand *e = ctx;
    const struct addrinfo hints = {.ai_family = e->family, .ai_socktype = SOCK_STREAM};
    e->error = getaddrinfo(e->host, NULL, &hints, &e->found);
    e->system_error = errno;
    mailbox_leave(e->mailbox, e);
    return NULL;
}

/* No signal is for this thread: a new one has the mask of who made it. */
static int start_thread(struct errand *e)
{
    pthread_attr_t how;
    pthread_t id;
    sigset_t all;
    sigset_t before;
    int error = pthread_attr_init(&how);
    if (error != 0) {
        return error;
    }
    (void)pthread_attr_setdetachstate(&how, PTHREAD_CREATE_DETACHED);
    (void)pthread_attr_setstacksize(&how, STACK_SIZE);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&id, &how, run, e);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&how);
    return error;
}

static void hold(struct mailbox *m)
{
    (void)pthread_mutex_lock(&m->lock);
    m->holders++;
    (void)pthread_mutex_unlock(&m->lock);
}

/* What is wrong, or NULL. */
static const char *send_errand(struct resolve *l)
{
    struct resolver *r = l->resolver;
    struct errand *e = mem_zalloc(sizeof(*e));
    if (!e) {
        return err_word(ERR_NOMEM);
    }
    e->look = l;
    e->mailbox = r->mailbox;
    e->family = l->family;
    memcpy(e->host, l->host, sizeof(e->host));
    hold(r->mailbox);
    if (start_thread(e) != 0) {
        mailbox_leave(r->mailbox, NULL);
        errand_free(e);
        return "there is no thread for the look-up";
    }
    l->errand = e;
    r->threads++;
    return NULL;
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

static void forget_errand(struct resolve *l)
{
    if (l->errand) {
        l->errand->look = NULL;
        l->errand = NULL;
    }
}

static void look_free(struct resolve *l)
{
    leave_list(l);
    forget_errand(l);
    mem_free(l, sizeof(*l));
}

/* ---- Answers ---- */

static void take_found(struct resolve *l, const struct addrinfo *found)
{
    for (const struct addrinfo *a = found; a; a = a->ai_next) {
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        if (a->ai_family == AF_INET) {
            memcpy(&in, a->ai_addr, sizeof(in));
            addresses_add(&l->found, AF_INET, &in.sin_addr, 0);
        } else if (a->ai_family == AF_INET6) {
            memcpy(&in6, a->ai_addr, sizeof(in6));
            addresses_add(&l->found, AF_INET6, &in6.sin6_addr, in6.sin6_scope_id);
        }
    }
}

static const char *error_words(const struct errand *e)
{
    switch (e->error) {
    case EAI_NONAME:
        return "there is no such name";
    case EAI_NODATA:
        return addresses_none(e->family);
    case EAI_AGAIN:
        return "no name server answers";
    case EAI_MEMORY:
        return err_word(ERR_NOMEM);
    case EAI_SYSTEM:
        return strerror(e->system_error);
    default:
        return gai_strerror(e->error);
    }
}

static void take_errand(struct errand *e)
{
    struct resolve *l = e->look;
    if (!l) {
        return;
    }
    l->errand = NULL;
    if (e->error == 0) {
        take_found(l, e->found);
    } else {
        l->why = error_words(e);
    }
    leave_list(l);
    enter_list(l, true);
}

static void collect(struct resolver *r)
{
    if (!r->mailbox) {
        return;
    }
    struct errands done = mailbox_empty(r->mailbox);
    struct errand *e;
    while ((e = SLIST_FIRST(&done))) {
        SLIST_REMOVE_HEAD(&done, entry);
        take_errand(e);
        errand_free(e);
        r->threads--;
    }
}

/* ---- Steps of one look-up ---- */

static bool find_here(struct resolve *l)
{
    if (addresses_parse(&l->found, l->host, l->family)) {
        return true;
    }
    return hosts_find(l->resolver->poll.hosts, l->host, l->family, &l->found) == ERR_OK;
}

/* What is wrong, or NULL: there is a mailbox. */
static const char *need_mailbox(struct resolver *r)
{
    if (!r->mailbox) {
        r->mailbox = mailbox_new();
        if (!r->mailbox) {
            return err_word(ERR_NOMEM);
        }
        r->poll.watch(r->poll.ctx, r->mailbox->bell, TRANSPORT_WANTS_READ);
    }
    return NULL;
}

/* Is this all that will be known? */
static bool begin(struct resolve *l)
{
    struct resolver *r = l->resolver;
    l->is_begun = true;
    l->deadline =
        now_ms() + (r->poll.try_ms > 0 ? (uint64_t)LIMIT_TRIES * r->poll.try_ms : LIMIT_MS);
    if (find_here(l)) {
        return true;
    }
    l->why =
        l->host[0] == '_' ? "SRV records need a broker that was built WITH_SRV" : need_mailbox(r);
    return l->why != NULL;
}

static void give(struct resolve *l)
{
    struct resolve_address addresses[RESOLVE_ADDRESSES_MAX];
    struct resolve_answer answer = {.addresses = addresses, .why = ""};
    answer.count = addresses_count(&l->found);
    for (size_t i = 0; i < answer.count; i++) {
        addresses_get(&l->found, i, l->port, &addresses[i].sa, &addresses[i].length);
    }
    if (answer.count == 0) {
        answer.why = l->is_late ? "the name servers have not answered in time"
                     : l->why   ? l->why
                                : addresses_none(l->family);
    }
    l->done(l->ctx, &answer);
    look_free(l);
}

static void go_on(struct resolve *l)
{
    bool first = !l->is_begun;
    leave_list(l);
    if (!first || begin(l)) {
        give(l);
    } else {
        enter_list(l, false);
    }
}

/* Those that wait for a thread and have none. */
static void dispatch(struct resolver *r)
{
    struct resolve *next;
    for (struct resolve *l = TAILQ_FIRST(&r->asking); l && r->threads < THREADS_MAX; l = next) {
        next = TAILQ_NEXT(l, entry);
        if (!l->errand) {
            l->why = send_errand(l);
        }
        if (l->why) {
            leave_list(l);
            enter_list(l, true);
        }
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
            forget_errand(l);
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
    TAILQ_INIT(&r->due);
    TAILQ_INIT(&r->asking);
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
    collect(r);
    if (r->mailbox) {
        r->poll.watch(r->poll.ctx, r->mailbox->bell, TRANSPORT_WANTS_NOTHING);
        mailbox_leave(r->mailbox, NULL);
    }
    mem_free(r, sizeof(*r));
}

void resolver_ready(struct resolver *r, int fd, unsigned is)
{
    uint64_t rings;
    (void)is;
    if (r->mailbox && fd == r->mailbox->bell) {
        ssize_t n = read(fd, &rings, sizeof(rings));
        (void)n; /* the mailbox says what there is */
    }
}

void resolver_work(struct resolver *r)
{
    collect(r);
    expire(r);
    struct resolve *l;
    for (int i = 0; i < STEPS_A_TURN && (l = TAILQ_FIRST(&r->due)); i++) {
        go_on(l);
    }
    dispatch(r);
}

int resolver_timeout_ms(struct resolver *r)
{
    if (!TAILQ_EMPTY(&r->due)) {
        return 0;
    }
    uint64_t first = UINT64_MAX;
    const struct resolve *l;
    TAILQ_FOREACH(l, &r->asking, entry)
    {
        first = earlier(first, l->deadline);
    }
    uint64_t now = now_ms();
    return first == UINT64_MAX ? -1 : first > now ? (int)(first - now) : 0;
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
