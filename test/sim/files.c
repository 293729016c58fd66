/*
 * Memory files that lie.
 */
#include "files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define SECTOR 512

static bool strikes(struct files *f, unsigned of_thousand)
{
    bool yes = of_thousand && rng_below(f->rng, 1000) < of_thousand;

    f->struck += yes;
    return yes;
}

/* --- bytes --- */

static void bytes_resize(struct bytes *b, uint64_t n)
{
    if (n > b->n) {
        memset(bytes_room(b, n - b->n), 0, n - b->n);
        bytes_added(b, n - b->n);
    }
    b->n = (uint32_t)n;
}

static void bytes_put(struct bytes *b, uint64_t offset, const void *p, size_t n)
{
    if (n == 0)
        return;
    if (offset + n > b->n)
        bytes_resize(b, offset + n);
    if (b->p)
        memcpy(b->p + offset, p, n);
}

static void bytes_copy(struct bytes *to, const struct bytes *from)
{
    to->n = 0;
    bytes_put(to, 0, from->p, from->n);
}

/* --- files --- */

static struct file *find(const struct files *f, uint64_t segment)
{
    for (uint32_t i = 0; i < f->n; i++) {
        if (f->all[i]->segment == segment && !f->all[i]->removed)
            return f->all[i];
    }
    return NULL;
}

static struct file *make(struct files *f, uint64_t segment)
{
    struct file *file = calloc(1, sizeof *file);

    if (!file)
        exit(2);
    file->segment = segment;
    f->all = vec_grow(f->all, &f->cap, f->n + 1, sizeof *f->all);
    f->all[f->n++] = file;
    return file;
}

static void ops_clear(struct file *file)
{
    while (file->op_n > 0)
        free(file->ops[--file->op_n].data);
}

static void drop(struct files *f, uint32_t i)
{
    struct file *file = f->all[i];

    ops_clear(file);
    free(file->ops);
    bytes_clear(&file->now);
    bytes_clear(&file->synced);
    free(file);
    f->all[i] = f->all[--f->n];
}

static void add_op(struct file *file, uint64_t offset, uint8_t *data, uint32_t n)
{
    file->ops = vec_grow(file->ops, &file->op_cap, file->op_n + 1, sizeof *file->ops);
    file->ops[file->op_n++] = (struct file_op){.offset = offset, .data = data, .n = n};
}

void files_init(struct files *f, struct rng *rng)
{
    *f = (struct files){.rng = rng, .room = UINT64_MAX};
}

void files_clear(struct files *f)
{
    while (f->n > 0)
        drop(f, 0);
    free(f->all);
    *f = (struct files){0};
}

uint64_t files_bytes(const struct files *f)
{
    uint64_t n = 0;

    for (uint32_t i = 0; i < f->n; i++) {
        if (!f->all[i]->removed)
            n += f->all[i]->now.n;
    }
    return n;
}

/* --- the calls --- */

/* False: the process was dead before. It may die in this call: then some of it is done. */
static bool lives(struct files *f)
{
    if (f->dead)
        return false;
    f->calls++;
    if (f->crash_in && --f->crash_in == 0)
        f->dead = true;
    return true;
}

static int by_segment(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static ssize_t io_list(void *ctx, uint64_t *segments, size_t max)
{
    struct files *f = ctx;
    uint64_t *names = NULL;
    uint32_t cap = 0;
    uint32_t n = 0;

    if (!lives(f) || strikes(f, f->faults.other))
        return -EIO;
    names = vec_grow(names, &cap, f->n + 1, sizeof *names);
    for (uint32_t i = 0; i < f->n; i++) {
        if (!f->all[i]->removed)
            names[n++] = f->all[i]->segment;
    }
    qsort(names, n, sizeof *names, by_segment);
    if (max > 0)
        memcpy(segments, names, (n < max ? n : max) * sizeof *names);
    free(names);
    return (ssize_t)n;
}

static int64_t io_size(void *ctx, uint64_t segment)
{
    struct files *f = ctx;
    const struct file *file = find(f, segment);

    if (!lives(f) || strikes(f, f->faults.other))
        return -EIO;
    return file ? (int64_t)file->now.n : -ENOENT;
}

static ssize_t io_read(void *ctx, uint64_t segment, uint64_t offset, void *to, size_t n)
{
    struct files *f = ctx;
    const struct file *file = find(f, segment);

    if (!lives(f) || strikes(f, f->faults.read))
        return -EIO;
    if (!file)
        return -ENOENT;
    if (offset >= file->now.n)
        return 0;
    if (n > file->now.n - offset)
        n = file->now.n - (size_t)offset;
    memcpy(to, file->now.p + offset, n);
    return (ssize_t)n;
}

static uint8_t *gather(const struct iovec *iov, int n, size_t *total)
{
    uint8_t *p;
    size_t at = 0;

    *total = 0;
    for (int i = 0; i < n; i++)
        *total += iov[i].iov_len;
    p = malloc(*total + 1);
    if (!p)
        exit(2);
    for (int i = 0; i < n; i++) {
        memcpy(p + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    return p;
}

/* How much of it is written. */
static size_t taken(struct files *f, const struct file *file, uint64_t offset, size_t n,
                    int64_t *result)
{
    size_t done = n;
    uint64_t grow = offset + n > file->now.n ? offset + n - file->now.n : 0;

    *result = 0;
    if (grow > f->room) {
        uint64_t over = grow - f->room;
        done = over < n ? n - (size_t)over : 0;
        f->struck++;
        if (done == 0)
            *result = -ENOSPC;
    }
    if (done > 1 && strikes(f, f->faults.cut_short))
        done = 1 + rng_below(f->rng, (uint32_t)done - 1);
    if (f->dead || strikes(f, f->faults.write)) {
        *result = -EIO;
        done = rng_below(f->rng, 2) ? 0 : rng_below(f->rng, (uint32_t)done + 1);
    }
    if (*result == 0)
        *result = (int64_t)done;
    return done;
}

static ssize_t io_write(void *ctx, uint64_t segment, uint64_t offset, const struct iovec *iov,
                        int n, bool create)
{
    struct files *f = ctx;
    struct file *file = find(f, segment);
    int64_t result;
    size_t total;

    if (!lives(f))
        return -EIO;
    if (create && file)
        return -EEXIST;
    if (!create && !file)
        return -ENOENT;
    if (create && (f->room == 0 || f->dead || strikes(f, f->faults.other)) && rng_below(f->rng, 2))
        return f->room ? -EIO : -ENOSPC; /* not even the name */
    if (!file)
        file = make(f, segment);
    uint8_t *p = gather(iov, n, &total);
    size_t done = taken(f, file, offset, total, &result);
    uint64_t before = file->now.n;
    bytes_put(&file->now, offset, p, done);
    if (f->room != UINT64_MAX)
        f->room -= file->now.n - before;
    if (done > 0)
        add_op(file, offset, p, (uint32_t)done);
    else
        free(p);
    return result;
}

/* All removals before it stand as well: the directory was synced. */
static void forget_removed(struct files *f)
{
    for (uint32_t i = f->n; i-- > 0;) {
        if (f->all[i]->removed)
            drop(f, i);
    }
}

void files_open(struct files *f)
{
    forget_removed(f);
    for (uint32_t i = 0; i < f->n; i++)
        f->all[i]->named = true;
}

static void apply_op(struct bytes *b, const struct file_op *op)
{
    if (op->data)
        bytes_put(b, op->offset, op->data, op->n);
    else
        bytes_resize(b, op->offset);
}

static int io_sync(void *ctx, uint64_t segment)
{
    struct files *f = ctx;
    struct file *file = find(f, segment);

    if (!lives(f))
        return -EIO;
    if (!file)
        return -ENOENT;
    if (f->dead && rng_below(f->rng, 2))
        return -EIO;
    if (strikes(f, f->faults.sync)) {
        if (rng_below(f->rng, 2)) { /* what could not be written is forgotten */
            ops_clear(file);
            bytes_copy(&file->now, &file->synced);
            f->losses++;
        }
        return -EIO;
    }
    for (uint32_t i = 0; i < file->op_n; i++)
        apply_op(&file->synced, &file->ops[i]);
    ops_clear(file);
    if (!file->named)
        forget_removed(f);
    file->named = true;
    return 0;
}

static int io_truncate(void *ctx, uint64_t segment, uint64_t size)
{
    struct files *f = ctx;
    struct file *file = find(f, segment);

    if (!lives(f) || strikes(f, f->faults.other))
        return -EIO;
    if (!file)
        return -ENOENT;
    bytes_resize(&file->now, size);
    add_op(file, size, NULL, 0);
    return 0;
}

static int io_remove(void *ctx, uint64_t segment)
{
    struct files *f = ctx;
    struct file *file = find(f, segment);

    if (!lives(f) || strikes(f, f->faults.other))
        return -EIO;
    if (!file)
        return -ENOENT;
    file->removed = true;
    if (f->room != UINT64_MAX)
        f->room += file->now.n;
    return 0;
}

static int io_keep_copy(void *ctx, uint64_t segment, char *name, size_t name_max)
{
    struct files *f = ctx;

    if (!lives(f))
        return -EIO;
    if (!find(f, segment))
        return -ENOENT;
    (void)snprintf(name, name_max, "copy-%llu", (unsigned long long)++f->copies);
    return 0;
}

struct store_io files_io(struct files *f)
{
    return (struct store_io){
        .ctx = f,
        .list = io_list,
        .size = io_size,
        .read = io_read,
        .write = io_write,
        .sync = io_sync,
        .truncate = io_truncate,
        .remove = io_remove,
        .keep_copy = io_keep_copy,
    };
}

/* --- the power goes --- */

enum loss { LOSS_ALL, LOSS_TAIL, LOSS_ANY, LOSS_NONE, LOSSES };

/* Some sectors of it, or its beginning. */
static void apply_part(struct files *f, struct file *file, const struct file_op *op)
{
    uint32_t n = op->n;

    if (!op->data)
        return;
    if (rng_below(f->rng, 2)) {
        bytes_put(&file->synced, op->offset, op->data, rng_below(f->rng, n + 1));
        return;
    }
    for (uint32_t at = 0; at < n;) {
        uint32_t part = SECTOR - (uint32_t)((op->offset + at) % SECTOR);
        if (part > n - at)
            part = n - at;
        if (rng_below(f->rng, 2))
            bytes_put(&file->synced, op->offset + at, op->data + at, part);
        at += part;
    }
}

static void cut_file(struct files *f, struct file *file, enum loss how)
{
    uint32_t stop = how == LOSS_TAIL ? rng_below(f->rng, file->op_n + 1) : file->op_n;
    uint64_t size = file->now.n;

    for (uint32_t i = 0; i < file->op_n && how != LOSS_ALL; i++) {
        const struct file_op *op = &file->ops[i];
        unsigned luck = how == LOSS_ANY ? rng_below(f->rng, 3) : i < stop ? 1 : i > stop ? 0 : 2;
        if (luck == 1)
            apply_op(&file->synced, op);
        else if (luck == 2)
            apply_part(f, file, op);
    }
    ops_clear(file);
    /* The new size can be there before the bytes. */
    if (size > file->synced.n && rng_below(f->rng, 4) == 0)
        bytes_resize(&file->synced, size);
    bytes_copy(&file->now, &file->synced);
}

void files_cut(struct files *f)
{
    enum loss how = (enum loss)rng_below(f->rng, LOSSES);

    f->losses++;
    for (uint32_t i = f->n; i-- > 0;) {
        struct file *file = f->all[i];
        bool was_removed = file->removed;
        bool back = was_removed && file->named && rng_below(f->rng, 3) == 0;
        cut_file(f, file, rng_below(f->rng, 4) ? how : (enum loss)rng_below(f->rng, LOSSES));
        if (back && !find(f, file->segment))
            file->removed = false;
        if (file->removed || (!file->named && !was_removed && rng_below(f->rng, 2) == 0))
            drop(f, i);
        else
            file->named = true;
    }
}
