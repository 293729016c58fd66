/*
 * Addresses of one host, few and in the order in which they are to be tried.
 */
#ifndef NET_ADDRESS_H
#define NET_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Of each family; who answers with more will not be believed to need them. */
#define ADDRESSES_MAX 16

struct addresses {
    uint8_t count6;
    uint8_t count4;
    uint32_t scope6[ADDRESSES_MAX]; /* which interface a link-local address is meant at */
    uint8_t v6[ADDRESSES_MAX][16];
    uint8_t v4[ADDRESSES_MAX][4];
};

/* Bytes in network order, 4 or 16. What is there already, what does not fit, and what is no
 * internet address is left out. */
void addresses_add(struct addresses *s, int family, const void *bytes, uint32_t scope);
size_t addresses_count(const struct addresses *s);
/* Nothing more will be taken of this family. */
bool addresses_full(const struct addresses *s, int family);
/* The i-th, i < count: families take turns, IPv6 first, so that one that leads nowhere costs one
 * attempt. */
void addresses_get(const struct addresses *s, size_t i, uint16_t port, struct sockaddr_storage *sa,
                   socklen_t *length);

/* That there is none of this family, in words. */
const char *addresses_none(int family);

/* Is this text an address, such as "10.0.0.1" or "fe80::1%eth0"? It is added if `family`
 * (AF_UNSPEC: any) is its own. */
bool addresses_parse(struct addresses *s, const char *text, int family);

#endif
