/*
 * The scenarios that move messages: pairs, fan-out and fan-in, from the first connection to the
 * figures.
 */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>

#include "bench/conn.h"
#include "bench/error.h"
#include "bench/options.h"
#include "bench/report.h"

/* False: see the error; what was counted until then is in the result all the same. */
bool load_run(const struct bench_options *options, const struct target *target,
              struct bench_result *result, struct bench_error *error);

#endif
