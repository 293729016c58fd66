/*
 * What went wrong, in words, carried from where it happened to the one place that reports it.
 */
#ifndef BENCH_ERROR_H
#define BENCH_ERROR_H

#include <stdbool.h>

struct bench_error {
    char text[512];
};

/* Writes the sentence and returns false, so that a caller can say `return bench_fail(...)`. */
bool bench_fail(struct bench_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
