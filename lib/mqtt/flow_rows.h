/*
 * The rows of a flow, and its other fields: for flow.c and flow_load.c alone.
 *
 * The ring is a directory (circular, a power of two long) of chunks of rows, so that it grows
 * without copying rows and shrinks from the front. The slot of a chunk follows from the sequence
 * numbers of its rows alone. Two entries stand in the flow itself: a short flow has no other
 * allocation than its chunks. One spare chunk is kept while there are rows, and
 * as many as were promised; an empty flow keeps nothing else.
 */
#ifndef MQTT_FLOW_ROWS_H
#define MQTT_FLOW_ROWS_H

#include "mqtt/flow_row.h"
#include "mqtt/idset.h"

#include <assert.h>
#include <stdbool.h>

#define CHUNK_SHIFT 4
#define CHUNK_ROWS (1u << CHUNK_SHIFT)
#define DIR_INLINE 2
#define ID_MAX 65535u /* of packet ids */

static_assert(sizeof(struct flow_row) == 16, "a row is 16 bytes");

struct flow_chunk {
    union {
        struct flow_row rows[CHUNK_ROWS];
        struct flow_chunk *next; /* of the spare ones */
    };
};

struct flow {
    uint64_t head;
    uint64_t sent;
    uint64_t begun;
    uint64_t tail;

    struct flow_chunk **dir;
    struct flow_chunk *dir_inline[DIR_INLINE];
    struct flow_chunk *spare;
    uint32_t dir_count; /* chunks, from that with `head` on */
    uint32_t dir_cap;

    uint32_t inflight;
    uint32_t queued;
    uint64_t inflight_bytes;
    uint64_t queued_bytes;

    struct idset inbound;

    uint16_t last_id;
    uint32_t reserved;  /* so many pushes have been promised room */
    struct slabs *pool; /* of it and its chunks; or NULL */
};

/* rows_reserve for rows that do not fit into the last chunk. */
MUST_CHECK enum err rows_grow(struct flow *f, uint32_t n);
/* A row in front of the head, not filled in yet. NULL without memory. */
struct flow_row *rows_in_front(struct flow *f);
/* The chunk in front of that with `head` has no rows left. */
void rows_pop(struct flow *f);
/* No rows: nothing is kept but what was promised to rows_add. */
void rows_release(struct flow *f);
/* The directory itself, when there are no chunks. */
void rows_free(struct flow *f);
/* Give up what a row holds. */
static inline void rows_drop(struct flow_row *row)
{
    if (UNLIKELY(row->away))
        blob_unref(row->ticket);
    else
        message_unref(row->message);
    row->message = NULL;
    row->away = 0;
}
/*
 * Move the three positions over what is finished. It keeps three promises, so that looking at what
 * comes next never searches: the row at `head` is not finished; the row at `sent` is not finished
 * or is at `begun`; the row at `begun` waits. Finished rows that `begun` passes carry the id before
 * theirs, so that ids never fall and can be bisected.
 */
void rows_settle(struct flow *f);
/* For flow_check: does the directory fit the rows? */
bool rows_check(const struct flow *f);

/* The slot in the directory of the chunk with this row. */
static inline struct flow_chunk **rows_slot(const struct flow *f, uint64_t seq)
{
    return &f->dir[(seq >> CHUNK_SHIFT) & (f->dir_cap - 1)];
}

static inline struct flow_row *rows_at(const struct flow *f, uint64_t seq)
{
    return &(*rows_slot(f, seq))->rows[seq & (CHUNK_ROWS - 1)];
}

static inline bool rows_lack_chunk(const struct flow *f)
{
    return f->dir_count == 0 || (f->tail & (CHUNK_ROWS - 1)) == 0;
}

/* Make sure that the next n calls of rows_add cannot fail. ERR_NOMEM changes nothing that matters.
 */
MUST_CHECK static inline enum err rows_reserve(struct flow *f, uint32_t n)
{
    uint32_t room = CHUNK_ROWS - (uint32_t)(f->tail & (CHUNK_ROWS - 1));

    if (UNLIKELY(rows_lack_chunk(f) || n > room))
        return rows_grow(f, n);
    if (f->reserved < n)
        f->reserved = n;
    return ERR_OK;
}

/* A row at the tail, not filled in yet. */
static inline struct flow_row *rows_add(struct flow *f)
{
    assert(f->reserved > 0);
    if (rows_lack_chunk(f)) {
        struct flow_chunk *chunk = f->spare;
        assert(chunk && f->dir_count < f->dir_cap);
        f->spare = chunk->next;
        *rows_slot(f, f->tail) = chunk;
        f->dir_count++;
    }
    f->reserved--;
    return rows_at(f, f->tail++);
}

static inline void rows_forward(struct flow *f)
{
    f->head++;
    if ((f->head & (CHUNK_ROWS - 1)) == 0)
        rows_pop(f);
}

/*
 * The same as rows_settle when all that has changed is that the row at `seq`, which was sent, is
 * finished. Nearly always it is the first, and the next one is not finished yet.
 */
static inline void rows_settle_sent(struct flow *f, uint64_t seq)
{
    if (seq != f->head)
        return;
    do
        rows_forward(f);
    while (f->head < f->sent && rows_at(f, f->head)->state == FLOW_DONE);
    if (f->head == f->sent)
        rows_settle(f);
}

/* How far an id is behind that of the first row in flight; ids wrap from 65535 to 1 (2.3.1). */
static inline uint32_t rows_distance(const struct flow *f, uint16_t id)
{
    return (id + ID_MAX - rows_at(f, f->head)->id) % ID_MAX;
}

#endif
