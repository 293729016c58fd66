/*
 * The journal of a simulated world: the real store on files that lie, and the model's copies that
 * belong to its frames.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "core/fetch.h"
#include "files.h"
#include "model.h"
#include "store/frame.h"
#include "store/store.h"

/* A frame that was put. */
struct stored {
    uint64_t turn;       /* the broker's */
    uint64_t end;        /* its position in the journal */
    struct model *model; /* after this frame; NULL when it cannot be needed any more */
};

/* A payload that the broker wants. */
struct wanted_payload {
    struct fetch fetch;
    uint8_t *p; /* NULL: not read yet */
    size_t n;
};

struct simdisk {
    struct files files;
    struct store_io io;
    struct store *store;
    uint64_t now_ms; /* the store's clock: it goes on while the world waits for the disk */
    uint64_t turn;   /* the broker's, that is being gathered */

    struct stored *frames; /* the first stands for the empty beginning */
    uint32_t n;            /* put: frames 1 … n - 1 */
    uint32_t cap;
    uint32_t durable;   /* the last of which the broker was told */
    uint32_t recovered; /* the last that was there when the process began */
    uint32_t certain;   /* no crash will lose these: of those before it there are no models */
    uint32_t *after;    /* by our own turn: the last frame put by its end */
    uint32_t after_n;
    uint32_t after_cap;

    struct store_job job; /* in the background */
    bool out;             /* there is one */
    bool run;             /* it has been done, and not been told */
    struct wanted_payload *wanted;
    uint32_t wanted_n;
    uint32_t wanted_cap;
    bool behind;
    bool torn;          /* cleaning could not read something */
    unsigned full;      /* turns left of a full disk */
    uint64_t live_peak; /* the most that the broker has said */
    uint32_t frame_peak;
};

enum crash { CRASH_KILL, CRASH_POWER };

struct sim;

void simdisk_init(struct sim *s);
void simdisk_clear(struct sim *s);
/*
 * The end of a turn: cleaning, the broker's records, the model's copy, and writing. In this and the
 * next two the process may die (files.dead): then nothing may be done but simdisk_crash.
 */
void simdisk_collect(struct sim *s);
/* Let the background get on, at random or (`all`) until there is nothing to do. */
void simdisk_settle(struct sim *s, bool all);
/* The begin of a turn: the disk's own troubles, and payloads that have been read. */
void simdisk_turn(struct sim *s);
/* Nothing is on its way. */
bool simdisk_quiet(const struct sim *s);
/* Is what that turn did durable? */
bool simdisk_has(const struct sim *s, uint32_t turn);
/* Are the files at rest no larger than promised? */
bool simdisk_is_small(const struct sim *s);
void simdisk_check_size(struct sim *s);

/* --- crash.c --- */

/* The store and its broker, from whatever there is. */
void simdisk_start(struct sim *s);
/* The process dies, and another begins. */
void simdisk_crash(struct sim *s, enum crash how);
/* Is the running broker the same as one rebuilt from all records? */
void simdisk_compare(struct sim *s);
/* The clean end: the store is gone, and what it left is the broker that still runs. */
void simdisk_stop(struct sim *s);

/* --- shared by disk.c and crash.c --- */

/* No more than the first `keep`. */
void frames_drop(struct simdisk *d, uint32_t keep);
/* Up to this one nothing can be lost any more. */
void frames_certain(struct simdisk *d, uint32_t to);
/* The last frame of which all has been synced. */
uint32_t frame_synced(const struct simdisk *d);
/* The last frame up to this turn. */
uint32_t frame_of_turn(const struct simdisk *d, uint64_t turn);
/* Our own turn is over. */
void turn_over(struct sim *s);

#endif
