/*
 * A run for machines: one JSON object on one line.
 */
#ifndef BENCH_REPORT_JSON_H
#define BENCH_REPORT_JSON_H

#include <stdio.h>

#include "bench/error.h"
#include "bench/options.h"
#include "bench/result.h"

/* `error` is NULL if the run went well. */
void report_json(FILE *out, const struct bench_options *options, const struct bench_result *result,
                 const struct bench_error *error);

#endif
