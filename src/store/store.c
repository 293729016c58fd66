/*
 * Frames in memory, on their way to the disk.
 *
 * A frame knows its place from the moment at which it is put: nothing that happens on the way, a
 * short write or a full disk, moves it. So positions are known early, and a write that is tried
 * again can only write the same bytes to the same place.
 *
 * The very first write of a new store is its first segment's header alone, and synced: from then
 * on, a store without a readable header is a damaged one, never one that was just begun.
 *
 * Above max_size nothing is written unless cleaning will make room; see clean.c.
 */
#include "store/store.h"

#include "base/mem.h"
#include "store/inside.h"

#include <assert.h>
#include <errno.h>

#define SPARE_MAX (2 * 1024 * 1024)   /* bytes of a buffer that is kept to be filled again */
#define WRITE_MAX (64U * 1024 * 1024) /* bytes of one job */
#define SEGMENTS_LEAST 16
/*
 * A seal is wanted when nothing has come for so long: in the mode `fsync` it costs a sync, for
 * which the next frame would have to wait.
 */
#define SEAL_AFTER_MS 1000
#define HEADER_AT (STORE_FRAME_ROOM - STORE_FRAME_HEADER) /* of a frame, in its buffer */

_Static_assert(sizeof(struct store_node) <= HEADER_AT, "the node fits in front of the header");
_Static_assert(STORE_SEAL_ROOM == STORE_FRAME_ROOM, "a seal is a frame without records");

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

static uint8_t *node_bytes(struct store_node *n)
{
    return (uint8_t *)n + HEADER_AT;
}

static uint64_t node_size(const struct store_node *n)
{
    return STORE_FRAME_HEADER + (uint64_t)n->length;
}

static void update_behind(struct store *s)
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
    uint8_t *bytes = node_bytes(n);
    struct store_frame f = {.length = n->length, .flags = flags, .turn = n->turn};

    f.durable = s->durable;
    f.oldest = s->oldest;
    f.payload_sum = store_sum(str_of((const char *)bytes + STORE_FRAME_HEADER, n->length));
    n->position = s->next;
    n->segment = segment->begin;
    n->next = NULL;
    store_frame_write(bytes, &f, s->id, n->position);

    s->next += node_size(n);
    segment->end = s->next;
    if (s->head)
        s->tail->next = n;
    else
        s->head = n;
    s->tail = n;
    s->waiting += node_size(n);
    s->frames++;
    if (s->said_end == 0 && s->oldest > s->removable) {
        s->said = s->oldest;
        s->said_end = s->next;
    }
    update_behind(s);
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

static void forget_node(struct store *s, struct store_node *n)
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

/* --- writing --- */

static bool exceeds(const struct store *s, uint64_t reserve)
{
    return s->max_size && store_bytes_to(s, s->written) >= s->max_size + reserve &&
           !store_clean_helps(s);
}

/* Nothing more may come in, but what makes room may be recorded: that readers connect, what they
 * get and acknowledge. */
static bool is_full(const struct store *s)
{
    return exceeds(s, 0);
}

static bool is_reserve_used(const struct store *s)
{
    return exceeds(s, 2 * store_segment_limit(s));
}

static bool may_write(const struct store *s)
{
    return s->head && !s->failed && (!s->trouble || s->now_ms >= s->retry_ms) &&
           !is_reserve_used(s);
}

static bool needs_header(const struct store *s)
{
    return s->head->position == s->head->segment && s->headed != s->head->segment + 1;
}

static void add_slice(struct store_job *job, uint8_t *p, size_t n, size_t *room)
{
    n = n < *room ? n : *room;
    job->iov[job->iov_n++] = (struct iovec){.iov_base = p, .iov_len = n};
    *room -= n;
}

static void add_frames(struct store *s, struct store_job *job, size_t skip)
{
    size_t room = WRITE_MAX;

    for (struct store_node *n = s->head; n; n = n->next) {
        if (n->segment != job->segment || job->iov_n == STORE_IOV_MAX || room == 0)
            break;
        add_slice(job, node_bytes(n) + skip, node_size(n) - skip, &room);
        skip = 0;
    }
}

static void fill_write(struct store *s, struct store_job *job)
{
    struct store_segment_head h = {
        .format = STORE_FORMAT, .store_id = s->id, .segment = s->head->segment};
    size_t room = STORE_SEGMENT_HEADER;

    *job = (struct store_job){.op = STORE_WRITE, .segment = s->head->segment};
    if (!needs_header(s)) {
        job->offset = s->head->position - s->head->segment + STORE_SEGMENT_HEADER + s->progress;
        add_frames(s, job, s->progress);
        job->then_sync = s->fsync;
        return;
    }
    store_segment_write(s->header, &h);
    job->offset = s->progress;
    job->create = s->file == STORE_FILE_ABSENT;
    add_slice(job, s->header + s->progress, STORE_SEGMENT_HEADER - s->progress, &room);
    if (s->begun)
        add_frames(s, job, 0);
    job->then_sync = s->fsync || !s->begun;
}

bool store_take_write(struct store *s, uint64_t now_ms, struct store_job *job)
{
    s->now_ms = now_ms;
    if (s->fsync || !may_write(s))
        return false;
    fill_write(s, job);
    return true;
}

static void node_written(struct store *s)
{
    struct store_node *n = s->head;

    s->head = n->next;
    if (!s->head)
        s->tail = NULL;
    s->written = n->position + node_size(n);
    s->written_turn = n->turn;
    s->waiting -= node_size(n);
    s->progress = 0;
    if (!s->fsync)
        s->durable_turn = s->written_turn;
    forget_node(s, n);
}

/* So many bytes more of the head and what follows it are on the disk. */
static void advance(struct store *s, uint64_t n)
{
    uint64_t before = s->written;

    if (n > 0 && needs_header(s)) {
        uint64_t part = STORE_SEGMENT_HEADER - s->progress;
        part = n < part ? n : part;
        s->progress += part;
        n -= part;
        if (s->progress == STORE_SEGMENT_HEADER) {
            s->headed = s->head->segment + 1;
            s->file = STORE_FILE_ABSENT;
            s->progress = 0;
        }
    }
    while (n > 0) {
        uint64_t part = node_size(s->head) - s->progress;
        if (n < part) {
            s->progress += n;
            break;
        }
        n -= part;
        node_written(s);
    }
    if (s->durable == before && s->written > before)
        s->dirty_ms = s->now_ms;
    update_behind(s);
}

/* How a write that makes a file ended says whether there is one. */
static bool file_appeared(struct store *s, const struct store_job *job)
{
    if (job->result >= 0) {
        s->file = STORE_FILE_THERE;
    } else if (job->create && job->result != -EEXIST) {
        s->file = STORE_FILE_UNSURE;
    } else if (job->result == -ENOENT && s->file == STORE_FILE_UNSURE) {
        s->file = STORE_FILE_ABSENT;
        return false;
    }
    return true;
}

static void set_durable(struct store *s, uint64_t position)
{
    s->durable = position;
    if (s->fsync && s->durable == s->written)
        s->durable_turn = s->written_turn;
    while (s->said_end && s->durable >= s->said_end) {
        s->removable = s->said;
        s->said_end = 0;
        if (s->oldest > s->removable) { /* the last frame says so, if none before */
            s->said = s->oldest;
            s->said_end = s->next;
        }
    }
    if (s->durable == s->next) {
        s->sync_soon = false;
        s->quiet_ms = s->now_ms;
    }
}

static void write_done(struct store *s, const struct store_job *job)
{
    uint64_t wanted = 0;
    uint64_t got = job->result > 0 ? (uint64_t)job->result : 0;

    for (int i = 0; i < job->iov_n; i++)
        wanted += job->iov[i].iov_len;
    assert(got <= wanted);
    s->writes++;
    if (needs_header(s) && !file_appeared(s, job))
        return; /* and at once once more: now it is to be made */
    advance(s, got);
    if (got < wanted) {
        s->trouble = job->result < 0 ? (int)-job->result : ENOSPC;
        s->retry_ms = s->now_ms + STORE_RETRY_MS;
        return;
    }
    s->trouble = 0;
    if (!job->then_sync)
        return;
    s->syncs++;
    if (job->sync_error) {
        s->failed = -job->sync_error;
        return;
    }
    s->begun = true;
    set_durable(s, s->written);
}

/* --- syncing --- */

/* UINT64_MAX: nothing is to be synced. */
static uint64_t sync_due(const struct store *s)
{
    if (s->fsync || s->written == s->durable)
        return UINT64_MAX;
    if (s->sync_soon || s->durable < s->sync_round || store_clean_presses(s))
        return 0;
    if (s->sealed && s->durable >= s->seals_from && s->said_end == 0)
        return UINT64_MAX; /* a seal alone is not worth a sync */
    return s->dirty_ms + s->sync_interval_ms;
}

static void fill_sync(struct store *s, struct store_job *job)
{
    const struct store_segment *segment = &s->segments[store_find(s, s->durable)];

    if (s->durable >= s->sync_round) {
        s->sync_round = s->written;
        s->dirty_ms = s->now_ms;
        s->sync_soon = false;
    }
    s->sync_to = s->written < segment->end ? s->written : segment->end;
    *job = (struct store_job){.op = STORE_SYNC, .segment = segment->begin};
}

static void sync_done(struct store *s, const struct store_job *job)
{
    s->syncs++;
    if (job->result < 0)
        s->failed = (int)-job->result;
    else
        set_durable(s, s->sync_to);
}

/* --- the background --- */

static bool take_due(struct store *s, struct store_job *job)
{
    if (s->fsync && may_write(s))
        fill_write(s, job);
    else if (sync_due(s) <= s->now_ms)
        fill_sync(s, job);
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
        write_done(s, job);
        break;
    case STORE_SYNC:
        sync_done(s, job);
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
    if (s->head && !(s->fsync && s->job_out) && !is_reserve_used(s))
        when = s->trouble ? s->retry_ms : 0;
    if (!s->job_out && (other = sync_due(s)) < when)
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
    return s->behind || is_full(s);
}

bool store_is_full(const struct store *s)
{
    return is_full(s);
}

bool store_is_clean(const struct store *s)
{
    return s->durable == s->next;
}

int store_trouble(const struct store *s)
{
    if (s->trouble)
        return s->trouble;
    return is_full(s) ? ENOSPC : 0;
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
