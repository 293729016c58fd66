/*
 * Writing what has been put, in order, and syncing it.
 *
 * The very first write of a new store is its first segment's header alone, and synced: from then
 * on, a store without a readable header is a damaged one, never one that was just begun.
 *
 * Above max_size nothing is written unless cleaning will make room; see clean.c.
 */
#include "store/inside.h"
#include "store/store.h"

#include <assert.h>
#include <errno.h>

#define WRITE_MAX (64U * 1024 * 1024) /* bytes of one job */

/* --- writing --- */

static bool exceeds(const struct store *s, uint64_t reserve)
{
    return s->max_size && store_bytes_to(s, s->written) >= s->max_size + reserve &&
           !store_clean_helps(s);
}

/* Nothing more may come in, but what makes room may be recorded: that readers connect, what they
 * get and acknowledge. */
bool store_is_full(const struct store *s)
{
    return exceeds(s, 0);
}

bool store_is_reserve_used(const struct store *s)
{
    return exceeds(s, 2 * store_segment_limit(s));
}

bool store_may_write(const struct store *s)
{
    return s->head && !s->failed && (!s->trouble || s->now_ms >= s->retry_ms) &&
           !store_is_reserve_used(s);
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
        add_slice(job, store_node_bytes(n) + skip, store_node_size(n) - skip, &room);
        skip = 0;
    }
}

void store_fill_write(struct store *s, struct store_job *job)
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

static void node_written(struct store *s)
{
    struct store_node *n = s->head;

    s->head = n->next;
    if (!s->head)
        s->tail = NULL;
    s->written = n->position + store_node_size(n);
    s->written_turn = n->turn;
    s->waiting -= store_node_size(n);
    s->progress = 0;
    if (!s->fsync)
        s->durable_turn = s->written_turn;
    store_node_forget(s, n);
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
        uint64_t part = store_node_size(s->head) - s->progress;
        if (n < part) {
            s->progress += n;
            break;
        }
        n -= part;
        node_written(s);
    }
    if (s->durable == before && s->written > before)
        s->dirty_ms = s->now_ms;
    store_update_behind(s);
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

void store_write_done(struct store *s, const struct store_job *job)
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
uint64_t store_sync_due(const struct store *s)
{
    if (s->fsync || s->written == s->durable)
        return UINT64_MAX;
    if (s->sync_soon || s->durable < s->sync_round || store_clean_presses(s))
        return 0;
    if (s->sealed && s->durable >= s->seals_from && s->said_end == 0)
        return UINT64_MAX; /* a seal alone is not worth a sync */
    return s->dirty_ms + s->sync_interval_ms;
}

void store_fill_sync(struct store *s, struct store_job *job)
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

void store_sync_done(struct store *s, const struct store_job *job)
{
    s->syncs++;
    if (job->result < 0)
        s->failed = (int)-job->result;
    else
        set_durable(s, s->sync_to);
}
