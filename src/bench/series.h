/*
 * How much was done in each piece of time: a bounded number of slots, whose width doubles whenever
 * they are full. So a run of a second is seen in steps of some milliseconds and one of a day in
 * steps of minutes, in the same memory.
 */
#ifndef BENCH_SERIES_H
#define BENCH_SERIES_H

#include <stddef.h>
#include <stdint.h>

enum {
    SERIES_SLOTS = 512,
    SERIES_MARKS = 16,
};

/* Where a stretch begins. */
struct series_mark {
    const char *name;
    const char *unit;
    uint64_t start_ns; /* since the series began */
};

struct series {
    uint64_t begin_ns; /* on the clock of now_ns() */
    uint64_t slot_ns;
    uint64_t last_ns; /* of the latest reading, since the beginning */
    uint64_t last_done;
    size_t slots; /* complete ones; slot[slots] is being filled */
    uint64_t slot[SERIES_SLOTS + 1];
    struct series_mark mark[SERIES_MARKS]; /* those that did not fit are left out */
    size_t marks;
};

void series_begin(struct series *s, uint64_t now_ns);

/* Another count begins, and stands at `from`. */
void series_mark(struct series *s, uint64_t now_ns, const char *name, const char *unit,
                 uint64_t from);

/* A reading: what came since the last one is spread evenly over the time between the two. */
void series_note(struct series *s, uint64_t now_ns, uint64_t done);

/* When the slot that is being filled ends, on the clock of now_ns(). */
uint64_t series_due(const struct series *s);

#endif
