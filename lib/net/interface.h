/*
 * Network interfaces: which addresses they have.
 */
#ifndef NET_INTERFACE_H
#define NET_INTERFACE_H

#include "base/base.h"
#include "base/err.h"

#include <sys/socket.h>

/*
 * Does the interface of this name have this IPv4 or IPv6 address? ERR_OK; ERR_NOT_FOUND: there is
 * no such interface; ERR_INVAL: it has others; ERR_SYSTEM with errno. The address that means any is
 * everybody's.
 */
MUST_CHECK enum err interface_has(const char *name, const struct sockaddr *address);

#endif
