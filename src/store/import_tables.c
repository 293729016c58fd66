/*
 * Clients and messages are made when they are first spoken of, and known when their own chunk
 * comes. The tables that find them hold places in the lists, which move as they grow.
 *
 * The seed of the hashes is the hash of the whole file, so nobody can write one whose keys collide.
 */
#include "store/import_tables.h"

#include "base/mem.h"
#include "mqtt/packet.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"

#include <stdlib.h>

#define LIST_LEAST 64

static void *list_add(struct import_list *l, size_t size)
{
    if (l->count == l->cap) {
        uint32_t cap = l->cap > UINT32_MAX / 2 ? UINT32_MAX : l->cap * 2;
        if (cap < LIST_LEAST)
            cap = LIST_LEAST;
        void *items = cap > l->cap ? mem_realloc(l->items, l->cap * size, cap * size) : NULL;
        if (!items)
            return NULL;
        l->items = items;
        l->cap = cap;
    }
    void *item = (char *)l->items + l->count++ * size;
    memset(item, 0, size);
    return item;
}

static void list_clear(struct import_list *l, size_t size)
{
    mem_free(l->items, l->cap * size);
    *l = (struct import_list){0};
}

void import_tables_init(struct import_tables *t, struct str file, int64_t wall_s)
{
    *t = (struct import_tables){.wall_s = wall_s, .seed = table_hash(0, file.p, file.n)};
}

void import_tables_clear(struct import_tables *t)
{
    list_clear(&t->clients, sizeof(struct import_client));
    list_clear(&t->messages, sizeof(struct import_message));
    list_clear(&t->subscriptions, sizeof(struct import_subscription));
    list_clear(&t->rows, sizeof(struct import_row));
    list_clear(&t->inbound, sizeof(struct import_row));
    list_clear(&t->retained, sizeof(uint32_t));
    table_clear(&t->client_ids);
    table_clear(&t->message_ids);
}

/* --- places in a list as entries of a table --- */

static void *entry_of(uint32_t place)
{
    return (void *)((uintptr_t)place + 1);
}

static uint32_t place_of(const void *entry)
{
    return (uint32_t)((uintptr_t)entry - 1);
}

static uint64_t client_hash(const void *entry, const void *ctx)
{
    const struct import_tables *t = ctx;
    struct str id = import_client(t, place_of(entry))->id;

    return table_hash(t->seed, id.p, id.n);
}

static bool client_equal(const void *entry, const void *key, const void *ctx)
{
    const struct str *id = key;

    return str_eq(import_client(ctx, place_of(entry))->id, *id);
}

static const struct table_ops client_ops = {.hash = client_hash, .equal = client_equal};

static uint64_t message_hash(const void *entry, const void *ctx)
{
    const struct import_tables *t = ctx;

    return table_mix(t->seed, import_message(t, place_of(entry))->id);
}

static bool message_equal(const void *entry, const void *key, const void *ctx)
{
    const uint64_t *id = key;

    return import_message(ctx, place_of(entry))->id == *id;
}

static const struct table_ops message_ops = {.hash = message_hash, .equal = message_equal};

static enum err find_client(struct import_tables *t, struct str id, uint32_t *place)
{
    uint64_t hash = table_hash(t->seed, id.p, id.n);
    void *entry = table_find(&t->client_ids, &client_ops, t, hash, &id);
    struct import_client *c;

    if (entry) {
        *place = place_of(entry);
        return ERR_OK;
    }
    c = list_add(&t->clients, sizeof(*c));
    if (!c)
        return ERR_NOMEM;
    c->id = id;
    *place = t->clients.count - 1;
    return table_insert(&t->client_ids, &client_ops, t, hash, entry_of(*place));
}

static enum err find_message(struct import_tables *t, uint64_t id, uint32_t *place)
{
    uint64_t hash = table_mix(t->seed, id);
    void *entry = table_find(&t->message_ids, &message_ops, t, hash, &id);
    struct import_message *m;

    if (entry) {
        *place = place_of(entry);
        return ERR_OK;
    }
    m = list_add(&t->messages, sizeof(*m));
    if (!m)
        return ERR_NOMEM;
    m->id = id;
    *place = t->messages.count - 1;
    return table_insert(&t->message_ids, &message_ops, t, hash, entry_of(*place));
}

/* --- one function per type of chunk --- */

static enum err left_out(struct import_tables *t)
{
    t->orphans++;
    return ERR_OK;
}

/* Has this moment come? 0 = there is none. */
static bool is_past(const struct import_tables *t, int64_t time)
{
    return time != 0 && time <= t->wall_s;
}

/* Mosquitto 1.4 took topics and client ids that are no UTF-8; its successors kept them. */
static bool topic_is_usable(struct str topic)
{
    return utf8_valid(topic) && topic_check_name(topic) == REASON_OK;
}

static enum err take_message(struct import_tables *t, const struct import_chunk *c)
{
    struct import_message *m;
    uint32_t place;

    if (!topic_is_usable(c->topic) || c->payload.n > PACKET_MAX - FIXED_HEADER_MAX - 4 - c->topic.n)
        return left_out(t);
    if (find_message(t, c->id, &place))
        return ERR_NOMEM;
    m = import_message(t, place);
    if (m->known != IMPORT_NAMED)
        return left_out(t);
    m->known = is_past(t, c->expires) ? IMPORT_EXPIRED : IMPORT_TAKEN;
    m->topic = c->topic;
    m->payload = c->payload;
    m->qos = c->qos;
    m->extras = c->extras;
    return ERR_OK;
}

static enum err take_client(struct import_tables *t, const struct import_chunk *c)
{
    struct import_client *client;
    uint32_t place;

    if (c->client.n == 0 || !utf8_valid(c->client))
        return left_out(t);
    if (find_client(t, c->client, &place))
        return ERR_NOMEM;
    client = import_client(t, place);
    if (client->known != IMPORT_NAMED)
        return left_out(t);
    if (is_past(t, c->expires)) {
        client->known = IMPORT_EXPIRED;
        t->expired++;
        return ERR_OK;
    }
    client->known = IMPORT_TAKEN;
    client->last_id = c->packet_id;
    client->left = c->left > 0 && c->left < t->wall_s ? c->left : t->wall_s;
    t->properties += c->extras;
    return ERR_OK;
}

static enum err take_subscription(struct import_tables *t, const struct import_chunk *c)
{
    struct import_subscription *s;
    struct str group;
    uint32_t client;

    if (!utf8_valid(c->topic) || topic_check_subscription(c->topic) != REASON_OK)
        return left_out(t);
    if (find_client(t, c->client, &client))
        return ERR_NOMEM;
    s = list_add(&t->subscriptions, sizeof(*s));
    if (!s)
        return ERR_NOMEM;
    *s = (struct import_subscription){
        .text = c->topic, .filter = c->topic, .client = client, .qos = c->qos, .extras = c->extras};
    (void)topic_is_shared(s->text, &group, &s->filter);
    return ERR_OK;
}

static enum err take_inbound(struct import_tables *t, const struct import_chunk *c,
                             struct import_row row)
{
    struct import_row *to;

    /* QoS 0 and 1 are never kept, and with PUBCOMP under way the message has been delivered. */
    if (c->qos != QOS_2 || c->packet_id == 0 || c->state == IMPORT_RESEND_PUBCOMP)
        return left_out(t);
    to = list_add(&t->inbound, sizeof(*to));
    if (!to)
        return ERR_NOMEM;
    *to = row;
    return ERR_OK;
}

/*
 * Without a packet id nothing was sent. A message that is to be sent (again) at QoS 1 or 2 counts
 * as sent: it may have been, on an earlier connection.
 */
static enum import_phase phase_of(const struct import_chunk *c)
{
    if (c->state == IMPORT_QUEUED || c->qos == QOS_0)
        return IMPORT_WAITING;
    if (c->qos == QOS_2 && (c->state == IMPORT_RESEND_PUBREL || c->state == IMPORT_WAIT_PUBCOMP))
        return IMPORT_RELEASED;
    return c->packet_id != 0 ? IMPORT_SENT : IMPORT_WAITING;
}

static enum err take_row(struct import_tables *t, const struct import_chunk *c)
{
    struct import_row row = {.order = t->rows.count,
                             .id = c->packet_id,
                             .qos = c->qos,
                             .phase = (uint8_t)phase_of(c),
                             .retain = c->retain,
                             .extras = c->extras};
    struct import_row *to;

    if (find_client(t, c->client, &row.client) || find_message(t, c->id, &row.message))
        return ERR_NOMEM;
    if (c->inbound)
        return take_inbound(t, c, row);
    if (row.phase == IMPORT_RELEASED && row.id == 0)
        return left_out(t);
    to = list_add(&t->rows, sizeof(*to));
    if (!to)
        return ERR_NOMEM;
    *to = row;
    return ERR_OK;
}

static enum err take_retain(struct import_tables *t, const struct import_chunk *c)
{
    uint32_t message;
    uint32_t *to;

    if (find_message(t, c->id, &message))
        return ERR_NOMEM;
    to = list_add(&t->retained, sizeof(*to));
    if (!to)
        return ERR_NOMEM;
    *to = message;
    return ERR_OK;
}

enum err import_take(struct import_tables *t, const struct import_chunk *c)
{
    switch (c->kind) {
    case IMPORT_MESSAGE:
        return take_message(t, c);
    case IMPORT_ROW:
        return take_row(t, c);
    case IMPORT_RETAIN:
        return take_retain(t, c);
    case IMPORT_SUBSCRIPTION:
        return take_subscription(t, c);
    case IMPORT_CLIENT:
        return take_client(t, c);
    case IMPORT_CONFIG:
        return ERR_OK;
    default:
        return left_out(t);
    }
}
