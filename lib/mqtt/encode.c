/*
 * Packets into bytes that the caller has room for.
 *
 * Sizes are computed by the same sums that writing follows, so each size function stands in front
 * of its writer.
 */
#include "mqtt/encode.h"

#include <assert.h>

/* Bits of the connect flags (3.1.2.3) */
#define CONNECT_CLEAN_SESSION 0x02u
#define CONNECT_WILL 0x04u
#define CONNECT_WILL_QOS_SHIFT 3
#define CONNECT_WILL_RETAIN 0x20u
#define CONNECT_PASSWORD 0x40u
#define CONNECT_USERNAME 0x80u
#define LEVEL_BRIDGE 0x80u

#define REST_MAX 268435455u /* 2.2.3 */

/* 2.2 */
size_t encode_header(uint8_t *out, uint8_t first, size_t rest)
{
    size_t n = 0;

    assert(rest <= REST_MAX);
    out[n++] = first;
    while (rest >= 0x80) {
        out[n++] = (uint8_t)(rest | 0x80);
        rest >>= 7;
    }
    out[n++] = (uint8_t)rest;
    return n;
}

/* 1.5.3 */
uint8_t *encode_str(uint8_t *out, struct str s)
{
    assert(s.n <= UINT16_MAX);
    out = encode_u16(out, (uint16_t)s.n);
    if (s.n)
        memcpy(out, s.p, s.n);
    return out + s.n;
}

/* 3.2 */
size_t encode_connack(uint8_t *out, bool session_present, enum connack code)
{
    out[0] = encode_first(PACKET_CONNACK, 0);
    out[1] = 2;
    out[2] = session_present;
    out[3] = (uint8_t)code;
    return ENCODE_CONNACK_SIZE;
}

/* 3.12, 3.13, 3.14 */
size_t encode_empty(uint8_t *out, enum packet_type type)
{
    out[0] = encode_first(type, 0);
    out[1] = 0;
    return ENCODE_EMPTY_SIZE;
}

/* 3.9 */
size_t encode_suback_head(uint8_t *out, uint16_t id, size_t n)
{
    size_t header = encode_header(out, encode_first(PACKET_SUBACK, 0), n + 2);

    encode_u16(out + header, id);
    return header + 2;
}

/* 3.3.1, 3.3.2 */
size_t encode_publish_head(uint8_t *out, const struct packet_publish *p)
{
    size_t rest = encode_publish_rest(p->topic, p->payload.n, p->qos);
    uint8_t *end = out + encode_header(out, encode_publish_first(p->qos, p->retain, p->dup), rest);

    end = encode_str(end, p->topic);
    if (p->qos != QOS_0)
        end = encode_u16(end, p->id);
    return (size_t)(end - out);
}

static struct str protocol_name(const struct packet_connect *p)
{
    return p->level == PROTOCOL_31 ? STR("MQIsdp") : STR("MQTT");
}

/* 3.1.2, 3.1.3 */
static size_t connect_rest(const struct packet_connect *p)
{
    size_t rest = 2 + protocol_name(p).n + 4 + 2 + p->client_id.n;

    if (p->has_will)
        rest += 4 + p->will_topic.n + p->will_payload.n;
    if (p->has_username)
        rest += 2 + p->username.n;
    if (p->has_password)
        rest += 2 + p->password.n;
    return rest;
}

/* 3.1 */
size_t encode_connect_size(const struct packet_connect *p)
{
    size_t rest = connect_rest(p);

    return encode_header_size(rest) + rest;
}

/* 3.1.2.3 */
static uint8_t connect_flags(const struct packet_connect *p)
{
    unsigned flags = 0;

    flags |= p->clean_session ? CONNECT_CLEAN_SESSION : 0u;
    flags |= p->has_username ? CONNECT_USERNAME : 0u;
    flags |= p->has_password ? CONNECT_PASSWORD : 0u;
    if (p->has_will) {
        flags |= CONNECT_WILL | (unsigned)p->will_qos << CONNECT_WILL_QOS_SHIFT;
        flags |= p->will_retain ? CONNECT_WILL_RETAIN : 0u;
    }
    return (uint8_t)flags;
}

/* 3.1 */
size_t encode_connect(uint8_t *out, const struct packet_connect *p)
{
    uint8_t *end = out + encode_header(out, encode_first(PACKET_CONNECT, 0), connect_rest(p));

    end = encode_str(end, protocol_name(p));
    *end++ = (uint8_t)(p->level | (p->bridge ? LEVEL_BRIDGE : 0u));
    *end++ = connect_flags(p);
    end = encode_u16(end, p->keepalive_s);
    end = encode_str(end, p->client_id);
    if (p->has_will) {
        end = encode_str(end, p->will_topic);
        end = encode_str(end, p->will_payload);
    }
    if (p->has_username)
        end = encode_str(end, p->username);
    if (p->has_password)
        end = encode_str(end, p->password);
    return (size_t)(end - out);
}

/* 3.8.2, 3.8.3, 3.10.2, 3.10.3: id and filters, each with `extra` bytes behind it */
static size_t filters_rest(const struct str *filters, size_t n, size_t extra)
{
    size_t rest = 2;

    for (size_t i = 0; i < n; i++)
        rest += 2 + filters[i].n + extra;
    return rest;
}

/* 3.8 */
size_t encode_subscribe_size(const struct str *filters, size_t n)
{
    size_t rest = filters_rest(filters, n, 1);

    return encode_header_size(rest) + rest;
}

/* 3.8 */
size_t encode_subscribe(uint8_t *out, uint16_t id, const struct str *filters, const enum qos *qos,
                        size_t n)
{
    uint8_t first = encode_first(PACKET_SUBSCRIBE, ENCODE_REQUEST);
    uint8_t *end = out + encode_header(out, first, filters_rest(filters, n, 1));

    end = encode_u16(end, id);
    for (size_t i = 0; i < n; i++) {
        end = encode_str(end, filters[i]);
        *end++ = (uint8_t)qos[i];
    }
    return (size_t)(end - out);
}

/* 3.10 */
size_t encode_unsubscribe_size(const struct str *filters, size_t n)
{
    size_t rest = filters_rest(filters, n, 0);

    return encode_header_size(rest) + rest;
}

/* 3.10 */
size_t encode_unsubscribe(uint8_t *out, uint16_t id, const struct str *filters, size_t n)
{
    uint8_t first = encode_first(PACKET_UNSUBSCRIBE, ENCODE_REQUEST);
    uint8_t *end = out + encode_header(out, first, filters_rest(filters, n, 0));

    end = encode_u16(end, id);
    for (size_t i = 0; i < n; i++)
        end = encode_str(end, filters[i]);
    return (size_t)(end - out);
}
