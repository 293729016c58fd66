/*
 * What the parts of mosquitto_sub share: one subscriber.
 */
#ifndef CLIENTS_SUB_H
#define CLIENTS_SUB_H

#include "clients/print.h"
#include "clients/setup.h"
#include "clients/stdout.h"
#include "clients/sub_options.h"
#include "clients/sub_watch.h"
#include "mosquitto.h"

struct sub {
    struct sub_settings settings;
    struct mosquitto *mosq;
    struct client_print print;
    struct client_stdout out;
    struct sub_watch watch;
    struct client_retry retry;
    bool connected;      /* CONNACK has come */
    bool subscribed;     /* the broker has acknowledged the subscriptions, in this session */
    bool ending;         /* no more messages; DISCONNECT as soon as `removals` is 0 */
    int64_t leave_by_ms; /* after a signal or -W; INT64_MAX: there is time */
    int code;            /* to exit with */
    bool unwritable;     /* stdout has failed, which was said */
    int printed;         /* messages, for -C */
    int removals;        /* of retained messages, not acknowledged yet */
    int rate;            /* messages in this second */
};

/* Let the library call us. */
void sub_events_init(struct sub *sub);
/* No more messages; leave the broker, and exit with this code unless there is one already. */
void sub_end(struct sub *sub, int code);
/* Write what waits. A failure ends the program's work: it is said here. */
void sub_write(struct sub *sub);

/* From the first connection to the last byte; returns the code to exit with. */
int sub_run(struct sub *sub);

#endif
