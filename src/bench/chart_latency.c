/*
 * The chart of the latency distribution.
 *
 * Across stands the share of messages, so that each nine of 99.9 % takes as much room as the one
 * before; up stands the latency, as a logarithm as well. So the one message of a thousand that took
 * a hundred times as long is as easy to see as the middle.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "bench/chart.h"
#include "bench/chart_frame.h"
#include "bench/figures.h"

enum {
    SUMMARY_ROOM = 512,
    LABEL_WIDTH = 104,
    LABEL_HEIGHT = 15,
    BANDS_PER_NINE = 12,
};

/* The place of a share across: 0 for none, 1 for 90 %, 2 for 99 %. The last message has none, so
 * it stands where the one before it would if there were one more. */
static double place(const struct histogram *h, double part)
{
    double last = log10((double)h->total);

    return part < 1 ? fmin(-log10(1 - part), last) : last;
}

static double share(double x)
{
    return 1 - pow(10, -x);
}

static double height(uint64_t ns)
{
    return log10(ns > 0 ? (double)ns : 1);
}

static uint64_t lowest(const struct histogram *h)
{
    size_t i = 0;

    while (i + 1 < HISTOGRAM_BUCKETS && h->count[i] == 0) {
        i++;
    }
    return histogram_top(h, i);
}

/* The next of 1, 2 or 5 times a power of ten. */
static double round_down(double value)
{
    double power = pow(10, floor(log10(value) + 1e-9));
    double factor = value / power;

    return power * (factor >= 5 ? 5 : factor >= 2 ? 2 : 1);
}

static double next_round(double value)
{
    double power = pow(10, floor(log10(value) + 1e-9));
    double factor = value / power;

    return power * (factor > 4 ? 10 : factor > 1.5 ? 5 : 2);
}

static void put_grid(struct chart_frame *f, const struct histogram *h)
{
    double value = round_down(fmax((double)lowest(h), 1) / 1.6);
    bool decades;
    char label[CHART_TEXT];

    value = fmax(value, 1);
    f->y_min = log10(value);
    f->y_max = fmax(height(h->max) + 0.1, f->y_min + 1);
    decades = f->y_max - f->y_min > 3;
    while (log10(value) <= f->y_max) {
        if (!decades || fabs(log10(value) - round(log10(value))) < 1e-6) {
            chart_duration(value, label);
            chart_grid_y(f, log10(value), label);
        }
        value = next_round(value);
    }
    chart_grid_x(f, 0, "0");
    for (int nines = 1; nines <= f->x_max; nines++) {
        snprintf(label, sizeof label, "%.*f %%", nines > 2 ? nines - 2 : 0,
                 100 * (1 - pow(10, -nines)));
        chart_grid_x(f, nines, label);
    }
    if (chart_x(f, place(h, 0.5)) - f->left > LABEL_WIDTH / 3.0) {
        chart_grid_x(f, place(h, 0.5), "50 %");
    }
}

/* Steps: all messages of a bucket are told as the longest that it may hold. */
static void put_line(const struct chart_frame *f, const struct histogram *h)
{
    uint64_t seen = 0;
    const char *move = "M";

    fputs("<path class=\"line\" d=\"", f->out);
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        double x = chart_x(f, place(h, (double)seen / (double)h->total));

        if (h->count[i] == 0) {
            continue;
        }
        seen += h->count[i];
        fprintf(f->out, "%s%.1f,%.1f H%.1f ", move, x, chart_y(f, height(histogram_top(h, i))),
                chart_x(f, place(h, (double)seen / (double)h->total)));
        move = "L";
    }
    fputs("\"/>\n", f->out);
}

static uint64_t quantile_ns(const struct histogram *h, double part)
{
    return part < 1 ? histogram_quantile(h, part) : h->max;
}

/* What a pointer finds, wherever it is. */
static void put_bands(const struct chart_frame *f, const struct histogram *h)
{
    double width = 1.0 / BANDS_PER_NINE;
    char label[CHART_TEXT];

    for (int i = 0; i * width < f->x_max; i++) {
        double start = i * width;
        double end = fmin(start + width, f->x_max);
        double part = share((start + end) / 2);

        chart_duration((double)quantile_ns(h, part), label);
        fprintf(f->out,
                "<rect class=\"band\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>"
                "%.*f %% take at most %s</title></rect>\n",
                chart_x(f, start), f->top, chart_x(f, end) - chart_x(f, start), f->bottom - f->top,
                (int)end + 1, 100 * part, label);
    }
}

/* The curve only rises: to the right below it there is room, at the right end to the left above. */
static void put_marks(const struct chart_frame *f, const struct histogram *h)
{
    double low_x = 0;
    double low_y = 0;
    double high_y = f->bottom;

    for (size_t i = 0; i < FIGURE_QUANTILES; i++) {
        const struct figure_quantile *q = &figure_quantiles[i];
        uint64_t ns = quantile_ns(h, q->part);
        double x = chart_x(f, place(h, q->part));
        double y = chart_y(f, height(ns));
        bool left = x + LABEL_WIDTH > f->right;
        double text_y = left ? fmin(y - 8, high_y - LABEL_HEIGHT) : y + LABEL_HEIGHT + 2;
        char label[CHART_TEXT];

        if (!left && x < low_x && text_y < low_y + LABEL_HEIGHT && text_y > low_y - LABEL_HEIGHT) {
            text_y = low_y + LABEL_HEIGHT;
        }
        if (left) {
            high_y = text_y;
        } else {
            low_x = x + LABEL_WIDTH;
            low_y = text_y;
        }
        chart_duration((double)ns, label);
        fprintf(
            f->out,
            "<circle class=\"dot\" cx=\"%.1f\" cy=\"%.1f\" r=\"4\"><title>%s: %s</title></circle>"
            "<text class=\"mark\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s %s</text>\n",
            x, y, q->name, label, left ? x - 4 : x + 4, text_y, left ? "end" : "start", q->name,
            label);
    }
}

static void summarize(const struct histogram *h, char text[SUMMARY_ROOM])
{
    int size = snprintf(text, SUMMARY_ROOM, "Of %" PRIu64 " values:", h->total);
    char label[CHART_TEXT];

    for (size_t i = 0; i < FIGURE_QUANTILES; i++) {
        chart_duration((double)quantile_ns(h, figure_quantiles[i].part), label);
        size += snprintf(text + size, SUMMARY_ROOM - (size_t)size, "%s %s %s", i > 0 ? "," : "",
                         figure_quantiles[i].name, label);
    }
}

static void draw(FILE *out, const struct histogram *h, bool wide)
{
    struct chart_frame f = chart_frame(out, wide);
    char summary[SUMMARY_ROOM];

    f.top = 28;
    f.x_max = fmax(place(h, 1), 1);
    summarize(h, summary);
    chart_begin(&f, "latency", "Distribution of the latency", summary);
    put_grid(&f, h);
    put_line(&f, h);
    chart_axes(&f, "share of all that take no longer", "latency");
    put_bands(&f, h);
    put_marks(&f, h);
    chart_end(&f);
}

bool chart_latency(FILE *out, const struct histogram *h)
{
    if (h->total == 0) {
        return false;
    }
    draw(out, h, true);
    draw(out, h, false);
    return true;
}
