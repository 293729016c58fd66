/*
 * The network: hands bytes to the broker in pieces, takes what it sends, loses connections.
 */
#include "mqtt/frame.h"
#include "sim.h"

#include <errno.h>
#include <stdlib.h>

#define CONNECT_LIMIT_MS 30000
#define TIMER_SLACK_MS 2500
#define BACKLOG_EXCUSE 8192 /* bytes unread: from here on the broker may lose patience */

struct cable *cable_open(struct sim *s, int client, bool mounted)
{
    struct cable *k = s->cables;
    struct peer peer = {
        .ip = {127, 0, 0, 1},
        .family = 4,
        .listener = &s->listener[mounted],
        .accept_ms = (uint32_t)s->now.mono_ms,
    };

    while (k < s->cables + CABLES && k->serial)
        k++;
    if (k == s->cables + CABLES)
        return NULL;
    *k = (struct cable){.serial = ++s->serial, .client = client, .opened_ms = s->now.mono_ms};
    k->mounted = mounted;
    k->packet_ms = k->opened_ms;
    k->byte_ms = k->opened_ms;
    peer.port = (uint16_t)(k->serial % 50000 + 1024);
    k->conn = broker_open(s->broker, &peer, k);
    if (!k->conn) {
        if (!mem_failed())
            sim_fail(s, "broker_open gives nothing");
        k->serial = 0;
        return NULL;
    }
    if (conn_link(k->conn) != k)
        sim_fail(s, "conn_link gives something else");
    return k;
}

struct cable *cable_find(struct sim *s, uint32_t serial)
{
    for (unsigned i = 0; i < CABLES && serial; i++) {
        if (s->cables[i].serial == serial)
            return &s->cables[i];
    }
    return NULL;
}

void cable_free(struct sim *s, struct cable *k)
{
    if (s->pending == k)
        s->pending = NULL;
    if (k->client >= 0 && s->clients[k->client].cable == k)
        client_lost(&s->clients[k->client]);
    bytes_clear(&k->tx);
    bytes_clear(&k->rx);
    free(k->ops);
    free(k->expects);
    free(k->quicks);
    *k = (struct cable){0};
}

void cable_cut(struct sim *s, struct cable *k)
{
    bool broken = chance(s, 300);

    trace_add(&s->trace, "connection %u of client %d is cut", k->serial, k->client);
    broker_closed(s->broker, k->conn, broken ? REASON_SOCKET : REASON_PEER_CLOSED,
                  broken ? strerror(ECONNRESET) : NULL);
    s->starved = s->faint && mem_failed();
    apply_end(s, k, true);
    cable_free(s, k);
}

/* --- towards the broker --- */

/* The model must be told at once: it ends somebody's connection, perhaps with a will. */
static bool cuts_input(const struct op *op)
{
    return op->kind == OP_CONNECT || op->kind == OP_ILLEGAL || op->kind == OP_REFUSED;
}

static size_t chunk(struct sim *s, const struct cable *k)
{
    size_t n = k->tx.n;

    if (!s->calm && s->knobs.split == SPLIT_RANDOM)
        n = 1 + rng_below(&s->rng, k->tx.n);
    else if (!s->calm && s->knobs.split == SPLIT_BYTES)
        n = 1 + rng_below(&s->rng, k->tx.n < 8 ? k->tx.n : 8) + (k->tx.n > 2000 ? k->tx.n / 2 : 0);
    for (uint32_t i = 0; i < k->op_n; i++) {
        if (k->ops[i].end > k->tx_start && (s->faint || cuts_input(&k->ops[i]))) {
            size_t limit = k->ops[i].end - k->tx_start;
            return n < limit ? n : limit;
        }
    }
    return n;
}

static uint32_t arrived(const struct cable *k)
{
    uint32_t n = 0;

    while (n < k->op_n && k->ops[n].end <= k->tx_start)
        n++;
    return n;
}

static bool is_closing(const struct sim *s, const struct cable *k)
{
    return broker_wish(s->broker, k->conn) >= WISH_FLUSH_CLOSE;
}

static bool ends_itself(const struct op *op)
{
    return op->kind == OP_ILLEGAL || op->kind == OP_REFUSED || op->kind == OP_DISCONNECT;
}

/* A wrong packet may be recognised by its first bytes. */
static bool is_caught(const struct cable *k, const struct op *op)
{
    return (op->kind == OP_ILLEGAL || op->kind == OP_REFUSED) && op->start < k->tx_start;
}

/* Tell the model the first n operations, of which the broker has just handled the last. */
static void handled(struct sim *s, struct cable *k, uint32_t n)
{
    bool failed = s->starved && is_closing(s, k);

    if (n == 0)
        return;
    for (uint32_t i = 0; i < n && !k->dead; i++) {
        k->packet_ms = s->now.mono_ms;
        s->totals->packets++;
        if (failed && i == n - 1 && !ends_itself(&k->ops[i]))
            apply_maybe(s, k, &k->ops[i]);
        else
            apply_op(s, k, &k->ops[i]);
    }
    memmove(k->ops, k->ops + n, (k->op_n - n) * sizeof *k->ops);
    k->op_n -= n;
}

static bool may_be_closed(struct sim *s, const struct cable *k)
{
    uint64_t now = s->now.mono_ms;

    if (s->starved || k->backlog_max >= BACKLOG_EXCUSE)
        return true;
    if (!k->accepted)
        return now >= k->opened_ms + CONNECT_LIMIT_MS;
    return k->keepalive_s && now >= k->packet_ms + k->keepalive_s * 1500ull;
}

static void check_closing(struct sim *s, struct cable *k)
{
    bool closing = is_closing(s, k);

    if (k->dead && !closing && s->pending != k)
        sim_fail(s, "connection %u of client %d should be closed", k->serial, k->client);
    if (!closing || k->dead)
        return;
    if (!may_be_closed(s, k))
        sim_fail(s, "connection %u of client %d is closed without reason", k->serial, k->client);
    s->totals->closed++;
    apply_end(s, k, true);
}

static void hand_over(struct sim *s, struct cable *k, size_t n)
{
    struct span room = broker_room(s->broker, k->conn);

    if (room.n == 0)
        return;
    if (n > room.n)
        n = room.n;
    uint64_t before = broker_stats(s->broker)->packets_received;
    memcpy(room.p, k->tx.p, n);
    bytes_drop(&k->tx, n);
    k->tx_start += n;
    k->byte_ms = s->now.mono_ms;
    broker_input(s->broker, k->conn, n);
    uint64_t done = broker_stats(s->broker)->packets_received - before;
    enum wish wish = broker_wish(s->broker, k->conn);
    uint32_t due = arrived(k);
    s->starved = s->faint && mem_failed();
    trace_add(&s->trace, "%zu bytes into connection %u, wish %d%s", n, k->serial, (int)wish,
              s->starved ? ", memory failed" : "");
    if (wish < WISH_FLUSH_CLOSE && (wish == WISH_PAUSE || broker_is_spent(s->broker)) &&
        done < due) {
        s->pending = k;
        due = (uint32_t)done;
    }
    if (due < k->op_n && is_caught(k, &k->ops[due]) && wish >= WISH_FLUSH_CLOSE)
        due++;
    handled(s, k, due);
    check_closing(s, k);
}

void cable_feed(struct sim *s, struct cable *k)
{
    if (k->dead || s->pending) /* what comes behind the end is not read */
        return;
    if (k->tx.n && (!k->cut || chance(s, 700)))
        hand_over(s, k, chunk(s, k));
    if (k->cut && !k->dead && !s->pending)
        cable_cut(s, k);
}

void cable_resume(struct sim *s, uint64_t packets_before)
{
    struct cable *k = s->pending;
    uint32_t due = arrived(k);
    uint64_t done = broker_stats(s->broker)->packets_received - packets_before;

    if (is_closing(s, k) || done >= due)
        s->pending = NULL;
    if (done < due) /* the packet that ends its connection is not counted */
        due = (uint32_t)done + (is_closing(s, k) && ends_itself(&k->ops[done]));
    else if (due < k->op_n && is_closing(s, k) && is_caught(k, &k->ops[due]))
        due++; /* it had not come whole */
    handled(s, k, due);
}

void cables_poll(struct sim *s)
{
    s->polling = true;
    memset(s->left, 0, sizeof s->left);
    for (unsigned i = 0; i < CABLES; i++) {
        struct cable *k = &s->cables[i];
        if (!k->serial)
            continue;
        check_closing(s, k);
        uint64_t limit = k->accepted ? k->keepalive_s * 1500ull : CONNECT_LIMIT_MS;
        uint64_t since = k->accepted ? k->byte_ms : k->opened_ms;
        if (!k->dead && limit && !s->paused && !s->disk.behind &&
            s->now.mono_ms > since + limit + TIMER_SLACK_MS)
            sim_fail(s, "connection %u of client %d has been silent for %llu ms and is open",
                     k->serial, k->client, (unsigned long long)(s->now.mono_ms - since));
    }
    s->polling = false;
}

/* --- from the broker --- */

static void parse(struct sim *s, struct cable *k)
{
    struct frame f;
    size_t need;
    size_t at = 0;

    for (;;) {
        struct str rest = str_of((const char *)k->rx.p + at, k->rx.n - at);
        enum err e = rest.n ? frame_next(rest, PACKET_MAX, &f, &need) : ERR_AGAIN;
        if (e == ERR_AGAIN)
            break;
        if (e != ERR_OK)
            sim_fail(s, "client %d gets bytes that are no packet: %s", k->client, err_word(e));
        client_receive(s, k, &f);
        at += f.whole.n;
    }
    bytes_drop(&k->rx, at);
}

/* One write; true when all that was offered went out and there may be more. */
static bool write_once(struct sim *s, struct cable *k)
{
    struct iovec iov[8];
    size_t total = 0;
    int n = broker_output(s->broker, k->conn, iov, ARRAY_SIZE(iov));

    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    if (total > k->backlog_max)
        k->backlog_max = total;
    k->unsent = false;
    if (total == 0)
        return false;
    size_t out = k->stuck ? 0 : total;
    if (!s->calm && chance(s, s->knobs.slow))
        out = rng_below(&s->rng, (uint32_t)out + 1);
    k->unsent = out < total;
    for (size_t i = 0, left = out; left > 0; i++) {
        size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
        if (!k->deaf)
            bytes_add(&k->rx, iov[i].iov_base, part);
        left -= part;
    }
    if (out)
        broker_sent(s->broker, k->conn, out);
    return !k->unsent;
}

static void flush(struct sim *s, struct cable *k)
{
    unsigned writes = 0;

    while (write_once(s, k)) {
        if (++writes > 100000)
            sim_fail(s, "output of connection %u never ends", k->serial);
    }
    if (!k->deaf)
        parse(s, k);
    check_closing(s, k);
    enum wish wish = broker_wish(s->broker, k->conn);
    if (wish == WISH_CLOSE || (wish == WISH_FLUSH_CLOSE && !k->unsent)) {
        broker_closed(s->broker, k->conn, REASON_OK, NULL);
        cable_free(s, k);
    } else if (wish == WISH_FLUSH_CLOSE && chance(s, 100)) {
        broker_closed(s->broker, k->conn, REASON_SOCKET, strerror(EPIPE));
        cable_free(s, k);
    }
}

void cables_flush(struct sim *s)
{
    struct conn *c = broker_take_dirty(s->broker);

    while (c) {
        flush(s, conn_link(c));
        c = broker_take_dirty(s->broker);
    }
    for (unsigned i = 0; i < CABLES; i++) {
        if (s->cables[i].serial && s->cables[i].unsent && (s->calm || chance(s, 500)))
            flush(s, &s->cables[i]);
    }
}
