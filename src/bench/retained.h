/*
 * The scenario `retained`: messages that a broker keeps for those who subscribe later.
 */
#ifndef BENCH_RETAINED_H
#define BENCH_RETAINED_H

#include <stdbool.h>

#include "bench/conn.h"
#include "bench/error.h"
#include "bench/options.h"
#include "bench/result.h"

/* False: see the error; what was measured until then is in the result all the same. */
bool retained_run(const struct bench_options *options, const struct target *target,
                  struct bench_result *result, struct bench_error *error);

#endif
