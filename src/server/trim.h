/*
 * Memory goes back to the system after a storm: a drained queue, ten thousand clients that left.
 *
 * The allocator gives back only what is free at the end of its heap, and something small usually
 * lives there. So when much has been freed, it is asked to give back the pages in between too; not
 * often, since it looks through all that is free; and once more when the storm is over.
 */
#ifndef SERVER_TRIM_H
#define SERVER_TRIM_H

#include <stdbool.h>
#include <stdint.h>

struct broker;

struct trim {
    uint64_t high;    /* bytes in use at most since the last time */
    uint64_t low;     /* … when it was looked at last whether the storm goes on */
    uint64_t next_ms; /* not before then, monotonic */
    bool storm;       /* much has been freed, and perhaps more will be */
};

/*
 * Once, at the start: large blocks come from the system, zeroed when touched, and go back to it
 * whole. Left alone, the allocator would after a while serve them from its heap, and clearing 16
 * MiB for a table that grows takes 5 ms at once.
 */
void trim_init(struct trim *t);
/* To be called once per turn, with the bytes in use. Returns when it wants to be called again,
 * UINT64_MAX = no matter when. */
uint64_t trim_turn(struct trim *t, struct broker *b, uint64_t used, uint64_t now_ms);

#endif
