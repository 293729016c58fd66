/*
 * One function for each type of value, and the loops over all rows.
 *
 * Numbers and words are one token and may be followed by a comment, because Mosquitto reads no
 * further than the token; text runs to the end of its line.
 */
#include "conf/value.h"

#include "mqtt/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void *field(const struct conf_option *opt, void *base)
{
    return (char *)base + opt->offset;
}

static char **text_field(void *base, size_t offset)
{
    return (char **)(void *)((char *)base + offset);
}

/* The only token, or the first before a comment. */
static enum err one_token(struct str text, struct str *token)
{
    struct str next;

    *token = str_token(&text);
    next = str_token(&text);
    if (token->n == 0 || (next.n > 0 && next.p[0] != '#'))
        return ERR_INVAL;
    return ERR_OK;
}

enum err value_bool(struct str text, bool *out)
{
    struct str token;
    enum err e = one_token(text, &token);

    if (e)
        return e;
    if (str_eq_c(token, "true") || str_eq_c(token, "1"))
        *out = true;
    else if (str_eq_c(token, "false") || str_eq_c(token, "0"))
        *out = false;
    else
        return ERR_INVAL;
    return ERR_OK;
}

static enum err set_bool(const struct conf_option *opt, void *base, struct str text)
{
    return value_bool(text, field(opt, base));
}

static void store_int(void *to, size_t size, int64_t n)
{
    uint8_t n8 = (uint8_t)n;
    uint16_t n16 = (uint16_t)n;
    uint32_t n32 = (uint32_t)n;
    const void *from = size == 1 ? (void *)&n8 : size == 2 ? (void *)&n16 : (void *)&n32;

    memcpy(to, size == sizeof(n) ? &n : from, size);
}

static bool in_range(const struct conf_option *opt, int64_t n)
{
    return (n >= opt->min && n <= opt->max) || (n == 0 && (opt->flags & OPT_ZERO));
}

/* Letters that may follow a number, and what it is then multiplied by. */
struct multiple {
    char letter;
    int64_t by;
};

static const struct multiple sizes[] = {{'K', 1 << 10}, {'M', 1 << 20}, {'G', 1 << 30}, {0, 1}};

#define DAY_S (24 * 3600)
static const struct multiple periods[] = {
    {'s', 1},          {'h', 3600},        {'d', DAY_S}, {'w', 7 * DAY_S},
    {'m', 30 * DAY_S}, {'y', 365 * DAY_S}, {0, 0}};

/* Cuts the letter off; without one, the last row's. */
static int64_t take_multiple(const struct multiple *m, struct str *token)
{
    char last = token->n > 0 ? token->p[token->n - 1] : '\0';

    for (; m->letter; m++) {
        if (m->letter == last) {
            token->n--;
            return m->by;
        }
    }
    return m->by;
}

static enum err multiplied(struct str token, int64_t by, int64_t *n)
{
    if (str_to_i64_any_base(token, n) || by == 0 || *n > INT64_MAX / by || *n < INT64_MIN / by)
        return ERR_INVAL;
    *n *= by;
    return ERR_OK;
}

static enum err set_int(const struct conf_option *opt, void *base, struct str text)
{
    struct str token;
    int64_t n = 0;
    int64_t by = 1;
    enum err e = one_token(text, &token);

    if (!e && (opt->flags & OPT_SIZE))
        by = take_multiple(sizes, &token);
    if (e || multiplied(token, by, &n) || !in_range(opt, n))
        return ERR_INVAL;
    store_int(field(opt, base), opt->size, n);
    return ERR_OK;
}

static enum err set_period(const struct conf_option *opt, void *base, struct str text)
{
    int64_t *seconds = field(opt, base);
    struct str token;
    int64_t n = 0;
    int64_t by;

    if (one_token(text, &token))
        return ERR_INVAL;
    by = take_multiple(periods, &token);
    if (multiplied(token, by, &n) || n < 1)
        return ERR_INVAL;
    *seconds = n;
    return ERR_OK;
}

static enum err replace_text(char **to, struct str text)
{
    char *copy = str_dup(text);

    if (!copy)
        return ERR_NOMEM;
    str_dup_free(*to);
    *to = copy;
    return ERR_OK;
}

static bool has_blank(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == ' ' || s.p[i] == '\t')
            return true;
    }
    return false;
}

static enum err set_text(const struct conf_option *opt, void *base, struct str text)
{
    if (text.n == 0 || text.n > (size_t)opt->max || !utf8_valid(text))
        return ERR_INVAL;
    if ((opt->flags & OPT_WORD) && has_blank(text))
        return ERR_INVAL;
    return replace_text(text_field(base, opt->offset), text);
}

static enum err set_path(char **to, struct str path)
{
    if (path.n == 0 || path.n > UINT16_MAX || !utf8_valid(path))
        return ERR_INVAL;
    if (*to)
        return ERR_EXISTS;
    return replace_text(to, path);
}

static const struct option_word *find_word(const struct conf_option *opt, struct str name)
{
    for (const struct option_word *w = opt->words; w->name; w++) {
        if (str_eq_c(name, w->name))
            return w;
    }
    return NULL;
}

static enum err set_word(const struct conf_option *opt, void *base, struct str text, bool first)
{
    unsigned *bits = field(opt, base);
    struct str rest = text;
    struct str name = str_token(&rest);
    const struct option_word *word = find_word(opt, name);
    enum err e = ERR_OK;

    if (!word)
        return ERR_INVAL;
    if (word->kind == WORD_LATER)
        return ERR_UNSUPPORTED;
    if (word->kind == WORD_PATH)
        e = set_path(text_field(base, opt->path_offset), str_trim(rest));
    else
        e = one_token(text, &name);
    if (e)
        return e;
    *bits = (first || word->kind == WORD_ASSIGNS ? 0 : *bits) | word->bits;
    return ERR_OK;
}

static enum err set_choice(const struct conf_option *opt, void *base, struct str text)
{
    bool *flag = field(opt, base);
    struct str name;
    const struct option_word *word;

    if (one_token(text, &name))
        return ERR_INVAL;
    word = find_word(opt, name);
    if (!word)
        return ERR_INVAL;
    *flag = word->bits != 0;
    return ERR_OK;
}

enum err value_set(const struct conf_option *opt, void *base, struct str text, bool first)
{
    switch (opt->type) {
    case OPTION_BOOL:
        return set_bool(opt, base, text);
    case OPTION_INT:
        return set_int(opt, base, text);
    case OPTION_TEXT:
        return set_text(opt, base, text);
    case OPTION_WORDS:
        return set_word(opt, base, text, first);
    case OPTION_CHOICE:
        return set_choice(opt, base, text);
    case OPTION_PERIOD:
        return set_period(opt, base, text);
    case OPTION_LISTENER:
    case OPTION_INERT:
        break;
    }
    return ERR_INVAL;
}

enum err value_listener(struct str text, uint16_t *port, struct str *address)
{
    int64_t n = 0;
    struct str token = str_token(&text);
    struct str rest = {0};

    if (str_to_i64_any_base(token, &n) || n < 1 || n > UINT16_MAX)
        return ERR_INVAL;
    *port = (uint16_t)n;
    *address = str_token(&text);
    if (address->n == 0 || address->p[0] == '#') {
        *address = (struct str){0};
        return ERR_OK;
    }
    rest = str_token(&text);
    if (!utf8_valid(*address) || address->n > 255 || (rest.n > 0 && rest.p[0] != '#'))
        return ERR_INVAL;
    return ERR_OK;
}

static void expected_int(const struct conf_option *opt, char *out, size_t cap)
{
    const char *of = opt->unit ? " of " : "";
    const char *unit = opt->unit ? opt->unit : "";
    const char *zero = opt->flags & OPT_ZERO ? ", or 0" : "";
    const char *size = opt->flags & OPT_SIZE ? " (K, M or G may follow)" : "";

    if (opt->max == INT64_MAX)
        snprintf(out, cap, "a number%s%s, %" PRId64 " or more%s%s", of, unit, opt->min, zero, size);
    else
        snprintf(out, cap, "a number%s%s from %" PRId64 " to %" PRId64 "%s%s", of, unit, opt->min,
                 opt->max, zero, size);
}

static void expected_words(const struct conf_option *opt, char *out, size_t cap)
{
    size_t used = (size_t)snprintf(out, cap, "one of");

    for (const struct option_word *w = opt->words; w->name && used < cap; w++) {
        const char *path = w->kind == WORD_PATH ? " PATH" : "";
        if (w->kind != WORD_LATER)
            used += (size_t)snprintf(out + used, cap - used, " '%s%s'", w->name, path);
    }
}

char *value_expected(const struct conf_option *opt, char *out, size_t cap)
{
    switch (opt->type) {
    case OPTION_BOOL:
        snprintf(out, cap, "true or false");
        break;
    case OPTION_INT:
        expected_int(opt, out, cap);
        break;
    case OPTION_TEXT:
        snprintf(out, cap, "1 to %d bytes of UTF-8 text without control characters%s",
                 (int)opt->max, opt->flags & OPT_WORD ? " and blanks" : "");
        break;
    case OPTION_WORDS:
    case OPTION_CHOICE:
        expected_words(opt, out, cap);
        break;
    case OPTION_PERIOD:
        snprintf(out, cap, "a number and one of the letters h d w m y s");
        break;
    case OPTION_LISTENER:
        snprintf(out, cap, "a port from 1 to 65535 and, if not all, an address");
        break;
    case OPTION_INERT:
        snprintf(out, cap, "nothing");
        break;
    }
    return out;
}

static enum err set_default(const struct conf_option *opt, void *base)
{
    bool *flag = field(opt, base);
    unsigned *bits = field(opt, base);

    switch (opt->type) {
    case OPTION_BOOL:
    case OPTION_CHOICE:
        *flag = opt->fallback != 0;
        break;
    case OPTION_INT:
        store_int(field(opt, base), opt->size, opt->fallback);
        break;
    case OPTION_WORDS:
        *bits = (unsigned)opt->fallback;
        break;
    case OPTION_TEXT:
        if (opt->text)
            return replace_text(text_field(base, opt->offset), str_c(opt->text));
        break;
    case OPTION_PERIOD:
    case OPTION_LISTENER:
    case OPTION_INERT:
        break;
    }
    return ERR_OK;
}

enum err value_defaults(void *base, enum option_home home)
{
    for (size_t i = 0; i < option_count; i++) {
        const struct conf_option *opt = &options[i];
        enum err e = option_home(opt) == home ? set_default(opt, base) : ERR_OK;
        if (e)
            return e;
    }
    return ERR_OK;
}

/* The texts that the option's row owns: none, its value, or the path beside its words. */
static char **owned_text(const struct conf_option *opt, void *base)
{
    if (opt->type == OPTION_TEXT)
        return text_field(base, opt->offset);
    return opt->path_offset ? text_field(base, opt->path_offset) : NULL;
}

typedef enum err text_visit(char **text);

static enum err each_text(void *base, enum option_home home, text_visit *visit)
{
    enum err e = ERR_OK;

    for (size_t i = 0; i < option_count; i++) {
        char **text = owned_text(&options[i], base);
        if (option_home(&options[i]) == home && text && *text && visit(text))
            e = ERR_NOMEM;
    }
    return e;
}

/* Leaves NULL rather than somebody else's text when there is no memory. */
static enum err copy_text(char **text)
{
    *text = str_dup(str_c(*text));
    return *text ? ERR_OK : ERR_NOMEM;
}

static enum err free_text(char **text)
{
    str_dup_free(*text);
    *text = NULL;
    return ERR_OK;
}

enum err value_copy(void *to, const void *from, size_t size, enum option_home home)
{
    memcpy(to, from, size);
    return each_text(to, home, copy_text);
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool value_swap_if_other(const struct conf_option *opt, void *a, void *b)
{
    char *to = field(opt, a), *from = field(opt, b);
    char **texts[] = {text_field(a, opt->offset), text_field(b, opt->offset)};
    char kept[sizeof(int64_t)];

    if (opt->size == 0 || opt->size > sizeof(kept) || memcmp(to, from, opt->size) == 0)
        return false;
    if (opt->type == OPTION_TEXT && same_text(*texts[0], *texts[1]))
        return false;
    memcpy(kept, to, opt->size);
    memcpy(to, from, opt->size);
    memcpy(from, kept, opt->size);
    return true;
}

void value_free(void *base, enum option_home home)
{
    (void)each_text(base, home, free_text);
}
