/*
 * Keeps a flood of like lines from filling the log.
 *
 * Lines that say the same of the same subject have the same label, for instance "10.0.0.1 not
 * authorised". The first few of each window of time are written; the others are counted, and when
 * the window is over one line tells how many there were. So a log grows by a bounded number of
 * lines a second, however many peers misbehave, and no subject hides another one (but see
 * FLOOD_SLOTS).
 *
 * Labels are any bytes; of very long ones only the beginning is given back.
 */
#ifndef BASE_FLOOD_H
#define BASE_FLOOD_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define FLOOD_SLOTS 64 /* labels in one window; further ones share these slots */
#define FLOOD_BURST 10 /* lines of one label in a window */
#define FLOOD_WINDOW_MS 1000
#define FLOOD_LABEL_MAX 160

struct flood_slot {
    uint64_t hash; /* of the label; 0 = free */
    uint64_t began_ms;
    uint64_t more; /* lines that were not written, to be told */
    uint32_t said;
    uint16_t label_len;
    bool shared; /* some of these had other labels */
    char label[FLOOD_LABEL_MAX];
};

struct flood {
    struct flood_slot slots[FLOOD_SLOTS];
    uint64_t until_ms; /* no window is open any more from then on */
    uint64_t due_ms;   /* when a count is to be told; UINT64_MAX = never */
    char told[FLOOD_LABEL_MAX];
};

void flood_init(struct flood *f);
/* May a line with this label be written now (monotonic ms)? If not it has been counted. */
bool flood_admits(struct flood *f, uint64_t now_ms, struct str label);
/* Would it say no? Counts nothing: for lines that go with others which are counted. */
bool flood_is_shut(const struct flood *f, uint64_t now_ms, struct str label);
/* As if a line with this label had been asked for, but without a count. */
void flood_charge(struct flood *f, uint64_t now_ms, struct str label);
/*
 * A count that is due: the label, valid until the next call, and how many lines were not written.
 * An empty label stands for several. With UINT64_MAX for the time every count is due.
 */
bool flood_take(struct flood *f, uint64_t now_ms, struct str *label, uint64_t *more);
/* "4,132"; returns out. */
#define FLOOD_COUNT_MAX 32
const char *flood_count(uint64_t n, char out[FLOOD_COUNT_MAX]);

static inline uint64_t flood_deadline(const struct flood *f)
{
    return f->due_ms;
}

#endif
