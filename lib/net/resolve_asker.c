/*
 * Sockets are made and read by functions of our own: no program that we start inherits one, and
 * who floods us does not make a turn longer.
 *
 * ares_library_init() is not called: outside Windows it only counts its calls, and that without a
 * lock, while resolvers may be made by several threads.
 */
#include "net/resolve_asker.h"

#include "base/mem.h"
#include "net/transport.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    TRIES = 2,             /* of each name server */
    CHANNEL_AGE_MS = 5000, /* then new look-ups get a new channel */
    RECEIVES_A_TURN = 32,  /* datagrams: who floods us waits for the next turn */
};

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
    struct askers *all = ctx;
    if (all->receives <= 0) {
        errno = EWOULDBLOCK;
        return -1;
    }
    all->receives--;
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
    struct askers *all = ctx;
    unsigned wants = (reads ? (unsigned)TRANSPORT_WANTS_READ : 0) |
                     (writes ? (unsigned)TRANSPORT_WANTS_WRITE : 0);
    all->watch(all->ctx, fd, wants);
}

/* ---- Channels ---- */

static int open_channel(struct askers *all, ares_channel *channel)
{
    static const struct ares_socket_functions sockets = {
        .asocket = open_socket,
        .aclose = close_socket,
        .aconnect = connect_socket,
        .arecvfrom = receive,
        .asendv = send_pieces,
    };
    struct ares_options options = {
        .timeout = (int)all->try_ms,
        .tries = TRIES,
        .sock_state_cb = on_socket,
        .sock_state_cb_data = all,
    };
    int status = ares_init_options(channel, &options,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) {
        return status;
    }
    ares_set_socket_functions(*channel, &sockets, all);
    if (all->servers) {
        status = ares_set_servers_ports_csv(*channel, all->servers);
    }
    if (status != ARES_SUCCESS) {
        ares_destroy(*channel);
    }
    return status;
}

static int asker_new(struct askers *all, uint64_t now, struct asker **out)
{
    struct asker *a = mem_zalloc(sizeof(*a));
    if (!a) {
        return ARES_ENOMEM;
    }
    a->all = all;
    a->born = now;
    int status = open_channel(all, &a->channel);
    if (status != ARES_SUCCESS) {
        mem_free(a, sizeof(*a));
        return status;
    }
    TAILQ_INSERT_HEAD(&all->list, a, entry);
    *out = a;
    return ARES_SUCCESS;
}

static void asker_free(struct asker *a)
{
    TAILQ_REMOVE(&a->all->list, a, entry);
    ares_destroy(a->channel);
    mem_free(a, sizeof(*a));
}

/* ---- Their lives ---- */

void askers_init(struct askers *all)
{
    TAILQ_INIT(&all->list);
}

int asker_take(struct askers *all, uint64_t now_ms, struct asker **out)
{
    struct asker *a = TAILQ_FIRST(&all->list);
    if (!a || now_ms - a->born >= CHANNEL_AGE_MS) {
        int status = asker_new(all, now_ms, &a);
        if (status != ARES_SUCCESS) {
            return status;
        }
    }
    a->users++;
    *out = a;
    return ARES_SUCCESS;
}

void asker_leave(struct asker *a)
{
    a->users--;
}

void askers_retire(struct askers *all)
{
    struct asker *next;
    for (struct asker *a = TAILQ_FIRST(&all->list); a; a = next) {
        next = TAILQ_NEXT(a, entry);
        if (a->users == 0) {
            asker_free(a);
        }
    }
}

/* ---- Their work ---- */

void askers_ready(struct askers *all, int fd, unsigned is)
{
    ares_socket_t reads = is & TRANSPORT_WANTS_READ ? fd : ARES_SOCKET_BAD;
    ares_socket_t writes = is & TRANSPORT_WANTS_WRITE ? fd : ARES_SOCKET_BAD;
    struct asker *a;
    all->receives = RECEIVES_A_TURN;
    TAILQ_FOREACH(a, &all->list, entry)
    {
        ares_process_fd(a->channel, reads, writes);
    }
}

void askers_work(struct askers *all)
{
    struct asker *a;
    TAILQ_FOREACH(a, &all->list, entry)
    {
        ares_process_fd(a->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
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

int askers_timeout_ms(const struct askers *all)
{
    int best = -1;
    const struct asker *a;
    TAILQ_FOREACH(a, &all->list, entry)
    {
        best = sooner_ms(best, asker_timeout_ms(a));
    }
    return best;
}
