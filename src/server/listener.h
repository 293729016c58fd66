/*
 * Listening sockets: opening them, accepting within limits, changing over to others while the
 * broker runs, and living without free descriptors.
 *
 * Opening has two steps, so that privileges can be given up between them: what must be bound as
 * root, and listening, when the broker is ready.
 */
#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H

#include "base/log.h"
#include "conf/conf.h"
#include "server/door.h"
#include "server/link.h"
#include "server/listen.h"
#include "server/poll.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Another configuration on its way in. */
struct listener_plan {
    uint16_t *groups;           /* of its listeners, in their order; NULL: there is no plan */
    size_t count;               /* of these that are known so far */
    size_t size;                /* of all */
    struct listener_list fresh; /* sockets that are new */
};

struct listeners {
    struct listener_list list;
    struct listener_plan plan;
    const struct log *log;
    struct poll *poll;
    struct door *door;
    bool ready;          /* one of them is */
    uint64_t refused_ms; /* when there was no descriptor last, monotonic; 0 = never */
    bool resting;        /* not watched, because accepting fails and waiting is all that helps */
    uint64_t rest_ms;    /* until then */
    uint8_t watch_kind;
};

/* What it is given must outlive it. listeners_close() is due in any case. */
void listeners_init(struct listeners *ls, struct poll *poll, struct door *door,
                    const struct log *log, uint8_t watch_kind);
/*
 * Bind all listeners of the configuration, saying so for each; what cannot be done is an error on
 * the log. ERR_SYSTEM or ERR_NOMEM. Unix sockets listen from here on, but nobody is accepted.
 */
MUST_CHECK enum err listeners_bind(struct listeners *ls, const struct conf *conf);
/* Give the files of Unix sockets to this user and group, whose process is to remove them. */
void listeners_give(const struct listeners *ls, uid_t user, gid_t group);
/* Let clients in. ERR_SYSTEM: said on the log. */
MUST_CHECK enum err listeners_listen(struct listeners *ls);
/* Nobody comes in any more. Removes the files of Unix sockets. */
void listeners_close(struct listeners *ls);

/*
 * Change over to another configuration. listeners_prepare() opens what is new; it logs what cannot
 * be done, and then nothing has changed, as after listeners_rollback(), which may be called in any
 * case. listeners_commit() cannot fail: it closes what is not wanted any more, whose connections
 * stay, and puts the new rules in force. No turn of the loop may come between these.
 */
MUST_CHECK enum err listeners_prepare(struct listeners *ls, const struct conf *fresh);
void listeners_commit(struct listeners *ls, const struct conf *fresh);
void listeners_rollback(struct listeners *ls);
/* Let others have the descriptors that are kept in reserve, and take them back. */
void listeners_lend_reserve(struct listeners *ls);
void listeners_keep_reserve(struct listeners *ls);

/* Its watch has been reported. */
void listener_ready(struct listeners *ls, struct watch *w);
/*
 * Accept some connections where that was reported. To be called when the other events have been
 * served: whoever left before these came has then made room for them.
 */
void listeners_accept(struct listeners *ls, struct links *links);
/* Watch again after a rest; to be called once in a turn. */
void listeners_wake(struct listeners *ls, uint64_t now_ms);
/* When listeners_wake() has something to do, monotonic ms; UINT64_MAX = never. */
uint64_t listeners_deadline(const struct listeners *ls);

#endif
