/*
 * Threads beside the loop: each does one thing that may take long.
 */
#ifndef SERVER_THREAD_H
#define SERVER_THREAD_H

#include "base/base.h"

#include <pthread.h>

/* Without signals, which are for the loop. 0, or what errno would be. */
MUST_CHECK int thread_create(pthread_t *id, void *(*run)(void *ctx), void *ctx);

#endif
