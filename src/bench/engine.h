/*
 * Publishers and subscribers at work: what they say to each other in pairs, fan-out and fan-in.
 */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/crew.h"
#include "bench/error.h"
#include "bench/options.h"
#include "bench/stat.h"
#include "bench/stream.h"
#include "bench/wire.h"

enum {
    ENGINE_TOPIC_ROOM = 256,
};

struct publisher {
    uint64_t sent;
    uint64_t acked; /* by PUBACK or PUBCOMP */
    uint64_t end;   /* may send messages below this number */
    uint64_t paced; /* with a pace: the number of the first message that keeps to it */
};

/* When messages are due: the publishers take turns, this long after each other. */
struct pace {
    uint64_t start_ns;
    double each_ns; /* 0: a message is due when it is written */
};

struct engine {
    const struct bench_options *options;
    struct bench_error *error;
    struct crew crew;
    size_t subscribers;
    size_t publishers;
    struct publisher *publisher;
    struct streams streams;
    uint64_t *counted; /* fan-out: where each stream was when streams_moved was told */
    struct pace pace;
    uint64_t published;
    uint64_t acked;
    char topic_prefix[ENGINE_TOPIC_ROOM];
    struct wire_layout layout;
    uint8_t *template; /* one publication; topic, publisher and number are filled in */
    struct histogram *latency;
};

/* Connections are then put into `crew.members[].conn` and given to crew_watch. */
bool engine_init(struct engine *e, const struct bench_options *options, struct histogram *latency,
                 struct bench_error *error);
void engine_clear(struct engine *e); /* leaves the connections alone */

/* The topic that a publisher or a subscriber uses. */
void engine_topic(const struct engine *e, size_t index, char topic[ENGINE_TOPIC_ROOM]);

/* Lets a publisher send all messages below `end`, as its window allows. */
void engine_allow(struct engine *e, size_t publisher, uint64_t end);

/*
 * From now on latency is counted from the time when a message is due, not from when it is written:
 * a broker that stalls the publisher cannot hide the wait of what could not be sent meanwhile.
 */
void engine_pace(struct engine *e, uint64_t start_ns, double each_ns);

/* Sends a PINGREQ on each subscriber's connection; `crew.pongs` counts the answers. */
void engine_ping(struct engine *e);

/* Deliveries that are still to come for what has been published. */
uint64_t engine_outstanding(const struct engine *e);

/* Everything published has arrived, or is known to be lost, and is acknowledged. */
bool engine_settled(const struct engine *e);

#endif
