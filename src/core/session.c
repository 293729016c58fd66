/*
 * Delivery to one client, from both ends: publications push rows in, acknowledgements and a drained
 * outbox pull them out.
 */
#include "core/session.h"

#include "core/access.h"
#include "core/topicmap.h"
#include "mqtt/encode.h"

void session_want_work(struct session_env *env, struct session *s)
{
    if (s->has_work)
        return;
    s->has_work = true;
    TAILQ_INSERT_TAIL(&env->todo, s, work);
}

void session_leave_work(struct session_env *env, struct session *s)
{
    if (s->has_work)
        TAILQ_REMOVE(&env->todo, s, work);
    s->has_work = false;
}

void session_record(struct session_env *env, const struct session *s, struct record r)
{
    if (!session_is_recording(env, s))
        return;
    r.session = s->number;
    (void)persist_write(env->persist, &r);
}

/* --- the flow comes and goes --- */

enum err session_need_flow(struct session_env *env, struct session *s)
{
    uint64_t tail = session_tail(s);

    if (s->flow)
        return ERR_OK;
    s->flow = flow_new(env->scratch->pool);
    if (!s->flow)
        return ERR_NOMEM;
    flow_resume_at(s->flow, tail, s->last_id);
    return ERR_OK;
}

static void drop_flow(struct session *s)
{
    s->tail = flow_tail(s->flow);
    s->last_id = flow_last_id(s->flow);
    flow_free(s->flow);
    s->flow = NULL;
}

/* --- drops --- */

static struct party party_of(const struct session_env *env, const struct session *s)
{
    struct party p = {0};

    if (s->out)
        p = env->party_of(s->out);
    else if (s->rights)
        p.user = rights_who(s->rights).user;
    p.client = session_id(s); /* a connection that ends has let go of it */
    return p;
}

/* --- rights --- */

/* Of a record, beside the name. */
#define OWNER_BYTES 8

static void set_rights(struct session_env *env, struct session *s, struct rights *r)
{
    struct rights *former = s->rights;

    if (former)
        session_weigh(env, s, -(int64_t)(OWNER_BYTES + rights_who(former).user.n));
    if (r)
        session_weigh(env, s, (int64_t)(OWNER_BYTES + rights_who(r).user.n));
    s->rights = r;
    rights_unref(&env->rights, former);
}

void session_record_owner(struct session_env *env, const struct session *s)
{
    struct rights_who who;

    if (!s->rights)
        return;
    who = rights_who(s->rights);
    if (!session_record_reserve(env, s, 1, who.user.n))
        session_record(env, s,
                       (struct record){.type = RECORD_OWNER, .id = who.port, .text = who.user});
}

/* Whose it is now, while its client is connected. */
static void take_rights(struct session_env *env, struct session *s)
{
    struct party p = env->party_of(s->out);
    struct rights *former = s->rights;

    set_rights(env, s,
               rights_get(&env->rights, &(struct rights_who){.user = p.user,
                                                             .client = session_id(s),
                                                             .listener = p.peer->listener}));
    if (s->rights != former)
        session_record_owner(env, s);
}

struct rights *session_rights(struct session_env *env, struct session *s)
{
    if (!s->rights && s->out)
        take_rights(env, s);
    return s->rights;
}

enum err session_owned(struct session_env *env, struct session *s, struct str user, uint16_t port)
{
    set_rights(env, s,
               rights_get(&env->rights, &(struct rights_who){
                                            .user = user, .client = session_id(s), .port = port}));
    return s->rights ? ERR_OK : ERR_NOMEM;
}

void session_disown(struct session_env *env, struct session *s)
{
    set_rights(env, s, NULL);
}

static void report_right(struct session_env *env, const struct party *who, const char *act,
                         struct str topic, const struct acl_verdict *v, const struct rights *r)
{
    char rule[ACCESS_RULE_MAX];

    report_denied(env->report, who,
                  &(struct report_denial){.act = act,
                                          .topic = topic,
                                          .why = REASON_ACL,
                                          .rule = access_rule(rights_acl(r), v, rule)});
}

/* What a verdict costs that is not remembered. */
#define WORK_VERDICT 4

bool session_may(struct session_env *env, struct session *s, enum acl_right right,
                 const struct rights_topic *t)
{
    struct rights *r = s->own ? NULL : session_rights(env, s);
    struct rights_answer a;
    struct acl_verdict v;
    struct party who;

    if (UNLIKELY(s->own))
        return true; /* its topics are all that it has to do with */
    if (UNLIKELY(!r)) {
        env->stats->publish_dropped += s->out && right == ACL_READ;
        return !s->out;
    }
    a = rights_ask(&env->rights, r, right, t);
    work_charge(env->work, a.fresh ? WORK_VERDICT : 0);
    if (LIKELY(a.granted))
        return true;
    if (right == ACL_READ && !a.fresh)
        return false;
    who = party_of(env, s);
    v = rights_verdict(r, right, t->name);
    report_right(env, &who, right == ACL_READ ? "read" : "publish to", t->name, &v, r);
    return false;
}

bool session_may_subscribe(struct session_env *env, struct session *s, struct str filter)
{
    struct rights *r = session_rights(env, s);
    struct acl_verdict v = {0};
    struct party who;

    if (!r)
        return false;
    v = rights_filter(&env->rights, r, filter);
    if (v.granted)
        return true;
    who = party_of(env, s);
    report_right(env, &who, "subscribe to", filter, &v, r);
    return false;
}

/* May it be given what is retained: may it read that, and may its author still write it? */
static bool may_have_retained(struct session_env *env, struct session *s, const struct message *m)
{
    struct rights_topic t = rights_topic(&env->rights, message_topic(m));
    struct rights *author = env->check_author ? author_of(&env->authors, m) : NULL;
    struct rights_answer a;
    struct acl_verdict v;

    if (!session_may(env, s, ACL_READ, &t))
        return false;
    if (!author)
        return true;
    a = rights_ask(&env->rights, author, ACL_WRITE, &t);
    work_charge(env->work, a.fresh ? WORK_VERDICT : 0);
    if (!a.granted && a.fresh) {
        struct rights_who who = rights_who(author);
        v = rights_verdict(author, ACL_WRITE, t.name);
        report_right(env, &(struct party){.client = who.client, .user = who.user},
                     "go on retaining", t.name, &v, author);
    }
    return a.granted;
}

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
    who = party_of(env, s);
    report_dropping(env->report, &who, why);
}

/* The episode ends when its cause has passed: messages are accepted again, or none will come. */
static COLD void end_episode(struct session_env *env, struct session *s, bool accepts)
{
    struct party who;

    if (!s->dropping)
        return;
    s->dropping = false;
    who = party_of(env, s);
    report_episode(env->report, &who, s->dropped, accepts);
}

static void episode_over(struct session_env *env, struct session *s)
{
    end_episode(env, s, true);
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
        who = party_of(env, s);
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

static COLD void log_pubrel(struct session_env *env, const struct session *s, uint16_t packet_id)
{
    char id[128];

    log_debug(env->log, "Sending PUBREL to %s (Mid: %d)",
              str_escape_strict(session_id(s), id, sizeof(id)), packet_id);
}

static enum err send_pubrel(struct session_env *env, struct session *s, uint16_t packet_id)
{
    uint8_t packet[ENCODE_ACK_SIZE];
    size_t n = encode_ack(packet, PACKET_PUBREL, packet_id);
    enum err e = outbox_put(env->hub, s->out, OUTBOX_STORED, packet, n);

    if (!e && UNLIKELY(log_wants(env->log, LOG_LEVEL_DEBUG)))
        log_pubrel(env, s, packet_id);
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
        return send_pubrel(env, s, next->id);
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

/* --- rows whose message is in the journal only --- */

/* So much is asked for at once: what lies behind the first is likely to be wanted next. */
enum { FETCH_BYTES = 64 * 1024, FETCH_ROWS = 64 };

/* The entry of a row whose message must be fetched, or NULL. */
static struct stored *entry_away(const struct flow *f, uint64_t seq)
{
    const struct flow_row *row = flow_row_at(f, seq);
    struct stored *e = row && row->away ? stored_of_ticket(row->ticket) : NULL;

    return e && !e->body ? e : NULL;
}

static void want_fetch(struct session_env *env, struct session *s, uint64_t seq)
{
    const struct stored *e = entry_away(s->flow, seq);
    struct fetch f = {.position = e->position,
                      .length = e->bytes,
                      .least = e->bytes,
                      .session = s->number,
                      .seq = seq};

    for (int n = 1; n < FETCH_ROWS && (e = entry_away(s->flow, ++seq)); n++) {
        uint64_t end = e->position + e->bytes;
        if (e->position < f.position + f.length || end - f.position > FETCH_BYTES)
            break;
        f.length = (uint32_t)(end - f.position);
    }
    s->fetching = buf_add(&env->fetches, &f, sizeof(f)) == ERR_OK;
    if (!s->fetching)
        session_want_work(env, s);
}

/* A row's message is to be sent and not in the row: is it in memory? Else it is asked for. */
static bool come_back(struct session_env *env, struct session *s, uint64_t seq)
{
    struct stored *e = stored_of_ticket(flow_row_at(s->flow, seq)->ticket);

    if (e->body)
        flow_arrived(s->flow, seq, e->body);
    else if (!s->fetching)
        want_fetch(env, s, seq);
    return e->body != NULL;
}

/*
 * The record of a row that ends without its client's doing. The first one that waited still has
 * been begun by that, without an id, as one at QoS 0 is: its place is not given again. Not so one
 * behind others that wait: these would count as begun, too.
 */
static struct record record_of_end(const struct flow *f, uint64_t seq)
{
    bool begins = seq == flow_begun(f);

    return (struct record){.type = begins ? RECORD_BEGIN : RECORD_DONE, .seq = seq};
}

static void drop_damaged(struct session_env *env, struct session *s, uint64_t seq,
                         const struct stored *e)
{
    struct party who = party_of(env, s);

    report_unreadable(env->report, &who, e->position);
    env->stats->publish_dropped++;
    s->dropped++;
    if (!session_record_reserve(env, s, 1, 0))
        session_record(env, s, record_of_end(s->flow, seq));
    session_weigh(env, s, -PERSIST_ROW_BYTES);
    flow_set_done(s->flow, seq);
}

/* The message of an entry from the bytes of its record. ERR_MALFORMED: it is another one. */
static enum err body_from(struct session_env *env, struct stored *e, struct str bytes,
                          struct message **m)
{
    struct record r;

    if (record_read(&bytes, &r) != ERR_OK || r.type != RECORD_MESSAGE || r.number != e->number ||
        r.qos > QOS_2 || r.text.n > UINT16_MAX || stored_sum(r.text, r.payload) != e->sum)
        return ERR_MALFORMED;
    *m = message_new_in(env->scratch->pool, r.text, r.payload, (enum qos)r.qos);
    if (!*m)
        return ERR_NOMEM;
    (void)blob_ref(&e->blob);
    stored_attach(&env->persist->stored, e, *m);
    return ERR_OK;
}

void session_arrived(struct session_env *env, struct session *s, uint64_t seq, uint64_t position,
                     struct str bytes)
{
    s->fetching = false;
    for (; s->flow && seq < flow_tail(s->flow); seq++) {
        struct stored *e = entry_away(s->flow, seq);
        struct message *m;
        enum err err;
        if (!e || e->position < position || e->position - position + e->bytes > bytes.n)
            break;
        err = body_from(env, e, str_of(bytes.p + (e->position - position), e->bytes), &m);
        if (err == ERR_NOMEM)
            break;
        if (err) {
            drop_damaged(env, s, seq, e);
            continue;
        }
        flow_arrived(s->flow, seq, m);
        message_unref(m);
    }
    session_want_work(env, s);
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
    r = record_of_end(s->flow, next->seq);
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
        if (next.row->away && !come_back(env, s, next.seq))
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
    session_record(env, s, record_of_end(s->flow, seq));
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
        (UNLIKELY(env->rights.guarded) && !may_have_retained(env, s, m)))
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

/* --- acknowledgements --- */

static COLD void log_unknown(struct session_env *env, struct session *s, enum packet_type type,
                             uint16_t packet_id)
{
    static const char *const names[] = {
        [PACKET_PUBACK] = "PUBACK", [PACKET_PUBREC] = "PUBREC", [PACKET_PUBCOMP] = "PUBCOMP"};
    struct party who = party_of(env, s);

    report_unknown_id(env->report, &who, names[type], packet_id);
}

static inline void acknowledged(struct session_env *env, struct session *s, enum packet_type type,
                                uint64_t seq)
{
    bool half = type == PACKET_PUBREC;

    if (!half)
        session_weigh(env, s, -PERSIST_ROW_BYTES);
    if (UNLIKELY(session_is_recording(env, s)))
        session_record(env, s,
                       (struct record){.type = half ? RECORD_RECEIVED : RECORD_DONE, .seq = seq});
    if (flow_queued(s->flow) > 0)
        session_pump(env, s);
    if (!TAILQ_EMPTY(&s->cursors))
        session_want_work(env, s);
}

enum reason session_acknowledge(struct session_env *env, struct session *s, enum packet_type type,
                                uint16_t id)
{
    uint64_t seq = 0;
    enum flow_answer answer;

    if (session_record_reserve(env, s, 1, 0))
        return REASON_NOMEM;
    answer = LIKELY(s->flow) ? flow_acknowledge(s->flow, type, id, &seq) : FLOW_UNKNOWN;
    if (LIKELY(answer == FLOW_ACCEPTED))
        acknowledged(env, s, type, seq);
    else if (answer == FLOW_WRONG_TYPE)
        return REASON_ACK_TYPE;
    else if (answer == FLOW_UNKNOWN)
        log_unknown(env, s, type, id);
    /*
     * A PUBREC for an id that we know nothing of is answered too: else the client would wait for
     * ever. Not so for a message that is still to be sent again: released now, the client would
     * take it for a new one.
     */
    if (type == PACKET_PUBREC && !(answer == FLOW_UNKNOWN && seq != 0) &&
        send_pubrel(env, s, id) == ERR_NOMEM)
        return REASON_NOMEM;
    return REASON_OK;
}

bool session_in_has(const struct session *s, uint16_t id)
{
    return s->flow && idset_has(flow_inbound(s->flow), id);
}

enum err session_in_reserve(struct session_env *env, struct session *s)
{
    enum err e = session_need_flow(env, s);

    if (!e)
        e = idset_reserve(flow_inbound(s->flow));
    return e ? e : session_record_reserve(env, s, 1, 0);
}

void session_in_add(struct session_env *env, struct session *s, uint16_t id)
{
    if (idset_add(flow_inbound(s->flow), id))
        session_record(env, s, (struct record){.type = RECORD_IN_ADD, .id = id});
}

enum err session_in_remove(struct session_env *env, struct session *s, uint16_t id)
{
    enum err e = session_record_reserve(env, s, 1, 0);

    if (e || !s->flow)
        return e;
    if (idset_remove(flow_inbound(s->flow), id))
        session_record(env, s, (struct record){.type = RECORD_IN_REMOVE, .id = id});
    return ERR_OK;
}

/* --- coming and going --- */

void session_set_kin(struct session_env *env, struct session *s, uint8_t kin)
{
    kin_put(&env->kin, s->kin);
    s->kin = kin;
}

enum err session_forget_inbound(struct session_env *env, struct session *s)
{
    struct idset *in = s->flow ? flow_inbound(s->flow) : NULL;
    uint16_t id;

    while (in && (id = idset_next(in, 1)) != 0) {
        if (session_in_remove(env, s, id))
            return ERR_NOMEM;
    }
    return ERR_OK;
}

/* Those of a clean session are taken when somebody asks; of another one it is recorded whose it is,
 * where that may matter. */
static void attach_rights(struct session_env *env, struct session *s)
{
    struct party p = env->party_of(s->out);

    if (session_is_persistent(s) && !s->own &&
        (s->rights || p.user.n > 0 || rights_listener_has(p.peer->listener)))
        take_rights(env, s);
}

void session_attach(struct session_env *env, struct session *s, struct outbox *out)
{
    s->out = out;
    s->absent_s = 0;
    s->outside = false;
    env->stats->sessions_connected++;
    attach_rights(env, s);
    if (s->flow)
        flow_rewind(s->flow);
    session_want_work(env, s);
}

void session_detach(struct session_env *env, struct session *s, int64_t now_s)
{
    if (!session_is_persistent(s) || !s->flow || flow_queued(s->flow) == 0)
        end_episode(env, s, false);
    s->out = NULL;
    s->absent_s = now_s;
    if (!s->own)
        session_set_kin(env, s, 0);
    env->stats->sessions_connected--;
    session_leave_work(env, s);
    session_settle(s);
}

void session_settle(struct session *s)
{
    if (!s->flow)
        return;
    flow_rewind(s->flow);
    if (flow_is_empty(s->flow))
        drop_flow(s);
}

bool session_drop_rows(struct session_env *env, struct session *s)
{
    end_episode(env, s, false);
    while (s->flow && flow_head(s->flow) != flow_tail(s->flow)) {
        if (work_is_spent(env->work))
            return false;
        flow_set_done(s->flow, flow_head(s->flow));
        work_charge(env->work, WORK_FREE);
    }
    flow_free(s->flow);
    s->flow = NULL;
    return true;
}
