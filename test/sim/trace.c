/*
 * The ring of the last events.
 */
#include "trace.h"

#include <stdarg.h>
#include <stdio.h>

void trace_add(struct trace *t, const char *fmt, ...)
{
    char *line = t->line[t->count++ % TRACE_LINES];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(line, TRACE_WIDTH, fmt, args);
    va_end(args);
    if (t->loud)
        (void)fprintf(stderr, "%s\n", line);
}

void trace_print(const struct trace *t)
{
    uint64_t first = t->count > TRACE_LINES ? t->count - TRACE_LINES : 0;

    for (uint64_t i = first; i < t->count; i++)
        (void)fprintf(stderr, "  %s\n", t->line[i % TRACE_LINES]);
}
