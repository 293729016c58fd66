/*
 * Counted bytes live as long as somebody holds them.
 */
#include "base/blob.h"

#include "unit.h"

#include <string.h>

struct thing {
    struct blob blob;
    char bytes[];
};

static void the_last_reference_frees(void **state)
{
    size_t used = mem_used();
    struct thing *t = (struct thing *)(void *)blob_new(sizeof(*t) + 100);

    (void)state;
    assert_non_null(t);
    assert_int_equal(t->blob.refs, 1);
    assert_int_equal(t->blob.size, sizeof(*t) + 100);
    memset(t->bytes, 'x', 100);
    assert_ptr_equal(blob_ref(&t->blob), &t->blob);
    blob_unref(&t->blob);
    assert_int_equal(t->bytes[99], 'x');
    assert_int_equal(t->blob.refs, 1);
    blob_unref(&t->blob);
    assert_int_equal(mem_used(), used);
    blob_unref(NULL);
}

struct keeper {
    struct blob_keeper keeper; /* first */
    struct blob *gone;
    unsigned calls;
};

static void note_gone(struct blob_keeper *keeper, struct blob *blob)
{
    struct keeper *k = CONTAINER_OF(keeper, struct keeper, keeper);

    assert_int_equal(blob->refs, 0);
    k->gone = blob;
    k->calls++;
}

static void a_keeper_hears_of_the_last_reference(void **state)
{
    struct keeper k = {.keeper = {.gone = note_gone}};
    size_t used = mem_used();
    struct thing *t = (struct thing *)(void *)blob_new(sizeof(*t) + 10);

    (void)state;
    assert_non_null(t);
    assert_null(t->blob.keeper);
    t->blob.keeper = &k.keeper;
    blob_ref(&t->blob);
    blob_unref(&t->blob);
    assert_int_equal(k.calls, 0);
    memset(t->bytes, 'x', 10);
    blob_unref(&t->blob);
    assert_int_equal(k.calls, 1);
    assert_ptr_equal(k.gone, &t->blob);
    assert_int_equal(t->bytes[9], 'x'); /* it is the keeper who frees it, when it likes */
    blob_free(&t->blob);
    assert_int_equal(mem_used(), used);
    assert_int_equal(k.calls, 1);
}

/* One that wants to keep it takes a new reference. */
static void a_keeper_may_keep_it(void **state)
{
    struct keeper k = {.keeper = {.gone = note_gone}};
    struct blob *b = blob_new(sizeof(*b));

    (void)state;
    assert_non_null(b);
    b->keeper = &k.keeper;
    blob_unref(b);
    blob_ref(b);
    b->keeper = NULL;
    blob_unref(b);
    assert_int_equal(k.calls, 1);
}

static void without_memory_there_is_none(void **state)
{
    (void)state;
    unit_needs_tracking();
    mem_fail_after(0, 0);
    assert_null(blob_new(100));
}

static void sizes_beyond_2_gib_are_refused(void **state)
{
    (void)state;
    assert_null(blob_new((size_t)INT32_MAX + 1));
    assert_null(blob_new((size_t)UINT32_MAX + 1));
}

static void small_ones_come_from_a_pool_and_go_back(void **state)
{
    static const size_t sizes[] = {sizeof(struct blob), 100, SLABS_MOST, SLABS_MOST + 1, 100000};
    struct blob *blobs[ARRAY_SIZE(sizes)];
    struct slabs pool;
    size_t used = mem_used();

    (void)state;
    slabs_init(&pool);
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        blobs[i] = blob_new_in(&pool, sizes[i]);
        assert_non_null(blobs[i]);
        assert_int_equal(blobs[i]->size, sizes[i]);
        assert_int_equal(blobs[i]->pooled, sizes[i] <= SLABS_MOST);
    }
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
        blob_unref(blobs[i]);
    slabs_clear(&pool); /* asserts that it has all blocks back */
    assert_int_equal(mem_used(), used);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(the_last_reference_frees),
        UNIT_TEST(a_keeper_hears_of_the_last_reference),
        UNIT_TEST(a_keeper_may_keep_it),
        UNIT_TEST(without_memory_there_is_none),
        UNIT_TEST(sizes_beyond_2_gib_are_refused),
        UNIT_TEST(small_ones_come_from_a_pool_and_go_back),
    };

    return cmocka_run_group_tests_name("blob", tests, NULL, NULL);
}
