/*
 * The file that holds our process id, for scripts that send signals.
 */
#ifndef SERVER_PIDFILE_H
#define SERVER_PIDFILE_H

#include "base/base.h"
#include "base/err.h"
#include "base/log.h"
#include "server/privileges.h"

struct pidfile {
    char *path; /* NULL = none */
    int fd;
};

/*
 * Write our process id; NULL is allowed. As root: the file is given to the user that we are to
 * become. A number that stood there is replaced, but a link is not followed, and what is no plain
 * file or holds something else is left alone. ERR_SYSTEM: an error was logged; ERR_NOMEM.
 */
MUST_CHECK enum err pidfile_write(struct pidfile *f, const char *path, const struct privileges *who,
                                  const struct log *log);
/* If the file is still ours. Where it cannot be removed it is emptied, so that nobody takes the
 * number for a running broker's. */
void pidfile_remove(struct pidfile *f);

#endif
