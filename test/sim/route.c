/*
 * One message to everybody who is owed it, by asking every session.
 */
#include "sim.h"

/* A subscription that still walks through the retained messages must bring this topic's, or need
 * not any more. */
static void cursors_note(struct sim *s, unsigned topic, uint8_t qos, bool owed)
{
    uint64_t bit = 1ull << (topic % 64);

    for (unsigned i = 0; i < CLIENTS; i++) {
        struct session *to = &s->model.sessions[i];
        for (struct cursor *u = to->cursors; u < to->cursors + to->cursor_n; u++) {
            bool weak = (qos == 0 && !s->conf[0].global.upgrade_outgoing_qos) || u->qos == 0;
            if (!owed)
                cursor_waive(u, topic);
            if (u->anew)
                u->got[topic / 64] &= ~bit;
            if (weak) {
                u->weak[topic / 64] |= bit;
                u->due[topic / 64] &= ~bit;
            }
        }
    }
}

static void retained_end(struct sim *s, uint32_t letter, uint32_t unless)
{
    if (letter && letter != unless)
        s->letters.all[letter].retained_to = s->event;
}

static void retain(struct sim *s, uint32_t number, bool maybe)
{
    struct letter *l = &s->letters.all[number];
    struct retained *r = &s->model.retained[l->topic];
    uint32_t now = l->size ? number : 0;

    trace_add(&s->trace, "model: '%s' retains message %u%s", s->names.topic[l->topic].p, now,
              maybe ? ", maybe" : "");

    if (now) {
        l->retained_to = NEVER;
        if (!l->retained_from)
            l->retained_from = s->event;
    }
    cursors_note(s, l->topic, l->qos, now && !maybe);
    if (maybe) {
        r->other = now;
        r->unsure = true;
        r->since = s->event;
        return;
    }
    retained_end(s, r->letter, now);
    retained_end(s, r->other, now);
    *r = (struct retained){.letter = now, .since = s->event};
}

/* May a queue limit drop it? Certainly not while everything that waits would still fit. */
static bool may_drop(struct sim *s, const struct session *to, const struct letter *l)
{
    const struct conf_global *g = &s->conf[0].global;
    uint32_t count;
    uint64_t bytes;

    if (!s->knobs.limits)
        return false;
    /* There may be more than we know, or it was the other way round. */
    if (s->polling || s->clients[to - s->model.sessions].amnesty)
        return true;
    session_waiting(to, &s->facts, &s->letters, &s->names, &count, &bytes);
    bytes += l->size + s->names.topic[l->topic].n;
    const struct cable *k = g->queue_qos0_messages ? cable_find(s, to->cable) : NULL;
    for (uint32_t i = 0; k && i < k->quick_n; i++) {
        const struct letter *q = &s->letters.all[k->quicks[i].letter];
        count++;
        bytes += q->size + s->names.topic[q->topic].n;
    }
    return (g->max_queued_messages && count >= g->max_queued_messages) ||
           (g->max_queued_bytes && bytes > g->max_queued_bytes);
}

static void add_row(struct sim *s, struct session *to, uint32_t number, uint8_t mask, bool may,
                    uint32_t pick)
{
    bool drop = may_drop(s, to, &s->letters.all[number]);
    struct row *r = session_add(to, &s->facts, number, mask);

    r->turn = s->turn;
    r->pick = pick;
    if (may)
        r->flags |= ROW_MAY;
    if (may && (s->knobs.share || s->conf[0].global.queue_qos0_messages))
        r->flags |= ROW_LATE; /* perhaps it is another copy that will come */
    if (drop)
        r->flags |= ROW_DROP_OK;
}

static void add_quick(struct sim *s, struct cable *k, uint32_t number, bool may, uint32_t pick)
{
    k->quicks = vec_grow(k->quicks, &k->quick_cap, k->quick_n + 1, sizeof *k->quicks);
    k->quicks[k->quick_n++] = (struct quick){
        .letter = number,
        .turn = s->turn,
        .pick = pick,
        .may = may || s->faint ||
               (s->conf[0].global.queue_qos0_messages && s->clients[k->client].amnesty),
    };
}

static void deliver_to(struct sim *s, unsigned client, uint32_t number, uint8_t mask, bool may,
                       uint32_t pick)
{
    struct session *to = &s->model.sessions[client];
    const struct letter *l = &s->letters.all[number];
    struct cable *k = cable_find(s, to->cable);

    if (s->knobs.mount && !sim_sees(s, true, l->topic) && (!k || k->mounted)) {
        /* Dropped at once for who is behind the mount point; who is absent may be back there. */
        s->facts.picks[pick].excused = true;
        if (k && !s->polling)
            return;
        may = may || s->polling;
    }
    if (!s->conf[0].global.upgrade_outgoing_qos)
        mask = mask_min(mask, l->qos);
    /* Its own will at QoS 0: still connected, or not any more? Either is right. */
    if (l->topic == TOPIC_WILL(client) && (mask & 1))
        may = true;
    /* Empty ones look alike: which of them is missing could not be told. */
    if ((mask & SUB_ABSENT) || l->size == 0)
        may = true;
    mask &= 7;
    if (mask == 1 && k)
        add_quick(s, k, number, may, pick);
    else if (mask == 1 && s->conf[0].global.queue_qos0_messages && !to->clean)
        add_row(s, to, number, mask, may || s->faint || s->polling || s->clients[client].amnesty,
                pick);
    else if (mask == 1)
        s->facts.picks[pick].excused = true;
    else if (mask)
        add_row(s, to, number, mask, may || (mask & 1), pick);
}

/* At which QoS may members of groups get it, and in how many groups are they? */
struct members {
    uint8_t mask[CLIENTS];
    uint8_t groups[CLIENTS];
};

static bool is_group(const struct sim *s, unsigned filter, unsigned topic)
{
    return s->names.shared[filter] && s->names.match[filter][topic];
}

static void find_members(const struct sim *s, unsigned topic, struct members *m)
{
    *m = (struct members){0};
    for (unsigned f = 0; f < FILTERS; f++) {
        for (unsigned i = 0; i < CLIENTS && is_group(s, f, topic); i++) {
            m->mask[i] |= s->model.sessions[i].sub[f];
            m->groups[i] = (uint8_t)(m->groups[i] + (s->model.sessions[i].sub[f] != 0));
        }
    }
}

/*
 * One of each group. A session gets one copy, whatever the reasons: who also has a subscription of
 * its own has that copy already, and then, or if somebody is in two groups, nothing is promised by
 * the group.
 */
static void deliver_shared(struct sim *s, uint32_t number, bool maybe, const struct members *m)
{
    unsigned topic = s->letters.all[number].topic;
    bool served[CLIENTS] = {false};

    for (unsigned f = 0; f < FILTERS; f++) {
        if (!is_group(s, f, topic))
            continue;
        uint32_t pick = facts_pick(&s->facts);
        /* Who has left just now may have been chosen before. */
        s->facts.picks[pick].excused = s->polling && s->left[f];
        for (unsigned i = 0; i < CLIENTS; i++) {
            struct session *to = &s->model.sessions[i];
            if (!to->sub[f] || !guard_reads(&s->guard, i, topic))
                continue;
            bool own = session_match(to, &s->names, topic) != SUB_ABSENT;
            bool loose = own || maybe || m->groups[i] > 1;
            s->facts.picks[pick].loose |= loose;
            if (loose || to->unsure || (to->sub[f] & SUB_ABSENT))
                s->facts.picks[pick].excused = true;
            if (!own && !served[i])
                deliver_to(s, i, number, m->mask[i], maybe, pick);
            served[i] = true;
        }
    }
}

static void loosen(struct sim *s, uint32_t pick)
{
    s->facts.picks[pick] = (struct pick){.loose = true, .excused = true};
}

/*
 * It is sent a second time: with groups or queued QoS 0 the copies of this time cannot be told from
 * those of the first. True if so.
 */
static bool is_blurred(struct sim *s, uint32_t number)
{
    if (!s->letters.all[number].routed ||
        !(s->knobs.share || s->conf[0].global.queue_qos0_messages))
        return false;
    s->letters.all[number].again = true;
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct session *to = &s->model.sessions[i];
        const struct cable *k = cable_find(s, to->cable);
        for (uint32_t j = 0; j < to->n; j++) {
            if (to->rows[j].letter == number && to->rows[j].pick)
                loosen(s, to->rows[j].pick);
        }
        for (uint32_t j = 0; k && j < k->quick_n; j++) {
            if (k->quicks[j].letter == number && k->quicks[j].pick)
                loosen(s, k->quicks[j].pick);
        }
    }
    return true;
}

void deliver(struct sim *s, uint32_t number, bool maybe)
{
    struct letter *l = &s->letters.all[number];
    uint32_t limit = s->conf[0].global.message_size_limit;
    struct members members;

    if ((limit && l->size > limit) || !guard_writes(&s->guard, l->publisher, l->topic))
        return;
    if (l->retain)
        retain(s, number, maybe);
    maybe = is_blurred(s, number) || maybe;
    l->routed = true;
    find_members(s, l->topic, &members);
    for (unsigned i = 0; i < CLIENTS; i++) {
        const struct session *to = &s->model.sessions[i];
        uint8_t mask = to->exists ? session_match(to, &s->names, l->topic) : SUB_ABSENT;
        if (mask != SUB_ABSENT && members.mask[i])
            mask |= mask_max(mask, members.mask[i]);
        if (mask != SUB_ABSENT && guard_reads(&s->guard, i, l->topic))
            deliver_to(s, i, number, mask, maybe, 0);
    }
    deliver_shared(s, number, maybe, &members);
}
