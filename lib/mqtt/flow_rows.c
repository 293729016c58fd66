/*
 * The ring of rows.
 */
#include "mqtt/flow_rows.h"

#include "base/mem.h"

#include <string.h>

void rows_free(struct flow *f)
{
    if (f->dir != f->dir_inline)
        mem_free(f->dir, f->dir_cap * sizeof(f->dir[0]));
}

/* Without memory the directory stays as it is. */
static enum err dir_resize(struct flow *f, uint32_t cap)
{
    struct flow_chunk *inside[DIR_INLINE];
    struct flow_chunk **dir = inside;
    uint64_t first = f->head >> CHUNK_SHIFT;

    if (cap > DIR_INLINE) {
        dir = mem_alloc(cap * sizeof(struct flow_chunk *));
        if (!dir)
            return ERR_NOMEM;
    }
    for (uint64_t i = first; i < first + f->dir_count; i++)
        dir[i & (cap - 1)] = f->dir[i & (f->dir_cap - 1)];
    rows_free(f);
    f->dir = dir;
    if (dir == inside) {
        memcpy(f->dir_inline, inside, sizeof(inside));
        f->dir = f->dir_inline;
    }
    f->dir_cap = cap;
    return ERR_OK;
}

static struct flow_chunk *chunk_new(const struct flow *f)
{
    return slabs_take(f->pool, sizeof(struct flow_chunk));
}

static void chunk_free(const struct flow *f, struct flow_chunk *chunk)
{
    slabs_give(f->pool, chunk, sizeof(*chunk));
}

/* More than one stays only for several rows that were promised. */
static void chunk_release(struct flow *f, struct flow_chunk *chunk)
{
    f->dir_count--;
    if (f->spare && f->reserved <= 1) {
        chunk_free(f, chunk);
        return;
    }
    chunk->next = f->spare;
    f->spare = chunk;
}

void rows_pop(struct flow *f)
{
    chunk_release(f, *rows_slot(f, f->head - 1));
    /* a smaller directory is a courtesy: without memory it comes later */
    if (f->dir_cap > DIR_INLINE && f->dir_count <= f->dir_cap / 4 && f->reserved <= 1)
        (void)dir_resize(f, f->dir_cap / 2);
}

void rows_release(struct flow *f)
{
    for (uint64_t seq = f->head; f->dir_count > 0; seq += CHUNK_ROWS)
        chunk_release(f, *rows_slot(f, seq));
    if (f->dir_cap > DIR_INLINE && f->reserved <= 1)
        (void)dir_resize(f, DIR_INLINE);
    while (f->spare && !f->reserved) {
        struct flow_chunk *chunk = f->spare;
        f->spare = chunk->next;
        chunk_free(f, chunk);
    }
}

/* How many chunks are wanting for n more rows? */
static uint32_t chunks_wanting(const struct flow *f, uint32_t n)
{
    uint64_t end = f->tail >> CHUNK_SHIFT; /* the first that is not there */

    if (!rows_lack_chunk(f))
        end++;
    return (uint32_t)(((f->tail + n - 1) >> CHUNK_SHIFT) + 1 - end);
}

static enum err need_spares(struct flow *f, uint32_t n)
{
    struct flow_chunk **at = &f->spare;

    for (; n > 0; n--) {
        if (!*at) {
            *at = chunk_new(f);
            if (!*at)
                return ERR_NOMEM;
            (*at)->next = NULL;
        }
        at = &(*at)->next;
    }
    return ERR_OK;
}

enum err rows_grow(struct flow *f, uint32_t n)
{
    uint32_t chunks = chunks_wanting(f, n);
    uint32_t cap = f->dir_cap;

    while (f->dir_count + chunks > cap)
        cap *= 2;
    if ((cap > f->dir_cap && dir_resize(f, cap) != ERR_OK) || need_spares(f, chunks) != ERR_OK) {
        if (f->dir_count == 0)
            rows_release(f); /* what there was of these chunks */
        return ERR_NOMEM;
    }
    if (f->reserved < n)
        f->reserved = n;
    return ERR_OK;
}

/* A chunk for the rows in front of `head`, which is the first of its own. */
static enum err chunk_in_front(struct flow *f)
{
    struct flow_chunk *chunk;

    if (f->dir_count == f->dir_cap && dir_resize(f, f->dir_cap * 2) != ERR_OK)
        return ERR_NOMEM;
    chunk = chunk_new(f);
    if (!chunk)
        return ERR_NOMEM;
    *rows_slot(f, f->head - 1) = chunk;
    f->dir_count++;
    return ERR_OK;
}

struct flow_row *rows_in_front(struct flow *f)
{
    if ((f->head & (CHUNK_ROWS - 1)) == 0 && chunk_in_front(f) != ERR_OK)
        return NULL;
    f->head--;
    return rows_at(f, f->head);
}

void rows_settle(struct flow *f)
{
    while (f->begun < f->tail && rows_at(f, f->begun)->state == FLOW_DONE) {
        rows_at(f, f->begun)->id = f->last_id;
        f->begun++;
    }
    while (f->sent < f->begun && rows_at(f, f->sent)->state == FLOW_DONE)
        f->sent++;
    while (f->head < f->begun && rows_at(f, f->head)->state == FLOW_DONE)
        rows_forward(f);
    if (f->head == f->tail)
        rows_release(f);
}

bool rows_check(const struct flow *f)
{
    uint64_t chunks = 0;

    if (f->head < f->tail)
        chunks = ((f->tail - 1) >> CHUNK_SHIFT) - (f->head >> CHUNK_SHIFT) + 1;
    if (f->dir_count != chunks || f->dir_count > f->dir_cap)
        return false;
    return chunks || !f->spare || f->reserved;
}
