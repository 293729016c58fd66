/*
 * What must not be guessed: generated client ids.
 */
#ifndef SERVER_ENTROPY_H
#define SERVER_ENTROPY_H

#include "core/broker.h"

/* A random UUID as text; the form that broker_setup wants, `ctx` is not used. */
void entropy_make_id(void *ctx, char out[BROKER_ID_MAX]);

#endif
