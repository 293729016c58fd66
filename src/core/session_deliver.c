/*
 * Delivery to one client: publications push rows in, acknowledgements and a drained outbox pull
 * them out. What cannot be delivered is dropped, counted and told of here.
 */
#include "core/session_inside.h"

#include "core/topicmap.h"

/* --- what is dropped --- */

static COLD void dropped(struct session_env *env, struct session *s, enum reason why)
{
    struct party who;

    env->stats->publish_dropped++;
    if (s->own)
        env->own_dropped(env, s, true);
    if (s->dropping) {
        s->dropped++;
        return;
    }
    s->dropping = true;
    s->dropped = 1;
    who = session_party(env, s);
    report_dropping(env->report, &who, why);
}

static void episode_over(struct session_env *env, struct session *s)
{
    session_end_episode(env, s, true);
}

/* Which of the two limits is it that lets no more into its queue? */
static enum reason full_queue(const struct session_env *env, const struct session *s)
{
    uint32_t max = session_limits(env, s)->max_queued;

    return max > 0 && flow_queued(s->flow) >= max ? REASON_QUEUE_FULL : REASON_QUEUE_BYTES;
}

/* Does a packet with this topic, as it is called here, and payload fit the bridge's limit, or that
 * of the protocol, which a prefix may pass? */
static bool fits_bridge(const struct session_env *env, const struct conf_listener *map,
                        struct str topic, size_t payload, enum qos qos)
{
    const struct conf_bridge *bridge = map->bridge;
    size_t max = bridge && bridge->max_packet_size > 0 ? bridge->max_packet_size : PACKET_MAX;
    struct str name;

    return !bridge || payload + FIXED_HEADER_MAX + 4 + UINT16_MAX <= max ||
           !topicmap_back(map, topic, env->hub->mapped, &name) ||
           encode_publish_head_size(name, payload, qos) + payload <= max;
}

/*
 * Has this topic a name at the other end of its connection, and may a packet be so large? If not,
 * it cannot be delivered. Of the mount point itself nobody ever asked for: filters happen to match
 * it.
 */
bool session_shows(struct session_env *env, struct session *s, struct str topic, size_t payload,
                   enum qos qos)
{
    enum reason why = REASON_OUTSIDE_MOUNT;
    struct party who;

    if (topicmap_shows(s->out->map, topic)) {
        if (fits_bridge(env, s->out->map, topic, payload, qos))
            return true;
        why = REASON_BRIDGE_PACKET_TOO_LARGE;
    } else if (topicmap_is_root(s->out->map, topic)) {
        return false;
    } else if (s->own) {
        why = REASON_UNMAPPED;
    }
    env->stats->publish_dropped++;
    if (s->own)
        env->own_dropped(env, s, false);
    if (!s->outside) {
        who = session_party(env, s);
        report_dropping(env->report, &who, why);
    }
    s->outside = true;
    return false;
}

static inline bool is_visible(struct session_env *env, struct session *s, struct str topic,
                              size_t payload, enum qos qos)
{
    return LIKELY(!s->out || !s->out->map) || session_shows(env, s, topic, payload, qos);
}

/* --- sending --- */

static COLD void log_sending(struct session_env *env, const struct session *s,
                             const struct publication *pub, struct outbox_publish how)
{
    char id[128];
    char topic[512];
    struct str name = pub->topic;

    if (s->out->map)
        (void)topicmap_back(s->out->map, pub->topic, env->hub->mapped, &name);
    log_debug(env->log, "Sending PUBLISH to %s (d%d, q%d, r%d, m%d, '%s', ... (%zu bytes))",
              str_escape_strict(session_id(s), id, sizeof(id)), how.dup, how.qos, how.retain,
              how.id, str_escape_strict(name, topic, sizeof(topic)), pub->payload.n);
}

static ALWAYS_INLINE enum err send_publish(struct session_env *env, struct session *s,
                                           struct publication *pub,
                                           const struct outbox_publish *how)
{
    enum err e = outbox_publish(env->hub, s->out, pub, how);

    if (!e && UNLIKELY(log_wants(env->log, LOG_LEVEL_DEBUG)))
        log_sending(env, s, pub, *how);
    return e;
}

/* What QoS 2 touched must not leave before it is stored: otherwise a crash could make it arrive
 * twice. */
static enum outbox_lane lane_of(enum qos published, enum qos qos)
{
    return published == QOS_2 || qos == QOS_2 ? OUTBOX_STORED : OUTBOX_NEXT;
}

/* A queued QoS 0 message is finished by being sent: that too must be stored, or it comes again
 * after a crash. */
static enum outbox_lane lane_of_row(const struct message *m, enum qos qos)
{
    return qos == QOS_0 ? OUTBOX_STORED : lane_of((enum qos)m->qos, qos);
}

static enum err send_row(struct session_env *env, struct session *s, const struct flow_next *next,
                         struct publication *fresh)
{
    struct message *m = next->row->message;
    enum qos qos = (enum qos)next->row->qos;
    struct publication again;
    enum err e;

    if (next->pubrel)
        return session_send_pubrel(env, s, next->id);
    const struct outbox_publish how = {.qos = qos,
                                       .id = next->id,
                                       .retain = next->row->retain,
                                       .dup = next->dup,
                                       .lane = lane_of_row(m, qos)};
    if (fresh && fresh->message == m)
        return send_publish(env, s, fresh, &how);
    publication_init_message(&again, m, env->scratch);
    e = send_publish(env, s, &again, &how);
    publication_clear(&again);
    return e;
}

/* --- rows --- */

struct record session_record_of_end(const struct flow *f, uint64_t seq)
{
    bool begins = seq == flow_begun(f);

    return (struct record){.type = begins ? RECORD_BEGIN : RECORD_DONE, .seq = seq};
}

/* May this row be sent? `fresh` has been asked for already. */
static bool may_have_row(struct session_env *env, struct session *s, const struct message *m,
                         const struct publication *fresh)
{
    struct rights_topic t;

    if (!env->rights.guarded || (fresh && fresh->message == m))
        return true;
    t = rights_topic(&env->rights, message_topic(m));
    if (session_may(env, s, ACL_READ, &t))
        return true;
    env->stats->publish_dropped++;
    return false;
}

/*
 * Is this row outside the mount point, or was the right to read it taken away? Its client cannot be
 * sent it, now or again: that is done with. The record is reserved.
 */
static bool is_dropped(struct session_env *env, struct session *s, const struct flow_next *next,
                       const struct publication *fresh)
{
    const struct message *m = next->row->message;
    struct record r;

    if (next->pubrel ||
        (is_visible(env, s, message_topic(m), m->payload_len, (enum qos)next->row->qos) &&
         may_have_row(env, s, m, fresh)))
        return false;
    r = session_record_of_end(s->flow, next->seq);
    if (flow_skip(s->flow, next->seq))
        session_weigh(env, s, -PERSIST_ROW_BYTES);
    else
        r.type = RECORD_RECEIVED;
    session_record(env, s, r);
    work_charge(env->work, WORK_FREE);
    return true;
}

/*
 * Send rows while there is room. `fresh` is the publication of the row pushed last, encoded
 * already, or NULL. That row is not recorded yet if it is `newest`: its record will say what became
 * of it. False: stopped by something that broker_work must look at again.
 */
static bool pump_rows(struct session_env *env, struct session *s, struct publication *fresh,
                      uint64_t newest)
{
    struct flow_next next;

    while (s->out && s->flow && flow_peek(s->flow, session_limits(env, s), &next)) {
        bool begins = next.row->state == FLOW_QUEUED;
        struct record r = {.type = RECORD_BEGIN, .seq = next.seq, .id = next.id};

        if (outbox_bytes(s->out) >= OUTBOX_PUMP)
            return true; /* goes on when it has drained: see broker_sent */
        if (next.row->away && !session_come_back(env, s, next.seq))
            return true; /* goes on in session_arrived */
        if (work_is_spent(env->work) && !(fresh && fresh->message == next.row->message))
            return false;
        if (session_record_reserve(env, s, 1, 0))
            return false;
        if (UNLIKELY(s->out->map || env->rights.guarded) && is_dropped(env, s, &next, fresh))
            continue;
        if (send_row(env, s, &next, fresh))
            return false;
        flow_advance(s->flow);
        if (begins && next.seq != newest)
            session_record(env, s, r);
        if (next.id == 0)
            session_weigh(env, s, -PERSIST_ROW_BYTES);
    }
    return true;
}

/* The same for a delivery by itself: its records too. */
enum err session_reserve_alone(struct session_env *env, struct session *s, size_t bytes)
{
    enum err e = session_reserve(env, s, 1);

    return e ? e : session_record_reserve(env, s, SESSION_DELIVERY_RECORDS, bytes);
}

/* Too much is waiting: this one may stay in the journal alone, unless it is sent at once. */
static bool should_leave(const struct session_env *env, const struct session *s)
{
    return !stored_has_room(&env->persist->stored, 0) &&
           !(s->out && flow_window_open(s->flow, session_limits(env, s)));
}

/* A message is about to become a row of this session: its own record, if it is to have one and has
 * none yet. */
static inline struct stored *count_row(struct session_env *env, struct session *s,
                                       struct message *m)
{
    struct stored *e = session_is_persistent(s) ? persist_message(env->persist, m) : NULL;

    stored_hold(&env->persist->stored, m);
    session_weigh(env, s, PERSIST_ROW_BYTES);
    work_charge(env->work, WORK_DELIVERY);
    return e;
}

/* Its record comes with record_row. */
static uint64_t push_row(struct session_env *env, struct session *s, struct message *m,
                         enum qos qos, bool retain)
{
    struct stored *e = count_row(env, s, m);

    if (e && should_leave(env, s))
        return flow_push_away(s->flow, stored_ticket(e), m->topic_len + m->payload_len, qos,
                              retain);
    return flow_push(s->flow, m, qos, retain);
}

static NOINLINE void write_row(struct session_env *env, const struct session *s, uint64_t seq,
                               const struct message *m, unsigned flags)
{
    const struct flow_row *row = flow_row_at(s->flow, seq);
    const struct stored *e = stored_of(m);

    session_record(
        env, s,
        (struct record){.type = RECORD_QUEUE,
                        .number = e ? e->number : 0,
                        .seq = seq,
                        .id = row->id,
                        .qos = row->qos,
                        .flags = (uint8_t)(flags | (row->retain ? RECORD_FLAG_RETAIN : 0U))});
}

static inline void record_row(struct session_env *env, const struct session *s, uint64_t seq,
                              const struct message *m, unsigned flags)
{
    if (UNLIKELY(session_is_recording(env, s)))
        write_row(env, s, seq, m, flags);
}

/* Rows that were dropped stay as long as one before them is unfinished: so many may. */
#define DROPPED_SPAN 60000

/*
 * Drop what has waited longest. Where too much was dropped already behind one message that was sent
 * and not acknowledged, it is that one's turn; but not at QoS 2, where its packet id would be lost.
 * False: nothing could be dropped.
 */
static bool drop_oldest(struct session_env *env, struct session *s)
{
    uint64_t seq = flow_begun(s->flow);

    if (seq - flow_head(s->flow) >= DROPPED_SPAN)
        seq = flow_head(s->flow);
    if (seq == flow_tail(s->flow) || flow_row_at(s->flow, seq)->state > FLOW_WAIT_PUBACK ||
        session_record_reserve(env, s, 1, 0))
        return false;
    dropped(env, s, full_queue(env, s));
    session_record(env, s, session_record_of_end(s->flow, seq));
    session_weigh(env, s, -PERSIST_ROW_BYTES);
    flow_set_done(s->flow, seq);
    work_charge(env->work, WORK_FREE);
    return true;
}

/* Has its queue room for one more message, perhaps in the place of older ones? */
static bool has_room(struct session_env *env, struct session *s, bool connected, enum qos qos,
                     size_t bytes)
{
    const struct flow_limits *lim = session_limits(env, s);

    while (!flow_has_room(s->flow, lim, connected, qos, bytes)) {
        bool useless = lim->max_queued_bytes > 0 && bytes > lim->max_queued_bytes;
        if (LIKELY(!env->drop_oldest) || useless || !drop_oldest(env, s))
            return false;
    }
    return true;
}

/* Is QoS 0 queued for it while it is absent? A lazy bridge is waiting for just these messages. */
static bool may_queue_qos0(const struct session_env *env, const struct session *s)
{
    return s->lazy || (env->queue_qos0 && session_is_persistent(s));
}

/* QoS 0 for an absent client, as queue_qos0_messages asks for. */
static NOINLINE void queue_qos0(struct session_env *env, struct session *s, struct publication *pub,
                                bool retain)
{
    size_t bytes = pub->topic.n + pub->payload.n;

    if (!may_queue_qos0(env, s))
        return;
    if (publication_keep(pub) || session_reserve_alone(env, s, bytes))
        dropped(env, s, REASON_NOMEM);
    else if (!has_room(env, s, false, QOS_0, bytes))
        dropped(env, s, full_queue(env, s));
    else
        record_row(env, s, push_row(env, s, pub->message, QOS_0, retain), pub->message, 0);
}

/* QoS 0 messages that were queued while the client was away are not overtaken (4.6). */
static bool qos0_must_queue(const struct session_env *env, const struct session *s)
{
    return may_queue_qos0(env, s) && s->flow && flow_queued(s->flow) > 0;
}

void session_deliver_qos0(struct session_env *env, struct session *s, struct publication *pub,
                          bool retain)
{
    const struct outbox_publish how = {.retain = retain, .lane = lane_of(pub->qos, QOS_0)};
    size_t waiting;

    if (!s->out || UNLIKELY(qos0_must_queue(env, s))) {
        queue_qos0(env, s, pub, retain);
        return;
    }
    waiting = outbox_bytes(s->out);
    if (UNLIKELY(waiting + publication_size(pub, QOS_0) > OUTBOX_MAX) && waiting > 0)
        dropped(env, s, REASON_SLOW_READER);
    else if (send_publish(env, s, pub, &how) == ERR_NOMEM)
        dropped(env, s, REASON_NOMEM);
    else if (UNLIKELY(s->dropping) && waiting < OUTBOX_PUMP)
        episode_over(env, s);
}

/*
 * Its client has room for it with this packet id: written at once, it needs no second look at the
 * row, nor at the queue. That is the ordinary case, and saves 600 instructions a delivery. False:
 * it is to be queued.
 */
static bool send_at_once(struct session_env *env, struct session *s, struct publication *pub,
                         enum qos qos, bool retain, uint16_t id)
{
    const struct outbox_publish how = {
        .qos = qos, .id = id, .retain = retain, .lane = lane_of(pub->qos, qos)};
    uint64_t seq;

    if (outbox_bytes(s->out) >= OUTBOX_PUMP || send_publish(env, s, pub, &how))
        return false;
    (void)count_row(env, s, pub->message);
    seq = flow_push_sent(s->flow, pub->message, qos, retain);
    record_row(env, s, seq, pub->message, 0);
    return true;
}

void session_deliver_row(struct session_env *env, struct session *s, struct publication *pub,
                         enum qos qos, bool retain)
{
    size_t bytes = pub->topic.n + pub->payload.n;
    uint16_t id = s->out ? flow_open_id(s->flow, session_limits(env, s), bytes) : 0;
    uint64_t seq;

    if (id == 0 && !has_room(env, s, s->out != NULL, qos, bytes)) {
        dropped(env, s, full_queue(env, s));
        return;
    }
    if (UNLIKELY(s->dropping) && flow_queued(s->flow) == 0)
        episode_over(env, s);
    if (id != 0 && send_at_once(env, s, pub, qos, retain, id))
        return;
    seq = push_row(env, s, pub->message, qos, retain);
    if (s->out && !flow_is_shut(s->flow, session_limits(env, s)) && !pump_rows(env, s, pub, seq))
        session_want_work(env, s);
    record_row(env, s, seq, pub->message, 0);
}

void session_pump(struct session_env *env, struct session *s)
{
    if (s->out && !s->out->shut && !pump_rows(env, s, NULL, 0))
        session_want_work(env, s);
}

bool session_give_retained(struct session_env *env, struct session *s, struct message *m,
                           enum qos granted)
{
    enum qos qos = session_qos(env, s, (enum qos)m->qos, granted);
    struct publication pub;
    bool stopped = false;

    if (!is_visible(env, s, message_topic(m), m->payload_len, qos) ||
        (UNLIKELY(env->rights.guarded) && !session_may_have_retained(env, s, m)))
        return true;
    publication_init_message(&pub, m, env->scratch);
    if (qos == QOS_0) {
        const struct outbox_publish how = {.retain = true,
                                           .lane = lane_of((enum qos)m->qos, QOS_0)};
        if (send_publish(env, s, &pub, &how))
            dropped(env, s, REASON_NOMEM);
    } else {
        record_row(env, s, push_row(env, s, m, qos, true), m, RECORD_FLAG_GIVEN);
        stopped = !pump_rows(env, s, NULL, 0);
    }
    publication_clear(&pub);
    return !stopped;
}
