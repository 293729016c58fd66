/*
 * Bytes waiting to be written to one connection.
 *
 * Chunks without bytes may stand anywhere in a queue (room that was asked for and not used); they
 * are passed over, and freed when the bytes before them have been written.
 */
#include "base/outq.h"

#include "base/asan.h"
#include "base/mem.h"

#include <assert.h>
#include <string.h>

#define CHUNK_DATA (OUTQ_CHUNK - sizeof(struct outq_seg))
#define SHORT_DATA (OUTQ_SHORT - sizeof(struct outq_seg))

_Static_assert(OUTQ_CONTIGUOUS <= CHUNK_DATA, "contiguous room comes from one chunk");

void outq_pool_init(struct outq_pool *pool, uint32_t keep)
{
    *pool = (struct outq_pool){.keep = keep};
    slab_init(&pool->slices, sizeof(struct outq_seg));
    slab_init(&pool->shorts, OUTQ_SHORT);
}

static struct outq_seg *spare_take(struct outq_pool *pool)
{
    struct outq_seg *seg = pool->spare;

    ASAN_UNPOISON(seg, OUTQ_CHUNK);
    pool->spare = seg->next;
    pool->spare_count--;
    return seg;
}

void outq_pool_clear(struct outq_pool *pool)
{
    while (pool->spare)
        mem_free(spare_take(pool), OUTQ_CHUNK);
    slab_clear(&pool->slices);
    slab_clear(&pool->shorts);
}

static struct outq_seg *chunk_new(struct outq_pool *pool)
{
    struct outq_seg *seg = pool->spare ? spare_take(pool) : mem_alloc(OUTQ_CHUNK);

    if (!seg)
        return NULL;
    *seg = (struct outq_seg){.begin = (uint8_t *)(seg + 1), .room = CHUNK_DATA, .size = OUTQ_CHUNK};
    return seg;
}

/* Behind a slice there is no room; a whole chunk for a head of 30 bytes in front of each payload
 * would be more than the payload often is. */
static struct outq_seg *short_new(struct outq_pool *pool)
{
    struct outq_seg *seg = slab_alloc(&pool->shorts);

    if (!seg)
        return NULL;
    *seg = (struct outq_seg){.begin = (uint8_t *)(seg + 1), .room = SHORT_DATA, .size = OUTQ_SHORT};
    return seg;
}

static struct outq_seg *slice_new(struct outq_pool *pool, struct blob *owner, uint8_t *p, size_t n)
{
    struct outq_seg *seg = slab_alloc(&pool->slices);

    if (!seg)
        return NULL;
    *seg = (struct outq_seg){.owner = blob_ref(owner), .begin = p, .len = (uint32_t)n};
    return seg;
}

static void seg_free(struct outq_pool *pool, struct outq_seg *seg)
{
    if (seg->owner) {
        blob_unref(seg->owner);
        slab_free(&pool->slices, seg);
    } else if (seg->size == OUTQ_SHORT) {
        slab_free(&pool->shorts, seg);
    } else if (pool->spare_count < pool->keep) {
        seg->next = pool->spare;
        pool->spare = seg;
        pool->spare_count++;
        ASAN_POISON(seg, OUTQ_CHUNK);
    } else {
        mem_free(seg, OUTQ_CHUNK);
    }
}

/* Free a whole list of segments. */
static void list_free(struct outq_pool *pool, struct outq_seg *seg)
{
    while (seg) {
        struct outq_seg *next = seg->next;

        seg_free(pool, seg);
        seg = next;
    }
}

static struct outq_seg *first_of(const struct outq *q)
{
    return q->last ? q->last->next : NULL;
}

/* NULL: it is the last one. */
static struct outq_seg *next_of(const struct outq *q, const struct outq_seg *seg)
{
    return seg == q->last ? NULL : seg->next;
}

static void append(struct outq *q, struct outq_seg *seg)
{
    struct outq_seg *last = q->last ? q->last : seg;

    seg->next = last == seg ? seg : last->next;
    last->next = seg;
    q->last = seg;
    q->bytes += seg->len;
}

/* Of a queue that is not empty. */
static struct outq_seg *take_first(struct outq *q)
{
    struct outq_seg *seg;

    assert(q->last);
    seg = q->last->next;
    q->last->next = seg->next;
    if (seg == q->last)
        q->last = NULL;
    q->bytes -= seg->len;
    return seg;
}

void outq_clear(struct outq *q, struct outq_pool *pool)
{
    while (q->last)
        seg_free(pool, take_first(q));
    *q = (struct outq){0};
}

uint8_t *outq_room_new(struct outq *q, struct outq_pool *pool, size_t n)
{
    struct outq_seg *seg;

    assert(n <= OUTQ_CONTIGUOUS);
    seg = chunk_new(pool);
    if (!seg)
        return NULL;
    append(q, seg);
    return seg->begin;
}

/* Copy as much as the last segment has room for; returns how much that was. */
static size_t fill_last(struct outq *q, const uint8_t *p, size_t n)
{
    struct outq_seg *last = q->last;
    size_t fit = last && last->room < n ? last->room : n;

    if (!last || fit == 0)
        return 0;
    memcpy(last->begin + last->len, p, fit);
    outq_added(q, fit);
    return fit;
}

/* A list of as many chunks as n bytes need; NULL also when n is 0. */
static enum err chunks_new(struct outq_pool *pool, size_t n, struct outq_seg **list)
{
    *list = NULL;
    for (size_t have = 0; have < n; have += CHUNK_DATA) {
        struct outq_seg *seg = chunk_new(pool);

        if (!seg) {
            list_free(pool, *list);
            return ERR_NOMEM;
        }
        seg->next = *list;
        *list = seg;
    }
    return ERR_OK;
}

/* Copy n bytes into the room that there is, and into these chunks. */
static void fill(struct outq *q, struct outq_seg *fresh, const uint8_t *p, size_t n)
{
    size_t done = fill_last(q, p, n);

    while (fresh) {
        struct outq_seg *seg = fresh;

        fresh = seg->next;
        append(q, seg);
        done += fill_last(q, p + done, n - done);
    }
}

static size_t room_left(const struct outq *q)
{
    return q->last ? q->last->room : 0;
}

enum err outq_copy(struct outq *q, struct outq_pool *pool, const void *p, size_t n)
{
    size_t room = room_left(q);
    struct outq_seg *fresh = NULL;

    if (n > room && chunks_new(pool, n - room, &fresh) != ERR_OK)
        return ERR_NOMEM;
    fill(q, fresh, p, n);
    return ERR_OK;
}

enum err outq_slice(struct outq *q, struct outq_pool *pool, struct blob *owner, const void *p,
                    size_t n)
{
    struct outq_seg *seg;

    assert(n <= owner->size);
    if (n == 0)
        return ERR_OK;
    seg = slice_new(pool, owner, (uint8_t *)p, n);
    if (!seg)
        return ERR_NOMEM;
    append(q, seg);
    return ERR_OK;
}

enum err outq_copy_and_slice(struct outq *q, struct outq_pool *pool, struct str head,
                             struct blob *owner, struct str slice)
{
    size_t room = room_left(q);
    size_t more = head.n > room ? head.n - room : 0;
    struct outq_seg *seg = slice_new(pool, owner, (uint8_t *)(uintptr_t)slice.p, slice.n);
    struct outq_seg *fresh = NULL;
    enum err e = seg ? ERR_OK : ERR_NOMEM;

    if (!e && more > SHORT_DATA)
        e = chunks_new(pool, more, &fresh);
    else if (!e && more > 0 && !(fresh = short_new(pool)))
        e = ERR_NOMEM;
    if (e) {
        list_free(pool, seg);
        return e;
    }
    fill(q, fresh, (const uint8_t *)head.p, head.n);
    append(q, seg);
    return ERR_OK;
}

/* Cut n bytes, fewer than it has, off the front of a segment. */
static void seg_drop(struct outq *q, struct outq_seg *seg, size_t n)
{
    seg->begin += n;
    seg->len -= (uint32_t)n;
    q->bytes -= n;
}

/*
 * Append a whole segment; a chunk that fits behind the last one is copied, so that chunks fill
 * up.
 */
static void adopt(struct outq *to, struct outq_pool *pool, struct outq_seg *seg)
{
    if (!seg->owner && (seg->len == 0 || (to->last && to->last->room >= seg->len))) {
        (void)fill_last(to, seg->begin, seg->len);
        seg_free(pool, seg);
        return;
    }
    append(to, seg);
}

/*
 * The segment that keeps bytes when the first n go (NULL: none), and in *rest how many of its
 * own go.
 */
static struct outq_seg *find_cut(const struct outq *q, size_t n, size_t *rest)
{
    struct outq_seg *seg = first_of(q);

    while (seg && n >= seg->len) {
        n -= seg->len;
        seg = next_of(q, seg);
    }
    *rest = n;
    return seg;
}

/* A segment of its own for the first n bytes of seg. */
static struct outq_seg *seg_split(struct outq_pool *pool, const struct outq_seg *seg, size_t n)
{
    struct outq_seg *piece;

    if (seg->owner)
        return slice_new(pool, seg->owner, seg->begin, n);
    piece = chunk_new(pool);
    if (!piece)
        return NULL;
    memcpy(piece->begin, seg->begin, n);
    piece->len = (uint32_t)n;
    piece->room = (uint16_t)(piece->room - n);
    return piece;
}

enum err outq_move(struct outq *to, struct outq *from, struct outq_pool *pool, size_t n)
{
    size_t rest = 0;
    struct outq_seg *cut;
    struct outq_seg *piece = NULL;

    assert(n <= from->bytes);
    cut = find_cut(from, n, &rest);
    if (rest > 0) {
        piece = seg_split(pool, cut, rest);
        if (!piece)
            return ERR_NOMEM;
    }
    while (first_of(from) != cut)
        adopt(to, pool, take_first(from));
    if (piece) {
        seg_drop(from, cut, rest);
        adopt(to, pool, piece);
    }
    return ERR_OK;
}

int outq_iovec(const struct outq *q, struct iovec *iov, int n)
{
    int filled = 0;

    for (const struct outq_seg *seg = first_of(q); seg && filled < n; seg = next_of(q, seg)) {
        if (seg->len > 0)
            iov[filled++] = (struct iovec){.iov_base = seg->begin, .iov_len = seg->len};
    }
    return filled;
}

void outq_drop(struct outq *q, struct outq_pool *pool, size_t n)
{
    struct outq_seg *seg;

    assert(n <= q->bytes);
    while ((seg = first_of(q)) && n >= seg->len) {
        n -= seg->len;
        seg_free(pool, take_first(q));
    }
    if (seg && n > 0)
        seg_drop(q, seg, n);
}
