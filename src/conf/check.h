/*
 * What no single line can say: rules across options, and what the command line adds.
 */
#ifndef CONF_CHECK_H
#define CONF_CHECK_H

#include "conf/conf.h"
#include "conf/draft.h"

/* Complete the draft: listeners, local only mode, who may connect where, -p, -v. ERR_NOMEM only;
 * problems are counted in the draft. */
MUST_CHECK enum err check_draft(struct draft *d, const struct conf_args *args);

#endif
