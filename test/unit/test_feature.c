/*
 * Features: each has its switch, and the build says the same as its parts do.
 */
#include "base/feature.h"

#include "unit.h"

#include <string.h>

static void what_needs_nothing_is_built(void **state)
{
    (void)state;
    assert_true(feature_built(FEATURE_NONE));
    assert_null(feature_switch(FEATURE_NONE));
}

static void every_feature_has_a_switch_of_its_own(void **state)
{
    (void)state;
    for (int f = FEATURE_NONE + 1; f < FEATURE_COUNT; f++) {
        assert_non_null(feature_switch((enum feature)f));
        assert_int_equal(strncmp(feature_switch((enum feature)f), "WITH_", 5), 0);
        for (int other = FEATURE_NONE + 1; other < f; other++)
            assert_string_not_equal(feature_switch((enum feature)f),
                                    feature_switch((enum feature)other));
    }
    assert_string_equal(feature_switch(FEATURE_TLS), "WITH_TLS");
    assert_string_equal(feature_switch(FEATURE_SYSTEMD), "WITH_SYSTEMD");
}

static void what_does_not_exist_is_not_built(void **state)
{
    (void)state;
    assert_false(feature_built(FEATURE_COUNT));
    assert_null(feature_switch(FEATURE_COUNT));
}

static void memory_tracking_is_what_is_linked(void **state)
{
    size_t used = mem_used();
    void *p = mem_alloc(100);

    (void)state;
    assert_non_null(p);
    assert_int_equal(feature_built(FEATURE_MEMORY_TRACKING), mem_used() == used + 100);
    mem_free(p, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(what_needs_nothing_is_built),
        UNIT_TEST(every_feature_has_a_switch_of_its_own),
        UNIT_TEST(what_does_not_exist_is_not_built),
        UNIT_TEST(memory_tracking_is_what_is_linked),
    };

    return cmocka_run_group_tests_name("feature", tests, NULL, NULL);
}
