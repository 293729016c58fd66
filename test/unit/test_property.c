/*
 * Lists of MQTT 5 properties: what can be added, what is read back, and which packets may have
 * what.
 */
#include "base/base.h"
#include "base/mem.h"
#include "mosquitto.h"
#include "mqtt_protocol.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NO_PROPERTY 4 /* an identifier that means nothing */

/* ---- Every property ------------------------------------------------------------------------- */

/* MQTT 5, table 2-4, in its order: which packets may have it, by their letters below. */
static const struct {
    int identifier;
    int type;
    const char *name;
    const char *packets;
} properties[] = {
    {1, MQTT_PROP_TYPE_BYTE, "payload-format-indicator", "PW"},
    {2, MQTT_PROP_TYPE_INT32, "message-expiry-interval", "PW"},
    {3, MQTT_PROP_TYPE_STRING, "content-type", "PW"},
    {8, MQTT_PROP_TYPE_STRING, "response-topic", "PW"},
    {9, MQTT_PROP_TYPE_BINARY, "correlation-data", "PW"},
    {11, MQTT_PROP_TYPE_VARINT, "subscription-identifier", "PS"},
    {17, MQTT_PROP_TYPE_INT32, "session-expiry-interval", "CcD"},
    {18, MQTT_PROP_TYPE_STRING, "assigned-client-identifier", "c"},
    {19, MQTT_PROP_TYPE_INT16, "server-keep-alive", "c"},
    {21, MQTT_PROP_TYPE_STRING, "authentication-method", "CcA"},
    {22, MQTT_PROP_TYPE_BINARY, "authentication-data", "CcA"},
    {23, MQTT_PROP_TYPE_BYTE, "request-problem-information", "C"},
    {24, MQTT_PROP_TYPE_INT32, "will-delay-interval", "W"},
    {25, MQTT_PROP_TYPE_BYTE, "request-response-information", "C"},
    {26, MQTT_PROP_TYPE_STRING, "response-information", "c"},
    {28, MQTT_PROP_TYPE_STRING, "server-reference", "cD"},
    {31, MQTT_PROP_TYPE_STRING, "reason-string", "c1234suDA"},
    {33, MQTT_PROP_TYPE_INT16, "receive-maximum", "Cc"},
    {34, MQTT_PROP_TYPE_INT16, "topic-alias-maximum", "Cc"},
    {35, MQTT_PROP_TYPE_INT16, "topic-alias", "P"},
    {36, MQTT_PROP_TYPE_BYTE, "maximum-qos", "c"},
    {37, MQTT_PROP_TYPE_BYTE, "retain-available", "c"},
    {38, MQTT_PROP_TYPE_STRING_PAIR, "user-property", "CcP1234SsUuDAW"},
    {39, MQTT_PROP_TYPE_INT32, "maximum-packet-size", "Cc"},
    {40, MQTT_PROP_TYPE_BYTE, "wildcard-subscription-available", "c"},
    {41, MQTT_PROP_TYPE_BYTE, "subscription-identifier-available", "c"},
    {42, MQTT_PROP_TYPE_BYTE, "shared-subscription-available", "c"},
};

static const struct {
    char letter;
    int command;
} packets[] = {
    {'C', CMD_CONNECT},
    {'c', CMD_CONNACK},
    {'P', CMD_PUBLISH},
    {'1', CMD_PUBACK},
    {'2', CMD_PUBREC},
    {'3', CMD_PUBREL},
    {'4', CMD_PUBCOMP},
    {'S', CMD_SUBSCRIBE},
    {'s', CMD_SUBACK},
    {'U', CMD_UNSUBSCRIBE},
    {'u', CMD_UNSUBACK},
    {'.', CMD_PINGREQ},
    {'.', CMD_PINGRESP},
    {'D', CMD_DISCONNECT},
    {'A', CMD_AUTH},
    {'W', CMD_WILL},
    {'.', 0},
    {'.', CMD_PUBLISH + 1},
    {'.', CMD_WILL + 0x10},
    {'.', -CMD_WILL},
};

/* One of that type, with values that are always allowed. */
static int add(mosquitto_property **list, int identifier, int type)
{
    switch (type) {
    case MQTT_PROP_TYPE_BYTE:
        return mosquitto_property_add_byte(list, identifier, 1);
    case MQTT_PROP_TYPE_INT16:
        return mosquitto_property_add_int16(list, identifier, 0x1234);
    case MQTT_PROP_TYPE_INT32:
        return mosquitto_property_add_int32(list, identifier, 0x12345678);
    case MQTT_PROP_TYPE_VARINT:
        return mosquitto_property_add_varint(list, identifier, 268435455);
    case MQTT_PROP_TYPE_BINARY:
        return mosquitto_property_add_binary(list, identifier, "a\0b", 3);
    case MQTT_PROP_TYPE_STRING:
        return mosquitto_property_add_string(list, identifier, "text");
    default:
        return mosquitto_property_add_string_pair(list, identifier, "name", "value");
    }
}

static void every_property_has_its_type(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
        for (int type = MQTT_PROP_TYPE_BYTE; type <= MQTT_PROP_TYPE_STRING_PAIR; type++) {
            mosquitto_property *list = NULL;
            bool fits = type == properties[i].type;

            assert_int_equal(add(&list, properties[i].identifier, type),
                             fits ? MOSQ_ERR_SUCCESS : MOSQ_ERR_INVAL);
            assert_int_equal(mosquitto_property_identifier(list),
                             fits ? properties[i].identifier : 0);
            mosquitto_property_free_all(&list);
            assert_int_equal(add(NULL, properties[i].identifier, type), MOSQ_ERR_INVAL);
            assert_int_equal(add(&list, NO_PROPERTY, type), MOSQ_ERR_INVAL);
            assert_null(list);
        }
    }
}

static void every_property_has_a_name(void **state)
{
    int identifier = 77;
    int type = 78;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
        const char *name = properties[i].name;

        assert_string_equal(mosquitto_property_identifier_to_string(properties[i].identifier),
                            name);
        assert_int_equal(mosquitto_string_to_property_info(name, &identifier, &type), 0);
        assert_int_equal(identifier, properties[i].identifier);
        assert_int_equal(type, properties[i].type);
    }
    assert_int_equal(mosquitto_string_to_property_info("Content-TYPE", &identifier, &type), 0);
    assert_int_equal(identifier, MQTT_PROP_CONTENT_TYPE);
    assert_int_equal(mosquitto_string_to_property_info("content", &identifier, &type),
                     MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_string_to_property_info(NULL, &identifier, &type), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_string_to_property_info("topic-alias", NULL, &type), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_string_to_property_info("topic-alias", &identifier, NULL),
                     MOSQ_ERR_INVAL);
    assert_null(mosquitto_property_identifier_to_string(NO_PROPERTY));
    assert_null(mosquitto_property_identifier_to_string(-1));
}

static void every_packet_has_its_properties(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
        mosquitto_property *list = NULL;

        /* Data needs a method before it. */
        if (properties[i].identifier == MQTT_PROP_AUTHENTICATION_DATA)
            assert_int_equal(add(&list, MQTT_PROP_AUTHENTICATION_METHOD, MQTT_PROP_TYPE_STRING), 0);
        assert_int_equal(add(&list, properties[i].identifier, properties[i].type), 0);
        for (size_t k = 0; k < ARRAY_SIZE(packets); k++) {
            bool allowed = strchr(properties[i].packets, packets[k].letter) != NULL;
            int expected = allowed ? MOSQ_ERR_SUCCESS : MOSQ_ERR_PROTOCOL;
            int one =
                mosquitto_property_check_command(packets[k].command, properties[i].identifier);

            if (one != expected || mosquitto_property_check_all(packets[k].command, list) != one)
                fail_msg("%s in %#x: %d", properties[i].name, (unsigned)packets[k].command, one);
        }
        mosquitto_property_free_all(&list);
    }
    assert_int_equal(mosquitto_property_check_command(CMD_PUBLISH, NO_PROPERTY), MOSQ_ERR_PROTOCOL);
    assert_int_equal(mosquitto_property_check_all(CMD_PUBLISH, NULL), MOSQ_ERR_SUCCESS);
}

/* ---- Values --------------------------------------------------------------------------------- */

static int check_number(int command, int identifier, int type, uint32_t value)
{
    mosquitto_property *list = NULL;

    if (type == MQTT_PROP_TYPE_BYTE)
        assert_int_equal(mosquitto_property_add_byte(&list, identifier, (uint8_t)value), 0);
    else if (type == MQTT_PROP_TYPE_INT16)
        assert_int_equal(mosquitto_property_add_int16(&list, identifier, (uint16_t)value), 0);
    else if (type == MQTT_PROP_TYPE_INT32)
        assert_int_equal(mosquitto_property_add_int32(&list, identifier, value), 0);
    else
        assert_int_equal(mosquitto_property_add_varint(&list, identifier, value), 0);
    int error = mosquitto_property_check_all(command, list);
    mosquitto_property_free_all(&list);
    return error;
}

static void numbers_have_bounds(void **state)
{
    static const struct {
        int command;
        int identifier;
        int type;
        uint32_t value;
        int error;
    } cases[] = {
        {CMD_PUBLISH, MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, MQTT_PROP_TYPE_BYTE, 0, 0},
        {CMD_PUBLISH, MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, MQTT_PROP_TYPE_BYTE, 2,
         MOSQ_ERR_PROTOCOL},
        {CMD_CONNECT, MQTT_PROP_REQUEST_PROBLEM_INFORMATION, MQTT_PROP_TYPE_BYTE, 0, 0},
        {CMD_CONNECT, MQTT_PROP_REQUEST_PROBLEM_INFORMATION, MQTT_PROP_TYPE_BYTE, 2,
         MOSQ_ERR_PROTOCOL},
        {CMD_CONNACK, MQTT_PROP_MAXIMUM_QOS, MQTT_PROP_TYPE_BYTE, 1, 0},
        {CMD_CONNACK, MQTT_PROP_MAXIMUM_QOS, MQTT_PROP_TYPE_BYTE, 2, MOSQ_ERR_PROTOCOL},
        {CMD_CONNECT, MQTT_PROP_RECEIVE_MAXIMUM, MQTT_PROP_TYPE_INT16, 0, MOSQ_ERR_PROTOCOL},
        {CMD_CONNECT, MQTT_PROP_RECEIVE_MAXIMUM, MQTT_PROP_TYPE_INT16, 65535, 0},
        {CMD_CONNECT, MQTT_PROP_TOPIC_ALIAS_MAXIMUM, MQTT_PROP_TYPE_INT16, 0, 0},
        {CMD_PUBLISH, MQTT_PROP_TOPIC_ALIAS, MQTT_PROP_TYPE_INT16, 0, MOSQ_ERR_PROTOCOL},
        {CMD_CONNECT, MQTT_PROP_MAXIMUM_PACKET_SIZE, MQTT_PROP_TYPE_INT32, 0, MOSQ_ERR_PROTOCOL},
        {CMD_CONNECT, MQTT_PROP_MAXIMUM_PACKET_SIZE, MQTT_PROP_TYPE_INT32, UINT32_MAX, 0},
        {CMD_CONNECT, MQTT_PROP_SESSION_EXPIRY_INTERVAL, MQTT_PROP_TYPE_INT32, 0, 0},
        {CMD_SUBSCRIBE, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, MQTT_PROP_TYPE_VARINT, 0,
         MOSQ_ERR_PROTOCOL},
        {CMD_SUBSCRIBE, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, MQTT_PROP_TYPE_VARINT, 1, 0},
    };
    mosquitto_property *list = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        int error =
            check_number(cases[i].command, cases[i].identifier, cases[i].type, cases[i].value);
        if (error != cases[i].error)
            fail_msg("property %d with %u: %d", cases[i].identifier, cases[i].value, error);
    }
    assert_int_equal(
        mosquitto_property_add_varint(&list, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, 268435456),
        MOSQ_ERR_INVAL);
    assert_null(list);
}

static void texts_have_bounds(void **state)
{
    static char text[65536 + 1];
    mosquitto_property *list = NULL;

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    assert_int_equal(mosquitto_property_add_string(&list, MQTT_PROP_CONTENT_TYPE, text),
                     MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_property_add_string_pair(&list, MQTT_PROP_USER_PROPERTY, text, "a"),
                     MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_property_add_string_pair(&list, MQTT_PROP_USER_PROPERTY, "a", text),
                     MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_property_add_string(&list, MQTT_PROP_CONTENT_TYPE, "\xff"),
                     MOSQ_ERR_MALFORMED_UTF8);
    assert_int_equal(mosquitto_property_add_string_pair(&list, MQTT_PROP_USER_PROPERTY, "\xff", ""),
                     MOSQ_ERR_MALFORMED_UTF8);
    assert_int_equal(mosquitto_property_add_string_pair(&list, MQTT_PROP_USER_PROPERTY, "", "\xff"),
                     MOSQ_ERR_MALFORMED_UTF8);
    assert_int_equal(mosquitto_property_add_binary(&list, MQTT_PROP_CORRELATION_DATA, NULL, 1),
                     MOSQ_ERR_INVAL);
    assert_null(list);
    text[65535] = '\0';
    assert_int_equal(mosquitto_property_add_string(&list, MQTT_PROP_CONTENT_TYPE, text), 0);
    assert_int_equal(mosquitto_property_add_binary(&list, MQTT_PROP_CORRELATION_DATA, NULL, 0), 0);
    assert_int_equal(mosquitto_property_add_string(&list, MQTT_PROP_RESPONSE_TOPIC, NULL), 0);
    assert_int_equal(mosquitto_property_check_all(CMD_PUBLISH, list), 0);
    mosquitto_property_free_all(&list);
}

static void nobody_answers_to_a_wildcard(void **state)
{
    mosquitto_property *list = NULL;

    (void)state;
    assert_int_equal(mosquitto_property_add_string(&list, MQTT_PROP_RESPONSE_TOPIC, "a/#"), 0);
    assert_int_equal(mosquitto_property_check_all(CMD_PUBLISH, list), MOSQ_ERR_PROTOCOL);
    mosquitto_property_free_all(&list);
}

static void data_needs_a_method(void **state)
{
    mosquitto_property *list = NULL;

    (void)state;
    assert_int_equal(mosquitto_property_add_binary(&list, MQTT_PROP_AUTHENTICATION_DATA, "a", 1),
                     0);
    assert_int_equal(mosquitto_property_check_all(CMD_CONNECT, list), MOSQ_ERR_PROTOCOL);
    assert_int_equal(mosquitto_property_add_string(&list, MQTT_PROP_AUTHENTICATION_METHOD, "m"), 0);
    assert_int_equal(mosquitto_property_check_all(CMD_CONNECT, list), 0);
    mosquitto_property_free_all(&list);
}

static void only_user_properties_come_twice(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
        mosquitto_property *list = NULL;
        bool repeats = properties[i].identifier == MQTT_PROP_USER_PROPERTY;
        int command = 0;

        for (size_t k = 0; k < ARRAY_SIZE(packets); k++) {
            if (packets[k].letter == properties[i].packets[0])
                command = packets[k].command;
        }
        assert_int_equal(add(&list, properties[i].identifier, properties[i].type), 0);
        assert_int_equal(add(&list, properties[i].identifier, properties[i].type), 0);
        assert_int_equal(mosquitto_property_check_all(command, list),
                         repeats ? MOSQ_ERR_SUCCESS : MOSQ_ERR_DUPLICATE_PROPERTY);
        mosquitto_property_free_all(&list);
    }
}

/* ---- Reading -------------------------------------------------------------------------------- */

static mosquitto_property *one_of_each(void)
{
    mosquitto_property *list = NULL;

    assert_int_equal(mosquitto_property_add_byte(&list, MQTT_PROP_MAXIMUM_QOS, 1), 0);
    assert_int_equal(mosquitto_property_add_int16(&list, MQTT_PROP_TOPIC_ALIAS, 0xabcd), 0);
    assert_int_equal(mosquitto_property_add_int32(&list, MQTT_PROP_WILL_DELAY_INTERVAL, 0x89abcdef),
                     0);
    assert_int_equal(
        mosquitto_property_add_varint(&list, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, 268435455), 0);
    assert_int_equal(mosquitto_property_add_binary(&list, MQTT_PROP_CORRELATION_DATA, "a\0b", 3),
                     0);
    assert_int_equal(mosquitto_property_add_string(&list, MQTT_PROP_CONTENT_TYPE, "text"), 0);
    assert_int_equal(
        mosquitto_property_add_string_pair(&list, MQTT_PROP_USER_PROPERTY, "name", "value"), 0);
    assert_int_equal(mosquitto_property_add_string_pair(&list, MQTT_PROP_USER_PROPERTY, "n", ""),
                     0);
    return list;
}

static void assert_numbers(const mosquitto_property *list)
{
    uint8_t byte = 0;
    uint16_t word = 0;
    uint32_t number = 0;

    assert_non_null(mosquitto_property_read_byte(list, MQTT_PROP_MAXIMUM_QOS, &byte, false));
    assert_int_equal(byte, 1);
    assert_non_null(mosquitto_property_read_int16(list, MQTT_PROP_TOPIC_ALIAS, &word, false));
    assert_int_equal(word, 0xabcd);
    assert_non_null(
        mosquitto_property_read_int32(list, MQTT_PROP_WILL_DELAY_INTERVAL, &number, false));
    assert_int_equal(number, 0x89abcdef);
    assert_non_null(
        mosquitto_property_read_varint(list, MQTT_PROP_SUBSCRIPTION_IDENTIFIER, &number, false));
    assert_int_equal(number, 268435455);
}

static void assert_texts(const mosquitto_property *list)
{
    void *bytes = NULL;
    char *text = NULL;
    char *name = NULL;
    uint16_t len = 0;

    assert_non_null(
        mosquitto_property_read_binary(list, MQTT_PROP_CORRELATION_DATA, &bytes, &len, false));
    assert_int_equal(len, 3);
    assert_memory_equal(bytes, "a\0b", 3);
    free(bytes);
    assert_non_null(mosquitto_property_read_string(list, MQTT_PROP_CONTENT_TYPE, &text, false));
    assert_string_equal(text, "text");
    free(text);
    const mosquitto_property *at =
        mosquitto_property_read_string_pair(list, MQTT_PROP_USER_PROPERTY, &name, &text, false);
    assert_string_equal(name, "name");
    assert_string_equal(text, "value");
    free(name);
    free(text);
    at = mosquitto_property_read_string_pair(at, MQTT_PROP_USER_PROPERTY, &name, &text, true);
    assert_string_equal(name, "n");
    assert_string_equal(text, "");
    free(name);
    free(text);
    assert_null(
        mosquitto_property_read_string_pair(at, MQTT_PROP_USER_PROPERTY, &name, &text, true));
}

static void what_was_added_is_read(void **state)
{
    mosquitto_property *list = one_of_each();
    mosquitto_property *copy = NULL;

    (void)state;
    assert_numbers(list);
    assert_texts(list);
    assert_int_equal(mosquitto_property_copy_all(&copy, list), 0);
    mosquitto_property_free_all(&list);
    assert_null(list);
    assert_numbers(copy);
    assert_texts(copy);
    mosquitto_property_free_all(&copy);
    mosquitto_property_free_all(&copy);
    mosquitto_property_free_all(NULL);
}

static void lists_are_walked_in_order(void **state)
{
    static const int order[] = {
        MQTT_PROP_MAXIMUM_QOS,         MQTT_PROP_TOPIC_ALIAS,
        MQTT_PROP_WILL_DELAY_INTERVAL, MQTT_PROP_SUBSCRIPTION_IDENTIFIER,
        MQTT_PROP_CORRELATION_DATA,    MQTT_PROP_CONTENT_TYPE,
        MQTT_PROP_USER_PROPERTY,       MQTT_PROP_USER_PROPERTY,
    };
    mosquitto_property *list = one_of_each();
    const mosquitto_property *at = list;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        assert_int_equal(mosquitto_property_identifier(at), order[i]);
        at = mosquitto_property_next(at);
    }
    assert_null(at);
    assert_null(mosquitto_property_next(NULL));
    assert_int_equal(mosquitto_property_identifier(NULL), 0);
    mosquitto_property_free_all(&list);
}

static void what_is_not_there_is_not_read(void **state)
{
    mosquitto_property *list = one_of_each();
    char *text = NULL;
    uint8_t byte = 7;

    (void)state;
    assert_null(mosquitto_property_read_byte(list, MQTT_PROP_RETAIN_AVAILABLE, &byte, false));
    assert_null(mosquitto_property_read_byte(list, MQTT_PROP_TOPIC_ALIAS, &byte, false));
    assert_null(mosquitto_property_read_byte(list, MQTT_PROP_MAXIMUM_QOS, &byte, true));
    assert_null(mosquitto_property_read_byte(list, NO_PROPERTY, &byte, false));
    assert_null(mosquitto_property_read_byte(NULL, MQTT_PROP_MAXIMUM_QOS, &byte, false));
    assert_int_equal(byte, 7);
    assert_null(mosquitto_property_read_int16(list, MQTT_PROP_MAXIMUM_QOS, NULL, false));
    assert_null(mosquitto_property_read_int32(list, MQTT_PROP_MAXIMUM_QOS, NULL, false));
    assert_null(mosquitto_property_read_varint(NULL, MQTT_PROP_MAXIMUM_QOS, NULL, true));
    assert_null(mosquitto_property_read_string(list, MQTT_PROP_REASON_STRING, &text, false));
    assert_null(mosquitto_property_read_binary(NULL, MQTT_PROP_REASON_STRING, NULL, NULL, false));
    assert_null(
        mosquitto_property_read_string_pair(NULL, MQTT_PROP_USER_PROPERTY, &text, &text, false));
    assert_null(text);
    mosquitto_property_free_all(&list);
}

static void values_need_not_be_wanted(void **state)
{
    mosquitto_property *list = one_of_each();

    (void)state;
    assert_non_null(mosquitto_property_read_byte(list, MQTT_PROP_MAXIMUM_QOS, NULL, false));
    assert_non_null(mosquitto_property_read_int16(list, MQTT_PROP_TOPIC_ALIAS, NULL, false));
    assert_non_null(
        mosquitto_property_read_int32(list, MQTT_PROP_WILL_DELAY_INTERVAL, NULL, false));
    assert_non_null(
        mosquitto_property_read_binary(list, MQTT_PROP_CORRELATION_DATA, NULL, NULL, false));
    assert_non_null(mosquitto_property_read_string(list, MQTT_PROP_CONTENT_TYPE, NULL, false));
    assert_non_null(
        mosquitto_property_read_string_pair(list, MQTT_PROP_USER_PROPERTY, NULL, NULL, false));
    mosquitto_property_free_all(&list);
}

static void copies_may_be_empty(void **state)
{
    mosquitto_property *list = one_of_each();
    mosquitto_property *copy = list;

    (void)state;
    assert_int_equal(mosquitto_property_copy_all(NULL, list), MOSQ_ERR_INVAL);
    assert_int_equal(mosquitto_property_copy_all(&copy, NULL), 0);
    assert_null(copy);
    mosquitto_property_free_all(&list);
}

/* ---- Without memory ------------------------------------------------------------------------- */

static void adding_may_fail(void **state)
{
    mosquitto_property *list = NULL;
    size_t before = mem_used();

    (void)state;
    if (mem_calls() == 0)
        skip();
    for (size_t i = 0; i < ARRAY_SIZE(properties); i++) {
        mem_fail_after(0, 0);
        assert_int_equal(add(&list, properties[i].identifier, properties[i].type), MOSQ_ERR_NOMEM);
        assert_null(list);
    }
    mem_fail_never();
    assert_int_equal(mem_used(), before);
}

static void copying_may_fail(void **state)
{
    mosquitto_property *list = one_of_each();
    mosquitto_property *copy = NULL;
    size_t before = mem_used();
    uint64_t n = 0;

    (void)state;
    for (;; n++) {
        mem_fail_after(n, 0);
        int error = mosquitto_property_copy_all(&copy, list);
        bool failed = mem_failed() > 0;
        mem_fail_never();
        assert_int_equal(error, failed ? MOSQ_ERR_NOMEM : MOSQ_ERR_SUCCESS);
        if (!failed)
            break;
        assert_null(copy);
        assert_int_equal(mem_used(), before);
    }
    assert_true(n == 8 || mem_calls() == 0);
    mosquitto_property_free_all(&copy);
    mosquitto_property_free_all(&list);
}

static void reading_may_fail(void **state)
{
    mosquitto_property *list = one_of_each();
    void *bytes = NULL;
    char *name = NULL;
    char *text = NULL;

    (void)state;
    if (mem_calls() == 0)
        skip();
    mem_fail_after(0, 1);
    assert_null(
        mosquitto_property_read_binary(list, MQTT_PROP_CORRELATION_DATA, &bytes, NULL, false));
    assert_null(mosquitto_property_read_string(list, MQTT_PROP_CONTENT_TYPE, &text, false));
    for (uint64_t n = 0; n < 2; n++) {
        mem_fail_after(n, 0);
        assert_null(mosquitto_property_read_string_pair(list, MQTT_PROP_USER_PROPERTY, &name, &text,
                                                        false));
        assert_null(name);
    }
    mem_fail_never();
    mosquitto_property_free_all(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_property_has_its_type),
        cmocka_unit_test(every_property_has_a_name),
        cmocka_unit_test(every_packet_has_its_properties),
        cmocka_unit_test(numbers_have_bounds),
        cmocka_unit_test(texts_have_bounds),
        cmocka_unit_test(nobody_answers_to_a_wildcard),
        cmocka_unit_test(data_needs_a_method),
        cmocka_unit_test(only_user_properties_come_twice),
        cmocka_unit_test(what_was_added_is_read),
        cmocka_unit_test(lists_are_walked_in_order),
        cmocka_unit_test(what_is_not_there_is_not_read),
        cmocka_unit_test(values_need_not_be_wanted),
        cmocka_unit_test(copies_may_be_empty),
        cmocka_unit_test(adding_may_fail),
        cmocka_unit_test(copying_may_fail),
        cmocka_unit_test(reading_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
