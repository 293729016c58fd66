/*
 * The end of a process, and what the next one finds.
 */
#include "sim.h"

#include <assert.h>
#include <stdlib.h>

#define ATTEMPTS 200

/* --- recovery --- */

struct rebuilt {
    struct broker *broker;
    struct recovered found;
};

static enum err apply_frame(void *ctx, uint64_t position, struct str records)
{
    return broker_apply(ctx, position, records);
}

/* All that is there becomes a broker; whatever fails, nothing is left of it. */
static enum err rebuild(struct sim *s, bool read_only, struct rebuilt *r)
{
    const struct log log = sim_log(s);
    struct recover_setup setup = {.io = &s->disk.io,
                                  .log = &log,
                                  .name = "journal",
                                  .salvage = s->knobs.salvage,
                                  .read_only = read_only,
                                  .apply = apply_frame};
    struct broker_lost lost = {0};
    enum err e;

    *r = (struct rebuilt){.broker = sim_broker(s)};
    if (!r->broker)
        return ERR_NOMEM;
    s->totals->rebuilds++;
    setup.apply_ctx = r->broker;
    e = store_recover(&setup, &r->found);
    if (!e)
        e = broker_apply_end(r->broker, r->found.turn, s->now.wall_s, &lost);
    if (!e && (lost.rows || r->found.damaged))
        sim_fail(s, "%llu rows were lost, %llu places are damaged", (unsigned long long)lost.rows,
                 (unsigned long long)r->found.damaged);
    if (e) {
        recovered_clear(&r->found);
        broker_free(r->broker);
        r->broker = NULL;
    }
    return e;
}

static void check_rebuilt(struct sim *s, const struct broker *b)
{
    const char *wrong = broker_check(b);

    if (wrong)
        sim_fail(s, "after a rebuild: %s", wrong);
}

/* --- two brokers, the same? --- */

/*
 * Packet ids and numbers of rows that are over stand in records which cleaning leaves out; and that
 * a subscription has been given its retained messages may be forgotten without memory.
 */
static void drop_lines(struct buf *text, bool feeds)
{
    char *to = (char *)buf_begin(text);
    const char *from = to;
    const char *end = to + text->len;

    while (from < end) {
        const char *next = memchr(from, '\n', (size_t)(end - from));
        size_t n = (size_t)(next - from) + 1;
        bool drop = strncmp(from, "flow ", 5) == 0 || (feeds && strncmp(from, "feed ", 5) == 0);
        if (!drop) {
            memmove(to, from, n);
            to += n;
        }
        from += n;
    }
    text->len = (uint32_t)(to - (char *)buf_begin(text));
}

static void dump(struct sim *s, const struct broker *b, bool exact, struct buf *out)
{
    if (broker_dump(b, out) != ERR_OK)
        sim_fail(s, "broker_dump fails");
    if (!exact && out->len > 0)
        drop_lines(out, s->knobs.nomem > 0);
    if (buf_add(out, "", 1) != ERR_OK)
        sim_fail(s, "broker_dump fails");
}

static void tell_difference(struct sim *s, struct str one, struct str other)
{
    size_t line = 0;

    for (size_t i = 0; i < one.n && i < other.n && one.p[i] == other.p[i]; i++) {
        if (one.p[i] == '\n')
            line = i + 1;
    }
    sim_fail(s, "rebuilt it is another one:\nlive    %.*s\nrebuilt %.*s",
             (int)strcspn(one.p + line, "\n"), one.p + line, (int)strcspn(other.p + line, "\n"),
             other.p + line);
}

static void must_equal(struct sim *s, const struct broker *a, const struct broker *b, bool exact)
{
    struct buf one = {0};
    struct buf other = {0};

    dump(s, a, exact, &one);
    dump(s, b, exact, &other);
    struct str x = buf_str(&one);
    struct str y = buf_str(&other);
    assert(x.p && y.p); /* a NUL at least */
    if (!str_eq(x, y))
        tell_difference(s, x, y);
    buf_clear(&one);
    buf_clear(&other);
}

/* A look at the files changes nothing and finds the same. */
static void look(struct sim *s, bool exact, uint64_t turn)
{
    struct file_faults faults = s->disk.files.faults;
    uint32_t crash_in = s->disk.files.crash_in;
    struct rebuilt r;

    s->disk.files.faults = (struct file_faults){0};
    s->disk.files.crash_in = 0;
    enum err e = rebuild(s, true, &r);
    if (e)
        sim_fail(s, "a look at the files: %s", err_word(e));
    if (r.found.turn != turn)
        sim_fail(s, "a look at the files finds turn %llu, the last one is %llu",
                 (unsigned long long)r.found.turn, (unsigned long long)turn);
    check_rebuilt(s, r.broker);
    must_equal(s, s->broker, r.broker, exact);
    broker_free(r.broker);
    recovered_clear(&r.found);
    s->disk.files.faults = faults;
    s->disk.files.crash_in = crash_in;
}

void simdisk_compare(struct sim *s)
{
    const struct simdisk *d = &s->disk;

    if (store_figures(d->store).waiting_bytes == 0)
        look(s, false, d->frames[d->n - 1].turn);
}

/* --- the model goes back --- */

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

/* What was seen of rows after the last frame that was kept may have been undone; that of QoS 2 only
 * if what clients were told to be durable was lost. */
static void blur_rows(struct sim *s, struct session *to, uint32_t keep, bool lossy)
{
    for (uint32_t i = 0; i < to->n; i++) {
        struct row *r = &to->rows[i];
        struct fact *f = &s->facts.rows[r->uid];
        if (f->order && f->frames > keep && (lossy || !(r->mask & 4)))
            f->hazy = true;
        if (r->mask & 1)
            r->flags |= ROW_MAY;
        s->facts.picks[r->pick].excused = true;
    }
}

/*
 * A feed looks at everything once more, and leaves out what stands in a row since it began. At QoS
 * 0 there are no rows: that may come again, or not.
 */
static void blur_cursors(const struct model *m, struct session *to)
{
    for (struct cursor *u = to->cursors; u < to->cursors + to->cursor_n; u++) {
        u->anew = true;
        for (unsigned w = 0; w < TOPIC_WORDS; w++) {
            u->due[w] |= u->owed[w] & ~u->weak[w];
            u->owed[w] = 0;
            u->got[w] &= ~u->weak[w];
        }
        for (unsigned t = 0; t < TOPICS; t++) {
            if (m->retained[t].since > u->since)
                u->got[t / 64] &= ~(1ull << (t % 64));
        }
    }
}

static void reset_model(struct sim *s, uint32_t keep)
{
    bool lossy = keep < s->disk.durable;

    s->event++;
    blur_retained(s, &s->model, s->disk.frames[keep].model);
    model_copy(&s->model, s->disk.frames[keep].model);
    for (unsigned i = 0; i < CLIENTS; i++) {
        struct session *to = &s->model.sessions[i];
        struct client *c = &s->clients[i];
        to->cable = 0;
        if (to->clean)
            session_forget(to, &s->facts);
        blur_rows(s, to, keep, lossy);
        if (lossy)
            client_forget(c);
        blur_cursors(&s->model, to);
        c->amnesty = true;
    }
}

/* --- start --- */

/* Something goes wrong on the way: memory, a call, or the process dies again. */
static void arm(struct sim *s)
{
    if (s->calm)
        return;
    if (chance(s, 100))
        mem_fail_after(rng_below(&s->rng, 60), 1);
    if (s->knobs.crash && chance(s, 100))
        s->disk.files.crash_in = 1 + rng_below(&s->rng, 12);
}

/* Broker and store, or neither. */
static enum err attempt(struct sim *s, uint64_t *turn)
{
    struct simdisk *d = &s->disk;
    struct rebuilt r;
    enum err e = rebuild(s, false, &r);

    if (e)
        return e;
    *turn = r.found.turn;
    if (!d->files.dead)
        d->store = store_new(&s->knobs.store, &r.found);
    if (!d->store) {
        recovered_clear(&r.found);
        broker_free(r.broker);
        return d->files.dead ? ERR_SYSTEM : ERR_NOMEM;
    }
    s->broker = r.broker;
    return ERR_OK;
}

/* The process that recovers can die as well. */
static bool dies_again(struct sim *s)
{
    struct simdisk *d = &s->disk;

    if (!d->files.dead)
        return false;
    d->files.dead = false;
    trace_add(&s->trace, "… and dies");
    if (chance(s, s->knobs.power))
        files_cut(&d->files);
    return true;
}

/* The last turn that is left. */
static uint64_t recover(struct sim *s)
{
    struct simdisk *d = &s->disk;
    uint64_t turn = 0;

    for (unsigned i = 0;; i++) {
        uint64_t struck = d->files.struck;
        if (i < ATTEMPTS / 2)
            arm(s);
        else
            d->files.faults = (struct file_faults){0};
        files_open(&d->files);
        enum err e = attempt(s, &turn);
        bool starved = mem_failed() > 0;
        mem_fail_never();
        d->files.crash_in = 0;
        if (e && mem_used() != s->mem_start)
            sim_fail(s, "recovery leaks %zu bytes", mem_used() - s->mem_start);
        if (e == ERR_OK)
            break;
        if (!dies_again(s) && !(e == ERR_NOMEM && starved) &&
            !(e == ERR_SYSTEM && d->files.struck > struck))
            sim_fail(s, "recovery: %s", err_word(e));
        if (i > ATTEMPTS)
            sim_fail(s, "recovery never succeeds");
    }
    d->files.faults = s->calm ? (struct file_faults){0} : s->knobs.faults;
    trace_add(&s->trace, "recovered: turn %llu", (unsigned long long)turn);
    return turn;
}

void simdisk_start(struct sim *s)
{
    struct simdisk *d = &s->disk;

    d->turn = recover(s) + 1;
    d->recovered = frame_of_turn(d, d->turn - 1);
    if (d->frames[d->recovered].turn != d->turn - 1)
        sim_fail(s, "turn %llu is left, and there was none such", (unsigned long long)d->turn - 1);
    check_rebuilt(s, s->broker);
    broker_place(s->broker, store_next_payload(d->store));
    if (chance(s, 500))
        look(s, true, d->turn - 1);
}

/* --- the crash --- */

static void bury(struct sim *s, enum crash how)
{
    struct simdisk *d = &s->disk;

    if (d->out && !d->run && !d->files.dead && chance(s, 500))
        store_run(&d->io, &d->job);
    s->admitted += broker_stats(s->broker)->publish_dropped;
    broker_free(s->broker);
    s->totals->cleaned += store_figures(d->store).cleaned_segments;
    store_free(d->store);
    d->store = NULL;
    d->out = d->behind = d->torn = false;
    while (d->wanted_n > 0)
        free(d->wanted[--d->wanted_n].p);
    for (unsigned i = 0; i < CABLES; i++) {
        if (s->cables[i].serial)
            cable_free(s, &s->cables[i]);
    }
    if (mem_used() != s->mem_start)
        sim_fail(s, "%zu bytes leak", mem_used() - s->mem_start);
    d->files.dead = false;
    d->files.crash_in = 0;
    if (how == CRASH_POWER)
        files_cut(&d->files);
}

/*
 * The broker was told that these are durable: they are, unless that only meant that they were
 * written, and the power has gone or a sync has failed.
 */
static uint32_t promised(const struct sim *s, uint32_t synced)
{
    const struct simdisk *d = &s->disk;
    bool lossy = !s->knobs.store.fsync && d->files.losses > 0;

    return !lossy && d->durable > synced ? d->durable : synced;
}

void simdisk_crash(struct sim *s, enum crash how)
{
    struct simdisk *d = &s->disk;
    uint32_t synced = frame_synced(d);
    uint32_t put = d->n - 1;

    trace_add(&s->trace, "%s: %u frames were put, %u were durable, %u are certain",
              how == CRASH_POWER ? "the power goes" : "killed", put, d->durable, synced);
    s->totals->crashes++;
    s->totals->cuts += how == CRASH_POWER;
    bury(s, how);
    simdisk_start(s);
    if (d->recovered < promised(s, synced))
        sim_fail(s, "after the crash frames 1-%u of %u are left; %u were promised", d->recovered,
                 put, promised(s, synced));
    d->files.losses = 0;
    reset_model(s, d->recovered);
    frames_drop(d, d->recovered + 1);
    d->durable = d->recovered;
    frames_certain(d, d->recovered);
    turn_over(s);
}

/* --- the clean end --- */

static void flush(struct sim *s)
{
    struct simdisk *d = &s->disk;

    for (unsigned i = 0; !store_is_clean(d->store); i++) {
        store_sync_soon(d->store);
        d->now_ms += STORE_RETRY_MS;
        simdisk_settle(s, true);
        if (i > 1000)
            sim_fail(s, "the store never becomes clean");
    }
}

void simdisk_stop(struct sim *s)
{
    struct simdisk *d = &s->disk;
    struct rebuilt r;

    flush(s);
    store_seal(d->store);
    flush(s);
    s->totals->cleaned += store_figures(d->store).cleaned_segments;
    store_free(d->store);
    d->store = NULL;
    enum err e = rebuild(s, false, &r);
    if (e || r.found.cut_bytes || r.found.turn != d->frames[d->n - 1].turn)
        sim_fail(s, "after a clean end: %s, %llu bytes were cut, turn %llu of %llu", err_word(e),
                 (unsigned long long)r.found.cut_bytes, (unsigned long long)r.found.turn,
                 (unsigned long long)d->frames[d->n - 1].turn);
    check_rebuilt(s, r.broker);
    must_equal(s, s->broker, r.broker, false);
    broker_free(r.broker);
    recovered_clear(&r.found);
}
