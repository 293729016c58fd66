/*
 * Any files as a store. The first byte says how to recover; the rest is a script that makes the
 * files: right segments and frames, with all that can be wrong about them, so that checksums are no
 * wall.
 *
 * Whatever comes: an answer; a refusal changes nothing; records are given as they were put; and
 * after a yes, the next start finds the same and has nothing to say.
 */
#include "base/mem.h"
#include "store/frame.h"
#include "store/recover.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define FILES 8
#define FILE_MAX ((size_t)512 * 1024)
#define STORE_ID 77

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct file {
    uint64_t segment;
    uint8_t *bytes;
    size_t size;
};

struct disk {
    struct file files[FILES]; /* ascending */
    size_t count;
    unsigned changes;
    bool removed;
};

struct seen {
    uint64_t frames, sum;
};

/* --- the disk --- */

static struct file *find(struct disk *d, uint64_t segment)
{
    for (size_t i = 0; i < d->count; i++)
        if (d->files[i].segment == segment)
            return &d->files[i];
    return NULL;
}

static struct file *make(struct disk *d, uint64_t segment)
{
    size_t i = d->count;

    if (d->count == FILES)
        return NULL;
    for (; i > 0 && d->files[i - 1].segment > segment; i--)
        d->files[i] = d->files[i - 1];
    d->files[i] = (struct file){.segment = segment, .bytes = calloc(1, FILE_MAX)};
    if (!d->files[i].bytes)
        abort();
    d->count++;
    return &d->files[i];
}

static ssize_t io_list(void *ctx, uint64_t *segments, size_t max)
{
    struct disk *d = ctx;

    for (size_t i = 0; i < d->count && i < max; i++)
        segments[i] = d->files[i].segment;
    return (ssize_t)d->count;
}

static int64_t io_size(void *ctx, uint64_t segment)
{
    struct file *f = find(ctx, segment);

    return f ? (int64_t)f->size : -ENOENT;
}

static ssize_t io_read(void *ctx, uint64_t segment, uint64_t offset, void *to, size_t n)
{
    struct file *f = find(ctx, segment);

    if (!f || offset > f->size || n > f->size - offset)
        abort(); /* sizes are known: nobody reads behind them */
    memcpy(to, f->bytes + offset, n);
    return (ssize_t)n;
}

static ssize_t io_write(void *ctx, uint64_t segment, uint64_t offset, const struct iovec *iov,
                        int n, bool create)
{
    struct disk *d = ctx;
    struct file *f = find(d, segment);

    if (create && f)
        return -EEXIST;
    if (create)
        f = make(d, segment);
    if (!f)
        return create ? -ENOSPC : -ENOENT;
    if (n != 1 || offset > FILE_MAX || iov[0].iov_len > FILE_MAX - offset)
        return -EFBIG;
    d->changes++;
    memcpy(f->bytes + offset, iov[0].iov_base, iov[0].iov_len);
    if (f->size < offset + iov[0].iov_len)
        f->size = (size_t)offset + iov[0].iov_len;
    return (ssize_t)iov[0].iov_len;
}

static int io_sync(void *ctx, uint64_t segment)
{
    return find(ctx, segment) ? 0 : -ENOENT;
}

static int io_truncate(void *ctx, uint64_t segment, uint64_t size)
{
    struct disk *d = ctx;
    struct file *f = find(d, segment);

    if (!f)
        return -ENOENT;
    if (size > FILE_MAX)
        return -EFBIG;
    d->changes++;
    if (size < f->size)
        memset(f->bytes + size, 0, f->size - size);
    f->size = (size_t)size;
    return 0;
}

static int io_remove(void *ctx, uint64_t segment)
{
    struct disk *d = ctx;
    struct file *f = find(d, segment);

    if (!f)
        return -ENOENT;
    d->changes++;
    d->removed = true;
    free(f->bytes);
    d->count--;
    memmove(f, f + 1, (size_t)(&d->files[d->count] - f) * sizeof(*f));
    return 0;
}

static int io_keep_copy(void *ctx, uint64_t segment, char *name, size_t name_max)
{
    if (!find(ctx, segment) || name_max < 2)
        abort();
    memcpy(name, "c", 2);
    return 0;
}

static void clear(struct disk *d)
{
    while (d->count > 0)
        free(d->files[--d->count].bytes);
}

/* --- the script --- */

struct script {
    const uint8_t *p;
    size_t n;
    struct disk *disk;
    struct file *file;
    uint64_t position;
    uint64_t turn;
};

static uint8_t take(struct script *s)
{
    if (s->n == 0)
        return 0;
    s->n--;
    return *s->p++;
}

static uint32_t take16(struct script *s)
{
    uint32_t high = take(s);

    return high << 8 | take(s);
}

static bool has_room(const struct script *s, size_t n)
{
    return s->file && s->file->size + n <= FILE_MAX / 2;
}

static void add_segment(struct script *s, uint64_t id, uint64_t said)
{
    struct store_segment_head h = {
        .format = STORE_FORMAT, .store_id = id, .segment = s->position + said};

    if (find(s->disk, s->position) || s->disk->count + 2 > FILES)
        return;
    s->file = make(s->disk, s->position);
    store_segment_write(s->file->bytes, &h);
    s->file->size = STORE_SEGMENT_HEADER;
}

/* A place that was, or one that never can have been. */
static uint64_t take_place(struct script *s)
{
    uint8_t how = take(s);

    if (how < 64)
        return 0;
    if (how < 128)
        return s->position;
    if (how < 192)
        return s->position > how ? s->position - how : 0;
    return s->position / (how - 190U) + (how == 255) * UINT64_MAX / 2;
}

static void add_frame(struct script *s, uint32_t flags)
{
    uint32_t length = flags & STORE_FRAME_SEAL ? 0 : take16(s) % 3000;
    struct store_frame f = {.flags = flags, .length = length};
    uint8_t *p;

    if (!has_room(s, STORE_FRAME_HEADER + length))
        return;
    p = s->file->bytes + s->file->size;
    s->turn += flags ? 0 : 1;
    f.turn = s->turn;
    f.durable = take_place(s);
    f.oldest = take_place(s);
    memset(p + STORE_FRAME_HEADER, (int)(s->turn & 0xFF), length);
    f.payload_sum = store_sum(str_of((char *)p + STORE_FRAME_HEADER, length));
    if (take(s) == 255)
        f.length = UINT32_MAX - take16(s);
    store_frame_write(p, &f, STORE_ID, s->position);
    s->file->size += STORE_FRAME_HEADER + length;
    s->position += STORE_FRAME_HEADER + length;
}

static void spoil(struct script *s)
{
    size_t at = take16(s);

    if (s->file && s->file->size > 0)
        s->file->bytes[at % s->file->size] ^= (uint8_t)(take(s) | 1);
}

static void add_raw(struct script *s)
{
    size_t n = take(s);

    if (!has_room(s, n))
        return;
    for (size_t i = 0; i < n; i++)
        s->file->bytes[s->file->size + i] = take(s);
    s->file->size += n;
    s->position += n;
}

static void cut(struct script *s)
{
    size_t n = take16(s);

    if (s->file && n <= s->file->size) {
        memset(s->file->bytes + s->file->size - n, 0, n);
        s->file->size -= n;
    }
}

static void run(struct script *s)
{
    while (s->n > 0) {
        switch (take(s) % 10) {
        case 0:
            add_segment(s, STORE_ID, 0);
            break;
        case 1:
        case 2:
        case 3:
            add_frame(s, 0);
            break;
        case 4:
            add_frame(s, STORE_FRAME_SEAL);
            break;
        case 5:
            spoil(s);
            break;
        case 6:
            add_raw(s);
            break;
        case 7:
            cut(s);
            break;
        case 8:
            s->position += take16(s);
            break;
        default:
            add_segment(s, STORE_ID + take(s) % 2, take(s) % 2);
            break;
        }
    }
}

/* --- recovery --- */

static enum err apply(void *ctx, uint64_t position, struct str records)
{
    struct seen *seen = ctx;

    for (size_t i = 1; i < records.n; i++)
        if (records.p[i] != records.p[0])
            abort();
    seen->frames++;
    seen->sum = seen->sum * 31 + position + records.n;
    return ERR_OK;
}

static void one_line(void *ctx, enum log_level level, struct str line,
                     const struct log_about *about)
{
    (void)about;
    unsigned *lines = ctx;

    (void)level;
    if (line.n == 0 || memchr(line.p, '\n', line.n))
        abort();
    ++*lines;
}

static enum err recover(struct disk *d, bool salvage, bool read_only, struct seen *seen,
                        unsigned *lines)
{
    struct store_io io = {.ctx = d,
                          .list = io_list,
                          .size = io_size,
                          .read = io_read,
                          .write = io_write,
                          .sync = io_sync,
                          .truncate = io_truncate,
                          .remove = io_remove,
                          .keep_copy = io_keep_copy};
    struct log log = {.mask = LOG_LEVEL_ALL, .sink = one_line, .ctx = lines};
    struct recover_setup setup = {.io = &io,
                                  .log = &log,
                                  .name = "fuzz",
                                  .salvage = salvage,
                                  .read_only = read_only,
                                  .apply = apply,
                                  .apply_ctx = seen};
    struct recovered found;
    enum err e = store_recover(&setup, &found);

    *lines = e && *lines == 0 ? UINT32_MAX : *lines;
    for (size_t i = 0; !e && i < found.count; i++)
        if (found.segments[i].begin > found.segments[i].end ||
            (i + 1 < found.count && found.segments[i].end > found.segments[i + 1].begin))
            abort();
    if (!e)
        recovered_clear(&found);
    return e;
}

static void check(struct disk *d, uint8_t how)
{
    struct seen seen = {0};
    struct seen again = {0};
    unsigned lines = 0;
    bool salvage = how & 1U;
    bool read_only = how & 2U;
    enum err e;

    if (how & 4U)
        mem_fail_after(how >> 3U, 0);
    e = recover(d, salvage, read_only, &seen, &lines);
    mem_fail_never();
    if (e && e != ERR_NOMEM && lines == UINT32_MAX)
        abort(); /* a refusal without a reason */
    if ((read_only || (e && !salvage && e != ERR_SYSTEM)) && d->changes > 0)
        abort();
    if (e || read_only)
        return;
    lines = 0;
    if (recover(d, false, false, &again, &lines) != ERR_OK || lines > 0)
        abort();
    /* What is not needed any more is applied once more if it is still there, and then removed. */
    if (!d->removed && (again.frames != seen.frames || again.sum != seen.sum))
        abort();
    if (again.frames > seen.frames)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct disk d = {0};
    struct script s = {.disk = &d};
    size_t before = mem_used();

    if (size < 1)
        return 0;
    s.p = data + 1;
    s.n = size - 1;
    run(&s);
    check(&d, data[0]);
    clear(&d);
    if (mem_used() != before)
        abort();
    return 0;
}
