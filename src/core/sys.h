/*
 * What the broker tells of itself: retained messages below $SYS/broker, at QoS 2, in decimal text.
 *
 * Every sys_interval seconds there is a round, which publishes the values that have changed since
 * they were last published. The first round comes with the first turn, so nobody can subscribe
 * before the values are there. A sys_interval of 0 says nothing, and takes back what was said: a
 * value that nobody keeps up is worse than none.
 *
 * A round stops when the turn's budget is spent, and goes on in the next turn: there may be many
 * who have subscribed. A value that there is no memory to publish is left out until the next round.
 *
 * The load averages are exponential: new = x + e^(-dt/T) * (old - x), with x the rate per minute of
 * the last dt, and T of 1, 5 and 15 minutes. They begin with 0.
 */
#ifndef CORE_SYS_H
#define CORE_SYS_H

#include "core/broker.h"

MUST_CHECK enum err sys_init(struct broker *b);
void sys_free(struct broker *b);
/* Once in a turn: do what is due, as far as the budget goes, but not less than one value. */
void sys_work(struct broker *b);
/* Is anything said at all? */
bool sys_is_on(const struct broker *b);
/* When sys_work has something to do, monotonic ms: 0 = at once, UINT64_MAX = never. */
uint64_t sys_next(const struct broker *b);

#endif
