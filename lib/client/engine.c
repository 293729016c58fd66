/*
 * The client's half of MQTT: life, connections, requests, time.
 */
#include "client/engine.h"

#include "base/mem.h"
#include "client/engine_inside.h"
#include "mqtt/encode.h"

#include <assert.h>

#define ANSWERS_MAX (1024u * 1024) /* bytes; two for each packet id are half of that */
#define WINDOW 20                  /* messages in flight; as Mosquitto's library */
#define READ_SIZE 16384            /* bytes asked for at once */
#define OUT_HIGH (256u * 1024)     /* bytes in the output above which messages stay in the flow */
#define SPARE_CHUNKS 4             /* that an empty output keeps */
#define PAYLOAD_COPY_MAX 1024      /* larger payloads are sent from where they are kept */
#define ANSWER_MS 60000            /* for CONNACK, without a keepalive */
#define CLOSING_MS 10000           /* without a byte, for DISCONNECT to be written */
#define KEEP_INPUT (4 * READ_SIZE) /* a larger buffer is given back when it is empty */

/* --- life --- */

struct engine *engine_new(const struct log *log)
{
    struct engine *e = mem_zalloc(sizeof(*e));

    if (!e)
        return NULL;
    e->log = log;
    e->limits.max_inflight = WINDOW;
    e->why = "nothing";
    idset_init(&e->pending_ids);
    outq_pool_init(&e->pool, SPARE_CHUNKS);
    return e;
}

void engine_reset(struct engine *e)
{
    engine_lost(e);
    flow_free(e->flow);
    e->flow = NULL;
    e->last_id = 0;
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    engine_reset(e);
    outq_pool_clear(&e->pool);
    buf_clear(&e->client_id);
    buf_clear(&e->in);
    buf_clear(&e->delivery);
    buf_clear(&e->marks);
    buf_clear(&e->pending);
    mem_free(e, sizeof(*e));
}

void engine_set_window(struct engine *e, uint32_t messages)
{
    e->limits.max_inflight = messages;
}

/* --- sending --- */

static void added(struct engine *e, size_t n)
{
    e->queued_bytes += n;
}

enum err engine_send(struct engine *e, const void *p, size_t n)
{
    enum err err = outq_copy(&e->out, &e->pool, p, n);

    if (err == ERR_OK)
        added(e, n);
    return err;
}

const char *engine_ack_name(enum packet_type type)
{
    switch (type) {
    case PACKET_PUBACK:
        return "PUBACK";
    case PACKET_PUBREC:
        return "PUBREC";
    case PACKET_PUBREL:
        return "PUBREL";
    default:
        return "PUBCOMP";
    }
}

/*
 * Acknowledgements are looked at in portions. For want of packet ids an honest broker is never owed
 * as many as one holds: so if the last one still waits when the next one is full, this broker reads
 * none of them.
 */
static void count_answer(struct engine *e, size_t n)
{
    e->answers += n;
    if (e->answers < ANSWERS_MAX)
        return;
    e->clogged = e->answers_end > e->queued_bytes - e->out.bytes;
    e->answers_end = e->queued_bytes;
    e->answers = 0;
}

enum err engine_send_ack(struct engine *e, enum packet_type type, uint16_t id)
{
    uint8_t bytes[ENCODE_ACK_SIZE];
    enum err err = engine_send(e, bytes, encode_ack(bytes, type, id));

    if (err != ERR_OK)
        return err;
    engine_log(e, "sending %s (Mid: %d)", engine_ack_name(type), id);
    count_answer(e, sizeof(bytes));
    return ERR_OK;
}

/* A packet that fits into one chunk: no allocation. */
static enum err send_small(struct engine *e, const struct packet_publish *p, size_t head)
{
    uint8_t *room = outq_room(&e->out, &e->pool, head + p->payload.n);

    if (!room)
        return ERR_NOMEM;
    size_t n = encode_publish_head(room, p);
    if (p->payload.n > 0)
        memcpy(room + n, p->payload.p, p->payload.n);
    outq_added(&e->out, n + p->payload.n);
    return ERR_OK;
}

/* Head and payload go into a queue of their own, so that a failure leaves no half packet behind. */
static enum err send_large(struct engine *e, const struct packet_publish *p, size_t head,
                           struct message *owner)
{
    struct outq whole = {0};
    uint8_t *bytes = mem_alloc(head);
    enum err err = bytes ? ERR_OK : ERR_NOMEM;

    if (err == ERR_OK)
        err = outq_copy(&whole, &e->pool, bytes, encode_publish_head(bytes, p));
    if (err == ERR_OK && owner && p->payload.n > PAYLOAD_COPY_MAX)
        err = outq_slice(&whole, &e->pool, &owner->blob, p->payload.p, p->payload.n);
    else if (err == ERR_OK && p->payload.n > 0)
        err = outq_copy(&whole, &e->pool, p->payload.p, p->payload.n);
    if (err == ERR_OK)
        err = outq_move(&e->out, &whole, &e->pool, whole.bytes);
    outq_clear(&whole, &e->pool);
    mem_free(bytes, head);
    return err;
}

void engine_log_publish(const struct engine *e, const char *what, const struct packet_publish *p,
                        uint16_t id)
{
    engine_log(e, "%s PUBLISH (d%d, q%d, r%d, m%d, '%.*s', ... (%zu bytes))", what, p->dup, p->qos,
               p->retain, id, STR_ARG(p->topic), p->payload.n);
}

/* `owner` keeps the payload, or is NULL. */
static enum err send_publish(struct engine *e, const struct packet_publish *p,
                             struct message *owner, uint16_t shown)
{
    size_t head = encode_publish_head_size(p->topic, p->payload.n, p->qos);
    bool small = head + p->payload.n <= OUTQ_CONTIGUOUS;
    enum err err = small ? send_small(e, p, head) : send_large(e, p, head, owner);

    if (err == ERR_OK) {
        added(e, head + p->payload.n);
        engine_log_publish(e, "sending", p, shown);
    }
    return err;
}

/* --- messages of QoS 1 and 2 --- */

static bool may_send(const struct engine *e)
{
    if (e->refused)
        return false;
    return e->state == ENGINE_CONNECTED || (e->state == ENGINE_CONNECTING && !e->resends);
}

static enum err send_next(struct engine *e, const struct flow_next *next)
{
    const struct flow_row *row = next->row;

    if (next->pubrel)
        return engine_send_ack(e, PACKET_PUBREL, next->id);
    struct packet_publish p = {.topic = message_topic(row->message),
                               .payload = message_payload(row->message),
                               .id = next->id,
                               .qos = (enum qos)row->qos,
                               .retain = row->retain,
                               .dup = next->dup};
    return send_publish(e, &p, row->message, next->id);
}

enum err engine_pump(struct engine *e)
{
    struct flow_next next;

    if (!e->flow || !may_send(e))
        return ERR_OK;
    while (e->out.bytes < OUT_HIGH && flow_peek(e->flow, &e->limits, &next)) {
        if (idset_has(&e->pending_ids, next.id))
            return ERR_OK;
        enum err err = send_next(e, &next);
        if (err != ERR_OK)
            return err;
        flow_advance(e->flow);
    }
    return ERR_OK;
}

uint64_t engine_unfinished(const struct engine *e)
{
    return e->flow ? (uint64_t)flow_inflight(e->flow) + flow_queued(e->flow) : 0;
}

/* --- connections --- */

static enum err remember_id(struct engine *e, struct str id)
{
    struct buf copy = {0};
    struct str shown = id.n > 0 ? id : STR("null");

    if (buf_add(&copy, shown.p, shown.n) != ERR_OK || buf_add(&copy, "", 1) != ERR_OK) {
        buf_clear(&copy);
        return ERR_NOMEM;
    }
    buf_clear(&e->client_id);
    e->client_id = copy;
    return ERR_OK;
}

static enum err send_connect(struct engine *e, const struct packet_connect *p)
{
    size_t size = encode_connect_size(p);
    uint8_t *bytes = mem_alloc(size);

    if (!bytes)
        return ERR_NOMEM;
    enum err err = engine_send(e, bytes, encode_connect(bytes, p));
    mem_free(bytes, size);
    if (err == ERR_OK)
        engine_log(e, "sending CONNECT");
    return err;
}

enum err engine_connect(struct engine *e, const struct packet_connect *p, uint64_t now_ms)
{
    engine_lost(e);
    if (remember_id(e, p->client_id) != ERR_OK || send_connect(e, p) != ERR_OK)
        return ERR_NOMEM;
    e->state = ENGINE_CONNECTING;
    e->epoch++;
    e->keepalive_ms = p->keepalive_s * 1000u;
    e->forgets = p->clean_session || p->level != PROTOCOL_31;
    e->resends = e->flow && flow_head(e->flow) < flow_begun(e->flow);
    e->now_ms = e->began_ms = e->last_in_ms = e->last_out_ms = now_ms;
    enum err err = engine_pump(e);
    if (err != ERR_OK)
        engine_lost(e);
    return err;
}

enum err engine_finish(struct engine *e)
{
    uint8_t bytes[ENCODE_EMPTY_SIZE];

    if (e->state != ENGINE_CLOSING || e->disconnect_sent || e->unsettled)
        return ERR_OK;
    if (engine_send(e, bytes, encode_empty(bytes, PACKET_DISCONNECT)) != ERR_OK)
        return ERR_NOMEM;
    e->disconnect_sent = true;
    engine_log(e, "sending DISCONNECT");
    return ERR_OK;
}

/* 3.14 */
enum err engine_disconnect(struct engine *e, uint64_t now_ms)
{
    if (e->state == ENGINE_IDLE || e->state == ENGINE_CLOSING)
        return ERR_OK;
    e->state = ENGINE_CLOSING;
    e->now_ms = e->closing_ms = now_ms;
    return engine_finish(e);
}

void engine_lost(struct engine *e)
{
    e->state = ENGINE_IDLE;
    e->has_connack = e->refused = e->resends = e->unsettled = e->disconnect_sent = false;
    outq_clear(&e->out, &e->pool);
    e->queued_bytes = e->answers_end = 0;
    e->answers = 0;
    e->clogged = false;
    buf_drop(&e->in, e->in.len);
    e->need = 0;
    buf_drop(&e->marks, e->marks.len);
    buf_drop(&e->pending, e->pending.len);
    idset_clear(&e->pending_ids);
    e->pinging = false;
    if (e->flow)
        flow_rewind(e->flow);
}

enum engine_state engine_state(const struct engine *e)
{
    return e->state;
}

bool engine_is_drained(const struct engine *e)
{
    return e->out.bytes == 0 && (e->state != ENGINE_CLOSING || e->disconnect_sent);
}

/* --- bytes --- */

/* As much as is asked for at once; for a long packet as much again as has come, so that memory
 * follows what arrives and not what was announced. */
uint8_t *engine_room(struct engine *e, size_t *n)
{
    size_t more = READ_SIZE;

    if (e->need > e->in.len + more) {
        size_t rest = e->need - e->in.len;
        more = rest < e->in.len ? rest : e->in.len > more ? e->in.len : more;
    }
    if (e->in.len == 0 && e->in.cap > KEEP_INPUT)
        buf_clear(&e->in);
    if (buf_reserve(&e->in, more) != ERR_OK)
        return NULL;
    *n = buf_room(&e->in);
    return buf_end(&e->in);
}

void engine_filled(struct engine *e, size_t n, uint64_t now_ms)
{
    buf_added(&e->in, n);
    e->now_ms = e->last_in_ms = now_ms;
}

int engine_iovec(const struct engine *e, struct iovec *iov, int n)
{
    return outq_iovec(&e->out, iov, n);
}

void engine_written(struct engine *e, size_t n, uint64_t now_ms)
{
    if (e->pinging && e->queued_bytes - e->out.bytes < e->ping_end)
        e->ping_ms = now_ms;
    outq_drop(&e->out, &e->pool, n);
    e->now_ms = e->last_out_ms = now_ms;
    enum err later = engine_pump(e);
    (void)later;
}

/* --- requests --- */

/* The next id that nothing on this connection has, from 1 up and around (2.3.1-2); 0: all are
 * taken. */
static uint16_t take_id(struct engine *e)
{
    uint16_t id = e->last_id;

    for (uint32_t i = 0; i < UINT16_MAX; i++) {
        id = (uint16_t)(id % UINT16_MAX + 1);
        if (!idset_has(&e->pending_ids, id) && !(e->flow && flow_has_id(e->flow, id))) {
            e->last_id = id;
            return id;
        }
    }
    return 0;
}

static bool has_way(const struct engine *e)
{
    return !e->refused && (e->state == ENGINE_CONNECTING || e->state == ENGINE_CONNECTED);
}

static enum err publish_now(struct engine *e, const struct packet_publish *p, uint16_t *id)
{
    struct engine_mark mark = {0};

    if (!has_way(e))
        return ERR_CLOSED;
    if (buf_reserve(&e->marks, sizeof(mark)) != ERR_OK)
        return ERR_NOMEM;
    mark.id = take_id(e);
    enum err err = send_publish(e, p, NULL, mark.id);
    if (err != ERR_OK)
        return err;
    mark.end = e->queued_bytes;
    *id = mark.id;
    return buf_add(&e->marks, &mark, sizeof(mark));
}

static struct flow *flow_of(struct engine *e)
{
    if (!e->flow)
        e->flow = flow_new(NULL);
    return e->flow;
}

/* More may wait than there are ids: then one is given again, and its row waits until it is free. */
static enum err publish_kept(struct engine *e, const struct packet_publish *p, uint16_t *id)
{
    struct flow *f = flow_of(e);

    if (!f || flow_reserve(f, 1) != ERR_OK)
        return ERR_NOMEM;
    struct message *m = message_new(p->topic, p->payload, p->qos);
    if (!m)
        return ERR_NOMEM;
    *id = take_id(e);
    if (*id == 0)
        *id = e->last_id = (uint16_t)(e->last_id % UINT16_MAX + 1);
    flow_push_as(f, m, p->qos, p->retain, *id);
    message_unref(m);
    /* It is in the flow: what cannot be sent for want of memory is sent after the next write. */
    enum err later = engine_pump(e);
    (void)later;
    return ERR_OK;
}

/* 3.3 */
enum err engine_publish(struct engine *e, const struct packet_publish *p, uint16_t *id)
{
    if (encode_publish_head_size(p->topic, p->payload.n, p->qos) + p->payload.n > PACKET_MAX)
        return ERR_TOO_LARGE;
    return p->qos == QOS_0 ? publish_now(e, p, id) : publish_kept(e, p, id);
}

static enum err add_pending(struct engine *e, enum packet_type answer, size_t filters, uint16_t id)
{
    struct engine_pending pending = {
        .filters = (uint32_t)filters, .id = id, .type = (uint16_t)answer};

    idset_add(&e->pending_ids, id);
    return buf_add(&e->pending, &pending, sizeof(pending));
}

static void log_filters(const struct engine *e, const struct str *filters, const enum qos *qos,
                        size_t n, uint16_t id)
{
    for (size_t i = 0; i < n && qos; i++)
        engine_log(e, "sending SUBSCRIBE (Mid: %d, Topic: %.*s, QoS: %d)", id, STR_ARG(filters[i]),
                   qos[i]);
    for (size_t i = 0; i < n && !qos; i++)
        engine_log(e, "sending UNSUBSCRIBE (Mid: %d, Topic: %.*s)", id, STR_ARG(filters[i]));
}

/* `qos` NULL: UNSUBSCRIBE. */
static enum err request(struct engine *e, const struct str *filters, const enum qos *qos, size_t n,
                        uint16_t *id)
{
    size_t size = qos ? encode_subscribe_size(filters, n) : encode_unsubscribe_size(filters, n);

    if (!has_way(e))
        return ERR_CLOSED;
    if (size > PACKET_MAX)
        return ERR_TOO_LARGE;
    if (buf_reserve(&e->pending, sizeof(struct engine_pending)) != ERR_OK ||
        idset_reserve(&e->pending_ids) != ERR_OK)
        return ERR_NOMEM;
    uint16_t fresh = take_id(e);
    if (fresh == 0)
        return ERR_FULL;
    uint8_t *bytes = mem_alloc(size);
    if (!bytes)
        return ERR_NOMEM;
    size_t length = qos ? encode_subscribe(bytes, fresh, filters, qos, n)
                        : encode_unsubscribe(bytes, fresh, filters, n);
    enum err err = engine_send(e, bytes, length);
    mem_free(bytes, size);
    if (err != ERR_OK)
        return err;
    log_filters(e, filters, qos, n, fresh);
    *id = fresh;
    return add_pending(e, qos ? PACKET_SUBACK : PACKET_UNSUBACK, n, fresh);
}

/* 3.8 */
enum err engine_subscribe(struct engine *e, const struct str *filters, const enum qos *qos,
                          size_t n, uint16_t *id)
{
    assert(n > 0 && qos);
    return request(e, filters, qos, n, id);
}

/* 3.10 */
enum err engine_unsubscribe(struct engine *e, const struct str *filters, size_t n, uint16_t *id)
{
    assert(n > 0);
    return request(e, filters, NULL, n, id);
}

/* --- time --- */

static enum err ping(struct engine *e)
{
    uint8_t bytes[ENCODE_EMPTY_SIZE];

    if (engine_send(e, bytes, encode_empty(bytes, PACKET_PINGREQ)) != ERR_OK)
        return ERR_NOMEM;
    e->ping_ms = e->now_ms;
    e->ping_end = e->queued_bytes;
    e->pinging = true;
    engine_log(e, "sending PINGREQ");
    return ERR_OK;
}

static uint64_t answer_ms(const struct engine *e)
{
    return e->keepalive_ms ? e->keepalive_ms : ANSWER_MS;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* When a broker that has not answered PINGREQ is given up. Its answer may be behind much else. */
static uint64_t give_up_ms(const struct engine *e)
{
    return later(e->ping_ms, e->last_in_ms) + e->keepalive_ms;
}

/* The next PINGREQ; while one is not answered, for the sake of a broker that hears nothing else. */
static uint64_t next_ping_ms(const struct engine *e)
{
    uint64_t since_ms =
        e->pinging ? later(e->ping_ms, e->last_out_ms) : earlier(e->last_in_ms, e->last_out_ms);

    return since_ms + e->keepalive_ms;
}

uint64_t engine_deadline(const struct engine *e)
{
    switch (e->state) {
    case ENGINE_CONNECTING:
        return e->began_ms + answer_ms(e);
    case ENGINE_CLOSING:
        return later(e->closing_ms, e->last_out_ms) + CLOSING_MS;
    case ENGINE_CONNECTED:
        if (e->keepalive_ms == 0)
            return UINT64_MAX;
        return e->pinging ? earlier(next_ping_ms(e), give_up_ms(e)) : next_ping_ms(e);
    default:
        return UINT64_MAX;
    }
}

void engine_heard(struct engine *e, uint64_t now_ms)
{
    e->last_in_ms = now_ms;
    if (e->state == ENGINE_CONNECTING)
        e->began_ms = now_ms;
}

/* 3.1.2-24, 3.12 */
enum err engine_tick(struct engine *e, uint64_t now_ms)
{
    e->now_ms = now_ms;
    if (now_ms < engine_deadline(e))
        return ERR_OK;
    if (e->state == ENGINE_CONNECTED && (!e->pinging || now_ms < give_up_ms(e)))
        return ping(e);
    e->why = e->state == ENGINE_CLOSING ? "the connection takes no more bytes"
             : e->pinging               ? "no answer to PINGREQ in time"
                                        : "no answer to CONNECT in time";
    return ERR_CLOSED;
}

const char *engine_why(const struct engine *e)
{
    return e->why;
}
