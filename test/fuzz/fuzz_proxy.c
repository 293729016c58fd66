/*
 * Any bytes as a PROXY header. The first byte chooses which version is wanted.
 *
 * Whatever comes: no byte is read that is not there; a header that is whole stays the same whatever
 * follows it, and is not whole one byte earlier; and what is taken or refused once stays so with
 * more bytes.
 */
#include "server/proxy.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct answer {
    enum err e;
    size_t length;
    struct proxy_header header;
};

/* In memory of its own size, where the sanitizer sees each byte too far. */
static struct answer ask(enum conf_proxy wanted, const uint8_t *p, size_t n)
{
    struct answer a = {.length = SIZE_MAX};
    uint8_t *copy = mem_alloc(n);

    if (!copy)
        abort();
    if (n > 0)
        memcpy(copy, p, n);
    a.e = proxy_parse(wanted, copy, n, &a.header, &a.length);
    mem_free(copy, n);
    return a;
}

static bool same_header(const struct proxy_header *a, const struct proxy_header *b)
{
    return a->own == b->own && a->tls == b->tls && a->family == b->family && a->port == b->port &&
           memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static void check_header(const struct answer *a, size_t n)
{
    const struct proxy_header *h = &a->header;

    if (a->length == 0 || a->length > n || a->length > PROXY_MAX)
        abort();
    if (h->family != 0 && h->family != 4 && h->family != 6)
        abort();
    if (h->own && (h->family != 0 || h->port != 0))
        abort();
}

static void check_answer(enum conf_proxy wanted, const uint8_t *p, size_t n, const struct answer *a)
{
    struct answer other;

    switch (a->e) {
    case ERR_OK:
        check_header(a, n);
        other = ask(wanted, p, a->length);
        if (other.e != ERR_OK || other.length != a->length ||
            !same_header(&other.header, &a->header))
            abort();
        if (ask(wanted, p, a->length - 1).e != ERR_AGAIN)
            abort();
        break;
    case ERR_AGAIN:
        if (n >= PROXY_MAX || (n > 0 && p[0] == 'P' && n >= PROXY_V1_MAX))
            abort();
        break;
    case ERR_MALFORMED:
    case ERR_UNSUPPORTED:
    case ERR_TOO_LARGE:
        break;
    default:
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const enum conf_proxy versions[] = {CONF_PROXY_ANY, CONF_PROXY_V1, CONF_PROXY_V2};
    enum conf_proxy wanted;
    struct answer whole;
    bool settled = false;

    if (size == 0)
        return 0;
    wanted = versions[data[0] % 3];
    data++;
    size--;
    whole = ask(wanted, data, size);
    check_answer(wanted, data, size, &whole);
    for (size_t n = 0; n <= size && n < 256; n++) {
        struct answer part = ask(wanted, data, n);
        settled = settled || part.e != ERR_AGAIN;
        /* Why it is refused may become clearer. */
        if (settled && (part.e == ERR_AGAIN || (part.e == ERR_OK) != (whole.e == ERR_OK)))
            abort();
    }
    return 0;
}
