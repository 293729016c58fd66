/*
 * ${NAME} in values, from the environment.
 */
#ifndef CONF_EXPAND_H
#define CONF_EXPAND_H

#include "base/buf.h"

/*
 * Append the text with all variables replaced; "$${" becomes "${" and is no variable. When it
 * fails, *culprit is the part of the text that is to blame: ERR_NOT_FOUND (the name of a variable
 * that is not set), ERR_INVAL (what begins like a variable and is none); or ERR_TOO_LARGE (what
 * came out), ERR_NOMEM.
 */
MUST_CHECK enum err expand(struct str text, struct buf *out, struct str *culprit);
/* Is there a variable of this name, that is not empty? */
bool expand_knows(const char *name);

#endif
