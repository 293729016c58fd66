/*
 * A flow from records: by hand whatever order a cleaned journal may bring them in, then random
 * histories, cleaned as a journal is, against the flow that wrote them.
 */
#include "mqtt/flow_load.h"

#include "base/rng.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

static const struct flow_limits no_limits;

#define TICKETS 6

/* Messages, each with its ticket. */
struct desk {
    struct flow *f;
    struct message *messages[TICKETS];
    struct blob *tickets[TICKETS];
};

static void desk_begin(struct desk *d)
{
    static const char *const payloads[TICKETS] = {"",      "a",          "bb",
                                                  "three", "four bytes", "more bytes"};

    for (int i = 0; i < TICKETS; i++) {
        d->messages[i] = message_new(STR("t"), str_c(payloads[i]), QOS_2);
        d->tickets[i] = blob_new(sizeof(struct blob));
        assert_true(d->messages[i] && d->tickets[i]);
    }
    d->f = flow_new(NULL);
    assert_non_null(d->f);
}

/* Everything has been given back. */
static void desk_end(struct desk *d)
{
    flow_free(d->f);
    for (int i = 0; i < TICKETS; i++) {
        assert_int_equal(d->messages[i]->blob.refs, 1);
        assert_int_equal(d->tickets[i]->refs, 1);
        message_unref(d->messages[i]);
        blob_unref(d->tickets[i]);
    }
}

static uint32_t bytes_of(const struct message *m)
{
    return m->topic_len + m->payload_len;
}

static int ticket_index(const struct desk *d, const struct blob *ticket)
{
    for (int i = 0; i < TICKETS; i++) {
        if (d->tickets[i] == ticket)
            return i;
    }
    fail_msg("a ticket of nobody");
    return 0;
}

static void row(struct desk *d, uint64_t seq, enum qos qos)
{
    assert_ok(flow_load_row(d->f, seq, d->tickets[seq % TICKETS], 0, qos, seq & 1));
}

/* The messages of all rows are found, and it is brought in order. */
static uint64_t loaded(struct desk *d)
{
    uint64_t lost = 0;

    for (uint64_t seq = flow_head(d->f); seq < flow_tail(d->f); seq++) {
        const struct flow_row *r = flow_row_at(d->f, seq);
        int i = r && r->away ? ticket_index(d, r->ticket) : -1;
        if (i >= 0)
            flow_load_resolve(d->f, seq, d->messages[i], bytes_of(d->messages[i]));
    }
    assert_ok(flow_load_end(d->f, &lost));
    assert_true(flow_check(d->f));
    return lost;
}

static void expect_row(const struct desk *d, uint64_t seq, enum flow_state state, uint16_t id)
{
    const struct flow_row *r = flow_row_at(d->f, seq);

    assert_non_null(r);
    assert_int_equal(r->state, state);
    assert_int_equal(r->id, id);
    assert_int_equal(r->retain, seq & 1);
    if (state == FLOW_WAIT_PUBCOMP)
        assert_null(r->message);
    else
        assert_ptr_equal(r->message, d->messages[seq % TICKETS]);
}

/* What goes out next, after a reconnect, and with which id. */
static void expect_next(struct desk *d, uint64_t seq, uint16_t id, bool again)
{
    struct flow_next next;

    assert_true(flow_peek(d->f, &no_limits, &next));
    assert_int_equal(next.seq, seq);
    assert_int_equal(next.id, id);
    assert_int_equal(next.dup || next.pubrel, again);
    flow_advance(d->f);
    assert_true(flow_check(d->f));
}

static void expect_idle(const struct desk *d)
{
    struct flow_next next;

    assert_false(flow_peek(d->f, &no_limits, &next));
}

/* --- by hand --- */

static void nothing_loaded_is_an_empty_flow(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    assert_int_equal(loaded(&d), 0);
    assert_true(flow_is_empty(d.f));
    assert_int_equal(flow_tail(d.f), 1);
    flow_load_position(d.f, 500, 65535);
    assert_int_equal(loaded(&d), 0);
    assert_int_equal(flow_tail(d.f), 500);
    assert_int_equal(flow_last_id(d.f), 65535);
    assert_ok(flow_reserve(d.f, 1));
    assert_int_equal(flow_push(d.f, d.messages[0], QOS_1, false), 500);
    expect_next(&d, 500, 1, false);
    desk_end(&d);
}

/* Rows that were dropped when their turn came keep their places, known or not. */
static void a_row_begun_without_an_id_is_over(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    row(&d, 1, QOS_1);
    row(&d, 2, QOS_2);
    flow_load_begun(d.f, 1, 7);
    flow_load_begun(d.f, 2, 0);
    flow_load_begun(d.f, 3, 0); /* of which nothing else is left */
    assert_int_equal(loaded(&d), 0);
    assert_int_equal(flow_inflight(d.f), 1);
    assert_int_equal(flow_queued(d.f), 0);
    assert_int_equal(flow_tail(d.f), 4);
    assert_int_equal(flow_last_id(d.f), 7);
    desk_end(&d);
}

static void rows_come_in_their_order(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    for (uint64_t seq = 1; seq <= 6; seq++)
        row(&d, seq, seq == 4 ? QOS_0 : seq % 2 ? QOS_1 : QOS_2);
    for (uint16_t id = 1; id <= 3; id++)
        flow_load_begun(d.f, id, id);
    flow_load_begun(d.f, 4, 0); /* QoS 0: gone by that */
    flow_load_begun(d.f, 5, 4);
    flow_load_received(d.f, 2);
    flow_load_done(d.f, 3);
    assert_int_equal(loaded(&d), 0);
    assert_int_equal(flow_head(d.f), 1);
    assert_int_equal(flow_begun(d.f), 6);
    assert_int_equal(flow_tail(d.f), 7);
    assert_int_equal(flow_inflight(d.f), 3);
    assert_int_equal(flow_queued(d.f), 1);
    assert_int_equal(flow_queued_bytes(d.f), bytes_of(d.messages[0]));
    expect_row(&d, 1, FLOW_WAIT_PUBACK, 1);
    expect_row(&d, 2, FLOW_WAIT_PUBCOMP, 2);
    assert_int_equal(flow_row_at(d.f, 3)->state, FLOW_DONE);
    assert_int_equal(flow_row_at(d.f, 4)->state, FLOW_DONE);
    expect_row(&d, 5, FLOW_WAIT_PUBACK, 4);
    expect_row(&d, 6, FLOW_QUEUED, 0);
    expect_next(&d, 1, 1, true);
    expect_next(&d, 2, 2, true);
    expect_next(&d, 5, 4, true);
    expect_next(&d, 6, 5, false);
    expect_idle(&d);
    desk_end(&d);
}

/* Rows far apart, the first ones last: the ring grows to the front over many chunks. */
static void rows_come_in_any_order(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 3);
    for (unsigned round = 0; round < 50; round++) {
        struct desk d;
        uint64_t base = 1 + rng_below(&rng, 100);
        uint64_t seqs[200];
        size_t n = 1 + rng_below(&rng, ARRAY_SIZE(seqs));
        desk_begin(&d);
        for (size_t i = 0; i < n; i++)
            seqs[i] = base + i;
        for (size_t i = n; i > 1; i--) {
            size_t k = rng_below(&rng, (uint32_t)i);
            uint64_t other = seqs[k];
            seqs[k] = seqs[i - 1];
            seqs[i - 1] = other;
        }
        for (size_t i = 0; i < n; i++)
            row(&d, seqs[i], QOS_1);
        for (size_t i = 0; i < n; i++) /* twice means nothing */
            row(&d, seqs[i], QOS_2);
        assert_int_equal(loaded(&d), 0);
        assert_int_equal(flow_head(d.f), base);
        assert_int_equal(flow_tail(d.f), base + n);
        assert_int_equal(flow_queued(d.f), n);
        for (size_t i = 0; i < n; i++)
            expect_next(&d, base + i, (uint16_t)(i + 1), false);
        desk_end(&d);
    }
}

static void the_front_grows_by_chunks(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    for (uint64_t seq = 1000; seq >= 1; seq--)
        row(&d, seq, QOS_1);
    for (uint64_t seq = 1; seq <= 1000; seq++)
        assert_ptr_equal(flow_row_at(d.f, seq)->ticket, d.tickets[seq % TICKETS]);
    assert_int_equal(loaded(&d), 0);
    assert_int_equal(flow_queued(d.f), 1000);
    desk_end(&d);
}

static void a_row_twice_is_one_row(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    row(&d, 5, QOS_2);
    row(&d, 5, QOS_2);
    assert_int_equal(d.tickets[5]->refs, 2);
    flow_load_begun(d.f, 5, 9);
    row(&d, 5, QOS_2); /* recorded anew: present state follows */
    flow_load_begun(d.f, 5, 9);
    flow_load_received(d.f, 5);
    assert_int_equal(d.tickets[5]->refs, 1);
    assert_ok(flow_load_row(d.f, 5, NULL, 0, QOS_2, true));
    flow_load_begun(d.f, 5, 9);
    flow_load_received(d.f, 5);
    assert_int_equal(loaded(&d), 0);
    assert_int_equal(flow_inflight(d.f), 1);
    expect_row(&d, 5, FLOW_WAIT_PUBCOMP, 9);
    desk_end(&d);
}

/* Its message is not needed any more, so its number was not recorded. */
static void a_row_without_a_message_waits_for_pubcomp(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    assert_ok(flow_load_row(d.f, 7, NULL, 0, QOS_2, false));
    flow_load_begun(d.f, 7, 65535);
    flow_load_received(d.f, 7);
    row(&d, 8, QOS_1);
    assert_int_equal(loaded(&d), 0);
    expect_next(&d, 7, 65535, true);
    expect_next(&d, 8, 1, false);
    desk_end(&d);
}

static void what_is_said_of_unknown_rows_means_nothing(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    flow_load_done(d.f, 1);
    flow_load_received(d.f, 2);
    flow_load_done(d.f, UINT64_MAX);
    flow_load_received(d.f, UINT64_MAX);
    row(&d, 10, QOS_1);
    flow_load_done(d.f, 9);
    flow_load_done(d.f, 11);
    flow_load_received(d.f, 10); /* QoS 1, and not begun */
    assert_int_equal(loaded(&d), 0);
    expect_row(&d, 10, FLOW_QUEUED, 0);
    desk_end(&d);
}

/* Of a row that is not there any more only its place is known: it has been begun. */
static void unknown_rows_that_were_begun_move_the_position(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    flow_load_begun(d.f, 40, 65535);
    flow_load_done(d.f, 40);
    flow_load_begun(d.f, 41, 0); /* QoS 0 */
    assert_int_equal(loaded(&d), 0);
    assert_true(flow_is_empty(d.f));
    assert_int_equal(flow_tail(d.f), 42);
    assert_int_equal(flow_last_id(d.f), 65535);
    desk_end(&d);
}

static void the_position_says_what_no_row_says(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    flow_load_position(d.f, 0, 7); /* a session that never had a flow */
    assert_int_equal(flow_last_id(d.f), 0);
    flow_load_position(d.f, 100, 20);
    flow_load_position(d.f, 90, 10); /* older, recorded further on: rows went on meanwhile */
    row(&d, 95, QOS_2);
    flow_load_begun(d.f, 95, 15);
    row(&d, 101, QOS_1);
    assert_int_equal(loaded(&d), 0);
    assert_int_equal(flow_last_id(d.f), 20);
    assert_int_equal(flow_begun(d.f), 101); /* nothing at 100 waits */
    assert_int_equal(flow_inflight(d.f), 1);
    expect_next(&d, 95, 15, true);
    expect_next(&d, 101, 21, false);
    desk_end(&d);
}

/* A QoS 0 row was begun, which has no id; what its session says further on is of the same place. */
static void the_id_given_last_may_come_later(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    flow_load_begun(d.f, 41, 0);
    flow_load_position(d.f, 42, 7);
    row(&d, 42, QOS_1);
    assert_int_equal(loaded(&d), 0);
    expect_next(&d, 42, 8, false);
    desk_end(&d);
}

/* Ids need not be neighbours: their span shuts the window before one comes twice. */
static void ids_with_gaps_are_not_reused(void **state)
{
    struct flow_next next;
    struct desk d;
    uint64_t seq;

    (void)state;
    desk_begin(&d);
    for (uint64_t s = 1; s <= 4; s++)
        row(&d, s, QOS_1);
    flow_load_begun(d.f, 1, 10);
    flow_load_begun(d.f, 2, 8); /* nearly all round */
    assert_int_equal(loaded(&d), 0);
    expect_next(&d, 1, 10, true);
    expect_next(&d, 2, 8, true);
    expect_next(&d, 3, 9, false);
    assert_false(flow_peek(d.f, &no_limits, &next));
    assert_int_equal(flow_acknowledge(d.f, PACKET_PUBACK, 8, &seq), FLOW_ACCEPTED);
    assert_false(flow_peek(d.f, &no_limits, &next));
    assert_int_equal(flow_acknowledge(d.f, PACKET_PUBACK, 10, &seq), FLOW_ACCEPTED);
    expect_next(&d, 4, 10, false);
    desk_end(&d);
}

/* The last ones begun are finished and gone, an earlier one is not: their ids are not given again.
 */
static void ids_behind_the_last_row_are_remembered(void **state)
{
    struct desk d;
    uint64_t seq;

    (void)state;
    desk_begin(&d);
    row(&d, 3, QOS_1);
    flow_load_begun(d.f, 3, 65534);
    flow_load_position(d.f, 60,
                       56); /* 57 were begun: 65534, 65535, 1 … 55, 56 with QoS 0 between */
    assert_int_equal(loaded(&d), 0);
    assert_int_equal(flow_tail(d.f), 60);
    assert_int_equal(flow_begun(d.f), 60);
    assert_int_equal(flow_acknowledge(d.f, PACKET_PUBACK, 56, &seq), FLOW_UNKNOWN);
    expect_next(&d, 3, 65534, true);
    assert_int_equal(flow_acknowledge(d.f, PACKET_PUBACK, 56, &seq), FLOW_UNKNOWN);
    assert_ok(flow_reserve(d.f, 1));
    assert_int_equal(flow_push(d.f, d.messages[0], QOS_1, false), 60);
    expect_next(&d, 60, 57, false);
    assert_int_equal(flow_acknowledge(d.f, PACKET_PUBACK, 57, &seq), FLOW_ACCEPTED);
    assert_int_equal(flow_acknowledge(d.f, PACKET_PUBACK, 65534, &seq), FLOW_ACCEPTED);
    assert_int_equal(seq, 3);
    assert_true(flow_is_empty(d.f));
    desk_end(&d);
}

static void ids_wrap(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    for (uint64_t seq = 20; seq < 40; seq++)
        row(&d, seq, seq % 2 ? QOS_1 : QOS_2);
    for (uint64_t seq = 20; seq < 35; seq++)
        flow_load_begun(d.f, seq, (uint16_t)((seq - 20 + 65529) % 65535 + 1)); /* 65530 … */
    flow_load_done(d.f, 25);                                                   /* 65535 */
    flow_load_done(d.f, 26);                                                   /* 1 */
    flow_load_received(d.f, 28);
    assert_int_equal(loaded(&d), 0);
    assert_int_equal(flow_inflight(d.f), 13);
    expect_row(&d, 24, FLOW_WAIT_PUBREC, 65534);
    expect_row(&d, 27, FLOW_WAIT_PUBACK, 2);
    expect_row(&d, 28, FLOW_WAIT_PUBCOMP, 3);
    for (uint64_t seq = 20; seq < 35; seq++) {
        if (seq != 25 && seq != 26)
            expect_next(&d, seq, (uint16_t)((seq - 20 + 65529) % 65535 + 1), true);
    }
    expect_next(&d, 35, 10, false);
    desk_end(&d);
}

/* A row that was dropped while it waited, in front of one that still does. */
static void a_dropped_row_leaves_a_hole(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    row(&d, 3, QOS_1);
    row(&d, 4, QOS_1);
    row(&d, 5, QOS_1);
    flow_load_done(d.f, 4);
    row(&d, 8, QOS_1); /* nothing is known of 6 and 7 */
    assert_int_equal(loaded(&d), 0);
    assert_int_equal(flow_queued(d.f), 3);
    expect_next(&d, 3, 1, false);
    expect_next(&d, 5, 2, false);
    expect_next(&d, 8, 3, false);
    expect_idle(&d);
    desk_end(&d);
}

static void inbound_ids_stay_while_rows_are_loaded(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    assert_ok(idset_reserve(flow_inbound(d.f)));
    assert_true(idset_add(flow_inbound(d.f), 77));
    row(&d, 1, QOS_1);
    flow_load_done(d.f, 1);
    assert_int_equal(loaded(&d), 0);
    assert_false(flow_is_empty(d.f));
    assert_true(idset_has(flow_inbound(d.f), 77));
    desk_end(&d);
}

/* --- what cannot be true --- */

static void rows_without_a_message_are_lost(void **state)
{
    struct desk d;
    uint64_t lost = 10;

    (void)state;
    desk_begin(&d);
    assert_ok(flow_load_row(d.f, 1, NULL, 0, QOS_1, false));
    assert_ok(flow_load_row(d.f, 2, NULL, 0, QOS_2, false));
    flow_load_begun(d.f, 2, 1);
    row(&d, 3, QOS_1);
    flow_load_resolve(d.f, 3, d.messages[3], bytes_of(d.messages[3]));
    assert_ok(flow_load_end(d.f, &lost));
    assert_true(flow_check(d.f));
    assert_int_equal(lost, 12); /* counted on */
    assert_int_equal(flow_queued(d.f), 1);
    assert_int_equal(flow_inflight(d.f), 0);
    expect_next(&d, 3, 2, false);
    desk_end(&d);
}

static void rows_that_were_passed_without_an_id_are_lost(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    row(&d, 5, QOS_1); /* its BEGIN is missing */
    row(&d, 6, QOS_1);
    flow_load_begun(d.f, 6, 2);
    row(&d, 7, QOS_0); /* and so is this one's */
    flow_load_position(d.f, 8, 2);
    row(&d, 8, QOS_0);
    assert_int_equal(loaded(&d), 2);
    assert_int_equal(flow_inflight(d.f), 1);
    assert_int_equal(flow_queued(d.f), 1);
    expect_next(&d, 6, 2, true);
    expect_next(&d, 8, 0, false);
    assert_int_equal(d.tickets[5]->refs, 1);
    assert_int_equal(d.messages[5]->blob.refs, 1);
    desk_end(&d);
}

/* Ids that fall, or come twice; without one a row is finished. */
static void ids_without_order_are_lost(void **state)
{
    static const uint16_t ids[] = {10, 9, 10, 0, 11, 12};
    struct desk d;

    (void)state;
    desk_begin(&d);
    for (uint64_t i = 0; i < ARRAY_SIZE(ids); i++) {
        row(&d, 1 + i, QOS_1);
        flow_load_begun(d.f, 1 + i, ids[i]);
    }
    uint64_t lost = loaded(&d);
    assert_int_equal(flow_inflight(d.f) + lost, ARRAY_SIZE(ids) - 1);
    assert_in_range(lost, 2, 3); /* 9 may be 65534 behind 10 */
    desk_end(&d);
}

/* However its parts contradict each other, what comes of it is in order. */
static void an_id_that_was_given_last_and_was_not(void **state)
{
    static const uint16_t last[] = {0, 1, 8, 9, 10, 65535};
    uint64_t seq;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(last); i++) {
        for (uint64_t begun = 7; begun <= 9; begun++) {
            struct desk d;
            desk_begin(&d);
            flow_load_position(d.f, begun, last[i]);
            for (uint64_t s = 5; s <= 7; s++) {
                row(&d, s, QOS_1);
                flow_load_begun(d.f, s, (uint16_t)(s + 2)); /* 7, 8, 9 */
            }
            (void)loaded(&d);
            for (uint16_t id = 7; id <= 9; id++)
                expect_next(&d, id - 2u, id, true);
            assert_ok(flow_reserve(d.f, 1));
            flow_push(d.f, d.messages[0], QOS_1, false);
            struct flow_next next;
            if (flow_peek(d.f, &no_limits, &next)) /* 65535 are in flight, if 6 came last */
                assert_false(next.id >= 7 && next.id <= 9);
            assert_int_equal(flow_acknowledge(d.f, PACKET_PUBACK, 8, &seq), FLOW_ACCEPTED);
            assert_int_equal(seq, 6);
            desk_end(&d);
        }
    }
}

static void numbers_that_no_row_has_are_refused(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    assert_err(flow_load_row(d.f, 0, d.tickets[0], 0, QOS_1, false), ERR_INVAL);
    assert_err(flow_load_row(d.f, UINT64_MAX, d.tickets[0], 0, QOS_1, false), ERR_INVAL);
    flow_load_begun(d.f, UINT64_MAX, 1);
    flow_load_position(d.f, UINT64_MAX, 1);
    assert_int_equal(flow_begun(d.f), 1);
    row(&d, UINT64_C(1) << 40, QOS_1);
    assert_err(flow_load_row(d.f, 1, d.tickets[0], 0, QOS_1, false), ERR_INVAL);
    assert_err(flow_load_row(d.f, UINT64_C(1) << 41, d.tickets[0], 0, QOS_1, false), ERR_INVAL);
    flow_load_position(d.f, UINT64_C(1) << 42, 3); /* too far for holes: it is not believed */
    assert_int_equal(loaded(&d), 1);
    desk_end(&d);
}

/* --- memory --- */

static void a_long_journal_needs_little_memory(void **state)
{
    struct desk d;
    size_t most = 0;
    size_t before;

    (void)state;
    unit_needs_tracking();
    desk_begin(&d);
    before = mem_used();
    row(&d, 2, QOS_1); /* one that is finished much later */
    for (uint64_t seq = 3; seq < 200000; seq++) {
        row(&d, seq, QOS_1);
        flow_load_begun(d.f, seq, (uint16_t)((seq - 3) % 65535 + 1));
        if (seq >= 20)
            flow_load_done(d.f, seq - 17);
        if (seq == 100)
            flow_load_done(d.f, 2);
        if (seq > 200 && mem_used() - before > most)
            most = mem_used() - before;
    }
    assert_true(most < 1024);
    assert_int_equal(loaded(&d), 0);
    assert_int_equal(flow_inflight(d.f), 17);
    for (uint64_t seq = flow_head(d.f); seq < 200000; seq++)
        flow_set_done(d.f, seq);
    assert_int_equal(mem_used(), before);
    desk_end(&d);
}

static void finished_rows_in_front_do_not_stay(void **state)
{
    struct desk d;

    (void)state;
    desk_begin(&d);
    for (uint64_t seq = 1; seq <= 100; seq++)
        row(&d, seq, QOS_1);
    for (uint64_t seq = 1; seq <= 90; seq++)
        flow_load_begun(d.f, seq, (uint16_t)seq);
    for (uint64_t seq = 80; seq >= 1; seq--)
        flow_load_done(d.f, seq);
    assert_int_equal(flow_head(d.f), 81);
    row(&d, 40, QOS_1); /* one from before that: it was passed, and has no id */
    assert_int_equal(loaded(&d), 1);
    assert_int_equal(flow_head(d.f), 81);
    assert_int_equal(flow_inflight(d.f), 10);
    assert_int_equal(flow_queued(d.f), 10);
    desk_end(&d);
}

/* Load something with a far front and a far end; false without memory. */
static bool failing_load(struct desk *d)
{
    uint64_t lost = 0;

    for (uint64_t i = 0; i < 100; i++) {
        uint64_t seq = i % 2 ? 500 + i : 500 - i;
        if (flow_load_row(d->f, seq, d->tickets[seq % TICKETS], 1, QOS_1, false) != ERR_OK)
            return false;
        flow_load_resolve(d->f, seq, d->messages[0], 1);
    }
    for (uint64_t seq = 401; seq < 600; seq++)
        flow_load_begun(d->f, seq, (uint16_t)seq);
    flow_load_position(d->f, 1000, 1000);
    if (flow_load_end(d->f, &lost) != ERR_OK)
        return false;
    assert_int_equal(lost, 0);
    assert_true(flow_check(d->f));
    assert_int_equal(flow_inflight(d->f), 100);
    assert_int_equal(flow_tail(d->f), 1000);
    return true;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    unit_needs_tracking();
    for (int all = 0; all <= 1; all++) {
        uint64_t n = 0;
        for (bool done = false; !done; n++) {
            struct desk d;
            desk_begin(&d);
            mem_fail_after(n, all);
            (void)failing_load(&d);
            mem_fail_never();
            done = mem_failed() == 0;
            desk_end(&d);
        }
        assert_true(n > 30);
    }
}

/* Without memory at the end, it may be tried again. */
static void the_end_may_be_tried_again(void **state)
{
    struct desk d;
    uint64_t lost = 0;
    unsigned tries = 0;

    (void)state;
    unit_needs_tracking();
    desk_begin(&d);
    row(&d, 10, QOS_1);
    flow_load_resolve(d.f, 10, d.messages[4], 1);
    flow_load_begun(d.f, 10, 1);
    flow_load_position(d.f, 2000, 1990);
    for (uint64_t n = 0;; n++) {
        mem_fail_after(n % 3, 1);
        enum err e = flow_load_end(d.f, &lost);
        mem_fail_never();
        tries++;
        if (e == ERR_OK)
            break;
        assert_err(e, ERR_NOMEM);
    }
    assert_true(tries > 2);
    assert_true(flow_check(d.f));
    assert_int_equal(lost, 0);
    assert_int_equal(flow_inflight(d.f), 1);
    assert_int_equal(flow_tail(d.f), 2000);
    expect_next(&d, 10, 1, true);
    desk_end(&d);
}

/* --- random histories --- */

enum said { QUEUE, BEGIN, RECEIVED, DONE, POSITION };

struct line {
    enum said what;
    uint64_t seq;
    int ticket; /* -1: none */
    uint16_t id;
    enum qos qos;
    bool retain;
};

#define LINES 4000

struct history {
    struct desk d; /* the live flow */
    struct rng rng;
    struct flow_limits lim;
    struct line lines[LINES];
    size_t n;
    size_t kept;     /* the first line that is still there */
    size_t cleaned;  /* lines before this one are said again further on */
    size_t position; /* the last POSITION */
    bool full;
};

static void say(struct history *h, struct line l)
{
    if (h->n == LINES) {
        h->full = true;
        return;
    }
    if (l.what == POSITION)
        h->position = h->n;
    h->lines[h->n++] = l;
}

static void say_position(struct history *h)
{
    say(h, (struct line){.what = POSITION, .seq = flow_begun(h->d.f), .id = flow_last_id(h->d.f)});
}

static int ticket_of_row(const struct desk *d, const struct flow_row *r)
{
    if (r->away)
        return ticket_index(d, r->ticket);
    for (int i = 0; i < TICKETS; i++) {
        if (d->messages[i] == r->message)
            return i;
    }
    return -1;
}

static void live_push(struct history *h)
{
    uint32_t burst = 1 + rng_below(&h->rng, 4);
    int i = (int)rng_below(&h->rng, TICKETS);
    struct desk *d = &h->d;

    while (burst--) {
        struct line l = {.what = QUEUE,
                         .ticket = i,
                         .qos = (enum qos)rng_below(&h->rng, 3),
                         .retain = rng_below(&h->rng, 2)};
        assert_ok(flow_reserve(d->f, 1));
        if (rng_below(&h->rng, 4) == 0)
            l.seq = flow_push_away(d->f, d->tickets[i], bytes_of(d->messages[i]), l.qos, l.retain);
        else
            l.seq = flow_push(d->f, d->messages[i], l.qos, l.retain);
        say(h, l);
    }
}

static void live_send(struct history *h)
{
    uint32_t burst = 1 + rng_below(&h->rng, 5);
    struct flow_next next;

    while (burst-- && flow_peek(h->d.f, &h->lim, &next)) {
        bool begins = next.row->state == FLOW_QUEUED;
        if (next.row->away)
            flow_arrived(h->d.f, next.seq, h->d.messages[ticket_of_row(&h->d, next.row)]);
        if (begins)
            say(h, (struct line){.what = BEGIN, .seq = next.seq, .id = next.id});
        flow_advance(h->d.f);
    }
}

static const struct flow_row *live_any(struct history *h, uint64_t *seq)
{
    uint64_t n = flow_tail(h->d.f) - flow_head(h->d.f);

    *seq = flow_head(h->d.f) + (n ? rng_below(&h->rng, (uint32_t)n) : 0);
    return flow_row_at(h->d.f, *seq);
}

static void live_ack(struct history *h)
{
    static const enum packet_type types[] = {PACKET_PUBACK, PACKET_PUBREC, PACKET_PUBCOMP};
    enum packet_type type = types[rng_below(&h->rng, 3)];
    uint64_t seq;
    const struct flow_row *r = live_any(h, &seq);

    if (r && r->id && flow_acknowledge(h->d.f, type, r->id, &seq) == FLOW_ACCEPTED)
        say(h, (struct line){.what = type == PACKET_PUBREC ? RECEIVED : DONE, .seq = seq});
}

static void live_drop(struct history *h)
{
    uint64_t seq;
    const struct flow_row *r = live_any(h, &seq);

    if (!r || r->state == FLOW_DONE)
        return;
    flow_set_done(h->d.f, seq);
    say(h, (struct line){.what = DONE, .seq = seq});
}

static void live_leave(struct history *h)
{
    uint64_t seq;
    const struct flow_row *r = live_any(h, &seq);
    int i = r && r->message ? ticket_of_row(&h->d, r) : -1;

    if (i < 0)
        return;
    if (r->away)
        flow_arrived(h->d.f, seq, h->d.messages[i]);
    else
        flow_leave(h->d.f, seq, h->d.tickets[i]);
}

/* What a line speaks of is said again, as it is now. */
static void renew(struct history *h, size_t at)
{
    const struct line *l = &h->lines[at];
    const struct flow_row *r = flow_row_at(h->d.f, l->seq);

    if (l->what == POSITION && at == h->position)
        say_position(h);
    if (l->what != QUEUE || !r || r->state == FLOW_DONE)
        return;
    struct line again = {.what = QUEUE,
                         .seq = l->seq,
                         .ticket = ticket_of_row(&h->d, r),
                         .qos = (enum qos)r->qos,
                         .retain = r->retain};
    say(h, again);
    if (r->state != FLOW_QUEUED)
        say(h, (struct line){.what = BEGIN, .seq = l->seq, .id = r->id});
    if (r->state == FLOW_WAIT_PUBCOMP)
        say(h, (struct line){.what = RECEIVED, .seq = l->seq});
}

/* Some lines at the front are said again; of those that were, some go. */
static void clean(struct history *h)
{
    size_t n = rng_below(&h->rng, 60);

    while (n-- && h->cleaned < h->n)
        renew(h, h->cleaned++);
    if (rng_below(&h->rng, 2))
        h->kept += rng_below(&h->rng, (uint32_t)(h->cleaned - h->kept + 1));
}

static void live_step(struct history *h)
{
    uint32_t dice = rng_below(&h->rng, 100);

    if (dice < 22)
        live_push(h);
    else if (dice < 45)
        live_send(h);
    else if (dice < 80)
        live_ack(h);
    else if (dice < 83)
        live_drop(h);
    else if (dice < 88)
        live_leave(h);
    else if (dice < 90)
        flow_rewind(h->d.f);
    else if (dice < 94)
        say_position(h);
    else
        clean(h);
    assert_true(flow_check(h->d.f));
}

static void load_line(struct desk *to, const struct line *l)
{
    struct blob *ticket = l->what == QUEUE && l->ticket >= 0 ? to->tickets[l->ticket] : NULL;

    switch (l->what) {
    case QUEUE:
        assert_ok(flow_load_row(to->f, l->seq, ticket, 0, l->qos, l->retain));
        break;
    case BEGIN:
        flow_load_begun(to->f, l->seq, l->id);
        break;
    case RECEIVED:
        flow_load_received(to->f, l->seq);
        break;
    case DONE:
        flow_load_done(to->f, l->seq);
        break;
    default:
        flow_load_position(to->f, l->seq, l->id);
    }
}

static uint64_t next_unfinished(const struct flow *f, uint64_t seq)
{
    while (seq < flow_tail(f) && flow_row_at(f, seq)->state == FLOW_DONE)
        seq++;
    return seq < flow_tail(f) ? seq : UINT64_MAX;
}

static void compare_row(const struct history *h, const struct desk *to, uint64_t seq)
{
    const struct flow_row *a = flow_row_at(h->d.f, seq);
    const struct flow_row *b = flow_row_at(to->f, seq);

    assert_int_equal(a->state, b->state);
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->qos, b->qos);
    assert_int_equal(a->retain, b->retain);
    if (a->state != FLOW_WAIT_PUBCOMP) {
        assert_int_equal(a->bytes, b->bytes);
        assert_int_equal(ticket_of_row(&h->d, a), ticket_of_row(to, b));
    }
}

static void compare(const struct history *h, const struct desk *to)
{
    uint64_t a = next_unfinished(h->d.f, flow_head(h->d.f));
    uint64_t b = next_unfinished(to->f, flow_head(to->f));

    while (a != UINT64_MAX || b != UINT64_MAX) {
        assert_int_equal(a, b);
        compare_row(h, to, a);
        a = next_unfinished(h->d.f, a + 1);
        b = next_unfinished(to->f, b + 1);
    }
    assert_int_equal(flow_inflight(to->f), flow_inflight(h->d.f));
    assert_int_equal(flow_queued(to->f), flow_queued(h->d.f));
    assert_int_equal(flow_queued_bytes(to->f), flow_queued_bytes(h->d.f));
    assert_int_equal(flow_last_id(to->f), flow_last_id(h->d.f));
    assert_true(flow_tail(to->f) <= flow_tail(h->d.f));
    if (flow_queued(h->d.f) > 0)
        assert_int_equal(flow_begun(to->f), flow_begun(h->d.f));
}

/* Both go on alike until nothing is left. */
static void drain(const struct desk *a, const struct desk *b)
{
    struct flow_next na;
    struct flow_next nb;
    uint64_t seq;

    flow_rewind(a->f);
    flow_rewind(b->f);
    while (flow_peek(a->f, &no_limits, &na)) {
        assert_true(flow_peek(b->f, &no_limits, &nb));
        assert_true(na.seq == nb.seq && na.id == nb.id && na.dup == nb.dup &&
                    na.pubrel == nb.pubrel);
        enum qos qos = (enum qos)na.row->qos;
        flow_advance(a->f);
        flow_advance(b->f);
        for (int half = 0; half < (int)qos; half++) {
            enum packet_type type = qos == QOS_1 ? PACKET_PUBACK
                                    : half       ? PACKET_PUBCOMP
                                                 : PACKET_PUBREC;
            if (na.pubrel && !half)
                continue;
            assert_int_equal(flow_acknowledge(a->f, type, na.id, &seq), FLOW_ACCEPTED);
            assert_int_equal(flow_acknowledge(b->f, type, na.id, &seq), FLOW_ACCEPTED);
            assert_int_equal(seq, na.seq);
        }
    }
    assert_false(flow_peek(b->f, &no_limits, &nb));
    assert_true(flow_is_empty(a->f) && flow_is_empty(b->f));
    assert_true(flow_check(b->f));
}

static void load_all(struct history *h, struct desk *to)
{
    desk_begin(to);
    for (size_t i = h->kept; i < h->n; i++)
        load_line(to, &h->lines[i]);
    assert_int_equal(loaded(to), 0);
    compare(h, to);
}

static void run_history(struct history *h, uint64_t seed)
{
    static const uint32_t windows[] = {0, 1, 3, 20};
    struct desk to;
    uint64_t base;

    memset(h, 0, sizeof(*h));
    rng_seed(&h->rng, seed);
    desk_begin(&h->d);
    h->lim.max_inflight = windows[rng_below(&h->rng, 4)];
    base = 2 + rng_below(&h->rng, 40);
    flow_resume_at(h->d.f, base,
                   (uint16_t)(rng_below(&h->rng, 2) ? 65535 - rng_below(&h->rng, 60) : 1));
    say_position(h);
    for (uint32_t left = rng_below(&h->rng, 250); left > 0 && !h->full; left--) {
        live_step(h);
        if (left % 64 == 0) {
            load_all(h, &to);
            desk_end(&to);
        }
    }
    if (!h->full) {
        load_all(h, &to);
        drain(&h->d, &to);
        desk_end(&to);
    }
    desk_end(&h->d);
}

static void random_histories_are_loaded_as_they_were(void **state)
{
    struct history *h = malloc(sizeof(*h));

    (void)state;
    assert_non_null(h);
    for (uint64_t seed = 1; seed <= 4000; seed++)
        run_history(h, seed);
    free(h);
}

/* Lines in any order and of any content: lost or not, what comes of them is in order. */
static void random_lines_are_brought_in_order(void **state)
{
    struct rng rng;

    (void)state;
    rng_seed(&rng, 11);
    for (unsigned round = 0; round < 4000; round++) {
        struct desk d;
        uint64_t base = rng_below(&rng, 4) ? 1 : 1 + rng_below(&rng, 1000);
        uint32_t span = 2 + rng_below(&rng, 60);
        uint32_t ids = rng_below(&rng, 2) ? 30 : 65536;
        desk_begin(&d);
        for (uint32_t n = rng_below(&rng, 120); n > 0; n--) {
            struct line l = {.what = (enum said)rng_below(&rng, 5),
                             .seq = base + rng_below(&rng, span),
                             .ticket = (int)rng_below(&rng, TICKETS + 1) - 1,
                             .id = (uint16_t)rng_below(&rng, ids),
                             .qos = (enum qos)rng_below(&rng, 3)};
            load_line(&d, &l);
        }
        (void)loaded(&d);
        struct flow_next next;
        while (flow_peek(d.f, &no_limits, &next)) {
            flow_advance(d.f);
            assert_true(flow_check(d.f));
        }
        desk_end(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(nothing_loaded_is_an_empty_flow),
        UNIT_TEST(a_row_begun_without_an_id_is_over),
        UNIT_TEST(rows_come_in_their_order),
        UNIT_TEST(rows_come_in_any_order),
        UNIT_TEST(the_front_grows_by_chunks),
        UNIT_TEST(a_row_twice_is_one_row),
        UNIT_TEST(a_row_without_a_message_waits_for_pubcomp),
        UNIT_TEST(what_is_said_of_unknown_rows_means_nothing),
        UNIT_TEST(unknown_rows_that_were_begun_move_the_position),
        UNIT_TEST(the_position_says_what_no_row_says),
        UNIT_TEST(the_id_given_last_may_come_later),
        UNIT_TEST(ids_with_gaps_are_not_reused),
        UNIT_TEST(ids_behind_the_last_row_are_remembered),
        UNIT_TEST(ids_wrap),
        UNIT_TEST(a_dropped_row_leaves_a_hole),
        UNIT_TEST(inbound_ids_stay_while_rows_are_loaded),
        UNIT_TEST(rows_without_a_message_are_lost),
        UNIT_TEST(rows_that_were_passed_without_an_id_are_lost),
        UNIT_TEST(ids_without_order_are_lost),
        UNIT_TEST(an_id_that_was_given_last_and_was_not),
        UNIT_TEST(numbers_that_no_row_has_are_refused),
        UNIT_TEST(a_long_journal_needs_little_memory),
        UNIT_TEST(finished_rows_in_front_do_not_stay),
        UNIT_TEST(every_allocation_may_fail),
        UNIT_TEST(the_end_may_be_tried_again),
        UNIT_TEST(random_histories_are_loaded_as_they_were),
        UNIT_TEST(random_lines_are_brought_in_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
