/*
 * Asking for a password.
 */
#ifndef TOOLS_PASSWD_PROMPT_H
#define TOOLS_PASSWD_PROMPT_H

#include "base/base.h"
#include "base/err.h"

#include <stddef.h>

/*
 * Twice the same line from standard input, without its end, terminated; of a terminal with a prompt
 * and without echo. A signal that ends the program finds the terminal as it was. ERR_INVAL: not
 * twice the same, empty, or longer than cap - 1 bytes; it has been said. `again` is room of the
 * same size, empty afterwards.
 */
MUST_CHECK enum err passwd_prompt(char *out, char *again, size_t cap);

#endif
