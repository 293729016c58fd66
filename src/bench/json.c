/*
 * JSON, written piece by piece.
 */
#include "bench/json.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static void put_text(FILE *out, const char *text);

static void begin(struct json *j, const char *key)
{
    if (j->more) {
        fputs(", ", j->out);
    }
    j->more = true;
    if (key != NULL) {
        put_text(j->out, key);
        fputs(": ", j->out);
    }
}

void json_open(struct json *j, const char *key, char bracket)
{
    begin(j, key);
    putc(bracket, j->out);
    j->more = false;
}

void json_close(struct json *j, char bracket)
{
    putc(bracket, j->out);
    j->more = true;
}

/* How many bytes a character has that begins with this one, and the smallest that needs so many. */
static size_t announced(unsigned char first, uint32_t *value, uint32_t *least)
{
    static const struct {
        unsigned char mask;
        unsigned char begin;
        uint32_t least;
    } forms[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if ((first & forms[i].mask) == forms[i].begin) {
            *value = first & (unsigned char)~forms[i].mask;
            *least = forms[i].least;
            return i + 1;
        }
    }
    return 0;
}

size_t json_character(const char *text)
{
    uint32_t value = 0;
    uint32_t least = 0;
    size_t size = announced((unsigned char)text[0], &value, &least);

    for (size_t i = 1; i < size; i++) {
        if (((unsigned char)text[i] & 0xc0) != 0x80) {
            return 0;
        }
        value = value << 6 | ((unsigned char)text[i] & 0x3fU);
    }
    return value < least || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff) ? 0 : size;
}

static void put_text(FILE *out, const char *text)
{
    putc('"', out);
    while (*text != '\0') {
        size_t size = json_character(text);

        if (size == 0) {
            fputs("\\ufffd", out);
            size = 1;
        } else if (*text == '"' || *text == '\\') {
            fprintf(out, "\\%c", *text);
        } else if ((unsigned char)*text < 0x20 || *text == 0x7f) {
            fprintf(out, "\\u%04x", (unsigned)*text);
        } else {
            fwrite(text, 1, size, out);
        }
        text += size;
    }
    putc('"', out);
}

void json_text(struct json *j, const char *key, const char *text)
{
    begin(j, key);
    put_text(j->out, text);
}

void json_bare(struct json *j, const char *key, const char *value)
{
    begin(j, key);
    fputs(value, j->out);
}

void json_flag(struct json *j, const char *key, bool value)
{
    json_bare(j, key, value ? "true" : "false");
}

void json_count(struct json *j, const char *key, uint64_t value)
{
    begin(j, key);
    fprintf(j->out, "%" PRIu64, value);
}

void json_number(struct json *j, const char *key, double value, int decimals)
{
    begin(j, key);
    if (isfinite(value)) {
        fprintf(j->out, "%.*f", decimals, value);
    } else {
        fputs("null", j->out);
    }
}
