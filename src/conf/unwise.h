/*
 * What is legal, and still deserves a word when somebody asks.
 */
#ifndef CONF_UNWISE_H
#define CONF_UNWISE_H

#include "conf/draft.h"

/* Warn of what a complete draft has of this kind. */
void warn_unwise(const struct draft *d);

#endif
