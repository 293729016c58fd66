/*
 * Files as byte strings, each with a synced state and the changes since.
 *
 * A name that was removed and made again is another file; both stay in the list until a power cut
 * has decided which of them the directory knows.
 */
#include "memdisk.h"

#include "base/base.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512

struct change {
    struct change *next;
    uint64_t offset;
    size_t n; /* of the bytes; cut: the new size is `offset` */
    bool cut;
    uint8_t bytes[];
};

struct bytes {
    uint8_t *p;
    size_t n, cap;
};

struct memdisk_file {
    struct memdisk_file *next;
    uint64_t segment;
    bool named;        /* the directory has it now … */
    bool named_synced; /* … and after a power cut, for certain */
    struct bytes now, synced;
    struct change *changes, **end;
};

static void *must(void *p)
{
    if (!p)
        abort();
    return p;
}

static void drop_changes(struct memdisk_file *f)
{
    while (f->changes) {
        struct change *c = f->changes;
        f->changes = c->next;
        free(c);
    }
    f->end = &f->changes;
}

static void free_file(struct memdisk_file *f)
{
    drop_changes(f);
    free(f->now.p);
    free(f->synced.p);
    free(f);
}

static void resize(struct bytes *b, size_t n)
{
    if (n > b->cap || !b->p) {
        b->cap = n > b->cap * 2 ? n + 1 : b->cap * 2;
        b->p = must(realloc(b->p, b->cap));
    }
    if (n > b->n)
        memset(b->p + b->n, 0, n - b->n);
    b->n = n;
}

static void apply_change(struct bytes *b, const struct change *c)
{
    if (c->cut) {
        resize(b, c->offset);
        return;
    }
    if (b->n < c->offset + c->n)
        resize(b, c->offset + c->n);
    memcpy(b->p + c->offset, c->bytes, c->n);
}

static void add_change(struct memdisk_file *f, uint64_t offset, const void *p, size_t n, bool cut)
{
    struct change *c = must(malloc(sizeof(*c) + n));

    *c = (struct change){.offset = offset, .n = n, .cut = cut};
    if (n > 0)
        memcpy(c->bytes, p, n);
    *f->end = c;
    f->end = &c->next;
    apply_change(&f->now, c);
}

static struct memdisk_file *find(struct memdisk *d, uint64_t segment)
{
    for (struct memdisk_file *f = d->files; f; f = f->next)
        if (f->named && f->segment == segment)
            return f;
    return NULL;
}

static struct memdisk_file *make(struct memdisk *d, uint64_t segment)
{
    struct memdisk_file *f = must(calloc(1, sizeof(*f)));
    struct memdisk_file **at = &d->files;

    while (*at && (*at)->segment < segment)
        at = &(*at)->next;
    f->segment = segment;
    f->named = true;
    f->end = &f->changes;
    resize(&f->now, 0);
    resize(&f->synced, 0);
    f->next = *at;
    *at = f;
    return f;
}

static bool happens(struct memdisk *d, unsigned percent)
{
    return percent > 0 && rng_below(&d->rng, 100) < percent;
}

/* Does this call fail, as ordered? */
static bool is_ordered(struct memdisk *d)
{
    d->calls++;
    return d->calls == d->fail_at || (d->fail_from && d->calls >= d->fail_from);
}

/* --- struct store_io --- */

static ssize_t io_list(void *ctx, uint64_t *segments, size_t max)
{
    struct memdisk *d = ctx;
    size_t n = 0;

    if (is_ordered(d))
        return -EIO;
    for (struct memdisk_file *f = d->files; f; f = f->next) {
        if (!f->named)
            continue;
        if (n < max)
            segments[n] = f->segment;
        n++;
    }
    return (ssize_t)n;
}

static int64_t io_size(void *ctx, uint64_t segment)
{
    struct memdisk_file *f = find(ctx, segment);

    if (is_ordered(ctx))
        return -EIO;
    return f ? (int64_t)f->now.n : -ENOENT;
}

static ssize_t io_read(void *ctx, uint64_t segment, uint64_t offset, void *to, size_t n)
{
    struct memdisk_file *f = find(ctx, segment);

    if (is_ordered(ctx))
        return -EIO;
    if (!f)
        return -ENOENT;
    if (offset >= f->now.n)
        return 0;
    if (n > f->now.n - offset)
        n = f->now.n - offset;
    memcpy(to, f->now.p + offset, n);
    return (ssize_t)n;
}

static size_t total_of(const struct iovec *iov, int n)
{
    size_t total = 0;

    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    return total;
}

static void write_some(struct memdisk_file *f, uint64_t offset, const struct iovec *iov,
                       size_t total)
{
    for (int i = 0; total > 0; i++) {
        const uint8_t *p = iov[i].iov_base;
        size_t left = iov[i].iov_len < total ? iov[i].iov_len : total;
        total -= left;
        while (left > 0) {
            size_t part = SECTOR - (size_t)(offset % SECTOR);
            part = part < left ? part : left;
            add_change(f, offset, p, part, false);
            offset += part;
            p += part;
            left -= part;
        }
    }
}

static ssize_t io_write(void *ctx, uint64_t segment, uint64_t offset, const struct iovec *iov,
                        int n, bool create)
{
    struct memdisk *d = ctx;
    struct memdisk_file *f = find(d, segment);
    size_t total = total_of(iov, n);
    size_t room = d->capacity > memdisk_total(d) ? d->capacity - memdisk_total(d) : 0;
    bool fails = is_ordered(d) || happens(d, d->error_percent);

    d->writes++;
    if (create && f)
        return -EEXIST;
    if (fails && (!create || rng_below(&d->rng, 2) == 0))
        return -EIO;
    if (create)
        f = make(d, segment);
    if (!f)
        return -ENOENT;
    if (fails)
        return -EIO;
    if (happens(d, d->short_percent) && total > 1)
        total = rng_below(&d->rng, (uint32_t)total);
    if (d->capacity && offset + total > f->now.n && offset + total - f->now.n > room) {
        if (f->now.n + room <= offset)
            return -ENOSPC;
        total = (size_t)(f->now.n + room - offset);
    }
    write_some(f, offset, iov, total);
    return (ssize_t)total;
}

static void settle(struct memdisk_file *f)
{
    resize(&f->synced, f->now.n);
    memcpy(f->synced.p, f->now.p, f->now.n);
    drop_changes(f);
}

static int io_sync(void *ctx, uint64_t segment)
{
    struct memdisk *d = ctx;
    struct memdisk_file *f = find(d, segment);
    int error = d->sync_error;

    d->syncs++;
    d->sync_error = 0;
    if (is_ordered(d))
        return -EIO;
    if (!f || error)
        return f ? error : -ENOENT;
    settle(f);
    f->named_synced = true;
    return 0;
}

static int io_truncate(void *ctx, uint64_t segment, uint64_t size)
{
    struct memdisk_file *f = find(ctx, segment);

    if (is_ordered(ctx))
        return -EIO;
    if (!f)
        return -ENOENT;
    add_change(f, size, NULL, 0, true);
    return 0;
}

static int io_remove(void *ctx, uint64_t segment)
{
    struct memdisk *d = ctx;
    struct memdisk_file *f = find(d, segment);

    d->removals++;
    if (is_ordered(d))
        return -EIO;
    if (!f)
        return -ENOENT;
    f->named = false;
    return 0;
}

static int io_keep_copy(void *ctx, uint64_t segment, char *name, size_t name_max)
{
    struct memdisk *d = ctx;

    if (is_ordered(d))
        return -EIO;
    if (!find(d, segment))
        return -ENOENT;
    (void)snprintf(name, name_max, "copy-%llu", (unsigned long long)++d->copies);
    return 0;
}

struct store_io memdisk_io(struct memdisk *d)
{
    return (struct store_io){.ctx = d,
                             .list = io_list,
                             .size = io_size,
                             .read = io_read,
                             .write = io_write,
                             .sync = io_sync,
                             .truncate = io_truncate,
                             .remove = io_remove,
                             .keep_copy = io_keep_copy};
}

/* --- the tests' side --- */

struct memdisk *memdisk_new(uint64_t seed)
{
    struct memdisk *d = must(calloc(1, sizeof(*d)));

    rng_seed(&d->rng, seed);
    d->forget_percent = 50;
    return d;
}

void memdisk_free(struct memdisk *d)
{
    while (d->files) {
        struct memdisk_file *f = d->files;
        d->files = f->next;
        free_file(f);
    }
    free(d);
}

struct memdisk *memdisk_clone(const struct memdisk *d)
{
    struct memdisk *copy = memdisk_new(1);

    for (const struct memdisk_file *f = d->files; f; f = f->next)
        if (f->named)
            memdisk_set(copy, f->segment, f->now.p, f->now.n);
    return copy;
}

static void lose_content(struct memdisk *d, struct memdisk_file *f)
{
    for (const struct change *c = f->changes; c; c = c->next)
        if (!happens(d, d->forget_percent))
            apply_change(&f->synced, c);
    resize(&f->now, f->synced.n);
    memcpy(f->now.p, f->synced.p, f->now.n);
    drop_changes(f);
}

void memdisk_power_cut(struct memdisk *d)
{
    struct memdisk_file **at = &d->files;

    for (struct memdisk_file *f = d->files; f; f = f->next) {
        lose_content(d, f);
        if (f->named != f->named_synced && happens(d, d->forget_percent))
            f->named = f->named_synced;
    }
    while (*at) {
        struct memdisk_file *f = *at;
        if (f->named) {
            /* One name is one file: the later, which stands in front. */
            for (struct memdisk_file *g = f->next; g && g->segment == f->segment; g = g->next)
                g->named = false;
            f->named_synced = true;
            at = &f->next;
            continue;
        }
        *at = f->next;
        free_file(f);
    }
}

uint8_t *memdisk_bytes(struct memdisk *d, uint64_t segment, size_t *size)
{
    struct memdisk_file *f = find(d, segment);

    *size = f ? f->now.n : 0;
    return f ? f->now.p : NULL;
}

void memdisk_set(struct memdisk *d, uint64_t segment, const void *p, size_t n)
{
    struct memdisk_file *f = find(d, segment);
    bool itself;

    if (!f)
        f = make(d, segment);
    itself = p == f->now.p;
    resize(&f->now, n);
    if (n > 0 && !itself)
        memcpy(f->now.p, p, n);
    settle(f);
    f->named_synced = true;
}

void memdisk_unlink(struct memdisk *d, uint64_t segment)
{
    struct memdisk_file *f = find(d, segment);

    if (f)
        f->named = f->named_synced = false;
}

uint64_t memdisk_total(const struct memdisk *d)
{
    uint64_t total = 0;

    for (const struct memdisk_file *f = d->files; f; f = f->next)
        total += f->named ? f->now.n : 0;
    return total;
}
