/*
 * What is remembered stands in buckets of a cache line, the newest first; a client that asks for
 * many topics is given more of them, up to a bound.
 */
#include "core/rights.h"

#include "auth/realm.h"
#include "base/base.h"
#include "base/mem.h"

#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

/* One topic: its hash, of which four bits are given to the verdicts. No bits: nothing is here. */
struct remembered {
    uint64_t low;
    uint64_t high;
};

#define VERDICT_BITS 15U

enum { BUCKET = 4, BUCKETS_MAX = 16, GROWTH = 4 };

struct bucket {
    struct remembered of[BUCKET];
};

struct rights {
    struct conf_listener *listener; /* or NULL: only the port is known */
    struct acl *acl;                /* that it is bound to, or NULL */
    struct acl_who who;             /* for that */
    struct bucket *cache;
    uint32_t refs;
    uint32_t generation; /* when it was bound */
    uint32_t forgotten;  /* verdicts that had to make room, since the cache has grown */
    uint16_t port;
    uint16_t user_len;
    uint16_t client_len;
    uint8_t buckets;
    char text[]; /* user name, then client id */
};

static size_t rights_size(size_t user, size_t client)
{
    return sizeof(struct rights) + user + client;
}

static struct str user_of(const struct rights *r)
{
    return str_of(r->text, r->user_len);
}

static struct str client_of(const struct rights *r)
{
    return str_of(r->text + r->user_len, r->client_len);
}

struct rights_who rights_who(const struct rights *r)
{
    return (struct rights_who){
        .user = user_of(r), .client = client_of(r), .listener = r->listener, .port = r->port};
}

/* --- all of them --- */

static uint64_t hash_who(const struct rights_all *all, struct str user, struct str client,
                         uint16_t port)
{
    uint64_t h = table_hash(all->seed, user.p, user.n);

    return table_mix(table_mix(h, table_hash(all->seed, client.p, client.n)), port);
}

static uint64_t rights_hash(const void *entry, const void *ctx)
{
    const struct rights *r = entry;

    return hash_who(ctx, user_of(r), client_of(r), r->port);
}

static bool rights_equal(const void *entry, const void *key, const void *ctx)
{
    const struct rights *r = entry;
    const struct rights_who *who = key;

    (void)ctx;
    return r->port == who->port && str_eq(user_of(r), who->user) &&
           str_eq(client_of(r), who->client) &&
           (!r->listener || !who->listener ||
            conf_listener_same_socket(r->listener, who->listener));
}

static const struct table_ops ops = {.hash = rights_hash, .equal = rights_equal};

bool rights_listener_has(const struct conf_listener *l)
{
    return l->realm && l->realm->acl;
}

/* An entry has another ACL than before. Who is bound may have come through a listener that is gone.
 */
static void count_bound(struct rights_all *all, const struct acl *before, const struct acl *now)
{
    all->bound += now != NULL;
    all->bound -= before != NULL;
    all->guarded = all->configured || all->bound > 0;
}

void rights_changed(struct rights_all *all, const struct conf *conf)
{
    all->conf = conf;
    all->generation++;
    all->cursor = 0;
    all->walking = all->table.count > 0;
    all->configured = false;
    for (size_t i = 0; i < conf->listener_count; i++)
        all->configured |= rights_listener_has(conf->listeners[i]);
    count_bound(all, NULL, NULL);
}

void rights_connected(struct rights_all *all, const struct conf_listener *l)
{
    all->configured |= rights_listener_has(l);
    all->guarded |= all->configured;
}

void rights_clear(struct rights_all *all)
{
    table_clear(&all->table);
}

static void set_listener(struct rights *r, struct conf_listener *l)
{
    if (l == r->listener)
        return;
    (void)conf_listener_ref(l);
    conf_listener_unref(r->listener);
    r->listener = l;
}

static struct rights *make(struct rights_all *all, const struct rights_who *who)
{
    struct rights *r = mem_zalloc(rights_size(who->user.n, who->client.n));

    if (!r)
        return NULL;
    r->port = who->port;
    r->user_len = (uint16_t)who->user.n;
    r->client_len = (uint16_t)who->client.n;
    if (who->user.n > 0)
        memcpy(r->text, who->user.p, who->user.n);
    if (who->client.n > 0)
        memcpy(r->text + who->user.n, who->client.p, who->client.n);
    if (table_insert(&all->table, &ops, all, hash_who(all, who->user, who->client, who->port), r)) {
        mem_free(r, rights_size(who->user.n, who->client.n));
        return NULL;
    }
    r->generation = all->generation - 1; /* not bound yet */
    return r;
}

struct rights *rights_get(struct rights_all *all, const struct rights_who *who)
{
    struct rights_who key = *who;
    struct rights *r;

    if (key.listener)
        key.port = key.listener->port;
    r = table_find(&all->table, &ops, all, hash_who(all, key.user, key.client, key.port), &key);
    if (!r)
        r = make(all, &key);
    if (!r)
        return NULL;
    if (key.listener && key.listener != r->listener) {
        set_listener(r, key.listener);
        r->generation = all->generation - 1;
    }
    return rights_ref(r);
}

struct rights *rights_ref(struct rights *r)
{
    r->refs++;
    return r;
}

/* --- what is remembered --- */

static void forget_all(struct rights *r)
{
    mem_free(r->cache, r->buckets * sizeof(*r->cache));
    r->cache = NULL;
    r->buckets = 0;
    r->forgotten = 0;
}

void rights_unref(struct rights_all *all, struct rights *r)
{
    const struct rights_who who = r ? rights_who(r) : (struct rights_who){0};

    if (!r || --r->refs > 0)
        return;
    (void)table_remove(&all->table, &ops, all, hash_who(all, who.user, who.client, who.port), &who);
    forget_all(r);
    count_bound(all, r->acl, NULL);
    acl_unref(r->acl);
    conf_listener_unref(r->listener);
    mem_free(r, rights_size(who.user.n, who.client.n));
}

struct rights_topic rights_topic(const struct rights_all *all, struct str name)
{
    XXH128_hash_t h = XXH3_128bits_withSeed(name.p, name.n, all->seed);

    return (struct rights_topic){.name = name, .low = h.low64, .high = h.high64 & ~VERDICT_BITS};
}

static struct bucket *bucket_of(const struct rights *r, const struct rights_topic *t)
{
    return &r->cache[t->low & (r->buckets - 1U)];
}

static struct remembered *recall(const struct rights *r, const struct rights_topic *t)
{
    struct bucket *b = r->buckets ? bucket_of(r, t) : NULL;

    for (int i = 0; b && i < BUCKET; i++) {
        struct remembered *m = &b->of[i];
        if (m->low == t->low && (m->high & ~(uint64_t)VERDICT_BITS) == t->high)
            return m;
    }
    return NULL;
}

/* Two bits for each right: it is known; it is granted. */
static unsigned known_bit(enum acl_right right)
{
    return right == ACL_READ ? 1U : 4U;
}

/* More room when so much was forgotten as there is place; what was remembered goes for it. */
static void make_room(struct rights *r)
{
    unsigned n = r->buckets ? r->buckets * (unsigned)GROWTH : 1;
    struct bucket *b;

    if (n > BUCKETS_MAX || (r->buckets && r->forgotten < r->buckets * (unsigned)BUCKET))
        return;
    b = mem_zalloc(n * sizeof(*b));
    if (!b)
        return;
    forget_all(r);
    r->cache = b;
    r->buckets = (uint8_t)n;
}

static void remember(struct rights *r, enum acl_right right, const struct rights_topic *t,
                     bool granted)
{
    unsigned bits = known_bit(right) * (granted ? 3U : 1U);
    struct remembered *m = recall(r, t);
    struct bucket *b;

    if (m) {
        m->high |= bits;
        return;
    }
    make_room(r);
    if (!r->buckets)
        return;
    b = bucket_of(r, t);
    r->forgotten += (b->of[BUCKET - 1].high & VERDICT_BITS) != 0;
    memmove(&b->of[1], &b->of[0], sizeof(b->of) - sizeof(b->of[0]));
    b->of[0] = (struct remembered){.low = t->low, .high = t->high | bits};
}

/* --- asking --- */

/* The listener in the configuration that its client would come through now; NULL: none. */
static struct conf_listener *listener_now(const struct rights_all *all, const struct rights *r)
{
    for (size_t i = 0; i < all->conf->listener_count; i++) {
        struct conf_listener *l = all->conf->listeners[i];
        if (r->listener ? conf_listener_same_socket(l, r->listener) : l->port == r->port)
            return l;
    }
    return NULL;
}

static COLD void bind_anew(struct rights_all *all, struct rights *r)
{
    struct conf_listener *now = listener_now(all, r);
    struct acl *acl;

    if (now)
        set_listener(r, now);
    acl = r->listener && r->listener->realm ? r->listener->realm->acl : NULL;
    r->generation = all->generation;
    if (acl == r->acl)
        return;
    if (acl)
        (void)acl_ref(acl);
    count_bound(all, r->acl, acl);
    acl_unref(r->acl);
    r->acl = acl;
    if (acl)
        r->who = acl_who(acl, user_of(r), client_of(r));
    forget_all(r);
}

static void keep_bound(struct rights_all *all, struct rights *r)
{
    if (UNLIKELY(r->generation != all->generation))
        bind_anew(all, r);
}

/* Who comes meanwhile may make the table grow, and one be missed: that waits until it is asked. */
uint32_t rights_work(struct rights_all *all, uint32_t count)
{
    for (uint32_t n = 0; n < count; n++) {
        struct rights *r = table_next(&all->table, &all->cursor);
        if (!r) {
            all->walking = false;
            return n;
        }
        keep_bound(all, r);
    }
    return count;
}

struct rights_answer rights_ask(struct rights_all *all, struct rights *r, enum acl_right right,
                                const struct rights_topic *t)
{
    unsigned bit = known_bit(right);
    const struct remembered *m;
    struct acl_verdict v;

    keep_bound(all, r);
    if (!r->acl)
        return (struct rights_answer){.granted = true};
    m = recall(r, t);
    if (LIKELY(m && m->high & bit))
        return (struct rights_answer){.granted = m->high & (bit << 1)};
    v = acl_decide(r->acl, &r->who, right, t->name);
    remember(r, right, t, v.granted);
    return (struct rights_answer){.granted = v.granted, .fresh = true};
}

struct acl_verdict rights_verdict(const struct rights *r, enum acl_right right, struct str topic)
{
    if (!r->acl)
        return (struct acl_verdict){.granted = true};
    return acl_decide(r->acl, &r->who, right, topic);
}

struct acl_verdict rights_filter(struct rights_all *all, struct rights *r, struct str filter)
{
    keep_bound(all, r);
    if (!r->acl)
        return (struct acl_verdict){.granted = true};
    return acl_decide_filter(r->acl, &r->who, filter);
}

const struct acl *rights_acl(const struct rights *r)
{
    return r->acl;
}
