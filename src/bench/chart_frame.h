/*
 * What charts have in common: the place of the plot, axes, figures at axes.
 */
#ifndef BENCH_CHART_FRAME_H
#define BENCH_CHART_FRAME_H

#include <stdbool.h>
#include <stdio.h>

enum {
    CHART_TEXT = 32, /* room for a figure at an axis */
};

struct chart_frame {
    FILE *out;
    bool wide;
    double width; /* of the drawing; the rest are the borders of the plot in it */
    double height;
    double left;
    double right;
    double top;
    double bottom;
    double x_min; /* what the borders mean */
    double x_max;
    double y_min;
    double y_max;
};

/* A drawing for wide screens, or for narrow ones; the meaning of the borders is still to be set. */
struct chart_frame chart_frame(FILE *out, bool wide);

double chart_x(const struct chart_frame *f, double value);
double chart_y(const struct chart_frame *f, double value);

/* `name` is unique in the page but for wide and narrow; `title` and `summary` are what is read out
 * instead of the drawing. */
void chart_begin(const struct chart_frame *f, const char *name, const char *title,
                 const char *summary);
void chart_end(const struct chart_frame *f);

/* A line across the plot at a value of y or x, with its figure at the axis. */
void chart_grid_y(const struct chart_frame *f, double value, const char *label);
void chart_grid_x(const struct chart_frame *f, double value, const char *label);

/* What the axes show; the one of y stands above it. */
void chart_axes(const struct chart_frame *f, const char *x_label, const char *y_label);

/* A step of 1, 2 or 5 times a power of ten, at most `most` of which make `range`. */
double chart_step(double range, int most);

/* 1500000 as "1.5M"; nanoseconds as "1.5 ms". */
void chart_short(double value, char text[CHART_TEXT]);
void chart_duration(double ns, char text[CHART_TEXT]);

#endif
