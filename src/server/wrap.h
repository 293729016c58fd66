/*
 * What hosts.allow and hosts.deny say of a peer (libwrap, hosts_access(5)).
 *
 * The daemon is called "mosquitto". Rules are by address: names are never looked up, because that
 * would make everybody wait for a name server, and whoever has a name pattern in mind could not
 * rely on it. The files are read for every connection, so a change counts at once.
 */
#ifndef SERVER_WRAP_H
#define SERVER_WRAP_H

#include "core/broker.h"

#include <stdbool.h>

/* Does this build ask at all? */
bool wrap_built(void);
/* May the peer at this IPv4 or IPv6 address come in? Needs a free descriptor: without one the
 * answer would be yes. */
bool wrap_admits(const struct peer *peer);

#endif
