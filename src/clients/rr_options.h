/*
 * What mosquitto_rr alone is told, and which of its options go together.
 */
#ifndef CLIENTS_RR_OPTIONS_H
#define CLIENTS_RR_OPTIONS_H

#include "clients/settings.h"

struct rr_settings {
    struct client_settings common;
    char *response_topic;
    bool latency; /* print how long the answer took */
};

extern const struct client_program rr_program;

/* Where the request goes: the last topic that was given. */
const char *rr_topic(const struct rr_settings *s);

#endif
