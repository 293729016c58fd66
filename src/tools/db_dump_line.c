/*
 * Texts come from clients: in the text form they stand in quotes, with everything escaped that
 * could end the quotes, the line, or move the cursor. JSON takes UTF-8 only: a payload that is none
 * is given in hexadecimal.
 */
#include "tools/db_dump_line.h"

#include "base/mem.h"
#include "mqtt/utf8.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PAYLOAD_CUT 64
/* Bytes that are escaped at once; each becomes four at most. */
#define PIECE 1024

/* --- text --- */

/* Take a piece off the front that does not end inside of a character. */
static struct str take_piece(struct str *s, size_t max)
{
    size_t n = s->n < max ? s->n : max;
    struct str piece;

    for (int back = 0; n < s->n && back < 3 && n > 1 && ((uint8_t)s->p[n] & 0xC0) == 0x80; back++)
        n--;
    piece = str_of(s->p, n);
    *s = str_of(s->p + n, s->n - n);
    return piece;
}

static void put_quoted(struct str s)
{
    char escaped[4 * PIECE + 8];

    putchar('"');
    while (s.n > 0) {
        struct str piece = take_piece(&s, PIECE);
        const char *p = str_escape(piece, escaped, sizeof(escaped));
        for (size_t n = strcspn(p, "\""); p[n]; n = strcspn(p, "\"")) {
            fwrite(p, 1, n, stdout);
            fputs("\\\"", stdout);
            p += n + 1;
        }
        fputs(p, stdout);
    }
    putchar('"');
}

static void write_hex(char *to, struct str s)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < s.n; i++) {
        *to++ = digits[(uint8_t)s.p[i] >> 4];
        *to++ = digits[s.p[i] & 15];
    }
}

static void put_hex(struct str s)
{
    char text[2 * PIECE];

    while (s.n > 0) {
        struct str piece = str_of(s.p, s.n < PIECE ? s.n : PIECE);
        write_hex(text, piece);
        fwrite(text, 1, 2 * piece.n, stdout);
        s = str_of(s.p + piece.n, s.n - piece.n);
    }
}

/* --- JSON --- */

static void need(struct dump_line *l, const void *made)
{
    l->failed = l->failed || !made;
}

static void json_raw(struct dump_line *l, const char *name, const char *value)
{
    need(l, cJSON_AddRawToObject(l->object, name, value));
}

/* A terminated copy; with digits, of them. */
static void json_bytes(struct dump_line *l, const char *name, struct str s, bool hex)
{
    size_t size = (hex ? 2 * s.n : s.n) + 1;
    char *copy = mem_alloc(size);

    if (copy && hex)
        write_hex(copy, s);
    else if (copy && s.n > 0)
        memcpy(copy, s.p, s.n);
    if (copy) {
        copy[size - 1] = '\0';
        need(l, cJSON_AddStringToObject(l->object, name, copy));
    }
    need(l, copy);
    mem_free(copy, size);
}

/* Client ids may be older than the rules for them. */
static void json_text(struct dump_line *l, const char *name, struct str s)
{
    size_t size = 4 * s.n + 8;
    char *escaped;

    if (utf8_valid(s)) {
        json_bytes(l, name, s, false);
        return;
    }
    escaped = mem_alloc(size);
    if (escaped)
        json_bytes(l, name, str_c(str_escape(s, escaped, size)), false);
    need(l, escaped);
    mem_free(escaped, size);
}

/* Is it what JSON can carry as a text? MQTT's rules, but with line ends and the like. */
static bool is_text(struct str s)
{
    while (s.n > 0) {
        size_t n = 0;
        while (n < s.n && (uint8_t)s.p[n] >= 0x20 && s.p[n] != 0x7F)
            n++;
        if (!utf8_valid(str_of(s.p, n)) || (n < s.n && s.p[n] == '\0'))
            return false;
        n += n < s.n;
        s = str_of(s.p + n, s.n - n);
    }
    return true;
}

static void json_payload(struct dump_line *l, struct str shown, bool cut)
{
    if (l->payload != DUMP_PAYLOAD_HEX && is_text(shown))
        json_bytes(l, "payload", shown, false);
    else
        json_bytes(l, "payload_hex", shown, true);
    if (cut)
        need(l, cJSON_AddTrueToObject(l->object, "cut"));
}

static void json_end(struct dump_line *l)
{
    char *text = l->failed ? NULL : cJSON_PrintUnformatted(l->object);

    if (text)
        l->failed = puts(text) < 0;
    else
        l->failed = true;
    cJSON_free(text);
    cJSON_Delete(l->object);
    l->object = NULL;
}

/* --- both --- */

void line_begin(struct dump_line *l, const char *type)
{
    if (!l->json) {
        fputs(type, stdout);
        return;
    }
    l->object = cJSON_CreateObject();
    need(l, l->object);
    line_word(l, "type", type);
}

void line_word(struct dump_line *l, const char *name, const char *value)
{
    if (l->json)
        need(l, cJSON_AddStringToObject(l->object, name, value));
    else
        printf(" %s=%s", name, value);
}

void line_number(struct dump_line *l, const char *name, uint64_t value)
{
    char digits[24];

    (void)snprintf(digits, sizeof(digits), "%" PRIu64, value);
    if (l->json)
        json_raw(l, name, digits);
    else
        line_word(l, name, digits);
}

void line_hex(struct dump_line *l, const char *name, uint64_t value)
{
    char digits[24];

    (void)snprintf(digits, sizeof(digits), "%016" PRIx64, value);
    line_word(l, name, digits);
}

void line_text(struct dump_line *l, const char *name, struct str value)
{
    if (l->json) {
        json_text(l, name, value);
        return;
    }
    printf(" %s=", name);
    put_quoted(value);
}

void line_time(struct dump_line *l, const char *name, int64_t unix_s)
{
    time_t t = (time_t)unix_s;
    struct tm tm;
    char text[64];

    if (gmtime_r(&t, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm) > 0)
        line_word(l, name, text);
    else
        line_number(l, name, (uint64_t)unix_s);
}

void line_yes(struct dump_line *l, const char *name)
{
    if (l->json)
        need(l, cJSON_AddTrueToObject(l->object, name));
    else
        printf(" %s=yes", name);
}

void line_payload(struct dump_line *l, struct str payload)
{
    struct str rest = payload;
    struct str shown = l->payload == DUMP_PAYLOAD_CUT ? take_piece(&rest, PAYLOAD_CUT) : payload;
    bool cut = shown.n < payload.n;

    line_number(l, "bytes", payload.n);
    if (l->payload == DUMP_PAYLOAD_NONE)
        return;
    if (l->json) {
        json_payload(l, shown, cut);
        return;
    }
    if (l->payload == DUMP_PAYLOAD_HEX) {
        fputs(" payload_hex=", stdout);
        put_hex(shown);
        return;
    }
    fputs(" payload=", stdout);
    put_quoted(shown);
    if (cut)
        fputs("...", stdout);
}

void line_end(struct dump_line *l)
{
    if (l->json)
        json_end(l);
    else
        l->failed = l->failed || putchar('\n') == EOF;
}
