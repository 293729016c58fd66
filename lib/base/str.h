/*
 * A slice of bytes that owns nothing.
 *
 * Valid until the call that handed it out returns, unless said otherwise. May hold NUL bytes; is
 * not terminated. Empty slices may have p == NULL.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include "base/base.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *p;
    size_t n;
};

/* A slice of a string literal, usable in initialisers. */
#define STR(lit) ((struct str){.p = (lit), .n = sizeof(lit) - 1})
/* For "%.*s". */
#define STR_ARG(s) (int)(s).n, (s).p ? (s).p : ""

static inline struct str str_of(const char *p, size_t n)
{
    return (struct str){.p = p, .n = n};
}

/* The whole of a terminated string; NULL gives the empty slice. */
struct str str_c(const char *z);

static inline bool str_eq(struct str a, struct str b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool str_eq_c(struct str a, const char *z);
/* Byte-wise order, shorter first when one is a prefix: <0, 0, >0. */
int str_cmp(struct str a, struct str b);
bool str_has_prefix(struct str s, struct str prefix);
/* s without blanks (space, tab, CR, LF) at either end. */
struct str str_trim(struct str s);
/*
 * Cut the next token off the front: leading blanks (space, tab) are skipped, the token ends at a
 * blank or the end. *s is what follows the token. Empty token: nothing was left.
 */
struct str str_token(struct str *s);
/*
 * Decimal number, optional sign, nothing else around it. ERR_INVAL (garbage) or ERR_TOO_LARGE
 * (range).
 */
MUST_CHECK enum err str_to_i64(struct str s, int64_t *value);
/* Decimal, octal (0…) or hexadecimal (0x…) as C writes it, otherwise like str_to_i64. */
MUST_CHECK enum err str_to_i64_any_base(struct str s, int64_t *value);
/*
 * A terminated copy, ended early by a NUL within; NULL without memory. Free with str_dup_free
 * (NULL allowed).
 */
MUST_CHECK char *str_dup(struct str s);
void str_dup_free(char *z);
/* The UTF-8 character that s begins with, and its length in bytes; 0: s begins with none. */
size_t str_character(struct str s, uint32_t *c);
/*
 * Printable form for the log: control characters (C0, DEL, C1, line separators, direction) and
 * bytes that are not UTF-8 become \xNN, a backslash becomes "\\"; cut with "..." when it does not
 * fit. Always terminated (cap >= 8). Returns out.
 */
char *str_escape(struct str s, char *out, size_t cap);
/*
 * The same for what strangers choose: square brackets and quotes (' and ") become \xNN too, so that
 * nothing in it looks like the end of a quoted name or like an address in brackets.
 */
char *str_escape_strict(struct str s, char *out, size_t cap);

#endif
