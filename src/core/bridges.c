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

/* Did the broker die while it was connected? */
static bool left_notified(const struct broker *b, const struct conf_bridge *conf)
{
    const struct message *m = retain_find(&b->retain, str_c(conf->notification_topic));

    return conf->notifications && m && str_eq_c(message_payload(m), "1");
}

static void start(struct broker *b, struct conf_bridge *conf)
{
    struct bridge *br = bridge_new(b, conf);

    if (br) {
        br->notified = left_notified(b, conf);
        bridge_notify_down(b, br);
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

/* --- what former lives have left --- */

/* Is there a bridge with this session? It need not have been started yet. */
static bool is_claimed(const struct conf *conf, const struct session *s)
{
    for (size_t i = 0; i < conf->bridge_count; i++) {
        if (str_eq(str_c(conf->bridges[i]->local_clientid), session_id(s)))
            return true;
    }
    return false;
}

static struct session *find_orphan(const struct broker *b)
{
    uint64_t cursor = 0;
    struct session *s;

    while ((s = sessions_next(&b->sessions, &cursor))) {
        if (s->own && !is_claimed(b->conf, s))
            return s;
    }
    return NULL;
}

/* Sections have gone while the broker was not running: as on reload, their sessions end. */
static void end_orphans(struct broker *b)
{
    char id[CONN_NAME_MAX];
    struct session *s;

    while ((s = find_orphan(b)) && !sessions_end_reserve(&b->sessions, s)) {
        log_notice(
            &b->log,
            "The session %s of a bridge that is not configured any more ends, with %llu "
            "messages that wait.",
            str_escape_strict(session_id(s), id, sizeof(id)),
            (unsigned long long)(s->flow ? flow_queued(s->flow) + flow_inflight(s->flow) : 0));
        s->own = false;
        sessions_end(&b->sessions, s);
    }
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
        end_orphans(b);
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

void bridges_count_drop(struct session_env *env, const struct session *s, bool could_pass)
{
    struct broker *b = CONTAINER_OF(env, struct broker, env);
    struct bridge *br;

    TAILQ_FOREACH(br, &b->bridges.all, entry)
    {
        if (br->session != s)
            continue;
        br->dropped++;
        br->lost = br->lost || could_pass;
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
    if (!c->session->bridge) {
        c->session->bridge = true; /* it came without the bit, in doubt */
        sessions_note(&b->sessions, c->session);
    }
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

/* --- broker_check --- */

static bool is_linked(const struct bridge *br)
{
    return br->state == BRIDGE_GREETING || br->state == BRIDGE_UP;
}

static const char *check_state(const struct broker *b, const struct bridge *br)
{
    bool open = br->has_conn && br->conn.state != CONN_CLOSING;
    bool probes = br->state == BRIDGE_UP && br->wants_probe;

    if (is_linked(br) != open)
        return "a bridge's state does not fit its connection";
    if (open && (br->conn.state == CONN_OPEN) != (br->state == BRIDGE_UP))
        return "a bridge is up without having been accepted, or the other way round";
    if (br->has_conn && (br->state == BRIDGE_WANTED || br->state == BRIDGE_DIALLING))
        return "a bridge dials while it has a connection";
    if (!br->has_conn && br->state == BRIDGE_PARTING && !b->bridges.stopped)
        return "a bridge waits for a connection to be closed that it does not have";
    if (!br->has_conn && br->removed)
        return "a removed bridge was not freed";
    if (br->is_wanted != (br->state == BRIDGE_WANTED || probes))
        return "a bridge's state does not fit the list of those that are to be dialled for";
    if ((br->ticket != 0) != (br->state == BRIDGE_DIALLING) ||
        (br->probe != 0 && br->state != BRIDGE_UP))
        return "a bridge's state does not fit its tickets";
    if (wheel_armed(&br->timer) != (br->state == BRIDGE_WAITING || br->state == BRIDGE_UP))
        return "a bridge's state does not fit its timer";
    return NULL;
}

static const char *check_session(const struct broker *b, const struct bridge *br)
{
    const struct session *s = br->session;

    if (br->state == BRIDGE_UP && br->conn.session != s)
        return "a bridge and its connection have different sessions";
    if (!s)
        return NULL;
    if (s->ended || !s->own || sessions_find(&b->sessions, session_id(s)) != s)
        return "a bridge's session is not its own, or not there";
    return s->out && s->out != &br->conn.out ? "another one is connected to a bridge's session"
                                             : NULL;
}

static size_t count_own_sessions(const struct broker *b)
{
    const struct session *s;
    uint64_t cursor = 0;
    size_t n = 0;

    while ((s = sessions_next(&b->sessions, &cursor)))
        n += s->own;
    return n;
}

static size_t count_own_conns(const struct broker *b)
{
    const struct conn *c;
    size_t n = 0;

    TAILQ_FOREACH(c, &b->all, entry)
    {
        n += c->role == CONN_BRIDGE;
    }
    return n;
}

const char *bridges_examine(const struct broker *b)
{
    const char *wrong = NULL;
    const struct bridge *br;
    size_t sessions = 0, conns = 0, lazy = 0, wanted = 0;

    TAILQ_FOREACH(br, &b->bridges.all, entry)
    {
        wrong = wrong ? wrong : check_state(b, br);
        wrong = wrong ? wrong : check_session(b, br);
        sessions += br->session != NULL;
        conns += br->has_conn;
        lazy += br->state == BRIDGE_IDLE && br->conf->start_type == CONF_START_LAZY;
        wanted += br->is_wanted;
    }
    TAILQ_FOREACH(br, &b->bridges.wanted, wanted)
    {
        wanted--;
    }
    if (!wrong && (lazy != b->bridges.lazy || wanted != 0))
        wrong = "the count of bridges that wait is wrong";
    if (!wrong && (sessions > count_own_sessions(b) || conns != count_own_conns(b)))
        wrong = "a session or connection of a bridge is nobody's, or has two";
    return wrong;
}
