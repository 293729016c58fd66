/*
 * Two growing buffers take turns: one gathers, the other is being stored. They keep their
 * allocations up to FRAME_KEEP so that steady traffic does not allocate.
 */
#include "core/persist.h"

#define FRAME_KEEP (256 * 1024)

void persist_init(struct persist *p, bool enabled)
{
    *p = (struct persist){.enabled = enabled, .turn = 1, .next_message = 1, .next_session = 1};
}

void persist_clear(struct persist *p)
{
    buf_clear(&p->frame);
    buf_clear(&p->taken);
}

void persist_forget(struct persist *p)
{
    if (p->taken.cap > FRAME_KEEP)
        buf_clear(&p->taken);
    else
        buf_drop(&p->taken, p->taken.len);
}

bool persist_end_turn(struct persist *p, uint64_t *turn, struct str *records)
{
    struct buf empty;

    *turn = p->turn++;
    if (p->frame.len == 0) {
        if (p->durable >= p->recorded)
            p->durable = *turn;
        return false;
    }
    persist_forget(p);
    empty = p->taken;
    p->taken = p->frame;
    p->frame = empty;
    *records = buf_str(&p->taken);
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
    if (!persist_on(p))
        return ERR_OK;
    return buf_reserve(&p->frame, p->promised + count * RECORD_OVERHEAD + strings);
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

void persist_write(struct persist *p, const struct record *r)
{
    if (!persist_on(p))
        return;
    record_write(&p->frame, r);
    p->recorded = p->turn;
}

void persist_message(struct persist *p, struct message *m)
{
    if (!persist_on(p) || m->number)
        return;
    m->number = p->next_message++;
    persist_write(p, &(struct record){.type = RECORD_MESSAGE,
                                      .number = m->number,
                                      .qos = m->qos,
                                      .text = message_topic(m),
                                      .payload = message_payload(m)});
}
