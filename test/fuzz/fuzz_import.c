/*
 * Any bytes as Mosquitto's persistence file: they are refused, or become records that a core can
 * live with. What that means is checked here without one: numbers that were introduced, rows
 * without gaps, packet ids that ascend.
 */
#include "core/record.h"
#include "mqtt/topic.h"
#include "mqtt/utf8.h"
#include "store/import.h"

#include <stdlib.h>

#define NOW 1000000000
#define IDS 65535

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert: this must hold in every build. */
static void must(bool holds)
{
    if (!holds)
        abort();
}

struct session {
    uint64_t begun; /* rows before this one are to be begun */
    uint64_t seq;   /* of the next row */
    uint16_t first_id;
    uint16_t id;
    uint16_t last_id;
    uint64_t released; /* the row that is to be: its message is not needed */
};

struct broker {
    struct session *sessions;
    uint64_t sessions_n;
    uint64_t messages;
    uint8_t *qos;
    size_t cap;
    uint64_t queued;
    uint64_t retained;
    uint64_t subscriptions;
};

static void on_client(struct broker *b, const struct record *r)
{
    must(r->session == ++b->sessions_n && r->session < b->cap);
    must(r->seq > 0 && r->time > 0 && r->time <= NOW);
    must(r->text.n > 0 && utf8_valid(r->text));
    b->sessions[r->session] = (struct session){.begun = r->seq, .seq = 1, .last_id = r->id};
}

static void on_message(struct broker *b, const struct record *r)
{
    must(r->number == ++b->messages && r->number < b->cap);
    must(utf8_valid(r->text) && topic_check_name(r->text) == REASON_OK);
    b->qos[r->number] = r->qos;
}

static void on_queue(struct broker *b, struct session *s, const struct record *r)
{
    must(r->seq == s->seq++ && r->number <= b->messages);
    must(s->released == 0);
    if (r->number == 0)
        s->released = r->seq;
    else
        must(r->qos <= b->qos[r->number]);
    b->queued++;
}

static void on_begin(struct session *s, const struct record *r)
{
    must(r->id > 0 && r->seq == s->seq - 1 && r->seq < s->begun);
    if (r->seq == 1)
        s->first_id = r->id;
    else
        must((r->id + IDS - s->first_id) % IDS > (s->id + IDS - s->first_id) % IDS);
    s->id = r->id;
    must(r->seq < s->begun - 1 || r->id == s->last_id);
}

static void on_record(struct broker *b, const struct record *r)
{
    struct session *s = &b->sessions[r->session < b->cap ? r->session : 0];

    must(r->type == RECORD_CLIENT || r->session <= b->sessions_n);
    switch (r->type) {
    case RECORD_CLIENT:
        on_client(b, r);
        return;
    case RECORD_SUBSCRIBE:
        must(utf8_valid(r->text) && topic_check_subscription(r->text) == REASON_OK);
        b->subscriptions++;
        return;
    case RECORD_MESSAGE:
        on_message(b, r);
        return;
    case RECORD_QUEUE:
        on_queue(b, s, r);
        return;
    case RECORD_BEGIN:
        on_begin(s, r);
        return;
    case RECORD_RECEIVED:
        must(r->seq == s->released);
        s->released = 0;
        return;
    case RECORD_IN_ADD:
        must(r->id > 0);
        return;
    case RECORD_RETAIN:
        must(r->number > 0 && r->number <= b->messages);
        b->retained++;
        return;
    default:
        must(r->type == RECORD_RETAIN_CLEAR);
    }
}

static enum err take(void *ctx, struct str records)
{
    must(records.n > 0);
    while (records.n > 0) {
        struct record r;
        must(record_read(&records, &r) == ERR_OK);
        on_record(ctx, &r);
    }
    return ERR_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct broker b = {.cap = size + 2};
    struct import_setup setup = {
        .bytes = {(const char *)data, size}, .wall_s = NOW, .emit = take, .ctx = &b};
    struct import_counts counts;
    uint64_t where;
    const char *what;

    b.sessions = calloc(b.cap, sizeof(*b.sessions));
    b.qos = calloc(b.cap, 1);
    must(b.sessions && b.qos);
    enum err e = store_import(&setup, &counts, &where, &what);
    must(e == ERR_OK || e == ERR_MALFORMED || e == ERR_UNSUPPORTED);
    must(where <= size && what);
    if (e == ERR_OK) {
        must(counts.clients == b.sessions_n && counts.messages == b.messages);
        must(counts.queued == b.queued && counts.retained == b.retained);
        must(counts.subscriptions == b.subscriptions);
    }
    free(b.sessions);
    free(b.qos);
    return 0;
}
