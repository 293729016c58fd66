/*
 * A configuration on the way: the structs, where each option was given, and what was wrong.
 *
 * At a start the first error ends the reading, and it is the only one that is logged; a test of the
 * file goes on and logs them all.
 */
#ifndef CONF_DRAFT_H
#define CONF_DRAFT_H

#include "base/buf.h"
#include "base/log.h"
#include "conf/conf.h"
#include "conf/options.h"

/* A line of a file; line 0 is nowhere, or the file as a whole. */
struct place {
    uint32_t file; /* of draft.files */
    uint32_t line;
};

/* What was said of one listener or bridge, besides what is in its struct. */
struct section {
    struct conf_security own; /* SCOPE_OWN_SECURITY, where it was given; a listener's */
    struct place given[];     /* by row */
};

struct draft {
    struct conf *conf;
    struct section **sections; /* of conf->listeners */
    size_t section_room;
    struct section **bridge_sections; /* of conf->bridges */
    size_t bridge_room;
    struct conf_listener base; /* the default listener */
    struct section *base_section;
    struct place *given; /* by row, of what is neither a listener's nor a bridge's */
    char **files;        /* their printable names; the first is the main file */
    size_t file_count;
    size_t listener; /* that options belong to: one more than its index, 0 = the default one */
    size_t bridge;   /* likewise; 0 = none */
    struct place at; /* being read */
    struct place security; /* the first option on who may connect */
    struct buf expanded;   /* the value of the line that is being read */
    bool expand;           /* expand_env */
    bool included;         /* reading a file of include_dir */
    bool in_bridge;        /* behind a `connection`, be it one that cannot be obeyed */
    bool all;              /* report all problems */
    unsigned problems;
    const struct log *log;
};

/* A draft of all defaults. ERR_NOMEM: call draft_clear nevertheless. */
MUST_CHECK enum err draft_init(struct draft *d, const char *file, bool all, const struct log *log);
/* Frees the draft, and the configuration if it is still there. */
void draft_clear(struct draft *d);
/* One more file is read: its number. ERR_NOMEM. */
MUST_CHECK enum err draft_file(struct draft *d, const char *name, uint32_t *number);

/* Nothing that comes now matters: there was an error. */
static inline bool draft_over(const struct draft *d)
{
    return d->problems > 0 && !d->all;
}

/* Log "Error: WHAT (FILE:LINE): WHY" and count it. */
void draft_error(struct draft *d, struct place at, const char *what, const char *why);
void draft_warning(const struct draft *d, struct place at, const char *what, const char *why);
void draft_info(const struct draft *d, struct place at, const char *what, const char *why);
/* "FILE:LINE", or "FILE" for line 0. Returns out. */
char *draft_place(const struct draft *d, struct place at, char *out, size_t cap);
#define PLACE_MAX 280

/* Where the option was given outside of listeners, for the default listener, and for this one. */
struct place draft_given(const struct draft *d, const char *name);
struct place section_given(const struct section *s, const char *name);
/* Where an option on who may come in was given for the i-th listener, or for all. */
struct place security_given(const struct draft *d, size_t i, const char *name);

/* Where the i-th listener begins. */
struct place draft_begins_at(const struct draft *d, size_t i);

/* Where the i-th bridge begins. */
struct place draft_bridge_at(const struct draft *d, size_t i);

#define LISTENERS_MAX 4096
#define BRIDGES_MAX 4096
#define CONF_FILE_MAX (64U << 20) /* bytes of a file; longer ones are no configuration */

/*
 * Add a listener: as the default listener, or with all defaults; with this port and address (may be
 * NULL), begun at this place. ERR_NOMEM.
 */
MUST_CHECK enum err draft_listener(struct draft *d, bool as_default, uint16_t port,
                                   const char *address, struct place at);
/* Add a bridge with all defaults and no name. ERR_NOMEM. */
MUST_CHECK enum err draft_bridge(struct draft *d, struct place at);

#endif
