/*
 * The simulator: the real core in memory, under a virtual clock, with clients, a network and a disk
 * that are all decided by one seed; how to run it stands in runner.h.
 *
 * A failed check prints the seed, the step, what was expected and what came, and the last events.
 */
#include "sim.h"
#include "runner.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define STEPS_DEFAULT 1500
#define DRAIN_TURNS 20000
#define HOLD_TURNS 100000
#define REST_TURNS 2000

void sim_fail(struct sim *s, const char *fmt, ...)
{
    const struct knobs *k = &s->knobs;
    va_list args;

    (void)fprintf(
        stderr,
        "persistent %d, limits %d, share %d, inflight %u, split %d, slow %u, durable %u, crash %u, "
        "nomem %u, pause %u, QoS 0 queued %d, upgraded %d, mount %d, wander %u, keen %u, prompt "
        "%u\n"
        "the last events:\n",
        k->persistent, k->limits, k->share, k->max_inflight, (int)k->split, k->slow, k->durable,
        k->crash, k->nomem, k->pause, s->conf[0].global.queue_qos0_messages,
        s->conf[0].global.upgrade_outgoing_qos, k->mount, k->wander, k->keen, k->prompt);
    if (!s->trace.loud)
        trace_print(&s->trace);
    (void)fprintf(stderr, "sim: FAILED at step %llu, turn %u: ", (unsigned long long)s->step,
                  s->turn);
    va_start(args, fmt);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    (void)fputc('\n', stderr);
    _Exit(1); /* no leak check: everything is still there */
}

static void log_to_trace(void *ctx, enum log_level level, struct str line,
                         const struct log_about *about)
{
    (void)about;
    struct sim *s = ctx;

    (void)level;
    trace_add(&s->trace, "        | %.*s", STR_ARG(line));
}

static void make_id(void *ctx, char out[BROKER_ID_MAX])
{
    struct sim *s = ctx;

    (void)snprintf(out, BROKER_ID_MAX, "made-%llu", (unsigned long long)++s->made_ids);
}

struct log sim_log(struct sim *s)
{
    struct log log = {.mask = LOG_LEVEL_ALL, .sink = log_to_trace, .ctx = s};

    if (!s->trace.loud)
        log.mask &= ~(unsigned)LOG_LEVEL_DEBUG;
    return log;
}

struct broker *sim_broker(struct sim *s)
{
    struct broker_setup setup = {
        .conf = &s->conf[s->conf_now],
        .log = sim_log(s),
        .seed = s->seed,
        .persistent = s->knobs.persistent,
        .make_id = make_id,
        .make_id_ctx = s,
    };

    return broker_new(&setup);
}

/* --- one turn --- */

/* Is somebody's keepalive due? Then nothing else may happen in this turn, so that the order of
 * wills is known. */
static bool is_expiring(const struct sim *s)
{
    for (unsigned i = 0; i < CABLES; i++) {
        const struct cable *k = &s->cables[i];
        if (k->serial && k->accepted && !k->dead && k->keepalive_s &&
            s->now.mono_ms >= k->packet_ms + k->keepalive_s * 1500ull)
            return true;
    }
    return false;
}

static void clock_advance(struct sim *s)
{
    uint64_t ms = rng_below(&s->rng, 20);

    if (!s->calm && chance(s, s->knobs.jump))
        ms = rng_below(&s->rng, 100) < 90 ? rng_below(&s->rng, 3000) : rng_below(&s->rng, 120000);
    s->now.mono_ms += ms;
    s->now.wall_s = 1700000000 + (int64_t)(s->now.mono_ms / 1000);
}

static void clients_act(struct sim *s)
{
    for (unsigned i = 0; i < CLIENTS - 1; i++) {
        if (s->calm)
            client_finish(s, &s->clients[i]);
        else if (i < s->knobs.clients || i == CLIENTS - 2)
            client_act(s, &s->clients[i]);
    }
    if (s->calm)
        client_finish(s, &s->clients[CLIENTS - 1]);
    else if (rarely(s, s->knobs.stranger))
        stranger_act(s);
}

static void feed(struct sim *s)
{
    unsigned first = rng_below(&s->rng, CABLES);

    for (unsigned i = 0; i < CABLES && !s->barrier && !s->pending; i++) {
        struct cable *k = &s->cables[(first + i) % CABLES];
        if (!k->serial)
            continue;
        cable_feed(s, k);
        if (s->faint)
            return;
    }
}

/* In this turn an allocation fails: one packet of one client is all that comes in. */
static void faint_begin(struct sim *s)
{
    s->starved = false;
    s->faint = !s->calm && !s->pending && chance(s, s->knobs.nomem);
    if (s->faint)
        mem_fail_after(rng_below(&s->rng, 12), chance(s, 300));
}

static void faint_end(struct sim *s)
{
    if (!s->faint)
        return;
    s->starved = mem_failed() > 0;
    s->totals->failures += mem_failed();
    mem_fail_never();
    for (unsigned i = 0; i < CLIENTS && s->starved; i++)
        cursors_weaken(&s->model.sessions[i]);
}

static void storage_trouble(struct sim *s)
{
    if (s->paused) {
        if (--s->paused == 0 || s->calm) {
            s->paused = 0;
            broker_storage_pause(s->broker, s->disk.behind);
        }
    } else if (!s->calm && rarely(s, s->knobs.pause)) {
        s->paused = 1 + rng_below(&s->rng, 30);
        broker_storage_pause(s->broker, true);
    }
}

static void reload(struct sim *s)
{
    s->conf_now = !s->conf_now;
    guard_hang(&s->guard, s->listener, ARRAY_SIZE(s->listener)); /* the same, read anew */
    if (broker_prepare(s->broker, &s->conf[s->conf_now]) != ERR_OK)
        sim_fail(s, "broker_prepare refuses the same configuration");
    broker_commit(s->broker);
}

static bool maybe_crash(struct sim *s)
{
    bool died = s->disk.files.dead; /* in a call */
    bool crash = died || (!s->calm && rarely(s, s->knobs.crash));

    if (crash) {
        mem_fail_never();
        s->faint = false;
        s->starved = false;
        s->barrier = false;
        s->more = false;
        s->paused = 0;
        simdisk_crash(s, chance(s, s->knobs.power) ? CRASH_POWER : CRASH_KILL);
    }
    return crash;
}

static void input_phase(struct sim *s)
{
    bool hold = s->pending || (s->more && s->barrier);

    if (!hold) {
        clock_advance(s);
        s->barrier = false;
        s->held_turns = 0;
    } else if (++s->held_turns > HOLD_TURNS) {
        sim_fail(s, "the broker never gets on");
    }
    broker_tick(s->broker, s->now);
    simdisk_turn(s);
    storage_trouble(s);
    if (hold)
        return;
    bool expiring = is_expiring(s);
    if (!expiring)
        clients_act(s);
    faint_begin(s);
    if (!expiring)
        feed(s);
}

static void work_phase(struct sim *s)
{
    uint64_t before = broker_stats(s->broker)->packets_received;

    s->more = broker_work(s->broker) == 0;
    if (s->faint)
        s->starved = mem_failed() > 0;
    if (s->pending)
        cable_resume(s, before);
    cables_poll(s);
}

static void check_invariants(struct sim *s)
{
    const char *wrong = broker_check(s->broker);

    if (wrong)
        sim_fail(s, "broker_check: %s", wrong);
    if (s->knobs.persistent && !s->more && chance(s, 100))
        simdisk_compare(s);
}

static void turn(struct sim *s)
{
    if (!s->calm && rarely(s, 10))
        reload(s);
    input_phase(s);
    if (maybe_crash(s))
        return;
    work_phase(s);
    simdisk_collect(s);
    faint_end(s);
    s->faint = false;
    if (chance(s, 500))
        simdisk_settle(s, s->calm);
    if (maybe_crash(s))
        return;
    if (chance(s, 50))
        check_invariants(s);
    cables_flush(s);
    s->starved = false;
    if (maybe_crash(s))
        return;
    simdisk_settle(s, s->calm);
    (void)maybe_crash(s);
}

/* --- a whole run --- */

static bool is_quiet(const struct sim *s)
{
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (!client_quiet(&s->clients[i]))
            return false;
    }
    for (unsigned i = 0; i < CABLES; i++) {
        if (s->cables[i].serial && s->cables[i].unsent)
            return false;
    }
    return !s->more && !s->pending && simdisk_quiet(s);
}

/* Everybody comes back, reads, answers, until nothing moves any more. */
static void drain(struct sim *s)
{
    unsigned quiet = 0;

    for (unsigned i = 0; quiet < 30; i++) {
        turn(s);
        quiet = is_quiet(s) ? quiet + 1 : 0;
        if (i > DRAIN_TURNS)
            sim_fail(s, "no rest after %d calm turns", DRAIN_TURNS);
    }
}

/* A newcomer asks for all that is retained. */
static void read_retained(struct sim *s)
{
    struct client *c = &s->clients[CLIENTS - 1];
    struct op op = {.kind = OP_SUBSCRIBE, .id = 1, .n = 3};

    op.filter[0] = (uint8_t)names_filter(&s->names, "#");
    op.filter[1] = (uint8_t)names_filter(&s->names, "$x/#");
    op.filter[2] = (uint8_t)names_filter(&s->names, "$y");
    for (unsigned i = 0; i < op.n; i++)
        op.qos[i] = (uint8_t)rng_below(&s->rng, 3);
    client_join(s, c, &op);
    drain(s);
}

/* Time for cleaning, as long as it gets on. */
static void rest(struct sim *s)
{
    uint64_t least = UINT64_MAX;

    for (unsigned i = 0; i < REST_TURNS && !simdisk_is_small(s); i++) {
        uint64_t bytes = files_bytes(&s->disk.files);
        if (bytes < least)
            i = 0;
        least = bytes < least ? bytes : least;
        turn(s);
    }
    simdisk_check_size(s);
}

static void finish(struct sim *s)
{
    s->calm = true;
    drain(s);
    read_retained(s);
    audit_end(s);
    check_invariants(s);
    if (s->knobs.persistent)
        rest(s);
    if (chance(s, 500)) {
        broker_tick(s->broker, s->now);
        broker_stop(s->broker, REASON_SHUTDOWN);
        while (broker_work(s->broker) == 0)
            continue;
        simdisk_collect(s);
    }
    if (s->knobs.persistent)
        simdisk_stop(s);
}

static void begin_broker(struct sim *s)
{
    struct broker_lost lost;

    simdisk_init(s);
    guard_hang(&s->guard, s->listener, ARRAY_SIZE(s->listener));
    s->mem_start = mem_used();
    if (s->knobs.persistent) {
        simdisk_start(s);
        s->disk.files.losses = 0; /* there was nothing to lose */
        return;
    }
    s->broker = sim_broker(s);
    if (broker_apply_end(s->broker, 0, s->now.wall_s, &lost) != ERR_OK)
        sim_fail(s, "broker_apply_end fails");
}

static void begin(struct sim *s)
{
    rng_seed(&s->rng, s->seed);
    knobs_draw(&s->knobs, &s->rng, &s->conf[0], s->listener);
    for (size_t i = 0; i < ARRAY_SIZE(s->listeners); i++)
        s->listeners[i] = &s->listener[i];
    if (s->knobs.acl)
        guard_draw(&s->guard, &s->rng, &s->names);
    s->mount = str_c(s->listener[1].mount_point);
    s->conf[0].listeners = s->listeners;
    s->conf[0].listener_count = ARRAY_SIZE(s->listeners);
    s->conf[1] = s->conf[0];
    s->conf_now = 0;
    s->now = (struct now){.mono_ms = MONO_START_MS, .wall_s = 1700000000};
    s->turn = 0;
    s->event = 1;
    s->made_ids = 0;
    s->serial = 0;
    s->claimed = 0;
    s->admitted = 0;
    s->calm = false;
    s->barrier = false;
    s->more = false;
    s->paused = 0;
    s->held_turns = 0;
    s->trace.count = 0;
    letters_init(&s->letters);
    facts_init(&s->facts);
    for (int i = 0; i < CLIENTS; i++)
        client_init(&s->clients[i], i);
    begin_broker(s);
}

static void end(struct sim *s)
{
    s->totals->dropped += s->admitted + broker_stats(s->broker)->publish_dropped;
    broker_free(s->broker);
    store_free(s->disk.store);
    while (s->disk.wanted_n > 0)
        free(s->disk.wanted[--s->disk.wanted_n].p);
    for (unsigned i = 0; i < CABLES; i++) {
        if (s->cables[i].serial)
            cable_free(s, &s->cables[i]);
    }
    if (mem_used() != s->mem_start)
        sim_fail(s, "%zu bytes leak", mem_used() - s->mem_start);
    for (unsigned i = 0; i < CLIENTS; i++)
        client_clear(&s->clients[i]);
    model_clear(&s->model);
    facts_clear(&s->facts);
    letters_clear(&s->letters);
    guard_unhang(s->listener, ARRAY_SIZE(s->listener));
    guard_clear(&s->guard);
    simdisk_clear(s);
}

static void run_seed(struct sim *s)
{
    begin(s);
    for (s->step = 0; s->step < s->steps; s->step++)
        turn(s);
    finish(s);
    end(s);
    s->totals->seeds++;
    s->totals->steps += s->steps;
}

static void report(const struct totals *t)
{
    (void)printf("sim: %llu seeds, %llu steps: %llu packets in, %llu out, %llu messages delivered, "
                 "%llu sent again, "
                 "%llu retained, %llu dropped by limits, %llu connects, %llu takeovers, %llu "
                 "closed by timeout, "
                 "%llu crashes, %llu of the power, %llu failed syncs, %llu rebuilds, "
                 "%llu payloads fetched, %llu segments cleaned, %llu failed allocations\n",
                 (unsigned long long)t->seeds, (unsigned long long)t->steps,
                 (unsigned long long)t->packets, (unsigned long long)t->sent,
                 (unsigned long long)t->delivered, (unsigned long long)t->resent,
                 (unsigned long long)t->retained, (unsigned long long)t->dropped,
                 (unsigned long long)t->connects, (unsigned long long)t->takeovers,
                 (unsigned long long)t->closed, (unsigned long long)t->crashes,
                 (unsigned long long)t->cuts, (unsigned long long)t->failed_syncs,
                 (unsigned long long)t->rebuilds, (unsigned long long)t->fetched,
                 (unsigned long long)t->cleaned, (unsigned long long)t->failures);
}

static struct sim *world_new(void)
{
    struct sim *s = calloc(1, sizeof *s);

    if (!s)
        exit(2);
    s->totals = runner_shared(sizeof *s->totals);
    names_init(&s->names);
    return s;
}

static void run_world(void *ctx, uint64_t seed, uint64_t steps, bool loud)
{
    struct sim *s = ctx;

    s->seed = seed;
    s->steps = steps;
    s->trace.loud = loud;
    run_seed(s);
    free(s);
}

int main(int argc, char **argv)
{
    (void)argc;
    runner_fix_addresses(argv);
    struct sim *s = world_new();
    struct runner runner = {
        .name = "sim", .steps = STEPS_DEFAULT, .seconds = 20, .run = run_world, .ctx = s};
    bool good = runner_go(&runner);
    report(s->totals);
    free(s);
    return good ? 0 : 1;
}
