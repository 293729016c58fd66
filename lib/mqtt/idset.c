/*
 * A sorted array, in the set itself while it is short, then a bitmap of 8 KiB. The array begins
 * behind the places of ids that were the smallest and are gone: at 100 ids that saves 190 of 300
 * instructions a message.
 */
#include "mqtt/idset.h"

#include "base/mem.h"

#include <assert.h>
#include <string.h>

#define ID_MAX 65535u
#define ARRAY_MAX 256  /* ids; more are a bitmap … */
#define ARRAY_BACK 128 /* … until this few are left */
#define WORDS (65536 / 64)
#define BITMAP_SIZE (WORDS * sizeof(uint64_t))

void idset_init(struct idset *s)
{
    *s = (struct idset){.cap = IDSET_FEW};
    s->ids = s->few;
}

static void array_free(struct idset *s)
{
    if (s->ids != s->few)
        mem_free(s->ids, s->cap * sizeof(s->ids[0]));
    s->ids = s->few;
    s->cap = IDSET_FEW;
    s->first = 0;
}

void idset_clear(struct idset *s)
{
    array_free(s);
    mem_free(s->bits, BITMAP_SIZE);
    idset_init(s);
}

static bool bit(const struct idset *s, uint16_t id)
{
    return s->bits[id / 64] >> (id % 64) & 1;
}

/* Where the id is in the array, counted from the smallest, or would be. */
static uint32_t search(const struct idset *s, uint32_t id)
{
    const uint16_t *ids = s->ids + s->first;
    uint32_t low = 0;
    uint32_t high = s->count;

    if (high == 0 || id <= ids[0])
        return 0;
    if (id > ids[high - 1])
        return high;
    while (low < high) {
        uint32_t mid = (low + high) / 2;
        if (ids[mid] < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static enum err to_bitmap(struct idset *s)
{
    uint64_t *bits = mem_zalloc(BITMAP_SIZE);

    if (!bits)
        return ERR_NOMEM;
    for (uint32_t i = 0; i < s->count; i++)
        bits[s->ids[s->first + i] / 64] |= UINT64_C(1) << (s->ids[s->first + i] % 64);
    array_free(s);
    s->bits = bits;
    return ERR_OK;
}

static enum err resize(struct idset *s, uint16_t cap)
{
    uint16_t *ids = s->few;

    if (cap > IDSET_FEW) {
        ids = mem_alloc(cap * sizeof(uint16_t));
        if (!ids)
            return ERR_NOMEM;
    }
    memcpy(ids, s->ids + s->first, s->count * sizeof(uint16_t));
    array_free(s);
    s->ids = ids;
    s->cap = cap;
    return ERR_OK;
}

/* A bitmap with few ids becomes an array; without memory it stays. */
static void to_array(struct idset *s)
{
    uint32_t n = 0;
    uint16_t cap = s->count >= IDSET_FEW ? ARRAY_MAX : IDSET_FEW;
    uint16_t *ids = s->few;

    if (cap > IDSET_FEW)
        ids = mem_alloc(cap * sizeof(uint16_t));
    if (!ids)
        return;
    for (uint32_t id = idset_next(s, 1); id; id = idset_next(s, id + 1))
        ids[n++] = (uint16_t)id;
    mem_free(s->bits, BITMAP_SIZE);
    s->bits = NULL;
    s->ids = ids;
    s->cap = cap;
}

enum err idset_reserve(struct idset *s)
{
    if (s->bits || s->count < s->cap)
        return ERR_OK;
    return s->cap < ARRAY_MAX ? resize(s, (uint16_t)(s->cap * 4)) : to_bitmap(s);
}

static void insert(struct idset *s, uint16_t id)
{
    uint32_t at = search(s, id);
    uint16_t *place;

    assert(s->count < s->cap);
    if (s->first + s->count == s->cap) {
        memmove(s->ids, s->ids + s->first, s->count * sizeof(uint16_t));
        s->first = 0;
    }
    place = s->ids + s->first + at;
    if (at < s->count)
        memmove(place + 1, place, (s->count - at) * sizeof(uint16_t));
    *place = id;
}

/* 4.3.3-2: receiver, "store packet identifier" */
bool idset_add(struct idset *s, uint16_t id)
{
    assert(id);
    if (idset_has(s, id))
        return false;
    if (s->bits)
        s->bits[id / 64] |= UINT64_C(1) << (id % 64);
    else
        insert(s, id);
    s->count++;
    return true;
}

bool idset_has(const struct idset *s, uint16_t id)
{
    if (s->bits)
        return bit(s, id);
    uint32_t at = search(s, id);
    return at < s->count && s->ids[s->first + at] == id;
}

/* Give memory back that so few ids do not need. One more always has room: it may have been
 * promised. */
static void shrink(struct idset *s)
{
    if (s->bits && s->count <= ARRAY_BACK)
        to_array(s);
    else if (!s->bits && s->count == 0)
        array_free(s);
}

static bool remove_from_array(struct idset *s, uint16_t id)
{
    uint32_t at = search(s, id);
    uint16_t *place = s->ids + s->first + at;

    if (at == s->count || *place != id)
        return false;
    if (at == 0)
        s->first++;
    else
        memmove(place, place + 1, (s->count - at - 1) * sizeof(uint16_t));
    return true;
}

static bool remove_bit(struct idset *s, uint16_t id)
{
    if (!bit(s, id))
        return false;
    s->bits[id / 64] &= ~(UINT64_C(1) << (id % 64));
    return true;
}

/* 4.3.3-2: receiver, "discard packet identifier" */
bool idset_remove(struct idset *s, uint16_t id)
{
    if (!(s->bits ? remove_bit(s, id) : remove_from_array(s, id)))
        return false;
    s->count--;
    shrink(s);
    return true;
}

static uint16_t next_bit(const struct idset *s, uint32_t from)
{
    uint32_t word = from / 64;
    uint64_t bits = s->bits[word] & (~UINT64_C(0) << (from % 64));

    while (bits == 0) {
        if (++word == WORDS)
            return 0;
        bits = s->bits[word];
    }
    return (uint16_t)(word * 64 + (uint32_t)__builtin_ctzll(bits));
}

uint16_t idset_next(const struct idset *s, uint32_t from)
{
    if (from > ID_MAX)
        return 0;
    if (s->bits)
        return next_bit(s, from);
    uint32_t at = search(s, from);
    return at < s->count ? s->ids[s->first + at] : 0;
}

bool idset_check(const struct idset *s)
{
    uint32_t n = 0;
    uint32_t last = 0;

    for (uint32_t id = idset_next(s, 0); id; id = idset_next(s, id + 1)) {
        if (id <= last || !idset_has(s, (uint16_t)id))
            return false;
        last = id;
        n++;
    }
    return n == s->count && (s->bits || s->first + n <= s->cap);
}
