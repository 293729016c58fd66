/*
 * Slices: comparing, cutting, numbers, and the printable form.
 */
#include "base/str.h"

#include "base/rng.h"
#include "unit.h"

static void slices_of_strings(void **state)
{
    (void)state;
    assert_int_equal(str_c("abc").n, 3);
    assert_int_equal(str_c("").n, 0);
    assert_int_equal(str_c(NULL).n, 0);
    assert_int_equal(STR("a\0b").n, 3);
}

static void equality(void **state)
{
    (void)state;
    assert_true(str_eq(STR("ab"), str_of("abc", 2)));
    assert_false(str_eq(STR("ab"), STR("abc")));
    assert_false(str_eq(STR("ab"), STR("ac")));
    assert_true(str_eq(str_of(NULL, 0), STR("")));
    assert_true(str_eq_c(STR("ab"), "ab"));
    assert_false(str_eq_c(STR("a\0b"), "a"));
    assert_true(str_eq_c(str_of(NULL, 0), NULL));
}

static void order(void **state)
{
    static const char *const sorted[] = {"", "A", "Aa", "B", "a", "\x80", "\xff"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(sorted); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(sorted); k++) {
            int cmp = str_cmp(str_c(sorted[i]), str_c(sorted[k]));

            assert_int_equal((cmp > 0) - (cmp < 0), (i > k) - (i < k));
        }
    }
    assert_int_equal(str_cmp(str_of(NULL, 0), STR("")), 0);
}

static void prefixes(void **state)
{
    (void)state;
    assert_true(str_has_prefix(STR("$SYS/a"), STR("$SYS/")));
    assert_true(str_has_prefix(STR("a"), STR("a")));
    assert_true(str_has_prefix(STR("a"), STR("")));
    assert_true(str_has_prefix(str_of(NULL, 0), STR("")));
    assert_false(str_has_prefix(STR("$SYS"), STR("$SYS/")));
    assert_false(str_has_prefix(STR("abc"), STR("b")));
}

static void trimming(void **state)
{
    (void)state;
    assert_true(str_eq_c(str_trim(STR(" \t a b\r\n")), "a b"));
    assert_true(str_eq_c(str_trim(STR("a")), "a"));
    assert_int_equal(str_trim(STR(" \r\n\t ")).n, 0);
    assert_int_equal(str_trim(str_of(NULL, 0)).n, 0);
}

static void tokens(void **state)
{
    struct str s = STR(" \tlog_type  all\tnone ");

    (void)state;
    assert_true(str_eq_c(str_token(&s), "log_type"));
    assert_true(str_eq_c(s, "  all\tnone "));
    assert_true(str_eq_c(str_token(&s), "all"));
    assert_true(str_eq_c(str_token(&s), "none"));
    assert_int_equal(str_token(&s).n, 0);
    assert_int_equal(s.n, 0);
    s = str_of(NULL, 0);
    assert_int_equal(str_token(&s).n, 0);
}

struct number {
    const char *text;
    enum err decimal;
    enum err any_base;
    int64_t decimal_value;
    int64_t any_value;
};

static const struct number numbers[] = {
    {"0", ERR_OK, ERR_OK, 0, 0},
    {"7", ERR_OK, ERR_OK, 7, 7},
    {"-7", ERR_OK, ERR_OK, -7, -7},
    {"+7", ERR_OK, ERR_OK, 7, 7},
    {"010", ERR_OK, ERR_OK, 10, 8},
    {"-010", ERR_OK, ERR_OK, -10, -8},
    {"08", ERR_OK, ERR_INVAL, 8, 0},
    {"0x1F", ERR_INVAL, ERR_OK, 0, 31},
    {"-0Xff", ERR_INVAL, ERR_OK, 0, -255},
    {"0x", ERR_INVAL, ERR_INVAL, 0, 0},
    {"0x-1", ERR_INVAL, ERR_INVAL, 0, 0},
    {"f", ERR_INVAL, ERR_INVAL, 0, 0},
    {"", ERR_INVAL, ERR_INVAL, 0, 0},
    {"-", ERR_INVAL, ERR_INVAL, 0, 0},
    {"--1", ERR_INVAL, ERR_INVAL, 0, 0},
    {"1 ", ERR_INVAL, ERR_INVAL, 0, 0},
    {" 1", ERR_INVAL, ERR_INVAL, 0, 0},
    {"1x", ERR_INVAL, ERR_INVAL, 0, 0},
    {"9223372036854775807", ERR_OK, ERR_OK, INT64_MAX, INT64_MAX},
    {"9223372036854775808", ERR_TOO_LARGE, ERR_TOO_LARGE, 0, 0},
    {"-9223372036854775808", ERR_OK, ERR_OK, INT64_MIN, INT64_MIN},
    {"-9223372036854775809", ERR_TOO_LARGE, ERR_TOO_LARGE, 0, 0},
    {"18446744073709551616", ERR_TOO_LARGE, ERR_TOO_LARGE, 0, 0},
    {"99999999999999999999999", ERR_TOO_LARGE, ERR_TOO_LARGE, 0, 0},
    {"99999999999999999999999x", ERR_INVAL, ERR_INVAL, 0, 0},
    {"0x7fffffffffffffff", ERR_INVAL, ERR_OK, 0, INT64_MAX},
    {"0x8000000000000000", ERR_INVAL, ERR_TOO_LARGE, 0, 0},
};

static void numbers_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        const struct number *n = &numbers[i];
        int64_t value = 0;

        assert_err(str_to_i64(str_c(n->text), &value), n->decimal);
        assert_true(value == n->decimal_value);
        value = 0;
        assert_err(str_to_i64_any_base(str_c(n->text), &value), n->any_base);
        assert_true(value == n->any_value);
    }
}

static void numbers_end_with_the_slice(void **state)
{
    int64_t value = 0;

    (void)state;
    assert_ok(str_to_i64(str_of("1234", 2), &value));
    assert_int_equal(value, 12);
    assert_err(str_to_i64(STR("1\0"), &value), ERR_INVAL);
    assert_err(str_to_i64(str_of(NULL, 0), &value), ERR_INVAL);
}

static void copies(void **state)
{
    char *z = str_dup(str_of("hello world", 5));

    (void)state;
    assert_string_equal(z, "hello");
    str_dup_free(z);
    z = str_dup(str_of(NULL, 0));
    assert_string_equal(z, "");
    str_dup_free(z);
    /* The size is found again when it is freed, so a NUL ends the copy. */
    z = str_dup(STR("a\0b"));
    assert_string_equal(z, "a");
    str_dup_free(z);
    str_dup_free(NULL);
}

static void a_copy_may_fail(void **state)
{
    (void)state;
    unit_needs_tracking();
    mem_fail_after(0, 0);
    assert_null(str_dup(STR("a")));
}

static void escaping(void **state)
{
    static const struct {
        struct str in;
        const char *out;
    } cases[] = {
        {STR(""), ""},
        {STR("plain ~text"), "plain ~text"},
        {STR("a\nb\r\t\x1b[0m"), "a\\x0ab\\x0d\\x09\\x1b[0m"},
        {STR("a\0b"), "a\\x00b"},
        {STR("\x7f"), "\\x7f"},
        {STR("a\\x0a"), "a\\\\x0a"},
        {STR("\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"), "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {STR("\xc2\x85"), "\\xc2\\x85"},                   /* C1 */
        {STR("\xc2\xa0"), "\xc2\xa0"},                     /* the first after C1 */
        {STR("\xff"), "\\xff"},                            /* never in UTF-8 */
        {STR("\xc3"), "\\xc3"},                            /* ends early */
        {STR("\xc3(z"), "\\xc3(z"},                        /* a follower is missing */
        {STR("\xc0\xaf"), "\\xc0\\xaf"},                   /* overlong */
        {STR("\xe0\x9f\xbf"), "\\xe0\\x9f\\xbf"},          /* overlong */
        {STR("\xf0\x8f\xbf\xbf"), "\\xf0\\x8f\\xbf\\xbf"}, /* overlong */
        {STR("\xed\xa0\x80"), "\\xed\\xa0\\x80"},          /* a surrogate */
        {STR("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80"}, /* above U+10FFFF */
        {STR("\xf4\x8f\xbf\xbd"), "\xf4\x8f\xbf\xbd"},     /* close below it */
    };
    char out[100];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(str_escape(cases[i].in, out, sizeof(out)), cases[i].out);
    assert_string_equal(str_escape(str_of(NULL, 0), out, sizeof(out)), "");
}

/* What strangers choose has no bracket and no quote of its own. */
static void strict_escaping_takes_brackets_and_quotes_too(void **state)
{
    char out[64];

    (void)state;
    assert_string_equal(str_escape_strict(STR("a [1.2.3.4:5] b"), out, sizeof(out)),
                        "a \\x5b1.2.3.4:5\\x5d b");
    assert_string_equal(str_escape_strict(STR("it's \"x\""), out, sizeof(out)),
                        "it\\x27s \\x22x\\x22");
    assert_string_equal(str_escape_strict(STR("\\[\n"), out, sizeof(out)), "\\\\\\x5b\\x0a");
    assert_string_equal(str_escape_strict(STR("plain/+/#$|-\xe2\x82\xac"), out, sizeof(out)),
                        "plain/+/#$|-\xe2\x82\xac");
    assert_string_equal(str_escape(STR("[::1]"), out, sizeof(out)), "[::1]");
    assert_string_equal(str_escape_strict(STR("1234[]"), out, 8), "1234...");
}

static void escaping_cuts_between_units(void **state)
{
    char out[8];

    (void)state;
    assert_string_equal(str_escape(STR("1234567"), out, 8), "1234567");
    assert_string_equal(str_escape(STR("12345678"), out, 8), "1234...");
    assert_string_equal(str_escape(STR("123\n"), out, 8), "123\\x0a");
    assert_string_equal(str_escape(STR("1234\n"), out, 8), "1234...");
    assert_string_equal(str_escape(STR("1\n567"), out, 8), "1...");
    assert_string_equal(str_escape(STR("\n\n"), out, 8), "\\x0a...");
    assert_string_equal(str_escape(STR("12\xe2\x82\xac\xe2\x82\xac"), out, 8), "12...");
    assert_string_equal(str_escape(STR("1\xe2\x82\xac\xe2\x82\xac"), out, 8),
                        "1\xe2\x82\xac\xe2\x82\xac");
}

static void lines_and_directions_are_not_for_peers(void **state)
{
    char out[64];

    (void)state;
    assert_string_equal(
        str_escape(STR("\xe2\x80\xa7\xe2\x80\xa8\xe2\x80\xae\xe2\x80\xaf"), out, sizeof(out)),
        "\xe2\x80\xa7\\xe2\\x80\\xa8\\xe2\\x80\\xae\xe2\x80\xaf");
    assert_string_equal(
        str_escape(STR("\xe2\x81\xa5\xe2\x81\xa6\xe2\x81\xa9\xe2\x81\xaa"), out, sizeof(out)),
        "\xe2\x81\xa5\\xe2\\x81\\xa6\\xe2\\x81\\xa9\xe2\x81\xaa");
}

/* Whatever the bytes: what comes out is terminated, fits, and holds nothing that a terminal obeys.
 */
static void escaped_bytes_are_printable(void **state)
{
    struct rng rng;
    char in[12];
    char out[20];

    (void)state;
    rng_seed(&rng, 1);
    for (int round = 0; round < 100000; round++) {
        size_t n = rng_below(&rng, sizeof(in));
        size_t cap = 8 + rng_below(&rng, sizeof(out) - 8);

        for (size_t i = 0; i < n; i++)
            in[i] = (char)rng_u64(&rng);
        memset(out, 'x', sizeof(out));
        (void)str_escape(str_of(in, n), out, cap);
        assert_true(strlen(out) < cap);
        for (size_t i = 0; out[i]; i++)
            assert_true((unsigned char)out[i] >= 0x20 && out[i] != 0x7f);
    }
}

static void characters_are_whole_or_none(void **state)
{
    static const struct {
        struct str in;
        size_t length;
        uint32_t c;
    } cases[] = {
        {STR("a"), 1, 'a'},
        {STR("\0"), 1, 0},
        {STR("\xc2\x80x"), 2, 0x80},
        {STR("\xe2\x82\xac"), 3, 0x20AC},
        {STR("\xf4\x8f\xbf\xbf"), 4, 0x10FFFF},
        {STR("\xe2\x82"), 0, 0},
        {STR("\x80"), 0, 0},
        {STR("\xc1\xbf"), 0, 0},
        {STR("\xed\xa0\x80"), 0, 0},
        {STR("\xf4\x90\x80\x80"), 0, 0},
        {STR("\xff"), 0, 0},
        {STR(""), 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        uint32_t c = 0;
        assert_int_equal(str_character(cases[i].in, &c), cases[i].length);
        if (cases[i].length > 0)
            assert_int_equal(c, cases[i].c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(slices_of_strings),
        UNIT_TEST(equality),
        UNIT_TEST(order),
        UNIT_TEST(prefixes),
        UNIT_TEST(trimming),
        UNIT_TEST(tokens),
        UNIT_TEST(numbers_are_read),
        UNIT_TEST(numbers_end_with_the_slice),
        UNIT_TEST(copies),
        UNIT_TEST(a_copy_may_fail),
        UNIT_TEST(escaping),
        UNIT_TEST(strict_escaping_takes_brackets_and_quotes_too),
        UNIT_TEST(escaping_cuts_between_units),
        UNIT_TEST(lines_and_directions_are_not_for_peers),
        UNIT_TEST(escaped_bytes_are_printable),
        UNIT_TEST(characters_are_whole_or_none),
    };

    return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
