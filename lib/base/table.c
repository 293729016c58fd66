/*
 * The one hash table.
 *
 * Linear probing in an array of words at most three quarters full. The home of an entry is given by
 * the low bits of its hash, its tag is the high 16 bits: they are independent, so of the entries
 * passed on the way one in 65,536 is touched for nothing. Removal closes the gap by shifting back
 * what followed, so the array never fills with tombstones.
 *
 * A resize makes the array `old` and goes on in a new one twice or half as large. Nothing is added
 * to `old`; what leaves it becomes a tombstone, so that its probe chains stay whole. Each insertion
 * and removal handles MOVE_STEP of its slots, which is fast enough: after growing from n slots, n *
 * 3/4 insertions fit, after shrinking from n slots n/4, and n/8 steps are needed. So there are
 * never more than two arrays.
 */
#include "base/table.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLOTS_LEAST 4
#define SLOTS_MOST ((size_t)1 << 31)
#define MOVE_STEP 8
#define TAG_SHIFT 48
#define WORD_MASK (((uint64_t)1 << TAG_SHIFT) - 1)
#define TOMBSTONE ((uint64_t)1 << TAG_SHIFT) /* a tag without an entry; only in `old` */

uint64_t table_hash(uint64_t seed, const void *p, size_t n)
{
    return XXH3_64bits_withSeed(p, n, seed);
}

static void *entry_of(uint64_t slot)
{
    return (void *)(uintptr_t)(slot & WORD_MASK);
}

static uint64_t slot_of(uint64_t hash, const void *entry)
{
    uint64_t word = (uint64_t)(uintptr_t)entry;

    assert(word != 0 && word <= WORD_MASK);
    return (hash >> TAG_SHIFT) << TAG_SHIFT | word;
}

static size_t array_bytes(uint32_t mask)
{
    return ((size_t)mask + 1) * sizeof(uint64_t);
}

static void old_free(struct table *t)
{
    if (t->old)
        mem_free(t->old, array_bytes(t->old_mask));
    t->old = NULL;
    t->old_mask = 0;
    t->moved = 0;
}

void table_clear(struct table *t)
{
    old_free(t);
    if (t->slots)
        mem_free(t->slots, array_bytes(t->mask));
    *t = (struct table){0};
}

/* The slot of the entry with that key in one array, or NULL. */
static uint64_t *array_find(uint64_t *slots, uint32_t mask, const struct table_ops *ops,
                            const void *ctx, uint64_t hash, const void *key)
{
    uint64_t tag = hash >> TAG_SHIFT;

    for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
        uint64_t slot = slots[i];

        if (slot == 0)
            return NULL;
        if (slot >> TAG_SHIFT == tag && slot != TOMBSTONE && ops->equal(entry_of(slot), key, ctx))
            return &slots[i];
    }
}

static uint64_t *find(const struct table *t, const struct table_ops *ops, const void *ctx,
                      uint64_t hash, const void *key)
{
    uint64_t *slot = NULL;

    if (t->slots)
        slot = array_find(t->slots, t->mask, ops, ctx, hash, key);
    if (UNLIKELY(t->old != NULL) && !slot)
        slot = array_find(t->old, t->old_mask, ops, ctx, hash, key);
    return slot;
}

/* --- ready-made keys --- */

static uint64_t word_hash(const void *entry, const void *ctx)
{
    (void)ctx;
    return table_hash_number((uintptr_t)entry);
}

static bool word_equal(const void *entry, const void *key, const void *ctx)
{
    (void)ctx;
    return entry == key;
}

const struct table_ops table_of_words = {.hash = word_hash, .equal = word_equal};

static uint64_t number_at(const void *entry, const void *ctx)
{
    const size_t *offset = ctx;
    uint64_t number;

    memcpy(&number, (const char *)entry + *offset, sizeof(number));
    return number;
}

static uint64_t number_hash(const void *entry, const void *ctx)
{
    return table_hash_number(number_at(entry, ctx));
}

static bool number_equal(const void *entry, const void *key, const void *ctx)
{
    return number_at(entry, ctx) == *(const uint64_t *)key;
}

const struct table_ops table_of_numbers = {.hash = number_hash, .equal = number_equal};

/* --- finding --- */

void *table_find(const struct table *t, const struct table_ops *ops, const void *ctx, uint64_t hash,
                 const void *key)
{
    const uint64_t *slot = find(t, ops, ctx, hash, key);

    return slot ? entry_of(*slot) : NULL;
}

/* Put a slot into the current array, which has room. */
static void put(struct table *t, uint64_t hash, uint64_t slot)
{
    uint32_t i = (uint32_t)hash & t->mask;

    while (t->slots[i] != 0)
        i = (i + 1) & t->mask;
    t->slots[i] = slot;
}

static void move_some(struct table *t, const struct table_ops *ops, const void *ctx)
{
    if (LIKELY(!t->old))
        return;
    for (int n = 0; n < MOVE_STEP; n++) {
        uint64_t *slot = &t->old[t->moved];

        if (*slot != 0 && *slot != TOMBSTONE) {
            put(t, ops->hash(entry_of(*slot), ctx), *slot);
            *slot = TOMBSTONE;
        }
        if (t->moved == t->old_mask) {
            old_free(t);
            return;
        }
        t->moved++;
    }
}

/* Go on in a new array of that many slots. */
static enum err resize(struct table *t, size_t slots)
{
    uint64_t *fresh;

    assert(!t->old);
    if (slots > SLOTS_MOST)
        return ERR_NOMEM;
    fresh = mem_zalloc(slots * sizeof(*fresh));
    if (!fresh)
        return ERR_NOMEM;
    t->old = t->slots;
    t->old_mask = t->mask;
    t->moved = 0;
    t->slots = fresh;
    t->mask = (uint32_t)(slots - 1);
    return ERR_OK;
}

static enum err reserve(struct table *t)
{
    size_t slots = (size_t)t->mask + 1;

    if (UNLIKELY(!t->slots))
        return resize(t, SLOTS_LEAST);
    if (LIKELY(t->count < slots / 4 * 3))
        return ERR_OK;
    return resize(t, slots * 2);
}

enum err table_reserve(struct table *t, const struct table_ops *ops, const void *ctx)
{
    (void)ops;
    (void)ctx;
    return reserve(t);
}

enum err table_insert(struct table *t, const struct table_ops *ops, const void *ctx, uint64_t hash,
                      void *entry)
{
    enum err err = reserve(t);

    if (err != ERR_OK)
        return err;
    put(t, hash, slot_of(hash, entry));
    t->count++;
    move_some(t, ops, ctx);
    return ERR_OK;
}

/*
 * Empty a slot of the current array, and fill the gap with what had to pass it on the way from
 * home.
 */
static void close_gap(struct table *t, const struct table_ops *ops, const void *ctx, uint32_t gap)
{
    for (uint32_t i = (gap + 1) & t->mask; t->slots[i] != 0; i = (i + 1) & t->mask) {
        uint32_t home = (uint32_t)ops->hash(entry_of(t->slots[i]), ctx) & t->mask;

        if (((i - home) & t->mask) >= ((i - gap) & t->mask)) {
            t->slots[gap] = t->slots[i];
            gap = i;
        }
    }
    t->slots[gap] = 0;
}

/*
 * After a removal: an empty table owns nothing, one that is mostly empty goes on in half the
 * slots.
 */
static void shrink(struct table *t, const struct table_ops *ops, const void *ctx)
{
    size_t slots = (size_t)t->mask + 1;

    if (t->count == 0) {
        table_clear(t);
        return;
    }
    /* Without memory it stays as large as it is, and tries again at the next removal. */
    if (!t->old && slots > SLOTS_LEAST && t->count < slots / 8)
        (void)!resize(t, slots / 2);
    move_some(t, ops, ctx);
}

void *table_remove(struct table *t, const struct table_ops *ops, const void *ctx, uint64_t hash,
                   const void *key)
{
    uint64_t *slot = find(t, ops, ctx, hash, key);
    void *entry;

    if (!slot)
        return NULL;
    entry = entry_of(*slot);
    if (t->old && slot >= t->old && slot <= t->old + t->old_mask)
        *slot = TOMBSTONE;
    else
        close_gap(t, ops, ctx, (uint32_t)(slot - t->slots));
    t->count--;
    shrink(t, ops, ctx);
    return entry;
}

void *table_replace(struct table *t, const struct table_ops *ops, const void *ctx, uint64_t hash,
                    const void *key, void *entry)
{
    uint64_t *slot = find(t, ops, ctx, hash, key);
    void *former;

    if (!slot)
        return NULL;
    former = entry_of(*slot);
    *slot = slot_of(hash, entry);
    return former;
}

void *table_next(const struct table *t, uint64_t *cursor)
{
    uint64_t current = t->slots ? (uint64_t)t->mask + 1 : 0;
    uint64_t all = current + (t->old ? (uint64_t)t->old_mask + 1 : 0);

    while (*cursor < all) {
        uint64_t i = (*cursor)++;
        uint64_t slot = i < current ? t->slots[i] : t->old[i - current];

        if (slot != 0 && slot != TOMBSTONE)
            return entry_of(slot);
    }
    return NULL;
}
