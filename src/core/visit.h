/*
 * A walk over all that a store holds, for tools that look at it from outside: the one other door of
 * the core beside core/broker.h.
 *
 * In an order that depends neither on memory nor on chance: sessions by client id, their
 * subscriptions by filter, rows in the order of the queue, packet ids upward, retained messages by
 * topic. So two looks at the same state read the same.
 *
 * Only what survives a crash is shown: no clean sessions, nothing of connections.
 */
#ifndef CORE_VISIT_H
#define CORE_VISIT_H

#include "base/err.h"
#include "base/str.h"
#include "core/broker.h"
#include "mqtt/flow.h"
#include "mqtt/packet.h"

#include <stdbool.h>
#include <stdint.h>

/* Slices are valid for the call; but client ids as long as the broker is left alone. */
struct visit_session {
    struct str id;
    uint64_t number;   /* in the journal */
    int64_t absent_s;  /* Unix time since when; 0: connected, as far as the records say */
    uint64_t tail;     /* sequence number that the next row will get */
    uint16_t last_id;  /* packet id given last; 0 = none yet */
    uint32_t queued;   /* rows that wait for their packet id */
    uint32_t inflight; /* rows that have one and are not finished */
    uint64_t bytes;    /* topics and payloads of both */
    size_t subscriptions;
};

struct visit_subscription {
    struct str filter; /* as it was asked for, $share/… included */
    enum qos qos;
    bool feed; /* retained messages are still to be given */
};

struct visit_message {
    bool away;         /* topic and payload are only in the journal: in the MESSAGE record … */
    uint64_t position; /* … at this position … */
    uint32_t bytes;    /* … of so many bytes; 0: it has no record */
    struct str topic;
    struct str payload;
    enum qos qos; /* as published; not known while it is away */
};

struct visit_row {
    uint64_t seq;
    enum qos qos; /* effective */
    bool retain;
    enum flow_state state;               /* never done, never a hole */
    uint16_t id;                         /* packet id; 0: none yet */
    const struct visit_message *message; /* NULL: not needed any more, PUBREC has come */
};

/* What to call; each may be NULL, and ends the walk with what is not ERR_OK. */
struct visitor {
    void *ctx;
    enum err (*session)(void *ctx, const struct visit_session *s);
    enum err (*subscription)(void *ctx, const struct visit_session *s,
                             const struct visit_subscription *sub);
    enum err (*row)(void *ctx, const struct visit_session *s, const struct visit_row *row);
    /* Packet id of an inbound QoS 2 message that was accepted and not released yet. */
    enum err (*inbound)(void *ctx, const struct visit_session *s, uint16_t id);
    enum err (*retained)(void *ctx, const struct visit_message *m);
};

/* Each session with all that it has, then the retained messages. ERR_NOMEM, or what a call said. */
MUST_CHECK enum err visit_all(const struct broker *b, const struct visitor *v);
/* This one session; ERR_NOT_FOUND: there is none. */
MUST_CHECK enum err visit_client(const struct broker *b, struct str id, const struct visitor *v);

#endif
