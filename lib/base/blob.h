/*
 * Counted, immutable bytes: the header that a counted allocation begins with.
 *
 * A type whose bytes may wait in several output queues at once embeds a struct blob as its FIRST
 * member and is allocated by blob_new() with its whole size. Whoever keeps a pointer holds a count.
 */
#ifndef BASE_BLOB_H
#define BASE_BLOB_H

#include "base/base.h"

#include <stdint.h>

struct blob;

/* Who wants to know that a blob's last reference is gone, and frees it. */
struct blob_keeper {
    void (*gone)(struct blob_keeper *keeper, struct blob *blob);
};

struct blob {
    uint32_t refs;
    uint32_t size;              /* of the whole allocation, in bytes */
    struct blob_keeper *keeper; /* NULL: nobody; it is simply freed */
};

/*
 * An allocation of `size` bytes (>= sizeof(struct blob)), rest uninitialised, one reference;
 * NULL without memory.
 */
MUST_CHECK struct blob *blob_new(size_t size);

static inline struct blob *blob_ref(struct blob *b)
{
    b->refs++;
    return b;
}

/* A blob without references: free it, as blob_unref would have done without a keeper. */
void blob_free(struct blob *b);

/* Give one reference back; frees with the last. NULL is allowed. */
void blob_unref(struct blob *b);

#endif
