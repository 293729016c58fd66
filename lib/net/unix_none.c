/*
 * The twin of unix.c in a build without Unix sockets.
 */
#include "net/unix.h"

size_t unix_path_max(void)
{
    return 0;
}

enum err unix_listen(const char *path, struct unix_file *file, int *fd)
{
    (void)path;
    (void)file;
    (void)fd;
    return ERR_UNSUPPORTED;
}

void unix_remove(const char *path, const struct unix_file *file)
{
    (void)path;
    (void)file;
}
