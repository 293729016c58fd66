/*
 * Memory that users free.
 *
 * Each allocation asks `mem` for nothing first, so that tests which let allocations fail in turn
 * reach this one too.
 */
#include "client/gift.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

void *gift_alloc(size_t size)
{
    void *leave = mem_alloc(0);

    if (!leave)
        return NULL;
    mem_free(leave, 0);
    return calloc(1, size);
}

char *gift_copy(const void *p, size_t n)
{
    char *copy = gift_alloc(n + 1);

    if (copy && n > 0)
        memcpy(copy, p, n);
    return copy;
}
