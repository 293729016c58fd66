/*
 * A table beside the retained messages, not a field of theirs: without an ACL nobody pays for it.
 */
#include "core/author.h"

#include "base/base.h"
#include "base/mem.h"

#include <assert.h>

struct authored {
    uint64_t message; /* its address */
    struct rights *by;
};

/* Of a record, beside the two names. */
#define RECORD_BYTES 8

static const size_t key_at = offsetof(struct authored, message);

static uint64_t key_of(const struct message *m)
{
    return (uintptr_t)m;
}

static uint64_t record_bytes(const struct authored *a)
{
    struct rights_who who = rights_who(a->by);

    return RECORD_BYTES + who.user.n + who.client.n;
}

struct authored *author_reserve(struct authors *all, struct rights *by)
{
    struct authored *a;

    if (table_reserve(&all->by_message, &table_of_numbers, &key_at))
        return NULL;
    a = mem_alloc(sizeof(*a));
    if (a)
        *a = (struct authored){.by = rights_ref(by)};
    return a;
}

void author_drop(struct authors *all, struct authored *a)
{
    if (!a)
        return;
    rights_unref(all->rights, a->by);
    mem_free(a, sizeof(*a));
}

static void forget(struct authors *all, struct authored *a)
{
    if (a)
        all->bytes -= record_bytes(a);
    author_drop(all, a);
}

void author_set(struct authors *all, struct authored *a, const struct message *m)
{
    const uint64_t key = key_of(m);
    struct authored *former;
    enum err e = ERR_OK;

    a->message = key;
    all->bytes += record_bytes(a);
    former = table_replace(&all->by_message, &table_of_numbers, &key_at, table_hash_number(key),
                           &key, a);
    if (!former)
        e = table_insert(&all->by_message, &table_of_numbers, &key_at, table_hash_number(key), a);
    assert(!e); /* reserved */
    forget(all, former);
}

void author_forget(struct authors *all, const struct message *m)
{
    const uint64_t key = key_of(m);

    if (LIKELY(all->by_message.count == 0))
        return;
    forget(all, table_remove(&all->by_message, &table_of_numbers, &key_at, table_hash_number(key),
                             &key));
}

void author_record(struct persist *p, uint64_t number, const struct rights *by)
{
    struct rights_who who = rights_who(by);

    (void)persist_write(p, &(struct record){.type = RECORD_AUTHOR,
                                            .number = number,
                                            .id = who.port,
                                            .text = who.user,
                                            .payload = who.client});
}

struct rights *author_of(const struct authors *all, const struct message *m)
{
    const uint64_t key = key_of(m);
    const struct authored *a;

    if (LIKELY(all->by_message.count == 0))
        return NULL;
    a = table_find(&all->by_message, &table_of_numbers, &key_at, table_hash_number(key), &key);
    return a ? a->by : NULL;
}

void authors_clear(struct authors *all)
{
    uint64_t cursor = 0;
    struct authored *a;

    while ((a = table_next(&all->by_message, &cursor)))
        author_drop(all, a);
    table_clear(&all->by_message);
}
