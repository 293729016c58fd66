/*
 * A disk in memory for tests of the store: files that can be looked at and spoiled, calls that
 * fail, and power cuts.
 *
 * A power cut keeps what was synced; of what was not, each sector of each write, each cut and each
 * change of a name is kept or lost by itself. A kill loses nothing.
 */
#ifndef UNIT_MEMDISK_H
#define UNIT_MEMDISK_H

#include "base/rng.h"
#include "store/io.h"

struct memdisk_file;

struct memdisk {
    struct rng rng;
    struct memdisk_file *files;
    /* Knobs: */
    unsigned short_percent;  /* of writes that are short */
    unsigned error_percent;  /* of writes that fail, some of them after making the file */
    unsigned forget_percent; /* of unsynced sectors and names that a power cut loses */
    uint64_t fail_at;        /* the call of this number fails, counted from 1; 0 = none … */
    uint64_t fail_from;      /* … or it and all later ones */
    uint64_t capacity;       /* bytes of all files; 0 = enough */
    int sync_error;          /* negative errno of the next sync, then 0 again */
    /* Counters: */
    uint64_t calls, writes, syncs, removals, copies;
};

struct memdisk *memdisk_new(uint64_t seed);
void memdisk_free(struct memdisk *d);
struct memdisk *memdisk_clone(const struct memdisk *d);
struct store_io memdisk_io(struct memdisk *d);
/* Afterwards everything that is left is as if synced. */
void memdisk_power_cut(struct memdisk *d);

/* A file's bytes, to be looked at and spoiled; NULL: there is none. */
uint8_t *memdisk_bytes(struct memdisk *d, uint64_t segment, size_t *size);
/* Make, replace or shorten a file. */
void memdisk_set(struct memdisk *d, uint64_t segment, const void *p, size_t n);
void memdisk_unlink(struct memdisk *d, uint64_t segment);
uint64_t memdisk_total(const struct memdisk *d);

#endif
