/*
 * Lines to values: which option, whose, given before?
 *
 * Messages name the file, the line, the option as it is written there, its value and what would be
 * right; but no password, no value of a name that we do not obey, as it may be one, and no
 * variable's content: a value is shown as it stands in the file.
 */
#include "conf/parse.h"

#include "conf/bridge_address.h"
#include "conf/bridge_topic.h"
#include "conf/expand.h"
#include "conf/fields.h"
#include "conf/include.h"
#include "conf/value.h"

#include <stdio.h>
#include <string.h>

#define SHOWN_MAX 80   /* bytes of a value that a message shows */
#define GUESSES_MAX 50 /* a file with more problems is none, and guessing takes time */

/* The option as it is named there, its value as it stands there, and the value to be taken. */
struct line {
    const struct conf_option *opt;
    struct str name;
    struct str written;
    struct str value;
};

#define WHAT_MAX (2 * SHOWN_MAX + 8)

static char *what_line(const struct line *l, char out[WHAT_MAX])
{
    char name[SHOWN_MAX], value[SHOWN_MAX];

    str_escape(l->name, name, sizeof(name));
    str_escape(l->written, value, sizeof(value));
    if (l->written.n == 0)
        snprintf(out, WHAT_MAX, "%s without a value", name);
    else if (l->opt->flags & OPT_SECRET)
        snprintf(out, WHAT_MAX, "%s", name);
    else
        snprintf(out, WHAT_MAX, "%s '%s'", name, value);
    return out;
}

static void line_error(struct draft *d, const struct line *l, const char *why)
{
    char what[WHAT_MAX];

    draft_error(d, d->at, what_line(l, what), why);
}

static void line_warning(struct draft *d, const struct line *l, const char *why)
{
    char what[WHAT_MAX];

    draft_warning(d, d->at, what_line(l, what), why);
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
    draft_error(d, d->at, what, why);
}

static void wrong_value(struct draft *d, const struct line *l)
{
    char expected[240], why[280];

    value_expected(l->opt, expected, sizeof(expected));
    snprintf(why, sizeof(why), "expected %s.", expected);
    line_error(d, l, why);
}

/* The latest listener of this file, or the default one before there is any. */
static struct conf_listener *this_listener(struct draft *d)
{
    return d->listener > 0 ? d->conf->listeners[d->listener - 1] : &d->base;
}

static struct section *this_section(struct draft *d)
{
    return d->listener > 0 ? d->sections[d->listener - 1] : d->base_section;
}

/* Only behind a `connection` that is obeyed. */
static struct conf_bridge *this_bridge(struct draft *d)
{
    return d->conf->bridges[d->bridge - 1];
}

/* Which struct has the field, and where is kept in which line it was given? */
static void *home_of(struct draft *d, const struct conf_option *opt, struct place **given)
{
    size_t row = option_index(opt);
    bool own = d->conf->global.per_listener_settings;

    *given = &this_section(d)->given[row];
    switch (opt->scope) {
    case SCOPE_LISTENER:
        return this_listener(d);
    case SCOPE_OWN_SECURITY:
        return &this_section(d)->own;
    case SCOPE_DEFAULT_LISTENER:
        *given = &d->base_section->given[row];
        return &d->base;
    case SCOPE_SECURITY:
        if (own)
            return &this_listener(d)->security;
        break;
    case SCOPE_BRIDGE:
        *given = &d->bridge_sections[d->bridge - 1]->given[row];
        return this_bridge(d);
    case SCOPE_GLOBAL:
        break;
    }
    *given = &d->given[row];
    return opt->scope == SCOPE_SECURITY ? (void *)&d->conf->global.security : &d->conf->global;
}

/* False when that ends the matter. */
static bool may_come_again(struct draft *d, const struct line *l, struct place before)
{
    char where[PLACE_MAX], why[PLACE_MAX + 120];

    if (before.line == 0 || (l->opt->flags & OPT_REPEAT))
        return true;
    draft_place(d, before, where, sizeof(where));
    if (l->opt->type == OPTION_TEXT || l->opt->type == OPTION_ADDRESSES) {
        snprintf(why, sizeof(why), "Duplicate '%s' value in configuration; %s has it too.",
                 l->opt->name, where);
        line_error(d, l, why);
        return false;
    }
    snprintf(why, sizeof(why), "%s has it too; this one counts.", where);
    line_warning(d, l, why);
    return true;
}

/* What is taken, but deserves a word. */
static void remark(struct draft *d, const struct line *l, void *home)
{
    char why[80];

    if (l->opt->instead) {
        snprintf(why, sizeof(why), "deprecated, but obeyed; today's way is '%s'.", l->opt->instead);
        line_warning(d, l, why);
    }
    for (const struct option_word *w = l->opt->words; w && w->name; w++) {
        const unsigned *bits = field_of(l->opt, home);
        if (l->opt->type == OPTION_LIST && w->kind == WORD_LATER && (*bits & w->bits)) {
            snprintf(why, sizeof(why), "'%s' is not available in this release.", w->name);
            line_warning(d, l, why);
        }
    }
}

/* A word of a later release. */
static void unsupported(struct draft *d, const struct line *l)
{
    const struct option_word *w = l->opt->words;
    char why[120];

    while (l->opt->type == OPTION_CHOICE && w->name && w->bits != (unsigned)l->opt->fallback)
        w++;
    if (l->opt->type == OPTION_CHOICE && w->name)
        snprintf(why, sizeof(why), "not available in this release; '%s' is used.", w->name);
    else
        snprintf(why, sizeof(why), "not available in this release; the line is ignored.");
    line_warning(d, l, why);
}

static enum err take_value(struct draft *d, const struct line *l)
{
    struct place *given;
    void *home = home_of(d, l->opt, &given);
    enum err e;

    if (!may_come_again(d, l, *given))
        return ERR_OK;
    e = value_set(l->opt, home, l->value, given->line == 0);
    if (e == ERR_NOMEM)
        return e;
    if (e == ERR_UNSUPPORTED) {
        unsupported(d, l);
        return ERR_OK;
    }
    *given = d->at;
    if (l->opt->scope == SCOPE_SECURITY && d->security.line == 0)
        d->security = d->at;
    if (e == ERR_EXISTS)
        line_error(d, l, "Duplicate path; an earlier line has one.");
    else if (e)
        wrong_value(d, l);
    else
        remark(d, l, home);
    return ERR_OK;
}

/* What came before it would be in force for none: neither for all listeners nor for one of them. */
static bool comes_too_late(struct draft *d, const struct line *l)
{
    char where[PLACE_MAX], why[PLACE_MAX + 120];
    bool own = false;

    if (l->opt != option_find(STR("per_listener_settings")) || d->security.line == 0 ||
        value_bool(l->value, &own) != ERR_OK || own == d->conf->global.per_listener_settings)
        return false;
    draft_place(d, d->security, where, sizeof(where));
    snprintf(why, sizeof(why),
             "expected before all options on who may connect, but %s has one already.", where);
    line_error(d, l, why);
    return true;
}

/* Was an address to come from the environment, and none has come? It would be all addresses. */
static bool lacks_address(const struct line *l, uint16_t port, struct str address)
{
    struct str rest = value_proper(l->opt, l->written);

    (void)str_token(&rest);
    return port != 0 && address.n == 0 && str_trim(rest).n > 0;
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
    if (lacks_address(l, port, address)) {
        line_error(d, l, "the environment has no address; without one it would be all of them.");
        return ERR_OK;
    }
    if (port == 0 && !feature_built(FEATURE_UNIX_SOCKETS)) {
        line_error(d, l, "a Unix socket needs a build with WITH_UNIX_SOCKETS=yes.");
        return ERR_OK;
    }
    if (d->conf->listener_count == LISTENERS_MAX) {
        line_error(d, l, "expected no more than 4096 listeners.");
        return ERR_OK;
    }
    if (address.n > 0) {
        copy = str_dup(address);
        if (!copy)
            return ERR_NOMEM;
    }
    e = draft_listener(d, false, port, copy, d->at);
    d->listener = d->conf->listener_count;
    str_dup_free(copy);
    return e;
}

/* A problem when an earlier one has the name of the bridge that begins here. */
static void check_name(struct draft *d, const struct line *l)
{
    char where[PLACE_MAX], why[PLACE_MAX + 80];

    for (size_t i = 0; i + 1 < d->conf->bridge_count; i++) {
        if (strcmp(d->conf->bridges[i]->name, this_bridge(d)->name) != 0)
            continue;
        snprintf(why, sizeof(why), "expected a name of its own; the bridge of %s has this one.",
                 draft_place(d, draft_bridge_at(d, i), where, sizeof(where)));
        line_error(d, l, why);
        return;
    }
}

/* Without a bridge that could be begun, the lines that follow are nobody's. */
static enum err take_bridge(struct draft *d, const struct line *l)
{
    enum err e;

    d->in_bridge = true;
    d->bridge = 0;
    if (d->conf->bridge_count == BRIDGES_MAX) {
        line_error(d, l, "expected no more than 4096 bridges.");
        return ERR_OK;
    }
    e = draft_bridge(d, d->at);
    if (e)
        return e;
    d->bridge = d->conf->bridge_count;
    e = value_set(l->opt, this_bridge(d), l->value, true);
    if (e == ERR_INVAL) {
        wrong_value(d, l);
        return field_replace(&this_bridge(d)->name, STR("?"));
    }
    if (!e)
        check_name(d, l);
    return e;
}

static enum err take_addresses(struct draft *d, const struct line *l)
{
    struct place *given;
    struct conf_bridge *b = home_of(d, l->opt, &given);
    const char *why = NULL;
    enum err e;

    if (!may_come_again(d, l, *given))
        return ERR_OK;
    *given = d->at;
    e = bridge_addresses_read(b, l->value, &why);
    if (e != ERR_INVAL)
        return e;
    line_error(d, l, why);
    return ERR_OK;
}

static enum err take_topic(struct draft *d, const struct line *l)
{
    struct place *given;
    struct conf_bridge *b = home_of(d, l->opt, &given);
    const char *why = NULL;
    enum err e = bridge_topic_add(b, l->value, &why);

    *given = d->at;
    if (e == ERR_NOMEM)
        return e;
    if (e == ERR_EXISTS)
        line_warning(d, l, "an earlier line of this bridge says the same; this one is skipped.");
    else if (e)
        line_error(d, l, why);
    return ERR_OK;
}

/* Whether the line of a bridge goes on; false after saying why, or where that was said already. */
static bool is_in_bridge(struct draft *d, const struct line *l)
{
    bool built = feature_built(FEATURE_BRIDGE);

    if (l->opt->type == OPTION_BRIDGE) {
        d->in_bridge = true;
        if (!built)
            line_warning(d, l, "bridges need a build with WITH_BRIDGE=yes; this one is ignored.");
        return built;
    }
    if (!d->in_bridge)
        draft_error(d, d->at, l->opt->name,
                    "belongs to a bridge, but no 'connection' line came before it.");
    return d->bridge > 0;
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
    case OPTION_INFORMS:
        snprintf(why, sizeof(why), "%s; the line is ignored.", reason);
        draft_info(d, d->at, l->opt->name, why);
        break;
    case OPTION_WARNS:
        snprintf(why, sizeof(why), "%s; the line is ignored.", reason);
        draft_warning(d, d->at, l->opt->name, why);
        break;
    case OPTION_REFUSES:
        snprintf(why, sizeof(why), "%s, refusing to start without it.", reason);
        draft_error(d, d->at, l->opt->name, why);
        break;
    }
    return false;
}

/* Put what the environment has in the place of variables; false after saying that it has not. */
static enum err expand_value(struct draft *d, struct line *l, bool *well)
{
    char shown[SHOWN_MAX], why[SHOWN_MAX + 80];
    struct str culprit;
    enum err e;

    buf_clear(&d->expanded);
    e = expand(l->value, &d->expanded, &culprit);
    *well = e == ERR_OK;
    if (e == ERR_NOMEM)
        return e;
    l->value = str_trim(buf_str(&d->expanded));
    if (e == ERR_OK)
        return e;
    str_escape(culprit, shown, sizeof(shown));
    if (e == ERR_NOT_FOUND)
        snprintf(why, sizeof(why), "the environment has no variable '%s'.", shown);
    else if (e == ERR_TOO_LARGE)
        snprintf(why, sizeof(why), "expected less than a megabyte from the environment.");
    else
        snprintf(why, sizeof(why), "expected ${NAME} rather than '%s', or $${ for a plain ${.",
                 shown);
    if (l->opt->type == OPTION_INERT)
        draft_error(d, d->at, l->opt->name, why);
    else
        line_error(d, l, why);
    return ERR_OK;
}

static enum err take_include(struct draft *d, const struct line *l)
{
    if (l->value.n == 0)
        wrong_value(d, l);
    else if (d->included)
        line_warning(d, l, "only the main file may have it; the line is ignored.");
    else
        return include_directory(d, l->value, parse_text);
    return ERR_OK;
}

static enum err obey(struct draft *d, const struct line *l)
{
    switch (l->opt->type) {
    case OPTION_LISTENER:
        return take_listener(d, l);
    case OPTION_BRIDGE:
        return take_bridge(d, l);
    case OPTION_ADDRESSES:
        return take_addresses(d, l);
    case OPTION_TOPIC:
        return take_topic(d, l);
    case OPTION_INCLUDE:
        return take_include(d, l);
    case OPTION_EXPAND:
        if (value_bool(l->value, &d->expand))
            wrong_value(d, l);
        return ERR_OK;
    case OPTION_BOOL:
    case OPTION_INT:
    case OPTION_TEXT:
    case OPTION_WORDS:
    case OPTION_LIST:
    case OPTION_CHOICE:
    case OPTION_PERIOD:
    case OPTION_NETWORKS:
    case OPTION_NUMBERS:
    case OPTION_INERT:
        break;
    }
    return comes_too_late(d, l) ? ERR_OK : take_value(d, l);
}

static enum err take_line(struct draft *d, struct str text)
{
    struct line l = {0};
    bool well = true;

    l.name = str_token(&text);
    l.written = str_trim(text);
    l.opt = option_find(l.name);
    if (!l.opt) {
        unknown(d, l.name);
        return ERR_OK;
    }
    if (l.opt->scope == SCOPE_BRIDGE && !is_in_bridge(d, &l))
        return ERR_OK;
    l.value = value_proper(l.opt, l.written);
    if (d->expand && l.value.n > 0 && memmem(l.value.p, l.value.n, "${", 2)) {
        enum err e = expand_value(d, &l, &well);
        if (e)
            return e;
    }
    return well && can_obey(d, &l) ? obey(d, &l) : ERR_OK;
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

    d->at.line = 0;
    if (str_has_prefix(text, STR("\xFF\xFE")) || str_has_prefix(text, STR("\xFE\xFF"))) {
        draft_error(d, d->at, "UTF-16", "expected a file in UTF-8.");
        return ERR_OK;
    }
    if (str_has_prefix(text, STR("\xEF\xBB\xBF")))
        text = str_of(text.p + 3, text.n - 3);
    while (text.n > 0 && !e && !draft_over(d)) {
        struct str line = next_line(&text);
        d->at.line++;
        if (memchr(line.p, '\0', line.n))
            draft_error(d, d->at, "NUL byte", "expected text.");
        else if (line.n > 0 && line.p[0] != '#' && str_trim(line).n > 0)
            e = take_line(d, str_trim(line));
    }
    return e;
}
