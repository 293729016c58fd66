/*
 * A random life: clients that come and go, subscribe, publish, answer some of what they get and die
 * with wills. For tests that compare a broker with its own journal.
 */
#ifndef UNIT_LIFE_H
#define UNIT_LIFE_H

#include "base/rng.h"
#include "unit/rig.h"

#define LIFE_CLIENTS 5

struct life {
    struct rig r;
    struct rng rng;
    struct rig_client c[LIFE_CLIENTS];
    bool there[LIFE_CLIENTS];
    uint16_t id;
    unsigned published;
};

/* A persistent broker with small limits; the test may change r.conf until life_start. */
void life_setup(struct life *l, uint64_t seed);
void life_start(struct life *l);
/* One thing happens, and sometimes a turn goes by. */
void life_step(struct life *l);
/* All clients go; checks that nothing is left over. */
void life_end(struct life *l);

#endif
