/*
 * Live bytes are what the present state would take if it were recorded anew, by the broker's own
 * reckoning; the rest of the files is dead until it is cleaned.
 */
#include "tools/db_dump_stats.h"

#include "core/visit.h"
#include "tools/db_dump_list.h"

#define QUEUES_SHOWN 10

struct sum {
    uint64_t count;
    uint64_t bytes;
};

struct queue {
    struct str client;
    struct sum sum;
};

struct figures {
    uint64_t connected;
    uint64_t absent;
    uint64_t subscriptions[2]; /* plain and shared */
    uint64_t feeds;
    uint64_t rows[FLOW_HOLE];
    uint64_t inbound;
    struct sum retained;
    struct queue queues[QUEUES_SHOWN]; /* the largest first */
    size_t queue_count;
};

/* --- gathering --- */

static bool is_larger(const struct sum *a, const struct sum *b)
{
    return a->bytes != b->bytes ? a->bytes > b->bytes : a->count > b->count;
}

/* Among equals who came first stays first: clients come by id. */
static void rank(struct figures *f, struct queue q)
{
    size_t at = f->queue_count;

    while (at > 0 && is_larger(&q.sum, &f->queues[at - 1].sum))
        at--;
    if (at == QUEUES_SHOWN)
        return;
    if (f->queue_count < QUEUES_SHOWN)
        f->queue_count++;
    memmove(&f->queues[at + 1], &f->queues[at], (f->queue_count - at - 1) * sizeof(f->queues[0]));
    f->queues[at] = q;
}

static enum err add_session(void *ctx, const struct visit_session *s)
{
    struct figures *f = ctx;
    struct sum sum = {.count = (uint64_t)s->queued + s->inflight, .bytes = s->bytes};

    if (s->absent_s)
        f->absent++;
    else
        f->connected++;
    if (sum.count > 0)
        rank(f, (struct queue){.client = s->id, .sum = sum});
    return ERR_OK;
}

static enum err add_subscription(void *ctx, const struct visit_session *s,
                                 const struct visit_subscription *sub)
{
    struct figures *f = ctx;

    (void)s;
    f->subscriptions[str_has_prefix(sub->filter, STR("$share/"))]++;
    f->feeds += sub->feed;
    return ERR_OK;
}

static enum err add_row(void *ctx, const struct visit_session *s, const struct visit_row *row)
{
    struct figures *f = ctx;

    (void)s;
    f->rows[row->state]++;
    return ERR_OK;
}

static enum err add_inbound(void *ctx, const struct visit_session *s, uint16_t id)
{
    struct figures *f = ctx;

    (void)s;
    (void)id;
    f->inbound++;
    return ERR_OK;
}

static enum err add_retained(void *ctx, const struct visit_message *m)
{
    struct figures *f = ctx;

    f->retained.count++;
    f->retained.bytes += m->topic.n + m->payload.n;
    return ERR_OK;
}

/* --- printing --- */

static void print_store(const struct dump_store *s, struct dump_line *line, const char *directory)
{
    uint64_t live = broker_live_bytes(s->broker);

    line_begin(line, "store");
    line_text(line, "directory", str_c(directory));
    line_hex(line, "id", s->found.store_id);
    line_number(line, "segments", s->files.count);
    line_number(line, "bytes", s->files.bytes);
    line_number(line, "live_bytes", live);
    line_number(line, "dead_bytes", s->files.bytes > live ? s->files.bytes - live : 0);
    line_number(line, "frames", s->found.frames);
    line_number(line, "last_turn", s->found.turn);
    line_number(line, "damaged_places", s->found.damaged);
    line_number(line, "damaged_bytes", s->found.damaged_bytes);
    line_end(line);
}

static void print_records(const struct dump_store *s, struct dump_line *line)
{
    static const char *const names[RECORD_TYPES] = {[RECORD_CLIENT] = "client",
                                                    [RECORD_CLIENT_END] = "client_end",
                                                    [RECORD_SUBSCRIBE] = "subscribe",
                                                    [RECORD_UNSUBSCRIBE] = "unsubscribe",
                                                    [RECORD_FED] = "fed",
                                                    [RECORD_MESSAGE] = "message",
                                                    [RECORD_QUEUE] = "queue",
                                                    [RECORD_BEGIN] = "begin",
                                                    [RECORD_RECEIVED] = "received",
                                                    [RECORD_DONE] = "done",
                                                    [RECORD_IN_ADD] = "in_add",
                                                    [RECORD_IN_REMOVE] = "in_remove",
                                                    [RECORD_RETAIN] = "retain",
                                                    [RECORD_RETAIN_CLEAR] = "retain_clear",
                                                    [RECORD_GIVEN_FORMERLY] = "given_formerly",
                                                    [RECORD_OWNER] = "owner",
                                                    [RECORD_AUTHOR] = "author",
                                                    [RECORD_BRIDGE] = "bridge",
                                                    [RECORD_FEED] = "feed",
                                                    [RECORD_GIVEN] = "given"};

    for (int i = RECORD_CLIENT; i < RECORD_TYPES; i++) {
        line_begin(line, "records");
        line_word(line, "kind", names[i]);
        line_number(line, "records", s->records[i].records);
        line_number(line, "bytes", s->records[i].bytes);
        line_number(line, "frames", s->records[i].frames);
        line_end(line);
    }
}

static void print_counts(const struct figures *f, struct dump_line *line)
{
    line_begin(line, "sessions");
    line_number(line, "connected", f->connected);
    line_number(line, "absent", f->absent);
    line_end(line);
    line_begin(line, "subscriptions");
    line_number(line, "plain", f->subscriptions[0]);
    line_number(line, "shared", f->subscriptions[1]);
    line_number(line, "feed_pending", f->feeds);
    line_end(line);
    line_begin(line, "messages");
    for (int i = FLOW_QUEUED; i <= FLOW_WAIT_PUBCOMP; i++)
        line_number(line, dump_state_word((enum flow_state)i), f->rows[i]);
    line_end(line);
    line_begin(line, "inbound");
    line_number(line, "ids", f->inbound);
    line_end(line);
    line_begin(line, "retained");
    line_number(line, "messages", f->retained.count);
    line_number(line, "bytes", f->retained.bytes);
    line_end(line);
}

static void print_queues(const struct figures *f, struct dump_line *line)
{
    for (size_t i = 0; i < f->queue_count; i++) {
        line_begin(line, "queue");
        line_text(line, "client", f->queues[i].client);
        line_number(line, "messages", f->queues[i].sum.count);
        line_number(line, "bytes", f->queues[i].sum.bytes);
        line_end(line);
    }
}

enum err dump_stats(const struct dump_store *s, struct dump_line *line, const char *directory)
{
    struct figures f = {0};
    const struct visitor v = {.ctx = &f,
                              .session = add_session,
                              .subscription = add_subscription,
                              .row = add_row,
                              .inbound = add_inbound,
                              .retained = add_retained};
    enum err e = visit_all(s->broker, &v);

    if (e)
        return e;
    print_store(s, line, directory);
    print_records(s, line);
    print_counts(&f, line);
    print_queues(&f, line);
    return line->failed ? ERR_SYSTEM : ERR_OK;
}
