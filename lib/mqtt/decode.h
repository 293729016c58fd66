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
/* Which flags a PUBLISH may have, a bit for each of the 16: not QoS 3, nor DUP at QoS 0 (3.3.1). */
#define PUBLISH_FLAGS_VALID 0x3C3Fu
/* 3.3; the topic name is checked (topic_check_name), UTF-8 first. If only that is wrong, the rest
 * is filled in all the same; an id of 0 above QoS 0 means that the id is wrong, too. */
enum reason decode_publish(const struct frame *f, struct packet_publish *p);
/*
 * 3.3, for who may know the topic's name already: all of decode_publish but a look at that name,
 * which may be empty, too. False: something is wrong; decode_publish tells what. Inline, since it
 * takes 40 instructions for a message, and decode_publish 170.
 */
static inline bool decode_publish_outline(const struct frame *f, struct packet_publish *p)
{
    const uint8_t *s = (const uint8_t *)f->body.p;
    unsigned flags = f->first & 0x0Fu;
    unsigned qos = flags >> 1 & 3u;
    size_t head = 2;
    size_t n;

    if (UNLIKELY(f->body.n < 2 || !(PUBLISH_FLAGS_VALID >> flags & 1)))
        return false;
    n = (size_t)s[0] << 8 | s[1];
    head += n + (qos != QOS_0 ? 2 : 0);
    if (UNLIKELY(f->body.n < head))
        return false;
    p->topic = str_of(f->body.p + 2, n);
    p->payload = str_of(f->body.p + head, f->body.n - head);
    p->qos = (enum qos)qos;
    p->retain = flags & PUBLISH_RETAIN;
    p->dup = flags & PUBLISH_DUP;
    p->id = 0;
    if (qos == QOS_0)
        return true;
    p->id = (uint16_t)(s[2 + n] << 8 | s[3 + n]);
    return p->id != 0;
}
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
