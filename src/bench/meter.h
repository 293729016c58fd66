/*
 * A stopwatch: time that passes, and the processor time that broker and generator spend in it.
 */
#ifndef BENCH_METER_H
#define BENCH_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/error.h"
#include "bench/result.h"
#include "bench/stat.h"

struct meter {
    uint64_t pid; /* of the broker; 0: not known */
    uint64_t start_ns;
    struct cpu_sample broker;
    struct cpu_time generator;
};

bool meter_start(struct meter *meter, uint64_t pid, struct bench_error *error);
double meter_elapsed(const struct meter *meter);

/* Fills in the processor times. An error is not reported if `error` is NULL. */
bool meter_stop(const struct meter *meter, struct bench_result *result, struct bench_error *error);

#endif
