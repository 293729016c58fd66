/*
 * Collect, reserve, deliver: in this order, so that delivery at QoS 1 and 2 cannot stop halfway.
 */
#include "core/route.h"

#include "base/mem.h"

#include <assert.h>

void route_clear(struct route *r)
{
    trie_walk_clear(&r->walk);
    trie_list_clear(&r->found);
    topics_clear(&r->topics);
    mem_free(r->receivers, r->cap * sizeof(*r->receivers));
    *r = (struct route){0};
}

/* --- who --- */

/* `t`: NULL while nobody is kept from anything. */
static bool may_read(struct route *r, struct session_env *env, struct session *s,
                     const struct rights_topic *t)
{
    if (LIKELY(!t) || s->own)
        return true;
    if (s->out && !session_rights(env, s))
        r->unknown = true;
    return session_may(env, s, ACL_READ, t);
}

/* Each session once, unless it is to get duplicates; found again, the higher QoS stays. */
static inline void add_receiver(struct route *r, const struct session_env *env, struct session *s,
                                enum qos qos)
{
    struct receiver *to;

    if (UNLIKELY(s->ended))
        return;
    if (LIKELY(s->serial != r->serial)) {
        s->serial = r->serial;
        s->slot = (uint32_t)r->n;
    } else if (!env->duplicates) {
        struct receiver *first = &r->receivers[s->slot];
        if (first->qos < qos)
            first->qos = qos;
        return;
    }
    to = &r->receivers[r->n++];
    to->session = s;
    to->qos = qos;
    to->rows = 0;
}

/* Of a shared group: the next member that is connected and not behind, else the next that is there
 * at all. */
static void add_member(struct route *r, struct session_env *env, uintptr_t group,
                       const struct rights_topic *t)
{
    uint32_t seen = 0;
    uintptr_t second = 0;
    uintptr_t word;

    while ((word = trie_group_next(group, &seen))) {
        struct session *s = trie_word_session(word);
        if (s->ended || !may_read(r, env, s, t))
            continue;
        if (s->out && outbox_bytes(s->out) < OUTBOX_PUMP && !s->dropping)
            break;
        if (!second || (s->out && !trie_word_session(second)->out))
            second = word;
    }
    work_charge(env->work, seen);
    if (!word)
        word = second;
    if (word)
        add_receiver(r, env, trie_word_session(word), trie_word_qos(word));
}

static enum err receivers_fit(struct route *r)
{
    size_t cap = r->cap ? r->cap : 64;
    struct receiver *v;

    while (cap < r->words.n)
        cap *= 2;
    v = mem_realloc(r->receivers, r->cap * sizeof(*v), cap * sizeof(*v));
    if (!v)
        return ERR_NOMEM;
    r->receivers = v;
    r->cap = cap;
    return ERR_OK;
}

/* So many nodes are asked in one turn for one publication: about a millisecond. */
#define VISITS_PER_TURN 10000

static enum err walk_on(struct session_env *env, struct trie_walk *w, struct str topic, bool whole)
{
    uint64_t before = env->trie->visits;
    enum err e = trie_walk_on(env->trie, w, topic, whole ? UINT32_MAX : VISITS_PER_TURN);

    work_charge(env->work, WORK_ROUTE + (uint32_t)(topic.n >> 3) +
                               (uint32_t)((env->trie->visits - before) / 2));
    return e;
}

/* A search cut short: it is parked already, or will be now. */
static enum err park(struct trie *t, struct trie_walk *w, struct trie_walk **parked)
{
    assert(parked); /* otherwise it was not to be cut */
    if (!*parked)
        *parked = trie_walk_park(t, w);
    return *parked || trie_walk_is_full(t) ? ERR_AGAIN : ERR_NOMEM;
}

enum err route_find(struct route *r, struct session_env *env, struct str topic,
                    struct trie_walk **parked)
{
    struct trie_walk *w = parked && *parked ? *parked : &r->walk;
    enum err e;

    if (w == &r->walk)
        trie_walk_begin(env->trie, w);
    e = walk_on(env, w, topic, !parked);
    if (e == ERR_AGAIN)
        return park(env->trie, w, parked);
    if (!e)
        e = trie_collect(w, &r->found);
    r->words = (struct topic_words){.v = r->found.v, .n = r->found.n};
    /* What was parked may have missed subscriptions that came meanwhile. */
    if (!e && parked && w == &r->walk)
        topics_keep(&r->topics, &env->trie->changes, topic, &r->words);
    if (parked && *parked)
        trie_walk_free(env->trie, *parked);
    if (parked)
        *parked = NULL;
    return e;
}

/* `t`: as may_read has it. */
static ALWAYS_INLINE void collect_who(struct route *r, struct session_env *env,
                                      const struct rights_topic *t)
{
    const uintptr_t *words = r->words.v;

    for (size_t i = 0, n = r->words.n; i < n; i++) {
        uintptr_t word = words[i];
        if (UNLIKELY(trie_word_is_group(word)))
            add_member(r, env, word, t);
        else if (may_read(r, env, trie_word_session(word), t))
            add_receiver(r, env, trie_word_session(word), trie_word_qos(word));
    }
}

static NOINLINE void collect_readers(struct route *r, struct session_env *env,
                                     const struct publication *pub)
{
    struct rights_topic t = rights_topic(&env->rights, pub->topic);

    collect_who(r, env, &t);
}

/* Without memory for what one of them may read it is not given to the others either, unless nobody
 * was promised anything. */
static enum err collect(struct route *r, struct session_env *env, const struct publication *pub)
{
    if (UNLIKELY(r->words.n > r->cap) && receivers_fit(r))
        return ERR_NOMEM;
    r->serial++;
    r->n = 0;
    r->unknown = false;
    work_charge(env->work, (uint32_t)r->words.n);
    if (LIKELY(!env->rights.guarded))
        collect_who(r, env, NULL);
    else
        collect_readers(r, env, pub);
    return UNLIKELY(r->unknown) && pub->qos > QOS_0 ? ERR_NOMEM : ERR_OK;
}

/* --- memory first --- */

static enum qos effective(const struct session_env *env, const struct publication *pub,
                          const struct receiver *to)
{
    return session_qos(env, to->session, pub->qos, to->qos);
}

/* Between copies at QoS 1 and 2 one at QoS 0 may be queued: it must not take their room. */
static bool needs_row(const struct session_env *env, const struct session *s, enum qos qos)
{
    return qos > QOS_0 || (env->duplicates && (env->queue_qos0 || s->lazy));
}

/* Does nobody need a row, whoever the receivers are? Saves a second look at each of them. */
static bool none_needs_row(const struct session_env *env, const struct publication *pub)
{
    return pub->qos == QOS_0 && !env->upgrade && !env->duplicates;
}

/* How many rows in all, and of each session at its first place. */
static size_t count_rows(struct route *r, const struct session_env *env,
                         const struct publication *pub)
{
    size_t rows = 0;

    for (size_t i = 0; i < r->n; i++) {
        const struct receiver *to = &r->receivers[i];
        if (!needs_row(env, to->session, effective(env, pub, to)))
            continue;
        r->receivers[to->session->slot].rows++;
        rows++;
    }
    return rows;
}

static enum err reserve(struct route *r, struct session_env *env, struct publication *pub,
                        size_t names)
{
    size_t rows = count_rows(r, env, pub);
    /* 4: of a retained message and its author, and the publisher's own */
    size_t records = 4 + rows * SESSION_DELIVERY_RECORDS;
    bool keep = pub->retain || rows > 0;
    enum err e = ERR_OK;

    for (size_t i = 0; i < r->n && rows > 0 && !e; i++) {
        if (r->receivers[i].rows > 0)
            e = session_reserve(env, r->receivers[i].session, r->receivers[i].rows);
    }
    if (!e && keep)
        e = publication_keep(pub);
    if (e || !keep)
        return e;
    return persist_promise(env->persist, records, 2 * pub->topic.n + pub->payload.n + names);
}

/* --- retained --- */

/* What is needed to retain a message, so that it cannot fail. */
struct retain_place {
    struct retain_node *node;
    struct authored *author; /* or NULL */
};

/* Charge what has been done to the tree since `before`. */
static void charge_retain(struct session_env *env, uint64_t before)
{
    work_charge(env->work, (uint32_t)((env->retain->visits - before) / 2));
}

/*
 * Room for what is to be retained, and for who has published it, if anybody may ask for that one
 * day.
 */
static enum err reserve_retained(struct session_env *env, const struct publication *pub,
                                 struct rights *by, struct retain_place *place)
{
    if (pub->payload.n == 0)
        return ERR_OK;
    if (by) {
        place->author = author_reserve(&env->authors, by);
        if (!place->author)
            return ERR_NOMEM;
    }
    if (!retain_reserve(env->retain, pub->topic, &place->node))
        return ERR_OK;
    author_drop(&env->authors, place->author);
    return ERR_NOMEM;
}

static void retain_publication(struct session_env *env, struct publication *pub,
                               const struct retain_place *place, const struct rights *by)
{
    struct stored *e =
        retain_is_lasting(pub->topic) ? persist_message(env->persist, pub->message) : NULL;
    const struct message *former = retain_at(place->node);

    if (former)
        author_forget(&env->authors, former);
    retain_set(env->retain, place->node, pub->message);
    stored_hold(&env->persist->stored, pub->message);
    if (place->author)
        author_set(&env->authors, place->author, pub->message);
    if (e)
        (void)persist_write(env->persist,
                            &(struct record){.type = RECORD_RETAIN, .number = e->number});
    if (e && by)
        author_record(env->persist, e->number, by);
}

static void clear_retained(struct session_env *env, struct str topic)
{
    const struct message *former = retain_find(env->retain, topic);

    if (!former)
        return;
    author_forget(&env->authors, former);
    (void)retain_remove(env->retain, topic);
    (void)persist_write(env->persist, &(struct record){.type = RECORD_RETAIN_CLEAR, .text = topic});
}

/*
 * A bridge does not get back what it brought; nor does another bridge of ours to the same broker,
 * or one of that broker's to us, else they would send it round for ever.
 */
static bool comes_from(const struct session *source, const struct session *to)
{
    return source == to || (to->kin != 0 && to->kin == source->kin && (to->own || source->own));
}

static void deliver(const struct route *r, struct session_env *env, struct publication *pub,
                    const struct session *source)
{
    const struct receiver *receivers = r->receivers;

    for (size_t i = 0, n = r->n; i < n; i++) {
        const struct receiver *to = &receivers[i];
        bool bridge = to->session->bridge;
        if (UNLIKELY(bridge) && source && comes_from(source, to->session))
            continue;
        session_deliver(env, to->session, pub, effective(env, pub, to), bridge && pub->retain);
    }
}

/* Who is to be remembered as the author of what is retained; NULL: nobody. ERR_NOMEM. */
static enum err find_author(struct session_env *env, struct session *source, struct rights **by)
{
    *by = NULL;
    if (LIKELY(!env->rights.guarded) || !source || source->own)
        return ERR_OK;
    *by = session_rights(env, source);
    return *by ? ERR_OK : ERR_NOMEM;
}

static size_t name_bytes(const struct rights *by)
{
    struct rights_who who = by ? rights_who(by) : (struct rights_who){0};

    return who.user.n + who.client.n;
}

static void retain(struct session_env *env, struct publication *pub,
                   const struct retain_place *place, const struct rights *by)
{
    if (pub->payload.n > 0)
        retain_publication(env, pub, place, by);
    else
        clear_retained(env, pub->topic);
    env->stats->retained = env->retain->count;
}

/* To those who have been collected, and to those who are yet to come. */
static NOINLINE enum err deliver_and_retain(struct route *r, struct session_env *env,
                                            struct publication *pub, struct session *source)
{
    uint64_t before = env->retain->visits;
    struct retain_place place = {0};
    struct rights *by = NULL;
    enum err e = find_author(env, source, &by);

    if (!e)
        e = reserve(r, env, pub, name_bytes(by));
    if (!e)
        e = reserve_retained(env, pub, by, &place);
    if (!e) {
        deliver(r, env, pub, source);
        retain(env, pub, &place, by);
    }
    charge_retain(env, before);
    return e;
}

enum err route_publish(struct route *r, struct session_env *env, struct publication *pub,
                       struct session *source)
{
    enum err e = collect(r, env, pub);

    if (!e && UNLIKELY(pub->retain)) {
        e = deliver_and_retain(r, env, pub, source);
    } else if (!e) {
        if (!none_needs_row(env, pub))
            e = reserve(r, env, pub, 0);
        if (!e)
            deliver(r, env, pub, source);
    }
    persist_fulfil(env->persist);
    return e;
}
