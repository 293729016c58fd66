/*
 * Log lines: who gets them, and how long they may be.
 */
#include "base/log.h"

#include "unit.h"

#include <stdio.h>

struct heard {
    unsigned lines;
    enum log_level level;
    char text[LOG_LINE_MAX + 1];
    size_t n;
};

static void hear(void *ctx, enum log_level level, struct str line, const struct log_about *about)
{
    (void)about;
    struct heard *h = ctx;

    assert_true(line.n <= LOG_LINE_MAX);
    h->lines++;
    h->level = level;
    h->n = line.n;
    memcpy(h->text, line.p, line.n);
    h->text[line.n] = '\0';
}

static int evaluated;

static int evaluate(void)
{
    return ++evaluated;
}

static void lines_are_formatted(void **state)
{
    struct heard h = {0};
    struct log log = {LOG_LEVEL_DEFAULT, hear, &h};

    (void)state;
    log_notice(&log, "Client %s has %d.", "x", 3);
    assert_string_equal(h.text, "Client x has 3.");
    assert_int_equal(h.level, LOG_LEVEL_NOTICE);
    log_error(&log, "%s", "");
    assert_int_equal(h.n, 0);
    assert_int_equal(h.level, LOG_LEVEL_ERROR);
    log_info(&log, "i");
    assert_int_equal(h.level, LOG_LEVEL_INFO);
    log_warning(&log, "w");
    assert_int_equal(h.level, LOG_LEVEL_WARNING);
    assert_int_equal(h.lines, 4);
}

static void nobody_listens_nothing_is_done(void **state)
{
    struct heard h = {0};
    struct log log = {LOG_LEVEL_DEFAULT, hear, &h};
    struct log deaf = {LOG_LEVEL_ALL, NULL, NULL};
    struct log *none = NULL;

    (void)state;
    evaluated = 0;
    log_debug(&log, "%d", evaluate());
    log_error(&deaf, "%d", evaluate());
    log_error(none, "%d", evaluate());
    log_line(&log, LOG_LEVEL_DEBUG, "called directly");
    log_line(NULL, LOG_LEVEL_ERROR, "called directly");
    assert_int_equal(evaluated, 0);
    assert_int_equal(h.lines, 0);
    log.mask = LOG_LEVEL_ALL;
    log_debug(&log, "%d", evaluate());
    assert_int_equal(evaluated, 1);
    assert_int_equal(h.lines, 1);
}

static void long_lines_are_cut(void **state)
{
    struct heard h = {0};
    struct log log = {LOG_LEVEL_ALL, hear, &h};

    (void)state;
    log_info(&log, "%0*d", LOG_LINE_MAX, 1);
    assert_int_equal(h.n, LOG_LINE_MAX);
    assert_int_equal(h.text[LOG_LINE_MAX - 1], '1');
    log_info(&log, "%0*d", LOG_LINE_MAX + 1, 1);
    assert_int_equal(h.n, LOG_LINE_MAX);
    assert_string_equal(h.text + LOG_LINE_MAX - 4, "0...");
    log_info(&log, "%0*d", 100000, 1);
    assert_int_equal(h.n, LOG_LINE_MAX);
}

static void lines_are_cut_between_characters(void **state)
{
    struct heard h = {0};
    struct log log = {LOG_LEVEL_ALL, hear, &h};

    (void)state;
    log_info(&log, "%0*d\xe2\x82\xac%s", LOG_LINE_MAX - 4, 0, "more");
    assert_int_equal(h.n, LOG_LINE_MAX - 1);
    assert_string_equal(h.text + h.n - 4, "0...");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(lines_are_formatted),
        UNIT_TEST(nobody_listens_nothing_is_done),
        UNIT_TEST(long_lines_are_cut),
        UNIT_TEST(lines_are_cut_between_characters),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
