/*
 * Fixed header and remaining length.
 *
 * The length is known before the packet is here, so a caller can refuse or make room early; nothing
 * is kept between calls. A length field padded with leading zeros (80 00) is legal in 3.1.1 and
 * accepted.
 */
#include "mqtt/frame.h"

#define LENGTH_BYTES_MAX 4 /* 2.2.3 */

/*
 * The remaining length (2.2.3) behind the first byte. ERR_OK: *rest, and the size of the fixed
 * header in *header. ERR_AGAIN: not complete. ERR_MALFORMED: a fifth byte is announced.
 */
static enum err length_field(struct str in, size_t *header, size_t *rest)
{
    size_t value = 0;

    for (size_t i = 0; i < LENGTH_BYTES_MAX; i++) {
        if (in.n <= i + 1)
            return ERR_AGAIN;
        size_t byte = (uint8_t)in.p[i + 1];
        value |= (byte & 0x7F) << (7 * i);
        if (LIKELY(byte < 0x80)) {
            *header = i + 2;
            *rest = value;
            return ERR_OK;
        }
    }
    return ERR_MALFORMED;
}

/* 2.2 */
enum err frame_next_long(struct str in, size_t max, struct frame *f, size_t *need)
{
    size_t header;
    size_t rest;

    *need = 0;
    enum err e = length_field(in, &header, &rest);
    if (UNLIKELY(e != ERR_OK))
        return e;
    *need = header + rest;
    if (UNLIKELY(*need > max))
        return ERR_TOO_LARGE;
    if (in.n < *need)
        return ERR_AGAIN;
    f->first = (uint8_t)in.p[0];
    f->whole = str_of(in.p, *need);
    f->body = str_of(in.p + header, rest);
    return ERR_OK;
}
