/*
 * The formats of mosquitto_sub -F, and JSON that passes through.
 *
 * Most answers were given by Mosquitto 2.0.11 to the same question; where ours is another one, the
 * case says why.
 */
#include "clients/format.h"
#include "clients/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* 2020-05-06 22:12:00.000012345 UTC, in a zone of its own. */
static const struct timespec WHEN = {1588803120, 12345};

static struct mosquitto_message make(const char *topic, const void *payload, int n, int qos)
{
    return (struct mosquitto_message){.mid = qos ? 7 : 0,
                                      .topic = (char *)(uintptr_t)topic,
                                      .payload = n ? (void *)(uintptr_t)payload : NULL,
                                      .payloadlen = n,
                                      .qos = qos};
}

static bool print(const char *format, const struct mosquitto_message *m, bool pretty,
                  struct client_text *out)
{
    char why[CLIENT_FORMAT_WHY_MAX] = "";
    struct client_format *f = client_format_new(format, pretty, why);
    if (!f)
        fail_msg("%s: %s", format, why);
    bool fine = client_format_print(f, m, &WHEN, out);
    client_format_free(f);
    return fine;
}

static void expect(const char *format, const struct mosquitto_message *m, const char *want,
                   size_t n)
{
    struct client_text out = {0};
    print(format, m, false, &out);
    if (out.used != n || (n && memcmp(out.bytes, want, n) != 0))
        fail_msg("%s gives \"%.*s\", not \"%s\"", format, (int)out.used, out.bytes, want);
    client_text_clear(&out);
}

struct format_case {
    const char *format, *want;
};

static void expect_all(const struct format_case *cases, size_t n, const struct mosquitto_message *m)
{
    for (size_t i = 0; i < n; i++)
        expect(cases[i].format, m, cases[i].want, strlen(cases[i].want));
}

static void test_letters(void **state)
{
    static const struct format_case cases[] = {
        {"", ""},
        {"plain", "plain"},
        {"%%", "%"},
        {"%5%|", "%|"},
        {"%t %p", "a/b hello"},
        {"%l", "5"},
        {"%m", "7"},
        {"%q", "1"},
        {"%r", "0"},
        {"%x", "68656c6c6f"},
        {"%X", "68656C6C6F"},
        {"%10q|", "1|"},
        {"%05r|", "0|"},
        {"%A%C%D%E%F%P%R%S", ""},
        {"x%ty", "xa/by"},
    };
    struct mosquitto_message m = make("a/b", "hello", 5, 1);
    (void)state;
    expect_all(cases, COUNT(cases), &m);
}

static void test_widths(void **state)
{
    static const struct format_case cases[] = {
        {"%10t|", "       a/b|"},   {"%-10t|", "a/b       |"},
        {"%010t|", "       a/b|"},  {"%-010t|", "a/b       |"},
        {"%0-10t|", "a/b       |"}, /* refused by 2.0.11 */
        {"%.2t|", "a/|"},           {"%.0t|", "|"},
        {"%10.2t|", "        a/|"}, {"%-10.2t|", "a/        |"},
        {"%10p|", "     hello|"},   {"%-10p|", "hello     |"},
        {"%010p|", "00000hello|"},  {"%3p|", "hel|"},
        {"%.2p|", "hello|"},        {"%10l|", "         5|"},
        {"%-10l|", "5         |"},  {"%010l|", "0000000005|"},
        {"%-010l|", "5         |"}, {"%.2l|", "5|"},
        {"%010m|", "0000000007|"},  {"%-10m|", "7         |"},
        {"%5A|", "     |"},         {"%05A|", "00000|"},
        {"%5C|", "     |"},         {"%05C|", "     |"},
        {"%5D|%5P|%5R|", "|||"},    {"%5S|%5E|%5F|", "     |     |     |"},
    };
    struct mosquitto_message m = make("a/b", "hello", 5, 1);
    (void)state;
    expect_all(cases, COUNT(cases), &m);
}

/* 2.0.11 prints half of a payload that is shorter than the width. */
static void test_hexadecimal(void **state)
{
    static const struct format_case cases[] = {
        {"%1x|", " |"},
        {"%2x|", "68|"},
        {"%02x|", "68|"},
        {"%5x|", " 6865|"},
        {"%05x|", "06865|"},
        {"%20x|", "          68656c6c6f|"},
        {"%-20x|", "68656c6c6f          |"},
        {"%020X|", "000000000068656C6C6F|"},
        {"%.0x|", "68656c6c6f|"},
        {"%.1x|", "68 65 6c 6c 6f|"},
        {"%.2x|", "6865 6c6c 6f|"},
        {"%.2:X|", "6865:6C6C:6F|"},
        {"%.1-x|", "68-65-6c-6c-6f|"},
        {"%.9:x|", "68656c6c6f|"},
        {"%6.1:x|", " 68:65|"},
        {"%-20.1:x|", "68:65:6c:6c:6f      |"},
    };
    struct mosquitto_message m = make("a/b", "hello", 5, 1);
    (void)state;
    expect_all(cases, COUNT(cases), &m);
}

static void test_empty_payload(void **state)
{
    static const struct format_case cases[] = {
        {"%p|", "|"}, {"%5p|", "     |"}, {"%-5p|", "     |"}, {"%05p|", "00000|"},
        {"%x|", "|"}, {"%5x|", "     |"}, {"%05X|", "00000|"}, {"%.2:x|", "|"},
        {"%l", "0"},  {"%d|", "|"},       {"%5f|", "     |"},
    };
    struct mosquitto_message m = make("a/b", "", 0, 0);
    (void)state;
    expect_all(cases, COUNT(cases), &m);
}

/* Characters are not cut in two, as 2.0.11 does. */
static void test_binary(void **state)
{
    struct mosquitto_message m = make("\xC3\xA9\xE2\x82\xAC", "a\0\xFF", 3, 0);
    (void)state;
    expect("%p", &m, "a\0\xFF", 3);
    expect("%5p", &m, "  a\0\xFF", 5);
    expect("%x", &m, "6100ff", 6);
    expect("%.2t", &m, "\xC3\xA9", 2);
    expect("%.4t", &m, "\xC3\xA9", 2);
    expect("%.1t", &m, "", 0);
    expect("%6t", &m, " \xC3\xA9\xE2\x82\xAC", 6);
    expect("a\\0b", &m, "a\0b", 3);
}

static void test_numbers_in_payloads(void **state)
{
    const double d = -1.5;
    const float f = 2.25F;
    struct mosquitto_message wide = make("a", &d, sizeof(d), 0),
                             narrow = make("a", &f, sizeof(f), 0);
    (void)state;
    expect("%d", &wide, "-1.500000", 9);
    expect("%.1d", &wide, "-1.5", 4);
    expect("%8.1d|", &wide, "    -1.5|", 9);
    expect("%08.1d|", &wide, "-00001.5|", 9);
    expect("%-8.1d|", &wide, "-1.5    |", 9);
    expect("%.2f", &narrow, "2.25", 4);
    expect("%f|", &wide, "|", 1); /* not a float */
    expect("%d|", &narrow, "|", 1);
}

static void test_times(void **state)
{
    static const struct format_case cases[] = {
        {"%I", "2020-05-07T00:12:00+0200"},
        {"%26I|", "  2020-05-07T00:12:00+0200|"},
        {"%.10I|", "2020-05-07|"},
        {"%12.10I|", "  2020-05-07|"},
        {"%U", "1588803120.000012345"},
        {"%40U|", "1588803120.000012345|"},
        {"@@", "@"},
        {"@N", "000012345"},
        {"@Y-@m-@d @H:@M:@S", "2020-05-07 00:12:00"},
        {"@s", "1588803120"},
        {"@z @Z", "+0200 ABC"},
        {"@n|@t|@%", "\n|\t|%"},
        {"@Ey", "%Ey"}, /* what strftime does not know */
    };
    struct mosquitto_message m = make("a/b", "x", 1, 0);
    (void)state;
    expect_all(cases, COUNT(cases), &m);
}

static void test_escapes(void **state)
{
    struct mosquitto_message m = make("a/b", "x", 1, 0);
    (void)state;
    expect("\\\\|\\a\\e\\n\\r\\t\\v", &m, "\\|\a\033\n\r\t\v", 8);
}

static void test_errors(void **state)
{
    static const struct format_case cases[] = {
        {"%", "Incomplete format specifier at position 1"},
        {"abc%-05.3", "Incomplete format specifier at position 4"},
        {"a@", "Incomplete format specifier at position 2"},
        {"a\\", "Incomplete escape specifier at position 2"},
        {"a\\x", "Invalid escape specifier 'x' at position 2, known are: "
                 "\\\\ \\0 \\a \\e \\n \\r \\t \\v"},
        {"%t %a", "Invalid format specifier 'a' at position 4, known are: "
                  "% A C D E F I J P R S U X d f j l m p q r t x"},
        {"%.2:t", "Invalid format specifier ':' at position 1, known are: "
                  "% A C D E F I J P R S U X d f j l m p q r t x"},
        {"%1000001t", "Width above 1000000 at position 8"},
        {"%.99999999999999999999t", "Width above 1000000 at position 9"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        char why[CLIENT_FORMAT_WHY_MAX] = "";
        assert_null(client_format_new(cases[i].format, false, why));
        assert_string_equal(why, cases[i].want);
    }
}

/* Whatever the bytes are: a JSON string of valid UTF-8. 2.0.11 stops at a NUL, and passes on what
 * is not UTF-8. */
static void test_json_strings(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *want;
    } cases[] = {
        {"hello", 5, "hello"},
        {"\"\\/\b\f\n\r\t", 8, "\\\"\\\\/\\b\\f\\n\\r\\t"},
        {"\0\1\x1F\x7F", 4, "\\u0000\\u0001\\u001f\x7F"},
        {"\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", 9, "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80"},
        {"a\xFFz", 3, "a\xEF\xBF\xBDz"},
        {"\xC3", 1, "\xEF\xBF\xBD"},
        {"\xC0\x80", 2, "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xED\xA0\x80", 3, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xF4\x90\x80\x80", 4, "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xF4\x8F\xBF\xBF", 4, "\xF4\x8F\xBF\xBF"},
        {"\xE2\x82", 2, "\xEF\xBF\xBD\xEF\xBF\xBD"},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct client_text out = {0};
        client_json_string(&out, cases[i].bytes, cases[i].n);
        size_t n = strlen(cases[i].want);
        assert_int_equal(out.used, n + 2);
        assert_int_equal(out.bytes[0], '"');
        assert_memory_equal(out.bytes + 1, cases[i].want, n);
        assert_int_equal(out.bytes[n + 1], '"');
        client_text_clear(&out);
    }
}

static void expect_json(const char *bytes, size_t n, int level, const char *want)
{
    struct client_text out = {0};
    bool fine = client_json_value(&out, bytes, n, level);
    assert_int_equal(fine, want != NULL);
    if (!want)
        assert_int_equal(out.used, 0);
    else if (out.used != strlen(want) || memcmp(out.bytes, want, out.used) != 0)
        fail_msg("%s gives %.*s, not %s", bytes, (int)out.used, out.bytes, want);
    client_text_clear(&out);
}

/* Numbers and escapes stay as they are written: 2.0.11 makes doubles of numbers. */
static void test_json_values(void **state)
{
    static const struct format_case cases[] = {
        {"1", "1"},
        {"-0", "-0"},
        {"12345678901234567890", "12345678901234567890"},
        {"27.0", "27.0"},
        {"1e400", "1e400"},
        {"-1.5E-7", "-1.5E-7"},
        {"true", "true"},
        {" null ", "null"},
        {"\"x\"", "\"x\""},
        {"\"\\u00e9\\/\\n\"", "\"\\u00e9\\/\\n\""},
        {"\"a\1b\"", "\"a\\u0001b\""},
        {"\"\xFF\"", "\"\xEF\xBF\xBD\""},
        {"[]", "[]"},
        {"{}", "{}"},
        {" { \"a\" : [ 1 , { } , [ ] ] , \"b\" : \"c d\" } ", "{\"a\":[1,{},[]],\"b\":\"c d\"}"},
        {"{\"a\":1,\"a\":2}", "{\"a\":1,\"a\":2}"},
        {"\xEF\xBB\xBF[1]", "[1]"},
    };
    static const char *const wrong[] = {
        "",    " ",       "nul",         "truex",   "01",    "1.",         ".5",        "+1",
        "-",   "1e",      "1e+",         "NaN",     "[1,]",  "[1",         "[1}",       "[,1]",
        "{",   "{\"a\"}", "{\"a\":}",    "{a:1}",   "{1:2}", "{\"a\":1,}", "{\"a\" 1}", "'a'",
        "\"a", "\"\\x\"", "\"\\u12g4\"", "\"\\u12", "[1] 2", "1 1",        "/* x */ 1", "]",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++)
        expect_json(cases[i].format, strlen(cases[i].format), -1, cases[i].want);
    for (size_t i = 0; i < COUNT(wrong); i++)
        expect_json(wrong[i], strlen(wrong[i]), -1, NULL);
    expect_json("{}\0", 3, -1, NULL);
}

static void test_json_depth(void **state)
{
    char deep[2 * CLIENT_JSON_DEPTH + 3];
    (void)state;
    memset(deep, '[', CLIENT_JSON_DEPTH);
    memset(deep + CLIENT_JSON_DEPTH, ']', CLIENT_JSON_DEPTH);
    deep[2 * CLIENT_JSON_DEPTH] = '\0';
    expect_json(deep, 2 * CLIENT_JSON_DEPTH, -1, deep);
    memset(deep, '[', CLIENT_JSON_DEPTH + 1);
    memset(deep + CLIENT_JSON_DEPTH + 1, ']', CLIENT_JSON_DEPTH + 1);
    expect_json(deep, 2 * CLIENT_JSON_DEPTH + 2, -1, NULL);
}

/* Laid out as cJSON does. */
static void test_json_pretty(void **state)
{
    static const char in[] = "{\"a\":[1,{\"b\":2,\"e\":[]},[3,4]],\"c\":{}, \"d\":[]}";
    (void)state;
    expect_json(in, strlen(in), 1,
                "{\n\t\t\"a\":\t[1, {\n\t\t\t\t\"b\":\t2,\n\t\t\t\t\"e\":\t[]\n\t\t\t}, [3, 4]],"
                "\n\t\t\"c\":\t{\n\t\t},\n\t\t\"d\":\t[]\n\t}");
    expect_json("[{\"a\":1},{}]", 12, 1, "[{\n\t\t\t\"a\":\t1\n\t\t}, {\n\t\t}]");
}

static void test_json_message(void **state)
{
    static const char stamp[] = "\"tst\":\"2020-05-07T00:12:00.000012Z+0200\"";
    char want[400];
    struct mosquitto_message m = make("a\"b", "{ }", 3, 0), none = make("a", "", 0, 2),
                             text = make("a", "no", 2, 0);
    (void)state;
    snprintf(
        want, sizeof(want),
        "<{%s,\"topic\":\"a\\\"b\",\"qos\":0,\"retain\":0,\"payloadlen\":3,\"payload\":\"{ }\"}>",
        stamp);
    expect("<%j>", &m, want, strlen(want));
    snprintf(want, sizeof(want),
             "<{%s,\"topic\":\"a\\\"b\",\"qos\":0,\"retain\":0,\"payloadlen\":3,\"payload\":{}}>",
             stamp);
    expect("<%5J>", &m, want, strlen(want));
    snprintf(
        want, sizeof(want),
        "{%s,\"topic\":\"a\",\"qos\":2,\"retain\":0,\"payloadlen\":0,\"mid\":7,\"payload\":null}",
        stamp);
    expect("%j", &none, want, strlen(want));
    expect("%J", &none, want, strlen(want));
    expect("%J|%t", &text, "|a", 2);

    struct client_text out = {0};
    assert_false(print("%J", &text, false, &out));
    assert_true(print("%j", &text, false, &out));
    client_text_clear(&out);
}

static void test_pretty_message(void **state)
{
    static const char want[] =
        "{\n\t\"tst\":\t\"2020-05-07T00:12:00.000012Z+0200\",\n\t\"topic\":\t\"a\""
        ",\n\t\"qos\":\t1,\n\t\"retain\":\t0,\n\t\"payloadlen\":\t7,\n\t\"mid\""
        ":\t7,\n\t\"payload\":\t{\n\t\t\"a\":\t1\n\t}\n}";
    struct mosquitto_message m = make("a", "{\"a\":1}", 7, 1);
    struct client_text out = {0};
    (void)state;
    assert_true(print("%J", &m, true, &out));
    assert_int_equal(out.used, strlen(want));
    assert_memory_equal(out.bytes, want, out.used);
    client_text_clear(&out);
}

static void test_text(void **state)
{
    struct client_text t = {0};
    (void)state;
    client_text_add(&t, "abc", 3);
    client_text_fill(&t, '-', 10000);
    client_text_drop(&t, 2);
    assert_int_equal(t.used, 10001);
    assert_memory_equal(t.bytes, "c--", 3);
    client_text_drop(&t, 10001);
    assert_int_equal(t.used, 0);
    assert_false(t.failed);
    client_text_clear(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_letters),        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_hexadecimal),    cmocka_unit_test(test_empty_payload),
        cmocka_unit_test(test_binary),         cmocka_unit_test(test_numbers_in_payloads),
        cmocka_unit_test(test_times),          cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_errors),         cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_json_values),    cmocka_unit_test(test_json_depth),
        cmocka_unit_test(test_json_pretty),    cmocka_unit_test(test_json_message),
        cmocka_unit_test(test_pretty_message), cmocka_unit_test(test_text),
    };
    setenv("TZ", "ABC-2", 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
