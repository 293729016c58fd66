/*
 * From root to somebody who may do less.
 *
 * A broker that is started as root takes what only root can take (ports below 1024, the log and pid
 * files, the store's directory) and then becomes an ordinary user for good. A broker that is not
 * started as root stays who it is.
 */
#ifndef SERVER_PRIVILEGES_H
#define SERVER_PRIVILEGES_H

#include "base/base.h"
#include "base/err.h"
#include "base/log.h"
#include "conf/conf.h"

#include <stdbool.h>
#include <sys/types.h>

#define PRIVILEGES_NAME_MAX 64

struct privileges {
    bool drop; /* we are root, and are to become another */
    uid_t uid; /* who we are to be; where nothing changes: who we are */
    gid_t gid;
    char name[PRIVILEGES_NAME_MAX]; /* of the account; "" = a number without one */
};

/* Is there a user of this name? For who is not root: true, because nobody asks. */
bool privileges_is_user(const char *name);
/*
 * Whom to become: PUID and PGID of the environment, else the `user` of the configuration, else
 * mosquitto, else nobody. Changes nothing. ERR_INVAL: there is no such user, or a number that is
 * none; an error has been logged.
 */
MUST_CHECK enum err privileges_find(const struct conf_global *g, const struct log *log,
                                    struct privileges *out);
/* Become that, for good, and log who we are. ERR_SYSTEM: an error was logged; the process must end.
 */
MUST_CHECK enum err privileges_drop(const struct privileges *p, const struct log *log);
/* From now on nobody but root can look into this process, and it leaves no core behind: it holds
 * keys.
 */
void privileges_close_memory(const struct log *log);
/*
 * Before the drop: have `work` done as the user that we are to become, in a process of its own that
 * can change nothing here but the files that `ctx` has open. What it logs is logged here. Returns
 * what `work` returned; ERR_SYSTEM, with an error on the log, if it could not be done.
 */
MUST_CHECK enum err privileges_do_as(const struct privileges *p, const struct log *log,
                                     enum err (*work)(void *ctx, const struct log *log), void *ctx);

#endif
