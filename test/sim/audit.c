/*
 * Is what arrives right: owed to this client, at this QoS, in this order, not too often, not too
 * early?
 */
#include "sim.h"

#define UID_QUICK UINT32_MAX /* a pick that was won by a QoS 0 delivery */

static const char *topic_text(const struct sim *s, unsigned topic)
{
    return s->names.topic[topic].p;
}

/*
 * Is there a copy for this client that stands for a subscription and a group at once, at one QoS or
 * another? If its publisher sent it twice, one copy may have been taken for another.
 */
static bool is_merged(const struct sim *s, int client, uint32_t letter)
{
    const struct session *to = &s->model.sessions[client];

    for (uint32_t i = 0; i < to->n && s->knobs.share; i++) {
        if (to->rows[i].letter == letter && (to->rows[i].mask & (to->rows[i].mask - 1)))
            return true;
    }
    return false;
}

/* Something was left out that only a limit can explain; the broker must have counted it. */
static void claim_drop(struct sim *s, int client, uint32_t letter)
{
    uint64_t counted = s->admitted + broker_stats(s->broker)->publish_dropped;

    if (is_merged(s, client, letter))
        return;
    s->claimed++;
    if (s->claimed > counted)
        sim_fail(s,
                 "message %u ('%s', QoS %u) for client %d is missing: %llu were left out in all, "
                 "%llu counted as dropped",
                 letter, topic_text(s, s->letters.all[letter].topic), s->letters.all[letter].qos,
                 client, (unsigned long long)s->claimed, (unsigned long long)counted);
}

/* The same for a row: once, also if a crash brings the row back. */
static void claim_row(struct sim *s, int client, const struct row *r)
{
    struct fact *f = &s->facts.rows[r->uid];

    if (!f->claimed)
        claim_drop(s, client, r->letter);
    f->claimed = true;
}

/* What is being looked for: a numbered message, or any empty one of that topic. */
struct wanted {
    uint32_t number;
    unsigned topic;
};

static bool is_wanted(const struct sim *s, const struct wanted *w, uint32_t letter)
{
    const struct letter *l = &s->letters.all[letter];

    return w->number ? letter == w->number : l->size == 0 && l->topic == w->topic;
}

/* Must one come before the other? Of empty ones nobody can tell which is which. */
static bool same_stream(const struct sim *s, uint32_t a, uint32_t b)
{
    const struct letter *x = &s->letters.all[a];
    const struct letter *y = &s->letters.all[b];

    return x->topic == y->topic && x->publisher == y->publisher && x->size && y->size;
}

static void check_durable(struct sim *s, uint32_t turn, const char *what, uint32_t letter)
{
    if (!simdisk_has(s, turn))
        sim_fail(s, "%s (message %u) left before the records of its turn %u were durable", what,
                 letter, turn);
}

/* What QoS 2 touched waits for its records. (Of empty messages it is only a guess which came.) */
static void check_held(struct sim *s, uint32_t turn, uint32_t letter, unsigned qos)
{
    const struct letter *l = &s->letters.all[letter];

    if ((l->qos == 2 || qos == 2) && l->size)
        check_durable(s, turn, "a message that QoS 2 touched", letter);
}

/* --- QoS 0 --- */

static void quick_remove(struct cable *k, uint32_t at)
{
    memmove(k->quicks + at, k->quicks + at + 1, (k->quick_n - at - 1) * sizeof *k->quicks);
    k->quick_n--;
}

static bool quick_over(const struct sim *s, const struct quick *q)
{
    return q->pick && s->facts.picks[q->pick].winner;
}

/* Those of the same stream in front of number `at` have been left out. */
static void quicks_skip(struct sim *s, struct cable *k, uint32_t at, uint32_t letter)
{
    for (uint32_t i = at; i-- > 0;) {
        struct quick q = k->quicks[i];
        if (!same_stream(s, q.letter, letter))
            continue;
        quick_remove(k, i);
        if (!q.may && !q.pick)
            claim_drop(s, k->client, q.letter);
    }
}

/*
 * Which one came? Rather one that is surely owed than one that may be lost or another's (of a
 * group), unless something else that is owed should have come before it.
 */
static int find_quick(const struct sim *s, const struct cable *k, const struct wanted *w)
{
    int weak = -1;
    bool blocked = false;

    for (uint32_t i = 0; i < k->quick_n; i++) {
        const struct quick *q = &k->quicks[i];
        bool strict = !q->may && !q->pick;
        if (quick_over(s, q) || s->letters.all[q->letter].topic != w->topic)
            continue;
        if (is_wanted(s, w, q->letter)) {
            const struct quick *first = weak < 0 ? NULL : &k->quicks[weak];
            if (strict && (!first || (!blocked && first->pick))) {
                if (first) /* or was it that one? */
                    s->facts.picks[first->pick].excused = true;
                return (int)i;
            }
            weak = weak < 0 ? (int)i : weak;
        }
        blocked |= strict;
    }
    return weak;
}

/* Of two copies of a message one was owed, and one came. */
static bool excuse_quick(struct cable *k, uint32_t came)
{
    for (uint32_t i = 0; i < k->quick_n; i++) {
        if (k->quicks[i].letter == came && !k->quicks[i].may && !k->quicks[i].pick) {
            k->quicks[i].may = true;
            return true;
        }
    }
    return false;
}

static uint32_t take_quick(struct sim *s, struct cable *k, const struct wanted *w)
{
    int at = find_quick(s, k, w);

    if (at < 0)
        return 0;
    struct quick q = k->quicks[at];
    check_held(s, q.turn, q.letter, 0);
    pick_won(&s->facts, q.pick, UID_QUICK);
    quick_remove(k, (uint32_t)at);
    if (q.may)
        excuse_quick(k, q.letter);
    quicks_skip(s, k, (uint32_t)at, q.letter);
    return q.letter;
}

/* --- rows --- */

/* Something of the same stream that should have been sent earlier. */
static void check_earlier(struct sim *s, struct cable *k, struct row *e, uint32_t letter,
                          uint8_t qos)
{
    if (row_over(&s->facts, e) || e->state != ROW_WAITING ||
        (e->flags & (ROW_RETAINED | ROW_LATE)) || !(e->mask & (1 << qos)) ||
        s->facts.rows[e->uid].cable == k->serial || !same_stream(s, e->letter, letter))
        return;
    if (e->flags & ROW_MAY) {
        if (!(e->mask & (e->mask - 1))) /* else it may come still, at another QoS */
            e->state = ROW_DONE;
    } else if (e->flags & ROW_DROP_OK) {
        e->state = ROW_DONE;
        if (!e->pick)
            claim_row(s, k->client, e);
    } else if (!e->pick) {
        sim_fail(s, "client %d gets message %u of '%s' at QoS %u before the earlier message %u",
                 k->client, letter, topic_text(s, s->letters.all[letter].topic), qos, e->letter);
    }
}

/* Does it certainly hold its packet id? */
static bool holds_id(const struct sim *s, const struct row *r)
{
    const struct fact *f = &s->facts.rows[r->uid];

    return f->order && !f->hazy && !(r->flags & (ROW_EITHER | ROW_MAY)) && !row_over(&s->facts, r);
}

static void check_id_free(struct sim *s, const struct session *to, const struct row *r, uint16_t id)
{
    for (uint32_t i = 0; i < to->n; i++) {
        const struct row *o = &to->rows[i];
        if (o != r && s->facts.rows[o->uid].id == id && holds_id(s, o))
            sim_fail(s, "packet id %u is used for message %u while message %u has it", id,
                     r->letter, o->letter);
    }
}

static void check_window(struct sim *s, const struct session *to)
{
    uint32_t open = 0;

    for (uint32_t i = 0; i < to->n; i++)
        open += holds_id(s, &to->rows[i]);
    if (!s->knobs.max_inflight || open <= s->knobs.max_inflight)
        return;
    for (uint32_t i = 0; i < to->n; i++) {
        const struct row *r = &to->rows[i];
        if (holds_id(s, r))
            trace_add(&s->trace, "in flight: row %u of message %u, id %u, state %d, flags %x",
                      r->uid, r->letter, s->facts.rows[r->uid].id, r->state, r->flags);
    }
    sim_fail(s, "%u messages in flight, the limit is %u", open, s->knobs.max_inflight);
}

/* It is seen for the first time, or as if: after a crash that may have undone it. */
static void seen_first(struct sim *s, struct cable *k, const struct row *r,
                       const struct packet_publish *p)
{
    struct fact *f = &s->facts.rows[r->uid];

    check_id_free(s, &s->model.sessions[k->client], r, p->id);
    if (p->dup && r->born == k->serial)
        sim_fail(s, "message %u comes with DUP, and was never sent before", r->letter);
    f->id = p->id;
    f->blurred |= f->hazy;
    f->hazy = false;
    if (!f->order)
        f->order = ++s->facts.order;
    if (r->flags & ROW_RETAINED)
        s->clients[k->client].retained_seen[s->letters.all[r->letter].topic] = s->event;
    check_window(s, &s->model.sessions[k->client]);
    s->totals->delivered++;
}

static void seen_again(struct sim *s, struct cable *k, const struct row *r,
                       const struct packet_publish *p)
{
    struct fact *f = &s->facts.rows[r->uid];

    if (f->cable == k->serial)
        sim_fail(s, "message %u is sent twice on one connection", r->letter);
    if (!p->dup || f->id != p->id)
        sim_fail(s, "message %u is sent again with packet id %u, DUP %d; its id was %u", r->letter,
                 p->id, p->dup, f->id);
    s->totals->resent++;
    if (((r->flags & ROW_RETAINED) && s->clients[k->client].amnesty) ||
        s->letters.all[r->letter].again || s->letters.all[r->letter].size == 0 || f->blurred)
        return; /* its place before the crash is not known, or not which copy it is */
    if (f->order < k->resend)
        sim_fail(s, "message %u is sent again behind a later one", r->letter);
    k->resend = f->order;
}

static void see_row(struct sim *s, struct cable *k, struct row *r, const struct packet_publish *p)
{
    struct fact *f = &s->facts.rows[r->uid];

    check_held(s, r->turn, r->letter, (unsigned)p->qos);
    if (f->order && !f->hazy)
        seen_again(s, k, r, p);
    else
        seen_first(s, k, r, p);
    f->cable = k->serial;
    f->frames = s->disk.n;
    pick_won(&s->facts, r->pick, r->uid);
}

static bool row_fits(const struct sim *s, const struct cable *k, const struct row *r,
                     const struct wanted *w, const struct packet_publish *p)
{
    const struct fact *f = &s->facts.rows[r->uid];
    bool fresh = r->born == k->serial && !f->order;      /* no reason for DUP */
    bool other = f->order && !f->hazy && f->id != p->id; /* it would come with its own id */
    bool again = f->order && !f->hazy;                   /* it would come with DUP */

    return is_wanted(s, w, r->letter) && !row_over(&s->facts, r) && (r->mask & (1 << p->qos)) &&
           (r->state == ROW_WAITING || (r->flags & ROW_EITHER)) && f->cable != k->serial &&
           !!(r->flags & ROW_RETAINED) == p->retain && !(p->dup ? fresh || other : again);
}

#define ROW_WEAK (ROW_MAY | ROW_DROP_OK)

/* How surely is it there? */
static unsigned row_rank(const struct row *r)
{
    if (r->flags & ROW_MAY)
        return 0;
    return r->flags & ROW_DROP_OK ? 1 : 2;
}

/* It may be there, and another copy is more surely: that one is owed, and this one came for it. */
static void settle_debt(const struct sim *s, struct cable *k, const struct session *to,
                        struct row *came, uint8_t qos)
{
    uint8_t weak = came->flags & ROW_WEAK;

    for (struct row *r = to->rows; r < to->rows + to->n && weak; r++) {
        if (r->letter == came->letter && r->pick && r->pick != came->pick)
            s->facts.picks[r->pick].excused = true;
    }
    if (!weak || (qos == 0 && excuse_quick(k, came->letter)))
        return;
    for (struct row *r = to->rows; r < to->rows + to->n; r++) {
        if (r != came && r->letter == came->letter && r->pick == came->pick &&
            row_rank(r) > row_rank(came) && (r->mask & (1 << qos)) && r->state == ROW_WAITING &&
            s->facts.rows[r->uid].cable != k->serial) {
            came->flags = (uint8_t)((came->flags & ~ROW_WEAK) | (r->flags & ROW_WEAK));
            r->flags = (uint8_t)((r->flags & ~ROW_WEAK) | weak);
            return;
        }
    }
}

/* As find_quick(): of two copies of one message the first. With DUP it is the one that had this id.
 */
static struct row *choose_row(const struct sim *s, const struct cable *k, const struct wanted *w,
                              const struct packet_publish *p)
{
    const struct session *to = &s->model.sessions[k->client];
    struct row *weak = NULL;
    bool blocked = false;

    for (struct row *r = to->rows; r < to->rows + to->n && p->dup; r++) {
        const struct fact *f = &s->facts.rows[r->uid];
        if (row_fits(s, k, r, w, p) && f->order && f->id == p->id)
            return r;
    }
    for (struct row *r = to->rows; r < to->rows + to->n; r++) {
        bool strict = !(r->flags & ROW_WEAK) && !r->pick;
        if (s->letters.all[r->letter].topic != w->topic)
            continue;
        if (row_fits(s, k, r, w, p)) {
            if (strict && (!weak || (!blocked && weak->pick))) {
                if (weak) /* or was it that one? */
                    s->facts.picks[weak->pick].excused = true;
                return r;
            }
            weak = weak ? weak : r;
        }
        blocked |= strict && r->state == ROW_WAITING && s->facts.rows[r->uid].cable != k->serial &&
                   (r->mask & (1 << p->qos));
    }
    return weak;
}

static struct row *find_row(struct sim *s, struct cable *k, const struct wanted *w,
                            const struct packet_publish *p)
{
    struct session *to = &s->model.sessions[k->client];
    struct row *found = choose_row(s, k, w, p);

    bool ordered = found && !(found->flags & (ROW_RETAINED | ROW_LATE));
    for (struct row *r = to->rows; ordered && r < found; r++)
        check_earlier(s, k, r, found->letter, (uint8_t)p->qos);
    if (found)
        settle_debt(s, k, to, found, (uint8_t)p->qos);
    return found;
}

/* A QoS 0 row is over as soon as it is seen. */
static uint32_t take_row(struct sim *s, struct cable *k, struct row *r,
                         const struct packet_publish *p)
{
    uint32_t uid = r->uid;

    if (p->qos > 0) {
        see_row(s, k, r, p);
        return uid;
    }
    check_held(s, r->turn, r->letter, 0);
    pick_won(&s->facts, r->pick, uid);
    if (s->knobs.nomem && r->mask != 1) {
        r->mask &= (uint8_t)~1u; /* or was it another copy? Then this one may come still */
        return 0;
    }
    row_done(&s->model.sessions[k->client], r);
    return 0;
}

/* --- retained --- */

struct topic_bit {
    unsigned word;
    uint64_t bit;
};

/* With DUP it cannot come of a subscription that was made on this connection. */
static bool could_bring(const struct sim *s, const struct cable *k, const struct cursor *u,
                        uint32_t number, const struct packet_publish *p)
{
    const struct letter *l = &s->letters.all[number];
    uint8_t at = u->qos < l->qos || s->conf[0].global.upgrade_outgoing_qos ? u->qos : l->qos;

    return s->names.match[u->filter][l->topic] && at == p->qos && l->retained_from &&
           l->retained_to > u->since && !(p->dup && u->cable == k->serial);
}

/* A feed that has begun once more brings what has come to be retained since its rows were made. */
static bool may_repeat(const struct sim *s, const struct cursor *u, uint32_t number)
{
    const struct letter *l = &s->letters.all[number];
    const struct retained *r = &s->model.retained[l->topic];

    return u->merged || (u->anew && (r->letter != number || r->since > l->retained_from));
}

static void cursor_got(const struct sim *s, struct cursor *u, uint32_t number, struct topic_bit t)
{
    if (!may_repeat(s, u, number))
        u->got[t.word] |= t.bit;
    u->owed[t.word] &= ~t.bit;
}

/* Whose was it? The first that owes it is the best guess; if others could have brought it, remember
 * that. */
static struct cursor *cursor_guess(struct sim *s, const struct cable *k, uint32_t number,
                                   const struct packet_publish *p, struct topic_bit t)
{
    struct session *to = &s->model.sessions[k->client];
    struct cursor *best = NULL;
    unsigned candidates = 0;

    for (uint32_t i = 0; i < to->cursor_n; i++) {
        struct cursor *u = &to->cursors[i];
        if (!could_bring(s, k, u, number, p) || (u->got[t.word] & t.bit))
            continue;
        candidates++;
        if (!best || (!(best->owed[t.word] & t.bit) && (u->owed[t.word] & t.bit)))
            best = u;
    }
    for (uint32_t i = 0; i < to->cursor_n && candidates > 1; i++) {
        if (could_bring(s, k, &to->cursors[i], number, p))
            to->cursors[i].either[t.word] |= t.bit;
    }
    if (best)
        cursor_got(s, best, number, t);
    return best;
}

/* An earlier guess was wrong: what came then was another one's, and this is it. */
static struct cursor *cursor_correct(struct sim *s, const struct cable *k, uint32_t number,
                                     const struct packet_publish *p, struct topic_bit t)
{
    struct session *to = &s->model.sessions[k->client];
    struct cursor *found = NULL;
    struct cursor *other = NULL;

    for (uint32_t i = 0; i < to->cursor_n; i++) {
        struct cursor *u = &to->cursors[i];
        if (!(u->either[t.word] & t.bit))
            continue;
        if ((u->got[t.word] & t.bit) && could_bring(s, k, u, number, p))
            found = u;
        else if (!(u->got[t.word] & t.bit))
            other = u;
    }
    if (!found || !other)
        return NULL;
    cursor_got(s, other, number, t);
    return found;
}

static struct cursor *cursor_for(struct sim *s, const struct cable *k, uint32_t number,
                                 const struct packet_publish *p)
{
    unsigned topic = s->letters.all[number].topic;
    struct topic_bit t = {.word = topic / 64, .bit = 1ull << (topic % 64)};
    struct cursor *u = cursor_guess(s, k, number, p, t);

    return u ? u : cursor_correct(s, k, number, p, t);
}

static void tell_cursors(struct sim *s, const struct session *to, uint32_t number)
{
    const struct letter *l = &s->letters.all[number];

    trace_add(&s->trace, "known: message %u was retained from %llu to %llu", number,
              (unsigned long long)l->retained_from, (unsigned long long)l->retained_to);
    for (uint32_t i = 0; i < to->cursor_n; i++) {
        const struct cursor *u = &to->cursors[i];
        if (s->names.match[u->filter][l->topic])
            trace_add(&s->trace, "known: '%s' at QoS %u since %llu, live %d, brought it %d",
                      s->names.filter[u->filter].p, u->qos, (unsigned long long)u->since, u->live,
                      (u->got[l->topic / 64] >> (l->topic % 64) & 1) != 0);
    }
}

static uint32_t take_retained(struct sim *s, struct cable *k, uint32_t number,
                              const struct packet_publish *p)
{
    struct session *to = &s->model.sessions[k->client];
    const struct cursor *u = cursor_for(s, k, number, p);

    if (!u && !(to->blind && s->letters.all[number].retained_from)) {
        tell_cursors(s, to, number);
        sim_fail(s,
                 "client %d gets message %u ('%s') as retained at QoS %u: not owed, or not "
                 "current, or twice",
                 k->client, number, topic_text(s, s->letters.all[number].topic), (unsigned)p->qos);
    }
    s->totals->retained++;
    if (p->qos == 0)
        return 0;
    struct row *r = session_add(to, &s->facts, number, (uint8_t)(1 << p->qos));
    r->flags = ROW_RETAINED;
    r->turn = 0;
    if (!u || u->cable != k->serial)
        r->born = 0;
    see_row(s, k, r, p);
    return r->uid;
}

/* --- all of it --- */

static void unexpected(struct sim *s, struct cable *k, const struct wanted *w,
                       const struct packet_publish *p)
{
    const struct session *to = &s->model.sessions[k->client];

    for (uint32_t i = 0; i < to->n; i++) {
        const struct row *r = &to->rows[i];
        if (is_wanted(s, w, r->letter))
            trace_add(&s->trace,
                      "known: row %u of message %u, state %d, QoS mask %x, flags %x, last on %u",
                      r->uid, r->letter, r->state, r->mask, r->flags, s->facts.rows[r->uid].cable);
    }
    sim_fail(s, "client %d gets message %u ('%s') at QoS %u, dup %d, id %u: not owed (any more)",
             k->client, w->number, topic_text(s, w->topic), (unsigned)p->qos, p->dup, p->id);
}

static int topic_of(const struct sim *s, const struct cable *k, struct str name)
{
    char text[64];

    if (!k->mounted || name.n == 0 || name.n + s->mount.n > sizeof text)
        return k->mounted ? -1 : names_topic(&s->names, name);
    memcpy(text, s->mount.p, s->mount.n);
    memcpy(text + s->mount.n, name.p, name.n);
    return names_topic(&s->names, str_of(text, s->mount.n + name.n));
}

static struct wanted identify(struct sim *s, struct cable *k, const struct packet_publish *p)
{
    int topic = topic_of(s, k, p->topic);
    uint32_t number = letter_find(&s->letters, p->payload);

    if (topic < 0)
        sim_fail(s, "client %d gets a topic that nobody wrote to", k->client);
    if (p->payload.n && (!number || s->letters.all[number].topic != topic))
        sim_fail(s, "client %d gets %zu bytes on '%s' that nobody wrote", k->client, p->payload.n,
                 topic_text(s, (unsigned)topic));
    if (p->dup && p->qos == 0)
        sim_fail(s, "DUP at QoS 0");
    if (p->retain && !number)
        sim_fail(s, "an empty message with RETAIN to client %d", k->client);
    return (struct wanted){.number = number, .topic = (unsigned)topic};
}

/*
 * Messages of which nobody knows: a will at QoS 0 to oneself at a takeover (whether one is still,
 * or already, connected then is nobody's promise); what was queued at QoS 0 before a crash; empty
 * ones, which look alike, where there are copies that may be lost, and where groups are at work
 * also those that were sent again: the wrong one may have been crossed out.
 */
static bool is_unknown(const struct sim *s, const struct cable *k, const struct wanted *w,
                       const struct packet_publish *p)
{
    if (!w->number && (s->knobs.share || s->knobs.nomem))
        return true;
    if (s->knobs.share && (s->letters.all[w->number].again || is_merged(s, k->client, w->number)))
        return true;
    if (p->qos != 0)
        return false;
    return w->topic == TOPIC_WILL((unsigned)k->client) ||
           (s->conf[0].global.queue_qos0_messages && s->clients[k->client].amnesty);
}

uint32_t audit_publish(struct sim *s, struct cable *k, const struct packet_publish *p,
                       uint32_t *letter)
{
    struct wanted w = identify(s, k, p);

    *letter = w.number;
    if (s->model.sessions[k->client].cable != k->serial)
        sim_fail(s, "PUBLISH to connection %u, which has no session", k->serial);
    if (!guard_reads(&s->guard, (unsigned)k->client, w.topic))
        sim_fail(s, "client %d may not read message %u ('%s')", k->client, w.number,
                 topic_text(s, w.topic));
    /* What was queued, also at QoS 0, is older than what came since. */
    struct row *r = p->retain && !p->dup ? NULL : find_row(s, k, &w, p);
    if (r) {
        *letter = r->letter;
        return take_row(s, k, r, p);
    }
    if (p->retain)
        return take_retained(s, k, w.number, p);
    uint32_t quick = p->qos == 0 ? take_quick(s, k, &w) : 0;
    if (quick)
        *letter = quick;
    else if (!is_unknown(s, k, &w, p))
        unexpected(s, k, &w, p);
    s->totals->delivered += quick != 0;
    return 0;
}

static bool expect_matches(const struct expect *e, const struct expect *got)
{
    if (e->type != got->type || e->id != got->id || e->n != got->n ||
        memcmp(e->code, got->code, sizeof e->code) != 0)
        return false;
    return e->present == 2 || e->present == got->present || e->type != PACKET_CONNACK;
}

static void expect_remove(struct cable *k, uint32_t at)
{
    memmove(k->expects + at, k->expects + at + 1, (k->expect_n - at - 1) * sizeof *k->expects);
    k->expect_n--;
}

/* The row that waits for this PUBREL; one that is sure to be there before one that may be. */
static struct row *released_row(const struct sim *s, const struct session *to, uint16_t id)
{
    struct row *maybe = NULL;

    for (uint32_t i = 0; i < to->n; i++) {
        struct row *r = &to->rows[i];
        if (!(r->mask & 4) || s->facts.rows[r->uid].id != id || row_over(&s->facts, r) ||
            (r->state != ROW_RECEIVED && !(r->flags & ROW_EITHER)))
            continue;
        if (!(r->flags & (ROW_MAY | ROW_EITHER)))
            return r;
        maybe = r;
    }
    return maybe;
}

uint32_t audit_pubrel(struct sim *s, struct cable *k, uint16_t id)
{
    struct row *r = released_row(s, &s->model.sessions[k->client], id);

    if (r) {
        check_durable(s, r->received_turn, "PUBREL", r->letter);
        r->state = ROW_RECEIVED; /* now it is known */
        r->flags = (uint8_t)(r->flags & ~ROW_EITHER);
        return r->uid;
    }
    for (uint32_t i = 0; i < k->expect_n; i++) {
        if (k->expects[i].type == PACKET_PUBREL && k->expects[i].id == id) {
            check_durable(s, k->expects[i].turn, "PUBREL", 0);
            expect_remove(k, i);
            return 0;
        }
    }
    if (!s->clients[k->client].amnesty && !s->knobs.share)
        sim_fail(s, "client %d gets PUBREL %u out of nowhere", k->client, id);
    return 0;
}

/* Answers of one kind come in the order of the requests. PINGRESP waits for nothing. */
void audit_expect(struct sim *s, struct cable *k, const struct expect *got, struct expect *was)
{
    for (uint32_t i = 0; i < k->expect_n; i++) {
        const struct expect *e = &k->expects[i];
        if (e->type != got->type)
            continue;
        if (!expect_matches(e, got))
            sim_fail(s,
                     "answer of type %u to client %d: id %u, present %u, %u codes %u %u %u %u; "
                     "due: id %u, present %u, %u codes %u %u %u %u",
                     got->type, k->client, got->id, got->present, got->n, got->code[0],
                     got->code[1], got->code[2], got->code[3], e->id, e->present, e->n, e->code[0],
                     e->code[1], e->code[2], e->code[3]);
        if (e->type != PACKET_PINGRESP && !(e->type == PACKET_CONNACK && e->code[0]))
            check_durable(s, e->turn, "an answer", got->type);
        *was = *e;
        expect_remove(k, i);
        return;
    }
    sim_fail(s, "answer of type %u, id %u to client %d, who did not ask", got->type, got->id,
             k->client);
}

static void check_sequence(struct sim *s, struct client *c, const struct letter *l, unsigned which)
{
    uint32_t *last = &c->last_seq[l->publisher][l->topic][which];
    bool copies = s->knobs.share; /* its own and the group's */

    if (l->seq < *last || (l->seq == *last && !copies))
        sim_fail(s, "client %d gets number %u from %u on '%s' at QoS %u after number %u", c->number,
                 l->seq, l->publisher, topic_text(s, l->topic), l->qos, *last);
    *last = l->seq;
}

static void check_once(struct sim *s, struct client *c, uint32_t letter)
{
    if (letter >= c->twice_n) {
        c->twice = vec_grow(c->twice, &c->twice_cap, letter + 1, sizeof *c->twice);
        memset(c->twice + c->twice_n, 0, (letter + 1 - c->twice_n) * sizeof *c->twice);
        c->twice_n = letter + 1;
    }
    if (c->twice[letter] == c->epoch + 1 && !s->knobs.share)
        sim_fail(s, "QoS 2 message %u arrives twice at client %d", letter, c->number);
    c->twice[letter] = c->epoch + 1;
}

/* What the application can see for itself, whatever the model thinks. */
void audit_arrival(struct sim *s, struct client *c, uint32_t letter, uint8_t qos)
{
    const struct letter *l = &s->letters.all[letter];

    if (l->size == 0) /* which of the empty ones it was is only a guess */
        return;
    if (l->qos == 0 && qos == 0) {
        check_sequence(s, c, l, 0);
    } else if (l->qos == 2 && qos == 2) {
        check_sequence(s, c, l, 1);
        check_once(s, c, letter);
    }
}

static void end_row(struct sim *s, unsigned client, const struct row *r)
{
    struct pick *pick = &s->facts.picks[r->pick];

    if (row_over(&s->facts, r) || (r->flags & ROW_MAY) ||
        (r->pick && (pick->excused || pick->winner)))
        return;
    if (!(r->flags & ROW_DROP_OK) && !is_merged(s, (int)client, r->letter))
        sim_fail(s, "message %u ('%s') never %s client %u at QoS mask %x%s", r->letter,
                 topic_text(s, s->letters.all[r->letter].topic),
                 s->facts.rows[r->uid].order ? "finished its handshake with" : "reached", client,
                 r->mask, r->pick ? ", nor another member of its group" : "");
    claim_row(s, (int)client, r);
    if (r->pick)
        pick->winner = UID_QUICK;
}

static void end_cable(struct sim *s, struct cable *k)
{
    for (uint32_t i = 0; i < k->quick_n; i++) {
        const struct quick *q = &k->quicks[i];
        struct pick *pick = &s->facts.picks[q->pick];
        if (q->may || (q->pick && (pick->excused || pick->winner)))
            continue;
        claim_drop(s, k->client, q->letter);
        if (q->pick)
            pick->winner = UID_QUICK;
    }
    if (k->expect_n && !k->dead)
        sim_fail(s, "client %d still waits for an answer of type %u, id %u", k->client,
                 k->expects[0].type, k->expects[0].id);
}

static void end_cursor(struct sim *s, unsigned client, const struct cursor *u)
{
    for (unsigned t = 0; t < TOPICS; t++) {
        uint64_t bit = 1ull << (t % 64);
        bool seen = s->clients[client].retained_seen[t] >= u->since;
        if ((u->owed[t / 64] & bit) || ((u->due[t / 64] & bit) && !seen))
            sim_fail(s,
                     "client %u never got the retained message of '%s' for its subscription '%s' "
                     "of event %llu",
                     client, topic_text(s, t), s->names.filter[u->filter].p,
                     (unsigned long long)u->since);
    }
}

static void end_stats(struct sim *s)
{
    uint64_t count = 0;
    bool sure = true;

    for (unsigned t = 0; t < TOPICS; t++) {
        count += s->model.retained[t].letter != 0;
        sure = sure && !s->model.retained[t].unsure;
    }
    if (sure && count != broker_stats(s->broker)->retained)
        sim_fail(s, "%llu retained messages counted, there are %llu",
                 (unsigned long long)broker_stats(s->broker)->retained, (unsigned long long)count);
}

void audit_end(struct sim *s)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct session *to = &s->model.sessions[i];
        for (uint32_t j = 0; j < to->n; j++)
            end_row(s, i, &to->rows[j]);
        for (uint32_t j = 0; j < to->cursor_n; j++)
            end_cursor(s, i, &to->cursors[j]);
    }
    for (unsigned i = 0; i < CABLES; i++) {
        if (s->cables[i].serial)
            end_cable(s, &s->cables[i]);
    }
    end_stats(s);
}
