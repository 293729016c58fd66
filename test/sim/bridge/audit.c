/*
 * The model: where a letter ought to arrive, under which name; and whether it did.
 *
 * A letter goes from broker to broker over each bridge whose rules name it, but not back over the
 * one that brought it. It must arrive if no hop was at QoS 0 and nobody on its way forgot anything;
 * exactly once, if no hop was at QoS 1 either. What is retained may come again whenever somebody
 * subscribes or a bridge connects.
 */
#include "mqtt/topic.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#define TWINS_MOST 40
#define OFTEN 1000 /* whatever happens, so often nothing comes */

/* --- where it goes --- */

/* Prefix and pattern of a rule on one side. */
static void paste(char room[NAME_MAX_BYTES], const char *prefix, const char *pattern)
{
    (void)snprintf(room, NAME_MAX_BYTES, "%s%s", prefix, pattern);
}

/* One of a section's rules takes a name to the other side. */
static bool rule_maps(const struct rule *r, bool out, const char *name, char to[NAME_MAX_BYTES])
{
    const char *here = out ? r->local : r->remote;
    const char *there = out ? r->remote : r->local;
    char filter[NAME_MAX_BYTES];

    paste(filter, here, r->pattern);
    if (!(r->direction & (out ? CONF_OUT : CONF_IN)) || !topic_matches(str_c(filter), str_c(name)))
        return false;
    paste(to, there, name + strlen(here));
    return true;
}

/* Those with prefixes go first. Returns the QoS at which it may pass, -1: it does not. */
static int section_maps(const struct section *s, bool out, const char *name,
                        char to[NAME_MAX_BYTES])
{
    char other[NAME_MAX_BYTES];
    int qos = -1;

    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < s->rule_n; i++) {
            const struct rule *r = &s->rules[i];
            bool plain = !*r->local && !*r->remote;
            if (plain != (pass == 1) || !rule_maps(r, out, name, qos < 0 ? to : other))
                continue;
            qos = r->qos > qos ? r->qos : qos;
        }
    }
    return qos;
}

static uint8_t least(uint8_t a, int b)
{
    return b < a ? (uint8_t)b : a;
}

static void go(const struct world *w, struct letter *l, unsigned from, unsigned bridge, bool out)
{
    const struct section *s = &w->sections[bridge];
    const struct place *p = &l->places[from];
    struct place to = {.via = (int8_t)bridge, .from = (int8_t)from};
    int qos = section_maps(s, out, p->name, to.name);

    if (qos < 0 || l->place_n == PLACES)
        return;
    to.node = (uint8_t)(out ? s->remote : s->owner);
    to.qos = least(p->qos, qos);
    to.back = p->back || p->via == (int)bridge;
    to.again = p->again || to.qos == 1;
    to.quick = p->quick || to.qos == 0;
    to.mute = p->mute || (out ? !s->outgoing_retain : !s->private || s->doubted);
    to.nodes = p->nodes | (uint8_t)(1u << to.node);
    to.bridges = p->bridges | (uint8_t)(1u << bridge);
    l->places[l->place_n++] = to;
}

/* A broker that does not know a bridge as one sends back what it brought: then it has come twice
 * over the same bridge, and goes no further over that. */
static bool may_go(const struct world *w, const struct place *p, unsigned bridge, bool out)
{
    const struct section *s = &w->sections[bridge];

    if (s->removed || (out ? s->owner : s->remote) != p->node)
        return false;
    if (p->via < 0)
        return true;
    if (w->knobs.twins &&
        s->owner + s->remote == w->sections[p->via].owner + w->sections[p->via].remote)
        return false; /* both bridges lead where it came from */
    return p->via != (int)bridge || (!out && !p->back);
}

void model_spread(const struct world *w, struct letter *l)
{
    struct place first = {.node = l->node, .qos = l->qos, .via = -1, .from = -1};

    first.again = l->qos == 1;
    first.quick = l->qos == 0;
    first.nodes = (uint8_t)(1u << l->node);
    (void)topic_name(w, l->node, l->topic, first.name);
    l->places[0] = first;
    l->place_n = 1;
    for (unsigned i = 0; i < l->place_n; i++) {
        for (unsigned b = 0; b < w->knobs.bridges; b++) {
            if (may_go(w, &l->places[i], b, true))
                go(w, l, i, b, true);
            if (may_go(w, &l->places[i], b, false))
                go(w, l, i, b, false);
        }
    }
}

/* Bridges over which something may have been lost, or doubled. */
static uint8_t weak_bridges(const struct world *w)
{
    uint8_t weak = w->weak_bridges;

    for (unsigned i = 0; i < w->knobs.bridges; i++) {
        const struct section *s = &w->sections[i];
        if (s->confused || (s->lost && (s->clean || s->local_clean)) ||
            s->start != CONF_START_AUTOMATIC)
            weak |= (uint8_t)(1u << i);
    }
    return weak;
}

/* --- what arrives --- */

static const struct place *place_of(const struct letter *l, unsigned node, struct str name)
{
    const struct place *best = NULL;

    for (unsigned i = 0; i < l->place_n; i++) {
        const struct place *p = &l->places[i];
        if (p->node == node && str_eq(str_c(p->name), name) && (!best || p->qos > best->qos))
            best = p;
    }
    return best;
}

/* 0: none of ours. */
static uint32_t letter_of(const struct world *w, struct str payload)
{
    char room[12] = {0};

    memcpy(room, payload.p, payload.n < 11 ? payload.n : 11);
    uint32_t number = (uint32_t)strtoul(room, NULL, 10);
    return number < w->letter_n ? number : 0;
}

static bool has_ways(const struct letter *l, unsigned node)
{
    unsigned n = 0;

    for (unsigned i = 0; i < l->place_n; i++)
        n += l->places[i].node == node;
    return n > 1;
}

static void check_order(struct world *w, struct local *c, const struct letter *l,
                        const struct place *p)
{
    uint32_t *last = &c->first_seq[l->node][l->topic];
    bool excused = w->weak_nodes || weak_bridges(w) || w->changed ||
                   has_ways(l, c->node) || /* each with a QoS of its own */
                   /* dropped or lost, and then it came back */
                   w->knobs.max_queued || (w->disturbed && (p->quick || c->qos == 0));

    if (l->seq < *last && !l->retain && !excused)
        world_fail(w, "%s: letter %u (n%u, %s) comes after a later one", c->id,
                   (unsigned)(l - w->letters), l->node, p->name);
    if (l->seq > *last)
        *last = l->seq;
}

void audit_arrival(struct world *w, struct local *c, const struct packet_publish *p)
{
    uint32_t number = letter_of(w, p->payload);
    struct letter *l = &w->letters[number];
    const struct place *at;

    w->totals->arrivals++;
    if (!number)
        return;
    trace_add(&w->trace, "%s at n%u: letter %u of n%u as %.*s, QoS %d%s", c->id, c->node, number,
              l->node, STR_ARG(p->topic), (int)p->qos, p->dup ? ", again" : "");
    at = place_of(l, c->node, p->topic);
    /* The subscriptions of former rules may be left at the remote broker. */
    if (!at && (w->changed || (w->disturbed && l->retain)))
        return;
    if (!at)
        world_fail(w, "%s at n%u: letter %u of n%u should not come as %.*s", c->id, c->node, number,
                   l->node, STR_ARG(p->topic));
    if (p->qos > least(at->qos, c->qos) && !w->changed && !l->retain)
        world_fail(w, "%s: letter %u comes at QoS %d", c->id, number, (int)p->qos);
    /* What comes at a lower QoS came by another way, and overtakes what is queued. */
    if (++l->got[c->number] == 1 && l->round == w->round && p->qos == least(at->qos, c->qos))
        check_order(w, c, l, at);
    if (l->got[c->number] > OFTEN)
        world_fail(w, "%s: letter %u comes without end", c->id, number);
}

void audit_retained(struct world *w, struct local *c, const struct packet_publish *p)
{
    uint32_t *n = &w->found_n[c->node];

    if (str_has_prefix(p->topic, STR("$SYS/"))) {
        for (unsigned i = 0; i < w->knobs.bridges; i++) {
            char name[64];
            (void)snprintf(name, sizeof name, "$SYS/broker/connection/sim.%s/state",
                           w->sections[i].name);
            if (str_eq(str_c(name), p->topic))
                w->states[c->node][i] = p->payload.n ? (uint8_t)p->payload.p[0] : 0;
        }
        return;
    }
    if (!p->retain || *n == FOUND_MAX || p->topic.n >= NAME_MAX_BYTES || !letter_of(w, p->payload))
        return;
    struct found *f = &w->found[c->node][(*n)++];
    memcpy(f->name, p->topic.p, p->topic.n);
    f->name[p->topic.n] = '\0';
    f->letter = letter_of(w, p->payload);
}

/* --- the end of a round --- */

/* How often it must come, and how often it may. */
struct owed {
    unsigned least, most;
};

static struct owed owed(const struct world *w, const struct letter *l, const struct local *c,
                        uint8_t weak)
{
    struct owed o = {0};

    for (unsigned i = 0; i < l->place_n; i++) {
        const struct place *p = &l->places[i];
        uint8_t qos = least(p->qos, c->qos);
        bool excused = (p->nodes & w->weak_nodes) || (p->bridges & weak);
        bool again = excused || (w->disturbed && (p->again || qos == 1));
        bool quick = excused || (w->disturbed && (p->quick || qos == 0));
        if (p->node != c->node)
            continue;
        o.most += again ? OFTEN : 1;
        o.least += !quick && !p->back && !w->knobs.max_queued;
    }
    if (w->unruly)
        o.least = 0;
    if (l->retain || w->unruly)
        o.most = OFTEN;
    return o;
}

/*
 * Two bridges between the same brokers bring everything twice. When one of them has been restarted
 * the other takes some time to find out that both lead to the same broker, and may send back what
 * it did not know to come from there; but that ends.
 */
static struct owed owed_by_twins(const struct world *w, const struct letter *l, struct owed o)
{
    o.least = o.least > 1 ? 1 : o.least;
    if (w->disturbed && !l->retain)
        o.most = TWINS_MOST;
    return o;
}

static void audit_letter(struct world *w, const struct letter *l, const struct local *c,
                         uint8_t weak)
{
    struct owed o = owed(w, l, c, weak);

    if (w->knobs.twins)
        o = owed_by_twins(w, l, o);
    w->totals->strict += o.least > 0 && o.least == o.most;
    if (l->got[c->number] < o.least || l->got[c->number] > o.most)
        world_fail(w, "%s at n%u: letter %u (%s of n%u, QoS %u) came %u times: %u to %u expected",
                   c->id, c->node, (unsigned)(l - w->letters), l->places[0].name, l->node, l->qos,
                   l->got[c->number], o.least, o.most);
}

static uint32_t found_at(const struct world *w, unsigned node, const char *name)
{
    for (unsigned i = 0; i < w->found_n[node]; i++) {
        if (strcmp(w->found[node][i].name, name) == 0)
            return w->found[node][i].letter;
    }
    return 0;
}

/*
 * Wherever what is retained may come to: whenever a bridge connects it is given again, also to
 * where it came from, perhaps under another name.
 */
#define REACH_MAX 32

struct reach {
    struct found at[REACH_MAX];
    uint8_t node[REACH_MAX];
    unsigned ways[REACH_MAX]; /* that lead there */
    unsigned n;
    bool overflow;
};

static void reach_add(struct reach *r, unsigned node, const char *name)
{
    unsigned i = 0;

    while (i < r->n && (r->node[i] != node || strcmp(r->at[i].name, name) != 0))
        i++;
    r->overflow = r->overflow || i == REACH_MAX;
    if (i == REACH_MAX)
        return;
    if (i == r->n) {
        r->ways[r->n] = 0;
        r->node[r->n] = (uint8_t)node;
        (void)snprintf(r->at[r->n++].name, NAME_MAX_BYTES, "%s", name);
    }
    r->ways[i]++;
}

static void reach_from(const struct world *w, struct reach *r, unsigned node, unsigned topic)
{
    char name[NAME_MAX_BYTES];

    r->n = 0;
    reach_add(r, node, topic_name(w, node, topic, name));
    for (unsigned i = 0; i < r->n; i++) {
        for (unsigned b = 0; b < w->knobs.bridges; b++) {
            const struct section *s = &w->sections[b];
            if (s->owner == r->node[i] && section_maps(s, true, r->at[i].name, name) >= 0)
                reach_add(r, s->remote, name);
            if (s->remote == r->node[i] && section_maps(s, false, r->at[i].name, name) >= 0)
                reach_add(r, s->owner, name);
        }
    }
}

/* How many ways lead to this place? */
static unsigned sources(const struct world *w, const struct place *at)
{
    unsigned n = 0;

    for (unsigned node = 0; node < w->knobs.nodes; node++) {
        for (unsigned t = TOPICS_PLAIN; t < TOPICS; t++) {
            struct reach r = {0};
            reach_from(w, &r, node, t);
            n += r.overflow ? 2 : 0;
            for (unsigned i = 0; i < r.n; i++)
                n += r.node[i] == at->node && strcmp(r.at[i].name, at->name) == 0 ? r.ways[i] : 0;
        }
    }
    return n;
}

/* Nobody else writes here, nor at a place before it. */
static bool is_only_way(const struct world *w, const struct letter *l, const struct place *p)
{
    for (; sources(w, p) == 1; p = &l->places[p->from]) {
        if (p->from < 0)
            return true;
    }
    return false;
}

static void audit_retained_topic(struct world *w, unsigned node, unsigned topic)
{
    struct letter l = {.node = (uint8_t)node, .topic = (uint8_t)topic, .retain = true};
    uint32_t truth = w->retained[node][topic];

    l.qos = w->topic_qos[node][topic];
    model_spread(w, &l);
    for (unsigned i = 0; i < l.place_n; i++) {
        const struct place *p = &l.places[i];
        if (p->quick || p->mute || p->back || (p->nodes & w->ever_weak_nodes) ||
            (p->bridges & w->ever_weak_bridges) || !is_only_way(w, &l, p))
            continue;
        if (found_at(w, p->node, p->name) != truth)
            world_fail(w, "letter %u is retained at n%u as %s, it should be %u (%s of n%u)",
                       found_at(w, p->node, p->name), p->node, p->name, truth, l.places[0].name,
                       node);
    }
}

static void audit_states(struct world *w)
{
    for (unsigned i = 0; i < w->knobs.bridges; i++) {
        const struct section *s = &w->sections[i];
        if (s->removed || !s->notifications || s->start != CONF_START_AUTOMATIC)
            continue;
        if (w->states[s->owner][i] != '1' || (w->states[s->remote][i] != '1' && s->outgoing_retain))
            world_fail(w, "the state of %s is '%c' at n%u and '%c' at n%u", s->name,
                       w->states[s->owner][i], s->owner, w->states[s->remote][i], s->remote);
    }
}

void audit_round(struct world *w)
{
    uint8_t weak = weak_bridges(w);

    w->ever_weak_bridges |= weak;
    w->ever_weak_nodes |= w->weak_nodes;
    for (uint32_t i = 1; i < w->letter_n; i++) {
        for (unsigned c = 0; c < LOCALS && w->letters[i].round == w->round; c++) {
            if (w->locals[c].kind == SUBSCRIBER && w->locals[c].node < w->knobs.nodes)
                audit_letter(w, &w->letters[i], &w->locals[c], weak);
        }
    }
    audit_states(w);
    if (w->changed || w->knobs.max_queued || w->knobs.twins)
        return;
    for (unsigned n = 0; n < w->knobs.nodes; n++) {
        for (unsigned t = TOPICS_PLAIN; t < TOPICS; t++)
            audit_retained_topic(w, n, t);
    }
}
