/*
 * The one hash table.
 *
 * Linear probing in an array of words at most seven eighths full. The home of an entry is given by
 * the low half of its hash, its tag is the high 16 bits: they are independent, so of the entries
 * passed on the way one in 65,536 is touched for nothing. Entries on a probe's way stand in the
 * order of their tags (Amble and Knuth, 1974): a newcomer takes the place of the first with a
 * larger tag, which goes on. So a probe for what is not there ends as early as one for what is: in
 * the fullest of tables it looks at 4.5 slots instead of 32, which is what lets them be so full.
 * Removal closes the gap by shifting back what followed, which keeps the order, so the array never
 * fills with tombstones.
 *
 * A resize makes the array `old` and goes on in a new one, a half or a third larger, or half as
 * large. Nothing is added to `old`; what leaves it becomes a tombstone, so that its probe chains
 * stay whole. Each insertion and removal handles MOVE_STEP of its slots, which is fast enough:
 * after growing from n slots at least n/4 insertions fit, after shrinking from n slots n/4, and
 * n/16 steps are needed. So there are never more than two arrays, and mostly one.
 */
#include "base/table.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SLOTS_LEAST 4
#define SLOTS_MOST ((size_t)1 << 31)
#define MOVE_STEP 16

uint64_t table_hash(uint64_t seed, const void *p, size_t n)
{
    return XXH3_64bits_withSeed(p, n, seed);
}

static uint64_t slot_of(uint64_t hash, const void *entry)
{
    uint64_t word = (uint64_t)(uintptr_t)entry;

    assert(word != 0 && word <= TABLE_WORD_MASK);
    return (hash >> TABLE_TAG_SHIFT) << TABLE_TAG_SHIFT | word;
}

static size_t array_bytes(uint32_t size)
{
    return (size_t)size * sizeof(uint64_t);
}

static void old_free(struct table *t)
{
    if (t->old)
        mem_free(t->old, array_bytes(t->old_size));
    t->old = NULL;
    t->old_size = 0;
    t->moved = 0;
}

void table_clear(struct table *t)
{
    old_free(t);
    if (t->slots)
        mem_free(t->slots, array_bytes(t->size));
    *t = (struct table){0};
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
    return table_find_inline(t, ops, ctx, hash, key);
}

/* The entries that the next step will hash are fetched during this one's. */
static void fetch_ahead(const struct table *t, uint32_t from)
{
    for (uint32_t i = from; i < from + MOVE_STEP && i < t->old_size; i++)
        __builtin_prefetch(table_entry_of(t->old[i]));
}

/* Put a slot into the current array, which has room. */
static void put(struct table *t, uint64_t hash, uint64_t slot)
{
    uint32_t i = table_home(hash, t->size);

    for (; t->slots[i] != 0; i = table_after(i, t->size)) {
        uint64_t there = t->slots[i];
        if (there >> TABLE_TAG_SHIFT > slot >> TABLE_TAG_SHIFT) {
            t->slots[i] = slot;
            slot = there;
        }
    }
    t->slots[i] = slot;
}

static void move_some(struct table *t, const struct table_ops *ops, const void *ctx)
{
    if (LIKELY(!t->old))
        return;
    fetch_ahead(t, t->moved + MOVE_STEP);
    for (int n = 0; n < MOVE_STEP; n++) {
        uint64_t *slot = &t->old[t->moved];

        if (*slot != 0 && *slot != TABLE_TOMBSTONE) {
            put(t, ops->hash(table_entry_of(*slot), ctx), *slot);
            *slot = TABLE_TOMBSTONE;
        }
        if (++t->moved == t->old_size) {
            old_free(t);
            return;
        }
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
    t->old_size = t->size;
    t->moved = 0;
    t->slots = fresh;
    t->size = (uint32_t)slots;
    return ERR_OK;
}

static enum err reserve(struct table *t)
{
    size_t slots = t->size;

    if (UNLIKELY(!t->slots))
        return resize(t, SLOTS_LEAST);
    if (LIKELY(t->count < slots * 7 / 8))
        return ERR_OK;
    /* 4, 6, 8, 12, 16, 24 …: half as much is empty on average as if it were doubled */
    return resize(t, (slots & (slots - 1)) == 0 ? slots / 2 * 3 : slots / 3 * 4);
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

/* So many slots forward. */
static uint32_t distance(uint32_t from, uint32_t to, uint32_t size)
{
    return to >= from ? to - from : to + size - from;
}

/*
 * Empty a slot of the current array, and fill the gap with what had to pass it on the way from
 * home.
 */
static void close_gap(struct table *t, const struct table_ops *ops, const void *ctx, uint32_t gap)
{
    uint32_t size = t->size;

    for (uint32_t i = table_after(gap, size); t->slots[i] != 0; i = table_after(i, size)) {
        uint32_t home = table_home(ops->hash(table_entry_of(t->slots[i]), ctx), size);

        if (distance(home, i, size) >= distance(gap, i, size)) {
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
    size_t slots = t->size;

    if (t->count == 0) {
        table_clear(t);
        return;
    }
    /* Without memory it stays as large as it is, and tries again at the next removal. */
    if (!t->old && slots / 2 >= SLOTS_LEAST && t->count < slots / 8)
        (void)!resize(t, slots / 2);
    move_some(t, ops, ctx);
}

void *table_remove(struct table *t, const struct table_ops *ops, const void *ctx, uint64_t hash,
                   const void *key)
{
    uint64_t *slot = table_slot(t, ops, ctx, hash, key);
    void *entry;

    if (!slot)
        return NULL;
    entry = table_entry_of(*slot);
    if (t->old && slot >= t->old && slot < t->old + t->old_size)
        *slot = TABLE_TOMBSTONE;
    else
        close_gap(t, ops, ctx, (uint32_t)(slot - t->slots));
    t->count--;
    shrink(t, ops, ctx);
    return entry;
}

void *table_replace(struct table *t, const struct table_ops *ops, const void *ctx, uint64_t hash,
                    const void *key, void *entry)
{
    uint64_t *slot = table_slot(t, ops, ctx, hash, key);
    void *former;

    if (!slot)
        return NULL;
    former = table_entry_of(*slot);
    *slot = slot_of(hash, entry);
    return former;
}

void *table_next(const struct table *t, uint64_t *cursor)
{
    uint64_t current = t->size;
    uint64_t all = current + t->old_size;

    while (*cursor < all) {
        uint64_t i = (*cursor)++;
        uint64_t slot = i < current ? t->slots[i] : t->old[i - current];

        if (slot != 0 && slot != TABLE_TOMBSTONE)
            return table_entry_of(slot);
    }
    return NULL;
}
