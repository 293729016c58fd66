/*
 * The life of mosquitto_rr: subscribe, send the request, print the answer.
 */
#ifndef TOOLS_RR_RUN_H
#define TOOLS_RR_RUN_H

#include "tools/client_payload.h"
#include "tools/rr_options.h"

/* Returns the exit code; what went wrong was said. */
int rr_run(const struct rr_settings *s, const struct client_payload *request);

#endif
