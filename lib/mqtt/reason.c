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
    [REASON_NO_FILTERS] = "protocol error: no topic filter",
    [REASON_REQUESTED_QOS] = "malformed packet: invalid requested QoS",
    [REASON_PACKET_TOO_LARGE] = "oversize packet (max_packet_size)",
    [REASON_NOT_CONNECT] = "protocol error: the first packet is not CONNECT",
    [REASON_SECOND_CONNECT] = "protocol error: second CONNECT",
    [REASON_CONNECT_TOO_LARGE] = "oversize packet before login",
    [REASON_CONNECT_TIMEOUT] = "no complete CONNECT in time",
    [REASON_PROTOCOL_NAME] = "unknown protocol name",
    [REASON_PROTOCOL_LEVEL] = "unsupported protocol version",
    [REASON_CONNECT_FLAGS] = "malformed packet: invalid connect flags",
    [REASON_CLIENT_ID] = "client identifier not acceptable",
    [REASON_KEEPALIVE_MAX] = "keepalive above max_keepalive",
    [REASON_NOT_AUTHORISED] = "not authorised",
    [REASON_WILL_TOPIC] = "will topic not allowed",
    [REASON_TLS_TO_PLAIN] = "TLS handshake on a listener without TLS",
    [REASON_NOT_FOR_SERVER] = "protocol error: packet type not allowed from this peer",
    [REASON_ACK_TYPE] = "protocol error: acknowledgement does not fit the QoS of its message",
    [REASON_RETAIN_UNAVAILABLE] = "retained messages are not available",
    [REASON_QOS_MAX] = "QoS above max_qos",
    [REASON_KEEPALIVE] = "exceeded timeout",
    [REASON_TAKEN_OVER] = "session taken over",
    [REASON_NOMEM] = "out of memory",
    [REASON_QUEUE_FULL] = "queue is full",
    [REASON_SLOW_READER] = "reads too slowly",
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
