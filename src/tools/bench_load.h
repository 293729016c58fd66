/*
 * The scenarios that move messages: pairs, fan-out and fan-in, from the first connection to the
 * figures.
 */
#ifndef TOOLS_BENCH_LOAD_H
#define TOOLS_BENCH_LOAD_H

#include <stdbool.h>

#include "tools/bench_conn.h"
#include "tools/bench_error.h"
#include "tools/bench_options.h"
#include "tools/bench_report.h"

/* False: see the error; what was counted until then is in the result all the same. */
bool load_run(const struct bench_options *options, const struct target *target,
              struct bench_result *result, struct bench_error *error);

#endif
