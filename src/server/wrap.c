/*
 * libwrap.
 *
 * It reads the two files, and may run the commands that an administrator has written there. Nothing
 * is kept between two questions. It wants to know the severity of what it logs, in two variables
 * that the program brings along, because it may be linked to programs that have no others.
 */
#include "server/wrap.h"

#include <stdio.h>
#include <syslog.h>
#include <tcpd.h>

#define EXPORTED __attribute__((visibility("default")))

EXPORTED int allow_severity = LOG_INFO;
EXPORTED int deny_severity = LOG_WARNING;

bool wrap_built(void)
{
    return true;
}

bool wrap_admits(const struct peer *peer)
{
    char daemon[] = "mosquitto";
    char unknown_name[] = STRING_UNKNOWN;
    char address[PEER_TEXT_MAX];
    struct request_info request;
    /* Or the first rule with `twist` would turn the broker into another program. */
    resident = 1;
    /* With all four given nothing is left to be found out. */
    (void)request_init(&request, RQ_DAEMON, daemon, RQ_CLIENT_NAME, unknown_name, RQ_CLIENT_ADDR,
                       peer_address(peer, address), RQ_USER, unknown_name, 0);
    return hosts_access(&request) != 0;
}
