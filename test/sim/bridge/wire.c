/*
 * Connections: between two cores, between a core and a local client, and from a bridge to somebody
 * who is no broker. Bytes come in pieces and late; connections are lost at any byte, and sometimes
 * only one end learns of it, or none.
 */
#include "mqtt/encode.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#define DIAL_SLOW_MS 5000
#define CONNACK_BYTES 4

struct wire *wire_open(struct world *w, unsigned node)
{
    struct wire *l = w->links;
    struct peer peer = {
        .ip = {127, 0, 0, 1},
        .family = 4,
        .listener = w->nodes[node].conf->listeners[0],
        .accept_ms = (uint32_t)w->now_ms,
    };

    while (l < w->links + LINKS && l->serial)
        l++;
    if (l == w->links + LINKS)
        return NULL;
    *l = (struct wire){.serial = ++w->serial, .node = node, .bridge = -1};
    peer.port = (uint16_t)(l->serial % 50000 + 1024);
    broker_tick(w->nodes[node].broker, w->nodes[node].now);
    l->conn = broker_open(w->nodes[node].broker, &peer, l);
    if (!l->conn) {
        l->serial = 0;
        return NULL;
    }
    w->totals->links++;
    return l;
}

void wire_free(struct world *w, struct wire *l, bool silent)
{
    if (l->other) {
        l->other->other = NULL;
        l->other->gone = !silent;
        if (l->other->bridge >= 0)
            w->sections[l->other->bridge].linked = false;
    }
    if (l->local)
        local_lost(l->local);
    if (l->bridge >= 0) {
        w->sections[l->bridge].linked = false;
        w->sections[l->bridge].lost = true;
        w->sections[l->bridge].doubted |= l->fed < CONNACK_BYTES;
        w->sections[l->bridge].confused |=
            w->sections[l->bridge].local_clean && !w->sections[l->bridge].clean;
        w->disturbed = true;
    }
    evil_free(l->evil);
    bytes_clear(&l->in);
    *l = (struct wire){0};
}

/* --- towards a core --- */

static void wire_end(struct world *w, struct wire *l, enum reason why, bool silent)
{
    trace_add(&w->trace, "n%u: connection %u ends: %s", l->node, l->serial, reason_text(why));
    broker_closed(w->nodes[l->node].broker, l->conn, why, NULL);
    wire_free(w, l, silent);
}

static size_t piece(struct world *w, size_t n)
{
    return !w->calm && chance(w, w->knobs.split) ? 1 + rng_below(&w->rng, (uint32_t)n) : n;
}

void wire_feed(struct world *w, struct wire *l)
{
    struct broker *b = w->nodes[l->node].broker;

    if (l->stall && !w->calm) {
        l->stall--;
        return;
    }
    for (unsigned i = 0; i < 4 && l->in.n; i++) {
        struct span room = broker_room(b, l->conn);
        size_t n = piece(w, l->in.n);
        if (room.n == 0)
            break;
        if (n > room.n)
            n = room.n;
        memcpy(room.p, l->in.p, n);
        bytes_drop(&l->in, n);
        broker_input(b, l->conn, n);
        l->fed += n;
    }
    if (l->gone && (l->in.n == 0 || broker_wish(b, l->conn) >= WISH_FLUSH_CLOSE))
        wire_end(w, l, chance(w, 500) ? REASON_PEER_CLOSED : REASON_SOCKET, false);
}

/* --- from a core --- */

static void arrive(struct wire *l, const void *p, size_t n)
{
    if (l->other)
        bytes_add(&l->other->in, p, n);
    else if (l->local)
        bytes_add(&l->local->rx, p, n);
    else if (l->evil)
        evil_hear(l->evil, p, n);
}

/* One write; true when all that was offered went out and there may be more. */
static bool write_once(struct world *w, struct wire *l)
{
    struct broker *b = w->nodes[l->node].broker;
    struct iovec iov[8];
    size_t total = 0;
    int n = broker_output(b, l->conn, iov, ARRAY_SIZE(iov));

    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    l->unsent = false;
    if (total == 0)
        return false;
    size_t out = !w->calm && chance(w, w->knobs.slow) ? rng_below(&w->rng, (uint32_t)total) : total;
    l->unsent = out < total;
    for (size_t i = 0, left = out; left > 0; i++) {
        size_t part = iov[i].iov_len < left ? iov[i].iov_len : left;
        arrive(l, iov[i].iov_base, part);
        left -= part;
    }
    if (out)
        broker_sent(b, l->conn, out);
    return !l->unsent;
}

static void flush(struct world *w, struct wire *l)
{
    for (unsigned i = 0; write_once(w, l); i++) {
        if (i > 100000)
            world_fail(w, "output of connection %u never ends", l->serial);
    }
    enum wish wish = broker_wish(w->nodes[l->node].broker, l->conn);
    if (wish == WISH_CLOSE || (wish == WISH_FLUSH_CLOSE && !l->unsent))
        wire_end(w, l, REASON_OK, false);
}

void wire_flush(struct world *w, struct node *n)
{
    struct conn *c = broker_take_dirty(n->broker);

    while (c) {
        flush(w, conn_link(c));
        c = broker_take_dirty(n->broker);
    }
    for (struct wire *l = w->links; l < w->links + LINKS; l++) {
        if (l->serial && l->node == n->number && l->unsent && (w->calm || chance(w, 500)))
            flush(w, l);
    }
}

/* --- trouble --- */

bool wire_is_greeting(const struct wire *l)
{
    const struct wire *own = l->bridge >= 0 ? l : l->other;

    return own && own->bridge >= 0 && own->fed < CONNACK_BYTES;
}

/* What was on its way to this end is lost from some byte on. */
static void lose_tail(struct world *w, struct wire *l)
{
    l->in.n = rng_below(&w->rng, l->in.n + 1);
}

/* Both ends learn of it, now or when they have read what came before. */
static void cut(struct world *w, struct wire *l)
{
    struct wire *other = l->other;

    trace_add(&w->trace, "connection %u is cut", l->serial);
    w->totals->cuts++;
    w->disturbed = true;
    lose_tail(w, l);
    l->gone = true;
    if (l->local) {
        local_lost(l->local);
        l->local = NULL;
    }
    if (other) {
        lose_tail(w, other);
        other->gone = true;
        other->other = NULL;
        l->other = NULL;
        if (other->bridge >= 0)
            w->sections[other->bridge].linked = false;
    }
    if (l->bridge >= 0)
        w->sections[l->bridge].linked = false;
}

/* Nothing gets through any more, and nobody is told; `one` end may be. */
static void halve(struct world *w, struct wire *l, bool one)
{
    struct wire *other = l->other;

    trace_add(&w->trace, "connection %u is dead%s", l->serial, one ? " at one end" : "");
    w->totals->halves++;
    cut(w, l);
    l->gone = one;
    other->gone = false;
}

/* Somebody comes with the client id of a bridge, and takes its session at the remote broker away.
 */
static void rob(struct world *w, struct section *s)
{
    char id[16];
    struct packet_connect p = {.level = PROTOCOL_311, .clean_session = true};
    struct wire *l = wire_open(w, s->remote);

    if (!l)
        return;
    (void)snprintf(id, sizeof id, "sim.%s", s->name);
    p.client_id = str_c(id);
    trace_add(&w->trace, "connection %u takes the session of %s at n%u", l->serial, s->name,
              s->remote);
    bytes_added(&l->in, encode_connect(bytes_room(&l->in, encode_connect_size(&p)), &p));
    bytes_added(&l->in, encode_empty(bytes_room(&l->in, ENCODE_EMPTY_SIZE), PACKET_DISCONNECT));
    l->gone = true;
    w->disturbed = true;
    s->confused = true;
    s->doubted = true;
    w->totals->robbed++;
}

void wire_trouble(struct world *w)
{
    if (w->knobs.bridges == 1 && trouble(w, w->knobs.rogue))
        rob(w, &w->sections[0]);
    for (struct wire *l = w->links; l < w->links + LINKS; l++) {
        if (!l->serial || l->gone || (w->knobs.bridges > 1 && wire_is_greeting(l)))
            continue;
        if (l->local) {
            if (trouble(w, w->knobs.cut_local))
                cut(w, l);
        } else if (l->other || l->evil) {
            if (trouble(w, w->knobs.cut))
                cut(w, l);
            else if (l->other && trouble(w, w->knobs.half))
                halve(w, l, chance(w, 500));
            else if (trouble(w, 50))
                l->stall = 1 + rng_below(&w->rng, 40);
        }
    }
}

bool wire_quiet(const struct world *w)
{
    for (const struct wire *l = w->links; l < w->links + LINKS; l++) {
        if (l->serial && (l->in.n || l->unsent || l->gone))
            return false;
    }
    return true;
}

/* --- dials --- */

static struct section *section_of(struct world *w, const char *name)
{
    for (unsigned i = 0; i < w->knobs.bridges; i++) {
        if (strcmp(w->sections[i].name, name) == 0)
            return &w->sections[i];
    }
    world_fail(w, "a dial for %s, which is no bridge", name);
}

void wire_take_dials(struct world *w, struct node *n)
{
    struct dial_order order;

    while (broker_take_dial(n->broker, &order)) {
        struct dial *d = w->dials;
        while (d < w->dials + DIALS && d->used)
            d++;
        if (d == w->dials + DIALS)
            world_fail(w, "more than %d dials at once", DIALS);
        if (order.address >= order.conf->address_count)
            world_fail(w, "a dial for address %zu of %zu", order.address,
                       order.conf->address_count);
        *d = (struct dial){.used = true, .node = n->number, .order = order};
        d->due_ms = w->now_ms + rng_below(&w->rng, w->calm ? 20 : 200);
        if (!w->calm && chance(w, 100))
            d->due_ms += rng_below(&w->rng, DIAL_SLOW_MS);
        w->totals->dials++;
        w->totals->probes += order.probe;
        trace_add(&w->trace, "n%u: dials %s for %s%s", n->number,
                  order.conf->addresses[order.address].host, order.conf->name,
                  order.probe ? ", to probe" : "");
    }
}

/* The core at the dialling end takes it; NULL: it did not. */
static struct wire *dialed(struct world *w, const struct dial *d)
{
    struct wire *l = w->links;
    struct peer peer = {.ip = {127, 0, 0, 1}, .family = 4, .port = 1883};

    while (l < w->links + LINKS && l->serial)
        l++;
    if (l == w->links + LINKS)
        return NULL;
    *l = (struct wire){.serial = ++w->serial, .node = d->node};
    l->bridge = (int)(section_of(w, d->order.conf->name) - w->sections);
    l->conn = broker_dialed(w->nodes[d->node].broker, d->order.ticket, &peer, l);
    if (!l->conn) {
        l->serial = 0;
        return NULL;
    }
    if (conn_link(l->conn) != l)
        world_fail(w, "conn_link gives something else");
    w->totals->links++;
    return l;
}

static void reach_evil(struct world *w, const struct dial *d)
{
    struct wire *l = dialed(w, d);

    if (!l)
        return;
    w->totals->hostile++;
    w->weak_bridges |= (uint8_t)(1u << l->bridge);
    w->sections[l->bridge].confused = true;
    l->evil = evil_new(w);
}

static void reach_node(struct world *w, const struct dial *d, unsigned node)
{
    struct wire *there = wire_open(w, node);
    struct wire *here = there ? dialed(w, d) : NULL;

    if (!there) {
        broker_dial_failed(w->nodes[d->node].broker, d->order.ticket, "Connection refused");
        return;
    }
    if (!here) {
        there->gone = true;
        return;
    }
    here->other = there;
    there->other = here;
    w->sections[here->bridge].linked = true;
    w->disturbed = true;
    trace_add(&w->trace, "n%u: connection %u to n%u, which calls it %u", here->node, here->serial,
              node, there->serial);
}

static void probed(struct world *w, const struct dial *d, unsigned node)
{
    struct wire *there = wire_open(w, node);

    if (there)
        there->gone = true;
    broker_dial_probed(w->nodes[d->node].broker, d->order.ticket);
}

static void dial_end(struct world *w, struct dial *d)
{
    const char *host = d->order.conf->addresses[d->order.address].host;
    struct broker *b = w->nodes[d->node].broker;
    bool evil = host[0] == 'h';

    if (!broker_wants_dial(b, d->order.ticket)) {
        trace_add(&w->trace, "n%u: a dial is not wanted any more", d->node);
    } else if (host[0] == 'd' || (evil && (w->calm || !chance(w, w->knobs.hostile))) ||
               (!w->calm && chance(w, w->knobs.dial_fail))) {
        broker_dial_failed(b, d->order.ticket, "Connection refused");
    } else if (evil && d->order.probe) {
        broker_dial_probed(b, d->order.ticket);
    } else if (evil) {
        reach_evil(w, d);
    } else if (d->order.probe) {
        probed(w, d, (unsigned)(host[1] - '0'));
    } else {
        reach_node(w, d, (unsigned)(host[1] - '0'));
    }
    conf_bridge_unref(d->order.conf);
    d->used = false;
}

void wire_work_dials(struct world *w, struct node *n)
{
    for (struct dial *d = w->dials; d < w->dials + DIALS; d++) {
        if (d->used && d->node == n->number && w->now_ms >= d->due_ms)
            dial_end(w, d);
    }
}

void wire_forget_dials(struct world *w, unsigned node)
{
    for (struct dial *d = w->dials; d < w->dials + DIALS; d++) {
        if (d->used && d->node == node) {
            conf_bridge_unref(d->order.conf);
            d->used = false;
        }
    }
}

bool wire_dials_quiet(const struct world *w)
{
    for (const struct dial *d = w->dials; d < w->dials + DIALS; d++) {
        if (d->used && !d->order.probe)
            return false;
    }
    return true;
}
