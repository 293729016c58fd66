/*
 * Addresses of one host.
 */
#include "net/address.h"

#include <netdb.h>
#include <netinet/in.h>
#include <string.h>

static bool has4(const struct addresses *s, const void *bytes)
{
    for (size_t i = 0; i < s->count4; i++) {
        if (memcmp(s->v4[i], bytes, sizeof(s->v4[i])) == 0) {
            return true;
        }
    }
    return false;
}

static bool has6(const struct addresses *s, const void *bytes, uint32_t scope)
{
    for (size_t i = 0; i < s->count6; i++) {
        if (s->scope6[i] == scope && memcmp(s->v6[i], bytes, sizeof(s->v6[i])) == 0) {
            return true;
        }
    }
    return false;
}

bool addresses_full(const struct addresses *s, int family)
{
    return (family == AF_INET ? s->count4 : s->count6) == ADDRESSES_MAX;
}

void addresses_add(struct addresses *s, int family, const void *bytes, uint32_t scope)
{
    if (addresses_full(s, family)) {
        return;
    }
    if (family == AF_INET && !has4(s, bytes)) {
        memcpy(s->v4[s->count4++], bytes, sizeof(s->v4[0]));
    } else if (family == AF_INET6 && !has6(s, bytes, scope)) {
        s->scope6[s->count6] = scope;
        memcpy(s->v6[s->count6++], bytes, sizeof(s->v6[0]));
    }
}

size_t addresses_count(const struct addresses *s)
{
    return (size_t)s->count4 + s->count6;
}

static socklen_t sockaddr4(const uint8_t *bytes, uint16_t port, struct sockaddr_storage *sa)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    memcpy(&in.sin_addr, bytes, sizeof(in.sin_addr));
    memcpy(sa, &in, sizeof(in));
    return sizeof(in);
}

static socklen_t sockaddr6(const uint8_t *bytes, uint32_t scope, uint16_t port,
                           struct sockaddr_storage *sa)
{
    struct sockaddr_in6 in = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = scope};
    memcpy(&in.sin6_addr, bytes, sizeof(in.sin6_addr));
    memcpy(sa, &in, sizeof(in));
    return sizeof(in);
}

void addresses_get(const struct addresses *s, size_t i, uint16_t port, struct sockaddr_storage *sa,
                   socklen_t *length)
{
    size_t fewer = s->count4 < s->count6 ? s->count4 : s->count6;
    bool in_turns = i < 2 * fewer;
    size_t at = in_turns ? i / 2 : i - fewer;
    bool six = in_turns ? i % 2 == 0 : s->count6 > s->count4;
    memset(sa, 0, sizeof(*sa));
    *length = six ? sockaddr6(s->v6[at], s->scope6[at], port, sa) : sockaddr4(s->v4[at], port, sa);
}

const char *addresses_none(int family)
{
    switch (family) {
    case AF_INET:
        return "the name has no IPv4 address";
    case AF_INET6:
        return "the name has no IPv6 address";
    default:
        return "the name has no address";
    }
}

/* The system knows best how an address may be written; asked this way, it asks nobody else. */
bool addresses_parse(struct addresses *s, const char *text, int family)
{
    const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    if (getaddrinfo(text, NULL, &hints, &found) != 0) {
        return false;
    }
    if (family == AF_UNSPEC || family == found->ai_family) {
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        if (found->ai_family == AF_INET) {
            memcpy(&in, found->ai_addr, sizeof(in));
            addresses_add(s, AF_INET, &in.sin_addr, 0);
        } else if (found->ai_family == AF_INET6) {
            memcpy(&in6, found->ai_addr, sizeof(in6));
            addresses_add(s, AF_INET6, &in6.sin6_addr, in6.sin6_scope_id);
        }
    }
    freeaddrinfo(found);
    return true;
}
