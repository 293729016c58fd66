/*
 * The list of bridges, held against the configuration.
 */
#include "core/bridges.h"

#include "base/mem.h"
#include "core/bridge.h"
#include "core/bridge_session.h"
#include "core/bridge_speak.h"
#include "core/ending.h"
#include "core/handlers.h"
#include "core/sys.h"
#include "mqtt/encode.h"

#include <stdio.h>
#include <string.h>

/* When there was no memory for a bridge. */
#define AGAIN_MS 5000

void bridges_init(struct broker *b, uint64_t seed)
{
    static const struct bridge_hooks hooks = {
        .parts = bridge_parts, .ended = bridge_ended, .gone = bridge_gone};
    struct bridges *all = &b->bridges;

    all->hooks = &hooks;
    TAILQ_INIT(&all->all);
    TAILQ_INIT(&all->wanted);
    wheel_init(&all->wheel, 0);
    rng_seed(&all->rng, seed);
    b->env.own_dropped = bridges_count_drop;
}

void bridges_clear(struct broker *b)
{
    struct bridge *br;

    while ((br = TAILQ_FIRST(&b->bridges.all)))
        bridge_free(b, br);
}

/* --- the configuration --- */

static struct bridge *find(const struct broker *b, const char *name)
{
    struct bridge *br;

    TAILQ_FOREACH(br, &b->bridges.all, entry)
    {
        if (!br->removed && strcmp(br->conf->name, name) == 0)
            return br;
    }
    return NULL;
}

static bool is_configured(const struct conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->bridge_count; i++) {
        if (strcmp(conf->bridges[i]->name, name) == 0)
            return true;
    }
    return false;
}

static void start(struct broker *b, struct conf_bridge *conf)
{
    struct bridge *br = bridge_new(b, conf);

    if (br) {
        bridge_begin(b, br);
        return;
    }
    log_error(&b->log, "Error: Bridge %s cannot be started now: out of memory.", conf->name);
    b->bridges.again_ms = b->now.mono_ms + AGAIN_MS;
}

void bridges_commit(struct broker *b)
{
    struct bridge *next;

    if (!b->bridges.begun)
        return; /* the first turn starts them all */
    b->bridges.tell_ms = 0;
    b->bridges.again_ms = 0;
    for (struct bridge *br = TAILQ_FIRST(&b->bridges.all); br; br = next) {
        next = TAILQ_NEXT(br, entry);
        if (!br->removed && !is_configured(b->conf, br->conf->name))
            bridge_remove(b, br);
    }
    for (size_t i = 0; i < b->conf->bridge_count; i++) {
        struct conf_bridge *conf = b->conf->bridges[i];
        struct bridge *br = find(b, conf->name);
        if (!br)
            start(b, conf);
        else if (!conf_bridge_same(br->fresh ? br->fresh : br->conf, conf))
            bridge_change(b, br, conf);
    }
}

void bridges_stop(struct broker *b)
{
    b->bridges.stopped = true;
}

/* --- turns --- */

/* Lazy ones whose messages have become many. */
static void wake_lazy(struct broker *b)
{
    struct bridge *br;

    TAILQ_FOREACH(br, &b->bridges.all, entry)
    {
        if (br->state == BRIDGE_IDLE && br->conf->start_type == CONF_START_LAZY &&
            bridge_has_enough(br))
            bridge_dial(b, br);
    }
}

static void tell_all(struct broker *b)
{
    uint64_t every_ms = b->conf->global.sys_interval * UINT64_C(1000);
    struct bridge *br;

    b->bridges.tell_ms = every_ms > 0 ? b->now.mono_ms + every_ms : UINT64_MAX;
    TAILQ_FOREACH(br, &b->bridges.all, entry)
    {
        bridge_tell(b, br);
    }
}

void bridges_work(struct broker *b)
{
    struct wheel_timer *t;

    if (UNLIKELY(!b->bridges.begun)) {
        b->bridges.begun = true;
        wheel_advance(&b->bridges.wheel, b->now.mono_ms);
        bridges_commit(b);
    }
    if (UNLIKELY(b->bridges.again_ms) && b->bridges.again_ms <= b->now.mono_ms)
        bridges_commit(b);
    if (LIKELY(TAILQ_EMPTY(&b->bridges.all)) || b->bridges.stopped)
        return;
    wheel_advance(&b->bridges.wheel, b->now.mono_ms);
    while (!work_is_spent(&b->work) && (t = wheel_pop(&b->bridges.wheel)))
        bridge_wake(b, CONTAINER_OF(t, struct bridge, timer));
    if (b->bridges.lazy > 0)
        wake_lazy(b);
    if (b->bridges.tell_ms <= b->now.mono_ms)
        tell_all(b);
}

uint64_t bridges_next(const struct broker *b)
{
    uint64_t due;

    if (!b->bridges.begun)
        return b->conf->bridge_count > 0 ? 0 : UINT64_MAX;
    if (b->bridges.stopped)
        return UINT64_MAX;
    if (TAILQ_EMPTY(&b->bridges.all))
        return b->bridges.again_ms ? b->bridges.again_ms : UINT64_MAX;
    due = wheel_next_ms(&b->bridges.wheel);
    if (!TAILQ_EMPTY(&b->bridges.wanted))
        return 0;
    if (b->bridges.again_ms && b->bridges.again_ms < due)
        due = b->bridges.again_ms;
    return due < b->bridges.tell_ms ? due : b->bridges.tell_ms;
}

void bridges_count_drop(struct session_env *env, const struct session *s)
{
    struct broker *b = CONTAINER_OF(env, struct broker, env);
    struct bridge *br;

    TAILQ_FOREACH(br, &b->bridges.all, entry)
    {
        if (br->session != s)
            continue;
        br->dropped++;
        br->lost = true;
    }
}

/* --- names --- */

/* A name could be anything; a filter with wildcards is none. */
static bool is_name(struct str name)
{
    return name.n > 0 && name.n < BROKER_ID_MAX && !memchr(name.p, '+', name.n) &&
           !memchr(name.p, '#', name.n) && !memchr(name.p, '/', name.n);
}

enum err bridges_meet(struct broker *b, struct conn *c, struct str filter, bool *met)
{
    struct str topic = STR(BRIDGE_PEER_TOPIC);
    struct packet_publish p = {
        .topic = filter,
    };
    uint8_t packet[FIXED_HEADER_MAX + 2 + sizeof(BRIDGE_PEER_TOPIC) + BROKER_ID_MAX];
    struct str name;
    size_t n;

    *met = false;
    if (LIKELY(!str_has_prefix(filter, topic)) || c->session->own)
        return ERR_OK;
    name = str_of(filter.p + topic.n, filter.n - topic.n);
    if (!is_name(name))
        return ERR_OK;
    *met = true;
    c->session->bridge = true; /* also without the bit: it may be in doubt */
    p.payload = str_c(bridge_own_name(b));
    session_set_kin(&b->env, c->session, kin_get(&b->env.kin, name));
    n = encode_publish_head(packet, &p);
    return outbox_put_parts(&b->hub, &c->out, OUTBOX_NEXT, str_of((char *)packet, n), p.payload);
}

bool bridges_met(struct broker *b, struct conn *c, const struct packet_publish *p)
{
    if (!str_has_prefix(p->topic, STR(BRIDGE_PEER_TOPIC)))
        return false;
    if (is_name(p->payload))
        session_set_kin(&b->env, c->session, kin_get(&b->env.kin, p->payload));
    return true;
}

void bridges_watch(struct broker *b, const struct conn *c, const struct packet_publish *p)
{
    char name[CONN_NAME_MAX];
    char topic[512];

    if (!circle_turns(&b->bridges.circle, b->now.mono_ms, (uintptr_t)c->session, p->topic,
                      p->payload))
        return;
    log_warning(&b->log,
                "Warning: Bridge %s has brought the same message %d times within %d s, on topic "
                "'%s': is there a loop of bridges? See mosquitto-scale(7).",
                conn_name(c, name), CIRCLE_TIMES, CIRCLE_WINDOW_MS / 1000,
                str_escape_strict(p->topic, topic, sizeof(topic)));
}
