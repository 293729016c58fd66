/*
 * Memory, not counted: the build without WITH_MEMORY_TRACKING. mem_track.c is its twin.
 */
#include "base/mem.h"

#include <stdlib.h>

void *mem_alloc(size_t size)
{
    return malloc(size > 0 ? size : 1);
}

void *mem_zalloc(size_t size)
{
    return calloc(1, size > 0 ? size : 1);
}

void *mem_alloc_aligned(size_t size, size_t align)
{
    void *p = NULL;

    return posix_memalign(&p, align, size > 0 ? size : 1) == 0 ? p : NULL;
}

void *mem_realloc(void *p, size_t old_size, size_t new_size)
{
    (void)old_size;
    return realloc(p, new_size > 0 ? new_size : 1);
}

void mem_free(void *p, size_t size)
{
    (void)size;
    free(p);
}

size_t mem_used(void)
{
    return 0;
}

size_t mem_peak(void)
{
    return 0;
}

uint64_t mem_calls(void)
{
    return 0;
}

void mem_set_limit(size_t bytes)
{
    (void)bytes;
}

void mem_fail_after(uint64_t n, int all)
{
    (void)n;
    (void)all;
}

void mem_fail_never(void)
{
}

uint64_t mem_failed(void)
{
    return 0;
}
