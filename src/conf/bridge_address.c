/*
 * The last colon divides host and port. What has more colons is IPv6, and then a port must be
 * behind it, or brackets around it: of 1::2:3 nobody can tell where the address ends.
 */
#include "conf/bridge_address.h"

#include "base/feature.h"
#include "base/mem.h"
#include "conf/network.h"
#include "mqtt/utf8.h"

#include <string.h>
#include <strings.h>

#define HOST_MAX 255

struct part {
    struct str host, port; /* port.p NULL: none was given */
};

/* Without the interface behind a %. */
static struct str without_zone(struct str text)
{
    const char *zone = text.n > 0 ? memchr(text.p, '%', text.n) : NULL;

    return zone && text.p + text.n > zone + 1 ? str_of(text.p, (size_t)(zone - text.p)) : text;
}

static bool is_ip(struct str text, struct conf_network *n)
{
    return text.n > 0 && !memchr(text.p, '/', text.n) && network_parse(text, n) == ERR_OK;
}

bool bridge_address_is_ip(struct str text)
{
    struct conf_network n;

    return is_ip(text, &n) || is_ip(without_zone(text), &n);
}

static bool is_ipv6(struct str text)
{
    return text.n > 0 && memchr(text.p, ':', text.n) && bridge_address_is_ip(text);
}

bool bridge_address_is_local(const char *host)
{
    struct conf_network n;

    return strcasecmp(host, "localhost") == 0 ||
           (is_ip(str_c(host), &n) && network_is_loopback(&n));
}

/* [ADDRESS] or [ADDRESS]:PORT. */
static const char *split_brackets(struct str text, struct part *p)
{
    const char *end = memchr(text.p, ']', text.n);
    struct str behind;

    if (!end || !is_ipv6(str_of(text.p + 1, (size_t)(end - text.p) - 1)))
        return "expected an IPv6 address between the brackets.";
    p->host = str_of(text.p + 1, (size_t)(end - text.p) - 1);
    behind = str_of(end + 1, text.n - p->host.n - 2);
    if (behind.n > 0 && behind.p[0] != ':')
        return "expected a colon and a port behind the brackets, or nothing.";
    if (behind.n > 0)
        p->port = str_of(behind.p + 1, behind.n - 1);
    return NULL;
}

static const char *split(struct str text, struct part *p)
{
    const char *last = memrchr(text.p, ':', text.n);

    if (text.p[0] == '[')
        return split_brackets(text, p);
    p->host = text;
    if (!last)
        return NULL;
    p->host = str_of(text.p, (size_t)(last - text.p));
    p->port = str_of(last + 1, text.n - p->host.n - 1);
    if (memchr(p->host.p, ':', p->host.n) && !is_ipv6(p->host))
        return is_ipv6(text) ? "expected a port behind an IPv6 address, or brackets around it."
                             : "expected one colon between host and port; only an IPv6 address has "
                               "more.";
    return NULL;
}

/* What stands in URLs and around names, but in no name. */
static bool has_sign(struct str host)
{
    for (size_t i = 0; i < host.n; i++) {
        if (strchr("/[]@\"", host.p[i]))
            return true;
    }
    return false;
}

static const char *check_host(const struct part *p)
{
    if (p->host.n == 0 || p->host.n > HOST_MAX || !utf8_valid(p->host) || has_sign(p->host))
        return "expected HOST or HOST:PORT, where HOST is a name or an address.";
    if (p->host.p[0] != '_')
        return NULL;
    if (p->port.p)
        return "expected no port: a name that begins with _ has SRV records, which say the port.";
    return feature_built(FEATURE_SRV) ? NULL
                                      : "a name that begins with _ has SRV records, and these need "
                                        "a build with WITH_SRV=yes.";
}

static const char *read_port(struct str text, uint16_t *port)
{
    int64_t n = 0;

    *port = 0;
    if (!text.p)
        return NULL;
    if (str_to_i64(text, &n) || n < 1 || n > UINT16_MAX)
        return "expected a port from 1 to 65535 behind the colon.";
    *port = (uint16_t)n;
    return NULL;
}

static enum err append(struct conf_bridge *b, struct str token, const char **why)
{
    size_t n = b->address_count;
    struct part p = {0};
    struct conf_bridge_address a = {0}, *grown;

    *why = split(token, &p);
    if (!*why)
        *why = check_host(&p);
    if (!*why)
        *why = read_port(p.port, &a.port);
    if (!*why && n == BRIDGE_ADDRESSES_MAX)
        *why = "expected no more than 256 addresses.";
    if (*why)
        return ERR_INVAL;
    a.host = str_dup(p.host);
    grown = a.host ? mem_realloc(b->addresses, n * sizeof(a), (n + 1) * sizeof(a)) : NULL;
    if (!grown) {
        str_dup_free(a.host);
        return ERR_NOMEM;
    }
    b->addresses = grown;
    b->addresses[b->address_count++] = a;
    return ERR_OK;
}

enum err bridge_addresses_read(struct conf_bridge *b, struct str text, const char **why)
{
    struct str token = str_token(&text);
    enum err e = ERR_OK;

    if (token.n == 0) {
        *why = "expected HOST or HOST:PORT.";
        return ERR_INVAL;
    }
    for (; token.n > 0 && !e; token = str_token(&text))
        e = append(b, token, why);
    return e;
}

bool bridge_addresses_same(const struct conf_bridge *a, const struct conf_bridge *b)
{
    size_t i = 0;

    while (i < a->address_count && i < b->address_count &&
           a->addresses[i].port == b->addresses[i].port &&
           strcmp(a->addresses[i].host, b->addresses[i].host) == 0)
        i++;
    return i == a->address_count && i == b->address_count;
}

void bridge_addresses_free(struct conf_bridge *b)
{
    for (size_t i = 0; i < b->address_count; i++)
        str_dup_free(b->addresses[i].host);
    mem_free(b->addresses, b->address_count * sizeof(*b->addresses));
    b->addresses = NULL;
    b->address_count = 0;
}
