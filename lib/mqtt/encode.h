/*
 * Packets into bytes. Callers provide the room: the sizes are known before.
 */
#ifndef MQTT_ENCODE_H
#define MQTT_ENCODE_H

#include "mqtt/packet.h"

/* The first byte of a packet (2.2.1, 2.2.2). */
#define ENCODE_REQUEST 0x02u /* flags of PUBREL, SUBSCRIBE and UNSUBSCRIBE */
static inline uint8_t encode_first(enum packet_type type, unsigned flags)
{
    return (uint8_t)((unsigned)type << 4 | flags);
}
/* Fixed header (2.2): at most FIXED_HEADER_MAX bytes; returns how many. rest < 2^28. */
size_t encode_header(uint8_t *out, uint8_t first, size_t rest);
static inline size_t encode_header_size(size_t rest)
{
    if (LIKELY(rest < 1u << 7))
        return 2;
    if (rest < 1u << 14)
        return 3;
    return rest < 1u << 21 ? 4 : 5;
}
/* Two-byte number and string (1.5.2, 1.5.3); return the end. s.n <= 65535. */
static inline uint8_t *encode_u16(uint8_t *out, uint16_t v)
{
    out[0] = (uint8_t)(v >> 8);
    out[1] = (uint8_t)v;
    return out + 2;
}
uint8_t *encode_str(uint8_t *out, struct str s);

#define ENCODE_CONNACK_SIZE 4
size_t encode_connack(uint8_t *out, bool session_present, enum connack code); /* 3.2 */
#define ENCODE_ACK_SIZE 4
/* PUBACK, PUBREC, PUBREL (flags 0010), PUBCOMP, UNSUBACK: 3.4-3.7, 3.11 */
static inline size_t encode_ack(uint8_t *out, enum packet_type type, uint16_t id)
{
    out[0] = encode_first(type, type == PACKET_PUBREL ? ENCODE_REQUEST : 0);
    out[1] = 2;
    encode_u16(out + 2, id);
    return ENCODE_ACK_SIZE;
}
#define ENCODE_EMPTY_SIZE 2
size_t encode_empty(uint8_t *out, enum packet_type type); /* PINGREQ, PINGRESP, DISCONNECT */
/* Fixed header and id of a SUBACK with n codes that the caller appends (3.9): at most
 * FIXED_HEADER_MAX + 2 bytes. */
size_t encode_suback_head(uint8_t *out, uint16_t id, size_t n);

/* What stands behind the fixed header of a PUBLISH (3.3.2, 3.3.3). */
static inline size_t encode_publish_rest(struct str topic, size_t payload, enum qos qos)
{
    return 2 + topic.n + (qos != QOS_0 ? 2 : 0) + payload;
}
/* A PUBLISH up to its payload: fixed header, topic, id if qos > 0 (3.3). */
static inline size_t encode_publish_head_size(struct str topic, size_t payload, enum qos qos)
{
    size_t rest = encode_publish_rest(topic, payload, qos);

    return encode_header_size(rest) + rest - payload;
}
/* Its first byte (3.3.1). */
static inline uint8_t encode_publish_first(enum qos qos, bool retain, bool dup)
{
    unsigned flags = (unsigned)qos << 1;

    flags |= dup ? PUBLISH_DUP : 0u;
    flags |= retain ? PUBLISH_RETAIN : 0u;
    return (uint8_t)((unsigned)PACKET_PUBLISH << 4 | flags);
}
/* Returns the bytes written; the payload follows. */
size_t encode_publish_head(uint8_t *out, const struct packet_publish *p);

/* Requests of a client, for bridges, the library and tests. Sizes first; out must have room. */
size_t encode_connect_size(const struct packet_connect *p);
size_t encode_connect(uint8_t *out, const struct packet_connect *p);
size_t encode_subscribe_size(const struct str *filters, size_t n);
size_t encode_subscribe(uint8_t *out, uint16_t id, const struct str *filters, const enum qos *qos,
                        size_t n);
size_t encode_unsubscribe_size(const struct str *filters, size_t n);
size_t encode_unsubscribe(uint8_t *out, uint16_t id, const struct str *filters, size_t n);

#endif
