/*
 * What a run found out is told: on standard output and in a page.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>

#include "bench/error.h"
#include "bench/options.h"
#include "bench/result.h"

/* Before the run: begins the watch. False: the page of --html cannot be written. */
bool report_begin(const struct bench_options *options, struct bench_result *result,
                  struct bench_error *error);

/* After it: prints what was found out. `ok`: the run went to its end; else the error says why not,
 * and what was counted until then is printed all the same. False: something is wrong. */
bool report_end(const struct bench_options *options, struct bench_result *result, bool ok,
                struct bench_error *error);

#endif
