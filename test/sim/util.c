/*
 * Growable arrays for the simulator.
 */
#include "util.h"

#include <stdio.h>
#include <stdlib.h>

void *vec_grow(void *p, uint32_t *cap, uint32_t need, size_t size)
{
    if (need <= *cap)
        return p;
    uint32_t n = *cap ? *cap : 16;
    while (n < need)
        n *= 2;
    p = realloc(p, n * size);
    if (!p) {
        (void)fputs("sim: no memory\n", stderr);
        exit(2);
    }
    *cap = n;
    return p;
}

uint8_t *bytes_room(struct bytes *b, size_t n)
{
    b->p = vec_grow(b->p, &b->cap, b->n + (uint32_t)n, 1);
    return b->p + b->n;
}

void bytes_added(struct bytes *b, size_t n)
{
    b->n += (uint32_t)n;
}

void bytes_add(struct bytes *b, const void *p, size_t n)
{
    if (n) {
        memcpy(bytes_room(b, n), p, n);
        bytes_added(b, n);
    }
}

void bytes_drop(struct bytes *b, size_t n)
{
    if (n) {
        memmove(b->p, b->p + n, b->n - n);
        b->n -= (uint32_t)n;
    }
}

void bytes_clear(struct bytes *b)
{
    free(b->p);
    *b = (struct bytes){0};
}
