/*
 * Slots are few and looked through one by one: this runs once for a line that is about to be
 * written, and a line costs more.
 *
 * A slot whose window is over is free, unless there is a count to tell: then it stays shut until
 * flood_take has told it.
 */
#include "base/flood.h"

#include "base/table.h"

#include <string.h>

void flood_init(struct flood *f)
{
    *f = (struct flood){.due_ms = UINT64_MAX};
}

static uint64_t hash_of(struct str label)
{
    uint64_t h = table_hash(0, label.p, label.n);

    return h ? h : 1; /* 0 is a free slot */
}

static size_t kept_length(struct str label)
{
    return label.n < FLOOD_LABEL_MAX ? label.n : FLOOD_LABEL_MAX;
}

/* The hash is not keyed, so a peer can find two labels with the same one: they are compared. */
static bool has_label(const struct flood_slot *s, uint64_t hash, struct str label)
{
    return s->hash == hash && s->label_len == kept_length(label) &&
           memcmp(s->label, label.p, s->label_len) == 0;
}

static bool is_over(const struct flood_slot *s, uint64_t now_ms)
{
    return now_ms - s->began_ms >= FLOOD_WINDOW_MS;
}

static bool is_free(const struct flood_slot *s, uint64_t now_ms)
{
    return s->hash == 0 || (s->more == 0 && is_over(s, now_ms));
}

static void begin(struct flood *f, struct flood_slot *s, uint64_t now_ms, struct str label)
{
    *s = (struct flood_slot){
        .hash = hash_of(label), .began_ms = now_ms, .label_len = (uint16_t)kept_length(label)};
    memcpy(s->label, label.p, s->label_len);
    if (now_ms + FLOOD_WINDOW_MS > f->until_ms)
        f->until_ms = now_ms + FLOOD_WINDOW_MS;
}

/* The index of the slot that a label has, or shares; FLOOD_SLOTS: none, but *unused is free. */
static size_t find(const struct flood *f, uint64_t now_ms, struct str label, size_t *unused)
{
    uint64_t hash = hash_of(label);

    *unused = FLOOD_SLOTS;
    for (size_t i = FLOOD_SLOTS; i-- > 0;) {
        if (is_free(&f->slots[i], now_ms))
            *unused = i;
        else if (has_label(&f->slots[i], hash, label))
            return i;
    }
    return *unused < FLOOD_SLOTS ? FLOOD_SLOTS : hash % FLOOD_SLOTS;
}

static struct flood_slot *slot_for(struct flood *f, uint64_t now_ms, struct str label)
{
    size_t unused;
    size_t i = find(f, now_ms, label, &unused);

    if (i < FLOOD_SLOTS)
        return &f->slots[i];
    begin(f, &f->slots[unused], now_ms, label);
    return &f->slots[unused];
}

static bool is_shut(const struct flood_slot *s)
{
    return s->said >= FLOOD_BURST;
}

static void count(struct flood *f, struct flood_slot *s, struct str label)
{
    s->shared = s->shared || !has_label(s, hash_of(label), label);
    s->more++;
    if (s->began_ms + FLOOD_WINDOW_MS < f->due_ms)
        f->due_ms = s->began_ms + FLOOD_WINDOW_MS;
}

bool flood_admits(struct flood *f, uint64_t now_ms, struct str label)
{
    struct flood_slot *s = slot_for(f, now_ms, label);

    if (is_shut(s)) {
        count(f, s, label);
        return false;
    }
    s->said++;
    return true;
}

void flood_charge(struct flood *f, uint64_t now_ms, struct str label)
{
    struct flood_slot *s = slot_for(f, now_ms, label);

    if (!is_shut(s))
        s->said++;
}

/* Nothing has been said lately, and nothing is to be told: the common case. */
static bool is_calm(const struct flood *f, uint64_t now_ms)
{
    return now_ms >= f->until_ms && f->due_ms == UINT64_MAX;
}

bool flood_is_shut(const struct flood *f, uint64_t now_ms, struct str label)
{
    size_t unused;
    size_t i = is_calm(f, now_ms) ? FLOOD_SLOTS : find(f, now_ms, label, &unused);

    return i < FLOOD_SLOTS && is_shut(&f->slots[i]);
}

static void find_due(struct flood *f)
{
    f->due_ms = UINT64_MAX;
    for (size_t i = 0; i < FLOOD_SLOTS; i++) {
        const struct flood_slot *s = &f->slots[i];
        if (s->more > 0 && s->began_ms + FLOOD_WINDOW_MS < f->due_ms)
            f->due_ms = s->began_ms + FLOOD_WINDOW_MS;
    }
}

bool flood_take(struct flood *f, uint64_t now_ms, struct str *label, uint64_t *more)
{
    if (now_ms < f->due_ms)
        return false;
    for (size_t i = 0; i < FLOOD_SLOTS; i++) {
        struct flood_slot *s = &f->slots[i];
        if (s->more == 0 || !is_over(s, now_ms))
            continue;
        memcpy(f->told, s->label, s->label_len);
        *label = str_of(f->told, s->shared ? 0 : s->label_len);
        *more = s->more;
        *s = (struct flood_slot){0};
        return true;
    }
    find_due(f);
    return false;
}

const char *flood_count(uint64_t n, char out[FLOOD_COUNT_MAX])
{
    char digits[FLOOD_COUNT_MAX];
    size_t count = 0;
    size_t at = 0;

    do {
        digits[count++] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    while (count > 0) {
        out[at++] = digits[--count];
        if (count > 0 && count % 3 == 0)
            out[at++] = ',';
    }
    out[at] = '\0';
    return out;
}
