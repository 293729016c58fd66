/*
 * Any sequence of operations on a flow: its invariant holds after each one, and every message is
 * given back in the end.
 *
 * Two input bytes are one operation and its argument. Behind an 'L' the input is records instead,
 * of five bytes each, from which a flow is loaded.
 */
#include "base/mem.h"
#include "mqtt/flow_load.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert: this must hold in every build. */
static void must(bool holds)
{
    if (!holds)
        abort();
}

struct fuzz {
    struct flow *f;
    struct message *m;
    struct blob *ticket;
    struct flow_limits lim;
};

/* A sequence number near the unfinished ones, sometimes outside. */
static uint64_t seq_of(const struct fuzz *z, uint8_t arg)
{
    return flow_head(z->f) + arg - 2;
}

static void op_push(struct fuzz *z, uint8_t arg)
{
    if (arg & 0x80)
        mem_fail_after(0, 1);
    enum err e = flow_reserve(z->f, 1);
    mem_fail_never();
    if (e != ERR_OK)
        return;
    if ((arg & 3) == 3)
        flow_push_away(z->f, z->ticket, 3, (enum qos)(arg >> 4 & 1), arg & 4);
    else
        flow_push(z->f, z->m, (enum qos)(arg & 3), arg & 4);
}

static void op_send(struct fuzz *z, uint8_t arg)
{
    struct flow_next next;

    for (unsigned i = 0; i <= arg; i++) {
        if (!flow_peek(z->f, &z->lim, &next))
            return;
        must(next.row == flow_row_at(z->f, next.seq));
        must((next.id == 0) == (next.row->qos == QOS_0));
        flow_advance(z->f);
    }
}

static void op_ack(struct fuzz *z, uint8_t arg, enum packet_type type)
{
    uint64_t seq;
    uint16_t id = (uint16_t)(flow_last_id(z->f) + 2 - arg);
    enum flow_answer a = flow_acknowledge(z->f, type, id, &seq);

    must(a != FLOW_REPEATED || type == PACKET_PUBREC);
    must(a == FLOW_UNKNOWN || (seq > 0 && seq < flow_tail(z->f)));
    if (a == FLOW_REPEATED)
        must(flow_row_at(z->f, seq)->id == id);
}

static void op_in(struct fuzz *z, uint8_t arg)
{
    uint16_t id = (uint16_t)((arg & 0x7F) * 331u + 1);
    bool had = idset_has(flow_inbound(z->f), id);

    if (arg & 0x80) {
        must(idset_remove(flow_inbound(z->f), id) == had);
        return;
    }
    if (idset_reserve(flow_inbound(z->f)) == ERR_OK)
        must(idset_add(flow_inbound(z->f), id) != had);
}

static void op_limits(struct fuzz *z, uint8_t arg)
{
    z->lim = (struct flow_limits){
        .max_inflight = arg & 7,
        .max_inflight_bytes = (arg & 8) ? 5 : 0,
        .max_queued = (arg >> 4) & 3,
        .max_queued_bytes = (arg & 0x40) ? 20 : 0,
    };
}

/* The message of a row goes, or comes back. */
static void op_leave(struct fuzz *z, uint8_t arg)
{
    const struct flow_row *row = flow_row_at(z->f, seq_of(z, arg));

    if (!row || !row->message)
        return;
    if (row->away)
        flow_arrived(z->f, seq_of(z, arg), z->m);
    else
        flow_leave(z->f, seq_of(z, arg), z->ticket);
}

static void op_resume(struct fuzz *z, uint8_t arg)
{
    if (flow_head(z->f) == flow_tail(z->f))
        flow_resume_at(z->f, flow_tail(z->f) + arg, (uint16_t)(65535 - arg));
}

static void op(struct fuzz *z, uint8_t code, uint8_t arg)
{
    switch (code % 12) {
    case 0:
    case 1:
        op_push(z, arg);
        break;
    case 2:
        op_send(z, arg);
        break;
    case 3:
        op_ack(z, arg, PACKET_PUBACK);
        break;
    case 4:
        op_ack(z, arg, PACKET_PUBREC);
        break;
    case 5:
        op_ack(z, arg, PACKET_PUBCOMP);
        break;
    case 6:
        op_in(z, arg);
        break;
    case 7:
        flow_set_done(z->f, seq_of(z, arg));
        break;
    case 8:
    case 9:
        op_leave(z, arg);
        break;
    case 10:
        flow_rewind(z->f);
        op_limits(z, arg);
        break;
    default:
        op_resume(z, arg);
    }
}

static void run(struct fuzz *z, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i + 2 <= size; i += 2) {
        op(z, data[i], data[i + 1]);
        must(flow_check(z->f));
    }
}

static void load_record(struct fuzz *z, const uint8_t *p)
{
    uint64_t seq = (uint64_t)p[1] << (p[0] >> 4 & 3) | p[2];
    uint16_t id = (uint16_t)(p[3] << 8 | p[4]);
    struct blob *ticket = p[3] & 0x80 ? NULL : z->ticket;
    enum err e;

    switch (p[0] % 5) {
    case 0:
        e = flow_load_row(z->f, seq, ticket, 1, (enum qos)(p[3] % 3), p[3] & 4);
        must(e == ERR_OK || e == ERR_INVAL);
        break;
    case 1:
        flow_load_begun(z->f, seq, id);
        break;
    case 2:
        flow_load_received(z->f, seq);
        break;
    case 3:
        flow_load_done(z->f, seq);
        break;
    default:
        flow_load_position(z->f, seq, id);
    }
}

/* Every second row's message is in memory. */
static void resolve(struct fuzz *z)
{
    for (uint64_t seq = flow_head(z->f); seq < flow_tail(z->f); seq++) {
        const struct flow_row *row = flow_row_at(z->f, seq);
        if (row && row->away)
            flow_load_resolve(z->f, seq, seq & 1 ? z->m : NULL, 3);
    }
}

static void load(struct fuzz *z, const uint8_t *data, size_t size)
{
    uint64_t lost = 0;
    size_t i = 0;

    for (; i + 5 <= size && data[i] != 'R'; i += 5)
        load_record(z, data + i);
    resolve(z);
    must(flow_load_end(z->f, &lost) == ERR_OK);
    must(flow_check(z->f));
    run(z, data + i, size - i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz z = {.f = flow_new(NULL),
                     .m = message_new(STR("t"), STR("pp"), QOS_2),
                     .ticket = blob_new(sizeof(struct blob))};

    must(z.f && z.m && z.ticket);
    if (size > 0 && data[0] == 'L')
        load(&z, data + 1, size - 1);
    else
        run(&z, data, size);
    flow_free(z.f);
    must(z.m->blob.refs == 1 && z.ticket->refs == 1);
    message_unref(z.m);
    blob_unref(z.ticket);
    return 0;
}
