/*
 * What scenarios in several stretches share: their connections, the wait for an end, and the
 * figures of each stretch. A stretch begins and ends in silence: nothing of the one is paid for in
 * the other.
 */
#ifndef BENCH_STAGE_H
#define BENCH_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/conn.h"
#include "bench/crew.h"
#include "bench/error.h"
#include "bench/meter.h"
#include "bench/options.h"
#include "bench/result.h"

struct stage {
    const struct bench_options *options;
    const struct target *target;
    struct bench_result *result;
    struct bench_error *error;
    struct crew crew;
    struct meter meter;
    uint64_t done;        /* of what the stretch counts; its scenario adds to it */
    uint64_t begin_ns;    /* of the run: for --limit */
    uint64_t progress_ns; /* when something last came: for --timeout */
    uint64_t packets;     /* so many had come by then */
};

/* `s` has its first four fields. False: see the error; stage_clear is due all the same. */
bool stage_init(struct stage *s, const struct crew_setup *setup);
void stage_clear(struct stage *s); /* all who are connected leave */

/* Connects, and sends CONNECT with an id that no other member and no other run has. */
bool stage_login_send(const struct bench_options *options, const struct target *target,
                      struct member *member, bool keep, struct bench_error *error);

/* Connects and logs in; `keep`: with a session that outlives the connection. */
bool stage_join(struct stage *s, struct member *first, size_t count, bool keep);
/* As stage_join, and the crew's loop has them from then on. */
bool stage_watch(struct stage *s, struct member *first, size_t count);
/* Leaves, and returns when the broker has closed all these connections. */
bool stage_leave(struct stage *s, struct member *first, size_t count);

/* One more of the `sent` messages of a publisher is acknowledged: it may go on. False: too many. */
bool stage_acked(struct stage *s, struct member *publisher, uint64_t *acked, uint64_t sent);

/* Goes on until `ended` says so. `what` is awaited from the broker, for the words of a stall. */
bool stage_until(struct stage *s, bool (*ended)(void *owner), const char *what);

/* Until the broker has read all that these have sent: it has nothing left to do. */
bool stage_quiet(struct stage *s, struct member *first, size_t count);

/* A stretch that is measured; `goal`: so many `unit`s are to be done, 0 if that is not known. */
bool stage_part(struct stage *s, const char *name, const char *unit, uint64_t goal);
bool stage_part_end(struct stage *s);

/* False, with a sentence, if something was lost, doubled or out of order. */
bool stage_judge(const struct bench_result *result, struct bench_error *error);

#endif
