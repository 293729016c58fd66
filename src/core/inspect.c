/*
 * A look at the whole state: for tests, the simulator, and an administrator who asks.
 */
#include "base/mem.h"
#include "core/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_MAX 1024
#define FILTER_ROOM 65536

/* --- broker_check --- */

static bool has_subscription(const struct broker *b, const struct session *s, trie_place place,
                             char *room)
{
    enum qos qos;
    size_t n = trie_describe(&b->trie, place, s, room, &qos);

    return trie_find(&b->trie, str_of(room, n), s) == place;
}

static const char *check_session(const struct broker *b, const struct session *s, char *room,
                                 uint64_t *places)
{
    uint64_t cursor = 0;
    trie_place place;

    while ((place = (trie_place)table_next(&s->subs, &cursor))) {
        ++*places;
        if (!has_subscription(b, s, place, room))
            return "a session's subscription is not in the trie";
    }
    if (s->flow && !flow_check(s->flow))
        return "a flow's counters or order are wrong";
    if (s->ended)
        return "an ended session is in the table";
    if (s->out && CONTAINER_OF(s->out, struct conn, out)->session != s)
        return "session and connection do not point at each other";
    return NULL;
}

static const char *check_sessions(const struct broker *b, char *room, uint64_t *connected,
                                  uint64_t *places)
{
    uint64_t cursor = 0;
    const char *wrong = NULL;
    const struct session *s;

    while (!wrong && (s = sessions_next(&b->sessions, &cursor))) {
        wrong = check_session(b, s, room, places);
        *connected += s->out != NULL;
    }
    return wrong;
}

static const char *check_conns(const struct broker *b)
{
    const struct conn *c;
    uint64_t n = 0;

    TAILQ_FOREACH(c, &b->all, entry)
    {
        n++;
        if (c->state == CONN_OPEN && (!c->session || c->session->out != &c->out))
            return "an open connection has no session";
        if (c->state != CONN_OPEN && c->session)
            return "a connection that is not open has a session";
        if (c->out.held && !b->persist.enabled)
            return "something is held without persistence";
        if (c->state == CONN_CLOSING && (c->in.cap > 0 || c->job || c->will))
            return "an ended connection still owns something";
    }
    return n == b->stats.connections ? NULL : "the count of connections is wrong";
}

/* Counts that hold once ended sessions have been taken apart. */
static const char *check_settled(const struct broker *b, uint64_t places)
{
    if (!TAILQ_EMPTY(&b->sessions.ended))
        return NULL;
    if (places != b->stats.subscriptions + b->stats.shared_subscriptions)
        return "the count of subscriptions is wrong";
    if (places == 0 && trie_node_count(&b->trie) != 1)
        return "the trie is not empty without subscriptions";
    return NULL;
}

const char *broker_check(const struct broker *b)
{
    uint64_t connected = 0;
    uint64_t places = 0;
    char *room = mem_alloc(FILTER_ROOM);
    const char *wrong = room ? check_sessions(b, room, &connected, &places) : NULL;

    mem_free(room, FILTER_ROOM);
    if (!wrong && connected != b->stats.sessions_connected)
        wrong = "the count of connected sessions is wrong";
    if (!wrong && b->sessions.by_id.count != b->stats.sessions)
        wrong = "the count of sessions is wrong";
    if (!wrong && b->retain.count != b->stats.retained)
        wrong = "the count of retained messages is wrong";
    if (!wrong)
        wrong = check_settled(b, places);
    return wrong ? wrong : check_conns(b);
}

/* --- broker_dump --- */

static enum err dump_message(struct buf *out, const char *prefix, const struct message *m)
{
    char topic[TEXT_MAX];
    struct str payload = message_payload(m);

    return buf_printf(out, "%s %s q%d %zu bytes %016" PRIx64 "\n", prefix,
                      str_escape(message_topic(m), topic, sizeof(topic)), m->qos, payload.n,
                      table_hash(0, payload.p, payload.n));
}

/* A row's message, in memory or not: by what tells it from all others. */
static enum err dump_row(struct buf *out, const char *id, uint64_t seq, const struct flow_row *row)
{
    const struct stored *e = stored_of_row(row);
    uint32_t sum = e ? e->sum : 0;

    if (e && e->body && sum == 0)
        sum = stored_sum(message_topic(e->body), message_payload(e->body));
    return buf_printf(out, "row %s %" PRIu64 " q%d r%d state %d id %d message %08" PRIx32 "\n", id,
                      seq, row->qos, row->retain, row->state, row->id, sum);
}

static enum err dump_flow(struct buf *out, const char *id, const struct session *s)
{
    enum err e = ERR_OK;

    if (!s->flow)
        return buf_printf(out, "flow %s tail %" PRIu64 " id %d\n", id, s->tail ? s->tail : 1,
                          s->last_id);
    for (uint64_t seq = flow_head(s->flow); !e && seq < flow_tail(s->flow); seq++) {
        const struct flow_row *row = flow_row_at(s->flow, seq);
        if (row->state != FLOW_DONE) /* what has happened is of no use to anybody */
            e = dump_row(out, id, seq, row);
    }
    for (uint32_t in = idset_next(flow_inbound(s->flow), 1); !e && in;
         in = idset_next(flow_inbound(s->flow), in + 1))
        e = buf_printf(out, "inbound %s %d\n", id, (int)in);
    return e ? e
             : buf_printf(out, "flow %s tail %" PRIu64 " id %d\n", id, flow_tail(s->flow),
                          flow_last_id(s->flow));
}

static enum err dump_subscriptions(const struct broker *b, struct buf *out, const char *id,
                                   const struct session *s, char *room)
{
    char text[TEXT_MAX];
    const struct retain_cursor *c;
    uint64_t cursor = 0;
    trie_place place;
    enum err e = ERR_OK;

    while (!e && (place = (trie_place)table_next(&s->subs, &cursor))) {
        enum qos qos;
        size_t n = trie_describe(&b->trie, place, s, room, &qos);
        e = buf_printf(out, "subscription %s q%d %s\n", id, qos,
                       str_escape(str_of(room, n), text, sizeof(text)));
    }
    TAILQ_FOREACH(c, &s->cursors, entry)
    {
        if (!e)
            e = buf_printf(out, "feed %s %s\n", id,
                           str_escape(retain_cursor_filter(c), text, sizeof(text)));
    }
    return e;
}

static enum err dump_session(const struct broker *b, struct buf *out, const struct session *s,
                             char *room)
{
    char id[TEXT_MAX / 2];
    enum err e;

    str_escape(session_id(s), id, sizeof(id));
    e = buf_printf(out, "session %s\n", id);
    if (!e)
        e = dump_flow(out, id, s);
    return e ? e : dump_subscriptions(b, out, id, s, room);
}

static enum err dump_all(const struct broker *b, struct buf *out, char *room)
{
    uint64_t cursor = 0;
    const struct session *s;
    const struct message *m;
    enum err e = ERR_OK;

    while (!e && (s = sessions_next(&b->sessions, &cursor)))
        if (s->number)
            e = dump_session(b, out, s, room);
    cursor = 0;
    while (!e && (m = retain_walk(&b->retain, &cursor)))
        e = dump_message(out, "retained", m);
    return e;
}

static int compare_lines(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static size_t split_lines(struct str text, struct str *lines)
{
    size_t n = 0;

    while (text.p && text.n > 0) {
        const char *end = memchr(text.p, '\n', text.n);
        size_t len = end ? (size_t)(end - text.p) + 1 : text.n;
        if (lines)
            lines[n] = str_of(text.p, len);
        n++;
        text = str_of(text.p + len, text.n - len);
    }
    return n;
}

static enum err sort_lines(struct str text, struct buf *out)
{
    size_t n = split_lines(text, NULL);
    struct str *lines = mem_alloc(n * sizeof(*lines) + 1);
    enum err e = lines ? ERR_OK : ERR_NOMEM;

    if (e)
        return e;
    (void)split_lines(text, lines);
    qsort(lines, n, sizeof(*lines), compare_lines);
    for (size_t i = 0; i < n && !e; i++)
        e = buf_add(out, lines[i].p, lines[i].n);
    mem_free(lines, n * sizeof(*lines) + 1);
    return e;
}

enum err broker_dump(const struct broker *b, struct buf *out)
{
    struct buf unsorted = {0};
    char *room = mem_alloc(FILTER_ROOM);
    enum err e = room ? dump_all(b, &unsorted, room) : ERR_NOMEM;

    if (!e)
        e = sort_lines(buf_str(&unsorted), out);
    mem_free(room, FILTER_ROOM);
    buf_clear(&unsorted);
    return e;
}
