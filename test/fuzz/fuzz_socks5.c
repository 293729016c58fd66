/*
 * Any bytes as the answers of a SOCKS5 proxy. The first byte chooses whether there is a user name;
 * the second how the rest is cut.
 *
 * Whatever comes: no byte is read that is not there; what is to be written has an end; nothing is
 * taken behind the end of the handshake; and it comes out the same as byte by byte.
 */
#include "net/socks5.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct socks5 *s)
{
    if (s->out_at > s->out_len || s->out_len > sizeof(s->out) || s->in_len > s->in_need ||
        s->in_need > sizeof(s->in) || !s->why)
        abort();
}

/* In memory of its own size, where the sanitizer sees each byte too far. */
static enum err give(struct socks5 *s, const uint8_t *p, size_t n, size_t *used)
{
    uint8_t *copy = mem_alloc(n);
    if (!copy)
        abort();
    memcpy(copy, p, n);
    s->out_at = s->out_len;
    enum err e = socks5_step(s, copy, n, used);
    mem_free(copy, n);
    check(s);
    if (*used > n || (e == ERR_AGAIN && *used < n))
        abort();
    return e;
}

/* No more than is asked for in one go, as who reads from a socket would. */
static enum err talk(int named, size_t piece, const uint8_t *p, size_t n, size_t *taken)
{
    struct socks5 s;
    const struct str none = {0};
    enum err e = socks5_begin(&s, STR("broker.example"), 1883, named ? STR("user") : none,
                              named ? STR("password") : none);
    if (e != ERR_OK)
        abort();
    check(&s);
    *taken = 0;
    for (e = ERR_AGAIN; e == ERR_AGAIN && *taken < n;) {
        size_t used;
        size_t wanted = s.in_need - s.in_len;
        size_t part = piece < wanted ? piece : wanted;
        if (part == 0)
            abort();
        if (part > n - *taken)
            part = n - *taken;
        e = give(&s, p + *taken, part, &used);
        *taken += used;
    }
    return e;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t one;
    size_t other;
    if (size < 2)
        return 0;
    int named = data[0] & 1;
    enum err e = talk(named, 1, data + 2, size - 2, &one);
    if (talk(named, 1 + (size_t)data[1], data + 2, size - 2, &other) != e || one != other)
        abort();
    return 0;
}
