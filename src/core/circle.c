/*
 * A slot for each hash; messages that share a slot push each other out, so that only what comes
 * often is counted high.
 */
#include "core/circle.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

/* Of longer payloads the beginning must do: it costs every message. */
#define PAYLOAD_LOOKED_AT 1024

static uint64_t hash_of(uint64_t whose, struct str topic, struct str payload)
{
    size_t n = payload.n < PAYLOAD_LOOKED_AT ? payload.n : PAYLOAD_LOOKED_AT;
    uint64_t hash = XXH3_64bits_withSeed(topic.p, topic.n, whose ^ payload.n);

    return XXH3_64bits_withSeed(payload.p, n, hash);
}

bool circle_turns(struct circle *c, uint64_t now_ms, uint64_t whose, struct str topic,
                  struct str payload)
{
    uint64_t hash = hash_of(whose, topic, payload);
    struct circle_slot *s = &c->slots[hash % CIRCLE_SLOTS];

    if (s->hash != hash)
        *s = (struct circle_slot){.hash = hash, .since_ms = now_ms};
    if (now_ms - s->since_ms >= CIRCLE_WINDOW_MS) {
        s->since_ms = now_ms;
        s->count = 0;
    }
    if (++s->count != CIRCLE_TIMES || (s->said_ms && now_ms - s->said_ms < CIRCLE_QUIET_MS))
        return false;
    s->said_ms = now_ms ? now_ms : 1;
    return true;
}
