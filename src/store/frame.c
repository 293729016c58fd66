/*
 * Frames and segments as bytes.
 *
 *     segment: "MQsg" format:4 store_id:8 segment:8 0:4 sum:4
 *     frame:   "MQfr" length:4 flags:4 payload_sum:4 turn:8 durable:8 oldest:8 0:4 sum:4
 *
 * `sum` is that of all bytes before it. A segment's header keeps this shape in every format to
 * come, so that a store of a later release is told from damage.
 */
#include "store/frame.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#define SEGMENT_SUM (STORE_SEGMENT_HEADER - 4)
#define FRAME_SUM (STORE_FRAME_HEADER - 4)
#define PLACE_FACTOR 0x9E3779B97F4A7C15U /* odd: no two positions give the same seed */

static const uint8_t segment_magic[4] = {'M', 'Q', 's', 'g'};
static const uint8_t frame_magic[4] = STORE_FRAME_MAGIC;

static void put32(uint8_t *to, uint32_t n)
{
    for (int i = 0; i < 4; i++)
        to[i] = (uint8_t)(n >> (8 * i));
}

static void put64(uint8_t *to, uint64_t n)
{
    put32(to, (uint32_t)n);
    put32(to + 4, (uint32_t)(n >> 32));
}

static uint32_t get32(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

static uint64_t get64(const uint8_t *from)
{
    return get32(from) | (uint64_t)get32(from + 4) << 32;
}

static uint32_t header_sum(const uint8_t *header, size_t n, uint64_t store_id, uint64_t position)
{
    return (uint32_t)XXH3_64bits_withSeed(header, n, store_id + position * PLACE_FACTOR);
}

void store_segment_write(uint8_t out[STORE_SEGMENT_HEADER], const struct store_segment_head *h)
{
    memcpy(out, segment_magic, 4);
    put32(out + 4, h->format);
    put64(out + 8, h->store_id);
    put64(out + 16, h->segment);
    put32(out + 24, 0);
    put32(out + SEGMENT_SUM, header_sum(out, SEGMENT_SUM, h->store_id, h->segment));
}

bool store_segment_read(const uint8_t in[STORE_SEGMENT_HEADER], struct store_segment_head *h)
{
    *h = (struct store_segment_head){
        .format = get32(in + 4), .store_id = get64(in + 8), .segment = get64(in + 16)};
    return memcmp(in, segment_magic, 4) == 0 &&
           get32(in + SEGMENT_SUM) == header_sum(in, SEGMENT_SUM, h->store_id, h->segment);
}

uint32_t store_sum(struct str payload)
{
    return (uint32_t)XXH3_64bits(payload.p ? payload.p : "", payload.n);
}

void store_frame_write(uint8_t out[STORE_FRAME_HEADER], const struct store_frame *f,
                       uint64_t store_id, uint64_t position)
{
    memcpy(out, frame_magic, 4);
    put32(out + 4, f->length);
    put32(out + 8, f->flags);
    put32(out + 12, f->payload_sum);
    put64(out + 16, f->turn);
    put64(out + 24, f->durable);
    put64(out + 32, f->oldest);
    put32(out + 40, 0);
    put32(out + FRAME_SUM, header_sum(out, FRAME_SUM, store_id, position));
}

bool store_frame_read(const uint8_t in[STORE_FRAME_HEADER], uint64_t store_id, uint64_t position,
                      struct store_frame *f)
{
    if (memcmp(in, frame_magic, 4) != 0 ||
        get32(in + FRAME_SUM) != header_sum(in, FRAME_SUM, store_id, position))
        return false;
    *f = (struct store_frame){
        .length = get32(in + 4),
        .flags = get32(in + 8),
        .payload_sum = get32(in + 12),
        .turn = get64(in + 16),
        .durable = get64(in + 24),
        .oldest = get64(in + 32),
    };
    return (f->flags & ~(uint32_t)(STORE_FRAME_SEAL | STORE_FRAME_FILLER | STORE_FRAME_PASSING)) ==
           0;
}
