/*
 * Memory, counted.
 *
 * Every allocation of the broker passes here: that gives memory_limit, $SYS heap figures, tests
 * that let each allocation fail in turn, and tests that count allocations on the hot path. The
 * counters are thread-local; each thread that allocates counts for itself.
 *
 * The size is given back with the pointer, so no header is kept in front of the block.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include "base/base.h"

#include <stddef.h>
#include <stdint.h>

/* `size` bytes (0 gives a block as well), uninitialised; NULL when there is no memory. */
MUST_CHECK void *mem_alloc(size_t size);
/* The same, zeroed. Large blocks cost nothing until their pages are touched. */
MUST_CHECK void *mem_zalloc(size_t size);
/* Uninitialised, at a multiple of `align` (a power of two, at least that of a pointer). */
MUST_CHECK void *mem_alloc_aligned(size_t size, size_t align);
/* Grow or shrink; p may be NULL with old_size 0. A NULL result leaves the old block as it was. */
MUST_CHECK void *mem_realloc(void *p, size_t old_size, size_t new_size);
/* Free a block of `size` bytes; p may be NULL. */
void mem_free(void *p, size_t size);

/* Bytes in use by this thread, and the most there ever were; 0 without WITH_MEMORY_TRACKING. */
size_t mem_used(void);
size_t mem_peak(void);
/* Number of calls so far that allocated or reallocated, in this thread; 0 without tracking. */
uint64_t mem_calls(void);
/*
 * Refuse what would bring this thread's mem_used() above `bytes`; 0 = no limit. No effect
 * without tracking.
 */
void mem_set_limit(size_t bytes);
/*
 * Tests: let the allocation fail that comes after `n` more succeeded (0 = the next), and if `all`
 * also each later one. mem_fail_never() ends that. mem_failed() counts failures since the order,
 * whatever their cause. No effect without tracking.
 */
void mem_fail_after(uint64_t n, int all);
void mem_fail_never(void);
uint64_t mem_failed(void);

#endif
