/*
 * The lock is on the file itself, so that only who may open it can keep others waiting. The file is
 * replaced by every change: who gets the lock looks whether the path still leads to what is locked,
 * and if not, begins again.
 */
#include "tools/passwd_file.h"

#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static enum err fail(const struct passwd_file *f, const char *what)
{
    fprintf(stderr, "Error: %s %s: %s.\n", what, f->path, strerror(errno));
    return ERR_SYSTEM;
}

/* Below zero: errno. A file that is not there is made, but never one in whose place another was put
 * meanwhile. */
static int open_or_make(struct passwd_file *f, bool create)
{
    int fd = open(f->path, O_RDWR | O_CLOEXEC);

    if (fd >= 0 || errno != ENOENT || !create)
        return fd;
    fd = open(f->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    f->made = fd >= 0;
    /* Made by another at this moment; or a link that leads to no file. */
    return fd < 0 && errno == EEXIST ? open(f->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600) : fd;
}

static int lock(const struct passwd_file *f)
{
    int done;

    if (flock(f->fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno != EWOULDBLOCK)
        return -1;
    fprintf(stderr, "Waiting for another program that changes %s…\n", f->path);
    do {
        done = flock(f->fd, LOCK_EX);
    } while (done != 0 && errno == EINTR);
    return done;
}

static bool still_there(const struct passwd_file *f)
{
    struct stat ours;
    struct stat now;

    return fstat(f->fd, &ours) == 0 && stat(f->path, &now) == 0 && ours.st_dev == now.st_dev &&
           ours.st_ino == now.st_ino;
}

enum err passwd_file_open(const char *path, bool create, struct passwd_file *f)
{
    *f = (struct passwd_file){.path = path};
    for (;;) {
        f->fd = open_or_make(f, create);
        if (f->fd < 0 && errno == ENOENT && !create) {
            fprintf(stderr, "Error: There is no password file %s; -c makes one.\n", path);
            return ERR_SYSTEM;
        }
        if (f->fd < 0)
            return fail(f, "Cannot open password file");
        if (lock(f) != 0)
            fprintf(stderr, "Warning: %s cannot be locked: %s.\n", path, strerror(errno));
        if (still_there(f))
            return ERR_OK;
        (void)close(f->fd);
        f->made = false;
    }
}

enum err passwd_file_read(const struct passwd_file *f, struct buf *text)
{
    enum err e = file_read(f->path, PASSWD_FILE_MAX, text);

    if (e == ERR_SYSTEM)
        return fail(f, "Cannot read password file");
    if (e == ERR_TOO_LARGE)
        fprintf(stderr, "Error: Cannot read password file %s: %s.\n", f->path, err_word(e));
    return e;
}

static bool put(int fd, struct str text)
{
    for (size_t done = 0; done < text.n;) {
        ssize_t n = pwrite(fd, text.p + done, text.n - done, (off_t)done);

        if (n < 0 && errno != EINTR)
            return false;
        done += n > 0 ? (size_t)n : 0;
    }
    return ftruncate(fd, (off_t)text.n) == 0 && fsync(fd) == 0;
}

static enum err write_in_place(const struct passwd_file *f, struct str before, struct str text)
{
    int saved;

    if (put(f->fd, text))
        return ERR_OK;
    saved = errno;
    if (!put(f->fd, before))
        fprintf(stderr, "Error: %s is damaged now.\n", f->path);
    errno = saved;
    return fail(f, "Cannot write password file");
}

/* The directory cannot be written, or the name in it is a mount of its own. */
static bool must_stay_in_place(int error)
{
    return error == EBUSY || error == EACCES || error == EPERM || error == EROFS || error == EXDEV;
}

enum err passwd_file_write(struct passwd_file *f, struct str before, struct str text)
{
    enum err e = file_replace(f->path, text);

    if (e == ERR_SYSTEM && must_stay_in_place(errno))
        e = write_in_place(f, before, text);
    else if (e == ERR_SYSTEM)
        return fail(f, "Cannot write password file");
    f->written = !e;
    return e;
}

void passwd_file_close(struct passwd_file *f)
{
    if (f->made && !f->written)
        (void)unlink(f->path);
    (void)close(f->fd);
}
