/*
 * Without memory accounting nothing is known of what was freed, and nothing is done.
 */
#include "server/trim.h"

#include "base/mem.h"
#include "core/broker.h"

#include <malloc.h>

/* Worth the look: so much was freed, and it is so large a part (one in …) of what there was. */
#define TRIM_BYTES (UINT64_C(1) << 20)
#define TRIM_PART 8
#define TRIM_PAUSE_MS 500
/* Until less than this is freed in such a pause, a storm is not over. */
#define TRIM_REST (UINT64_C(256) << 10)

#define LARGE_BLOCK (256 * 1024)
/* The C library gives the end of the heap back when so much of it is free, and so much is taken at
 * a time. By its own values (128 KiB both) what one turn queues for 1,000 clients would be given
 * back and taken again in every turn: 23 calls and 750 page faults a message. */
#define END_FREE (16 * 1024 * 1024)
#define END_STEP (256 * 1024)

void trim_init(struct trim *t)
{
    *t = (struct trim){0};
    (void)mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK);
    (void)mallopt(M_TRIM_THRESHOLD, END_FREE);
    (void)mallopt(M_TOP_PAD, END_STEP);
}

/*
 * The C library keeps a few free blocks of each small size at hand for its thread, wherever they
 * lie, and each keeps the pages around it from going back: after a million queued messages, 2 MiB.
 * They change places with blocks that lie together.
 */
static void gather_spares(void)
{
    enum { SMALLEST = 24, LARGEST = 1032, STEP = 16, KEPT = 7 };
    void *volatile block[2 * KEPT];

    for (size_t size = SMALLEST; size <= LARGEST; size += STEP) {
        for (size_t i = 0; i < ARRAY_SIZE(block); i++)
            block[i] = mem_alloc(size);
        for (size_t i = ARRAY_SIZE(block); i > 0; i--)
            mem_free(block[i - 1], size); /* the first that came were those at hand */
    }
}

static uint64_t trim_now(struct trim *t, struct broker *b, uint64_t used, uint64_t now_ms)
{
    broker_trim(b);
    gather_spares();
    (void)malloc_trim(0);
    t->high = used;
    t->low = used;
    t->next_ms = now_ms + TRIM_PAUSE_MS;
    return t->next_ms;
}

/* What is freed after the last time that was worth it would stay: wait until no more is. */
static uint64_t trim_rest(struct trim *t, struct broker *b, uint64_t used, uint64_t now_ms)
{
    bool goes_on = used + TRIM_REST <= t->low;

    if (now_ms < t->next_ms)
        return t->next_ms;
    t->low = used;
    t->next_ms = now_ms + TRIM_PAUSE_MS;
    if (goes_on)
        return t->next_ms;
    t->storm = false;
    if (t->high >= used + TRIM_REST)
        (void)trim_now(t, b, used, now_ms);
    return UINT64_MAX;
}

uint64_t trim_turn(struct trim *t, struct broker *b, uint64_t used, uint64_t now_ms)
{
    uint64_t freed = t->high > used ? t->high - used : 0;

    if (used > t->high)
        t->high = used;
    if (freed < TRIM_BYTES || freed < t->high / TRIM_PART)
        return t->storm ? trim_rest(t, b, used, now_ms) : UINT64_MAX;
    if (now_ms < t->next_ms)
        return t->next_ms;
    t->storm = true;
    return trim_now(t, b, used, now_ms);
}
