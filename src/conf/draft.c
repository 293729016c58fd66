/*
 * What a draft owns, and how its problems are put into words.
 */
#include "conf/draft.h"

#include "base/mem.h"
#include "conf/fields.h"

#include <stdio.h>
#include <string.h>

static size_t section_size(void)
{
    return sizeof(struct section) + option_count() * sizeof(struct place);
}

static void section_free(struct section *s)
{
    if (s)
        fields_free(&s->own, HOME_SECURITY);
    mem_free(s, s ? section_size() : 0);
}

enum err draft_init(struct draft *d, const char *file, bool all, const struct log *log)
{
    struct conf_global *g;
    uint32_t number;
    enum err e;

    memset(d, 0, sizeof(*d));
    d->log = log;
    d->all = all;
    d->conf = mem_zalloc(sizeof(*d->conf));
    d->given = mem_zalloc(option_count() * sizeof(*d->given));
    d->base_section = mem_zalloc(section_size());
    if (!d->conf || !d->given || !d->base_section)
        return ERR_NOMEM;
    g = &d->conf->global;
    e = draft_file(d, file ? file : "command line", &number);
    if (!e)
        e = fields_defaults(g, HOME_GLOBAL);
    if (!e)
        e = fields_defaults(&g->security, HOME_SECURITY);
    if (!e)
        e = fields_defaults(&d->base, HOME_LISTENER);
    return e ? e : fields_defaults(&d->base.security, HOME_SECURITY);
}

void draft_clear(struct draft *d)
{
    for (size_t i = 0; i < d->section_room; i++)
        section_free(d->sections[i]);
    mem_free(d->sections, d->section_room * sizeof(*d->sections));
    for (size_t i = 0; i < d->bridge_room; i++)
        section_free(d->bridge_sections[i]);
    mem_free(d->bridge_sections, d->bridge_room * sizeof(*d->bridge_sections));
    conf_free(d->conf);
    section_free(d->base_section);
    fields_free(&d->base, HOME_LISTENER);
    fields_free(&d->base.security, HOME_SECURITY);
    mem_free(d->given, d->given ? option_count() * sizeof(*d->given) : 0);
    for (size_t i = 0; i < d->file_count; i++)
        str_dup_free(d->files[i]);
    mem_free(d->files, d->file_count * sizeof(*d->files));
    buf_clear(&d->expanded);
    memset(d, 0, sizeof(*d));
}

enum err draft_file(struct draft *d, const char *name, uint32_t *number)
{
    char shown[256];
    size_t size = d->file_count * sizeof(*d->files);
    char *copy = str_dup(str_c(str_escape(str_c(name), shown, sizeof(shown))));
    char **grown = copy ? mem_realloc(d->files, size, size + sizeof(*grown)) : NULL;

    if (!grown) {
        str_dup_free(copy);
        return ERR_NOMEM;
    }
    d->files = grown;
    d->files[d->file_count] = copy;
    *number = (uint32_t)d->file_count++;
    return ERR_OK;
}

char *draft_place(const struct draft *d, struct place at, char *out, size_t cap)
{
    if (at.line)
        snprintf(out, cap, "%s:%u", d->files[at.file], (unsigned)at.line);
    else
        snprintf(out, cap, "%s", d->files[at.file]);
    return out;
}

static void say(const struct draft *d, enum log_level level, struct place at, const char *what,
                const char *why)
{
    const char *word = level == LOG_LEVEL_ERROR     ? "Error"
                       : level == LOG_LEVEL_WARNING ? "Warning"
                                                    : "Information";
    char where[PLACE_MAX];

    LOG_AT(d->log, level, "%s: %s (%s): %s", word, what, draft_place(d, at, where, sizeof(where)),
           why);
}

void draft_error(struct draft *d, struct place at, const char *what, const char *why)
{
    if (!draft_over(d))
        say(d, LOG_LEVEL_ERROR, at, what, why);
    d->problems++;
}

void draft_warning(const struct draft *d, struct place at, const char *what, const char *why)
{
    if (!draft_over(d))
        say(d, LOG_LEVEL_WARNING, at, what, why);
}

void draft_info(const struct draft *d, struct place at, const char *what, const char *why)
{
    if (!draft_over(d))
        say(d, LOG_LEVEL_INFO, at, what, why);
}

struct place draft_given(const struct draft *d, const char *name)
{
    return d->given[option_index(option_find(str_c(name)))];
}

struct place section_given(const struct section *s, const char *name)
{
    return s->given[option_index(option_find(str_c(name)))];
}

struct place security_given(const struct draft *d, size_t i, const char *name)
{
    return d->conf->global.per_listener_settings ? section_given(d->sections[i], name)
                                                 : draft_given(d, name);
}

static struct place place_in(const struct draft *d, const char *file, uint32_t line)
{
    struct place at = {0, line};

    for (size_t f = 0; file && f < d->file_count; f++) {
        if (strcmp(file, d->files[f]) == 0)
            at.file = (uint32_t)f;
    }
    return at;
}

struct place draft_begins_at(const struct draft *d, size_t i)
{
    return place_in(d, d->conf->listeners[i]->file, d->conf->listeners[i]->line);
}

struct place draft_bridge_at(const struct draft *d, size_t i)
{
    return place_in(d, d->conf->bridges[i]->file, d->conf->bridges[i]->line);
}

/* One more listener and its section, zeroed; false without memory. */
static bool grow_listeners(struct draft *d)
{
    struct conf *c = d->conf;
    size_t n = c->listener_count;
    struct conf_listener *l = mem_zalloc(sizeof(*l)), **listeners = NULL;
    struct section *s = mem_zalloc(section_size()), **sections = NULL;

    if (l && s)
        sections = mem_realloc(d->sections, d->section_room * sizeof(s), (n + 1) * sizeof(s));
    if (sections) {
        sections[n] = NULL;
        d->sections = sections;
        d->section_room = n + 1;
        listeners = mem_realloc(c->listeners, n * sizeof(l), (n + 1) * sizeof(l));
    }
    if (!listeners) {
        mem_free(l, l ? sizeof(*l) : 0);
        section_free(s);
        return false;
    }
    c->listeners = listeners;
    listeners[n] = l;
    sections[n] = s;
    c->listener_count++;
    return true;
}

/* All that is said of the default listener, for one more that is like it. */
static enum err copy_base(const struct draft *d, struct conf_listener *l, struct section *s)
{
    const struct section *from = d->base_section;
    enum err e = fields_copy(l, &d->base, sizeof(*l), HOME_LISTENER);
    enum err security =
        fields_copy(&l->security, &d->base.security, sizeof(l->security), HOME_SECURITY);
    enum err own = fields_copy(&s->own, &from->own, sizeof(s->own), HOME_SECURITY);

    memcpy(s->given, from->given, option_count() * sizeof(*s->given));
    return e || security || own ? ERR_NOMEM : ERR_OK;
}

enum err draft_listener(struct draft *d, bool as_default, uint16_t port, const char *address,
                        struct place at)
{
    struct conf_listener *l;
    enum err e;

    if (!grow_listeners(d))
        return ERR_NOMEM;
    l = d->conf->listeners[d->conf->listener_count - 1];
    if (as_default) {
        e = copy_base(d, l, d->sections[d->conf->listener_count - 1]);
    } else {
        e = fields_defaults(l, HOME_LISTENER);
        if (!e)
            e = fields_defaults(&l->security, HOME_SECURITY);
    }
    l->refs = 1;
    l->port = port;
    l->line = at.line;
    str_dup_free(l->address);
    l->address = address ? str_dup(str_c(address)) : NULL;
    l->file = at.line ? str_dup(str_c(d->files[at.file])) : NULL;
    return e || (address && !l->address) || (at.line && !l->file) ? ERR_NOMEM : ERR_OK;
}

/* One more bridge and its section, zeroed; false without memory. */
static bool grow_bridges(struct draft *d)
{
    struct conf *c = d->conf;
    size_t n = c->bridge_count;
    struct conf_bridge *b = mem_zalloc(sizeof(*b)), **bridges = NULL;
    struct section *s = mem_zalloc(section_size()), **sections = NULL;

    if (b && s)
        sections = mem_realloc(d->bridge_sections, d->bridge_room * sizeof(s), (n + 1) * sizeof(s));
    if (sections) {
        sections[n] = NULL;
        d->bridge_sections = sections;
        d->bridge_room = n + 1;
        bridges = mem_realloc(c->bridges, n * sizeof(b), (n + 1) * sizeof(b));
    }
    if (!bridges) {
        mem_free(b, b ? sizeof(*b) : 0);
        section_free(s);
        return false;
    }
    c->bridges = bridges;
    bridges[n] = b;
    sections[n] = s;
    c->bridge_count++;
    return true;
}

enum err draft_bridge(struct draft *d, struct place at)
{
    struct conf_bridge *b;
    enum err e;

    if (!grow_bridges(d))
        return ERR_NOMEM;
    b = d->conf->bridges[d->conf->bridge_count - 1];
    b->refs = 1;
    b->line = at.line;
    b->file = str_dup(str_c(d->files[at.file]));
    e = fields_defaults(b, HOME_BRIDGE);
    return b->file ? e : ERR_NOMEM;
}
