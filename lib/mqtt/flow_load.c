/*
 * The outgoing side of a flow from records.
 */
#include "mqtt/flow_load.h"

#include "mqtt/flow_rows.h"

/* So far may a row be from the others: more than any queue of ours was ever long. */
#define LOAD_SPAN_MAX (1u << 26)

/* Make the ring reach so far, with holes. */
static enum err load_reach(struct flow *f, uint64_t seq)
{
    static const struct flow_row hole = {.state = FLOW_HOLE};

    if (f->head == f->tail)
        f->head = f->tail = seq;
    while (f->tail <= seq) {
        if (rows_reserve(f, 1) != ERR_OK)
            return ERR_NOMEM;
        *rows_add(f) = hole;
    }
    while (f->head > seq) {
        struct flow_row *row = rows_in_front(f);
        if (!row)
            return ERR_NOMEM;
        *row = hole;
    }
    return ERR_OK;
}

static bool is_too_far(const struct flow *f, uint64_t seq)
{
    return f->head != f->tail && ((seq > f->tail && seq - f->tail > LOAD_SPAN_MAX) ||
                                  (seq < f->head && f->head - seq > LOAD_SPAN_MAX));
}

enum err flow_load_row(struct flow *f, uint64_t seq, struct blob *ticket, uint32_t bytes,
                       enum qos qos, bool retain)
{
    struct flow_row *row;

    if (seq == 0 || seq >= UINT64_MAX / 2 || is_too_far(f, seq))
        return ERR_INVAL;
    if (load_reach(f, seq) != ERR_OK)
        return ERR_NOMEM;
    row = rows_at(f, seq);
    if (row->state != FLOW_HOLE)
        return ERR_OK;
    *row = (struct flow_row){.ticket = ticket ? blob_ref(ticket) : NULL,
                             .bytes = bytes,
                             .qos = (uint8_t)qos,
                             .state = FLOW_QUEUED,
                             .retain = retain,
                             .away = ticket != NULL};
    return ERR_OK;
}

/* Its row, if it is there and not finished. */
static struct flow_row *load_find(const struct flow *f, uint64_t seq)
{
    struct flow_row *row = seq >= f->head && seq < f->tail ? rows_at(f, seq) : NULL;

    return row && row->state != FLOW_HOLE && row->state != FLOW_DONE ? row : NULL;
}

void flow_load_position(struct flow *f, uint64_t begun, uint16_t last_id)
{
    if (begun < f->begun || begun >= UINT64_MAX / 2)
        return;
    f->begun = begun;
    if (last_id != 0)
        f->last_id = last_id;
}

void flow_load_begun(struct flow *f, uint64_t seq, uint16_t id)
{
    struct flow_row *row = load_find(f, seq);

    flow_load_position(f, seq + 1, id);
    if (!row || row->state != FLOW_QUEUED)
        return;
    if (row->qos == QOS_0 || id == 0) {
        flow_load_done(f, seq);
        return;
    }
    row->state = row->qos == QOS_1 ? FLOW_WAIT_PUBACK : FLOW_WAIT_PUBREC;
    row->id = id;
}

void flow_load_received(struct flow *f, uint64_t seq)
{
    struct flow_row *row = load_find(f, seq);

    if (!row || row->state != FLOW_WAIT_PUBREC)
        return;
    row->state = FLOW_WAIT_PUBCOMP;
    rows_drop(row);
}

/* What is finished at the front goes at once: a long journal would make a long ring of it. */
void flow_load_done(struct flow *f, uint64_t seq)
{
    struct flow_row *row = load_find(f, seq);

    if (!row)
        return;
    rows_drop(row);
    row->state = FLOW_DONE;
    while (f->head < f->tail && rows_at(f, f->head)->state == FLOW_DONE)
        rows_forward(f);
    if (f->head == f->tail)
        rows_release(f);
}

void flow_load_resolve(struct flow *f, uint64_t seq, struct message *m, uint32_t bytes)
{
    rows_at(f, seq)->bytes = bytes;
    if (m)
        flow_arrived(f, seq, m);
}

static bool load_makes_sense(const struct flow *f, uint64_t seq, uint16_t before)
{
    const struct flow_row *row = rows_at(f, seq);

    if (row->state != FLOW_WAIT_PUBCOMP && !row->message)
        return false;
    if (seq >= f->begun)
        return row->state == FLOW_QUEUED;
    return row->state != FLOW_QUEUED && row->id != 0 &&
           (before == 0 || rows_distance(f, row->id) > rows_distance(f, before));
}

static void load_count(struct flow *f, const struct flow_row *row)
{
    if (row->state == FLOW_QUEUED) {
        f->queued++;
        f->queued_bytes += row->bytes;
    } else {
        f->inflight++;
        f->inflight_bytes += row->bytes;
    }
}

/* One row after the other, from the first that is not finished; `before` is the id before it. */
static void load_settle(struct flow *f, uint64_t seq, uint16_t *before, uint64_t *lost)
{
    struct flow_row *row = rows_at(f, seq);

    if (row->state == FLOW_HOLE) {
        row->state = FLOW_DONE;
    } else if (row->state != FLOW_DONE && !load_makes_sense(f, seq, *before)) {
        rows_drop(row);
        row->state = FLOW_DONE;
        ++*lost;
    }
    if (row->state != FLOW_DONE) {
        load_count(f, row);
        *before = row->id ? row->id : *before;
    } else {
        row->id = seq < f->begun ? *before : 0;
    }
}

/*
 * Ids never fall, up to the one that was given last: the last row that was begun has that one,
 * finished or not. `before` is the id of the last that is not finished.
 */
static void load_last_id(struct flow *f, uint16_t before)
{
    struct flow_row *last = f->head < f->begun ? rows_at(f, f->begun - 1) : NULL;

    if (!last)
        return;
    if (last->state == FLOW_DONE && f->last_id != 0 &&
        rows_distance(f, f->last_id) >= rows_distance(f, before))
        last->id = f->last_id;
    else
        f->last_id = before;
}

enum err flow_load_end(struct flow *f, uint64_t *lost)
{
    uint64_t begun = f->begun;
    uint16_t before = 0;

    if (f->head != f->tail && f->tail < begun && begun - f->tail <= LOAD_SPAN_MAX &&
        load_reach(f, begun - 1) != ERR_OK)
        return ERR_NOMEM;
    for (uint64_t seq = f->head; seq < f->tail; seq++) {
        load_settle(f, seq, &before, lost);
        if (before == 0 && seq < begun && seq == f->head)
            rows_forward(f); /* finished ones in front have no place, and no id */
    }
    if (f->head == f->tail) {
        rows_release(f);
        flow_resume_at(f, begun > f->tail ? begun : f->tail, f->last_id);
        return ERR_OK;
    }
    f->begun = begun < f->head ? f->head : begun < f->tail ? begun : f->tail;
    f->sent = f->head;
    load_last_id(f, before);
    rows_settle(f);
    return ERR_OK;
}
