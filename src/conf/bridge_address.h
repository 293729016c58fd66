/*
 * The `address` line of a bridge: HOST[:PORT] ..., an IPv6 address with its port or in brackets.
 */
#ifndef CONF_BRIDGE_ADDRESS_H
#define CONF_BRIDGE_ADDRESS_H

#include "base/str.h"
#include "conf/conf.h"

#define BRIDGE_ADDRESSES_MAX 256

/* Take all of the line. ERR_INVAL: *why says what would be right. ERR_NOMEM. */
MUST_CHECK enum err bridge_addresses_read(struct conf_bridge *b, struct str text, const char **why);
/* The same in the same order? */
bool bridge_addresses_same(const struct conf_bridge *a, const struct conf_bridge *b);
void bridge_addresses_free(struct conf_bridge *b);
/* IPv4 or IPv6, perhaps with an interface behind a %, without brackets? */
bool bridge_address_is_ip(struct str text);
/* Is it surely this machine's own? */
bool bridge_address_is_local(const char *host);

#endif
