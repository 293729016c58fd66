/*
 * Packets into bytes. Callers provide the room: the sizes are known before.
 */
#ifndef MQTT_ENCODE_H
#define MQTT_ENCODE_H

#include "mqtt/packet.h"

/* Fixed header (2.2): at most FIXED_HEADER_MAX bytes; returns how many. rest < 2^28. */
size_t encode_header(uint8_t *out, uint8_t first, size_t rest);
size_t encode_header_size(size_t rest);
/* Two-byte number and string (1.5.2, 1.5.3); return the end. s.n <= 65535. */
uint8_t *encode_u16(uint8_t *out, uint16_t v);
uint8_t *encode_str(uint8_t *out, struct str s);

#define ENCODE_CONNACK_SIZE 4
size_t encode_connack(uint8_t *out, bool session_present, enum connack code); /* 3.2 */
#define ENCODE_ACK_SIZE 4
/* PUBACK, PUBREC, PUBREL (flags 0010), PUBCOMP, UNSUBACK: 3.4-3.7, 3.11 */
size_t encode_ack(uint8_t *out, enum packet_type type, uint16_t id);
#define ENCODE_EMPTY_SIZE 2
size_t encode_empty(uint8_t *out, enum packet_type type); /* PINGREQ, PINGRESP, DISCONNECT */
/* Fixed header and id of a SUBACK with n codes that the caller appends (3.9): at most
 * FIXED_HEADER_MAX + 2 bytes. */
size_t encode_suback_head(uint8_t *out, uint16_t id, size_t n);

/* A PUBLISH up to its payload: fixed header, topic, id if qos > 0 (3.3). */
size_t encode_publish_head_size(struct str topic, size_t payload, enum qos qos);
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
