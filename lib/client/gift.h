/*
 * Memory that users of the library free() themselves: messages, tokens, strings read from
 * properties. It comes from malloc() and is not counted.
 */
#ifndef CLIENT_GIFT_H
#define CLIENT_GIFT_H

#include "base/base.h"

#include <stddef.h>

/* `size` zeroed bytes (more than 0); NULL without memory. Given back by free(). */
MUST_CHECK void *gift_alloc(size_t size);
/* A copy of n bytes with a NUL behind it; p may be NULL if n is 0. */
MUST_CHECK char *gift_copy(const void *p, size_t n);

#endif
