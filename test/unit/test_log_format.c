/*
 * What log lines look like.
 */
#include "server/log_format.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>
#include <syslog.h>

static struct log_text out;
static struct log_stamp stamp;

static const char *line_of(const struct log_style *style, const struct log_entry *entry)
{
    static char text[LOG_TEXT_MAX + 1];
    log_format(&out, style, &stamp, entry);
    assert_in_range(out.n, 1, LOG_TEXT_MAX);
    assert_in_range(out.body, 0, out.n);
    memcpy(text, out.bytes, out.n);
    text[out.n] = '\0';
    return text;
}

static const char *text_of(struct str message)
{
    static const struct log_style style = {.json = false};
    struct log_entry entry = {LOG_LEVEL_NOTICE, message, NULL};
    return line_of(&style, &entry);
}

static const char *json_of(struct str message)
{
    static const struct log_style style = {.json = true};
    struct log_entry entry = {LOG_LEVEL_NOTICE, message, NULL};
    return line_of(&style, &entry);
}

static void no_control_character_is_in_a_text_line(void **state)
{
    static const struct {
        struct str in;
        const char *out;
    } cases[] = {
        {STR("plain"), "plain\n"},
        {STR(""), "\n"},
        {STR("\ttabbed\tagain"), "\ttabbed?again\n"},
        {STR("\t"), "\t\n"},
        {STR("two\nlines\r\n"), "two?lines??\n"},
        {STR("a\0b\x1b[2K\x7f"), "a?b?[2K?\n"},
        {STR("\xc3\xa4\xe2\x82\xac"), "\xc3\xa4\xe2\x82\xac\n"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        assert_string_equal(text_of(cases[i].in), cases[i].out);
}

static void a_long_text_is_cut_between_two_characters(void **state)
{
    char message[LOG_LINE_MAX + 10];
    (void)state;
    memset(message, 'x', sizeof(message));
    assert_int_equal(strlen(text_of(str_of(message, LOG_LINE_MAX))), LOG_LINE_MAX + 1);
    assert_int_equal(strlen(text_of(str_of(message, LOG_LINE_MAX + 1))), LOG_LINE_MAX + 1);
    assert_string_equal(text_of(str_of(message, LOG_LINE_MAX + 1)) + LOG_LINE_MAX - 4, "x...\n");
    memcpy(message + LOG_LINE_MAX - 4, "\xe2\x82\xac", 3);
    assert_string_equal(text_of(str_of(message, LOG_LINE_MAX + 1)) + LOG_LINE_MAX - 5, "x...\n");
}

static void json_is_escaped(void **state)
{
    static const struct {
        struct str in;
        const char *out;
    } cases[] = {
        {STR("plain"), "plain"},
        {STR(""), ""},
        {STR("\ttab \"quoted\" back\\slash"), "\\ttab \\\"quoted\\\" back\\\\slash"},
        {STR("\n\r\0\x1f\x7f"), "\\u000a\\u000d\\u0000\\u001f\\u007f"},
        {STR("\xc2\x80\xc2\x9f\xc2\xa0"), "\\u0080\\u009f\xc2\xa0"},
        {STR("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"), "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"},
        {STR("a\xff"
             "b\xc3"),
         "a\xef\xbf\xbd"
         "b\xef\xbf\xbd"},
        {STR("\xc0\xaf\xed\xa0\x80\xf4\x90\x80\x80"),
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"
         "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
    };
    char expected[256];
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        (void)snprintf(expected, sizeof(expected), "{\"level\":\"notice\",\"message\":\"%s\"}\n",
                       cases[i].out);
        assert_string_equal(json_of(cases[i].in), expected);
    }
}

static void fields_that_are_set_are_named(void **state)
{
    static const struct log_style style = {.json = true};
    struct log_about about = {.event = "closed",
                              .client = STR("c\"1"),
                              .user = STR("u"),
                              .address = STR("::1"),
                              .port = 65535,
                              .reason = "exceeded timeout",
                              .rule = "max_keepalive",
                              .topic = STR("a/b"),
                              .more = UINT64_MAX};
    struct log_entry entry = {LOG_LEVEL_SUBSCRIBE, STR("m"), &about};
    (void)state;
    assert_string_equal(
        line_of(&style, &entry),
        "{\"level\":\"subscribe\",\"message\":\"m\",\"event\":\"closed\",\"client\":\"c\\\"1\","
        "\"user\":\"u\",\"address\":\"::1\",\"port\":65535,\"reason\":\"exceeded timeout\","
        "\"rule\":\"max_keepalive\",\"topic\":\"a/b\",\"more\":18446744073709551615}\n");
    about = (struct log_about){.port = 1};
    assert_string_equal(line_of(&style, &entry),
                        "{\"level\":\"subscribe\",\"message\":\"m\",\"port\":1}\n");
    entry.about = NULL;
    assert_string_equal(line_of(&style, &entry), "{\"level\":\"subscribe\",\"message\":\"m\"}\n");
}

/* Whatever bytes a peer has sent, the longest line is whole. */
static void the_longest_fields_fit(void **state)
{
    static const char fills[] = {'x', '"', '\n', '\xff', '\xc3'};
    static char many[70000];
    struct log_style style = {.json = true, .timestamp = true};
    struct str all = str_of(many, sizeof(many) - 1);
    (void)state;
    memset(style.time_format, '"', LOG_TIME_FORMAT_MAX - 1);
    for (size_t i = 0; i < ARRAY_SIZE(fills); i++) {
        memset(many, fills[i], sizeof(many) - 1);
        struct log_about about = {many, all, all, all, 65535, many, many, all, UINT64_MAX};
        struct log_entry entry = {LOG_LEVEL_UNSUBSCRIBE, all, &about};
        stamp.known = false;
        const char *line = line_of(&style, &entry);
        assert_in_range(out.n, 3500, LOG_TEXT_MAX);
        assert_string_equal(line + out.n - 2, "}\n");
        assert_non_null(strstr(line, "...\",\"topic\":\""));
        assert_null(memchr(line, '\n', out.n - 1));
    }
}

static void a_long_field_is_cut_between_two_units(void **state)
{
    static const struct log_style style = {.json = true};
    char text[40];
    struct log_about about = {.event = text};
    struct log_entry entry = {LOG_LEVEL_INFO, STR("m"), &about};
    (void)state;
    memset(text, 'x', sizeof(text));
    text[32] = '\0';
    assert_non_null(strstr(line_of(&style, &entry), "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}"));
    text[32] = 'x';
    text[33] = '\0';
    assert_non_null(strstr(line_of(&style, &entry), "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxx...\"}"));
    text[28] = '"';
    assert_non_null(strstr(line_of(&style, &entry), "\"xxxxxxxxxxxxxxxxxxxxxxxxxxxx...\"}"));
}

static void the_time_is_in_front(void **state)
{
    struct log_style style = {.timestamp = true};
    struct log_entry entry = {LOG_LEVEL_INFO, STR("m"), NULL};
    long long seconds = 0;
    int at = 0;
    (void)state;
    stamp.known = false;
    assert_int_equal(sscanf(line_of(&style, &entry), "%lld: m%n", &seconds, &at), 1);
    assert_in_range(seconds, time(NULL) - 10, time(NULL));
    assert_int_equal(out.n, at + 1);
    assert_memory_equal(out.bytes + out.body, "m\n", 2);
    assert_int_equal(out.body, at - 1);
}

static void the_time_has_the_format_that_is_asked_for(void **state)
{
    struct log_style style = {.timestamp = true, .time_format = "<%Y>\n%%"};
    struct log_entry entry = {LOG_LEVEL_INFO, STR("m"), NULL};
    int year = 0;
    char end = 0;
    (void)state;
    stamp.known = false;
    assert_int_equal(sscanf(line_of(&style, &entry), "<%d>?%%: m%c", &year, &end), 2);
    assert_in_range(year, 2024, 2200);
    assert_int_equal(end, '\n');
    style.json = true;
    stamp.known = false;
    assert_int_equal(sscanf(line_of(&style, &entry),
                            "{\"time\":\"<%d>\\u000a%%\",\"level\":\"info\",\"message\":\"m\"%c",
                            &year, &end),
                     2);
    assert_int_equal(end, '}');
}

/* Seconds stand in for a format that makes nothing, or more than anybody wants. */
static void a_useless_format_is_replaced(void **state)
{
    struct log_style style = {.timestamp = true, .time_format = "%c%c%c%c%c%c%c%c%c%c%c%c%c%c%c"};
    struct log_entry entry = {LOG_LEVEL_INFO, STR("m"), NULL};
    long long seconds = 0;
    (void)state;
    stamp.known = false;
    assert_int_equal(sscanf(line_of(&style, &entry), "%lld: m", &seconds), 1);
    assert_in_range(seconds, time(NULL) - 10, time(NULL));
}

static void json_has_the_time_in_utc_with_milliseconds(void **state)
{
    struct log_style style = {.json = true, .timestamp = true};
    struct log_entry entry = {LOG_LEVEL_INFO, STR("m"), NULL};
    struct tm t = {0};
    int ms = -1;
    char end = 0;
    (void)state;
    stamp.known = false;
    int n =
        sscanf(line_of(&style, &entry),
               "{\"time\":\"%4d-%2d-%2dT%2d:%2d:%2d.%3dZ\",\"level\":\"info\",\"message\":\"m\"%c",
               &t.tm_year, &t.tm_mon, &t.tm_mday, &t.tm_hour, &t.tm_min, &t.tm_sec, &ms, &end);
    assert_int_equal(n, 8);
    t.tm_year -= 1900;
    t.tm_mon -= 1;
    assert_in_range(timegm(&t), time(NULL) - 10, time(NULL));
    assert_in_range(ms, 0, 999);
    assert_int_equal(end, '}');
}

static void each_level_has_its_names(void **state)
{
    static const struct {
        enum log_level level;
        const char *word;
        const char *topic;
        int priority;
    } cases[] = {
        {LOG_LEVEL_ERROR, "error", "E", LOG_ERR},
        {LOG_LEVEL_WARNING, "warning", "W", LOG_WARNING},
        {LOG_LEVEL_NOTICE, "notice", "N", LOG_NOTICE},
        {LOG_LEVEL_INFO, "info", "I", LOG_INFO},
        {LOG_LEVEL_DEBUG, "debug", NULL, LOG_DEBUG},
        {LOG_LEVEL_SUBSCRIBE, "subscribe", "M/subscribe", LOG_NOTICE},
        {LOG_LEVEL_UNSUBSCRIBE, "unsubscribe", "M/unsubscribe", LOG_NOTICE},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct log_level_name *name = log_level_name(cases[i].level);
        assert_string_equal(name->word, cases[i].word);
        assert_int_equal(name->priority, cases[i].priority);
        if (cases[i].topic)
            assert_string_equal(name->topic, cases[i].topic);
        else
            assert_null(name->topic);
    }
}

static void a_loss_is_a_line_too(void **state)
{
    struct log_style style = {.json = false};
    (void)state;
    log_format_loss(&out, &style, 12345);
    assert_memory_equal(out.bytes, "(12345 log lines were lost here)\n", out.n);
    style.json = true;
    log_format_loss(&out, &style, 2);
    assert_memory_equal(out.bytes,
                        "{\"level\":\"warning\",\"message\":\"(2 log lines were lost here)\","
                        "\"event\":\"log_lost\",\"more\":2}\n",
                        out.n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(no_control_character_is_in_a_text_line),
        UNIT_TEST(a_long_text_is_cut_between_two_characters),
        UNIT_TEST(json_is_escaped),
        UNIT_TEST(fields_that_are_set_are_named),
        UNIT_TEST(the_longest_fields_fit),
        UNIT_TEST(a_long_field_is_cut_between_two_units),
        UNIT_TEST(the_time_is_in_front),
        UNIT_TEST(the_time_has_the_format_that_is_asked_for),
        UNIT_TEST(a_useless_format_is_replaced),
        UNIT_TEST(json_has_the_time_in_utc_with_milliseconds),
        UNIT_TEST(each_level_has_its_names),
        UNIT_TEST(a_loss_is_a_line_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
