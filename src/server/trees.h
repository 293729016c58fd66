/*
 * What SIGUSR2 prints: the trees of subscriptions and retained messages, on standard output.
 *
 * Whoever reads there may be slow, or not read at all; so what is not taken at once is kept, and
 * goes out in pieces between turns, for a limited time.
 */
#ifndef SERVER_TREES_H
#define SERVER_TREES_H

#include "base/buf.h"
#include "base/log.h"
#include "core/broker.h"

#include <stdint.h>

struct trees {
    struct buf text;
    size_t sent;
    uint64_t due_ms; /* monotonic, when trees_turn has something to do; UINT64_MAX = never */
    uint64_t end_ms; /* who has not read by then goes without the rest */
};

void trees_init(struct trees *t);
void trees_clear(struct trees *t);
/* Print the broker's trees as they are now; not while the last ones are still on their way. */
void trees_print(struct trees *t, const struct broker *b, const struct log *log, uint64_t now_ms);
void trees_turn(struct trees *t, const struct log *log, uint64_t now_ms);

#endif
