/*
 * Rules on who may come in at each listener, and on its TLS.
 */
#ifndef CONF_CHECK_SECURITY_H
#define CONF_CHECK_SECURITY_H

#include "conf/draft.h"

/* Give each listener its own copy of what is in force there. ERR_NOMEM. */
MUST_CHECK enum err security_settle(struct draft *d);
/*
 * Of options that were given before the first listener, or without any: would it leave something
 * open that the file protects if they had no effect?
 */
bool security_protects(const struct draft *d, const struct conf_option *opt);
/* Count as errors what would leave a listener without the protection that the file asks for. */
void security_check(struct draft *d);
/* Warn of what has no effect, and of listeners where nobody can come in. */
void security_warn(const struct draft *d);

#endif
