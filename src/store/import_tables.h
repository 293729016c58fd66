/*
 * What a persistence file holds, gathered from its chunks: clients by id, messages by number, and
 * lists of what refers to them. The order of the chunks does not matter.
 *
 * Strings point into the file. Its content is not trusted: what cannot be had in MQTT 3.1.1, or
 * refers to nothing, is left out and counted.
 */
#ifndef STORE_IMPORT_TABLES_H
#define STORE_IMPORT_TABLES_H

#include "base/table.h"
#include "store/import_chunk.h"

enum import_known {
    IMPORT_NAMED, /* others refer to it, itself did not come (yet) */
    IMPORT_TAKEN,
    IMPORT_EXPIRED /* came, but its time is over */
};

struct import_client {
    struct str id;
    uint64_t session; /* its number; 0 = not taken over */
    uint64_t seq;     /* of its next row */
    int64_t left;     /* when its connection ended */
    uint32_t begun;   /* rows that have packet ids */
    uint16_t last_id; /* the packet id that was given last */
    uint16_t base_id; /* of the first row that has one */
    uint8_t known;    /* enum import_known */
    uint8_t qos;      /* while a message is being routed: what it gets, 0 = nothing */
};

struct import_message {
    uint64_t id; /* Mosquitto's */
    struct str topic;
    struct str payload;
    uint64_t number; /* ours; 0 = nobody needs it */
    uint8_t qos;     /* as published, or that of its highest row */
    uint8_t known;
    bool needed;
    bool extras;
    bool counted; /* among the expired */
};

struct import_subscription {
    struct str text;   /* all of it */
    struct str filter; /* `text`, or what is behind $share/GROUP/ */
    uint32_t client;
    uint8_t qos;
    bool extras;
};

/* How far an outgoing message has come; in order of what is at stake. */
enum import_phase {
    IMPORT_RELEASED, /* delivered: the receiver has it and waits for PUBREL */
    IMPORT_SENT,     /* perhaps received */
    IMPORT_WAITING   /* not sent */
};

struct import_row {
    uint32_t client; /* places in the lists */
    uint32_t message;
    uint32_t order;    /* in the file */
    uint16_t id;       /* packet id */
    uint16_t distance; /* of the id from the client's first */
    uint8_t qos;
    uint8_t phase; /* of outgoing ones */
    bool retain;
    bool extras;
};

struct import_list {
    void *items;
    uint32_t count;
    uint32_t cap;
};

struct import_tables {
    int64_t wall_s;
    uint64_t seed;
    uint64_t expired; /* what is left out, as store_import counts it */
    uint64_t properties;
    uint64_t orphans;
    struct import_list clients;       /* of struct import_client */
    struct import_list messages;      /* of struct import_message */
    struct import_list subscriptions; /* of struct import_subscription */
    struct import_list rows;          /* of struct import_row: outgoing */
    struct import_list inbound;       /* of struct import_row: received at QoS 2, not released */
    struct import_list retained;      /* of uint32_t: messages */
    struct table client_ids;          /* place + 1 of each client */
    struct table message_ids;
};

void import_tables_init(struct import_tables *t, struct str file, int64_t wall_s);
void import_tables_clear(struct import_tables *t);
/* ERR_NOMEM */
MUST_CHECK enum err import_take(struct import_tables *t, const struct import_chunk *c);

static inline struct import_client *import_client(const struct import_tables *t, uint32_t i)
{
    return (struct import_client *)t->clients.items + i;
}

static inline struct import_message *import_message(const struct import_tables *t, uint32_t i)
{
    return (struct import_message *)t->messages.items + i;
}

static inline struct import_subscription *import_subscription(const struct import_tables *t,
                                                              uint32_t i)
{
    return (struct import_subscription *)t->subscriptions.items + i;
}

#endif
