/*
 * A growable byte buffer.
 */
#include "base/buf.h"

#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>

#define BUF_LEAST 64 /* bytes of the first allocation, unless exact */

void buf_clear(struct buf *b)
{
    mem_free(b->data, b->cap);
    *b = (struct buf){0};
}

static void move_to_front(struct buf *b)
{
    if (b->head > 0 && b->len > 0)
        memmove(b->data, b->data + b->head, b->len);
    b->head = 0;
}

/* Resize to `cap` bytes; it is no error if that fails as long as `need` fit. */
static enum err grow(struct buf *b, size_t need, size_t cap)
{
    uint8_t *data = NULL;

    move_to_front(b);
    if (cap <= UINT32_MAX)
        data = mem_realloc(b->data, b->cap, cap);
    if (!data)
        return need <= b->cap ? ERR_OK : ERR_NOMEM;
    b->data = data;
    b->cap = (uint32_t)cap;
    return ERR_OK;
}

enum err buf_reserve(struct buf *b, size_t more)
{
    size_t need = b->len + more;
    size_t twice = (size_t)b->cap * 2;

    if (LIKELY(buf_room(b) >= more))
        return ERR_OK;
    if (more > UINT32_MAX || need > UINT32_MAX)
        return ERR_NOMEM;
    /*
     * A move costs no more than the drops before it did: else dropping and adding one byte each
     * moved all.
     */
    if (need <= b->cap && b->head >= b->len) {
        move_to_front(b);
        return ERR_OK;
    }
    if (twice < BUF_LEAST)
        twice = BUF_LEAST;
    if (twice > UINT32_MAX)
        twice = UINT32_MAX;
    return grow(b, need, need > twice ? need : twice);
}

enum err buf_reserve_exact(struct buf *b, size_t more)
{
    if (buf_room(b) >= more)
        return ERR_OK;
    if (more > UINT32_MAX)
        return ERR_NOMEM;
    if (b->len + more <= b->cap) {
        move_to_front(b);
        return ERR_OK;
    }
    return grow(b, b->len + more, b->len + more);
}

enum err buf_add(struct buf *b, const void *p, size_t n)
{
    enum err err = buf_reserve(b, n);

    if (err != ERR_OK || n == 0)
        return err;
    memcpy(buf_end(b), p, n);
    buf_added(b, n);
    return ERR_OK;
}

enum err buf_printf(struct buf *b, const char *fmt, ...)
{
    enum err err = ERR_INVAL;
    va_list args;
    va_list again;
    int n;

    va_start(args, fmt);
    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, args);
    if (n >= 0)
        err = buf_reserve(b, (size_t)n + 1); /* the terminator is written, but not counted */
    if (err == ERR_OK) {
        (void)vsnprintf((char *)buf_end(b), (size_t)n + 1, fmt, again);
        buf_added(b, (size_t)n);
    }
    va_end(again);
    va_end(args);
    return err;
}

void buf_drop(struct buf *b, size_t n)
{
    b->head += (uint32_t)n;
    b->len -= (uint32_t)n;
    if (b->len == 0)
        b->head = 0;
}
