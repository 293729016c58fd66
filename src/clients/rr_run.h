/*
 * The life of mosquitto_rr: subscribe, send the request, print the answer.
 */
#ifndef CLIENTS_RR_RUN_H
#define CLIENTS_RR_RUN_H

#include "clients/payload.h"
#include "clients/rr_options.h"

/* Returns the exit code; what went wrong was said. */
int rr_run(const struct rr_settings *s, const struct client_payload *request);

#endif
