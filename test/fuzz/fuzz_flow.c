/*
 * Any sequence of operations on a flow: its invariant holds after each one, and every message is
 * given back in the end.
 *
 * Two input bytes are one operation and its argument.
 */
#include "base/mem.h"
#include "mqtt/flow.h"

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
    enum err e = flow_reserve(z->f);
    mem_fail_never();
    if (e != ERR_OK)
        return;
    if ((arg & 3) == 3)
        flow_push_hole(z->f);
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
        flow_set_received(z->f, seq_of(z, arg));
        break;
    case 9:
        flow_set_begun(z->f, seq_of(z, arg), (uint16_t)(flow_last_id(z->f) + code / 64));
        break;
    case 10:
        flow_rewind(z->f);
        op_limits(z, arg);
        break;
    default:
        op_resume(z, arg);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz z = {.f = flow_new(), .m = message_new(STR("t"), STR("pp"), QOS_2)};

    must(z.f && z.m);
    for (size_t i = 0; i + 2 <= size; i += 2) {
        op(&z, data[i], data[i + 1]);
        must(flow_check(z.f));
    }
    flow_free(z.f);
    must(z.m->blob.refs == 1);
    message_unref(z.m);
    return 0;
}
