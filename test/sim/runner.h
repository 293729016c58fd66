/*
 * Runs seeds, each in a process of its own, as the environment says:
 *
 *     SEED=n STEPS=m     run one seed again, exactly; SEEDS=k: and those that follow
 *     SECONDS=s          run new seeds for so long
 *     TRACE=1            print every event
 */
#ifndef SIM_RUNNER_H
#define SIM_RUNNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct runner {
    const char *name;
    uint64_t steps;   /* by default */
    uint64_t seconds; /* by default */
    /* In a process of its own, which ends with an error when a check fails. */
    void (*run)(void *ctx, uint64_t seed, uint64_t steps, bool loud);
    void *ctx;
};

/* To be called first: addresses are not randomised, so that what depends on them (the order of a
 * hash table of pointers) is the same whenever a seed is run again. */
void runner_fix_addresses(char **argv);
/* Zeroed memory that all processes share; ends the program without memory. */
void *runner_shared(size_t size);
/* False when a seed failed. */
bool runner_go(const struct runner *r);

#endif
