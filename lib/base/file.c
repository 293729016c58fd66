/*
 * Whole files.
 *
 * Replacing goes by a temporary file in the same directory: synced, renamed, the directory synced.
 * A power cut leaves the old file or the new one.
 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_STEP 65536

/* Close what is of no more use, and keep the errno of what went wrong before. */
static void close_quietly(int fd)
{
    int saved = errno;

    (void)close(fd);
    errno = saved;
}

/* One read into the buffer's room: ERR_OK with *got = 0 at the end of the file. */
static enum err read_step(int fd, struct buf *out, size_t want, size_t *got)
{
    ssize_t n;

    if (buf_reserve(out, want) != ERR_OK)
        return ERR_NOMEM;
    do {
        n = read(fd, buf_end(out), want);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return ERR_SYSTEM;
    buf_added(out, (size_t)n);
    *got = (size_t)n;
    return ERR_OK;
}

/*
 * Read to the end, whatever size was announced: a pipe announces none, and a file may grow
 * meanwhile.
 */
static enum err read_all(int fd, size_t max, struct buf *out)
{
    size_t total = 0;
    size_t got = 0;

    do {
        size_t left = max - total;
        enum err err = read_step(fd, out, left < READ_STEP ? left + 1 : READ_STEP, &got);

        if (err != ERR_OK)
            return err;
        if (got > left)
            return ERR_TOO_LARGE;
        total += got;
    } while (got > 0);
    return ERR_OK;
}

enum err file_read(const char *path, size_t max, struct buf *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    enum err err = ERR_SYSTEM;

    if (fd < 0)
        return ERR_SYSTEM;
    if (fstat(fd, &st) == 0) {
        if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max)
            err = ERR_TOO_LARGE;
        else
            err = read_all(fd, max, out);
    }
    close_quietly(fd);
    return err;
}

static enum err write_all(int fd, struct str bytes)
{
    while (bytes.n > 0) {
        ssize_t n = write(fd, bytes.p, bytes.n);

        if (n < 0 && errno != EINTR)
            return ERR_SYSTEM;
        if (n > 0)
            bytes = str_of(bytes.p + n, bytes.n - (size_t)n);
    }
    return ERR_OK;
}

/* What the new file takes over from the one that it replaces. */
struct likeness {
    mode_t mode;
    uid_t uid;
    gid_t gid;
    bool known;
};

/* Where the file really is (a symbolic link is followed, not replaced), and what it is like. */
static enum err look(const char *path, char real[PATH_MAX], struct likeness *like)
{
    struct stat st;

    *like = (struct likeness){.mode = 0600};
    if (!realpath(path, real)) {
        if (errno != ENOENT)
            return ERR_SYSTEM;
        if (strlen(path) >= PATH_MAX) {
            errno = ENAMETOOLONG;
            return ERR_SYSTEM;
        }
        memcpy(real, path, strlen(path) + 1);
        return ERR_OK;
    }
    if (stat(real, &st) != 0)
        return ERR_SYSTEM;
    if (!S_ISREG(st.st_mode)) {
        errno = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
        return ERR_SYSTEM;
    }
    *like = (struct likeness){st.st_mode & 07777, st.st_uid, st.st_gid, true};
    return ERR_OK;
}

/*
 * Another owner is for root only to give; a group also for who is in it. What the group might do is
 * for no other group.
 */
static enum err give_likeness(int fd, const struct likeness *like)
{
    mode_t mode = like->mode;

    if (like->known && fchown(fd, like->uid, like->gid) != 0) {
        if (errno != EPERM)
            return ERR_SYSTEM;
        if (fchown(fd, (uid_t)-1, like->gid) != 0)
            mode &= ~(mode_t)S_IRWXG;
    }
    return fchmod(fd, mode) == 0 ? ERR_OK : ERR_SYSTEM;
}

static enum err fill_temporary(int fd, struct str bytes, const struct likeness *like)
{
    if (give_likeness(fd, like) != ERR_OK || write_all(fd, bytes) != ERR_OK || fsync(fd) != 0)
        return ERR_SYSTEM;
    return ERR_OK;
}

/* The directory that a file is in, open for syncing; below zero with errno. */
static int open_directory(const char *path)
{
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX];
    size_t n = slash ? (size_t)(slash - path) : 0;

    if (!slash)
        return open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (n == 0)
        return open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    memcpy(dir, path, n);
    dir[n] = '\0';
    return open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Fill a temporary file and rename it to `path`; none is left behind on failure. */
static enum err write_and_rename(const char *path, struct str bytes, const struct likeness *like)
{
    char temporary[PATH_MAX + 8];
    enum err err;
    int fd;

    (void)snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path);
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return ERR_SYSTEM;
    err = fill_temporary(fd, bytes, like);
    close_quietly(fd);
    if (err == ERR_OK && rename(temporary, path) != 0)
        err = ERR_SYSTEM;
    if (err != ERR_OK) {
        int saved = errno;

        (void)unlink(temporary);
        errno = saved;
    }
    return err;
}

enum err file_replace(const char *path, struct str bytes)
{
    char real[PATH_MAX];
    struct likeness like;
    enum err err = look(path, real, &like);
    int dir;

    if (err != ERR_OK)
        return err;
    dir = open_directory(real);
    if (dir < 0)
        return ERR_SYSTEM;
    err = write_and_rename(real, bytes, &like);
    /* Some file systems cannot sync a directory (EINVAL) and need not. */
    if (err == ERR_OK && fsync(dir) != 0 && errno != EINVAL)
        err = ERR_SYSTEM;
    close_quietly(dir);
    return err;
}
