/*
 * Cleaning the journal: of old records, what is still true is recorded anew.
 *
 * Nothing is copied as it was: a record only says where to look, and what is written is the present
 * state. So it does no harm to look at the same record twice, and a record whose like stands
 * further on is at worst repeated.
 *
 * A record is dead when the state says otherwise, and so is one that only ends something: whatever
 * it ended stood before it, and is gone already. Of messages and clients the state knows where
 * their last record is. Retained messages are renewed with their message. For subscriptions, of
 * which a segment may hold many records that all say the same, those renewed lately are remembered.
 */
#include "core/renew.h"

#include "base/mem.h"
#include "core/feed.h"
#include "core/subscription.h"

static enum err renew_client(struct broker *b, struct session *s, uint64_t position)
{
    if (s->position != position)
        return ERR_OK;
    if (persist_reserve(&b->persist, 1, s->id_len))
        return ERR_NOMEM;
    sessions_note(&b->sessions, s);
    return ERR_OK;
}

static enum err renew_message(struct broker *b, const struct record *r, uint64_t position)
{
    struct stored *e = stored_at(&b->persist.stored, position);
    const struct rights *by;
    struct rights_who who;

    if (!e || e->number != r->number)
        return ERR_OK;
    by = e->body ? author_of(&b->env.authors, e->body) : NULL;
    who = by ? rights_who(by) : (struct rights_who){0};
    if (persist_reserve(&b->persist, 3, r->text.n + r->payload.n + who.user.n + who.client.n))
        return ERR_NOMEM;
    persist_move(&b->persist, e, r);
    if (e->body && retain_is_lasting(r->text) && retain_find(&b->retain, r->text) == e->body) {
        (void)persist_write(&b->persist,
                            &(struct record){.type = RECORD_RETAIN, .number = r->number});
        if (by)
            author_record(&b->persist, r->number, by);
    }
    return ERR_OK;
}

static enum err renew_row(struct broker *b, const struct session *s, uint64_t seq)
{
    const struct flow_row *row = s->flow ? flow_row_at(s->flow, seq) : NULL;
    const struct stored *e;

    if (!row || row->state == FLOW_DONE)
        return ERR_OK;
    if (session_record_reserve(&b->env, s, 2, 0))
        return ERR_NOMEM;
    e = stored_of_row(row);
    session_record(&b->env, s,
                   (struct record){.type = RECORD_QUEUE,
                                   .number = e ? e->number : 0, /* 0: not needed any more */
                                   .seq = seq,
                                   .id = row->id,
                                   .qos = row->qos,
                                   .flags = row->retain ? RECORD_FLAG_RETAIN : 0});
    if (row->state == FLOW_WAIT_PUBCOMP)
        session_record(&b->env, s, (struct record){.type = RECORD_RECEIVED, .seq = seq});
    return ERR_OK;
}

/*
 * Subscriptions that were renewed lately, and where. An entry is exact: who is not in it is only
 * renewed once more than needed.
 */
#define RECENT_MAX 16384

struct recent {
    trie_place place;
    uint64_t session;
    uint64_t position;
};

static struct recent *recent_of(struct broker *b, trie_place place, const struct session *s)
{
    if (!b->renewed)
        b->renewed = mem_zalloc(RECENT_MAX * sizeof(*b->renewed));
    return b->renewed ? &b->renewed[table_mix(s->number, place) % RECENT_MAX] : NULL;
}

void renew_free(struct broker *b)
{
    mem_free(b->renewed, b->renewed ? RECENT_MAX * sizeof(*b->renewed) : 0);
    b->renewed = NULL;
}

static enum err renew_subscription(struct broker *b, struct session *s, struct str filter,
                                   uint64_t position)
{
    struct record r;
    trie_place place = trie_find(&b->trie, filter, s);
    struct recent *recent = place ? recent_of(b, place, s) : NULL;

    if (!place || (recent && recent->place == place && recent->session == s->number &&
                   recent->position > position))
        return ERR_OK;
    if (session_record_reserve(&b->env, s, 1, filter.n))
        return ERR_NOMEM;
    r = subscription_record(filter, trie_granted(place, s), feed_find(&b->env, s, filter));
    r.session = s->number;
    position = persist_write(&b->persist, &r);
    if (recent)
        *recent = (struct recent){.place = place, .session = s->number, .position = position};
    return ERR_OK;
}

static enum err renew_inbound(struct broker *b, const struct session *s, uint16_t id)
{
    if (!session_in_has(s, id))
        return ERR_OK;
    if (session_record_reserve(&b->env, s, 1, 0))
        return ERR_NOMEM;
    session_record(&b->env, s, (struct record){.type = RECORD_IN_ADD, .id = id});
    return ERR_OK;
}

/* What a feed has given is not given again after a restart, as long as it is under way. */
static enum err renew_given(struct broker *b, const struct session *s, const struct record *r)
{
    const struct retain_cursor *oldest = TAILQ_FIRST(&s->cursors);

    if (r->number == 0 || !oldest || r->seq < oldest->since)
        return ERR_OK;
    if (session_record_reserve(&b->env, s, 1, 0))
        return ERR_NOMEM;
    session_record(&b->env, s,
                   (struct record){.type = RECORD_GIVEN, .number = r->number, .seq = r->seq});
    return ERR_OK;
}

static enum err renew_queue(struct broker *b, const struct session *s, const struct record *r)
{
    enum err e = r->flags & RECORD_FLAG_GIVEN ? renew_given(b, s, r) : ERR_OK;

    return e ? e : renew_row(b, s, r->seq);
}

static enum err renew(struct broker *b, const struct record *r, uint64_t position)
{
    struct session *s;

    if (r->type == RECORD_MESSAGE)
        return renew_message(b, r, position);
    s = sessions_numbered(&b->sessions, r->session);
    if (!s)
        return ERR_OK;
    switch (r->type) {
    case RECORD_CLIENT:
        return renew_client(b, s, position);
    case RECORD_SUBSCRIBE:
    case RECORD_FEED:
        return renew_subscription(b, s, r->text, position);
    case RECORD_QUEUE:
        return renew_queue(b, s, r);
    case RECORD_GIVEN:
        return renew_given(b, s, r);
    case RECORD_IN_ADD:
        return renew_inbound(b, s, r->id);
    default:
        return ERR_OK; /* what only ends something is never renewed */
    }
}

/*
 * What cleaning costs: a few units for a record that is recorded anew and for each of its
 * kilobytes; of those that are only looked at, four take a unit. It has a share of each turn.
 */
enum { RENEW_ANEW = 3, RENEW_LOOKED_AT_SHIFT = 2 };

/* Bytes of this turn's records. */
static uint32_t recorded(const struct broker *b)
{
    uint32_t n = b->persist.frame.len;

    return n > PERSIST_FRAME_ROOM ? n - PERSIST_FRAME_ROOM : 0;
}

static void charge(struct broker *b, uint32_t bytes)
{
    uint32_t units = bytes > 0 ? RENEW_ANEW + bytes * WORK_KILOBYTE / 1024
                               : (++b->looked_at & ((1U << RENEW_LOOKED_AT_SHIFT) - 1)) == 0;

    b->stats.renewed_bytes += bytes;
    b->renew_left -= units < b->renew_left ? units : b->renew_left;
    work_charge(&b->work, units);
}

enum err broker_renew(struct broker *b, uint64_t *position, struct str *records)
{
    while (records->n > 0 && b->renew_left > 0 && !work_is_spent(&b->work)) {
        struct str rest = *records;
        struct record r;
        uint32_t before = recorded(b);
        enum err e = ERR_OK;
        if (!record_skip(&rest)) {
            e = record_read(&rest, &r);
            if (!e)
                e = renew(b, &r, *position);
        }
        if (e)
            return e;
        charge(b, recorded(b) - before);
        *position += records->n - rest.n;
        *records = rest;
    }
    return ERR_OK;
}
