/*
 * mosquitto_bench: puts load on an MQTT 3.1.1 broker and says what a message costs.
 *
 * One thread on epoll, libc and, for TLS alone, OpenSSL, so that it runs against any broker and is
 * cheap beside it. The figure to compare is the broker's CPU time for a delivered message (--pid):
 * other than throughput it hardly depends on what else the machine is doing.
 */
#include <stdio.h>
#include <string.h>

#include "bench/churn.h"
#include "bench/conn.h"
#include "bench/load.h"
#include "bench/options.h"
#include "bench/queue.h"
#include "bench/report.h"
#include "bench/retained.h"
#include "bench/storm.h"
#include "bench/tls.h"
#include "bench/version.h"
#include "bench/wild.h"

enum {
    EXIT_WELL = 0,
    EXIT_FAULTS = 1,
    EXIT_USAGE = 2,
    EXIT_INTERRUPTED = 130, /* as of a program that dies of SIGINT, for shells */
};

static bool run_scenario(const struct bench_options *options, const struct target *target,
                         struct bench_result *result, struct bench_error *error)
{
    switch (options->scenario) {
    case SCENARIO_IDLE:
        return idle_run(options, target, result, error);
    case SCENARIO_CONNECT:
        return connect_run(options, target, result, error);
    case SCENARIO_PAIRS:
    case SCENARIO_FANOUT:
    case SCENARIO_FANIN:
        return load_run(options, target, result, error);
    case SCENARIO_WILD:
        return wild_run(options, target, result, error);
    case SCENARIO_RETAINED:
        return retained_run(options, target, result, error);
    case SCENARIO_QUEUE:
        return queue_run(options, target, result, error);
    case SCENARIO_STORM:
        return storm_run(options, target, result, error);
    }
    return false;
}

static bool run(const struct bench_options *options, struct bench_result *result,
                struct bench_error *error)
{
    struct target target = {.timeout = options->timeout};
    bool ok = bench_tls_setup(options, &target.tls, error) &&
              target_resolve(&target, options->host, options->port, error) &&
              run_scenario(options, &target, result, error);

    if (ok && options->html != NULL) {
        version_ask(options, &target, result->host.version, sizeof result->host.version);
    }
    bench_tls_free(target.tls);
    return ok;
}

int main(int argc, char **argv)
{
    struct bench_options options;
    struct bench_error error = {""};
    struct bench_result result = {0};
    bool ok;

    switch (options_parse(argc, argv, &options, &error)) {
    case OPTIONS_HELP:
        options_help();
        return EXIT_WELL;
    case OPTIONS_WRONG:
        fprintf(stderr, "mosquitto_bench: %s\n", error.text);
        return EXIT_USAGE;
    case OPTIONS_RUN:
        break;
    }
    if (!report_begin(&options, &result, &error)) {
        fprintf(stderr, "mosquitto_bench: %s\n", error.text);
        return EXIT_USAGE;
    }
    ok = run(&options, &result, &error);
    ok = report_end(&options, &result, ok, &error);
    if (result.watch.interrupted) {
        return EXIT_INTERRUPTED;
    }
    return ok ? EXIT_WELL : EXIT_FAULTS;
}
