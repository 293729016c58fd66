/*
 * Lines to values: which option, whose, given before?
 *
 * Nothing here stops at the first problem. Messages name the file, the line, the option as it is
 * written there, its value and what would be right; but no value of a name that we do not obey, as
 * it may be a password.
 */
#include "conf/parse.h"

#include "base/mem.h"
#include "conf/value.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define SHOWN_MAX 80 /* bytes of a value that a message shows */
#define GUESSES_MAX                                                                                \
    50 /* a file with more problems is no configuration, and guessing takes time                   \
        */

enum err draft_init(struct draft *d, const char *file, const struct log *log)
{
    enum err e;

    memset(d, 0, sizeof(*d));
    d->log = log;
    str_escape(str_c(file ? file : "command line"), d->file, sizeof(d->file));
    d->conf = mem_zalloc(sizeof(*d->conf));
    d->global_lines = mem_zalloc(option_count * sizeof(*d->global_lines));
    d->listener_lines = mem_zalloc(option_count * sizeof(*d->listener_lines));
    if (!d->conf || !d->global_lines || !d->listener_lines)
        return ERR_NOMEM;
    e = value_defaults(&d->conf->global, HOME_GLOBAL);
    if (!e)
        e = value_defaults(&d->conf->global.security, HOME_SECURITY);
    return e ? e : value_defaults(&d->base, HOME_LISTENER);
}

void draft_clear(struct draft *d)
{
    conf_free(d->conf);
    value_free(&d->base, HOME_LISTENER);
    mem_free(d->global_lines, option_count * sizeof(*d->global_lines));
    mem_free(d->listener_lines, option_count * sizeof(*d->listener_lines));
    memset(d, 0, sizeof(*d));
}

uint32_t draft_line(const struct draft *d, const char *name)
{
    const struct conf_option *opt = option_find(str_c(name));

    return opt ? d->global_lines[opt - options] : 0;
}

static void say(const struct draft *d, enum log_level level, uint32_t line, const char *what,
                const char *why)
{
    const char *word = level == LOG_LEVEL_ERROR ? "Error" : "Warning";

    if (line)
        LOG_AT(d->log, level, "%s: %s (%s:%u): %s", word, what, d->file, (unsigned)line, why);
    else
        LOG_AT(d->log, level, "%s: %s (%s): %s", word, what, d->file, why);
}

void draft_error(struct draft *d, uint32_t line, const char *what, const char *why)
{
    d->problems++;
    say(d, LOG_LEVEL_ERROR, line, what, why);
}

void draft_warning(struct draft *d, uint32_t line, const char *what, const char *why)
{
    say(d, LOG_LEVEL_WARNING, line, what, why);
}

static bool same_address(const char *a, const char *b)
{
    return a && b ? strcasecmp(a, b) == 0 : a == b;
}

bool draft_has_listener(const struct draft *d, uint16_t port, const char *address)
{
    for (size_t i = 0; i < d->conf->listener_count; i++) {
        const struct conf_listener *l = d->conf->listeners[i];
        if (l->port == port && same_address(l->address, address))
            return true;
    }
    return false;
}

/* One more, zeroed; NULL without memory. */
static struct conf_listener *grow_listeners(struct conf *c)
{
    size_t size = c->listener_count * sizeof(*c->listeners);
    struct conf_listener *l = mem_zalloc(sizeof(*l));
    struct conf_listener **grown = l ? mem_realloc(c->listeners, size, size + sizeof(l)) : NULL;

    if (!grown) {
        mem_free(l, sizeof(*l));
        return NULL;
    }
    c->listeners = grown;
    grown[c->listener_count++] = l;
    return l;
}

enum err draft_listener(struct draft *d, const struct conf_listener *model, uint16_t port,
                        const char *address)
{
    struct conf_listener *l = grow_listeners(d->conf);
    char *copy = address ? str_dup(str_c(address)) : NULL;
    enum err e = ERR_NOMEM;

    if (l && model)
        e = value_copy(l, model, sizeof(*l), HOME_LISTENER);
    else if (l)
        e = value_defaults(l, HOME_LISTENER);
    if (l)
        l->refs = 1;
    if (e || (address && !copy)) {
        str_dup_free(copy);
        return ERR_NOMEM;
    }
    str_dup_free(l->address);
    l->address = copy;
    l->port = port;
    return ERR_OK;
}

/* What a message says about the line: the option as it is named there, and the value. */
struct line {
    const struct conf_option *opt;
    struct str name;
    struct str value;
};

#define WHAT_MAX (2 * SHOWN_MAX + 8)

static char *what_line(const struct line *l, char out[WHAT_MAX])
{
    char name[SHOWN_MAX], value[SHOWN_MAX];

    str_escape(l->name, name, sizeof(name));
    str_escape(l->value, value, sizeof(value));
    if (l->value.n == 0)
        snprintf(out, WHAT_MAX, "%s without a value", name);
    else
        snprintf(out, WHAT_MAX, "%s '%s'", name, value);
    return out;
}

static void line_error(struct draft *d, const struct line *l, const char *why)
{
    char what[WHAT_MAX];

    draft_error(d, d->line, what_line(l, what), why);
}

static void line_warning(struct draft *d, const struct line *l, const char *why)
{
    char what[WHAT_MAX];

    draft_warning(d, d->line, what_line(l, what), why);
}

/* The value stays unsaid: under a misspelt name it may be a password. */
static void unknown(struct draft *d, struct str name)
{
    char shown[SHOWN_MAX], what[WHAT_MAX], why[SHOWN_MAX];
    const char *nearest = d->problems < GUESSES_MAX ? option_nearest(name) : NULL;

    str_escape(name, shown, sizeof(shown));
    snprintf(what, sizeof(what), "Unknown configuration variable '%s'", shown);
    if (name.p[0] == '#')
        snprintf(why, sizeof(why), "a comment begins with # as the first character of its line.");
    else if (nearest)
        snprintf(why, sizeof(why), "did you mean '%s'?", nearest);
    else
        snprintf(why, sizeof(why), "mosquitto.conf(5) lists all that are known.");
    draft_error(d, d->line, what, why);
}

/* Where the row's line number is kept: listeners have their own, the default listener's are global.
 */
static uint32_t *given_at(struct draft *d, const struct conf_option *opt)
{
    bool own = opt->scope == SCOPE_LISTENER && d->conf->listener_count > 0;

    return &(own ? d->listener_lines : d->global_lines)[opt - options];
}

static void *home_of(struct draft *d, const struct conf_option *opt)
{
    if (option_home(opt) == HOME_GLOBAL)
        return &d->conf->global;
    if (option_home(opt) == HOME_SECURITY)
        return &d->conf->global.security;
    if (opt->scope == SCOPE_DEFAULT_LISTENER || d->conf->listener_count == 0)
        return &d->base;
    return d->conf->listeners[d->conf->listener_count - 1];
}

static void wrong_value(struct draft *d, const struct line *l)
{
    char expected[200], why[240];

    value_expected(l->opt, expected, sizeof(expected));
    snprintf(why, sizeof(why), "expected %s.", expected);
    line_error(d, l, why);
}

/* False when that ends the matter. */
static bool may_come_again(struct draft *d, const struct line *l, uint32_t before)
{
    char why[80];

    if (before == 0 || (l->opt->flags & OPT_REPEAT))
        return true;
    if (l->opt->type == OPTION_TEXT) {
        snprintf(why, sizeof(why), "expected it once, but line %u has it too.", (unsigned)before);
        line_error(d, l, why);
        return false;
    }
    snprintf(why, sizeof(why), "line %u has it too; this one counts.", (unsigned)before);
    line_warning(d, l, why);
    return true;
}

static void say_deprecated(struct draft *d, const struct line *l)
{
    char why[80];

    if (!l->opt->instead)
        return;
    snprintf(why, sizeof(why), "deprecated, but obeyed; today's way is '%s'.", l->opt->instead);
    line_warning(d, l, why);
}

static enum err take_value(struct draft *d, const struct line *l)
{
    uint32_t *at = given_at(d, l->opt);
    enum err e;

    if (!may_come_again(d, l, *at))
        return ERR_OK;
    e = value_set(l->opt, home_of(d, l->opt), l->value, *at == 0);
    if (e == ERR_NOMEM)
        return e;
    if (e == ERR_UNSUPPORTED) {
        line_warning(d, l, "not available in this release; the line is ignored.");
        return ERR_OK;
    }
    *at = d->line;
    if (e == ERR_EXISTS)
        line_error(d, l, "expected one path only, but an earlier line has one.");
    else if (e)
        wrong_value(d, l);
    else
        say_deprecated(d, l);
    return ERR_OK;
}

static enum err take_listener(struct draft *d, const struct line *l)
{
    uint16_t port;
    struct str address;
    char *copy = NULL;
    enum err e;

    if (value_listener(l->value, &port, &address)) {
        wrong_value(d, l);
        return ERR_OK;
    }
    if (address.n > 0) {
        copy = str_dup(address);
        if (!copy)
            return ERR_NOMEM;
    }
    if (draft_has_listener(d, port, copy))
        line_error(d, l, "expected another port or address, an earlier listener has these.");
    e = draft_listener(d, NULL, port, copy);
    memset(d->listener_lines, 0, option_count * sizeof(*d->listener_lines));
    str_dup_free(copy);
    return e;
}

static void take_bridge(struct draft *d, const struct line *l)
{
    if (l->opt->flags & OPT_BRIDGE) {
        d->in_bridge = true;
        line_warning(d, l, l->opt->note);
    } else if (!d->in_bridge) {
        draft_error(d, d->line, l->opt->name,
                    "belongs to a bridge, but no 'connection' line came before it.");
    }
}

/* True when the option is there to be obeyed. */
static bool can_obey(struct draft *d, const struct line *l)
{
    char reason[120], why[180];

    switch (option_judge(l->opt, l->value, reason, sizeof(reason))) {
    case OPTION_APPLIES:
        return true;
    case OPTION_SKIPPED:
        break;
    case OPTION_WARNS:
        snprintf(why, sizeof(why), "%s; the line is ignored.", reason);
        draft_warning(d, d->line, l->opt->name, why);
        break;
    case OPTION_REFUSES:
        snprintf(why, sizeof(why), "%s, refusing to start without it.", reason);
        draft_error(d, d->line, l->opt->name, why);
        break;
    }
    return false;
}

static enum err take_line(struct draft *d, struct str text)
{
    struct line l = {0};

    l.name = str_token(&text);
    l.value = str_trim(text);
    l.opt = option_find(l.name);
    if (!l.opt) {
        unknown(d, l.name);
        return ERR_OK;
    }
    if (l.opt->scope == SCOPE_BRIDGE) {
        take_bridge(d, &l);
        return ERR_OK;
    }
    if (!can_obey(d, &l))
        return ERR_OK;
    if (l.opt->type != OPTION_LISTENER)
        return take_value(d, &l);
    d->in_bridge = false;
    return take_listener(d, &l);
}

static struct str next_line(struct str *text)
{
    const char *end = memchr(text->p, '\n', text->n);
    size_t n = end ? (size_t)(end - text->p) : text->n;
    size_t skip = end ? n + 1 : n;
    struct str line = str_of(text->p, n);

    *text = str_of(text->p + skip, text->n - skip);
    return line;
}

enum err parse_text(struct draft *d, struct str text)
{
    enum err e = ERR_OK;

    if (str_has_prefix(text, STR("\xFF\xFE")) || str_has_prefix(text, STR("\xFE\xFF"))) {
        draft_error(d, 0, "UTF-16", "expected a file in UTF-8.");
        return ERR_OK;
    }
    if (str_has_prefix(text, STR("\xEF\xBB\xBF")))
        text = str_of(text.p + 3, text.n - 3);
    while (text.n > 0 && !e) {
        struct str line = next_line(&text);
        d->line++;
        if (memchr(line.p, '\0', line.n))
            draft_error(d, d->line, "NUL byte", "expected text.");
        else if (line.n > 0 && line.p[0] != '#' && str_trim(line).n > 0)
            e = take_line(d, str_trim(line));
    }
    return e;
}
