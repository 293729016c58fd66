/*
 * A file that is there as a whole or not at all.
 */
#include "bench/page_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is no regular file cannot be replaced. A link is followed, so that it stays one. */
static bool find_place(struct page_file *f, const char *path)
{
    struct stat info;

    f->path = realpath(path, NULL);
    if (f->path == NULL) {
        f->path = errno == ENOENT ? strdup(path) : NULL;
        return f->path != NULL && asprintf(&f->temporary, "%s.XXXXXX", f->path) > 0;
    }
    if (stat(f->path, &info) == 0 && S_ISDIR(info.st_mode)) {
        errno = EISDIR;
        return false;
    }
    return !S_ISREG(info.st_mode) || asprintf(&f->temporary, "%s.XXXXXX", f->path) > 0;
}

/* With the rights that any new file gets. */
static FILE *open_temporary(char *name)
{
    mode_t mask = umask(0);
    int fd = mkostemp(name, O_CLOEXEC);

    umask(mask);
    if (fd >= 0 && fchmod(fd, 0666 & ~mask) != 0) {
        close(fd);
        unlink(name);
        return NULL;
    }
    return fd >= 0 ? fdopen(fd, "w") : NULL;
}

static void forget(struct page_file *f)
{
    free(f->path);
    free(f->temporary);
    *f = (struct page_file){0};
}

bool page_file_open(struct page_file *f, const char *path, struct bench_error *error)
{
    *f = (struct page_file){0};
    if (find_place(f, path)) {
        f->out = f->temporary != NULL ? open_temporary(f->temporary) : fopen(f->path, "we");
    }
    if (f->out == NULL) {
        bench_fail(error, "--html: \"%s\" cannot be written: %s", path, strerror(errno));
        forget(f);
        return false;
    }
    return true;
}

bool page_file_keep(struct page_file *f, struct bench_error *error)
{
    bool good = ferror(f->out) == 0;

    errno = good ? 0 : EIO;
    good = fclose(f->out) == 0 && good;
    good = good && (f->temporary == NULL || rename(f->temporary, f->path) == 0);
    if (!good) {
        bench_fail(error, "--html: \"%s\" cannot be written: %s", f->path, strerror(errno));
        if (f->temporary != NULL) {
            unlink(f->temporary);
        }
    }
    forget(f);
    return good;
}
