/*
 * The file is read into tables, put in order, and written as the records that a broker would have
 * written which had lived through the same.
 *
 * Mosquitto keeps a message that came in at QoS 2 until it is released, and delivers it then. Our
 * broker delivers at once and remembers only the packet id. So what has not been released is
 * delivered here: to the sessions of the file whose subscriptions match; one member, the first, of
 * each shared subscription; and to its topic if it is to be retained. What would arrive at QoS 0
 * arrives nowhere: nobody is connected.
 *
 * A row may have a higher QoS than its message (upgrade_outgoing_qos); a flow has no such rows, so
 * the message gets that of its highest row.
 */
#include "store/import.h"

#include "base/mem.h"
#include "core/record.h"
#include "mqtt/packet.h"
#include "store/import_match.h"
#include "store/import_rows.h"
#include "store/import_tables.h"

#include <stdlib.h>

#define FRAME_BYTES (1u << 20)

/* Records on their way out. After an error nothing more leaves. */
struct output {
    const struct import_setup *setup;
    struct import_counts counts; /* of what is taken over */
    struct buf frame;
    enum err e;
};

static void flush(struct output *out)
{
    if (!out->e && out->frame.len > 0)
        out->e = out->setup->emit(out->setup->ctx, buf_str(&out->frame));
    buf_drop(&out->frame, out->frame.len);
}

static void put(struct output *out, struct record r)
{
    size_t bytes = RECORD_OVERHEAD + r.text.n + r.payload.n;

    if (out->frame.len + bytes > FRAME_BYTES)
        flush(out);
    if (!out->e)
        out->e = buf_reserve(&out->frame, bytes);
    if (!out->e)
        record_write(&out->frame, &r);
}

/* --- which messages are needed, and their numbers --- */

static void count_expired(struct import_tables *t, struct import_message *m)
{
    t->expired += !m->counted;
    m->counted = true;
}

static uint32_t retained_at(const struct import_tables *t, uint32_t i)
{
    return ((const uint32_t *)t->retained.items)[i];
}

static const struct import_row *outgoing_at(const struct import_tables *t, uint32_t i)
{
    return (const struct import_row *)t->rows.items + i;
}

static const struct import_row *inbound_at(const struct import_tables *t, uint32_t i)
{
    return (const struct import_row *)t->inbound.items + i;
}

static void need_rows(struct import_tables *t)
{
    for (uint32_t i = 0; i < t->rows.count; i++) {
        const struct import_row *row = outgoing_at(t, i);
        struct import_message *m = import_message(t, row->message);
        if (row->phase == IMPORT_RELEASED)
            continue;
        m->needed = true;
        m->qos = row->qos > m->qos ? row->qos : m->qos;
    }
}

/* An empty payload is no retained message (3.3.1-10). */
static bool is_retainable(const struct import_message *m)
{
    return m->known == IMPORT_TAKEN && m->payload.n > 0;
}

static void need_retained(struct import_tables *t)
{
    for (uint32_t i = 0; i < t->retained.count; i++) {
        struct import_message *m = import_message(t, retained_at(t, i));
        if (is_retainable(m))
            m->needed = true;
        else if (m->known == IMPORT_EXPIRED)
            count_expired(t, m);
        else
            t->orphans++;
    }
}

static void need_inbound(struct import_tables *t)
{
    struct import_row *rows = t->inbound.items;
    uint32_t kept = 0;

    for (uint32_t i = 0; i < t->inbound.count; i++) {
        const struct import_client *c = import_client(t, rows[i].client);
        struct import_message *m = import_message(t, rows[i].message);
        if (c->known == IMPORT_EXPIRED)
            continue;
        if (c->known == IMPORT_NAMED || m->known == IMPORT_NAMED) {
            t->orphans++;
            continue;
        }
        if (m->known == IMPORT_EXPIRED) {
            count_expired(t, m);
        } else {
            m->needed = true;
            m->qos = QOS_2;
        }
        rows[kept++] = rows[i];
    }
    t->inbound.count = kept;
}

static int compare_ids(const void *a, const void *b)
{
    const struct import_message *x = *(struct import_message *const *)a;
    const struct import_message *y = *(struct import_message *const *)b;

    return (x->id > y->id) - (x->id < y->id);
}

static void write_message(struct import_tables *t, struct import_message *m, struct output *out)
{
    m->number = ++out->counts.messages;
    t->properties += m->extras;
    put(out, (struct record){.type = RECORD_MESSAGE,
                             .number = m->number,
                             .qos = m->qos,
                             .text = m->topic,
                             .payload = m->payload});
}

/* In the order of Mosquitto's ids, which is the order in which they came. */
static void write_messages(struct import_tables *t, struct output *out)
{
    size_t size = sizeof(struct import_message *) * t->messages.count;
    struct import_message **needed = mem_alloc(size);
    uint32_t n = 0;

    if (!needed) {
        out->e = ERR_NOMEM;
        return;
    }
    for (uint32_t i = 0; i < t->messages.count; i++) {
        if (import_message(t, i)->needed)
            needed[n++] = import_message(t, i);
    }
    if (n > 0)
        qsort(needed, n, sizeof(*needed), compare_ids);
    for (uint32_t i = 0; i < n; i++)
        write_message(t, needed[i], out);
    mem_free(needed, size);
}

/* --- sessions --- */

static void write_clients(struct import_tables *t, struct output *out)
{
    for (uint32_t i = 0; i < t->clients.count; i++) {
        struct import_client *c = import_client(t, i);
        if (c->known != IMPORT_TAKEN)
            continue;
        c->session = ++out->counts.clients;
        c->seq = 1;
        put(out, (struct record){.type = RECORD_CLIENT,
                                 .session = c->session,
                                 .seq = c->begun + 1u,
                                 .time = (uint64_t)c->left,
                                 .id = c->last_id,
                                 .text = c->id});
    }
}

/* Afterwards the list holds only what was written. */
static void write_subscriptions(struct import_tables *t, struct output *out)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < t->subscriptions.count; i++) {
        const struct import_subscription *s = import_subscription(t, i);
        const struct import_client *c = import_client(t, s->client);
        if (c->session == 0) {
            t->orphans += c->known == IMPORT_NAMED;
            continue;
        }
        out->counts.subscriptions++;
        t->properties += s->extras;
        put(out,
            (struct record){
                .type = RECORD_SUBSCRIBE, .session = c->session, .qos = s->qos, .text = s->text});
        *import_subscription(t, kept++) = *s;
    }
    t->subscriptions.count = kept;
}

static void write_queue(struct import_tables *t, struct output *out, uint32_t client,
                        const struct record *row)
{
    struct import_client *c = import_client(t, client);
    struct record r = *row;

    r.type = RECORD_QUEUE;
    r.session = c->session;
    r.seq = c->seq++;
    put(out, r);
    out->counts.queued++;
}

static void write_row(struct import_tables *t, struct output *out, const struct import_row *row)
{
    const struct import_client *c = import_client(t, row->client);
    bool released = row->phase == IMPORT_RELEASED;
    uint64_t seq = c->seq;

    t->properties += row->extras;
    write_queue(t, out, row->client,
                &(struct record){.number = released ? 0 : import_message(t, row->message)->number,
                                 .qos = row->qos,
                                 .flags = row->retain ? RECORD_FLAG_RETAIN : 0});
    if (row->phase != IMPORT_WAITING)
        put(out, (struct record){
                     .type = RECORD_BEGIN, .session = c->session, .seq = seq, .id = row->id});
    if (released)
        put(out, (struct record){.type = RECORD_RECEIVED, .session = c->session, .seq = seq});
}

static void write_retained(struct output *out, uint64_t number)
{
    put(out, (struct record){.type = RECORD_RETAIN, .number = number});
    out->counts.retained++;
}

/* --- what came in at QoS 2 and was not released --- */

struct receivers {
    struct import_tables *t;
    uint32_t *clients; /* room for as many as there are */
    uint32_t count;
};

/* 3.3.5-1: once for each client, at the highest QoS. */
static void add_receiver(void *ctx, const struct import_subscription *s)
{
    struct receivers *to = ctx;
    struct import_client *c = import_client(to->t, s->client);

    if (s->qos == QOS_0)
        return;
    if (c->qos == 0)
        to->clients[to->count++] = s->client;
    c->qos = s->qos > c->qos ? s->qos : c->qos;
}

static void deliver(struct receivers *to, const struct import_message *m, struct output *out)
{
    to->count = 0;
    import_match(to->t, m->topic, add_receiver, to);
    for (uint32_t i = 0; i < to->count && !out->e; i++) {
        struct import_client *c = import_client(to->t, to->clients[i]);
        write_queue(to->t, out, to->clients[i],
                    &(struct record){.number = m->number, .qos = c->qos});
    }
    for (uint32_t i = 0; i < to->count; i++)
        import_client(to->t, to->clients[i])->qos = 0;
}

static void retain_inbound(const struct import_message *m, struct output *out)
{
    if (m->payload.n > 0)
        write_retained(out, m->number);
    else
        put(out, (struct record){.type = RECORD_RETAIN_CLEAR, .text = m->topic});
}

static void write_inbound(struct import_tables *t, struct output *out)
{
    struct receivers to = {.t = t};
    size_t size = sizeof(*to.clients) * t->clients.count;

    if (t->inbound.count == 0)
        return;
    to.clients = mem_alloc(size);
    if (!to.clients) {
        out->e = ERR_NOMEM;
        return;
    }
    import_match_sort(t);
    for (uint32_t i = 0; i < t->inbound.count && !out->e; i++) {
        const struct import_row *row = inbound_at(t, i);
        const struct import_message *m = import_message(t, row->message);
        if (m->known == IMPORT_TAKEN)
            deliver(&to, m, out);
        if (m->known == IMPORT_TAKEN && row->retain)
            retain_inbound(m, out);
        t->properties += row->extras;
        put(out, (struct record){.type = RECORD_IN_ADD,
                                 .session = import_client(t, row->client)->session,
                                 .id = row->id});
    }
    mem_free(to.clients, size);
}

/* --- all of it --- */

static void write_records(struct import_tables *t, struct output *out)
{
    import_settle_rows(t);
    need_rows(t);
    need_retained(t);
    need_inbound(t);
    write_clients(t, out);
    write_subscriptions(t, out);
    write_messages(t, out);
    for (uint32_t i = 0; i < t->retained.count; i++) {
        const struct import_message *m = import_message(t, retained_at(t, i));
        if (is_retainable(m))
            write_retained(out, m->number);
    }
    for (uint32_t i = 0; i < t->rows.count && !out->e; i++)
        write_row(t, out, outgoing_at(t, i));
    write_inbound(t, out);
    flush(out);
}

static enum err read_file(struct import_tables *t, struct import_reader *r, struct str bytes)
{
    struct import_chunk c;
    enum err e = import_open(r, bytes);

    while (!e) {
        e = import_next(r, &c);
        if (!e)
            e = import_take(t, &c);
    }
    return e == ERR_NOT_FOUND ? ERR_OK : e;
}

enum err store_import(const struct import_setup *setup, struct import_counts *counts,
                      uint64_t *where, const char **what)
{
    struct import_reader r = {.what = NULL};
    struct output out = {.setup = setup};
    struct import_tables t;

    import_tables_init(&t, setup->bytes, setup->wall_s);
    if (setup->bytes.n > 0) /* an empty file is how some make room for one: it says nothing */
        out.e = read_file(&t, &r, setup->bytes);
    if (!out.e)
        write_records(&t, &out);
    buf_clear(&out.frame);
    *counts = out.counts;
    counts->format = r.format;
    counts->expired = t.expired;
    counts->properties = t.properties;
    counts->orphans = t.orphans;
    *where = r.at;
    *what = r.what ? r.what : err_word(out.e);
    import_tables_clear(&t);
    return out.e;
}
