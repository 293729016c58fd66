/*
 * What a run found out, and how it is printed.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/error.h"
#include "bench/options.h"
#include "bench/stat.h"

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
    unsigned granted_qos; /* the lowest that the broker granted to a subscriber */
    bool broker_known;    /* --pid was given */
    struct cpu_time broker;
    struct cpu_time generator;
    uint64_t memory_before; /* bytes resident, of `idle` */
    uint64_t memory_after;
    struct histogram latency; /* nanoseconds */
    struct bench_part part[BENCH_PARTS_MAX]; /* of scenarios that are more than one stretch */
    size_t parts;
};

/* `error` is NULL if the run went to its end. */
void report_print(const struct bench_options *options, const struct bench_result *result,
                  const struct bench_error *error);

#endif
