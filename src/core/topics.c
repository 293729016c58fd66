/*
 * What is asked for each publication comes first, as few instructions as it can be: a name is
 * hashed and compared eight bytes at a time. Everything else happens for a topic once.
 */
#include "core/topics.h"

#include "base/mem.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"
#include "mqtt/word.h"

#include <assert.h>
#include <string.h>

#define SETS_LEAST_LOG2 4 /* as soon as there is more than one */

struct topic {
    uint64_t serial; /* of the last change that is known not to concern it, or to be in it */
    uint32_t hash;
    uint32_t n;
    uint32_t name_len;
    uintptr_t words[]; /* then the name */
};

static_assert(sizeof(void *) != 8 || sizeof(struct topics_set) == 64, "a cache line");
static_assert(TOPIC_NAME_MAX < TOPIC_LEVELS_MAX, "names that are kept need no count of levels");

static char *name_at(struct topic *t)
{
    return (char *)&t->words[t->n];
}

static size_t topic_size(size_t words, size_t name)
{
    return sizeof(struct topic) + words * sizeof(uintptr_t) + name;
}

static size_t sets_bytes(size_t sets)
{
    return sets * sizeof(struct topics_set);
}

/* --- names, eight bytes at a time --- */

/* A multiplication carries upwards: the upper half of the product, and the uppermost bits most of
 * all, tell every byte from another. */
static inline uint64_t mix(uint64_t h, uint64_t word)
{
    return ((h << 5 | h >> 59) ^ word) * UINT64_C(0x9E3779B97F4A7C15);
}

static inline uint32_t hash_name(struct str name)
{
    uint64_t h = name.n;

    if (UNLIKELY(name.n < WORD_SIZE))
        return (uint32_t)(mix(h, word_load_short(name.p, name.n)) >> 32);
    for (size_t i = 0; i < name.n - WORD_SIZE; i += WORD_SIZE)
        h = mix(h, word_load(name.p + i));
    return (uint32_t)(mix(h, word_load(name.p + name.n - WORD_SIZE)) >> 32);
}

static inline bool names_equal(const char *a, const char *b, size_t n)
{
    if (UNLIKELY(n < WORD_SIZE))
        return word_load_short(a, n) == word_load_short(b, n);
    for (size_t i = 0; i < n - WORD_SIZE; i += WORD_SIZE) {
        if (word_load(a + i) != word_load(b + i))
            return false;
    }
    return word_load(a + n - WORD_SIZE) == word_load(b + n - WORD_SIZE);
}

static inline uint32_t tag_of(uint32_t hash)
{
    return hash | 1;
}

static inline struct topics_set *set_of(const struct topics *all, uint32_t hash)
{
    return &all->sets[(uint64_t)hash >> all->shift];
}

static size_t number_of_sets(const struct topics *all)
{
    return (size_t)1 << (32 - all->shift);
}

static void forget(struct topics *all, struct topics_set *set, size_t way)
{
    struct topic *t = set->topics[way];
    size_t size = topic_size(t->n, t->name_len);

    set->tags[way] = 0;
    set->topics[way] = NULL;
    all->count--;
    all->bytes -= size;
    mem_free(t, size);
}

/* --- what was searched for once --- */

#define SEEN_TAG 0x7FFFu
#define SEEN_PASSED 0x8000u /* another one has been here since */

static uint16_t *seen_at(struct topics *all, uint32_t hash)
{
    return &all->seen[hash >> (32 - TOPICS_SEEN_LOG2)];
}

static void see(struct topics *all, uint32_t hash)
{
    *seen_at(all, hash) = (uint16_t)(hash & SEEN_TAG);
}

/* Has it been searched for already? If not, it has now; but another one that was at the same place
 * is given a second chance before: so two that take turns both get in. */
static bool seen_before(struct topics *all, uint32_t hash)
{
    uint16_t *at = seen_at(all, hash);
    bool same = *at != 0 && (*at & SEEN_TAG) == (hash & SEEN_TAG);

    if (same)
        *at = 0;
    else if (*at == 0 || (*at & SEEN_PASSED))
        see(all, hash);
    else
        *at |= SEEN_PASSED;
    return same;
}

/* --- what is known --- */

/* Something has changed since it was looked at: does that concern it? If it must be searched for
 * again, it may come back at once. */
static NOINLINE bool still_right(struct topics *all, struct changes *changes, struct topic *t)
{
    struct topics_set *set = set_of(all, t->hash);
    size_t way = 0;

    if (changes_spare(changes, t->serial, str_of(name_at(t), t->name_len))) {
        t->serial = changes->serial;
        return true;
    }
    while (set->topics[way] != t)
        way++;
    see(all, t->hash);
    forget(all, set, way);
    return false;
}

bool topics_find(struct topics *all, struct changes *changes, struct str name,
                 struct topic_words *words)
{
    const struct topics_set *set;
    uint32_t hash;

    if (UNLIKELY(!all->sets || name.n - 1 >= TOPIC_NAME_MAX))
        return false;
    hash = hash_name(name);
    set = set_of(all, hash);
    for (size_t way = 0; way < TOPICS_WAYS; way++) {
        struct topic *t = set->topics[way];
        if (set->tags[way] != tag_of(hash) || t->name_len != name.n ||
            !names_equal(name_at(t), name.p, name.n))
            continue;
        *words = (struct topic_words){.v = t->words, .n = t->n};
        return LIKELY(t->serial == changes->serial) || still_right(all, changes, t);
    }
    return false;
}

/* --- what is remembered --- */

static void put(struct topics_set *set, struct topic *t, size_t way)
{
    set->topics[way] = t;
    set->tags[way] = tag_of(t->hash);
}

/* A free place; TOPICS_WAYS: none. */
static size_t free_way(const struct topics_set *set)
{
    size_t way = 0;

    while (way < TOPICS_WAYS && set->topics[way])
        way++;
    return way;
}

static struct topics_set *sets_new(size_t n)
{
    struct topics_set *sets = mem_alloc_aligned(sets_bytes(n), sizeof(*sets));

    if (sets)
        memset(sets, 0, sets_bytes(n));
    return sets;
}

static void sets_free(struct topics *all, struct topics_set *sets, size_t n)
{
    if (sets == &all->first)
        return;
    all->bytes -= sets_bytes(n);
    mem_free(sets, sets_bytes(n));
}

/* Twice as many sets, if there may be. What was in one goes to two, and so has room. */
static bool grow(struct topics *all)
{
    size_t n = number_of_sets(all);
    size_t more = n == 1 ? (size_t)1 << SETS_LEAST_LOG2 : 2 * n;
    struct topics_set *old = all->sets;
    bool may = more <= TOPICS_SETS_MAX && all->bytes + sets_bytes(more) <= TOPICS_BYTES_MAX;
    struct topics_set *sets = may ? sets_new(more) : NULL;

    if (!sets)
        return false;
    all->sets = sets;
    all->shift = n == 1 ? 32 - SETS_LEAST_LOG2 : all->shift - 1;
    all->bytes += sets_bytes(more);
    for (size_t i = 0; i < n; i++) {
        for (size_t way = 0; way < TOPICS_WAYS; way++) {
            struct topic *t = old[i].topics[way];
            if (t)
                put(set_of(all, t->hash), t, free_way(set_of(all, t->hash)));
        }
    }
    sets_free(all, old, n);
    return true;
}

static struct topic *topic_new(struct topics *all, struct str name, uint32_t hash,
                               const struct topic_words *words)
{
    size_t size = topic_size(words->n, name.n);
    struct topic *t = mem_alloc(size);

    if (!t)
        return NULL;
    *t = (struct topic){.hash = hash, .n = (uint32_t)words->n, .name_len = (uint32_t)name.n};
    if (words->n > 0)
        memcpy(t->words, words->v, words->n * sizeof(*words->v));
    memcpy(name_at(t), name.p, name.n);
    all->count++;
    all->bytes += size;
    return t;
}

/* A place in its set; where none is free the table grows, unless it is rather empty. */
static size_t make_way(struct topics *all, struct topics_set **set, uint32_t hash)
{
    size_t way = free_way(*set);

    if (way == TOPICS_WAYS && 2 * all->count >= number_of_sets(all) && grow(all)) {
        *set = set_of(all, hash);
        way = free_way(*set);
    }
    if (way == TOPICS_WAYS) {
        way = (*set)->next++ % TOPICS_WAYS;
        forget(all, *set, way);
    }
    return way;
}

/* So much memory for one more topic: if all of it is in use others go, set by set in turn. Those of
 * its own set would not do: it may have none. */
static void make_room(struct topics *all, size_t size)
{
    while (all->bytes + size > TOPICS_BYTES_MAX && all->count > 0) {
        struct topics_set *set = &all->sets[all->turn++ % number_of_sets(all)];
        for (size_t way = 0; way < TOPICS_WAYS; way++) {
            if (set->topics[way])
                forget(all, set, way);
        }
    }
}

/* Only names that a client may publish to, whoever it was now. */
static bool is_valid(struct str name)
{
    return utf8_valid(name) && topic_check_name(name) == REASON_OK;
}

void topics_keep(struct topics *all, struct changes *changes, struct str name,
                 const struct topic_words *words)
{
    struct topics_set *set;
    struct topic *t;
    uint32_t hash;
    size_t way;

    if (name.n - 1 >= TOPIC_NAME_MAX || words->n > TOPIC_WORDS_MAX)
        return;
    hash = hash_name(name);
    if (!seen_before(all, hash) || !is_valid(name))
        return;
    if (!all->sets) {
        all->sets = &all->first;
        all->shift = 32;
    }
    set = set_of(all, hash);
    way = make_way(all, &set, hash);
    make_room(all, topic_size(words->n, name.n));
    t = topic_new(all, name, hash, words);
    if (!t)
        return;
    t->serial = changes->serial;
    changes->asked = changes->serial;
    put(set, t, way);
}

void topics_clear(struct topics *all)
{
    if (!all->sets)
        return;
    for (size_t i = 0; i < number_of_sets(all); i++) {
        for (size_t way = 0; way < TOPICS_WAYS; way++) {
            if (all->sets[i].topics[way])
                forget(all, &all->sets[i], way);
        }
    }
    sets_free(all, all->sets, number_of_sets(all));
    *all = (struct topics){0};
}
