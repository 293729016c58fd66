/*
 * A run for machines. The manual page says what the members mean: keep it in step.
 */
#include "bench/report_json.h"

#include "bench/figures.h"
#include "bench/json.h"

static void put_cpu(struct json *j, const char *who, const struct cpu_time *cpu, uint64_t count)
{
    json_open(j, who, '{');
    json_number(j, "cpu_us", figure_us(cpu->user_s + cpu->system_s, count), 6);
    json_number(j, "user_us", figure_us(cpu->user_s, count), 6);
    json_number(j, "system_us", figure_us(cpu->system_s, count), 6);
    json_number(j, "cpu_s", cpu->user_s + cpu->system_s, 6);
    json_close(j, '}');
}

static void put_latency(struct json *j, const struct bench_result *result)
{
    const struct histogram *h = &result->latency;

    json_open(j, "latency_us", '{');
    json_count(j, "count", h->total);
    for (size_t i = 0; i < FIGURE_QUANTILES; i++) {
        const struct figure_quantile *q = &figure_quantiles[i];

        json_number(j, q->key, figure_latency_us(result, q->part), 3);
    }
    json_open(j, "buckets", '[');
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (h->count[i] > 0) {
            json_open(j, NULL, '[');
            json_number(j, NULL, (double)histogram_top(h, i) / 1e3, 3);
            json_count(j, NULL, h->count[i]);
            json_close(j, ']');
        }
    }
    json_close(j, ']');
    json_close(j, '}');
}

static void put_messages(struct json *j, const struct bench_options *options,
                         const struct bench_result *result)
{
    json_count(j, "publish_qos", options->publish_qos);
    json_count(j, "subscribe_qos", options->subscribe_qos);
    json_count(j, "granted_qos", result->granted_qos);
    json_count(j, "window", options->window);
    json_count(j, "payload", options->payload);
    json_count(j, "published", result->published);
    json_count(j, "delivered", result->delivered);
    if (result->parts == 0) {
        json_number(j, "messages_per_s", figure_second(result->delivered, result->elapsed_s), 1);
    }
    if (options->rate > 0) {
        json_count(j, "overdue", result->overdue);
    }
    json_count(j, "lost", result->lost);
    json_count(j, "duplicates", result->duplicates);
    json_count(j, "reordered", result->reordered);
}

static void put_idle(struct json *j, const struct bench_options *options,
                     const struct bench_result *result)
{
    json_flag(j, "subscribe", options->subscribe);
    json_count(j, "memory_before", result->memory_before);
    json_count(j, "memory_after", result->memory_after);
    json_number(j, "bytes_per_connection",
                figure_bytes(result->memory_before, result->memory_after, options->clients), 1);
}

static void put_part(struct json *j, const struct bench_options *options,
                     const struct bench_part *part)
{
    json_open(j, NULL, '{');
    json_text(j, "name", part->name);
    json_text(j, "unit", part->unit);
    json_count(j, "count", part->count);
    json_number(j, "elapsed_s", part->elapsed_s, 6);
    json_number(j, "per_s", figure_second(part->count, part->elapsed_s), 1);
    if (options->pid != 0) {
        put_cpu(j, "broker", &part->broker, part->count);
        json_count(j, "memory_before", part->memory_before);
        json_count(j, "memory_after", part->memory_after);
        json_number(j, "bytes_each",
                    figure_bytes(part->memory_before, part->memory_after, part->count), 1);
        json_count(j, "wakeups", part->wakeups);
    }
    put_cpu(j, "generator", &part->generator, part->count);
    json_close(j, '}');
}

static void put_series(struct json *j, const struct series *s)
{
    json_open(j, "series", '{');
    json_number(j, "slot_s", (double)s->slot_ns / 1e9, 3);
    json_number(j, "end_s", (double)s->last_ns / 1e9, 6);
    json_open(j, "stretches", '[');
    for (size_t i = 0; i < s->marks; i++) {
        json_open(j, NULL, '{');
        json_text(j, "name", s->mark[i].name);
        json_text(j, "unit", s->mark[i].unit);
        json_number(j, "start_s", (double)s->mark[i].start_ns / 1e9, 6);
        json_close(j, '}');
    }
    json_close(j, ']');
    json_open(j, "counts", '[');
    for (size_t i = 0; i <= s->slots; i++) {
        json_count(j, NULL, s->slot[i]);
    }
    json_close(j, ']');
    json_close(j, '}');
}

static void put_figures(struct json *j, const struct bench_options *options,
                        const struct bench_result *result)
{
    uint64_t count = figure_count(options, result);

    if (options->scenario == SCENARIO_IDLE) {
        put_idle(j, options, result);
        return;
    }
    if (figure_messages(options)) {
        put_messages(j, options, result);
    } else {
        json_count(j, "connections", result->published);
        if (result->parts == 0) {
            json_number(j, "connections_per_s", figure_second(result->published, result->elapsed_s),
                        1);
        }
    }
    if (result->parts > 0) {
        return; /* Each has its own. */
    }
    if (result->broker_known) {
        put_cpu(j, "broker", &result->broker, count);
    }
    put_cpu(j, "generator", &result->generator, count);
}

static void put_host(struct json *j, const struct host *host)
{
    json_open(j, "host", '{');
    json_text(j, "date", host->date);
    json_text(j, "kernel", host->kernel);
    json_text(j, "cpu", host->cpu);
    json_number(j, "cpus", (double)host->cpus, 0);
    json_number(j, "cpus_own", (double)host->cpus_own, 0);
    json_text(j, "broker", host->broker);
    json_text(j, "version", host->version);
    json_close(j, '}');
}

static void put_option(void *to, const char *name, const char *value, bool bare)
{
    if (bare) {
        json_bare(to, name, value);
    } else {
        json_text(to, name, value);
    }
}

void report_json(FILE *out, const struct bench_options *options, const struct bench_result *result,
                 const struct bench_error *error)
{
    struct json j = {.out = out};

    json_open(&j, NULL, '{');
    json_text(&j, "scenario", scenario_name(options->scenario));
    json_count(&j, "clients", options->clients);
    json_flag(&j, "ok", error == NULL);
    json_flag(&j, "interrupted", result->watch.interrupted);
    if (error != NULL) {
        json_text(&j, "error", error->text);
    }
    json_number(&j, "elapsed_s", result->elapsed_s, 6);
    put_figures(&j, options, result);
    if (result->latency.total > 0) {
        put_latency(&j, result);
    }
    if (options->pid != 0) {
        json_count(&j, "memory_resident", result->memory_resident);
        json_count(&j, "memory_peak", result->memory_peak);
    }
    if (result->parts > 0) {
        json_open(&j, "parts", '[');
        for (size_t i = 0; i < result->parts; i++) {
            put_part(&j, options, &result->part[i]);
        }
        json_close(&j, ']');
    }
    put_series(&j, &result->watch.series);
    put_host(&j, &result->host);
    json_open(&j, "options", '{');
    options_list(options, put_option, &j);
    json_close(&j, '}');
    json_close(&j, '}');
}
