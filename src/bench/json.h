/*
 * JSON, written piece by piece, and valid whatever is written: text that is no UTF-8 gets U+FFFD
 * in the place of what is wrong, and a number that is none is null.
 */
#ifndef BENCH_JSON_H
#define BENCH_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct json {
    FILE *out;
    bool more; /* something stands before in the same object or array */
};

/* `key` is NULL in an array, and for what stands alone. `bracket` is { or [. */
void json_open(struct json *j, const char *key, char bracket);
void json_close(struct json *j, char bracket); /* } or ] */

void json_text(struct json *j, const char *key, const char *text);
void json_flag(struct json *j, const char *key, bool value);
void json_count(struct json *j, const char *key, uint64_t value);
void json_number(struct json *j, const char *key, double value, int decimals);
void json_bare(struct json *j, const char *key, const char *value); /* that is JSON already */

/* The length of the UTF-8 character at `text`, which is not empty; 0 if there is none. */
size_t json_character(const char *text);

#endif
