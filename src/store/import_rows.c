/*
 * A flow wants the rows with packet ids before the others, and the ids in ascending order (65535 is
 * followed by 1). Mosquitto gives ids in the order of the messages, so the order by id is that of
 * the file, and whatever a strange file says, no row has to lose its id or its state for it: that
 * could deliver a message twice, or have a receiver take a new message for the repeat of an old
 * one.
 *
 * Only one row can have an id. Mosquitto gives one anew after 65,535 others while its first message
 * is still not acknowledged. Then the row that has most to lose keeps it: one that waits for
 * PUBCOMP (its message must not be sent again), then QoS 2, then QoS 1. Another that waits for
 * PUBCOMP is left out: the PUBREL of the first ends both. Others wait for a new id, and are
 * delivered twice at worst.
 */
#include "store/import_rows.h"

#include "mqtt/packet.h"

#include <stdlib.h>

#define IDS 65535u

static struct import_row *row_at(const struct import_tables *t, uint32_t i)
{
    return (struct import_row *)t->rows.items + i;
}

/* A message that was not sent before it expired is not sent any more. */
static bool is_wanted(struct import_tables *t, const struct import_row *row)
{
    struct import_client *c = import_client(t, row->client);
    struct import_message *m = import_message(t, row->message);

    if (c->known == IMPORT_EXPIRED)
        return false;
    if (c->known == IMPORT_NAMED || (m->known == IMPORT_NAMED && row->phase != IMPORT_RELEASED)) {
        t->orphans++;
        return false;
    }
    if (m->known != IMPORT_EXPIRED || row->phase != IMPORT_WAITING)
        return true;
    t->expired += !m->counted;
    m->counted = true;
    return false;
}

static void keep_wanted(struct import_tables *t)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < t->rows.count; i++) {
        if (is_wanted(t, row_at(t, i)))
            *row_at(t, kept++) = *row_at(t, i);
    }
    t->rows.count = kept;
}

static void measure_ids(struct import_tables *t)
{
    for (uint32_t i = 0; i < t->rows.count; i++) {
        struct import_row *row = row_at(t, i);
        struct import_client *c = import_client(t, row->client);
        if (row->phase == IMPORT_WAITING)
            continue;
        if (c->base_id == 0)
            c->base_id = row->id;
        row->distance = (uint16_t)((row->id + IDS - c->base_id) % IDS);
    }
}

static int compare(uint32_t a, uint32_t b)
{
    return (a > b) - (a < b);
}

static int compare_begun(const struct import_row *x, const struct import_row *y)
{
    int c = compare(x->distance, y->distance);

    if (c == 0)
        c = compare(x->phase, y->phase);
    return c ? c : compare(y->qos, x->qos);
}

static int compare_rows(const void *a, const void *b)
{
    const struct import_row *x = a;
    const struct import_row *y = b;
    int c = compare(x->client, y->client);

    if (c == 0)
        c = (x->phase == IMPORT_WAITING) - (y->phase == IMPORT_WAITING);
    if (c == 0 && x->phase != IMPORT_WAITING)
        c = compare_begun(x, y);
    return c ? c : compare(x->order, y->order);
}

static void sort_rows(struct import_tables *t)
{
    if (t->rows.count > 0)
        qsort(t->rows.items, t->rows.count, sizeof(struct import_row), compare_rows);
}

/* Rows whose id another one keeps. Returns whether the order has to be made anew. */
static bool resolve_repeats(struct import_tables *t)
{
    const struct import_row *keeper = NULL;
    uint32_t kept = 0;
    bool changed = false;

    for (uint32_t i = 0; i < t->rows.count; i++) {
        struct import_row row = *row_at(t, i);
        bool repeats = keeper && row.phase != IMPORT_WAITING && keeper->client == row.client &&
                       keeper->id == row.id;
        if (repeats && row.phase == IMPORT_RELEASED) {
            t->orphans++;
            continue;
        }
        if (repeats) {
            row.phase = IMPORT_WAITING;
            changed = true;
        }
        *row_at(t, kept) = row;
        if (row.phase != IMPORT_WAITING)
            keeper = row_at(t, kept);
        kept++;
    }
    t->rows.count = kept;
    return changed;
}

static void tell_clients(struct import_tables *t)
{
    for (uint32_t i = 0; i < t->rows.count; i++) {
        const struct import_row *row = row_at(t, i);
        struct import_client *c = import_client(t, row->client);
        if (row->phase == IMPORT_WAITING)
            continue;
        c->begun++;
        c->last_id = row->id;
    }
}

void import_settle_rows(struct import_tables *t)
{
    keep_wanted(t);
    measure_ids(t);
    sort_rows(t);
    if (resolve_repeats(t))
        sort_rows(t);
    tell_clients(t);
}
