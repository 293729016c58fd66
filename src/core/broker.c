/*
 * The door: bytes and time in, bytes and wishes out.
 */
#include "core/broker.h"

#include "base/mem.h"
#include "core/bridges.h"
#include "core/dispatch.h"
#include "core/ending.h"
#include "core/feed.h"
#include "core/handlers.h"
#include "core/login.h"
#include "core/renew.h"
#include "core/replay.h"
#include "core/state.h"
#include "core/sys.h"
#include "core/will.h"

#include <string.h>

_Static_assert(BROKER_FRAME_ROOM == PERSIST_FRAME_ROOM, "the room that the door speaks of");

/* --- birth and death --- */

static void take_limits(struct broker *b)
{
    const struct conf_global *g = &b->conf->global;

    b->env.limits = (struct flow_limits){.max_inflight = g->max_inflight_messages,
                                         .max_inflight_bytes = g->max_inflight_bytes,
                                         .max_queued = g->max_queued_messages,
                                         .max_queued_bytes = g->max_queued_bytes};
    b->env.own_limits = b->env.limits;
    if (g->max_inflight_messages == 0 || g->max_inflight_messages > BRIDGE_INFLIGHT_MAX)
        b->env.own_limits.max_inflight = BRIDGE_INFLIGHT_MAX;
    b->env.queue_qos0 = g->queue_qos0_messages;
    b->env.duplicates = g->allow_duplicate_messages;
    b->env.upgrade = g->upgrade_outgoing_qos;
    b->env.drop_oldest = g->queue_drops_oldest;
    b->env.check_author = g->check_retain_source;
    b->persist.stored.resident_limit = g->persistence_memory_limit;
    b->report.conf = b->conf;
    rights_changed(&b->env.rights, b->conf);
}

static struct party party_of(const struct outbox *out)
{
    return conn_party(CONTAINER_OF(out, struct conn, out));
}

static void wire_up(struct broker *b, const struct broker_setup *setup)
{
    b->conf = setup->conf;
    b->log = setup->log;
    b->version = setup->version;
    b->make_id = setup->make_id;
    b->make_id_ctx = setup->make_id_ctx;
    report_init(&b->report, &b->log, b->conf);
    persist_init(&b->persist, setup->persistent);
    outbox_hub_init(&b->hub, &b->persist, &b->stats, &b->work);
    b->env = (struct session_env){.hub = &b->hub,
                                  .persist = &b->persist,
                                  .stats = &b->stats,
                                  .work = &b->work,
                                  .trie = &b->trie,
                                  .retain = &b->retain,
                                  .log = &b->log,
                                  .report = &b->report,
                                  .party_of = party_of,
                                  .scratch = &b->row_scratch,
                                  .seed = setup->seed,
                                  .rights = {.seed = setup->seed},
                                  .authors = {.rights = &b->env.rights}};
    TAILQ_INIT(&b->env.todo);
    sessions_init(&b->sessions, &b->env);
    logins_init(&b->logins, setup->seed, &b->wheel);
    slab_init(&b->conns, sizeof(struct conn));
    slabs_init(&b->pool);
    b->scratch.pool = &b->pool;
    b->row_scratch.pool = &b->pool;
    TAILQ_INIT(&b->all);
    TAILQ_INIT(&b->pending);
    bridges_init(b, setup->seed);
    take_limits(b);
}

struct broker *broker_new(const struct broker_setup *setup)
{
    struct broker *b = mem_zalloc(sizeof(*b));

    if (!b)
        return NULL;
    wire_up(b, setup);
    wheel_init(&b->wheel, 0);
    if (trie_init(&b->trie, setup->seed) || retain_init(&b->retain, setup->seed) || sys_init(b)) {
        broker_free(b);
        return NULL;
    }
    return b;
}

void broker_trim(struct broker *b)
{
    slab_trim(&b->conns);
    slabs_trim(&b->pool);
}

void broker_free(struct broker *b)
{
    struct conn *c;

    bridges_stop(b);
    replay_free(b);
    renew_free(b);
    sys_free(b);
    while ((c = TAILQ_FIRST(&b->all))) {
        if (c->session)
            session_detach(&b->env, c->session, 0);
        c->session = NULL;
        conn_free(b, c);
    }
    bridges_clear(b);
    logins_clear(&b->logins);
    sessions_clear(&b->sessions);
    table_clear(&b->env.feeds);
    table_clear(&b->env.resumed);
    buf_clear(&b->env.fetches);
    route_clear(&b->route);
    trie_clear(&b->trie);
    authors_clear(&b->env.authors);
    retain_clear(&b->retain);
    rights_clear(&b->env.rights);
    outbox_hub_clear(&b->hub);
    persist_clear(&b->persist);
    slab_clear(&b->conns);
    slabs_clear(&b->pool);
    mem_free(b, sizeof(*b));
}

/* --- time --- */

/* A wall clock that leaves the other clock by more than this has been set: machines without a
 * battery begin in 1970, and sessions must not expire for it. */
#define CLOCK_SET_S 60

static void watch_clock(struct broker *b, struct now now)
{
    int64_t passed = (int64_t)(now.mono_ms / 1000) - (int64_t)(b->now.mono_ms / 1000);
    int64_t by = now.wall_s - b->now.wall_s - passed;

    if (by >= -CLOCK_SET_S && by <= CLOCK_SET_S)
        return;
    sessions_clock_set(&b->sessions, b->began_s, by);
    b->began_s += by;
}

void broker_tick(struct broker *b, struct now now)
{
    if (UNLIKELY(b->began_s == 0)) {
        b->began_s = now.wall_s;
        b->began_ms = now.mono_ms;
    } else if (UNLIKELY(now.wall_s != b->now.wall_s)) {
        watch_clock(b, now);
    }
    b->now = now;
    b->report.now_ms = now.mono_ms;
    b->work = (struct work){0};
    b->renew_left = WORK_SHARE;
}

static void connection_due(struct broker *b, struct conn *c)
{
    uint32_t limit = c->keepalive_s * 1500u; /* 3.1.2-24 */
    uint32_t silent;

    if (UNLIKELY(c->role == CONN_BRIDGE)) {
        bridges_due(b, c);
        return;
    }
    if (conn_waiting(c)) {
        login_due(b, c);
        return;
    }
    if (c->state == CONN_NEW) {
        conn_end(b, c, REASON_CONNECT_TIMEOUT, NULL);
        return;
    }
    /* While we do not look at its input, its silence proves nothing. */
    if (c->pause == PAUSE_BUDGET || c->pause == PAUSE_STORAGE)
        conn_heard(c, b->now.mono_ms);
    silent = conn_silent_ms(c, b->now.mono_ms);
    if (silent >= limit)
        conn_end(b, c, REASON_KEEPALIVE, NULL);
    else
        wheel_arm(&b->wheel, &c->timer, b->now.mono_ms + limit - silent);
}

/* So many timers are looked at in any turn: a flood of input does not keep silent peers connected.
 */
#define TIMERS_PER_TURN 64

static void work_timers(struct broker *b)
{
    struct wheel_timer *t;

    wheel_advance(&b->wheel, b->now.mono_ms);
    for (int n = 0; n < TIMERS_PER_TURN || !work_is_spent(&b->work); n++) {
        t = wheel_pop(&b->wheel);
        if (!t)
            return;
        connection_due(b, CONTAINER_OF(t, struct conn, timer));
        work_charge(&b->work, WORK_PACKET);
    }
}

/* Input came first in this turn; what was cut short in former ones has a share of it all the same.
 */
static void leave_a_share(struct work *w)
{
    if (w->spent > WORK_TURN - WORK_SHARE)
        w->spent = WORK_TURN - WORK_SHARE;
}

/* --- connections --- */

/* The time runs from accept; its low bits wrap after 49 days. */
static uint64_t connect_due(const struct broker *b, const struct peer *peer)
{
    int32_t waited_ms = (int32_t)((uint32_t)b->now.mono_ms - peer->accept_ms);

    if (waited_ms < 0)
        waited_ms = 0;
    return waited_ms < CONNECT_TIMEOUT_MS
               ? b->now.mono_ms + CONNECT_TIMEOUT_MS - (uint32_t)waited_ms
               : b->now.mono_ms;
}

struct conn *broker_open(struct broker *b, const struct peer *peer, void *link)
{
    struct conn *c = slab_alloc(&b->conns);

    if (!c)
        return NULL;
    *c = (struct conn){.link = link, .peer = *peer, .last_in_ms = (uint32_t)b->now.mono_ms};
    (void)conf_listener_ref(peer->listener);
    c->out.max_qos = peer->listener->max_qos;
    TAILQ_INSERT_TAIL(&b->all, c, entry);
    wheel_arm(&b->wheel, &c->timer, connect_due(b, peer));
    b->stats.connections++;
    b->stats.connections_opened++;
    work_charge(&b->work, WORK_CONNECT);
    report_opened(&b->report, peer);
    return c;
}

enum err broker_name(struct broker *b, struct conn *c, struct str user)
{
    (void)b;
    return conn_prove(c, user);
}

void broker_closed(struct broker *b, struct conn *c, enum reason why, const char *detail)
{
    conn_end(b, c, why, detail);
    conn_free(b, c);
}

/* --- input --- */

/*
 * A packet larger than the shared buffer grows in its own, once much of it is there: with the bytes
 * that came, not with those that were promised.
 */
static bool lands_aside(const struct conn *c)
{
    return c->need > SHARED_INPUT && c->in.len >= SHARED_INPUT / 2;
}

static struct span room_aside(struct broker *b, struct conn *c)
{
    size_t want = c->need - c->in.len;
    size_t step = c->in.len; /* twice what there is */

    if (buf_room(&c->in) == 0 && buf_reserve_exact(&c->in, want < step ? want : step)) {
        conn_end(b, c, REASON_NOMEM, NULL);
        return (struct span){0};
    }
    want = want < buf_room(&c->in) ? want : buf_room(&c->in);
    return (struct span){.p = buf_end(&c->in), .n = want};
}

struct span broker_room(struct broker *b, struct conn *c)
{
    if (c->state == CONN_CLOSING || (c->pause && !login_listens(c)) || work_is_spent(&b->work))
        return (struct span){0};
    work_charge(&b->work, WORK_READ);
    if (lands_aside(c))
        return room_aside(b, c);
    if (c->in.len > 0)
        memcpy(b->input, buf_begin(&c->in), c->in.len);
    return (struct span){.p = b->input + c->in.len, .n = SHARED_INPUT - c->in.len};
}

/* Keep what is left of the shared buffer until there is more. */
static void keep_input(struct broker *b, struct conn *c, struct str rest)
{
    buf_drop(&c->in, c->in.len);
    if (rest.n == 0 || rest.n > buf_room(&c->in))
        buf_clear(&c->in);
    if (rest.n > 0 && (buf_reserve_exact(&c->in, rest.n) || buf_add(&c->in, rest.p, rest.n)))
        conn_end(b, c, REASON_NOMEM, NULL);
    login_weigh(b, c);
}

/* Work on what lies in its own buffer. */
static void work_aside(struct broker *b, struct conn *c)
{
    size_t done;

    if (UNLIKELY(b->recheck))
        login_recheck(b, c);
    done = dispatch_input(b, c, buf_str(&c->in));
    if (c->state == CONN_CLOSING)
        return;
    buf_drop(&c->in, done);
    if (c->in.len == 0)
        buf_clear(&c->in);
    login_weigh(b, c);
}

/* More has come while its password is being checked: now there is something to be done afterwards,
 * and nothing else is read. */
static size_t keep_waiting(struct broker *b, struct conn *c)
{
    outbox_mark(&b->hub, &c->out); /* its wish has changed */
    return 0;
}

/*
 * Whole packets count for the keepalive (dispatch.c), not bytes: a peer may not drip. But a large
 * packet on a slow line comes in pieces of this size at least.
 */
#define INPUT_IS_LIFE 512

void broker_input(struct broker *b, struct conn *c, size_t n)
{
    struct str bytes;
    size_t done;

    if (UNLIKELY(b->recheck))
        login_recheck(b, c);
    if (c->state == CONN_CLOSING)
        return;
    if (n >= INPUT_IS_LIFE)
        conn_heard(c, b->now.mono_ms);
    b->stats.bytes_received += n;
    work_charge(&b->work, (uint32_t)(n >> 10) * WORK_KILOBYTE);
    if (lands_aside(c)) {
        buf_added(&c->in, n);
        if (c->in.len >= c->need)
            work_aside(b, c);
        return;
    }
    bytes = str_of((char *)b->input, c->in.len + n);
    done = c->pause == PAUSE_LOGIN ? keep_waiting(b, c) : dispatch_input(b, c, bytes);
    if (c->state != CONN_CLOSING)
        keep_input(b, c, str_of(bytes.p + done, bytes.n - done));
}

bool broker_is_spent(const struct broker *b)
{
    return work_is_spent(&b->work);
}

/* --- what was cut short --- */

static void work_input(struct broker *b)
{
    struct conn *last = TAILQ_LAST(&b->pending, conn_list);
    struct conn *c = NULL;

    while (c != last && !work_is_spent(&b->work) && (c = TAILQ_FIRST(&b->pending))) {
        TAILQ_REMOVE(&b->pending, c, pending);
        c->pause = PAUSE_NONE;
        work_aside(b, c);
    }
}

static void work_sessions(struct broker *b)
{
    struct session *last = TAILQ_LAST(&b->env.todo, session_list);
    struct session *s = NULL;

    while (s != last && !work_is_spent(&b->work) && (s = TAILQ_FIRST(&b->env.todo))) {
        session_leave_work(&b->env, s);
        session_pump(&b->env, s);
        if (!s->has_work)
            feed_pump(&b->env, s);
    }
    b->starved = !TAILQ_EMPTY(&b->env.todo) && !work_is_spent(&b->work);
}

/* Nodes of the trie that parked searches have kept, freed in one turn: about half a millisecond. */
#define SWEEP_PER_TURN 5000

/* So many entries are bound anew in one turn: about half a millisecond. */
#define RIGHTS_PER_TURN 500
#define WORK_BIND 10

static void work_rights(struct broker *b)
{
    if (UNLIKELY(b->env.rights.walking))
        work_charge(&b->work, rights_work(&b->env.rights, RIGHTS_PER_TURN) * WORK_BIND);
}

uint64_t broker_work(struct broker *b)
{
    b->logins.cut = false; /* they are asked for again in this turn */
    work_timers(b);
    leave_a_share(&b->work);
    sys_work(b);
    bridges_work(b);
    logins_work(b);
    work_rights(b);
    work_input(b);
    work_sessions(b);
    (void)sessions_work(&b->sessions);
    b->expire_ms =
        sessions_expire(&b->sessions, &b->now, b->conf->global.persistent_client_expiration_s);
    b->sweeping = trie_sweep(&b->trie, SWEEP_PER_TURN);
    report_counts(&b->report, b->now.mono_ms);
    return broker_next(b);
}

/* When memory was the reason to stop, asking again at once would only burn time. */
#define RETRY_MS 20

uint64_t broker_next(const struct broker *b)
{
    uint64_t due = wheel_next_ms(&b->wheel);
    uint64_t sys_ms = sys_next(b);

    if (b->expire_ms < due)
        due = b->expire_ms;
    if (sys_ms < due)
        due = sys_ms;
    if (bridges_next(b) < due)
        due = bridges_next(b);
    if (report_next(&b->report) < due)
        due = report_next(&b->report);
    if (!TAILQ_EMPTY(&b->pending) || !TAILQ_EMPTY(&b->sessions.ended) || b->sweeping ||
        b->recheck || b->env.rights.walking || b->logins.cut || due <= b->now.mono_ms)
        return 0;
    if (TAILQ_EMPTY(&b->env.todo))
        return due;
    if (!b->starved)
        return 0;
    return due < b->now.mono_ms + RETRY_MS ? due : b->now.mono_ms + RETRY_MS;
}

/* --- storage --- */

bool broker_take_records(struct broker *b, uint64_t *turn, struct buf *frame)
{
    bool any = persist_end_turn(&b->persist, turn, frame);

    if (!any)
        broker_durable(b, b->persist.durable);
    return any;
}

bool broker_records_pass(const struct broker *b)
{
    return !b->persist.lasting;
}

uint64_t broker_first_message(const struct broker *b)
{
    const struct stored *e = TAILQ_FIRST(&b->persist.stored.list);

    return e ? e->position : UINT64_MAX;
}

void broker_reuse(struct broker *b, struct buf *frame)
{
    persist_reuse(&b->persist, frame);
}

void broker_place(struct broker *b, uint64_t position)
{
    b->persist.place = position;
    if (UNLIKELY(b->unnoted))
        sessions_note_absent(&b->sessions);
    b->unnoted = false;
}

uint64_t broker_live_bytes(const struct broker *b)
{
    return b->persist.live + b->persist.stored.record_bytes + b->env.authors.bytes;
}

bool broker_take_fetch(struct broker *b, struct fetch *f)
{
    struct buf *wanted = &b->env.fetches;

    if (wanted->len == 0)
        return false;
    memcpy(f, buf_begin(wanted), sizeof(*f));
    buf_drop(wanted, sizeof(*f));
    return true;
}

void broker_fetched(struct broker *b, const struct fetch *f, struct str bytes)
{
    struct session *s = sessions_numbered(&b->sessions, f->session);

    if (s)
        session_arrived(&b->env, s, f->seq, f->position, bytes);
}

void broker_durable(struct broker *b, uint64_t turn)
{
    outbox_release(&b->hub, persist_durable(&b->persist, turn));
}

void broker_storage_pause(struct broker *b, bool pause)
{
    struct conn *c;

    b->storage_paused = pause;
    TAILQ_FOREACH(c, &b->all, entry)
    {
        if (pause || c->pause != PAUSE_STORAGE)
            continue;
        conn_heard(c, b->now.mono_ms);
        conn_want_input(b, c);
        outbox_mark(&b->hub, &c->out);
    }
}

/* --- output --- */

struct conn *broker_take_dirty(struct broker *b)
{
    struct outbox *o = TAILQ_FIRST(&b->hub.dirty);

    if (!o)
        return NULL;
    TAILQ_REMOVE(&b->hub.dirty, o, dirty);
    o->is_dirty = false;
    return CONTAINER_OF(o, struct conn, out);
}

int broker_output(struct broker *b, struct conn *c, struct iovec *iov, int n)
{
    (void)b;
    return outq_iovec(&c->out.ready, iov, n);
}

void broker_sent(struct broker *b, struct conn *c, size_t n)
{
    size_t before = outbox_bytes(&c->out);
    size_t after;

    outbox_sent(&b->hub, &c->out, n);
    if (c->pause == PAUSE_OUTPUT)
        conn_heard(c, b->now.mono_ms); /* it reads: we are the ones who do not look at its pings */
    b->stats.bytes_sent += n;
    after = outbox_bytes(&c->out);
    if (c->session && before >= OUTBOX_PUMP && after < OUTBOX_PUMP)
        session_want_work(&b->env, c->session);
    if (c->pause == PAUSE_OUTPUT && after < OUTBOX_MAX) {
        conn_want_input(b, c);
        outbox_mark(&b->hub, &c->out);
    }
}

enum wish broker_wish(const struct broker *b, const struct conn *c)
{
    (void)b;
    if (c->state == CONN_CLOSING)
        return c->out.ready.bytes > 0 ? WISH_FLUSH_CLOSE : WISH_CLOSE;
    if (c->pause == PAUSE_LOGIN)
        return login_listens(c) ? WISH_READ : WISH_PAUSE;
    return c->pause == PAUSE_STORAGE || c->pause == PAUSE_OUTPUT ? WISH_PAUSE : WISH_READ;
}

enum err broker_publish_local(struct broker *b, struct str topic, struct str payload, bool retain)
{
    struct packet_publish p = {.topic = topic, .payload = payload, .qos = QOS_2, .retain = retain};

    return publish_own(b, &p);
}

/* --- configuration, the end --- */

enum err broker_prepare(struct broker *b, const struct conf *conf)
{
    b->prepared = conf;
    return ERR_OK;
}

/* Rules and what takes their place, by their address: there are many connections and few listeners.
 */
struct change {
    const struct conf_listener *from;
    struct conf_listener *to;
};
#define CHANGES 256

/* The listener of the same socket; NULL: it is gone. */
static struct conf_listener *find_listener(const struct conf *conf,
                                           const struct conf_listener *from)
{
    for (size_t i = 0; i < conf->listener_count; i++) {
        if (conf_listener_same_socket(conf->listeners[i], from))
            return conf->listeners[i];
    }
    return NULL;
}

static void take_rules(struct broker *b, struct conn *c, struct change changes[CHANGES])
{
    struct conf_listener *old = c->peer.listener;
    struct change *ch = &changes[table_mix(0, (uintptr_t)old) % CHANGES];

    if (c->role == CONN_BRIDGE)
        return; /* bridges_commit has looked at it */
    if (ch->from != old)
        *ch = (struct change){.from = old, .to = find_listener(b->conf, old)};
    if (!ch->to)
        return; /* it keeps what it came with */
    c->peer.listener = conf_listener_ref(ch->to);
    c->out.max_qos = ch->to->max_qos;
    conf_listener_unref(old);
}

void broker_commit(struct broker *b)
{
    struct change changes[CHANGES] = {0};
    struct conn *c;

    b->conf = b->prepared;
    b->log.mask = b->conf->global.log_type;
    take_limits(b);
    bridges_commit(b);
    TAILQ_FOREACH(c, &b->all, entry)
    {
        take_rules(b, c, changes);
        rights_connected(&b->env.rights, c->peer.listener);
        /* A wider window may let go on what waits for it. */
        if (c->session && c->session->flow && flow_queued(c->session->flow) > 0)
            session_want_work(&b->env, c->session);
    }
    logins_recheck(b);
}

void broker_rights_changed(struct broker *b)
{
    struct conn *c;

    rights_changed(&b->env.rights, b->conf);
    TAILQ_FOREACH(c, &b->all, entry)
    {
        rights_connected(&b->env.rights, c->peer.listener);
    }
    logins_recheck(b);
}

void broker_stop(struct broker *b, enum reason why)
{
    struct conn *c;

    bridges_stop(b);
    /* All wills first: who waits for one is connected still. */
    TAILQ_FOREACH(c, &b->all, entry)
    {
        will_publish(b, c);
    }
    TAILQ_FOREACH(c, &b->all, entry)
    {
        conn_end(b, c, why, NULL);
    }
    report_counts(&b->report, UINT64_MAX);
}

const struct stats *broker_stats(const struct broker *b)
{
    return &b->stats;
}
