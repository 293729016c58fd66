/*
 * An eye on a run while it goes on: how much is done over time, for the charts, and the line that
 * tells a person at a terminal how far it has come. It also notices that somebody wants the run to
 * end (Ctrl-C).
 *
 * Each scenario's loop calls watch_turn once a turn, and watch_phase where a stretch begins. What
 * is counted in a stretch is the scenario's affair: deliveries, connections, subscriptions.
 */
#ifndef BENCH_WATCH_H
#define BENCH_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/error.h"
#include "bench/series.h"

struct streams;

/* Where a stretch ends, as far as that is known beforehand. */
struct watch_goal {
    uint64_t count; /* so much is to be done in it; 0: not known */
    double seconds; /* or so long it takes; 0: not known */
};

struct watch {
    uint64_t due_ns; /* watch_turn has nothing to do before */
    uint64_t done;   /* as the latest turn said */
    uint64_t from;   /* what it was when the stretch began */
    struct series series;
    struct watch_goal goal;
    const struct streams *streams; /* whose losses the line shows; NULL: nobody's */
    struct bench_error *error;
    uint64_t draw_ns; /* when the line is due */
    uint64_t drawn_ns;
    uint64_t drawn_done;
    size_t drawn_width; /* columns on the screen now */
    double rate;        /* a second, smoothed a little */
    bool draws;         /* there is somebody to read the line */
    bool interrupted;
};

/* Time begins. From here on SIGINT and SIGTERM end the run in order; a second one ends it at once.
 * `progress`: draw the line, if stderr is a terminal. */
void watch_start(struct watch *w, bool progress, struct bench_error *error);

/* No line any more, and the last piece of the series is complete. */
void watch_stop(struct watch *w);

/*
 * A stretch begins: "warm-up", "subscribe", "publish". `name` and `unit` (what is counted, one of
 * them: "message") must outlive the watch. `from` is where the count stands now; it may be another
 * count than the last stretch's. Without a watch_goal it has none.
 */
void watch_phase(struct watch *w, const char *name, const char *unit, uint64_t from);
void watch_goal(struct watch *w, uint64_t count, double seconds);

bool watch_due(struct watch *w, uint64_t now_ns);

/* Once a turn, at least every 50 ms; `done` is the stretch's count, which never falls. False: the
 * run is to end; the error says why. */
static inline bool watch_turn(struct watch *w, uint64_t now_ns, uint64_t done)
{
    w->done = done;
    return now_ns < w->due_ns || watch_due(w, now_ns);
}

#endif
