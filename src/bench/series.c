/*
 * How much was done in each piece of time.
 */
#include "bench/series.h"

#include <string.h>

#define FIRST_SLOT_NS UINT64_C(1000000)

void series_begin(struct series *s, uint64_t now_ns)
{
    memset(s, 0, sizeof *s);
    s->begin_ns = now_ns;
    s->slot_ns = FIRST_SLOT_NS;
}

/* Two slots become one, and half of the room is free again. */
static void widen(struct series *s)
{
    for (size_t i = 0; i < SERIES_SLOTS / 2; i++) {
        s->slot[i] = s->slot[2 * i] + s->slot[2 * i + 1];
    }
    s->slots = SERIES_SLOTS / 2;
    s->slot[s->slots] = 0;
    s->slot_ns *= 2;
}

static void next_slot(struct series *s)
{
    s->slot[++s->slots] = 0;
    if (s->slots == SERIES_SLOTS) {
        widen(s);
    }
}

/* The share of `done` that falls into the first `part` of `whole` nanoseconds. */
static uint64_t share(uint64_t done, uint64_t part, uint64_t whole)
{
    return (uint64_t)((double)done * ((double)part / (double)whole));
}

void series_note(struct series *s, uint64_t now_ns, uint64_t done)
{
    uint64_t at = now_ns - s->begin_ns;
    uint64_t left = done - s->last_done;

    while (at >= (s->slots + 1) * s->slot_ns) {
        uint64_t end = (s->slots + 1) * s->slot_ns;
        uint64_t here = at > end ? share(left, end - s->last_ns, at - s->last_ns) : left;

        s->slot[s->slots] += here;
        left -= here;
        s->last_ns = end;
        next_slot(s);
    }
    s->slot[s->slots] += left;
    s->last_ns = at;
    s->last_done = done;
}

void series_mark(struct series *s, uint64_t now_ns, const char *name, const char *unit,
                 uint64_t from)
{
    series_note(s, now_ns, s->last_done);
    s->last_done = from;
    if (s->marks < SERIES_MARKS) {
        s->mark[s->marks++] = (struct series_mark){name, unit, s->last_ns};
    }
}

uint64_t series_due(const struct series *s)
{
    return s->begin_ns + (s->slots + 1) * s->slot_ns;
}
