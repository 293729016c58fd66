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

static uint64_t payload_of(const struct stored *e)
{
    return stored_content(e) - (uint64_t)(e->body ? e->body->topic_len : e->topic_len);
}

static void unlist(struct stored_all *all, struct stored *e)
{
    if (e->position == 0)
        return;
    all->count--;
    all->payload_bytes -= payload_of(e);
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
    e->topic_len = e->body->topic_len; /* where the keeper was: nobody calls it now */
    e->body = NULL;
    blob_free(b);
    blob_unref(&e->blob);
}

/* --- messages without a record --- */

static void stop_counting(struct stored_all *all, const struct message *m)
{
    all->count--;
    all->payload_bytes -= m->payload_len;
}

static void plain_gone(struct blob_keeper *keeper, struct blob *b)
{
    stop_counting(CONTAINER_OF(keeper, struct stored_all, plain),
                  CONTAINER_OF(b, struct message, blob));
    blob_free(b);
}

/* --- all --- */

void stored_init(struct stored_all *all)
{
    *all = (struct stored_all){.keeper = {.gone = entry_gone}, .plain = {.gone = plain_gone}};
    TAILQ_INIT(&all->list);
    slab_init(&all->entries, sizeof(struct stored));
}

void stored_clear(struct stored_all *all)
{
    if (all->spare)
        slab_free(&all->entries, all->spare);
    all->spare = NULL;
    assert(TAILQ_EMPTY(&all->list) && all->count == 0);
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

void stored_place(struct stored_all *all, struct stored *e, uint64_t position,
                  struct stored_size size)
{
    assert(position > 0);
    unlist(all, e);
    e->position = position & (UINT64_MAX >> 8);
    e->overhead = (size.record - size.topic - size.payload) & UINT8_MAX;
    e->bytes = size.record;
    if (!e->body)
        e->topic_len = size.topic;
    TAILQ_INSERT_TAIL(&all->list, e, entry);
    all->record_bytes += size.record;
    all->count++;
    all->payload_bytes += payload_of(e);
}

void stored_attach(struct stored_all *all, struct stored *e, struct message *m)
{
    assert(!e->body && !stored_of(m));
    if (m->blob.keeper)
        stop_counting(all, m); /* its entry counts */
    e->body = m;
    e->keeper = (struct blob_keeper){.gone = body_gone};
    m->blob.keeper = &e->keeper;
    all->resident_bytes += m->blob.size;
}

struct stored *stored_of(const struct message *m)
{
    struct blob_keeper *keeper = m->blob.keeper;

    return keeper && keeper->gone == body_gone ? CONTAINER_OF(keeper, struct stored, keeper) : NULL;
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
