/*
 * The broker's state from the records of its former life: the same mutators run again, and nothing
 * is recorded meanwhile.
 */
#ifndef CORE_REPLAY_H
#define CORE_REPLAY_H

#include "core/state.h"

/* Give up what replaying needs; harmless when nothing is replayed. */
void replay_free(struct broker *b);

#endif
