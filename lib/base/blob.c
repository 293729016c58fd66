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
    if (size > UINT32_MAX)
        return NULL;
    b = mem_alloc(size);
    if (!b)
        return NULL;
    b->refs = 1;
    b->size = (uint32_t)size;
    b->keeper = NULL;
    return b;
}

void blob_free(struct blob *b)
{
    assert(b->refs == 0);
    mem_free(b, b->size);
}

void blob_unref(struct blob *b)
{
    if (!b)
        return;
    assert(b->refs > 0);
    if (--b->refs > 0)
        return;
    if (b->keeper)
        b->keeper->gone(b->keeper, b);
    else
        blob_free(b);
}
