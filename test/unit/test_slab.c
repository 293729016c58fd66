/*
 * Slabs: blocks do not overlap, are aligned, and pages go back; of all sizes together, too.
 */
#include "base/slab.h"
#include "base/slabs.h"

#include "base/rng.h"
#include "unit.h"

#include <string.h>

static void blocks_are_apart_and_aligned(void **state)
{
    static const size_t sizes[] = {1, 8, 12, 16, 24, 40, 64, 96, 128, 1000, 1024, 2048};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        size_t size = sizes[i];
        size_t align = size % 64 == 0 ? 64 : size % 16 == 0 ? 16 : 8;
        struct slab s;
        uint8_t *blocks[500];

        slab_init(&s, size);
        for (size_t k = 0; k < ARRAY_SIZE(blocks); k++) {
            blocks[k] = slab_alloc(&s);
            assert_non_null(blocks[k]);
            assert_int_equal((uintptr_t)blocks[k] % align, 0);
            memset(blocks[k], (int)k, size);
        }
        assert_int_equal(s.used, ARRAY_SIZE(blocks));
        for (size_t k = 0; k < ARRAY_SIZE(blocks); k++) {
            for (size_t at = 0; at < size; at++)
                assert_int_equal(blocks[k][at], (uint8_t)k);
            slab_free(&s, blocks[k]);
        }
        slab_clear(&s);
    }
}

static void empty_pages_go_back_but_a_few(void **state)
{
    static void *blocks[10000];
    struct slab s;
    size_t used = mem_used();

    (void)state;
    unit_needs_tracking();
    slab_init(&s, 64);
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
        blocks[i] = slab_alloc(&s);
    assert_in_range(mem_used() - used, 640000, 660000);
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
        slab_free(&s, blocks[i]);
    assert_int_equal(s.used, 0);
    assert_true(s.empty_count > 0);
    assert_true(mem_used() - used <= (size_t)3 * 16384);
    slab_trim(&s);
    assert_int_equal(mem_used(), used);
    blocks[0] = slab_alloc(&s);
    assert_non_null(blocks[0]);
    slab_free(&s, blocks[0]);
    slab_clear(&s);
    assert_int_equal(mem_used(), used);
}

static void coming_and_going_asks_for_nothing(void **state)
{
    struct slab s;
    uint64_t calls;
    void *block;

    (void)state;
    slab_init(&s, 2048);
    block = slab_alloc(&s);
    slab_free(&s, block);
    calls = mem_calls();
    for (int i = 0; i < 100; i++) {
        block = slab_alloc(&s);
        slab_free(&s, block);
    }
    assert_int_equal(mem_calls(), calls);
    slab_clear(&s);
}

static void gaps_in_full_pages_are_used_first(void **state)
{
    struct slab s;
    void *blocks[100];
    uint64_t calls;

    (void)state;
    slab_init(&s, 2048);
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
        blocks[i] = slab_alloc(&s);
    calls = mem_calls();
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i += 3)
        slab_free(&s, blocks[i]);
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i += 3)
        blocks[i] = slab_alloc(&s);
    assert_int_equal(mem_calls(), calls);
    for (size_t i = 0; i < ARRAY_SIZE(blocks); i++)
        slab_free(&s, blocks[i]);
    slab_clear(&s);
}

static void without_memory_there_is_no_block(void **state)
{
    struct slab s;
    void *block;

    (void)state;
    unit_needs_tracking();
    slab_init(&s, 32);
    mem_fail_after(0, 0);
    assert_null(slab_alloc(&s));
    assert_int_equal(s.used, 0);
    block = slab_alloc(&s);
    assert_non_null(block);
    slab_free(&s, block);
    slab_clear(&s);
}

/* Random use; each block holds its own number all along. */
static void random_use_keeps_blocks_apart(void **state)
{
    enum { MANY = 3000 };
    static uint32_t *blocks[MANY];
    struct rng rng;
    struct slab s;
    size_t used = 0;

    (void)state;
    rng_seed(&rng, 3);
    slab_init(&s, 40);
    for (int round = 0; round < 300000; round++) {
        /* The share of blocks in use goes up and down, so that pages come and go. */
        uint32_t i = rng_below(&rng, MANY);
        bool want = rng_below(&rng, 100) < (round / 20000 % 2 ? 10u : 90u);

        if (blocks[i]) {
            assert_int_equal(blocks[i][0], i);
            assert_int_equal(blocks[i][9], ~i);
        }
        if (want && !blocks[i]) {
            blocks[i] = slab_alloc(&s);
            assert_non_null(blocks[i]);
            blocks[i][0] = i;
            blocks[i][9] = ~i;
            used++;
        } else if (!want && blocks[i]) {
            slab_free(&s, blocks[i]);
            blocks[i] = NULL;
            used--;
        }
        assert_int_equal(s.used, used);
    }
    for (uint32_t i = 0; i < MANY; i++) {
        if (blocks[i])
            slab_free(&s, blocks[i]);
    }
    slab_clear(&s);
}

/* Each block is as large as was asked for, and goes back where it came from. */
static void blocks_of_any_size_know_their_slab(void **state)
{
    enum { EACH = 30 };
    static uint8_t *blocks[SLABS_MOST + 1][EACH];
    struct slabs s;
    size_t used = mem_used();

    (void)state;
    slabs_init(&s);
    for (size_t size = 1; size <= SLABS_MOST; size++) {
        for (size_t i = 0; i < EACH; i++) {
            blocks[size][i] = slabs_alloc(&s, size);
            assert_non_null(blocks[size][i]);
            assert_int_equal((uintptr_t)blocks[size][i] % 8, 0);
            memset(blocks[size][i], (int)(size + i), size);
        }
    }
    for (size_t size = 1; size <= SLABS_MOST; size++) {
        for (size_t i = 0; i < EACH; i++) {
            assert_int_equal(blocks[size][i][0], (uint8_t)(size + i));
            assert_int_equal(blocks[size][i][size - 1], (uint8_t)(size + i));
            slab_return(blocks[size][i]);
        }
    }
    slabs_clear(&s); /* asserts that each has all its blocks back */
    assert_int_equal(mem_used(), used);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(blocks_are_apart_and_aligned),       UNIT_TEST(empty_pages_go_back_but_a_few),
        UNIT_TEST(coming_and_going_asks_for_nothing),  UNIT_TEST(gaps_in_full_pages_are_used_first),
        UNIT_TEST(without_memory_there_is_no_block),   UNIT_TEST(random_use_keeps_blocks_apart),
        UNIT_TEST(blocks_of_any_size_know_their_slab),
    };

    return cmocka_run_group_tests_name("slab", tests, NULL, NULL);
}
