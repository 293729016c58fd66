/*
 * Old segments: read, looked at by the broker, removed.
 *
 * The broker records anew what is still true of them. When all frames of a segment have been looked
 * at, the next frame that is put says so (`oldest`); since a frame counts only if all before it are
 * there, what was recorded anew is on the disk when that frame is. Once it has been synced, the
 * file goes.
 *
 * Segments go in their order, so one that cannot be read stops all: nothing is removed that was not
 * looked at.
 *
 * How much: when there are more bytes than twice what is live and SLACK segments, or when max_size
 * comes near; four bytes for each one that is put, so that cleaning wins over writing while less
 * than three quarters of what is looked at is still true. A pass over everything that frees next
 * to nothing shows that the live bytes were estimated too low: the next waits until the journal has
 * grown beyond what that pass has looked at, or the broker has less.
 *
 * max_size: at the limit, writing goes on as long as cleaning will bring the size down again
 * (live <= 3/4 max_size, and the last pass was of use): the copies must be written too, and so must
 * the records that say what is not true any more, and all frames in their order. Until the first
 * removal the limit is exceeded by what waited in memory (about max_unsynced) and a segment or two.
 * Otherwise no more publications are let in (store_is_behind), and what makes room is still
 * written: readers must connect, and what they get and acknowledge must be recorded. For that there
 * is a reserve of two segments above the limit; when it is used up nothing is written until the
 * broker has less, or max_size is raised.
 */
#include "store/store.h"

#include "base/mem.h"
#include "store/inside.h"

#include <errno.h>

#define READ_SIZE ((size_t)256 * 1024)
#define HEADER_READ ((size_t)4096)
#define PACE 4
#define PACE_LEAST ((uint64_t)64 * 1024)
#define PACE_MOST ((uint64_t)4 * 1024 * 1024) /* in one turn; the rest is owed */
#define PASS_COST 512                         /* of a frame that is passed by, at least */
/* Fewer than are promised: one is being written, one waits for its sync before it is cleaned, and
 * one for its removal. */
#define SLACK 1
#define FUTILE_MS 60000 /* at max_size, a pass is tried again so much later */

void store_clean_init(struct store *s)
{
    s->clean.live = UINT64_MAX; /* until we are told */
    s->clean.look = s->count > 0 ? s->segments[0].begin : s->next;
    s->clean.paced = s->next;
    s->clean.own = s->next;
}

static void drop_data(struct store_clean *c)
{
    mem_free(c->data, c->cap);
    c->data = NULL;
    c->cap = c->n = 0;
}

void store_clean_clear(struct store *s)
{
    drop_data(&s->clean);
}

/* --- when --- */

static uint64_t size_now(const struct store *s)
{
    return store_bytes_to(s, s->next);
}

/* All that would be left if what has been looked at were removed. */
static uint64_t size_left(const struct store *s)
{
    return size_now(s) - (s->clean.look - s->segments[0].begin);
}

static bool is_near_limit(const struct store *s)
{
    return s->max_size && size_left(s) + SLACK * store_segment_limit(s) >= s->max_size &&
           s->clean.live <= s->max_size / 4 * 3;
}

static bool is_over(const struct store *s)
{
    uint64_t left = size_left(s);
    uint64_t slack = SLACK * store_segment_limit(s);

    return left > slack && s->clean.live <= (left - slack) / 2;
}

static bool is_futile(const struct store *s)
{
    const struct store_clean *c = &s->clean;

    uint64_t again = c->futile_size + c->futile_size / 4 + 2 * store_segment_limit(s);

    if (!c->futile || size_now(s) > again || c->live < c->futile_live - c->futile_live / 4)
        return false;
    return !s->max_size || s->now_ms < c->futile_ms + FUTILE_MS;
}

bool store_clean_helps(const struct store *s)
{
    return s->clean.live <= s->max_size / 4 * 3 && !is_futile(s) && !s->clean.error;
}

bool store_clean_presses(const struct store *s)
{
    uint64_t limit = store_segment_limit(s);
    uint64_t size = size_now(s);

    return s->written - s->durable >= limit && size > SLACK * limit &&
           s->clean.live <= (size - SLACK * limit) / 2;
}

/* Is the segment that comes next, or of which some was looked at already, to be cleaned now? */
static bool is_wanted(const struct store *s)
{
    const struct store_clean *c = &s->clean;
    const struct store_segment *segment;
    size_t i;

    if (s->failed || c->error || s->count < 2)
        return false;
    i = store_find(s, c->look);
    segment = &s->segments[i];
    if (i + 1 == s->count || segment->end > s->durable)
        return false;
    if (c->look > segment->begin || c->left > 0 || segment->begin < c->compact)
        return true;
    return !is_futile(s) && (is_over(s) || is_near_limit(s));
}

/* --- passes --- */

static void end_pass(struct store *s)
{
    struct store_clean *c = &s->clean;
    uint64_t read = c->pass_end - c->pass_begin;

    c->futile = read > 0 && c->pass_copied >= read - read / 8;
    c->futile_size = read;
    c->futile_live = c->live > c->pass_live ? c->live : c->pass_live;
    c->futile_ms = s->now_ms;
}

/* At the begin of a segment. */
static void count_pass(struct store *s)
{
    struct store_clean *c = &s->clean;

    if (c->look < c->pass_end)
        return;
    c->pass_begin = c->look;
    c->pass_end = s->segments[s->count - 1].begin;
    c->pass_copied = 0;
    c->pass_live = c->live;
    c->futile = false;
}

static void look_on(struct store *s, uint64_t n)
{
    struct store_clean *c = &s->clean;
    uint64_t before = c->look;

    c->look += n;
    if (before < c->pass_end && c->look >= c->pass_end)
        end_pass(s);
}

void store_set_live(struct store *s, uint64_t bytes)
{
    struct store_clean *c = &s->clean;
    uint64_t put = s->next - c->paced;

    c->live = bytes;
    c->paced = s->next;
    put -= c->copied < put ? c->copied : put;
    c->copied = 0;
    c->owed = is_wanted(s) ? c->owed + PACE * put : 0;
    c->allowance = c->owed < PACE_MOST ? c->owed : PACE_MOST;
    c->owed -= c->allowance;
    c->allowance += PACE_LEAST;
    c->untouched = false;
    /* A large frame is over, or all. */
    if (c->left == 0 && !c->reading &&
        (!is_wanted(s) || (c->cap > READ_SIZE && c->at + c->n <= c->look)))
        drop_data(c);
}

void store_set_first(struct store *s, uint64_t position)
{
    s->clean.first = position;
}

void store_compact(struct store *s)
{
    s->clean.compact = s->next;
    s->clean.error = 0; /* once more */
    s->rotate = s->count > 0;
    store_sync_soon(s);
}

/* --- frames --- */

static void stop_cleaning(struct store *s, int error)
{
    struct store_clean *c = &s->clean;

    c->error = error;
    c->error_segment = s->segments[store_find(s, c->look)].begin;
    c->error_offset = c->look - c->error_segment + STORE_SEGMENT_HEADER;
    c->left = 0;
    c->n = 0;
    c->want = 0;
}

/* The `n` bytes from `look` on; NULL: they are to be read. */
static const uint8_t *have(struct store_clean *c, size_t n)
{
    if (c->reading)
        return NULL;
    if (c->look >= c->at && c->look - c->at <= c->n && c->n - (c->look - c->at) >= n)
        return c->data + (c->look - c->at);
    c->want = n;
    return NULL;
}

/* Nothing of it is true any more, and that is known without looking. */
static bool is_past(const struct store_clean *c, const struct store_frame *f)
{
    return (f->flags & STORE_FRAME_PASSING) && c->look >= c->own &&
           c->look + STORE_FRAME_HEADER + f->length <= c->first;
}

static void pass_by(struct store *s, uint64_t size)
{
    struct store_clean *c = &s->clean;
    uint64_t cost = size / 16 > PASS_COST ? size / 16 : PASS_COST;

    c->allowance -= cost < c->allowance ? cost : c->allowance;
    look_on(s, size);
}

/* Look at the next frame's header, and offer its records. False: there is nothing to offer yet. */
static bool next_frame(struct store *s, const struct store_segment *segment)
{
    struct store_clean *c = &s->clean;
    struct store_frame f;
    const uint8_t *p;
    uint64_t size;

    if (segment->end - c->look < STORE_FRAME_HEADER) {
        stop_cleaning(s, EBADMSG);
        return false;
    }
    p = have(c, STORE_FRAME_HEADER);
    if (!p)
        return false;
    if (!store_frame_read(p, s->id, c->look, &f) ||
        f.length > segment->end - c->look - STORE_FRAME_HEADER) {
        stop_cleaning(s, EBADMSG);
        return false;
    }
    size = STORE_FRAME_HEADER + (uint64_t)f.length;
    c->passing = is_past(c, &f);
    if (c->passing || (f.flags & STORE_FRAME_FILLER) || f.length == 0) {
        pass_by(s, size);
        return true;
    }
    p = have(c, size);
    if (!p)
        return false;
    if (store_sum(str_of((const char *)p + STORE_FRAME_HEADER, f.length)) != f.payload_sum) {
        stop_cleaning(s, EBADMSG);
        return false;
    }
    c->piece = c->look + STORE_FRAME_HEADER;
    c->left = f.length;
    return true;
}

bool store_clean_next(struct store *s, uint64_t *position, struct str *records)
{
    struct store_clean *c = &s->clean;

    while (c->left == 0) {
        const struct store_segment *segment;
        if (c->allowance == 0 || !is_wanted(s))
            return false;
        segment = &s->segments[store_find(s, c->look)];
        if (c->look == segment->begin)
            count_pass(s);
        if (!next_frame(s, segment))
            return false;
    }
    if (c->allowance == 0)
        return false;
    *position = c->piece;
    *records = str_of((const char *)c->data + (c->piece - c->at), c->left);
    c->untouched = true;
    return true;
}

void store_cleaned(struct store *s, size_t n, size_t copied, uint64_t turn)
{
    struct store_clean *c = &s->clean;

    if (n == 0)
        return;
    c->untouched = false;
    c->turn = turn;
    c->pass_copied += copied;
    c->copied += copied;
    c->piece += n;
    c->left -= (uint32_t)n;
    c->allowance -= n < c->allowance ? n : c->allowance;
    if (c->left == 0)
        look_on(s, c->piece - c->look);
}

uint64_t store_clean_done(const struct store *s, uint64_t turn)
{
    if (s->count == 0 || turn < s->clean.turn)
        return 0;
    return s->segments[store_find(s, s->clean.look)].begin;
}

int store_damage(const struct store *s, uint64_t *segment, uint64_t *offset)
{
    *segment = s->clean.error_segment;
    *offset = s->clean.error_offset;
    return s->clean.error;
}

/* --- jobs --- */

static bool can_remove(const struct store *s)
{
    return s->count > 1 && s->segments[0].end <= s->removable && s->now_ms >= s->removal_ms;
}

bool store_clean_wants(struct store *s, struct store_job *job)
{
    struct store_clean *c = &s->clean;
    const struct store_segment *segment;
    size_t n;

    if (c->want == 0 || c->reading || !is_wanted(s))
        return false;
    if (c->cap < c->want || c->cap < READ_SIZE) {
        drop_data(c);
        n = c->want > READ_SIZE ? c->want : READ_SIZE;
        c->data = mem_alloc(n);
        if (!c->data)
            return false; /* another time */
        c->cap = n;
    }
    segment = &s->segments[store_find(s, c->look)];
    n = c->passing && c->want == STORE_FRAME_HEADER ? HEADER_READ : c->cap;
    n = segment->end - c->look < n ? (size_t)(segment->end - c->look) : n;
    c->at = c->look;
    c->n = 0;
    c->reading = true;
    *job = (struct store_job){.op = STORE_READ,
                              .segment = segment->begin,
                              .offset = c->look - segment->begin + STORE_SEGMENT_HEADER,
                              .iov = {{.iov_base = c->data, .iov_len = n}},
                              .iov_n = 1};
    return true;
}

bool store_clean_take(struct store *s, struct store_job *job)
{
    if (can_remove(s)) {
        *job = (struct store_job){.op = STORE_REMOVE, .segment = s->segments[0].begin};
        return true;
    }
    return store_clean_wants(s, job);
}

void store_clean_read(struct store *s, const struct store_job *job)
{
    struct store_clean *c = &s->clean;

    c->reading = false;
    c->uncached = job->result == -EAGAIN;
    if (c->uncached)
        return;
    c->want = 0;
    if (job->result < 0)
        stop_cleaning(s, (int)-job->result);
    else if ((uint64_t)job->result < job->iov[0].iov_len)
        stop_cleaning(s, EBADMSG);
    else
        c->n = (size_t)job->result;
}

void store_clean_removed(struct store *s, const struct store_job *job)
{
    struct store_segment gone = s->segments[0];

    if (job->result < 0 && job->result != -ENOENT) {
        s->removal_ms = s->now_ms + STORE_RETRY_MS;
        return;
    }
    s->count--;
    memmove(s->segments, s->segments + 1, s->count * sizeof(*s->segments));
    s->clean.segments++;
    s->clean.bytes += gone.end - gone.begin + STORE_SEGMENT_HEADER;
}

uint64_t store_clean_deadline(const struct store *s)
{
    const struct store_clean *c = &s->clean;
    uint64_t when = UINT64_MAX;

    if (!s->job_out && s->count > 1 && s->segments[0].end <= s->removable)
        when = s->removal_ms;
    if (c->reading || (c->want > 0 && s->job_out) || !is_wanted(s))
        return when;
    /* What was offered and not looked at, or needed memory that there was not, can wait. */
    if (c->untouched || (c->want > 0 && c->cap == 0))
        return when < s->now_ms + STORE_RETRY_MS ? when : s->now_ms + STORE_RETRY_MS;
    return 0;
}
