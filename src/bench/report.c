/*
 * What a run found out, and where it goes: to standard output, for people or for machines, and into
 * a page.
 */
#include "bench/report.h"

#include <stdio.h>

#include "bench/page.h"
#include "bench/report_json.h"
#include "bench/report_text.h"

bool report_begin(const struct bench_options *options, struct bench_result *result,
                  struct bench_error *error)
{
    if (options->html != NULL && !page_file_open(&result->page, options->html, error)) {
        return false;
    }
    host_look(&result->host, options->pid);
    watch_start(&result->watch, !options->no_progress, error);
    return true;
}

/* A run that measured nothing has nothing to show but the reason, except in JSON. */
static void print(const struct bench_options *options, const struct bench_result *result,
                  const struct bench_error *error)
{
    if (options->json) {
        report_json(stdout, options, result, error);
        putchar('\n');
    } else if (error == NULL || result->elapsed_s > 0) {
        report_text(stdout, options, result);
    }
    if (error != NULL) {
        fflush(stdout);
        fprintf(stderr, "mosquitto_bench: %s\n", error->text);
    }
}

/* Whatever else went wrong has been said by now. */
static bool write_page(const struct bench_options *options, struct bench_result *result,
                       const struct bench_error *error)
{
    struct bench_error trouble;

    if (result->page.out == NULL) {
        return true;
    }
    page_write(result->page.out, options, result, error);
    if (!page_file_keep(&result->page, &trouble)) {
        fprintf(stderr, "mosquitto_bench: %s\n", trouble.text);
        return false;
    }
    return true;
}

bool report_end(const struct bench_options *options, struct bench_result *result, bool ok,
                struct bench_error *error)
{
    watch_stop(&result->watch);
    ok = ok && !result->watch.interrupted;
    if (options->scenario == SCENARIO_IDLE) {
        result->memory_resident = result->memory_after;
    }
    if (options->pid == 0 || !peak_bytes((pid_t)options->pid, &result->memory_peak)) {
        result->memory_peak = 0;
    }
    print(options, result, ok ? NULL : error);
    return write_page(options, result, ok ? NULL : error) && ok;
}
