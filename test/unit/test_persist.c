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

static void write_done(struct persist *p, uint64_t seq)
{
    persist_write(p, &(struct record){.type = RECORD_DONE, .session = 1, .seq = seq});
}

static size_t count_records(const struct persist *p)
{
    struct str in = buf_str(&p->frame);
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
    struct str records;

    (void)persist_end_turn(p, &turn, &records);
    persist_forget(p);
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
    persist_message(&p, m);
    persist_fulfil(&p);
    assert_int_equal(p.frame.len, 0);
    assert_int_equal(p.frame.cap, 0);
    assert_int_equal(m->number, 0);
    assert_int_equal(p.recorded, 0);
    message_unref(m);
    persist_clear(&p);
}

static void while_replaying_nothing_is_recorded(void **state)
{
    struct persist p;

    (void)state;
    persist_init(&p, true);
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
    persist_init(&p, true);
    assert_ok(persist_reserve(&p, 3, 100));
    persist_message(&p, a);
    persist_message(&p, a);
    persist_message(&p, b);
    assert_int_equal(a->number, 1);
    assert_int_equal(b->number, 2);
    assert_int_equal(count_records(&p), 2);
    struct str in = buf_str(&p.frame);
    assert_ok(record_read(&in, &r));
    assert_int_equal(r.type, RECORD_MESSAGE);
    assert_int_equal(r.number, 1);
    assert_int_equal(r.qos, QOS_1);
    assert_true(str_eq_c(r.text, "topic"));
    assert_true(str_eq_c(r.payload, "first"));
    message_unref(a);
    message_unref(b);
    persist_clear(&p);
}

static void a_new_turn_begins_with_an_empty_frame(void **state)
{
    struct persist p;
    uint64_t turn;
    struct str records;

    (void)state;
    persist_init(&p, true);
    assert_ok(persist_reserve(&p, 1, 0));
    write_done(&p, 1);
    assert_true(persist_end_turn(&p, &turn, &records));
    assert_int_equal(turn, 1);
    assert_int_equal(p.turn, 2);
    assert_int_equal(p.frame.len, 0);
    /* what comes behind the taken frame does not touch it, and is of the next */
    struct record r;
    size_t n = records.n;
    assert_ok(persist_reserve(&p, 1, 0));
    write_done(&p, 2);
    assert_ok(record_read(&records, &r));
    assert_int_equal(r.seq, 1);
    assert_true(persist_end_turn(&p, &turn, &records));
    assert_int_equal(turn, 2);
    assert_int_equal(records.n, n);
    assert_ok(record_read(&records, &r));
    assert_int_equal(r.seq, 2);
    persist_clear(&p);
}

static void a_large_frame_gives_its_memory_back(void **state)
{
    struct persist p;

    (void)state;
    persist_init(&p, true);
    assert_ok(persist_reserve(&p, 1, 1024 * 1024));
    write_done(&p, 1);
    next_turn(&p);
    assert_int_equal(p.frame.cap, 0);
    assert_int_equal(p.taken.cap, 0);
    persist_clear(&p);
}

static void turns_without_records_are_durable_with_their_predecessor(void **state)
{
    struct persist p;

    (void)state;
    persist_init(&p, true);
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
    persist_init(&p, true);
    assert_ok(persist_promise(&p, 100, 1000));
    for (uint64_t i = 0; i < 1000; i++) {
        assert_ok(persist_reserve(&p, 1, 0));
        write_done(&p, i);
        uint64_t calls = mem_calls();
        assert_true(buf_room(&p.frame) >= 100 * RECORD_OVERHEAD + 1000);
        assert_int_equal(mem_calls(), calls);
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
    persist_init(&p, true);
    mem_fail_after(0, 1);
    assert_err(persist_reserve(&p, 1, 10), ERR_NOMEM);
    assert_err(persist_promise(&p, 1, 10), ERR_NOMEM);
    mem_fail_never();
    assert_int_equal(p.frame.len, 0);
    assert_int_equal(p.promised, 0);
    assert_int_equal(p.recorded, 0);
    persist_clear(&p);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(without_persistence_nothing_is_recorded),
        UNIT_TEST(while_replaying_nothing_is_recorded),
        UNIT_TEST(a_message_is_recorded_once),
        UNIT_TEST(a_new_turn_begins_with_an_empty_frame),
        UNIT_TEST(a_large_frame_gives_its_memory_back),
        UNIT_TEST(turns_without_records_are_durable_with_their_predecessor),
        UNIT_TEST(what_was_promised_stays_free),
        UNIT_TEST(failing_memory_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
