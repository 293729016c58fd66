/*
 * A frame's buffer goes to whoever stores it and comes back empty, so that steady traffic does not
 * allocate.
 */
#include "core/persist.h"

#include <assert.h>

#define FRAME_KEEP (2 * 1024 * 1024)

void persist_init(struct persist *p, bool enabled)
{
    *p = (struct persist){.enabled = enabled, .turn = 1, .next_message = 1, .next_session = 1};
    stored_init(&p->stored);
}

void persist_clear(struct persist *p)
{
    buf_clear(&p->frame);
    buf_clear(&p->spare);
    stored_clear(&p->stored);
}

void persist_reuse(struct persist *p, struct buf *frame)
{
    if (p->spare.cap > 0 || frame->cap > FRAME_KEEP) {
        buf_clear(frame);
        return;
    }
    buf_drop(frame, frame->len);
    p->spare = *frame;
    *frame = (struct buf){0};
}

bool persist_end_turn(struct persist *p, uint64_t *turn, struct buf *frame)
{
    *turn = p->turn++;
    p->lasting = false;
    p->first = p->next_message;
    if (p->recorded != *turn) {
        if (p->durable >= p->recorded)
            p->durable = *turn;
        return false;
    }
    *frame = p->frame;
    p->frame = p->spare;
    p->spare = (struct buf){0};
    return true;
}

uint64_t persist_durable(struct persist *p, uint64_t turn)
{
    if (turn > p->durable)
        p->durable = turn;
    if (p->durable >= p->recorded)
        p->durable = p->turn - 1;
    return p->durable;
}

enum err persist_reserve(struct persist *p, size_t count, size_t strings)
{
    bool begins = p->frame.len == 0;
    size_t room = begins ? PERSIST_FRAME_ROOM : 0;
    enum err e;

    if (!persist_on(p))
        return ERR_OK;
    e = buf_reserve(&p->frame, room + p->promised + count * RECORD_OVERHEAD + strings);
    if (!e && begins)
        buf_added(&p->frame, PERSIST_FRAME_ROOM);
    return e ? e : stored_reserve(&p->stored);
}

enum err persist_promise(struct persist *p, size_t count, size_t strings)
{
    enum err e = persist_reserve(p, count, strings);

    if (!e && persist_on(p))
        p->promised = count * RECORD_OVERHEAD + strings;
    return e;
}

void persist_fulfil(struct persist *p)
{
    p->promised = 0;
}

/* Is it true longer than the messages whose records stand in this turn are needed? */
static bool is_lasting(const struct persist *p, const struct record *r)
{
    switch (r->type) {
    case RECORD_CLIENT:
    case RECORD_SUBSCRIBE:
    case RECORD_FEED:
    case RECORD_IN_ADD:
    case RECORD_GIVEN:
        return true;
    case RECORD_QUEUE: /* a QoS 2 row outlives its message: PUBREL is still to come */
        return r->qos == 2 || r->number < p->first || (r->flags & RECORD_FLAG_GIVEN);
    default:
        return false;
    }
}

uint64_t persist_write(struct persist *p, const struct record *r)
{
    uint64_t position;

    if (!persist_on(p))
        return 0;
    assert(p->frame.len >= PERSIST_FRAME_ROOM); /* reserved */
    position = p->place + p->frame.len - PERSIST_FRAME_ROOM;
    record_write(&p->frame, r);
    p->recorded = p->turn;
    p->lasting |= is_lasting(p, r);
    return position;
}

void persist_move(struct persist *p, struct stored *e, const struct record *r)
{
    size_t before = p->frame.len;
    uint64_t position = persist_write(p, r);

    stored_place(&p->stored, e, position,
                 (struct stored_size){.record = (uint32_t)(p->frame.len - before),
                                      .payload = (uint32_t)r->payload.n,
                                      .topic = (uint16_t)r->text.n});
}

struct stored *persist_message(struct persist *p, struct message *m)
{
    struct stored *e = stored_of(m);

    if (!persist_on(p) || e)
        return e;
    e = stored_add(&p->stored, p->next_message++);
    persist_move(p, e,
                 &(struct record){.type = RECORD_MESSAGE,
                                  .number = e->number,
                                  .qos = m->qos,
                                  .text = message_topic(m),
                                  .payload = message_payload(m)});
    stored_attach(&p->stored, e, m);
    return e;
}
