/*
 * A list of names is no snapshot while segments come and go: reading a directory may miss one that
 * is made or removed meanwhile. So they are opened and then listed again: when nothing is missing
 * in between and the first is still the first, what was opened is the whole journal up to some
 * frame. Otherwise it is done again.
 */
#include "tools/db_dump_files.h"

#include "base/mem.h"
#include "store/frame.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define ATTEMPTS 20
#define WINDOW (256 * 1024)

struct dump_segment {
    uint64_t begin;
    uint64_t size;
    int fd; /* -1: not open */
};

static void complain(const char *what, const char *why)
{
    fprintf(stderr, "mosquitto_db_dump: %s: %s\n", what, why);
}

/* --- the snapshot --- */

static int compare_segments(const void *a, const void *b)
{
    uint64_t x = ((const struct dump_segment *)a)->begin;
    uint64_t y = ((const struct dump_segment *)b)->begin;

    return (x > y) - (x < y);
}

static void forget_all(struct dump_files *f)
{
    for (size_t i = 0; i < f->count; i++) {
        if (f->segments[i].fd >= 0)
            (void)close(f->segments[i].fd);
    }
    f->count = 0;
    f->bytes = 0;
}

static enum err add(struct dump_files *f, uint64_t begin)
{
    if (f->count == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 64;
        struct dump_segment *more =
            mem_realloc(f->segments, f->cap * sizeof(*f->segments), cap * sizeof(*f->segments));
        if (!more)
            return ERR_NOMEM;
        f->segments = more;
        f->cap = cap;
    }
    f->segments[f->count++] = (struct dump_segment){.begin = begin, .fd = -1};
    return ERR_OK;
}

static enum err list_names(struct dump_files *f, DIR *dir)
{
    const struct dirent *entry;
    uint64_t begin;
    enum err e = ERR_OK;

    rewinddir(dir);
    errno = 0;
    while (!e && (entry = readdir(dir))) {
        if (store_segment_parse(entry->d_name, &begin))
            e = add(f, begin);
    }
    if (!e && errno)
        e = ERR_SYSTEM;
    if (!e && f->count > 0)
        qsort(f->segments, f->count, sizeof(*f->segments), compare_segments);
    return e;
}

/* ERR_AGAIN: it has been removed meanwhile. */
static enum err open_one(struct dump_files *f, DIR *dir, struct dump_segment *s)
{
    char name[STORE_NAME_MAX];
    struct stat st;

    s->fd = openat(dirfd(dir), store_segment_name(s->begin, name), O_RDONLY | O_CLOEXEC);
    if (s->fd < 0 && errno == ENOENT)
        return ERR_AGAIN;
    if (s->fd < 0 || fstat(s->fd, &st) != 0) {
        complain(name, strerror(errno));
        return ERR_SYSTEM;
    }
    if (!S_ISREG(st.st_mode)) {
        complain(name, "not a regular file");
        return ERR_SYSTEM;
    }
    s->size = (uint64_t)st.st_size;
    f->bytes += s->size;
    return ERR_OK;
}

/* ERR_AGAIN: segments came or went in a way that leaves us without a whole journal. */
static enum err compare_with_now(const struct dump_files *f, DIR *dir)
{
    struct dump_files now = {0};
    enum err e = list_names(&now, dir);

    for (size_t i = 0; i < f->count && !e; i++) {
        if (i >= now.count || now.segments[i].begin != f->segments[i].begin)
            e = ERR_AGAIN;
    }
    if (!e && f->count == 0 && now.count > 0)
        e = ERR_AGAIN;
    mem_free(now.segments, now.cap * sizeof(*now.segments));
    return e;
}

static enum err open_all(struct dump_files *f, DIR *dir)
{
    enum err e = list_names(f, dir);

    for (size_t i = 0; i < f->count && !e; i++)
        e = open_one(f, dir, &f->segments[i]);
    return e ? e : compare_with_now(f, dir);
}

/* Each segment is a descriptor. */
static void raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* --- what recovery wants --- */

static ssize_t io_list(void *ctx, uint64_t *segments, size_t max)
{
    const struct dump_files *f = ctx;

    for (size_t i = 0; i < f->count && i < max; i++)
        segments[i] = f->segments[i].begin;
    return (ssize_t)f->count;
}

static struct dump_segment *find(const struct dump_files *f, uint64_t begin)
{
    struct dump_segment key = {.begin = begin};

    return f->count ? bsearch(&key, f->segments, f->count, sizeof(key), compare_segments) : NULL;
}

static int64_t io_size(void *ctx, uint64_t segment)
{
    const struct dump_segment *s = find(ctx, segment);

    return s ? (int64_t)s->size : -ENOENT;
}

/* Never behind the size that it had. */
static ssize_t read_segment(const struct dump_segment *s, uint64_t offset, void *to, size_t n)
{
    size_t done = 0;

    if (offset >= s->size)
        return 0;
    if (n > s->size - offset)
        n = (size_t)(s->size - offset);
    while (done < n) {
        ssize_t got = pread(s->fd, (char *)to + done, n - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static ssize_t io_read(void *ctx, uint64_t segment, uint64_t offset, void *to, size_t n)
{
    const struct dump_segment *s = find(ctx, segment);

    return s ? read_segment(s, offset, to, n) : -ENOENT;
}

static ssize_t io_write(void *ctx, uint64_t segment, uint64_t offset, const struct iovec *iov,
                        int n, bool create)
{
    (void)ctx;
    (void)segment;
    (void)offset;
    (void)iov;
    (void)n;
    (void)create;
    return -EROFS;
}

static int io_sync(void *ctx, uint64_t segment)
{
    (void)ctx;
    (void)segment;
    return -EROFS;
}

static int io_truncate(void *ctx, uint64_t segment, uint64_t size)
{
    (void)ctx;
    (void)segment;
    (void)size;
    return -EROFS;
}

static int io_remove(void *ctx, uint64_t segment)
{
    (void)ctx;
    (void)segment;
    return -EROFS;
}

static int io_keep_copy(void *ctx, uint64_t segment, char *name, size_t name_max)
{
    (void)ctx;
    (void)segment;
    (void)name;
    (void)name_max;
    return -EROFS;
}

static struct store_io io_of(struct dump_files *f)
{
    return (struct store_io){.ctx = f,
                             .list = io_list,
                             .size = io_size,
                             .read = io_read,
                             .write = io_write,
                             .sync = io_sync,
                             .truncate = io_truncate,
                             .remove = io_remove,
                             .keep_copy = io_keep_copy};
}

/* --- life --- */

static enum err told(const char *directory, enum err e)
{
    if (e == ERR_AGAIN) {
        complain(directory, "the broker removes segments faster than they can be opened");
        return ERR_SYSTEM;
    }
    if (e == ERR_NOMEM)
        complain(directory, "out of memory");
    return e;
}

enum err dump_files_open(struct dump_files *f, const char *directory)
{
    DIR *dir = opendir(directory);
    enum err e = ERR_AGAIN;

    *f = (struct dump_files){0};
    f->io = io_of(f);
    if (!dir) {
        complain(directory, strerror(errno));
        return ERR_SYSTEM;
    }
    raise_limit();
    for (int i = 0; i < ATTEMPTS && e == ERR_AGAIN; i++) {
        forget_all(f);
        e = open_all(f, dir);
    }
    (void)closedir(dir);
    return told(directory, e);
}

void dump_files_close(struct dump_files *f)
{
    forget_all(f);
    mem_free(f->segments, f->cap * sizeof(*f->segments));
    mem_free(f->window, f->window_cap);
    *f = (struct dump_files){0};
}

/* --- single records --- */

/* The segment that has a position, and where the next one begins. */
static const struct dump_segment *holding(const struct dump_files *f, uint64_t position,
                                          uint64_t *end)
{
    size_t low = 0;
    size_t high = f->count;

    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (f->segments[mid].begin <= position)
            low = mid + 1;
        else
            high = mid;
    }
    *end = low < f->count ? f->segments[low].begin : UINT64_MAX;
    return low > 0 ? &f->segments[low - 1] : NULL;
}

static bool load_window(struct dump_files *f, uint64_t position, size_t n)
{
    uint64_t end;
    const struct dump_segment *s = holding(f, position, &end);
    size_t want = n > WINDOW ? n : WINDOW;
    ssize_t got;

    f->window_len = 0;
    if (f->window_cap < want) {
        mem_free(f->window, f->window_cap);
        f->window = mem_alloc(want);
        f->window_cap = f->window ? want : 0;
    }
    if (!s || !f->window)
        return false;
    if (want > end - position)
        want = (size_t)(end - position);
    got = read_segment(s, position - s->begin + STORE_SEGMENT_HEADER, f->window, want);
    f->window_at = position;
    f->window_len = got > 0 ? (size_t)got : 0;
    return f->window_len >= n;
}

struct str dump_files_at(struct dump_files *f, uint64_t position, size_t n)
{
    bool here = position >= f->window_at && position - f->window_at < f->window_len &&
                f->window_len - (position - f->window_at) >= n;

    if (!here && !load_window(f, position, n))
        return str_of(NULL, 0);
    return str_of(f->window + (position - f->window_at), n);
}
