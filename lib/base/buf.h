/*
 * A growable byte buffer. Bytes are taken at the front and added at the end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include "base/err.h"
#include "base/str.h"

#include <stdint.h>

struct buf {
    uint8_t *data; /* the allocation */
    uint32_t cap;  /* its size in bytes */
    uint32_t head; /* the first byte in use */
    uint32_t len;  /* bytes in use from there */
};

/* A zeroed struct buf is an empty buffer and owns nothing. */
void buf_clear(struct buf *b); /* frees; the buffer is empty and usable again */

static inline uint8_t *buf_begin(const struct buf *b)
{
    return b->data ? b->data + b->head : NULL;
}

static inline struct str buf_str(const struct buf *b)
{
    return str_of((const char *)buf_begin(b), b->len);
}

/*
 * Make sure that `more` bytes can be added without allocation. ERR_NOMEM (also above 4 GiB) keeps
 * the content as it was.
 *
 * buf_reserve() grows to twice the size at least, and moves bytes to the front instead when that is
 * enough and pays (as much has been dropped as would be moved). buf_reserve_exact() always moves
 * when that is enough, and grows by no more than is asked for.
 */
MUST_CHECK enum err buf_reserve(struct buf *b, size_t more);
MUST_CHECK enum err buf_reserve_exact(struct buf *b, size_t more);
/* Where the next bytes go, after buf_reserve; then say how many came. */
static inline uint8_t *buf_end(const struct buf *b)
{
    return b->data ? b->data + b->head + b->len : NULL;
}
static inline size_t buf_room(const struct buf *b)
{
    return (size_t)b->cap - b->head - b->len;
}
static inline void buf_added(struct buf *b, size_t n)
{
    b->len += (uint32_t)n;
}
MUST_CHECK enum err buf_add(struct buf *b, const void *p, size_t n);
/* Append formatted text (no terminator counted). */
MUST_CHECK enum err buf_printf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
/* Drop n <= len bytes from the front; an emptied buffer restarts at the front of its allocation. */
void buf_drop(struct buf *b, size_t n);

#endif
