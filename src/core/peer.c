/*
 * The address of a peer in words.
 */
#include "core/peer.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <stdio.h>

char *peer_address(const struct peer *p, char out[PEER_TEXT_MAX])
{
    /* At any other listener it is a proxy that has such a client. */
    const char *path = p->listener && p->listener->port == 0 ? p->listener->address : NULL;

    if (p->family == 0)
        return str_escape_strict(str_c(path ? path : "local"), out, PEER_TEXT_MAX);
    if (!inet_ntop(p->family == 4 ? AF_INET : AF_INET6, p->ip, out, PEER_TEXT_MAX))
        (void)snprintf(out, PEER_TEXT_MAX, "unknown");
    return out;
}
