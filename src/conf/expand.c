/*
 * Only ${NAME} is a variable: a plain $ is common in topics and stays what it is.
 */
#include "conf/expand.h"

#include <stdlib.h>
#include <string.h>

#define NAME_CAP 256          /* longer names are nobody's */
#define EXPANDED_MAX 1048576U /* no value is so long, and a short line could ask for any amount */

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return s.n > 0 && s.n < NAME_CAP;
}

/* text begins with "${": append what the variable has, and give the bytes that it takes in text. */
static enum err take_variable(struct str text, struct buf *out, size_t *taken, struct str *culprit)
{
    const char *end = memchr(text.p, '}', text.n);
    struct str name = end ? str_of(text.p + 2, (size_t)(end - text.p) - 2) : str_of(text.p, 0);
    char z[NAME_CAP];
    const char *value;

    if (!is_name(name)) {
        *culprit = end ? str_of(text.p, name.n + 3) : text;
        return ERR_INVAL;
    }
    memcpy(z, name.p, name.n);
    z[name.n] = '\0';
    value = getenv(z);
    if (!value) {
        *culprit = name;
        return ERR_NOT_FOUND;
    }
    *taken = name.n + 3;
    return buf_add(out, value, strlen(value));
}

bool expand_knows(const char *name)
{
    const char *value = getenv(name);

    return value && *value;
}

enum err expand(struct str text, struct buf *out, struct str *culprit)
{
    size_t before = out->len;

    *culprit = text;
    while (text.n > 0) {
        size_t taken = 1;
        enum err e;
        if (str_has_prefix(text, STR("$${"))) {
            e = buf_add(out, "${", 2);
            taken = 3;
        } else if (str_has_prefix(text, STR("${"))) {
            e = take_variable(text, out, &taken, culprit);
        } else {
            const char *next = memchr(text.p + 1, '$', text.n - 1);
            taken = next ? (size_t)(next - text.p) : text.n;
            e = buf_add(out, text.p, taken);
        }
        if (!e && out->len - before > EXPANDED_MAX)
            e = ERR_TOO_LARGE;
        if (e)
            return e;
        text = str_of(text.p + taken, text.n - taken);
    }
    return ERR_OK;
}
