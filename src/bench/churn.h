/*
 * The scenarios without messages: idle connections, and connections that come and go.
 */
#ifndef BENCH_CHURN_H
#define BENCH_CHURN_H

#include <stdbool.h>

#include "bench/conn.h"
#include "bench/error.h"
#include "bench/options.h"
#include "bench/result.h"

bool idle_run(const struct bench_options *options, const struct target *target,
              struct bench_result *result, struct bench_error *error);
bool connect_run(const struct bench_options *options, const struct target *target,
                 struct bench_result *result, struct bench_error *error);

#endif
