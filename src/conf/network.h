/*
 * Networks as people write them: 192.0.2.1, 10.0.0.0/8, 2001:db8::/32.
 */
#ifndef CONF_NETWORK_H
#define CONF_NETWORK_H

#include "base/str.h"
#include "conf/conf.h"

/*
 * One network. Bits behind the prefix are cleared; IPv4 that is written as ::ffff:192.0.2.1 becomes
 * IPv4. ERR_INVAL.
 */
MUST_CHECK enum err network_parse(struct str text, struct conf_network *out);
/* Is it an address of this machine, or some of them? */
bool network_is_loopback(const struct conf_network *n);
/* Several with blanks between them, put behind those of *list. ERR_INVAL or ERR_NOMEM, and then
 * nothing has changed. */
MUST_CHECK enum err network_add(struct str text, struct conf_network **list, size_t *count);

#endif
