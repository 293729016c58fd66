/*
 * Allocation: it works, it is counted, it can be limited and made to fail.
 */
#include "base/mem.h"

#include "unit.h"

#include <pthread.h>
#include <string.h>

static void blocks_can_be_used(void **state)
{
    uint8_t *p = mem_alloc(10);
    uint8_t *z = mem_zalloc(1000);
    uint8_t *a = mem_alloc_aligned(1000, 4096);
    void *nothing = mem_alloc(0);

    (void)state;
    assert_non_null(p);
    assert_non_null(z);
    assert_non_null(a);
    assert_non_null(nothing);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(z[i], 0);
    memset(p, 1, 10);
    memset(a, 2, 1000);
    assert_int_equal((uintptr_t)a % 4096, 0);
    mem_free(p, 10);
    mem_free(z, 1000);
    mem_free(a, 1000);
    mem_free(nothing, 0);
    mem_free(NULL, 5);
}

static void a_block_keeps_its_bytes_when_resized(void **state)
{
    char *p = mem_realloc(NULL, 0, 6);

    (void)state;
    assert_non_null(p);
    memcpy(p, "hello", 6);
    p = mem_realloc(p, 6, 100000);
    assert_non_null(p);
    assert_string_equal(p, "hello");
    p = mem_realloc(p, 100000, 6);
    assert_non_null(p);
    assert_string_equal(p, "hello");
    mem_free(p, 6);
}

static void bytes_and_calls_are_counted(void **state)
{
    size_t used = mem_used();
    uint64_t calls = mem_calls();
    void *p;

    (void)state;
    unit_needs_tracking();
    p = mem_alloc(100);
    assert_int_equal(mem_used() - used, 100);
    p = mem_realloc(p, 100, 300);
    assert_int_equal(mem_used() - used, 300);
    p = mem_realloc(p, 300, 200);
    assert_int_equal(mem_used() - used, 200);
    assert_int_equal(mem_calls() - calls, 3);
    assert_true(mem_peak() >= used + 300);
    mem_free(p, 200);
    assert_int_equal(mem_used(), used);
    assert_int_equal(mem_calls() - calls, 3);
}

static void the_limit_refuses_what_goes_beyond(void **state)
{
    void *p;
    void *q;

    (void)state;
    unit_needs_tracking();
    p = mem_alloc(100);
    mem_set_limit(mem_used() + 50);
    assert_null(mem_alloc(51));
    assert_null(mem_zalloc(51));
    assert_null(mem_alloc_aligned(51, 64));
    assert_null(mem_realloc(p, 100, 151));
    q = mem_alloc(50);
    assert_non_null(q);
    assert_null(mem_alloc(1));
    /* What needs no more is never refused, and what was freed can be had again. */
    mem_set_limit(1);
    p = mem_realloc(p, 100, 40);
    assert_non_null(p);
    mem_set_limit(mem_used() + 10);
    mem_free(p, 40);
    p = mem_alloc(50);
    assert_non_null(p);
    mem_set_limit(0);
    mem_free(p, 50);
    mem_free(q, 50);
}

static void absurd_sizes_are_refused(void **state)
{
    void *volatile p;

    (void)state;
    unit_needs_tracking();
    p = mem_alloc(SIZE_MAX);
    assert_null(p);
    p = mem_realloc(NULL, 0, SIZE_MAX - 1);
    assert_null(p);
}

static void a_chosen_allocation_fails(void **state)
{
    void *p[3];

    (void)state;
    unit_needs_tracking();
    mem_fail_after(1, 0);
    p[0] = mem_alloc(1);
    p[1] = mem_zalloc(1);
    p[2] = mem_alloc(1);
    assert_non_null(p[0]);
    assert_null(p[1]);
    assert_non_null(p[2]);
    assert_int_equal(mem_failed(), 1);
    mem_free(p[0], 1);
    mem_free(p[2], 1);
}

static void all_allocations_fail_from_a_chosen_one(void **state)
{
    char *p;

    (void)state;
    unit_needs_tracking();
    mem_fail_after(1, 1);
    p = mem_alloc(1);
    assert_non_null(p);
    p[0] = 'x';
    assert_null(mem_alloc(1));
    assert_null(mem_realloc(p, 1, 2));
    assert_int_equal(p[0], 'x');
    assert_int_equal(mem_failed(), 2);
    mem_fail_never();
    p = mem_realloc(p, 1, 2);
    assert_non_null(p);
    assert_int_equal(mem_failed(), 2);
    mem_free(p, 2);
}

static void *count_in_thread(void *arg)
{
    void *p;

    (void)arg;
    if (mem_used() != 0)
        return NULL;
    p = mem_alloc(1000);
    return mem_used() == 1000 ? p : NULL;
}

static void each_thread_counts_for_itself(void **state)
{
    size_t used = mem_used();
    pthread_t thread;
    void *p = NULL;

    (void)state;
    unit_needs_tracking();
    mem_set_limit(used + 1);
    assert_int_equal(pthread_create(&thread, NULL, count_in_thread, NULL), 0);
    assert_int_equal(pthread_join(thread, &p), 0);
    assert_non_null(p);
    assert_int_equal(mem_used(), used);
    /* Freed by a thread that did not allocate it: the count never shows less than nothing. */
    mem_free(p, 1000);
    assert_true(mem_used() <= used);
    p = mem_alloc(1);
    assert_non_null(p);
    mem_free(p, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(blocks_can_be_used),
        UNIT_TEST(a_block_keeps_its_bytes_when_resized),
        UNIT_TEST(bytes_and_calls_are_counted),
        UNIT_TEST(the_limit_refuses_what_goes_beyond),
        UNIT_TEST(absurd_sizes_are_refused),
        UNIT_TEST(a_chosen_allocation_fails),
        UNIT_TEST(all_allocations_fail_from_a_chosen_one),
        cmocka_unit_test_setup(each_thread_counts_for_itself, unit_begin),
    };

    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
