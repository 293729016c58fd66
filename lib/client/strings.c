/*
 * Numbers in words.
 *
 * Scripts look for some of these sentences, so errors and answers to CONNECT are called what
 * Mosquitto's users know them by; reason codes are called what the MQTT 5 standard calls them.
 */
#include "base/base.h"
#include "mosquitto.h"
#include "mqtt_protocol.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#define ERRORS_FIRST MOSQ_ERR_AUTH_CONTINUE
#define ERRORS_LAST MOSQ_ERR_ALREADY_EXISTS
#define ROW(error) [(error)-ERRORS_FIRST]

static const char *const errors[] = {
    ROW(MOSQ_ERR_AUTH_CONTINUE) = "Continue with authentication.",
    ROW(MOSQ_ERR_NO_SUBSCRIBERS) = "No subscribers.",
    ROW(MOSQ_ERR_SUB_EXISTS) = "Subscription already exists.",
    ROW(MOSQ_ERR_CONN_PENDING) = "Connection pending.",
    ROW(MOSQ_ERR_SUCCESS) = "No error.",
    ROW(MOSQ_ERR_NOMEM) = "Out of memory.",
    ROW(MOSQ_ERR_PROTOCOL) =
        "A network protocol error occurred when communicating with the broker.",
    ROW(MOSQ_ERR_INVAL) = "Invalid function arguments provided.",
    ROW(MOSQ_ERR_NO_CONN) = "The client is not currently connected.",
    ROW(MOSQ_ERR_CONN_REFUSED) = "The connection was refused.",
    ROW(MOSQ_ERR_NOT_FOUND) = "Not found.",
    ROW(MOSQ_ERR_CONN_LOST) = "The connection was lost.",
    ROW(MOSQ_ERR_TLS) = "A TLS error occurred.",
    ROW(MOSQ_ERR_PAYLOAD_SIZE) = "Payload too large.",
    ROW(MOSQ_ERR_NOT_SUPPORTED) = "This feature is not supported.",
    ROW(MOSQ_ERR_AUTH) = "Authorisation failed.",
    ROW(MOSQ_ERR_ACL_DENIED) = "Access denied by ACL.",
    ROW(MOSQ_ERR_UNKNOWN) = "Unknown error.",
    ROW(MOSQ_ERR_EAI) = "Lookup error.",
    ROW(MOSQ_ERR_PROXY) = "Proxy error.",
    ROW(MOSQ_ERR_PLUGIN_DEFER) = "Left to the next plugin.",
    ROW(MOSQ_ERR_MALFORMED_UTF8) = "Malformed UTF-8",
    ROW(MOSQ_ERR_KEEPALIVE) = "The broker was silent for too long.",
    ROW(MOSQ_ERR_LOOKUP) = "The name could not be looked up.",
    ROW(MOSQ_ERR_MALFORMED_PACKET) = "A packet was malformed.",
    ROW(MOSQ_ERR_DUPLICATE_PROPERTY) = "Duplicate property in property list",
    ROW(MOSQ_ERR_TLS_HANDSHAKE) = "TLS handshake failed.",
    ROW(MOSQ_ERR_QOS_NOT_SUPPORTED) = "Requested QoS not supported on server.",
    ROW(MOSQ_ERR_OVERSIZE_PACKET) = "Packet larger than supported by the server.",
    ROW(MOSQ_ERR_OCSP) = "OCSP error.",
    ROW(MOSQ_ERR_TIMEOUT) = "Timed out.",
    ROW(MOSQ_ERR_RETAIN_NOT_SUPPORTED) = "Retained messages are not supported on server.",
    ROW(MOSQ_ERR_TOPIC_ALIAS_INVALID) = "Invalid topic alias.",
    ROW(MOSQ_ERR_ADMINISTRATIVE_ACTION) = "Ended by an administrator.",
    ROW(MOSQ_ERR_ALREADY_EXISTS) = "Already exists.",
};

static const char *const answers[] = {
    [CONNACK_ACCEPTED] = "Connection Accepted.",
    [CONNACK_REFUSED_PROTOCOL_VERSION] = "Connection Refused: unacceptable protocol version.",
    [CONNACK_REFUSED_IDENTIFIER_REJECTED] = "Connection Refused: identifier rejected.",
    [CONNACK_REFUSED_SERVER_UNAVAILABLE] = "Connection Refused: broker unavailable.",
    [CONNACK_REFUSED_BAD_USERNAME_PASSWORD] = "Connection Refused: bad user name or password.",
    [CONNACK_REFUSED_NOT_AUTHORIZED] = "Connection Refused: not authorised.",
};

/* MQTT 5, 2.4 */
static const char *const reasons[] = {
    [MQTT_RC_SUCCESS] = "Success",
    [MQTT_RC_GRANTED_QOS1] = "Granted QoS 1",
    [MQTT_RC_GRANTED_QOS2] = "Granted QoS 2",
    [MQTT_RC_DISCONNECT_WITH_WILL_MSG] = "Disconnect with Will Message",
    [MQTT_RC_NO_MATCHING_SUBSCRIBERS] = "No matching subscribers",
    [MQTT_RC_NO_SUBSCRIPTION_EXISTED] = "No subscription existed",
    [MQTT_RC_CONTINUE_AUTHENTICATION] = "Continue authentication",
    [MQTT_RC_REAUTHENTICATE] = "Re-authenticate",
    [MQTT_RC_UNSPECIFIED] = "Unspecified error",
    [MQTT_RC_MALFORMED_PACKET] = "Malformed Packet",
    [MQTT_RC_PROTOCOL_ERROR] = "Protocol Error",
    [MQTT_RC_IMPLEMENTATION_SPECIFIC] = "Implementation specific error",
    [MQTT_RC_UNSUPPORTED_PROTOCOL_VERSION] = "Unsupported Protocol Version",
    [MQTT_RC_CLIENTID_NOT_VALID] = "Client Identifier not valid",
    [MQTT_RC_BAD_USERNAME_OR_PASSWORD] = "Bad User Name or Password",
    [MQTT_RC_NOT_AUTHORIZED] = "Not authorized",
    [MQTT_RC_SERVER_UNAVAILABLE] = "Server unavailable",
    [MQTT_RC_SERVER_BUSY] = "Server busy",
    [MQTT_RC_BANNED] = "Banned",
    [MQTT_RC_SERVER_SHUTTING_DOWN] = "Server shutting down",
    [MQTT_RC_BAD_AUTHENTICATION_METHOD] = "Bad authentication method",
    [MQTT_RC_KEEP_ALIVE_TIMEOUT] = "Keep Alive timeout",
    [MQTT_RC_SESSION_TAKEN_OVER] = "Session taken over",
    [MQTT_RC_TOPIC_FILTER_INVALID] = "Topic Filter invalid",
    [MQTT_RC_TOPIC_NAME_INVALID] = "Topic Name invalid",
    [MQTT_RC_PACKET_ID_IN_USE] = "Packet Identifier in use",
    [MQTT_RC_PACKET_ID_NOT_FOUND] = "Packet Identifier not found",
    [MQTT_RC_RECEIVE_MAXIMUM_EXCEEDED] = "Receive Maximum exceeded",
    [MQTT_RC_TOPIC_ALIAS_INVALID] = "Topic Alias invalid",
    [MQTT_RC_PACKET_TOO_LARGE] = "Packet too large",
    [MQTT_RC_MESSAGE_RATE_TOO_HIGH] = "Message rate too high",
    [MQTT_RC_QUOTA_EXCEEDED] = "Quota exceeded",
    [MQTT_RC_ADMINISTRATIVE_ACTION] = "Administrative action",
    [MQTT_RC_PAYLOAD_FORMAT_INVALID] = "Payload format invalid",
    [MQTT_RC_RETAIN_NOT_SUPPORTED] = "Retain not supported",
    [MQTT_RC_QOS_NOT_SUPPORTED] = "QoS not supported",
    [MQTT_RC_USE_ANOTHER_SERVER] = "Use another server",
    [MQTT_RC_SERVER_MOVED] = "Server moved",
    [MQTT_RC_SHARED_SUBS_NOT_SUPPORTED] = "Shared Subscriptions not supported",
    [MQTT_RC_CONNECTION_RATE_EXCEEDED] = "Connection rate exceeded",
    [MQTT_RC_MAXIMUM_CONNECT_TIME] = "Maximum connect time",
    [MQTT_RC_SUBSCRIPTION_IDS_NOT_SUPPORTED] = "Subscription identifiers not supported",
    [MQTT_RC_WILDCARD_SUBS_NOT_SUPPORTED] = "Wildcard Subscriptions not supported",
};

/* Packets that a client sends with properties; others have no name here, as with Mosquitto. */
static const struct {
    const char *name;
    int command;
} commands[] = {
    {"connect", CMD_CONNECT},       {"connack", CMD_CONNACK},     {"publish", CMD_PUBLISH},
    {"puback", CMD_PUBACK},         {"pubrec", CMD_PUBREC},       {"pubrel", CMD_PUBREL},
    {"pubcomp", CMD_PUBCOMP},       {"subscribe", CMD_SUBSCRIBE}, {"unsubscribe", CMD_UNSUBSCRIBE},
    {"disconnect", CMD_DISCONNECT}, {"auth", CMD_AUTH},           {"will", CMD_WILL},
};

static const char *word_at(const char *const *words, size_t n, int at, const char *otherwise)
{
    return at >= 0 && (size_t)at < n && words[at] ? words[at] : otherwise;
}

const char *mosquitto_strerror(int mosq_errno)
{
    if (mosq_errno == MOSQ_ERR_ERRNO)
        return strerror(errno);
    if (mosq_errno < ERRORS_FIRST || mosq_errno > ERRORS_LAST)
        return "Unknown error.";
    return word_at(errors, ARRAY_SIZE(errors), mosq_errno - ERRORS_FIRST, "Unknown error.");
}

const char *mosquitto_connack_string(int connack_code)
{
    return word_at(answers, ARRAY_SIZE(answers), connack_code,
                   "Connection Refused: unknown reason.");
}

const char *mosquitto_reason_string(int reason_code)
{
    return word_at(reasons, ARRAY_SIZE(reasons), reason_code, "Unknown reason");
}

int mosquitto_string_to_command(const char *str, int *cmd)
{
    if (!str || !cmd)
        return MOSQ_ERR_INVAL;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        if (strcasecmp(str, commands[i].name) == 0) {
            *cmd = commands[i].command;
            return MOSQ_ERR_SUCCESS;
        }
    }
    return MOSQ_ERR_INVAL;
}
