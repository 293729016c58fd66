/*
 * A seeded generator (xoshiro256**): jitter, client ids in tests, the simulator. Not for secrets.
 */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdint.h>

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_u64(struct rng *r);
/* Evenly in 0 … n-1; n > 0. */
uint32_t rng_below(struct rng *r, uint32_t n);

#endif
