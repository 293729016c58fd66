/*
 * The chunks of Mosquitto's persistence file, one after the other, as views into it.
 *
 * A header of 23 bytes, then chunks: a type, a length, a body. Lengths and numbers of 16 and 32
 * bits are in network order, 64-bit ids and times in that of the host which wrote them.
 *
 * Formats 3 and 4: bodies are fields in a row. No reader of Mosquitto's has ever looked at the
 * length of a chunk that it knows, so nothing can be said of what writers put there: a chunk ends
 * where its fields end. Since the lengths do not count, what is not one of the six types is damage.
 *
 * Formats 5 and 6: a body is a C structure, padding included, then the strings whose lengths it
 * holds, then perhaps MQTT 5 properties. Length and content must agree. Chunks of other types are
 * passed over, as Mosquitto does.
 */
#ifndef STORE_IMPORT_CHUNK_H
#define STORE_IMPORT_CHUNK_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum import_kind {
    IMPORT_OTHER,
    IMPORT_CONFIG,
    IMPORT_MESSAGE,
    IMPORT_ROW, /* a client's message: queued, or on its way in or out */
    IMPORT_RETAIN,
    IMPORT_SUBSCRIPTION,
    IMPORT_CLIENT,
    IMPORT_KINDS
};

/* What a row waits for, in Mosquitto's numbers. */
enum import_state {
    IMPORT_PUBLISH_QOS0 = 1,
    IMPORT_PUBLISH_QOS1,
    IMPORT_WAIT_PUBACK,
    IMPORT_PUBLISH_QOS2,
    IMPORT_WAIT_PUBREC,
    IMPORT_RESEND_PUBREL,
    IMPORT_WAIT_PUBREL,
    IMPORT_RESEND_PUBCOMP,
    IMPORT_WAIT_PUBCOMP,
    IMPORT_SEND_PUBREC,
    IMPORT_QUEUED,
    IMPORT_STATES
};

/* Which fields mean something depends on the kind. Strings point into the file, unchecked. */
struct import_chunk {
    enum import_kind kind;
    uint64_t id;        /* the message's: MESSAGE, ROW, RETAIN */
    struct str client;  /* ROW, SUBSCRIPTION, CLIENT */
    struct str topic;   /* MESSAGE; of SUBSCRIPTION the filter */
    struct str payload; /* MESSAGE */
    int64_t expires;    /* MESSAGE, CLIENT: Unix seconds; 0 = never */
    int64_t left;       /* CLIENT: when its connection ended; 0 = not known */
    uint16_t packet_id; /* ROW; of CLIENT the one that was given last */
    uint8_t qos;        /* MESSAGE, ROW, SUBSCRIPTION: 0, 1, 2 */
    uint8_t state;      /* ROW: enum import_state */
    bool inbound;       /* ROW */
    bool retain;        /* ROW */
    bool extras;        /* has something that only MQTT 5 can carry */
};

struct import_reader {
    struct str bytes; /* the whole file */
    size_t at;        /* the next chunk; after an error, the one that is damaged */
    unsigned format;
    const char *what; /* after ERR_MALFORMED: a phrase */
};

/* Read the header. ERR_MALFORMED; ERR_UNSUPPORTED (format is set). */
MUST_CHECK enum err import_open(struct import_reader *r, struct str bytes);
/* The next chunk. ERR_NOT_FOUND at the end of the file, ERR_MALFORMED. */
MUST_CHECK enum err import_next(struct import_reader *r, struct import_chunk *c);

#endif
