/*
 * The PROXY protocol's headers.
 *
 * Strict where the specification is: a header that could be read in two ways would let a client
 * choose its address. Every length is held against the bytes that are there.
 */
#include "server/proxy.h"

#include "base/str.h"

#include <arpa/inet.h>
#include <string.h>

#define V1_START "PROXY "
#define V2_SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V2_SIGNATURE_LENGTH 12
#define V2_VERSION 2
#define V2_LOCAL 0
#define V2_PROXY 1
#define V2_STREAM 1
#define TLV_START 3
#define TLV_SSL 0x20
#define TLV_SSL_LEAST 5   /* a byte of bits, four with the result of verifying */
#define TLV_SSL_CLIENT 1U /* the bit: the client came over TLS */

/* What every IPv4 address begins with that wears IPv6 clothes (RFC 4291, 2.5.5.2). */
static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static void set_address(struct proxy_header *h, uint8_t family, const uint8_t *ip)
{
    if (family == 6 && memcmp(ip, mapped, sizeof(mapped)) == 0) {
        family = 4;
        ip += sizeof(mapped);
    }
    h->family = family;
    memset(h->ip, 0, sizeof(h->ip));
    memcpy(h->ip, ip, family == 4 ? 4 : 16);
}

/* --- version 1 --- */

/* Up to the next blank, which goes too; the words of a line are one blank apart. */
static struct str next_word(struct str *line)
{
    const char *blank = line->n > 0 ? memchr(line->p, ' ', line->n) : NULL;
    struct str word = str_of(line->p, blank ? (size_t)(blank - line->p) : line->n);
    size_t gone = word.n + (blank ? 1 : 0);
    *line = str_of(line->p + gone, line->n - gone);
    return word;
}

static bool read_ip(struct str word, int family, uint8_t out[16])
{
    char text[INET6_ADDRSTRLEN];
    if (word.n >= sizeof(text) || memchr(word.p, '\0', word.n)) {
        return false;
    }
    memcpy(text, word.p, word.n);
    text[word.n] = '\0';
    return inet_pton(family, text, out) == 1;
}

/* Digits alone, and no zero in front. */
static bool read_port(struct str word, uint16_t *port)
{
    uint32_t value = 0;
    if (word.n == 0 || word.n > 5 || (word.n > 1 && word.p[0] == '0')) {
        return false;
    }
    for (size_t i = 0; i < word.n; i++) {
        if (word.p[i] < '0' || word.p[i] > '9') {
            return false;
        }
        value = value * 10 + (uint32_t)(word.p[i] - '0');
    }
    *port = (uint16_t)value;
    return value <= UINT16_MAX;
}

/* "TCP4 192.0.2.1 192.0.2.2 50000 1883": who, to where, from port, to port. */
static enum err read_line(struct str line, struct proxy_header *h)
{
    struct str protocol = next_word(&line);
    if (str_eq(protocol, STR("UNKNOWN"))) {
        h->own = true;
        return ERR_OK;
    }
    bool six = str_eq(protocol, STR("TCP6"));
    if (!six && !str_eq(protocol, STR("TCP4"))) {
        return ERR_MALFORMED;
    }
    uint8_t from[16];
    uint8_t to[16];
    uint16_t to_port = 0;
    int family = six ? AF_INET6 : AF_INET;
    bool good = read_ip(next_word(&line), family, from);
    good = read_ip(next_word(&line), family, to) && good;
    good = read_port(next_word(&line), &h->port) && good;
    /* The last word: what is left has no blank in it, or is no number. */
    if (!good || !read_port(line, &to_port)) {
        return ERR_MALFORMED;
    }
    set_address(h, six ? 6 : 4, from);
    return ERR_OK;
}

static enum err parse_v1(const uint8_t *p, size_t n, struct proxy_header *h, size_t *length)
{
    size_t seen = n < PROXY_V1_MAX ? n : PROXY_V1_MAX;
    const uint8_t *end = memchr(p, '\n', seen);
    size_t start = sizeof(V1_START) - 1;
    if (!end) {
        return n < PROXY_V1_MAX ? ERR_AGAIN : ERR_TOO_LARGE;
    }
    *length = (size_t)(end - p) + 1;
    if (*length < start + 2 || end[-1] != '\r') {
        return ERR_MALFORMED;
    }
    return read_line(str_of((const char *)p + start, *length - start - 2), h);
}

/* --- version 2 --- */

static size_t word_at(const uint8_t *p)
{
    return (size_t)p[0] << 8 | p[1];
}

/* What stands behind the addresses: a type, a length, that many bytes, and so on. */
static enum err read_additions(const uint8_t *p, size_t n, struct proxy_header *h)
{
    while (n > 0) {
        if (n < TLV_START || n - TLV_START < word_at(p + 1)) {
            return ERR_MALFORMED;
        }
        size_t size = word_at(p + 1);
        if (p[0] == TLV_SSL) {
            if (size < TLV_SSL_LEAST) {
                return ERR_MALFORMED;
            }
            h->tls = (p[TLV_START] & TLV_SSL_CLIENT) != 0;
        }
        p += TLV_START + size;
        n -= TLV_START + size;
    }
    return ERR_OK;
}

/* Two addresses of so many bytes, and for IP two ports. */
static enum err read_ends(uint8_t family, size_t size, struct str rest, struct proxy_header *h)
{
    const uint8_t *p = (const uint8_t *)rest.p;
    size_t ends = 2 * size + (family ? 4 : 0);
    if (rest.n < ends) {
        return ERR_MALFORMED;
    }
    if (family) {
        set_address(h, family, p);
        h->port = (uint16_t)word_at(p + 2 * size);
    }
    return read_additions(p + ends, rest.n - ends, h);
}

static enum err read_proxied(uint8_t what, struct str rest, struct proxy_header *h)
{
    uint8_t transport = what & 0x0f;
    switch (what >> 4) {
    case 0: /* unspecified */
        h->own = true;
        return transport <= V2_STREAM ? read_additions((const uint8_t *)rest.p, rest.n, h)
                                      : ERR_MALFORMED;
    case 1:
        return transport == V2_STREAM ? read_ends(4, 4, rest, h) : ERR_MALFORMED;
    case 2:
        return transport == V2_STREAM ? read_ends(6, 16, rest, h) : ERR_MALFORMED;
    case 3: /* Unix: paths of 108 bytes */
        return transport == V2_STREAM ? read_ends(0, 108, rest, h) : ERR_MALFORMED;
    default:
        return ERR_MALFORMED;
    }
}

static enum err parse_v2(const uint8_t *p, size_t n, struct proxy_header *h, size_t *length)
{
    if (n < PROXY_V2_START) {
        return ERR_AGAIN;
    }
    uint8_t command = p[12] & 0x0f;
    size_t rest = word_at(p + 14);
    if (p[12] >> 4 != V2_VERSION || command > V2_PROXY) {
        return ERR_MALFORMED;
    }
    if (rest > PROXY_V2_REST_MAX) {
        return ERR_TOO_LARGE;
    }
    if (n - PROXY_V2_START < rest) {
        return ERR_AGAIN;
    }
    *length = PROXY_V2_START + rest;
    if (command == V2_LOCAL) {
        h->own = true;
        return ERR_OK;
    }
    return read_proxied(p[13], str_of((const char *)p + PROXY_V2_START, rest), h);
}

/* --- both --- */

/* Do these bytes begin like that, as far as they go? */
static bool begins(const uint8_t *p, size_t n, const char *with, size_t length)
{
    return memcmp(p, with, n < length ? n : length) == 0;
}

enum err proxy_parse(enum conf_proxy wanted, const uint8_t *p, size_t n, struct proxy_header *h,
                     size_t *length)
{
    *h = (struct proxy_header){0};
    if (n == 0) {
        return ERR_AGAIN;
    }
    bool one = begins(p, n, V1_START, sizeof(V1_START) - 1);
    bool two = begins(p, n, V2_SIGNATURE, V2_SIGNATURE_LENGTH);
    if (!one && !two) {
        return ERR_MALFORMED;
    }
    if ((one && wanted == CONF_PROXY_V2) || (two && wanted == CONF_PROXY_V1)) {
        return ERR_UNSUPPORTED;
    }
    return one ? parse_v1(p, n, h, length) : parse_v2(p, n, h, length);
}

/* --- whom to believe --- */

/* 128 bits for either family; returns how many of them stand in front of an IPv4 address. */
static unsigned widen(uint8_t family, const uint8_t *ip, uint8_t out[16])
{
    if (family == 6) {
        memcpy(out, ip, 16);
        return 0;
    }
    memcpy(out, mapped, sizeof(mapped));
    memcpy(out + sizeof(mapped), ip, 4);
    return 96;
}

/* A network that is wider than all of IPv4 in IPv6 clothes means IPv6 alone. */
static bool is_within(const struct conf_network *net, const struct peer *peer)
{
    uint8_t a[16];
    uint8_t b[16];
    unsigned bits = net->bits + widen(net->family, net->ip, a);
    bool four = widen(peer->family, peer->ip, b) > 0;
    if (bits > 128 || (four && bits < 96)) {
        return false;
    }
    unsigned bytes = bits / 8;
    unsigned rest = bits % 8;
    if (memcmp(a, b, bytes) != 0) {
        return false;
    }
    return rest == 0 || (a[bytes] ^ b[bytes]) >> (8 - rest) == 0;
}

bool proxy_trusts(const struct conf_listener *rules, const struct peer *peer)
{
    if (rules->trusted_count == 0) {
        return true;
    }
    for (size_t i = 0; i < rules->trusted_count && peer->family != 0; i++) {
        if (is_within(&rules->trusted[i], peer)) {
            return true;
        }
    }
    return false;
}
