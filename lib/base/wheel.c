/*
 * A hierarchical timing wheel.
 *
 * A timer waits in the level of the highest base-64 digit in which its time differs from now, in
 * the slot of its own digit there. So all timers of a level come before those of the next, and a
 * slot's timers need another look exactly when the clock reaches its digit: they are then due, or
 * differ from now in a lower digit only. The top level is a ring: a time whose higher digits differ
 * too is looked at once a turn, when its digit comes up.
 */
#include "base/wheel.h"

#define DIGIT_BITS 6
#define TOP (WHEEL_LEVELS - 1)

_Static_assert(WHEEL_SLOTS == 1 << DIGIT_BITS, "a slot for each digit, a bit for each slot");

void wheel_init(struct wheel *w, uint64_t now_ms)
{
    *w = (struct wheel){.now_ms = now_ms};
    w->due_end = &w->due;
}

/* The time in units of a level's slots. */
static uint64_t ticks(uint64_t ms, unsigned level)
{
    return ms >> (level * DIGIT_BITS);
}

static unsigned digit(uint64_t tick)
{
    return (unsigned)(tick % WHEEL_SLOTS);
}

static void due_push(struct wheel *w, struct wheel_timer *t)
{
    t->next = NULL;
    t->link = w->due_end;
    *w->due_end = t;
    w->due_end = &t->next;
}

static void slot_push(struct wheel *w, unsigned level, unsigned slot, struct wheel_timer *t)
{
    struct wheel_timer **head = &w->slots[level][slot];

    t->next = *head;
    t->link = head;
    if (t->next)
        t->next->link = &t->next;
    *head = t;
    w->busy[level] |= (uint64_t)1 << slot;
}

/* Put a timer where it belongs at this time. */
static void place(struct wheel *w, struct wheel_timer *t)
{
    uint64_t differ = t->due_ms ^ w->now_ms;
    unsigned level;

    if (t->due_ms <= w->now_ms) {
        due_push(w, t);
        return;
    }
    level = (63 - (unsigned)__builtin_clzll(differ)) / DIGIT_BITS;
    if (level > TOP)
        level = TOP;
    slot_push(w, level, digit(ticks(t->due_ms, level)), t);
}

/* If `link` is the head of a slot, the slot has become empty. */
static void mark_empty(struct wheel *w, struct wheel_timer *const *link)
{
    uintptr_t at = ((uintptr_t)link - (uintptr_t)w->slots) / sizeof(void *);

    if (at < (uintptr_t)WHEEL_LEVELS * WHEEL_SLOTS)
        w->busy[at / WHEEL_SLOTS] &= ~((uint64_t)1 << at % WHEEL_SLOTS);
}

static void unlink_timer(struct wheel *w, struct wheel_timer *t)
{
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    else if (w->due_end == &t->next)
        w->due_end = t->link;
    else
        mark_empty(w, t->link);
    t->next = NULL;
    t->link = NULL;
}

void wheel_arm(struct wheel *w, struct wheel_timer *t, uint64_t due_ms)
{
    wheel_disarm(w, t);
    t->due_ms = due_ms;
    place(w, t);
    w->count++;
}

void wheel_disarm(struct wheel *w, struct wheel_timer *t)
{
    if (!wheel_armed(t))
        return;
    unlink_timer(w, t);
    w->count--;
}

/* Place anew what waits in one slot. */
static void empty_slot(struct wheel *w, unsigned level, unsigned slot)
{
    struct wheel_timer *t = w->slots[level][slot];

    w->slots[level][slot] = NULL;
    w->busy[level] &= ~((uint64_t)1 << slot);
    while (t) {
        struct wheel_timer *next = t->next;

        place(w, t);
        t = next;
    }
}

/* Bits of mask, turned right: bit `by` becomes bit 0. */
static uint64_t turn(uint64_t mask, unsigned by)
{
    return by == 0 ? mask : mask >> by | mask << (WHEEL_SLOTS - by);
}

/*
 * Empty the slots of a level which the clock reached since it showed `from` (in ticks), oldest
 * first.
 */
static void pass(struct wheel *w, unsigned level, uint64_t from)
{
    uint64_t passed = ticks(w->now_ms, level) - from;
    unsigned first = digit(from + 1);
    uint64_t reached = turn(w->busy[level], first);

    if (passed < WHEEL_SLOTS)
        reached &= ((uint64_t)1 << passed) - 1;
    while (reached != 0) {
        empty_slot(w, level, digit(first + (unsigned)__builtin_ctzll(reached)));
        reached &= reached - 1;
    }
}

void wheel_advance(struct wheel *w, uint64_t now_ms)
{
    uint64_t before = w->now_ms;

    if (now_ms <= before)
        return;
    w->now_ms = now_ms;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        uint64_t from = ticks(before, level);

        if (ticks(now_ms, level) == from)
            return;
        pass(w, level, from);
    }
}

struct wheel_timer *wheel_pop(struct wheel *w)
{
    struct wheel_timer *t = w->due;

    if (t)
        wheel_disarm(w, t);
    return t;
}

uint64_t wheel_next_ms(const struct wheel *w)
{
    if (w->due)
        return w->now_ms;
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        uint64_t tick = ticks(w->now_ms, level) + 1;

        if (w->busy[level] != 0) {
            tick += (unsigned)__builtin_ctzll(turn(w->busy[level], digit(tick)));
            return tick << (level * DIGIT_BITS);
        }
    }
    return UINT64_MAX;
}
