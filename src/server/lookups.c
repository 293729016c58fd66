/*
 * The resolver's sockets among the loop's.
 *
 * The resolver says which of its descriptors it wants to be polled, and we give each a watch. Who
 * comes first has the resolver made: most brokers never look up anything.
 */
#include "server/lookups.h"

#include "base/mem.h"
#include "net/transport.h"

/* A descriptor of the resolver's. */
struct name_socket {
    TAILQ_ENTRY(name_socket) entry;
    struct watch watch;
};

static struct name_socket *find_socket(struct lookups *ls, int fd)
{
    struct name_socket *s;
    TAILQ_FOREACH(s, &ls->sockets, entry)
    {
        if (s->watch.fd == fd) {
            return s;
        }
    }
    return NULL;
}

static struct name_socket *add_socket(struct lookups *ls, int fd, unsigned interest)
{
    struct name_socket *s = mem_alloc(sizeof(*s));
    if (!s) {
        return NULL;
    }
    s->watch = (struct watch){.fd = fd, .kind = ls->use.watch_kind};
    if (poll_add(ls->use.poll, &s->watch, interest) != ERR_OK) {
        mem_free(s, sizeof(*s));
        return NULL;
    }
    TAILQ_INSERT_TAIL(&ls->sockets, s, entry);
    return s;
}

/*
 * For struct resolver_poll. What cannot be watched is not heard of: then the look-up runs into its
 * time limit. Events of this turn may still name a socket that goes, so it stays a while.
 */
static void watch_socket(void *lookups, int fd, unsigned wants)
{
    struct lookups *ls = lookups;
    struct name_socket *s = find_socket(ls, fd);
    unsigned interest = (wants & TRANSPORT_WANTS_READ ? (unsigned)POLL_IN : 0U) |
                        (wants & TRANSPORT_WANTS_WRITE ? (unsigned)POLL_OUT : 0U);
    if (s && wants) {
        (void)!poll_change(ls->use.poll, &s->watch, interest);
    } else if (s) {
        s->watch.fd = -1;
        ls->closed_sockets = true;
    } else if (wants) {
        (void)add_socket(ls, fd, interest);
    }
}

void lookups_init(struct lookups *ls, const struct lookups_setup *setup)
{
    *ls = (struct lookups){.use = *setup, .due_ms = UINT64_MAX};
    TAILQ_INIT(&ls->sockets);
}

void lookups_clear(struct lookups *ls)
{
    resolver_free(ls->resolver);
    ls->resolver = NULL;
    lookups_bury(ls);
}

enum err lookups_ask(struct lookups *ls, const struct resolve_ask *ask, struct resolve **out)
{
    const struct resolver_poll poll = {
        .watch = watch_socket, .ctx = ls, .seed = ls->use.seed, .hosts = ls->use.hosts};
    if (!ls->resolver) {
        ls->resolver = resolver_new(&poll);
    }
    return ls->resolver ? resolve_start(ls->resolver, ask, out) : ERR_NOMEM;
}

void lookups_work(struct lookups *ls)
{
    if (ls->due_ms == UINT64_MAX && TAILQ_EMPTY(&ls->sockets)) {
        return;
    }
    ls->due_ms = UINT64_MAX;
    if (ls->resolver) {
        resolver_work(ls->resolver);
    }
}

void lookups_settle(struct lookups *ls, bool wanted, uint64_t now_ms)
{
    bool busy = wanted || !TAILQ_EMPTY(&ls->sockets);
    int ms = busy ? resolver_timeout_ms(ls->resolver) : -1;
    ls->due_ms = ms >= 0 ? now_ms + (uint64_t)ms : UINT64_MAX;
}

void lookups_bury(struct lookups *ls)
{
    struct name_socket *s = TAILQ_FIRST(&ls->sockets);
    if (!ls->closed_sockets) {
        return;
    }
    poll_drop_closed(ls->use.poll);
    while (s) {
        struct name_socket *next = TAILQ_NEXT(s, entry);
        if (s->watch.fd < 0) {
            TAILQ_REMOVE(&ls->sockets, s, entry);
            mem_free(s, sizeof(*s));
        }
        s = next;
    }
    ls->closed_sockets = false;
}

void lookups_ready(struct lookups *ls, const struct watch *w, unsigned events)
{
    unsigned is = (events & POLL_IN ? (unsigned)TRANSPORT_WANTS_READ : 0U) |
                  (events & POLL_OUT ? (unsigned)TRANSPORT_WANTS_WRITE : 0U);
    if (events & POLL_ERROR) {
        is |= TRANSPORT_WANTS_READ | TRANSPORT_WANTS_WRITE;
    }
    resolver_ready(ls->resolver, w->fd, is);
}
