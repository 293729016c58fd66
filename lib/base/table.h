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
    uint32_t mask;   /* size of slots - 1 */
    uint32_t old_mask;
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
