/*
 * Who has received what: sequence numbers, losses, duplicates and order.
 *
 * A stream is one publisher as one subscriber sees it. In pairs and fan-in there are as many
 * streams as publishers, in fan-out as many as subscribers.
 */
#ifndef BENCH_STREAM_H
#define BENCH_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A payload begins with the publisher's number (4 bytes), the message's (8) and, if it is big
 * enough and latency is measured, the time of sending (8); all as this machine stores them. */
enum {
    STREAM_PUBLISHER_AT = 0,
    STREAM_NUMBER_AT = 4,
    STREAM_MARK_SIZE = 12,
    STREAM_STAMP_AT = 12,
    STREAM_STAMPED_SIZE = 20,
};

struct streams {
    uint64_t *next;    /* of each stream: the number expected next; all below are accounted for */
    uint64_t *missing; /* of each stream a ring: number + 1 of what was skipped, may come late */
    size_t count;
    size_t ring; /* entries in it, a power of two */
    uint64_t delivered;
    uint64_t lost;
    uint64_t duplicates;
    uint64_t reordered;
    uint64_t slowest; /* the smallest `next`, kept by streams_moved */
    size_t at_slowest;
};

/* False if memory is short. */
bool streams_init(struct streams *s, size_t count, size_t window);
void streams_clear(struct streams *s);

/* What does not come in its turn. */
void streams_irregular(struct streams *s, size_t stream, uint64_t number);

/* Message `number` has arrived. */
static inline void streams_arrived(struct streams *s, size_t stream, uint64_t number)
{
    if (s->next[stream] == number) {
        s->next[stream]++;
        s->delivered++;
    } else {
        streams_irregular(s, stream, number);
    }
}

/* A stream has come from `before` to where it is now: keep the slowest up to date. */
void streams_moved(struct streams *s, size_t stream, uint64_t before);

#endif
