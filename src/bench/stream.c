/*
 * Who has received what: sequence numbers, losses, duplicates and order.
 */
#include "bench/stream.h"

#include <stdlib.h>
#include <string.h>

enum {
    RING_LEAST = 64,
};

bool streams_init(struct streams *s, size_t count, size_t window)
{
    memset(s, 0, sizeof *s);
    s->count = count;
    s->at_slowest = count;
    s->ring = RING_LEAST;
    while (s->ring < window) {
        s->ring *= 2;
    }
    s->next = calloc(count, sizeof *s->next);
    s->missing = calloc(count * s->ring, sizeof *s->missing);
    return s->next != NULL && s->missing != NULL;
}

void streams_clear(struct streams *s)
{
    free(s->next);
    free(s->missing);
    memset(s, 0, sizeof *s);
}

static uint64_t *missing_entry(struct streams *s, size_t stream, uint64_t number)
{
    return &s->missing[stream * s->ring + (number & (s->ring - 1))];
}

static void skipped(struct streams *s, size_t stream, uint64_t from, uint64_t to)
{
    s->lost += to - from;
    if (to - from > s->ring) {
        from = to - s->ring;
    }
    for (uint64_t number = from; number < to; number++) {
        *missing_entry(s, stream, number) = number + 1;
    }
}

void streams_irregular(struct streams *s, size_t stream, uint64_t number)
{
    uint64_t *entry = missing_entry(s, stream, number);

    if (number >= s->next[stream]) {
        skipped(s, stream, s->next[stream], number);
        s->next[stream] = number + 1;
        s->delivered++;
    } else if (*entry == number + 1) {
        *entry = 0;
        s->lost--;
        s->reordered++;
        s->delivered++;
    } else {
        s->duplicates++;
    }
}

void streams_moved(struct streams *s, size_t stream, uint64_t before)
{
    if (before != s->slowest || s->next[stream] == before || --s->at_slowest > 0) {
        return;
    }
    s->slowest = s->next[stream];
    for (size_t i = 0; i < s->count; i++) {
        if (s->next[i] < s->slowest) {
            s->slowest = s->next[i];
            s->at_slowest = 0;
        }
        s->at_slowest += s->next[i] == s->slowest;
    }
}
