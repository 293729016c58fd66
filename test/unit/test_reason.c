/*
 * Every reason has one wording of its own.
 */
#include "mqtt/reason.h"

#include "conf/options.h"
#include "unit.h"

#include <string.h>

static void every_reason_has_a_text(void **state)
{
    (void)state;
    for (int r = 0; r < REASON_COUNT; r++) {
        const char *text = reason_text((enum reason)r);
        assert_non_null(text);
        assert_true(strlen(text) > 3);
        assert_string_not_equal(text, reason_text(REASON_COUNT));
    }
}

static void no_text_stands_twice(void **state)
{
    (void)state;
    for (int a = 0; a < REASON_COUNT; a++) {
        for (int b = 0; b < a; b++)
            assert_string_not_equal(reason_text((enum reason)a), reason_text((enum reason)b));
    }
}

/* They end a log line: no full stop of their own, no newline. */
static void texts_are_phrases(void **state)
{
    (void)state;
    for (int r = 0; r < REASON_COUNT; r++) {
        const char *text = reason_text((enum reason)r);
        assert_int_not_equal(text[strlen(text) - 1], '.');
        assert_null(strchr(text, '\n'));
    }
}

static void known_wordings_stay(void **state)
{
    (void)state;
    assert_string_equal(reason_text(REASON_TAKEN_OVER), "session taken over");
    assert_string_equal(reason_text(REASON_KEEPALIVE), "exceeded timeout");
    assert_string_equal(reason_text(REASON_NOT_AUTHORISED), "not authorised");
}

/* A rule is the name of an option, and stands in no text: lines have it once. */
static void rules_are_options(void **state)
{
    unsigned rules = 0;

    (void)state;
    for (int r = 0; r < REASON_COUNT; r++) {
        const char *rule = reason_rule((enum reason)r);
        if (!rule)
            continue;
        rules++;
        assert_non_null(option_find(str_c(rule)));
        assert_null(strstr(reason_text((enum reason)r), rule));
    }
    assert_true(rules > 10);
    assert_null(reason_rule(REASON_COUNT));
    assert_null(reason_rule((enum reason)10000));
}

static void what_is_no_reason_has_a_text_too(void **state)
{
    (void)state;
    assert_string_equal(reason_text(REASON_COUNT), "unknown reason");
    assert_string_equal(reason_text((enum reason)10000), "unknown reason");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(every_reason_has_a_text), UNIT_TEST(no_text_stands_twice),
        UNIT_TEST(texts_are_phrases),       UNIT_TEST(known_wordings_stay),
        UNIT_TEST(rules_are_options),       UNIT_TEST(what_is_no_reason_has_a_text_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
