/*
 * Listening at a path: sockets of the Unix family.
 */
#ifndef NET_UNIX_H
#define NET_UNIX_H

#include "base/base.h"
#include "base/err.h"

#include <stddef.h>
#include <sys/types.h>

/* A socket's file that we made, so that it can be told from another one's at the same path. */
struct unix_file {
    dev_t device;
    ino_t inode;
};

/* The longest path in bytes; 0: this build has no Unix sockets. */
size_t unix_path_max(void);
/*
 * Listen at this path without blocking; who may connect is for the umask to say. The file of a
 * socket that nobody serves any more is replaced, anything else is left alone. ERR_TOO_LARGE: the
 * path is too long; ERR_EXISTS: a program listens there; ERR_INVAL: what is there is no stream
 * socket; ERR_UNSUPPORTED: not in this build; ERR_SYSTEM with errno.
 */
MUST_CHECK enum err unix_listen(const char *path, struct unix_file *file, int *fd);
/* Remove the file, if it still is this one. */
void unix_remove(const char *path, const struct unix_file *file);

#endif
