/*
 * A set of packet identifiers: the QoS 2 messages that were accepted and not released yet (4.3.3,
 * method B).
 *
 * The message itself has long been routed, so an unfinished handshake costs two bytes: a sorted
 * array up to 256 ids, a bitmap above. All 65,535 are legal. Ids come in growing order and are
 * released in that order, but for the one step from 65,535 to 1: the array is quick at both ends.
 */
#ifndef MQTT_IDSET_H
#define MQTT_IDSET_H

#include "base/base.h"
#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

#define IDSET_FEW 4

struct idset {      /* not to be copied: ids may point into it */
    uint64_t *bits; /* or NULL: then the array counts */
    uint16_t *ids;
    uint16_t few[IDSET_FEW];
    uint32_t count;
    uint16_t cap;
    uint16_t first; /* place in the array of the smallest id */
};

void idset_init(struct idset *s);
void idset_clear(struct idset *s); /* empty and usable again */

/* Make sure that the next idset_add cannot fail. */
MUST_CHECK enum err idset_reserve(struct idset *s);
/* Remember an id (not 0); false if it was there already. After idset_reserve only. */
bool idset_add(struct idset *s, uint16_t id);
bool idset_has(const struct idset *s, uint16_t id);
/* Forget it; false if it was not there. */
bool idset_remove(struct idset *s, uint16_t id);
/* The smallest id >= from, 0 when there is none: for walks, from 1 up. */
uint16_t idset_next(const struct idset *s, uint32_t from);
/* For tests and the simulator: sorted and counted right? */
bool idset_check(const struct idset *s);

#endif
