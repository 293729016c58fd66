/*
 * A session by itself: its place of work, its records, its flow, and the QoS 2 messages that its
 * client has begun to send.
 */
#include "core/session.h"

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

void session_set_kin(struct session_env *env, struct session *s, uint8_t kin)
{
    kin_put(&env->kin, s->kin);
    s->kin = kin;
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

void session_settle(struct session *s)
{
    if (!s->flow)
        return;
    flow_rewind(s->flow);
    if (flow_is_empty(s->flow))
        drop_flow(s);
}

/* --- inbound QoS 2 messages --- */

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
