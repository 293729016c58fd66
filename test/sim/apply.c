/*
 * The model is told what the broker handles: each packet, and each end of a connection.
 */
#include "sim.h"

#include <stdlib.h>

static struct session *session_of(struct sim *s, const struct cable *k)
{
    return &s->model.sessions[k->client];
}

static struct expect *expect_add(struct sim *s, struct cable *k, enum packet_type type, uint16_t id)
{
    k->expects = vec_grow(k->expects, &k->expect_cap, k->expect_n + 1, sizeof *k->expects);
    k->expects[k->expect_n] = (struct expect){.type = (uint8_t)type, .id = id, .turn = s->turn};
    return &k->expects[k->expect_n++];
}

/* What was on its way at QoS 0 is lost, or waits if the broker queues it. */
static void quicks_end(struct sim *s, struct cable *k)
{
    struct session *to = session_of(s, k);

    for (uint32_t i = 0; i < k->quick_n; i++) {
        const struct quick *q = &k->quicks[i];
        s->facts.picks[q->pick].excused = true;
        if (s->conf[0].global.queue_qos0_messages && !to->clean) {
            struct row *r = session_add(to, &s->facts, q->letter, 1);
            r->flags |= ROW_MAY | ROW_LATE;
            r->turn = q->turn;
            r->pick = q->pick;
        }
    }
    k->quick_n = 0;
    for (uint32_t i = 0; i < to->n; i++) {
        if (to->rows[i].mask & 1) /* perhaps taken from the queue already */
            to->rows[i].flags |= ROW_MAY;
    }
}

void cursors_weaken(struct session *to)
{
    for (uint32_t i = 0; i < to->cursor_n; i++) {
        for (unsigned w = 0; w < TOPIC_WORDS; w++)
            to->cursors[i].owed[w] &= ~to->cursors[i].weak[w];
    }
}

void apply_end(struct sim *s, struct cable *k, bool will)
{
    if (k->dead)
        return;
    k->dead = true;
    if (!k->accepted)
        return;
    struct session *to = session_of(s, k);
    trace_add(&s->trace, "model: connection %u of client %d ends%s", k->serial, k->client,
              will && k->will ? ", will" : "");
    quicks_end(s, k);
    cursors_weaken(to);
    to->cable = 0;
    s->event++;
    if (will && k->will) {
        s->barrier = true;
        deliver(s, k->will, s->starved);
    }
    if (to->clean) {
        for (unsigned f = 0; f < FILTERS; f++)
            s->left[f] |= to->sub[f] != 0;
        session_forget(to, &s->facts);
        s->clients[k->client].amnesty = false;
    }
}

/*
 * Behind the mount point now: what it cannot name there is dropped as its turn comes. A QoS 2
 * message that it may have got is released, a retained one that it never saw too.
 */
static void leave_outside(struct sim *s, struct cable *k)
{
    struct session *to = session_of(s, k);
    struct client *c = &s->clients[k->client];

    for (uint32_t i = 0; i < to->n; i++) {
        struct row *r = &to->rows[i];
        if (sim_sees(s, true, s->letters.all[r->letter].topic) || r->state != ROW_WAITING)
            continue;
        r->flags |= ROW_MAY | ROW_EITHER;
        s->facts.picks[r->pick].excused = true;
        c->amnesty = true;
    }
    c->amnesty |= to->cursor_n > 0;
    for (uint32_t i = 0; i < to->cursor_n; i++) {
        for (unsigned t = 0; t < TOPICS; t++) {
            if (!sim_sees(s, true, t))
                cursor_waive(&to->cursors[i], t);
        }
    }
}

static void apply_connect(struct sim *s, struct cable *k)
{
    struct session *to = session_of(s, k);
    struct cable *old = cable_find(s, to->cable);
    bool unsure = to->unsure;

    if (old) {
        s->totals->takeovers++;
        apply_end(s, old, true);
    }
    bool present = to->exists && !to->clean && !k->clean;
    if (!present) {
        session_forget(to, &s->facts);
        s->clients[k->client].amnesty = false;
        unsure = unsure && !k->clean;
    }
    to->exists = true;
    to->clean = k->clean;
    to->cable = k->serial;
    to->unsure = false;
    if (k->mounted)
        leave_outside(s, k);
    k->accepted = true;
    struct expect *e = expect_add(s, k, PACKET_CONNACK, 0);
    e->present = present;
    if (unsure)
        e->present = 2;
    s->totals->connects++;
}

static void apply_publish(struct sim *s, struct cable *k, const struct op *op)
{
    const struct letter *l = &s->letters.all[op->letter];
    struct session *from = session_of(s, k);

    if (l->qos == 0) {
        deliver(s, op->letter, s->starved);
        return;
    }
    if (l->qos == 1) {
        deliver(s, op->letter, false);
        expect_add(s, k, PACKET_PUBACK, op->id);
        return;
    }
    uint8_t *in = &from->in[slot_of_id(op->id)];
    if (*in != IN_HELD)
        deliver(s, op->letter, *in == IN_MAYBE);
    *in = IN_HELD;
    expect_add(s, k, PACKET_PUBREC, op->id);
}

/* What was taken for this one's may have been another's, which will not be told apart any more. */
static void cursor_doubt(struct session *to, const struct cursor *u)
{
    for (uint32_t i = 0; i < to->cursor_n; i++) {
        struct cursor *o = &to->cursors[i];
        for (unsigned w = 0; w < TOPIC_WORDS; w++)
            o->owed[w] &= ~(u->got[w] & u->either[w] & o->either[w]);
    }
}

static void cursor_end(struct session *to, uint8_t filter)
{
    for (uint32_t i = 0; i < to->cursor_n; i++) {
        struct cursor *u = &to->cursors[i];
        if (u->filter == filter && u->live) {
            cursor_doubt(to, u);
            u->live = false;
            memset(u->owed, 0, sizeof u->owed);
            memset(u->due, 0, sizeof u->due);
        }
    }
}

static void cursor_begin(struct sim *s, struct cable *k, uint8_t filter, uint8_t qos, bool certain)
{
    struct session *to = session_of(s, k);

    cursor_end(to, filter);
    struct cursor *u = session_cursor(to);
    u->filter = filter;
    u->qos = qos;
    u->cable = k->serial;
    u->since = s->event;
    for (unsigned t = 0; t < TOPICS && certain; t++) {
        const struct retained *r = &s->model.retained[t];
        if (!r->letter || r->unsure || !s->names.match[filter][t] || !sim_sees(s, k->mounted, t) ||
            !guard_reads(&s->guard, (unsigned)k->client, t))
            continue;
        u->owed[t / 64] |= 1ull << (t % 64);
        if (qos == 0 ||
            (s->letters.all[r->letter].qos == 0 && !s->conf[0].global.upgrade_outgoing_qos))
            u->weak[t / 64] |= 1ull << (t % 64);
    }
}

static void apply_subscribe(struct sim *s, struct cable *k, const struct op *op)
{
    struct session *to = session_of(s, k);
    struct expect *e = expect_add(s, k, PACKET_SUBACK, op->id);

    e->n = op->n;
    memcpy(e->code, op->qos, op->n);
    for (uint8_t i = 0; i < op->n; i++) {
        to->sub[op->filter[i]] = (uint8_t)(1 << op->qos[i]);
        if (!s->names.shared[op->filter[i]])
            cursor_begin(s, k, op->filter[i], op->qos[i], true);
    }
}

static void apply_unsubscribe(struct sim *s, struct cable *k, const struct op *op)
{
    expect_add(s, k, PACKET_UNSUBACK, op->id);
    for (uint8_t i = 0; i < op->n; i++) {
        session_of(s, k)->sub[op->filter[i]] = 0;
        cursor_end(session_of(s, k), op->filter[i]);
    }
}

static void apply_pubrec(struct sim *s, struct cable *k, const struct op *op)
{
    struct row *r = session_row(session_of(s, k), op->uid);

    if (!r || row_over(&s->facts, r)) {
        expect_add(s, k, PACKET_PUBREL, op->id);
        return;
    }
    if (r->state == ROW_WAITING)
        r->received_turn = s->turn;
    r->state = ROW_RECEIVED;
}

static void apply_done(struct sim *s, struct cable *k, const struct op *op)
{
    struct row *r = session_row(session_of(s, k), op->uid);

    if (r && !row_over(&s->facts, r))
        row_done(session_of(s, k), r);
}

static void apply_pubrel(struct sim *s, struct cable *k, const struct op *op)
{
    int slot = slot_of_id(op->id);

    if (slot >= 0)
        session_of(s, k)->in[slot] = IN_NONE;
    expect_add(s, k, PACKET_PUBCOMP, op->id);
}

static void apply_refused(struct sim *s, struct cable *k, const struct op *op)
{
    if (op->code)
        expect_add(s, k, PACKET_CONNACK, 0)->code[0] = op->code;
    apply_end(s, k, true);
}

void apply_op(struct sim *s, struct cable *k, const struct op *op)
{
    s->event++;
    switch (op->kind) {
    case OP_CONNECT:
        apply_connect(s, k);
        break;
    case OP_REFUSED:
        apply_refused(s, k, op);
        break;
    case OP_PUBLISH:
        apply_publish(s, k, op);
        break;
    case OP_PUBACK:
    case OP_PUBCOMP:
        apply_done(s, k, op);
        break;
    case OP_PUBREC:
        apply_pubrec(s, k, op);
        break;
    case OP_PUBREL:
        apply_pubrel(s, k, op);
        break;
    case OP_SUBSCRIBE:
        apply_subscribe(s, k, op);
        break;
    case OP_UNSUBSCRIBE:
        apply_unsubscribe(s, k, op);
        break;
    case OP_PING:
        expect_add(s, k, PACKET_PINGRESP, 0);
        break;
    case OP_DISCONNECT:
        apply_end(s, k, false);
        break;
    case OP_ILLEGAL:
        apply_end(s, k, true);
        break;
    }
}

static void maybe_subscribe(struct sim *s, struct cable *k, const struct op *op)
{
    struct session *to = session_of(s, k);

    for (uint8_t i = 0; i < op->n; i++) {
        uint8_t *sub = &to->sub[op->filter[i]];
        *sub |= (uint8_t)((1 << op->qos[i]) | (*sub ? 0 : SUB_ABSENT));
        if (!s->names.shared[op->filter[i]])
            cursor_begin(s, k, op->filter[i], op->qos[i], false);
    }
    s->clients[k->client].amnesty = true;
    to->blind = true;
}

static void maybe_publish(struct sim *s, struct cable *k, const struct op *op)
{
    const struct letter *l = &s->letters.all[op->letter];

    if (l->qos == 2) {
        uint8_t *in = &session_of(s, k)->in[slot_of_id(op->id)];
        if (*in == IN_HELD)
            return;
        *in = IN_MAYBE;
    }
    deliver(s, op->letter, true);
}

static void maybe_connect(struct sim *s, struct cable *k)
{
    struct session *to = session_of(s, k);
    struct cable *old = cable_find(s, to->cable);

    if (old && broker_wish(s->broker, old->conn) >= WISH_FLUSH_CLOSE)
        apply_end(s, old, true);
    s->clients[k->client].amnesty = true;
    session_blur(to, &s->facts);
}

void apply_maybe(struct sim *s, struct cable *k, const struct op *op)
{
    struct row *r;

    s->event++;
    trace_add(&s->trace, "model: packet %d on connection %u may have failed", (int)op->kind,
              k->serial);
    switch (op->kind) {
    case OP_CONNECT:
        maybe_connect(s, k);
        break;
    case OP_PUBLISH:
        maybe_publish(s, k, op);
        break;
    case OP_PUBACK:
    case OP_PUBREC:
    case OP_PUBCOMP:
        r = session_row(session_of(s, k), op->uid);
        if (r)
            r->flags |= ROW_MAY | ROW_EITHER;
        break;
    case OP_PUBREL:
        if (slot_of_id(op->id) >= 0 && session_of(s, k)->in[slot_of_id(op->id)])
            session_of(s, k)->in[slot_of_id(op->id)] = IN_MAYBE;
        break;
    case OP_SUBSCRIBE:
        maybe_subscribe(s, k, op);
        break;
    case OP_UNSUBSCRIBE:
        for (uint8_t i = 0; i < op->n; i++) {
            if (session_of(s, k)->sub[op->filter[i]])
                session_of(s, k)->sub[op->filter[i]] |= SUB_ABSENT;
            cursor_end(session_of(s, k), op->filter[i]);
        }
        break;
    case OP_REFUSED:
    case OP_PING:
    case OP_DISCONNECT:
    case OP_ILLEGAL:
        break;
    }
    apply_end(s, k, true);
}
