/*
 * A subscription stands in three places at once, and all of them have room before the first is
 * touched: the trie, the session's table of places, and, if there is something retained, its feed.
 */
#include "core/subscription.h"

#include "core/feed.h"

static bool is_shared(struct str filter)
{
    return str_has_prefix(filter, STR("$share/"));
}

static void count_subscription(struct session_env *env, struct str filter, int n)
{
    uint64_t *counter =
        is_shared(filter) ? &env->stats->shared_subscriptions : &env->stats->subscriptions;

    *counter += (uint64_t)n;
}

/* Memory for everything that subscription_add will do after the trie has taken the subscription.
 */
static enum err subscribe_reserve(struct session_env *env, struct session *s, struct str filter)
{
    enum err e = session_record_reserve(env, s, 1, filter.n);

    if (!e)
        e = table_reserve(&s->subs, &table_of_words, NULL);
    return e ? e : feed_reserve(env);
}

/* Does the journal say the same already? Clients subscribe anew with each connection. Where nothing
 * is recorded nobody needs to know. */
static bool is_known(const struct session_env *env, const struct session *s, struct str filter,
                     enum qos qos)
{
    trie_place place;

    if (s->number == 0 || !persist_on(env->persist))
        return true;
    place = trie_find(env->trie, filter, s);
    return place && trie_granted(place, s) == qos && !feed_find(env, s, filter);
}

struct record subscription_record(struct str filter, enum qos qos, const struct retain_cursor *feed)
{
    return (struct record){.type = feed_is_lasting(feed) ? RECORD_FEED : RECORD_SUBSCRIBE,
                           .seq = feed ? feed->since : 0,
                           .qos = (uint8_t)qos,
                           .text = filter};
}

enum err subscription_add(struct session_env *env, struct session *s, struct str filter,
                          enum qos qos, enum feed feed)
{
    struct retain_cursor *c = NULL;
    trie_place place;
    bool is_new;
    bool known;
    enum err e = subscribe_reserve(env, s, filter);

    if (e)
        return e;
    if (feed && !is_shared(filter)) {
        c = retain_cursor_new(env->retain, filter, qos);
        if (!c)
            return ERR_NOMEM;
        c->unsafe_only = feed == FEED_UNSAFE;
        c->since = session_tail(s);
    }
    known = feed != FEED_ALL && is_known(env, s, filter, qos);
    e = trie_subscribe(env->trie, filter, s, qos, &place, &is_new);
    if (!e && is_new)
        e = table_insert(&s->subs, &table_of_words, NULL, table_hash_number(place), (void *)place);
    if (e) {
        if (c)
            retain_cursor_free(env->retain, c);
        return e;
    }
    if (is_new) {
        count_subscription(env, filter, 1);
        session_weigh(env, s, PERSIST_SUBSCRIPTION_BYTES + (int64_t)filter.n);
    }
    if (!known)
        session_record(env, s, subscription_record(filter, qos, c));
    if (c)
        feed_begin(env, s, c);
    else
        feed_end(env, s, filter);
    return ERR_OK;
}

enum err subscription_remove(struct session_env *env, struct session *s, struct str filter)
{
    trie_place place = trie_find(env->trie, filter, s);

    if (!place)
        return ERR_OK;
    if (session_record_reserve(env, s, 1, filter.n))
        return ERR_NOMEM;
    feed_end(env, s, filter);
    (void)table_remove(&s->subs, &table_of_words, NULL, table_hash_number(place), (void *)place);
    trie_leave(env->trie, place, s);
    count_subscription(env, filter, -1);
    session_weigh(env, s, -PERSIST_SUBSCRIPTION_BYTES - (int64_t)filter.n);
    session_record(env, s, (struct record){.type = RECORD_UNSUBSCRIBE, .text = filter});
    return ERR_OK;
}

/* `serial` is where the walk over the places stands: nothing is inserted or removed while it goes
 * on. */
bool subscription_drop_all(struct session_env *env, struct session *s)
{
    while (!work_is_spent(env->work)) {
        uint64_t visits = env->trie->visits;
        trie_place place = (trie_place)table_next(&s->subs, &s->serial);
        if (!place) {
            table_clear(&s->subs);
            return true;
        }
        if (trie_place_is_shared(place))
            env->stats->shared_subscriptions--;
        else
            env->stats->subscriptions--;
        trie_leave(env->trie, place, s);
        work_charge(env->work, WORK_SUBSCRIBE + (uint32_t)((env->trie->visits - visits) / 2));
    }
    return false;
}
