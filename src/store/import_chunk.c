/*
 * One function for each type of chunk and layout of body. They read fields without looking whether
 * there are enough: what is missing reads as zero and is noticed at the end of the chunk.
 */
#include "store/import_chunk.h"

#include <string.h>

#define MAGIC_SIZE 15
#define HEADER_SIZE (MAGIC_SIZE + 4 + 4)
#define FORMAT_LEAST 3
#define FORMAT_STRUCTS 5 /* from here on bodies are structures */
#define FORMAT_LAST 6
#define ID_SIZE 8
#define INTERVAL_NEVER UINT32_MAX
#define QOS_MASK 0x03u
#define VARINT_BYTES 4

static const char magic[MAGIC_SIZE] = "\x00\xB5\x00mosquitto db";

struct fields {
    const unsigned char *p;
    size_t n;
    bool missing;
    const char *wrong; /* a value that cannot be */
};

static struct str get_bytes(struct fields *f, size_t n)
{
    struct str s = {0};

    if (n > f->n) {
        f->missing = true;
        return s;
    }
    s = str_of((const char *)f->p, n);
    f->p += n;
    f->n -= n;
    return s;
}

/* A number of n bytes in network order. */
static uint32_t get_number(struct fields *f, size_t n)
{
    struct str s = get_bytes(f, n);
    uint32_t v = 0;

    for (size_t i = 0; i < s.n; i++)
        v = v << 8 | (unsigned char)s.p[i];
    return v;
}

static uint8_t get_u8(struct fields *f)
{
    return (uint8_t)get_number(f, 1);
}

static uint16_t get_u16(struct fields *f)
{
    return (uint16_t)get_number(f, 2);
}

static uint32_t get_u32(struct fields *f)
{
    return get_number(f, 4);
}

/* An id or a time, as the writing host had it in memory. */
static uint64_t get_host(struct fields *f)
{
    struct str s = get_bytes(f, sizeof(uint64_t));
    uint64_t v = 0;

    if (s.n == sizeof(v))
        memcpy(&v, s.p, sizeof(v));
    return v;
}

static struct str get_string(struct fields *f)
{
    uint16_t n = get_u16(f);

    return get_bytes(f, n);
}

static uint8_t get_qos(struct fields *f)
{
    uint8_t qos = get_u8(f);

    if (qos > 2)
        f->wrong = "a QoS above 2";
    return qos;
}

static uint8_t get_state(struct fields *f)
{
    uint8_t state = get_u8(f);

    if (!f->missing && (state == 0 || state >= IMPORT_STATES))
        f->wrong = "a message of a client in no known state";
    return state;
}

static bool get_inbound(struct fields *f)
{
    uint8_t direction = get_u8(f);

    if (direction > 1)
        f->wrong = "a message of a client that goes neither in nor out";
    return direction == 0;
}

static void check_id_size(struct fields *f, uint8_t size)
{
    if (!f->missing && size != ID_SIZE)
        f->wrong = "message ids of an unknown size";
}

/* --- formats 3 and 4 --- */

static void old_config(struct fields *f, struct import_chunk *c, unsigned format)
{
    (void)c;
    (void)format;
    (void)get_u8(f); /* was it written at a clean stop? */
    check_id_size(f, get_u8(f));
    (void)get_host(f);
}

static void old_message(struct fields *f, struct import_chunk *c, unsigned format)
{
    c->id = get_host(f);
    (void)get_string(f); /* who published it */
    if (format == 4) {
        (void)get_string(f); /* his user name */
        (void)get_u16(f);    /* the listener's port */
    }
    (void)get_u16(f); /* the publisher's packet id */
    (void)get_u16(f);
    c->topic = get_string(f);
    c->qos = get_qos(f);
    (void)get_u8(f); /* as published; what is retained says a chunk of its own */
    uint32_t n = get_u32(f);
    c->payload = get_bytes(f, n);
}

static void old_row(struct fields *f, struct import_chunk *c, unsigned format)
{
    (void)format;
    c->client = get_string(f);
    c->id = get_host(f);
    c->packet_id = get_u16(f);
    c->qos = get_qos(f);
    c->retain = get_u8(f);
    c->inbound = get_inbound(f);
    c->state = get_state(f);
    (void)get_u8(f); /* DUP */
}

static void read_retain(struct fields *f, struct import_chunk *c, unsigned format)
{
    (void)format;
    c->id = get_host(f);
}

static void old_subscription(struct fields *f, struct import_chunk *c, unsigned format)
{
    (void)format;
    c->client = get_string(f);
    c->topic = get_string(f);
    c->qos = get_qos(f);
}

static void old_client(struct fields *f, struct import_chunk *c, unsigned format)
{
    (void)format;
    c->client = get_string(f);
    c->packet_id = get_u16(f);
    c->left = (int64_t)get_host(f);
}

/* --- formats 5 and 6 --- */

static void new_config(struct fields *f, struct import_chunk *c, unsigned format)
{
    (void)c;
    (void)format;
    (void)get_host(f);
    (void)get_u8(f);
    check_id_size(f, get_u8(f));
    (void)get_bytes(f, 6);
}

/* MQTT 5 properties take what is left of a chunk: their length, then as many bytes. */
static bool get_properties(struct fields *f)
{
    size_t length = 0;
    uint8_t byte = 0x80;

    if (f->n == 0)
        return false;
    for (unsigned i = 0; i < VARINT_BYTES && byte & 0x80; i++) {
        byte = get_u8(f);
        length |= (size_t)(byte & 0x7f) << (7 * i);
    }
    if (length != f->n)
        f->wrong = "properties that do not fill their chunk";
    (void)get_bytes(f, f->n);
    return length > 0;
}

static void new_message(struct fields *f, struct import_chunk *c, unsigned format)
{
    (void)format;
    c->id = get_host(f);
    c->expires = (int64_t)get_host(f);
    uint32_t payload = get_u32(f);
    (void)get_u16(f);
    uint16_t source = get_u16(f);
    uint16_t username = get_u16(f);
    uint16_t topic = get_u16(f);
    (void)get_u16(f);
    c->qos = get_qos(f);
    (void)get_u8(f);
    (void)get_bytes(f, source);
    (void)get_bytes(f, username);
    c->topic = get_bytes(f, topic);
    c->payload = get_bytes(f, payload);
    c->extras = get_properties(f) || c->expires != 0;
}

static void new_row(struct fields *f, struct import_chunk *c, unsigned format)
{
    (void)format;
    c->id = get_host(f);
    c->packet_id = get_u16(f);
    uint16_t client = get_u16(f);
    c->qos = get_qos(f);
    c->state = get_state(f);
    c->retain = get_u8(f) >> 4; /* below it DUP */
    c->inbound = get_inbound(f);
    c->client = get_bytes(f, client);
    c->extras = get_properties(f);
}

static void new_subscription(struct fields *f, struct import_chunk *c, unsigned format)
{
    (void)format;
    uint32_t identifier = get_u32(f);
    uint16_t client = get_u16(f);
    uint16_t topic = get_u16(f);
    c->qos = get_qos(f);
    uint8_t options = get_u8(f);
    (void)get_bytes(f, 2);
    c->client = get_bytes(f, client);
    c->topic = get_bytes(f, topic);
    c->extras = identifier != 0 || (options & ~QOS_MASK) != 0;
}

/*
 * Sessions of MQTT 3.1.1 never expire: their interval has all bits set. It is 0 when Mosquitto has
 * taken the session over from a file of format 3 or 4; but also for those of MQTT 5 that end with
 * their connection. These cannot be told apart, and keeping them loses nothing.
 *
 * The time is set when the connection has ended. The user name may be anything: 2.0.11 writes
 * whatever is in memory there for a client without one.
 */
static void new_client(struct fields *f, struct import_chunk *c, unsigned format)
{
    int64_t time = (int64_t)get_host(f);
    uint32_t interval = get_u32(f);
    bool expires = interval != INTERVAL_NEVER && interval != 0;
    uint16_t username = 0;

    c->packet_id = get_u16(f);
    uint16_t client = get_u16(f);
    if (format == 6) {
        (void)get_u16(f); /* the listener's port */
        username = get_u16(f);
        (void)get_u32(f);
    }
    c->client = get_bytes(f, client);
    (void)get_bytes(f, username);
    c->extras = expires;
    if (expires && time > 0) {
        c->expires = time;
        c->left = time > interval ? time - interval : 0;
    }
}

/* --- the sequence of chunks --- */

typedef void body_reader(struct fields *f, struct import_chunk *c, unsigned format);

static body_reader *const old_readers[IMPORT_KINDS] = {
    [IMPORT_CONFIG] = old_config, [IMPORT_MESSAGE] = old_message,
    [IMPORT_ROW] = old_row,       [IMPORT_RETAIN] = read_retain,
    [IMPORT_CLIENT] = old_client, [IMPORT_SUBSCRIPTION] = old_subscription,
};

static body_reader *const new_readers[IMPORT_KINDS] = {
    [IMPORT_CONFIG] = new_config, [IMPORT_MESSAGE] = new_message,
    [IMPORT_ROW] = new_row,       [IMPORT_RETAIN] = read_retain,
    [IMPORT_CLIENT] = new_client, [IMPORT_SUBSCRIPTION] = new_subscription,
};

static enum err damaged(struct import_reader *r, const char *what)
{
    r->what = what;
    return ERR_MALFORMED;
}

static struct fields rest_of(const struct import_reader *r)
{
    return (struct fields){.p = (const unsigned char *)r->bytes.p + r->at, .n = r->bytes.n - r->at};
}

enum err import_open(struct import_reader *r, struct str bytes)
{
    *r = (struct import_reader){.bytes = bytes};
    if (bytes.n < HEADER_SIZE)
        return damaged(r, "too short for Mosquitto's persistence file");
    if (memcmp(bytes.p, magic, MAGIC_SIZE) != 0)
        return damaged(r, "not Mosquitto's persistence file");
    r->at = MAGIC_SIZE + 4; /* a checksum that is always 0 */
    struct fields f = rest_of(r);
    r->format = get_u32(&f);
    if (r->format < FORMAT_LEAST || r->format > FORMAT_LAST)
        return ERR_UNSUPPORTED;
    r->at = HEADER_SIZE;
    return ERR_OK;
}

static enum err next_old(struct import_reader *r, struct import_chunk *c, struct fields f)
{
    uint16_t kind = get_u16(&f);

    (void)get_u32(&f);
    if (f.missing)
        return damaged(r, "the file ends inside a chunk");
    if (kind == IMPORT_OTHER || kind >= IMPORT_KINDS)
        return damaged(r, "a chunk of unknown type");
    c->kind = (enum import_kind)kind;
    old_readers[kind](&f, c, r->format);
    if (f.missing)
        return damaged(r, "the file ends inside a chunk");
    if (f.wrong)
        return damaged(r, f.wrong);
    r->at = r->bytes.n - f.n;
    return ERR_OK;
}

static enum err next_new(struct import_reader *r, struct import_chunk *c, struct fields f)
{
    uint32_t kind = get_u32(&f);
    uint32_t length = get_u32(&f);

    if (f.missing || length > f.n)
        return damaged(r, "the file ends inside a chunk");
    size_t after = r->bytes.n - f.n + length;
    if (kind != IMPORT_OTHER && kind < IMPORT_KINDS) {
        c->kind = (enum import_kind)kind;
        f.n = length;
        new_readers[kind](&f, c, r->format);
        if (f.missing || f.n > 0)
            return damaged(r, "a chunk that is not as long as its content");
        if (f.wrong)
            return damaged(r, f.wrong);
    }
    r->at = after;
    return ERR_OK;
}

enum err import_next(struct import_reader *r, struct import_chunk *c)
{
    *c = (struct import_chunk){.kind = IMPORT_OTHER};
    if (r->at == r->bytes.n)
        return ERR_NOT_FOUND;
    return r->format < FORMAT_STRUCTS ? next_old(r, c, rest_of(r)) : next_new(r, c, rest_of(r));
}
