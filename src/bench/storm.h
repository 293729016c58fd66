/*
 * The scenario `storm`: everybody connects at once.
 */
#ifndef BENCH_STORM_H
#define BENCH_STORM_H

#include <stdbool.h>

#include "bench/conn.h"
#include "bench/error.h"
#include "bench/options.h"
#include "bench/result.h"

/* False: see the error; what was measured until then is in the result all the same. */
bool storm_run(const struct bench_options *options, const struct target *target,
               struct bench_result *result, struct bench_error *error);

#endif
