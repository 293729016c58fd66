/*
 * Bytes waiting to be written to one connection.
 *
 * Small packets are copied into chunks, large payloads are referenced as slices of blobs, so that
 * one writev() sends many small messages from one place and copies no large one. Chunks come from a
 * pool that all queues of a broker share: a queue that has been written owns nothing, and steady
 * traffic allocates nothing.
 *
 * Inside, a queue is a ring of segments in order: a chunk (bytes copied one after another) or a
 * slice.
 */
#ifndef BASE_OUTQ_H
#define BASE_OUTQ_H

#include "base/blob.h"
#include "base/err.h"
#include "base/slab.h"
#include "base/str.h"

#include <assert.h>
#include <stdint.h>
#include <sys/uio.h>

/* Bytes of a chunk's allocation, header included; and of a short one, for what stands in front of a
 * slice. */
#define OUTQ_CHUNK 4096
#define OUTQ_SHORT 128

/* A chunk of copied bytes, followed by its room for more, or a slice of somebody's blob. */
struct outq_seg {
    struct outq_seg *next;
    struct blob *owner; /* NULL: a chunk */
    uint8_t *begin;     /* the first byte that waits */
    uint32_t len;       /* bytes that wait */
    uint16_t room;      /* bytes that can still be added behind them; 0 in a slice */
    uint16_t size;      /* of the allocation, if it is a chunk */
};

/* Spare chunks, short chunks and slice headers; at most `keep` chunks stay when nothing needs them.
 */
struct outq_pool {
    struct outq_seg *spare;
    uint32_t spare_count;
    uint32_t keep;
    struct slab slices;
    struct slab shorts;
};

struct outq {
    struct outq_seg *last; /* behind it comes the first: a queue is in every connection */
    size_t bytes;          /* waiting, in all */
};

void outq_pool_init(struct outq_pool *pool, uint32_t keep);
void outq_pool_clear(struct outq_pool *pool); /* all queues must be empty */

/* A zeroed struct outq is an empty queue. */
void outq_clear(struct outq *q, struct outq_pool *pool);

/*
 * Contiguous room for n bytes (n <= OUTQ_CONTIGUOUS) at the end of the queue; NULL without memory.
 * Write there, then outq_added(q, n') with n' <= n, before anything else is done to the queue.
 * Nothing is queued until then. This is the hot path: two compares when the last chunk has room.
 */
#define OUTQ_CONTIGUOUS 2048
uint8_t *outq_room_new(struct outq *q, struct outq_pool *pool, size_t n); /* outq_room's alone */
static inline uint8_t *outq_room(struct outq *q, struct outq_pool *pool, size_t n)
{
    struct outq_seg *last = q->last;

    if (LIKELY(last && last->room >= n))
        return last->begin + last->len;
    return outq_room_new(q, pool, n);
}
static inline void outq_added(struct outq *q, size_t n)
{
    struct outq_seg *last = q->last;

    assert(n <= last->room);
    last->len += (uint32_t)n;
    last->room = (uint16_t)(last->room - n);
    q->bytes += n;
}
/* Copy n bytes of any length. ERR_NOMEM queues nothing. */
MUST_CHECK enum err outq_copy(struct outq *q, struct outq_pool *pool, const void *p, size_t n);
/*
 * Queue a slice inside of `owner`'s allocation; takes a reference of its own. ERR_NOMEM queues
 * nothing, an empty slice neither.
 */
MUST_CHECK enum err outq_slice(struct outq *q, struct outq_pool *pool, struct blob *owner,
                               const void *p, size_t n);
/*
 * n copied bytes and behind them a slice of `owner`: a packet whose payload is large. ERR_NOMEM
 * queues nothing.
 */
MUST_CHECK enum err outq_copy_and_slice(struct outq *q, struct outq_pool *pool, struct str head,
                                        struct blob *owner, struct str slice);
/*
 * Move the first n <= from->bytes bytes of `from` to the end of `to`. Whole segments are relinked,
 * but a chunk that fits into the room behind the last one of `to` is copied there: else many small
 * moves would leave a queue of nearly empty chunks. ERR_NOMEM (only when a segment must be split)
 * moves nothing.
 */
MUST_CHECK enum err outq_move(struct outq *to, struct outq *from, struct outq_pool *pool, size_t n);
/* Fill at most n entries of iov with what waits first; returns how many. Bytes stay queued. */
int outq_iovec(const struct outq *q, struct iovec *iov, int n);
/* The first n bytes have been written: free them. */
void outq_drop(struct outq *q, struct outq_pool *pool, size_t n);

#endif
