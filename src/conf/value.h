/*
 * From the text of a value to the field of a struct, as the option's row describes it; defaults;
 * release.
 *
 * `base` is the struct that the row's offset counts from: conf_global, conf_listener or
 * conf_security, as option_home() says.
 */
#ifndef CONF_VALUE_H
#define CONF_VALUE_H

#include "base/err.h"
#include "base/str.h"
#include "conf/options.h"

#include <stdbool.h>
#include <stdint.h>

/* "true", "1" → true; "false", "0" → false; anything else ERR_INVAL. */
MUST_CHECK enum err value_bool(struct str text, bool *out);

/*
 * Store the value. `first`: the option was not given before, so words replace the default instead
 * of adding to it. ERR_INVAL (not what value_expected says), ERR_EXISTS (a second path),
 * ERR_UNSUPPORTED (a word of a later release), ERR_NOMEM; on error the field is unchanged.
 */
MUST_CHECK enum err value_set(const struct conf_option *opt, void *base, struct str text,
                              bool first);

/* Is the field the same in both? If not, exchange its values. */
bool value_swap_if_other(const struct conf_option *opt, void *a, void *b);

/* The value of a `listener` line; *address is empty when there is none. ERR_INVAL. */
MUST_CHECK enum err value_listener(struct str text, uint16_t *port, struct str *address);

/* What would be right, e.g. "a number from 0 to 2"; terminated. Returns out. */
char *value_expected(const struct conf_option *opt, char *out, size_t cap);

/* Give all fields of a zeroed struct their defaults. ERR_NOMEM: call value_free nevertheless. */
MUST_CHECK enum err value_defaults(void *base, enum option_home home);
/* A copy that owns its texts; `to` is overwritten. ERR_NOMEM: call value_free nevertheless. */
MUST_CHECK enum err value_copy(void *to, const void *from, size_t size, enum option_home home);
/* Free what the fields own. */
void value_free(void *base, enum option_home home);

#endif
