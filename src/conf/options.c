/*
 * The table of options as a whole: find a row, also for a name that was misspelt, and say whether
 * this build can do what it asks for.
 */
#include "conf/options.h"

#include "conf/value.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 40 /* longer names are nobody's typing mistake */

static const struct option_rows *const tables[] = {&options_general,  &options_storage,
                                                   &options_listener, &options_security,
                                                   &options_bridge,   &options_later};

size_t option_count(void)
{
    size_t count = 0;

    for (size_t t = 0; t < ARRAY_SIZE(tables); t++)
        count += tables[t]->count;
    return count;
}

const struct conf_option *option_at(size_t i)
{
    size_t t = 0;

    while (i >= tables[t]->count)
        i -= tables[t++]->count;
    return &tables[t]->rows[i];
}

size_t option_index(const struct conf_option *opt)
{
    size_t before = 0;

    for (size_t t = 0;; t++) {
        for (size_t i = 0; i < tables[t]->count; i++) {
            if (&tables[t]->rows[i] == opt)
                return before + i;
        }
        before += tables[t]->count;
    }
}

static bool named(const struct conf_option *opt, struct str name)
{
    if (opt->flags & OPT_PREFIX)
        return name.n > strlen(opt->name) && str_has_prefix(name, str_c(opt->name));
    return str_eq_c(name, opt->name) || (opt->alias && str_eq_c(name, opt->alias));
}

const struct conf_option *option_find(struct str name)
{
    for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
        for (size_t i = 0; i < tables[t]->count; i++) {
            if (named(&tables[t]->rows[i], name))
                return &tables[t]->rows[i];
        }
    }
    return NULL;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

static bool same_letter(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

/* Levenshtein: letters to insert, delete or exchange, kept for one row of the matrix at a time. */
static unsigned distance(struct str a, struct str b)
{
    unsigned row[NAME_MAX_BYTES + 1];

    assert(b.n <= NAME_MAX_BYTES);
    for (size_t j = 0; j <= b.n; j++)
        row[j] = (unsigned)j;
    for (size_t i = 1; i <= a.n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b.n; j++) {
            unsigned above = row[j];
            unsigned exchanged = diagonal + !same_letter(a.p[i - 1], b.p[j - 1]);
            row[j] = least(exchanged, 1 + least(above, row[j - 1]));
            diagonal = above;
        }
    }
    return row[b.n];
}

/* As many letters as one is longer differ at least: that spares most of the work. */
static bool may_be_nearer(struct str a, struct str b, unsigned best)
{
    return (a.n > b.n ? a.n - b.n : b.n - a.n) < best;
}

const char *option_nearest(struct str name)
{
    const char *nearest = NULL;
    /* A name of which half the letters are others is another name. */
    unsigned best = (unsigned)name.n / 2 + 1;

    if (name.n > NAME_MAX_BYTES)
        return NULL;
    for (size_t i = 0, count = option_count(); i < count; i++) {
        const char *names[] = {option_at(i)->name, option_at(i)->alias};
        for (size_t j = 0; j < ARRAY_SIZE(names) && names[j]; j++) {
            struct str known = str_c(names[j]);
            unsigned d = may_be_nearer(name, known, best) ? distance(name, known) : best;
            if (d < best) {
                best = d;
                nearest = names[j];
            }
        }
    }
    return nearest;
}

static bool asks_for_nothing(const struct conf_option *opt, struct str value)
{
    bool asked, done;

    if (!opt->as_is)
        return false;
    if (value_bool(value, &asked) == ERR_OK && value_bool(str_c(opt->as_is), &done) == ERR_OK)
        return asked == done;
    return str_eq_c(value, opt->as_is);
}

enum option_verdict option_judge(const struct conf_option *opt, struct str value, char *why,
                                 size_t cap)
{
    bool inert = opt->type == OPTION_INERT;

    if (!inert && feature_built(opt->needs))
        return OPTION_APPLIES;
    if (asks_for_nothing(opt, value))
        return OPTION_SKIPPED;
    if (inert)
        snprintf(why, cap, "%s", opt->note);
    else
        snprintf(why, cap, "needs a build with %s=yes", feature_switch(opt->needs));
    if (opt->flags & OPT_NEEDLESS)
        return OPTION_INFORMS;
    return opt->flags & OPT_STOPS ? OPTION_REFUSES : OPTION_WARNS;
}
