/*
 * Counted, immutable bytes: the header that a counted allocation begins with.
 *
 * A type whose bytes may wait in several output queues at once embeds a struct blob as its FIRST
 * member and is allocated by blob_new() with its whole size. Whoever keeps a pointer holds a count.
 */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include "base/slabs.h"

#include <assert.h>
#include <stdint.h>

struct blob;

/* Who wants to know that a blob's last reference is gone, and frees it. */
struct blob_keeper {
    void (*gone)(struct blob_keeper *keeper, struct blob *blob);
};

struct blob {
    uint32_t refs;
    uint32_t size : 31;         /* of the whole allocation, in bytes */
    uint32_t pooled : 1;        /* … which is a block of somebody's slabs */
    struct blob_keeper *keeper; /* NULL: nobody; it is simply freed */
};

/*
 * An allocation of `size` bytes (>= sizeof(struct blob)), rest uninitialised, one reference;
 * NULL without memory.
 */
MUST_CHECK struct blob *blob_new(size_t size);
/* The same from `pool`, if it is small enough for that; `pool` must outlive it. NULL: by itself. */
MUST_CHECK static inline struct blob *blob_new_in(struct slabs *pool, size_t size)
{
    struct blob *b;

    if (!slabs_hold(pool, size))
        return blob_new(size);
    assert(size >= sizeof(*b));
    b = slabs_alloc(pool, size);
    if (b)
        *b = (struct blob){.refs = 1, .size = (uint32_t)size & INT32_MAX, .pooled = 1};
    return b;
}

static inline struct blob *blob_ref(struct blob *b)
{
    b->refs++;
    return b;
}

/* A blob without references: free it, as blob_unref would have done without a keeper. */
void blob_free(struct blob *b);

/* The last reference has been given back: blob_unref alone calls it. */
void blob_gone(struct blob *b);

/* Give one reference back; frees with the last. NULL is allowed. */
static inline void blob_unref(struct blob *b)
{
    if (!b)
        return;
    assert(b->refs > 0);
    if (--b->refs == 0)
        blob_gone(b);
}

#endif
