/*
 * A body finds its entry through its keeper, which is part of the entry; an entry finds the list
 * through its own keeper, which is part of that.
 */
#include "core/stored.h"

#include "base/table.h"

#include <assert.h>

static struct stored_all *all_of(const struct stored *e)
{
    return CONTAINER_OF(e->blob.keeper, struct stored_all, keeper);
}

static void unlist(struct stored_all *all, struct stored *e)
{
    if (e->position == 0)
        return;
    if (all->cursor == e)
        all->cursor = TAILQ_NEXT(e, entry);
    TAILQ_REMOVE(&all->list, e, entry);
    all->record_bytes -= e->bytes;
}

/* Nobody needs the message any more. */
static void entry_gone(struct blob_keeper *keeper, struct blob *b)
{
    struct stored_all *all = CONTAINER_OF(keeper, struct stored_all, keeper);
    struct stored *e = CONTAINER_OF(b, struct stored, blob);

    unlist(all, e);
    slab_free(&all->entries, e);
}

static void body_gone(struct blob_keeper *keeper, struct blob *b)
{
    struct stored *e = CONTAINER_OF(keeper, struct stored, keeper);

    all_of(e)->resident_bytes -= b->size;
    e->body = NULL;
    blob_free(b);
    blob_unref(&e->blob);
}

void stored_init(struct stored_all *all)
{
    *all = (struct stored_all){.keeper = {.gone = entry_gone}};
    TAILQ_INIT(&all->list);
    slab_init(&all->entries, sizeof(struct stored));
}

void stored_clear(struct stored_all *all)
{
    if (all->spare)
        slab_free(&all->entries, all->spare);
    all->spare = NULL;
    assert(TAILQ_EMPTY(&all->list));
    slab_clear(&all->entries);
}

enum err stored_reserve(struct stored_all *all)
{
    if (!all->spare)
        all->spare = slab_alloc(&all->entries);
    return all->spare ? ERR_OK : ERR_NOMEM;
}

struct stored *stored_add(struct stored_all *all, uint64_t number)
{
    struct stored *e = all->spare;

    assert(e);
    all->spare = NULL;
    *e = (struct stored){.blob = {.refs = 1, .size = sizeof(*e), .keeper = &all->keeper},
                         .keeper = {.gone = body_gone},
                         .number = number};
    return e;
}

struct stored *stored_at(struct stored_all *all, uint64_t position)
{
    struct stored *e = all->cursor;

    if (!e || e->position > position)
        e = TAILQ_FIRST(&all->list);
    while (e && e->position < position)
        e = TAILQ_NEXT(e, entry);
    all->cursor = e;
    return e && e->position == position ? e : NULL;
}

void stored_place(struct stored_all *all, struct stored *e, uint64_t position, uint32_t bytes,
                  uint32_t content)
{
    assert(position > 0);
    unlist(all, e);
    e->position = position & (UINT64_MAX >> 8);
    e->overhead = (bytes - content) & UINT8_MAX;
    e->bytes = bytes;
    TAILQ_INSERT_TAIL(&all->list, e, entry);
    all->record_bytes += bytes;
}

void stored_attach(struct stored_all *all, struct stored *e, struct message *m)
{
    assert(!e->body && !m->blob.keeper);
    e->body = m;
    m->blob.keeper = &e->keeper;
    all->resident_bytes += m->blob.size;
}

struct stored *stored_of(const struct message *m)
{
    return m->blob.keeper ? CONTAINER_OF(m->blob.keeper, struct stored, keeper) : NULL;
}

struct stored *stored_of_row(const struct flow_row *row)
{
    if (row->away)
        return stored_of_ticket(row->ticket);
    return row->message ? stored_of(row->message) : NULL;
}

uint32_t stored_sum(struct str topic, struct str payload)
{
    uint32_t sum = (uint32_t)table_hash(table_hash(0, topic.p, topic.n), payload.p, payload.n);

    return sum ? sum : 1;
}

struct blob *stored_ticket(struct stored *e)
{
    if (e->body && e->sum == 0)
        e->sum = stored_sum(message_topic(e->body), message_payload(e->body));
    return &e->blob;
}
