/*
 * A run as a page for people: what was found, the charts, the figures, how it was made, and all of
 * it as JSON.
 */
#include "bench/page.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "bench/chart.h"
#include "bench/figures.h"
#include "bench/markup.h"
#include "bench/page_style.h"
#include "bench/report_json.h"

enum {
    SHAPE_ROOM = 160,
};

struct page {
    FILE *out;
    const struct bench_options *options;
    const struct bench_result *result;
    const struct bench_error *error; /* NULL: the run went well */
};

/* A text between two pieces of markup. */
static void put(const struct page *p, const char *before, const char *text, const char *after)
{
    fputs(before, p->out);
    markup_text(p->out, text);
    fputs(after, p->out);
}

static void put_head(const struct page *p, const char *shape)
{
    put(p,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n<title>mosquitto_bench ",
        scenario_name(p->options->scenario), ": ");
    put(p, "", shape, "</title>\n<style>\n");
    fputs(page_style, p->out);
    put(p,
        "</style>\n</head>\n<body>\n<main>\n<header>\n<p class=\"soft\">mosquitto_bench</p>\n<h1>",
        scenario_name(p->options->scenario), "</h1>\n");
    put(p, "<p>", shape, "</p>\n");
    put(p, "<p class=\"soft\">", p->result->host.date, "</p>\n</header>\n");
}

static void put_verdict(const struct page *p)
{
    const char *well = figure_messages(p->options)
                           ? "The run went to its end; nothing was lost, doubled or out of order"
                           : "The run went to its end";

    if (p->error != NULL) {
        put(p, "<p class=\"verdict bad\" role=\"status\">Not as it should be: ", p->error->text,
            ".</p>\n");
    } else if (p->result->overdue > 0) {
        put(p, "<p class=\"verdict bad\" role=\"status\">", well,
            ". But the rate was not reached: the latencies say too little.</p>\n");
    } else {
        put(p, "<p class=\"verdict good\" role=\"status\">", well, ".</p>\n");
    }
}

static void put_tile(const struct page *p, const char *name, const char *figure, const char *unit)
{
    put(p, "<div><dt>", name, "</dt>");
    put(p, "<dd>", figure, " ");
    put(p, "<small>", unit, "</small></dd></div>\n");
}

/* What a run in parts did in a second each of them says for itself. */
static void put_tile_done(const struct page *p, const char *name, uint64_t count, const char *unit)
{
    const struct bench_result *r = p->result;
    char text[FIGURE_ROOM];
    char a_second[SHAPE_ROOM];

    if (r->parts > 0) {
        put_tile(p, name, figure_grouped((double)count, text), unit);
        return;
    }
    snprintf(a_second, sizeof a_second, "%s a second", unit);
    put_tile(p, "Throughput", figure_grouped(figure_second(count, r->elapsed_s), text), a_second);
}

static void put_tiles_faults(const struct page *p)
{
    const struct bench_result *r = p->result;
    char text[FIGURE_ROOM];

    put_tile(p, "Lost", figure_grouped((double)r->lost, text), "messages");
    snprintf(text, sizeof text, "%" PRIu64 " / %" PRIu64, r->duplicates, r->reordered);
    put_tile(p, "Duplicates / out of order", text, "messages");
}

static void put_tile_memory(const struct page *p)
{
    const struct bench_result *r = p->result;
    double each = figure_bytes(r->memory_before, r->memory_after, p->options->clients);
    char text[FIGURE_ROOM];

    put_tile(p, "Memory", figure_grouped(each, text), "bytes for each connection");
}

static void put_tiles(const struct page *p)
{
    const struct bench_result *r = p->result;
    double cpu = figure_us(r->broker.user_s + r->broker.system_s, figure_count(p->options, r));
    char text[FIGURE_ROOM];
    char unit[SHAPE_ROOM];

    fputs("<dl>\n", p->out);
    if (figure_messages(p->options)) {
        put_tile_done(p, "Delivered", r->delivered, "messages");
        put_tiles_faults(p);
    } else if (p->options->scenario == SCENARIO_IDLE) {
        put_tile_memory(p);
    } else {
        put_tile_done(p, "Made", r->published, "connections");
    }
    if (r->broker_known && r->parts == 0) {
        snprintf(unit, sizeof unit, "µs for each %s", figure_unit(p->options));
        put_tile(p, "Broker’s CPU", figure_decimal(cpu, 4, text), unit);
    }
    if (r->latency.total > 0) {
        put_tile(p, "Latency, p99", figure_decimal(figure_latency_us(r, 0.99), 1, text), "µs");
    }
    fputs("</dl>\n", p->out);
}

static void put_charts(const struct page *p)
{
    fputs("<section>\n<h2>Throughput over time</h2>\n", p->out);
    if (!chart_throughput(p->out, &p->result->watch.series)) {
        fputs("<p class=\"soft\">The run was too short to be drawn.</p>\n", p->out);
    }
    fputs("</section>\n<section>\n<h2>Distribution of the latency</h2>\n", p->out);
    if (p->result->latency.total > 0) {
        put(p, "<p class=\"soft\">", figure_latency(p->options), "</p>\n");
    }
    if (!chart_latency(p->out, &p->result->latency)) {
        fputs("<p class=\"soft\">The latency was not measured.</p>\n", p->out);
    }
    fputs("</section>\n", p->out);
}

static void put_row(const struct page *p, const char *name, const char *figure, const char *unit)
{
    put(p, "<tr><th scope=\"row\">", name, "</th>");
    put(p, "<td class=\"number\">", figure, "</td>");
    put(p, "<td>", unit, "</td></tr>\n");
}

static void put_row_count(const struct page *p, const char *name, uint64_t count, const char *unit)
{
    char text[FIGURE_ROOM];

    put_row(p, name, figure_grouped((double)count, text), unit);
}

static void put_rows_messages(const struct page *p)
{
    const struct bench_result *r = p->result;
    char text[FIGURE_ROOM];

    put_row_count(p, "Published", r->published, "messages");
    put_row_count(p, "Delivered", r->delivered, "messages");
    if (r->parts == 0) {
        put_row(p, "Throughput", figure_grouped(figure_second(r->delivered, r->elapsed_s), text),
                "messages a second");
    }
    if (p->options->rate > 0) {
        put_row_count(p, "Overdue at the end", r->overdue, "messages");
    }
    put_row_count(p, "Lost", r->lost, "messages");
    put_row_count(p, "Duplicates", r->duplicates, "messages");
    put_row_count(p, "Out of order", r->reordered, "messages");
    put_row_count(p, "QoS granted to subscribers", r->granted_qos, "");
}

static void put_rows_connect(const struct page *p)
{
    const struct bench_result *r = p->result;
    char text[FIGURE_ROOM];

    put_row_count(p, "Connections", r->published, "");
    if (r->parts == 0) {
        put_row(p, "Throughput", figure_grouped(figure_second(r->published, r->elapsed_s), text),
                "connections a second");
    }
}

static void put_rows_idle(const struct page *p)
{
    const struct bench_result *r = p->result;
    char text[FIGURE_ROOM];

    put_row_count(p, "Connections", p->options->clients, "");
    put_row_count(p, "Broker's memory before", r->memory_before, "bytes");
    put_row_count(p, "Broker's memory after", r->memory_after, "bytes");
    put_row(
        p, "For each connection",
        figure_grouped(figure_bytes(r->memory_before, r->memory_after, p->options->clients), text),
        "bytes");
}

static void put_rows_cpu(const struct page *p, const char *who, const struct cpu_time *cpu)
{
    const struct {
        const char *what;
        double seconds;
    } times[] = {{"CPU", cpu->user_s + cpu->system_s},
                 {"CPU, user", cpu->user_s},
                 {"CPU, system", cpu->system_s}};
    uint64_t count = figure_count(p->options, p->result);
    char name[SHAPE_ROOM];
    char unit[SHAPE_ROOM];
    char text[FIGURE_ROOM];

    snprintf(unit, sizeof unit, "µs for each %s", figure_unit(p->options));
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        snprintf(name, sizeof name, "%s’s %s", who, times[i].what);
        put_row(p, name, figure_decimal(figure_us(times[i].seconds, count), 4, text), unit);
    }
    snprintf(name, sizeof name, "%s’s share", who);
    put_row(p, name, figure_decimal(figure_core(cpu, p->result->elapsed_s), 0, text),
            "% of a core");
}

static void put_rows_latency(const struct page *p)
{
    char name[SHAPE_ROOM];
    char text[FIGURE_ROOM];

    for (size_t i = 0; p->result->latency.total > 0 && i < FIGURE_QUANTILES; i++) {
        const struct figure_quantile *q = &figure_quantiles[i];

        snprintf(name, sizeof name, "Latency, %s", q->name);
        put_row(p, name, figure_decimal(figure_latency_us(p->result, q->part), 1, text), "µs");
    }
}

static void put_figures(const struct page *p)
{
    const struct bench_result *r = p->result;
    char text[FIGURE_ROOM];

    fputs("<section>\n<h2>Figures</h2>\n<table>\n<thead><tr><th scope=\"col\">Figure</th>"
          "<th scope=\"col\" class=\"number\">Value</th><th scope=\"col\">Unit</th></tr></thead>\n"
          "<tbody>\n",
          p->out);
    if (p->options->scenario == SCENARIO_IDLE) {
        put_rows_idle(p);
    } else if (figure_messages(p->options)) {
        put_rows_messages(p);
    } else {
        put_rows_connect(p);
    }
    put_row(p, "Time", figure_decimal(r->elapsed_s, 3, text), "s");
    put_rows_latency(p);
    if (r->broker_known && r->parts == 0) {
        put_rows_cpu(p, "Broker", &r->broker);
    }
    if (p->options->scenario != SCENARIO_IDLE && r->parts == 0) {
        put_rows_cpu(p, "Generator", &r->generator);
    }
    if (r->memory_peak > 0) {
        put_row_count(p, "Broker’s memory at the end", r->memory_resident, "bytes");
        put_row_count(p, "Broker’s memory at its peak", r->memory_peak, "bytes");
    }
    fputs("</tbody>\n</table>\n</section>\n", p->out);
}

static void put_cell(const struct page *p, const char *figure)
{
    put(p, "<td class=\"number\">", figure, "</td>");
}

static void put_part(const struct page *p, const struct bench_part *part)
{
    const double broker = p->options->pid != 0 ? 1 : NAN;
    const double own = part->generator.user_s + part->generator.system_s;
    char text[FIGURE_ROOM];

    put(p, "<tr><th scope=\"row\">", part->name, "</th>");
    put_cell(p, figure_grouped((double)part->count, text));
    put(p, "<td>", part->unit, "</td>");
    put_cell(p, figure_decimal(part->elapsed_s, 3, text));
    put_cell(p, figure_grouped(figure_second(part->count, part->elapsed_s), text));
    put_cell(p, figure_decimal(broker * figure_us(part->broker.user_s, part->count), 3, text));
    put_cell(p, figure_decimal(broker * figure_us(part->broker.system_s, part->count), 3, text));
    put_cell(p, figure_decimal(figure_us(own, part->count), 3, text));
    put_cell(
        p, figure_grouped(
               broker * figure_bytes(part->memory_before, part->memory_after, part->count), text));
    fputs("</tr>\n", p->out);
}

static void put_parts(const struct page *p)
{
    static const char *const columns[] = {"Count",
                                          "Each is a",
                                          "Seconds",
                                          "A second",
                                          "Broker’s CPU µs each, user",
                                          "… system",
                                          "Generator’s CPU µs each",
                                          "Broker’s bytes each"};

    if (p->result->parts == 0) {
        return;
    }
    fputs("<section>\n<h2>Stretches</h2>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" "
          "aria-label=\"Stretches\">\n<table>\n<thead><tr><th scope=\"col\">Stretch</th>",
          p->out);
    for (size_t i = 0; i < sizeof columns / sizeof columns[0]; i++) {
        put(p, "<th scope=\"col\" class=\"number\">", columns[i], "</th>");
    }
    fputs("</tr></thead>\n<tbody>\n", p->out);
    for (size_t i = 0; i < p->result->parts; i++) {
        put_part(p, &p->result->part[i]);
    }
    fputs("</tbody>\n</table>\n</div>\n</section>\n", p->out);
}

static void put_fact(void *to, const char *name, const char *value, bool bare)
{
    const struct page *p = to;

    (void)bare;
    if (value[0] != '\0') {
        put(p, "<tr><th scope=\"row\">", name, "</th>");
        put(p, "<td>", value, "</td></tr>\n");
    }
}

static void put_option(void *to, const char *name, const char *value, bool bare)
{
    char option[SHAPE_ROOM];

    snprintf(option, sizeof option, "--%s", name);
    put_fact(to, option, value, bare);
}

static void put_circumstances(struct page *p)
{
    const struct host *host = &p->result->host;
    char text[HOST_TEXT_ROOM];

    fputs("<section>\n<h2>How it was made</h2>\n<table>\n<tbody>\n", p->out);
    put_fact(p, "Date", host->date, false);
    put_fact(p, "Kernel", host->kernel, false);
    put_fact(p, "Processor", host->cpu, false);
    snprintf(text, sizeof text, "%ld, of which the generator may use %ld", host->cpus,
             host->cpus_own);
    put_fact(p, "Cores", text, false);
    put_fact(p, "Broker", host->broker, false);
    put_fact(p, "Broker’s version", host->version, false);
    options_list(p->options, put_option, p);
    fputs("</tbody>\n</table>\n</section>\n", p->out);
}

static void put_json(const struct page *p)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);

    if (memory == NULL) {
        return;
    }
    report_json(memory, p->options, p->result, p->error);
    if (fclose(memory) == 0) {
        put(p, "<details>\n<summary>All of it as JSON</summary>\n<pre id=\"json\">", text,
            "</pre>\n</details>\n");
    }
    free(text);
}

void page_write(FILE *out, const struct bench_options *options, const struct bench_result *result,
                const struct bench_error *error)
{
    struct page p = {out, options, result, error};
    char shape[SHAPE_ROOM];

    figure_shape(options, shape, sizeof shape);
    put_head(&p, shape);
    put_verdict(&p);
    put_tiles(&p);
    put_charts(&p);
    put_parts(&p);
    put_figures(&p);
    put_circumstances(&p);
    put_json(&p);
    fputs("</main>\n</body>\n</html>\n", out);
}
