/*
 * One function for each type of value.
 *
 * Numbers and words are one token and may be followed by a comment, because Mosquitto reads no
 * further than the token; text runs to the end of its line.
 */
#include "conf/value.h"

#include "conf/fields.h"
#include "conf/network.h"
#include "conf/numbers.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define UNIX_PATH_MAX 107 /* of struct sockaddr_un, without its zero */

/* Without the comment behind it: that begins with the # of a token. */
static struct str before_comment(struct str text)
{
    for (size_t i = 0; i < text.n; i++) {
        bool begins = i == 0 || text.p[i - 1] == ' ' || text.p[i - 1] == '\t';
        if (begins && text.p[i] == '#')
            text.n = i;
    }
    return str_trim(text);
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
    return value_bool(text, field_of(opt, base));
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
    field_store(opt, base, n);
    return ERR_OK;
}

static enum err set_period(const struct conf_option *opt, void *base, struct str text)
{
    int64_t *seconds = field_of(opt, base);
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
    if ((opt->flags & OPT_TOPIC) &&
        (topic_check_name(text) != REASON_OK || str_has_prefix(text, STR("$share"))))
        return ERR_INVAL; /* a filter behind $share/ would begin outside */
    return field_replace(field_text(base, opt->offset), text);
}

/* A part of topics. */
static enum err set_bridge_name(const struct conf_option *opt, void *base, struct str text)
{
    if (text.n == 0 || text.n > (size_t)opt->max || !utf8_valid(text) || has_blank(text) ||
        topic_check_name(text) != REASON_OK)
        return ERR_INVAL;
    return field_replace(field_text(base, opt->offset), text);
}

static enum err set_path(char **to, struct str path)
{
    if (path.n == 0 || path.n > UINT16_MAX || !utf8_valid(path))
        return ERR_INVAL;
    if (*to)
        return ERR_EXISTS;
    return field_replace(to, path);
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
    unsigned *bits = field_of(opt, base);
    struct str rest = text;
    struct str name = str_token(&rest);
    const struct option_word *word = find_word(opt, name);
    enum err e = ERR_OK;

    if (!word)
        return ERR_INVAL;
    if (word->kind == WORD_LATER)
        return ERR_UNSUPPORTED;
    if (word->kind == WORD_PATH)
        e = set_path(field_text(base, opt->beside), str_trim(rest));
    else
        e = one_token(text, &name);
    if (e)
        return e;
    *bits = (first || word->kind == WORD_ASSIGNS ? 0 : *bits) | word->bits;
    return ERR_OK;
}

static enum err set_choice(const struct conf_option *opt, void *base, struct str text)
{
    struct str name;
    const struct option_word *word;

    if (one_token(text, &name))
        return ERR_INVAL;
    word = find_word(opt, name);
    if (!word)
        return ERR_INVAL;
    if (word->kind == WORD_LATER)
        return ERR_UNSUPPORTED;
    field_store(opt, base, word->bits);
    return ERR_OK;
}

/* What stands before the next comma, and off with it; false when it was the last. */
static bool cut_item(struct str *text, struct str *item)
{
    const char *comma = memchr(text->p, ',', text->n);
    size_t n = comma ? (size_t)(comma - text->p) : text->n;

    *item = str_trim(str_of(text->p, n));
    *text = comma ? str_of(comma + 1, text->n - n - 1) : (struct str){0};
    return comma != NULL;
}

static enum err set_list(const struct conf_option *opt, void *base, struct str text)
{
    unsigned *bits = field_of(opt, base);
    unsigned found = 0;
    bool more = true;

    text = before_comment(text);
    while (more) {
        const struct option_word *word;
        struct str item;

        more = cut_item(&text, &item);
        word = find_word(opt, item);
        if (!word)
            return ERR_INVAL;
        found |= word->bits;
    }
    *bits = found;
    return ERR_OK;
}

/* Is the value what it is to the end of its line? Other values may be followed by a comment. */
static bool is_text(const struct conf_option *opt, struct str text)
{
    const struct option_word *word;

    switch (opt->type) {
    case OPTION_TEXT:
    case OPTION_INCLUDE:
    case OPTION_INERT:
    case OPTION_TOPIC: /* whose pattern may begin with # */
        return true;
    case OPTION_WORDS:
        word = find_word(opt, str_token(&text));
        return word && word->kind == WORD_PATH;
    case OPTION_BOOL:
    case OPTION_INT:
    case OPTION_LIST:
    case OPTION_CHOICE:
    case OPTION_PERIOD:
    case OPTION_NETWORKS:
    case OPTION_NUMBERS:
    case OPTION_LISTENER:
    case OPTION_BRIDGE:
    case OPTION_ADDRESSES:
    case OPTION_EXPAND:
        break;
    }
    return false;
}

struct str value_proper(const struct conf_option *opt, struct str text)
{
    return is_text(opt, text) ? text : before_comment(text);
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
    case OPTION_LIST:
        return set_list(opt, base, text);
    case OPTION_CHOICE:
        return set_choice(opt, base, text);
    case OPTION_PERIOD:
        return set_period(opt, base, text);
    case OPTION_NETWORKS:
        return network_add(text, field_of(opt, base), field_count(opt, base));
    case OPTION_NUMBERS:
        return numbers_set(opt, base, text);
    case OPTION_BRIDGE:
        return set_bridge_name(opt, base, text);
    case OPTION_ADDRESSES:
    case OPTION_TOPIC:
    case OPTION_LISTENER:
    case OPTION_INCLUDE:
    case OPTION_EXPAND:
    case OPTION_INERT:
        break;
    }
    return ERR_INVAL;
}

static enum err socket_path(struct str text, struct str *path)
{
    *path = before_comment(text);
    return path->n == 0 || path->n > UNIX_PATH_MAX || !utf8_valid(*path) ? ERR_INVAL : ERR_OK;
}

enum err value_listener(struct str text, uint16_t *port, struct str *address)
{
    int64_t n = 0;
    struct str token = str_token(&text);
    struct str rest;

    if (str_to_i64_any_base(token, &n) || n < 0 || n > UINT16_MAX)
        return ERR_INVAL;
    *port = (uint16_t)n;
    if (n == 0)
        return socket_path(text, address);
    text = before_comment(text);
    *address = str_token(&text);
    rest = str_token(&text);
    if (!utf8_valid(*address) || address->n > 255 || rest.n > 0)
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

static void expected_text(const struct conf_option *opt, char *out, size_t cap)
{
    const char *also = opt->flags & OPT_WORD    ? " and blanks"
                       : opt->flags & OPT_TOPIC ? ", without + and #, and not $share"
                                                : "";

    snprintf(out, cap, "1 to %d bytes of UTF-8 text without control characters%s", (int)opt->max,
             also);
}

static void expected_numbers(const struct conf_option *opt, char *out, size_t cap)
{
    const char *of = opt->unit ? " of " : "";
    const char *unit = opt->unit ? opt->unit : "";
    size_t room = numbers_room(opt);

    if (opt->least < room)
        snprintf(out, cap, "%zu to %zu numbers%s%s from %" PRId64 " to %" PRId64, opt->least, room,
                 of, unit, opt->min, opt->max);
    else
        snprintf(out, cap, "%zu numbers%s%s from %" PRId64 " to %" PRId64, room, of, unit, opt->min,
                 opt->max);
}

static void expected_words(const struct conf_option *opt, char *out, size_t cap)
{
    const char *how = opt->type == OPTION_LIST ? "these with commas between them:" : "one of";
    size_t used = (size_t)snprintf(out, cap, "%s", how);

    for (const struct option_word *w = opt->words; w->name && used < cap; w++) {
        const char *path = w->kind == WORD_PATH ? " PATH" : "";
        if (w->kind != WORD_LATER && w->kind != WORD_HIDDEN)
            used += (size_t)snprintf(out + used, cap - used, " '%s%s'", w->name, path);
    }
}

char *value_expected(const struct conf_option *opt, char *out, size_t cap)
{
    switch (opt->type) {
    case OPTION_BOOL:
    case OPTION_EXPAND:
        snprintf(out, cap, "true or false");
        break;
    case OPTION_INT:
        expected_int(opt, out, cap);
        break;
    case OPTION_TEXT:
        expected_text(opt, out, cap);
        break;
    case OPTION_WORDS:
    case OPTION_LIST:
    case OPTION_CHOICE:
        expected_words(opt, out, cap);
        break;
    case OPTION_PERIOD:
        snprintf(out, cap, "a number and one of the letters h d w m y s");
        break;
    case OPTION_NETWORKS:
        snprintf(out, cap, "addresses or networks such as 192.0.2.1 or 2001:db8::/32");
        break;
    case OPTION_NUMBERS:
        expected_numbers(opt, out, cap);
        break;
    case OPTION_BRIDGE:
        snprintf(out, cap, "a name of at most %d bytes, without blanks, + and #", (int)opt->max);
        break;
    case OPTION_ADDRESSES:
        snprintf(out, cap, "HOST or HOST:PORT");
        break;
    case OPTION_TOPIC:
        snprintf(out, cap, "a pattern such as sensors/#");
        break;
    case OPTION_LISTENER:
        snprintf(out, cap,
                 "a port from 1 to 65535 and, if not all, an address; or 0 and the path of a Unix "
                 "socket of at most %d bytes",
                 UNIX_PATH_MAX);
        break;
    case OPTION_INCLUDE:
        snprintf(out, cap, "a directory");
        break;
    case OPTION_INERT:
        snprintf(out, cap, "nothing");
        break;
    }
    return out;
}
