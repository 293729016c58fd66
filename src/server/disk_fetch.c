/*
 * Reading back.
 */
#include "server/disk_fetch.h"

#include "base/mem.h"

#include <errno.h>
#include <string.h>

/* What one turn reads at most. */
#define TURN_READS 16
#define TURN_BYTES (1U << 20)
/* Larger buffers are not kept. */
#define KEPT_BYTES (256U << 10)
#define PAUSE_MS 200
#define LINES_MS 60000

void disk_fetches_init(struct disk_fetches *f, const struct log *log, struct broker *broker,
                       struct store *store, struct disk_files *files, struct disk_thread *thread)
{
    *f = (struct disk_fetches){
        .log = log, .broker = broker, .store = store, .files = files, .thread = thread};
}

static void drop_data(struct disk_fetch *s)
{
    mem_free(s->data, s->cap);
    s->data = NULL;
    s->cap = 0;
}

void disk_fetches_clear(struct disk_fetches *f)
{
    for (int i = 0; i < DISK_FETCHES_MAX; i++) {
        drop_data(&f->slot[i]);
    }
}

static struct disk_fetch *free_slot(struct disk_fetches *f)
{
    for (int i = 0; i < DISK_FETCHES_MAX; i++) {
        if (f->slot[i].state == DISK_FETCH_FREE) {
            return &f->slot[i];
        }
    }
    return NULL;
}

static void answer(struct disk_fetches *f, struct disk_fetch *s, size_t n)
{
    s->state = DISK_FETCH_FREE;
    broker_fetched(f->broker, &s->fetch, str_of((const char *)s->data, n));
    if (s->cap > KEPT_BYTES) {
        drop_data(s);
    }
}

static void postpone(struct disk_fetches *f, struct disk_fetch *s, uint64_t now_ms)
{
    s->state = DISK_FETCH_FAILED;
    s->answer_ms = now_ms + PAUSE_MS;
    f->failed++;
}

/* `result` as of a read that gave less than was needed. */
static void complain(struct disk_fetches *f, const struct store_job *job, int64_t result,
                     uint64_t now_ms)
{
    char name[STORE_NAME_MAX];
    if (now_ms < f->next_line || result == -ENOENT) {
        return; /* a segment that is not there has been cleaned: it stands elsewhere now */
    }
    f->next_line = now_ms + LINES_MS;
    log_error(f->log, "Error: Cannot read stored messages in %s at offset %llu: %s. Trying again.",
              store_segment_name(job->segment, name), (unsigned long long)job->offset,
              result < 0 ? strerror((int)-result) : "the file is too short");
}

/* False: not now. */
static bool prepare(struct disk_fetches *f, struct disk_fetch *s)
{
    const struct fetch *want = &s->fetch;
    size_t n = want->length > want->least ? want->length : want->least;
    if (s->cap < n) {
        drop_data(s);
        s->data = mem_alloc(n);
        if (!s->data) {
            return false;
        }
        s->cap = n;
    }
    return store_read_job(f->store, want->position, n, s->data, &s->read.job) ||
           store_read_job(f->store, want->position, want->least, s->data, &s->read.job);
}

/* Returns how many bytes were read at once. */
static size_t begin(struct disk_fetches *f, struct disk_fetch *s, uint64_t now_ms)
{
    if (!prepare(f, s)) {
        postpone(f, s, now_ms);
        return 0;
    }
    const struct store_job *job = &s->read.job;
    ssize_t got = disk_files_read_cached(f->files, job->segment, job->offset, job->iov[0].iov_base,
                                         job->iov[0].iov_len);
    if (got >= (ssize_t)s->fetch.least) {
        answer(f, s, (size_t)got);
        return (size_t)got;
    }
    if (got < 0 && got != -EAGAIN) {
        complain(f, job, got, now_ms);
        postpone(f, s, now_ms);
        return 0;
    }
    s->state = DISK_FETCH_READING;
    f->reading++;
    disk_thread_read(f->thread, &s->read);
    return 0;
}

static void answer_failed(struct disk_fetches *f, uint64_t now_ms)
{
    for (int i = 0; i < DISK_FETCHES_MAX && f->failed > 0; i++) {
        struct disk_fetch *s = &f->slot[i];
        if (s->state == DISK_FETCH_FAILED && s->answer_ms <= now_ms) {
            f->failed--;
            answer(f, s, 0);
        }
    }
}

void disk_fetches_turn(struct disk_fetches *f, uint64_t now_ms)
{
    size_t bytes = 0;
    f->more = false;
    if (f->failed > 0) {
        answer_failed(f, now_ms);
    }
    for (int n = 0; n < TURN_READS && bytes < TURN_BYTES; n++) {
        struct disk_fetch *s = free_slot(f);
        if (!s || !broker_take_fetch(f->broker, &s->fetch)) {
            return;
        }
        bytes += begin(f, s, now_ms);
    }
    f->more = true;
}

void disk_fetches_ready(struct disk_fetches *f, uint64_t now_ms)
{
    struct disk_read *r;
    while (f->reading > 0 && (r = disk_thread_take_read(f->thread))) {
        struct disk_fetch *s = CONTAINER_OF(r, struct disk_fetch, read);
        f->reading--;
        if (r->job.result >= (int64_t)s->fetch.least) {
            answer(f, s, (size_t)r->job.result);
        } else {
            complain(f, &r->job, r->job.result, now_ms);
            postpone(f, s, now_ms);
        }
    }
}

uint64_t disk_fetches_deadline(const struct disk_fetches *f)
{
    if (f->more) {
        return 0;
    }
    uint64_t when = UINT64_MAX;
    for (int i = 0; i < DISK_FETCHES_MAX && f->failed > 0; i++) {
        const struct disk_fetch *s = &f->slot[i];
        if (s->state == DISK_FETCH_FAILED && s->answer_ms < when) {
            when = s->answer_ms;
        }
    }
    return when;
}
