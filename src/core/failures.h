/*
 * Failed logins by address, so that whoever guesses passwords is slowed down.
 *
 * An address is an IPv4 address, or the first half of an IPv6 address: whoever has one of these has
 * all of its other half. Loopback and Unix sockets are never counted: behind them may stand a proxy
 * for everybody, and who is there already need not guess.
 *
 * So many addresses are remembered, and the one whose last failure is the oldest is forgotten
 * first. The table is keyed: nobody can choose addresses that collide.
 */
#ifndef CORE_FAILURES_H
#define CORE_FAILURES_H

#include "base/table.h"
#include "core/peer.h"

#include <sys/queue.h>

#define FAILURES_ADDRESSES 4096
/* An address without a failure for so long is forgotten. */
#define FAILURES_QUIET_MS (10 * 60 * 1000)
/* Whoever would have to wait longer than this does not wait at all. */
#define FAILURES_WAIT_MS 10000

TAILQ_HEAD(failing_list, failing);

struct failures {
    struct table table;
    struct failing_list list; /* the oldest last failure first */
    uint64_t seed;
};

/* What the configuration says. */
struct failures_rule {
    uint32_t limit;    /* failures from which on an address is slowed down; 0 = never */
    uint64_t delay_ms; /* from one login of such an address to the next */
};

void failures_init(struct failures *f, uint64_t seed);
void failures_clear(struct failures *f);

/*
 * Is this peer slowed down? Then *turn is when a login of it may be looked at: now, or in the next
 * FAILURES_WAIT_MS, and that time is its own, the next one comes after it. UINT64_MAX: there is no
 * such time. Monotonic ms.
 */
bool failures_slow(struct failures *f, const struct failures_rule *rule, const struct peer *peer,
                   uint64_t now_ms, uint64_t *turn);
/*
 * A login of this peer has failed. Returns how often that was when it is slowed down from now on,
 * and was not before; otherwise 0. Without memory it is not counted.
 */
uint32_t failures_note(struct failures *f, const struct failures_rule *rule,
                       const struct peer *peer, uint64_t now_ms);

#endif
