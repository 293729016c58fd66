/*
 * What went wrong, in words.
 */
#include "bench/error.h"

#include <stdarg.h>
#include <stdio.h>

bool bench_fail(struct bench_error *error, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error->text, sizeof error->text, format, args);
    va_end(args);
    return false;
}
