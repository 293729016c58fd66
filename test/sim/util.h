/*
 * Memory of the simulator itself. It comes from malloc and not from base/mem, so that the
 * accounting and the failing allocations are the broker's alone.
 */
#ifndef SIM_UTIL_H
#define SIM_UTIL_H

#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

/* An array grown so that `need` elements of `size` bytes fit; ends the program without memory. */
void *vec_grow(void *p, uint32_t *cap, uint32_t need, size_t size);

/* Bytes on their way. A zeroed one is empty. */
struct bytes {
    uint8_t *p;
    uint32_t n;
    uint32_t cap;
};

/* Room for n more bytes at the end; bytes_added() says how many were used. */
uint8_t *bytes_room(struct bytes *b, size_t n);
void bytes_added(struct bytes *b, size_t n);
void bytes_add(struct bytes *b, const void *p, size_t n);
void bytes_drop(struct bytes *b, size_t n);
void bytes_clear(struct bytes *b);

#endif
