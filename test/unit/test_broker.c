/*
 * The broker through its door: connections come and go, and nobody costs more than he may.
 */
#include "core/broker.h"

#include "core/outbox.h"
#include "core/state.h"
#include "mqtt/decode.h"
#include "mqtt/encode.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- sessions --- */

static void session_present_is_told(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    rig_begin(&r, false);
    assert_false(rig_connect(&r, &c, "id", true));
    rig_forget(&c);
    assert_false(rig_connect(&r, &c, "id", false)); /* a clean one leaves nothing */
    rig_forget(&c);
    assert_true(rig_connect(&r, &c, "id", false));
    rig_forget(&c);
    assert_false(rig_connect(&r, &c, "id", true)); /* 3.1.2-6 */
    rig_forget(&c);
    assert_false(rig_connect(&r, &c, "id", false));
    rig_forget(&c);
    rig_end(&r);
}

static void a_session_keeps_subscriptions_and_messages(void **state)
{
    struct rig r;
    struct rig_client c;
    struct rig_client p;

    (void)state;
    rig_begin(&r, false);
    rig_connect(&r, &c, "absent", false);
    rig_subscribe(&c, "a/+", QOS_1);
    rig_forget(&c);
    rig_connect(&r, &p, "publisher", true);
    rig_publish(&p, "a/b", "first", QOS_1, 1);
    rig_publish(&p, "a/b", "QoS 0 is not kept", QOS_0, 0);
    rig_publish(&p, "a/c", "second", QOS_2, 2);
    rig_settle(&r);
    assert_int_equal(rig_expect(&p, PACKET_PUBACK), 1);
    assert_int_equal(rig_expect(&p, PACKET_PUBREC), 2);
    assert_true(rig_connect(&r, &c, "absent", false));
    rig_expect_publish(&c, "a/b", "first", QOS_1);
    rig_expect_publish(&c, "a/c", "second", QOS_1);
    rig_expect_nothing(&c);
    rig_forget(&c);
    rig_forget(&p);
    rig_end(&r);
}

static void who_connects_again_takes_over(void **state)
{
    struct rig r;
    struct rig_client old;
    struct rig_client c;
    struct rig_client p;

    (void)state;
    for (int clean = 0; clean < 2; clean++) {
        rig_begin(&r, false);
        rig_connect(&r, &old, "id", clean);
        rig_subscribe(&old, "t", QOS_1);
        assert_int_equal(rig_connect(&r, &c, "id", clean), !clean);
        rig_expect_closed(&old);
        rig_expect_nothing(&old);
        assert_int_equal(rig_logged(&r, "session taken over"), 1);
        rig_connect(&r, &p, "publisher", true);
        rig_publish(&p, "t", "x", QOS_1, 1);
        rig_settle(&r);
        if (!clean)
            rig_expect_publish(&c, "t", "x", QOS_1);
        rig_expect_nothing(&c);
        assert_int_equal(broker_stats(r.b)->sessions, 2);
        assert_int_equal(broker_stats(r.b)->connections, 2);
        rig_forget(&old);
        rig_forget(&c);
        rig_forget(&p);
        rig_end(&r);
    }
}

/* All in one turn: each is taken over by the next, and only the last stays. */
static void a_storm_of_takeovers_leaves_one(void **state)
{
    static struct rig_client clients[300];
    struct rig r;

    (void)state;
    rig_begin(&r, false);
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
        assert_true(rig_open(&r, &clients[i]));
        rig_send_connect(&clients[i], &(struct packet_connect){.client_id = STR("id"),
                                                               .level = PROTOCOL_311,
                                                               .clean_session = i % 3 == 0});
    }
    rig_settle(&r);
    unsigned open = 0;
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        open += clients[i].conn != NULL;
    assert_int_equal(open, 1);
    assert_int_equal(broker_stats(r.b)->sessions, 1);
    assert_int_equal(broker_stats(r.b)->sessions_connected, 1);
    rig_check(&r);
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        rig_forget(&clients[i]);
    rig_end(&r);
}

static void clients_without_an_id_get_one(void **state)
{
    struct rig r;
    struct rig_client a;
    struct rig_client b;

    (void)state;
    rig_setup(&r);
    r.listener.security.auto_id_prefix = (char[]){"auto-"};
    rig_start(&r);
    rig_connect(&r, &a, "", true);
    rig_connect(&r, &b, "", true);
    assert_int_equal(broker_stats(r.b)->sessions, 2);
    assert_int_equal(rig_logged(&r, "as auto-made-1 "), 1);
    assert_int_equal(rig_logged(&r, "as auto-made-2 "), 1);
    rig_forget(&a);
    rig_forget(&b);
    rig_end(&r);
}

/* --- wills --- */

enum ending {
    END_DISCONNECT,
    END_CLOSE,
    END_SOCKET,
    END_KEEPALIVE,
    END_PROTOCOL,
    END_BAD_DISCONNECT,
    END_TAKEOVER,
    END_STOP,
    ENDINGS
};

static void end_one(struct rig *r, struct rig_client *c, enum ending how)
{
    struct rig_client other;

    switch (how) {
    case END_DISCONNECT:
        rig_send_empty(c, PACKET_DISCONNECT);
        break;
    case END_CLOSE:
        rig_close(c);
        break;
    case END_SOCKET:
        broker_closed(r->b, c->conn, REASON_SOCKET, strerror(ECONNRESET));
        TAILQ_REMOVE(&r->clients, c, entry);
        c->conn = NULL;
        break;
    case END_KEEPALIVE:
        rig_pass(r, 16000);
        break;
    case END_PROTOCOL:
        rig_send(c, "\xf0\x00", 2);
        break;
    case END_BAD_DISCONNECT:
        rig_send(c, "\xe1\x00", 2);
        break;
    case END_TAKEOVER:
        rig_connect(r, &other, "mortal", true);
        rig_forget(&other);
        break;
    default:
        broker_stop(r->b, REASON_SHUTDOWN);
        break;
    }
    rig_settle(r);
}

static void a_will_is_published_unless_it_said_goodbye(void **state)
{
    (void)state;
    for (unsigned how = 0; how < ENDINGS; how++) {
        struct rig r;
        struct rig_client watcher;
        struct rig_client mortal;
        rig_begin(&r, false);
        rig_connect(&r, &watcher, "watcher", true);
        rig_subscribe(&watcher, "will/#", QOS_2);
        assert_true(rig_open(&r, &mortal));
        rig_send_connect(&mortal, &(struct packet_connect){.client_id = STR("mortal"),
                                                           .level = PROTOCOL_311,
                                                           .clean_session = true,
                                                           .keepalive_s = 10,
                                                           .has_will = true,
                                                           .will_qos = QOS_1,
                                                           .will_topic = STR("will/x"),
                                                           .will_payload = STR("gone")});
        rig_settle(&r);
        rig_expect_connack(&mortal, false, CONNACK_ACCEPTED);
        end_one(&r, &mortal, (enum ending)how);
        assert_null(mortal.conn);
        if (how != END_DISCONNECT)
            rig_expect_publish(&watcher, "will/x", "gone", QOS_1);
        rig_expect_nothing(&watcher);
        rig_forget(&mortal);
        rig_forget(&watcher);
        rig_end(&r);
    }
}

static void a_retained_will_stays(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    rig_begin(&r, false);
    assert_true(rig_open(&r, &c));
    rig_send_connect(&c, &(struct packet_connect){.client_id = STR("mortal"),
                                                  .level = PROTOCOL_31,
                                                  .clean_session = true,
                                                  .has_will = true,
                                                  .will_retain = true,
                                                  .will_topic = STR("will"),
                                                  .will_payload = STR("gone")});
    rig_settle(&r);
    rig_forget(&c);
    rig_connect(&r, &c, "later", true);
    rig_subscribe(&c, "#", QOS_2);
    assert_true(rig_expect_publish(&c, "will", "gone", QOS_0).retain);
    rig_forget(&c);
    rig_end(&r);
}

/* A will for its own session, which is persistent, waits for it there. */
static void a_will_reaches_its_own_session(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    rig_begin(&r, false);
    assert_true(rig_open(&r, &c));
    rig_send_connect(&c, &(struct packet_connect){.client_id = STR("id"),
                                                  .level = PROTOCOL_311,
                                                  .has_will = true,
                                                  .will_qos = QOS_1,
                                                  .will_topic = STR("will"),
                                                  .will_payload = STR("gone")});
    rig_settle(&r);
    rig_expect_connack(&c, false, CONNACK_ACCEPTED);
    rig_subscribe(&c, "will", QOS_1);
    rig_forget(&c);
    assert_true(rig_connect(&r, &c, "id", false));
    rig_expect_publish(&c, "will", "gone", QOS_1);
    rig_forget(&c);
    rig_end(&r);
}

/* --- time --- */

static void connect_with_keepalive(struct rig *r, struct rig_client *c, uint16_t seconds)
{
    assert_true(rig_open(r, c));
    rig_send_connect(c, &(struct packet_connect){.client_id = STR("id"),
                                                 .level = PROTOCOL_311,
                                                 .clean_session = true,
                                                 .keepalive_s = seconds});
    rig_settle(r);
    rig_expect_connack(c, false, CONNACK_ACCEPTED);
}

static void silence_ends_a_connection_after_one_and_a_half_keepalives(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    rig_begin(&r, false);
    connect_with_keepalive(&r, &c, 10);
    for (unsigned i = 0; i < 5; i++) {
        rig_pass(&r, 14900);
        assert_non_null(c.conn);
        rig_send_empty(&c, PACKET_PINGREQ);
        rig_settle(&r);
        assert_int_equal(rig_expect(&c, PACKET_PINGRESP), 0);
    }
    assert_true(r.next <= r.now.mono_ms + 15000); /* the broker asks to be woken */
    rig_pass(&r, 14900);
    assert_non_null(c.conn);
    rig_pass(&r, 200);
    assert_null(c.conn);
    assert_int_equal(rig_logged(&r, "Client id [127.0.0.1:4000] disconnected:"), 1);
    rig_forget(&c);
    rig_end(&r);
}

static void without_keepalive_silence_is_no_end(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    rig_begin(&r, false);
    connect_with_keepalive(&r, &c, 0);
    rig_pass(&r, UINT64_C(400) * 24 * 3600 * 1000);
    assert_non_null(c.conn);
    assert_true(r.next == UINT64_MAX);
    rig_forget(&c);
    connect_with_keepalive(&r, &c, UINT16_MAX);
    rig_pass(&r, UINT16_MAX * 1500u - 1000);
    assert_non_null(c.conn);
    rig_pass(&r, 2000);
    assert_null(c.conn);
    rig_forget(&c);
    rig_end(&r);
}

static void a_connect_is_due_in_thirty_seconds_however_it_drips(void **state)
{
    struct rig r;
    struct rig_client silent;
    struct rig_client slow;

    (void)state;
    rig_begin(&r, false);
    assert_true(rig_open(&r, &silent));
    assert_true(rig_open(&r, &slow));
    rig_send(&slow, "\x10\x7f\x00\x04MQTT\x04\x02\x00\x00\x00\x71", 14);
    for (unsigned s = 0; s < 29; s++) {
        rig_pass(&r, 1000);
        assert_non_null(silent.conn);
        assert_non_null(slow.conn);
        rig_send(&slow, "x", 1);
    }
    rig_pass(&r, 1500);
    assert_null(silent.conn);
    assert_null(slow.conn);
    rig_forget(&silent);
    rig_forget(&slow);
    rig_end(&r);
}

/* The time before broker_open counts. */
static void the_time_for_connect_begins_at_accept(void **state)
{
    struct rig r;
    struct peer peer = {.family = 4, .listener = &r.listener};

    (void)state;
    rig_begin(&r, false);
    rig_pass(&r, 50000);
    peer.accept_ms = (uint32_t)(r.now.mono_ms - 29000);
    struct conn *c = broker_open(r.b, &peer, NULL);
    assert_non_null(c);
    broker_tick(r.b, (struct now){.mono_ms = r.now.mono_ms + 1000, .wall_s = r.now.wall_s});
    (void)broker_work(r.b);
    assert_true(broker_take_dirty(r.b) == c);
    assert_int_equal(broker_wish(r.b, c), WISH_CLOSE);
    broker_closed(r.b, c, REASON_OK, NULL);
    rig_end(&r);
}

/* --- a flood --- */

#define FLOODERS 2200

/*
 * Everybody's byte is a read call, and every other one a ping to be answered: there is always more
 * to be read than one turn can afford, and nobody is ever cut short.
 */
static void flood_begin(struct rig *r, struct rig_client *flooders)
{
    for (size_t i = 0; i < FLOODERS; i++) {
        char id[16];
        (void)snprintf(id, sizeof(id), "flood%zu", i);
        rig_connect(r, &flooders[i], id, true);
    }
    r->max_read = 1;
}

static void flood_turn(struct rig *r, struct rig_client *flooders)
{
    bool somebody_waits = false;

    for (size_t i = 0; i < FLOODERS; i++)
        rig_send_empty(&flooders[i], PACKET_PINGREQ);
    rig_turn(r);
    for (size_t i = 0; i < FLOODERS; i++)
        somebody_waits |= flooders[i].reads == 0;
    assert_true(somebody_waits);
}

static void flood_end(struct rig_client *flooders)
{
    for (size_t i = 0; i < FLOODERS; i++)
        rig_forget(&flooders[i]);
}

static void silence_is_noticed_under_a_flood(void **state)
{
    static struct rig_client flooders[FLOODERS];
    struct rig r;
    struct rig_client c;

    (void)state;
    rig_begin(&r, false);
    connect_with_keepalive(&r, &c, 10);
    flood_begin(&r, flooders);
    for (unsigned i = 0; i < 10; i++)
        flood_turn(&r, flooders);
    assert_non_null(c.conn);
    r.now.mono_ms += 15100;
    for (unsigned i = 0; i < 3; i++)
        flood_turn(&r, flooders);
    assert_null(c.conn);
    assert_int_equal(rig_logged(&r, "Client id [127.0.0.1:4000] disconnected: exceeded"), 1);
    flood_end(flooders);
    rig_forget(&c);
    rig_end(&r);
}

static void a_queue_goes_on_under_a_flood(void **state)
{
    static struct rig_client flooders[FLOODERS];
    static char payload[4096];
    struct rig r;
    struct rig_client c;
    struct rig_client p;

    (void)state;
    memset(payload, 'x', sizeof(payload) - 1);
    rig_setup(&r);
    r.conf.global.max_inflight_messages = 0;
    rig_start(&r);
    rig_connect(&r, &c, "reader", false);
    rig_subscribe(&c, "t", QOS_1);
    rig_forget(&c);
    rig_connect(&r, &p, "publisher", true);
    for (uint16_t id = 1; id <= 200; id++)
        rig_publish(&p, "t", payload, QOS_1, id);
    rig_settle(&r);
    flood_begin(&r, flooders);
    rig_open(&r, &c);
    rig_send_connect(&c,
                     &(struct packet_connect){.client_id = STR("reader"), .level = PROTOCOL_311});
    c.window = 0; /* until the flood is there, it has only what fits into its output */
    for (unsigned i = 0; i < 40; i++)
        rig_turn(&r);
    assert_true(c.received == 0);
    c.window = SIZE_MAX;
    for (unsigned i = 0; i < 20; i++)
        flood_turn(&r, flooders);
    rig_expect_connack(&c, true, CONNACK_ACCEPTED);
    assert_int_equal(rig_drain(&c), 200);
    flood_end(flooders);
    rig_forget(&c);
    rig_forget(&p);
    rig_end(&r);
}

/* --- who does not read --- */

static void who_pings_and_never_reads_is_paused(void **state)
{
    static uint8_t pings[64 * 1024];
    struct rig r;
    struct rig_client c;
    size_t sent = 0;

    (void)state;
    unit_needs_tracking();
    for (size_t i = 0; i < sizeof(pings); i += 2)
        memcpy(pings + i, "\xc0", 2);
    rig_begin(&r, false);
    rig_connect(&r, &c, "deaf", true);
    c.window = 0;
    size_t used = mem_used();
    for (unsigned i = 0; i < 400; i++) {
        rig_send(&c, pings, sizeof(pings));
        sent += sizeof(pings);
        rig_turn(&r);
        rig_turn(&r);
        assert_true(mem_used() - used < OUTBOX_PAUSE + 512 * 1024);
    }
    assert_int_equal(broker_wish(r.b, c.conn), WISH_PAUSE);
    assert_true(c.out.n - c.out.at > 10 * 1024 * 1024); /* left unread */
    rig_check(&r);
    c.window = SIZE_MAX;
    rig_settle(&r);
    assert_int_equal(c.out.n - c.out.at, 0);
    assert_int_equal(c.in.n - c.in.at, sent); /* each was answered in the end */
    assert_int_equal(broker_wish(r.b, c.conn), WISH_READ);
    rig_forget(&c);
    rig_end(&r);
}

/* Its silence is its own fault: paused for output, keepalive goes on. */
static void who_is_paused_for_not_reading_is_not_spared(void **state)
{
    static uint8_t pings[64 * 1024];
    struct rig r;
    struct rig_client c;

    (void)state;
    for (size_t i = 0; i < sizeof(pings); i += 2)
        memcpy(pings + i, "\xc0", 2);
    rig_begin(&r, false);
    connect_with_keepalive(&r, &c, 10);
    c.window = 0;
    for (unsigned i = 0; i < 200; i++) {
        rig_send(&c, pings, sizeof(pings));
        rig_turn(&r);
    }
    assert_int_equal(broker_wish(r.b, c.conn), WISH_PAUSE);
    rig_pass(&r, 15001);
    rig_turn(&r);
    assert_null(c.conn);
    rig_forget(&c);
    rig_end(&r);
}

static void qos0_to_who_does_not_read_is_bounded_and_logged_once(void **state)
{
    static char payload[1001];
    struct rig r;
    struct rig_client deaf;
    struct rig_client good;
    struct rig_client p;
    const unsigned n = 6000;
    size_t got = 0;

    (void)state;
    unit_needs_tracking();
    memset(payload, 'x', sizeof(payload) - 1);
    rig_begin(&r, false);
    rig_connect(&r, &deaf, "deaf", true);
    rig_connect(&r, &good, "good", true);
    rig_connect(&r, &p, "publisher", true);
    rig_subscribe(&deaf, "t", QOS_0);
    rig_subscribe(&good, "t", QOS_0);
    deaf.window = 0;
    size_t used = mem_used();
    for (unsigned i = 0; i < n; i++) {
        rig_publish(&p, "t", payload, QOS_0, 0);
        if (i % 50 == 49)
            rig_turn(&r);
        assert_true(mem_used() - used < OUTBOX_MAX + 2 * 1024 * 1024);
    }
    rig_settle(&r);
    assert_int_equal(rig_drain(&good), n);
    uint64_t dropped = broker_stats(r.b)->publish_dropped;
    assert_true(dropped > n / 2);
    assert_int_equal(rig_logged(&r, "Outgoing messages are being dropped for client deaf"), 1);
    assert_int_equal(rig_logged(&r, "client good"), 0);
    deaf.window = SIZE_MAX;
    rig_settle(&r);
    got = rig_drain(&deaf);
    assert_int_equal(got + dropped, n);
    assert_true(got * 1000 > OUTBOX_MAX * 9 / 10);
    rig_publish(&p, "t", payload, QOS_0, 0); /* the episode is over … */
    rig_settle(&r);
    assert_int_equal(rig_drain(&deaf), 1);
    assert_int_equal(rig_logged(&r, "for client deaf [127.0.0.1:4000] are accepted again"), 1);
    deaf.window = 0; /* … and the next one is told again */
    for (unsigned i = 0; i < n; i++) {
        rig_publish(&p, "t", payload, QOS_0, 0);
        if (i % 50 == 49)
            rig_turn(&r);
    }
    rig_settle(&r);
    assert_int_equal(rig_logged(&r, "Outgoing messages are being dropped for client deaf"), 2);
    rig_forget(&deaf);
    rig_forget(&good);
    rig_forget(&p);
    rig_end(&r);
}

/* --- fairness --- */

/* Two who talk to each other, while others keep the broker busy. */
struct pair {
    struct rig_client from;
    struct rig_client to;
    unsigned sent;
    unsigned got;
    unsigned late; /* messages under way, at most */
};

static void pair_begin(struct rig *r, struct pair *p)
{
    memset(p, 0, sizeof(*p));
    rig_connect(r, &p->from, "from", true);
    rig_connect(r, &p->to, "to", true);
    rig_subscribe(&p->to, "pair", QOS_0);
}

/* One turn, with a message of theirs. */
static void pair_turn(struct rig *r, struct pair *p)
{
    rig_publish(&p->from, "pair", "x", QOS_0, 0);
    p->sent++;
    rig_turn(r);
    p->got += (unsigned)rig_drain(&p->to);
    if (p->sent - p->got > p->late)
        p->late = p->sent - p->got;
}

static void pair_end(struct rig *r, struct pair *p)
{
    rig_settle(r);
    p->got += (unsigned)rig_drain(&p->to);
    assert_int_equal(p->got, p->sent);
    assert_true(p->late <= 2);
    rig_forget(&p->from);
    rig_forget(&p->to);
}

#define MANY 200000

/* One SUBSCRIBE or UNSUBSCRIBE with very many filters. */
static void send_many_filters(struct rig_client *c, enum packet_type type)
{
    struct str *filters = calloc(MANY, sizeof(*filters));
    enum qos *qos = calloc(MANY, sizeof(*qos));
    char *texts = malloc((size_t)MANY * 10);
    uint8_t *out;

    assert_non_null(filters);
    assert_non_null(qos);
    assert_non_null(texts);
    for (unsigned i = 0; i < MANY; i++)
        filters[i] =
            str_of(texts + (size_t)10 * i, (size_t)snprintf(texts + (size_t)10 * i, 10, "m/%u", i));
    out = malloc(encode_subscribe_size(filters, MANY));
    assert_non_null(out);
    rig_send(c, out,
             type == PACKET_SUBSCRIBE ? encode_subscribe(out, 7, filters, qos, MANY)
                                      : encode_unsubscribe(out, 8, filters, MANY));
    free(out);
    free(texts);
    free(qos);
    free(filters);
}

/* The most that the number of subscriptions may change in one turn. */
#define FILTERS_A_TURN (2 * WORK_TURN / WORK_SUBSCRIBE)

/* Turns until there are `target` subscriptions; each changes no more than it may. */
static unsigned turns_until(struct rig *r, struct pair *p, uint64_t target)
{
    unsigned turns = 0;

    while (broker_stats(r->b)->subscriptions != target) {
        uint64_t before = broker_stats(r->b)->subscriptions;
        pair_turn(r, p);
        uint64_t after = broker_stats(r->b)->subscriptions;
        uint64_t change = after > before ? after - before : before - after;
        assert_true(change <= FILTERS_A_TURN);
        if (++turns > 3000)
            fail_msg("%llu subscriptions after 3000 turns", (unsigned long long)after);
    }
    return turns;
}

static void many_filters_are_worked_off_over_many_turns(void **state)
{
    struct rig r;
    struct rig_client c;
    struct pair p;
    struct frame f;
    struct str codes;
    uint16_t id;

    (void)state;
    rig_begin(&r, false);
    pair_begin(&r, &p);
    rig_connect(&r, &c, "many", true);
    send_many_filters(&c, PACKET_SUBSCRIBE);
    assert_true(turns_until(&r, &p, MANY + 1) > MANY / FILTERS_A_TURN);
    rig_settle(&r);
    assert_true(rig_next(&c, &f));
    assert_int_equal(decode_suback(&f, &id, &codes), REASON_OK);
    assert_int_equal(id, 7);
    assert_int_equal(codes.n, MANY);
    rig_publish(&p.from, "m/12345", "found", QOS_0, 0);
    rig_settle(&r);
    rig_expect_publish(&c, "m/12345", "found", QOS_0);
    send_many_filters(&c, PACKET_UNSUBSCRIBE);
    assert_true(turns_until(&r, &p, 1) > MANY / FILTERS_A_TURN);
    rig_settle(&r);
    assert_int_equal(rig_expect(&c, PACKET_UNSUBACK), 8);
    pair_end(&r, &p);
    rig_forget(&c);
    rig_end(&r);
}

static void a_session_with_many_subscriptions_ends_over_many_turns(void **state)
{
    struct rig r;
    struct rig_client c;
    struct pair p;

    (void)state;
    unit_needs_tracking();
    rig_begin(&r, false);
    pair_begin(&r, &p);
    size_t used = mem_used();
    rig_connect(&r, &c, "many", true);
    send_many_filters(&c, PACKET_SUBSCRIBE);
    rig_settle(&r);
    assert_int_equal(broker_stats(r.b)->subscriptions, MANY + 1);
    rig_forget(&c);
    assert_int_equal(broker_stats(r.b)->sessions, 2); /* its name is free at once */
    assert_false(rig_connect(&r, &c, "many", true));
    rig_subscribe(&c, "m/1", QOS_1);
    rig_forget(&c);
    assert_true(turns_until(&r, &p, 1) < 3000);
    pair_end(&r, &p);
    rig_settle(&r);
    assert_true(mem_used() < used + 1024 * 1024);
    rig_end(&r);
}

/* Cut off in the middle of its SUBSCRIBE. */
static void a_client_may_go_while_its_packet_is_worked_off(void **state)
{
    struct rig r;
    struct rig_client c;

    (void)state;
    rig_begin(&r, false);
    rig_connect(&r, &c, "many", false);
    send_many_filters(&c, PACKET_SUBSCRIBE);
    while (broker_stats(r.b)->subscriptions < 5000)
        rig_turn(&r);
    rig_forget(&c);
    uint64_t n = broker_stats(r.b)->subscriptions;
    assert_true(n < MANY);
    rig_settle(&r);
    assert_int_equal(broker_stats(r.b)->subscriptions, n);
    rig_check(&r);
    assert_true(rig_connect(&r, &c, "many", false));
    rig_forget(&c);
    rig_end(&r);
}

/* So many publications were worked off in the busiest turn, when a client sends as many as it can.
 */
static unsigned busiest_turn(struct rig *r)
{
    struct rig_client p;
    unsigned most = 0;

    rig_connect(r, &p, "flood", true);
    for (unsigned i = 0; i < 6000; i++)
        rig_publish(&p, "t", "", QOS_0, 0);
    for (unsigned i = 0; i < 10; i++) {
        uint64_t before = broker_stats(r->b)->publish_received;
        rig_turn(r);
        uint64_t n = broker_stats(r->b)->publish_received - before;
        most = n > most ? (unsigned)n : most;
    }
    rig_forget(&p);
    return most;
}

/* A receiver that gets nothing has been looked at all the same: that is work too. */
#define LOOKS_A_TURN (10 * WORK_TURN)

static void looking_at_absent_subscribers_is_work(void **state)
{
    const unsigned n = 3000;
    struct rig r;
    struct rig_client c;
    char id[16];

    (void)state;
    rig_begin(&r, false);
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(id, sizeof(id), "absent-%u", i);
        rig_connect(&r, &c, id, false);
        rig_subscribe(&c, "t", QOS_1);
        rig_forget(&c);
    }
    assert_true(busiest_turn(&r) * n <= LOOKS_A_TURN);
    rig_end(&r);
}

/* More than so many groups of one filter are refused: each publication looks at all of them. */
#define GROUPS_MOST 1000

static void groups_of_one_filter_are_bounded_and_work(void **state)
{
    struct rig r;
    struct rig_client c;
    char filter[32];

    (void)state;
    rig_begin(&r, false);
    rig_connect(&r, &c, "sharer", true);
    for (unsigned i = 0; i < GROUPS_MOST; i++) {
        (void)snprintf(filter, sizeof(filter), "$share/g%u/t", i);
        rig_subscribe(&c, filter, QOS_0);
    }
    for (unsigned i = GROUPS_MOST; i < GROUPS_MOST + 5; i++) {
        (void)snprintf(filter, sizeof(filter), "$share/g%u/t", i);
        rig_send_subscribe(&c, 1, filter, QOS_0);
        rig_settle(&r);
        struct frame f;
        assert_true(rig_next(&c, &f));
        assert_int_equal(frame_type(&f), PACKET_SUBACK);
        assert_int_equal((uint8_t)f.body.p[2], SUBACK_FAILURE);
    }
    assert_int_equal(broker_stats(r.b)->shared_subscriptions, GROUPS_MOST);
    assert_true(busiest_turn(&r) * GROUPS_MOST <= LOOKS_A_TURN);
    rig_forget(&c);
    rig_settle(&r);
    rig_end(&r);
}

/* Filters through which a topic finds very many nodes, and hardly a subscriber. */
static void subscribe_exploding(struct rig *r, struct rig_client *c)
{
    char filter[64];

    rig_connect(r, c, "exploding", true);
    for (unsigned i = 0; i < 1u << 15; i++) {
        for (unsigned k = 0; k < 15; k++)
            memcpy(filter + 2 * k, i >> k & 1 ? "+/" : "a/", 2);
        (void)snprintf(filter + 30, sizeof(filter) - 30, "end");
        rig_send_subscribe(c, 1, filter, QOS_0);
    }
    rig_settle(r);
    (void)rig_drain(c);
}

#define EXPLODING_MISS "a/a/a/a/a/a/a/a/a/a/a/a/a/a/a/miss"
#define EXPLODING_HIT "a/b/a/b/a/b/a/b/a/b/a/b/a/b/a/end"

static void a_search_through_many_nodes_does_not_stop_the_others(void **state)
{
    struct rig r;
    struct rig_client c;
    struct rig_client bad;
    struct pair p;

    (void)state;
    rig_begin(&r, false);
    pair_begin(&r, &p);
    subscribe_exploding(&r, &c);
    rig_connect(&r, &bad, "bad", true);
    for (unsigned i = 0; i < 50; i++)
        rig_publish(&bad, EXPLODING_MISS, "x", QOS_2, (uint16_t)(i + 1));
    rig_publish(&bad, EXPLODING_HIT, "hit", QOS_0, 0);
    for (unsigned i = 0; i < 200; i++)
        pair_turn(&r, &p);
    rig_settle(&r);
    for (unsigned i = 0; i < 50; i++)
        assert_int_equal(rig_expect(&bad, PACKET_PUBREC), i + 1);
    rig_expect_publish(&c, EXPLODING_HIT, "hit", QOS_0);
    rig_expect_nothing(&c);
    for (unsigned i = 0; i < 3; i++) /* and one whose search is never finished */
        rig_publish(&bad, EXPLODING_MISS, "x", QOS_1, 9);
    rig_turn(&r);
    rig_forget(&bad);
    rig_forget(&c);
    pair_end(&r, &p);
    rig_settle(&r);
    rig_end(&r);
}

/* The rules change while a packet is being worked off: it is finished, once. */
static void a_reload_does_not_confuse_a_search(void **state)
{
    struct rig r;
    struct rig_client c;
    struct rig_client p;
    struct conf conf;

    (void)state;
    rig_begin(&r, false);
    subscribe_exploding(&r, &c);
    rig_connect(&r, &p, "publisher", true);
    rig_publish(&p, EXPLODING_MISS, "above the new limit", QOS_1, 1);
    rig_publish(&p, "other", "x", QOS_1, 2);
    rig_turn(&r);
    rig_expect_nothing(&p);
    conf = r.conf;
    conf.global.message_size_limit = 5;
    assert_ok(broker_prepare(r.b, &conf));
    broker_commit(r.b);
    rig_settle(&r);
    assert_int_equal(rig_expect(&p, PACKET_PUBACK), 1);
    assert_int_equal(rig_expect(&p, PACKET_PUBACK), 2);
    assert_int_equal(broker_stats(r.b)->publish_received, 2);
    rig_forget(&p);
    rig_forget(&c);
    rig_settle(&r);
    rig_end(&r);
}

/* --- retained messages for a new subscriber --- */

static void retain_many(struct rig *r, unsigned n, enum qos qos)
{
    struct rig_client p;
    char topic[32];

    rig_connect(r, &p, "retainer", true);
    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(topic, sizeof(topic), "r/%u/%u", i % 100, i);
        rig_retain(&p, topic, topic, qos, qos ? (uint16_t)(i % 65535 + 1) : 0);
    }
    rig_settle(r);
    rig_forget(&p);
    assert_int_equal(broker_stats(r->b)->retained, n);
}

/* Take what has come; each topic at most once, with its payload and RETAIN. */
static unsigned take_retained(struct rig_client *c, uint8_t *seen, unsigned n)
{
    unsigned got = 0;
    struct frame f;

    while (rig_next(c, &f)) {
        struct packet_publish p;
        char topic[32];
        unsigned a;
        unsigned i;
        if (frame_type(&f) != PACKET_PUBLISH)
            continue;
        assert_int_equal(decode_publish(&f, &p), REASON_OK);
        if (str_eq_c(p.topic, "pair"))
            continue;
        assert_true(p.retain);
        assert_true(str_eq(p.topic, p.payload));
        (void)snprintf(topic, sizeof(topic), "%.*s", STR_ARG(p.topic));
        assert_int_equal(sscanf(topic, "r/%u/%u", &a, &i), 2);
        assert_true(i < n);
        assert_int_equal(seen[i]++, 0);
        got++;
        if (p.qos)
            rig_send_ack(c, PACKET_PUBACK, p.id);
    }
    return got;
}

static void a_reader_is_given_every_retained_message(void **state)
{
    static const enum qos levels[] = {QOS_0, QOS_1};
    static const unsigned counts[] = {100000, 20000};

    (void)state;
    unit_needs_tracking();
    for (size_t q = 0; q < ARRAY_SIZE(levels); q++) {
        unsigned n = counts[q];
        uint8_t *seen = calloc(n, 1);
        struct rig r;
        struct rig_client c;
        struct pair p;
        unsigned got = 0;
        assert_non_null(seen);
        rig_begin(&r, false);
        retain_many(&r, n, levels[q]);
        pair_begin(&r, &p);
        rig_connect(&r, &c, "reader", true);
        c.window = 20000;
        size_t used = mem_used();
        rig_send_subscribe(&c, 1, "#", levels[q]);
        for (unsigned turn = 0; got < n; turn++) {
            pair_turn(&r, &p);
            got += take_retained(&c, seen, n);
            assert_true(mem_used() < used + 512 * 1024);
            if (turn > 10000)
                fail_msg("%u of %u retained messages after %u turns", got, n, turn);
        }
        pair_end(&r, &p);
        assert_int_equal(take_retained(&c, seen, n), 0);
        rig_forget(&c);
        rig_end(&r);
        free(seen);
    }
}

/* Who does not read costs a cursor and a bounded queue, and gets the rest when he reads again. */
static void a_feed_waits_for_its_reader(void **state)
{
    const unsigned n = 20000;
    uint8_t *seen = calloc(n, 1);
    struct rig r;
    struct rig_client c;
    unsigned got = 0;

    (void)state;
    unit_needs_tracking();
    assert_non_null(seen);
    rig_begin(&r, false);
    retain_many(&r, n, QOS_0);
    rig_connect(&r, &c, "reader", true);
    c.window = 0;
    size_t used = mem_used();
    rig_send_subscribe(&c, 1, "r/#", QOS_0);
    for (unsigned i = 0; i < 100; i++)
        rig_turn(&r);
    assert_true(mem_used() < used + 2 * OUTBOX_PUMP);
    assert_true(r.next != 0); /* waiting costs no turns */
    c.window = SIZE_MAX;
    rig_settle(&r);
    got = take_retained(&c, seen, n);
    assert_int_equal(got, n);
    assert_int_equal(broker_stats(r.b)->publish_dropped, 0);
    rig_forget(&c);
    rig_end(&r);
    free(seen);
}

/* --- large packets --- */

static void memory_grows_with_what_came(void **state)
{
    const size_t size = 5u * 1024 * 1024;
    char *payload = malloc(size);
    struct rig r;
    struct rig_client p;
    struct rig_client c;
    struct frame f;
    struct packet_publish got;

    (void)state;
    unit_needs_tracking();
    assert_non_null(payload);
    for (size_t i = 0; i < size; i++)
        payload[i] = (char)(i * 31 + i / 1000);
    rig_begin(&r, false);
    rig_connect(&r, &c, "subscriber", true);
    rig_subscribe(&c, "large", QOS_1);
    rig_connect(&r, &p, "publisher", true);
    size_t used = mem_used();
    r.max_read = 30000;
    rig_send_publish(
        &p, &(struct packet_publish){
                .topic = STR("large"), .payload = str_of(payload, size), .qos = QOS_1, .id = 1});
    for (size_t came = 0; p.out.at < p.out.n; came = p.out.at) {
        rig_turn(&r);
        assert_true(p.out.at > came);
        if (p.out.at < p.out.n)
            assert_true(mem_used() - used <= 2 * p.out.at + SHARED_INPUT);
    }
    rig_settle(&r);
    assert_int_equal(rig_expect(&p, PACKET_PUBACK), 1);
    assert_true(rig_next(&c, &f));
    assert_int_equal(decode_publish(&f, &got), REASON_OK);
    assert_true(str_eq(got.payload, str_of(payload, size)));
    rig_send_ack(&c, PACKET_PUBACK, got.id);
    rig_publish(&p, "large", "small again", QOS_0, 0);
    rig_settle(&r);
    rig_expect_publish(&c, "large", "small again", QOS_0);
    assert_true(mem_used() < used + 512 * 1024);
    rig_forget(&p);
    rig_forget(&c);
    rig_end(&r);
    free(payload);
}

/* Five bytes that promise much must not cost much, nor should the first byte behind them. */
static void a_promise_costs_nothing(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        bool connected;
    } promises[] = {
        {"\x10\x80\x8d\x06", 4, false},             /* a CONNECT of nearly 100,000 bytes */
        {"\x10\x80\x8d\x06\x00", 5, false},         /* … and its first byte */
        {"\x30\xff\xff\xff\x7f", 5, true},          /* a PUBLISH of 256 MiB */
        {"\x30\xff\xff\xff\x7f\x00\x01t", 8, true}, /* … and its topic */
    };
    const unsigned n = 1000;
    struct rig_client *clients = calloc(n, sizeof(*clients));
    char id[16];

    (void)state;
    unit_needs_tracking();
    assert_non_null(clients);
    for (size_t k = 0; k < ARRAY_SIZE(promises); k++) {
        struct rig r;
        rig_begin(&r, false);
        for (unsigned i = 0; i < n; i++) {
            (void)snprintf(id, sizeof(id), "client-%u", i);
            if (promises[k].connected)
                rig_connect(&r, &clients[i], id, true);
            else
                assert_true(rig_open(&r, &clients[i]));
        }
        size_t used = mem_used();
        for (unsigned i = 0; i < n; i++)
            rig_send(&clients[i], promises[k].bytes, promises[k].n);
        rig_settle(&r);
        for (unsigned i = 0; i < n; i++) { /* one byte more, in a read of its own */
            assert_non_null(clients[i].conn);
            rig_send(&clients[i], "x", 1);
        }
        rig_settle(&r);
        size_t each = (mem_used() - used) / n;
        if (each > 8192)
            fail_msg("%zu bytes of a promise cost %zu", promises[k].n + 1, each);
        for (unsigned i = 0; i < n; i++)
            rig_forget(&clients[i]);
        rig_end(&r);
    }
    free(clients);
}

/* --- storage --- */

static void a_storage_pause_holds_back_publishers(void **state)
{
    struct rig r;
    struct rig_client c;
    struct rig_client p;

    (void)state;
    rig_begin(&r, true);
    rig_connect(&r, &c, "subscriber", true);
    rig_subscribe(&c, "t", QOS_1);
    connect_with_keepalive(&r, &p, 10);
    broker_storage_pause(r.b, true);
    rig_publish(&p, "t", "QoS 0 stores nothing", QOS_0, 0);
    rig_publish(&p, "t", "waits", QOS_1, 1);
    rig_publish(&p, "t", "behind", QOS_0, 0);
    rig_settle(&r);
    rig_expect_publish(&c, "t", "QoS 0 stores nothing", QOS_0);
    rig_expect_nothing(&c);
    rig_expect_nothing(&p);
    assert_int_equal(broker_wish(r.b, p.conn), WISH_PAUSE);
    rig_pass(&r, 60000); /* we do not listen: its silence proves nothing */
    rig_pass(&r, 60000);
    assert_non_null(p.conn);
    broker_storage_pause(r.b, false);
    rig_settle(&r);
    assert_int_equal(rig_expect(&p, PACKET_PUBACK), 1);
    rig_expect_publish(&c, "t", "waits", QOS_1);
    rig_expect_publish(&c, "t", "behind", QOS_0);
    assert_int_equal(broker_wish(r.b, p.conn), WISH_READ);
    rig_forget(&p);
    rig_forget(&c);
    rig_end(&r);
}

/* --- configuration, the end --- */

static void another_configuration_is_taken(void **state)
{
    struct rig r;
    struct rig_client p;
    struct rig_client c;
    struct conf_listener listener = {.refs = 1,
                                     .port = 1883,
                                     .max_connections = -1,
                                     .max_qos = 1,
                                     .security.allow_anonymous = true};
    struct conf conf;

    (void)state;
    rig_begin(&r, false);
    rig_connect(&r, &p, "publisher", true);
    rig_connect(&r, &c, "subscriber", false);
    rig_subscribe(&c, "t", QOS_1);
    rig_close(&c);
    conf = r.conf;
    conf.listeners = (struct conf_listener *[]){&listener};
    conf.global.max_queued_messages = 2;
    assert_ok(broker_prepare(r.b, &conf));
    rig_publish(&p, "t", "old rules", QOS_2, 1);
    rig_settle(&r);
    assert_int_equal(rig_expect(&p, PACKET_PUBREC), 1);
    broker_commit(r.b);
    for (uint16_t id = 2; id < 6; id++)
        rig_publish(&p, "t", "new rules", QOS_1, id);
    rig_settle(&r);
    for (uint16_t id = 2; id < 6; id++)
        assert_int_equal(rig_expect(&p, PACKET_PUBACK), id);
    assert_int_equal(broker_stats(r.b)->publish_dropped, 3);
    rig_publish(&p, "t", "above max_qos", QOS_2, 9);
    rig_settle(&r);
    rig_expect_closed(&p);
    rig_forget(&p);
    rig_forget(&c);
    rig_end(&r);
}

static void a_broker_is_freed_whatever_is_in_it(void **state)
{
    struct rig r;
    struct rig_client a;
    struct rig_client b;
    struct rig_client half;

    (void)state;
    rig_begin(&r, true);
    connect_with_keepalive(&r, &a, 10);
    rig_subscribe(&a, "t/#", QOS_2);
    rig_connect(&r, &b, "b", false);
    rig_subscribe(&b, "$share/g/t/#", QOS_1);
    assert_true(rig_open(&r, &half));
    rig_send(&half, "\x10\x30", 2);
    a.window = 0;
    r.hold = true;
    rig_retain(&b, "t/1", "x", QOS_2, 5);
    rig_send(&b, "\x82\xff\x7f", 3);
    for (unsigned i = 0; i < 5; i++)
        rig_turn(&r);
    rig_check(&r);
    TAILQ_REMOVE(&r.clients, &a, entry);
    TAILQ_REMOVE(&r.clients, &b, entry);
    TAILQ_REMOVE(&r.clients, &half, entry);
    a.conn = b.conn = half.conn = NULL;
    rig_forget(&a);
    rig_forget(&b);
    rig_forget(&half);
    rig_end(&r);
}

static void stopping_ends_every_connection(void **state)
{
    struct rig r;
    struct rig_client c[3];

    (void)state;
    rig_begin(&r, true);
    rig_connect(&r, &c[0], "clean", true);
    rig_connect(&r, &c[1], "persistent", false);
    rig_subscribe(&c[1], "t", QOS_1);
    assert_true(rig_open(&r, &c[2]));
    broker_stop(r.b, REASON_SHUTDOWN);
    rig_settle(&r);
    for (size_t i = 0; i < 3; i++)
        rig_expect_closed(&c[i]);
    assert_int_equal(broker_stats(r.b)->connections, 0);
    assert_int_equal(broker_stats(r.b)->sessions, 1);
    rig_check_replay(&r);
    for (size_t i = 0; i < 3; i++)
        rig_forget(&c[i]);
    rig_end(&r);
}

/* --- failing memory --- */

/* What a client was told, and so may rely on. */
struct promises {
    bool subscribed; /* SUBACK */
    bool one;        /* PUBACK for the QoS 1 message, sent after that */
    bool two;        /* PUBREC for the QoS 2 message, likewise */
    bool retained;   /* PUBACK for the retained message */
    unsigned got_one;
    unsigned got_two;
    bool in[UINT16_MAX + 1]; /* ids of QoS 2 messages that were received and not released */
};

static void take_publish(struct rig_client *c, const struct frame *f, struct promises *told)
{
    struct packet_publish p;
    bool again;

    assert_int_equal(decode_publish(f, &p), REASON_OK);
    again = p.qos == QOS_2 && told->in[p.id];
    told->got_one += str_eq_c(p.payload, "one");
    told->got_two += str_eq_c(p.payload, "two") && !again;
    if (p.qos == QOS_2)
        told->in[p.id] = true;
    if (p.qos > QOS_0)
        rig_send_ack(c, p.qos == QOS_1 ? PACKET_PUBACK : PACKET_PUBREC, p.id);
}

/* Take what has come, answer it, and note what was promised. */
static void take(struct rig_client *c, struct promises *told)
{
    struct frame f;

    while (rig_next(c, &f)) {
        uint16_t id = rig_id(&f);
        switch (frame_type(&f)) {
        case PACKET_SUBACK:
            told->subscribed = true;
            break;
        case PACKET_PUBACK:
            told->one |= id == 1;
            told->retained |= id == 3;
            break;
        case PACKET_PUBREC:
            told->two = true;
            rig_send_ack(c, PACKET_PUBREL, id);
            break;
        case PACKET_PUBREL:
            told->in[id] = false;
            rig_send_ack(c, PACKET_PUBCOMP, id);
            break;
        case PACKET_PUBLISH:
            take_publish(c, &f, told);
            break;
        default:
            break;
        }
    }
}

static void take_all(struct rig *r, struct rig_client *a, struct rig_client *b,
                     struct promises *told)
{
    for (unsigned i = 0; i < 4; i++) {
        rig_settle(r);
        take(a, told);
        take(b, told);
    }
}

static bool try_connect(struct rig *r, struct rig_client *c, const char *id, bool clean, bool will)
{
    if (!rig_open(r, c))
        return false;
    rig_send_connect(c, &(struct packet_connect){.client_id = str_c(id),
                                                 .level = PROTOCOL_311,
                                                 .clean_session = clean,
                                                 .has_will = will,
                                                 .will_qos = QOS_1,
                                                 .will_retain = will,
                                                 .will_topic = STR("t/will"),
                                                 .will_payload = STR("will")});
    rig_settle(r);
    return true;
}

/* Connect, subscribe, publish at each QoS, retain, a will, disconnect: nothing may go wrong. */
static void scenario(struct rig *r, struct promises *told)
{
    static char large[5001];
    struct rig_client s;
    struct rig_client p;

    memset(large, 'x', sizeof(large) - 1);
    (void)try_connect(r, &s, "subscriber", false, false);
    rig_send_subscribe(&s, 1, "t/#", QOS_2);
    rig_settle(r);
    take(&s, told);
    (void)try_connect(r, &p, "publisher", true, true);
    rig_publish(&p, "t/0", "zero", QOS_0, 0);
    rig_publish(&p, "t/1", "one", QOS_1, 1);
    rig_publish(&p, "t/2", "two", QOS_2, 2);
    rig_publish(&p, "t/0", large, QOS_0, 0);
    rig_retain(&p, "r/a level", "retained", QOS_1, 3);
    take_all(r, &s, &p, told);
    rig_send_unsubscribe(&p, 9, "nothing");
    rig_close(&p); /* its will is published */
    rig_send_subscribe(&s, 2, "$share/group/+/x", QOS_1);
    take_all(r, &s, &p, told);
    if (s.conn)
        rig_send_empty(&s, PACKET_DISCONNECT);
    rig_settle(r);
    rig_forget(&s);
    rig_forget(&p);
}

/* With memory again: everything that was promised is there. */
static void collect_promises(struct rig *r, struct promises *told)
{
    struct rig_client s;
    struct rig_client x;
    struct rig_client nobody = {0};
    struct promises later;

    memset(&later, 0, sizeof(later));
    bool present = rig_connect(r, &s, "subscriber", false);
    if (told->subscribed)
        assert_true(present);
    take_all(r, &s, &nobody, told);
    if (told->subscribed && told->one)
        assert_true(told->got_one >= 1);
    if (told->subscribed && told->two)
        assert_int_equal(told->got_two, 1);
    assert_true(told->got_two <= 1);
    rig_connect(r, &x, "later", true);
    rig_subscribe(&x, "r/+", QOS_0);
    if (told->retained)
        rig_expect_publish(&x, "r/a level", "retained", QOS_0);
    rig_forget(&s);
    rig_forget(&x);
}

static void each_allocation_fails_once(bool persistent, int all)
{
    static struct promises told;
    uint64_t failed = 1;
    unsigned n;

    for (n = 0; failed > 0; n++) {
        struct rig r;
        memset(&told, 0, sizeof(told));
        rig_begin(&r, persistent);
        mem_fail_after(n, all);
        scenario(&r, &told);
        failed = mem_failed();
        mem_fail_never();
        rig_check(&r);
        collect_promises(&r, &told);
        rig_end(&r);
        if (n > 5000)
            fail_msg("there is no end to it");
    }
    assert_true(told.subscribed && told.one && told.two && told.retained);
    assert_true(n > 30);
}

static void one_failing_allocation_loses_nothing_promised(void **state)
{
    (void)state;
    unit_needs_tracking();
    each_allocation_fails_once(false, 0);
    each_allocation_fails_once(true, 0);
}

static void failing_allocations_lose_nothing_promised(void **state)
{
    (void)state;
    unit_needs_tracking();
    each_allocation_fails_once(false, 1);
    each_allocation_fails_once(true, 1);
}

static void a_broker_without_memory_is_not_born(void **state)
{
    struct rig r;

    (void)state;
    unit_needs_tracking();
    rig_setup(&r);
    for (unsigned n = 0;; n++) {
        mem_fail_after(n, 0);
        struct broker *b = broker_new(&r.setup);
        mem_fail_never();
        if (b) {
            broker_free(b);
            assert_true(n >= 3);
            return;
        }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(session_present_is_told),
        UNIT_TEST(a_session_keeps_subscriptions_and_messages),
        UNIT_TEST(who_connects_again_takes_over),
        UNIT_TEST(a_storm_of_takeovers_leaves_one),
        UNIT_TEST(clients_without_an_id_get_one),
        UNIT_TEST(a_will_is_published_unless_it_said_goodbye),
        UNIT_TEST(a_retained_will_stays),
        UNIT_TEST(a_will_reaches_its_own_session),
        UNIT_TEST(silence_ends_a_connection_after_one_and_a_half_keepalives),
        UNIT_TEST(without_keepalive_silence_is_no_end),
        UNIT_TEST(a_connect_is_due_in_thirty_seconds_however_it_drips),
        UNIT_TEST(the_time_for_connect_begins_at_accept),
        UNIT_TEST(silence_is_noticed_under_a_flood),
        UNIT_TEST(a_queue_goes_on_under_a_flood),
        UNIT_TEST(who_pings_and_never_reads_is_paused),
        UNIT_TEST(who_is_paused_for_not_reading_is_not_spared),
        UNIT_TEST(qos0_to_who_does_not_read_is_bounded_and_logged_once),
        UNIT_TEST(many_filters_are_worked_off_over_many_turns),
        UNIT_TEST(a_session_with_many_subscriptions_ends_over_many_turns),
        UNIT_TEST(a_client_may_go_while_its_packet_is_worked_off),
        UNIT_TEST(looking_at_absent_subscribers_is_work),
        UNIT_TEST(groups_of_one_filter_are_bounded_and_work),
        UNIT_TEST(a_search_through_many_nodes_does_not_stop_the_others),
        UNIT_TEST(a_reload_does_not_confuse_a_search),
        UNIT_TEST(a_reader_is_given_every_retained_message),
        UNIT_TEST(a_feed_waits_for_its_reader),
        UNIT_TEST(memory_grows_with_what_came),
        UNIT_TEST(a_promise_costs_nothing),
        UNIT_TEST(a_storage_pause_holds_back_publishers),
        UNIT_TEST(another_configuration_is_taken),
        UNIT_TEST(a_broker_is_freed_whatever_is_in_it),
        UNIT_TEST(stopping_ends_every_connection),
        UNIT_TEST(one_failing_allocation_loses_nothing_promised),
        UNIT_TEST(failing_allocations_lose_nothing_promised),
        UNIT_TEST(a_broker_without_memory_is_not_born),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
