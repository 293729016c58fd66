/*
 * A session and its client: who that is, what it acknowledges, how it comes and goes.
 */
#include "core/session_inside.h"

#include "mqtt/encode.h"

struct party session_party(const struct session_env *env, const struct session *s)
{
    struct party p = {0};

    if (s->out)
        p = env->party_of(s->out);
    else if (s->rights)
        p.user = rights_who(s->rights).user;
    p.client = session_id(s); /* a connection that ends has let go of it */
    return p;
}

void session_end_episode(struct session_env *env, struct session *s, bool accepts)
{
    struct party who;

    if (!s->dropping)
        return;
    s->dropping = false;
    who = session_party(env, s);
    report_episode(env->report, &who, s->dropped, accepts);
}

/* --- acknowledgements --- */

static COLD void log_pubrel(struct session_env *env, const struct session *s, uint16_t packet_id)
{
    char id[128];

    log_debug(env->log, "Sending PUBREL to %s (Mid: %d)",
              str_escape_strict(session_id(s), id, sizeof(id)), packet_id);
}

enum err session_send_pubrel(struct session_env *env, struct session *s, uint16_t packet_id)
{
    uint8_t packet[ENCODE_ACK_SIZE];
    size_t n = encode_ack(packet, PACKET_PUBREL, packet_id);
    enum err e = outbox_put(env->hub, s->out, OUTBOX_STORED, packet, n);

    if (!e && UNLIKELY(log_wants(env->log, LOG_LEVEL_DEBUG)))
        log_pubrel(env, s, packet_id);
    return e;
}

static COLD void log_unknown(struct session_env *env, struct session *s, enum packet_type type,
                             uint16_t packet_id)
{
    static const char *const names[] = {
        [PACKET_PUBACK] = "PUBACK", [PACKET_PUBREC] = "PUBREC", [PACKET_PUBCOMP] = "PUBCOMP"};
    struct party who = session_party(env, s);

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
        session_send_pubrel(env, s, id) == ERR_NOMEM)
        return REASON_NOMEM;
    return REASON_OK;
}

/* --- coming and going --- */

void session_attach(struct session_env *env, struct session *s, struct outbox *out)
{
    s->out = out;
    s->absent_s = 0;
    s->outside = false;
    env->stats->sessions_connected++;
    session_attach_rights(env, s);
    if (s->flow)
        flow_rewind(s->flow);
    session_want_work(env, s);
}

void session_detach(struct session_env *env, struct session *s, int64_t now_s)
{
    if (!session_is_persistent(s) || !s->flow || flow_queued(s->flow) == 0)
        session_end_episode(env, s, false);
    s->out = NULL;
    s->absent_s = now_s;
    if (!s->own)
        session_set_kin(env, s, 0);
    env->stats->sessions_connected--;
    session_leave_work(env, s);
    session_settle(s);
}

bool session_drop_rows(struct session_env *env, struct session *s)
{
    session_end_episode(env, s, false);
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
