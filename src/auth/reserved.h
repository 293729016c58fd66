/*
 * Topics that belong to the broker: no client may publish there, whatever an ACL grants.
 */
#ifndef AUTH_RESERVED_H
#define AUTH_RESERVED_H

#include "base/str.h"

#include <stdbool.h>

/* $CONTROL and $SYS; but bridges report their state below $SYS. */
bool topic_is_reserved(struct str topic);

#endif
