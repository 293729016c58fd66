/*
 * What is known of a connection without its surroundings.
 */
#include "core/conn.h"

#include "core/session.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

const char *conn_name(const struct conn *c, char out[CONN_NAME_MAX])
{
    return str_escape(c->session ? session_id(c->session) : STR("<unknown>"), out, CONN_NAME_MAX);
}

char *peer_address(const struct peer *p, char out[PEER_TEXT_MAX])
{
    if (p->family == 0 ||
        !inet_ntop(p->family == 4 ? AF_INET : AF_INET6, p->ip, out, PEER_TEXT_MAX))
        (void)snprintf(out, PEER_TEXT_MAX, "local");
    return out;
}

void *conn_link(const struct conn *c)
{
    return c->link;
}
