/*
 * Reading segments in large pieces, frame by frame.
 */
#include "store/scan.h"

#include "base/mem.h"

#include <errno.h>

#define CHUNK ((size_t)1024 * 1024)

static const char magic[4] = STORE_FRAME_MAGIC;

void scan_clear(struct scan *s)
{
    mem_free(s->files, s->cap * sizeof(*s->files));
    mem_free(s->empty, s->cap * sizeof(*s->empty));
    mem_free(s->bad, s->bad_cap * sizeof(*s->bad));
    mem_free(s->window, s->window_cap);
    *s = (struct scan){0};
}

uint64_t scan_file_end(const struct scan_file *f)
{
    return f->begin + (f->size > STORE_SEGMENT_HEADER ? f->size - STORE_SEGMENT_HEADER : 0);
}

bool scan_is_whole(const struct scan *s)
{
    for (size_t i = 0; i + 1 < s->count; i++)
        if (scan_file_end(&s->files[i]) != s->files[i + 1].begin)
            return false;
    return true;
}

/* Bytes that cannot be read, and right behind them more. */
static bool is_continued(const struct scan_bad *last, const struct scan_bad *bad)
{
    return last->file == bad->file && last->end == bad->begin && last->kind == SCAN_FRAME &&
           (bad->kind == SCAN_FRAME || bad->kind == SCAN_MISSING);
}

enum err scan_add_bad(struct scan *s, const struct scan_bad *bad)
{
    if (s->bad_count > 0 && is_continued(&s->bad[s->bad_count - 1], bad)) {
        s->bad[s->bad_count - 1].end = bad->end;
        return ERR_OK;
    }
    if (s->bad_count == s->bad_cap) {
        size_t cap = s->bad_cap ? s->bad_cap * 2 : 16;
        struct scan_bad *grown =
            mem_realloc(s->bad, s->bad_cap * sizeof(*grown), cap * sizeof(*grown));
        if (!grown)
            return ERR_NOMEM;
        s->bad = grown;
        s->bad_cap = cap;
    }
    s->bad[s->bad_count++] = *bad;
    return ERR_OK;
}

static enum err note(struct scan *s, enum scan_kind kind, size_t file, uint64_t begin, uint64_t end)
{
    struct scan_bad bad = {.kind = kind,
                           .file = file,
                           .begin = begin,
                           .end = end,
                           .turn = s->turn,
                           .oldest = s->oldest,
                           .frames = s->frames};

    /* The first header was synced before anything else was written. */
    bad.always = kind == SCAN_FOREIGN || (kind == SCAN_HEADER && file == 0);
    return s->skip ? ERR_OK : scan_add_bad(s, &bad);
}

static enum err cannot_read(const struct scan *s, uint64_t segment, int64_t result)
{
    char name[STORE_NAME_MAX];

    log_error(s->log, "Store %s: cannot read %s: %s.", s->name, store_segment_name(segment, name),
              strerror((int)-result));
    return ERR_SYSTEM;
}

/* --- files --- */

static enum err list_files(struct scan *s)
{
    const struct store_io *io = s->io;
    uint64_t *names = NULL;
    size_t cap = 0;
    ssize_t n = io->list(io->ctx, NULL, 0);

    while (n > 0 && (size_t)n > cap) {
        mem_free(names, cap * sizeof(*names));
        cap = (size_t)n;
        names = mem_alloc(cap * sizeof(*names));
        if (!names)
            return ERR_NOMEM;
        n = io->list(io->ctx, names, cap);
    }
    if (n < 0) {
        log_error(s->log, "Store %s: cannot read the directory: %s.", s->name, strerror((int)-n));
        mem_free(names, cap * sizeof(*names));
        return ERR_SYSTEM;
    }
    s->empty = names;
    s->empty_count = (size_t)n;
    s->cap = cap;
    s->files = mem_alloc(cap * sizeof(*s->files));
    return s->files ? ERR_OK : ERR_NOMEM;
}

/* Parts the files with something in them from the empty ones. */
static enum err take_sizes(struct scan *s)
{
    const struct store_io *io = s->io;
    size_t names = s->empty_count;

    s->empty_count = 0;
    for (size_t i = 0; i < names; i++) {
        uint64_t segment = s->empty[i];
        int64_t size = io->size(io->ctx, segment);
        if (size == -ENOENT && s->read_only)
            continue; /* removed by who is running it */
        if (size < 0)
            return cannot_read(s, segment, size);
        if (size > 0)
            s->files[s->count++] = (struct scan_file){.begin = segment, .size = (uint64_t)size};
        else
            s->empty[s->empty_count++] = segment;
    }
    return ERR_OK;
}

/* Bytes of a file; *p is NULL if the file has become shorter meanwhile. offset + n <= size. */
static enum err need(struct scan *s, size_t file, uint64_t offset, size_t n, const uint8_t **p)
{
    struct scan_file *f = &s->files[file];
    const struct store_io *io = s->io;
    size_t keep = 0;
    size_t want = n > CHUNK ? n : CHUNK;
    ssize_t got;

    *p = s->window;
    if (s->window_file == file && offset >= s->window_at && offset < s->window_at + s->window_n) {
        *p = s->window + (offset - s->window_at);
        keep = s->window_n - (size_t)(offset - s->window_at);
        if (keep >= n)
            return ERR_OK;
    }
    if (want > f->size - offset)
        want = (size_t)(f->size - offset);
    if (keep > 0)
        memmove(s->window, *p, keep);
    s->window_n = keep;
    if (want > s->window_cap) {
        uint8_t *grown = mem_realloc(s->window, s->window_cap, want);
        if (!grown)
            return ERR_NOMEM;
        s->window = grown;
        s->window_cap = want;
    }
    s->window_file = file;
    s->window_at = offset;
    got = io->read(io->ctx, f->begin, offset + keep, s->window + keep, want - keep);
    if (got < 0 && !(got == -ENOENT && s->read_only))
        return cannot_read(s, f->begin, got);
    s->window_n += got > 0 ? (size_t)got : 0;
    if (s->window_n < want)
        f->size = offset + s->window_n;
    *p = s->window_n >= n ? s->window : NULL;
    return ERR_OK;
}

static enum err wrong_format(const struct scan *s, const struct store_segment_head *h)
{
    char name[STORE_NAME_MAX];

    log_error(s->log,
              "Store %s: %s has format %u, and this release reads format %u only. Nothing was "
              "changed.",
              s->name, store_segment_name(h->segment, name), (unsigned)h->format,
              (unsigned)STORE_FORMAT);
    return ERR_UNSUPPORTED;
}

/* If no header is right: does the first frame agree with what stands where the id should be? */
static enum err guess_id(struct scan *s, size_t file, uint64_t id)
{
    const struct scan_file *f = &s->files[file];
    struct store_frame frame;
    const uint8_t *p = NULL;
    enum err e = ERR_OK;

    if (f->size >= STORE_SEGMENT_HEADER + STORE_FRAME_HEADER)
        e = need(s, file, STORE_SEGMENT_HEADER, STORE_FRAME_HEADER, &p);
    if (!e && p && store_frame_read(p, id, f->begin, &frame))
        s->store_id = id;
    return e;
}

/* The id that most headers say; of an even number the later. */
static enum err read_headers(struct scan *s)
{
    struct store_segment_head h;
    uint64_t votes = 0;
    uint64_t guess = 0;
    size_t guess_file = 0;

    for (size_t i = 0; i < s->count; i++) {
        const uint8_t *p = NULL;
        enum err e = ERR_OK;
        if (s->files[i].size >= STORE_SEGMENT_HEADER)
            e = need(s, i, 0, STORE_SEGMENT_HEADER, &p);
        if (e)
            return e;
        if (!p)
            continue;
        s->files[i].header_ok = store_segment_read(p, &h);
        if (!s->files[i].header_ok && guess == 0) {
            guess = h.store_id;
            guess_file = i;
        }
        if (!s->files[i].header_ok)
            continue;
        if (h.format != STORE_FORMAT)
            return wrong_format(s, &h);
        if (h.store_id == s->store_id)
            votes++;
        else if (votes > 0 && --votes > 0)
            continue;
        else
            s->store_id = h.store_id, votes = 1;
    }
    return s->store_id || !guess ? ERR_OK : guess_id(s, guess_file, guess);
}

/* A right header that says another store, or another place. */
static enum err find_foreign(struct scan *s)
{
    for (size_t i = 0; i < s->count; i++) {
        struct store_segment_head h;
        const uint8_t *p = NULL;
        enum err e = ERR_OK;
        if (s->files[i].header_ok)
            e = need(s, i, 0, STORE_SEGMENT_HEADER, &p);
        if (e)
            return e;
        s->files[i].header_ok = p && store_segment_read(p, &h);
        if (s->files[i].header_ok)
            s->files[i].foreign = h.store_id != s->store_id || h.segment != s->files[i].begin;
    }
    return ERR_OK;
}

enum err scan_open(struct scan *s)
{
    enum err e = list_files(s);

    s->until = UINT64_MAX;
    if (!e)
        e = take_sizes(s);
    if (!e)
        e = read_headers(s);
    return e ? e : find_foreign(s);
}

/* --- frames --- */

static enum err give(struct scan *s, size_t file, uint64_t position, struct str records)
{
    enum err e;

    if (!s->applying || records.n == 0 || position < s->from || position >= s->until ||
        (!s->skip && s->bad_count > 0))
        return ERR_OK;
    e = s->apply(s->apply_ctx, position + STORE_FRAME_HEADER, records);
    if (e == ERR_MALFORMED) {
        struct scan_bad bad = {.kind = SCAN_RECORDS,
                               .always = true,
                               .file = file,
                               .begin = position,
                               .end = position + STORE_FRAME_HEADER + records.n,
                               .turn = s->turn - 1,
                               .until = s->turn,
                               .oldest = s->oldest,
                               .frames = s->frames};
        e = scan_add_bad(s, &bad);
    }
    return e;
}

static void count_frame(struct scan *s, const struct store_frame *f)
{
    uint64_t last = f->flags & STORE_FRAME_SEAL ? f->turn : f->turn - 1;

    for (; s->asked < s->bad_count; s->asked++)
        if (s->bad[s->asked].until == 0)
            s->bad[s->asked].until = last;
    s->turn = f->turn;
    s->oldest = f->oldest;
    s->frames++;
    if (f->durable > s->durable)
        s->durable = f->durable;
}

/* What no frame of ours can say, whatever its checksum. */
static bool is_plausible(const struct scan *s, const struct store_frame *f, uint64_t position)
{
    if (f->durable > position || f->oldest > position)
        return false;
    return f->flags & STORE_FRAME_SEAL ? f->turn >= s->turn && f->length == 0 : f->turn > s->turn;
}

/* The first header that checks in these bytes, which stand at `from`; `n` if there is none. */
static size_t search_in(const struct scan *s, const uint8_t *p, size_t n, uint64_t from,
                        uint64_t end)
{
    for (size_t at = 0; n - at >= STORE_FRAME_HEADER; at++) {
        struct store_frame f;
        const uint8_t *hit = memchr(p + at, magic[0], n - at - STORE_FRAME_HEADER + 1);
        if (!hit)
            return n;
        at = (size_t)(hit - p);
        if (memcmp(hit, magic, sizeof(magic)) == 0 &&
            store_frame_read(hit, s->store_id, from + at, &f) &&
            f.length <= end - from - at - STORE_FRAME_HEADER)
            return at;
    }
    return n;
}

/* Where the next header is that checks; `end` if there is none. */
static enum err search(struct scan *s, size_t file, uint64_t from, uint64_t end, uint64_t *found)
{
    uint64_t begin = s->files[file].begin;

    *found = end;
    while (from < end && end - from >= STORE_FRAME_HEADER) {
        size_t n = end - from < CHUNK ? (size_t)(end - from) : CHUNK;
        const uint8_t *p;
        size_t at;
        enum err e = need(s, file, from - begin + STORE_SEGMENT_HEADER, n, &p);
        if (e || !p)
            return e;
        at = search_in(s, p, n, from, end);
        if (at < n) {
            *found = from + at;
            return ERR_OK;
        }
        from += n - STORE_FRAME_HEADER + 1;
    }
    return ERR_OK;
}

/*
 * The frame at this position, and where the next one begins. *ok is false if it is bad: then *next
 * is where to go on, `end` if nowhere.
 */
static enum err one_frame(struct scan *s, size_t file, uint64_t position, uint64_t end,
                          uint64_t *next, bool *ok)
{
    uint64_t offset = position - s->files[file].begin + STORE_SEGMENT_HEADER;
    struct store_frame f = {0};
    const uint8_t *p = NULL;
    enum err e = ERR_OK;
    struct str records;

    *ok = false;
    *next = end;
    if (end - position < STORE_FRAME_HEADER)
        return ERR_OK;
    e = need(s, file, offset, STORE_FRAME_HEADER, &p);
    if (e || !p)
        return e;
    if (!store_frame_read(p, s->store_id, position, &f))
        return search(s, file, position + STORE_FRAME_HEADER, end, next);
    if (f.length > end - position - STORE_FRAME_HEADER)
        return ERR_OK;
    *next = position + STORE_FRAME_HEADER + f.length;
    if (f.flags & STORE_FRAME_FILLER) {
        *ok = true;
        return ERR_OK;
    }
    e = need(s, file, offset, STORE_FRAME_HEADER + (size_t)f.length, &p);
    if (e || !p)
        return e;
    records = str_of((const char *)p + STORE_FRAME_HEADER, f.length);
    *ok = is_plausible(s, &f, position) && store_sum(records) == f.payload_sum;
    if (!*ok)
        return ERR_OK;
    count_frame(s, &f);
    return give(s, file, position, records);
}

static enum err walk_file(struct scan *s, size_t i)
{
    const struct scan_file *f = &s->files[i];
    uint64_t limit = i + 1 < s->count ? f[1].begin : scan_file_end(f);
    uint64_t position = f->begin;
    enum err e = ERR_OK;

    s->next = limit;
    if (f->foreign)
        return note(s, SCAN_FOREIGN, i, f->begin, limit);
    if (!f->header_ok)
        e = note(s, SCAN_HEADER, i, f->begin, f->begin);
    while (!e && position < limit) {
        uint64_t end = scan_file_end(f) < limit ? scan_file_end(f) : limit;
        uint64_t next;
        bool ok;
        if (position >= end)
            return note(s, SCAN_MISSING, i, position, limit);
        e = one_frame(s, i, position, end, &next, &ok);
        if (!e && !ok)
            e = note(s, SCAN_FRAME, i, position, next);
        position = next;
    }
    return e;
}

enum err scan_run(struct scan *s)
{
    enum err e = ERR_OK;

    s->turn = s->oldest = s->frames = s->durable = s->next = 0;
    for (size_t i = 0; i < s->count && !e; i++)
        e = walk_file(s, i);
    return e;
}
