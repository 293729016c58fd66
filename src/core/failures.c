/*
 * A table to find addresses, and a list in the order of their last failures.
 */
#include "core/failures.h"

#include "base/mem.h"

#include <string.h>

/* Eight bytes tell addresses apart, four of them IPv4's. */
struct address {
    uint8_t bytes[8];
    uint8_t family;
};

struct failing {
    TAILQ_ENTRY(failing) entry;
    struct address address;
    uint32_t count;
    uint64_t last_ms; /* the last failure */
    uint64_t next_ms; /* no login before that */
    bool slowed;
};

/* --- addresses --- */

static const uint8_t mapped_prefix[12] = {[10] = 0xff, [11] = 0xff};
static const uint8_t loopback_6[16] = {[15] = 1};

/* False: it is not counted. */
static bool address_of(const struct peer *peer, struct address *a)
{
    bool mapped = peer->family == 6 && memcmp(peer->ip, mapped_prefix, sizeof(mapped_prefix)) == 0;
    const uint8_t *ip = mapped ? peer->ip + sizeof(mapped_prefix) : peer->ip;

    *a = (struct address){.family = mapped ? 4 : peer->family};
    memcpy(a->bytes, ip, a->family == 4 ? 4 : sizeof(a->bytes));
    if (a->family == 4)
        return ip[0] != 127;
    return a->family == 6 && memcmp(peer->ip, loopback_6, sizeof(loopback_6)) != 0;
}

static bool same_address(const struct address *a, const struct address *b)
{
    return a->family == b->family && memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

static uint64_t hash_address(const struct failures *f, const struct address *a)
{
    return table_hash(f->seed + a->family, a->bytes, sizeof(a->bytes));
}

static uint64_t entry_hash(const void *entry, const void *ctx)
{
    const struct failing *e = entry;

    return hash_address(ctx, &e->address);
}

static bool entry_equal(const void *entry, const void *key, const void *ctx)
{
    const struct failing *e = entry;

    (void)ctx;
    return same_address(&e->address, key);
}

static const struct table_ops by_address = {.hash = entry_hash, .equal = entry_equal};

static struct failing *find(const struct failures *f, const struct address *a)
{
    return table_find(&f->table, &by_address, f, hash_address(f, a), a);
}

/* --- entries --- */

void failures_init(struct failures *f, uint64_t seed)
{
    *f = (struct failures){.seed = seed};
    TAILQ_INIT(&f->list);
}

static void forget(struct failures *f, struct failing *e)
{
    (void)table_remove(&f->table, &by_address, f, hash_address(f, &e->address), &e->address);
    TAILQ_REMOVE(&f->list, e, entry);
    mem_free(e, sizeof(*e));
}

void failures_clear(struct failures *f)
{
    struct failing *e;

    while ((e = TAILQ_FIRST(&f->list))) {
        TAILQ_REMOVE(&f->list, e, entry);
        mem_free(e, sizeof(*e));
    }
    table_clear(&f->table);
}

/* At most so many at a time, of the one login that is looked at. */
#define FORGET_AT_ONCE 8

static void forget_quiet(struct failures *f, uint64_t now_ms)
{
    struct failing *e;

    for (int n = 0; n < FORGET_AT_ONCE && (e = TAILQ_FIRST(&f->list)); n++) {
        if (now_ms - e->last_ms < FAILURES_QUIET_MS)
            return;
        forget(f, e);
    }
}

static struct failing *remember(struct failures *f, const struct address *a)
{
    struct failing *e = mem_zalloc(sizeof(*e));

    if (!e)
        return NULL;
    e->address = *a;
    if (f->table.count >= FAILURES_ADDRESSES)
        forget(f, TAILQ_FIRST(&f->list));
    if (table_insert(&f->table, &by_address, f, hash_address(f, a), e)) {
        mem_free(e, sizeof(*e));
        return NULL;
    }
    TAILQ_INSERT_TAIL(&f->list, e, entry);
    return e;
}

static struct failing *find_recent(struct failures *f, const struct address *a, uint64_t now_ms)
{
    struct failing *e;

    forget_quiet(f, now_ms);
    e = find(f, a);
    if (!e || now_ms - e->last_ms < FAILURES_QUIET_MS)
        return e;
    forget(f, e);
    return NULL;
}

/* --- the rule --- */

bool failures_slow(struct failures *f, const struct failures_rule *rule, const struct peer *peer,
                   uint64_t now_ms, uint64_t *turn)
{
    struct address a;
    struct failing *e;

    if (rule->limit == 0 || !address_of(peer, &a))
        return false;
    e = find_recent(f, &a, now_ms);
    if (!e || e->count < rule->limit)
        return false;
    *turn = e->next_ms > now_ms ? e->next_ms : now_ms;
    if (*turn - now_ms > FAILURES_WAIT_MS)
        *turn = UINT64_MAX;
    else
        e->next_ms = *turn + rule->delay_ms;
    return true;
}

uint32_t failures_note(struct failures *f, const struct failures_rule *rule,
                       const struct peer *peer, uint64_t now_ms)
{
    struct address a;
    struct failing *e;

    if (rule->limit == 0 || !address_of(peer, &a))
        return 0;
    e = find_recent(f, &a, now_ms);
    if (!e)
        e = remember(f, &a);
    if (!e)
        return 0;
    TAILQ_REMOVE(&f->list, e, entry);
    TAILQ_INSERT_TAIL(&f->list, e, entry);
    e->count += e->count < UINT32_MAX;
    e->last_ms = now_ms;
    if (e->slowed || e->count < rule->limit)
        return 0;
    e->slowed = true;
    e->next_ms = now_ms + rule->delay_ms;
    return e->count;
}
