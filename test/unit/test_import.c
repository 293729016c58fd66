/*
 * Mosquitto's persistence file becomes records: every type of chunk in every format, the states of
 * queued messages, what expires, what is damaged.
 *
 * Files are made here field by field. What is emitted is read back and compared as text, one line
 * per record.
 */
#include "store/import.h"

#include "base/rng.h"
#include "core/record.h"
#include "mqtt/topic.h"
#include "store/import_chunk.h"
#include "store/import_match.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#define NOW 1000000
#define NEVER UINT32_MAX
#define IN 0
#define OUT 1

/* --- files --- */

static unsigned format;
static struct buf file;

static void bytes(struct buf *b, const void *p, size_t n)
{
    if (n > 0)
        assert_ok(buf_add(b, p, n));
}

/* In network order. */
static void number(struct buf *b, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint8_t byte = (uint8_t)(v >> (8 * (n - 1 - i)));
        bytes(b, &byte, 1);
    }
}

static void host(struct buf *b, uint64_t v)
{
    bytes(b, &v, sizeof(v));
}

static void text(struct buf *b, const char *z)
{
    number(b, strlen(z), 2);
    bytes(b, z, strlen(z));
}

static void raw(struct buf *b, const char *z)
{
    bytes(b, z, strlen(z));
}

static bool is_old(void)
{
    return format < 5;
}

static void begin(unsigned version)
{
    buf_clear(&file);
    format = version;
    bytes(&file, "\0\xB5\0mosquitto db\0\0\0", 19);
    number(&file, version, 4);
}

static void chunk(uint32_t kind, struct buf *body)
{
    number(&file, kind, is_old() ? 2 : 4);
    number(&file, body->len, 4);
    bytes(&file, buf_begin(body), body->len);
    buf_clear(body);
}

static void add_config(uint8_t id_size)
{
    struct buf b = {0};

    if (is_old()) {
        number(&b, 1, 1);
        number(&b, id_size, 1);
        host(&b, 77);
    } else {
        host(&b, 77);
        number(&b, 1, 1);
        number(&b, id_size, 1);
        number(&b, 0, 6);
    }
    chunk(IMPORT_CONFIG, &b);
}

struct message {
    uint64_t id;
    const char *topic;
    const char *payload;
    uint8_t qos;
    int64_t expires;
    const char *properties;
};

static void add_message(struct message m)
{
    struct buf b = {0};

    host(&b, m.id);
    if (is_old()) {
        text(&b, "source");
        if (format == 4) {
            text(&b, "user");
            number(&b, 1883, 2);
        }
        number(&b, 5, 2);
        number(&b, 0, 2);
        text(&b, m.topic);
        number(&b, m.qos, 1);
        number(&b, 0, 1);
        number(&b, strlen(m.payload), 4);
        raw(&b, m.payload);
    } else {
        host(&b, (uint64_t)m.expires);
        number(&b, strlen(m.payload), 4);
        number(&b, 5, 2);
        number(&b, 6, 2);
        number(&b, 4, 2);
        number(&b, strlen(m.topic), 2);
        number(&b, 1883, 2);
        number(&b, m.qos, 1);
        number(&b, 0, 1);
        raw(&b, "source");
        raw(&b, "user");
        raw(&b, m.topic);
        raw(&b, m.payload);
        if (m.properties)
            raw(&b, m.properties);
    }
    chunk(IMPORT_MESSAGE, &b);
}

static void add_client_of(const char *id, uint16_t last_id, uint32_t interval, int64_t time)
{
    struct buf b = {0};

    if (is_old()) {
        text(&b, id);
        number(&b, last_id, 2);
        host(&b, (uint64_t)time);
    } else {
        host(&b, (uint64_t)time);
        number(&b, interval, 4);
        number(&b, last_id, 2);
        number(&b, strlen(id), 2);
        if (format == 6) {
            number(&b, 1883, 2);
            number(&b, 3, 2);
            number(&b, 0, 4);
        }
        raw(&b, id);
        if (format == 6)
            bytes(&b, "\xFF\0x", 3); /* whatever was in memory */
    }
    chunk(IMPORT_CLIENT, &b);
}

static void add_client(const char *id)
{
    add_client_of(id, 0, NEVER, 0);
}

struct row {
    const char *client;
    uint64_t message;
    uint16_t id;
    uint8_t qos;
    uint8_t state;
    uint8_t direction;
    uint8_t retain;
    const char *properties;
};

static void add_row(struct row r)
{
    struct buf b = {0};

    if (is_old()) {
        text(&b, r.client);
        host(&b, r.message);
        number(&b, r.id, 2);
        number(&b, r.qos, 1);
        number(&b, r.retain, 1);
        number(&b, r.direction, 1);
        number(&b, r.state, 1);
        number(&b, 1, 1);
    } else {
        host(&b, r.message);
        number(&b, r.id, 2);
        number(&b, strlen(r.client), 2);
        number(&b, r.qos, 1);
        number(&b, r.state, 1);
        number(&b, (uint8_t)(r.retain << 4 | 1), 1);
        number(&b, r.direction, 1);
        raw(&b, r.client);
        if (r.properties)
            raw(&b, r.properties);
    }
    chunk(IMPORT_ROW, &b);
}

static void add_out(const char *client, uint64_t message, uint16_t id, uint8_t qos, uint8_t state)
{
    add_row((struct row){.client = client,
                         .message = message,
                         .id = id,
                         .qos = qos,
                         .state = state,
                         .direction = OUT});
}

static void add_in(const char *client, uint64_t message, uint16_t id, uint8_t retain)
{
    add_row((struct row){.client = client,
                         .message = message,
                         .id = id,
                         .qos = 2,
                         .state = IMPORT_WAIT_PUBREL,
                         .direction = IN,
                         .retain = retain});
}

static void add_retain(uint64_t message)
{
    struct buf b = {0};

    host(&b, message);
    chunk(IMPORT_RETAIN, &b);
}

static void add_subscription_of(const char *client, const char *filter, uint8_t qos,
                                uint8_t options)
{
    struct buf b = {0};

    if (is_old()) {
        text(&b, client);
        text(&b, filter);
        number(&b, qos, 1);
    } else {
        number(&b, 0, 4);
        number(&b, strlen(client), 2);
        number(&b, strlen(filter), 2);
        number(&b, qos, 1);
        number(&b, options, 1);
        number(&b, 0, 2);
        raw(&b, client);
        raw(&b, filter);
    }
    chunk(IMPORT_SUBSCRIPTION, &b);
}

static void add_subscription(const char *client, const char *filter, uint8_t qos)
{
    add_subscription_of(client, filter, qos, 0);
}

/* --- what comes of them --- */

struct result {
    struct buf lines;
    struct import_counts counts;
    uint64_t where;
    const char *what;
    unsigned frames;
    size_t largest;
    enum err fail; /* of emit */
};

static const char *const names[RECORD_TYPES] = {
    [RECORD_CLIENT] = "client", [RECORD_SUBSCRIBE] = "subscribe", [RECORD_MESSAGE] = "message",
    [RECORD_QUEUE] = "queue",   [RECORD_BEGIN] = "begin",         [RECORD_RECEIVED] = "received",
    [RECORD_IN_ADD] = "in",     [RECORD_RETAIN] = "retain",       [RECORD_RETAIN_CLEAR] = "clear"};

static void describe(struct buf *out, const struct record *r)
{
    assert_non_null(names[r->type]);
    assert_ok(buf_printf(out, "%s", names[r->type]));
    if (r->session)
        assert_ok(buf_printf(out, " s%llu", (unsigned long long)r->session));
    if (r->number || r->type == RECORD_QUEUE)
        assert_ok(buf_printf(out, " m%llu", (unsigned long long)r->number));
    if (r->seq)
        assert_ok(buf_printf(out, " #%llu", (unsigned long long)r->seq));
    if (r->time)
        assert_ok(buf_printf(out, " t%llu", (unsigned long long)r->time));
    if (r->id)
        assert_ok(buf_printf(out, " i%u", r->id));
    if (r->type == RECORD_QUEUE || r->type == RECORD_MESSAGE || r->type == RECORD_SUBSCRIBE)
        assert_ok(buf_printf(out, " q%u", r->qos));
    if (r->flags)
        assert_ok(buf_printf(out, " f%u", r->flags));
    if (r->text.n)
        assert_ok(buf_printf(out, " %.*s", STR_ARG(r->text)));
    if (r->payload.n)
        assert_ok(buf_printf(out, " =%.*s", STR_ARG(r->payload)));
    assert_ok(buf_printf(out, "\n"));
}

static enum err take_records(void *ctx, struct str records)
{
    struct result *got = ctx;

    assert_true(records.n > 0);
    got->frames++;
    got->largest = records.n > got->largest ? records.n : got->largest;
    while (records.n > 0) {
        struct record r;
        assert_ok(record_read(&records, &r));
        describe(&got->lines, &r);
    }
    return got->fail;
}

static enum err run(struct result *got)
{
    struct import_setup setup = {
        .bytes = buf_str(&file), .wall_s = NOW, .emit = take_records, .ctx = got};

    return store_import(&setup, &got->counts, &got->where, &got->what);
}

/* The import succeeds and emits just these lines. */
static struct import_counts expect(const char *lines)
{
    struct result got = {0};

    assert_ok(run(&got));
    assert_ok(buf_add(&got.lines, "", 1));
    assert_string_equal((const char *)buf_begin(&got.lines), lines);
    assert_int_equal(got.counts.format, format);
    buf_clear(&got.lines);
    buf_clear(&file);
    return got.counts;
}

static void refuse(size_t where, const char *what)
{
    struct result got = {0};

    assert_err(run(&got), ERR_MALFORMED);
    assert_int_equal(got.frames, 0);
    assert_string_equal(got.what, what);
    assert_int_equal(got.where, where);
    buf_clear(&got.lines);
}

static void assert_left_out(struct import_counts c, unsigned expired, unsigned properties,
                            unsigned orphans)
{
    assert_int_equal(c.expired, expired);
    assert_int_equal(c.properties, properties);
    assert_int_equal(c.orphans, orphans);
}

/* --- all formats --- */

/* One of everything, as Mosquitto would write it. */
static void write_all(unsigned version)
{
    begin(version);
    add_config(8);
    add_message((struct message){.id = 9, .topic = "a/9", .payload = "nine", .qos = 1});
    add_message((struct message){.id = 4, .topic = "a/4", .payload = "four", .qos = 2});
    add_message((struct message){.id = 5, .topic = "a/5", .payload = "five", .qos = 2});
    add_message((struct message){.id = 6, .topic = "a/6", .payload = "", .qos = 0});
    add_message((struct message){.id = 3, .topic = "r", .payload = "kept", .qos = 1});
    add_message((struct message){.id = 2, .topic = "nobody/needs", .payload = "it", .qos = 1});
    add_message((struct message){.id = 11, .topic = "in/11", .payload = "new", .qos = 2});
    add_client_of("c1", 12, NEVER, is_old() ? NOW - 500 : 0);
    add_out("c1", 9, 10, 1, IMPORT_WAIT_PUBACK);
    add_out("c1", 4, 11, 2, IMPORT_WAIT_PUBREC);
    add_out("c1", 5, 12, 2, IMPORT_WAIT_PUBCOMP);
    add_row((struct row){.client = "c1",
                         .message = 9,
                         .id = 13,
                         .qos = 1,
                         .state = IMPORT_QUEUED,
                         .direction = OUT,
                         .retain = 1});
    add_out("c1", 6, 0, 0, IMPORT_QUEUED);
    add_client("sender");
    add_in("sender", 11, 77, 0);
    add_subscription("c1", "in/+", 1);
    add_subscription("c1", "$share/g/x", 2);
    add_retain(3);
}

static void expect_all(const char *time)
{
    char lines[1000];

    (void)snprintf(lines, sizeof(lines),
                   "client s1 #4 t%s i12 c1\n"
                   "client s2 #1 t1000000 sender\n"
                   "subscribe s1 q1 in/+\n"
                   "subscribe s1 q2 $share/g/x\n"
                   "message m1 q1 r =kept\n"
                   "message m2 q2 a/4 =four\n"
                   "message m3 q0 a/6\n"
                   "message m4 q1 a/9 =nine\n"
                   "message m5 q2 in/11 =new\n"
                   "retain m1\n"
                   "queue s1 m4 #1 q1\n"
                   "begin s1 #1 i10\n"
                   "queue s1 m2 #2 q2\n"
                   "begin s1 #2 i11\n"
                   "queue s1 m0 #3 q2\n"
                   "begin s1 #3 i12\n"
                   "received s1 #3\n"
                   "queue s1 m4 #4 q1 f1\n"
                   "queue s1 m3 #5 q0\n"
                   "queue s1 m5 #6 q1\n"
                   "in s2 i77\n",
                   time);
    struct import_counts c = expect(lines);
    assert_int_equal(c.clients, 2);
    assert_int_equal(c.subscriptions, 2);
    assert_int_equal(c.messages, 5);
    assert_int_equal(c.queued, 6);
    assert_int_equal(c.retained, 1);
    assert_left_out(c, 0, 0, 0);
}

static void test_formats(void **state)
{
    (void)state;
    for (unsigned version = 3; version <= 6; version++) {
        write_all(version);
        expect_all(version < 5 ? "999500" : "1000000");
    }
}

static void test_order_of_chunks(void **state)
{
    (void)state;
    begin(6);
    add_retain(1);
    add_out("c", 1, 0, 1, IMPORT_QUEUED);
    add_subscription("c", "a", 1);
    add_client("c");
    add_message((struct message){.id = 1, .topic = "t", .payload = "p", .qos = 1});
    struct import_counts c = expect("client s1 #1 t1000000 c\n"
                                    "subscribe s1 q1 a\n"
                                    "message m1 q1 t =p\n"
                                    "retain m1\n"
                                    "queue s1 m1 #1 q1\n");
    assert_left_out(c, 0, 0, 0);
}

static void test_empty_file(void **state)
{
    struct result got = {0};

    (void)state;
    assert_ok(run(&got));
    assert_int_equal(got.frames, 0);
    assert_int_equal(got.counts.format, 0);
    begin(6);
    (void)expect("");
}

static void test_other_formats(void **state)
{
    static const unsigned others[] = {0, 1, 2, 7, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
        struct result got = {0};
        begin(others[i]);
        assert_err(run(&got), ERR_UNSUPPORTED);
        assert_int_equal(got.counts.format, others[i]);
    }
    buf_clear(&file);
}

/* --- queues --- */

static void begin_queue(unsigned messages)
{
    begin(6);
    add_client("c");
    for (unsigned i = 1; i <= messages; i++)
        add_message((struct message){.id = i, .topic = "t", .payload = "p", .qos = 2});
}

/* What the client and its rows become; messages are not looked at. */
static struct import_counts expect_rows(const char *client, const char *rows)
{
    struct result got = {0};
    struct buf lines = {0};
    struct str rest;

    assert_ok(run(&got));
    rest = buf_str(&got.lines);
    while (rest.n > 0) {
        const char *end = memchr(rest.p, '\n', rest.n);
        size_t n = (size_t)(end - rest.p) + 1;
        if (!str_has_prefix(rest, STR("message")))
            bytes(&lines, rest.p, n);
        rest = str_of(rest.p + n, rest.n - n);
    }
    bytes(&lines, "", 1);
    assert_memory_equal(buf_begin(&lines), client, strlen(client));
    assert_string_equal((const char *)buf_begin(&lines) + strlen(client), rows);
    buf_clear(&lines);
    buf_clear(&got.lines);
    buf_clear(&file);
    return got.counts;
}

static void test_states(void **state)
{
    (void)state;
    begin_queue(7);
    add_out("c", 1, 1, 1, IMPORT_PUBLISH_QOS1);
    add_out("c", 2, 2, 2, IMPORT_PUBLISH_QOS2);
    add_out("c", 3, 3, 2, IMPORT_RESEND_PUBREL);
    add_out("c", 4, 0, 0, IMPORT_PUBLISH_QOS0);
    add_out("c", 5, 0, 1, IMPORT_WAIT_PUBACK); /* never sent: it has no id */
    add_out("c", 6, 4, 1, IMPORT_QUEUED);
    add_out("c", 7, 0, 2, IMPORT_WAIT_PUBCOMP); /* makes no sense */
    struct import_counts c = expect_rows("client s1 #4 t1000000 i3 c\n", "queue s1 m1 #1 q1\n"
                                                                         "begin s1 #1 i1\n"
                                                                         "queue s1 m2 #2 q2\n"
                                                                         "begin s1 #2 i2\n"
                                                                         "queue s1 m0 #3 q2\n"
                                                                         "begin s1 #3 i3\n"
                                                                         "received s1 #3\n"
                                                                         "queue s1 m3 #4 q0\n"
                                                                         "queue s1 m4 #5 q1\n"
                                                                         "queue s1 m5 #6 q1\n");
    assert_left_out(c, 0, 0, 1);
}

/* The QoS says which handshake it is; a delivered message is not needed to end it. */
static void test_states_that_do_not_fit(void **state)
{
    (void)state;
    begin_queue(3);
    add_out("c", 1, 1, 1, IMPORT_WAIT_PUBCOMP);
    add_out("c", 2, 2, 0, IMPORT_WAIT_PUBACK);
    add_out("c", 3, 3, 2, IMPORT_WAIT_PUBACK);
    add_out("c", 99, 4, 2, IMPORT_WAIT_PUBCOMP); /* no such message */
    struct import_counts c = expect_rows("client s1 #4 t1000000 i4 c\n", "queue s1 m1 #1 q1\n"
                                                                         "begin s1 #1 i1\n"
                                                                         "queue s1 m3 #2 q2\n"
                                                                         "begin s1 #2 i3\n"
                                                                         "queue s1 m0 #3 q2\n"
                                                                         "begin s1 #3 i4\n"
                                                                         "received s1 #3\n"
                                                                         "queue s1 m2 #4 q0\n");
    assert_left_out(c, 0, 0, 0);
}

static void test_times(void **state)
{
    (void)state;
    begin(3);
    add_client_of("long ago", 1, NEVER, 1);
    add_client_of("never", 2, NEVER, -1);
    add_client_of("tomorrow", 3, NEVER, NOW + 86400);
    (void)expect("client s1 #1 t1 i1 long ago\n"
                 "client s2 #1 t1000000 i2 never\n"
                 "client s3 #1 t1000000 i3 tomorrow\n");
}

/* Ids wrap from 65535 to 1; queued rows stand behind those in flight, wherever the file has them.
 */
static void test_ids_wrap(void **state)
{
    (void)state;
    begin_queue(4);
    add_out("c", 1, 65534, 1, IMPORT_WAIT_PUBACK);
    add_out("c", 2, 1, 1, IMPORT_QUEUED);
    add_out("c", 3, 65535, 1, IMPORT_WAIT_PUBACK);
    add_out("c", 4, 1, 1, IMPORT_WAIT_PUBACK);
    (void)expect_rows("client s1 #4 t1000000 i1 c\n", "queue s1 m1 #1 q1\n"
                                                      "begin s1 #1 i65534\n"
                                                      "queue s1 m3 #2 q1\n"
                                                      "begin s1 #2 i65535\n"
                                                      "queue s1 m4 #3 q1\n"
                                                      "begin s1 #3 i1\n"
                                                      "queue s1 m2 #4 q1\n");
}

static void test_ids_out_of_order(void **state)
{
    (void)state;
    begin_queue(3);
    add_out("c", 1, 10, 1, IMPORT_WAIT_PUBACK);
    add_out("c", 2, 30, 2, IMPORT_WAIT_PUBCOMP);
    add_out("c", 3, 20, 2, IMPORT_WAIT_PUBREC);
    (void)expect_rows("client s1 #4 t1000000 i30 c\n", "queue s1 m1 #1 q1\n"
                                                       "begin s1 #1 i10\n"
                                                       "queue s1 m2 #2 q2\n"
                                                       "begin s1 #2 i20\n"
                                                       "queue s1 m0 #3 q2\n"
                                                       "begin s1 #3 i30\n"
                                                       "received s1 #3\n");
}

/* An id is given once: to the row that cannot be sent again, then to QoS 2. */
static void test_ids_repeat(void **state)
{
    (void)state;
    begin_queue(7);
    add_out("c", 1, 5, 1, IMPORT_WAIT_PUBACK);
    add_out("c", 2, 5, 2, IMPORT_WAIT_PUBREC);
    add_out("c", 3, 5, 2, IMPORT_WAIT_PUBCOMP);
    add_out("c", 4, 5, 2, IMPORT_WAIT_PUBCOMP);
    add_out("c", 5, 6, 1, IMPORT_WAIT_PUBACK);
    add_out("c", 6, 6, 2, IMPORT_WAIT_PUBREC);
    add_out("c", 7, 7, 1, IMPORT_QUEUED);
    struct import_counts c = expect_rows("client s1 #3 t1000000 i6 c\n", "queue s1 m0 #1 q2\n"
                                                                         "begin s1 #1 i5\n"
                                                                         "received s1 #1\n"
                                                                         "queue s1 m4 #2 q2\n"
                                                                         "begin s1 #2 i6\n"
                                                                         "queue s1 m1 #3 q1\n"
                                                                         "queue s1 m2 #4 q2\n"
                                                                         "queue s1 m3 #5 q1\n"
                                                                         "queue s1 m5 #6 q1\n");
    assert_left_out(c, 0, 0, 1);
}

/* A message gets the QoS of its highest row (upgrade_outgoing_qos). */
static void test_raised_qos(void **state)
{
    (void)state;
    begin(6);
    add_client("c");
    add_message((struct message){.id = 1, .topic = "t", .payload = "p", .qos = 0});
    add_out("c", 1, 1, 2, IMPORT_WAIT_PUBREC);
    (void)expect("client s1 #2 t1000000 i1 c\n"
                 "message m1 q2 t =p\n"
                 "queue s1 m1 #1 q2\n"
                 "begin s1 #1 i1\n");
}

static void test_clients_apart(void **state)
{
    (void)state;
    begin(6);
    add_client_of("a", 300, NEVER, 0);
    add_client("b");
    add_message((struct message){.id = 1, .topic = "t", .payload = "p", .qos = 1});
    add_out("b", 1, 9, 1, IMPORT_WAIT_PUBACK);
    add_out("a", 1, 3, 1, IMPORT_QUEUED);
    add_out("b", 1, 10, 1, IMPORT_WAIT_PUBACK);
    (void)expect("client s1 #1 t1000000 i300 a\n"
                 "client s2 #3 t1000000 i10 b\n"
                 "message m1 q1 t =p\n"
                 "queue s1 m1 #1 q1\n"
                 "queue s2 m1 #1 q1\n"
                 "begin s2 #1 i9\n"
                 "queue s2 m1 #2 q1\n"
                 "begin s2 #2 i10\n");
}

/* --- what came in at QoS 2 --- */

static void test_inbound_is_delivered(void **state)
{
    (void)state;
    begin(6);
    add_message((struct message){.id = 1, .topic = "a/b", .payload = "p", .qos = 2});
    add_message((struct message){.id = 2, .topic = "a", .payload = "", .qos = 0});
    add_client("sender");
    add_client("two");
    add_client("low");
    add_client("other");
    add_in("sender", 1, 100, 1);
    add_in("sender", 2, 101, 1);
    add_subscription("sender", "#", 1);
    add_subscription("two", "a/+", 1);
    add_subscription("two", "a/b", 2);
    add_subscription("low", "a/#", 0);
    add_subscription("other", "$share/g/a/+", 1);
    add_subscription("low", "$share/g/a/+", 1);
    add_subscription("other", "b/#", 2);
    add_out("two", 1, 4, 1, IMPORT_QUEUED);
    struct import_counts c = expect("client s1 #1 t1000000 sender\n"
                                    "client s2 #1 t1000000 two\n"
                                    "client s3 #1 t1000000 low\n"
                                    "client s4 #1 t1000000 other\n"
                                    "subscribe s1 q1 #\n"
                                    "subscribe s2 q1 a/+\n"
                                    "subscribe s2 q2 a/b\n"
                                    "subscribe s3 q0 a/#\n"
                                    "subscribe s4 q1 $share/g/a/+\n"
                                    "subscribe s3 q1 $share/g/a/+\n"
                                    "subscribe s4 q2 b/#\n"
                                    "message m1 q2 a/b =p\n"
                                    "message m2 q2 a\n"
                                    "queue s2 m1 #1 q1\n"
                                    "queue s1 m1 #1 q1\n"
                                    "queue s2 m1 #2 q2\n"
                                    "queue s3 m1 #1 q1\n"
                                    "retain m1\n"
                                    "in s1 i100\n"
                                    "queue s1 m2 #2 q1\n"
                                    "clear a\n"
                                    "in s1 i101\n");
    assert_left_out(c, 0, 0, 0);
    assert_int_equal(c.queued, 5);
}

static void test_inbound_that_is_not(void **state)
{
    (void)state;
    begin(6);
    add_message((struct message){.id = 1, .topic = "a", .payload = "p", .qos = 2});
    add_message(
        (struct message){.id = 2, .topic = "a", .payload = "p", .qos = 2, .expires = NOW - 1});
    add_client("c");
    add_subscription("c", "a", 2);
    add_in("c", 2, 8, 1);
    add_out("c", 2, 5, 1, IMPORT_WAIT_PUBACK);
    add_in("c", 3, 9, 0); /* no such message */
    add_in("nobody", 1, 9, 0);
    add_in("c", 1, 0, 0);
    add_row((struct row){.client = "c", .message = 1, .id = 9, .qos = 1, .state = IMPORT_QUEUED});
    add_row((struct row){
        .client = "c", .message = 1, .id = 9, .qos = 2, .state = IMPORT_RESEND_PUBCOMP});
    struct import_counts c = expect("client s1 #2 t1000000 i5 c\n"
                                    "subscribe s1 q2 a\n"
                                    "message m1 q2 a =p\n"
                                    "queue s1 m1 #1 q1\n"
                                    "begin s1 #1 i5\n"
                                    "in s1 i8\n");
    assert_left_out(c, 1, 1, 5);
}

struct matched {
    const struct import_tables *t;
    bool found[64];
};

static void mark_found(void *ctx, const struct import_subscription *s)
{
    struct matched *m = ctx;
    uint32_t i = (uint32_t)(s - import_subscription(m->t, 0));

    assert_false(m->found[i]);
    m->found[i] = true;
}

static struct str random_text(struct rng *random, char *out, const char *letters)
{
    size_t n = 1 + rng_below(random, 6);

    for (size_t i = 0; i < n; i++)
        out[i] = letters[rng_below(random, (uint32_t)strlen(letters))];
    return str_of(out, n);
}

/* The index finds what comparing with each filter finds. */
static void test_match(void **state)
{
    struct rng rng;
    char filters[64][8];
    char name[8];

    (void)state;
    rng_seed(&rng, 7);
    for (unsigned round = 0; round < 300; round++) {
        struct import_subscription subs[64];
        struct import_tables t = {.subscriptions = {.items = subs}};
        while (t.subscriptions.count < 64) {
            struct str f = random_text(&rng, filters[t.subscriptions.count], "ab$/+#.");
            if (topic_check_filter(f) == REASON_OK)
                subs[t.subscriptions.count++] =
                    (struct import_subscription){.text = f, .filter = f};
        }
        import_match_sort(&t);
        for (unsigned i = 0; i < 20; i++) {
            struct matched m = {.t = &t};
            struct str topic = random_text(&rng, name, "ab$/.");
            import_match(&t, topic, mark_found, &m);
            for (unsigned k = 0; k < 64; k++)
                assert_int_equal(m.found[k], topic_matches(subs[k].filter, topic));
        }
    }
}

/* --- what is left out --- */

static void test_expiry(void **state)
{
    (void)state;
    begin(5);
    add_message(
        (struct message){.id = 1, .topic = "old", .payload = "p", .qos = 2, .expires = NOW});
    add_message(
        (struct message){.id = 2, .topic = "new", .payload = "p", .qos = 1, .expires = NOW + 1});
    add_client_of("gone", 0, 60, NOW);
    add_client_of("soon", 0, 60, NOW + 1);
    add_client_of("connected", 0, 60, 0);
    add_client_of("3.1.1", 0, 0, 0);
    add_subscription("gone", "a", 1);
    add_out("gone", 2, 1, 1, IMPORT_QUEUED);
    add_out("soon", 1, 0, 1, IMPORT_QUEUED);
    add_out("connected", 1, 0, 1, IMPORT_QUEUED);
    add_out("soon", 2, 0, 1, IMPORT_QUEUED);
    add_out("3.1.1", 1, 1, 2, IMPORT_WAIT_PUBREC); /* has begun: goes on */
    add_retain(1);
    add_retain(2);
    struct import_counts c = expect("client s1 #1 t999941 soon\n"
                                    "client s2 #1 t1000000 connected\n"
                                    "client s3 #2 t1000000 i1 3.1.1\n"
                                    "message m1 q2 old =p\n"
                                    "message m2 q1 new =p\n"
                                    "retain m2\n"
                                    "queue s1 m2 #1 q1\n"
                                    "queue s3 m1 #1 q2\n"
                                    "begin s3 #1 i1\n");
    /* a session and a message; two sessions and two messages without their expiry */
    assert_left_out(c, 2, 4, 0);
}

static void test_properties(void **state)
{
    (void)state;
    begin(6);
    add_message((struct message){.id = 1,
                                 .topic = "t",
                                 .payload = "p",
                                 .qos = 1,
                                 .properties = "\x06\x03\x01\x03"
                                               "abc"});
    add_client("c");
    add_row((struct row){.client = "c",
                         .message = 1,
                         .qos = 1,
                         .state = IMPORT_QUEUED,
                         .direction = OUT,
                         .properties = "\x02\x0B\x05"});
    add_subscription_of("c", "t", 1, 0x05);
    struct import_counts c = expect("client s1 #1 t1000000 c\n"
                                    "subscribe s1 q1 t\n"
                                    "message m1 q1 t =p\n"
                                    "queue s1 m1 #1 q1\n");
    assert_left_out(c, 0, 3, 0);
}

static void test_orphans(void **state)
{
    struct buf b = {0};

    (void)state;
    begin(6);
    add_client("c");
    add_client("c"); /* 1: again */
    add_client("");
    add_client("bad\xFF");
    add_message((struct message){.id = 1, .topic = "t", .payload = "p", .qos = 1});
    add_message((struct message){.id = 1, .topic = "u", .payload = "p", .qos = 1}); /* 4: again */
    add_message((struct message){.id = 2, .topic = "t/#", .payload = "p", .qos = 1});
    add_message((struct message){.id = 3, .topic = "\xC0\x80", .payload = "p", .qos = 1});
    add_message((struct message){.id = 4, .topic = "", .payload = "p", .qos = 1});
    add_message((struct message){.id = 5, .topic = "empty", .payload = "", .qos = 1});
    add_subscription("c", "a#", 1);
    add_subscription("c", "$share/g", 1); /* 9 */
    add_subscription("nobody", "a", 1);
    add_out("c", 99, 1, 1, IMPORT_QUEUED);
    add_out("nobody", 1, 1, 1, IMPORT_QUEUED);
    add_retain(99);
    add_retain(5); /* 14 */
    raw(&b, "from the future");
    chunk(4711, &b);
    struct import_counts c = expect("client s1 #1 t1000000 c\n");
    assert_left_out(c, 0, 0, 15);
}

/* --- damage --- */

static void test_damaged_header(void **state)
{
    (void)state;
    begin(6);
    file.len = 22;
    refuse(0, "too short for Mosquitto's persistence file");
    begin(6);
    buf_begin(&file)[3] = 'M';
    refuse(0, "not Mosquitto's persistence file");
    buf_clear(&file);
}

static void test_damaged_values(void **state)
{
    (void)state;
    for (unsigned version = 3; version <= 6; version++) {
        begin(version);
        add_config(4);
        refuse(23, "message ids of an unknown size");
        begin(version);
        add_message((struct message){.id = 1, .topic = "t", .payload = "p", .qos = 3});
        refuse(23, "a QoS above 2");
        begin(version);
        add_config(8);
        size_t at = file.len;
        add_out("c", 1, 1, 1, IMPORT_STATES);
        refuse(at, "a message of a client in no known state");
        begin(version);
        add_out("c", 1, 1, 1, 0);
        refuse(23, "a message of a client in no known state");
        begin(version);
        add_row((struct row){
            .client = "c", .message = 1, .qos = 1, .state = IMPORT_QUEUED, .direction = 2});
        refuse(23, "a message of a client that goes neither in nor out");
        begin(version);
        add_subscription("c", "t", 3);
        refuse(23, "a QoS above 2");
    }
    begin(3);
    number(&file, 7, 2);
    number(&file, 0, 4);
    refuse(23, "a chunk of unknown type");
    begin(6);
    add_message((struct message){
        .id = 1, .topic = "t", .payload = "p", .qos = 1, .properties = "\x03\x01\x01"});
    refuse(23, "properties that do not fill their chunk");
    buf_clear(&file);
}

/* Formats 5 and 6: what a chunk says of its length must be true. */
static void test_damaged_length(void **state)
{
    (void)state;
    for (int wrong = -1; wrong <= 1; wrong += 2) {
        begin(6);
        add_retain(1);
        add_retain(2);
        add_retain(3);
        buf_begin(&file)[23 + 7] = (uint8_t)(8 + wrong);
        refuse(23, "a chunk that is not as long as its content");
    }
    buf_clear(&file);
}

/* Formats 3 and 4: nobody ever read the lengths. */
static void test_unread_length(void **state)
{
    (void)state;
    write_all(3);
    buf_begin(&file)[23 + 5]++;
    expect_all("999500");
}

/* A file that ends anywhere but between two chunks is damaged. */
static void test_cut_short(void **state)
{
    (void)state;
    for (unsigned version = 3; version <= 6; version++) {
        write_all(version);
        uint32_t whole = file.len;
        unsigned good = 0;
        for (uint32_t n = 1; n < whole; n++) {
            struct result got = {0};
            file.len = n;
            enum err e = run(&got);
            good += e == ERR_OK;
            assert_true(e == ERR_OK || e == ERR_MALFORMED);
            assert_true(got.where <= n);
            buf_clear(&got.lines);
        }
        assert_int_equal(good, 19); /* so many chunks, the last one not among them, and none */
    }
    buf_clear(&file);
}

/* Whatever is in the file: an answer, and records that can be read. */
static void test_any_byte(void **state)
{
    static const uint8_t masks[] = {0x01, 0x80, 0xFF};

    (void)state;
    for (unsigned version = 3; version <= 6; version++) {
        write_all(version);
        for (uint32_t i = 0; i < file.len * ARRAY_SIZE(masks); i++) {
            struct result got = {0};
            buf_begin(&file)[i / 3] ^= masks[i % 3];
            enum err e = run(&got);
            assert_true(e == ERR_OK || e == ERR_MALFORMED || e == ERR_UNSUPPORTED);
            buf_begin(&file)[i / 3] ^= masks[i % 3];
            buf_clear(&got.lines);
        }
    }
    buf_clear(&file);
}

/* --- frames and failures --- */

static void test_frames_are_small(void **state)
{
    enum { payload = 300000, messages = 20 };
    struct result got = {0};
    char *p = malloc(payload + 1);

    (void)state;
    assert_non_null(p);
    memset(p, 'x', payload);
    p[payload] = '\0';
    begin(5);
    for (unsigned i = 0; i < messages; i++) {
        add_message((struct message){.id = i, .topic = "t", .payload = p, .qos = 1});
        add_retain(i);
    }
    assert_ok(run(&got));
    assert_int_equal(got.counts.retained, messages);
    assert_true(got.frames >= 6 && got.frames < 12);
    assert_true(got.largest <= 1 << 20);
    buf_clear(&got.lines);
    buf_clear(&file);
    free(p);
}

static void test_emit_fails(void **state)
{
    struct result got = {.fail = ERR_SYSTEM};

    (void)state;
    write_all(6);
    assert_err(run(&got), ERR_SYSTEM);
    assert_int_equal(got.frames, 1);
    buf_clear(&got.lines);
    buf_clear(&file);
}

static enum err ignore_records(void *ctx, struct str records)
{
    (void)ctx;
    (void)records;
    return ERR_OK;
}

static void test_no_memory(void **state)
{
    struct import_setup setup = {.wall_s = NOW, .emit = ignore_records};
    struct import_counts counts;
    uint64_t where;
    const char *what;
    enum err e = ERR_NOMEM;

    (void)state;
    unit_needs_tracking();
    write_all(6);
    setup.bytes = buf_str(&file);
    size_t used = mem_used();
    unsigned n = 0;
    while (e == ERR_NOMEM) {
        mem_fail_after(n++, 1);
        e = store_import(&setup, &counts, &where, &what);
        mem_fail_never();
        assert_int_equal(mem_used(), used);
    }
    assert_ok(e);
    assert_true(n > 8);
    buf_clear(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(test_formats),
        UNIT_TEST(test_order_of_chunks),
        UNIT_TEST(test_empty_file),
        UNIT_TEST(test_other_formats),
        UNIT_TEST(test_states),
        UNIT_TEST(test_states_that_do_not_fit),
        UNIT_TEST(test_times),
        UNIT_TEST(test_ids_wrap),
        UNIT_TEST(test_ids_out_of_order),
        UNIT_TEST(test_ids_repeat),
        UNIT_TEST(test_raised_qos),
        UNIT_TEST(test_clients_apart),
        UNIT_TEST(test_inbound_is_delivered),
        UNIT_TEST(test_inbound_that_is_not),
        UNIT_TEST(test_match),
        UNIT_TEST(test_expiry),
        UNIT_TEST(test_properties),
        UNIT_TEST(test_orphans),
        UNIT_TEST(test_damaged_header),
        UNIT_TEST(test_damaged_values),
        UNIT_TEST(test_damaged_length),
        UNIT_TEST(test_unread_length),
        UNIT_TEST(test_cut_short),
        UNIT_TEST(test_any_byte),
        UNIT_TEST(test_frames_are_small),
        UNIT_TEST(test_emit_fails),
        UNIT_TEST(test_no_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
