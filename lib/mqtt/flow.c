/*
 * QoS 1 and 2 in both directions.
 *
 * The ring is a directory (circular, a power of two long) of chunks of rows, so that it grows
 * without copying rows and shrinks from the front. Two entries stand in the flow itself: a short
 * flow has no other allocation than its chunks. One spare chunk is kept while there are rows; an
 * empty flow keeps nothing.
 *
 * `settle` keeps three promises, so that looking at what comes next never searches: the row at
 * `head` is not finished; the row at `sent` is not finished or is at `begun`; the row at `begun`
 * waits. Finished rows that `begun` passes carry the id before theirs, so that ids never fall and
 * can be bisected.
 */
#include "mqtt/flow.h"

#include "base/mem.h"

#include <assert.h>

#define CHUNK_SHIFT 4
#define CHUNK_ROWS (1u << CHUNK_SHIFT)
#define DIR_INLINE 2
#define ID_MAX 65535u

static_assert(sizeof(struct flow_row) == 16, "a row is 16 bytes");

struct flow_chunk {
    struct flow_row rows[CHUNK_ROWS];
};

struct flow {
    uint64_t head;
    uint64_t sent;
    uint64_t begun;
    uint64_t tail;

    struct flow_chunk **dir;
    struct flow_chunk *dir_inline[DIR_INLINE];
    struct flow_chunk *spare;
    uint32_t dir_first; /* slot of the chunk with `head` */
    uint32_t dir_count;
    uint32_t dir_cap;

    uint32_t inflight;
    uint32_t queued;
    uint64_t inflight_bytes;
    uint64_t queued_bytes;

    struct idset inbound;

    uint16_t last_id;
    bool reserved; /* a push has been promised room */
};

/* --- chunks --- */

static struct flow_row *row_at(const struct flow *f, uint64_t seq)
{
    uint64_t chunk = (seq >> CHUNK_SHIFT) - (f->head >> CHUNK_SHIFT);
    uint32_t slot = (f->dir_first + (uint32_t)chunk) & (f->dir_cap - 1);

    return &f->dir[slot]->rows[seq & (CHUNK_ROWS - 1)];
}

static void dir_free(struct flow *f)
{
    if (f->dir != f->dir_inline)
        mem_free(f->dir, f->dir_cap * sizeof(f->dir[0]));
}

/* Without memory the directory stays as it is. */
static enum err dir_resize(struct flow *f, uint32_t cap)
{
    struct flow_chunk **dir = f->dir_inline;

    if (cap > DIR_INLINE) {
        dir = mem_alloc(cap * sizeof(struct flow_chunk *));
        if (!dir)
            return ERR_NOMEM;
    }
    for (uint32_t i = 0; i < f->dir_count; i++)
        dir[i] = f->dir[(f->dir_first + i) & (f->dir_cap - 1)];
    dir_free(f);
    f->dir = dir;
    f->dir_cap = cap;
    f->dir_first = 0;
    return ERR_OK;
}

static void chunk_release(struct flow *f, struct flow_chunk *chunk)
{
    if (!f->spare)
        f->spare = chunk;
    else
        mem_free(chunk, sizeof(*chunk));
}

/* The first chunk has no rows left. */
static void dir_pop(struct flow *f)
{
    chunk_release(f, f->dir[f->dir_first]);
    f->dir_first = (f->dir_first + 1) & (f->dir_cap - 1);
    f->dir_count--;
    /* a smaller directory is a courtesy: without memory it comes later */
    if (f->dir_cap > DIR_INLINE && f->dir_count <= f->dir_cap / 4)
        (void)dir_resize(f, f->dir_cap / 2);
}

/* No rows: nothing is kept but what was promised to flow_push. */
static void release_all(struct flow *f)
{
    while (f->dir_count > 0)
        dir_pop(f);
    if (!f->reserved) {
        mem_free(f->spare, sizeof(*f->spare));
        f->spare = NULL;
    }
}

static bool chunk_is_missing(const struct flow *f)
{
    return f->dir_count == 0 || (f->tail & (CHUNK_ROWS - 1)) == 0;
}

/* --- rows --- */

static uint16_t next_id(const struct flow *f)
{
    return (uint16_t)(f->last_id % ID_MAX + 1);
}

/* How far an id is behind that of the first row in flight; ids wrap from 65535 to 1 (2.3.1). */
static uint32_t id_distance(const struct flow *f, uint16_t id)
{
    return (id + ID_MAX - row_at(f, f->head)->id) % ID_MAX;
}

static void row_drop_message(struct flow_row *row)
{
    if (row->away)
        blob_unref(row->ticket);
    else
        message_unref(row->message);
    row->message = NULL;
    row->away = 0;
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
    row_drop_message(row);
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

static void head_forward(struct flow *f)
{
    bool chunk_ends = (f->head & (CHUNK_ROWS - 1)) == CHUNK_ROWS - 1;

    f->head++;
    if (chunk_ends)
        dir_pop(f);
}

/* Move the three positions over what is finished (see the head of the file). */
static void settle(struct flow *f)
{
    while (f->begun < f->tail && row_at(f, f->begun)->state == FLOW_DONE) {
        row_at(f, f->begun)->id = f->last_id;
        f->begun++;
    }
    while (f->sent < f->begun && row_at(f, f->sent)->state == FLOW_DONE)
        f->sent++;
    while (f->head < f->begun && row_at(f, f->head)->state == FLOW_DONE)
        head_forward(f);
    if (f->head == f->tail)
        release_all(f);
}

/* --- life --- */

struct flow *flow_new(void)
{
    struct flow *f = mem_zalloc(sizeof(*f));

    if (!f)
        return NULL;
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
        row_drop_message(row_at(f, seq));
    f->reserved = false;
    release_all(f);
    dir_free(f);
    idset_clear(&f->inbound);
    mem_free(f, sizeof(*f));
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
    return seq >= f->head && seq < f->tail ? row_at(f, seq) : NULL;
}

/* --- limits --- */

/*
 * May the positions in flight become one more? Never so many that an id would meet itself (2.3.1-2,
 * -4), nor that rows without ids of their own pile up behind one that is never acknowledged.
 */
static bool span_open(const struct flow *f)
{
    return f->head == f->begun || f->begun - f->head < ID_MAX;
}

static bool window_fits(const struct flow *f, const struct flow_limits *lim, size_t bytes)
{
    if (!span_open(f) || (f->head < f->begun && next_id(f) == row_at(f, f->head)->id))
        return false;
    if (lim->max_inflight && f->inflight >= lim->max_inflight)
        return false;
    return lim->max_inflight_bytes == 0 || f->inflight == 0 ||
           f->inflight_bytes + bytes <= lim->max_inflight_bytes;
}

bool flow_window_open(const struct flow *f, const struct flow_limits *lim)
{
    return f->sent == f->tail && window_fits(f, lim, 1);
}

bool flow_has_room(const struct flow *f, const struct flow_limits *lim, bool connected,
                   enum qos qos, size_t bytes)
{
    if (connected && qos != QOS_0 && f->sent == f->tail && window_fits(f, lim, bytes))
        return true;
    if (lim->max_queued && f->queued >= lim->max_queued)
        return false;
    return lim->max_queued_bytes == 0 || f->queued_bytes + bytes <= lim->max_queued_bytes;
}

/* --- adding and sending --- */

enum err flow_reserve(struct flow *f)
{
    if (chunk_is_missing(f)) {
        if (f->dir_count == f->dir_cap && dir_resize(f, f->dir_cap * 2) != ERR_OK)
            return ERR_NOMEM;
        if (!f->spare)
            f->spare = mem_alloc(sizeof(*f->spare));
        if (!f->spare)
            return ERR_NOMEM;
    }
    f->reserved = true;
    return ERR_OK;
}

/* A row at the tail, not filled in yet. */
static struct flow_row *row_add(struct flow *f)
{
    assert(f->reserved);
    if (chunk_is_missing(f)) {
        assert(f->spare && f->dir_count < f->dir_cap);
        f->dir[(f->dir_first + f->dir_count) & (f->dir_cap - 1)] = f->spare;
        f->dir_count++;
        f->spare = NULL;
    }
    f->reserved = false;
    return row_at(f, f->tail++);
}

static uint64_t push(struct flow *f, struct flow_row fresh)
{
    uint64_t seq = f->tail;

    fresh.state = FLOW_QUEUED;
    *row_add(f) = fresh;
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
    struct flow_row *row = row_at(f, seq);
    struct blob *ticket = row->ticket;

    assert(row->away && ticket);
    row->message = message_ref(m);
    row->away = 0;
    blob_unref(ticket);
}

void flow_leave(struct flow *f, uint64_t seq, struct blob *ticket)
{
    struct flow_row *row = row_at(f, seq);
    struct message *m = row->message;

    assert(!row->away && m);
    row->ticket = blob_ref(ticket);
    row->away = 1;
    message_unref(m);
}

/* 4.4.0-1: unfinished ones first, in their order */
static bool peek_again(const struct flow *f, struct flow_next *next)
{
    const struct flow_row *row = row_at(f, f->sent);
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
    const struct flow_row *row = row_at(f, f->begun);
    bool open = row->qos == QOS_0 ? span_open(f) : window_fits(f, lim, row->bytes);
    if (!open)
        return false;
    *next = (struct flow_next){
        .seq = f->begun,
        .row = row,
        .id = row->qos == QOS_0 ? 0 : next_id(f),
    };
    return true;
}

/* 2.3.1-2 */
void flow_advance(struct flow *f)
{
    if (f->sent < f->begun) {
        f->sent++;
        settle(f);
        return;
    }
    assert(f->begun < f->tail);
    struct flow_row *row = row_at(f, f->begun);
    if (row->qos == QOS_0) {
        row_finish(f, row);
    } else {
        row_begin(f, row, next_id(f));
        f->begun++;
        f->sent++;
    }
    settle(f);
}

/* 4.4.0-1 */
void flow_rewind(struct flow *f)
{
    f->sent = f->head;
}

/* --- acknowledgements --- */

/* The row in flight that owns an id; 0 when there is none. Of several with one id the first is the
 * owner. */
static uint64_t find_id(const struct flow *f, uint16_t id)
{
    uint64_t low = f->head;
    uint64_t high = f->begun;

    if (low == high || id == 0)
        return 0;
    uint32_t want = id_distance(f, id);
    while (low < high) {
        uint64_t mid = low + (high - low) / 2;
        if (id_distance(f, row_at(f, mid)->id) < want)
            low = mid + 1;
        else
            high = mid;
    }
    return low < f->begun && row_at(f, low)->id == id ? low : 0;
}

static enum flow_answer acknowledge_row(struct flow *f, struct flow_row *row, enum packet_type type)
{
    if (row->state == FLOW_WAIT_PUBREC && type == PACKET_PUBREC) {
        row->state = FLOW_WAIT_PUBCOMP;
        row_drop_message(row);
        return FLOW_ACCEPTED;
    }
    if (row->state == FLOW_WAIT_PUBCOMP && type == PACKET_PUBREC)
        return FLOW_REPEATED;
    if ((row->state == FLOW_WAIT_PUBACK && type == PACKET_PUBACK) ||
        (row->state == FLOW_WAIT_PUBCOMP && type == PACKET_PUBCOMP)) {
        row_finish(f, row);
        settle(f);
        return FLOW_ACCEPTED;
    }
    return FLOW_WRONG_TYPE;
}

/* 4.3.2, 4.3.3 */
enum flow_answer flow_acknowledge(struct flow *f, enum packet_type type, uint16_t id, uint64_t *seq)
{
    *seq = find_id(f, id);
    if (*seq == 0)
        return FLOW_UNKNOWN;
    struct flow_row *row = row_at(f, *seq);
    if (row->state == FLOW_DONE) {
        *seq = 0;
        return FLOW_UNKNOWN;
    }
    return *seq < f->sent ? acknowledge_row(f, row, type) : FLOW_UNKNOWN;
}

void flow_set_done(struct flow *f, uint64_t seq)
{
    if (seq < f->head || seq >= f->tail)
        return;
    row_finish(f, row_at(f, seq));
    settle(f);
}

/* --- loading --- */

/* So far may a row be from the others: more than any queue of ours was ever long. */
#define LOAD_SPAN_MAX (1u << 26)

static enum err chunk_in_front(struct flow *f)
{
    struct flow_chunk *chunk;

    if (f->dir_count == f->dir_cap && dir_resize(f, f->dir_cap * 2) != ERR_OK)
        return ERR_NOMEM;
    chunk = mem_alloc(sizeof(*chunk));
    if (!chunk)
        return ERR_NOMEM;
    f->dir_first = (f->dir_first - 1) & (f->dir_cap - 1);
    f->dir[f->dir_first] = chunk;
    f->dir_count++;
    return ERR_OK;
}

/* Make the ring reach so far, with holes. */
static enum err load_reach(struct flow *f, uint64_t seq)
{
    static const struct flow_row hole = {.state = FLOW_HOLE};

    if (f->head == f->tail)
        f->head = f->tail = seq;
    while (f->tail <= seq) {
        if (flow_reserve(f) != ERR_OK)
            return ERR_NOMEM;
        *row_add(f) = hole;
    }
    while (f->head > seq) {
        if ((f->head & (CHUNK_ROWS - 1)) == 0 && chunk_in_front(f) != ERR_OK)
            return ERR_NOMEM;
        f->head--;
        *row_at(f, f->head) = hole;
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
    row = row_at(f, seq);
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
    struct flow_row *row = seq >= f->head && seq < f->tail ? row_at(f, seq) : NULL;

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
    if (row->qos == QOS_0) {
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
    row_drop_message(row);
}

/* What is finished at the front goes at once: a long journal would make a long ring of it. */
void flow_load_done(struct flow *f, uint64_t seq)
{
    struct flow_row *row = load_find(f, seq);

    if (!row)
        return;
    row_drop_message(row);
    row->state = FLOW_DONE;
    while (f->head < f->tail && row_at(f, f->head)->state == FLOW_DONE)
        head_forward(f);
    if (f->head == f->tail)
        release_all(f);
}

void flow_load_resolve(struct flow *f, uint64_t seq, struct message *m, uint32_t bytes)
{
    row_at(f, seq)->bytes = bytes;
    if (m)
        flow_arrived(f, seq, m);
}

static bool load_makes_sense(const struct flow *f, uint64_t seq, uint16_t before)
{
    const struct flow_row *row = row_at(f, seq);

    if (row->state != FLOW_WAIT_PUBCOMP && !row->message)
        return false;
    if (seq >= f->begun)
        return row->state == FLOW_QUEUED;
    return row->state != FLOW_QUEUED && row->id != 0 &&
           (before == 0 || id_distance(f, row->id) > id_distance(f, before));
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
    struct flow_row *row = row_at(f, seq);

    if (row->state == FLOW_HOLE) {
        row->state = FLOW_DONE;
    } else if (row->state != FLOW_DONE && !load_makes_sense(f, seq, *before)) {
        row_drop_message(row);
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
    struct flow_row *last = f->head < f->begun ? row_at(f, f->begun - 1) : NULL;

    if (!last)
        return;
    if (last->state == FLOW_DONE && f->last_id != 0 &&
        id_distance(f, f->last_id) >= id_distance(f, before))
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
            head_forward(f); /* finished ones in front have no place, and no id */
    }
    if (f->head == f->tail) {
        release_all(f);
        flow_resume_at(f, begun > f->tail ? begun : f->tail, f->last_id);
        return ERR_OK;
    }
    f->begun = begun < f->head ? f->head : begun < f->tail ? begun : f->tail;
    f->sent = f->head;
    load_last_id(f, before);
    settle(f);
    return ERR_OK;
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
    if (row->id != 0)
        return false;
    if (row->state == FLOW_DONE)
        return row->message == NULL;
    sum->queued++;
    sum->queued_bytes += row->bytes;
    return row->state == FLOW_QUEUED && row->message;
}

/* A row in flight, or finished behind one that is. */
static bool check_begun(const struct flow *f, uint64_t seq, struct recount *sum)
{
    const struct flow_row *row = row_at(f, seq);
    uint32_t distance = id_distance(f, row->id);
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
    if (f->head < f->tail && row_at(f, f->head)->state == FLOW_DONE)
        return false;
    if (f->sent < f->begun && row_at(f, f->sent)->state == FLOW_DONE)
        return false;
    if (f->begun < f->tail && row_at(f, f->begun)->state != FLOW_QUEUED)
        return false;
    return f->head == f->begun || row_at(f, f->begun - 1)->id == f->last_id;
}

static bool check_chunks(const struct flow *f)
{
    uint64_t chunks = 0;

    if (f->head < f->tail)
        chunks = ((f->tail - 1) >> CHUNK_SHIFT) - (f->head >> CHUNK_SHIFT) + 1;
    if (f->dir_count != chunks || f->dir_count > f->dir_cap || f->dir_first >= f->dir_cap)
        return false;
    return chunks || !f->spare || f->reserved;
}

bool flow_check(const struct flow *f)
{
    struct recount sum = {0};

    if (!check_chunks(f) || !check_positions(f) || !idset_check(&f->inbound))
        return false;
    for (uint64_t seq = f->head; seq < f->begun; seq++) {
        if (!check_begun(f, seq, &sum))
            return false;
    }
    for (uint64_t seq = f->begun; seq < f->tail; seq++) {
        if (!check_waiting(row_at(f, seq), &sum))
            return false;
    }
    return sum.inflight == f->inflight && sum.queued == f->queued &&
           sum.inflight_bytes == f->inflight_bytes && sum.queued_bytes == f->queued_bytes;
}
