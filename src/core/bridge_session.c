/*
 * After a restart the session is found by its client id, with whatever it had subscribed to.
 */
#include "core/bridge_session.h"

#include "core/ending.h"
#include "core/feed.h"
#include "core/state.h"
#include "core/subscription.h"

/* Whoever has this id is not the bridge. */
static void evict(struct broker *b, struct session *s)
{
    conn_end(b, CONTAINER_OF(s->out, struct conn, out), REASON_TAKEN_OVER, "by a bridge");
}

/* Another bridge had this id before the configuration was changed, and is to have another one, or
 * none: its session ends. */
static void take_from_bridge(struct broker *b, const struct bridge *br, const struct session *s)
{
    struct bridge *other;

    TAILQ_FOREACH(other, &b->bridges.all, entry)
    {
        if (other == br || other->session != s)
            continue;
        if (other->has_conn)
            conn_end(b, &other->conn, REASON_BRIDGE_CHANGED, NULL);
        bridge_session_end(b, other);
    }
}

/* Its former session, if it may go on with that. ERR_NOMEM. */
static enum err find(struct broker *b, const struct bridge *br, struct session **found)
{
    const struct conf_bridge *conf = br->conf;
    struct session *s = sessions_find(&b->sessions, str_c(conf->local_clientid));

    if (s && s->own) {
        take_from_bridge(b, br, s);
        s = sessions_find(&b->sessions, str_c(conf->local_clientid));
    }
    if (s && s->out) {
        evict(b, s);
        s = sessions_find(&b->sessions, str_c(conf->local_clientid));
    }
    if (s && (conf->local_clean || s->number == 0)) {
        if (sessions_end_reserve(&b->sessions, s))
            return ERR_NOMEM;
        sessions_end(&b->sessions, s);
        s = NULL;
    }
    *found = s;
    return ERR_OK;
}

static bool is_wanted(const struct conf_bridge *conf, struct str filter)
{
    for (size_t i = 0; i < conf->topic_count; i++) {
        if (conf->topics[i].direction & CONF_OUT && str_eq(str_c(conf->topics[i].local), filter))
            return true;
    }
    return false;
}

/* One that the section does not name; false: there is none. */
static bool find_surplus(struct broker *b, const struct bridge *br, struct str *filter)
{
    uint64_t cursor = 0;
    trie_place place;
    enum qos qos;

    while ((place = (trie_place)table_next(&br->session->subs, &cursor))) {
        *filter = str_of(b->mapped, trie_describe(&b->trie, place, br->session, b->mapped, &qos));
        if (!is_wanted(br->conf, *filter))
            return true;
    }
    return false;
}

static bool stands(const struct broker *b, const struct session *s, struct str filter, enum qos qos)
{
    trie_place place = trie_find(&b->trie, filter, s);

    return place && trie_granted(place, s) == qos;
}

/* A feed that is under way for a subscription that stands goes on. */
static enum err subscribe(struct broker *b, struct bridge *br, enum feed feed)
{
    for (size_t i = 0; i < br->conf->topic_count; i++) {
        const struct conf_bridge_topic *t = &br->conf->topics[i];
        struct str filter = str_c(t->local);
        bool goes_on = feed != FEED_ALL && stands(b, br->session, filter, (enum qos)t->qos) &&
                       (feed == FEED_NONE || feed_find(&b->env, br->session, filter));
        if (!(t->direction & CONF_OUT) || goes_on)
            continue;
        if (subscription_add(&b->env, br->session, filter, (enum qos)t->qos,
                             retain_may_match(&b->retain, filter) ? feed : FEED_NONE))
            return ERR_NOMEM;
        work_charge(&b->work, WORK_SUBSCRIBE);
    }
    return ERR_OK;
}

enum err bridge_session_open(struct broker *b, struct bridge *br)
{
    struct session *s = NULL;
    struct str filter;

    br->ready = false;
    if (find(b, br, &s))
        return ERR_NOMEM;
    br->session = NULL;
    if (!s)
        s = sessions_make(&b->sessions, str_c(br->conf->local_clientid),
                          br->conf->local_clean ? 0 : SESSIONS_NEW);
    if (!s)
        return ERR_NOMEM;
    br->session = s;
    if (!s->own) {
        s->own = true;
        s->bridge = true;
        sessions_note(&b->sessions, s); /* the journal is to know, too */
    }
    s->lazy = br->conf->start_type == CONF_START_LAZY;
    session_disown(&b->env, s);
    while (find_surplus(b, br, &filter)) {
        if (subscription_remove(&b->env, s, filter))
            return ERR_NOMEM;
    }
    if (subscribe(b, br, FEED_NONE))
        return ERR_NOMEM;
    br->ready = true;
    return ERR_OK;
}

enum err bridge_session_feed(struct broker *b, struct bridge *br, bool all)
{
    return subscribe(b, br, all ? FEED_ALL : FEED_UNSAFE);
}

void bridge_session_end(struct broker *b, struct bridge *br)
{
    struct session *s = br->session;

    if (!s)
        return;
    br->session = NULL;
    session_set_kin(&b->env, s, 0);
    s->own = false;
    s->lazy = false;
    if (!sessions_end_reserve(&b->sessions, s))
        sessions_end(&b->sessions, s);
}

void bridge_session_rest(struct broker *b, struct bridge *br)
{
    if (br->session && br->conf->local_clean && br->conf->start_type != CONF_START_LAZY)
        bridge_session_end(b, br);
}

uint64_t bridge_session_queued(const struct bridge *br)
{
    const struct flow *f = br->session ? br->session->flow : NULL;

    return f ? flow_queued(f) + flow_inflight(f) : 0;
}

uint64_t bridge_session_queued_bytes(const struct bridge *br)
{
    const struct flow *f = br->session ? br->session->flow : NULL;

    return f ? flow_queued_bytes(f) + flow_inflight_bytes(f) : 0;
}
