/*
 * Counted, immutable bytes.
 */
#include "base/blob.h"

#include "base/mem.h"

#include <assert.h>

struct blob *blob_new(size_t size)
{
    struct blob *b;

    assert(size >= sizeof(*b));
    if (size > INT32_MAX)
        return NULL;
    b = mem_alloc(size);
    if (b)
        *b = (struct blob){.refs = 1, .size = (uint32_t)size & INT32_MAX};
    return b;
}

void blob_free(struct blob *b)
{
    assert(b->refs == 0);
    if (b->pooled)
        slab_return(b);
    else
        mem_free(b, b->size);
}

void blob_gone(struct blob *b)
{
    if (b->keeper)
        b->keeper->gone(b->keeper, b);
    else
        blob_free(b);
}
