/*
 * The command line of mosquitto_sub: what only this program can be told.
 */
#ifndef CLIENTS_SUB_OPTIONS_H
#define CLIENTS_SUB_OPTIONS_H

#include "clients/settings.h"

#define SUB_EVERYTHING 100.0

struct sub_settings {
    struct client_settings common; /* first, as client_options_read() wants it */
    struct client_list hidden;     /* -T */
    struct client_list dropped;    /* -U */
    int count;                     /* -C; 0: no end */
    bool exit_when_subscribed;     /* -E */
    bool retained_only, remove_retained;
    double random_percent; /* of the messages; SUB_EVERYTHING to begin with */
    bool message_rate, watch;
};

extern const struct client_program sub_program;

#endif
