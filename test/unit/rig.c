/*
 * The server's loop without sockets, for the tests of the core.
 */
#include "unit/rig.h"

#include "auth/realm.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define IOVECS 64
#define TURNS_MAX 200000
#define LOG_MAX (1024 * 1024)

/* --- bytes --- */

static void bytes_add(struct rig_bytes *b, const void *p, size_t n)
{
    if (b->at == b->n)
        b->at = b->n = 0;
    if (b->n + n > b->cap) {
        b->cap = (b->n + n) * 2;
        b->p = realloc(b->p, b->cap);
        assert_non_null(b->p);
    }
    if (n > 0)
        memcpy(b->p + b->n, p, n);
    b->n += n;
}

static size_t bytes_left(const struct rig_bytes *b)
{
    return b->n - b->at;
}

static void bytes_free(struct rig_bytes *b)
{
    free(b->p);
    *b = (struct rig_bytes){0};
}

/* --- birth and death --- */

static void sink(void *ctx, enum log_level level, struct str line, const struct log_about *about)
{
    (void)about;
    struct rig *r = ctx;

    (void)level;
    if (r->log.n + line.n + 1 > LOG_MAX)
        return;
    bytes_add(&r->log, line.p, line.n);
    bytes_add(&r->log, "\n", 1);
}

static void make_id(void *ctx, char out[BROKER_ID_MAX])
{
    struct rig *r = ctx;

    (void)snprintf(out, BROKER_ID_MAX, "made-%u", ++r->ids);
}

void rig_setup(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    r->listener = (struct conf_listener){
        .refs = 1,
        .port = 1883,
        .max_connections = -1,
        .max_qos = 2,
        .accept_versions = CONF_MQTT_31 | CONF_MQTT_311,
        .security = {.allow_anonymous = true, .allow_zero_length_clientid = true},
    };
    r->listeners[0] = &r->listener;
    r->conf.listeners = r->listeners;
    r->conf.listener_count = 1;
    r->conf.global = (struct conf_global){.connection_messages = true,
                                          .retain_available = true,
                                          .set_tcp_nodelay = true,
                                          .max_inflight_messages = 20,
                                          .max_queued_messages = 1000,
                                          .global_max_clients = -1,
                                          .global_max_connections = -1};
    r->setup = (struct broker_setup){
        .conf = &r->conf,
        .log = {.mask = LOG_LEVEL_DEFAULT, .sink = sink, .ctx = r},
        .seed = 42,
        .make_id = make_id,
        .make_id_ctx = r,
    };
    r->now = (struct now){.mono_ms = 1000, .wall_s = 1700000000};
    r->max_read = SIZE_MAX;
    TAILQ_INIT(&r->clients);
}

/* Faults of an ACL are the test's own. */
static void acl_sink(void *ctx, enum log_level level, struct str line,
                     const struct log_about *about)
{
    (void)ctx;
    (void)level;
    (void)about;
    fail_msg("acl: %.*s", (int)line.n, line.p);
}

static void realm_drop(struct realm *realm)
{
    acl_unref(realm->acl);
    free(realm);
}

void rig_acl(struct conf_listener *l, const char *text)
{
    const struct log log = {.mask = LOG_LEVEL_ERROR, .sink = acl_sink};

    if (l->realm_unref == realm_drop) /* else it is a test's own */
        realm_drop(l->realm);
    l->realm = NULL;
    l->realm_unref = NULL;
    if (!text)
        return;
    l->realm = calloc(1, sizeof(*l->realm));
    assert_non_null(l->realm);
    assert_ok(acl_parse(str_c(text), "/etc/acl", &log, &l->realm->acl));
    l->realm_unref = realm_drop;
}

/* Where the records of the next frame will stand. */
static uint64_t next_position(const struct rig *r)
{
    return RIG_JOURNAL_BEGIN + r->journal.n + RIG_FRAME_HEAD;
}

void rig_start(struct rig *r)
{
    r->b = broker_new(&r->setup);
    assert_non_null(r->b);
    broker_place(r->b, next_position(r));
    broker_tick(r->b, r->now);
}

void rig_begin(struct rig *r, bool persistent)
{
    rig_setup(r);
    r->setup.persistent = persistent;
    rig_start(r);
}

void rig_check(const struct rig *r)
{
    const char *wrong = broker_check(r->b);

    if (wrong)
        fail_msg("broker_check: %s", wrong);
}

/* What bridges want, until rig_dial asks for it. */
static void take_dials(struct rig *r)
{
    struct dial_order order;

    while (broker_take_dial(r->b, &order)) {
        assert_true(r->dial_count < RIG_DIALS);
        r->dials[r->dial_count++] = order;
    }
}

bool rig_take_dial(struct rig *r, struct dial_order *order)
{
    take_dials(r);
    while (r->dial_count > 0) {
        *order = r->dials[0];
        memmove(r->dials, r->dials + 1, --r->dial_count * sizeof(*order));
        if (broker_wants_dial(r->b, order->ticket))
            return true;
        conf_bridge_unref(order->conf);
    }
    return false;
}

static void forget_dials(struct rig *r)
{
    while (r->dial_count > 0)
        conf_bridge_unref(r->dials[--r->dial_count].conf);
}

void rig_end(struct rig *r)
{
    rig_check(r);
    forget_dials(r);
    broker_free(r->b);
    rig_acl(&r->listener, NULL);
    bytes_free(&r->journal);
    bytes_free(&r->log);
    free(r->frames);
}

/* --- one turn --- */

static void lose(struct rig_client *c)
{
    TAILQ_REMOVE(&c->rig->clients, c, entry);
    c->conn = NULL;
    c->blocked = false;
    c->out.at = c->out.n;
}

static void read_once(struct rig_client *c)
{
    struct rig *r = c->rig;
    size_t n = bytes_left(&c->out);
    struct span room;

    if (c->hangs_up) {
        rig_close(c);
        return;
    }
    if (n == 0)
        return;
    room = broker_room(r->b, c->conn);
    n = n < room.n ? n : room.n;
    n = n < r->max_read ? n : r->max_read;
    if (n == 0)
        return;
    memcpy(room.p, c->out.p + c->out.at, n);
    c->out.at += n;
    c->reads++;
    r->moved += n;
    broker_input(r->b, c->conn, n);
}

/* Everybody once while the budget lasts; who was served stands behind those who were not. */
static void read_all(struct rig *r)
{
    struct rig_client *last = TAILQ_LAST(&r->clients, rig_clients);
    struct rig_client *c = NULL;

    while (c != last && !broker_is_spent(r->b) && (c = TAILQ_FIRST(&r->clients))) {
        TAILQ_REMOVE(&r->clients, c, entry);
        TAILQ_INSERT_TAIL(&r->clients, c, entry);
        read_once(c);
    }
}

static void write_once(struct rig_client *c)
{
    struct rig *r = c->rig;
    struct iovec iov[IOVECS];
    int slots = broker_output(r->b, c->conn, iov, IOVECS);
    size_t left = c->window;
    size_t offered = 0;
    size_t sent = 0;

    for (int i = 0; i < slots; i++) {
        size_t n = iov[i].iov_len < left ? iov[i].iov_len : left;
        bytes_add(&c->in, iov[i].iov_base, n);
        offered += iov[i].iov_len;
        sent += n;
        left -= n;
    }
    if (slots == 0)
        return;
    c->writes++;
    r->writes++;
    r->moved += sent;
    c->received += sent;
    if (sent > 0)
        broker_sent(r->b, c->conn, sent);
    c->blocked = sent < offered || slots == IOVECS;
}

static void flush(struct rig_client *c)
{
    struct broker *b = c->rig->b;
    enum wish wish = broker_wish(b, c->conn);
    struct iovec iov;

    if (wish != WISH_CLOSE && !c->writes)
        write_once(c);
    if (wish == WISH_CLOSE ||
        (wish == WISH_FLUSH_CLOSE && broker_output(b, c->conn, &iov, 1) == 0)) {
        broker_closed(b, c->conn, REASON_OK, NULL);
        lose(c);
    }
}

static void flush_all(struct rig *r)
{
    struct rig_client *next;
    struct conn *conn;

    for (struct rig_client *c = TAILQ_FIRST(&r->clients); c; c = next) {
        next = TAILQ_NEXT(c, entry);
        if (c->blocked)
            flush(c);
    }
    while ((conn = broker_take_dirty(r->b)))
        flush(conn_link(conn));
}

static void lose_all(struct rig *r)
{
    while (!TAILQ_EMPTY(&r->clients))
        lose(TAILQ_FIRST(&r->clients));
}

static void add_frame(struct rig *r, struct str records)
{
    static const uint8_t head[RIG_FRAME_HEAD];

    r->frames = realloc(r->frames, (r->frame_count + 1) * sizeof(*r->frames));
    assert_non_null(r->frames);
    r->frames[r->frame_count++] = (struct rig_frame){.position = next_position(r), .n = records.n};
    bytes_add(&r->journal, head, sizeof(head));
    bytes_add(&r->journal, records.p, records.n);
}

void rig_commit(struct rig *r)
{
    struct buf frame = {0};
    uint64_t turn;
    bool any = broker_take_records(r->b, &turn, &frame);

    if (any) {
        assert_true(turn > r->recorded);
        assert_true(frame.len > BROKER_FRAME_ROOM);
        r->recorded = turn;
        memset(buf_begin(&frame), 0xdd, BROKER_FRAME_ROOM); /* ours */
        add_frame(r, str_of((char *)buf_begin(&frame) + BROKER_FRAME_ROOM,
                            frame.len - BROKER_FRAME_ROOM));
        broker_reuse(r->b, &frame);
    }
    assert_null(frame.data);
    broker_place(r->b, next_position(r));
    if (any && !r->hold)
        broker_durable(r->b, turn);
}

static bool is_there(const struct rig *r, const struct fetch *f)
{
    return r->frame_first < r->frame_count && f->position >= r->frames[r->frame_first].position &&
           f->position - RIG_JOURNAL_BEGIN + f->least <= r->journal.n;
}

static void take_fetches(struct rig *r)
{
    struct fetch f;

    while (broker_take_fetch(r->b, &f)) {
        assert_true(r->fetch_count < RIG_FETCHES);
        assert_true(f.least > 0 && f.least <= f.length);
        assert_true(is_there(r, &f));
        r->fetches[r->fetch_count++] = f;
    }
}

static void answer_fetches(struct rig *r)
{
    size_t n = r->fetch_count;

    r->fetch_count = 0;
    for (size_t i = 0; i < n; i++) {
        const struct fetch *f = &r->fetches[i];
        struct str bytes = r->answer ? r->answer(r, f) : rig_journal_at(r, f);
        broker_fetched(r->b, f, bytes);
        r->fetched++;
        r->moved += bytes.n + 1;
    }
}

void rig_turn(struct rig *r)
{
    struct rig_client *c;

    r->turns++;
    r->now.mono_ms++;
    r->writes = 0;
    r->moved = 0;
    TAILQ_FOREACH(c, &r->clients, entry)
    {
        c->writes = 0;
        c->reads = 0;
    }
    broker_tick(r->b, r->now);
    answer_fetches(r);
    read_all(r);
    (void)broker_work(r->b);
    rig_commit(r);
    flush_all(r);
    take_fetches(r);
    take_dials(r);
    r->next = broker_next(r->b);
}

void rig_settle(struct rig *r)
{
    unsigned quiet = 0;

    for (unsigned n = 0; quiet < 2; n++) {
        rig_turn(r);
        quiet = r->moved == 0 && r->next != 0 && r->fetch_count == 0 ? quiet + 1 : 0;
        if (n > TURNS_MAX)
            fail_msg("after %u turns there is still something to do", n);
    }
}

void rig_pass(struct rig *r, uint64_t ms)
{
    r->now.mono_ms += ms;
    r->now.wall_s += (int64_t)(ms / 1000);
    rig_turn(r);
}

/* --- looking at it --- */

unsigned rig_logged(const struct rig *r, const char *text)
{
    const uint8_t *p = r->log.p;
    size_t left = r->log.n;
    size_t n = strlen(text);
    unsigned count = 0;

    while (left > 0 && (p = memmem(p, left, text, n))) {
        count++;
        p += n;
        left = (size_t)(r->log.p + r->log.n - p);
    }
    return count;
}

static char *dump_of(const struct broker *b)
{
    struct buf out = {0};
    char *text;

    assert_ok(broker_dump(b, &out));
    text = calloc(1, out.len + 1);
    assert_non_null(text);
    if (out.len > 0)
        memcpy(text, buf_begin(&out), out.len);
    buf_clear(&out);
    return text;
}

char *rig_dump(const struct rig *r)
{
    return dump_of(r->b);
}

struct str rig_records(const struct rig *r, size_t frame)
{
    const struct rig_frame *f = &r->frames[frame];

    return str_of((const char *)r->journal.p + (f->position - RIG_JOURNAL_BEGIN), f->n);
}

struct str rig_journal_at(const struct rig *r, const struct fetch *f)
{
    uint64_t at = f->position - RIG_JOURNAL_BEGIN;

    if (!is_there(r, f))
        return str_of(NULL, 0);
    return str_of((const char *)r->journal.p + at,
                  at + f->length <= r->journal.n ? f->length : r->journal.n - at);
}

void rig_drop_frames(struct rig *r, size_t first)
{
    assert_in_range(first, r->frame_first, r->frame_count);
    r->frame_first = first;
}

static void apply_frames(const struct rig *r, struct broker *b, struct broker_lost *lost)
{
    for (size_t i = r->frame_first; i < r->frame_count; i++)
        assert_ok(broker_apply(b, r->frames[i].position, rig_records(r, i)));
    assert_ok(broker_apply_end(b, r->recorded, r->now.wall_s, lost));
    broker_place(b, next_position(r));
}

struct broker *rig_rebuild(const struct rig *r, struct broker_lost *lost)
{
    struct broker *again = broker_new(&r->setup);
    const char *wrong;

    assert_non_null(again);
    broker_tick(again, r->now);
    apply_frames(r, again, lost);
    wrong = broker_check(again);
    if (wrong)
        fail_msg("broker_check after replay: %s", wrong);
    return again;
}

/* Of finished rows at the end of a queue a cleaned journal says nothing. */
static void forget_tails(char *dump)
{
    for (char *at = strstr(dump, " tail "); at; at = strstr(at + 1, " tail ")) {
        size_t n = strcspn(at + strlen(" tail "), " ");
        char *rest = at + strlen(" tail ") + n;
        memmove(at + strlen(" tail "), rest, strlen(rest) + 1);
    }
}

void rig_check_replay(const struct rig *r)
{
    struct broker_lost lost;
    struct broker *again = rig_rebuild(r, &lost);
    char *before = dump_of(r->b);
    char *after = dump_of(again);

    assert_int_equal(lost.rows, 0);
    if (r->frame_first > 0) {
        forget_tails(before);
        forget_tails(after);
    }
    if (strcmp(before, after) != 0)
        fail_msg("live:\n%s\nreplayed:\n%s", before, after);
    free(before);
    free(after);
    /* a clean session, or an output queue, may hold messages that nobody else does */
    assert_true(broker_live_bytes(again) <= broker_live_bytes(r->b));
    broker_free(again);
}

void rig_restart(struct rig *r)
{
    struct broker_lost lost;

    lose_all(r);
    r->fetch_count = 0;
    forget_dials(r);
    broker_free(r->b);
    rig_start(r);
    apply_frames(r, r->b, &lost);
    assert_int_equal(lost.rows, 0);
    rig_check(r);
}

/* --- clients --- */

static void begin_client(struct rig *r, struct rig_client *c)
{
    memset(c, 0, sizeof(*c));
    c->rig = r;
    c->window = SIZE_MAX;
}

bool rig_open(struct rig *r, struct rig_client *c)
{
    struct peer peer = {.ip = {127, 0, 0, 1},
                        .family = 4,
                        .port = 4000,
                        .listener = r->through ? r->through : &r->listener,
                        .accept_ms = (uint32_t)r->now.mono_ms};

    begin_client(r, c);
    c->conn = broker_open(r->b, &peer, c);
    if (c->conn)
        TAILQ_INSERT_TAIL(&r->clients, c, entry);
    return c->conn != NULL;
}

bool rig_dial(struct rig *r, struct rig_client *c)
{
    struct peer peer = {.ip = {127, 0, 0, 1}, .family = 4, .port = 1884};
    struct dial_order order;

    begin_client(r, c);
    if (!rig_take_dial(r, &order))
        return false;
    conf_bridge_unref(order.conf);
    if (!order.probe)
        c->conn = broker_dialed(r->b, order.ticket, &peer, c);
    if (c->conn)
        TAILQ_INSERT_TAIL(&r->clients, c, entry);
    return c->conn != NULL;
}

void rig_close(struct rig_client *c)
{
    if (!c->conn)
        return;
    broker_closed(c->rig->b, c->conn, REASON_PEER_CLOSED, NULL);
    lose(c);
}

void rig_hang_up(struct rig_client *c)
{
    c->hangs_up = true;
}

void rig_forget(struct rig_client *c)
{
    rig_close(c);
    bytes_free(&c->in);
    bytes_free(&c->out);
}

void rig_send(struct rig_client *c, const void *p, size_t n)
{
    bytes_add(&c->out, p, n);
}

void rig_send_connect(struct rig_client *c, const struct packet_connect *p)
{
    size_t n = encode_connect_size(p);
    uint8_t *out = malloc(n);

    assert_non_null(out);
    rig_send(c, out, encode_connect(out, p));
    free(out);
}

void rig_send_subscribe(struct rig_client *c, uint16_t id, const char *filter, enum qos qos)
{
    struct str one = str_c(filter);
    uint8_t *out = malloc(encode_subscribe_size(&one, 1));

    assert_non_null(out);
    rig_send(c, out, encode_subscribe(out, id, &one, &qos, 1));
    free(out);
}

void rig_send_unsubscribe(struct rig_client *c, uint16_t id, const char *filter)
{
    struct str one = str_c(filter);
    uint8_t *out = malloc(encode_unsubscribe_size(&one, 1));

    assert_non_null(out);
    rig_send(c, out, encode_unsubscribe(out, id, &one, 1));
    free(out);
}

void rig_send_publish(struct rig_client *c, const struct packet_publish *p)
{
    size_t n = encode_publish_head_size(p->topic, p->payload.n, p->qos);
    uint8_t *out = malloc(n);

    assert_non_null(out);
    rig_send(c, out, encode_publish_head(out, p));
    rig_send(c, p->payload.p, p->payload.n);
    free(out);
}

void rig_send_ack(struct rig_client *c, enum packet_type type, uint16_t id)
{
    uint8_t out[ENCODE_ACK_SIZE];

    rig_send(c, out, encode_ack(out, type, id));
}

void rig_send_empty(struct rig_client *c, enum packet_type type)
{
    uint8_t out[ENCODE_EMPTY_SIZE];

    rig_send(c, out, encode_empty(out, type));
}

void rig_publish(struct rig_client *c, const char *topic, const char *payload, enum qos qos,
                 uint16_t id)
{
    rig_send_publish(c,
                     &(struct packet_publish){
                         .topic = str_c(topic), .payload = str_c(payload), .qos = qos, .id = id});
}

void rig_retain(struct rig_client *c, const char *topic, const char *payload, enum qos qos,
                uint16_t id)
{
    rig_send_publish(c, &(struct packet_publish){.topic = str_c(topic),
                                                 .payload = str_c(payload),
                                                 .qos = qos,
                                                 .id = id,
                                                 .retain = true});
}

bool rig_connect_as(struct rig *r, struct rig_client *c, const char *id, const char *user,
                    bool clean)
{
    struct frame f;
    bool present = false;
    uint8_t code = 99;

    assert_true(rig_open(r, c));
    rig_send_connect(c, &(struct packet_connect){.client_id = str_c(id),
                                                 .level = PROTOCOL_311,
                                                 .clean_session = clean,
                                                 .has_username = user != NULL,
                                                 .username = str_c(user)});
    rig_settle(r);
    assert_true(rig_next(c, &f));
    assert_int_equal(decode_connack(&f, &present, &code), REASON_OK);
    assert_int_equal(code, CONNACK_ACCEPTED);
    return present;
}

bool rig_connect(struct rig *r, struct rig_client *c, const char *id, bool clean)
{
    return rig_connect_as(r, c, id, NULL, clean);
}

void rig_subscribe(struct rig_client *c, const char *filter, enum qos qos)
{
    struct frame f;
    struct str codes;
    uint16_t id;

    rig_send_subscribe(c, ++c->last_id, filter, qos);
    rig_settle(c->rig);
    assert_true(rig_next(c, &f));
    assert_int_equal(decode_suback(&f, &id, &codes), REASON_OK);
    assert_int_equal(id, c->last_id);
    assert_int_equal(codes.n, 1);
    assert_int_equal(codes.p[0], qos);
}

void rig_unsubscribe(struct rig_client *c, const char *filter)
{
    rig_send_unsubscribe(c, ++c->last_id, filter);
    rig_settle(c->rig);
    assert_int_equal(rig_expect(c, PACKET_UNSUBACK), c->last_id);
}

/* --- what they get --- */

bool rig_next(struct rig_client *c, struct frame *f)
{
    struct str in = str_of((char *)c->in.p + c->in.at, bytes_left(&c->in));
    size_t need;
    enum err e = in.n > 0 ? frame_next(in, PACKET_MAX, f, &need) : ERR_AGAIN;

    assert_true(e == ERR_OK || e == ERR_AGAIN);
    if (e)
        return false;
    c->in.at += f->whole.n;
    return true;
}

uint16_t rig_id(const struct frame *f)
{
    const uint8_t *p = (const uint8_t *)f->body.p;

    if (f->body.n < 2)
        return 0;
    return (uint16_t)(p[0] << 8 | p[1]);
}

static struct frame next_of_type(struct rig_client *c, enum packet_type type)
{
    struct frame f = {0};

    if (!rig_next(c, &f))
        fail_msg("no packet, but one of type %d was due", type);
    if (frame_type(&f) != type)
        fail_msg("a packet of type %d, not of type %d", frame_type(&f), type);
    return f;
}

uint16_t rig_expect(struct rig_client *c, enum packet_type type)
{
    struct frame f = next_of_type(c, type);
    uint16_t id = 0;

    if (type == PACKET_PINGRESP)
        assert_int_equal(decode_empty(&f), REASON_OK);
    else if (type >= PACKET_PUBACK && type != PACKET_SUBACK)
        assert_int_equal(decode_ack(&f, PROTOCOL_311, &id), REASON_OK);
    return id;
}

struct packet_publish rig_expect_publish(struct rig_client *c, const char *topic,
                                         const char *payload, enum qos qos)
{
    struct frame f = next_of_type(c, PACKET_PUBLISH);
    struct packet_publish p;

    assert_int_equal(decode_publish(&f, &p), REASON_OK);
    if (!str_eq_c(p.topic, topic) || !str_eq_c(p.payload, payload) || p.qos != qos)
        fail_msg("PUBLISH '%.*s' '%.*s' q%d, not '%s' '%s' q%d", STR_ARG(p.topic),
                 STR_ARG(p.payload), p.qos, topic, payload, qos);
    return p;
}

void rig_expect_connack(struct rig_client *c, bool present, uint8_t code)
{
    struct frame f = next_of_type(c, PACKET_CONNACK);
    bool was_present;
    uint8_t got;

    assert_int_equal(decode_connack(&f, &was_present, &got), REASON_OK);
    assert_int_equal(got, code);
    assert_int_equal(was_present, present);
}

void rig_expect_nothing(struct rig_client *c)
{
    struct frame f;

    if (rig_next(c, &f))
        fail_msg("a packet of type %d that nobody asked for", frame_type(&f));
}

void rig_expect_closed(const struct rig_client *c)
{
    assert_null(c->conn);
}

size_t rig_drain(struct rig_client *c)
{
    struct frame f;
    size_t n = 0;

    while (rig_next(c, &f))
        n += frame_type(&f) == PACKET_PUBLISH;
    return n;
}
