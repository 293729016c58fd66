/*
 * Blocks of any size up to a limit, from one slab for each class of sizes.
 *
 * For what comes in many sizes, is small, and comes and goes in large numbers: a block costs a
 * third of malloc's time, has no header, and is rounded up to a multiple of 8 bytes.
 */
#ifndef BASE_SLABS_H
#define BASE_SLABS_H

#include "base/mem.h"
#include "base/slab.h"

#include <stdbool.h>

#define SLABS_STEP 8
#define SLABS_MOST 512 /* bytes of the largest blocks */

struct slabs {
    struct slab of[SLABS_MOST / SLABS_STEP];
};

void slabs_init(struct slabs *s);
/* Gives back the pages that are kept spare: up to 2 MB, if all sizes were in use. */
void slabs_trim(struct slabs *s);
/* All blocks must have been freed. */
void slabs_clear(struct slabs *s);
/* A block of 1 to SLABS_MOST bytes, uninitialised; NULL without memory. Given back by slab_return.
 */
MUST_CHECK static inline void *slabs_alloc(struct slabs *s, size_t size)
{
    return slab_alloc(&s->of[(size - 1) / SLABS_STEP]);
}

/* Does a block of that size come from the pool? NULL: there is none. */
static inline bool slabs_hold(const struct slabs *s, size_t size)
{
    return s && size <= SLABS_MOST;
}
/* A block of any size, from the pool or else by itself; NULL without memory. */
MUST_CHECK static inline void *slabs_take(struct slabs *s, size_t size)
{
    return slabs_hold(s, size) ? slabs_alloc(s, size) : mem_alloc(size);
}
/* What slabs_take gave of the same pool (or NULL) for the same size. */
static inline void slabs_give(struct slabs *s, void *block, size_t size)
{
    if (slabs_hold(s, size))
        slab_return(block);
    else
        mem_free(block, size);
}

#endif
