/*
 * The lines of a configuration file.
 */
#ifndef CONF_PARSE_H
#define CONF_PARSE_H

#include "conf/draft.h"

/*
 * Read all lines of the file that d->at names, or those before the first error if that is enough.
 * ERR_NOMEM only: everything else is counted in the draft's problems.
 */
MUST_CHECK enum err parse_text(struct draft *d, struct str text);

#endif
