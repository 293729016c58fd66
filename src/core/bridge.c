/*
 * From one state of a bridge to another. Every way on leads through bridge_dial, rest or
 * wait_for_next, so that what is armed and listed always fits the state.
 */
#include "core/bridge.h"

#include "base/mem.h"
#include "core/bridge_session.h"
#include "core/bridge_speak.h"
#include "core/ending.h"
#include "core/state.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* How often one that is up looks whether there is something to do. */
#define LOOK_MS 1000
/* A remote broker that has accepted the bit of try_private is suspected of not knowing it when so
 * many connections have been closed without an answer. */
#define CLOSES_OF_KNOWN 3
/* So long a remote broker may take to answer CONNECT; some clusters need seconds. */
#define CONNACK_MS 15000
/* After an attempt for which there was no memory. */
#define RETRY_MS 1000

/* --- birth and death --- */

static enum err take_section(struct bridge *br, struct conf_bridge *conf)
{
    struct conf_listener *rules = conf_bridge_rules(conf);

    if (!rules)
        return ERR_NOMEM;
    conf_listener_unref(br->rules);
    conf_bridge_unref(br->conf);
    br->rules = rules;
    br->conf = conf_bridge_ref(conf);
    return ERR_OK;
}

struct bridge *bridge_new(struct broker *b, struct conf_bridge *conf)
{
    struct bridge *br = mem_zalloc(sizeof(*br));

    if (!br)
        return NULL;
    if (take_section(br, conf)) {
        mem_free(br, sizeof(*br));
        return NULL;
    }
    TAILQ_INSERT_TAIL(&b->bridges.all, br, entry);
    return br;
}

static void unwant(struct broker *b, struct bridge *br)
{
    if (br->is_wanted)
        TAILQ_REMOVE(&b->bridges.wanted, br, wanted);
    br->is_wanted = false;
    br->wants_probe = false;
}

static void want(struct broker *b, struct bridge *br)
{
    if (!br->is_wanted)
        TAILQ_INSERT_TAIL(&b->bridges.wanted, br, wanted);
    br->is_wanted = true;
}

/* Nothing that was begun for it counts any more. */
static void set_state(struct broker *b, struct bridge *br, enum bridge_state state)
{
    wheel_disarm(&b->bridges.wheel, &br->timer);
    unwant(b, br);
    br->ticket = 0;
    br->probe = 0;
    b->bridges.lazy -= br->state == BRIDGE_IDLE && br->conf->start_type == CONF_START_LAZY;
    br->state = state;
}

void bridge_free(struct broker *b, struct bridge *br)
{
    set_state(b, br, BRIDGE_PARTING);
    TAILQ_REMOVE(&b->bridges.all, br, entry);
    conf_listener_unref(br->rules);
    conf_bridge_unref(br->conf);
    conf_bridge_unref(br->fresh);
    conf_bridge_unref(br->former);
    mem_free(br, sizeof(*br));
}

void bridge_remove(struct broker *b, struct bridge *br)
{
    br->removed = true;
    if (br->has_conn && br->conn.state != CONN_CLOSING) {
        conn_end(b, &br->conn, REASON_BRIDGE_REMOVED, NULL);
        return;
    }
    log_notice(&b->log, "Bridge %s stopped: %s.", br->conf->name,
               reason_text(REASON_BRIDGE_REMOVED));
    bridge_untell(b, br);
    bridge_session_end(b, br);
    if (!br->has_conn)
        bridge_free(b, br);
}

/* --- on the way --- */

/* A lazy bridge waits for messages, another one for nothing. */
static void rest(struct broker *b, struct bridge *br)
{
    set_state(b, br, BRIDGE_IDLE);
    b->bridges.lazy += br->conf->start_type == CONF_START_LAZY;
}

/* The next pause: at random, and up to three times the last one. */
static uint32_t next_delay(struct broker *b, struct bridge *br)
{
    uint64_t base = br->conf->restart_base * UINT64_C(1000);
    uint64_t cap = br->conf->restart_cap * UINT64_C(1000);
    uint64_t last = br->delay_ms > base ? br->delay_ms : base;
    uint64_t most = last * 3 < cap ? last * 3 : cap;

    br->delay_ms = (uint32_t)base;
    if (most > base)
        br->delay_ms += rng_below(&b->bridges.rng, (uint32_t)(most - base + 1));
    return br->delay_ms;
}

static void wait_for_next(struct broker *b, struct bridge *br, uint32_t delay_ms)
{
    set_state(b, br, BRIDGE_WAITING);
    br->tried = 0;
    wheel_arm(&b->bridges.wheel, &br->timer, b->now.mono_ms + delay_ms);
}

/* What was changed while it was connected. ERR_NOMEM. */
static enum err take_fresh(struct broker *b, struct bridge *br)
{
    struct conf_bridge *former = br->conf;
    struct conf_bridge *fresh = br->fresh;

    if (!fresh)
        return ERR_OK;
    set_state(b, br, BRIDGE_NEW); /* whether it is lazy may change */
    (void)conf_bridge_ref(former);
    if (take_section(br, fresh)) {
        conf_bridge_unref(former);
        return ERR_NOMEM;
    }
    br->fresh = NULL;
    conf_bridge_unref(fresh);
    br->address = 0;
    br->plain = false;
    br->known = false;
    br->shy = false;
    if (strcmp(former->local_clientid, br->conf->local_clientid) != 0 ||
        former->local_clean != br->conf->local_clean)
        bridge_session_end(b, br);
    if (br->former)
        conf_bridge_unref(former); /* it was never connected with that */
    else
        br->former = former;
    return ERR_OK;
}

/* The session is there as long as the bridge is: messages wait in it. But a clean one is only there
 * while it is connected, unless its messages are what makes it connect. */
static enum err prepare_session(struct broker *b, struct bridge *br)
{
    bool early = !br->conf->local_clean || br->conf->start_type == CONF_START_LAZY;

    return early ? bridge_session_open(b, br) : ERR_OK;
}

void bridge_begin(struct broker *b, struct bridge *br)
{
    bool changed = br->fresh != NULL;

    if (take_fresh(b, br) || ((changed || !br->session || !br->ready) && prepare_session(b, br))) {
        wait_for_next(b, br, RETRY_MS);
        return;
    }
    bridge_tell(b, br);
    if (br->conf->start_type == CONF_START_LAZY && !bridge_has_enough(br))
        rest(b, br);
    else
        bridge_dial(b, br);
}

void bridge_dial(struct broker *b, struct bridge *br)
{
    char place[BRIDGE_ADDRESS_MAX];

    if (b->bridges.stopped)
        return;
    if (br->has_conn) {
        set_state(b, br, BRIDGE_PARTING);
        return;
    }
    set_state(b, br, BRIDGE_WANTED);
    want(b, br);
    log_notice(&b->log, "Connecting bridge %s (%s)", br->conf->name,
               bridge_place(bridge_address(br), place));
}

/* --- what went wrong --- */

static void PRINTF(2, 3) note(struct bridge *br, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(br->last_error, sizeof(br->last_error), fmt, args);
    va_end(args);
}

static void step_address(struct bridge *br)
{
    br->address = (br->address + 1) % br->conf->address_count;
}

void bridge_failed(struct broker *b, struct bridge *br, const char *why)
{
    char place[BRIDGE_ADDRESS_MAX];
    char next[BRIDGE_ADDRESS_MAX];
    uint32_t delay_ms;

    note(br, "%s", why);
    bridge_place(bridge_address(br), place);
    br->tried++;
    step_address(br);
    if (br->tried < br->conf->address_count) {
        log_warning(&b->log, "Warning: Unable to connect bridge %s (%s): %s; trying %s next.",
                    br->conf->name, place, why, bridge_place(bridge_address(br), next));
        bridge_tell(b, br);
        bridge_dial(b, br);
        return;
    }
    if (!br->conf->round_robin)
        br->address = 0;
    if (br->conf->start_type == CONF_START_ONCE) {
        log_warning(&b->log, "Warning: Unable to connect bridge %s (%s): %s (start_type once).",
                    br->conf->name, place, why);
        rest(b, br);
    } else {
        delay_ms = next_delay(b, br);
        log_warning(&b->log,
                    "Warning: Unable to connect bridge %s (%s): %s; next attempt in %u.%u s.",
                    br->conf->name, place, why, delay_ms / 1000, delay_ms / 100 % 10);
        wait_for_next(b, br, delay_ms);
    }
    bridge_tell(b, br);
}

/*
 * Is the bit that says that it is a bridge to blame? Then it is tried again at once without. A
 * connection that is just closed may have another reason: so if that does not help, or when that
 * connection is lost, the next attempt has the bit again; and who has accepted it once is not
 * suspected so soon.
 */
static bool blame_private(struct broker *b, struct bridge *br, enum reason why)
{
    bool refused = why == REASON_CONNACK_REFUSED && br->refused == CONNACK_PROTOCOL_VERSION;
    bool closed = why == REASON_PEER_CLOSED || why == REASON_SOCKET;

    if (br->plain) {
        br->plain = refused || !br->doubted;
        return false;
    }
    if (!br->conf->try_private || (!refused && !closed))
        return false;
    if (closed && br->known && ++br->closes < CLOSES_OF_KNOWN)
        return false;
    br->plain = true;
    br->doubted = closed;
    log_info(&b->log,
             "Bridge %s: the remote broker seems not to know of bridges (try_private); trying "
             "without.",
             br->conf->name);
    return true;
}

static void describe(enum reason why, const char *detail, char out[BRIDGE_WHY_MAX])
{
    bool closed = why == REASON_PEER_CLOSED; /* elsewhere that is a client */

    (void)snprintf(out, BRIDGE_WHY_MAX, "%s%s%s",
                   closed ? "the remote broker closed the connection" : reason_text(why),
                   detail ? ": " : "", detail ? detail : "");
}

/* A message that was in flight first when a connection was lost so often is under suspicion. */
#define STUCK_TIMES 3

/*
 * Some remote brokers close the connection when they cannot take a message: it is sent again with
 * the next one, and so for ever. It is not for us to drop it, but to say which one it may be.
 */
static void suspect(struct bridge *br, char why[BRIDGE_WHY_MAX])
{
    const struct flow *f = br->session ? br->session->flow : NULL;
    const struct flow_row *row = f && flow_inflight(f) > 0 ? flow_row_at(f, flow_head(f)) : NULL;
    size_t used = strlen(why);
    char topic[128];

    if (!row || !row->message || flow_head(f) != br->stuck_seq)
        br->stuck = 0;
    if (!row || row->away || !row->message)
        return;
    br->stuck_seq = flow_head(f);
    if (++br->stuck >= STUCK_TIMES)
        (void)snprintf(why + used, BRIDGE_WHY_MAX - used,
                       " (%u times now while a message on topic '%s' was the next to be "
                       "acknowledged)",
                       br->stuck,
                       str_escape_strict(message_topic(row->message), topic, sizeof(topic)));
}

/* Where to go after a connection that has lasted was lost: to another address at once, if there is
 * one. */
static bool moves_on(struct broker *b, struct bridge *br)
{
    uint64_t lasted_ms = b->now.mono_ms - br->up_ms;
    bool first = br->address == 0;

    if (br->conf->round_robin || first)
        step_address(br);
    else
        br->address = 0;
    br->tried = 1;
    return br->conf->address_count > 1 && lasted_ms >= br->conf->restart_base * UINT64_C(1000);
}

/* It was up, and nobody here wanted it to end. */
static void lost(struct broker *b, struct bridge *br, const char *why)
{
    uint64_t lasted_ms = b->now.mono_ms - br->up_ms;
    char next[BRIDGE_ADDRESS_MAX];
    char place[BRIDGE_ADDRESS_MAX];
    uint32_t delay_ms;

    note(br, "%s", why);
    bridge_place(bridge_address(br), place);
    if (lasted_ms >= br->conf->restart_stable * UINT64_C(1000))
        br->delay_ms = 0;
    if (br->plain && br->asked && !br->answered)
        br->shy = true; /* that may have been too much for it: without, the next time */
    else if (br->doubted)
        br->plain = false;
    if (br->conf->start_type == CONF_START_ONCE) {
        log_warning(&b->log, "Warning: Bridge %s disconnected from %s: %s (start_type once).",
                    br->conf->name, place, why);
        rest(b, br);
        return;
    }
    if (moves_on(b, br)) {
        log_warning(&b->log, "Warning: Bridge %s disconnected from %s: %s; trying %s next.",
                    br->conf->name, place, why, bridge_place(bridge_address(br), next));
        bridge_dial(b, br);
        return;
    }
    if (!br->conf->round_robin)
        br->address = 0;
    delay_ms = next_delay(b, br);
    log_warning(&b->log, "Warning: Bridge %s disconnected from %s: %s; next attempt in %u.%u s.",
                br->conf->name, place, why, delay_ms / 1000, delay_ms / 100 % 10);
    wait_for_next(b, br, delay_ms);
}

/* It ends because we want it to. */
static void stopped(struct broker *b, struct bridge *br, enum reason why)
{
    if (why == REASON_BRIDGE_IDLE) {
        log_notice(&b->log, "Bridge connection %s has exceeded idle timeout, disconnecting.",
                   br->conf->name);
        rest(b, br);
        return;
    }
    log_notice(&b->log, "Bridge %s stopped: %s.", br->conf->name, reason_text(why));
    if (why == REASON_BRIDGE_PRIMARY)
        br->address = 0;
    set_state(b, br, BRIDGE_PARTING);
}

static bool is_wished(enum reason why)
{
    return why == REASON_BRIDGE_IDLE || why == REASON_BRIDGE_PRIMARY ||
           why == REASON_BRIDGE_CHANGED || why == REASON_BRIDGE_REMOVED || why == REASON_SHUTDOWN;
}

void bridge_parts(struct broker *b, struct conn *c, enum reason why)
{
    if (bridge_of(c)->state == BRIDGE_UP && is_wished(why))
        bridge_send_farewell(b, bridge_of(c));
}

void bridge_ended(struct broker *b, struct conn *c, enum reason why, const char *detail)
{
    struct bridge *br = bridge_of(c);
    bool was_up = br->state == BRIDGE_UP;
    char text[BRIDGE_WHY_MAX];

    bridge_notify_down(b, br);
    describe(why, detail, text);
    if (was_up && !is_wished(why))
        suspect(br, text);
    if (is_wished(why))
        stopped(b, br, why);
    else if (was_up)
        lost(b, br, text);
    else if (blame_private(b, br, why))
        bridge_dial(b, br);
    else
        bridge_failed(b, br, text);
    bridge_session_rest(b, br);
    if (why == REASON_BRIDGE_REMOVED) {
        bridge_untell(b, br);
        bridge_session_end(b, br);
    } else {
        bridge_tell(b, br);
    }
}

void bridge_gone(struct broker *b, struct conn *c)
{
    struct bridge *br = bridge_of(c);
    bool changes = br->state == BRIDGE_IDLE && br->fresh;

    br->has_conn = false;
    if (br->removed)
        bridge_free(b, br);
    else if ((br->state == BRIDGE_PARTING || changes) && !b->bridges.stopped)
        bridge_begin(b, br);
}

void bridge_change(struct broker *b, struct bridge *br, struct conf_bridge *conf)
{
    bool connected = br->has_conn && br->conn.state != CONN_CLOSING;

    conf_bridge_unref(br->fresh);
    br->fresh = NULL;
    if (conf_bridge_same(br->conf, conf))
        return; /* as it was before the last change */
    br->fresh = conf_bridge_ref(conf);
    if (connected && br->state == BRIDGE_UP && conf->reload_lazily) {
        log_info(&b->log,
                 "Bridge %s: its section has changed; that takes effect with its next "
                 "connection (bridge_reload_type lazy).",
                 conf->name);
    } else if (connected) {
        conn_end(b, &br->conn, REASON_BRIDGE_CHANGED, NULL);
    } else {
        br->delay_ms = 0;
        br->tried = 0;
        if (br->has_conn)
            set_state(b, br, BRIDGE_PARTING);
        else
            bridge_begin(b, br);
    }
}

/* --- time --- */

bool bridge_has_enough(const struct bridge *br)
{
    return bridge_session_queued(br) >= br->conf->threshold && bridge_session_queued(br) > 0;
}

/* Is it on another address than the one that it should have? */
static bool is_astray(const struct bridge *br)
{
    return br->address != 0 && !br->conf->round_robin;
}

static bool is_idle(struct broker *b, struct bridge *br)
{
    if (br->conn.out.published || bridge_session_queued(br) > 0)
        br->active_ms = b->now.mono_ms;
    br->conn.out.published = false;
    return b->now.mono_ms - br->active_ms >= br->conf->idle_timeout * UINT64_C(1000);
}

static void look_around(struct broker *b, struct bridge *br)
{
    if (br->conf->start_type == CONF_START_LAZY && is_idle(b, br)) {
        conn_end(b, &br->conn, REASON_BRIDGE_IDLE, NULL);
        return;
    }
    if (is_astray(br) && b->now.mono_ms >= br->probe_ms && br->probe == 0) {
        br->wants_probe = true;
        br->probe_ms = b->now.mono_ms + br->conf->restart_cap * UINT64_C(1000);
        want(b, br);
    }
    wheel_arm(&b->bridges.wheel, &br->timer, b->now.mono_ms + LOOK_MS);
}

void bridge_wake(struct broker *b, struct bridge *br)
{
    if (br->state == BRIDGE_UP)
        look_around(b, br);
    else if (br->has_conn)
        set_state(b, br, BRIDGE_PARTING); /* goes on when it is closed */
    else
        bridge_begin(b, br);
}

/* --- the door --- */

bool broker_take_dial(struct broker *b, struct dial_order *order)
{
    struct bridge *br = TAILQ_FIRST(&b->bridges.wanted);

    if (!br)
        return false;
    *order = (struct dial_order){.ticket = ++b->bridges.ticket,
                                 .conf = conf_bridge_ref(br->conf),
                                 .address = br->wants_probe ? 0 : br->address,
                                 .probe = br->wants_probe};
    unwant(b, br);
    if (order->probe) {
        br->probe = order->ticket;
    } else {
        br->ticket = order->ticket;
        br->state = BRIDGE_DIALLING;
    }
    return true;
}

/* Whose dial or probe is it? NULL: nobody's any more. */
static struct bridge *find_ticket(const struct broker *b, uint64_t ticket, bool *probe)
{
    struct bridge *br;

    TAILQ_FOREACH(br, &b->bridges.all, entry)
    {
        *probe = br->probe == ticket;
        if (ticket != 0 && (br->ticket == ticket || *probe))
            return br;
    }
    return NULL;
}

bool broker_wants_dial(const struct broker *b, uint64_t ticket)
{
    bool probe;

    return find_ticket(b, ticket, &probe) != NULL;
}

static void open_conn(struct broker *b, struct bridge *br, const struct peer *peer, void *link)
{
    struct conn *c = &br->conn;

    *c = (struct conn){
        .link = link, .peer = *peer, .role = CONN_BRIDGE, .last_in_ms = (uint32_t)b->now.mono_ms};
    c->peer.listener = conf_listener_ref(br->rules);
    c->out.map = conf_listener_ref(br->rules);
    c->out.max_qos = QOS_2;
    br->has_conn = true;
    br->pinged = false;
    br->refused = 0;
    br->notice = 0;
    TAILQ_INSERT_TAIL(&b->all, c, entry);
    wheel_arm(&b->wheel, &c->timer, b->now.mono_ms + CONNACK_MS);
    work_charge(&b->work, WORK_CONNECT);
}

struct conn *broker_dialed(struct broker *b, uint64_t ticket, const struct peer *peer, void *link)
{
    bool probe;
    struct bridge *br = find_ticket(b, ticket, &probe);

    if (!br || probe || br->has_conn || b->bridges.stopped)
        return NULL;
    set_state(b, br, BRIDGE_GREETING);
    open_conn(b, br, peer, link);
    if (bridge_send_connect(b, br))
        conn_end(b, &br->conn, REASON_NOMEM, NULL);
    return &br->conn;
}

void broker_dial_failed(struct broker *b, uint64_t ticket, const char *why)
{
    bool probe;
    struct bridge *br = find_ticket(b, ticket, &probe);

    if (!br)
        return;
    if (probe)
        br->probe = 0;
    else
        bridge_failed(b, br, why);
}

void broker_dial_probed(struct broker *b, uint64_t ticket)
{
    bool probe;
    struct bridge *br = find_ticket(b, ticket, &probe);

    if (!br || !probe)
        return;
    br->probe = 0;
    if (br->state == BRIDGE_UP)
        conn_end(b, &br->conn, REASON_BRIDGE_PRIMARY, NULL);
}
