/*
 * The running store: what server/disk does with it, but with a thread whose jobs are done at any
 * time later.
 */
#include "disk.h"

#include "core/record.h"
#include "sim.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* --- frames and the model's copies --- */

static void frame_add(struct simdisk *d, const struct model *m)
{
    d->frames = vec_grow(d->frames, &d->cap, d->n + 1, sizeof *d->frames);
    struct stored *f = &d->frames[d->n++];
    *f = (struct stored){.model = calloc(1, sizeof *f->model)};
    if (!f->model)
        exit(2);
    model_copy(f->model, m);
}

static void forget_model(struct stored *f)
{
    if (f->model)
        model_clear(f->model);
    free(f->model);
    f->model = NULL;
}

void frames_drop(struct simdisk *d, uint32_t keep)
{
    while (d->n > keep)
        forget_model(&d->frames[--d->n]);
    if (d->certain >= d->n)
        d->certain = d->n ? d->n - 1 : 0;
}

void frames_certain(struct simdisk *d, uint32_t to)
{
    while (d->certain < to)
        forget_model(&d->frames[d->certain++]);
}

uint32_t frame_synced(const struct simdisk *d)
{
    uint64_t to = store_written(d->store) - store_figures(d->store).unsynced_bytes;
    uint32_t i = d->n - 1;

    while (i > 0 && d->frames[i].end > to)
        i--;
    return i;
}

uint32_t frame_of_turn(const struct simdisk *d, uint64_t turn)
{
    uint32_t i = d->n - 1;

    while (i > 0 && d->frames[i].turn > turn)
        i--;
    return i;
}

void simdisk_init(struct sim *s)
{
    static const struct model empty;
    struct simdisk *d = &s->disk;

    *d = (struct simdisk){0};
    files_init(&d->files, &s->rng);
    d->files.faults = s->knobs.faults;
    d->io = files_io(&d->files);
    frame_add(d, &empty);
}

void simdisk_clear(struct sim *s)
{
    struct simdisk *d = &s->disk;

    frames_drop(d, 0);
    free(d->frames);
    free(d->after);
    free(d->wanted);
    files_clear(&d->files);
    *d = (struct simdisk){0};
}

void turn_over(struct sim *s)
{
    struct simdisk *d = &s->disk;

    d->after = vec_grow(d->after, &d->after_cap, s->turn + 1, sizeof *d->after);
    while (d->after_n <= s->turn)
        d->after[d->after_n++] = d->n - 1;
    s->turn++;
}

bool simdisk_has(const struct sim *s, uint32_t turn)
{
    if (!s->knobs.persistent)
        return true;
    return turn < s->disk.after_n && s->disk.after[turn] <= s->disk.durable;
}

/* --- what the broker is told --- */

static void tell_durable(struct sim *s)
{
    struct simdisk *d = &s->disk;
    uint64_t turn = store_durable_turn(d->store);
    uint32_t to = turn ? frame_of_turn(d, turn) : 0;

    frames_certain(d, s->knobs.store.fsync ? to : frame_synced(d));
    if (to <= d->durable)
        return;
    d->durable = to;
    trace_add(&s->trace, "durable: frame %u (turn %llu)", to, (unsigned long long)turn);
    broker_durable(s->broker, turn);
}

static void tell_behind(struct sim *s)
{
    struct simdisk *d = &s->disk;
    bool behind = store_is_behind(d->store);

    if (behind != d->behind)
        trace_add(&s->trace, "storage is %s", behind ? "behind" : "no longer behind");
    if (behind != d->behind && !s->paused)
        broker_storage_pause(s->broker, behind);
    d->behind = behind;
}

/* --- jobs --- */

static const char *op_word(enum store_op op)
{
    static const char *const words[] = {"write", "sync", "read", "remove"};

    return words[op];
}

/* False: the process died. */
static bool run_job(struct sim *s, struct store_job *job)
{
    store_run(&s->disk.io, job);
    trace_add(&s->trace, "disk: %s %llx at %llu%s%s: %lld, %d%s", op_word(job->op),
              (unsigned long long)job->segment, (unsigned long long)job->offset,
              job->create ? ", new" : "", job->then_sync ? ", synced" : "", (long long)job->result,
              job->sync_error, s->disk.files.dead ? ": dies" : "");
    return !s->disk.files.dead;
}

/* A failed sync ends the process as soon as it is known. */
static bool job_done(struct sim *s, const struct store_job *job)
{
    struct simdisk *d = &s->disk;
    uint64_t segment;
    uint64_t offset;

    store_done(d->store, d->now_ms, job);
    int damage = store_damage(d->store, &segment, &offset);
    if (damage == EBADMSG)
        sim_fail(s, "cleaning finds damage in segment %llx at %llu", (unsigned long long)segment,
                 (unsigned long long)offset);
    d->torn = d->torn || damage;
    if (!store_failed(d->store))
        return true;
    trace_add(&s->trace, "a sync has failed");
    s->totals->failed_syncs++;
    d->files.dead = true;
    return false;
}

static bool write_now(struct sim *s)
{
    struct simdisk *d = &s->disk;
    struct store_job job;

    while (store_take_write(d->store, d->now_ms, &job)) {
        if (!run_job(s, &job) || !job_done(s, &job))
            return false;
    }
    return true;
}

static bool background(struct sim *s, bool all)
{
    struct simdisk *d = &s->disk;

    while (all || chance(s, s->knobs.durable)) {
        if (!d->out) {
            d->out = store_take_background(d->store, d->now_ms, &d->job);
            d->run = false;
            if (!d->out)
                break;
        }
        if (!all && !chance(s, s->knobs.durable))
            break;
        if (!d->run && !run_job(s, &d->job))
            return false;
        d->run = true;
        if (!all && !chance(s, s->knobs.durable))
            break;
        d->out = false;
        if (!job_done(s, &d->job))
            return false;
    }
    return true;
}

void simdisk_settle(struct sim *s, bool all)
{
    if (s->knobs.persistent && !s->disk.files.dead && write_now(s) &&
        background(s, all || s->knobs.durable == 1000))
        tell_durable(s);
}

/* --- the end of a turn --- */

/* The first few records of them. */
static struct str some_of(struct sim *s, struct str records)
{
    struct str rest = records;
    struct record r;

    for (uint32_t n = 1 + rng_below(&s->rng, 8); n > 0 && rest.n > 0; n--) {
        if (record_read(&rest, &r) != ERR_OK)
            sim_fail(s, "%zu bytes are no records", rest.n);
    }
    return str_of(records.p, records.n - rest.n);
}

/* Now and then not all, as when the turn's budget is spent; how many bytes. */
static size_t renew(struct sim *s, uint64_t position, struct str records)
{
    struct str part = chance(s, 50) ? some_of(s, records) : records;
    size_t n = part.n;
    enum err e = broker_renew(s->broker, &position, &part);

    if (e && e != ERR_NOMEM)
        sim_fail(s, "cleaning at position %llu: %s", (unsigned long long)position, err_word(e));
    trace_add(&s->trace, "looked at %zu of %zu bytes of old records", n - part.n, records.n);
    return n - part.n;
}

/* What cleaning wants to read is in memory, or not. */
static bool read_at_once(struct sim *s)
{
    struct simdisk *d = &s->disk;
    struct store_job job;
    bool whole;

    if (!store_take_read(d->store, &job))
        return false;
    job.result = -EAGAIN;
    if (chance(s, 500))
        store_run(&d->io, &job);
    whole = job.result == (int64_t)job.iov[0].iov_len;
    if (!whole)
        job.result = -EAGAIN;
    store_done(d->store, s->now.mono_ms, &job);
    return whole;
}

static bool has_piece(struct sim *s, uint64_t *position, struct str *records)
{
    struct store *store = s->disk.store;

    do {
        store_set_first(store, broker_first_message(s->broker));
        if (store_clean_next(store, position, records))
            return true;
    } while (read_at_once(s));
    return false;
}

static void clean(struct sim *s)
{
    struct simdisk *d = &s->disk;
    uint64_t live = broker_live_bytes(s->broker);
    uint64_t position;
    struct str records;

    d->live_peak = live > d->live_peak ? live : d->live_peak;
    store_set_live(d->store, live);
    while (!broker_is_spent(s->broker) && has_piece(s, &position, &records)) {
        uint64_t renewed = broker_stats(s->broker)->renewed_bytes;
        size_t n = renew(s, position, records);
        renewed = broker_stats(s->broker)->renewed_bytes - renewed;
        store_cleaned(d->store, n, (size_t)renewed, d->turn);
        if (n < records.n)
            break;
    }
}

static void put(struct sim *s, uint64_t turn, struct buf *frame, bool passing)
{
    struct simdisk *d = &s->disk;
    uint32_t n = frame->len - BROKER_FRAME_ROOM;

    if (frame->len <= BROKER_FRAME_ROOM)
        sim_fail(s, "records without a byte");
    if (turn <= d->frames[d->n - 1].turn)
        sim_fail(s, "turn %llu follows turn %llu", (unsigned long long)turn,
                 (unsigned long long)d->frames[d->n - 1].turn);
    if (passing && chance(s, 900))
        store_mark_passing(d->store);
    store_put(d->store, turn, frame);
    broker_reuse(s->broker, frame);
    frame_add(d, &s->model);
    d->frames[d->n - 1].turn = turn;
    d->frames[d->n - 1].end = store_next_payload(d->store) - STORE_FRAME_HEADER;
    d->frame_peak = n > d->frame_peak ? n : d->frame_peak;
    trace_add(&s->trace, "frame %u put (broker's turn %llu, %u bytes)", d->n - 1,
              (unsigned long long)turn, n);
}

static void commit(struct sim *s)
{
    struct simdisk *d = &s->disk;
    struct buf frame = {0};
    uint64_t turn;

    bool passing = broker_records_pass(s->broker);
    if (broker_take_records(s->broker, &turn, &frame))
        put(s, turn, &frame, passing);
    else if (store_wants_seal(d->store) && chance(s, 300))
        store_seal(d->store);
    if (turn != d->turn)
        sim_fail(s, "turn %llu instead of %llu", (unsigned long long)turn,
                 (unsigned long long)d->turn);
    d->turn++;
    broker_place(s->broker, store_next_payload(d->store));
}

static void want_payloads(struct sim *s)
{
    struct simdisk *d = &s->disk;
    struct fetch f;

    while (broker_take_fetch(s->broker, &f)) {
        if (f.least == 0 || f.least > f.length)
            sim_fail(s, "a fetch of %u to %u bytes", f.least, f.length);
        d->wanted = vec_grow(d->wanted, &d->wanted_cap, d->wanted_n + 1, sizeof *d->wanted);
        d->wanted[d->wanted_n++] = (struct wanted_payload){.fetch = f};
    }
}

static void collect_none(struct sim *s)
{
    struct buf frame = {0};
    uint64_t turn;

    if (broker_take_records(s->broker, &turn, &frame))
        sim_fail(s, "records without persistence");
    turn_over(s);
}

void simdisk_collect(struct sim *s)
{
    if (!s->knobs.persistent) {
        collect_none(s);
        return;
    }
    clean(s);
    commit(s);
    turn_over(s);
    want_payloads(s);
    if (!write_now(s))
        return;
    tell_durable(s);
    tell_behind(s);
}

/* --- the begin of a turn --- */

static void read_payload(struct sim *s, struct wanted_payload *w)
{
    struct simdisk *d = &s->disk;
    uint64_t there = store_written(d->store) - w->fetch.position;
    struct store_job job;

    w->p = malloc(w->fetch.length);
    if (!w->p)
        exit(2);
    w->n = there < w->fetch.length ? (size_t)there : w->fetch.length;
    if (!store_read_job(d->store, w->fetch.position, w->n, w->p, &job)) {
        w->n = 0; /* its segment is gone meanwhile */
        return;
    }
    (void)run_job(s, &job);
    w->n = job.result > 0 ? (size_t)job.result : 0;
    if (w->n < w->fetch.least)
        w->n = 0;
}

/* True: the broker has it. */
static bool bring(struct sim *s, struct wanted_payload *w)
{
    unsigned speed = s->calm ? 1000 : s->knobs.fetch;

    if (!w->p && w->fetch.position + w->fetch.least > store_written(s->disk.store))
        return false;
    if (!w->p && !chance(s, speed))
        return false;
    if (!w->p)
        read_payload(s, w);
    if (s->disk.files.dead || !chance(s, speed))
        return false;
    trace_add(&s->trace, "%zu bytes of payloads from position %llu for session %llu", w->n,
              (unsigned long long)w->fetch.position, (unsigned long long)w->fetch.session);
    broker_fetched(s->broker, &w->fetch, str_of((const char *)w->p, w->n));
    s->totals->fetched += w->n > 0;
    free(w->p);
    return true;
}

static void bring_payloads(struct sim *s)
{
    struct simdisk *d = &s->disk;
    uint32_t left = 0;

    for (uint32_t i = 0; i < d->wanted_n; i++) {
        if (!bring(s, &d->wanted[i]))
            d->wanted[left++] = d->wanted[i];
    }
    d->wanted_n = left;
}

static void disk_full(struct sim *s)
{
    struct simdisk *d = &s->disk;

    if (d->full && (--d->full == 0 || s->calm)) {
        d->full = 0;
        d->files.room = UINT64_MAX;
        trace_add(&s->trace, "the disk has room again");
    } else if (!d->full && !s->calm && rarely(s, s->knobs.full)) {
        d->full = 1 + rng_below(&s->rng, 200);
        d->files.room = rng_below(&s->rng, 2) ? 0 : rng_below(&s->rng, 20000);
        trace_add(&s->trace, "the disk is full but for %llu bytes",
                  (unsigned long long)d->files.room);
    }
}

static void calm_down(struct sim *s)
{
    struct store_setup setup = s->knobs.store;

    s->disk.files.faults = (struct file_faults){0};
    s->disk.files.crash_in = 0;
    setup.max_size = 0;
    store_set(s->disk.store, &setup);
}

void simdisk_turn(struct sim *s)
{
    struct simdisk *d = &s->disk;

    if (!s->knobs.persistent)
        return;
    d->now_ms += rng_below(&s->rng, 20);
    if (!s->calm && chance(s, s->knobs.jump))
        d->now_ms += rng_below(&s->rng, 3000);
    disk_full(s);
    if (s->calm)
        calm_down(s);
    else if (rarely(s, s->knobs.crash))
        d->files.crash_in = 1 + rng_below(&s->rng, 6);
    else if (rarely(s, 10))
        store_compact(d->store);
    bring_payloads(s);
}

bool simdisk_quiet(const struct sim *s)
{
    const struct simdisk *d = &s->disk;

    return !s->knobs.persistent ||
           (d->wanted_n == 0 && !d->out && store_figures(d->store).waiting_bytes == 0);
}

/* What is promised: twice what is live, and four segments, of which any may be longer by a frame.
 */
static uint64_t promised(const struct sim *s)
{
    const struct store_setup *setup = &s->knobs.store;
    uint64_t segment = setup->segment_size + s->disk.frame_peak + STORE_FRAME_HEADER;

    return 2 * broker_live_bytes(s->broker) + 4 * segment;
}

bool simdisk_is_small(const struct sim *s)
{
    return s->disk.torn || files_bytes(&s->disk.files) <= promised(s);
}

void simdisk_check_size(struct sim *s)
{
    uint64_t bytes = files_bytes(&s->disk.files);
    uint64_t counted = store_figures(s->disk.store).bytes;

    if (counted != bytes)
        sim_fail(s, "the files have %llu bytes, the store counts %llu", (unsigned long long)bytes,
                 (unsigned long long)counted);
    if (!simdisk_is_small(s))
        sim_fail(s, "%llu bytes of files at rest, %llu are live, %llu would be right",
                 (unsigned long long)bytes, (unsigned long long)broker_live_bytes(s->broker),
                 (unsigned long long)promised(s));
}
