/*
 * One whole packet at a time out of a stream of bytes (2.2).
 */
#ifndef MQTT_FRAME_H
#define MQTT_FRAME_H

#include "base/err.h"
#include "base/str.h"
#include "mqtt/packet.h"
#include "mqtt/reason.h"

struct frame {
    uint8_t first;    /* type and flags */
    struct str whole; /* the packet with its fixed header */
    struct str body;  /* what follows the fixed header */
};

static inline enum packet_type frame_type(const struct frame *f)
{
    return (enum packet_type)(f->first >> 4);
}

/*
 * Look at the front of `in`. ERR_OK: *f is a whole packet. ERR_AGAIN: not all of it is here; *need
 * is the size of the whole packet when known, 0 when even its length is not. ERR_TOO_LARGE: the
 * packet announces more than `max` bytes in all (known before they arrive; *need is set).
 * ERR_MALFORMED: the length field has more than four bytes.
 */
MUST_CHECK enum err frame_next_long(struct str in, size_t max, struct frame *f, size_t *need);
/* Here is what all packets of up to 129 bytes need that have arrived whole: 20 instructions rather
 * than 45. */
MUST_CHECK static inline enum err frame_next(struct str in, size_t max, struct frame *f,
                                             size_t *need)
{
    size_t rest = in.p && in.n > 1 ? (uint8_t)in.p[1] : SIZE_MAX - 2;

    if (UNLIKELY(rest >= 0x80 || in.n < rest + 2 || max < rest + 2))
        return frame_next_long(in, max, f, need);
    *need = rest + 2;
    f->first = (uint8_t)in.p[0];
    f->whole = str_of(in.p, rest + 2);
    f->body = str_of(in.p + 2, rest);
    return ERR_OK;
}

#endif
