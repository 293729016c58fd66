/*
 * One pass over the text, with a bit for each array or object that is open: no tree, no recursion.
 */
#include "clients/json.h"

#include <stdint.h>
#include <string.h>

struct reader {
    const char *at, *end;
    struct client_text *out;
    int level;                             /* of the value's own place; -1: one line */
    int depth;                             /* what is open within the value */
    uint8_t object[CLIENT_JSON_DEPTH / 8]; /* … a bit each: an object, or an array? */
};

static unsigned char byte_at(const char *at, const char *end)
{
    return at < end ? (unsigned char)*at : 0;
}

static bool continues(const char *at, const char *end, int n)
{
    for (int i = 1; i <= n; i++)
        if ((byte_at(at + i, end) & 0xC0) != 0x80)
            return false;
    return true;
}

/* How many bytes the character of several bytes has that begins here; 0: it is none (RFC 3629). */
static int utf8_length(const char *at, const char *end)
{
    unsigned char first = (unsigned char)*at;
    int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (first < 0xC2 || first > 0xF4 || end - at <= more || !continues(at, end, more))
        return 0;
    unsigned char second = (unsigned char)at[1];
    if ((first == 0xE0 && second < 0xA0) || (first == 0xED && second > 0x9F) ||
        (first == 0xF0 && second < 0x90) || (first == 0xF4 && second > 0x8F))
        return 0;
    return more + 1;
}

static void add_escape(struct client_text *out, char c)
{
    static const char *const from = "\"\\\b\f\n\r\t";
    static const char *const to = "\"\\bfnrt";
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        char pair[2] = {'\\', to[known - from]};
        client_text_add(out, pair, sizeof(pair));
    } else {
        client_text_printf(out, "\\u%04x", (unsigned)(unsigned char)c);
    }
}

static bool is_plain(char c)
{
    unsigned char u = (unsigned char)c;
    return u >= 0x20 && u < 0x80 && u != '"' && u != '\\';
}

/* The next character, or many plain ones; returns what is behind. */
static const char *add_next(struct client_text *out, const char *at, const char *end)
{
    const char *from = at;
    while (at < end && is_plain(*at))
        at++;
    if (at > from) {
        client_text_add(out, from, (size_t)(at - from));
        return at;
    }
    if ((unsigned char)*at < 0x80) {
        add_escape(out, *at);
        return at + 1;
    }
    int n = utf8_length(at, end);
    if (n == 0) {
        client_text_add_string(out, "\xEF\xBF\xBD");
        return at + 1;
    }
    client_text_add(out, at, (size_t)n);
    return at + n;
}

void client_json_string(struct client_text *out, const char *bytes, size_t n)
{
    const char *at = bytes, *end = bytes + n;
    client_text_fill(out, '"', 1);
    while (at < end)
        at = add_next(out, at, end);
    client_text_fill(out, '"', 1);
}

static void skip_blanks(struct reader *r)
{
    while (r->at < r->end && memchr(" \t\n\r", *r->at, 4))
        r->at++;
}

static bool accept(struct reader *r, char c)
{
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool is_hex(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* An escape is passed on as it is. */
static bool read_escape(struct reader *r)
{
    size_t n = 2;
    if (r->end - r->at < 2 || !memchr("\"\\/bfnrtu", r->at[1], 9))
        return false;
    if (r->at[1] == 'u') {
        for (n = 2; n < 6; n++)
            if (r->at + n >= r->end || !is_hex(r->at[n]))
                return false;
    }
    client_text_add(r->out, r->at, n);
    r->at += n;
    return true;
}

/* The opening quote was there. */
static bool read_string(struct reader *r)
{
    client_text_fill(r->out, '"', 1);
    while (r->at < r->end && *r->at != '"') {
        if (*r->at != '\\')
            r->at = add_next(r->out, r->at, r->end);
        else if (!read_escape(r))
            return false;
    }
    client_text_fill(r->out, '"', 1);
    return accept(r, '"');
}

static bool read_digits(struct reader *r)
{
    const char *from = r->at;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > from;
}

static bool read_number(struct reader *r)
{
    const char *from = r->at;
    accept(r, '-');
    if (!accept(r, '0') && !read_digits(r))
        return false;
    if (accept(r, '.') && !read_digits(r))
        return false;
    if (accept(r, 'e') || accept(r, 'E')) {
        if (!accept(r, '+'))
            accept(r, '-');
        if (!read_digits(r))
            return false;
    }
    client_text_add(r->out, from, (size_t)(r->at - from));
    return true;
}

static bool read_word(struct reader *r)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t n = strlen(words[i]);
        if ((size_t)(r->end - r->at) >= n && memcmp(r->at, words[i], n) == 0) {
            client_text_add(r->out, words[i], n);
            r->at += n;
            return true;
        }
    }
    return false;
}

static bool in_object(const struct reader *r)
{
    int i = r->depth - 1;
    return r->object[i / 8] >> (i % 8) & 1;
}

static void new_line(struct reader *r, int depth)
{
    if (r->level < 0)
        return;
    client_text_fill(r->out, '\n', 1);
    client_text_fill(r->out, '\t', (size_t)r->level + (size_t)depth);
}

static bool read_key(struct reader *r)
{
    skip_blanks(r);
    if (!accept(r, '"') || !read_string(r))
        return false;
    skip_blanks(r);
    client_text_add_string(r->out, r->level < 0 ? ":" : ":\t");
    return accept(r, ':');
}

static void close_one(struct reader *r, bool empty)
{
    bool object = in_object(r);
    r->depth--;
    if (object && !empty)
        new_line(r, r->depth);
    client_text_fill(r->out, object ? '}' : ']', 1);
}

/* Behind the opening bracket: *more tells that a value follows. */
static bool open_one(struct reader *r, bool object, bool *more)
{
    if (r->depth == CLIENT_JSON_DEPTH)
        return false;
    uint8_t bit = (uint8_t)(1U << r->depth % 8), *byte = &r->object[r->depth / 8];
    *byte = object ? *byte | bit : *byte & (uint8_t)~bit;
    r->depth++;
    client_text_fill(r->out, object ? '{' : '[', 1);
    skip_blanks(r);
    *more = !accept(r, object ? '}' : ']');
    if (!*more && object)
        new_line(r, r->depth - 1);
    if (!*more) {
        close_one(r, true);
        return true;
    }
    if (object)
        new_line(r, r->depth);
    return !object || read_key(r);
}

/* A value, or the beginning of one: *more tells that another value follows. */
static bool read_value(struct reader *r, bool *more)
{
    *more = false;
    skip_blanks(r);
    if (accept(r, '{'))
        return open_one(r, true, more);
    if (accept(r, '['))
        return open_one(r, false, more);
    if (accept(r, '"'))
        return read_string(r);
    return r->at < r->end && memchr("-0123456789", *r->at, 11) ? read_number(r) : read_word(r);
}

/* Behind a value: what ends here is closed, up to a comma. */
static bool read_separator(struct reader *r, bool *more)
{
    for (*more = false; r->depth > 0;) {
        bool object = in_object(r);
        skip_blanks(r);
        if (accept(r, ',')) {
            client_text_add_string(r->out, r->level < 0 || object ? "," : ", ");
            if (object)
                new_line(r, r->depth);
            *more = true;
            return !object || read_key(r);
        }
        if (!accept(r, object ? '}' : ']'))
            return false;
        close_one(r, false);
    }
    return true;
}

bool client_json_value(struct client_text *out, const char *bytes, size_t n, int level)
{
    struct reader r = {.at = bytes, .end = bytes + n, .out = out, .level = level};
    size_t before = out->used;
    if (n >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0)
        r.at += 3;
    bool more = true, fine = true;
    while (fine && more) {
        fine = read_value(&r, &more);
        if (fine && !more)
            fine = read_separator(&r, &more);
    }
    skip_blanks(&r);
    if (fine && r.at == r.end)
        return true;
    out->used = before;
    return false;
}
