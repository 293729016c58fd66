/*
 * From the text of a value to the field of a struct, as the option's row describes it.
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

/* The value without the comment that may stand behind values that are not text. */
struct str value_proper(const struct conf_option *opt, struct str text);

/*
 * Store the value. `first`: the option was not given before, so words replace the default instead
 * of adding to it. ERR_INVAL (not what value_expected says), ERR_EXISTS (a second path),
 * ERR_UNSUPPORTED (a word of a later release), ERR_NOMEM; on error the field is unchanged.
 */
MUST_CHECK enum err value_set(const struct conf_option *opt, void *base, struct str text,
                              bool first);

/*
 * The value of a `listener` line; *address is empty when there is none, and a path when the port is
 * 0. ERR_INVAL.
 */
MUST_CHECK enum err value_listener(struct str text, uint16_t *port, struct str *address);

/* What would be right, e.g. "a number from 0 to 2"; terminated. Returns out. */
char *value_expected(const struct conf_option *opt, char *out, size_t cap);

#endif
