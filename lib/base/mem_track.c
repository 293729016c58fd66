/*
 * Memory, counted: the build with WITH_MEMORY_TRACKING. mem_track_none.c is its twin.
 *
 * The count is of bytes that were asked for, not of what the allocator makes of them: that is the
 * same on every machine, so limits and tests mean the same everywhere.
 */
#include "base/mem.h"

#include <stdbool.h>
#include <stdlib.h>

struct counters {
    int64_t used; /* below zero in a thread that frees what another one allocated */
    int64_t peak;
    int64_t limit;
    uint64_t calls;
    uint64_t failed;
    uint64_t fail_after;
    bool fail_one;
    bool fail_all;
};

static _Thread_local struct counters counters;

/* A fault that a test has ordered for now. */
static COLD bool fault_due(struct counters *c)
{
    if (c->fail_after > 0) {
        c->fail_after--;
        return false;
    }
    c->fail_one = c->fail_all;
    return true;
}

/* May `more` bytes be taken, and nobody wants to see a failure? */
static bool admit(size_t more)
{
    struct counters *c = &counters;
    bool refused = more > INT64_MAX / 2;

    if (c->limit > 0 && more > 0 && !refused)
        refused = c->used + (int64_t)more > c->limit;
    if (UNLIKELY(c->fail_one))
        refused = fault_due(c) || refused;
    if (UNLIKELY(refused))
        c->failed++;
    return !refused;
}

/* Count an allocation that changed the bytes in use by `change`, if it succeeded. */
static void *counted(void *p, int64_t change)
{
    struct counters *c = &counters;

    if (UNLIKELY(!p)) {
        c->failed++;
        return NULL;
    }
    c->calls++;
    c->used += change;
    if (c->used > c->peak)
        c->peak = c->used;
    return p;
}

void *mem_alloc(size_t size)
{
    if (!admit(size))
        return NULL;
    return counted(malloc(size > 0 ? size : 1), (int64_t)size);
}

void *mem_zalloc(size_t size)
{
    if (!admit(size))
        return NULL;
    return counted(calloc(1, size > 0 ? size : 1), (int64_t)size);
}

void *mem_alloc_aligned(size_t size, size_t align)
{
    void *p = NULL;

    if (!admit(size))
        return NULL;
    if (posix_memalign(&p, align, size > 0 ? size : 1) != 0)
        p = NULL;
    return counted(p, (int64_t)size);
}

void *mem_realloc(void *p, size_t old_size, size_t new_size)
{
    if (!admit(new_size > old_size ? new_size - old_size : 0))
        return NULL;
    return counted(realloc(p, new_size > 0 ? new_size : 1), (int64_t)new_size - (int64_t)old_size);
}

void mem_free(void *p, size_t size)
{
    if (!p)
        return;
    counters.used -= (int64_t)size;
    free(p);
}

size_t mem_used(void)
{
    return counters.used > 0 ? (size_t)counters.used : 0;
}

size_t mem_peak(void)
{
    return (size_t)counters.peak;
}

uint64_t mem_calls(void)
{
    return counters.calls;
}

void mem_set_limit(size_t bytes)
{
    counters.limit = bytes > INT64_MAX / 2 ? INT64_MAX / 2 : (int64_t)bytes;
}

void mem_fail_after(uint64_t n, int all)
{
    counters.fail_after = n;
    counters.fail_one = true;
    counters.fail_all = all != 0;
    counters.failed = 0;
}

void mem_fail_never(void)
{
    counters.fail_one = false;
    counters.fail_all = false;
}

uint64_t mem_failed(void)
{
    return counters.failed;
}
