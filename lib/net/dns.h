/*
 * The answers of name servers, bytes only (RFC 1035, 2782, 3596). They are a stranger's: whatever
 * they hold, one walk from front to back.
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include "base/rng.h"
#include "net/hosts.h"

#define DNS_CLASS_IN 1

enum dns_type { DNS_A = 1, DNS_AAAA = 28, DNS_SRV = 33 };

/* One SRV record. */
struct dns_service {
    uint16_t priority;
    uint16_t weight;
    uint16_t port;
    char target[HOST_NAME_LENGTH + 1]; /* "" = the service is not offered */
};

/* Add what addresses there are, A or AAAA by family. ERR_NOT_FOUND: none; ERR_MALFORMED: it makes
 * no sense; some may have been added. */
MUST_CHECK enum err dns_addresses(const uint8_t *p, size_t n, int family, struct addresses *out);
/* The first `max` SRV records whose targets can be names: *count of them. ERR_NOT_FOUND: none;
 * ERR_MALFORMED. */
MUST_CHECK enum err dns_services(const uint8_t *p, size_t n, struct dns_service *out, size_t max,
                                 size_t *count);
/* Into the order in which they are to be tried: by priority, and by chance as weights say. */
void dns_services_order(struct dns_service *s, size_t count, struct rng *rng);

#endif
