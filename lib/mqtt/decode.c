/*
 * Frame to view.
 *
 * Each function takes fields off the front of what is left of the body; a field that is not all
 * there ends it. Order matters only where a header says so; otherwise the first fault found is the
 * one told.
 */
#include "mqtt/decode.h"

#include "mqtt/topic.h"
#include "mqtt/utf8.h"

#define FLAGS 0x0F         /* of the first byte */
#define FLAGS_REQUEST 0x02 /* of PUBREL, SUBSCRIBE and UNSUBSCRIBE (2.2.2) */

/* Bits of the connect flags (3.1.2.3) */
#define CONNECT_RESERVED 0x01
#define CONNECT_CLEAN_SESSION 0x02
#define CONNECT_WILL 0x04
#define CONNECT_WILL_QOS_SHIFT 3
#define CONNECT_WILL_QOS 0x18u
#define CONNECT_WILL_RETAIN 0x20
#define CONNECT_PASSWORD 0x40
#define CONNECT_USERNAME 0x80
#define LEVEL_BRIDGE 0x80

static inline uint16_t u16_at(const char *p)
{
    return (uint16_t)((unsigned)(uint8_t)p[0] << 8 | (uint8_t)p[1]);
}

static inline void skip(struct str *s, size_t n)
{
    s->p += n;
    s->n -= n;
}

static inline bool take_u8(struct str *s, uint8_t *v)
{
    if (UNLIKELY(s->n < 1))
        return false;
    *v = (uint8_t)s->p[0];
    skip(s, 1);
    return true;
}

/* 1.5.2 */
static inline bool take_u16(struct str *s, uint16_t *v)
{
    if (UNLIKELY(s->n < 2))
        return false;
    *v = u16_at(s->p);
    skip(s, 2);
    return true;
}

/* Bytes with a two-byte length in front (1.5.3, 3.1.3.3); what they hold is not looked at. */
static inline bool take_bytes(struct str *s, struct str *v)
{
    if (UNLIKELY(s->n < 2))
        return false;
    size_t n = u16_at(s->p);
    if (UNLIKELY(s->n - 2 < n))
        return false;
    *v = str_of(s->p + 2, n);
    skip(s, n + 2);
    return true;
}

/* 1.5.3 */
static inline enum reason take_utf8(struct str *s, struct str *v)
{
    if (UNLIKELY(!take_bytes(s, v)))
        return REASON_TRUNCATED;
    return LIKELY(utf8_valid(*v)) ? REASON_OK : REASON_UTF8;
}

/* A packet identifier (2.3.1-1) */
static inline enum reason take_id(struct str *s, uint16_t *id)
{
    if (UNLIKELY(!take_u16(s, id)))
        return REASON_TRUNCATED;
    return LIKELY(*id) ? REASON_OK : REASON_PACKET_ID_ZERO;
}

/* The flags that are demanded of SUBSCRIBE, UNSUBSCRIBE and PUBREL (2.2.2-2); 3.1 also knows DUP
 * there. */
static inline bool request_flags_fit(uint8_t first, uint8_t level)
{
    unsigned flags = first & FLAGS;

    if (level == PROTOCOL_31)
        flags &= ~(unsigned)PUBLISH_DUP;
    return flags == FLAGS_REQUEST;
}

/* 3.1.2.1, 3.1.2.2: the level served by the name, 0 for an unknown name. */
static uint8_t level_of_name(struct str name)
{
    if (str_eq(name, STR("MQTT")))
        return PROTOCOL_311;
    return str_eq(name, STR("MQIsdp")) ? PROTOCOL_31 : 0;
}

static enum reason connect_protocol(struct str *s, struct packet_connect *p)
{
    struct str name;
    uint8_t byte;

    if (!take_bytes(s, &name))
        return REASON_TRUNCATED;
    uint8_t served = level_of_name(name);
    if (!served)
        return REASON_PROTOCOL_NAME;
    if (!take_u8(s, &byte))
        return REASON_TRUNCATED;
    p->bridge = byte & LEVEL_BRIDGE;
    p->level = (uint8_t)(byte & ~LEVEL_BRIDGE);
    return p->level == served ? REASON_OK : REASON_PROTOCOL_LEVEL;
}

/*
 * 3.1.2.3 to 3.1.2.9. Version 3.1 calls the reserved bit unused and disregards the will's QoS and
 * RETAIN when there is no will; 3.1.1 wants zeros (3.1.2-3, -11, -13, -15).
 */
static enum reason connect_flags(uint8_t flags, struct packet_connect *p)
{
    unsigned will = flags & (CONNECT_WILL_QOS | CONNECT_WILL_RETAIN);

    p->clean_session = flags & CONNECT_CLEAN_SESSION;
    p->has_will = flags & CONNECT_WILL;
    p->has_username = flags & CONNECT_USERNAME;
    p->has_password = flags & CONNECT_PASSWORD;
    if (p->level == PROTOCOL_311 && (flags & CONNECT_RESERVED || (!p->has_will && will)))
        return REASON_CONNECT_FLAGS;
    if (p->has_password && !p->has_username) /* 3.1.2-22 */
        return REASON_CONNECT_FLAGS;
    if (!p->has_will)
        return REASON_OK;
    unsigned qos = (flags & CONNECT_WILL_QOS) >> CONNECT_WILL_QOS_SHIFT;
    if (qos > QOS_2) /* 3.1.2-14 */
        return REASON_CONNECT_FLAGS;
    p->will_qos = (enum qos)qos;
    p->will_retain = flags & CONNECT_WILL_RETAIN;
    return REASON_OK;
}

/* 3.1.3.2, 3.1.3.3 */
static enum reason connect_will(struct str *s, struct packet_connect *p)
{
    enum reason r = take_utf8(s, &p->will_topic);

    if (r == REASON_OK)
        r = topic_check_name(p->will_topic);
    if (r != REASON_OK)
        return r;
    return take_bytes(s, &p->will_payload) ? REASON_OK : REASON_TRUNCATED;
}

/*
 * 3.1.3.4, 3.1.3.5. In 3.1 the remaining length takes precedence over the two flags: a name or
 * password that is announced but not there at all is simply not given.
 */
static enum reason connect_login(struct str *s, struct packet_connect *p)
{
    bool may_lack = p->level == PROTOCOL_31;

    if (may_lack && s->n == 0)
        p->has_username = p->has_password = false;
    if (p->has_username) {
        enum reason r = take_utf8(s, &p->username);
        if (r != REASON_OK)
            return r;
    }
    if (may_lack && s->n == 0)
        p->has_password = false;
    if (p->has_password && !take_bytes(s, &p->password))
        return REASON_TRUNCATED;
    return REASON_OK;
}

/* 3.1 */
enum reason decode_connect(const struct frame *f, struct packet_connect *p)
{
    struct str s = f->body;
    uint8_t flags;

    *p = (struct packet_connect){0};
    if (f->first & FLAGS)
        return REASON_FLAGS;
    enum reason r = connect_protocol(&s, p);
    if (r != REASON_OK)
        return r;
    if (!take_u8(&s, &flags))
        return REASON_TRUNCATED;
    r = connect_flags(flags, p);
    if (r != REASON_OK)
        return r;
    if (!take_u16(&s, &p->keepalive_s))
        return REASON_TRUNCATED;
    r = take_utf8(&s, &p->client_id);
    if (r == REASON_OK && p->has_will)
        r = connect_will(&s, p);
    if (r == REASON_OK)
        r = connect_login(&s, p);
    if (r != REASON_OK)
        return r;
    return s.n ? REASON_SURPLUS : REASON_OK;
}

/* 3.3 */
enum reason decode_publish(const struct frame *f, struct packet_publish *p)
{
    struct str s = f->body;
    unsigned qos = (f->first >> 1) & 3u;

    p->qos = (enum qos)qos;
    p->dup = f->first & PUBLISH_DUP;
    p->retain = f->first & PUBLISH_RETAIN;
    p->id = 0;
    if (UNLIKELY(qos > QOS_2)) /* 3.3.1-4 */
        return REASON_QOS;
    if (UNLIKELY(p->dup && qos == QOS_0)) /* 3.3.1-2 */
        return REASON_DUP_QOS0;
    enum reason r = take_utf8(&s, &p->topic); /* 3.3.2-1 */
    if (UNLIKELY(r != REASON_OK))
        return r;
    enum reason name = topic_check_name(p->topic);
    if (qos != QOS_0)
        r = take_id(&s, &p->id);
    p->payload = s; /* 3.3.3: what is left, nothing included */
    return UNLIKELY(name != REASON_OK) ? name : r;
}

/* 3.4 to 3.7, 3.11 */
enum reason decode_ack(const struct frame *f, uint8_t level, uint16_t *id)
{
    struct str s = f->body;
    bool fits = frame_type(f) == PACKET_PUBREL ? request_flags_fit(f->first, level)
                                               : (f->first & FLAGS) == 0;

    if (UNLIKELY(!fits))
        return REASON_FLAGS;
    enum reason r = take_id(&s, id);
    if (UNLIKELY(r != REASON_OK))
        return r;
    return LIKELY(s.n == 0) ? REASON_OK : REASON_SURPLUS;
}

/* One filter and, for SUBSCRIBE, its QoS byte (3.8.3-4), checked. */
static enum reason check_filter(struct str *s, bool with_qos)
{
    struct str filter;
    uint8_t qos;

    enum reason r = take_utf8(s, &filter);
    if (r == REASON_OK)
        r = topic_check_subscription(filter);
    if (r != REASON_OK || !with_qos)
        return r;
    if (!take_u8(s, &qos))
        return REASON_TRUNCATED;
    return qos > QOS_2 ? REASON_REQUESTED_QOS : REASON_OK;
}

static enum reason decode_filters(const struct frame *f, uint8_t level, struct packet_filters *p,
                                  bool with_qos)
{
    struct str s = f->body;

    *p = (struct packet_filters){0};
    if (!request_flags_fit(f->first, level))
        return REASON_FLAGS;
    enum reason r = take_id(&s, &p->id);
    if (r != REASON_OK)
        return r;
    p->filters = s;
    while (s.n > 0) {
        r = check_filter(&s, with_qos);
        if (r != REASON_OK)
            return r;
        p->count++;
    }
    return p->count ? REASON_OK : REASON_NO_FILTERS;
}

/* 3.8 */
enum reason decode_subscribe(const struct frame *f, uint8_t level, struct packet_filters *p)
{
    return decode_filters(f, level, p, true);
}

/* 3.10 */
enum reason decode_unsubscribe(const struct frame *f, uint8_t level, struct packet_filters *p)
{
    return decode_filters(f, level, p, false);
}

/* 3.8.3, 3.10.3 */
bool decode_filter(const struct packet_filters *p, size_t *at, struct str *filter, enum qos *qos)
{
    struct str s = p->filters;
    uint8_t byte;

    if (*at >= s.n)
        return false;
    skip(&s, *at);
    if (!take_bytes(&s, filter))
        return false;
    if (qos) {
        if (!take_u8(&s, &byte))
            return false;
        *qos = (enum qos)byte;
    }
    *at = p->filters.n - s.n;
    return true;
}

/* 3.12, 3.13, 3.14 */
enum reason decode_empty(const struct frame *f)
{
    if (UNLIKELY(f->first & FLAGS))
        return REASON_FLAGS;
    return f->body.n ? REASON_SURPLUS : REASON_OK;
}

/* 3.2; a refusal may not say that there is a session (3.2.2-4). */
enum reason decode_connack(const struct frame *f, bool *session_present, uint8_t *code)
{
    struct str s = f->body;
    uint8_t flags;

    if (f->first & FLAGS)
        return REASON_FLAGS;
    if (!take_u8(&s, &flags) || !take_u8(&s, code))
        return REASON_TRUNCATED;
    if (s.n)
        return REASON_SURPLUS;
    *session_present = flags & 1;
    if (flags > 1 || (flags && *code != CONNACK_ACCEPTED))
        return REASON_CONNECT_FLAGS;
    return REASON_OK;
}

/* 3.9; one code for each filter that was asked for (3.8.4-5), so there is at least one. */
enum reason decode_suback(const struct frame *f, uint16_t *id, struct str *codes)
{
    struct str s = f->body;

    if (f->first & FLAGS)
        return REASON_FLAGS;
    enum reason r = take_id(&s, id);
    if (r != REASON_OK)
        return r;
    if (s.n == 0)
        return REASON_TRUNCATED;
    for (size_t i = 0; i < s.n; i++) { /* 3.9.3-2 */
        uint8_t code = (uint8_t)s.p[i];
        if (code > QOS_2 && code != SUBACK_FAILURE)
            return REASON_QOS;
    }
    *codes = s;
    return REASON_OK;
}
