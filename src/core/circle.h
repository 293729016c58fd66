/*
 * Do messages come round and round?
 *
 * Brokers that bridge in a ring send a message round for ever, and MQTT 3.1.1 has nothing to tell
 * it by. What can be noticed is the flood: the same topic with the same payload, very often,
 * through the same bridge.
 */
#ifndef CORE_CIRCLE_H
#define CORE_CIRCLE_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define CIRCLE_SLOTS 256
#define CIRCLE_TIMES 100       /* so often … */
#define CIRCLE_WINDOW_MS 10000 /* … in so short a time */
#define CIRCLE_QUIET_MS 60000  /* is said of one message no more often than this */

struct circle_slot {
    uint64_t hash;
    uint64_t since_ms;
    uint64_t said_ms; /* 0 = not yet */
    uint32_t count;
};

struct circle {
    struct circle_slot slots[CIRCLE_SLOTS];
};

/* A message came through the bridge that `whose` is unique for; true: that is to be said now. */
bool circle_turns(struct circle *c, uint64_t now_ms, uint64_t whose, struct str topic,
                  struct str payload);

#endif
