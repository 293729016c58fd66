/*
 * Fields stand in the same order on every line of a kind; one that has no value is left out.
 */
#include "tools/db_dump_list.h"

#include "core/visit.h"

struct lister {
    struct dump_line *line;
    struct dump_files *files;
    uint64_t unreadable;
};

static enum err end(struct lister *l)
{
    line_end(l->line);
    return l->line->failed ? ERR_SYSTEM : ERR_OK;
}

const char *dump_state_word(enum flow_state state)
{
    switch (state) {
    case FLOW_QUEUED:
        return "queued";
    case FLOW_WAIT_PUBACK:
        return "wait_puback";
    case FLOW_WAIT_PUBREC:
        return "wait_pubrec";
    case FLOW_WAIT_PUBCOMP:
        return "wait_pubcomp";
    default:
        return "done";
    }
}

static enum err list_session(void *ctx, const struct visit_session *s)
{
    struct lister *l = ctx;

    line_begin(l->line, "session");
    line_text(l->line, "client", s->id);
    line_word(l->line, "state", s->absent_s ? "absent" : "connected");
    if (s->absent_s)
        line_time(l->line, "since", s->absent_s);
    line_number(l->line, "queued", s->queued);
    line_number(l->line, "inflight", s->inflight);
    line_number(l->line, "subscriptions", s->subscriptions);
    line_number(l->line, "next_seq", s->tail);
    line_number(l->line, "last_id", s->last_id);
    return end(l);
}

static enum err list_subscription(void *ctx, const struct visit_session *s,
                                  const struct visit_subscription *sub)
{
    struct lister *l = ctx;

    line_begin(l->line, "subscription");
    line_text(l->line, "client", s->id);
    line_number(l->line, "qos", sub->qos);
    line_text(l->line, "filter", sub->filter);
    if (sub->feed)
        line_yes(l->line, "feed_pending");
    return end(l);
}

/* Topic and payload from the journal. */
static bool bring(struct lister *l, const struct visit_message *m, struct record *r)
{
    struct str bytes = dump_files_at(l->files, m->position, m->bytes);

    return bytes.n > 0 && record_read(&bytes, r) == ERR_OK && r->type == RECORD_MESSAGE;
}

static void list_content(struct lister *l, const struct visit_message *m)
{
    struct record r = {.text = m->topic, .payload = m->payload};

    if (m->away && !bring(l, m, &r)) {
        l->unreadable++;
        line_yes(l->line, "unreadable");
        return;
    }
    line_text(l->line, "topic", r.text);
    line_payload(l->line, r.payload);
}

static enum err list_row(void *ctx, const struct visit_session *s, const struct visit_row *row)
{
    struct lister *l = ctx;

    line_begin(l->line, "message");
    line_text(l->line, "client", s->id);
    line_number(l->line, "seq", row->seq);
    line_number(l->line, "qos", row->qos);
    line_word(l->line, "state", dump_state_word(row->state));
    if (row->id)
        line_number(l->line, "id", row->id);
    if (row->retain)
        line_yes(l->line, "retain");
    if (row->message)
        list_content(l, row->message);
    return end(l);
}

static enum err list_inbound(void *ctx, const struct visit_session *s, uint16_t id)
{
    struct lister *l = ctx;

    line_begin(l->line, "inbound");
    line_text(l->line, "client", s->id);
    line_number(l->line, "id", id);
    return end(l);
}

static enum err list_retained(void *ctx, const struct visit_message *m)
{
    struct lister *l = ctx;

    line_begin(l->line, "retained");
    line_number(l->line, "qos", m->qos);
    list_content(l, m);
    return end(l);
}

enum err dump_list(struct dump_store *s, struct dump_line *line, const char *client,
                   uint64_t *unreadable)
{
    struct lister l = {.line = line, .files = &s->files};
    const struct visitor v = {.ctx = &l,
                              .session = list_session,
                              .subscription = list_subscription,
                              .row = list_row,
                              .inbound = list_inbound,
                              .retained = list_retained};
    enum err e = client ? visit_client(s->broker, str_c(client), &v) : visit_all(s->broker, &v);

    *unreadable = l.unreadable;
    return e;
}
