/*
 * A growing string; see the header.
 */
#include "clients/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is kept between messages; more is given back when the text is empty. */
#define KEEP_BYTES (1024 * 1024)
#define PRINTF_MAX 400

static bool make_room(struct client_text *t, size_t n)
{
    if (t->failed)
        return false;
    if (t->room - t->used >= n)
        return true;
    size_t room = t->room ? t->room : 4096;
    while (room - t->used < n && room <= SIZE_MAX / 2)
        room *= 2;
    char *bytes = room - t->used < n ? NULL : realloc(t->bytes, room);
    if (!bytes) {
        t->failed = true;
        return false;
    }
    t->bytes = bytes;
    t->room = room;
    return true;
}

void client_text_add(struct client_text *t, const void *bytes, size_t n)
{
    if (n == 0 || !make_room(t, n))
        return;
    memcpy(t->bytes + t->used, bytes, n);
    t->used += n;
}

void client_text_add_string(struct client_text *t, const char *string)
{
    client_text_add(t, string, strlen(string));
}

void client_text_fill(struct client_text *t, char c, size_t n)
{
    if (n == 0 || !make_room(t, n))
        return;
    memset(t->bytes + t->used, c, n);
    t->used += n;
}

void client_text_printf(struct client_text *t, const char *format, ...)
{
    char line[PRINTF_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (n > 0 && (size_t)n < sizeof(line))
        client_text_add(t, line, (size_t)n);
}

void client_text_drop(struct client_text *t, size_t n)
{
    if (n < t->used) {
        memmove(t->bytes, t->bytes + n, t->used - n);
        t->used -= n;
        return;
    }
    t->used = 0;
    if (t->room > KEEP_BYTES)
        client_text_clear(t);
}

void client_text_clear(struct client_text *t)
{
    free(t->bytes);
    *t = (struct client_text){.failed = t->failed};
}
