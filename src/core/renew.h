/*
 * Cleaning the journal: broker_renew of core/broker.h.
 */
#ifndef CORE_RENEW_H
#define CORE_RENEW_H

#include "core/state.h"

/* Give up what it remembers. */
void renew_free(struct broker *b);

#endif
