/*
 * Formats a log line and hands it to the sink.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>

/* Shorten to what fits, with "..." at the end, between two characters. */
static size_t cut_line(char *line)
{
    size_t n = LOG_LINE_MAX - 3;

    while (n > 0 && ((unsigned char)line[n] & 0xC0) == 0x80)
        n--;
    memcpy(line + n, "...", 4);
    return n + 3;
}

void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
{
    char line[LOG_LINE_MAX + 1];
    va_list args;
    int n;

    if (!log_wants(log, level))
        return;
    va_start(args, fmt);
    n = vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    if (n < 0)
        return;
    log->sink(log->ctx, level, str_of(line, n > LOG_LINE_MAX ? cut_line(line) : (size_t)n));
}
