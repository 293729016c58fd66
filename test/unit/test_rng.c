/*
 * The generator: the same seed gives the same numbers, and the published ones.
 */
#include "base/rng.h"

#include "unit.h"

#include <string.h>

/* The authors' reference code gives these for the state 1, 2, 3, 4. */
static void it_is_xoshiro256starstar(void **state)
{
    static const uint64_t expected[] = {11520u, 0u, 1509978240u, 1215971899390074240u,
                                        1216172134540287360u};
    struct rng r = {{1, 2, 3, 4}};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
        assert_true(rng_u64(&r) == expected[i]);
}

static void seeds_decide_everything(void **state)
{
    struct rng a;
    struct rng b;
    struct rng c;

    (void)state;
    rng_seed(&a, 5);
    rng_seed(&b, 5);
    rng_seed(&c, 6);
    assert_memory_equal(&a, &b, sizeof(a));
    assert_true(rng_u64(&a) != rng_u64(&c));
    assert_true(rng_u64(&a) != rng_u64(&b));
    rng_seed(&a, 0);
    assert_true((a.s[0] | a.s[1] | a.s[2] | a.s[3]) != 0);
}

static void numbers_below_are_below_and_even(void **state)
{
    uint32_t hits[10] = {0};
    struct rng r;

    (void)state;
    rng_seed(&r, 1);
    for (int i = 0; i < 100000; i++)
        hits[rng_below(&r, ARRAY_SIZE(hits))]++;
    for (size_t i = 0; i < ARRAY_SIZE(hits); i++)
        assert_in_range(hits[i], 9500, 10500);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(rng_below(&r, 1), 0);
        assert_true(rng_below(&r, UINT32_MAX) < UINT32_MAX);
    }
}

/* A plain remainder or product would give every third number twice as often as the others. */
static void large_ranges_are_even_too(void **state)
{
    uint32_t thirds = 0;
    struct rng r;

    (void)state;
    rng_seed(&r, 2);
    for (int i = 0; i < 30000; i++)
        thirds += rng_below(&r, UINT32_C(3) << 30) % 3 == 0;
    assert_in_range(thirds, 9500, 10500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(it_is_xoshiro256starstar),
        UNIT_TEST(seeds_decide_everything),
        UNIT_TEST(numbers_below_are_below_and_even),
        UNIT_TEST(large_ranges_are_even_too),
    };

    return cmocka_run_group_tests_name("rng", tests, NULL, NULL);
}
