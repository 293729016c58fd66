/*
 * Several numbers on one line: a row of OPTION_NUMBERS.
 */
#ifndef CONF_NUMBERS_H
#define CONF_NUMBERS_H

#include "base/str.h"
#include "conf/options.h"

/* How many the row has room for. */
static inline size_t numbers_room(const struct conf_option *opt)
{
    return opt->size / sizeof(uint32_t);
}

/*
 * Store those of the text; those that it does not give become 0. ERR_INVAL (too few, too many, or
 * one out of the row's range) changes nothing.
 */
MUST_CHECK enum err numbers_set(const struct conf_option *opt, void *base, struct str text);

#endif
