/*
 * The scenario `queue`: messages for sessions that are away, and what they cost when they are
 * fetched.
 */
#ifndef BENCH_QUEUE_H
#define BENCH_QUEUE_H

#include <stdbool.h>

#include "bench/conn.h"
#include "bench/error.h"
#include "bench/options.h"
#include "bench/result.h"

/* False: see the error; what was measured until then is in the result all the same. */
bool queue_run(const struct bench_options *options, const struct target *target,
               struct bench_result *result, struct bench_error *error);

#endif
