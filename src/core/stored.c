/*
 * A body finds its entry through its keeper, which is part of the entry; an entry finds the table
 * through its own keeper, which is part of the table.
 */
#include "core/stored.h"

#include <assert.h>

static uint64_t hash_number(uint64_t n)
{
    return table_mix(0, n);
}

static uint64_t entry_hash(const void *entry, const void *ctx)
{
    const struct stored *e = entry;

    (void)ctx;
    return hash_number(e->number);
}

static bool entry_equal(const void *entry, const void *key, const void *ctx)
{
    const struct stored *e = entry;
    const uint64_t *number = key;

    (void)ctx;
    return e->number == *number;
}

static const struct table_ops ops = {.hash = entry_hash, .equal = entry_equal};

static struct stored_all *all_of(const struct stored *e)
{
    return CONTAINER_OF(e->blob.keeper, struct stored_all, keeper);
}

/* Nobody needs the message any more. */
static void entry_gone(struct blob_keeper *keeper, struct blob *b)
{
    struct stored_all *all = CONTAINER_OF(keeper, struct stored_all, keeper);
    struct stored *e = CONTAINER_OF(b, struct stored, blob);

    (void)table_remove(&all->by_number, &ops, NULL, hash_number(e->number), &e->number);
    all->record_bytes -= e->bytes;
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
    slab_init(&all->entries, sizeof(struct stored));
}

static void drop_spare(struct stored_all *all)
{
    if (all->spare) {
        all->spare->blob.refs = 1;
        blob_unref(&all->spare->blob);
    }
    all->spare = NULL;
}

void stored_clear(struct stored_all *all)
{
    drop_spare(all);
    assert(all->by_number.count == 0);
    table_clear(&all->by_number);
    slab_clear(&all->entries);
}

enum err stored_reserve(struct stored_all *all, uint64_t number)
{
    struct stored *e = all->spare;

    if (e && e->number == number)
        return ERR_OK;
    drop_spare(all);
    e = slab_alloc(&all->entries);
    if (!e)
        return ERR_NOMEM;
    *e = (struct stored){.blob = {.size = sizeof(*e), .keeper = &all->keeper},
                         .keeper = {.gone = body_gone},
                         .number = number};
    if (table_insert(&all->by_number, &ops, NULL, hash_number(number), e)) {
        slab_free(&all->entries, e);
        return ERR_NOMEM;
    }
    all->spare = e;
    return ERR_OK;
}

struct stored *stored_add(struct stored_all *all)
{
    struct stored *e = all->spare;

    assert(e);
    all->spare = NULL;
    e->blob.refs = 1;
    return e;
}

struct stored *stored_find(const struct stored_all *all, uint64_t number)
{
    return table_find(&all->by_number, &ops, NULL, hash_number(number), &number);
}

void stored_place(struct stored_all *all, struct stored *e, uint64_t position, uint32_t bytes,
                  uint32_t content)
{
    all->record_bytes += bytes;
    all->record_bytes -= e->bytes;
    e->position = position & (UINT64_MAX >> 8);
    e->overhead = (bytes - content) & UINT8_MAX;
    e->bytes = bytes;
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
