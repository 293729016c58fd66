/*
 * Frames, durable or not, and the crash that keeps only some of them.
 */
#include "disk.h"

#include "base/mem.h"
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

static struct stored *frame_add(struct simdisk *d, const struct model *m)
{
    d->frames = vec_grow(d->frames, &d->cap, d->n + 1, sizeof *d->frames);
    struct stored *f = &d->frames[d->n++];
    *f = (struct stored){.model = calloc(1, sizeof *f->model)};
    if (!f->model)
        exit(2);
    model_copy(f->model, m);
    return f;
}

static void model_drop(struct stored *f)
{
    if (f->model)
        model_clear(f->model);
    free(f->model);
    f->model = NULL;
}

void simdisk_init(struct simdisk *d)
{
    static const struct model empty;

    *d = (struct simdisk){0};
    frame_add(d, &empty);
}

static void frames_drop(struct simdisk *d, uint32_t keep)
{
    while (d->n > keep) {
        struct stored *f = &d->frames[--d->n];
        model_drop(f);
        free(f->bytes);
    }
}

void simdisk_clear(struct simdisk *d)
{
    frames_drop(d, 0);
    free(d->frames);
    free(d->after);
    *d = (struct simdisk){0};
}

static void store(struct sim *s, uint64_t turn, struct str records)
{
    struct simdisk *d = &s->disk;

    if (records.n == 0)
        sim_fail(s, "records without a byte");
    if (d->n > d->first && turn <= d->frames[d->n - 1].turn)
        sim_fail(s, "turn %llu follows turn %llu", (unsigned long long)turn,
                 (unsigned long long)d->frames[d->n - 1].turn);
    struct stored *f = frame_add(d, &s->model);
    f->turn = turn;
    f->n = records.n;
    f->bytes = malloc(records.n);
    if (!f->bytes)
        exit(2);
    memcpy(f->bytes, records.p, records.n);
    trace_add(&s->trace, "frame %u written (broker's turn %llu, %zu bytes)", d->n - 1,
              (unsigned long long)turn, records.n);
}

static void turn_over(struct sim *s)
{
    struct simdisk *d = &s->disk;

    d->after = vec_grow(d->after, &d->after_cap, s->turn + 1, sizeof *d->after);
    while (d->after_n <= s->turn)
        d->after[d->after_n++] = d->n - 1;
    s->turn++;
}

void simdisk_collect(struct sim *s)
{
    uint64_t turn;
    struct str records;

    if (broker_take_records(s->broker, &turn, &records)) {
        if (!s->knobs.persistent)
            sim_fail(s, "records without persistence");
        store(s, turn, records);
    }
    turn_over(s);
}

bool simdisk_has(const struct sim *s, uint32_t turn)
{
    if (!s->knobs.persistent)
        return true;
    return turn < s->disk.after_n && s->disk.after[turn] <= s->disk.durable;
}

void simdisk_settle(struct sim *s, bool all)
{
    struct simdisk *d = &s->disk;
    uint32_t waiting = d->n - 1 - d->durable;

    if (waiting == 0 || (!all && !chance(s, s->knobs.durable)))
        return;
    uint32_t to =
        all || s->knobs.durable == 1000 ? d->n - 1 : d->durable + 1 + rng_below(&s->rng, waiting);
    for (uint32_t i = d->durable; i < to; i++)
        model_drop(&d->frames[i]);
    d->durable = to;
    trace_add(&s->trace, "durable: frame %u (turn %llu)", to,
              (unsigned long long)d->frames[to].turn);
    broker_durable(s->broker, d->frames[to].turn);
}

static enum err apply_frames(struct sim *s, struct broker *b, uint32_t last)
{
    enum err e = ERR_OK;

    for (uint32_t i = 1; i <= last && e == ERR_OK; i++)
        e = broker_apply(b, str_of((const char *)s->disk.frames[i].bytes, s->disk.frames[i].n));
    return e;
}

/* Sometimes memory fails on the way; then all begins anew. */
struct broker *simdisk_rebuild(struct sim *s, uint32_t last)
{
    s->totals->rebuilds++;
    if (chance(s, 100)) {
        mem_fail_after(rng_below(&s->rng, 50 + last), 1);
        struct broker *b = sim_broker(s);
        enum err e = b ? apply_frames(s, b, last) : ERR_NOMEM;
        mem_fail_never();
        if (e != ERR_OK && e != ERR_NOMEM)
            sim_fail(s, "applying records without memory: %s", err_word(e));
        if (b)
            broker_free(b);
    }
    struct broker *b = sim_broker(s);
    enum err e = apply_frames(s, b, last);
    if (e != ERR_OK)
        sim_fail(s, "applying %u frames: %s", last, err_word(e));
    broker_apply_end(b, s->now.wall_s);
    const char *wrong = broker_check(b);
    if (wrong)
        sim_fail(s, "after a rebuild: %s", wrong);
    return b;
}

static void tell_difference(struct sim *s, struct str live, struct str rebuilt)
{
    size_t line = 0;

    for (size_t i = 0; i < live.n && i < rebuilt.n && live.p[i] == rebuilt.p[i]; i++) {
        if (live.p[i] == '\n')
            line = i + 1;
    }
    sim_fail(s, "rebuilt from all records it is another one:\nlive    %.*s\nrebuilt %.*s",
             (int)strcspn(live.p + line, "\n"), live.p + line, (int)strcspn(rebuilt.p + line, "\n"),
             rebuilt.p + line);
}

void simdisk_compare(struct sim *s)
{
    struct buf live = {0};
    struct buf rebuilt = {0};
    struct broker *b = simdisk_rebuild(s, s->disk.n - 1);

    if (broker_dump(s->broker, &live) != ERR_OK || broker_dump(b, &rebuilt) != ERR_OK ||
        buf_add(&live, "", 1) != ERR_OK || buf_add(&rebuilt, "", 1) != ERR_OK)
        sim_fail(s, "broker_dump fails");
    if (!str_eq(buf_str(&live), buf_str(&rebuilt)))
        tell_difference(s, buf_str(&live), buf_str(&rebuilt));
    buf_clear(&live);
    buf_clear(&rebuilt);
    broker_free(b);
}

/* --- the crash --- */

static void blur_retained(struct sim *s, const struct model *before, const struct model *after)
{
    for (unsigned t = 0; t < TOPICS; t++) {
        uint32_t was = before->retained[t].letter;
        uint32_t is = after->retained[t].letter;
        if (was && was != is)
            s->letters.all[was].retained_to = s->event;
        if (is)
            s->letters.all[is].retained_to = NEVER;
    }
}

/* What was seen of rows after the last frame that was kept may have been undone. */
static void blur_rows(struct sim *s, struct session *to, uint32_t keep)
{
    for (uint32_t i = 0; i < to->n; i++) {
        struct row *r = &to->rows[i];
        struct fact *f = &s->facts.rows[r->uid];
        if (f->order && f->frames > keep && !(r->mask & 4))
            f->hazy = true;
        if (r->mask & 1)
            r->flags |= ROW_MAY;
        s->facts.picks[r->pick].excused = true;
    }
}

static void reset_model(struct sim *s, uint32_t keep)
{
    s->event++;
    blur_retained(s, &s->model, s->disk.frames[keep].model);
    model_copy(&s->model, s->disk.frames[keep].model);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct session *to = &s->model.sessions[i];
        struct client *c = &s->clients[i];
        to->cable = 0;
        if (to->clean)
            session_forget(to, &s->facts);
        blur_rows(s, to, keep);
        c->cursor_n = 0;
        c->amnesty = true;
    }
}

void simdisk_crash(struct sim *s)
{
    struct simdisk *d = &s->disk;
    uint32_t keep = d->durable;

    if (chance(s, 500))
        keep += rng_below(&s->rng, d->n - d->durable);
    trace_add(&s->trace, "crash: frames 1-%u of %u are left, durable were %u", keep, d->n - 1,
              d->durable);
    s->totals->crashes++;
    s->admitted += broker_stats(s->broker)->publish_dropped;
    broker_free(s->broker);
    if (mem_used() != s->mem_start)
        sim_fail(s, "%zu bytes leak", mem_used() - s->mem_start);
    reset_model(s, keep);
    for (unsigned i = 0; i < CABLES; i++) {
        if (s->cables[i].serial)
            cable_free(s, &s->cables[i]);
    }
    frames_drop(d, keep + 1);
    for (uint32_t i = d->durable; i < keep; i++)
        model_drop(&d->frames[i]);
    d->durable = keep;
    d->first = keep + 1;
    turn_over(s);
    s->broker = simdisk_rebuild(s, keep);
}
