/*
 * A password file that is to be changed: locked against others who do the same, and replaced whole.
 */
#ifndef TOOLS_PASSWD_FILE_H
#define TOOLS_PASSWD_FILE_H

#include "base/buf.h"

#include <stdbool.h>

#define PASSWD_FILE_MAX (64U << 20) /* bytes, as the broker has it */

struct passwd_file {
    const char *path;
    int fd; /* holds the lock */
    bool made;
    bool written;
};

/* What goes wrong here has been said on standard error, but that there is no memory. */

/*
 * Open and lock it, after anybody else who has it; `create`: it need not be there. Follows symbolic
 * links. ERR_SYSTEM.
 */
MUST_CHECK enum err passwd_file_open(const char *path, bool create, struct passwd_file *f);
/* What stands in it, appended. ERR_SYSTEM, ERR_TOO_LARGE, ERR_NOMEM. */
MUST_CHECK enum err passwd_file_read(const struct passwd_file *f, struct buf *text);
/*
 * This instead of `before`: by a temporary file and a rename, with owner and mode as they were; in
 * place where no such file can be made or renamed, as with a file that is mounted by itself.
 * ERR_SYSTEM: it is as it was.
 */
MUST_CHECK enum err passwd_file_write(struct passwd_file *f, struct str before, struct str text);
/* Unlock it. A file that was made and never written goes. */
void passwd_file_close(struct passwd_file *f);

#endif
