/*
 * The one hash table: compact, open addressing, grows without a pause.
 *
 * A slot is eight bytes: the entry's pointer and 16 bits of its hash in the upper bits that user
 * space addresses do not use (checked by assertion), so a miss rarely touches an entry. The table
 * owns no entries and knows no keys: the user gives the hash and compares. Entries are opaque
 * words, not NULL: low pointer bits may carry the user's flags.
 *
 * Growing allocates the larger array at once but moves old slots a few at a time with each
 * insertion and removal, so that no single call is long (a table of millions would otherwise stop
 * everybody for 100 ms). Hashes must be keyed with the seed (table_hash), so that no peer can
 * choose collisions.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct table_ops {
    /*
     * The entry's hash, the same that was given at insertion. Called while inserting and
     * removing.
     */
    uint64_t (*hash)(const void *entry, const void *ctx);
    /* Has this entry that key? */
    bool (*equal)(const void *entry, const void *key, const void *ctx);
};

/* Ready-made: entries that are words and their own keys. The hash is table_hash_number(). */
extern const struct table_ops table_of_words;
/*
 * Ready-made: entries are found by a uint64_t field of theirs, `*(const size_t *)ctx` bytes from
 * their beginning; the key is a const uint64_t *. The hash is table_hash_number(). For numbers that
 * no peer chooses.
 */
extern const struct table_ops table_of_numbers;

struct table {
    uint64_t *slots; /* the current array, or NULL when empty */
    uint64_t *old;   /* the former array while slots move, or NULL */
    uint32_t size;   /* number of slots */
    uint32_t old_size;
    uint32_t count; /* entries, in both */
    uint32_t moved; /* slots of `old` below this one have been moved */
};

/* A zeroed struct table is an empty table. Frees the arrays, not the entries. */
void table_clear(struct table *t);

/* Keyed hash of bytes (xxh3). */
uint64_t table_hash(uint64_t seed, const void *p, size_t n);
/* Mix a word (a pointer) into a hash. */
static inline uint64_t table_mix(uint64_t h, uint64_t word)
{
    h ^= word * 0x9E3779B97F4A7C15u;
    h ^= h >> 32;
    h *= 0xD6E8FEB86659FD93u;
    return h ^ (h >> 29);
}

static inline uint64_t table_hash_number(uint64_t number)
{
    return table_mix(0, number);
}

void *table_find(const struct table *t, const struct table_ops *ops, const void *ctx, uint64_t hash,
                 const void *key);

/* What a slot consists of; for the inline functions below. */
#define TABLE_TAG_SHIFT 48
#define TABLE_WORD_MASK (((uint64_t)1 << TABLE_TAG_SHIFT) - 1)
#define TABLE_TOMBSTONE                                                                            \
    ((uint64_t)1 << TABLE_TAG_SHIFT) /* a tag without an entry; only in `old`                      \
                                      */

static inline void *table_entry_of(uint64_t slot)
{
    return (void *)(uintptr_t)(slot & TABLE_WORD_MASK);
}

/* Where the probe for a hash begins: its low half as a fraction of the size, which thus need not be
 * a power of two. */
static inline uint32_t table_home(uint64_t hash, uint32_t size)
{
    return (uint32_t)((hash & UINT32_MAX) * size >> 32);
}

static inline uint32_t table_after(uint32_t i, uint32_t size)
{
    return i + 1 < size ? i + 1 : 0;
}

/* The slot of the entry with that key in one array, or NULL. */
static inline uint64_t *table_array_slot(uint64_t *slots, uint32_t size,
                                         const struct table_ops *ops, const void *ctx,
                                         uint64_t hash, const void *key)
{
    uint64_t tag = hash >> TABLE_TAG_SHIFT;

    for (uint32_t i = table_home(hash, size);; i = table_after(i, size)) {
        uint64_t slot = slots[i];

        if (slot == 0)
            return NULL;
        if (slot >> TABLE_TAG_SHIFT < tag || UNLIKELY(slot == TABLE_TOMBSTONE))
            continue;
        if (slot >> TABLE_TAG_SHIFT > tag)
            return NULL;
        if (ops->equal(table_entry_of(slot), key, ctx))
            return &slots[i];
    }
}

static inline uint64_t *table_slot(const struct table *t, const struct table_ops *ops,
                                   const void *ctx, uint64_t hash, const void *key)
{
    uint64_t *slot = NULL;

    if (t->slots)
        slot = table_array_slot(t->slots, t->size, ops, ctx, hash, key);
    if (UNLIKELY(t->old != NULL) && !slot)
        slot = table_array_slot(t->old, t->old_size, ops, ctx, hash, key);
    return slot;
}

/*
 * table_find, for where a message looks several times: with constant ops the comparison needs no
 * call.
 */
static inline void *table_find_inline(const struct table *t, const struct table_ops *ops,
                                      const void *ctx, uint64_t hash, const void *key)
{
    const uint64_t *slot = table_slot(t, ops, ctx, hash, key);

    return slot ? table_entry_of(*slot) : NULL;
}

/*
 * Room for one more entry: the next table_insert cannot fail if nothing is removed before it.
 * ERR_NOMEM changes nothing.
 */
MUST_CHECK enum err table_reserve(struct table *t, const struct table_ops *ops, const void *ctx);
/* Add an entry whose key is not in the table. ERR_NOMEM only when nothing was reserved. */
MUST_CHECK enum err table_insert(struct table *t, const struct table_ops *ops, const void *ctx,
                                 uint64_t hash, void *entry);
/*
 * Take the entry with that key out and return it; NULL when there is none. Shrinks (also step by
 * step) when mostly empty; an empty table owns nothing.
 */
void *table_remove(struct table *t, const struct table_ops *ops, const void *ctx, uint64_t hash,
                   const void *key);
/*
 * Put another word in the place of the entry with that key (same key and hash); returns the
 * former, NULL when none.
 */
void *table_replace(struct table *t, const struct table_ops *ops, const void *ctx, uint64_t hash,
                    const void *key, void *entry);
/*
 * Walk: the next entry at or after *cursor (start with 0), NULL at the end. Valid as long as
 * nothing is inserted or removed in between; when something is, a walk may see an entry twice or
 * miss one, but never touches freed memory.
 */
void *table_next(const struct table *t, uint64_t *cursor);

#endif
