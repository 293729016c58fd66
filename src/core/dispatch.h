/*
 * From bytes to handlers.
 */
#ifndef CORE_DISPATCH_H
#define CORE_DISPATCH_H

#include "core/state.h"

/*
 * Work through the packets at the front of `bytes`, which came from this connection. Returns how
 * many bytes are done with; the rest is an unfinished packet (c->need), or waits for what c->pause
 * says. May end the connection: then everything is done with.
 */
size_t dispatch_input(struct broker *b, struct conn *c, struct str bytes);

#endif
