/*
 * Turns against a store.
 */
#include "store_rig.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

#define PAYLOAD_LEAST 17

static void count_line(void *ctx, enum log_level level, struct str line,
                       const struct log_about *about)
{
    (void)about;
    struct store_rig *r = ctx;
    size_t n = line.n < sizeof(r->line) - 1 ? line.n : sizeof(r->line) - 1;

    memcpy(r->line, line.p, n);
    r->line[n] = '\0';
    r->errors += level == LOG_LEVEL_ERROR;
    r->warnings += level == LOG_LEVEL_WARNING;
    r->infos += level == LOG_LEVEL_INFO;
}

void store_rig_init(struct store_rig *r, uint64_t seed, bool fsync)
{
    *r = (struct store_rig){.disk = memdisk_new(seed), .background = true, .now_ms = 1000};
    rng_seed(&r->rng, seed + 1);
    r->io = memdisk_io(r->disk);
    r->log = (struct log){.mask = LOG_LEVEL_ALL, .sink = count_line, .ctx = r};
    r->setup = (struct store_setup){.fsync = fsync,
                                    .sync_interval_ms = 20,
                                    .segment_size = 4096,
                                    .max_unsynced = 1024 * 1024,
                                    .new_id = seed * 2 + 1};
    r->recover = (struct recover_setup){.log = &r->log, .name = "test", .apply = store_rig_apply};
}

void store_rig_kill(struct store_rig *r)
{
    if (r->job_out && !r->job_ran && rng_below(&r->rng, 2))
        store_run(&r->io, &r->job);
    r->job_out = false;
    store_free(r->store);
    r->store = NULL;
    buf_clear(&r->frame);
}

void store_rig_clear(struct store_rig *r)
{
    store_rig_kill(r);
    memdisk_free(r->disk);
}

enum err store_rig_open(struct store_rig *r)
{
    struct recovered found;
    enum err e;

    r->errors = r->warnings = r->infos = 0;
    r->line[0] = '\0';
    r->recover.io = &r->io;
    e = store_recover(&r->recover, &found);
    if (e)
        return e;
    r->found = found;
    r->found.segments = NULL;
    r->turn = found.turn;
    r->store = store_new(&r->setup, &found);
    if (r->store)
        return ERR_OK;
    recovered_clear(&found);
    return ERR_NOMEM;
}

uint64_t store_rig_put(struct store_rig *r, const void *records, size_t n)
{
    static const uint8_t room[STORE_FRAME_ROOM];

    if (buf_add(&r->frame, room, sizeof(room)) || buf_add(&r->frame, records, n))
        abort();
    store_put(r->store, ++r->turn, &r->frame);
    if (r->frame.len > 0)
        abort();
    return r->turn;
}

static void step_background(struct store_rig *r)
{
    if (r->job_out && !r->job_ran) {
        store_run(&r->io, &r->job);
        r->job_ran = true;
    } else if (r->job_out) {
        r->job_out = false;
        store_done(r->store, r->now_ms, &r->job);
    } else if (r->background && store_take_background(r->store, r->now_ms, &r->job)) {
        r->job_out = true;
        r->job_ran = false;
    }
}

void store_rig_step(struct store_rig *r)
{
    struct store_job job;

    while (store_take_write(r->store, r->now_ms, &job)) {
        store_run(&r->io, &job);
        store_done(r->store, r->now_ms, &job);
    }
    for (uint32_t n = rng_below(&r->rng, 5); n > 0; n--)
        step_background(r);
    r->now_ms += rng_below(&r->rng, 4);
}

bool store_rig_settle(struct store_rig *r, bool seal)
{
    for (int i = 0; i < 20000; i++) {
        if (seal)
            store_seal(r->store);
        store_sync_soon(r->store);
        if (store_is_clean(r->store) && !r->job_out)
            return true;
        store_rig_step(r);
        r->now_ms += 5;
    }
    return false;
}

size_t store_rig_payload(uint64_t turn, uint8_t out[STORE_RIG_PAYLOAD])
{
    struct rng rng;
    size_t n;

    rng_seed(&rng, turn);
    n = PAYLOAD_LEAST + rng_below(&rng, rng_below(&rng, 8) == 0 ? 2900 : 200);
    memcpy(out, &turn, sizeof(turn));
    for (size_t i = sizeof(turn); i < n; i++)
        out[i] = (uint8_t)(turn * 31 + i * 7);
    return n;
}

void store_rig_put_payload(struct store_rig *r)
{
    uint8_t payload[STORE_RIG_PAYLOAD];
    size_t n = store_rig_payload(r->turn + 1, payload);

    store_rig_put(r, payload, n);
}

enum err store_rig_apply(void *ctx, uint64_t position, struct str records)
{
    struct store_rig_found *found = ctx;
    uint8_t payload[STORE_RIG_PAYLOAD];
    uint64_t turn = 0;

    (void)position;
    if (records.n >= sizeof(turn))
        memcpy(&turn, records.p, sizeof(turn));
    if (records.n != store_rig_payload(turn, payload) || memcmp(records.p, payload, records.n) != 0)
        found->wrong = true;
    if (found->count++ == 0)
        found->first = turn;
    else if (turn <= found->last)
        found->wrong = true;
    else
        found->gaps += turn - found->last - 1;
    found->last = turn;
    return ERR_OK;
}
