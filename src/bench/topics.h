/*
 * Random topics and filters of which it is known who must receive what.
 *
 * All filters of one client have the same shape (which levels are `+`, whether and where a `#`
 * ends it) and differ in the other levels. So no topic matches two filters of one client, a
 * message goes to each client once or not at all, and brokers need not agree on what to do about
 * overlapping subscriptions.
 */
#ifndef BENCH_TOPICS_H
#define BENCH_TOPICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/error.h"

enum {
    TOPICS_LEVELS = 4,
    TOPICS_TEXT_ROOM = 320,
};

/* A topic without its first level: numbers, each of which is a level. */
struct topic {
    uint32_t level[TOPICS_LEVELS];
    uint32_t levels; /* 3 or 4 */
};

struct topics_setup {
    const char *prefix; /* the first level, or several */
    uint64_t subscriptions;
    uint64_t clients;
    uint64_t seed;
    bool one; /* each topic matches one of all filters, PREFIX/room/+/NUMBER/# */
};

struct topics {
    struct topics_setup setup;
    size_t count;
    struct topic *topic;
    char *text; /* of all topics, each in `text_room` bytes */
    size_t text_room;
    uint32_t *filter; /* of each subscription: a topic that it matches; clients one after another */
    uint32_t *first;  /* of each topic, and one more: its receivers begin there in `receiver` */
    uint32_t *receiver;
    uint32_t most; /* the largest number of receivers of a topic */
};

/* False: see the error; topics_clear is due all the same. */
bool topics_init(struct topics *t, const struct topics_setup *setup, struct bench_error *error);
void topics_clear(struct topics *t);

static inline const char *topics_text(const struct topics *t, size_t topic)
{
    return t->text + topic * t->text_room;
}

/* A random number that is the same for the same two. */
uint64_t topics_random(uint64_t seed, uint64_t number);

/* The subscriptions of a client are those from here up to the next client's. */
uint64_t topics_client_first(const struct topics *t, uint64_t client);

/* Writes a subscription of this client. */
void topics_filter(const struct topics *t, uint64_t client, uint64_t subscription,
                   char text[TOPICS_TEXT_ROOM]);

#endif
