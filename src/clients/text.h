/*
 * Text that is put together piece by piece: a message on its way to stdout.
 *
 * Without memory nothing more is added, and `failed` stays true: whoever uses the text asks once,
 * at the end.
 */
#ifndef CLIENTS_TEXT_H
#define CLIENTS_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/* Zeroed: empty. No NUL behind the text. */
struct client_text {
    char *bytes; /* owned */
    size_t used, room;
    bool failed;
};

void client_text_add(struct client_text *t, const void *bytes, size_t n);
void client_text_add_string(struct client_text *t, const char *string);
void client_text_fill(struct client_text *t, char c, size_t n);
/* Numbers and other short things: at most 400 bytes (the longest double), or nothing is added. */
void client_text_printf(struct client_text *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Take n bytes from the front. */
void client_text_drop(struct client_text *t, size_t n);
void client_text_clear(struct client_text *t);

#endif
