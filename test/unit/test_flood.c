/*
 * Floods of like lines: what is said, what is counted, when the count is told.
 */
#include "base/flood.h"

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct flood *flood_new(void)
{
    struct flood *f = malloc(sizeof(*f));

    assert_non_null(f);
    flood_init(f);
    return f;
}

/* How many of n lines are written. */
static unsigned say(struct flood *f, uint64_t now_ms, const char *label, unsigned n)
{
    unsigned written = 0;

    while (n-- > 0)
        written += flood_admits(f, now_ms, str_c(label));
    return written;
}

static void expect_count(struct flood *f, uint64_t now_ms, const char *label, uint64_t more)
{
    struct str told;
    uint64_t n = 0;

    assert_true(flood_take(f, now_ms, &told, &n));
    assert_true(str_eq_c(told, label));
    assert_int_equal(n, more);
}

static void expect_none(struct flood *f, uint64_t now_ms)
{
    struct str told;
    uint64_t n;

    assert_false(flood_take(f, now_ms, &told, &n));
}

static void the_first_lines_are_written_and_the_others_counted(void **state)
{
    struct flood *f = flood_new();

    (void)state;
    assert_true(flood_deadline(f) == UINT64_MAX);
    assert_int_equal(say(f, 5000, "a", FLOOD_BURST), FLOOD_BURST);
    assert_true(flood_deadline(f) == UINT64_MAX); /* nothing to tell yet */
    assert_int_equal(say(f, 5400, "a", 4132), 0);
    assert_int_equal(flood_deadline(f), 6000);
    expect_none(f, 5999);
    expect_count(f, 6000, "a", 4132);
    expect_none(f, 6000);
    assert_true(flood_deadline(f) == UINT64_MAX);
    free(f);
}

static void each_window_begins_anew(void **state)
{
    struct flood *f = flood_new();

    (void)state;
    for (uint64_t t = 100; t < 60000; t += FLOOD_WINDOW_MS) {
        assert_int_equal(say(f, t, "a", 100), FLOOD_BURST);
        expect_count(f, t + FLOOD_WINDOW_MS, "a", 100 - FLOOD_BURST);
    }
    free(f);
}

/* A window without a count ends by itself. */
static void few_lines_are_never_held_back(void **state)
{
    struct flood *f = flood_new();

    (void)state;
    for (uint64_t t = 0; t < 60000; t += FLOOD_WINDOW_MS)
        assert_int_equal(say(f, t, "a", FLOOD_BURST), FLOOD_BURST);
    expect_none(f, UINT64_MAX);
    free(f);
}

/* Nothing is lost when the teller is late: the label stays shut until then. */
static void a_late_count_holds_all_of_it(void **state)
{
    struct flood *f = flood_new();

    (void)state;
    (void)say(f, 0, "a", FLOOD_BURST + 5);
    assert_int_equal(say(f, 3000, "a", 7), 0);
    expect_count(f, 3000, "a", 12);
    assert_int_equal(say(f, 3000, "a", 1), 1);
    free(f);
}

static void one_flood_does_not_hide_another_subject(void **state)
{
    struct flood *f = flood_new();
    char label[16];

    (void)state;
    for (unsigned i = 0; i < FLOOD_SLOTS; i++) {
        (void)snprintf(label, sizeof(label), "subject %u", i);
        assert_int_equal(say(f, 1000 + i, label, 1000), FLOOD_BURST);
    }
    for (unsigned i = 0; i < FLOOD_SLOTS; i++) {
        (void)snprintf(label, sizeof(label), "subject %u", i);
        expect_count(f, 1000 + i + FLOOD_WINDOW_MS, label, 1000 - FLOOD_BURST);
        expect_none(f, 1000 + i + FLOOD_WINDOW_MS);
    }
    free(f);
}

/* However many labels: lines are bounded, and none is lost from the counts. */
static void more_labels_than_slots_share_them(void **state)
{
    const unsigned labels = 10000;
    struct flood *f = flood_new();
    struct str told;
    char label[32];
    uint64_t more;
    uint64_t sum = 0;
    unsigned written = 0;
    bool shared = false;

    (void)state;
    for (unsigned i = 0; i < labels; i++) {
        (void)snprintf(label, sizeof(label), "subject %u", i);
        written += say(f, 77, label, 3);
    }
    assert_true(written <= FLOOD_SLOTS * FLOOD_BURST);
    while (flood_take(f, UINT64_MAX, &told, &more)) {
        sum += more;
        shared = shared || told.n == 0;
    }
    assert_int_equal(sum + written, labels * 3);
    assert_true(shared); /* and that is told */
    free(f);
}

static void everything_is_told_in_the_end(void **state)
{
    struct flood *f = flood_new();

    (void)state;
    (void)say(f, 9, "a", FLOOD_BURST + 1);
    expect_none(f, 10);
    expect_count(f, UINT64_MAX, "a", 1);
    expect_none(f, UINT64_MAX);
    free(f);
}

static void other_lines_can_go_with_a_flood(void **state)
{
    struct flood *f = flood_new();
    struct str a = STR("a");

    (void)state;
    assert_false(flood_is_shut(f, 50, a));
    for (unsigned i = 0; i < FLOOD_BURST - 1; i++)
        flood_charge(f, 100, a);
    assert_false(flood_is_shut(f, 100, a));
    flood_charge(f, 100, a);
    flood_charge(f, 100, a); /* a charge is not a line: nothing to tell */
    for (unsigned i = 0; i < 1000; i++)
        assert_true(flood_is_shut(f, 200, a));
    assert_true(flood_deadline(f) == UINT64_MAX);
    assert_false(flood_is_shut(f, 200, STR("b")));
    assert_false(flood_admits(f, 200, a));
    assert_true(flood_is_shut(f, 1100, a)); /* the count comes first */
    expect_count(f, 1100, "a", 1);
    assert_false(flood_is_shut(f, 1100, a));
    free(f);
}

/* Two that begin alike are two; what is given back is the beginning. */
static void long_labels_are_cut_when_told(void **state)
{
    struct flood *f = flood_new();
    char one[400];
    char two[400];

    (void)state;
    memset(one, 'x', sizeof(one));
    one[sizeof(one) - 1] = '\0';
    memcpy(two, one, sizeof(two));
    two[300] = 'y';
    assert_int_equal(say(f, 0, one, 20), FLOOD_BURST);
    assert_int_equal(say(f, 0, two, 20), FLOOD_BURST);
    one[FLOOD_LABEL_MAX] = '\0';
    expect_count(f, 1000, one, 10);
    expect_count(f, 1000, one, 10);
    expect_none(f, 1000);
    free(f);
}

static void labels_are_any_bytes(void **state)
{
    struct flood *f = flood_new();
    struct str told;
    uint64_t more;

    (void)state;
    for (unsigned i = 0; i < 11; i++)
        (void)flood_admits(f, 0, str_of("\0\1\0x", 4));
    assert_true(flood_admits(f, 0, str_of("\0\1\0y", 4)));
    assert_true(flood_admits(f, 0, STR("")));
    assert_true(flood_take(f, 1000, &told, &more));
    assert_true(str_eq(told, str_of("\0\1\0x", 4)));
    free(f);
}

static void counts_are_grouped_by_thousands(void **state)
{
    static const struct {
        uint64_t n;
        const char *text;
    } cases[] = {
        {0, "0"},
        {7, "7"},
        {999, "999"},
        {1000, "1,000"},
        {4132, "4,132"},
        {100000, "100,000"},
        {1234567, "1,234,567"},
        {UINT64_MAX, "18,446,744,073,709,551,615"},
    };
    char out[FLOOD_COUNT_MAX];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_ptr_equal(flood_count(cases[i].n, out), out);
        assert_string_equal(out, cases[i].text);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(the_first_lines_are_written_and_the_others_counted),
        UNIT_TEST(each_window_begins_anew),
        UNIT_TEST(few_lines_are_never_held_back),
        UNIT_TEST(a_late_count_holds_all_of_it),
        UNIT_TEST(one_flood_does_not_hide_another_subject),
        UNIT_TEST(more_labels_than_slots_share_them),
        UNIT_TEST(everything_is_told_in_the_end),
        UNIT_TEST(other_lines_can_go_with_a_flood),
        UNIT_TEST(long_labels_are_cut_when_told),
        UNIT_TEST(labels_are_any_bytes),
        UNIT_TEST(counts_are_grouped_by_thousands),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
