/*
 * Slices: comparing, cutting, numbers, and a printable form.
 */
#include "base/str.h"

#include "base/mem.h"

#include <assert.h>

struct str str_c(const char *z)
{
    return str_of(z, z ? strlen(z) : 0);
}

bool str_eq_c(struct str a, const char *z)
{
    return str_eq(a, str_c(z));
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int order = n > 0 ? memcmp(a.p, b.p, n) : 0;

    if (order != 0)
        return order;
    return (a.n > b.n) - (a.n < b.n);
}

bool str_has_prefix(struct str s, struct str prefix)
{
    return s.n >= prefix.n && str_eq(str_of(s.p, prefix.n), prefix);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_space(char c)
{
    return is_blank(c) || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.n > 0 && is_space(s.p[s.n - 1]))
        s.n--;
    while (s.n > 0 && is_space(s.p[0])) {
        s.p++;
        s.n--;
    }
    return s;
}

struct str str_token(struct str *s)
{
    struct str token;
    size_t n = 0;

    while (s->n > 0 && is_blank(s->p[0])) {
        s->p++;
        s->n--;
    }
    while (n < s->n && !is_blank(s->p[n]))
        n++;
    token = str_of(s->p, n);
    if (n > 0)
        *s = str_of(s->p + n, s->n - n);
    return token;
}

/* The value of a digit in any base, or a number above all bases. */
static unsigned digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 99;
}

/* All of s as an unsigned number. Garbage is reported rather than the range, wherever it stands. */
static enum err to_u64(struct str s, unsigned base, uint64_t *value)
{
    enum err err = s.n > 0 ? ERR_OK : ERR_INVAL;
    uint64_t v = 0;

    for (size_t i = 0; i < s.n; i++) {
        unsigned digit = digit_of(s.p[i]);

        if (digit >= base)
            return ERR_INVAL;
        if (v > (UINT64_MAX - digit) / base)
            err = ERR_TOO_LARGE;
        v = v * base + digit;
    }
    *value = v;
    return err;
}

static bool cut_sign(struct str *s)
{
    bool negative = s->n > 0 && s->p[0] == '-';

    if (negative || (s->n > 0 && s->p[0] == '+'))
        *s = str_of(s->p + 1, s->n - 1);
    return negative;
}

static enum err to_i64(struct str digits, unsigned base, bool negative, int64_t *value)
{
    uint64_t magnitude = 0;
    enum err err = to_u64(digits, base, &magnitude);

    if (err != ERR_OK)
        return err;
    if (magnitude > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return ERR_TOO_LARGE;
    /* By way of the unsigned complement, since the magnitude of INT64_MIN has no signed form. */
    *value = negative ? (int64_t)(~magnitude + 1) : (int64_t)magnitude;
    return ERR_OK;
}

enum err str_to_i64(struct str s, int64_t *value)
{
    bool negative = cut_sign(&s);

    return to_i64(s, 10, negative, value);
}

enum err str_to_i64_any_base(struct str s, int64_t *value)
{
    bool negative = cut_sign(&s);

    if (s.n > 1 && s.p[0] == '0' && (s.p[1] == 'x' || s.p[1] == 'X'))
        return to_i64(str_of(s.p + 2, s.n - 2), 16, negative, value);
    return to_i64(s, s.n > 0 && s.p[0] == '0' ? 8 : 10, negative, value);
}

char *str_dup(struct str s)
{
    size_t n = s.n > 0 ? strnlen(s.p, s.n) : 0;
    char *z = mem_alloc(n + 1);

    if (!z)
        return NULL;
    if (n > 0)
        memcpy(z, s.p, n);
    z[n] = '\0';
    return z;
}

void str_dup_free(char *z)
{
    if (z)
        mem_free(z, strlen(z) + 1);
}

/*
 * How many bytes follow this first one of a UTF-8 character, and the least value for that
 * length.
 */
static size_t utf8_followers(uint8_t first, uint32_t *bits, uint32_t *least)
{
    if (first >= 0xF0 && first <= 0xF4) {
        *bits = first & 0x07;
        *least = 0x10000;
        return 3;
    }
    if ((first & 0xF0) == 0xE0) {
        *bits = first & 0x0F;
        *least = 0x800;
        return 2;
    }
    if ((first & 0xE0) == 0xC0) {
        *bits = first & 0x1F;
        *least = 0x80;
        return 1;
    }
    return 0;
}

size_t str_character(struct str s, uint32_t *c)
{
    const uint8_t *p = (const uint8_t *)s.p;
    uint32_t least = 0;
    size_t followers;

    if (s.n == 0)
        return 0;
    *c = p[0];
    if (p[0] < 0x80)
        return 1;
    followers = utf8_followers(p[0], c, &least);
    if (followers == 0 || followers >= s.n)
        return 0;
    for (size_t i = 1; i <= followers; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        *c = *c << 6 | (p[i] & 0x3F);
    }
    if (*c < least || *c > 0x10FFFF || (*c >= 0xD800 && *c <= 0xDFFF))
        return 0;
    return followers + 1;
}

/* Characters of Unicode that end a line, or turn the direction of what follows: with these a line
 * can be made to look like another one. */
static bool is_deceptive(uint32_t c)
{
    return (c >= 0x2028 && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
}

/* Length of the printable character that s begins with; 0 when there is none. */
static size_t printable_length(struct str s)
{
    uint32_t c = 0;
    size_t n = str_character(s, &c);

    return c < 0x20 || c == '\\' || (c >= 0x7F && c < 0xA0) || is_deceptive(c) ? 0 : n;
}

/*
 * One printed unit for the front of p: returns its length, and in *taken the bytes that it
 * stands for. The bytes of `marks` are escaped as well.
 */
static size_t escape_unit(const uint8_t *p, size_t n, struct str marks, char unit[4], size_t *taken)
{
    static const char hex[] = "0123456789abcdef";
    size_t printable = printable_length(str_of((const char *)p, n));

    if (marks.n > 0 && memchr(marks.p, p[0], marks.n))
        printable = 0;
    *taken = printable > 0 ? printable : 1;
    if (printable > 0) {
        memcpy(unit, p, printable);
        return printable;
    }
    unit[0] = '\\';
    unit[1] = '\\';
    if (p[0] == '\\')
        return 2;
    unit[1] = 'x';
    unit[2] = hex[p[0] >> 4];
    unit[3] = hex[p[0] & 15];
    return 4;
}

static char *escape(struct str s, struct str marks, char *out, size_t cap)
{
    const uint8_t *p = (const uint8_t *)s.p;
    size_t at = 0;
    size_t cut = 0; /* the last place between units where "..." still fits */
    size_t taken = 0;

    assert(cap >= 8);
    for (size_t i = 0; i < s.n; i += taken) {
        char unit[4];
        size_t n = escape_unit(p + i, s.n - i, marks, unit, &taken);

        if (at + 4 <= cap)
            cut = at;
        if (at + n >= cap) {
            memcpy(out + cut, "...", 4);
            return out;
        }
        memcpy(out + at, unit, n);
        at += n;
    }
    out[at] = '\0';
    return out;
}

char *str_escape(struct str s, char *out, size_t cap)
{
    return escape(s, STR(""), out, cap);
}

char *str_escape_strict(struct str s, char *out, size_t cap)
{
    return escape(s, STR("[]'\""), out, cap);
}
