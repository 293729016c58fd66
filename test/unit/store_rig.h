/*
 * A store on a disk in memory, driven as the server does: turns, jobs of the loop at once, those of
 * the background some time later.
 */
#ifndef UNIT_STORE_RIG_H
#define UNIT_STORE_RIG_H

#include "base/buf.h"
#include "base/rng.h"
#include "memdisk.h"
#include "store/recover.h"
#include "store/store.h"

struct store_rig {
    struct memdisk *disk;
    struct store_io io;
    struct store_setup setup;
    struct recover_setup recover; /* apply and its context are the test's */
    struct store *store;
    struct recovered found; /* as recovery said; without its segments */
    struct rng rng;
    uint64_t now_ms;
    uint64_t turn;
    struct buf frame; /* as the core has one, to be filled again */
    bool job_out, job_ran;
    struct store_job job;
    bool background; /* jobs of the background are taken */
    struct log log;
    char line[400]; /* the last of the log, and how many of which level */
    unsigned errors, warnings, infos;
};

void store_rig_init(struct store_rig *r, uint64_t seed, bool fsync);
/* The store is gone, as when the process dies; the disk is not. */
void store_rig_kill(struct store_rig *r);
/* … and the disk too. */
void store_rig_clear(struct store_rig *r);
/* Recover and begin to run. */
enum err store_rig_open(struct store_rig *r);

/* A turn's frame; its number is returned. */
uint64_t store_rig_put(struct store_rig *r, const void *records, size_t n);
/* The writing part of a turn: the loop's jobs; a background job goes on by one step, or is taken.
 */
void store_rig_step(struct store_rig *r);
/* Steps until everything is written and synced, with seals if wanted; false: it does not come to
 * that. */
bool store_rig_settle(struct store_rig *r, bool seal);

/* The records of a turn in tests that do not care what they say: different for each, found again by
 * the number. */
#define STORE_RIG_PAYLOAD 3000
size_t store_rig_payload(uint64_t turn, uint8_t out[STORE_RIG_PAYLOAD]);
void store_rig_put_payload(struct store_rig *r);

/* What an `apply` for those records finds: turns in a row. */
struct store_rig_found {
    uint64_t first, last, count;
    uint64_t gaps;
    bool wrong; /* records that nobody put, or not in order */
};
enum err store_rig_apply(void *ctx, uint64_t position, struct str records);

#endif
