/*
 * Which of the brokers at the other ends of bridges are the same one.
 *
 * Brokers of ours tell each other a random name when they are bridged, so that a message does not
 * go back to the broker that it came from by another bridge than the one that brought it. A name is
 * kept, counted, as a small number that sessions hold.
 */
#ifndef CORE_KIN_H
#define CORE_KIN_H

#include "base/str.h"

#include <stdint.h>

#define KIN_MAX 255

struct kin {
    struct {
        uint64_t name; /* hashed */
        uint32_t refs; /* 0 = free */
    } known[KIN_MAX];
};

/* The number of a name, one reference; 0: no more can be told apart. */
uint8_t kin_get(struct kin *k, struct str name);
void kin_put(struct kin *k, uint8_t number); /* 0 is allowed */

#endif
