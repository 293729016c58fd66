/*
 * QoS 1 and 2 in both directions.
 */
#include "mqtt/flow.h"

#include "base/mem.h"
#include "mqtt/flow_rows.h"

/* --- rows --- */

static uint16_t next_id(const struct flow *f)
{
    return (uint16_t)(f->last_id % ID_MAX + 1);
}

/* Of a waiting row: its own, or what comes next. */
static uint16_t row_id(const struct flow *f, const struct flow_row *row)
{
    return row->id ? row->id : next_id(f);
}

static void row_uncount(struct flow *f, const struct flow_row *row)
{
    if (row->state == FLOW_QUEUED) {
        f->queued--;
        f->queued_bytes -= row->bytes;
    } else {
        f->inflight--;
        f->inflight_bytes -= row->bytes;
    }
}

static void row_finish(struct flow *f, struct flow_row *row)
{
    if (row->state == FLOW_DONE)
        return;
    row_uncount(f, row);
    rows_drop(row);
    row->state = FLOW_DONE;
}

/* The row at `begun` is QoS 1 or 2 and waiting: it goes into flight. */
static void row_begin(struct flow *f, struct flow_row *row, uint16_t id)
{
    row_uncount(f, row);
    row->state = row->qos == QOS_1 ? FLOW_WAIT_PUBACK : FLOW_WAIT_PUBREC;
    row->id = id;
    f->last_id = id;
    f->inflight++;
    f->inflight_bytes += row->bytes;
}

/* --- life --- */

struct flow *flow_new(struct slabs *pool)
{
    struct flow *f = slabs_take(pool, sizeof(*f));

    if (!f)
        return NULL;
    *f = (struct flow){.pool = pool};
    f->head = f->sent = f->begun = f->tail = 1;
    f->dir = f->dir_inline;
    f->dir_cap = DIR_INLINE;
    idset_init(&f->inbound);
    return f;
}

void flow_free(struct flow *f)
{
    if (!f)
        return;
    for (uint64_t seq = f->head; seq < f->tail; seq++)
        rows_drop(rows_at(f, seq));
    f->reserved = 0;
    rows_release(f);
    rows_free(f);
    idset_clear(&f->inbound);
    slabs_give(f->pool, f, sizeof(*f));
}

bool flow_is_empty(const struct flow *f)
{
    return f->head == f->tail && f->inbound.count == 0;
}

uint32_t flow_inflight(const struct flow *f)
{
    return f->inflight;
}

uint64_t flow_inflight_bytes(const struct flow *f)
{
    return f->inflight_bytes;
}

uint32_t flow_queued(const struct flow *f)
{
    return f->queued;
}

uint64_t flow_queued_bytes(const struct flow *f)
{
    return f->queued_bytes;
}

uint64_t flow_head(const struct flow *f)
{
    return f->head;
}

uint64_t flow_begun(const struct flow *f)
{
    return f->begun;
}

uint64_t flow_tail(const struct flow *f)
{
    return f->tail;
}

uint16_t flow_last_id(const struct flow *f)
{
    return f->last_id;
}

void flow_resume_at(struct flow *f, uint64_t tail, uint16_t last_id)
{
    assert(f->head == f->tail && tail > 0);
    f->head = f->sent = f->begun = f->tail = tail;
    f->last_id = last_id;
}

const struct flow_row *flow_row_at(const struct flow *f, uint64_t seq)
{
    return seq >= f->head && seq < f->tail ? rows_at(f, seq) : NULL;
}

/* --- limits --- */

/*
 * May the positions in flight become one more? Never so many that an id would meet itself (2.3.1-2,
 * -4), nor that rows without ids of their own pile up behind one that is never acknowledged.
 */
static inline bool span_open(const struct flow *f)
{
    return f->head == f->begun || f->begun - f->head < ID_MAX;
}

/*
 * Ids in flight rise, so that they can be bisected, and none meets itself. The one that comes after
 * the last could only meet the first.
 */
static inline bool id_rises(const struct flow *f, uint16_t id)
{
    if (f->head == f->begun)
        return true;
    if (LIKELY(id == next_id(f)))
        return id != rows_at(f, f->head)->id;
    return rows_distance(f, id) > rows_distance(f, f->last_id);
}

static inline bool window_fits(const struct flow *f, const struct flow_limits *lim, uint16_t id,
                               size_t bytes)
{
    if (lim->max_inflight && f->inflight >= lim->max_inflight)
        return false;
    if (!span_open(f) || !id_rises(f, id))
        return false;
    return lim->max_inflight_bytes == 0 || f->inflight == 0 ||
           f->inflight_bytes + bytes <= lim->max_inflight_bytes;
}

uint16_t flow_open_id(const struct flow *f, const struct flow_limits *lim, size_t bytes)
{
    uint16_t id = next_id(f);

    return f->sent == f->tail && window_fits(f, lim, id, bytes) ? id : 0;
}

bool flow_window_open(const struct flow *f, const struct flow_limits *lim)
{
    return flow_open_id(f, lim, 1) != 0;
}

bool flow_is_shut(const struct flow *f, const struct flow_limits *lim)
{
    return lim->max_inflight && f->inflight >= lim->max_inflight && f->sent == f->begun &&
           f->begun < f->tail && rows_at(f, f->begun)->qos != QOS_0;
}

bool flow_has_room(const struct flow *f, const struct flow_limits *lim, bool connected,
                   enum qos qos, size_t bytes)
{
    if (connected && qos != QOS_0 && flow_open_id(f, lim, bytes) != 0)
        return true;
    if (lim->max_queued && f->queued >= lim->max_queued)
        return false;
    return lim->max_queued_bytes == 0 || f->queued_bytes + bytes <= lim->max_queued_bytes;
}

/* --- adding and sending --- */

enum err flow_reserve(struct flow *f, uint32_t rows)
{
    return rows_reserve(f, rows);
}

static uint64_t push(struct flow *f, struct flow_row fresh)
{
    uint64_t seq = f->tail;

    fresh.state = FLOW_QUEUED;
    *rows_add(f) = fresh;
    f->queued++;
    f->queued_bytes += fresh.bytes;
    return seq;
}

uint64_t flow_push(struct flow *f, struct message *m, enum qos qos, bool retain)
{
    return push(f, (struct flow_row){.message = message_ref(m),
                                     .bytes = m->topic_len + m->payload_len,
                                     .qos = (uint8_t)qos,
                                     .retain = retain});
}

uint64_t flow_push_sent(struct flow *f, struct message *m, enum qos qos, bool retain)
{
    uint32_t bytes = m->topic_len + m->payload_len;

    f->last_id = next_id(f);
    *rows_add(f) = (struct flow_row){
        .message = message_ref(m),
        .bytes = bytes,
        .id = f->last_id,
        .qos = (uint8_t)qos,
        .state = qos == QOS_1 ? FLOW_WAIT_PUBACK : FLOW_WAIT_PUBREC,
        .retain = retain,
    };
    f->begun = f->sent = f->tail;
    f->inflight++;
    f->inflight_bytes += bytes;
    return f->tail - 1;
}

uint64_t flow_push_as(struct flow *f, struct message *m, enum qos qos, bool retain, uint16_t id)
{
    uint64_t seq = flow_push(f, m, qos, retain);

    rows_at(f, seq)->id = id;
    return seq;
}

uint64_t flow_push_away(struct flow *f, struct blob *ticket, uint32_t bytes, enum qos qos,
                        bool retain)
{
    return push(f, (struct flow_row){.ticket = blob_ref(ticket),
                                     .bytes = bytes,
                                     .qos = (uint8_t)qos,
                                     .retain = retain,
                                     .away = 1});
}

void flow_arrived(struct flow *f, uint64_t seq, struct message *m)
{
    struct flow_row *row = rows_at(f, seq);
    struct blob *ticket = row->ticket;

    assert(row->away && ticket);
    row->message = message_ref(m);
    row->away = 0;
    blob_unref(ticket);
}

void flow_leave(struct flow *f, uint64_t seq, struct blob *ticket)
{
    struct flow_row *row = rows_at(f, seq);
    struct message *m = row->message;

    assert(!row->away && m);
    row->ticket = blob_ref(ticket);
    row->away = 1;
    message_unref(m);
}

/* 4.4.0-1: unfinished ones first, in their order */
static bool peek_again(const struct flow *f, struct flow_next *next)
{
    const struct flow_row *row = rows_at(f, f->sent);
    bool pubrel = row->state == FLOW_WAIT_PUBCOMP;

    *next = (struct flow_next){
        .seq = f->sent, .row = row, .id = row->id, .pubrel = pubrel, .dup = !pubrel, /* 3.3.1-1 */
    };
    return true;
}

/* 4.6.0-6 */
bool flow_peek(const struct flow *f, const struct flow_limits *lim, struct flow_next *next)
{
    if (f->sent < f->begun)
        return peek_again(f, next);
    if (f->begun == f->tail)
        return false;
    const struct flow_row *row = rows_at(f, f->begun);
    uint16_t id = row_id(f, row);
    bool open = row->qos == QOS_0 ? span_open(f) : window_fits(f, lim, id, row->bytes);
    if (!open)
        return false;
    *next = (struct flow_next){
        .seq = f->begun,
        .row = row,
        .id = row->qos == QOS_0 ? 0 : id,
    };
    return true;
}

/* 2.3.1-2 */
void flow_advance(struct flow *f)
{
    if (f->sent < f->begun) {
        f->sent++;
        rows_settle(f);
        return;
    }
    assert(f->begun < f->tail);
    struct flow_row *row = rows_at(f, f->begun);
    if (row->qos == QOS_0) {
        row_finish(f, row);
    } else {
        row_begin(f, row, row_id(f, row));
        f->begun++;
        f->sent++;
        if (f->begun == f->tail || rows_at(f, f->begun)->state != FLOW_DONE)
            return; /* as nearly always; what is in front has not changed */
    }
    rows_settle(f);
}

/* 4.4.0-1 */
void flow_rewind(struct flow *f)
{
    f->sent = f->head;
}

/* --- acknowledgements --- */

/* The row in flight that owns an id; 0 when there is none. Of several with one id the first is the
 * owner. */
static uint64_t bisect_id(const struct flow *f, uint32_t want, uint16_t id)
{
    uint64_t low = f->head;
    uint64_t high = f->begun;

    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (rows_distance(f, rows_at(f, mid)->id) < want)
            low = mid + 1;
        else
            high = mid;
    }
    return low < f->begun && rows_at(f, low)->id == id ? low : 0;
}

/*
 * Ids are consecutive but for finished rows and ids of flow_push_as: so the row nearly always
 * stands as far behind the first one as its id.
 */
static NOINLINE uint64_t find_behind(const struct flow *f, uint16_t id)
{
    uint32_t want = rows_distance(f, id);
    uint64_t guess = f->head + want;

    if (guess < f->begun) {
        const struct flow_row *row = rows_at(f, guess);
        if (row->id == id && row->state != FLOW_DONE)
            return guess;
    }
    return bisect_id(f, want, id);
}

/*
 * It is the first one where acknowledgements come in order, as they ought to (4.6.0-2). That and
 * find_behind save 270 instructions of bisection an acknowledgement in a window of 100.
 */
static inline uint64_t find_id(const struct flow *f, uint16_t id)
{
    if (f->head == f->begun || id == 0)
        return 0;
    return rows_at(f, f->head)->id == id ? f->head : find_behind(f, id);
}

bool flow_has_id(const struct flow *f, uint16_t id)
{
    return find_id(f, id) != 0;
}

/* PUBACK or PUBCOMP. */
static inline enum flow_answer complete(struct flow *f, uint64_t seq, struct flow_row *row)
{
    f->inflight--;
    f->inflight_bytes -= row->bytes;
    rows_drop(row);
    row->state = FLOW_DONE;
    rows_settle_sent(f, seq);
    return FLOW_ACCEPTED;
}

/* All but PUBACK for QoS 1. */
static enum flow_answer acknowledge_row(struct flow *f, uint64_t seq, struct flow_row *row,
                                        enum packet_type type)
{
    if (row->state == FLOW_WAIT_PUBREC && type == PACKET_PUBREC) {
        row->state = FLOW_WAIT_PUBCOMP;
        rows_drop(row);
        return FLOW_ACCEPTED;
    }
    if (row->state != FLOW_WAIT_PUBCOMP)
        return FLOW_WRONG_TYPE;
    if (type == PACKET_PUBREC)
        return FLOW_REPEATED;
    return type == PACKET_PUBCOMP ? complete(f, seq, row) : FLOW_WRONG_TYPE;
}

/* 4.3.2, 4.3.3 */
enum flow_answer flow_acknowledge(struct flow *f, enum packet_type type, uint16_t id, uint64_t *seq)
{
    struct flow_row *row;

    *seq = find_id(f, id);
    if (UNLIKELY(*seq == 0))
        return FLOW_UNKNOWN;
    row = rows_at(f, *seq);
    if (UNLIKELY(row->state == FLOW_DONE)) {
        *seq = 0;
        return FLOW_UNKNOWN;
    }
    if (UNLIKELY(*seq >= f->sent))
        return FLOW_UNKNOWN;
    if (LIKELY(row->state == FLOW_WAIT_PUBACK && type == PACKET_PUBACK))
        return complete(f, *seq, row);
    return acknowledge_row(f, *seq, row, type);
}

void flow_set_done(struct flow *f, uint64_t seq)
{
    if (seq < f->head || seq >= f->tail)
        return;
    row_finish(f, rows_at(f, seq));
    rows_settle(f);
}

/* 4.3.3 */
bool flow_skip(struct flow *f, uint64_t seq)
{
    struct flow_row *row = rows_at(f, seq);

    if (row->state == FLOW_WAIT_PUBREC) {
        row->state = FLOW_WAIT_PUBCOMP;
        rows_drop(row);
        return false;
    }
    flow_set_done(f, seq);
    return true;
}

struct idset *flow_inbound(struct flow *f)
{
    return &f->inbound;
}

/* --- the invariant --- */

struct recount {
    uint32_t inflight;
    uint32_t queued;
    uint64_t inflight_bytes;
    uint64_t queued_bytes;
    uint32_t distance; /* of the id before this row */
};

/* A row waiting for the window, or dropped while it waited. */
static bool check_waiting(const struct flow_row *row, struct recount *sum)
{
    if (row->state == FLOW_DONE)
        return row->message == NULL;
    sum->queued++;
    sum->queued_bytes += row->bytes;
    return row->state == FLOW_QUEUED && row->message;
}

/* A row in flight, or finished behind one that is. */
static bool check_begun(const struct flow *f, uint64_t seq, struct recount *sum)
{
    const struct flow_row *row = rows_at(f, seq);
    uint32_t distance = rows_distance(f, row->id);
    uint32_t least = seq == f->head ? 0 : sum->distance + (row->state != FLOW_DONE);

    if (row->id == 0 || distance < least || row->state == FLOW_QUEUED)
        return false;
    sum->distance = distance;
    if (row->state == FLOW_DONE)
        return row->message == NULL;
    sum->inflight++;
    sum->inflight_bytes += row->bytes;
    if (row->state == FLOW_WAIT_PUBACK)
        return row->qos == QOS_1 && row->message;
    return row->qos == QOS_2 && (row->state == FLOW_WAIT_PUBREC) == (row->message != NULL);
}

static bool check_positions(const struct flow *f)
{
    if (f->head == 0 || f->head > f->sent || f->sent > f->begun || f->begun > f->tail)
        return false;
    if (f->head < f->tail && rows_at(f, f->head)->state == FLOW_DONE)
        return false;
    if (f->sent < f->begun && rows_at(f, f->sent)->state == FLOW_DONE)
        return false;
    if (f->begun < f->tail && rows_at(f, f->begun)->state != FLOW_QUEUED)
        return false;
    return f->head == f->begun || rows_at(f, f->begun - 1)->id == f->last_id;
}

bool flow_check(const struct flow *f)
{
    struct recount sum = {0};

    if (!rows_check(f) || !check_positions(f) || !idset_check(&f->inbound))
        return false;
    for (uint64_t seq = f->head; seq < f->begun; seq++) {
        if (!check_begun(f, seq, &sum))
            return false;
    }
    for (uint64_t seq = f->begun; seq < f->tail; seq++) {
        if (!check_waiting(rows_at(f, seq), &sum))
            return false;
    }
    return sum.inflight == f->inflight && sum.queued == f->queued &&
           sum.inflight_bytes == f->inflight_bytes && sum.queued_bytes == f->queued_bytes;
}
