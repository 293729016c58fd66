/*
 * A connection between a client and the broker, with all that a network does to bytes.
 *
 * The packets on their way to the broker are remembered as operations, each with the place where
 * its last byte is: when the broker has been given that byte, the model is told.
 */
#ifndef SIM_CABLE_H
#define SIM_CABLE_H

#include "core/broker.h"
#include "names.h"
#include "util.h"

#define OP_FILTERS 4
#define CABLES 64 /* at once */
#define STRANGER (-1)

enum op_kind {
    OP_CONNECT,
    OP_REFUSED, /* a CONNECT that gets `code`, or just the end if that is 0 */
    OP_PUBLISH,
    OP_PUBACK,
    OP_PUBREC,
    OP_PUBREL,
    OP_PUBCOMP,
    OP_SUBSCRIBE,
    OP_UNSUBSCRIBE,
    OP_PING,
    OP_DISCONNECT,
    OP_ILLEGAL
};

struct op {
    uint64_t start; /* of a wrong packet */
    uint64_t end;
    enum op_kind kind;
    uint32_t letter;
    uint32_t uid; /* of the row that is acknowledged; 0 = of none that we know */
    uint16_t id;
    uint8_t code;
    uint8_t n;
    uint8_t filter[OP_FILTERS];
    uint8_t qos[OP_FILTERS];
};

/* An answer that is due. */
struct expect {
    uint32_t turn; /* of the request: its records must be durable first */
    uint16_t id;
    uint8_t type; /* enum packet_type */
    uint8_t n;
    uint8_t code[OP_FILTERS]; /* CONNACK: code[0], SUBACK */
    uint8_t present;          /* CONNACK: session present, 2 = either */
};

/* A QoS 0 message on its way. */
struct quick {
    uint32_t letter;
    uint32_t turn;
    uint32_t pick;
    bool may;
};

struct cable {
    uint32_t serial; /* 0 = this one is free */
    struct conn *conn;
    int client; /* or STRANGER */

    struct bytes tx;
    uint64_t tx_start; /* place of tx.p[0] in all that was sent */
    struct op *ops;    /* not handled yet */
    uint32_t op_n;
    uint32_t op_cap;
    struct bytes rx;

    struct expect *expects;
    uint32_t expect_n;
    uint32_t expect_cap;
    struct quick *quicks;
    uint32_t quick_n;
    uint32_t quick_cap;

    /* what the model says */
    bool accepted;
    bool dead; /* ended, whatever the broker still has to do about it */
    bool clean;
    bool mounted; /* behind the mount point */
    uint8_t level;
    uint16_t keepalive_s;
    uint32_t will; /* letter; 0 = none */
    bool eager;    /* sends on without waiting for CONNACK */
    uint64_t opened_ms;
    uint64_t packet_ms; /* last whole packet, last byte */
    uint64_t byte_ms;

    /* what the network does */
    bool unsent; /* the last write was short */
    bool deaf;   /* what comes is lost */
    bool stuck;  /* nothing is read for now */
    bool cut;    /* the client's end is to be closed */
    size_t backlog_max;

    uint32_t resend; /* fact.order of what was sent again last */
};

#endif
