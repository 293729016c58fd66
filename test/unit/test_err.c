/*
 * Every error has a word of its own.
 */
#include "base/err.h"

#include "unit.h"

#include <string.h>

static void every_error_has_a_word_of_its_own(void **state)
{
    (void)state;
    for (int e = 0; e < ERR_COUNT; e++) {
        assert_non_null(err_word((enum err)e));
        assert_true(strlen(err_word((enum err)e)) > 0);
        for (int other = 0; other < e; other++)
            assert_string_not_equal(err_word((enum err)e), err_word((enum err)other));
    }
    assert_string_equal(err_word(ERR_NOMEM), "out of memory");
}

static void numbers_beyond_have_one_too(void **state)
{
    (void)state;
    assert_string_equal(err_word(ERR_COUNT), "unknown error");
    assert_string_equal(err_word((enum err)1000), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(every_error_has_a_word_of_its_own),
        UNIT_TEST(numbers_beyond_have_one_too),
    };

    return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
