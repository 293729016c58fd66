/*
 * What happened last: a ring of lines that is printed when a check fails.
 */
#ifndef SIM_TRACE_H
#define SIM_TRACE_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

#define TRACE_LINES 64
#define TRACE_WIDTH 160

struct trace {
    char line[TRACE_LINES][TRACE_WIDTH];
    uint64_t count;
    bool loud; /* print each line at once (TRACE=1) */
};

void trace_add(struct trace *t, const char *fmt, ...) PRINTF(2, 3);
void trace_print(const struct trace *t);

#endif
