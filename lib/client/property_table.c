/*
 * The table of properties.
 */
#include "client/property_table.h"

#include "base/base.h"

#include <stddef.h>
#include <strings.h>

#define BIT(command) (1u << ((command) >> 4))

#define CONNECT BIT(CMD_CONNECT)
#define CONNACK BIT(CMD_CONNACK)
#define PUBLISH BIT(CMD_PUBLISH)
#define SUBSCRIBE BIT(CMD_SUBSCRIBE)
#define UNSUBSCRIBE BIT(CMD_UNSUBSCRIBE)
#define DISCONNECT BIT(CMD_DISCONNECT)
#define AUTH BIT(CMD_AUTH)
#define WILL BIT(CMD_WILL)
#define ANSWERS                                                                                    \
    (BIT(CMD_PUBACK) | BIT(CMD_PUBREC) | BIT(CMD_PUBREL) | BIT(CMD_PUBCOMP) | BIT(CMD_SUBACK) |    \
     BIT(CMD_UNSUBACK))
#define PACKETS                                                                                    \
    (CONNECT | CONNACK | PUBLISH | ANSWERS | SUBSCRIBE | UNSUBSCRIBE | DISCONNECT | AUTH | WILL)

#define FLAG(id, word, where)                                                                      \
    {                                                                                              \
        .identifier = (id), .type = MQTT_PROP_TYPE_BYTE, .name = (word), .packets = (where),       \
        .most = 1                                                                                  \
    }
#define INT16(id, word, where, from)                                                               \
    {                                                                                              \
        .identifier = (id), .type = MQTT_PROP_TYPE_INT16, .name = (word), .packets = (where),      \
        .least = (from), .most = UINT16_MAX                                                        \
    }
#define INT32(id, word, where, from)                                                               \
    {                                                                                              \
        .identifier = (id), .type = MQTT_PROP_TYPE_INT32, .name = (word), .packets = (where),      \
        .least = (from), .most = UINT32_MAX                                                        \
    }
#define BYTES(id, word, where)                                                                     \
    {                                                                                              \
        .identifier = (id), .type = MQTT_PROP_TYPE_BINARY, .name = (word), .packets = (where)      \
    }
#define TEXT(id, word, where)                                                                      \
    {                                                                                              \
        .identifier = (id), .type = MQTT_PROP_TYPE_STRING, .name = (word), .packets = (where)      \
    }

static const struct property_row rows[] = {
    FLAG(MQTT_PROP_PAYLOAD_FORMAT_INDICATOR, "payload-format-indicator", PUBLISH | WILL),
    INT32(MQTT_PROP_MESSAGE_EXPIRY_INTERVAL, "message-expiry-interval", PUBLISH | WILL, 0),
    TEXT(MQTT_PROP_CONTENT_TYPE, "content-type", PUBLISH | WILL),
    TEXT(MQTT_PROP_RESPONSE_TOPIC, "response-topic", PUBLISH | WILL),
    BYTES(MQTT_PROP_CORRELATION_DATA, "correlation-data", PUBLISH | WILL),
    {
        .identifier = MQTT_PROP_SUBSCRIPTION_IDENTIFIER,
        .type = MQTT_PROP_TYPE_VARINT,
        .name = "subscription-identifier",
        .packets = PUBLISH | SUBSCRIBE,
        .least = 1,
        .most = PROPERTY_VARINT_MAX,
    },
    INT32(MQTT_PROP_SESSION_EXPIRY_INTERVAL, "session-expiry-interval",
          CONNECT | CONNACK | DISCONNECT, 0),
    TEXT(MQTT_PROP_ASSIGNED_CLIENT_IDENTIFIER, "assigned-client-identifier", CONNACK),
    INT16(MQTT_PROP_SERVER_KEEP_ALIVE, "server-keep-alive", CONNACK, 0),
    TEXT(MQTT_PROP_AUTHENTICATION_METHOD, "authentication-method", CONNECT | CONNACK | AUTH),
    BYTES(MQTT_PROP_AUTHENTICATION_DATA, "authentication-data", CONNECT | CONNACK | AUTH),
    FLAG(MQTT_PROP_REQUEST_PROBLEM_INFORMATION, "request-problem-information", CONNECT),
    INT32(MQTT_PROP_WILL_DELAY_INTERVAL, "will-delay-interval", WILL, 0),
    FLAG(MQTT_PROP_REQUEST_RESPONSE_INFORMATION, "request-response-information", CONNECT),
    TEXT(MQTT_PROP_RESPONSE_INFORMATION, "response-information", CONNACK),
    TEXT(MQTT_PROP_SERVER_REFERENCE, "server-reference", CONNACK | DISCONNECT),
    TEXT(MQTT_PROP_REASON_STRING, "reason-string", CONNACK | ANSWERS | DISCONNECT | AUTH),
    INT16(MQTT_PROP_RECEIVE_MAXIMUM, "receive-maximum", CONNECT | CONNACK, 1),
    INT16(MQTT_PROP_TOPIC_ALIAS_MAXIMUM, "topic-alias-maximum", CONNECT | CONNACK, 0),
    INT16(MQTT_PROP_TOPIC_ALIAS, "topic-alias", PUBLISH, 1),
    FLAG(MQTT_PROP_MAXIMUM_QOS, "maximum-qos", CONNACK),
    FLAG(MQTT_PROP_RETAIN_AVAILABLE, "retain-available", CONNACK),
    {
        .identifier = MQTT_PROP_USER_PROPERTY,
        .type = MQTT_PROP_TYPE_STRING_PAIR,
        .name = "user-property",
        .packets = PACKETS,
        .repeats = true,
    },
    INT32(MQTT_PROP_MAXIMUM_PACKET_SIZE, "maximum-packet-size", CONNECT | CONNACK, 1),
    FLAG(MQTT_PROP_WILDCARD_SUB_AVAILABLE, "wildcard-subscription-available", CONNACK),
    FLAG(MQTT_PROP_SUBSCRIPTION_ID_AVAILABLE, "subscription-identifier-available", CONNACK),
    FLAG(MQTT_PROP_SHARED_SUB_AVAILABLE, "shared-subscription-available", CONNACK),
};

const struct property_row *property_row(int identifier)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].identifier == identifier)
            return &rows[i];
    }
    return NULL;
}

const struct property_row *property_row_by_name(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (strcasecmp(rows[i].name, name) == 0)
            return &rows[i];
    }
    return NULL;
}

uint32_t property_packet(int command)
{
    bool known = command > 0 && command <= CMD_WILL && (command & 0xF) == 0;

    return known ? BIT((unsigned)command) : 0;
}
