/*
 * One outgoing message on its way to one receiver.
 */
#ifndef MQTT_FLOW_ROW_H
#define MQTT_FLOW_ROW_H

#include "mqtt/message.h"

#include <stdint.h>

enum flow_state {
    FLOW_QUEUED,
    FLOW_WAIT_PUBACK,
    FLOW_WAIT_PUBREC,
    FLOW_WAIT_PUBCOMP, /* PUBREC seen: PUBREL is what is sent again */
    FLOW_DONE,
    FLOW_HOLE /* while loading: nothing is known of this row yet */
};

struct flow_row { /* 16 bytes */
    union {       /* one reference; NULL from PUBREC on, and when done */
        struct message *message;
        struct blob *ticket; /* if `away` */
    };
    uint32_t bytes; /* topic and payload, for the byte limits (kept when the message is gone) */
    uint16_t id;    /* 0 while queued, but for flow_push_as */
    uint8_t qos;    /* effective: 0, 1, 2 */
    uint8_t state : 4;
    uint8_t retain : 1; /* send with RETAIN set */
    uint8_t away : 1;   /* the message is elsewhere: what is held is the owner's ticket for it */
};

#endif
