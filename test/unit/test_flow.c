/*
 * QoS 1 and 2: scenarios by hand, then random operations against a model that is a plain list and
 * knows no positions, no chunks and no bisection.
 */
#include "mqtt/flow.h"

#include "base/rng.h"
#include "unit.h"

#include <stdlib.h>

static const struct flow_limits no_limits;

static struct message *message_of(const char *payload)
{
    struct message *m = message_new(STR("t"), str_c(payload), QOS_2);

    assert_non_null(m);
    return m;
}

static struct flow *flow_made(void)
{
    struct flow *f = flow_new(NULL);

    assert_non_null(f);
    assert_true(flow_check(f));
    return f;
}

static uint64_t push(struct flow *f, struct message *m, enum qos qos)
{
    assert_ok(flow_reserve(f, 1));
    uint64_t seq = flow_push(f, m, qos, false);
    assert_true(flow_check(f));
    return seq;
}

/* Without the slow check. */
static void push_only(struct flow *f, struct message *m)
{
    assert_ok(flow_reserve(f, 1));
    flow_push(f, m, QOS_1, false);
}

/* Send what comes next and say which id it has. */
static uint16_t send_next(struct flow *f, const struct flow_limits *lim)
{
    struct flow_next next;

    assert_true(flow_peek(f, lim, &next));
    uint16_t id = next.id;
    flow_advance(f);
    assert_true(flow_check(f));
    return id;
}

static enum flow_answer ack(struct flow *f, enum packet_type type, uint16_t id)
{
    uint64_t seq;
    enum flow_answer a = flow_acknowledge(f, type, id, &seq);

    assert_true(flow_check(f));
    return a;
}

static void a_new_flow_is_empty(void **state)
{
    struct flow_next next;

    (void)state;
    struct flow *f = flow_made();
    assert_true(flow_is_empty(f));
    assert_int_equal(flow_head(f), 1);
    assert_int_equal(flow_begun(f), 1);
    assert_int_equal(flow_tail(f), 1);
    assert_int_equal(flow_last_id(f), 0);
    assert_false(flow_peek(f, &no_limits, &next));
    assert_null(flow_row_at(f, 1));
    assert_int_equal(ack(f, PACKET_PUBACK, 1), FLOW_UNKNOWN);
    assert_int_equal(idset_next(flow_inbound(f), 1), 0);
    flow_set_done(f, 1);
    flow_rewind(f);
    assert_true(flow_check(f));
    flow_free(f);
    flow_free(NULL);
}

static void qos1_goes_its_way(void **state)
{
    struct flow_next next;
    struct message *m = message_of("p");
    uint64_t seq;

    (void)state;
    struct flow *f = flow_made();
    assert_int_equal(push(f, m, QOS_1), 1);
    assert_int_equal(m->blob.refs, 2);
    assert_int_equal(flow_queued(f), 1);
    assert_int_equal(flow_queued_bytes(f), 2);
    assert_true(flow_peek(f, &no_limits, &next));
    assert_true(next.seq == 1 && next.id == 1 && !next.pubrel && !next.dup);
    assert_ptr_equal(next.row->message, m);
    flow_advance(f);
    assert_int_equal(flow_queued(f), 0);
    assert_int_equal(flow_inflight(f), 1);
    assert_int_equal(flow_inflight_bytes(f), 2);
    assert_false(flow_peek(f, &no_limits, &next));
    assert_int_equal(flow_acknowledge(f, PACKET_PUBREC, 1, &seq), FLOW_WRONG_TYPE);
    assert_int_equal(flow_acknowledge(f, PACKET_PUBCOMP, 1, &seq), FLOW_WRONG_TYPE);
    assert_int_equal(flow_acknowledge(f, PACKET_PUBACK, 2, &seq), FLOW_UNKNOWN);
    assert_int_equal(flow_acknowledge(f, PACKET_PUBACK, 0, &seq), FLOW_UNKNOWN);
    assert_int_equal(seq, 0);
    assert_int_equal(flow_acknowledge(f, PACKET_PUBACK, 1, &seq), FLOW_ACCEPTED);
    assert_int_equal(seq, 1);
    assert_int_equal(m->blob.refs, 1);
    assert_true(flow_is_empty(f));
    assert_int_equal(flow_acknowledge(f, PACKET_PUBACK, 1, &seq), FLOW_UNKNOWN);
    flow_free(f);
    message_unref(m);
}

static void qos2_goes_its_way(void **state)
{
    struct flow_next next;
    struct message *m = message_of("p");
    uint64_t seq;

    (void)state;
    struct flow *f = flow_made();
    push(f, m, QOS_2);
    assert_int_equal(send_next(f, &no_limits), 1);
    assert_int_equal(ack(f, PACKET_PUBACK, 1), FLOW_WRONG_TYPE);
    assert_int_equal(ack(f, PACKET_PUBCOMP, 1), FLOW_WRONG_TYPE);
    assert_int_equal(flow_acknowledge(f, PACKET_PUBREC, 1, &seq), FLOW_ACCEPTED);
    assert_int_equal(seq, 1);
    assert_int_equal(m->blob.refs, 1); /* the message is not needed any more */
    assert_int_equal(flow_inflight(f), 1);
    assert_int_equal(flow_acknowledge(f, PACKET_PUBREC, 1, &seq), FLOW_REPEATED);
    assert_int_equal(seq, 1);
    assert_int_equal(ack(f, PACKET_PUBACK, 1), FLOW_WRONG_TYPE);
    /* after a reconnect it is PUBREL that goes again, without DUP (4.4.0-1) */
    flow_rewind(f);
    assert_true(flow_peek(f, &no_limits, &next));
    assert_true(next.seq == 1 && next.id == 1 && next.pubrel && !next.dup);
    flow_advance(f);
    assert_int_equal(ack(f, PACKET_PUBCOMP, 1), FLOW_ACCEPTED);
    assert_true(flow_is_empty(f));
    assert_int_equal(flow_inflight(f), 0);
    flow_free(f);
    message_unref(m);
}

static void the_window_holds_messages_back(void **state)
{
    const struct flow_limits lim = {.max_inflight = 2};
    struct flow_next next;
    struct message *m = message_of("p");

    (void)state;
    struct flow *f = flow_made();
    for (int i = 0; i < 4; i++)
        push(f, m, QOS_1);
    assert_int_equal(send_next(f, &lim), 1);
    assert_int_equal(send_next(f, &lim), 2);
    assert_false(flow_peek(f, &lim, &next));
    assert_false(flow_window_open(f, &lim));
    assert_int_equal(ack(f, PACKET_PUBACK, 2), FLOW_ACCEPTED);
    assert_int_equal(flow_head(f), 1); /* the first is still unfinished */
    assert_int_equal(send_next(f, &lim), 3);
    assert_false(flow_peek(f, &lim, &next));
    assert_int_equal(ack(f, PACKET_PUBACK, 1), FLOW_ACCEPTED);
    assert_int_equal(flow_head(f), 3);
    assert_int_equal(send_next(f, &lim), 4);
    assert_int_equal(ack(f, PACKET_PUBACK, 4), FLOW_ACCEPTED);
    assert_int_equal(ack(f, PACKET_PUBACK, 3), FLOW_ACCEPTED);
    assert_true(flow_is_empty(f) && flow_window_open(f, &lim));
    flow_free(f);
    message_unref(m);
}

static void the_byte_window_lets_one_large_message_alone(void **state)
{
    const struct flow_limits lim = {.max_inflight_bytes = 10};
    struct flow_next next;
    struct message *large = message_of("twenty bytes of text");
    struct message *small = message_of("1234");

    (void)state;
    struct flow *f = flow_made();
    push(f, large, QOS_1);
    push(f, small, QOS_1);
    push(f, small, QOS_2);
    push(f, small, QOS_1);
    assert_int_equal(send_next(f, &lim), 1);
    assert_false(flow_peek(f, &lim, &next));
    assert_int_equal(ack(f, PACKET_PUBACK, 1), FLOW_ACCEPTED);
    assert_int_equal(send_next(f, &lim), 2);
    assert_int_equal(send_next(f, &lim), 3);
    assert_false(flow_peek(f, &lim, &next));
    assert_int_equal(ack(f, PACKET_PUBREC, 3), FLOW_ACCEPTED);
    assert_false(flow_peek(f, &lim, &next)); /* counts until PUBCOMP */
    assert_int_equal(ack(f, PACKET_PUBCOMP, 3), FLOW_ACCEPTED);
    assert_true(flow_peek(f, &lim, &next));
    flow_free(f);
    assert_int_equal(large->blob.refs + small->blob.refs, 2);
    message_unref(large);
    message_unref(small);
}

static void queue_limits_are_told(void **state)
{
    const struct flow_limits lim = {.max_inflight = 1, .max_queued = 2, .max_queued_bytes = 7};
    struct message *m = message_of("p"); /* two bytes with its topic */

    (void)state;
    struct flow *f = flow_made();
    assert_true(flow_has_room(f, &lim, true, QOS_1, 100)); /* goes out at once */
    assert_false(flow_has_room(f, &lim, false, QOS_1, 8));
    assert_false(flow_has_room(f, &lim, true, QOS_0, 8)); /* QoS 0 is for the queue only */
    assert_true(flow_has_room(f, &lim, true, QOS_0, 7));
    push(f, m, QOS_1);
    assert_false(flow_has_room(f, &lim, true, QOS_1, 100)); /* something waits before it */
    send_next(f, &lim);
    assert_false(flow_has_room(f, &lim, true, QOS_1, 8)); /* the window is full */
    assert_true(flow_has_room(f, &lim, true, QOS_1, 7));
    push(f, m, QOS_2);
    assert_true(flow_has_room(f, &lim, true, QOS_1, 5));
    assert_false(flow_has_room(f, &lim, true, QOS_1, 6));
    push(f, m, QOS_0);
    assert_false(flow_has_room(f, &lim, true, QOS_1, 0));
    assert_true(flow_has_room(f, &no_limits, false, QOS_1, 1u << 28));
    flow_free(f);
    message_unref(m);
}

static void a_reconnect_sends_again_in_order(void **state)
{
    struct flow_next next;
    struct message *m = message_of("p");

    (void)state;
    struct flow *f = flow_made();
    for (int i = 0; i < 5; i++)
        push(f, m, i % 2 ? QOS_2 : QOS_1);
    for (uint16_t id = 1; id <= 4; id++)
        assert_int_equal(send_next(f, &no_limits), id);
    assert_int_equal(ack(f, PACKET_PUBREC, 2), FLOW_ACCEPTED);
    assert_int_equal(ack(f, PACKET_PUBACK, 3), FLOW_ACCEPTED);
    flow_rewind(f);
    assert_true(flow_check(f));
    assert_true(flow_peek(f, &no_limits, &next));
    assert_true(next.id == 1 && next.dup && !next.pubrel);
    flow_advance(f);
    assert_true(flow_peek(f, &no_limits, &next));
    assert_true(next.id == 2 && !next.dup && next.pubrel);
    flow_advance(f);
    assert_true(flow_peek(f, &no_limits, &next));
    assert_true(next.id == 4 && next.dup); /* 3 is finished */
    flow_advance(f);
    assert_true(flow_peek(f, &no_limits, &next));
    assert_true(next.id == 5 && !next.dup);
    flow_free(f);
    message_unref(m);
}

static void resending_does_not_ask_the_window(void **state)
{
    const struct flow_limits one = {.max_inflight = 1};
    struct flow_next next;
    struct message *m = message_of("p");

    (void)state;
    struct flow *f = flow_made();
    for (int i = 0; i < 4; i++)
        push(f, m, QOS_1);
    for (int i = 0; i < 3; i++)
        send_next(f, &no_limits);
    flow_rewind(f); /* and the limit was lowered meanwhile */
    for (uint16_t id = 1; id <= 3; id++)
        assert_int_equal(send_next(f, &one), id);
    assert_false(flow_peek(f, &one, &next));
    flow_free(f);
    message_unref(m);
}

static void an_early_acknowledgement_changes_nothing(void **state)
{
    struct message *m = message_of("p");
    uint64_t seq;

    (void)state;
    struct flow *f = flow_made();
    push(f, m, QOS_2);
    push(f, m, QOS_1);
    send_next(f, &no_limits);
    send_next(f, &no_limits);
    flow_rewind(f);
    assert_int_equal(flow_acknowledge(f, PACKET_PUBREC, 1, &seq), FLOW_UNKNOWN);
    assert_int_equal(seq, 1); /* there is such a row, but not yet sent */
    assert_int_equal(flow_acknowledge(f, PACKET_PUBCOMP, 1, &seq), FLOW_UNKNOWN);
    send_next(f, &no_limits);
    assert_int_equal(flow_acknowledge(f, PACKET_PUBACK, 2, &seq), FLOW_UNKNOWN);
    assert_int_equal(seq, 2);
    assert_int_equal(flow_acknowledge(f, PACKET_PUBREC, 1, &seq), FLOW_ACCEPTED);
    assert_int_equal(flow_inflight(f), 2);
    flow_free(f);
    assert_int_equal(m->blob.refs, 1);
    message_unref(m);
}

static void qos0_keeps_its_place(void **state)
{
    const struct flow_limits lim = {.max_inflight = 1};
    struct flow_next next;
    struct message *m = message_of("p");

    (void)state;
    struct flow *f = flow_made();
    push(f, m, QOS_1);
    push(f, m, QOS_0);
    push(f, m, QOS_1);
    push(f, m, QOS_0);
    assert_int_equal(send_next(f, &lim), 1);
    assert_true(flow_peek(f, &lim, &next)); /* no window for QoS 0 */
    assert_true(next.seq == 2 && next.id == 0 && !next.dup && !next.pubrel);
    flow_advance(f);
    assert_false(flow_peek(f, &lim, &next)); /* but no overtaking */
    assert_int_equal(m->blob.refs, 4);
    flow_rewind(f);
    assert_int_equal(send_next(f, &lim), 1);
    assert_false(flow_peek(f, &lim, &next)); /* the QoS 0 one is not sent twice */
    assert_int_equal(ack(f, PACKET_PUBACK, 1), FLOW_ACCEPTED);
    assert_int_equal(flow_head(f), 3);
    assert_int_equal(send_next(f, &lim), 2);
    assert_int_equal(send_next(f, &lim), 0);
    assert_int_equal(ack(f, PACKET_PUBACK, 2), FLOW_ACCEPTED);
    assert_true(flow_is_empty(f));
    flow_free(f);
    assert_int_equal(m->blob.refs, 1);
    message_unref(m);
}

static void ids_wrap_and_are_not_reused(void **state)
{
    struct flow_next next;
    struct message *m = message_of("p");
    uint64_t seq;

    (void)state;
    struct flow *f = flow_made();
    flow_resume_at(f, 1000, 65530);
    for (int i = 0; i < 65540; i++) {
        assert_ok(flow_reserve(f, 1));
        assert_int_equal(flow_push(f, m, QOS_1, false), 1000 + i);
    }
    for (uint32_t i = 0; i < 65535; i++) {
        assert_true(flow_peek(f, &no_limits, &next));
        assert_int_equal(next.id, (65530 + i) % 65535 + 1);
        flow_advance(f);
    }
    assert_true(flow_check(f));
    assert_false(flow_peek(f, &no_limits, &next)); /* all ids are in flight */
    assert_int_equal(flow_inflight(f), 65535);
    assert_int_equal(ack(f, PACKET_PUBACK, 65532), FLOW_ACCEPTED);
    assert_false(flow_peek(f, &no_limits, &next)); /* 65531 is still there */
    assert_int_equal(ack(f, PACKET_PUBACK, 3), FLOW_ACCEPTED);
    assert_int_equal(ack(f, PACKET_PUBACK, 65531), FLOW_ACCEPTED);
    assert_int_equal(send_next(f, &no_limits), 65531);
    assert_int_equal(send_next(f, &no_limits), 65532);
    assert_false(flow_peek(f, &no_limits, &next));
    for (uint32_t id = 1; id <= 65535; id++)
        assert_int_not_equal(flow_acknowledge(f, PACKET_PUBACK, (uint16_t)id, &seq),
                             FLOW_WRONG_TYPE);
    assert_true(flow_check(f));
    assert_int_equal(flow_inflight(f), 0);
    assert_int_equal(flow_queued(f), 3);
    flow_free(f);
    message_unref(m);
}

/* QoS 0 rows take no ids: without a bound they would pile up behind one that is never acknowledged.
 */
static void rows_behind_a_stuck_one_are_bounded(void **state)
{
    struct flow_next next;
    struct message *m = message_of("p");
    uint32_t sent = 0;

    (void)state;
    struct flow *f = flow_made();
    push(f, m, QOS_1);
    send_next(f, &no_limits);
    for (int i = 0; i < 70000; i++) {
        assert_ok(flow_reserve(f, 1));
        flow_push(f, m, QOS_0, false);
        while (flow_peek(f, &no_limits, &next)) {
            flow_advance(f);
            sent++;
        }
    }
    assert_int_equal(sent, 65534);
    assert_int_equal(ack(f, PACKET_PUBACK, 1), FLOW_ACCEPTED);
    assert_true(flow_peek(f, &no_limits, &next));
    flow_free(f);
    message_unref(m);
}

static void queued_rows_may_be_dropped(void **state)
{
    struct flow_next next;
    struct message *m = message_of("p");

    (void)state;
    struct flow *f = flow_made();
    for (int i = 0; i < 5; i++)
        push(f, m, QOS_1);
    send_next(f, &no_limits);
    flow_set_done(f, 2); /* the oldest that waits */
    assert_true(flow_check(f));
    flow_set_done(f, 4); /* one in the middle */
    assert_true(flow_check(f));
    flow_set_done(f, 4);
    assert_int_equal(flow_queued(f), 2);
    assert_int_equal(flow_queued_bytes(f), 4);
    assert_int_equal(m->blob.refs, 4);
    assert_true(flow_peek(f, &no_limits, &next));
    assert_true(next.seq == 3 && next.id == 2);
    flow_advance(f);
    assert_true(flow_peek(f, &no_limits, &next));
    assert_true(next.seq == 5 && next.id == 3);
    flow_advance(f);
    assert_int_equal(ack(f, PACKET_PUBACK, 3), FLOW_ACCEPTED);
    assert_int_equal(ack(f, PACKET_PUBACK, 2), FLOW_ACCEPTED);
    assert_int_equal(ack(f, PACKET_PUBACK, 1), FLOW_ACCEPTED);
    assert_true(flow_is_empty(f));
    flow_free(f);
    message_unref(m);
}

/* --- messages that are elsewhere --- */

static struct blob *ticket_new(void)
{
    struct blob *ticket = blob_new(sizeof(*ticket));

    assert_non_null(ticket);
    return ticket;
}

/* What cannot be sent any more is passed by; of QoS 2 the receiver must give the id free. */
static void rows_may_be_skipped(void **state)
{
    struct message *m = message_of("p");
    struct flow_next next;

    (void)state;
    struct flow *f = flow_made();
    for (unsigned i = 0; i < 4; i++)
        push(f, m, i % 2 ? QOS_2 : QOS_1);
    assert_int_equal(send_next(f, &no_limits), 1);
    assert_int_equal(send_next(f, &no_limits), 2);
    flow_rewind(f);
    assert_true(flow_skip(f, 1)); /* its id is free at once */
    assert_true(flow_check(f));
    assert_false(flow_skip(f, 2));
    assert_true(flow_check(f));
    assert_true(flow_peek(f, &no_limits, &next));
    assert_true(next.seq == 2 && next.pubrel && next.id == 2);
    assert_int_equal(send_next(f, &no_limits), 2);
    assert_true(flow_skip(f, 3)); /* never begun: never had one */
    assert_true(flow_skip(f, 4));
    assert_true(flow_check(f));
    assert_int_equal(flow_queued(f), 0);
    assert_int_equal(m->blob.refs, 1);
    assert_false(flow_peek(f, &no_limits, &next));
    assert_int_equal(ack(f, PACKET_PUBCOMP, 2), FLOW_ACCEPTED);
    assert_true(flow_is_empty(f));
    push(f, m, QOS_1);
    assert_int_equal(send_next(f, &no_limits), 3);
    flow_free(f);
    message_unref(m);
}

/* Several rows may be promised at once, across chunks, and whatever else comes between. */
static void many_rows_may_be_reserved(void **state)
{
    struct message *m = message_of("p");

    (void)state;
    unit_needs_tracking();
    for (uint32_t before = 0; before < 40; before++) {
        struct flow *f = flow_made();
        for (uint32_t i = 0; i < before; i++)
            push_only(f, m);
        for (uint32_t i = 0; i < before / 2; i++)
            flow_set_done(f, 1 + i);
        for (uint32_t n = 1; n <= 100; n++)
            assert_ok(flow_reserve(f, n));
        assert_ok(flow_reserve(f, 1)); /* takes nothing back */
        mem_fail_after(0, true);
        for (uint32_t i = 0; i < 50; i++)
            flow_push(f, m, QOS_0, false);
        for (uint64_t seq = flow_head(f); seq < flow_tail(f); seq++)
            flow_set_done(f, seq); /* empty in between */
        for (uint32_t i = 0; i < 50; i++)
            flow_push(f, m, QOS_1, false);
        mem_fail_never();
        assert_true(flow_check(f));
        assert_int_equal(flow_queued(f), 50);
        flow_free(f);
    }
    message_unref(m);
}

static void an_away_row_holds_its_ticket(void **state)
{
    struct flow_next next;
    struct message *m = message_of("p");
    struct blob *ticket = ticket_new();
    struct flow *f = flow_made();

    (void)state;
    assert_ok(flow_reserve(f, 1));
    assert_int_equal(flow_push_away(f, ticket, 2, QOS_2, true), 1);
    assert_true(flow_check(f));
    assert_int_equal(ticket->refs, 2);
    assert_int_equal(flow_queued(f), 1);
    assert_int_equal(flow_queued_bytes(f), 2);
    assert_true(flow_peek(f, &no_limits, &next));
    assert_true(next.row->away && next.row->retain && next.row->qos == QOS_2);
    assert_ptr_equal(next.row->ticket, ticket);
    flow_arrived(f, 1, m);
    assert_true(flow_check(f));
    assert_false(next.row->away);
    assert_ptr_equal(next.row->message, m);
    assert_int_equal(ticket->refs, 1);
    assert_int_equal(m->blob.refs, 2);
    assert_int_equal(flow_queued_bytes(f), 2);
    assert_int_equal(send_next(f, &no_limits), 1);
    assert_int_equal(ack(f, PACKET_PUBREC, 1), FLOW_ACCEPTED);
    assert_int_equal(m->blob.refs, 1);
    assert_int_equal(ack(f, PACKET_PUBCOMP, 1), FLOW_ACCEPTED);
    assert_true(flow_is_empty(f));
    flow_free(f);
    message_unref(m);
    blob_unref(ticket);
}

static void a_message_may_leave_and_come_back(void **state)
{
    struct message *m = message_of("p");
    struct blob *ticket = ticket_new();
    struct flow *f = flow_made();

    (void)state;
    push(f, m, QOS_1);
    push(f, m, QOS_1);
    flow_leave(f, 1, ticket);
    assert_true(flow_check(f));
    assert_int_equal(m->blob.refs, 2);
    assert_int_equal(ticket->refs, 2);
    send_next(f, &no_limits); /* while it is away it is like any other */
    assert_int_equal(flow_inflight_bytes(f), 2);
    flow_arrived(f, 1, m);
    assert_int_equal(m->blob.refs, 3);
    assert_int_equal(ticket->refs, 1);
    flow_leave(f, 2, ticket);
    flow_leave(f, 1, ticket);
    message_unref(m); /* nobody needs it meanwhile */
    assert_true(flow_check(f));
    assert_int_equal(flow_queued(f) + flow_inflight(f), 2);
    flow_free(f);
    assert_int_equal(ticket->refs, 1);
    blob_unref(ticket);
}

/* Whichever way a row ends while it is away, its ticket is given back. */
static void tickets_are_given_back(void **state)
{
    static const enum qos levels[] = {QOS_1, QOS_2, QOS_1, QOS_0, QOS_1};
    struct blob *ticket = ticket_new();
    struct flow *f = flow_made();

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(levels); i++) {
        assert_ok(flow_reserve(f, 1));
        flow_push_away(f, ticket, 5, levels[i], false);
    }
    for (unsigned i = 0; i < 3; i++)
        send_next(f, &no_limits);
    assert_int_equal(ack(f, PACKET_PUBREC, 2), FLOW_ACCEPTED);
    assert_int_equal(ticket->refs, 5);
    assert_false(flow_row_at(f, 2)->away);
    assert_int_equal(ack(f, PACKET_PUBACK, 1), FLOW_ACCEPTED);
    assert_int_equal(ticket->refs, 4);
    assert_int_equal(send_next(f, &no_limits), 0); /* QoS 0 is finished by it */
    assert_int_equal(ticket->refs, 3);
    flow_set_done(f, 5);
    assert_int_equal(ticket->refs, 2);
    flow_rewind(f);
    assert_true(flow_check(f));
    flow_free(f); /* and the last one, in flight */
    assert_int_equal(ticket->refs, 1);
    blob_unref(ticket);
}

/* --- memory --- */

static void steady_traffic_does_not_allocate(void **state)
{
    (void)state;
    unit_needs_tracking();
    struct message *m = message_of("p");
    struct flow *f = flow_made();
    push(f, m, QOS_1);
    send_next(f, &no_limits);
    uint16_t oldest = 1;
    uint64_t calls = 0;
    for (int i = 0; i < 1000; i++) {
        if (i == 100)
            calls = mem_calls();
        push(f, m, QOS_1);
        send_next(f, &no_limits);
        assert_int_equal(ack(f, PACKET_PUBACK, oldest++), FLOW_ACCEPTED);
    }
    assert_int_equal(mem_calls(), calls);
    flow_free(f);
    message_unref(m);
}

static void an_empty_flow_costs_little(void **state)
{
    (void)state;
    unit_needs_tracking();
    struct message *m = message_of("p");
    size_t before = mem_used();
    struct flow *f = flow_made();
    size_t empty = mem_used() - before;
    assert_true(empty <= 192);
    for (int i = 0; i < 5000; i++)
        push_only(f, m);
    assert_true(mem_used() - before < 5000 * 20);
    for (uint64_t seq = 1; seq <= 4980; seq++)
        flow_set_done(f, seq);
    assert_true(mem_used() - before < 2048); /* given back as rows finish */
    for (uint64_t seq = 4981; seq <= 5000; seq++)
        flow_set_done(f, seq);
    assert_int_equal(mem_used() - before, empty);
    assert_true(flow_check(f));
    flow_free(f);
    message_unref(m);
}

/* A promise holds even if everything else finishes in between. */
static void a_reservation_outlives_an_empty_flow(void **state)
{
    (void)state;
    unit_needs_tracking();
    struct message *m = message_of("p");
    struct flow *f = flow_made();
    for (uint64_t seq = 1; seq <= 40; seq++) {
        push_only(f, m);
        assert_ok(flow_reserve(f, 1));
        assert_ok(idset_reserve(flow_inbound(f)));
        flow_set_done(f, seq);
        mem_fail_after(0, 1);
        assert_int_equal(flow_push(f, m, QOS_1, false), ++seq);
        assert_true(idset_add(flow_inbound(f), 9));
        mem_fail_never();
        assert_true(idset_remove(flow_inbound(f), 9));
        flow_set_done(f, seq);
        assert_true(flow_check(f));
    }
    flow_free(f);
    message_unref(m);
}

static bool failing_script(struct message *m)
{
    struct flow *f = flow_new(NULL);
    bool ok = f != NULL;

    for (uint64_t seq = 1; ok && seq <= 100; seq++) {
        ok = flow_reserve(f, 1) == ERR_OK;
        assert_true(flow_check(f));
        assert_int_equal(flow_tail(f), seq);
        if (ok)
            flow_push(f, m, QOS_1, false);
    }
    for (uint16_t id = 1; ok && id <= 100; id++) {
        ok = idset_reserve(flow_inbound(f)) == ERR_OK;
        assert_true(flow_check(f));
        assert_int_equal(flow_inbound(f)->count, id - 1);
        if (ok)
            assert_true(idset_add(flow_inbound(f), (uint16_t)(id * 3)));
    }
    /* shrinking never fails, with memory or without */
    for (uint16_t id = 1; ok && id <= 100; id++)
        assert_true(idset_remove(flow_inbound(f), (uint16_t)(id * 3)));
    for (uint64_t seq = 1; ok && seq <= 100; seq++)
        flow_set_done(f, seq);
    assert_true(!f || flow_check(f));
    assert_true(!ok || flow_is_empty(f));
    flow_free(f);
    assert_int_equal(m->blob.refs, 1);
    return ok && mem_failed() == 0;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    unit_needs_tracking();
    struct message *m = message_of("p");
    size_t used = mem_used();
    for (int all = 0; all <= 1; all++) {
        uint64_t n = 0;
        for (bool done = false; !done; n++) {
            mem_fail_never();
            mem_fail_after(n, all);
            done = failing_script(m);
            assert_int_equal(mem_used(), used);
            assert_true(n < 1000);
        }
        assert_true(n > 10);
    }
    mem_fail_never();
    message_unref(m);
}

/* --- incoming --- */

static void incoming_ids_are_remembered(void **state)
{
    (void)state;
    struct flow *f = flow_made();
    for (uint32_t i = 0; i < 65535; i++) {
        uint16_t id = (uint16_t)(i * 7919u % 65535 + 1);
        assert_false(idset_has(flow_inbound(f), id));
        assert_ok(idset_reserve(flow_inbound(f)));
        assert_true(idset_add(flow_inbound(f), id));
        assert_true(idset_has(flow_inbound(f), id));
        assert_ok(idset_reserve(flow_inbound(f)));
        assert_false(idset_add(flow_inbound(f), id));
        if (i < 200)
            assert_true(flow_check(f));
    }
    assert_true(flow_check(f));
    assert_int_equal(flow_inbound(f)->count, 65535);
    assert_int_equal(idset_next(flow_inbound(f), 1), 1);
    assert_int_equal(idset_next(flow_inbound(f), 65535), 65535);
    assert_int_equal(idset_next(flow_inbound(f), 65536), 0);
    assert_false(flow_is_empty(f));
    for (uint32_t id = 1; id <= 65535; id++) {
        assert_int_equal(idset_next(flow_inbound(f), 1), id);
        assert_true(idset_remove(flow_inbound(f), (uint16_t)id));
        assert_false(idset_remove(flow_inbound(f), (uint16_t)id));
        assert_int_equal(flow_inbound(f)->count, 65535 - id);
    }
    assert_int_equal(idset_next(flow_inbound(f), 1), 0);
    assert_true(flow_is_empty(f));
    flow_free(f);
}

static void incoming_ids_cost_little(void **state)
{
    (void)state;
    unit_needs_tracking();
    struct flow *f = flow_made();
    size_t empty = mem_used();
    uint64_t calls = mem_calls();
    for (uint16_t id = 1; id <= 1000; id++) { /* one at a time: no allocation at all */
        assert_ok(idset_reserve(flow_inbound(f)));
        assert_true(idset_add(flow_inbound(f), id));
        assert_true(idset_remove(flow_inbound(f), id));
    }
    assert_int_equal(mem_calls(), calls);
    for (uint16_t id = 1; id <= 256; id++) {
        assert_ok(idset_reserve(flow_inbound(f)));
        assert_true(idset_add(flow_inbound(f), id));
        if (id == 64)
            assert_true(mem_used() - empty <= 128);
    }
    assert_true(mem_used() - empty <= 512);
    assert_ok(idset_reserve(flow_inbound(f)));
    assert_true(idset_add(flow_inbound(f), 65535));
    assert_true(mem_used() - empty <= 8192);
    for (uint16_t id = 1; id <= 256; id++)
        assert_true(idset_remove(flow_inbound(f), id));
    assert_true(idset_has(flow_inbound(f), 65535));
    assert_true(mem_used() - empty <= 512);
    assert_true(idset_remove(flow_inbound(f), 65535));
    assert_int_equal(mem_used(), empty);
    flow_free(f);
}

/* A window of ids moves along, over the step from 65535 to 1, released out of order now and then.
 */
static void incoming_ids_move_on(void **state)
{
    static const uint16_t windows[] = {1, 3, 4, 60, 63, 64, 200, 255, 256, 257, 400};

    (void)state;
    for (size_t k = 0; k < ARRAY_SIZE(windows); k++) {
        struct flow *f = flow_made();
        struct idset *in = flow_inbound(f);
        for (uint32_t i = 0; i < 70000; i++) {
            uint32_t oldest = i + 1 - windows[k];
            assert_ok(idset_reserve(in));
            assert_true(idset_add(in, (uint16_t)(i % 65535 + 1)));
            if (i + 1 < windows[k])
                continue;
            if (windows[k] > 2 && i % 7 == 3)
                oldest++; /* this one first */
            else if (windows[k] > 2 && i % 7 == 4)
                oldest--;
            assert_true(idset_remove(in, (uint16_t)(oldest % 65535 + 1)));
            if (i % 97 == 0)
                assert_true(flow_check(f));
        }
        assert_int_equal(in->count, windows[k] - 1);
        assert_true(flow_check(f));
        flow_free(f);
    }
}

/* Without memory for the array the bitmap stays; room that was promised is there, however few are
 * left. */
static void incoming_ids_shrink_without_memory(void **state)
{
    (void)state;
    unit_needs_tracking();
    for (uint16_t left = 0; left <= 140; left++) {
        struct flow *f = flow_made();
        for (uint16_t id = 1; id <= 300; id++) {
            assert_ok(idset_reserve(flow_inbound(f)));
            assert_true(idset_add(flow_inbound(f), id));
        }
        assert_ok(idset_reserve(flow_inbound(f)));
        mem_fail_after(0, 1);
        for (uint16_t id = 300; id > left; id--)
            assert_true(idset_remove(flow_inbound(f), id));
        assert_true(flow_check(f));
        assert_true(idset_add(flow_inbound(f), 65535));
        mem_fail_never();
        assert_int_equal(flow_inbound(f)->count, left + 1);
        assert_true(flow_check(f));
        flow_free(f);
    }
}

/* --- the model --- */

#define MODEL_ROWS 3000
#define MODEL_STEPS 2000
#define MODEL_MESSAGES 4

struct model_row {
    struct message *message; /* held or not */
    bool away;               /* what is held is its ticket */
    uint32_t bytes;
    enum qos qos;
    enum flow_state state;
    uint16_t id;
    bool retain;
    bool sent; /* on this connection */
};

struct model {
    struct flow *f;
    struct rng rng;
    struct flow_limits lim;
    struct message *messages[MODEL_MESSAGES];
    struct blob *tickets[MODEL_MESSAGES];
    struct model_row rows[MODEL_ROWS];
    uint64_t base; /* sequence number of rows[0] */
    uint32_t count;
    uint16_t last_id;
    bool in[65536];
    uint32_t in_count;
};

static bool row_is_waiting(const struct model_row *r)
{
    return r->state == FLOW_QUEUED;
}

static bool row_is_inflight(const struct model_row *r)
{
    return r->state != FLOW_QUEUED && r->state != FLOW_DONE;
}

struct model_sums {
    uint32_t inflight;
    uint32_t queued;
    uint64_t inflight_bytes;
    uint64_t queued_bytes;
    const struct model_row *again;  /* the first to be sent again */
    const struct model_row *fresh;  /* the first that waits */
    const struct model_row *oldest; /* the first in flight */
    const struct model_row *first;  /* that is not finished */
};

static struct model_sums model_sum(const struct model *m)
{
    struct model_sums s = {0};

    for (uint32_t i = 0; i < m->count; i++) {
        const struct model_row *r = &m->rows[i];
        if (!s.first && r->state != FLOW_DONE)
            s.first = r;
        if (row_is_waiting(r)) {
            s.queued++;
            s.queued_bytes += r->bytes;
            s.fresh = s.fresh ? s.fresh : r;
        } else if (row_is_inflight(r)) {
            s.inflight++;
            s.inflight_bytes += r->bytes;
            s.oldest = s.oldest ? s.oldest : r;
            if (!r->sent && !s.again)
                s.again = r;
        }
    }
    return s;
}

static uint64_t model_seq(const struct model *m, const struct model_row *r)
{
    return r ? m->base + (uint64_t)(r - m->rows) : m->base + m->count;
}

static uint16_t model_next_id(const struct model *m)
{
    return m->last_id == 65535 ? 1 : (uint16_t)(m->last_id + 1);
}

static bool model_window(const struct model *m, const struct model_sums *s, uint64_t bytes)
{
    for (uint32_t i = 0; i < m->count; i++) {
        if (row_is_inflight(&m->rows[i]) && m->rows[i].id == model_next_id(m))
            return false;
    }
    if (m->lim.max_inflight && s->inflight >= m->lim.max_inflight)
        return false;
    return !m->lim.max_inflight_bytes || !s->inflight ||
           s->inflight_bytes + bytes <= m->lim.max_inflight_bytes;
}

static bool model_room(const struct model *m, const struct model_sums *s, bool connected,
                       enum qos qos, uint64_t bytes)
{
    if (connected && qos != QOS_0 && !s->again && !s->fresh && model_window(m, s, bytes))
        return true;
    return (!m->lim.max_queued || s->queued < m->lim.max_queued) &&
           (!m->lim.max_queued_bytes || s->queued_bytes + bytes <= m->lim.max_queued_bytes);
}

/* Which message a row of the flow holds, or holds the ticket of; none: MODEL_MESSAGES. */
static int message_index(const struct model *m, const struct flow_row *row)
{
    int k = 0;

    while (k < MODEL_MESSAGES &&
           (row->away ? row->ticket != m->tickets[k] : row->message != m->messages[k]))
        k++;
    return k;
}

static void compare_rows(const struct model *m)
{
    uint32_t refs[2][MODEL_MESSAGES + 1] = {0};

    for (uint32_t i = 0; i < m->count; i++) {
        const struct model_row *want = &m->rows[i];
        const struct flow_row *row = flow_row_at(m->f, m->base + i);
        if (!row) { /* forgotten: only what is finished */
            assert_int_equal(want->state, FLOW_DONE);
            continue;
        }
        int k = message_index(m, row);
        refs[row->away][k]++;
        assert_int_equal(row->state, want->state);
        assert_int_equal(row->away, want->away);
        assert_ptr_equal(k < MODEL_MESSAGES ? m->messages[k] : NULL, want->message);
        if (want->state == FLOW_DONE)
            continue;
        assert_int_equal(row->qos, want->qos);
        assert_int_equal(row->id, want->id);
        assert_int_equal(row->retain, want->retain);
        assert_int_equal(row->bytes, want->bytes);
    }
    for (int k = 0; k < MODEL_MESSAGES; k++) {
        assert_int_equal(m->messages[k]->blob.refs, refs[0][k] + 1);
        assert_int_equal(m->tickets[k]->refs, refs[1][k] + 1);
    }
}

static void compare_peek(const struct model *m, const struct model_sums *s)
{
    struct flow_next next;
    bool any = flow_peek(m->f, &m->lim, &next);
    bool full = m->lim.max_inflight && s->inflight >= m->lim.max_inflight;

    assert_int_equal(flow_is_shut(m->f, &m->lim),
                     !s->again && s->fresh && s->fresh->qos != QOS_0 && full);
    assert_false(flow_is_shut(m->f, &m->lim) && any);
    if (s->again) {
        assert_true(any && next.seq == model_seq(m, s->again) && next.id == s->again->id);
        assert_int_equal(next.pubrel, s->again->state == FLOW_WAIT_PUBCOMP);
        assert_int_equal(next.dup, s->again->state != FLOW_WAIT_PUBCOMP);
        return;
    }
    bool want = s->fresh && (s->fresh->qos == QOS_0 || model_window(m, s, s->fresh->bytes));
    assert_int_equal(any, want);
    if (!any)
        return;
    assert_int_equal(next.seq, model_seq(m, s->fresh));
    assert_int_equal(next.id, s->fresh->qos == QOS_0 ? 0 : model_next_id(m));
    assert_false(next.pubrel || next.dup);
}

static void compare(struct model *m)
{
    struct model_sums s = model_sum(m);
    bool connected = rng_below(&m->rng, 2);
    enum qos qos = (enum qos)rng_below(&m->rng, 3);
    uint32_t bytes = rng_below(&m->rng, 30);

    assert_true(flow_check(m->f));
    assert_int_equal(flow_inflight(m->f), s.inflight);
    assert_int_equal(flow_inflight_bytes(m->f), s.inflight_bytes);
    assert_int_equal(flow_queued(m->f), s.queued);
    assert_int_equal(flow_queued_bytes(m->f), s.queued_bytes);
    assert_int_equal(flow_head(m->f), model_seq(m, s.first));
    assert_int_equal(flow_begun(m->f), model_seq(m, s.fresh));
    assert_int_equal(flow_tail(m->f), m->base + m->count);
    assert_int_equal(flow_last_id(m->f), m->last_id);
    assert_int_equal(flow_is_empty(m->f), !s.first && !m->in_count);
    assert_int_equal(flow_window_open(m->f, &m->lim),
                     !s.again && !s.fresh && model_window(m, &s, 1));
    assert_int_equal(flow_has_room(m->f, &m->lim, connected, qos, bytes),
                     model_room(m, &s, connected, qos, bytes));
    assert_int_equal(flow_inbound(m->f)->count, m->in_count);
    compare_peek(m, &s);
    compare_rows(m);
}

static void model_finish(struct model_row *r)
{
    r->state = FLOW_DONE;
    r->message = NULL;
    r->away = false;
}

static bool reserved(struct model *m)
{
    if (rng_below(&m->rng, 4) == 0)
        mem_fail_after(0, 1);
    bool ok = flow_reserve(m->f, 1) == ERR_OK;
    mem_fail_never();
    return ok;
}

static void model_begin(struct model *m, struct model_row *r, uint16_t id)
{
    r->state = r->qos == QOS_1 ? FLOW_WAIT_PUBACK : FLOW_WAIT_PUBREC;
    r->id = id;
    m->last_id = id;
}

/* A message that goes out as it comes, if the window is open for it. */
static bool push_sent(struct model *m, struct model_row *r)
{
    uint16_t id = flow_open_id(m->f, &m->lim, r->bytes);
    struct model_sums s;

    m->count--; /* the model knows it already */
    s = model_sum(m);
    assert_int_equal(id != 0, !s.again && !s.fresh && model_window(m, &s, r->bytes));
    m->count++;
    if (id == 0 || r->away || r->qos == QOS_0 || rng_below(&m->rng, 2))
        return false;
    assert_int_equal(flow_push_sent(m->f, r->message, r->qos, r->retain), m->base + m->count - 1);
    model_begin(m, r, id);
    r->sent = true;
    return true;
}

static void step_push(struct model *m)
{
    if (m->count == MODEL_ROWS || !reserved(m))
        return;
    struct model_row *r = &m->rows[m->count];
    uint32_t k = rng_below(&m->rng, MODEL_MESSAGES);
    struct message *message = m->messages[k];
    *r = (struct model_row){
        .message = message,
        .away = rng_below(&m->rng, 4) == 0,
        .bytes = (uint32_t)(message_topic(message).n + message_payload(message).n),
        .qos = (enum qos)rng_below(&m->rng, 3),
        .state = FLOW_QUEUED,
        .retain = rng_below(&m->rng, 2),
    };
    m->count++;
    if (push_sent(m, r))
        return;
    uint64_t seq = r->away ? flow_push_away(m->f, m->tickets[k], r->bytes, r->qos, r->retain)
                           : flow_push(m->f, message, r->qos, r->retain);
    assert_int_equal(seq, m->base + m->count - 1);
}

static void step_send(struct model *m)
{
    struct flow_next next;

    if (!flow_peek(m->f, &m->lim, &next)) /* that it is right has been compared */
        return;
    struct model_row *r = &m->rows[next.seq - m->base];
    if (row_is_waiting(r)) {
        if (r->qos == QOS_0)
            model_finish(r);
        else
            model_begin(m, r, next.id);
    }
    r->sent = true;
    flow_advance(m->f);
}

/* A row in flight by chance; NULL when there is none. */
static struct model_row *model_any(struct model *m, bool inflight)
{
    for (int tries = 0; tries < 20 && m->count; tries++) {
        uint32_t back = rng_below(&m->rng, m->count < 60 ? m->count : 60);
        struct model_row *r = &m->rows[m->count - 1 - back];
        if (!inflight || row_is_inflight(r))
            return r;
    }
    return NULL;
}

static enum flow_answer model_answer(struct model_row *r, enum packet_type type)
{
    if (type == PACKET_PUBREC && r->qos == QOS_2) {
        if (r->state == FLOW_WAIT_PUBCOMP)
            return FLOW_REPEATED;
        r->state = FLOW_WAIT_PUBCOMP;
        r->message = NULL;
        r->away = false;
        return FLOW_ACCEPTED;
    }
    if ((type == PACKET_PUBACK && r->qos == QOS_1) ||
        (type == PACKET_PUBCOMP && r->state == FLOW_WAIT_PUBCOMP)) {
        model_finish(r);
        return FLOW_ACCEPTED;
    }
    return FLOW_WRONG_TYPE;
}

static void step_ack(struct model *m)
{
    static const enum packet_type types[] = {PACKET_PUBACK, PACKET_PUBREC, PACKET_PUBCOMP};
    enum packet_type type = types[rng_below(&m->rng, 3)];
    struct model_row *r = model_any(m, true);
    uint16_t id = r ? r->id : 0;
    enum flow_answer want = FLOW_UNKNOWN;
    uint64_t want_seq = 0;
    uint64_t seq = 99;

    if (!r || rng_below(&m->rng, 10) == 0)
        id = (uint16_t)rng_u64(&m->rng);
    for (uint32_t i = 0; i < m->count; i++) {
        if (!row_is_inflight(&m->rows[i]) || m->rows[i].id != id)
            continue;
        want_seq = m->base + i;
        if (m->rows[i].sent)
            want = model_answer(&m->rows[i], type);
        break;
    }
    assert_int_equal(flow_acknowledge(m->f, type, id, &seq), want);
    assert_int_equal(seq, want_seq);
}

static void step_rewind(struct model *m)
{
    flow_rewind(m->f);
    for (uint32_t i = 0; i < m->count; i++)
        m->rows[i].sent = false;
}

/* Some row's message goes, or comes back. */
static void step_leave(struct model *m)
{
    struct model_row *r = model_any(m, false);
    uint32_t k = 0;

    if (!r || !r->message)
        return;
    while (m->messages[k] != r->message)
        k++;
    if (r->away)
        flow_arrived(m->f, model_seq(m, r), r->message);
    else
        flow_leave(m->f, model_seq(m, r), m->tickets[k]);
    r->away = !r->away;
}

static void step_set_done(struct model *m)
{
    struct model_row *r = model_any(m, false);

    if (!r)
        return;
    flow_set_done(m->f, model_seq(m, r));
    model_finish(r);
}

static void step_in(struct model *m)
{
    bool narrow = rng_below(&m->rng, 2);
    uint16_t id = (uint16_t)(1 + rng_below(&m->rng, narrow ? 150 : 65535));

    assert_int_equal(idset_has(flow_inbound(m->f), id), m->in[id]);
    if (rng_below(&m->rng, 5) < 3) {
        if (rng_below(&m->rng, 4) == 0)
            mem_fail_after(0, 1);
        enum err e = idset_reserve(flow_inbound(m->f));
        mem_fail_never();
        if (e != ERR_OK)
            return;
        assert_int_equal(idset_add(flow_inbound(m->f), id), !m->in[id]);
        m->in_count += !m->in[id];
        m->in[id] = true;
    } else {
        if (rng_below(&m->rng, 4) == 0)
            mem_fail_after(0, 1);
        assert_int_equal(idset_remove(flow_inbound(m->f), id), m->in[id]);
        mem_fail_never();
        m->in_count -= m->in[id];
        m->in[id] = false;
    }
    uint32_t next = id;
    while (next < 65536 && !m->in[next])
        next++;
    assert_int_equal(idset_next(flow_inbound(m->f), id), next & 0xFFFF);
}

static void new_limits(struct model *m)
{
    static const uint32_t windows[] = {0, 1, 3, 20};

    m->lim = (struct flow_limits){
        .max_inflight = windows[rng_below(&m->rng, 4)],
        .max_inflight_bytes = rng_below(&m->rng, 2) ? rng_below(&m->rng, 60) : 0,
        .max_queued = windows[rng_below(&m->rng, 4)],
        .max_queued_bytes = rng_below(&m->rng, 2) ? rng_below(&m->rng, 200) : 0,
    };
}

static void step(struct model *m)
{
    uint32_t dice = rng_below(&m->rng, 100);

    if (dice < 30)
        step_push(m);
    else if (dice < 58)
        step_send(m);
    else if (dice < 86)
        step_ack(m);
    else if (dice < 88)
        step_rewind(m);
    else if (dice < 91)
        step_leave(m);
    else if (dice < 93)
        step_set_done(m);
    else if (dice < 99)
        step_in(m);
    else
        new_limits(m);
}

static void run_model(struct model *m, uint64_t seed)
{
    static const char *const payloads[MODEL_MESSAGES] = {"", "a", "twelve bytes",
                                                         "some twenty bytes…"};

    memset(m, 0, sizeof(*m));
    rng_seed(&m->rng, seed);
    for (int i = 0; i < MODEL_MESSAGES; i++)
        m->messages[i] = message_of(payloads[i]);
    for (int i = 0; i < MODEL_MESSAGES; i++)
        m->tickets[i] = ticket_new();
    m->f = flow_made();
    m->base = 1 + rng_below(&m->rng, 40);
    m->last_id = (uint16_t)(rng_below(&m->rng, 2) ? 65536 - rng_below(&m->rng, 200) : 0);
    flow_resume_at(m->f, m->base, m->last_id);
    for (int i = 0; i < MODEL_STEPS; i++) {
        step(m);
        compare(m);
    }
    flow_free(m->f);
    for (int i = 0; i < MODEL_MESSAGES; i++) {
        assert_int_equal(m->messages[i]->blob.refs, 1);
        message_unref(m->messages[i]);
        assert_int_equal(m->tickets[i]->refs, 1);
        blob_unref(m->tickets[i]);
    }
}

static void random_operations_agree_with_the_model(void **state)
{
    struct model *m = malloc(sizeof(*m));

    (void)state;
    assert_non_null(m);
    for (uint64_t seed = 1; seed <= 60; seed++)
        run_model(m, seed);
    free(m);
}

/* --- ids that the owner hands out --- */

static uint64_t push_as(struct flow *f, struct message *m, enum qos qos, uint16_t id)
{
    assert_ok(flow_reserve(f, 1));
    uint64_t seq = flow_push_as(f, m, qos, false, id);
    assert_true(flow_check(f));
    return seq;
}

static void ids_may_be_the_owners(void **state)
{
    struct message *m = message_of("p");
    uint64_t seq;

    (void)state;
    struct flow *f = flow_made();
    push_as(f, m, QOS_1, 5);
    push_as(f, m, QOS_2, 9);
    push_as(f, m, QOS_1, 700);
    assert_int_equal(flow_queued(f), 3);
    assert_false(flow_has_id(f, 5)); /* it is not in flight yet */
    assert_int_equal(send_next(f, &no_limits), 5);
    assert_int_equal(send_next(f, &no_limits), 9);
    assert_int_equal(flow_last_id(f), 9);
    assert_true(flow_has_id(f, 5) && flow_has_id(f, 9));
    assert_int_equal(send_next(f, &no_limits), 700);
    for (uint32_t id = 0; id <= 65535; id++)
        if (id != 5 && id != 9 && id != 700) {
            assert_false(flow_has_id(f, (uint16_t)id));
            assert_int_equal(flow_acknowledge(f, PACKET_PUBACK, (uint16_t)id, &seq), FLOW_UNKNOWN);
        }
    assert_int_equal(ack(f, PACKET_PUBACK, 9), FLOW_WRONG_TYPE);
    assert_int_equal(ack(f, PACKET_PUBREC, 9), FLOW_ACCEPTED);
    assert_int_equal(flow_acknowledge(f, PACKET_PUBACK, 700, &seq), FLOW_ACCEPTED);
    assert_int_equal(seq, 3);
    flow_rewind(f);
    assert_int_equal(send_next(f, &no_limits), 5);
    assert_int_equal(send_next(f, &no_limits), 9);
    assert_int_equal(ack(f, PACKET_PUBCOMP, 9), FLOW_ACCEPTED);
    assert_int_equal(ack(f, PACKET_PUBACK, 5), FLOW_ACCEPTED);
    assert_true(flow_is_empty(f));
    assert_int_equal(flow_last_id(f), 700);
    flow_free(f);
    assert_int_equal(m->blob.refs, 1);
    message_unref(m);
}

static void an_owners_id_waits_for_one_in_flight(void **state)
{
    struct flow_next next;
    struct message *m = message_of("p");

    (void)state;
    struct flow *f = flow_made();
    push_as(f, m, QOS_1, 100);
    push_as(f, m, QOS_1, 65535);
    push_as(f, m, QOS_1, 1); /* around */
    push_as(f, m, QOS_1, 99);
    push_as(f, m, QOS_1, 100);
    push_as(f, m, QOS_1, 101);
    assert_int_equal(send_next(f, &no_limits), 100);
    assert_int_equal(send_next(f, &no_limits), 65535);
    assert_int_equal(send_next(f, &no_limits), 1);
    assert_int_equal(send_next(f, &no_limits), 99);
    assert_false(flow_peek(f, &no_limits, &next));
    assert_false(flow_window_open(f, &no_limits));
    assert_int_equal(ack(f, PACKET_PUBACK, 99), FLOW_ACCEPTED);
    assert_false(flow_peek(f, &no_limits, &next));
    assert_int_equal(ack(f, PACKET_PUBACK, 100), FLOW_ACCEPTED);
    assert_int_equal(send_next(f, &no_limits), 100);
    assert_int_equal(send_next(f, &no_limits), 101);
    flow_free(f);
    message_unref(m);
}

static void limits_hold_for_the_owners_ids(void **state)
{
    const struct flow_limits lim = {.max_inflight = 2};
    struct flow_next next;
    struct message *m = message_of("p");

    (void)state;
    struct flow *f = flow_made();
    for (uint16_t id = 10; id <= 40; id = (uint16_t)(id + 10))
        push_as(f, m, QOS_2, id);
    assert_int_equal(send_next(f, &lim), 10);
    assert_int_equal(send_next(f, &lim), 20);
    assert_false(flow_peek(f, &lim, &next));
    assert_int_equal(ack(f, PACKET_PUBREC, 20), FLOW_ACCEPTED);
    assert_false(flow_peek(f, &lim, &next));
    assert_int_equal(ack(f, PACKET_PUBCOMP, 20), FLOW_ACCEPTED);
    assert_int_equal(send_next(f, &lim), 30);
    assert_true(flow_skip(f, 4)); /* the row that waits */
    assert_true(flow_check(f));
    assert_int_equal(ack(f, PACKET_PUBREC, 10), FLOW_ACCEPTED);
    assert_int_equal(ack(f, PACKET_PUBCOMP, 10), FLOW_ACCEPTED);
    assert_false(flow_peek(f, &lim, &next));
    flow_free(f);
    message_unref(m);
}

#define OWN_ROWS 4096

/* A list of numbers that never go around; an id is what is left of one. */
struct own_model {
    uint64_t number[OWN_ROWS];
    bool finished[OWN_ROWS];
    uint32_t begun, count; /* rows that were sent, and all */
    uint64_t last;
};

static uint16_t own_id(uint64_t number)
{
    return (uint16_t)((number - 1) % 65535 + 1);
}

static uint32_t own_front(const struct own_model *m)
{
    uint32_t i = 0;

    while (i < m->begun && m->finished[i])
        i++;
    return i;
}

static void own_send(struct own_model *m, struct flow *f)
{
    struct flow_next next;
    uint32_t front = own_front(m);
    bool goes = m->begun < m->count &&
                (front == m->begun || m->number[m->begun] - m->number[front] < 65535);

    assert_int_equal(flow_peek(f, &no_limits, &next), goes);
    if (!goes)
        return;
    assert_int_equal(next.id, own_id(m->number[m->begun]));
    assert_false(next.dup || next.pubrel);
    flow_advance(f);
    m->begun++;
}

static void own_acknowledge(struct own_model *m, struct flow *f, struct rng *rng)
{
    uint64_t seq;

    if (m->begun == 0)
        return;
    /* Mostly near the end, so that the front stays for long. */
    uint32_t i = rng_below(rng, 40) ? m->begun - 1 - rng_below(rng, m->begun < 20 ? m->begun : 20)
                                    : own_front(m);
    if (i == m->begun)
        return;
    enum flow_answer a = flow_acknowledge(f, PACKET_PUBACK, own_id(m->number[i]), &seq);
    assert_int_equal(a, m->finished[i] ? FLOW_UNKNOWN : FLOW_ACCEPTED);
    if (a == FLOW_ACCEPTED)
        assert_int_equal(seq, i + 1);
    m->finished[i] = true;
}

static void own_rewind(const struct own_model *m, struct flow *f)
{
    struct flow_next next;

    flow_rewind(f);
    for (uint32_t i = own_front(m); i < m->begun; i++)
        if (!m->finished[i]) {
            assert_true(flow_peek(f, &no_limits, &next) && next.dup);
            assert_int_equal(next.id, own_id(m->number[i]));
            flow_advance(f);
        }
}

static void random_ids_of_the_owner_agree_with_a_list(void **state)
{
    static struct own_model m;
    struct message *message = message_of("p");
    struct rng rng;

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        rng_seed(&rng, seed);
        struct flow *f = flow_made();
        m = (struct own_model){.last = rng_below(&rng, 65535)};
        while (m.count < OWN_ROWS) {
            uint32_t what = rng_below(&rng, 100);
            if (what < 35) {
                m.last += 1 + rng_below(&rng, rng_below(&rng, 4) ? 3 : 4000);
                assert_ok(flow_reserve(f, 1));
                flow_push_as(f, message, QOS_1, false, own_id(m.last));
                m.number[m.count++] = m.last;
            } else if (what < 68) {
                own_send(&m, f);
            } else if (what < 99) {
                own_acknowledge(&m, f, &rng);
            } else {
                own_rewind(&m, f);
                assert_true(flow_check(f));
            }
        }
        assert_true(flow_check(f));
        flow_free(f);
    }
    assert_int_equal(message->blob.refs, 1);
    message_unref(message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(a_new_flow_is_empty),
        UNIT_TEST(qos1_goes_its_way),
        UNIT_TEST(qos2_goes_its_way),
        UNIT_TEST(the_window_holds_messages_back),
        UNIT_TEST(the_byte_window_lets_one_large_message_alone),
        UNIT_TEST(queue_limits_are_told),
        UNIT_TEST(a_reconnect_sends_again_in_order),
        UNIT_TEST(resending_does_not_ask_the_window),
        UNIT_TEST(an_early_acknowledgement_changes_nothing),
        UNIT_TEST(qos0_keeps_its_place),
        UNIT_TEST(ids_wrap_and_are_not_reused),
        UNIT_TEST(ids_may_be_the_owners),
        UNIT_TEST(an_owners_id_waits_for_one_in_flight),
        UNIT_TEST(limits_hold_for_the_owners_ids),
        UNIT_TEST(random_ids_of_the_owner_agree_with_a_list),
        UNIT_TEST(rows_behind_a_stuck_one_are_bounded),
        UNIT_TEST(queued_rows_may_be_dropped),
        UNIT_TEST(rows_may_be_skipped),
        UNIT_TEST(many_rows_may_be_reserved),
        UNIT_TEST(an_away_row_holds_its_ticket),
        UNIT_TEST(a_message_may_leave_and_come_back),
        UNIT_TEST(tickets_are_given_back),
        UNIT_TEST(steady_traffic_does_not_allocate),
        UNIT_TEST(an_empty_flow_costs_little),
        UNIT_TEST(a_reservation_outlives_an_empty_flow),
        UNIT_TEST(every_allocation_may_fail),
        UNIT_TEST(incoming_ids_are_remembered),
        UNIT_TEST(incoming_ids_cost_little),
        UNIT_TEST(incoming_ids_move_on),
        UNIT_TEST(incoming_ids_shrink_without_memory),
        UNIT_TEST(random_operations_agree_with_the_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
