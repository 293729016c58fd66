/*
 * The little of MQTT 3.1.1 that a load generator speaks, as pure bytes.
 */
#include "bench/wire.h"

#include <string.h>

enum {
    LENGTH_BYTES_MAX = 4,
    CONNECT_CLEAN_SESSION = 0x02,
    CONNECT_PASSWORD = 0x40,
    CONNECT_USERNAME = 0x80,
};

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static size_t length_bytes(size_t length)
{
    size_t bytes = 1;

    while (length >>= 7) {
        bytes++;
    }
    return bytes;
}

static uint8_t *put_header(uint8_t *out, unsigned first, size_t length)
{
    *out++ = (uint8_t)first;
    while (length > 0x7f) {
        *out++ = (uint8_t)(length | 0x80);
        length >>= 7;
    }
    *out++ = (uint8_t)length;
    return out;
}

static uint8_t *put_text(uint8_t *out, const char *text)
{
    size_t size = strlen(text);

    wire_put16(out, (uint16_t)size);
    memcpy(out + 2, text, size);
    return out + 2 + size;
}

/* Reads the remaining length (2.2.3). Sets the size of the fixed header; 0 is "more bytes". */
static enum wire_result get_length(const uint8_t *at, size_t size, size_t *header, size_t *length)
{
    *header = 0;
    *length = 0;
    for (size_t i = 0; i < LENGTH_BYTES_MAX; i++) {
        if (1 + i >= size) {
            return WIRE_MORE;
        }
        *length |= (size_t)(at[1 + i] & 0x7f) << (7 * i);
        if ((at[1 + i] & 0x80) == 0) {
            *header = 2 + i;
            return WIRE_PACKET;
        }
    }
    return WIRE_BAD;
}

static enum wire_result parse_publish(const uint8_t *at, struct wire_packet *packet)
{
    size_t skip;

    packet->qos = (at[0] >> 1) & 3;
    if (packet->qos > 2 || packet->body_size < 2) {
        return WIRE_BAD;
    }
    skip = (size_t)2 + get16(packet->body);
    if (packet->qos > 0) {
        skip += 2;
    }
    if (skip > packet->body_size) {
        return WIRE_BAD;
    }
    packet->packet_id = packet->qos > 0 ? get16(packet->body + skip - 2) : 0;
    packet->body += skip;
    packet->body_size -= skip;
    return WIRE_PACKET;
}

enum wire_result wire_next(const uint8_t *at, size_t size, struct wire_packet *packet)
{
    size_t header;
    size_t length;
    enum wire_result result = get_length(at, size, &header, &length);

    packet->size = 0;
    if (result != WIRE_PACKET) {
        return result;
    }
    packet->size = header + length;
    if (packet->size > size) {
        return WIRE_MORE;
    }
    packet->type = (enum wire_type)(at[0] >> 4);
    packet->body = at + header;
    packet->body_size = length;
    if (packet->type == WIRE_PUBLISH) {
        return parse_publish(at, packet);
    }
    packet->qos = 0;
    packet->packet_id = length >= 2 ? get16(packet->body) : 0;
    return WIRE_PACKET;
}

size_t wire_connect(uint8_t *out, const struct wire_login *login)
{
    size_t length = 10 + 2 + strlen(login->id);
    unsigned flags = login->keep ? 0 : CONNECT_CLEAN_SESSION;
    uint8_t *at;

    if (login->username != NULL) {
        flags |= CONNECT_USERNAME;
        length += 2 + strlen(login->username);
    }
    if (login->password != NULL) {
        flags |= CONNECT_PASSWORD;
        length += 2 + strlen(login->password);
    }
    at = put_header(out, WIRE_CONNECT << 4, length);
    at = put_text(at, "MQTT");
    *at++ = 4;
    *at++ = (uint8_t)flags;
    /* No keepalive: a client that is idle on purpose shall cost nothing. */
    wire_put16(at, 0);
    at = put_text(at + 2, login->id);
    if (login->username != NULL) {
        at = put_text(at, login->username);
    }
    if (login->password != NULL) {
        at = put_text(at, login->password);
    }
    return (size_t)(at - out);
}

size_t wire_subscribe(uint8_t *out, uint16_t packet_id, const char *filter, unsigned qos)
{
    uint8_t *at = put_header(out, WIRE_SUBSCRIBE << 4 | 2, 2 + 2 + strlen(filter) + 1);

    wire_put16(at, packet_id);
    at = put_text(at + 2, filter);
    *at++ = (uint8_t)qos;
    return (size_t)(at - out);
}

size_t wire_filter(uint8_t *out, const char *filter, unsigned qos)
{
    uint8_t *at = put_text(out, filter);

    *at++ = (uint8_t)qos;
    return (size_t)(at - out);
}

size_t wire_subscribe_to(uint8_t *out, uint16_t packet_id, const uint8_t *filters, size_t size)
{
    uint8_t *at = put_header(out, WIRE_SUBSCRIBE << 4 | 2, 2 + size);

    wire_put16(at, packet_id);
    memcpy(at + 2, filters, size);
    return (size_t)(at + 2 + size - out);
}

size_t wire_message(uint8_t *out, const struct wire_message *message)
{
    size_t length = 2 + message->topic_size + (message->qos > 0 ? 2 : 0) + message->payload_size;
    unsigned first = WIRE_PUBLISH << 4 | message->qos << 1 | (message->retain ? 1 : 0);
    uint8_t *at = put_header(out, first, length);

    wire_put16(at, (uint16_t)message->topic_size);
    memcpy(at + 2, message->topic, message->topic_size);
    at += 2 + message->topic_size;
    if (message->qos > 0) {
        wire_put16(at, message->packet_id);
        at += 2;
    }
    memcpy(at, message->payload, message->payload_size);
    return (size_t)(at + message->payload_size - out);
}

size_t wire_ack(uint8_t *out, enum wire_type type, uint16_t packet_id)
{
    out[0] = (uint8_t)(type << 4 | (type == WIRE_PUBREL ? 2 : 0));
    out[1] = 2;
    wire_put16(out + 2, packet_id);
    return WIRE_ACK_SIZE;
}

size_t wire_empty(uint8_t *out, enum wire_type type)
{
    out[0] = (uint8_t)(type << 4);
    out[1] = 0;
    return WIRE_EMPTY_SIZE;
}

static size_t publish_length(const struct wire_publish *publish)
{
    return 2 + strlen(publish->topic) + (publish->qos > 0 ? 2 : 0) + publish->payload_size;
}

struct wire_layout wire_publish_layout(const struct wire_publish *publish)
{
    size_t length = publish_length(publish);
    size_t header = 1 + length_bytes(length);

    return (struct wire_layout){
        .topic_at = header + 2,
        .packet_id_at = header + 2 + strlen(publish->topic),
        .payload_at = header + length - publish->payload_size,
        .size = header + length,
    };
}

void wire_publish(uint8_t *out, const struct wire_publish *publish)
{
    uint8_t *at = put_header(out, WIRE_PUBLISH << 4 | publish->qos << 1, publish_length(publish));

    at = put_text(at, publish->topic);
    memset(at, 0, (publish->qos > 0 ? 2 : 0) + publish->payload_size);
}
