/*
 * The life of mosquitto_pub: connect, publish, wait for what was published, disconnect.
 */
#ifndef CLIENTS_PUB_RUN_H
#define CLIENTS_PUB_RUN_H

#include "clients/pub_options.h"
#include "clients/pub_source.h"

/* Returns the exit code; what went wrong was said. */
int pub_run(const struct pub_settings *s, struct pub_source *src);

#endif
