/*
 * The held lane is made when something must wait and freed when it has moved on, so that an idle
 * connection does not pay for it.
 */
#include "core/outbox.h"

#include "base/mem.h"
#include "core/topicmap.h"
#include "mqtt/encode.h"

#include <string.h>

struct stretch { /* bytes of the held lane that wait for the same turn */
    uint64_t turn;
    size_t bytes;
};

struct outbox_held {
    TAILQ_ENTRY(outbox_held) entry;
    struct outbox *outbox;
    struct outq q;
    struct stretch *stretches;
    uint32_t first;
    uint32_t n; /* from first */
    uint32_t cap;
};

void outbox_hub_init(struct outbox_hub *hub, struct persist *p, struct stats *stats, struct work *w)
{
    /* Nothing else: pages of the two buffers are memory only when somebody needs them. */
    hub->persist = p;
    hub->stats = stats;
    hub->work = w;
    outq_pool_init(&hub->pool, 256);
    TAILQ_INIT(&hub->dirty);
    TAILQ_INIT(&hub->waiting);
}

void outbox_hub_clear(struct outbox_hub *hub)
{
    outq_pool_clear(&hub->pool);
}

size_t outbox_held_bytes(const struct outbox *o)
{
    return o->held->q.bytes;
}

static struct outbox_held *held_need(struct outbox_hub *hub, struct outbox *o)
{
    if (o->held)
        return o->held;
    o->held = mem_zalloc(sizeof(*o->held));
    if (o->held) {
        o->held->outbox = o;
        TAILQ_INSERT_TAIL(&hub->waiting, o->held, entry);
    }
    return o->held;
}

/* Of `before` bytes so many are gone, written or dropped. Where packets end is not kept: the share
 * of those that are gone is that of the bytes. */
static void count_gone(struct outbox_hub *hub, struct outbox *o, size_t before, size_t bytes)
{
    uint32_t gone = o->packets;

    if (bytes < before)
        gone = (uint32_t)((uint64_t)gone * bytes / before);
    o->packets -= gone;
    hub->stats->output_packets -= gone;
    hub->stats->output_bytes -= bytes;
}

static void held_free(struct outbox_hub *hub, struct outbox *o)
{
    struct outbox_held *h = o->held;

    if (!h)
        return;
    TAILQ_REMOVE(&hub->waiting, h, entry);
    count_gone(hub, o, outbox_bytes(o), h->q.bytes);
    outq_clear(&h->q, &hub->pool);
    mem_free(h->stretches, h->cap * sizeof(*h->stretches));
    mem_free(h, sizeof(*h));
    o->held = NULL;
}

static enum err held_grow(struct outbox_held *h)
{
    uint32_t cap = h->cap ? h->cap * 2 : 4;
    struct stretch *v = mem_realloc(h->stretches, h->cap * sizeof(*v), cap * sizeof(*v));

    if (!v)
        return ERR_NOMEM;
    h->stretches = v;
    h->cap = cap;
    return ERR_OK;
}

/* Make sure that the last stretch is that of `turn`; 0: whatever the last one is. */
static enum err held_stretch(struct outbox_held *h, uint64_t turn)
{
    if (h->n > 0 && h->stretches[h->first + h->n - 1].turn >= turn)
        return ERR_OK;
    if (h->first > 0 && h->first + h->n == h->cap) {
        memmove(h->stretches, h->stretches + h->first, h->n * sizeof(*h->stretches));
        h->first = 0;
    }
    if (h->first + h->n == h->cap && held_grow(h))
        return ERR_NOMEM;
    h->stretches[h->first + h->n++] = (struct stretch){.turn = turn};
    return ERR_OK;
}

/* Where something is held already, or this packet must wait itself. */
static struct outq *held_queue(struct outbox_hub *hub, struct outbox *o, enum outbox_lane lane,
                               bool must_wait)
{
    if (lane == OUTBOX_NOW)
        return &o->ready;
    if (!held_need(hub, o))
        return NULL;
    if (held_stretch(o->held, must_wait ? hub->persist->turn : 0)) {
        if (o->held->n == 0)
            held_free(hub, o);
        return NULL;
    }
    return &o->held->q;
}

/* The queue that takes the next packet of this lane; NULL without memory. */
static struct outq *lane_queue(struct outbox_hub *hub, struct outbox *o, enum outbox_lane lane)
{
    bool must_wait = outbox_must_wait(hub, lane);

    return !o->held && !must_wait ? &o->ready : held_queue(hub, o, lane, must_wait);
}

/* Where something is held: n bytes have been added to `q`; an empty held lane goes. */
static void held_added(struct outbox_hub *hub, struct outbox *o, const struct outq *q, size_t n)
{
    struct outbox_held *h = o->held;

    if (q != &o->ready)
        h->stretches[h->first + h->n - 1].bytes += n;
    if (h->q.bytes == 0)
        held_free(hub, o);
}

/* Account for n bytes (0: the packet found no memory) that have been added to `q`. */
static void lane_added(struct outbox_hub *hub, struct outbox *o, const struct outq *q, size_t n)
{
    if (n > 0)
        outbox_count(hub, o, n);
    if (q == &o->ready && n > 0)
        outbox_mark(hub, o);
    if (o->held)
        held_added(hub, o, q, n);
}

enum err outbox_put_parts(struct outbox_hub *hub, struct outbox *o, enum outbox_lane lane,
                          struct str head, struct str tail)
{
    struct outq *q = o->shut ? NULL : lane_queue(hub, o, lane);
    size_t before;
    enum err e;

    if (!q)
        return o->shut ? ERR_CLOSED : ERR_NOMEM;
    before = q->bytes;
    if (head.n + tail.n <= OUTQ_CONTIGUOUS) {
        uint8_t *p = outq_room(q, &hub->pool, head.n + tail.n);
        e = p ? ERR_OK : ERR_NOMEM;
        if (p) {
            memcpy(p, head.p, head.n);
            if (tail.n > 0)
                memcpy(p + head.n, tail.p, tail.n);
            outq_added(q, head.n + tail.n);
        }
    } else {
        struct buf whole = {0}; /* in one piece, so that failing queues nothing */
        e = buf_reserve_exact(&whole, head.n + tail.n);
        if (!e)
            e = buf_add(&whole, head.p, head.n);
        if (!e)
            e = buf_add(&whole, tail.p, tail.n);
        if (!e)
            e = outq_copy(q, &hub->pool, whole.data, whole.len);
        buf_clear(&whole);
    }
    lane_added(hub, o, q, q->bytes - before);
    return e;
}

static struct packet_publish packet_of(struct outbox_hub *hub, const struct outbox *o,
                                       const struct publication *pub,
                                       const struct outbox_publish *how)
{
    struct packet_publish p = {.topic = pub->topic,
                               .payload = pub->payload,
                               .qos = how->qos,
                               .id = how->id,
                               .retain = how->retain,
                               .dup = how->dup};

    if (!o->map)
        return p;
    (void)topicmap_back(o->map, pub->topic, hub->mapped, &p.topic);
    p.retain = how->retain && (!o->map->bridge || o->map->bridge->outgoing_retain);
    return p;
}

/* The same where the topic is another one: encoded for this receiver alone. */
static enum err put_small_mapped(struct outbox_hub *hub, struct outq *q,
                                 const struct packet_publish *packet)
{
    size_t head = encode_publish_head_size(packet->topic, packet->payload.n, packet->qos);
    uint8_t *p = outq_room(q, &hub->pool, head + packet->payload.n);

    if (!p)
        return ERR_NOMEM;
    (void)encode_publish_head(p, packet);
    if (packet->payload.n > 0)
        memcpy(p + head, packet->payload.p, packet->payload.n);
    outq_added(q, head + packet->payload.n);
    return ERR_OK;
}

/*
 * A large one: head and topic are copied, the payload is a slice of the kept message. Both are
 * queued in one step, which saves 430 of 1,560 instructions a delivery, and the chunk that each
 * head used to take.
 */
static enum err put_large(struct outbox_hub *hub, struct outq *q, struct publication *pub,
                          const struct packet_publish *p)
{
    struct str payload;
    size_t head;

    if (publication_keep(pub))
        return ERR_NOMEM;
    payload = message_payload(pub->message);
    head = encode_publish_head(hub->head, p);
    if (payload.n == 0) /* the topic is the larger part */
        return outq_copy(q, &hub->pool, hub->head, head);
    return outq_copy_and_slice(q, &hub->pool, str_of((const char *)hub->head, head),
                               &pub->message->blob, payload);
}

static enum err put_small(struct outbox_hub *hub, struct outq *q, struct publication *pub,
                          const struct outbox_publish *how)
{
    size_t n = publication_size(pub, how->qos);
    uint8_t *p = outq_room(q, &hub->pool, n);

    if (!p)
        return ERR_NOMEM;
    outbox_write(p, pub, how);
    outq_added(q, n);
    return ERR_OK;
}

static enum err put_publish(struct outbox_hub *hub, struct outbox *o, struct outq *q,
                            struct publication *pub, const struct outbox_publish *how)
{
    bool small = publication_is_small(pub, how->qos);
    struct packet_publish p;

    if (!o->map && small)
        return put_small(hub, q, pub, how);
    p = packet_of(hub, o, pub, how);
    /* Elsewhere a topic may be longer. */
    if (small &&
        encode_publish_head_size(p.topic, p.payload.n, p.qos) + p.payload.n <= OUTQ_CONTIGUOUS)
        return put_small_mapped(hub, q, &p);
    return put_large(hub, q, pub, &p);
}

enum err outbox_publish_special(struct outbox_hub *hub, struct outbox *o, struct publication *pub,
                                struct outbox_publish how)
{
    struct outq *q = o->shut ? NULL : lane_queue(hub, o, how.lane);
    size_t before;
    enum err e;

    if (!q)
        return o->shut ? ERR_CLOSED : ERR_NOMEM;
    before = q->bytes;
    e = put_publish(hub, o, q, pub, &how);
    lane_added(hub, o, q, q->bytes - before);
    if (!e)
        outbox_count_publish(hub, o, pub);
    return e;
}

void outbox_sent(struct outbox_hub *hub, struct outbox *o, size_t n)
{
    count_gone(hub, o, outbox_bytes(o), n);
    outq_drop(&o->ready, &hub->pool, n);
}

/* The stretches of this lane up to `turn` move to ready; false without memory: the rest moves next
 * time. */
static bool held_release(struct outbox_hub *hub, struct outbox *o, uint64_t turn)
{
    struct outbox_held *h = o->held;

    while (h->n > 0 && h->stretches[h->first].turn <= turn) {
        if (outq_move(&o->ready, &h->q, &hub->pool, h->stretches[h->first].bytes))
            return false;
        h->first++;
        h->n--;
        outbox_mark(hub, o);
    }
    if (h->n == 0)
        held_free(hub, o);
    return true;
}

void outbox_release(struct outbox_hub *hub, uint64_t turn)
{
    struct outbox_held *h = TAILQ_FIRST(&hub->waiting);

    while (h) {
        struct outbox_held *next = TAILQ_NEXT(h, entry);
        (void)held_release(hub, h->outbox, turn);
        h = next;
    }
}

void outbox_shut(struct outbox_hub *hub, struct outbox *o, bool all)
{
    o->shut = true;
    held_free(hub, o);
    if (!all)
        return;
    count_gone(hub, o, o->ready.bytes, o->ready.bytes);
    outq_clear(&o->ready, &hub->pool);
}

void outbox_clear(struct outbox_hub *hub, struct outbox *o)
{
    outbox_shut(hub, o, true);
    if (o->is_dirty)
        TAILQ_REMOVE(&hub->dirty, o, dirty);
    o->is_dirty = false;
}
