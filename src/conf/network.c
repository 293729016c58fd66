/*
 * Networks are read in two passes: all must be right before any is kept.
 */
#include "conf/network.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <string.h>

#define MAPPED_BITS 96 /* of ::ffff:0:0/96, behind which IPv4 stands */

/* ADDRESS and BITS; without BITS all of them count, which `whole` says. */
static enum err split(struct str text, struct str *address, int64_t *bits, bool *whole)
{
    const char *slash = memchr(text.p, '/', text.n);

    *address = text;
    *bits = 0;
    *whole = !slash;
    if (!slash)
        return ERR_OK;
    address->n = (size_t)(slash - text.p);
    return str_to_i64(str_of(slash + 1, text.n - address->n - 1), bits);
}

static enum err read_address(struct str text, struct conf_network *out)
{
    char z[INET6_ADDRSTRLEN];

    if (text.n == 0 || text.n >= sizeof(z))
        return ERR_INVAL;
    memcpy(z, text.p, text.n);
    z[text.n] = '\0';
    if (inet_pton(AF_INET, z, out->ip) == 1)
        out->family = 4;
    else if (inet_pton(AF_INET6, z, out->ip) == 1)
        out->family = 6;
    else
        return ERR_INVAL;
    return ERR_OK;
}

static void unmap(struct conf_network *n)
{
    static const uint8_t mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};

    if (n->family != 6 || n->bits < MAPPED_BITS || memcmp(n->ip, mapped, sizeof(mapped)) != 0)
        return;
    memmove(n->ip, n->ip + sizeof(mapped), 4);
    n->family = 4;
    n->bits = (uint8_t)(n->bits - MAPPED_BITS);
}

/* The rest is nobody's address any more: equal networks are equal bytes. */
static void clear_behind(struct conf_network *n)
{
    size_t whole = n->bits / 8;

    if (n->bits % 8) {
        n->ip[whole] &= (uint8_t)(0xFFU << (8 - n->bits % 8));
        whole++;
    }
    memset(n->ip + whole, 0, sizeof(n->ip) - whole);
}

enum err network_parse(struct str text, struct conf_network *out)
{
    struct str address;
    int64_t bits, most;
    bool whole;
    enum err e;

    memset(out, 0, sizeof(*out));
    e = split(text, &address, &bits, &whole);
    if (!e)
        e = read_address(address, out);
    if (e)
        return ERR_INVAL;
    most = out->family == 4 ? 32 : 128;
    if (bits < 0 || bits > most)
        return ERR_INVAL;
    out->bits = (uint8_t)(whole ? most : bits);
    unmap(out);
    clear_behind(out);
    return ERR_OK;
}

bool network_is_loopback(const struct conf_network *n)
{
    static const uint8_t one[16] = {[15] = 1};

    return n->family == 4 ? n->ip[0] == 127 : memcmp(n->ip, one, sizeof(one)) == 0;
}

/* The next network of a line; false at its end or before a comment. */
static bool next_network(struct str *rest, struct str *token)
{
    *token = str_token(rest);
    return token->n > 0 && token->p[0] != '#';
}

enum err network_add(struct str text, struct conf_network **list, size_t *count)
{
    struct conf_network one, *grown;
    struct str rest = text, token;
    size_t more = 0;

    while (next_network(&rest, &token)) {
        if (network_parse(token, &one))
            return ERR_INVAL;
        more++;
    }
    if (more == 0)
        return ERR_INVAL;
    grown = mem_realloc(*list, *count * sizeof(one), (*count + more) * sizeof(one));
    if (!grown)
        return ERR_NOMEM;
    *list = grown;
    while (next_network(&text, &token)) {
        if (network_parse(token, &grown[*count]) == ERR_OK)
            (*count)++;
    }
    return ERR_OK;
}
