/*
 * The resolver's sockets among the loop's.
 *
 * The resolver says which of its descriptors it wants to be polled, and we give each a watch. Who
 * comes first has the resolver made: most brokers never look up anything.
 */
#include "server/names.h"

#include "base/mem.h"
#include "net/transport.h"

/* A descriptor of the resolver's. */
struct name_socket {
    TAILQ_ENTRY(name_socket) entry;
    struct watch watch;
};

static struct name_socket *find_socket(struct names *n, int fd)
{
    struct name_socket *s;
    TAILQ_FOREACH(s, &n->sockets, entry)
    {
        if (s->watch.fd == fd) {
            return s;
        }
    }
    return NULL;
}

static struct name_socket *add_socket(struct names *n, int fd, unsigned interest)
{
    struct name_socket *s = mem_alloc(sizeof(*s));
    if (!s) {
        return NULL;
    }
    s->watch = (struct watch){.fd = fd, .kind = n->use.watch_kind};
    if (poll_add(n->use.poll, &s->watch, interest) != ERR_OK) {
        mem_free(s, sizeof(*s));
        return NULL;
    }
    TAILQ_INSERT_TAIL(&n->sockets, s, entry);
    return s;
}

/*
 * For struct resolver_poll. What cannot be watched is not heard of: then the look-up runs into its
 * time limit. Events of this turn may still name a socket that goes, so it stays a while.
 */
static void watch_socket(void *names, int fd, unsigned wants)
{
    struct names *n = names;
    struct name_socket *s = find_socket(n, fd);
    unsigned interest = (wants & TRANSPORT_WANTS_READ ? (unsigned)POLL_IN : 0U) |
                        (wants & TRANSPORT_WANTS_WRITE ? (unsigned)POLL_OUT : 0U);
    if (s && wants) {
        (void)!poll_change(n->use.poll, &s->watch, interest);
    } else if (s) {
        s->watch.fd = -1;
        n->closed_sockets = true;
    } else if (wants) {
        (void)add_socket(n, fd, interest);
    }
}

void names_init(struct names *n, const struct names_setup *setup)
{
    *n = (struct names){.use = *setup, .due_ms = UINT64_MAX};
    TAILQ_INIT(&n->sockets);
}

void names_clear(struct names *n)
{
    resolver_free(n->resolver);
    n->resolver = NULL;
    names_bury(n);
}

enum err names_look_up(struct names *n, const struct resolve_ask *ask, struct resolve **out)
{
    const struct resolver_poll poll = {
        .watch = watch_socket, .ctx = n, .seed = n->use.seed, .hosts = n->use.hosts};
    if (!n->resolver) {
        n->resolver = resolver_new(&poll);
    }
    return n->resolver ? resolve_start(n->resolver, ask, out) : ERR_NOMEM;
}

void names_work(struct names *n)
{
    if (n->due_ms == UINT64_MAX && TAILQ_EMPTY(&n->sockets)) {
        return;
    }
    n->due_ms = UINT64_MAX;
    if (n->resolver) {
        resolver_work(n->resolver);
    }
}

void names_settle(struct names *n, bool wanted, uint64_t now_ms)
{
    bool busy = wanted || !TAILQ_EMPTY(&n->sockets);
    int ms = busy ? resolver_timeout_ms(n->resolver) : -1;
    n->due_ms = ms >= 0 ? now_ms + (uint64_t)ms : UINT64_MAX;
}

void names_bury(struct names *n)
{
    struct name_socket *s = TAILQ_FIRST(&n->sockets);
    if (!n->closed_sockets) {
        return;
    }
    poll_drop_closed(n->use.poll);
    while (s) {
        struct name_socket *next = TAILQ_NEXT(s, entry);
        if (s->watch.fd < 0) {
            TAILQ_REMOVE(&n->sockets, s, entry);
            mem_free(s, sizeof(*s));
        }
        s = next;
    }
    n->closed_sockets = false;
}

void names_ready(struct names *n, const struct watch *w, unsigned events)
{
    unsigned is = (events & POLL_IN ? (unsigned)TRANSPORT_WANTS_READ : 0U) |
                  (events & POLL_OUT ? (unsigned)TRANSPORT_WANTS_WRITE : 0U);
    if (events & POLL_ERROR) {
        is |= TRANSPORT_WANTS_READ | TRANSPORT_WANTS_WRITE;
    }
    resolver_ready(n->resolver, w->fd, is);
}
