/*
 * Members of one place: against an array of flags, order included; large ones; failing memory.
 */
#include "core/members.h"

#include "base/rng.h"
#include "unit.h"

#define MANY 100000

/* Nobody looks behind these addresses. */
static struct session *session(uint32_t i)
{
    return (struct session *)(uintptr_t)(((uint64_t)i + 1) * (MEMBERS_FLAGS + 1));
}

static uintptr_t word(uint32_t i, unsigned flags)
{
    return (uintptr_t)session(i) | flags;
}

static void put(struct members *m, uint32_t i, unsigned flags, bool new)
{
    bool is_new;

    assert_ok(members_put(m, word(i, flags), &is_new));
    assert_int_equal(is_new, new);
}

static void order_is_that_of_coming_and_the_last_fills_gaps(void **state)
{
    struct members m = {0};

    (void)state;
    for (uint32_t i = 0; i < 40; i++)
        put(&m, i, i % 3, true);
    put(&m, 7, 2, false);
    members_remove(&m, session(5));
    members_remove(&m, session(5));
    members_remove(&m, session(38));
    assert_int_equal(m.n, 38);
    for (uint32_t i = 0; i < m.n; i++)
        assert_true(m.v[i] == (i == 5 ? word(39, 0) : i == 7 ? word(7, 2) : word(i, i % 3)));
    members_clear(&m);
}

/* Around the size from which on there is an index, and far above it. */
static void random_use_is_as_with_flags(void **state)
{
    static unsigned flags[500]; /* 0: not there; else 1 more than what its word carries */
    struct rng rng;

    (void)state;
    rng_seed(&rng, 11);
    for (unsigned round = 0; round < 60; round++) {
        uint32_t all = round % 3 == 0 ? 12 : round % 3 == 1 ? 40 : (uint32_t)ARRAY_SIZE(flags);
        struct members m = {0};
        uint32_t there = 0;
        for (unsigned step = 0; step < 3000; step++) {
            uint32_t i = rng_below(&rng, all);
            if (rng_below(&rng, 1000) < (step / 500 % 2 ? 300 : 700)) {
                unsigned with = rng_below(&rng, 3);
                put(&m, i, with, flags[i] == 0);
                there += flags[i] == 0;
                flags[i] = with + 1;
            } else {
                members_remove(&m, session(i));
                there -= flags[i] != 0;
                flags[i] = 0;
            }
            assert_int_equal(m.n, there);
            i = rng_below(&rng, all);
            assert_true(members_find(&m, session(i)) == (flags[i] ? word(i, flags[i] - 1) : 0));
        }
        for (uint32_t i = 0; i < all; i++) {
            assert_true(members_find(&m, session(i)) == (flags[i] ? word(i, flags[i] - 1) : 0));
            members_remove(&m, session(i));
            flags[i] = 0;
        }
        assert_int_equal(m.n, 0);
        members_clear(&m);
    }
}

static void a_hundred_thousand_come_and_go(void **state)
{
    struct members m = {0};

    (void)state;
    for (uint32_t i = 0; i < MANY; i++)
        put(&m, i, i % 3, true);
    for (uint32_t i = 0; i < MANY; i++)
        assert_true(m.v[i] == word(i, i % 3));
    for (uint32_t i = 0; i < MANY - 3; i++)
        members_remove(&m, session((uint32_t)((uint64_t)i * 7919 % MANY)));
    assert_int_equal(m.n, 3);
    assert_null(m.index);
    assert_true(m.cap < 100);
    members_clear(&m);
}

static void failing_memory_changes_nothing(void **state)
{
    struct members m = {0};
    unsigned failures = 0;

    (void)state;
    unit_needs_tracking();
    for (uint32_t i = 0; i < 200; i++) {
        for (unsigned n = 0;; n++) {
            bool is_new;
            mem_fail_after(n, 1);
            enum err e = members_put(&m, word(i, 1), &is_new);
            mem_fail_never();
            if (e == ERR_OK)
                break;
            assert_err(e, ERR_NOMEM);
            failures++;
            assert_int_equal(m.n, i);
            assert_true(members_find(&m, session(i)) == 0);
            for (uint32_t k = 0; k < i; k++)
                assert_true(members_find(&m, session(k)) == word(k, 1));
        }
    }
    assert_true(failures > 10);
    mem_fail_after(0, 1); /* leaving needs none */
    for (uint32_t i = 0; i < 200; i++)
        members_remove(&m, session(i));
    mem_fail_never();
    assert_int_equal(m.n, 0);
    members_clear(&m);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(order_is_that_of_coming_and_the_last_fills_gaps),
        UNIT_TEST(random_use_is_as_with_flags),
        UNIT_TEST(a_hundred_thousand_come_and_go),
        UNIT_TEST(failing_memory_changes_nothing),
    };

    return cmocka_run_group_tests_name("members", tests, NULL, NULL);
}
