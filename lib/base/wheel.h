/*
 * A hierarchical timing wheel. It is told the time and never asks.
 *
 * Adding, moving and removing a timer cost the same whatever else is waiting. Times are
 * milliseconds of a clock that never goes back. Timers fire at or after their time, never before.
 */
#ifndef BASE_WHEEL_H
#define BASE_WHEEL_H

#include "base/base.h"

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_LEVELS 6
#define WHEEL_SLOTS 64 /* of each level: 1 ms, 64 ms, 4 s, 4 min, 4.6 h, 12 days */

struct wheel_timer {
    struct wheel_timer *next;
    struct wheel_timer **link; /* what points at us; NULL = not armed */
    uint64_t due_ms;
};

/* Timers point into it: it must not be moved in memory. */
struct wheel {
    uint64_t now_ms;
    uint64_t busy[WHEEL_LEVELS]; /* a bit for each slot that is not empty */
    struct wheel_timer *slots[WHEEL_LEVELS][WHEEL_SLOTS];
    struct wheel_timer *due;      /* expired, not yet popped, first come first served */
    struct wheel_timer **due_end; /* where the next one goes */
    size_t count;
};

void wheel_init(struct wheel *w, uint64_t now_ms);
/* Arm, or move if armed already. A time in the past fires with the next wheel_pop. */
void wheel_arm(struct wheel *w, struct wheel_timer *t, uint64_t due_ms);
void wheel_disarm(struct wheel *w, struct wheel_timer *t); /* no harm if not armed */

static inline bool wheel_armed(const struct wheel_timer *t)
{
    return t->link != NULL;
}

/* Set the clock and sort out what has become due (work proportional to timers that move). */
void wheel_advance(struct wheel *w, uint64_t now_ms);
/*
 * Take one due timer (it is disarmed), or NULL. Callers stop when their budget is spent; the
 * rest stays due.
 */
struct wheel_timer *wheel_pop(struct wheel *w);
/*
 * When wheel_pop may next have something: now if it has, UINT64_MAX if nothing is armed. May be
 * early, never late.
 */
uint64_t wheel_next_ms(const struct wheel *w);

#endif
