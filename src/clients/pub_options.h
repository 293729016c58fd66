/*
 * What mosquitto_pub alone is told, and which of its options go together.
 */
#ifndef CLIENTS_PUB_OPTIONS_H
#define CLIENTS_PUB_OPTIONS_H

#include "clients/settings.h"

struct pub_settings {
    struct client_settings common;
    int repeat; /* how often the message is published */
    double repeat_delay_s;
};

extern const struct client_program pub_program;

/* The topic: the last that was given. */
const char *pub_topic(const struct pub_settings *s);

#endif
