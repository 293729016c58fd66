/*
 * Without memory accounting nothing is known of what was freed, and nothing is done.
 */
#include "server/trim.h"

#include <malloc.h>

/* Worth the look: so much was freed, and it is so large a part (one in …) of what there was. */
#define TRIM_BYTES (UINT64_C(4) << 20)
#define TRIM_PART 4
#define TRIM_PAUSE_MS 500

#define LARGE_BLOCK (256 * 1024)

void trim_init(struct trim *t)
{
    *t = (struct trim){0};
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
}

uint64_t trim_turn(struct trim *t, uint64_t used, uint64_t now_ms)
{
    uint64_t freed = t->high > used ? t->high - used : 0;

    if (used > t->high)
        t->high = used;
    if (freed < TRIM_BYTES || freed < t->high / TRIM_PART)
        return UINT64_MAX;
    if (now_ms < t->next_ms)
        return t->next_ms;
    (void)malloc_trim(0);
    t->high = used;
    t->next_ms = now_ms + TRIM_PAUSE_MS;
    return UINT64_MAX;
}
