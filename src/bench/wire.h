/*
 * The little of MQTT 3.1.1 that a load generator speaks, as pure bytes.
 *
 * It is written apart from the broker's codec on purpose: a generator that shared it would not
 * notice a mistake in it.
 */
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum wire_type {
    WIRE_CONNECT = 1,
    WIRE_CONNACK = 2,
    WIRE_PUBLISH = 3,
    WIRE_PUBACK = 4,
    WIRE_PUBREC = 5,
    WIRE_PUBREL = 6,
    WIRE_PUBCOMP = 7,
    WIRE_SUBSCRIBE = 8,
    WIRE_SUBACK = 9,
    WIRE_PINGREQ = 12,
    WIRE_PINGRESP = 13,
    WIRE_DISCONNECT = 14,
};

enum wire_result {
    WIRE_PACKET,
    WIRE_MORE,
    WIRE_BAD,
};

/* One packet inside the input; `body` is the payload of a PUBLISH, else all after the header. */
struct wire_packet {
    enum wire_type type;
    unsigned qos;
    uint16_t packet_id;
    const uint8_t *body;
    size_t body_size;
    size_t size; /* of the whole packet; also set with WIRE_MORE once the length is known, else 0 */
};

struct wire_login {
    const char *id;
    const char *username; /* or NULL */
    const char *password; /* or NULL */
    bool keep;            /* the session outlives the connection */
};

/* One publication whose parts need not be like any other's. */
struct wire_message {
    const char *topic;
    size_t topic_size;
    unsigned qos;
    bool retain;
    uint16_t packet_id; /* at QoS 1 and 2 */
    const uint8_t *payload;
    size_t payload_size;
};

/* What publications look like; topic and payload sizes are the same for all of one run. */
struct wire_publish {
    const char *topic;
    unsigned qos;
    size_t payload_size;
};

enum {
    WIRE_LOGIN_TEXT_MAX = 1000,
    WIRE_SMALL_MAX = 4 * WIRE_LOGIN_TEXT_MAX, /* room for any packet but PUBLISH */
    WIRE_ACK_SIZE = 4,
    WIRE_EMPTY_SIZE = 2,
    WIRE_MESSAGE_EXTRA = 9, /* what a publication is longer than its topic and payload, at most */
};

enum wire_result wire_next(const uint8_t *at, size_t size, struct wire_packet *packet);

/* These write one packet and return its size; the texts are at most WIRE_LOGIN_TEXT_MAX long. */
size_t wire_connect(uint8_t *out, const struct wire_login *login);
size_t wire_subscribe(uint8_t *out, uint16_t packet_id, const char *filter, unsigned qos);
/* `filters` are filters and QoS as a SUBSCRIBE has them, put one behind the other by wire_filter.
 */
size_t wire_subscribe_to(uint8_t *out, uint16_t packet_id, const uint8_t *filters, size_t size);
size_t wire_filter(uint8_t *out, const char *filter, unsigned qos);
size_t wire_message(uint8_t *out, const struct wire_message *message);
size_t wire_ack(uint8_t *out, enum wire_type type, uint16_t packet_id);
size_t wire_empty(uint8_t *out, enum wire_type type);

/* The size of a publication, and where in it topic, packet id (QoS 1 and 2) and payload are. */
struct wire_layout {
    size_t topic_at;
    size_t packet_id_at;
    size_t payload_at;
    size_t size;
};

struct wire_layout wire_publish_layout(const struct wire_publish *publish);
void wire_publish(uint8_t *out, const struct wire_publish *publish);

/* A number in so many decimal digits. */
static inline void wire_digits(uint8_t *out, int digits, uint64_t value)
{
    for (int i = digits - 1; i >= 0; i--) {
        out[i] = (uint8_t)('0' + value % 10);
        value /= 10;
    }
}

static inline void wire_put16(uint8_t *out, uint16_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

#endif
