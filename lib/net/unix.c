/*
 * Listening at a path.
 *
 * A file that a dead program left behind cannot be bound to, and does not say that it is left
 * behind: only connecting tells. So a socket here listens as soon as it is bound: between the two
 * it would look dead to others.
 */
#include "net/unix.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Somebody may remove the file while we look at it: then look again, but not for ever. */
#define ATTEMPTS 3

size_t unix_path_max(void)
{
    struct sockaddr_un un;
    return sizeof(un.sun_path) - 1;
}

static bool find_file(const char *path, struct stat *st, struct unix_file *file)
{
    if (lstat(path, st) != 0) {
        return false;
    }
    *file = (struct unix_file){.device = st->st_dev, .inode = st->st_ino};
    return true;
}

void unix_remove(const char *path, const struct unix_file *file)
{
    struct stat st;
    struct unix_file now;
    if (find_file(path, &st, &now) && S_ISSOCK(st.st_mode) && now.device == file->device &&
        now.inode == file->inode) {
        (void)unlink(path);
    }
}

static int stream_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* Why connecting there fails, as errno; 0: it does not. A full queue is a sign of life. */
static int ask(const struct sockaddr_un *un)
{
    int s = stream_socket();
    if (s < 0) {
        return errno;
    }
    int why = connect(s, (const struct sockaddr *)un, sizeof(*un)) == 0 ? 0 : errno;
    (void)close(s);
    return why == EAGAIN ? 0 : why;
}

/* The path is taken. ERR_OK: it was, by a dead socket. */
static enum err make_room(const struct sockaddr_un *un)
{
    struct stat st;
    struct unix_file file;
    if (!find_file(un->sun_path, &st, &file)) {
        return errno == ENOENT ? ERR_OK : ERR_SYSTEM;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return ERR_INVAL;
    }
    int why = ask(un);
    switch (why) {
    case 0:
        return ERR_EXISTS;
    case EPROTOTYPE:
        return ERR_INVAL;
    case ENOENT:
        return ERR_OK;
    case ECONNREFUSED:
        unix_remove(un->sun_path, &file);
        return ERR_OK;
    default:
        errno = why;
        return ERR_SYSTEM;
    }
}

static enum err bind_path(int fd, const struct sockaddr_un *un)
{
    for (int i = 0; i < ATTEMPTS; i++) {
        if (bind(fd, (const struct sockaddr *)un, sizeof(*un)) == 0) {
            return ERR_OK;
        }
        if (errno != EADDRINUSE) {
            return ERR_SYSTEM;
        }
        enum err e = make_room(un);
        if (e != ERR_OK) {
            return e;
        }
    }
    errno = EADDRINUSE;
    return ERR_SYSTEM;
}

static enum err listen_at(int fd, const struct sockaddr_un *un, struct unix_file *file)
{
    enum err e = bind_path(fd, un);
    if (e != ERR_OK) {
        return e;
    }
    struct stat st;
    if (!find_file(un->sun_path, &st, file)) {
        return ERR_SYSTEM;
    }
    if (listen(fd, SOMAXCONN) != 0) {
        int why = errno;
        unix_remove(un->sun_path, file);
        errno = why;
        return ERR_SYSTEM;
    }
    return ERR_OK;
}

enum err unix_listen(const char *path, struct unix_file *file, int *fd)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length > unix_path_max()) {
        return ERR_TOO_LARGE;
    }
    memcpy(un.sun_path, path, length);
    int s = stream_socket();
    if (s < 0) {
        return ERR_SYSTEM;
    }
    enum err e = listen_at(s, &un, file);
    if (e == ERR_OK) {
        *fd = s;
        return e;
    }
    int why = errno;
    (void)close(s);
    errno = why;
    return e;
}
