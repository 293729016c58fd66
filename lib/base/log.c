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

static void PRINTF(4, 0) hand_over(const struct log *log, enum log_level level,
                                   const struct log_about *about, const char *fmt, va_list args)
{
    char line[LOG_LINE_MAX + 1];
    int n = vsnprintf(line, sizeof(line), fmt, args);

    if (n >= 0)
        log->sink(log->ctx, level, str_of(line, n > LOG_LINE_MAX ? cut_line(line) : (size_t)n),
                  about);
}

void log_line(const struct log *log, enum log_level level, const char *fmt, ...)
{
    va_list args;

    if (!log_wants(log, level))
        return;
    va_start(args, fmt);
    hand_over(log, level, NULL, fmt, args);
    va_end(args);
}

void log_line_about(const struct log *log, enum log_level level, const struct log_about *about,
                    const char *fmt, ...)
{
    va_list args;

    if (!log_wants(log, level))
        return;
    va_start(args, fmt);
    hand_over(log, level, about, fmt, args);
    va_end(args);
}
