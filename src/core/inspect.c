/*
 * A look at the whole state: for tests, the simulator, and an administrator who asks.
 */
#include "base/mem.h"
#include "core/bridges.h"
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
    uint64_t waiting = 0;
    uint64_t packets = 0;
    uint64_t logins = 0;
    uint64_t held = 0;
    uint64_t n = 0;

    TAILQ_FOREACH(c, &b->all, entry)
    {
        n += c->role != CONN_BRIDGE; /* ours are not counted: nobody came in */
        waiting += outbox_bytes(&c->out);
        packets += c->out.packets;
        if ((c->out.packets > 0) != (outbox_bytes(&c->out) > 0))
            return "packets wait without bytes, or bytes without packets";
        if (c->state == CONN_OPEN && (!c->session || c->session->out != &c->out))
            return "an open connection has no session";
        if (c->state != CONN_OPEN && c->session)
            return "a connection that is not open has a session";
        if (c->out.held && !b->persist.enabled)
            return "something is held without persistence";
        logins += conn_waiting(c) != NULL;
        held += conn_waiting(c) ? c->in.len : 0;
        if (conn_waiting(c) && c->state != CONN_NEW)
            return "a connection that is not new waits for its login";
        if (c->state == CONN_CLOSING && (c->in.cap > 0 || c->job || (c->login && c->login->will)))
            return "an ended connection still owns something";
    }
    if (waiting != b->stats.output_bytes)
        return "the count of bytes in output queues is wrong";
    if (packets != b->stats.output_packets)
        return "the count of packets in output queues is wrong";
    if (logins != b->logins.count || held != b->logins.bytes)
        return "the count of logins is wrong";
    return n == b->stats.connections ? NULL : "the count of connections is wrong";
}

/* Authors are those of messages that are retained. */
static const char *check_authors(const struct broker *b)
{
    uint64_t cursor = 0;
    uint64_t known = 0;
    const struct message *m;

    if (b->env.authors.by_message.count == 0)
        return b->env.authors.bytes == 0 ? NULL : "records of no author are counted";
    while ((m = retain_walk(&b->retain, &cursor)))
        known += author_of(&b->env.authors, m) != NULL;
    return known == b->env.authors.by_message.count
               ? NULL
               : "there is an author of something that is not retained";
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
        wrong = check_authors(b);
    if (!wrong)
        wrong = check_settled(b, places);
    if (!wrong)
        wrong = bridges_examine(b);
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

static enum err dump_author(const struct broker *b, struct buf *out, const struct message *m)
{
    const struct rights *by =
        retain_is_lasting(message_topic(m)) ? author_of(&b->env.authors, m) : NULL;
    struct rights_who who = by ? rights_who(by) : (struct rights_who){0};
    char topic[TEXT_MAX];
    char user[TEXT_MAX];
    char id[TEXT_MAX];

    if (!by)
        return ERR_OK;
    return buf_printf(
        out, "author %s: %s port %d '%s'\n", str_escape(message_topic(m), topic, sizeof(topic)),
        str_escape(who.client, id, sizeof(id)), who.port, str_escape(who.user, user, sizeof(user)));
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
        return buf_printf(out, "flow %s tail %" PRIu64 " id %d\n", id, session_tail(s), s->last_id);
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
            e = buf_printf(out, "feed %s since %" PRIu64 " %s\n", id, c->since,
                           str_escape(retain_cursor_filter(c), text, sizeof(text)));
    }
    return e;
}

static enum err dump_owner(struct buf *out, const char *id, const struct rights *r)
{
    char user[TEXT_MAX];
    struct rights_who who = rights_who(r);

    return buf_printf(out, "owner %s port %d '%s'\n", id, who.port,
                      str_escape(who.user, user, sizeof(user)));
}

static enum err dump_session(const struct broker *b, struct buf *out, const struct session *s,
                             char *room)
{
    char id[TEXT_MAX / 2];
    enum err e;

    str_escape(session_id(s), id, sizeof(id));
    e = buf_printf(out, "session %s\n", id);
    if (!e && s->rights)
        e = dump_owner(out, id, s->rights);
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
    while (!e && (m = retain_walk(&b->retain, &cursor))) {
        e = dump_message(out, "retained", m);
        if (!e)
            e = dump_author(b, out, m);
    }
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

/* --- broker_trees --- */

/* What one tree may hold: enough to look at, and too little to keep anybody waiting. */
#define TREE_LEAVES_MAX 1000
#define TREE_BYTES_MAX 262144
#define TREE_SESSIONS_MAX 20000
/* Names and notes are printed up to so many bytes. */
#define TREE_NAME_MAX 256

/* Path and note of each leaf, both with a NUL behind them: no topic has one inside. */
struct tree {
    struct buf leaves;
    uint64_t count;
};

struct leaf {
    struct str path;
    struct str note;
};

static bool is_full(const struct tree *t)
{
    return t->count >= TREE_LEAVES_MAX || buf_str(&t->leaves).n >= TREE_BYTES_MAX;
}

static enum err add_leaf(struct tree *t, struct str path, const char *note)
{
    enum err e = buf_reserve(&t->leaves, path.n + strlen(note) + 2);

    if (!e)
        e = buf_add(&t->leaves, path.p, path.n);
    if (!e)
        e = buf_add(&t->leaves, "", 1);
    if (!e)
        e = buf_add(&t->leaves, note, strlen(note) + 1);
    t->count += !e;
    return e;
}

static enum err gather_session(const struct broker *b, const struct session *s, struct tree *t,
                               char *room)
{
    char id[TREE_NAME_MAX];
    char note[TREE_NAME_MAX + 8];
    uint64_t cursor = 0;
    trie_place place;
    enum err e = ERR_OK;

    while (!e && !is_full(t) && (place = (trie_place)table_next(&s->subs, &cursor))) {
        enum qos qos;
        size_t n = trie_describe(&b->trie, place, s, room, &qos);
        (void)snprintf(note, sizeof(note), "(%s, %d)", str_escape(session_id(s), id, sizeof(id)),
                       qos);
        e = add_leaf(t, str_of(room, n), note);
    }
    return e;
}

static enum err gather_subscriptions(const struct broker *b, struct tree *t)
{
    char *room = mem_alloc(FILTER_ROOM);
    enum err e = room ? ERR_OK : ERR_NOMEM;
    const struct session *s;
    uint64_t cursor = 0;

    for (int i = 0; i < TREE_SESSIONS_MAX && !e && !is_full(t); i++) {
        s = sessions_next(&b->sessions, &cursor);
        if (!s)
            break;
        e = gather_session(b, s, t, room);
    }
    mem_free(room, FILTER_ROOM);
    return e;
}

static enum err gather_retained(const struct broker *b, struct tree *t)
{
    char note[64];
    uint64_t cursor = 0;
    const struct message *m;
    enum err e = ERR_OK;

    while (!e && !is_full(t) && (m = retain_walk(&b->retain, &cursor))) {
        (void)snprintf(note, sizeof(note), "(%zu bytes, %d)", message_payload(m).n, m->qos);
        e = add_leaf(t, message_topic(m), note);
    }
    return e;
}

static struct str cut_text(struct str *rest)
{
    size_t n = strlen(rest->p);
    struct str text = str_of(rest->p, n);

    *rest = str_of(rest->p + n + 1, rest->n - n - 1);
    return text;
}

/* Level by level: a '/' comes before all else, so that what is below a level follows it at once. */
static int compare_leaves(const void *left, const void *right)
{
    struct str a = ((const struct leaf *)left)->path;
    struct str b = ((const struct leaf *)right)->path;
    size_t n = a.n < b.n ? a.n : b.n;
    size_t i = 0;

    while (i < n && a.p[i] == b.p[i])
        i++;
    if (i == n)
        return (a.n > b.n) - (a.n < b.n);
    return (a.p[i] == '/' ? 0 : 1 + (uint8_t)a.p[i]) - (b.p[i] == '/' ? 0 : 1 + (uint8_t)b.p[i]);
}

/* The end of the level that begins there. */
static size_t level_end(struct str path, size_t begin)
{
    const char *slash = memchr(path.p + begin, '/', path.n - begin);

    return slash ? (size_t)(slash - path.p) : path.n;
}

/* The levels that the line before has not printed already, each on a line; then the note. */
static enum err print_leaf(struct buf *out, struct str before, const struct leaf *leaf)
{
    char name[TREE_NAME_MAX];
    struct str path = leaf->path;
    size_t end = 0;
    bool known = before.p != NULL;
    enum err e = ERR_OK;
    int depth = 1;

    for (size_t begin = 0; !e && begin <= path.n; begin = end + 1, depth++) {
        end = level_end(path, begin);
        known = known && before.n >= end && (before.n == end || before.p[end] == '/') &&
                memcmp(before.p + begin, path.p + begin, end - begin) == 0;
        if (!known)
            e = buf_printf(out, "\n%*s%s", 2 * depth, "",
                           str_escape(str_of(path.p + begin, end - begin), name, sizeof(name)));
    }
    return e ? e : buf_printf(out, " %s", leaf->note.p);
}

static enum err print_leaves(struct buf *out, const struct leaf *leaves, uint64_t count,
                             uint64_t *printed)
{
    size_t limit = buf_str(out).n + TREE_BYTES_MAX;
    struct str before = {0};
    enum err e = ERR_OK;

    for (*printed = 0; !e && *printed < count && buf_str(out).n < limit; ++*printed) {
        e = print_leaf(out, before, &leaves[*printed]);
        before = leaves[*printed].path;
    }
    return e;
}

/* `all`: so many leaves there are. */
static enum err print_tree(struct buf *out, const char *title, const struct tree *t, uint64_t all)
{
    size_t size = (t->count + 1) * sizeof(struct leaf);
    struct leaf *leaves = mem_alloc(size);
    struct str rest = buf_str(&t->leaves);
    uint64_t printed = 0;
    enum err e = leaves ? buf_printf(out, "%s", title) : ERR_NOMEM;

    for (uint64_t i = 0; leaves && rest.p && i < t->count; i++) {
        leaves[i].path = cut_text(&rest);
        leaves[i].note = cut_text(&rest);
    }
    if (leaves)
        qsort(leaves, t->count, sizeof(*leaves), compare_leaves);
    if (!e)
        e = print_leaves(out, leaves, t->count, &printed);
    if (!e && all > printed)
        e = buf_printf(out, "\n  ... and %" PRIu64 " more", all - printed);
    mem_free(leaves, size);
    return e ? e : buf_add(out, "\n", 1);
}

enum err broker_trees(const struct broker *b, struct buf *out)
{
    struct tree subscriptions = {0};
    struct tree retained = {0};
    enum err e = gather_subscriptions(b, &subscriptions);

    if (!e)
        e = print_tree(out, "Subscriptions:", &subscriptions,
                       b->stats.subscriptions + b->stats.shared_subscriptions);
    if (!e)
        e = gather_retained(b, &retained);
    if (!e)
        e = print_tree(out, "Retained messages:", &retained, b->stats.retained);
    buf_clear(&subscriptions.leaves);
    buf_clear(&retained.leaves);
    return e;
}
