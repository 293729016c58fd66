/*
 * The wording of every reason, in one table.
 *
 * The phrases end a log line ("Client ID [ADDR:PORT] disconnected: REASON."), so they begin in
 * lower case and carry no full stop.
 */
#include "mqtt/reason.h"

#include "base/base.h"

#include <stddef.h>

static const char *const reason_texts[REASON_COUNT] = {
    [REASON_OK] = "no error",
    [REASON_LENGTH_FIELD] = "malformed packet: remaining length has more than four bytes",
    [REASON_PACKET_TYPE] = "malformed packet: reserved packet type",
    [REASON_FLAGS] = "malformed packet: reserved flags of the fixed header",
    [REASON_TRUNCATED] = "malformed packet: a field runs past its end",
    [REASON_SURPLUS] = "malformed packet: surplus bytes",
    [REASON_UTF8] = "malformed packet: invalid UTF-8 string",
    [REASON_QOS] = "malformed packet: invalid QoS",
    [REASON_DUP_QOS0] = "malformed packet: DUP set at QoS 0",
    [REASON_PACKET_ID_ZERO] = "malformed packet: packet identifier 0",
    [REASON_TOPIC_EMPTY] = "invalid topic: empty",
    [REASON_TOPIC_WILDCARD] = "invalid topic: wildcard in a topic name",
    [REASON_FILTER] = "invalid topic filter: misplaced wildcard",
    [REASON_LEVELS] = "invalid topic: too many levels",
    [REASON_SHARE_NAME] = "invalid shared subscription: group name or filter",
    [REASON_MOUNT_LENGTH] = "malformed packet: topic too long with the mount point",
    [REASON_MOUNT_WILDCARD] = "a wildcard cannot follow the mount point",
    [REASON_NO_FILTERS] = "protocol error: no topic filter",
    [REASON_REQUESTED_QOS] = "malformed packet: invalid requested QoS",
    [REASON_PACKET_TOO_LARGE] = "oversize packet",
    [REASON_NOT_CONNECT] = "protocol error: the first packet is not CONNECT",
    [REASON_SECOND_CONNECT] = "protocol error: second CONNECT",
    [REASON_CONNECT_TOO_LARGE] = "oversize packet before login",
    [REASON_CONNECT_TIMEOUT] = "no complete CONNECT in time",
    [REASON_PROTOCOL_NAME] = "unknown protocol name",
    [REASON_PROTOCOL_LEVEL] = "unsupported protocol version",
    [REASON_VERSION] = "unacceptable protocol version",
    [REASON_CONNECT_FLAGS] = "malformed packet: invalid connect flags",
    [REASON_CLIENT_ID] = "client identifier not valid: empty",
    [REASON_CLIENT_ID_NEEDED] = "client identifier not valid: empty ones are not allowed",
    [REASON_CLIENT_ID_PREFIX] = "client identifier not valid: wrong prefix",
    [REASON_KEEPALIVE_MAX] = "keepalive too long, or none",
    [REASON_ANONYMOUS] = "not authorised: anonymous clients are not allowed",
    [REASON_NOT_AUTHORISED] = "not authorised",
    [REASON_PASSWORD] = "not authorised: wrong user name or password",
    [REASON_NO_IDENTITY] = "not authorised: no user name from a certificate or a pre-shared key",
    [REASON_NO_SUBJECT] = "not authorised: no certificate to take the user name from",
    [REASON_PROVEN_NAME] = "not authorised: the name that it has proven is no user name",
    [REASON_LOGIN_FAILURES] = "too many failed logins from its address",
    [REASON_LOGINS_MAX] = "too many logins at once",
    [REASON_NO_USERNAME] = "not authorised: no user name to be the client identifier",
    [REASON_CLIENTS_MAX] = "too many clients",
    [REASON_WILL_TOPIC] = "will topic not allowed",
    [REASON_TLS_TO_PLAIN] = "appears to be using TLS to connect to a non-TLS listener",
    [REASON_HTTP] = "appears to be using HTTP to connect to an MQTT listener",
    [REASON_PROXY_HEADER] = "PROXY header on a listener that expects none",
    [REASON_REVOKED] =
        "not authorised any more: its user's password has changed, is gone, or was never asked for",
    [REASON_NOT_FOR_SERVER] = "protocol error: packet type not allowed from this peer",
    [REASON_ACK_TYPE] = "protocol error: acknowledgement does not fit the QoS of its message",
    [REASON_RETAIN_UNAVAILABLE] = "retained messages are not available",
    [REASON_QOS_MAX] = "QoS too high",
    [REASON_KEEPALIVE] = "exceeded timeout",
    [REASON_TAKEN_OVER] = "session taken over",
    [REASON_NOMEM] = "out of memory",
    [REASON_PAYLOAD_TOO_LARGE] = "oversize payload",
    [REASON_TOPIC_RESERVED] = "reserved for the broker",
    [REASON_ACL] = "not allowed by the ACL",
    [REASON_GROUPS] = "too many shared groups on one filter",
    [REASON_QUEUE_FULL] = "queue is full",
    [REASON_QUEUE_BYTES] = "too many bytes in its queue",
    [REASON_OUTSIDE_MOUNT] = "topic outside its mount point",
    [REASON_SLOW_READER] = "reads too slowly",
    [REASON_UNMAPPED] = "the bridge has no rule for it",
    [REASON_BRIDGE_PACKET_TOO_LARGE] = "larger than the bridge may send",
    [REASON_BRIDGE_ID] = "client identifier not valid: it belongs to a bridge",
    [REASON_NOT_CONNACK] = "protocol error: the first packet is not CONNACK",
    [REASON_SECOND_CONNACK] = "protocol error: second CONNACK",
    [REASON_NOT_FOR_CLIENT] = "protocol error: a packet that only a client sends",
    [REASON_SUBACK] = "protocol error: SUBACK for nothing that was asked",
    [REASON_CONNACK_REFUSED] = "connection refused",
    [REASON_CONNACK_TIMEOUT] = "no CONNACK in time",
    [REASON_PING_TIMEOUT] = "no answer to PINGREQ",
    [REASON_BRIDGE_IDLE] = "nothing to do",
    [REASON_BRIDGE_PRIMARY] = "the first address can be reached again",
    [REASON_BRIDGE_CHANGED] = "its section has changed",
    [REASON_BRIDGE_REMOVED] = "removed from the configuration",
    [REASON_DISCONNECT] = "disconnected by the client",
    [REASON_PEER_CLOSED] = "connection closed by client",
    [REASON_SOCKET] = "connection lost",
    [REASON_SHUTDOWN] = "server shutting down",
};

const char *reason_text(enum reason r)
{
    size_t i = (size_t)r;

    return i < ARRAY_SIZE(reason_texts) && reason_texts[i] ? reason_texts[i] : "unknown reason";
}

/* Who reads the log wants to know what to change: the option's name, as the file has it. */
static const char *const reason_rules[REASON_COUNT] = {
    [REASON_PACKET_TOO_LARGE] = "max_packet_size",
    [REASON_CLIENT_ID_NEEDED] = "allow_zero_length_clientid",
    [REASON_CLIENT_ID_PREFIX] = "clientid_prefixes",
    [REASON_KEEPALIVE_MAX] = "max_keepalive",
    [REASON_VERSION] = "accept_protocol_versions",
    [REASON_PASSWORD] = "password_file",
    [REASON_REVOKED] = "password_file",
    [REASON_NO_IDENTITY] = "use_identity_as_username",
    [REASON_NO_SUBJECT] = "use_subject_as_username",
    [REASON_LOGIN_FAILURES] = "login_failure_limit",
    [REASON_NO_USERNAME] = "use_username_as_clientid",
    [REASON_CLIENTS_MAX] = "global_max_clients",
    [REASON_MOUNT_LENGTH] = "mount_point",
    [REASON_MOUNT_WILDCARD] = "mount_point",
    [REASON_OUTSIDE_MOUNT] = "mount_point",
    [REASON_ANONYMOUS] = "allow_anonymous",
    [REASON_NOT_AUTHORISED] = "allow_anonymous",
    [REASON_PROXY_HEADER] = "enable_proxy_protocol",
    [REASON_RETAIN_UNAVAILABLE] = "retain_available",
    [REASON_QOS_MAX] = "max_qos",
    [REASON_NOMEM] = "memory_limit",
    [REASON_PAYLOAD_TOO_LARGE] = "message_size_limit",
    [REASON_ACL] = "acl_file",
    [REASON_QUEUE_FULL] = "max_queued_messages",
    [REASON_QUEUE_BYTES] = "max_queued_bytes",
    [REASON_UNMAPPED] = "topic",
    [REASON_BRIDGE_PACKET_TOO_LARGE] = "bridge_max_packet_size",
};

const char *reason_rule(enum reason r)
{
    size_t i = (size_t)r;

    return i < ARRAY_SIZE(reason_rules) ? reason_rules[i] : NULL;
}
