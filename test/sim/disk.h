/*
 * The disk: frames of records that become durable some time after they were written, and the
 * model's copies that belong to them.
 */
#ifndef SIM_DISK_H
#define SIM_DISK_H

#include "base/str.h"
#include "model.h"

struct stored {
    uint8_t *bytes;
    size_t n;
    uint64_t turn;       /* the broker's */
    struct model *model; /* after this frame; NULL when it cannot be needed any more */
};

struct simdisk {
    struct stored *frames; /* the first stands for the empty beginning */
    uint32_t n;            /* written: frames 1 … n - 1 */
    uint32_t cap;
    uint32_t durable; /* the last durable one */
    uint32_t first;   /* written by the broker that runs now */
    uint32_t *after;  /* by our own turn: the last frame written by its end */
    uint32_t after_n;
    uint32_t after_cap;
};

struct sim;

void simdisk_init(struct simdisk *d);
void simdisk_clear(struct simdisk *d);
/* The end of a turn: take the broker's records, remember the model. */
void simdisk_collect(struct sim *s);
/* Let more become durable, at random or all. */
void simdisk_settle(struct sim *s, bool all);
/* Is what that turn did durable? */
bool simdisk_has(const struct sim *s, uint32_t turn);
/* Feed frames 1 … last to a new broker. */
struct broker *simdisk_rebuild(struct sim *s, uint32_t last);
/* Is the running broker the same as one rebuilt from all records? */
void simdisk_compare(struct sim *s);
/* The power fails. */
void simdisk_crash(struct sim *s);

#endif
