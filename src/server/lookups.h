/*
 * Names to addresses in the loop: a resolver whose descriptors stand among those that the loop
 * polls.
 */
#ifndef SERVER_LOOKUPS_H
#define SERVER_LOOKUPS_H

#include "net/resolve.h"
#include "server/poll.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

/* All of it must outlive the look-ups. */
struct lookups_setup {
    struct poll *poll;
    uint8_t watch_kind; /* of the resolver's descriptors */
    uint64_t seed;      /* chance, for the resolver */
    const char *hosts;  /* for tests: a file instead of /etc/hosts */
};

TAILQ_HEAD(name_socket_list, name_socket);

struct lookups {
    struct lookups_setup use;
    struct resolver *resolver; /* made when there is somebody to look up */
    struct name_socket_list sockets;
    bool closed_sockets; /* there are some among them */
    uint64_t due_ms;     /* when the resolver has something to do; UINT64_MAX: never */
};

void lookups_init(struct lookups *ls, const struct lookups_setup *setup);
/* Look-ups that are under way are cancelled. */
void lookups_clear(struct lookups *ls);
/* As resolve_start(). */
MUST_CHECK enum err lookups_ask(struct lookups *ls, const struct resolve_ask *ask,
                                struct resolve **out);

/* Early in a turn: give the answers that are there. */
void lookups_work(struct lookups *ls);
/* Late in a turn: when the resolver has something to do, of which there is nothing while no name is
 * `wanted` and no socket open. */
void lookups_settle(struct lookups *ls, bool wanted, uint64_t now_ms);
/* Free what watched sockets that are closed. Events of this turn may name them until then. */
void lookups_bury(struct lookups *ls);
/* One of the resolver's descriptors is ready. */
void lookups_ready(struct lookups *ls, const struct watch *w, unsigned events);

#endif
