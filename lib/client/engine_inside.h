/*
 * What the files of the engine share.
 */
#ifndef CLIENT_ENGINE_INSIDE_H
#define CLIENT_ENGINE_INSIDE_H

#include "base/buf.h"
#include "base/outq.h"
#include "client/engine.h"
#include "mqtt/flow.h"

/* A SUBSCRIBE or UNSUBSCRIBE that is not answered yet. */
struct engine_pending {
    uint32_t filters;
    uint16_t id;
    uint16_t type; /* of the answer */
};

/* A message of QoS 0 that the user wants to know written. */
struct engine_mark {
    uint64_t end; /* of its packet, in bytes since CONNECT */
    uint16_t id;
};

struct engine {
    const struct log *log;
    struct buf client_id; /* terminated; for the log */
    enum engine_state state;
    uint32_t epoch;       /* counts connections */
    bool has_connack;     /* any */
    bool refused;         /* … and it said no: nothing counts any more */
    bool forgets;         /* what a CONNACK without session means: nothing inbound is open */
    bool resends;         /* something of a former connection must go first */
    bool unsettled;       /* an event that will be acknowledged is with the user */
    bool disconnect_sent; /* the packet is in `out`, or through */
    uint16_t last_id;

    struct outq out;
    struct outq_pool pool;
    uint64_t queued_bytes; /* that ever were in `out`, on this connection */
    size_t answers;        /* bytes of acknowledgements in this portion … */
    uint64_t answers_end;  /* … and where the last one ends, in bytes since CONNECT */
    bool clogged;          /* two portions wait */
    struct buf in;
    size_t need; /* bytes of the packet that `in` begins with; 0 = not known */
    struct buf delivery;
    struct buf marks;         /* struct engine_mark */
    struct buf pending;       /* struct engine_pending, in the order of requests … */
    struct idset pending_ids; /* … and the ids of these */

    struct flow *flow; /* NULL until a message of QoS 1 or 2 */
    struct flow_limits limits;

    uint32_t keepalive_ms;
    uint64_t now_ms; /* as last told */
    uint64_t began_ms;
    uint64_t closing_ms;
    uint64_t last_in_ms, last_out_ms;
    uint64_t ping_ms;  /* when PINGREQ was sent, or what is before it, that is not answered: … */
    bool pinging;      /* … there is one */
    uint64_t ping_end; /* where it ends, in bytes since CONNECT */
    const char *why;
};

/* A log line about this client. */
#define engine_log(e, fmt, ...)                                                                    \
    log_debug((e)->log, "Client %s " fmt, buf_str(&(e)->client_id).p, ##__VA_ARGS__)

/* Bytes of a packet that is whole, in one piece. ERR_NOMEM queues nothing. */
MUST_CHECK enum err engine_send(struct engine *e, const void *p, size_t n);
/* "sending" or "received"; `id` is what the line shows: messages of QoS 0 have none on the wire. */
void engine_log_publish(const struct engine *e, const char *what, const struct packet_publish *p,
                        uint16_t id);
const char *engine_ack_name(enum packet_type type);
/* PUBACK, PUBREC, PUBREL, PUBCOMP. */
MUST_CHECK enum err engine_send_ack(struct engine *e, enum packet_type type, uint16_t id);
/* Send what the flow has to send, as far as the window and the output go. */
MUST_CHECK enum err engine_pump(struct engine *e);
/* DISCONNECT, if it is wanted and nothing is before it. */
MUST_CHECK enum err engine_finish(struct engine *e);

#endif
