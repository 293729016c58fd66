/*
 * One table says which fields a type has; writing and reading are the same walk over it.
 */
#include "core/record.h"

#include <assert.h>
#include <string.h>

enum field {
    HAS_SESSION = 1 << 0,
    HAS_NUMBER = 1 << 1,
    HAS_SEQ = 1 << 2,
    HAS_TIME = 1 << 3,
    HAS_ID = 1 << 4,
    HAS_QOS = 1 << 5,
    HAS_FLAGS = 1 << 6,
    HAS_TEXT = 1 << 7,
    HAS_PAYLOAD = 1 << 8
};

static const uint16_t fields[RECORD_TYPES] = {
    [RECORD_CLIENT] = HAS_SESSION | HAS_SEQ | HAS_TIME | HAS_ID | HAS_TEXT,
    [RECORD_CLIENT_END] = HAS_SESSION,
    [RECORD_SUBSCRIBE] = HAS_SESSION | HAS_QOS | HAS_FLAGS | HAS_TEXT,
    [RECORD_UNSUBSCRIBE] = HAS_SESSION | HAS_TEXT,
    [RECORD_FED] = HAS_SESSION | HAS_TEXT,
    [RECORD_MESSAGE] = HAS_NUMBER | HAS_QOS | HAS_TEXT | HAS_PAYLOAD,
    [RECORD_QUEUE] = HAS_SESSION | HAS_NUMBER | HAS_SEQ | HAS_ID | HAS_QOS | HAS_FLAGS,
    [RECORD_BEGIN] = HAS_SESSION | HAS_SEQ | HAS_ID,
    [RECORD_RECEIVED] = HAS_SESSION | HAS_SEQ,
    [RECORD_DONE] = HAS_SESSION | HAS_SEQ,
    [RECORD_IN_ADD] = HAS_SESSION | HAS_ID,
    [RECORD_IN_REMOVE] = HAS_SESSION | HAS_ID,
    [RECORD_RETAIN] = HAS_NUMBER,
    [RECORD_RETAIN_CLEAR] = HAS_TEXT,
    [RECORD_GIVEN_FORMERLY] = HAS_SESSION | HAS_NUMBER,
    [RECORD_OWNER] = HAS_SESSION | HAS_ID | HAS_TEXT,
    [RECORD_BRIDGE] = HAS_SESSION | HAS_FLAGS,
    [RECORD_AUTHOR] = HAS_NUMBER | HAS_ID | HAS_TEXT | HAS_PAYLOAD,
    [RECORD_FEED] = HAS_SESSION | HAS_SEQ | HAS_QOS | HAS_TEXT,
    [RECORD_GIVEN] = HAS_SESSION | HAS_NUMBER | HAS_SEQ,
};

static uint8_t *put_varint(uint8_t *p, uint64_t v)
{
    while (v >= 0x80) {
        *p++ = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    *p++ = (uint8_t)v;
    return p;
}

static uint8_t *put_str(uint8_t *p, struct str s)
{
    p = put_varint(p, s.n);
    if (s.n > 0)
        memcpy(p, s.p, s.n);
    return p + s.n;
}

void record_write(struct buf *out, const struct record *r)
{
    unsigned has = fields[r->type];
    uint8_t *begin = buf_end(out);
    uint8_t *p = begin;

    assert(p && buf_room(out) > 0); /* reserved */
    *p++ = (uint8_t)r->type;
    if (has & HAS_SESSION)
        p = put_varint(p, r->session);
    if (has & HAS_NUMBER)
        p = put_varint(p, r->number);
    if (has & HAS_SEQ)
        p = put_varint(p, r->seq);
    if (has & HAS_TIME)
        p = put_varint(p, r->time);
    if (has & HAS_ID)
        p = put_varint(p, r->id);
    if (has & HAS_QOS)
        *p++ = r->qos;
    if (has & HAS_FLAGS)
        *p++ = r->flags;
    if (has & HAS_TEXT)
        p = put_str(p, r->text);
    if (has & HAS_PAYLOAD)
        p = put_str(p, r->payload);
    buf_added(out, (size_t)(p - begin));
}

static inline bool get_byte(struct str *in, uint8_t *v)
{
    if (in->n == 0)
        return false;
    *v = (uint8_t)in->p[0];
    *in = str_of(in->p + 1, in->n - 1);
    return true;
}

static bool get_long_varint(struct str *in, uint64_t *v)
{
    uint8_t byte = 0x80;

    *v = 0;
    for (unsigned shift = 0; byte & 0x80; shift += 7) {
        if (shift > 63 || !get_byte(in, &byte))
            return false;
        *v |= (uint64_t)(byte & 0x7f) << shift;
    }
    return true;
}

static inline bool get_varint(struct str *in, uint64_t *v)
{
    if (LIKELY(in->n > 0 && !(in->p[0] & 0x80))) {
        *v = (uint8_t)in->p[0];
        *in = str_of(in->p + 1, in->n - 1);
        return true;
    }
    return get_long_varint(in, v);
}

static inline bool get_str(struct str *in, struct str *s)
{
    uint64_t n;

    if (!get_varint(in, &n) || n > in->n)
        return false;
    *s = str_of(in->p, (size_t)n);
    *in = str_of(in->p + n, in->n - (size_t)n);
    return true;
}

static inline bool get_id(struct str *in, uint16_t *id)
{
    uint64_t v;

    if (!get_varint(in, &v) || v > UINT16_MAX)
        return false;
    *id = (uint16_t)v;
    return true;
}

static bool get_fields(struct str *in, unsigned has, struct record *r)
{
    return (!(has & HAS_SESSION) || get_varint(in, &r->session)) &&
           (!(has & HAS_NUMBER) || get_varint(in, &r->number)) &&
           (!(has & HAS_SEQ) || get_varint(in, &r->seq)) &&
           (!(has & HAS_TIME) || get_varint(in, &r->time)) &&
           (!(has & HAS_ID) || get_id(in, &r->id)) &&
           (!(has & HAS_QOS) || (get_byte(in, &r->qos) && r->qos <= 2)) &&
           (!(has & HAS_FLAGS) || get_byte(in, &r->flags)) &&
           (!(has & HAS_TEXT) || get_str(in, &r->text)) &&
           (!(has & HAS_PAYLOAD) || get_str(in, &r->payload));
}

enum err record_read(struct str *in, struct record *r)
{
    uint8_t type;

    *r = (struct record){0};
    if (!get_byte(in, &type) || type == 0 || type >= RECORD_TYPES)
        return ERR_MALFORMED;
    r->type = (enum record_type)type;
    return get_fields(in, fields[type], r) ? ERR_OK : ERR_MALFORMED;
}

/* Types of numbers alone that are never renewed, and how many: who cleans passes by most of them.
 */
static const uint8_t numbers[RECORD_TYPES] = {
    [RECORD_CLIENT_END] = 1, [RECORD_BEGIN] = 3,  [RECORD_RECEIVED] = 2,       [RECORD_DONE] = 2,
    [RECORD_IN_REMOVE] = 2,  [RECORD_RETAIN] = 1, [RECORD_GIVEN_FORMERLY] = 2,
};

bool record_skip(struct str *in)
{
    size_t left = in->n > 0 && (uint8_t)in->p[0] < RECORD_TYPES ? numbers[(uint8_t)in->p[0]] : 0;
    size_t at = 0;

    if (left == 0)
        return false;
    while (left > 0) {
        if (++at >= in->n)
            return false;
        left -= !(in->p[at] & 0x80);
    }
    *in = str_of(in->p + at + 1, in->n - at - 1);
    return true;
}
