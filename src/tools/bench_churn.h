/*
 * The scenarios without messages: idle connections, and connections that come and go.
 */
#ifndef TOOLS_BENCH_CHURN_H
#define TOOLS_BENCH_CHURN_H

#include <stdbool.h>

#include "tools/bench_conn.h"
#include "tools/bench_error.h"
#include "tools/bench_options.h"
#include "tools/bench_report.h"

bool idle_run(const struct bench_options *options, const struct target *target,
              struct bench_result *result, struct bench_error *error);
bool connect_run(const struct bench_options *options, const struct target *target,
                 struct bench_result *result, struct bench_error *error);

#endif
