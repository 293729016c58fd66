/*
 * Frames in memory, on their way to the disk.
 *
 * A frame knows its place from the moment at which it is put: nothing that happens on the way, a
 * short write or a full disk, moves it. So positions are known early, and a write that is tried
 * again can only write the same bytes to the same place: see write.c.
 */
#include "store/store.h"

#include "base/mem.h"
#include "store/inside.h"

#include <assert.h>
#include <errno.h>

#define SPARE_MAX (2 * 1024 * 1024) /* bytes of a buffer that is kept to be filled again */
#define SEGMENTS_LEAST 16
/*
 * A seal is wanted when nothing has come for so long: in the mode `fsync` it costs a sync, for
 * which the next frame would have to wait.
 */
#define SEAL_AFTER_MS 1000

_Static_assert(sizeof(struct store_node) <= STORE_HEADER_AT,
               "the node fits in front of the header");

/* --- birth and limits --- */

void store_set(struct store *s, const struct store_setup *setup)
{
    s->sync_interval_ms = setup->sync_interval_ms;
    s->segment_size = setup->segment_size;
    s->max_size = setup->max_size;
    s->max_unsynced = setup->max_unsynced;
}

struct store *store_new(const struct store_setup *setup, struct recovered *found)
{
    struct store *s = mem_zalloc(sizeof(*s));
    struct store_segment *segments = found->segments;
    size_t cap = found->cap;

    if (s && cap == 0) {
        cap = SEGMENTS_LEAST;
        segments = mem_alloc(cap * sizeof(*segments));
    }
    if (!s || !segments) {
        mem_free(s, sizeof(*s));
        return NULL;
    }
    s->fsync = setup->fsync;
    store_set(s, setup);
    s->id = found->store_id ? found->store_id : setup->new_id;
    s->begun = found->store_id != 0;
    s->segments = segments;
    s->count = found->count;
    s->cap = cap;
    s->next = s->written = s->durable = found->next;
    s->put_turn = found->turn;
    if (s->count > 0) {
        s->headed = segments[s->count - 1].begin + 1;
        s->oldest = s->removable = segments[0].begin;
    }
    store_clean_init(s);
    *found = (struct recovered){0};
    return s;
}

void store_free(struct store *s)
{
    if (!s)
        return;
    while (s->head) {
        struct store_node *n = s->head;
        s->head = n->next;
        if (n->cap)
            mem_free(n, n->cap);
    }
    while (s->spares > 0)
        buf_clear(&s->spare[--s->spares]);
    store_clean_clear(s);
    mem_free(s->segments, s->cap * sizeof(*s->segments));
    mem_free(s, sizeof(*s));
}

/* --- segments --- */

uint64_t store_bytes_to(const struct store *s, uint64_t position)
{
    if (s->count == 0)
        return 0;
    return position - s->segments[0].begin + s->count * STORE_SEGMENT_HEADER;
}

size_t store_find(const struct store *s, uint64_t position)
{
    size_t low = 0;
    size_t high = s->count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (s->segments[middle].begin <= position)
            low = middle;
        else
            high = middle;
    }
    return low;
}

uint64_t store_segment_limit(const struct store *s)
{
    uint64_t share = s->max_size / 8; /* so that there is always something that can be cleaned */

    if (s->max_size == 0 || share >= s->segment_size)
        return s->segment_size;
    return share;
}

/* Without memory for one more the segment grows on: a frame must always find its place. */
static void rotate(struct store *s)
{
    struct store_segment *grown;

    if (s->count == s->cap) {
        grown = mem_realloc(s->segments, s->cap * sizeof(*grown), s->cap * 2 * sizeof(*grown));
        if (!grown)
            return;
        s->segments = grown;
        s->cap *= 2;
    }
    s->segments[s->count++] = (struct store_segment){.begin = s->next, .end = s->next};
}

static bool is_current_full(const struct store *s)
{
    const struct store_segment *last = &s->segments[s->count - 1];
    uint64_t bytes = last->end - last->begin;

    return bytes > 0 && (s->rotate || bytes + STORE_SEGMENT_HEADER >= store_segment_limit(s));
}

static struct store_segment *current(struct store *s)
{
    if (s->count == 0 || is_current_full(s))
        rotate(s);
    s->rotate = false;
    return &s->segments[s->count - 1];
}

/* --- frames in --- */

void store_update_behind(struct store *s)
{
    if (s->waiting > s->max_unsynced)
        s->behind = true;
    else if (s->waiting <= s->max_unsynced / 2)
        s->behind = false;
}

/* What has been cleaned is not needed any more as soon as this frame is on the disk. */
static void say_oldest(struct store *s, uint64_t turn)
{
    uint64_t oldest = store_clean_done(s, turn);

    if (oldest > s->oldest)
        s->oldest = oldest;
}

static void append(struct store *s, struct store_node *n, uint32_t flags)
{
    struct store_segment *segment = current(s);
    uint8_t *bytes = store_node_bytes(n);
    struct store_frame f = {.length = n->length, .flags = flags, .turn = n->turn};

    f.durable = s->durable;
    f.oldest = s->oldest;
    f.payload_sum = store_sum(str_of((const char *)bytes + STORE_FRAME_HEADER, n->length));
    n->position = s->next;
    n->segment = segment->begin;
    n->next = NULL;
    store_frame_write(bytes, &f, s->id, n->position);

    s->next += store_node_size(n);
    segment->end = s->next;
    if (s->head)
        s->tail->next = n;
    else
        s->head = n;
    s->tail = n;
    s->waiting += store_node_size(n);
    s->frames++;
    if (s->said_end == 0 && s->oldest > s->removable) {
        s->said = s->oldest;
        s->said_end = s->next;
    }
    store_update_behind(s);
}

uint64_t store_next_payload(const struct store *s)
{
    return s->next + STORE_FRAME_HEADER;
}

void store_put(struct store *s, uint64_t turn, struct buf *frame)
{
    struct store_node *n = (struct store_node *)(void *)frame->data;

    assert(frame->head == 0 && frame->len >= STORE_FRAME_ROOM);
    *n = (struct store_node){
        .turn = turn, .cap = frame->cap, .length = frame->len - STORE_FRAME_ROOM};
    *frame = s->spares > 0 ? s->spare[--s->spares] : (struct buf){0};
    s->put_turn = turn;
    s->sealed = false;
    say_oldest(s, turn);
    append(s, n, s->passing ? STORE_FRAME_PASSING : 0);
    s->passing = false;
}

void store_mark_passing(struct store *s)
{
    s->passing = true;
}

void store_node_forget(struct store *s, struct store_node *n)
{
    struct buf b = {.data = (uint8_t *)n, .cap = n->cap};

    if (n->cap == 0)
        return;
    if (s->spares < STORE_SPARES && n->cap <= SPARE_MAX)
        s->spare[s->spares++] = b;
    else
        buf_clear(&b);
}

/* --- seals --- */

/* Nothing waits, and nothing but seals is unsynced. */
static bool is_quiet(const struct store *s)
{
    return !s->failed && s->written == s->next &&
           (s->durable == s->next || (s->sealed && s->durable >= s->seals_from));
}

static bool can_seal(const struct store *s)
{
    if (!is_quiet(s) || s->count == 0 || s->next == s->segments[0].begin)
        return false;
    return !s->sealed || s->rotate || store_clean_done(s, UINT64_MAX) > s->oldest;
}

/* When a seal is wanted; UINT64_MAX: not now. */
static uint64_t seal_due(const struct store *s)
{
    if (!can_seal(s))
        return UINT64_MAX;
    return s->rotate || store_clean_done(s, UINT64_MAX) > s->oldest ? 0
                                                                    : s->quiet_ms + SEAL_AFTER_MS;
}

bool store_wants_seal(const struct store *s)
{
    return seal_due(s) <= s->now_ms;
}

void store_seal(struct store *s)
{
    struct store_node *n = (struct store_node *)(void *)s->seal;

    if (!can_seal(s))
        return;
    if (!s->sealed)
        s->seals_from = s->next;
    s->sealed = true;
    *n = (struct store_node){.turn = s->put_turn};
    say_oldest(s, UINT64_MAX);
    append(s, n, STORE_FRAME_SEAL);
}

/* --- jobs out, and what came of them --- */

bool store_take_write(struct store *s, uint64_t now_ms, struct store_job *job)
{
    s->now_ms = now_ms;
    if (s->fsync || !store_may_write(s))
        return false;
    store_fill_write(s, job);
    return true;
}

static bool take_due(struct store *s, struct store_job *job)
{
    if (s->fsync && store_may_write(s))
        store_fill_write(s, job);
    else if (store_sync_due(s) <= s->now_ms)
        store_fill_sync(s, job);
    else
        return false;
    s->housekept = false;
    return true;
}

static bool take_housekeeping(struct store *s, struct store_job *job)
{
    if (!store_clean_take(s, job))
        return false;
    s->housekept = true;
    return true;
}

bool store_take_background(struct store *s, uint64_t now_ms, struct store_job *job)
{
    bool took;

    s->now_ms = now_ms;
    if (s->job_out || s->failed)
        return false;
    /* In turns, else a steady stream of frames would leave no time for cleaning, or it for them. */
    if (s->housekept)
        took = take_due(s, job) || take_housekeeping(s, job);
    else
        took = take_housekeeping(s, job) || take_due(s, job);
    if (!took)
        return false;
    job->mark = s;
    s->job_out = true;
    return true;
}

bool store_take_read(struct store *s, struct store_job *job)
{
    if (s->failed || s->clean.uncached || !store_clean_wants(s, job))
        return false;
    job->mark = &s->clean;
    return true;
}

void store_run(const struct store_io *io, struct store_job *job)
{
    job->sync_error = 0;
    switch (job->op) {
    case STORE_WRITE:
        job->result =
            io->write(io->ctx, job->segment, job->offset, job->iov, job->iov_n, job->create);
        break;
    case STORE_SYNC:
        job->result = io->sync(io->ctx, job->segment);
        break;
    case STORE_READ:
        job->result =
            io->read(io->ctx, job->segment, job->offset, job->iov[0].iov_base, job->iov[0].iov_len);
        break;
    case STORE_REMOVE:
        job->result = io->remove(io->ctx, job->segment);
        break;
    }
    if (job->op == STORE_WRITE && job->then_sync && job->result >= 0) {
        uint64_t wanted = 0;
        for (int i = 0; i < job->iov_n; i++)
            wanted += job->iov[i].iov_len;
        if ((uint64_t)job->result == wanted)
            job->sync_error = io->sync(io->ctx, job->segment);
    }
}

void store_done(struct store *s, uint64_t now_ms, const struct store_job *job)
{
    s->now_ms = now_ms;
    if (job->mark == s)
        s->job_out = false;
    else if (job->op != STORE_WRITE && job->mark != &s->clean)
        return; /* a stored payload: not ours */
    switch (job->op) {
    case STORE_WRITE:
        store_write_done(s, job);
        break;
    case STORE_SYNC:
        store_sync_done(s, job);
        break;
    case STORE_READ:
        store_clean_read(s, job);
        break;
    case STORE_REMOVE:
        store_clean_removed(s, job);
        break;
    }
}

uint64_t store_deadline(const struct store *s)
{
    uint64_t when = UINT64_MAX;
    uint64_t other;

    if (s->failed)
        return UINT64_MAX;
    if (s->head && !(s->fsync && s->job_out) && !store_is_reserve_used(s))
        when = s->trouble ? s->retry_ms : 0;
    if (!s->job_out && (other = store_sync_due(s)) < when)
        when = other;
    if ((other = seal_due(s)) < when)
        when = other;
    other = store_clean_deadline(s);
    return other < when ? other : when;
}

/* --- what is known --- */

uint64_t store_durable_turn(const struct store *s)
{
    return s->durable_turn;
}

uint64_t store_written(const struct store *s)
{
    return s->written;
}

bool store_is_behind(const struct store *s)
{
    return s->behind || store_is_full(s);
}

bool store_is_clean(const struct store *s)
{
    return s->durable == s->next;
}

int store_trouble(const struct store *s)
{
    if (s->trouble)
        return s->trouble;
    return store_is_full(s) ? ENOSPC : 0;
}

int store_failed(const struct store *s)
{
    return s->failed;
}

struct store_figures store_figures(const struct store *s)
{
    return (struct store_figures){
        .segments = s->count,
        .bytes = store_bytes_to(s, s->written),
        .waiting_bytes = s->waiting,
        .unsynced_bytes = s->written - s->durable,
        .frames = s->frames,
        .writes = s->writes,
        .syncs = s->syncs,
        .cleaned_segments = s->clean.segments,
        .cleaned_bytes = s->clean.bytes,
    };
}

bool store_read_job(const struct store *s, uint64_t position, size_t n, void *to,
                    struct store_job *job)
{
    const struct store_segment *segment;

    if (position > s->written || n > s->written - position || s->count == 0 ||
        position < s->segments[0].begin)
        return false;
    segment = &s->segments[store_find(s, position)];
    *job = (struct store_job){.op = STORE_READ,
                              .segment = segment->begin,
                              .offset = position - segment->begin + STORE_SEGMENT_HEADER,
                              .iov = {{.iov_base = to, .iov_len = n}},
                              .iov_n = 1};
    return true;
}

void store_sync_soon(struct store *s)
{
    s->sync_soon = s->durable < s->next;
}
