/*
 * Blocks of one size, without malloc headers; whole pages go back when they are empty.
 *
 * Blocks are cut from aligned pages of 16 KiB (4 KiB for tiny budgets would cost more calls); a
 * block finds its page by its address. A few empty pages are kept so that a size that comes and
 * goes does not ask the system each time.
 */
#ifndef BASE_SLAB_H
#define BASE_SLAB_H

#include "base/base.h"

#include <stddef.h>
#include <stdint.h>

struct slab_page;

struct slab {
    struct slab_page *partial; /* pages with free blocks */
    struct slab_page *empty;   /* kept spare */
    uint32_t block;            /* bytes of a block */
    uint32_t empty_count;
    size_t used; /* blocks in use */
};

/*
 * Blocks of `block` bytes (8 to 2048), aligned to 8 (to 16 and more when `block` is a multiple
 * of it).
 */
void slab_init(struct slab *s, size_t block);
/* Gives back the pages that are kept spare. */
void slab_trim(struct slab *s);
/* All blocks must have been freed. */
void slab_clear(struct slab *s);
/* One block, uninitialised; NULL without memory. */
MUST_CHECK void *slab_alloc(struct slab *s);
void slab_free(struct slab *s, void *block);
/* The same where it is not known from which slab the block is. */
void slab_return(void *block);

#endif
