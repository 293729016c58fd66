/*
 * Cutting and filling.
 */
#include "store/mend.h"

#include <errno.h>

#define FILL_MAX ((uint64_t)1 << 40) /* bytes: a larger hole is no accident */

static enum err failed(struct scan *s, const char *what, uint64_t segment, int64_t result)
{
    char name[STORE_NAME_MAX];

    log_error(s->log, "Store %s: cannot %s %s: %s.", s->name, what,
              store_segment_name(segment, name), strerror((int)-result));
    return ERR_SYSTEM;
}

enum err mend_sync(struct scan *s, uint64_t segment)
{
    int result = s->io->sync(s->io->ctx, segment);

    return result < 0 ? failed(s, "sync", segment, result) : ERR_OK;
}

static enum err resize(struct scan *s, uint64_t segment, uint64_t size)
{
    int result = s->io->truncate(s->io->ctx, segment, size);

    return result < 0 ? failed(s, "cut", segment, result) : ERR_OK;
}

enum err mend_remove(struct scan *s, uint64_t segment)
{
    int result = s->io->remove(s->io->ctx, segment);

    return result < 0 && result != -ENOENT ? failed(s, "remove", segment, result) : ERR_OK;
}

enum err mend_copy(struct scan *s, struct scan_file *f)
{
    char name[STORE_NAME_MAX];
    char copy[256] = "";
    int result;

    if (f->copied)
        return ERR_OK;
    result = s->io->keep_copy(s->io->ctx, f->begin, copy, sizeof(copy));
    if (result < 0)
        return failed(s, "keep a copy of", f->begin, result);
    f->copied = true;
    log_notice(s->log, "Store %s: %s was kept as %s.", s->name, store_segment_name(f->begin, name),
               copy);
    return ERR_OK;
}

static enum err put(struct scan *s, uint64_t segment, uint64_t offset, uint8_t *p, size_t n,
                    bool create)
{
    const struct store_io *io = s->io;

    while (n > 0) {
        struct iovec iov = {.iov_base = p, .iov_len = n};
        ssize_t done = io->write(io->ctx, segment, offset, &iov, 1, create);
        if (done <= 0)
            return failed(s, "write", segment, done < 0 ? done : -ENOSPC);
        offset += (uint64_t)done;
        p += done;
        n -= (size_t)done;
        create = false;
    }
    return ERR_OK;
}

static enum err write_header(struct scan *s, uint64_t segment, bool create)
{
    struct store_segment_head h = {
        .format = STORE_FORMAT, .store_id = s->store_id, .segment = segment};
    uint8_t bytes[STORE_SEGMENT_HEADER];

    store_segment_write(bytes, &h);
    return put(s, segment, 0, bytes, sizeof(bytes), create);
}

/* Emptied first: should a removed name come back, it will have nothing to say. */
static enum err remove_last(struct scan *s)
{
    uint64_t segment = s->files[--s->count].begin;
    enum err e = resize(s, segment, 0);

    if (!e)
        e = mend_sync(s, segment);
    return e ? e : mend_remove(s, segment);
}

enum err mend_cut(struct scan *s, uint64_t position)
{
    size_t least = s->store_id ? 1 : 0;
    struct scan_file *f;
    enum err e = ERR_OK;

    /* From the last one back: if this is cut short, what is left is still one stream and a tail. */
    while (!e && s->count > least && s->files[s->count - 1].begin >= position)
        e = remove_last(s);
    if (e || s->count == 0)
        return e;
    f = &s->files[s->count - 1];
    if (f->header_ok && !f->foreign && scan_file_end(f) <= position)
        return ERR_OK;
    f->size = f->foreign ? 0 : position - f->begin + STORE_SEGMENT_HEADER;
    e = resize(s, f->begin, f->size);
    if (!e && (f->foreign || !f->header_ok))
        e = write_header(s, f->begin, false);
    return e ? e : mend_sync(s, f->begin);
}

/* Fillers from begin to end; a frame's length has 32 bits, and none may be shorter than a header.
 */
static enum err write_fillers(struct scan *s, uint64_t segment, uint64_t begin, uint64_t end)
{
    enum err e = ERR_OK;

    if (end - begin > FILL_MAX || (end > begin && end - begin < STORE_FRAME_HEADER)) {
        char name[STORE_NAME_MAX];
        log_error(s->log,
                  "Store %s: the hole of %llu bytes behind offset %llu of %s cannot be filled.",
                  s->name, (unsigned long long)(end - begin),
                  (unsigned long long)(begin - segment + STORE_SEGMENT_HEADER),
                  store_segment_name(segment, name));
        return ERR_MALFORMED;
    }
    while (!e && begin < end) {
        uint64_t n = end - begin;
        uint8_t bytes[STORE_FRAME_HEADER];
        if (n > UINT32_MAX)
            n = UINT32_MAX / 2;
        store_frame_write(bytes,
                          &(struct store_frame){.length = (uint32_t)(n - STORE_FRAME_HEADER),
                                                .flags = STORE_FRAME_FILLER},
                          s->store_id, begin);
        e = put(s, segment, begin - segment + STORE_SEGMENT_HEADER, bytes, sizeof(bytes), false);
        begin += n;
    }
    return e;
}

enum err mend_fill(struct scan *s, const struct scan_bad *bad)
{
    struct scan_file *f = &s->files[bad->file];
    uint64_t size = bad->end - f->begin + STORE_SEGMENT_HEADER;
    enum err e = mend_copy(s, f);

    if (!e && bad->kind == SCAN_FOREIGN) {
        f->size = 0;
        f->header_ok = false;
        e = resize(s, f->begin, 0);
    }
    if (!e && !f->header_ok)
        e = write_header(s, f->begin, false);
    f->header_ok = f->header_ok || !e;
    if (!e)
        e = write_fillers(s, f->begin, bad->begin, bad->end);
    if (!e && f->size < size) {
        f->size = size;
        e = resize(s, f->begin, size);
    }
    return e ? e : mend_sync(s, f->begin);
}

enum err mend_missing(struct scan *s, uint64_t begin, uint64_t end)
{
    enum err e = write_header(s, begin, true);

    if (!e)
        e = write_fillers(s, begin, begin, end);
    if (!e)
        e = resize(s, begin, end - begin + STORE_SEGMENT_HEADER);
    return e ? e : mend_sync(s, begin);
}
