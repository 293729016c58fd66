/*
 * The chart of what was done in a second, over the time of a run.
 */
#include <math.h>
#include <string.h>

#include "bench/chart.h"
#include "bench/chart_frame.h"
#include "bench/figures.h"
#include "bench/markup.h"

enum {
    SUMMARY_ROOM = 512,
    NARROWEST_STEP = 4, /* to be found with a pointer, and to be a line */
    LETTER_WIDTH = 7,   /* roughly */
    LABEL_ROOM = 160,
};

static double seconds(uint64_t ns)
{
    return (double)ns / 1e9;
}

/* What is drawn: so many slots, some of them as one where each would be too thin. */
struct plot {
    const struct series *series;
    size_t slots;
    size_t step;
};

/* The last slot is drawn only if at least half of it is there to be divided by. */
static size_t drawn_slots(const struct series *s)
{
    uint64_t part = s->last_ns - s->slots * s->slot_ns;

    return s->slots + (part >= s->slot_ns / 2 ? 1 : 0);
}

static struct plot make_plot(const struct series *s, double width)
{
    size_t slots = drawn_slots(s);
    size_t step = (size_t)ceil((double)slots * NARROWEST_STEP / width);

    return (struct plot){s, slots, step > 0 ? step : 1};
}

static double step_start(const struct plot *p, size_t i)
{
    return seconds(i * p->series->slot_ns);
}

static double step_end(const struct plot *p, size_t i)
{
    size_t slot = i + p->step < p->slots ? i + p->step : p->slots;
    uint64_t end = slot * p->series->slot_ns;

    return seconds(end < p->series->last_ns ? end : p->series->last_ns);
}

/* What was done in a second, in the step that begins with slot `i`. */
static double rate(const struct plot *p, size_t i)
{
    double sum = 0;

    for (size_t k = i; k < i + p->step && k < p->slots; k++) {
        sum += (double)p->series->slot[k];
    }
    return sum / (step_end(p, i) - step_start(p, i));
}

static double most(const struct plot *p)
{
    double highest = 0;

    for (size_t i = 0; i < p->slots; i += p->step) {
        highest = fmax(highest, rate(p, i));
    }
    return highest;
}

static uint64_t mark_end(const struct series *s, size_t i)
{
    return i + 1 < s->marks ? s->mark[i + 1].start_ns : s->last_ns;
}

/* The stretch that something is in. */
static const struct series_mark *mark_at(const struct series *s, double second)
{
    size_t i = 0;

    while (i + 1 < s->marks && seconds(s->mark[i + 1].start_ns) <= second) {
        i++;
    }
    return &s->mark[i];
}

/* What the longest stretch counts gives the axis its name. */
static const char *main_unit(const struct series *s)
{
    size_t longest = 0;

    for (size_t i = 1; i < s->marks; i++) {
        if (mark_end(s, i) - s->mark[i].start_ns >
            mark_end(s, longest) - s->mark[longest].start_ns) {
            longest = i;
        }
    }
    return s->mark[longest].unit;
}

/* Every other stretch has a ground of its own; a name that is wider than its stretch is left to the
 * bands. */
static void put_marks(const struct chart_frame *f, const struct series *s)
{
    for (size_t i = 0; i < s->marks; i++) {
        double x = chart_x(f, seconds(s->mark[i].start_ns));
        double width = fmax(fmin(chart_x(f, seconds(mark_end(s, i))), f->right) - x, 0);

        fprintf(f->out,
                "<rect class=\"ground%zu\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"/>",
                i % 2, x, f->top, width, f->bottom - f->top);
        if (width > (double)(strlen(s->mark[i].name) * LETTER_WIDTH)) {
            fprintf(f->out, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\">", x + 2, f->top - 6);
            markup_text(f->out, s->mark[i].name);
            fputs("</text>", f->out);
        }
        putc('\n', f->out);
    }
}

static void put_grid(struct chart_frame *f, double highest)
{
    double step = chart_step(highest, 5);
    double across = chart_step(f->x_max, f->wide ? 10 : 6);
    char label[CHART_TEXT];

    f->y_max = step * ceil(highest / step - 1e-9);
    for (int i = 0; i * step <= f->y_max * (1 + 1e-9); i++) {
        chart_short(i * step, label);
        chart_grid_y(f, i * step, label);
    }
    for (int i = 0; i * across <= f->x_max; i++) {
        snprintf(label, sizeof label, "%.4g", i * across);
        chart_grid_x(f, i * across, label);
    }
}

static void put_points(const struct chart_frame *f, const struct plot *p)
{
    for (size_t i = 0; i < p->slots; i += p->step) {
        double middle = (step_start(p, i) + step_end(p, i)) / 2;

        fprintf(f->out, "%.1f,%.1f ", chart_x(f, middle), chart_y(f, rate(p, i)));
    }
}

static void put_line(const struct chart_frame *f, const struct plot *p)
{
    fprintf(f->out, "<polygon class=\"area\" points=\"%.1f,%.1f ", f->left, f->bottom);
    put_points(f, p);
    fprintf(f->out, "%.1f,%.1f\"/>\n<polyline class=\"line\" points=\"", f->right, f->bottom);
    put_points(f, p);
    fputs("\"/>\n", f->out);
}

/* What a pointer finds: time and figure of a step. */
static void put_bands(const struct chart_frame *f, const struct plot *p)
{
    char figure[FIGURE_ROOM];

    for (size_t i = 0; i < p->slots; i += p->step) {
        double start = step_start(p, i);
        double end = step_end(p, i);
        const struct series_mark *mark = mark_at(p->series, (start + end) / 2);

        fprintf(f->out,
                "<rect class=\"band\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\"><title>"
                "%.2f s: %s %ss a second",
                chart_x(f, start), f->top, chart_x(f, end) - chart_x(f, start), f->bottom - f->top,
                start, figure_grouped(rate(p, i), figure), mark->unit);
        fprintf(f->out, " (%s)</title></rect>\n", mark->name);
    }
}

static void summarize(const struct plot *p, double highest, char text[SUMMARY_ROOM])
{
    const struct series *s = p->series;
    char figure[FIGURE_ROOM];
    int size = snprintf(text, SUMMARY_ROOM, "In %.2f s, at most %s %ss a second in a step of %g s.",
                        seconds(s->last_ns), figure_grouped(highest, figure), main_unit(s),
                        seconds(s->slot_ns * p->step));

    for (size_t i = 0; i < s->marks && size < SUMMARY_ROOM - LABEL_ROOM; i++) {
        size += snprintf(text + size, LABEL_ROOM, " From %.2f s: %.60s.",
                         seconds(s->mark[i].start_ns), s->mark[i].name);
    }
}

static void draw(FILE *out, const struct series *s, bool wide)
{
    struct chart_frame f = chart_frame(out, wide);
    const struct plot p = make_plot(s, f.right - f.left);
    double highest = most(&p);
    char summary[SUMMARY_ROOM];
    char label[LABEL_ROOM];

    f.x_max = step_end(&p, p.slots - 1);
    summarize(&p, highest, summary);
    snprintf(label, sizeof label, "%ss a second", main_unit(s));
    chart_begin(&f, "throughput", "Throughput over time", summary);
    put_marks(&f, s);
    put_grid(&f, highest > 0 ? highest : 1);
    put_line(&f, &p);
    chart_axes(&f, "seconds since the start", label);
    put_bands(&f, &p);
    chart_end(&f);
}

bool chart_throughput(FILE *out, const struct series *s)
{
    if (drawn_slots(s) == 0 || s->marks == 0) {
        return false;
    }
    draw(out, s, true);
    draw(out, s, false);
    return true;
}
