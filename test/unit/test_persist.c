/*
 * The turn's frame: what is recorded when, what is promised stays free, which turns are durable.
 */
#include "core/persist.h"

#include "unit.h"

static struct message *message_of(const char *payload)
{
    struct message *m = message_new(STR("topic"), str_c(payload), QOS_1);

    assert_non_null(m);
    return m;
}

static void persist_begin(struct persist *p)
{
    persist_init(p, true);
    p->place = 1000;
}

static void write_done(struct persist *p, uint64_t seq)
{
    (void)persist_write(p, &(struct record){.type = RECORD_DONE, .session = 1, .seq = seq});
}

static struct str records_of(const struct buf *frame)
{
    struct str all = buf_str(frame);

    assert_true(all.n >= PERSIST_FRAME_ROOM);
    return str_of(all.p + PERSIST_FRAME_ROOM, all.n - PERSIST_FRAME_ROOM);
}

static size_t count_records(const struct persist *p)
{
    struct str in = records_of(&p->frame);
    struct record r;
    size_t n = 0;

    for (; in.n > 0; n++)
        assert_ok(record_read(&in, &r));
    return n;
}

/* What the turn has recorded is taken, and stored. */
static void next_turn(struct persist *p)
{
    uint64_t turn;
    struct buf frame = {0};

    (void)persist_end_turn(p, &turn, &frame);
    persist_reuse(p, &frame);
    assert_null(frame.data);
}

static void without_persistence_nothing_is_recorded(void **state)
{
    struct persist p;
    struct message *m = message_of("x");

    (void)state;
    persist_init(&p, false);
    assert_ok(persist_reserve(&p, 1000, SIZE_MAX / 2));
    assert_ok(persist_promise(&p, 1000, SIZE_MAX / 2));
    write_done(&p, 1);
    assert_null(persist_message(&p, m));
    persist_fulfil(&p);
    assert_int_equal(p.frame.len, 0);
    assert_int_equal(p.frame.cap, 0);
    assert_null(stored_of(m));
    assert_int_equal(p.recorded, 0);
    message_unref(m);
    persist_clear(&p);
}

static void while_replaying_nothing_is_recorded(void **state)
{
    struct persist p;

    (void)state;
    persist_begin(&p);
    p.replaying = true;
    assert_ok(persist_reserve(&p, 1, 0));
    write_done(&p, 1);
    assert_int_equal(p.frame.len, 0);
    p.replaying = false;
    assert_ok(persist_reserve(&p, 1, 0));
    write_done(&p, 1);
    assert_int_equal(count_records(&p), 1);
    persist_clear(&p);
}

static void a_message_is_recorded_once(void **state)
{
    struct persist p;
    struct message *a = message_of("first");
    struct message *b = message_of("second");
    struct record r;

    (void)state;
    persist_begin(&p);
    assert_ok(persist_reserve(&p, 1, 100));
    struct stored *e = persist_message(&p, a);
    assert_non_null(e);
    assert_ptr_equal(stored_of(a), e);
    assert_ptr_equal(persist_message(&p, a), e);
    assert_ok(persist_reserve(&p, 1, 100));
    assert_int_equal(persist_message(&p, b)->number, 2);
    assert_int_equal(e->number, 1);
    assert_int_equal(count_records(&p), 2);
    struct str in = records_of(&p.frame);
    assert_ok(record_read(&in, &r));
    assert_int_equal(r.type, RECORD_MESSAGE);
    assert_int_equal(r.number, 1);
    assert_int_equal(r.qos, QOS_1);
    assert_true(str_eq_c(r.text, "topic"));
    assert_true(str_eq_c(r.payload, "first"));
    message_unref(a);
    message_unref(b);
    assert_int_equal(p.stored.record_bytes, 0);
    persist_clear(&p);
}

/* Where records will stand in the journal is known while they are written. */
static void records_know_their_positions(void **state)
{
    struct record done = {.type = RECORD_DONE, .session = 1, .seq = 1};
    struct persist p;
    struct message *m = message_of("payload");
    uint64_t turn;
    struct buf frame = {0};

    (void)state;
    persist_begin(&p);
    assert_ok(persist_reserve(&p, 3, 100));
    assert_int_equal(persist_write(&p, &done), 1000);
    uint64_t second = persist_write(&p, &done);
    assert_int_equal(second, 1000 + records_of(&p.frame).n / 2);
    struct stored *e = persist_message(&p, m);
    size_t after = records_of(&p.frame).n;
    assert_int_equal(e->position, 1000 + 2 * (second - 1000));
    assert_int_equal(e->position + e->bytes, 1000 + after);
    assert_int_equal(p.stored.record_bytes, e->bytes);
    assert_true(persist_end_turn(&p, &turn, &frame));
    p.place = 5000;
    assert_ok(persist_reserve(&p, 2, 100));
    assert_int_equal(persist_write(&p, &done), 5000);
    uint32_t bytes = e->bytes;
    persist_move(&p, e,
                 &(struct record){.type = RECORD_MESSAGE,
                                  .number = e->number,
                                  .qos = m->qos,
                                  .text = message_topic(m),
                                  .payload = message_payload(m)});
    assert_int_equal(e->position, 5000 + second - 1000);
    assert_int_equal(e->bytes, bytes);
    assert_int_equal(p.stored.record_bytes, bytes); /* it is not there twice */
    assert_int_equal(p.next_message, 2);
    buf_clear(&frame);
    message_unref(m);
    persist_clear(&p);
}

static void a_new_turn_begins_with_an_empty_frame(void **state)
{
    struct persist p;
    uint64_t turn;
    struct buf first = {0};
    struct buf second = {0};
    struct record r;

    (void)state;
    persist_begin(&p);
    assert_ok(persist_reserve(&p, 1, 0));
    write_done(&p, 1);
    assert_true(persist_end_turn(&p, &turn, &first));
    assert_int_equal(turn, 1);
    assert_int_equal(p.turn, 2);
    assert_int_equal(p.frame.len, 0);
    /* what comes behind the taken frame does not touch it, and is of the next */
    assert_ok(persist_reserve(&p, 1, 0));
    write_done(&p, 2);
    struct str in = records_of(&first);
    assert_ok(record_read(&in, &r));
    assert_int_equal(r.seq, 1);
    assert_int_equal(in.n, 0);
    assert_true(persist_end_turn(&p, &turn, &second));
    assert_int_equal(turn, 2);
    in = records_of(&second);
    assert_ok(record_read(&in, &r));
    assert_int_equal(r.seq, 2);
    assert_int_equal(in.n, 0);
    buf_clear(&first);
    buf_clear(&second);
    persist_clear(&p);
}

/* Room was reserved, and nothing came of it: there is no frame, in this turn and in the next. */
static void a_reservation_alone_makes_no_frame(void **state)
{
    struct persist p;
    uint64_t turn;
    struct buf frame = {0};

    (void)state;
    persist_begin(&p);
    for (unsigned i = 0; i < 3; i++) {
        assert_ok(persist_reserve(&p, 10, 1000));
        assert_false(persist_end_turn(&p, &turn, &frame));
        assert_null(frame.data);
    }
    p.place = 77;
    assert_ok(persist_reserve(&p, 1, 0));
    assert_int_equal(persist_write(&p, &(struct record){.type = RECORD_DONE}), 77);
    assert_true(persist_end_turn(&p, &turn, &frame));
    assert_true(frame.len > PERSIST_FRAME_ROOM);
    persist_reuse(&p, &frame);
    persist_clear(&p);
}

/* Buffers come back, so that a steady stream of frames does not allocate. */
static void buffers_are_used_again(void **state)
{
    struct persist p;
    struct buf frame = {0};
    uint64_t turn;
    uint64_t calls = 0;

    (void)state;
    unit_needs_tracking();
    persist_begin(&p);
    for (unsigned i = 0; i < 20; i++) {
        if (i == 4)
            calls = mem_calls();
        assert_ok(persist_reserve(&p, 1, 5000));
        write_done(&p, i);
        if (frame.data) /* the former is stored meanwhile */
            persist_reuse(&p, &frame);
        assert_true(persist_end_turn(&p, &turn, &frame));
    }
    assert_int_equal(mem_calls(), calls);
    persist_reuse(&p, &frame);
    assert_null(frame.data);
    assert_ok(buf_add(&frame, "x", 1));
    persist_reuse(&p, &frame); /* one too many: freed */
    assert_null(frame.data);
    persist_clear(&p);
}

static void a_large_frame_gives_its_memory_back(void **state)
{
    struct persist p;

    (void)state;
    persist_begin(&p);
    assert_ok(persist_reserve(&p, 1, 8 * 1024 * 1024));
    write_done(&p, 1);
    next_turn(&p);
    assert_int_equal(p.frame.cap, 0);
    assert_int_equal(p.spare.cap, 0);
    persist_clear(&p);
}

static void turns_without_records_are_durable_with_their_predecessor(void **state)
{
    struct persist p;

    (void)state;
    persist_begin(&p);
    next_turn(&p);
    assert_int_equal(p.durable, 1);
    assert_ok(persist_reserve(&p, 1, 0));
    write_done(&p, 1);
    next_turn(&p);
    next_turn(&p);
    assert_int_equal(p.durable, 1); /* turn 2 is not stored yet, so nothing behind it is */
    assert_int_equal(persist_durable(&p, 1), 1);
    assert_int_equal(persist_durable(&p, 2), 3); /* and turn 3 had nothing */
    next_turn(&p);
    assert_int_equal(p.durable, 4);
    persist_clear(&p);
}

/* Between promise and fulfil others reserve and write; what was promised still needs no memory. */
static void what_was_promised_stays_free(void **state)
{
    struct persist p;

    (void)state;
    unit_needs_tracking();
    persist_begin(&p);
    assert_ok(persist_promise(&p, 100, 1000));
    for (uint64_t i = 0; i < 1000; i++) {
        assert_ok(persist_reserve(&p, 1, 0));
        write_done(&p, i);
        assert_true(buf_room(&p.frame) >= 100 * RECORD_OVERHEAD + 1000);
    }
    persist_fulfil(&p);
    assert_ok(persist_reserve(&p, 1, 0));
    persist_clear(&p);
}

static void failing_memory_changes_nothing(void **state)
{
    struct persist p;

    (void)state;
    unit_needs_tracking();
    persist_begin(&p);
    mem_fail_after(0, 1);
    assert_err(persist_reserve(&p, 1, 10), ERR_NOMEM);
    assert_err(persist_promise(&p, 1, 10), ERR_NOMEM);
    mem_fail_never();
    assert_int_equal(p.promised, 0);
    assert_int_equal(p.recorded, 0);
    persist_clear(&p);
}

/* Each of its allocations may fail: room, and the entry that a message may need. */
static void every_allocation_of_a_reservation_may_fail(void **state)
{
    (void)state;
    unit_needs_tracking();
    for (uint64_t n = 0;; n++) {
        struct persist p;
        struct message *m = message_of("x");
        persist_begin(&p);
        mem_fail_after(n, 1);
        enum err e = persist_reserve(&p, 1, 100);
        if (!e)
            assert_int_equal(persist_message(&p, m)->number, 1);
        bool failed = mem_failed() > 0;
        mem_fail_never();
        assert_int_equal(e != ERR_OK, failed);
        uint64_t turn;
        struct buf frame = {0};
        assert_int_equal(persist_end_turn(&p, &turn, &frame), !failed);
        buf_clear(&frame);
        message_unref(m);
        persist_clear(&p);
        if (!failed) {
            assert_true(n > 1);
            break;
        }
    }
}

/* Does a turn with this record alone, and one message, tell of nothing but that message? */
static bool passes(struct persist *p, struct record r)
{
    struct message *m = message_of("x");
    bool is_lasting;

    assert_ok(persist_reserve(p, 2, 100));
    if (r.number == 1)
        r.number = p->next_message;
    (void)persist_message(p, m);
    (void)persist_write(p, &r);
    is_lasting = p->lasting;
    next_turn(p);
    assert_false(p->lasting);
    message_unref(m);
    return !is_lasting;
}

static void what_outlives_its_messages_is_known(void **state)
{
    struct persist p;

    (void)state;
    persist_begin(&p);
    next_turn(&p);
    assert_true(passes(&p, (struct record){.type = RECORD_QUEUE, .number = 1, .qos = 1}));
    assert_true(passes(&p, (struct record){.type = RECORD_QUEUE, .number = 1}));
    assert_true(passes(&p, (struct record){.type = RECORD_DONE, .seq = 1}));
    assert_true(passes(&p, (struct record){.type = RECORD_RETAIN, .number = 1}));
    assert_false(passes(&p, (struct record){.type = RECORD_QUEUE, .number = 1, .qos = 2}));
    assert_false(passes(&p, (struct record){.type = RECORD_QUEUE, .number = 2, .qos = 1}));
    assert_false(passes(&p, (struct record){.type = RECORD_QUEUE, .qos = 1}));
    assert_false(passes(&p, (struct record){.type = RECORD_CLIENT, .text = STR("c")}));
    assert_false(passes(&p, (struct record){.type = RECORD_SUBSCRIBE, .text = STR("a")}));
    assert_false(passes(&p, (struct record){.type = RECORD_IN_ADD, .id = 1}));
    persist_clear(&p);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(without_persistence_nothing_is_recorded),
        UNIT_TEST(while_replaying_nothing_is_recorded),
        UNIT_TEST(a_message_is_recorded_once),
        UNIT_TEST(records_know_their_positions),
        UNIT_TEST(a_reservation_alone_makes_no_frame),
        UNIT_TEST(buffers_are_used_again),
        UNIT_TEST(a_new_turn_begins_with_an_empty_frame),
        UNIT_TEST(a_large_frame_gives_its_memory_back),
        UNIT_TEST(turns_without_records_are_durable_with_their_predecessor),
        UNIT_TEST(what_was_promised_stays_free),
        UNIT_TEST(failing_memory_changes_nothing),
        UNIT_TEST(every_allocation_of_a_reservation_may_fail),
        UNIT_TEST(what_outlives_its_messages_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
