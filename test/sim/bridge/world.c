/*
 * The simulator of bridges: brokers in memory that are linked by bridges, under one virtual clock,
 * with clients, networks and crashes that are all decided by one seed; how to run it stands in
 * runner.h.
 *
 * A failed check prints the seed, the turn, what was expected and what came, and the last events.
 */
#include "world.h"

#include "../runner.h"
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUNDS_DEFAULT 3
#define CALM_TURNS 6000
#define QUIET_TURNS 25
#define MONO_START_MS 5000

void world_fail(struct world *w, const char *fmt, ...)
{
    va_list args;

    for (unsigned i = 0; i < w->knobs.nodes; i++)
        (void)fprintf(stderr, "n%u%s ", i, w->nodes[i].persistent ? " persistent" : "");
    (void)fprintf(stderr, "%s\nthe last events:\n", w->knobs.twins ? "twins" : "");
    if (!w->trace.loud)
        trace_print(&w->trace);
    (void)fprintf(stderr, "sim_bridge: FAILED in round %u, turn %u: ", w->round, w->turn);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
    _Exit(1); /* no leak check: everything is still there */
}

static void log_to_trace(void *ctx, enum log_level level, struct str line,
                         const struct log_about *about)
{
    struct world *w = ctx;

    (void)level;
    (void)about;
    trace_add(&w->trace, "        | %.*s", STR_ARG(line));
}

struct log world_log(struct world *w)
{
    struct log log = {.mask = LOG_LEVEL_ALL, .sink = log_to_trace, .ctx = w};

    if (!w->trace.loud)
        log.mask &= ~(unsigned)(LOG_LEVEL_DEBUG | LOG_LEVEL_SUBSCRIBE | LOG_LEVEL_UNSUBSCRIBE);
    return log;
}

/* --- what kind of a world --- */

static void knobs_draw(struct world *w)
{
    struct knobs *k = &w->knobs;
    unsigned wild = rng_below(&w->rng, 3);

    *k = (struct knobs){.nodes = 2, .bridges = 1};
    if (chance(w, 250))
        k->nodes = 3;
    k->bridges = k->nodes - 1;
    if (k->nodes == 2 && chance(w, 250)) {
        k->twins = true;
        k->bridges = 2;
    }
    k->turns = 100 + rng_below(&w->rng, 500);
    k->publish = 20 + rng_below(&w->rng, 300);
    k->cut = rng_below(&w->rng, 2) ? wild * rng_below(&w->rng, 60) : 0;
    k->cut_local = rng_below(&w->rng, 2) ? wild * 20 : 0;
    k->half = rng_below(&w->rng, 2) ? wild * 15 : 0;
    k->crash = rng_below(&w->rng, 2) ? wild * 10 : 0;
    k->reload = rng_below(&w->rng, 3) ? 0 : wild * 15;
    k->rogue = rng_below(&w->rng, 6) ? 0 : 30;
    k->jump = wild * 50;
    k->dial_fail = rng_below(&w->rng, 2) ? 0 : 300;
    k->slow = rng_below(&w->rng, 3) * 100;
    k->split = rng_below(&w->rng, 3) * 400;
    k->hostile = rng_below(&w->rng, 2) ? 600 : 0;
    k->idle = rng_below(&w->rng, 3) * 200;
    k->lag = rng_below(&w->rng, 3) * 400;
    k->clean = rng_below(&w->rng, 2) ? 0 : 200;
    k->nomem = rng_below(&w->rng, 5) ? 0 : 40;
    k->max_inflight = chance(w, 300) ? 1 + rng_below(&w->rng, 3) : 20;
    k->max_queued = chance(w, 150) ? 3 + rng_below(&w->rng, 20) : 0;
    k->memory_limit = chance(w, 300);
}

/* --- turns --- */

static void clock_advance(struct world *w)
{
    uint64_t ms = rng_below(&w->rng, w->calm ? 400 : 40);

    if (trouble(w, w->knobs.jump))
        ms = rng_below(&w->rng, 8000);
    w->now_ms += ms;
}

static void turn(struct world *w)
{
    unsigned first = rng_below(&w->rng, w->knobs.nodes);

    w->turn++;
    w->totals->turns++;
    clock_advance(w);
    wire_trouble(w);
    for (unsigned i = 0; i < LOCALS; i++) {
        if (w->locals[i].node < w->knobs.nodes)
            local_act(w, &w->locals[i]);
    }
    for (unsigned i = 0; i < LINKS; i++) {
        if (w->links[i].evil)
            evil_act(w, &w->links[i]);
    }
    for (unsigned i = 0; i < w->knobs.nodes; i++) {
        if (w->calm || !chance(w, w->knobs.idle))
            node_turn(w, &w->nodes[(first + i) % w->knobs.nodes]);
    }
}

/* What still moves; NULL: nothing. */
static const char *what_moves(const struct world *w)
{
    for (unsigned i = 0; i < LOCALS; i++) {
        if (w->locals[i].node < w->knobs.nodes && !local_quiet(&w->locals[i]))
            return w->locals[i].id;
    }
    for (unsigned i = 0; i < w->knobs.bridges; i++) {
        const struct section *s = &w->sections[i];
        if (!s->linked && !s->removed && s->start == CONF_START_AUTOMATIC)
            return s->name;
    }
    for (unsigned i = 0; i < w->knobs.nodes; i++) {
        const struct node *n = &w->nodes[i];
        if (n->more || n->fetch_n || n->durable < n->turn)
            return n->more ? "a broker" : n->fetch_n ? "a fetch" : "a journal";
    }
    if (!wire_quiet(w))
        return "the wire";
    return wire_dials_quiet(w) ? NULL : "a dial";
}

static void rest(struct world *w)
{
    unsigned quiet = 0;
    const char *moves = NULL;

    w->calm = true;
    for (struct wire *l = w->links; l < w->links + LINKS; l++)
        l->gone = l->gone || l->evil;
    for (unsigned i = 0; quiet < QUIET_TURNS; i++) {
        turn(w);
        moves = what_moves(w);
        quiet = moves ? 0 : quiet + 1;
        if (i > CALM_TURNS)
            world_fail(w, "no rest after %d calm turns: %s", CALM_TURNS,
                       moves ? moves : "now and then");
    }
    w->calm = false;
}

/* Newcomers ask for all that is retained. */
static void read_retained(struct world *w)
{
    memset(w->found_n, 0, sizeof w->found_n);
    memset(w->states, 0, sizeof w->states);
    for (unsigned i = 0; i < LOCALS; i++)
        w->locals[i].wanted = true;
    rest(w);
    for (unsigned i = 0; i < LOCALS; i++)
        w->locals[i].wanted = false;
    rest(w);
}

static void round_begin(struct world *w)
{
    w->round++;
    w->totals->rounds++;
    w->weak_nodes = 0;
    w->weak_bridges = 0;
    w->unruly = false;
    w->starved = false;
    w->disturbed = false;
    for (unsigned i = 0; i < w->knobs.bridges; i++)
        w->sections[i].lost = false;
    for (unsigned i = 0; i < LOCALS; i++)
        memset(w->locals[i].first_seq, 0, sizeof w->locals[i].first_seq);
}

static void play_round(struct world *w)
{
    round_begin(w);
    for (unsigned i = 0; i < w->knobs.turns; i++)
        turn(w);
    rest(w);
    read_retained(w);
    audit_round(w);
}

/* --- a whole run --- */

static void begin(struct world *w)
{
    rng_seed(&w->rng, w->seed);
    w->mem_start = mem_used();
    w->now_ms = MONO_START_MS;
    w->letters = vec_grow(NULL, &w->letter_cap, 1, sizeof *w->letters);
    w->letters[w->letter_n++] = (struct letter){0};
    knobs_draw(w);
    sections_draw(w);
    for (unsigned i = 0; i < LOCALS; i++)
        local_init(w, i);
    for (unsigned i = 0; i < w->knobs.nodes; i++) {
        w->nodes[i].number = i;
        w->nodes[i].persistent = chance(w, 700);
        w->nodes[i].conf = sections_conf(w, i);
        node_start(w, &w->nodes[i]);
    }
    rest(w);
}

static void end(struct world *w)
{
    for (unsigned i = 0; i < w->knobs.nodes; i++)
        node_stop(w, &w->nodes[i]);
    if (mem_used() != w->mem_start)
        world_fail(w, "%zu bytes leak", mem_used() - w->mem_start);
    for (unsigned i = 0; i < w->knobs.nodes; i++)
        node_clear(&w->nodes[i]);
    for (unsigned i = 0; i < LOCALS; i++)
        bytes_clear(&w->locals[i].rx);
    free(w->letters);
}

static void run_world(void *ctx, uint64_t seed, uint64_t steps, bool loud)
{
    struct world *w = ctx;

    w->seed = seed;
    w->trace.loud = loud;
    begin(w);
    for (uint64_t i = 0; i < steps; i++)
        play_round(w);
    end(w);
    w->totals->seeds++;
    free(w);
}

static void report(const struct totals *t)
{
    const struct {
        const char *what;
        uint64_t n;
    } all[] = {
        {"seeds", t->seeds},           {"rounds", t->rounds},
        {"turns", t->turns},           {"letters", t->letters},
        {"arrivals", t->arrivals},     {"owed exactly so often", t->strict},
        {"connections", t->links},     {"lost", t->cuts},
        {"of these half", t->halves},  {"dials", t->dials},
        {"probes", t->probes},         {"crashes", t->crashes},
        {"reloads", t->reloads},       {"hostile remotes", t->hostile},
        {"sessions taken", t->robbed}, {"checks", t->checks},
    };

    (void)printf("sim_bridge:");
    for (size_t i = 0; i < ARRAY_SIZE(all); i++)
        (void)printf("%s %llu %s", i ? "," : "", (unsigned long long)all[i].n, all[i].what);
    (void)printf("\n");
}

int main(int argc, char **argv)
{
    (void)argc;
    runner_fix_addresses(argv);
    struct world *w = calloc(1, sizeof *w);
    if (!w)
        return 2;
    w->totals = runner_shared(sizeof *w->totals);
    struct runner runner = {
        .name = "sim_bridge", .steps = ROUNDS_DEFAULT, .seconds = 20, .run = run_world, .ctx = w};
    bool good = runner_go(&runner);
    report(w->totals);
    free(w);
    return good ? 0 : 1;
}
