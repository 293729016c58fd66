/*
 * A run as a page for people: one file that needs nothing else, no script and no network.
 */
#ifndef BENCH_PAGE_H
#define BENCH_PAGE_H

#include <stdio.h>

#include "bench/error.h"
#include "bench/options.h"
#include "bench/result.h"

/* Writes it. `error` is NULL if the run went well. */
void page_write(FILE *out, const struct bench_options *options, const struct bench_result *result,
                const struct bench_error *error);

#endif
