/*
 * Any bytes as the answer of a name server.
 *
 * Whatever comes: no byte is read that is not there; what is taken of it is bounded, and is what a
 * host may be called; in whatever order SRV records come, none is lost, and priorities rise.
 */
#include "net/dns.h"

#include "base/mem.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SERVICES_MAX = 8 };

static void look_for_addresses(const uint8_t *p, size_t n, int family)
{
    struct addresses found = {0};
    struct sockaddr_storage sa;
    socklen_t length;
    enum err e = dns_addresses(p, n, family, &found);
    if ((e == ERR_OK && addresses_count(&found) == 0) ||
        (e == ERR_NOT_FOUND && addresses_count(&found) > 0))
        abort();
    for (size_t i = 0; i < addresses_count(&found); i++) {
        addresses_get(&found, i, 1883, &sa, &length);
        if (sa.ss_family != family)
            abort();
    }
}

static uint64_t sum_of(const struct dns_service *s, size_t count)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (uint64_t)s[i].priority << 32 | (uint64_t)s[i].weight << 16 | s[i].port;
    return sum;
}

static void look_for_services(const uint8_t *p, size_t n)
{
    struct dns_service s[SERVICES_MAX];
    struct rng rng;
    size_t count = SERVICES_MAX + 1;
    enum err e = dns_services(p, n, s, SERVICES_MAX, &count);
    if (count > SERVICES_MAX || (e == ERR_OK) != (count > 0 && e != ERR_MALFORMED))
        abort();
    if (e != ERR_OK)
        return;
    uint64_t before = sum_of(s, count);
    rng_seed(&rng, before);
    dns_services_order(s, count, &rng);
    if (sum_of(s, count) != before)
        abort();
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && s[i].priority < s[i - 1].priority)
            abort();
        if (s[i].target[0] != '\0' && (!host_is_name(s[i].target) || s[i].port == 0))
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Memory of its own size, where the sanitizer sees each byte too far. */
    uint8_t *copy = mem_alloc(size);
    if (!copy)
        abort();
    if (size > 0)
        memcpy(copy, data, size);
    look_for_addresses(copy, size, AF_INET);
    look_for_addresses(copy, size, AF_INET6);
    look_for_services(copy, size);
    mem_free(copy, size);
    return 0;
}
