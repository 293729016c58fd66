/*
 * Deciding what of a store is valid, what is a tail, and what is damaged.
 *
 * As a rule the files are read once, and their frames applied on the way until something bad comes;
 * nothing is changed before all has been read. A look or a salvage, or segments with gaps between
 * them, takes two walks: the first decides, the second applies. Gaps may be harmless: removals of
 * segments that are not needed any more can be lost in a power cut one without the other, so what
 * stands before the `oldest` of the last frame does not count.
 *
 * What has been read may still be on its way to the disk, if only the process died. It is synced at
 * the end, so that all that was found may be called durable.
 */
#include "store/recover.h"

#include "base/mem.h"
#include "store/mend.h"
#include "store/scan.h"

#include <inttypes.h>
#include <stdio.h>

#define REPORTED 8 /* damaged places named in the log */

struct verdict {
    uint64_t cut;          /* position of the tail; UINT64_MAX: there is none */
    size_t tail;           /* index of its first bad place; bad_count: none */
    uint64_t oldest;       /* segments before are not needed */
    uint64_t turn, frames; /* up to the cut */
    uint64_t front;        /* bytes missing in front of the first segment */
    bool once;             /* one walk: nothing behind the first bad place has been applied */
};

void recovered_clear(struct recovered *r)
{
    mem_free(r->segments, r->cap * sizeof(*r->segments));
    *r = (struct recovered){0};
}

static bool is_strict(const struct scan *s)
{
    return !s->salvage && !s->read_only;
}

/* --- the log --- */

static const char *phrase(enum scan_kind kind)
{
    switch (kind) {
    case SCAN_FRAME:
        return "cannot be read";
    case SCAN_MISSING:
        return "are missing";
    case SCAN_HEADER:
        return "follow a header that cannot be read";
    case SCAN_FOREIGN:
        return "belong to another store or another place";
    case SCAN_RECORDS:
        return "are records that make no sense";
    }
    return "";
}

static void report_one(const struct scan *s, const struct scan_bad *bad, const char *advice)
{
    const struct scan_file *f = &s->files[bad->file];
    char name[STORE_NAME_MAX];
    char turns[80] = "";

    if (bad->until == bad->turn + 1)
        (void)snprintf(turns, sizeof(turns), " (turn %" PRIu64 ")", bad->until);
    else if (bad->until > bad->turn)
        (void)snprintf(turns, sizeof(turns), " (turns %" PRIu64 " to %" PRIu64 ")", bad->turn + 1,
                       bad->until);
    log_error(s->log, "Store %s: damage in %s at offset %" PRIu64 ": %" PRIu64 " bytes %s%s.%s",
              s->name, store_segment_name(f->begin, name),
              bad->kind == SCAN_HEADER || bad->kind == SCAN_FOREIGN
                  ? 0
                  : bad->begin - f->begin + STORE_SEGMENT_HEADER,
              bad->kind == SCAN_HEADER ? f->size : bad->end - bad->begin, phrase(bad->kind), turns,
              advice);
}

static void report_front(const struct scan *s, const struct verdict *v, const char *advice)
{
    char name[STORE_NAME_MAX];
    char first[STORE_NAME_MAX];

    log_error(s->log,
              "Store %s: damage in front of %s at offset 0: %" PRIu64
              " bytes are missing, from segment %s on.%s",
              s->name, store_segment_name(s->files[0].begin, first), v->front,
              store_segment_name(v->oldest, name), advice);
}

#define REFUSAL                                                                                    \
    " Nothing was changed; with 'persistence_recover salvage' the broker keeps what can be read."

/* --- the verdict --- */

/* Does the last frame say that this file may go? */
static bool is_old(const struct scan *s, const struct verdict *v, size_t file)
{
    return file + 1 < s->count && s->files[file + 1].begin <= v->oldest;
}

static bool is_damage(const struct scan *s, const struct verdict *v, size_t i)
{
    const struct scan_bad *bad = &s->bad[i];

    return (v->once || !is_old(s, v, bad->file)) && (bad->begin < s->durable || bad->always);
}

static struct verdict judge(const struct scan *s, bool once)
{
    struct verdict v = {.once = once,
                        .cut = UINT64_MAX,
                        .tail = s->bad_count,
                        .oldest = s->oldest,
                        .turn = s->turn,
                        .frames = s->frames};

    for (size_t i = 0; i < s->bad_count; i++) {
        const struct scan_bad *bad = &s->bad[i];
        bool last = bad->kind == SCAN_FOREIGN && bad->file + 1 == s->count;
        if (bad->begin < s->durable || (bad->always && !last))
            continue;
        v = (struct verdict){.once = once,
                             .cut = bad->begin,
                             .tail = i,
                             .oldest = bad->oldest,
                             .turn = bad->turn,
                             .frames = bad->frames};
        break;
    }
    if (s->count > 0 && s->files[0].begin > v.oldest)
        v.front = s->files[0].begin - v.oldest;
    return v;
}

/* Damage into the log, and counted; how many places. */
static uint64_t report(const struct scan *s, const struct verdict *v, struct recovered *out)
{
    const char *advice = is_strict(s) ? REFUSAL : "";
    uint64_t n = 0;

    if (v->front) {
        report_front(s, v, advice);
        out->damaged_bytes += v->front;
        n++;
    }
    for (size_t i = 0; i < s->bad_count; i++) {
        if (!is_damage(s, v, i))
            continue;
        if (n++ < REPORTED)
            report_one(s, &s->bad[i], advice);
        out->damaged_bytes += s->bad[i].end - s->bad[i].begin;
    }
    if (n > REPORTED)
        log_error(s->log, "Store %s: %" PRIu64 " more places are damaged.", s->name, n - REPORTED);
    out->damaged = n;
    return n;
}

/* --- a store that says nothing --- */

/* What is left when the power went while the first file was begun: see store.c. */
static bool is_stillborn(const struct scan *s)
{
    if (s->count + s->empty_count != 1)
        return s->count + s->empty_count == 0;
    if (s->count == 0)
        return s->empty[0] == 0;
    return s->files[0].begin == 0 && s->files[0].size <= STORE_SEGMENT_HEADER;
}

static enum err remove_empty(struct scan *s)
{
    enum err e = ERR_OK;

    for (size_t i = 0; i < s->empty_count && !e; i++)
        e = mend_remove(s, s->empty[i]);
    return e;
}

static enum err begin_anew(struct scan *s)
{
    enum err e = ERR_OK;

    if (s->count + s->empty_count > 0)
        log_warning(s->log, "Store %s: nothing of it can be read; a new one begins.", s->name);
    for (size_t i = 0; i < s->count && !e; i++)
        e = mend_copy(s, &s->files[i]);
    if (!e)
        e = mend_cut(s, 0);
    return e ? e : remove_empty(s);
}

static enum err no_store(struct scan *s, struct recovered *out)
{
    bool strict = is_strict(s);
    char name[STORE_NAME_MAX];

    if (!is_stillborn(s)) {
        out->damaged = 1;
        log_error(s->log,
                  "Store %s: damage in %s at offset 0: its header cannot be read, and so nothing "
                  "of %zu segments.%s",
                  s->name, store_segment_name(s->count > 0 ? s->files[0].begin : s->empty[0], name),
                  s->count + s->empty_count, strict ? REFUSAL : "");
    }
    if (out->damaged && strict)
        return ERR_MALFORMED;
    return s->read_only ? ERR_OK : begin_anew(s);
}

/* --- changing the disk --- */

static enum err salvage(struct scan *s, const struct verdict *v)
{
    enum err e = ERR_OK;

    for (size_t i = 0; i < s->bad_count && !e; i++)
        if (is_damage(s, v, i) && s->bad[i].begin < v->cut)
            e = mend_fill(s, &s->bad[i]);
    return e;
}

static void forget_file(struct scan *s, size_t i)
{
    s->count--;
    memmove(&s->files[i], &s->files[i + 1], (s->count - i) * sizeof(*s->files));
}

/* Segments that nothing needs any more. */
static enum err remove_old(struct scan *s, const struct verdict *v)
{
    enum err e = ERR_OK;

    while (!e && is_old(s, v, 0)) {
        e = mend_remove(s, s->files[0].begin);
        forget_file(s, 0);
    }
    return e;
}

/* After this, all that was found is durable. */
static enum err sync_found(struct scan *s)
{
    enum err e = ERR_OK;

    for (size_t i = 0; i < s->count && !e; i++)
        if (scan_file_end(&s->files[i]) > s->durable || i + 1 == s->count)
            e = mend_sync(s, s->files[i].begin);
    return e;
}

static uint64_t tail_bytes(const struct scan *s, uint64_t cut)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s->count; i++) {
        const struct scan_file *f = &s->files[i];
        if (f->begin >= cut && (i > 0 || !f->header_ok))
            n += f->size;
        else if (scan_file_end(f) > cut)
            n += scan_file_end(f) - (f->begin > cut ? f->begin : cut);
    }
    return n;
}

static enum err cut_tail(struct scan *s, const struct verdict *v, struct recovered *out)
{
    const struct scan_bad *bad = &s->bad[v->tail];
    const struct scan_file *f = &s->files[bad->file];
    char name[STORE_NAME_MAX];
    enum err e = ERR_OK;

    out->cut_bytes = tail_bytes(s, v->cut);
    log_info(s->log,
             "Store %s: cutting %s at offset %" PRIu64 ": %" PRIu64
             " bytes behind it were not synced and are not complete.",
             s->name, store_segment_name(f->begin, name),
             bad->kind == SCAN_HEADER ? 0 : v->cut - f->begin + STORE_SEGMENT_HEADER,
             out->cut_bytes);
    if (v->frames == 0 && out->cut_bytes > 0) {
        log_warning(s->log, "Store %s: there is no complete frame; the store begins anew.",
                    s->name);
        e = mend_copy(s, &s->files[0]);
    }
    for (size_t i = bad->file; i < s->count && !e; i++)
        if (s->files[i].foreign)
            e = mend_copy(s, &s->files[i]);
    return e ? e : mend_cut(s, v->cut);
}

static enum err change(struct scan *s, const struct verdict *v, struct recovered *out)
{
    enum err e = remove_empty(s);

    if (!e)
        e = salvage(s, v);
    if (!e && v->tail < s->bad_count)
        e = cut_tail(s, v, out);
    if (!e && v->front)
        e = mend_missing(s, v->oldest, s->files[0].begin);
    if (!e)
        e = sync_found(s);
    return e ? e : remove_old(s, v);
}

/* --- the result --- */

/* Before anything is changed, so that nothing can fail for want of memory afterwards. */
static enum err reserve_result(const struct scan *s, struct recovered *out)
{
    out->cap = s->count + 1; /* one that was missing in front */
    out->segments = mem_alloc(out->cap * sizeof(*out->segments));
    if (!out->segments)
        out->cap = 0;
    return out->segments ? ERR_OK : ERR_NOMEM;
}

static void make_result(const struct scan *s, const struct verdict *v, struct recovered *out)
{
    uint64_t next = s->next < v->cut ? s->next : v->cut;

    out->store_id = s->count > 0 ? s->store_id : 0;
    out->turn = v->turn;
    out->frames = v->frames;
    out->next = next;
    if (s->read_only)
        out->cut_bytes = tail_bytes(s, v->cut);
    if (v->front && !s->read_only)
        out->segments[out->count++] =
            (struct store_segment){.begin = v->oldest, .end = s->files[0].begin};
    for (size_t i = 0; i < s->count && s->files[i].begin <= next; i++) {
        uint64_t end = i + 1 < s->count ? s->files[i + 1].begin : next;
        out->segments[out->count++] =
            (struct store_segment){.begin = s->files[i].begin, .end = end < next ? end : next};
    }
}

/* The second walk: what is needed and can be read is applied. */
static enum err apply_found(struct scan *s, struct verdict *v, struct recovered *out)
{
    size_t before = s->bad_count;
    uint64_t durable = s->durable;
    enum err e;

    s->applying = s->skip = true;
    for (size_t i = 0; i < s->count && is_old(s, v, i); i++)
        s->from = s->files[i + 1].begin;
    s->until = v->cut;
    e = scan_run(s);
    s->durable = durable;
    if (e || s->bad_count == before)
        return e;
    out->damaged_bytes = 0;
    if (v->tail == before)
        v->tail = s->bad_count;
    return report(s, v, out) && is_strict(s) ? ERR_MALFORMED : ERR_OK;
}

static enum err recover(struct scan *s, struct recovered *out)
{
    bool twice = !is_strict(s) || !scan_is_whole(s);
    struct verdict v;
    enum err e;

    s->applying = !twice;
    e = scan_run(s);
    if (e)
        return e;
    v = judge(s, !twice);
    if (report(s, &v, out) > 0 && is_strict(s))
        return ERR_MALFORMED;
    if (twice)
        e = apply_found(s, &v, out);
    if (!e)
        e = reserve_result(s, out);
    if (!e && !s->read_only)
        e = change(s, &v, out);
    if (!e)
        make_result(s, &v, out);
    return e;
}

enum err store_recover(const struct recover_setup *setup, struct recovered *out)
{
    struct scan s = {.io = setup->io,
                     .log = setup->log,
                     .name = setup->name,
                     .read_only = setup->read_only,
                     .salvage = setup->salvage,
                     .apply = setup->apply,
                     .apply_ctx = setup->apply_ctx};
    enum err e = scan_open(&s);

    *out = (struct recovered){0};
    if (!e)
        e = s.store_id ? recover(&s, out) : no_store(&s, out);
    scan_clear(&s);
    if (e)
        recovered_clear(out);
    return e;
}
