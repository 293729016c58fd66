/*
 * A broker of the world: its turns, its journal in memory, its crashes.
 *
 * The journal is a list of frames. Records become durable some time after they were taken; a crash
 * loses a random number of those that are not.
 */
#include "world.h"

#include "base/mem.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define FRAME_HEAD 48

static void make_id(void *ctx, char out[BROKER_ID_MAX])
{
    struct world *w = ctx;

    (void)snprintf(out, BROKER_ID_MAX, "made-%llu", (unsigned long long)++w->ids);
}

static struct broker *broker_of(struct world *w, struct node *n)
{
    struct broker_setup setup = {
        .conf = n->conf,
        .log = world_log(w),
        .version = "sim",
        .seed = w->seed + n->number,
        .persistent = n->persistent,
        .make_id = make_id,
        .make_id_ctx = w,
    };
    struct broker_lost lost;
    struct broker *b = broker_new(&setup);

    if (!b)
        world_fail(w, "broker_new gives nothing");
    for (uint32_t i = n->frame_first; i < n->frame_n; i++) {
        const struct frame_copy *f = &n->frames[i];
        if (broker_apply(b, f->position, str_of(f->p, f->n)) != ERR_OK)
            world_fail(w, "n%u: broker_apply refuses frame %u", n->number, i);
    }
    if (broker_apply_end(b, n->turn, n->now.wall_s, &lost) != ERR_OK || lost.rows)
        world_fail(w, "n%u: broker_apply_end fails", n->number);
    broker_place(b, n->position);
    return b;
}

static void clock_set(struct world *w, struct node *n)
{
    n->now.mono_ms = w->now_ms;
    n->now.wall_s = 1700000000 + (int64_t)(w->now_ms / 1000);
}

void node_start(struct world *w, struct node *n)
{
    clock_set(w, n);
    n->position = n->position ? n->position : FRAME_HEAD;
    n->broker = broker_of(w, n);
    broker_tick(n->broker, n->now);
}

/* --- the journal --- */

static void keep_records(struct node *n, struct str records)
{
    n->frames = vec_grow(n->frames, &n->frame_cap, n->frame_n + 1, sizeof *n->frames);
    struct frame_copy f = {malloc(records.n), records.n, n->position, n->turn};
    if (!f.p)
        exit(2);
    assert(records.p);
    memcpy(f.p, records.p, records.n);
    n->frames[n->frame_n++] = f;
    n->position += records.n + FRAME_HEAD;
}

static void commit(struct world *w, struct node *n)
{
    struct buf frame = {0};
    uint64_t turn;

    if (broker_take_records(n->broker, &turn, &frame)) {
        struct str all = buf_str(&frame);
        if (!n->persistent)
            world_fail(w, "records without persistence");
        n->turn = turn;
        keep_records(n, str_of(all.p + BROKER_FRAME_ROOM, all.n - BROKER_FRAME_ROOM));
        broker_reuse(n->broker, &frame);
    }
    broker_place(n->broker, n->position);
}

/* At most one frame is looked at in a turn; what is true of it is recorded anew. */
static void clean(struct world *w, struct node *n)
{
    if (!n->persistent || w->calm || n->frame_first + 2 >= n->frame_n ||
        !trouble(w, w->knobs.clean))
        return;
    for (uint32_t i = rng_below(&w->rng, 30); i > 0 && n->frame_first + 2 < n->frame_n; i--) {
        struct frame_copy f = n->frames[n->frame_first];
        struct str left = str_of(f.p, f.n);
        if (f.turn > n->durable)
            return;
        while (left.n > 0) {
            enum err e = broker_renew(n->broker, &f.position, &left);
            if (e == ERR_NOMEM)
                return;
            if (e)
                world_fail(w, "cleaning: %s", err_word(e));
            commit(w, n);
            broker_tick(n->broker, n->now);
        }
        n->frame_first++;
        n->copied = n->turn;
    }
}

static void settle(struct world *w, struct node *n)
{
    if (n->persistent && n->durable < n->turn && (w->calm || !chance(w, w->knobs.lag))) {
        n->durable = n->turn;
        broker_durable(n->broker, n->durable);
    }
}

static struct str journal_at(const struct node *n, uint64_t position)
{
    for (uint32_t i = n->frame_first; i < n->frame_n; i++) {
        const struct frame_copy *f = &n->frames[i];
        if (position >= f->position && position < f->position + f->n)
            return str_of(f->p + (position - f->position), f->n - (position - f->position));
    }
    return str_of(NULL, 0);
}

/* What has been cleaned away meanwhile is answered by nothing, and asked for again. */
static void fetch(struct node *n)
{
    struct fetch f;

    for (uint32_t i = 0; i < n->fetch_n; i++) {
        struct str bytes = journal_at(n, n->fetches[i].position);
        if (bytes.n > n->fetches[i].length)
            bytes.n = n->fetches[i].length;
        if (bytes.n < n->fetches[i].least)
            bytes.n = 0;
        broker_fetched(n->broker, &n->fetches[i], bytes);
    }
    n->fetch_n = 0;
    while (n->fetch_n < FETCHES && broker_take_fetch(n->broker, &f))
        n->fetches[n->fetch_n++] = f;
}

/* --- a turn --- */

static void check(struct world *w, struct node *n)
{
    const char *wrong = broker_check(n->broker);

    w->totals->checks++;
    if (wrong)
        world_fail(w, "n%u: broker_check: %s", n->number, wrong);
}

static void feed(struct world *w, struct node *n)
{
    unsigned first = rng_below(&w->rng, LINKS);

    for (unsigned i = 0; i < LINKS && !broker_is_spent(n->broker); i++) {
        struct wire *l = &w->links[(first + i) % LINKS];
        if (l->serial && l->node == n->number)
            wire_feed(w, l);
    }
}

/*
 * Where there are two bridges, messages go round if both remote brokers take them for ordinary
 * clients. A connection that is lost before CONNACK may lead to that, so there they are spared.
 */
static bool is_spared(const struct world *w, const struct node *n)
{
    for (const struct wire *l = w->links; l < w->links + LINKS && w->knobs.bridges > 1; l++) {
        if (l->serial && wire_is_greeting(l) &&
            (l->node == n->number || (l->other && l->other->node == n->number)))
            return true;
    }
    return false;
}

static bool maybe_crash(struct world *w, struct node *n)
{
    bool crash = trouble(w, w->knobs.crash) && !is_spared(w, n);

    if (crash)
        node_crash(w, n);
    return crash;
}

/* In this turn an allocation fails, or all. */
static void starve(struct world *w, const struct node *n)
{
    if (!trouble(w, w->knobs.nomem))
        return;
    trace_add(&w->trace, "n%u: memory is short", n->number);
    w->starved = true;
    w->disturbed = true;
    mem_fail_after(rng_below(&w->rng, 12), chance(w, 300));
}

void node_turn(struct world *w, struct node *n)
{
    clock_set(w, n);
    broker_tick(n->broker, n->now);
    if (trouble(w, w->knobs.reload) && !is_spared(w, n))
        node_reload(w, n);
    wire_work_dials(w, n);
    starve(w, n);
    feed(w, n);
    if (maybe_crash(w, n))
        return;
    (void)broker_work(n->broker);
    mem_fail_never();
    wire_take_dials(w, n);
    clean(w, n);
    commit(w, n);
    settle(w, n);
    if (maybe_crash(w, n))
        return;
    wire_flush(w, n);
    fetch(n);
    n->more = broker_next(n->broker) == 0;
    if (chance(w, 100))
        check(w, n);
    (void)maybe_crash(w, n);
}

/* --- the end of a process --- */

static void bury(struct world *w, struct node *n)
{
    mem_fail_never();
    broker_free(n->broker);
    n->broker = NULL;
    n->fetch_n = 0;
    wire_forget_dials(w, n->number);
    for (struct wire *l = w->links; l < w->links + LINKS; l++) {
        if (!l->serial || l->node != n->number)
            continue;
        if (l->other) /* its last bytes may be lost */
            l->other->in.n = rng_below(&w->rng, l->other->in.n + 1);
        wire_free(w, l, false);
    }
}

/* What is durable is there; of the rest some. Frames are removed only when their copies are safe.
 */
static void lose_frames(struct world *w, struct node *n)
{
    uint64_t safe = n->durable > n->copied ? n->durable : n->copied;

    while (n->frame_n > n->frame_first && n->frames[n->frame_n - 1].turn > safe && chance(w, 600)) {
        struct frame_copy *f = &n->frames[--n->frame_n];
        n->position = f->position;
        free(f->p);
    }
    n->turn = n->frame_n ? n->frames[n->frame_n - 1].turn : n->turn;
    n->durable = n->turn;
}

void node_crash(struct world *w, struct node *n)
{
    trace_add(&w->trace, "n%u: is killed", n->number);
    w->totals->crashes++;
    w->disturbed = true;
    if (!n->persistent) {
        w->weak_nodes |= (uint8_t)(1u << n->number);
        locals_forget(w, n->number);
    }
    for (unsigned i = 0; i < w->knobs.bridges; i++) {
        struct section *s = &w->sections[i];
        /* The journal does not say that an absent session is a bridge's. */
        s->doubted = s->doubted || s->remote == n->number;
        if (!n->persistent) /* … and 3.1 does not say that a session is gone */
            s->confused = s->confused || s->owner == n->number || s->v31;
    }
    bury(w, n);
    lose_frames(w, n);
    node_start(w, n);
    check(w, n);
}

void node_reload(struct world *w, struct node *n)
{
    struct conf *fresh;

    for (unsigned i = 0; i < w->knobs.bridges; i++) {
        if (w->sections[i].owner == n->number && chance(w, 600))
            sections_change(w, &w->sections[i], chance(w, 100));
    }
    fresh = sections_conf(w, n->number);
    w->totals->reloads++;
    w->disturbed = true;
    trace_add(&w->trace, "n%u: reload", n->number);
    if (broker_prepare(n->broker, fresh) != ERR_OK)
        world_fail(w, "n%u: broker_prepare refuses", n->number);
    broker_commit(n->broker);
    conf_free(n->conf);
    n->conf = fresh;
}

void node_stop(struct world *w, struct node *n)
{
    check(w, n);
    if (chance(w, 500)) {
        broker_tick(n->broker, n->now);
        broker_stop(n->broker, REASON_SHUTDOWN);
        while (broker_work(n->broker) == 0)
            continue;
        commit(w, n);
        wire_flush(w, n);
        check(w, n);
    }
    bury(w, n);
    if (n->persistent && chance(w, 500)) {
        n->broker = broker_of(w, n);
        check(w, n);
        broker_free(n->broker);
    }
    conf_free(n->conf);
}

void node_clear(struct node *n)
{
    for (uint32_t i = 0; i < n->frame_n; i++)
        free(n->frames[i].p);
    free(n->frames);
    *n = (struct node){0};
}
