/*
 * The lines of a configuration file.
 *
 * A draft is a configuration on the way: the structs, and where each option was given. Problems are
 * logged as they are found and counted; reading goes on, so that one start shows all of them.
 */
#ifndef CONF_PARSE_H
#define CONF_PARSE_H

#include "base/log.h"
#include "conf/conf.h"
#include "conf/options.h"

struct draft {
    struct conf *conf;
    struct conf_listener base; /* the default listener */
    uint32_t *global_lines;    /* by row: where it was given; 0 = nowhere */
    uint32_t *listener_lines;  /* the same for the latest `listener` */
    char file[256];            /* its name, printable */
    uint32_t line;             /* being read */
    bool in_bridge;            /* behind a `connection` */
    unsigned problems;
    const struct log *log;
};

/* A draft of all defaults. ERR_NOMEM: call draft_clear nevertheless. */
MUST_CHECK enum err draft_init(struct draft *d, const char *file, const struct log *log);
/* Frees the draft, and the configuration if it is still there. */
void draft_clear(struct draft *d);

/* The line where the option was given in the global part or for the default listener; 0 = nowhere.
 */
uint32_t draft_line(const struct draft *d, const char *name);
/* Log "Error: WHAT (FILE:LINE): WHY" and count it; line 0 names only the file. */
void draft_error(struct draft *d, uint32_t line, const char *what, const char *why);
void draft_warning(struct draft *d, uint32_t line, const char *what, const char *why);

/*
 * Add a listener, bound to this address (may be NULL), in all else a copy of `model` or, without
 * one, of the defaults. ERR_NOMEM.
 */
MUST_CHECK enum err draft_listener(struct draft *d, const struct conf_listener *model,
                                   uint16_t port, const char *address);
/* Is there one with this port and address already? */
bool draft_has_listener(const struct draft *d, uint16_t port, const char *address);

/* Read all lines. ERR_NOMEM only: everything else is counted in `problems`. */
MUST_CHECK enum err parse_text(struct draft *d, struct str text);

#endif
