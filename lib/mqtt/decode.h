/*
 * Frame to view: strict, no allocation. Every function checks the flags of the fixed header
 * (2.2.2-2), the lengths, that nothing is left over, and all strings, and says what was wrong.
 */
#ifndef MQTT_DECODE_H
#define MQTT_DECODE_H

#include "mqtt/frame.h"
#include "mqtt/packet.h"
#include "mqtt/reason.h"

/*
 * 3.1. REASON_PROTOCOL_NAME and REASON_PROTOCOL_LEVEL are told before anything behind them is
 * looked at (p->level is the byte found, without the bridge bit, also when it is unknown). 3.1
 * allows a DUP-free first byte only; password without user name is refused in both versions.
 */
enum reason decode_connect(const struct frame *f, struct packet_connect *p);
/* 3.3; the topic name is checked (topic_check_name), UTF-8 first. If only that is wrong, the rest
 * is filled in all the same; an id of 0 above QoS 0 means that the id is wrong, too. */
enum reason decode_publish(const struct frame *f, struct packet_publish *p);
/* PUBACK, PUBREC, PUBREL, PUBCOMP, UNSUBACK: 3.4-3.7, 3.11. `level` PROTOCOL_31 tolerates DUP in
 * PUBREL, SUBSCRIBE, UNSUBSCRIBE. */
enum reason decode_ack(const struct frame *f, uint8_t level, uint16_t *id);
/* 3.8: the whole payload is checked: every filter (topic_check_subscription), every QoS byte, at
 * least one. */
enum reason decode_subscribe(const struct frame *f, uint8_t level, struct packet_filters *p);
/* 3.10 */
enum reason decode_unsubscribe(const struct frame *f, uint8_t level, struct packet_filters *p);
/*
 * The next filter of a packet that was decoded without error; *at begins with 0 and may be kept for
 * later. `qos` is NULL for UNSUBSCRIBE. False after the last.
 */
bool decode_filter(const struct packet_filters *p, size_t *at, struct str *filter, enum qos *qos);
/* PINGREQ, PINGRESP, DISCONNECT: no flags, no body (3.12, 3.13, 3.14). */
enum reason decode_empty(const struct frame *f);
/* 3.2, for bridges and clients. */
enum reason decode_connack(const struct frame *f, bool *session_present, uint8_t *code);
/* 3.9: `codes` is the list of return codes, each checked to be 0, 1, 2 or 0x80. */
enum reason decode_suback(const struct frame *f, uint16_t *id, struct str *codes);

#endif
