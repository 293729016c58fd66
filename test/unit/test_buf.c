/*
 * The byte buffer: order of bytes, growth, and what a failed allocation leaves.
 */
#include "base/buf.h"

#include "base/rng.h"
#include "unit.h"

static void an_empty_buffer_owns_nothing(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_int_equal(buf_str(&b).n, 0);
    assert_int_equal(buf_room(&b), 0);
    assert_null(buf_end(&b));
    assert_ok(buf_reserve(&b, 0));
    assert_ok(buf_add(&b, NULL, 0));
    buf_drop(&b, 0);
    assert_null(b.data);
    buf_clear(&b);
}

static void bytes_come_out_in_order(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_ok(buf_add(&b, "hello ", 6));
    assert_ok(buf_add(&b, "world", 5));
    assert_true(str_eq_c(buf_str(&b), "hello world"));
    buf_drop(&b, 6);
    assert_true(str_eq_c(buf_str(&b), "world"));
    assert_ok(buf_printf(&b, "%s%d", "!", 12));
    assert_true(str_eq_c(buf_str(&b), "world!12"));
    buf_drop(&b, 8);
    assert_int_equal(b.head, 0);
    buf_clear(&b);
    assert_null(b.data);
}

static void reserved_room_needs_no_allocation(void **state)
{
    struct buf b = {0};
    uint64_t calls;

    (void)state;
    assert_ok(buf_reserve(&b, 1000));
    calls = mem_calls();
    assert_true(buf_room(&b) >= 1000);
    for (int i = 0; i < 1000; i++)
        assert_ok(buf_add(&b, "x", 1));
    assert_int_equal(mem_calls(), calls);
    buf_clear(&b);
}

static void growth_is_doubling_or_exact(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_ok(buf_reserve_exact(&b, 100));
    assert_int_equal(b.cap, 100);
    buf_added(&b, 100);
    assert_ok(buf_reserve(&b, 1));
    assert_int_equal(b.cap, 200);
    buf_added(&b, 100);
    assert_ok(buf_reserve_exact(&b, 1));
    assert_int_equal(b.cap, 201);
    assert_ok(buf_reserve(&b, 1000));
    assert_int_equal(b.cap, 1200);
    buf_clear(&b);
}

static void dropped_bytes_make_room(void **state)
{
    struct buf b = {0};
    uint64_t calls;

    (void)state;
    assert_ok(buf_reserve_exact(&b, 10));
    assert_ok(buf_add(&b, "0123456789", 10));
    calls = mem_calls();
    buf_drop(&b, 6);
    assert_ok(buf_add(&b, "abcdef", 6));
    assert_true(str_eq_c(buf_str(&b), "6789abcdef"));
    buf_drop(&b, 1);
    assert_ok(buf_reserve_exact(&b, 1));
    assert_ok(buf_add(&b, "g", 1));
    assert_true(str_eq_c(buf_str(&b), "789abcdefg"));
    assert_int_equal(mem_calls(), calls);
    assert_int_equal(b.cap, 10);
    buf_clear(&b);
}

static void failure_keeps_the_content(void **state)
{
    struct buf b = {0};

    (void)state;
    unit_needs_tracking();
    assert_ok(buf_reserve_exact(&b, 5));
    assert_ok(buf_add(&b, "hello", 5));
    mem_fail_after(0, 1);
    assert_err(buf_add(&b, "x", 1), ERR_NOMEM);
    assert_err(buf_printf(&b, "%d", 1), ERR_NOMEM);
    assert_err(buf_reserve_exact(&b, 1), ERR_NOMEM);
    assert_true(str_eq_c(buf_str(&b), "hello"));
    /* Without memory there still is the room that dropping made. */
    buf_drop(&b, 1);
    assert_ok(buf_add(&b, "x", 1));
    assert_true(str_eq_c(buf_str(&b), "ellox"));
    buf_clear(&b);
}

static void sizes_beyond_4_gib_are_refused(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_ok(buf_add(&b, "hello", 5));
    assert_err(buf_reserve(&b, UINT32_MAX), ERR_NOMEM);
    assert_err(buf_reserve(&b, SIZE_MAX), ERR_NOMEM);
    assert_err(buf_reserve_exact(&b, UINT32_MAX - 4), ERR_NOMEM);
    assert_err(buf_reserve_exact(&b, SIZE_MAX - 4), ERR_NOMEM);
    assert_true(str_eq_c(buf_str(&b), "hello"));
    buf_clear(&b);
}

/* One byte in, one byte out, of a full buffer: may not move everything each time. */
static void a_sliding_window_is_not_quadratic(void **state)
{
    struct buf b = {0};
    const uint32_t n = 1 << 20;

    (void)state;
    assert_ok(buf_reserve_exact(&b, n));
    memset(b.data, 'x', n);
    buf_added(&b, n);
    for (uint32_t i = 0; i < n; i++) {
        buf_drop(&b, 1);
        assert_ok(buf_add(&b, "y", 1));
    }
    assert_true(b.cap <= 2 * n);
    assert_int_equal(b.len, n);
    assert_int_equal(buf_begin(&b)[0], 'y');
    buf_clear(&b);
}

static void random_use_matches_a_counter(void **state)
{
    struct buf b = {0};
    struct rng rng;
    uint8_t in = 0;
    uint8_t out = 0;
    uint8_t bytes[300];

    (void)state;
    rng_seed(&rng, 7);
    for (int round = 0; round < 20000; round++) {
        uint32_t add = rng_below(&rng, sizeof(bytes));
        uint32_t drop = rng_below(&rng, sizeof(bytes));

        for (uint32_t i = 0; i < add; i++)
            bytes[i] = in++;
        if (rng_below(&rng, 4) == 0)
            assert_ok(buf_reserve_exact(&b, add));
        assert_ok(buf_add(&b, bytes, add));
        if (drop > b.len)
            drop = b.len;
        for (uint32_t i = 0; i < drop; i++)
            assert_int_equal(buf_begin(&b)[i], out++);
        buf_drop(&b, drop);
    }
    buf_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(an_empty_buffer_owns_nothing),      UNIT_TEST(bytes_come_out_in_order),
        UNIT_TEST(reserved_room_needs_no_allocation), UNIT_TEST(growth_is_doubling_or_exact),
        UNIT_TEST(dropped_bytes_make_room),           UNIT_TEST(failure_keeps_the_content),
        UNIT_TEST(sizes_beyond_4_gib_are_refused),    UNIT_TEST(a_sliding_window_is_not_quadratic),
        UNIT_TEST(random_use_matches_a_counter),
    };

    return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
