/*
 * What follows from the counts and times of a run: so that the text, the JSON and the page of a run
 * say the same. What cannot be said (a second of no time, each of nothing) is NAN.
 */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/options.h"
#include "bench/result.h"

/* Is it messages that the scenario is about? Then some may be lost. */
bool figure_messages(const struct bench_options *options);

/* What the run's CPU time is divided by, and what one of it is called. */
uint64_t figure_count(const struct bench_options *options, const struct bench_result *result);
const char *figure_unit(const struct bench_options *options);

double figure_second(uint64_t count, double seconds);
double figure_us(double seconds, uint64_t count);
double figure_core(const struct cpu_time *cpu, double elapsed_s); /* percent */
double figure_bytes(uint64_t before, uint64_t after, uint64_t count);

/* The quantiles that are told, the largest value last. */
struct figure_quantile {
    const char *name; /* "p99.9" */
    const char *key;  /* in JSON */
    double part;      /* 1: the largest value */
};

enum {
    FIGURE_QUANTILES = 5,
};

extern const struct figure_quantile figure_quantiles[FIGURE_QUANTILES];

/* From where to where the latencies of this scenario are counted. */
const char *figure_latency(const struct bench_options *options);

double figure_latency_us(const struct bench_result *result, double part);

enum {
    FIGURE_ROOM = 40,
};

/* Figures for people, in `text`, which is returned: 1234567 as "1,234,567", "-" if there is none.
 */
const char *figure_grouped(double value, char text[FIGURE_ROOM]);
const char *figure_decimal(double value, int decimals, char text[FIGURE_ROOM]);

/* What the run is, in some words: "100 clients, QoS 1 to 1, window 100, payload 64 bytes". */
void figure_shape(const struct bench_options *options, char *text, size_t room);

#endif
