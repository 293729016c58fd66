/*
 * The field of a struct that a row of the table describes: where it is, what it is by default, what
 * it owns.
 *
 * `base` is the struct that the row's offset counts from: conf_global, conf_listener,
 * conf_security or conf_bridge, as option_home() says.
 */
#ifndef CONF_FIELDS_H
#define CONF_FIELDS_H

#include "base/err.h"
#include "base/str.h"
#include "conf/conf.h"
#include "conf/options.h"

static inline void *field_of(const struct conf_option *opt, void *base)
{
    return (char *)base + opt->offset;
}

static inline char **field_text(void *base, size_t offset)
{
    return (char **)(void *)((char *)base + offset);
}

/* The second half of a row of OPTION_NETWORKS. */
static inline size_t *field_count(const struct conf_option *opt, void *base)
{
    return (size_t *)(void *)((char *)base + opt->beside);
}

/* Into an integer of the field's size. */
void field_store(const struct conf_option *opt, void *base, int64_t n);
/* Of two texts, either of which may be NULL. */
bool field_same_text(const char *a, const char *b);
/* Put a copy in the place of a text that may be there. ERR_NOMEM changes nothing. */
MUST_CHECK enum err field_replace(char **text, struct str by);
/*
 * Where the field differs from that of `old`, give it the old value. *differed says so. ERR_NOMEM.
 */
MUST_CHECK enum err field_keep(const struct conf_option *opt, void *base, const void *old,
                               bool *differed);

/* Give all fields of a zeroed struct their defaults. ERR_NOMEM: call fields_free nevertheless. */
MUST_CHECK enum err fields_defaults(void *base, enum option_home home);
/* Have all fields the same value? */
bool fields_same(const void *a, const void *b, enum option_home home);
/* A copy that owns what it points to; `to` is overwritten. ERR_NOMEM: call fields_free
 * nevertheless. Not for bridges, which are never copied. */
MUST_CHECK enum err fields_copy(void *to, const void *from, size_t size, enum option_home home);
/* Free what the fields own. */
void fields_free(void *base, enum option_home home);

#endif
