/*
 * Publishers and subscribers at work: the loop that is measured.
 *
 * A turn waits for the sockets, reads each ready one once, and then writes each one that has
 * something to say once. Nothing is allocated after engine_init.
 */
#ifndef BENCH_ENGINE_H
#define BENCH_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/conn.h"
#include "bench/error.h"
#include "bench/options.h"
#include "bench/stat.h"
#include "bench/stream.h"
#include "bench/wire.h"

enum {
    ENGINE_TOPIC_ROOM = 256,
};

struct client {
    struct conn conn;
    uint32_t index; /* among the publishers or among the subscribers */
    bool subscriber;
    bool queued;  /* has something to write */
    bool blocked; /* a write was cut short: waits for EPOLLOUT */
    uint32_t watched;
    uint8_t *tail; /* the beginning of a packet whose rest has not come yet */
    size_t tail_size;
    uint8_t *out; /* acknowledgements, and what a short write left */
    size_t out_size;
};

struct publisher {
    uint64_t sent;
    uint64_t acked; /* by PUBACK or PUBCOMP */
    uint64_t end;   /* may send messages below this number */
};

struct engine {
    const struct bench_options *options;
    struct bench_error *error;
    int epoll_fd;
    size_t subscribers;
    size_t publishers;
    struct client *clients; /* subscribers first, then publishers */
    struct publisher *publisher;
    struct client **queue;
    size_t queued;
    struct streams streams;
    uint64_t published;
    uint64_t acked;
    uint64_t pongs;
    uint64_t packets; /* that came in */
    char topic_prefix[ENGINE_TOPIC_ROOM];
    struct wire_layout layout;
    uint8_t *template; /* one publication; topic, publisher and number are filled in */
    uint8_t *scratch;  /* what is written next */
    size_t scratch_room;
    uint8_t *input;
    size_t packet_max; /* the largest that may come in */
    uint8_t *arena;    /* all tails and outs */
    size_t arena_size;
    uint64_t read_ns; /* when the latest input came; only if latency is measured */
    struct histogram *latency;
};

/* Connections are then put into `clients[].conn` and given to engine_watch. */
bool engine_init(struct engine *e, const struct bench_options *options, struct histogram *latency,
                 struct bench_error *error);
bool engine_watch(struct engine *e, struct client *client);
void engine_clear(struct engine *e);

/* The topic that a publisher or a subscriber uses. */
void engine_topic(const struct engine *e, size_t index, char topic[ENGINE_TOPIC_ROOM]);

/* Lets a publisher send all messages below `end`, as its window allows. */
void engine_allow(struct engine *e, size_t publisher, uint64_t end);

/* Sends a PINGREQ on each subscriber's connection; `pongs` counts the answers. */
void engine_ping(struct engine *e);

/* Waits for at most so long, and does what there is to do. False: see the error. */
bool engine_turn(struct engine *e, uint64_t timeout_ns);

/* Deliveries that are still to come for what has been published. */
uint64_t engine_outstanding(const struct engine *e);

/* Everything published has arrived, or is known to be lost, and is acknowledged. */
bool engine_settled(const struct engine *e);

#endif
