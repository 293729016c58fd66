/*
 * The store at work: what the loop does for it in each turn.
 *
 * In the steady state of the mode `write` that is one system call in a turn that has records, none
 * in one that has not. The thread has one job of the store at a time, and reads for messages that
 * were not in the page cache (see disk_fetch.c).
 */
#include "server/disk.h"

#include "base/mem.h"
#include "server/disk_fetch.h"
#include "server/disk_files.h"
#include "server/disk_import.h"
#include "server/disk_place.h"
#include "server/disk_thread.h"
#include "server/disk_trouble.h"
#include "store/recover.h"
#include "store/store.h"

#include <errno.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long the end may take on a disk that is full or failing. */
#define CLOSE_MS 3000

_Static_assert(STORE_FRAME_ROOM <= BROKER_FRAME_ROOM, "the broker leaves room for the store");

struct disk {
    const struct log *log;
    struct broker *broker;
    struct store *store;
    struct disk_files files;
    struct store_io io;
    struct disk_thread thread;
    struct watch watch;
    struct store_job job; /* the thread's, while it is busy */
    bool busy;
    bool paused;      /* the broker has been told to pause publishers */
    uint64_t turn;    /* whose records are being gathered */
    uint64_t durable; /* the last turn that the broker was told */
    struct disk_fetches fetches;
    struct disk_trouble trouble;
    bool running; /* disk_open has succeeded */
    struct disk_place place;
};

static uint64_t clock_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* --- start --- */

static struct store_setup setup_of(const struct conf_global *g)
{
    return (struct store_setup){.fsync = g->persistence_fsync,
                                .sync_interval_ms = (uint64_t)g->persistence_sync_interval * 1000,
                                .segment_size = g->persistence_segment_size,
                                .max_size = g->persistence_max_size,
                                .max_unsynced = g->persistence_max_unsynced};
}

static enum err apply(void *ctx, uint64_t position, struct str records)
{
    return broker_apply(ctx, position, records);
}

static void log_start(const struct disk *d, const struct recovered *found, uint64_t took_ms)
{
    const struct stats *n = broker_stats(d->broker);
    if (found->store_id == 0) {
        log_info(d->log, "Store %s: new.", d->place.name);
        return;
    }
    log_info(d->log, "Store %s: %llu segments, %llu sessions, %llu retained messages, in %llu ms.",
             d->place.name, (unsigned long long)found->count, (unsigned long long)n->sessions,
             (unsigned long long)n->retained, (unsigned long long)took_ms);
}

static enum err end_recovery(struct disk *d, const struct recovered *found, int64_t wall_s)
{
    struct broker_lost lost = {0};
    enum err e = broker_apply_end(d->broker, found->turn, wall_s, &lost);
    if (!e && (found->damaged > 0 || lost.rows > 0)) {
        log_warning(d->log,
                    "Warning: Store %s was salvaged: %llu frames were read, %llu places with %llu "
                    "bytes could not be; %llu queued messages are lost because their content was "
                    "there.",
                    d->place.name, (unsigned long long)found->frames,
                    (unsigned long long)found->damaged, (unsigned long long)found->damaged_bytes,
                    (unsigned long long)lost.rows);
    }
    return e;
}

/* From the files to a broker that has its state again, and the running store. */
static enum err recover(struct disk *d, const struct conf_global *g, int64_t wall_s)
{
    uint64_t begin_ms = clock_ms();
    struct recovered found = {0};
    struct recover_setup how = {.io = &d->io,
                                .log = d->log,
                                .name = d->place.name,
                                .salvage = g->persistence_salvage,
                                .apply = apply,
                                .apply_ctx = d->broker};
    struct store_setup setup = setup_of(g);
    setup.new_id = disk_new_id();
    enum err e = store_recover(&how, &found);
    if (e) {
        return e;
    }
    e = end_recovery(d, &found, wall_s);
    d->turn = found.turn + 1;
    if (!e) {
        log_start(d, &found, clock_ms() - begin_ms);
        d->store = store_new(&setup, &found);
        e = d->store ? ERR_OK : ERR_NOMEM;
    }
    recovered_clear(&found);
    return e;
}

static enum err start_thread(struct disk *d, struct poll *poll, unsigned char watch_kind)
{
    enum err e = disk_thread_start(&d->thread, &d->io);
    if (!e) {
        d->watch = (struct watch){.fd = d->thread.event, .kind = watch_kind};
        e = poll_add(poll, &d->watch, POLL_IN);
        if (e) {
            disk_thread_stop(&d->thread);
        }
    }
    if (e) {
        log_error(d->log, "Error: Cannot start the disk thread: %s.", strerror(errno));
    }
    return e;
}

static enum err start(struct disk *d, const struct conf_global *g, struct poll *poll,
                      unsigned char watch_kind, int64_t wall_s)
{
    /*
     * Names that an earlier process made may not be on the disk yet, nor the absence of those that
     * it removed: a segment that came back in a power cut could speak of numbers that begin anew.
     */
    if (fsync(d->files.dir) != 0) {
        log_error(d->log, "Error: Cannot sync %s: %s.", d->place.name, strerror(errno));
        return ERR_SYSTEM;
    }
    enum err e = recover(d, g, wall_s);
    if (!e) {
        e = start_thread(d, poll, watch_kind);
    }
    if (!e) {
        disk_fetches_init(&d->fetches, d->log, d->broker, d->store, &d->files, &d->thread);
        disk_trouble_init(&d->trouble, d->log, d->place.name);
        broker_place(d->broker, store_next_payload(d->store));
    }
    return e;
}

enum err disk_find(struct disk **out, const struct conf *conf, const struct log *log,
                   const struct privileges *who, int64_t wall_s)
{
    *out = NULL;
    if (!conf->global.persistence) {
        return ERR_OK;
    }
    struct disk *d = mem_zalloc(sizeof(*d));
    if (!d) {
        return ERR_NOMEM;
    }
    d->log = log;
    enum err e = disk_place_find(&conf->global, log, who, wall_s, &d->place);
    if (e) {
        mem_free(d, sizeof(*d));
        return e;
    }
    disk_files_init(&d->files, d->place.dir);
    d->io = disk_files_io(&d->files);
    *out = d;
    return ERR_OK;
}

enum err disk_open(struct disk *d, const struct conf *conf, struct broker *broker,
                   struct poll *poll, unsigned char watch_kind, int64_t wall_s)
{
    if (!d) {
        return ERR_OK;
    }
    d->broker = broker;
    enum err e = disk_place_check(&d->place, d->log);
    if (!e) {
        e = start(d, &conf->global, poll, watch_kind, wall_s);
    }
    d->running = !e;
    return e;
}

/* --- one turn --- */

/* What cleaning looks at was written lately, mostly: then reading it needs no waiting. */
static bool read_cached(struct disk *d, uint64_t now_ms)
{
    struct store_job job;
    if (!store_take_read(d->store, &job)) {
        return false;
    }
    job.result = disk_files_read_cached(&d->files, job.segment, job.offset, job.iov[0].iov_base,
                                        job.iov[0].iov_len);
    bool whole = job.result == (int64_t)job.iov[0].iov_len;
    if (!whole) {
        job.result = -EAGAIN;
    }
    store_done(d->store, now_ms, &job);
    return whole;
}

static enum err renew_piece(struct disk *d, uint64_t now_ms, bool *stuck)
{
    uint64_t position;
    struct str records;
    store_set_first(d->store, broker_first_message(d->broker));
    if (!store_clean_next(d->store, &position, &records)) {
        *stuck = !read_cached(d, now_ms);
        return ERR_OK;
    }
    size_t before = records.n;
    uint64_t renewed = broker_stats(d->broker)->renewed_bytes;
    enum err e = broker_renew(d->broker, &position, &records);
    *stuck = records.n == before;
    renewed = broker_stats(d->broker)->renewed_bytes - renewed;
    store_cleaned(d->store, before - records.n, (size_t)renewed, d->turn);
    return e;
}

void disk_begin(struct disk *d, uint64_t now_ms)
{
    if (!d) {
        return;
    }
    bool stuck = false;
    store_set_live(d->store, broker_live_bytes(d->broker));
    while (!stuck && renew_piece(d, now_ms, &stuck) == ERR_OK) {
    }
}

/* The store has these records; where the next ones will stand is told to the broker. */
static void commit(struct disk *d)
{
    struct buf frame = {0};
    uint64_t turn = d->turn;
    bool passing = broker_records_pass(d->broker);
    if (broker_take_records(d->broker, &turn, &frame)) {
        if (passing) {
            store_mark_passing(d->store);
        }
        store_put(d->store, turn, &frame);
        broker_reuse(d->broker, &frame);
    } else if (store_wants_seal(d->store)) {
        store_seal(d->store);
    } else {
        d->turn = turn + 1;
        return;
    }
    d->turn = turn + 1;
    broker_place(d->broker, store_next_payload(d->store));
}

/* What has to be done now is done, what may take long is begun. */
static void work(struct disk *d, uint64_t now_ms)
{
    struct store_job now;
    while (store_take_write(d->store, now_ms, &now)) {
        store_run(&d->io, &now);
        store_done(d->store, now_ms, &now);
    }
    if (!d->busy && store_take_background(d->store, now_ms, &d->job)) {
        d->busy = true;
        disk_thread_do(&d->thread, &d->job);
    }
}

static void release(struct disk *d)
{
    uint64_t durable = store_durable_turn(d->store);
    if (durable > d->durable) {
        d->durable = durable;
        broker_durable(d->broker, durable);
    }
    bool behind = store_is_behind(d->store);
    if (behind != d->paused) {
        d->paused = behind;
        broker_storage_pause(d->broker, behind);
    }
}

void disk_turn(struct disk *d, uint64_t now_ms)
{
    if (!d) {
        return;
    }
    disk_fetches_turn(&d->fetches, now_ms);
    commit(d);
    work(d, now_ms);
    disk_trouble_watch(&d->trouble, d->store, now_ms);
    disk_trouble_tell(&d->trouble, d->store, d->broker);
    if (!store_failed(d->store)) {
        release(d);
    }
}

static void take_job(struct disk *d, uint64_t now_ms, bool wait)
{
    if (d->busy && disk_thread_take_job(&d->thread, wait)) {
        d->busy = false;
        store_done(d->store, now_ms, &d->job);
    }
}

void disk_ready(struct disk *d, uint64_t now_ms)
{
    disk_thread_heard(&d->thread);
    take_job(d, now_ms, false);
    disk_fetches_ready(&d->fetches, now_ms);
}

uint64_t disk_deadline(const struct disk *d)
{
    if (!d) {
        return UINT64_MAX;
    }
    uint64_t jobs = store_deadline(d->store);
    uint64_t reads = disk_fetches_deadline(&d->fetches);
    return jobs < reads ? jobs : reads;
}

bool disk_failed(const struct disk *d)
{
    return d && d->running && store_failed(d->store) != 0;
}

/* --- on demand --- */

void disk_set(struct disk *d, const struct conf *conf)
{
    if (d) {
        struct store_setup setup = setup_of(&conf->global);
        store_set(d->store, &setup);
    }
}

void disk_compact(struct disk *d)
{
    if (!d) {
        return;
    }
    log_info(d->log, "Store %s: syncing, and cleaning all segments.", d->place.name);
    store_compact(d->store);
}

void disk_log_figures(struct disk *d)
{
    if (!d) {
        return;
    }
    struct store_figures n = store_figures(d->store);
    log_info(d->log,
             "Store: %llu segments, %llu bytes. In memory: %llu bytes. Not synced: %llu bytes. "
             "Since the start: %llu frames, %llu writes, %llu syncs; cleaned: %llu segments, %llu "
             "bytes.",
             (unsigned long long)n.segments, (unsigned long long)n.bytes,
             (unsigned long long)n.waiting_bytes, (unsigned long long)n.unsynced_bytes,
             (unsigned long long)n.frames, (unsigned long long)n.writes,
             (unsigned long long)n.syncs, (unsigned long long)n.cleaned_segments,
             (unsigned long long)n.cleaned_bytes);
}

/* --- end --- */

/* False: it cannot be done now. */
static bool drain_once(struct disk *d)
{
    struct store_job job;
    uint64_t now_ms = clock_ms();
    while (!store_is_clean(d->store) && (store_take_write(d->store, now_ms, &job) ||
                                         store_take_background(d->store, now_ms, &job))) {
        store_run(&d->io, &job);
        store_done(d->store, now_ms, &job);
        if (store_failed(d->store)) {
            return false;
        }
    }
    return store_is_clean(d->store);
}

static bool drain(struct disk *d)
{
    uint64_t until = clock_ms() + CLOSE_MS;
    store_sync_soon(d->store);
    while (!drain_once(d)) {
        if (store_failed(d->store) || clock_ms() >= until) {
            return false;
        }
        struct timespec pause = {.tv_nsec = STORE_RETRY_MS / 2 * 1000000};
        (void)nanosleep(&pause, NULL);
    }
    return true;
}

static void save_all(struct disk *d)
{
    commit(d);
    bool saved = drain(d);
    if (saved) {
        store_seal(d->store);
        saved = drain(d);
    }
    if (!saved) {
        int why = store_failed(d->store) ? store_failed(d->store) : store_trouble(d->store);
        log_error(d->log,
                  "Error: Not everything could be stored in %s: %s. %llu bytes that were not "
                  "acknowledged are lost.",
                  d->place.name, strerror(why),
                  (unsigned long long)store_figures(d->store).waiting_bytes);
    }
}

/* False: a sync failed. */
static bool stop(struct disk *d, uint64_t now_ms)
{
    take_job(d, now_ms, true);
    if (!store_failed(d->store)) {
        save_all(d);
    }
    bool well = !store_failed(d->store);
    disk_thread_stop(&d->thread);
    disk_fetches_clear(&d->fetches);
    return well;
}

bool disk_close(struct disk *d, uint64_t now_ms)
{
    if (!d) {
        return true;
    }
    bool well = !d->running || stop(d, now_ms);
    if (d->store) {
        store_free(d->store);
    }
    disk_files_clear(&d->files);
    mem_free(d, sizeof(*d));
    return well;
}
