/*
 * Look-ups by c-ares, from when they begin until they are answered or out of time.
 * resolve_none.c is the twin that asks the C library.
 *
 * Behind the interface are three rooms: resolve_asker has the channels of c-ares and their sockets,
 * resolve_steps knows what is to be asked, resolve_answers what comes of it.
 */
#include "net/resolve.h"

#include "base/mem.h"
#include "net/resolve_inside.h"

#include <stdio.h>
#include <time.h>

enum { TRY_MS = 2000, STEPS_A_TURN = 8 };

uint64_t resolve_now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
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

void resolve_make_due(struct resolve *l)
{
    leave_list(l);
    enter_list(l, true);
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
        asker_leave(l->asker);
    }
    mem_free(l->targets, l->target_count * sizeof(*l->targets));
    mem_free(l, sizeof(*l));
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

/* Busy until it is freed: so a done() that cancels it does no harm. */
static void give(struct resolve *l)
{
    struct resolve_address addresses[RESOLVE_ADDRESSES_MAX];
    char why[RESOLVE_WHY_MAX] = "";
    struct resolve_answer answer = {.addresses = addresses, .why = why};
    answer.count = gather(l, addresses);
    if (answer.count == 0) {
        resolve_say_why(l, why, sizeof(why));
    }
    l->done(l->ctx, &answer);
    look_free(l);
}

static void go_on(struct resolve *l)
{
    leave_list(l);
    if (resolve_step(l) == ERR_OK) {
        give(l);
    } else {
        enter_list(l, LIST_EMPTY(&l->questions));
    }
}

static void expire(struct resolver *r)
{
    uint64_t now = resolve_now_ms();
    struct resolve *next;
    for (struct resolve *l = TAILQ_FIRST(&r->asking); l; l = next) {
        next = TAILQ_NEXT(l, entry);
        if (now >= l->deadline) {
            forget_questions(l);
            l->is_late = true;
            resolve_make_due(l);
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
    r->askers.watch = poll->watch;
    r->askers.ctx = poll->ctx;
    r->askers.servers = poll->servers;
    r->askers.try_ms = poll->try_ms > 0 ? poll->try_ms : TRY_MS;
    askers_init(&r->askers);
    r->hosts = poll->hosts;
    rng_seed(&r->rng, poll->seed);
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
    askers_retire(&r->askers);
    mem_free(r, sizeof(*r));
}

void resolver_ready(struct resolver *r, int fd, unsigned is)
{
    askers_ready(&r->askers, fd, is);
}

void resolver_work(struct resolver *r)
{
    askers_work(&r->askers);
    expire(r);
    struct resolve *l;
    for (int i = 0; i < STEPS_A_TURN && (l = TAILQ_FIRST(&r->due)); i++) {
        go_on(l);
    }
    askers_retire(&r->askers);
}

static int until(uint64_t when)
{
    uint64_t now = resolve_now_ms();
    return when > now ? (int)(when - now) : 0;
}

int resolver_timeout_ms(struct resolver *r)
{
    if (!TAILQ_EMPTY(&r->due)) {
        return 0;
    }
    int best = askers_timeout_ms(&r->askers);
    const struct resolve *l;
    TAILQ_FOREACH(l, &r->asking, entry)
    {
        best = sooner_ms(best, until(l->deadline));
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
