/*
 * The ring of rows.
 */
#include "mqtt/flow_rows.h"

#include "base/mem.h"

void rows_free(struct flow *f)
{
    if (f->dir != f->dir_inline)
        mem_free(f->dir, f->dir_cap * sizeof(f->dir[0]));
}

/* Without memory the directory stays as it is. */
static enum err dir_resize(struct flow *f, uint32_t cap)
{
    struct flow_chunk **dir = f->dir_inline;

    if (cap > DIR_INLINE) {
        dir = mem_alloc(cap * sizeof(struct flow_chunk *));
        if (!dir)
            return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < f->dir_count; i++)
        dir[i] = f->dir[(f->dir_first + i) & (f->dir_cap - 1)];
    rows_free(f);
    f->dir = dir;
    f->dir_cap = cap;
    f->dir_first = 0;
    return ERR_OK;
}

static void chunk_release(struct flow *f, struct flow_chunk *chunk)
{
    if (!f->spare)
        f->spare = chunk;
    else
        mem_free(chunk, sizeof(*chunk));
}

void rows_pop(struct flow *f)
{
    chunk_release(f, f->dir[f->dir_first]);
    f->dir_first = (f->dir_first + 1) & (f->dir_cap - 1);
    f->dir_count--;
    /* a smaller directory is a courtesy: without memory it comes later */
    if (f->dir_cap > DIR_INLINE && f->dir_count <= f->dir_cap / 4)
        (void)dir_resize(f, f->dir_cap / 2);
}

void rows_release(struct flow *f)
{
    while (f->dir_count > 0)
        rows_pop(f);
    if (!f->reserved) {
        mem_free(f->spare, sizeof(*f->spare));
        f->spare = NULL;
    }
}

enum err rows_reserve(struct flow *f)
{
    if (rows_lack_chunk(f)) {
        if (f->dir_count == f->dir_cap && dir_resize(f, f->dir_cap * 2) != ERR_OK)
            return ERR_NOMEM;
        if (!f->spare)
            f->spare = mem_alloc(sizeof(*f->spare));
        if (!f->spare)
            return ERR_NOMEM;
    }
    f->reserved = true;
    return ERR_OK;
}

static enum err chunk_in_front(struct flow *f)
{
    struct flow_chunk *chunk;

    if (f->dir_count == f->dir_cap && dir_resize(f, f->dir_cap * 2) != ERR_OK)
        return ERR_NOMEM;
    chunk = mem_alloc(sizeof(*chunk));
    if (!chunk)
        return ERR_NOMEM;
    f->dir_first = (f->dir_first - 1) & (f->dir_cap - 1);
    f->dir[f->dir_first] = chunk;
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

void rows_drop(struct flow_row *row)
{
    if (row->away)
        blob_unref(row->ticket);
    else
        message_unref(row->message);
    row->message = NULL;
    row->away = 0;
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
    if (f->dir_count != chunks || f->dir_count > f->dir_cap || f->dir_first >= f->dir_cap)
        return false;
    return chunks || !f->spare || f->reserved;
}
