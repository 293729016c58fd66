/*
 * The pid file.
 *
 * It is written by root into a directory that often belongs to the broker's user. So whoever has
 * taken that user over must not be able to choose what root writes to or gives away: a new file is
 * made in place of the old one, and an old file is written to only where it cannot be replaced and
 * is plain, of one name, and ours.
 */
#include "server/pidfile.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MODE 0644
#define TEXT_MAX 32

static size_t text_of(char out[TEXT_MAX])
{
    return (size_t)snprintf(out, TEXT_MAX, "%ld\n", (long)getpid());
}

static int open_new(const char *path)
{
    return open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, MODE);
}

/* -1: errno. */
static int open_old(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    struct stat st;
    if (fd < 0) {
        return -1;
    }
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1 || st.st_uid != geteuid() ||
        ftruncate(fd, 0) != 0) {
        (void)close(fd);
        errno = EPERM;
        return -1;
    }
    return fd;
}

/* Nothing but a number, or what a power cut has made of it: a pid file, be it left behind or
 * another broker's. A file with other content has been named by mistake. */
static bool holds_a_number(const char *path)
{
    char text[TEXT_MAX + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text)) : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    for (ssize_t i = 0; i < n; i++) {
        if (text[i] != '\0' && !strchr("0123456789 \t\r\n", text[i])) {
            return false;
        }
    }
    return n <= TEXT_MAX;
}

static int open_file(const char *path)
{
    int fd = open_new(path);
    struct stat st;
    if (fd >= 0 || errno != EEXIST) {
        return fd;
    }
    bool known = lstat(path, &st) == 0;
    if (known && S_ISREG(st.st_mode) ? !holds_a_number(path) : known && !S_ISLNK(st.st_mode)) {
        errno = EEXIST;
        return -1;
    }
    return unlink(path) == 0 ? open_new(path) : open_old(path);
}

static bool fill(int fd, const struct privileges *who)
{
    char text[TEXT_MAX];
    size_t n = text_of(text);
    if (write(fd, text, n) != (ssize_t)n) {
        return false;
    }
    return !who->drop || fchown(fd, who->uid, who->gid) == 0;
}

enum err pidfile_write(struct pidfile *f, const char *path, const struct privileges *who,
                       const struct log *log)
{
    *f = (struct pidfile){.fd = -1};
    if (!path) {
        return ERR_OK;
    }
    f->path = str_dup(str_c(path));
    if (!f->path) {
        return ERR_NOMEM;
    }
    f->fd = open_file(path);
    if (f->fd < 0 || !fill(f->fd, who)) {
        char shown[PATH_MAX];
        int why = errno;
        log_error(log, "Error: Unable to write the pid file %s: %s.%s",
                  str_escape(str_c(path), shown, sizeof(shown)), strerror(why),
                  why == EEXIST ? " What is there is no pid file, and was left alone." : "");
        pidfile_remove(f);
        return ERR_SYSTEM;
    }
    return ERR_OK;
}

/* Another broker may have put a file of its own in its place. */
static bool is_there(const struct pidfile *f)
{
    struct stat here;
    struct stat there;
    return fstat(f->fd, &here) == 0 && lstat(f->path, &there) == 0 && here.st_dev == there.st_dev &&
           here.st_ino == there.st_ino;
}

/* Or written its number into ours. */
static bool holds_our_number(const struct pidfile *f)
{
    char text[TEXT_MAX];
    char found[TEXT_MAX];
    size_t n = text_of(text);
    ssize_t got = pread(f->fd, found, sizeof(found), 0);
    return got <= 0 || (got == (ssize_t)n && memcmp(text, found, n) == 0);
}

void pidfile_remove(struct pidfile *f)
{
    if (f->path && f->fd >= 0) {
        if (holds_our_number(f) && !(is_there(f) && unlink(f->path) == 0)) {
            (void)!ftruncate(f->fd, 0);
        }
        (void)close(f->fd);
    }
    str_dup_free(f->path);
    *f = (struct pidfile){.fd = -1};
}
