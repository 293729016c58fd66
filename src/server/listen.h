/*
 * Opening listening sockets: from a listener of the configuration to sockets that are bound, and
 * from there to listening ones. Whatever cannot be done is a line that names the listener and says
 * what would help.
 */
#ifndef SERVER_LISTEN_H
#define SERVER_LISTEN_H

#include "base/log.h"
#include "conf/conf.h"
#include "net/unix.h"
#include "server/poll.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include <sys/types.h>

/* One socket. A listener of the configuration has one for each address that its name stands for. */
struct listener {
    TAILQ_ENTRY(listener) entry;
    struct watch watch;
    uint16_t group; /* at the door: its rules, and how many connections it has */
    uint8_t family; /* 4, 6, or 0 for a Unix socket */
    uint8_t batch;  /* how many to accept at once: adapts to how many come */
    bool listening;
    bool ready;            /* has been reported in this turn */
    struct unix_file file; /* of a Unix socket */
};

TAILQ_HEAD(listener_list, listener);

struct listen_job {
    const struct conf_listener *rules;
    uint16_t group;
    uint8_t watch_kind;
    bool optional; /* sockets of other listeners serve the same clients */
    const struct log *log;
    struct listener_list *into;
};

/*
 * Bind all addresses of one listener, saying so for each. ERR_SYSTEM: an error was logged;
 * ERR_NOMEM. What was bound until then is in the list in any case.
 */
MUST_CHECK enum err listen_bind(const struct listen_job *job);
/* Listen. ERR_SYSTEM: an error was logged. */
MUST_CHECK enum err listen_start(struct listener *l, const struct conf_listener *rules,
                                 const struct log *log);
/* Give the file of a Unix socket, if it still is ours, to this user and group. ERR_SYSTEM: errno,
 * ESTALE if it is not. */
MUST_CHECK enum err listen_give(const struct listener *l, const struct conf_listener *rules,
                                uid_t user, gid_t group);
/* Close the socket, and remove its file if it has one; the listener stays to be freed. */
void listen_close(struct listener *l, const struct conf_listener *rules);

#endif
