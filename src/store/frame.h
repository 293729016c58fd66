/*
 * Frames and segments as bytes. Pure.
 *
 * The journal is one endless stream of frames. A position is a byte offset in that stream: it only
 * grows. The stream is cut into segment files between frames; a file is named by the position of
 * its first frame and begins with a segment header, which is not part of the stream:
 *
 *     file offset = position - segment + STORE_SEGMENT_HEADER
 *
 * A frame is a header and a payload: the records of one turn. All numbers are little endian.
 * Checksums are the low 32 bits of XXH3; those of headers are seeded with the store's id and the
 * position, so that bytes of another store or place are no frame here.
 */
#ifndef STORE_FRAME_H
#define STORE_FRAME_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

#define STORE_FORMAT 1
#define STORE_SEGMENT_HEADER 32
#define STORE_FRAME_HEADER 48
/* What a turn's records leave free in front of them: for the header, and the store's own use. */
#define STORE_FRAME_ROOM 96
/* How a frame begins, for who looks for one. */
#define STORE_FRAME_MAGIC                                                                          \
    {                                                                                              \
        'M', 'Q', 'f', 'r'                                                                         \
    }

enum store_frame_flag {
    STORE_FRAME_SEAL = 1,   /* no records: everything before it was synced */
    STORE_FRAME_FILLER = 2, /* in the place of what could not be read: its payload means nothing and
                               has no checksum */
    STORE_FRAME_PASSING = 4 /* what is still true of it is so by a message whose record stands in it
                             */
};

struct store_frame {
    uint32_t length; /* of the payload, in bytes */
    uint32_t flags;
    uint64_t turn;    /* of this store, growing from frame to frame; seals and fillers repeat the
                         last one */
    uint64_t durable; /* all frames before this POSITION were synced when this one was written */
    uint64_t oldest;  /* position of the first segment that was needed when this one was written */
    uint32_t payload_sum;
};

struct store_segment_head {
    uint32_t format;
    uint64_t store_id; /* random, the same in all segments of a store */
    uint64_t segment;  /* position of the first frame */
};

void store_segment_write(uint8_t out[STORE_SEGMENT_HEADER], const struct store_segment_head *h);
/* False: damaged, or not a segment. h->format may be one that is not ours. */
bool store_segment_read(const uint8_t in[STORE_SEGMENT_HEADER], struct store_segment_head *h);

uint32_t store_sum(struct str payload);
void store_frame_write(uint8_t out[STORE_FRAME_HEADER], const struct store_frame *f,
                       uint64_t store_id, uint64_t position);
/* False: not a frame of this store at this position. */
bool store_frame_read(const uint8_t in[STORE_FRAME_HEADER], uint64_t store_id, uint64_t position,
                      struct store_frame *f);

#endif
