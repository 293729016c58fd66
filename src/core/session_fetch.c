/*
 * Rows whose message is in the journal only: it is asked for, some together, and put into them when
 * it has come.
 */
#include "core/session_inside.h"

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

bool session_come_back(struct session_env *env, struct session *s, uint64_t seq)
{
    struct stored *e = stored_of_ticket(flow_row_at(s->flow, seq)->ticket);

    if (e->body)
        flow_arrived(s->flow, seq, e->body);
    else if (!s->fetching)
        want_fetch(env, s, seq);
    return e->body != NULL;
}

static void drop_damaged(struct session_env *env, struct session *s, uint64_t seq,
                         const struct stored *e)
{
    struct party who = session_party(env, s);

    report_unreadable(env->report, &who, e->position);
    env->stats->publish_dropped++;
    s->dropped++;
    if (!session_record_reserve(env, s, 1, 0))
        session_record(env, s, session_record_of_end(s->flow, seq));
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
