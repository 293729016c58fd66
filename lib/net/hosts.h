/*
 * Names for which nobody needs to be asked: addresses, what /etc/hosts knows, localhost.
 */
#ifndef NET_HOSTS_H
#define NET_HOSTS_H

#include "base/base.h"
#include "base/err.h"
#include "net/address.h"

/* The longest name there can be, without its last dot and without a zero. */
#define HOST_NAME_LENGTH 253

/* Could this be the name of a host or of a service? Letters, digits, '-' and '_' in labels. */
bool host_is_name(const char *name);
/*
 * Look it up in the file at `path` (NULL: /etc/hosts), which is read anew. A file that cannot be
 * read knows nothing. ERR_OK: something was added; ERR_NOT_FOUND; ERR_NOMEM.
 */
MUST_CHECK enum err hosts_find(const char *path, const char *name, int family,
                               struct addresses *out);

#endif
