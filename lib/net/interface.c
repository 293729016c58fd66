/*
 * Network interfaces, as getifaddrs() tells of them. An interface without addresses is told of too.
 */
#include "net/interface.h"

#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>

static bool is_any(const struct sockaddr *a)
{
    if (a->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, a, sizeof(in));
        return in.sin_addr.s_addr == htonl(INADDR_ANY);
    }
    struct sockaddr_in6 in6;
    memcpy(&in6, a, sizeof(in6));
    return IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr);
}

/* Ports and scopes do not count. */
static bool same_address(const struct sockaddr *a, const struct sockaddr *b)
{
    if (!b || a->sa_family != b->sa_family) {
        return false;
    }
    if (a->sa_family == AF_INET) {
        struct sockaddr_in x;
        struct sockaddr_in y;
        memcpy(&x, a, sizeof(x));
        memcpy(&y, b, sizeof(y));
        return x.sin_addr.s_addr == y.sin_addr.s_addr;
    }
    struct sockaddr_in6 x;
    struct sockaddr_in6 y;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    return memcmp(&x.sin6_addr, &y.sin6_addr, sizeof(x.sin6_addr)) == 0;
}

enum err interface_has(const char *name, const struct sockaddr *address)
{
    struct ifaddrs *all = NULL;
    if (getifaddrs(&all) != 0) {
        return ERR_SYSTEM;
    }
    enum err e = ERR_NOT_FOUND;
    for (const struct ifaddrs *i = all; i && e != ERR_OK; i = i->ifa_next) {
        if (strcmp(i->ifa_name, name) == 0) {
            bool has = is_any(address) || same_address(address, i->ifa_addr);
            e = has ? ERR_OK : ERR_INVAL;
        }
    }
    freeifaddrs(all);
    return e;
}
