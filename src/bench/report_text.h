/*
 * A run for people, on a terminal.
 */
#ifndef BENCH_REPORT_TEXT_H
#define BENCH_REPORT_TEXT_H

#include <stdio.h>

#include "bench/options.h"
#include "bench/result.h"

void report_text(FILE *out, const struct bench_options *options, const struct bench_result *result);

#endif
