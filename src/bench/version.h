/*
 * What a broker says of itself.
 */
#ifndef BENCH_VERSION_H
#define BENCH_VERSION_H

#include <stddef.h>

#include "bench/conn.h"
#include "bench/options.h"

/* Asks for $SYS/broker/version, as Mosquitto and others have it, for half a second at most. `text`
 * is empty if there is no answer. To be called when the run is over, so that it measures nothing
 * of this. */
void version_ask(const struct bench_options *options, const struct target *target, char *text,
                 size_t room);

#endif
