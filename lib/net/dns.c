/*
 * The answers of name servers.
 */
#include "net/dns.h"

#include <string.h>

#define HEADER_SIZE 12
/* More would be a circle: each pointer ought to lead to at least one more label. */
#define POINTERS_MAX 32

struct reader {
    const uint8_t *p;
    size_t n;
    size_t at;
    bool bad; /* something did not fit: what is read from now on is 0 */
};

struct record {
    unsigned type;
    unsigned class;
    size_t at; /* its data */
    size_t length;
};

static bool take(struct reader *r, size_t n, size_t *at)
{
    if (r->bad || n > r->n - r->at) {
        r->bad = true;
        return false;
    }
    *at = r->at;
    r->at += n;
    return true;
}

static unsigned take_u8(struct reader *r)
{
    size_t at;
    return take(r, 1, &at) ? r->p[at] : 0;
}

static unsigned take_u16(struct reader *r)
{
    unsigned high = take_u8(r);
    return high << 8 | take_u8(r);
}

/* A name ends with an empty label or with a pointer to its rest (RFC 1035, 4.1.4). */
static void skip_name(struct reader *r)
{
    size_t at;
    for (unsigned n = take_u8(r); n > 0; n = take_u8(r)) {
        if (n >= 0xc0) {
            (void)take_u8(r);
            return;
        }
        r->bad = r->bad || n > 63;
        (void)take(r, n, &at);
    }
}

/* Append a label and, if there is something before it, a dot. */
static bool add_label(char *out, size_t *length, const uint8_t *label, size_t n)
{
    size_t dot = *length > 0 ? 1 : 0;
    if (*length + dot + n > HOST_NAME_LENGTH || memchr(label, '.', n) || memchr(label, 0, n)) {
        return false;
    }
    if (dot > 0) {
        out[(*length)++] = '.';
    }
    memcpy(out + *length, label, n);
    *length += n;
    return true;
}

/* A whole name as text, "" for the root; false when it is none that we could ask for. */
static bool take_name(struct reader *r, char *out)
{
    size_t length = 0;
    size_t at;
    int pointers = 0;
    for (unsigned n = take_u8(r); n > 0 && !r->bad; n = take_u8(r)) {
        if (n >= 0xc0) {
            r->at = (n & 0x3f) << 8 | take_u8(r);
            r->bad = r->bad || r->at >= r->n || ++pointers > POINTERS_MAX;
        } else if (n > 63 || !take(r, n, &at) || !add_label(out, &length, r->p + at, n)) {
            return false;
        }
    }
    out[length] = '\0';
    return !r->bad && (length == 0 || host_is_name(out));
}

/* To the first record: how many answers there are. */
static unsigned begin(struct reader *r, const uint8_t *p, size_t n)
{
    *r = (struct reader){.p = p, .n = n, .at = 4};
    if (n < HEADER_SIZE) {
        r->bad = true;
        return 0;
    }
    unsigned questions = take_u16(r);
    unsigned answers = take_u16(r);
    r->at = HEADER_SIZE;
    for (; questions > 0 && !r->bad; questions--) {
        size_t at;
        skip_name(r);
        (void)take(r, 4, &at);
    }
    return answers;
}

static bool next_record(struct reader *r, struct record *record)
{
    size_t at;
    skip_name(r);
    record->type = take_u16(r);
    record->class = take_u16(r);
    (void)take(r, 4, &at); /* how long it may be kept */
    record->length = take_u16(r);
    return take(r, record->length, &record->at);
}

/* Aliases on the way are of no interest: the server has followed them. */
enum err dns_addresses(const uint8_t *p, size_t n, int family, struct addresses *out)
{
    const unsigned type = family == AF_INET ? DNS_A : DNS_AAAA;
    const size_t size = family == AF_INET ? 4 : 16;
    struct reader r;
    struct record record;
    bool found = false;
    unsigned left = begin(&r, p, n);
    for (; left > 0 && !addresses_full(out, family) && next_record(&r, &record); left--) {
        if (record.type == type && record.class == DNS_CLASS_IN && record.length == size) {
            addresses_add(out, family, p + record.at, 0);
            found = true;
        }
    }
    if (r.bad) {
        return ERR_MALFORMED;
    }
    return found ? ERR_OK : ERR_NOT_FOUND;
}

static bool read_service(const struct reader *r, const struct record *record,
                         struct dns_service *out)
{
    /* Its name may point back to anywhere, but not run over the end of all. */
    struct reader data = {.p = r->p, .n = r->n, .at = record->at};
    if (record->type != DNS_SRV || record->class != DNS_CLASS_IN || record->length < 7) {
        return false;
    }
    out->priority = (uint16_t)take_u16(&data);
    out->weight = (uint16_t)take_u16(&data);
    out->port = (uint16_t)take_u16(&data);
    return take_name(&data, out->target) && (out->port > 0 || out->target[0] == '\0');
}

enum err dns_services(const uint8_t *p, size_t n, struct dns_service *out, size_t max,
                      size_t *count)
{
    struct reader r;
    struct record record;
    *count = 0;
    unsigned left = begin(&r, p, n);
    for (; left > 0 && *count < max && next_record(&r, &record); left--) {
        if (read_service(&r, &record, &out[*count])) {
            (*count)++;
        }
    }
    if (r.bad) {
        return ERR_MALFORMED;
    }
    return *count > 0 ? ERR_OK : ERR_NOT_FOUND;
}

/* What RFC 2782 wants first: low priorities, and within one those of weight 0. */
static bool comes_before(const struct dns_service *a, const struct dns_service *b)
{
    if (a->priority != b->priority) {
        return a->priority < b->priority;
    }
    return a->weight == 0 && b->weight > 0;
}

static void move(struct dns_service *s, size_t from, size_t to)
{
    struct dns_service moved = s[from];
    memmove(s + to + 1, s + to, (from - to) * sizeof(*s));
    s[to] = moved;
}

/* Which of those at the front that share a priority is next. */
static size_t choose(const struct dns_service *s, size_t count, struct rng *rng)
{
    uint32_t sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += s[i].weight;
    }
    uint32_t at = rng_below(rng, sum + 1);
    size_t i = 0;
    for (uint32_t passed = s[0].weight; passed < at; passed += s[i].weight) {
        i++;
    }
    return i;
}

void dns_services_order(struct dns_service *s, size_t count, struct rng *rng)
{
    for (size_t i = 1; i < count; i++) {
        size_t to = i;
        while (to > 0 && comes_before(&s[i], &s[to - 1])) {
            to--;
        }
        move(s, i, to);
    }
    for (size_t i = 0; i < count; i++) {
        size_t end = i + 1;
        while (end < count && s[end].priority == s[i].priority) {
            end++;
        }
        move(s, i + choose(s + i, end - i, rng), i);
    }
}
