/*
 * A run for people: a label and its figures on each line, tables where there are several of a kind.
 * No line is longer than 80 columns.
 */
#include "bench/report_text.h"

#include <inttypes.h>
#include <math.h>

#include "bench/figures.h"

enum {
    SHAPE_ROOM = 160,
};

static void put_label(FILE *out, const char *label)
{
    fprintf(out, "%-17s", label);
}

static void put_count(FILE *out, const char *label, uint64_t count)
{
    char text[FIGURE_ROOM];

    put_label(out, label);
    fprintf(out, "%s\n", figure_grouped((double)count, text));
}

static void put_done(FILE *out, const char *label, uint64_t count, double elapsed, const char *unit)
{
    char text[FIGURE_ROOM];

    put_label(out, label);
    fprintf(out, "%s in %.3f s: ", figure_grouped((double)count, text), elapsed);
    fprintf(out, "%s%s a second\n", figure_grouped(figure_second(count, elapsed), text), unit);
}

static void put_messages(FILE *out, const struct bench_options *options,
                         const struct bench_result *result)
{
    put_count(out, "published", result->published);
    if (result->parts > 0) {
        put_count(out, "delivered", result->delivered);
    } else {
        put_done(out, "delivered", result->delivered, result->elapsed_s, " messages");
    }
    put_label(out, "faults");
    fprintf(out, "lost %" PRIu64 ", duplicates %" PRIu64 ", out of order %" PRIu64 "\n",
            result->lost, result->duplicates, result->reordered);
    if (result->overdue > 0) {
        put_count(out, "overdue", result->overdue);
        put_label(out, "note");
        fprintf(out, "the rate was not reached; what is overdue is not in the latencies\n");
    }
    if (result->granted_qos < options->subscribe_qos) {
        put_label(out, "note");
        fprintf(out, "the broker granted subscribers only QoS %u\n", result->granted_qos);
    }
}

static void put_rest(FILE *out, const struct bench_part *part)
{
    char text[FIGURE_ROOM];

    put_label(out, "at rest");
    fprintf(out, "%s times woken up", figure_grouped((double)part->wakeups, text));
    fprintf(out, " in %.1f s, %.1f ms of CPU\n", part->elapsed_s,
            (part->broker.user_s + part->broker.system_s) * 1e3);
}

static void put_idle(FILE *out, const struct bench_options *options,
                     const struct bench_result *result)
{
    char text[FIGURE_ROOM];

    put_label(out, "memory");
    fprintf(out, "%s bytes for each connection",
            figure_grouped(
                figure_bytes(result->memory_before, result->memory_after, options->clients), text));
    fprintf(out, " (%s before,", figure_grouped((double)result->memory_before, text));
    fprintf(out, " %s after)\n", figure_grouped((double)result->memory_after, text));
    if (result->parts > 0) {
        put_rest(out, &result->part[0]);
    }
}

static void put_memory(FILE *out, const struct bench_result *result)
{
    char text[FIGURE_ROOM];

    if (result->memory_peak == 0) {
        return;
    }
    put_label(out, "broker's memory");
    if (result->memory_resident > 0) {
        fprintf(out, "%s bytes, ", figure_grouped((double)result->memory_resident, text));
    }
    fprintf(out, "%s at its peak\n", figure_grouped((double)result->memory_peak, text));
}

static void put_latency(FILE *out, const struct bench_options *options,
                        const struct bench_result *result)
{
    char text[FIGURE_ROOM];

    if (result->latency.total == 0) {
        return;
    }
    fprintf(out, "\nlatency %s\n%-28s", figure_latency(options), "  µs");
    for (size_t i = 0; i < FIGURE_QUANTILES; i++) {
        fprintf(out, "%10s", figure_quantiles[i].name);
    }
    fprintf(out, "\n%-27s", "");
    for (size_t i = 0; i < FIGURE_QUANTILES; i++) {
        fprintf(out, "%10s",
                figure_decimal(figure_latency_us(result, figure_quantiles[i].part), 1, text));
    }
    putc('\n', out);
}

static void put_cpu(FILE *out, const char *who, const struct cpu_time *cpu, uint64_t count,
                    double elapsed)
{
    const double seconds[] = {cpu->user_s, cpu->system_s, cpu->user_s + cpu->system_s};
    char text[FIGURE_ROOM];

    fprintf(out, "  %-25s", who);
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        fprintf(out, "%10s", figure_decimal(figure_us(seconds[i], count), 4, text));
    }
    fprintf(out, "%10s %%\n", figure_decimal(figure_core(cpu, elapsed), 0, text));
}

static void put_processor(FILE *out, const struct bench_options *options,
                          const struct bench_result *result)
{
    uint64_t count = figure_count(options, result);

    fprintf(out, "\nCPU µs for each %-12s%10s%10s%10s%12s\n", figure_unit(options), "user",
            "system", "total", "of a core");
    if (result->broker_known) {
        put_cpu(out, "broker", &result->broker, count, result->elapsed_s);
    }
    put_cpu(out, "generator", &result->generator, count, result->elapsed_s);
}

static void put_part(FILE *out, const struct bench_options *options, const struct bench_part *part)
{
    const double broker = options->pid != 0 ? 1 : NAN;
    char text[FIGURE_ROOM];

    fprintf(out, "%-9s", part->name);
    fprintf(out, "%10s", figure_grouped((double)part->count, text));
    fprintf(out, "%10s", figure_grouped(figure_second(part->count, part->elapsed_s), text));
    fprintf(out, "%8s",
            figure_decimal(broker * figure_us(part->broker.user_s, part->count), 3, text));
    fprintf(out, "%8s",
            figure_decimal(broker * figure_us(part->broker.system_s, part->count), 3, text));
    fprintf(
        out, "%8s",
        figure_decimal(figure_us(part->generator.user_s + part->generator.system_s, part->count), 3,
                       text));
    fprintf(out, "%8s",
            figure_grouped(
                broker * figure_bytes(part->memory_before, part->memory_after, part->count), text));
    fprintf(out, "  %s\n", part->unit);
}

static void put_parts(FILE *out, const struct bench_options *options,
                      const struct bench_result *result)
{
    if (result->parts == 0) {
        return;
    }
    fprintf(out, "\n%-29s%29s %8s\n", "", "broker's CPU µs   own", "broker's");
    fprintf(out, "%-9s%10s%10s%8s%8s%9s%8s  %s\n", "stretch", "count", "a second", "user", "system",
            "CPU µs", "bytes", "each");
    for (size_t i = 0; i < result->parts; i++) {
        put_part(out, options, &result->part[i]);
    }
}

void report_text(FILE *out, const struct bench_options *options, const struct bench_result *result)
{
    char shape[SHAPE_ROOM];

    figure_shape(options, shape, sizeof shape);
    fprintf(out, "%s, %s\n", scenario_name(options->scenario), shape);
    if (options->scenario == SCENARIO_IDLE) {
        put_idle(out, options, result);
    } else if (figure_messages(options)) {
        put_messages(out, options, result);
    } else if (result->parts > 0) {
        put_count(out, "connections", result->published);
    } else {
        put_done(out, "connections", result->published, result->elapsed_s, "");
    }
    put_memory(out, result);
    put_latency(out, options, result);
    if (options->scenario != SCENARIO_IDLE) {
        put_parts(out, options, result);
    }
    if (options->scenario != SCENARIO_IDLE && result->parts == 0) {
        put_processor(out, options, result);
    }
}
