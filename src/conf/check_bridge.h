/*
 * Bridges as a whole: what follows from other options, and what does not go together.
 */
#ifndef CONF_CHECK_BRIDGE_H
#define CONF_CHECK_BRIDGE_H

#include "conf/draft.h"

/* Fill in what was not said. `hostname` may be NULL. ERR_NOMEM only. */
MUST_CHECK enum err bridges_settle(struct draft *d, const char *hostname);
/* What must not be is an error of the draft. Only after bridges_settle. */
void bridges_check(struct draft *d);
/* What has no effect. Only when nothing was wrong. */
void bridges_warn(const struct draft *d);

#endif
