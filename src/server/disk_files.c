/*
 * Segment files by descriptor: a small table of those in use, the directory for all else.
 *
 * The lock protects the table and is not held while a file is read, written or synced; opening one
 * happens under it.
 */
#include "server/disk_files.h"

#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE 0600
#define COPY_SIZE 65536
/* So many copies of one damaged file are enough. */
#define COPIES_MAX 1000

/* --- descriptors --- */

static void fill_reserve(struct disk_files *f)
{
    for (size_t i = 0; i < ARRAY_SIZE(f->reserve); i++) {
        if (f->reserve[i] < 0) {
            f->reserve[i] = fcntl(f->dir, F_DUPFD_CLOEXEC, 0);
        }
    }
}

static bool spend_reserve(struct disk_files *f)
{
    for (size_t i = 0; i < ARRAY_SIZE(f->reserve); i++) {
        if (f->reserve[i] >= 0) {
            (void)close(f->reserve[i]);
            f->reserve[i] = -1;
            return true;
        }
    }
    return false;
}

void disk_files_init(struct disk_files *f, int dir)
{
    memset(f, 0, sizeof(*f));
    f->dir = dir;
    (void)pthread_mutex_init(&f->lock, NULL);
    for (size_t i = 0; i < DISK_FILES_MAX; i++) {
        f->file[i].fd = -1;
    }
    for (size_t i = 0; i < ARRAY_SIZE(f->reserve); i++) {
        f->reserve[i] = -1;
    }
    fill_reserve(f);
}

static void close_file(struct disk_files *f, struct disk_file *file)
{
    (void)close(file->fd);
    *file = (struct disk_file){.fd = -1};
    fill_reserve(f);
}

void disk_files_clear(struct disk_files *f)
{
    for (size_t i = 0; i < DISK_FILES_MAX; i++) {
        if (f->file[i].fd >= 0) {
            (void)close(f->file[i].fd);
        }
    }
    while (spend_reserve(f)) {
    }
    (void)close(f->dir);
    (void)pthread_mutex_destroy(&f->lock);
}

static struct disk_file *find(struct disk_files *f, uint64_t segment)
{
    for (size_t i = 0; i < DISK_FILES_MAX; i++) {
        if (f->segment[i] == segment && f->file[i].fd >= 0 && !f->file[i].removed) {
            return &f->file[i];
        }
    }
    return NULL;
}

/* The one that was used least recently of those that are not in use, dirty ones or others. */
static struct disk_file *oldest_idle(struct disk_files *f, bool dirty)
{
    struct disk_file *oldest = NULL;
    for (size_t i = 0; i < DISK_FILES_MAX; i++) {
        struct disk_file *file = &f->file[i];
        bool fits = file->fd >= 0 && file->users == 0 && file->error == 0 && file->dirty == dirty;
        if (fits && (!oldest || file->used < oldest->used)) {
            oldest = file;
        }
    }
    return oldest;
}

static int sync_file(const struct disk_files *f, struct disk_file *file)
{
    if (fdatasync(file->fd) != 0 || (file->fresh && fsync(f->dir) != 0)) {
        return errno;
    }
    file->fresh = false;
    return 0;
}

/*
 * A free place in the table. More unsynced segments than that are possible only if they are tiny:
 * then one of them is synced here. NULL: errno.
 */
static struct disk_file *free_place(struct disk_files *f)
{
    for (size_t i = 0; i < DISK_FILES_MAX; i++) {
        if (f->file[i].fd < 0) {
            return &f->file[i];
        }
    }
    struct disk_file *file = oldest_idle(f, false);
    if (!file) {
        file = oldest_idle(f, true);
        if (!file) {
            errno = EMFILE;
            return NULL;
        }
        file->error = sync_file(f, file);
        if (file->error) {
            errno = file->error;
            return NULL;
        }
    }
    close_file(f, file);
    return file;
}

/* Without free descriptors our own reserve is used up, then those of files that are idle. */
static int open_segment(struct disk_files *f, uint64_t segment, int flags)
{
    char name[STORE_NAME_MAX];
    (void)store_segment_name(segment, name);
    for (;;) {
        int fd = openat(f->dir, name, flags | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
        if (fd >= 0 || (errno != EMFILE && errno != ENFILE)) {
            return fd;
        }
        int why = errno;
        struct disk_file *idle = oldest_idle(f, false);
        if (!spend_reserve(f)) {
            if (!idle) {
                errno = why;
                return -1;
            }
            (void)close(idle->fd);
            *idle = (struct disk_file){.fd = -1};
        }
    }
}

static struct disk_file *open_into(struct disk_files *f, uint64_t segment, bool create)
{
    struct disk_file *file = free_place(f);
    if (!file) {
        return NULL;
    }
    int fd = open_segment(f, segment, create ? O_RDWR | O_CREAT | O_EXCL : O_RDWR);
    if (fd < 0) {
        return NULL;
    }
    f->segment[file - f->file] = segment;
    *file = (struct disk_file){.fd = fd, .dirty = create, .fresh = create};
    return file;
}

/* With the lock held; NULL: errno. */
static struct disk_file *use_locked(struct disk_files *f, uint64_t segment, bool create)
{
    struct disk_file *file = find(f, segment);
    if (file && create) {
        errno = EEXIST;
        return NULL;
    }
    if (!file) {
        file = open_into(f, segment, create);
    }
    if (file) {
        file->users++;
        file->used = ++f->clock;
    }
    return file;
}

static struct disk_file *use(struct disk_files *f, uint64_t segment, bool create)
{
    (void)pthread_mutex_lock(&f->lock);
    struct disk_file *file = use_locked(f, segment, create);
    (void)pthread_mutex_unlock(&f->lock);
    return file;
}

/* `dirty`: something was written; a sync that began before does not count for it. */
static void let_go(struct disk_files *f, struct disk_file *file, bool dirty)
{
    (void)pthread_mutex_lock(&f->lock);
    file->users--;
    file->dirty = file->dirty || dirty;
    if (file->removed && file->users == 0) {
        close_file(f, file);
    }
    (void)pthread_mutex_unlock(&f->lock);
}

/* --- the calls of struct store_io --- */

static int by_number(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Keep the `max` smallest. */
static void keep_smallest(uint64_t *segments, size_t max, size_t found, uint64_t segment)
{
    if (found < max) {
        segments[found] = segment;
        return;
    }
    size_t largest = 0;
    for (size_t i = 1; i < max; i++) {
        largest = segments[i] > segments[largest] ? i : largest;
    }
    if (max > 0 && segment < segments[largest]) {
        segments[largest] = segment;
    }
}

static ssize_t list(void *ctx, uint64_t *segments, size_t max)
{
    const struct disk_files *f = ctx;
    int fd = openat(f->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    size_t found = 0;
    if (!dir) {
        int why = errno;
        if (fd >= 0) {
            (void)close(fd);
        }
        return -why;
    }
    const struct dirent *entry;
    while (errno = 0, (entry = readdir(dir))) {
        uint64_t segment;
        if (store_segment_parse(entry->d_name, &segment)) {
            keep_smallest(segments, max, found++, segment);
        }
    }
    int why = errno;
    (void)closedir(dir);
    if (why) {
        return -why;
    }
    if (max > 0) {
        qsort(segments, found < max ? found : max, sizeof(*segments), by_number);
    }
    return (ssize_t)found;
}

static int64_t size(void *ctx, uint64_t segment)
{
    const struct disk_files *f = ctx;
    char name[STORE_NAME_MAX];
    struct stat st;
    if (fstatat(f->dir, store_segment_name(segment, name), &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return -errno;
    }
    return st.st_size;
}

static ssize_t read_all(int fd, uint64_t offset, uint8_t *to, size_t n)
{
    size_t got = 0;
    while (got < n) {
        ssize_t r = pread(fd, to + got, n - got, (off_t)(offset + got));
        if (r < 0 && errno == EINTR) {
            continue;
        }
        if (r < 0) {
            return -errno;
        }
        if (r == 0) {
            break;
        }
        got += (size_t)r;
    }
    return (ssize_t)got;
}

static ssize_t read_segment(void *ctx, uint64_t segment, uint64_t offset, void *to, size_t n)
{
    struct disk_files *f = ctx;
    struct disk_file *file = use(f, segment, false);
    if (!file) {
        return -errno;
    }
    ssize_t got = read_all(file->fd, offset, to, n);
    let_go(f, file, false);
    return got;
}

ssize_t disk_files_read_cached(struct disk_files *f, uint64_t segment, uint64_t offset, void *to,
                               size_t n)
{
    if (pthread_mutex_trylock(&f->lock) != 0) {
        return -EAGAIN; /* the other thread may be waiting for the disk */
    }
    struct disk_file *file = use_locked(f, segment, false);
    int why = errno;
    (void)pthread_mutex_unlock(&f->lock);
    if (!file) {
        return -why;
    }
    struct iovec iov = {.iov_base = to, .iov_len = n};
    ssize_t got = preadv2(file->fd, &iov, 1, (off_t)offset, RWF_NOWAIT);
    why = errno == EOPNOTSUPP || errno == EINTR ? EAGAIN : errno;
    let_go(f, file, false);
    return got < 0 ? -why : got;
}

static ssize_t write_segment(void *ctx, uint64_t segment, uint64_t offset, const struct iovec *iov,
                             int n, bool create)
{
    struct disk_files *f = ctx;
    struct disk_file *file = use(f, segment, create);
    if (!file) {
        return -errno;
    }
    ssize_t put;
    do {
        put = pwritev(file->fd, iov, n, (off_t)offset);
    } while (put < 0 && errno == EINTR);
    int why = errno;
    let_go(f, file, true);
    return put < 0 ? -why : put;
}

static int sync_segment(void *ctx, uint64_t segment)
{
    struct disk_files *f = ctx;
    struct disk_file *file = use(f, segment, false);
    if (!file) {
        return -errno;
    }
    (void)pthread_mutex_lock(&f->lock);
    int error = file->error;
    file->dirty = false; /* what is written from now on makes it true again */
    (void)pthread_mutex_unlock(&f->lock);
    if (!error) {
        error = sync_file(f, file);
        file->error = error;
    }
    let_go(f, file, false);
    return -error;
}

static int truncate_segment(void *ctx, uint64_t segment, uint64_t bytes)
{
    struct disk_files *f = ctx;
    struct disk_file *file = use(f, segment, false);
    if (!file) {
        return -errno;
    }
    int why = ftruncate(file->fd, (off_t)bytes) == 0 ? 0 : errno;
    let_go(f, file, true);
    return -why;
}

static int remove_segment(void *ctx, uint64_t segment)
{
    struct disk_files *f = ctx;
    char name[STORE_NAME_MAX];
    if (unlinkat(f->dir, store_segment_name(segment, name), 0) != 0) {
        return -errno;
    }
    (void)pthread_mutex_lock(&f->lock);
    struct disk_file *file = find(f, segment);
    if (file && file->users > 0) {
        file->removed = true;
    } else if (file) {
        close_file(f, file);
    }
    (void)pthread_mutex_unlock(&f->lock);
    return 0;
}

/* --- copies --- */

static int copy_bytes(int from, int to)
{
    char piece[COPY_SIZE];
    for (;;) {
        ssize_t n = read(from, piece, sizeof(piece));
        if (n == 0) {
            return fsync(to) == 0 ? 0 : -errno;
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
        for (ssize_t done = 0; done < n;) {
            ssize_t w = write(to, piece + done, (size_t)(n - done));
            if (w < 0 && errno != EINTR) {
                return -errno;
            }
            done += w > 0 ? w : 0;
        }
    }
}

/* A name that nobody has yet; -1: errno. */
static int make_copy(const struct disk_files *f, const char *of, char *name, size_t max)
{
    for (int i = 0; i < COPIES_MAX; i++) {
        int n = i == 0 ? snprintf(name, max, "%s.damaged", of)
                       : snprintf(name, max, "%s.damaged.%d", of, i);
        if (n < 0 || (size_t)n >= max) {
            errno = ENAMETOOLONG;
            return -1;
        }
        int fd =
            openat(f->dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, FILE_MODE);
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
    }
    return -1;
}

static int keep_copy(void *ctx, uint64_t segment, char *name, size_t name_max)
{
    const struct disk_files *f = ctx;
    char of[STORE_NAME_MAX];
    int from =
        openat(f->dir, store_segment_name(segment, of), O_RDONLY | O_CLOEXEC | O_NOFOLLOW, 0);
    if (from < 0) {
        return -errno;
    }
    int to = make_copy(f, of, name, name_max);
    int result = to >= 0 ? copy_bytes(from, to) : -errno;
    (void)close(from);
    if (to >= 0) {
        (void)close(to);
        if (result != 0) {
            (void)unlinkat(f->dir, name, 0);
        } else if (fsync(f->dir) != 0) {
            result = -errno;
        }
    }
    return result;
}

struct store_io disk_files_io(struct disk_files *f)
{
    return (struct store_io){
        .ctx = f,
        .list = list,
        .size = size,
        .read = read_segment,
        .write = write_segment,
        .sync = sync_segment,
        .truncate = truncate_segment,
        .remove = remove_segment,
        .keep_copy = keep_copy,
    };
}
