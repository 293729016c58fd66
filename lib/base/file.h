/*
 * Whole files: read one, replace one so that a reader sees the old or the new, never half.
 */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"

/*
 * Append the whole file to `out`. ERR_SYSTEM (errno is set; a directory gives EISDIR),
 * ERR_TOO_LARGE above `max` bytes, ERR_NOMEM. On error `out` may hold a part.
 */
MUST_CHECK enum err file_read(const char *path, size_t max, struct buf *out);
/*
 * Write a temporary file beside `path`, sync it, rename it over `path`, sync the directory. The
 * mode is 0600 or that of the file it replaces (umask ignored), whose owner and group it gets too
 * where that is permitted (without the group, nothing is permitted to it); a symbolic link is
 * followed. ERR_SYSTEM (errno) leaves the old file untouched and
 * no temporary file behind, unless only the last step, syncing the directory, failed.
 */
MUST_CHECK enum err file_replace(const char *path, struct str bytes);

#endif
