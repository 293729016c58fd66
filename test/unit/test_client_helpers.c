/*
 * The public functions that need no client: topics, levels, UTF-8, messages, and words.
 */
#include "base/mem.h"
#include "client/gift.h"
#include "mosquitto.h"
#include "mqtt_protocol.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- Topics --------------------------------------------------------------------------------- */

static const struct {
    const char *topic;
    bool name, filter;
} topics[] = {
    {"a", true, true},
    {"a/b", true, true},
    {"/", true, true},
    {"//", true, true},
    {"$SYS/broker", true, true},
    {"a b", true, true},
    {"\xff", true, true},
    {"", false, false},
    {"+", false, true},
    {"#", false, true},
    {"a/+", false, true},
    {"+/+", false, true},
    {"a/#", false, true},
    {"/#", false, true},
    {"$share/g/a/#", false, true},
    {"$share//a", true, true},
    {"$share/a", true, true},
    {"a+", false, false},
    {"+a", false, false},
    {"a/+b/c", false, false},
    {"#a", false, false},
    {"a#", false, false},
    {"a/#/b", false, false},
    {"#/", false, false},
    {"$share/g+/a", false, false},
};

static void topics_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(topics); i++) {
        const char *t = topics[i].topic;
        int name = topics[i].name ? MOSQ_ERR_SUCCESS : MOSQ_ERR_INVAL;
        int filter = topics[i].filter ? MOSQ_ERR_SUCCESS : MOSQ_ERR_INVAL;

        if (mosquitto_pub_topic_check(t) != name || mosquitto_sub_topic_check(t) != filter)
            fail_msg("another verdict: '%s'", t);
        assert_int_equal(mosquitto_pub_topic_check2(t, strlen(t)), name);
        assert_int_equal(mosquitto_sub_topic_check2(t, strlen(t)), filter);
    }
    assert_int_equal(mosquitto_pub_topic_check(NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_sub_topic_check(NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_pub_topic_check2(NULL, 3), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_sub_topic_check2(NULL, 3), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_pub_topic_check2("ab+", 2), MOSQ_ERR_SUCCESS);
    assert_int_equal(mosquitto_sub_topic_check2("a/+b", 3), MOSQ_ERR_SUCCESS);
}

static void topics_have_a_length(void **state)
{
    static char longest[65537 + 1];
    static char deep[250 + 1];

    (void)state;
    memset(longest, 'a', sizeof(longest) - 1);
    longest[65535] = '\0';
    assert_int_equal(mosquitto_pub_topic_check(longest), MOSQ_ERR_SUCCESS);
    assert_int_equal(mosquitto_sub_topic_check(longest), MOSQ_ERR_SUCCESS);
    longest[65535] = 'a';
    longest[65536] = '\0';
    assert_int_equal(mosquitto_pub_topic_check(longest), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_sub_topic_check(longest), MOSQ_ERR_INVAL);
    /* More levels than our broker takes are another broker's affair. */
    memset(deep, '/', sizeof(deep) - 1);
    assert_int_equal(mosquitto_pub_topic_check(deep), MOSQ_ERR_SUCCESS);
    assert_int_equal(mosquitto_sub_topic_check(deep), MOSQ_ERR_SUCCESS);
}

static const struct {
    const char *filter, *topic;
    int error;
    bool matches;
} matches[] = {
    {"a", "a", MOSQ_ERR_SUCCESS, true},         {"a", "b", MOSQ_ERR_SUCCESS, false},
    {"a", "a/b", MOSQ_ERR_SUCCESS, false},      {"a/b", "a", MOSQ_ERR_SUCCESS, false},
    {"a/#", "a", MOSQ_ERR_SUCCESS, true},       {"a/#", "a/", MOSQ_ERR_SUCCESS, true},
    {"a/#", "ab", MOSQ_ERR_SUCCESS, false},     {"a/+", "a", MOSQ_ERR_SUCCESS, false},
    {"a/+", "a/", MOSQ_ERR_SUCCESS, true},      {"+", "/", MOSQ_ERR_SUCCESS, false},
    {"+/+", "/", MOSQ_ERR_SUCCESS, true},       {"/#", "/", MOSQ_ERR_SUCCESS, true},
    {"#", "$SYS/a", MOSQ_ERR_SUCCESS, false},   {"+/a", "$SYS/a", MOSQ_ERR_SUCCESS, false},
    {"$SYS/#", "$SYS", MOSQ_ERR_SUCCESS, true}, {"$share/g/a", "a", MOSQ_ERR_SUCCESS, false},
    {"", "a", MOSQ_ERR_INVAL, false},           {"a", "", MOSQ_ERR_INVAL, false},
    {"+", "+", MOSQ_ERR_INVAL, false},          {"a+", "a", MOSQ_ERR_INVAL, false},
    {"#", "a/#", MOSQ_ERR_INVAL, false},        {NULL, "a", MOSQ_ERR_INVAL, false},
    {"a", NULL, MOSQ_ERR_INVAL, false},
};

static void filters_match(void **state)
{
    bool result;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
        result = !matches[i].matches;
        int error = mosquitto_topic_matches_sub(matches[i].filter, matches[i].topic, &result);
        if (error != matches[i].error || result != matches[i].matches)
            fail_msg("'%s' and '%s': %d, %d", matches[i].filter ? matches[i].filter : "NULL",
                     matches[i].topic ? matches[i].topic : "NULL", error, result);
    }
    assert_int_equal(mosquitto_topic_matches_sub("a", "a", NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_topic_matches_sub2("a/+x", 3, "a/by", 3, &result), 0);
    assert_true(result);
    assert_int_equal(mosquitto_topic_matches_sub2("a", 0, "a", 1, &result), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_topic_matches_sub2(NULL, 1, "a", 1, &result), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_topic_matches_sub2("a", 1, NULL, 1, &result), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_topic_matches_sub2("a", 1, "a", 1, NULL), MOSQ_ERR_INVAL);
}

/* ---- Levels --------------------------------------------------------------------------------- */

static const struct {
    const char *topic;
    int n;
    const char *levels[4];
} splits[] = {
    {"", 1, {NULL}},
    {"a", 1, {"a"}},
    {"/", 2, {NULL, NULL}},
    {"a/b", 2, {"a", "b"}},
    {"a//b", 3, {"a", NULL, "b"}},
    {"/a/", 3, {NULL, "a", NULL}},
    {"$share/g/+/#", 4, {"$share", "g", "+", "#"}},
};

static void topics_are_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(splits); i++) {
        char **levels = NULL;
        int n = -1;

        assert_int_equal(mosquitto_sub_topic_tokenise(splits[i].topic, &levels, &n), 0);
        assert_int_equal(n, splits[i].n);
        for (int k = 0; k < n; k++) {
            if (splits[i].levels[k])
                assert_string_equal(levels[k], splits[i].levels[k]);
            else
                assert_null(levels[k]);
        }
        assert_int_equal(mosquitto_sub_topic_tokens_free(&levels, n), 0);
        assert_null(levels);
    }
}

static void nothing_is_not_split(void **state)
{
    char **levels = NULL;
    int n = -1;

    (void)state;
    assert_int_equal(mosquitto_sub_topic_tokenise(NULL, &levels, &n), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_sub_topic_tokenise("a", NULL, &n), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_sub_topic_tokenise("a", &levels, NULL), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_sub_topic_tokens_free(NULL, 1), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_sub_topic_tokens_free(&levels, 1), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_sub_topic_tokenise("a", &levels, &n), 0);
    assert_int_equal(mosquitto_sub_topic_tokens_free(&levels, 0), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_sub_topic_tokens_free(&levels, n), 0);
}

/* ---- Strings -------------------------------------------------------------------------------- */

static void strings_are_checked(void **state)
{
    static char longest[65537];

    (void)state;
    assert_int_equal(mosquitto_validate_utf8("", 0), MOSQ_ERR_SUCCESS);
    assert_int_equal(mosquitto_validate_utf8("\xc3\xa9", 2), MOSQ_ERR_SUCCESS);
    assert_int_equal(mosquitto_validate_utf8("\xef\xbb\xbf", 3), MOSQ_ERR_SUCCESS);
    assert_int_equal(mosquitto_validate_utf8("\xc3\xa9", 1), MOSQ_ERR_MALFORMED_UTF8);
    assert_int_equal(mosquitto_validate_utf8("a\0b", 3), MOSQ_ERR_MALFORMED_UTF8);
    assert_int_equal(mosquitto_validate_utf8("\x01", 1), MOSQ_ERR_MALFORMED_UTF8);
    assert_int_equal(mosquitto_validate_utf8("\xed\xa0\x80", 3), MOSQ_ERR_MALFORMED_UTF8);
    assert_int_equal(mosquitto_validate_utf8(NULL, 1), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_validate_utf8("a", -1), MOSQ_ERR_INVAL);
    memset(longest, 'a', sizeof(longest));
    assert_int_equal(mosquitto_validate_utf8(longest, 65536), MOSQ_ERR_SUCCESS);
    assert_int_equal(mosquitto_validate_utf8(longest, 65537), MOSQ_ERR_INVAL);
}

/* ---- Messages ------------------------------------------------------------------------------- */

static void messages_are_copied(void **state)
{
    char topic[] = "a/b";
    char payload[] = {1, 0, 2};
    const struct mosquitto_message m = {7, topic, payload, 3, 2, true};
    struct mosquitto_message *copy = malloc(sizeof(*copy));

    (void)state;
    memset(copy, 0xff, sizeof(*copy));
    assert_int_equal(mosquitto_message_copy(copy, &m), MOSQ_ERR_SUCCESS);
    assert_int_equal(copy->mid, 7);
    assert_string_equal(copy->topic, topic);
    assert_ptr_not_equal(copy->topic, topic);
    assert_int_equal(copy->payloadlen, 3);
    assert_memory_equal(copy->payload, payload, 3);
    assert_int_equal(copy->qos, 2);
    assert_true(copy->retain);
    mosquitto_message_free(&copy);
    assert_null(copy);
    mosquitto_message_free(&copy);
    mosquitto_message_free(NULL);
}

static void messages_may_be_empty_but_not_wrong(void **state)
{
    char topic[] = "a";
    struct mosquitto_message m = {.topic = topic, .payload = topic};
    struct mosquitto_message copy = {.mid = 5};

    (void)state;
    assert_int_equal(mosquitto_message_copy(&copy, &m), MOSQ_ERR_SUCCESS);
    assert_null(copy.payload);
    mosquitto_message_free_contents(&copy);
    assert_null(copy.topic);
    mosquitto_message_free_contents(&copy);
    mosquitto_message_free_contents(NULL);
    assert_int_equal(mosquitto_message_copy(NULL, &m), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_message_copy(&copy, NULL), MOSQ_ERR_INVAL);
    m.payloadlen = -1;
    assert_int_equal(mosquitto_message_copy(&copy, &m), MOSQ_ERR_INVAL);
    m.payloadlen = 1;
    m.payload = NULL;
    assert_int_equal(mosquitto_message_copy(&copy, &m), MOSQ_ERR_INVAL);
    m.payload = topic;
    m.topic = NULL;
    assert_int_equal(mosquitto_message_copy(&copy, &m), MOSQ_ERR_INVAL);
}

/* ---- Without memory ------------------------------------------------------------------------- */

static int copy_a_message(void)
{
    char topic[] = "a";
    const struct mosquitto_message m = {.topic = topic, .payload = topic, .payloadlen = 1};
    struct mosquitto_message copy = {.mid = 5};
    int error = mosquitto_message_copy(&copy, &m);

    if (error)
        assert_int_equal(copy.mid, 5);
    else
        mosquitto_message_free_contents(&copy);
    return error;
}

static int split_a_topic(void)
{
    char **levels = NULL;
    int n = -1;
    int error = mosquitto_sub_topic_tokenise("a//b/c", &levels, &n);

    if (error) {
        assert_null(levels);
        assert_int_equal(n, -1);
    } else {
        mosquitto_sub_topic_tokens_free(&levels, n);
    }
    return error;
}

static void each_allocation_fails_once(int (*job)(void), uint64_t at_least)
{
    uint64_t n = 0;
    int error;

    do {
        mem_fail_after(n++, 0);
        error = job();
        uint64_t failed = mem_failed();
        mem_fail_never();
        assert_int_equal(error, failed ? MOSQ_ERR_NOMEM : MOSQ_ERR_SUCCESS);
    } while (error);
    assert_true(n > at_least || mem_calls() == 0);
}

static void memory_may_be_missing(void **state)
{
    size_t before = mem_used();

    (void)state;
    each_allocation_fails_once(copy_a_message, 2);
    each_allocation_fails_once(split_a_topic, 4);
    assert_int_equal(mem_used(), before);
}

/* ---- Words ---------------------------------------------------------------------------------- */

static void errors_have_words(void **state)
{
    (void)state;
    for (int error = MOSQ_ERR_AUTH_CONTINUE; error <= MOSQ_ERR_ALREADY_EXISTS; error++) {
        if (error != MOSQ_ERR_ERRNO && error != MOSQ_ERR_UNKNOWN)
            assert_string_not_equal(mosquitto_strerror(error), "Unknown error.");
    }
    assert_string_equal(mosquitto_strerror(MOSQ_ERR_SUCCESS), "No error.");
    assert_string_equal(mosquitto_strerror(MOSQ_ERR_CONN_REFUSED), "The connection was refused.");
    assert_string_equal(mosquitto_strerror(MOSQ_ERR_CONN_LOST), "The connection was lost.");
    assert_string_equal(mosquitto_strerror(MOSQ_ERR_EAI), "Lookup error.");
    errno = ECONNREFUSED;
    assert_string_equal(mosquitto_strerror(MOSQ_ERR_ERRNO), strerror(ECONNREFUSED));
    assert_string_equal(mosquitto_strerror(MOSQ_ERR_AUTH_CONTINUE - 1), "Unknown error.");
    assert_string_equal(mosquitto_strerror(MOSQ_ERR_ALREADY_EXISTS + 1), "Unknown error.");
    assert_string_equal(mosquitto_strerror(INT32_MIN), "Unknown error.");
    assert_string_equal(mosquitto_strerror(INT32_MAX), "Unknown error.");
}

static void answers_have_words(void **state)
{
    (void)state;
    assert_string_equal(mosquitto_connack_string(0), "Connection Accepted.");
    assert_string_equal(mosquitto_connack_string(CONNACK_REFUSED_NOT_AUTHORIZED),
                        "Connection Refused: not authorised.");
    assert_string_equal(mosquitto_connack_string(CONNACK_REFUSED_BAD_USERNAME_PASSWORD),
                        "Connection Refused: bad user name or password.");
    assert_string_equal(mosquitto_connack_string(6), "Connection Refused: unknown reason.");
    assert_string_equal(mosquitto_connack_string(-1), "Connection Refused: unknown reason.");
    assert_string_equal(mosquitto_reason_string(0), "Success");
    assert_string_equal(mosquitto_reason_string(MQTT_RC_NOT_AUTHORIZED), "Not authorized");
    assert_string_equal(mosquitto_reason_string(3), "Unknown reason");
    assert_string_equal(mosquitto_reason_string(163), "Unknown reason");
    assert_string_equal(mosquitto_reason_string(-1), "Unknown reason");
}

static void packets_have_names(void **state)
{
    static const struct {
        const char *name;
        int error;
        int command;
    } cases[] = {
        {"connect", MOSQ_ERR_SUCCESS, CMD_CONNECT},
        {"Will", MOSQ_ERR_SUCCESS, CMD_WILL},
        {"UNSUBSCRIBE", MOSQ_ERR_SUCCESS, CMD_UNSUBSCRIBE},
        {"suback", MOSQ_ERR_INVAL, 77},
        {"", MOSQ_ERR_INVAL, 77},
        {NULL, MOSQ_ERR_INVAL, 77},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int command = 77;

        assert_int_equal(mosquitto_string_to_command(cases[i].name, &command), cases[i].error);
        assert_int_equal(command, cases[i].command);
    }
    assert_int_equal(mosquitto_string_to_command("auth", NULL), MOSQ_ERR_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(topics_are_checked),
        cmocka_unit_test(topics_have_a_length),
        cmocka_unit_test(filters_match),
        cmocka_unit_test(topics_are_split),
        cmocka_unit_test(nothing_is_not_split),
        cmocka_unit_test(strings_are_checked),
        cmocka_unit_test(messages_are_copied),
        cmocka_unit_test(messages_may_be_empty_but_not_wrong),
        cmocka_unit_test(memory_may_be_missing),
        cmocka_unit_test(errors_have_words),
        cmocka_unit_test(answers_have_words),
        cmocka_unit_test(packets_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
