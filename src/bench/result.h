/*
 * What a run found out.
 */
#ifndef BENCH_RESULT_H
#define BENCH_RESULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/host.h"
#include "bench/page_file.h"
#include "bench/stat.h"
#include "bench/watch.h"

/* A stretch of a run that is measured by itself: subscribing, publishing, draining. */
struct bench_part {
    const char *name; /* "subscribe" */
    const char *unit; /* what `count` counts: "subscription" */
    uint64_t count;
    double elapsed_s;
    struct cpu_time broker; /* if the process is known */
    struct cpu_time generator;
    uint64_t memory_before; /* bytes resident, of the broker */
    uint64_t memory_after;
    uint64_t wakeups; /* of the broker */
};

enum {
    BENCH_PARTS_MAX = 4,
};

struct bench_result {
    uint64_t published; /* in the measured part; of `connect`: connections made */
    uint64_t delivered; /* likewise */
    double elapsed_s;
    uint64_t lost; /* these three in the whole run, warm-up included */
    uint64_t duplicates;
    uint64_t reordered;
    uint64_t overdue; /* with a rate: were due in the measured time and could not be sent in it */
    unsigned granted_qos; /* the lowest that the broker granted to a subscriber */
    bool broker_known;    /* --pid was given */
    struct cpu_time broker;
    struct cpu_time generator;
    uint64_t memory_before; /* bytes resident, of `idle` */
    uint64_t memory_after;
    uint64_t memory_resident;                /* bytes of the broker at the end; 0: not known */
    uint64_t memory_peak;                    /* and the most that it has had since it started */
    struct histogram latency;                /* nanoseconds */
    struct bench_part part[BENCH_PARTS_MAX]; /* of scenarios that are more than one stretch */
    size_t parts;
    struct host host;
    struct page_file page; /* with --html */
    struct watch watch;    /* over the whole run: the scenario tells it what is going on */
};

#endif
