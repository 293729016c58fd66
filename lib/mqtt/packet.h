/*
 * Packets as views into the input, and the constants of the protocol (OASIS MQTT 3.1.1, section 2).
 */
#ifndef MQTT_PACKET_H
#define MQTT_PACKET_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum packet_type { /* 2.2.1 */
                   PACKET_CONNECT = 1,
                   PACKET_CONNACK,
                   PACKET_PUBLISH,
                   PACKET_PUBACK,
                   PACKET_PUBREC,
                   PACKET_PUBREL,
                   PACKET_PUBCOMP,
                   PACKET_SUBSCRIBE,
                   PACKET_SUBACK,
                   PACKET_UNSUBSCRIBE,
                   PACKET_UNSUBACK,
                   PACKET_PINGREQ,
                   PACKET_PINGRESP,
                   PACKET_DISCONNECT
};

enum qos { QOS_0, QOS_1, QOS_2 }; /* 4.3 */

enum connack { /* 3.2.2.3 */
               CONNACK_ACCEPTED,
               CONNACK_PROTOCOL_VERSION,
               CONNACK_IDENTIFIER,
               CONNACK_UNAVAILABLE,
               CONNACK_BAD_LOGIN,
               CONNACK_NOT_AUTHORISED
};

#define PROTOCOL_31 3  /* "MQIsdp" */
#define PROTOCOL_311 4 /* "MQTT" */

#define PACKET_MAX                                                                                 \
    268435460 /* the largest packet there can be: 5 bytes of header, 2^28-1 of the rest */
#define FIXED_HEADER_MAX 5
#define SUBACK_FAILURE 0x80

/* Flags in the first byte of a PUBLISH (2.2.2) */
#define PUBLISH_RETAIN 0x01
#define PUBLISH_DUP 0x08

/* All slices point into the packet. */
struct packet_connect { /* 3.1 */
    struct str client_id;
    struct str will_topic;
    struct str will_payload;
    struct str username;
    struct str password;
    uint16_t keepalive_s;
    uint8_t level; /* PROTOCOL_31 or PROTOCOL_311 after a successful decode */
    bool bridge;   /* level byte had the high bit set: the peer is a bridge */
    bool clean_session;
    bool has_will;
    bool will_retain;
    enum qos will_qos;
    bool has_username;
    bool has_password;
};

struct packet_publish { /* 3.3 */
    struct str topic;
    struct str payload;
    uint16_t id; /* 0 at QoS 0 */
    enum qos qos;
    bool retain;
    bool dup;
};

/* SUBSCRIBE (3.8) and UNSUBSCRIBE (3.10): the filters are walked with decode_filter(). */
struct packet_filters {
    struct str filters; /* the rest of the packet, checked as a whole */
    uint32_t count;
    uint16_t id;
};

#endif
