/*
 * Charts as SVG, written into a page: they need no script, and their colours are the page's.
 *
 * Each is drawn twice, for wide and for narrow screens, since text in a drawing shrinks with it;
 * the page's style shows the one that fits.
 */
#ifndef BENCH_CHART_H
#define BENCH_CHART_H

#include <stdbool.h>
#include <stdio.h>

#include "bench/series.h"
#include "bench/stat.h"

/* How much was done in a second, over time. False: nothing was. */
bool chart_throughput(FILE *out, const struct series *s);

/* Which latency so many of all do not exceed. False: there was none. */
bool chart_latency(FILE *out, const struct histogram *h);

#endif
