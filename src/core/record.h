/*
 * Journal records to bytes and back. Pure.
 *
 * One record is one small change of what must survive a crash. On the wire: a type byte, then the
 * fields of that type in the fixed order of the table in record.c; numbers as base-128 varints,
 * strings with a varint length. Frames, checksums and files are not known here.
 */
#ifndef CORE_RECORD_H
#define CORE_RECORD_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum record_type {
    /*
     * A persistent session exists: session, time, text = client id; rows before `seq` have been
     * begun, and `id` is the packet id that was given last (0 = none yet).
     */
    RECORD_CLIENT = 1,
    RECORD_CLIENT_END, /* it is gone with all that it had: session */
    RECORD_SUBSCRIBE,  /* session, qos, flags, text = filter; its feed, if there was one, is over */
    RECORD_UNSUBSCRIBE, /* session, text */
    RECORD_FED,         /* this subscription has been given its retained messages: session, text */
    RECORD_MESSAGE,     /* number, qos, text = topic, payload */
    /*
     * A row of a session's flow: session, number, seq, id, qos, flags. Number 0: its message is not
     * needed any more (RECEIVED follows). An id other than 0: it was given at once, as by BEGIN.
     */
    RECORD_QUEUE,
    /* A row was given its packet id; finished if that is 0: at QoS 0, or dropped when its turn
     * came: session, seq, id. */
    RECORD_BEGIN,
    RECORD_RECEIVED,       /* PUBREC for a row: session, seq */
    RECORD_DONE,           /* a row is finished: session, seq */
    RECORD_IN_ADD,         /* an inbound QoS 2 message was accepted: session, id */
    RECORD_IN_REMOVE,      /* … and released: session, id */
    RECORD_RETAIN,         /* this message is its topic's retained one: number */
    RECORD_RETAIN_CLEAR,   /* text = topic */
    RECORD_GIVEN_FORMERLY, /* of earlier stores: says nothing any more: session, number */
    /* Whose session it is, for the ACL of the listener with this port: session, id = port, text =
     * user name. */
    RECORD_OWNER,
    /* Who published the message that is its topic's retained one: number, id = port, text = user
     * name, payload = client id. */
    RECORD_AUTHOR,
    /* Its client is a bridge, behind the CLIENT record that says no more of it: session, flags. */
    RECORD_BRIDGE,
    /* As SUBSCRIBE, and retained messages are still to be given, in rows from `seq` on: session,
     * seq, qos, text = filter. */
    RECORD_FEED,
    /* A retained message was given for a feed, in this row, which may be gone: session, number,
     * seq. */
    RECORD_GIVEN,
    RECORD_TYPES
};

#define RECORD_FLAG_RETAIN 1 /* QUEUE: to be sent with RETAIN */
#define RECORD_FLAG_GIVEN 2  /* QUEUE: for a feed, as by GIVEN */
#define RECORD_FLAG_OWN 1    /* BRIDGE: one of ours */
#define RECORD_FLAG_FEED 1   /* SUBSCRIBE, of earlier stores: as FEED, but not since when */

struct record {
    enum record_type type;
    uint64_t session;
    uint64_t number;
    uint64_t seq;
    uint64_t time; /* Unix seconds; 0 = connected */
    uint16_t id;
    uint8_t qos;
    uint8_t flags;
    struct str text;
    struct str payload;
};

/* More than any record takes beside its strings. */
#define RECORD_OVERHEAD 64

/* Append to `out`, which has room for RECORD_OVERHEAD and both strings. */
void record_write(struct buf *out, const struct record *r);
/* Cut one record off the front of *in; its strings point into it. ERR_MALFORMED: not a record. */
MUST_CHECK enum err record_read(struct str *in, struct record *r);
/*
 * Cut a record off the front that only ends something or says how far something has come, whatever
 * it is: who cleans the journal meets many, and never records one anew. False: it is another, or
 * none; nothing was cut.
 */
bool record_skip(struct str *in);

#endif
