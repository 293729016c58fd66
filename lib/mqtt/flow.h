/*
 * QoS 1 and 2 in both directions: packet ids, in-flight window, queue, retransmission
 * (4.3, 4.4, 4.6).
 *
 * Outgoing: all messages for one receiver stand in one ring of rows, in the order in which they
 * must be sent. A row's position is a 64-bit sequence number that is never used again. From the
 * front:
 *
 *     head            sent              begun                tail
 *      | sent on this  | to be sent again | waiting for the    |
 *      | connection    | (has its id)     | window, no id yet  |
 *
 * Rows in front of `begun` have packet ids, which are given in ring order and so are consecutive:
 * an acknowledged one stands where its id says, or is found by bisection where some are missing. A
 * finished row stays, marked, until all before it are finished too. After a loss of the connection
 * `sent` goes back to `head`: everything unfinished is sent again in its order, PUBLISH with DUP or
 * PUBREL, with the same ids. A row holds one reference to its message until PUBACK or PUBREC.
 *
 * QoS 0 rows (queue_qos0_messages) take part in the order, but not in the window; they are finished
 * when sent.
 *
 * Incoming: the ids of QoS 2 messages that were accepted and not released yet; the message itself
 * has long been routed (method B of figure 4.3). A sorted array up to 64 ids, a bitmap above: all
 * 65,535 are legal.
 *
 * A row may hold a ticket instead of its message: a counted thing of the owner's, which knows where
 * the message is. What is away cannot be sent until it has arrived.
 *
 * Nothing here records, logs or sends: the caller does.
 */
#ifndef MQTT_FLOW_H
#define MQTT_FLOW_H

#include "base/err.h"
#include "mqtt/flow_row.h"
#include "mqtt/idset.h"
#include "mqtt/packet.h"

#include <stdbool.h>
#include <stdint.h>

struct flow_limits {             /* 0 = no limit */
    uint32_t max_inflight;       /* messages; at most 65535 are ever in flight */
    uint64_t max_inflight_bytes; /* one larger message still goes alone */
    uint32_t max_queued;         /* rows beyond those with ids */
    uint64_t max_queued_bytes;
};

struct flow; /* opaque; created on first need */

/* It and its rows from a pool that outlives it; NULL: by themselves. NULL without memory. */
MUST_CHECK struct flow *flow_new(struct slabs *pool);
void flow_free(struct flow *f); /* drops all references; NULL is allowed */

/* --- outgoing --- */

/* Is there nothing at all in it (no rows, no inbound ids)? Then it may be freed and made anew later
 * (see flow_resume_at). */
bool flow_is_empty(const struct flow *f);
uint32_t flow_inflight(const struct flow *f); /* unfinished rows with ids */
uint64_t flow_inflight_bytes(const struct flow *f);
uint32_t flow_queued(const struct flow *f); /* rows without ids */
uint64_t flow_queued_bytes(const struct flow *f);
uint64_t flow_head(const struct flow *f); /* sequence number of the first row */
uint64_t flow_begun(const struct flow *f);
uint64_t flow_tail(const struct flow *f);    /* the next row's sequence number */
uint16_t flow_last_id(const struct flow *f); /* given last; 0 = none yet */
/* For a flow that is empty: the next row's sequence number and the last packet id, so that neither
 * is reused too soon. */
void flow_resume_at(struct flow *f, uint64_t tail, uint16_t last_id);
/* The row at a position between head and tail; NULL outside. */
const struct flow_row *flow_row_at(const struct flow *f, uint64_t seq);

/*
 * May another message of `bytes` be added? Yes if, being connected, nothing waits and the window
 * has room, or else if the queue limits leave room. QoS 0 counts against the queue limits only.
 */
bool flow_has_room(const struct flow *f, const struct flow_limits *lim, bool connected,
                   enum qos qos, size_t bytes);
/* The packet id with which one more QoS 1 or 2 message of `bytes` would go out at once; 0 if it
 * would have to wait: behind others, or for the window. */
uint16_t flow_open_id(const struct flow *f, const struct flow_limits *lim, size_t bytes);
/* Would one at all? (Retained cursors ask this.) */
bool flow_window_open(const struct flow *f, const struct flow_limits *lim);

/* Does what waits first wait for an acknowledgement, since so many messages are in flight? A quick
 * answer to what flow_peek would say: when false, ask that. */
bool flow_is_shut(const struct flow *f, const struct flow_limits *lim);

/* Make sure that the next so many flow_push cannot fail. */
MUST_CHECK enum err flow_reserve(struct flow *f, uint32_t rows);
/* Add a row at the tail; takes a reference of its own to m. After flow_reserve only. Returns its
 * sequence number. */
uint64_t flow_push(struct flow *f, struct message *m, enum qos qos, bool retain);
/* The same at QoS 1 or 2 for a message that is on its way already, with the id that flow_open_id
 * has just named: as if pushed, shown by flow_peek and advanced over. */
uint64_t flow_push_sent(struct flow *f, struct message *m, enum qos qos, bool retain);
/*
 * The same at QoS 1 or 2 for an owner who hands out ids himself, from 1 up and around, to all that
 * he sends: the row goes out with this one. It waits as long as its id would meet one in flight.
 */
uint64_t flow_push_as(struct flow *f, struct message *m, enum qos qos, bool retain, uint16_t id);
/* The same for a message that is not in memory. */
uint64_t flow_push_away(struct flow *f, struct blob *ticket, uint32_t bytes, enum qos qos,
                        bool retain);
/* The message of an away row, for its ticket; takes a reference of its own. */
void flow_arrived(struct flow *f, uint64_t seq, struct message *m);
/* The message of a row goes away, for a ticket; takes a reference of its own. */
void flow_leave(struct flow *f, uint64_t seq, struct blob *ticket);

/* What is to be sent next on this connection. */
struct flow_next {
    uint64_t seq;
    const struct flow_row *row;
    uint16_t id; /* the one it has or will be given; 0 at QoS 0 */
    bool pubrel; /* send PUBREL, not PUBLISH */
    bool dup;    /* sent before: set DUP */
};
/* False when nothing is to be sent now: all sent, or the window is shut. Changes nothing. */
bool flow_peek(const struct flow *f, const struct flow_limits *lim, struct flow_next *next);
/* What flow_peek showed is on its way: gives the id and moves on; a QoS 0 row is finished by it
 * (2.3.1-2). */
void flow_advance(struct flow *f);
/* The connection is gone: all that is unfinished is to be sent again. */
void flow_rewind(struct flow *f);

enum flow_answer {
    FLOW_ACCEPTED, /* state changed; *seq is set */
    /*
     * Tolerated, nothing changed: no such id in flight (*seq is 0), or one that was not sent on
     * this connection yet
     * (*seq is its row; a PUBREC for it must not be answered: its PUBLISH or PUBREL is still to
     * come).
     */
    FLOW_UNKNOWN,
    FLOW_REPEATED,  /* PUBREC again for a row that waits for PUBCOMP: answer with PUBREL, nothing
                       changed; *seq set */
    FLOW_WRONG_TYPE /* PUBREC for QoS 1, PUBACK or PUBCOMP for QoS 2 …: a protocol error, nothing
                       changed */
};
/* Is a message with this id in flight, finished or not? */
bool flow_has_id(const struct flow *f, uint16_t id);
/* type: PACKET_PUBACK, PACKET_PUBREC or PACKET_PUBCOMP. PUBCOMP before PUBREC is a wrong type. */
enum flow_answer flow_acknowledge(struct flow *f, enum packet_type type, uint16_t id,
                                  uint64_t *seq);

/*
 * The message of a row will not be sent, or not again: drop the row. But a QoS 2 message that went
 * out before may be there: its receiver is sent the PUBREL next, so that it gives the packet id
 * free. True: dropped; false: it waits for PUBCOMP now.
 */
bool flow_skip(struct flow *f, uint64_t seq);
/* Drop a row, if it is there. Its 16 bytes stay until all before it are finished. */
void flow_set_done(struct flow *f, uint64_t seq);

/* --- incoming QoS 2 --- */

/* The ids of messages that were accepted and not released yet. */
struct idset *flow_inbound(struct flow *f);

/* For tests and the simulator: does everything fit together, all counters recounted? Slow. */
bool flow_check(const struct flow *f);

#endif
