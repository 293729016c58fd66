/*
 * The work of a turn on real sockets, with the real core: how many calls and allocations it costs,
 * and that every failure is survived.
 *
 * Calls are counted by a transport that is put on top of the socket's, which also shows that layers
 * stack.
 */
#include "server/link.h"

#include "server/greeting.h"

#include "conf_helper.h"
#include "unit.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS 4

/* Counts, and fails when told to. */
struct layer {
    struct transport base;
    struct transport *under;
    unsigned reads;
    unsigned writes;
    size_t write_at_most; /* bytes of a write; 0 = all */
    int read_error;
    int write_error;
    bool speaks;         /* has something to say on its own account */
    unsigned steps;      /* while it does */
    size_t hold;         /* bytes of a read that it gives out at once; 0 = it holds none */
    size_t held;         /* bytes in `store` */
    uint8_t store[1024]; /* what has left the socket */
};

struct rig {
    struct conf *conf;
    struct broker *broker;
    struct poll poll;
    struct door door;
    uint16_t group;
    struct links links;
    struct layer layer[CLIENTS];
    int client[CLIENTS];
    uint64_t now_ms;
};

static struct layer *layer_of(struct transport *t)
{
    return CONTAINER_OF(t, struct layer, base);
}

/* As TLS does: it takes all there is from the socket, and gives out a piece at a time. */
static ssize_t read_piece(struct layer *l, void *p, size_t n)
{
    if (l->held == 0) {
        ssize_t got = transport_read(l->under, l->store, sizeof(l->store));
        if (got <= 0)
            return got;
        l->held = (size_t)got;
    }
    n = n < l->hold ? n : l->hold;
    n = n < l->held ? n : l->held;
    memcpy(p, l->store, n);
    l->held -= n;
    memmove(l->store, l->store + n, l->held);
    return (ssize_t)n;
}

static ssize_t layer_read(struct transport *t, void *p, size_t n)
{
    struct layer *l = layer_of(t);
    l->reads++;
    if (l->read_error)
        return -l->read_error;
    return l->hold ? read_piece(l, p, n) : transport_read(l->under, p, n);
}

static ssize_t layer_writev(struct transport *t, const struct iovec *iov, int n)
{
    struct layer *l = layer_of(t);
    l->writes++;
    if (l->write_error)
        return -l->write_error;
    if (l->write_at_most == 0)
        return transport_writev(l->under, iov, n);
    struct iovec first = iov[0];
    first.iov_len = first.iov_len < l->write_at_most ? first.iov_len : l->write_at_most;
    return transport_writev(l->under, &first, 1);
}

static enum err layer_step(struct transport *t)
{
    struct layer *l = layer_of(t);
    l->steps += l->speaks;
    l->speaks = false;
    return transport_step(l->under);
}

static unsigned layer_wants(const struct transport *t)
{
    const struct layer *l = (const struct layer *)(const void *)t;
    return l->speaks ? (unsigned)TRANSPORT_WANTS_WRITE : transport_wants(l->under);
}

static bool layer_has_input(const struct transport *t)
{
    const struct layer *l = (const struct layer *)(const void *)t;
    return l->held > 0;
}

static void layer_finish(struct transport *t)
{
    transport_finish(layer_of(t)->under);
}

static void layer_close(struct transport *t)
{
    transport_close(layer_of(t)->under);
}

static const struct transport_ops layer_ops = {.read = layer_read,
                                               .writev = layer_writev,
                                               .step = layer_step,
                                               .wants = layer_wants,
                                               .has_input = layer_has_input,
                                               .finish = layer_finish,
                                               .close = layer_close};

static void make_id(void *ctx, char out[BROKER_ID_MAX])
{
    (void)ctx;
    memcpy(out, "made", 5);
}

static void rig_init(struct rig *r)
{
    memset(r, 0, sizeof(*r));
    r->now_ms = 1000;
    struct conf_args args = {0};
    struct log silent = {0};
    assert_ok(conf_load(&args, &silent, &r->conf));
    r->conf->listeners[0]->accept_versions = CONF_MQTT_31 | CONF_MQTT_311;
    r->conf->global.global_max_clients = -1;
    struct broker_setup setup = {.conf = r->conf, .seed = 1, .make_id = make_id};
    r->broker = broker_new(&setup);
    assert_non_null(r->broker);
    assert_ok(poll_init(&r->poll));
    captured_reset();
    door_init(&r->door, &captured_log);
    assert_ok(door_add(&r->door, r->conf->listeners[0], &r->group));
    /* As if it had a socket: or it would be forgotten with its last connection. */
    door_group(&r->door, r->group)->sockets = 1;
    links_init(&r->links, &r->poll, &r->door, r->broker, 0);
    broker_tick(r->broker, (struct now){.mono_ms = r->now_ms, .wall_s = 1});
    r->links.now_ms = r->now_ms;
    memset(r->client, -1, sizeof(r->client));
}

static void rig_clear(struct rig *r)
{
    broker_free(r->broker);
    links_clear(&r->links);
    door_clear(&r->door);
    poll_clear(&r->poll);
    conf_free(r->conf);
    for (int i = 0; i < CLIENTS; i++) {
        if (r->client[i] >= 0)
            (void)close(r->client[i]);
    }
}

/* One turn of what the loop does with links. */
static void turn(struct rig *r)
{
    r->now_ms++;
    r->links.now_ms = r->now_ms;
    poll_wait(&r->poll, 0);
    broker_tick(r->broker, (struct now){.mono_ms = r->now_ms, .wall_s = 1});
    struct watch *w;
    unsigned events;
    links_read_held(&r->links);
    while (!broker_is_spent(r->broker) && (w = poll_next(&r->poll, &events)) != NULL)
        link_ready(&r->links, w, events);
    links_shake_hands(&r->links);
    (void)broker_work(r->broker);
    links_flush(&r->links);
    links_expire(&r->links);
    (void)links_bury(&r->links);
}

static void turns(struct rig *r, int n)
{
    while (n-- > 0)
        turn(r);
}

static struct link *newest(struct rig *r)
{
    return TAILQ_LAST(&r->links.list[LINK_LIVE], link_list);
}

static void open_client(struct rig *r, int i)
{
    int fd[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
    struct peer peer = {.ip = {127, 0, 0, 1},
                        .family = 4,
                        .port = (uint16_t)(1000 + i),
                        .listener = r->conf->listeners[0],
                        .accept_ms = (uint32_t)r->now_ms};
    r->client[i] = fd[1];
    link_open(&r->links, fd[0], &peer, r->group);
    struct link *l = newest(r);
    if (!l)
        return;
    r->layer[i] = (struct layer){.base = {&layer_ops}, .under = l->io};
    l->io = &r->layer[i].base;
}

static void say(struct rig *r, int i, const void *p, size_t n)
{
    assert_int_equal(send(r->client[i], p, n, MSG_NOSIGNAL), n);
}

/* What came, into a buffer that the next call overwrites; -1: the end or an error. */
static ssize_t hear(struct rig *r, int i, uint8_t *out, size_t cap)
{
    ssize_t n = recv(r->client[i], out, cap, 0);
    if (n < 0 && errno == EAGAIN)
        return 0;
    return n > 0 ? n : -1;
}

static void expect(struct rig *r, int i, const void *p, size_t n)
{
    uint8_t got[64] = {0};
    assert_true(n <= sizeof(got));
    assert_int_equal(hear(r, i, got, sizeof(got)), n);
    assert_memory_equal(got, p, n);
}

static void expect_end(struct rig *r, int i)
{
    uint8_t got[64];
    assert_int_equal(hear(r, i, got, sizeof(got)), -1);
}

#define SAY(r, i, bytes) say(r, i, bytes, sizeof(bytes) - 1)
#define EXPECT(r, i, bytes) expect(r, i, bytes, sizeof(bytes) - 1)

#define CONNECT(id) "\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01" id
#define CONNACK "\x20\x02\x00\x00"
#define SUBSCRIBE_A                                                                                \
    "\x82\x06\x00\x01\x00\x01"                                                                     \
    "a"                                                                                            \
    "\x00"
#define SUBACK "\x90\x03\x00\x01\x00"
#define PUBLISH_A                                                                                  \
    "\x30\x05\x00\x01"                                                                             \
    "a"                                                                                            \
    "hi"

static void connect_client(struct rig *r, int i, bool subscribed)
{
    static const char *const packets[CLIENTS] = {CONNECT("0"), CONNECT("1"), CONNECT("2"),
                                                 CONNECT("3")};
    open_client(r, i);
    say(r, i, packets[i], sizeof(CONNECT("0")) - 1);
    turn(r);
    EXPECT(r, i, CONNACK);
    if (subscribed) {
        SAY(r, i, SUBSCRIBE_A);
        turn(r);
        EXPECT(r, i, SUBACK);
    }
}

/* A publisher and three receivers. */
static void crowd_init(struct rig *r)
{
    rig_init(r);
    connect_client(r, 0, false);
    for (int i = 1; i < CLIENTS; i++)
        connect_client(r, i, true);
    for (int i = 0; i < CLIENTS; i++)
        r->layer[i].reads = r->layer[i].writes = 0;
}

static void burst(struct rig *r, int messages)
{
    char many[7 * 64];
    for (int i = 0; i < messages; i++)
        memcpy(many + 7 * i, PUBLISH_A, 7);
    say(r, 0, many, 7 * (size_t)messages);
}

static void a_turn_costs_one_read_and_one_write_for_each_connection(void **state)
{
    (void)state;
    struct rig r;
    uint8_t got[7 * 64];
    crowd_init(&r);
    burst(&r, 64);
    turns(&r, 3);
    assert_int_equal(r.layer[0].reads, 1);
    assert_int_equal(r.layer[0].writes, 0);
    for (int i = 1; i < CLIENTS; i++) {
        assert_int_equal(r.layer[i].reads, 0);
        assert_int_equal(r.layer[i].writes, 1);
        assert_int_equal(hear(&r, i, got, sizeof(got)), 7 * 64);
    }
    rig_clear(&r);
}

static void a_small_message_allocates_nothing(void **state)
{
    (void)state;
    unit_needs_tracking();
    struct rig r;
    uint8_t got[7 * 64];
    crowd_init(&r);
    for (int round = 0; round < 3; round++) {
        uint64_t before = mem_calls();
        burst(&r, 64);
        turns(&r, 2);
        if (round > 0)
            assert_int_equal(mem_calls() - before, 0);
        for (int i = 1; i < CLIENTS; i++)
            assert_int_equal(hear(&r, i, got, sizeof(got)), 7 * 64);
    }
    rig_clear(&r);
}

static void nobody_is_watched_for_writing_while_all_is_taken(void **state)
{
    (void)state;
    struct rig r;
    crowd_init(&r);
    burst(&r, 5);
    turn(&r);
    struct link *l;
    TAILQ_FOREACH(l, &r.links.list[LINK_LIVE], entry)
    {
        assert_int_equal(l->watch.interest, POLL_IN);
    }
    rig_clear(&r);
}

static void a_short_write_goes_on_when_there_is_room(void **state)
{
    (void)state;
    struct rig r;
    uint8_t got[64];
    crowd_init(&r);
    struct link *l = newest(&r);
    r.layer[3].write_at_most = 3;
    SAY(&r, 0, PUBLISH_A);
    turn(&r);
    assert_int_equal(hear(&r, 3, got, sizeof(got)), 3);
    assert_int_equal(l->watch.interest, POLL_IN | POLL_OUT);
    /* In between comes another message, which must not overtake. */
    SAY(&r, 0, PUBLISH_A);
    turns(&r, 4);
    assert_int_equal(hear(&r, 3, got + 3, sizeof(got) - 3), 11);
    assert_memory_equal(got, PUBLISH_A PUBLISH_A, 14);
    turn(&r);
    assert_int_equal(l->watch.interest, POLL_IN);
    rig_clear(&r);
}

static void a_socket_without_room_is_not_asked_again_before_it_has_some(void **state)
{
    (void)state;
    struct rig r;
    uint8_t got[64];
    crowd_init(&r);
    r.layer[3].write_error = EAGAIN;
    struct link *l = newest(&r);
    SAY(&r, 0, PUBLISH_A);
    turn(&r);
    assert_int_equal(r.layer[3].writes, 1);
    assert_int_equal(l->watch.interest, POLL_IN | POLL_OUT);
    r.layer[3].write_error = 0;
    turns(&r, 2);
    assert_int_equal(r.layer[3].writes, 2);
    assert_int_equal(hear(&r, 3, got, sizeof(got)), 7);
    rig_clear(&r);
}

static void a_failing_socket_ends_its_connection_alone(void **state)
{
    (void)state;
    struct rig r;
    crowd_init(&r);
    r.layer[1].write_error = ECONNRESET;
    SAY(&r, 0, PUBLISH_A);
    turn(&r);
    expect_end(&r, 1);
    EXPECT(&r, 2, PUBLISH_A);
    EXPECT(&r, 3, PUBLISH_A);
    r.layer[2].read_error = EIO;
    SAY(&r, 2, "\xc0\x00");
    turn(&r);
    expect_end(&r, 2);
    assert_int_equal(r.door.open, 2);
    assert_int_equal(broker_stats(r.broker)->connections, 2);
    SAY(&r, 0, PUBLISH_A);
    turn(&r);
    EXPECT(&r, 3, PUBLISH_A);
    rig_clear(&r);
}

static void a_peer_that_leaves_is_forgotten(void **state)
{
    (void)state;
    struct rig r;
    crowd_init(&r);
    (void)close(r.client[1]);
    r.client[1] = -1;
    SAY(&r, 2, "\xe0\x00");
    turn(&r);
    expect_end(&r, 2);
    assert_int_equal(r.door.open, 2);
    assert_true(TAILQ_EMPTY(&r.links.list[LINK_DEAD]));
    assert_int_equal(r.links.slab.used, 2);
    rig_clear(&r);
}

static void a_refused_peer_gets_its_answer_and_some_time(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    open_client(&r, 0);
    SAY(&r, 0, "\x10\x0d\x00\x04MQTT\x09\x02\x00\x3c\x00\x01x");
    turn(&r);
    EXPECT(&r, 0, "\x20\x02\x00\x01");
    expect_end(&r, 0);
    assert_int_equal(r.door.open, 0);
    assert_false(links_busy(&r.links));
    assert_int_equal(links_deadline(&r.links), r.now_ms + 2000);
    /* It neither reads nor leaves: what it sends is thrown away, and in the end so is it. */
    r.now_ms += 1990;
    turn(&r);
    assert_int_equal(r.links.slab.used, 1);
    r.now_ms += 20;
    turn(&r);
    assert_int_equal(r.links.slab.used, 0);
    assert_int_equal(links_deadline(&r.links), UINT64_MAX);
    rig_clear(&r);
}

static void an_answer_that_nobody_takes_is_given_up(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    open_client(&r, 0);
    r.layer[0].write_error = EAGAIN;
    SAY(&r, 0, "\x10\x0d\x00\x04MQTT\x09\x02\x00\x3c\x00\x01x");
    turn(&r);
    assert_true(links_busy(&r.links));
    assert_int_equal(links_deadline(&r.links), r.now_ms + 5000);
    uint64_t until = r.now_ms + 5000;
    while (r.now_ms + 500 < until) {
        r.now_ms += 499;
        turn(&r);
        assert_true(links_busy(&r.links));
    }
    r.now_ms = until;
    turn(&r);
    assert_false(links_busy(&r.links));
    assert_int_equal(broker_stats(r.broker)->connections, 0);
    rig_clear(&r);
}

/* --- a transport with a will of its own --- */

static void what_the_transport_holds_is_read_without_an_event(void **state)
{
    (void)state;
    struct rig r;
    uint8_t got[7 * 8];
    crowd_init(&r);
    r.layer[0].hold = 7;
    burst(&r, 8);
    turn(&r);
    for (unsigned reads = 1; reads < 8; reads++) {
        assert_int_equal(r.layer[0].reads, reads);
        assert_true(links_hurry(&r.links));
        poll_wait(&r.poll, 0);
        assert_false(poll_pending(&r.poll));
        turn(&r);
    }
    assert_false(links_hurry(&r.links));
    turn(&r);
    assert_int_equal(r.layer[0].reads, 8);
    assert_int_equal(hear(&r, 1, got, sizeof(got)), sizeof(got));
    rig_clear(&r);
}

static void who_holds_much_does_not_keep_others_waiting(void **state)
{
    (void)state;
    struct rig r;
    uint8_t got[64];
    crowd_init(&r);
    r.layer[0].hold = r.layer[1].hold = 2;
    burst(&r, 8);
    SAY(&r, 1, PUBLISH_A PUBLISH_A);
    SAY(&r, 2, "\xc0\x00");
    turns(&r, 2);
    /* Each of them was read once in each turn. */
    assert_int_equal(r.layer[0].reads, 2);
    assert_int_equal(r.layer[1].reads, 2);
    assert_int_equal(r.layer[2].reads, 1);
    assert_int_equal(hear(&r, 2, got, sizeof(got)), 2);
    rig_clear(&r);
}

/* While the core pauses it, nobody asks for what it holds; then it is asked for at once. */
static void what_is_held_survives_a_pause(void **state)
{
    (void)state;
    struct rig r;
    uint8_t got[7 * 8];
    crowd_init(&r);
    r.layer[0].hold = 9;
    for (char id = 1; id <= 8; id++)
        say(&r, 0, (const char[]){0x32, 7, 0, 1, 'a', 0, id, 'h', 'i'}, 9);
    turn(&r);
    broker_storage_pause(r.broker, true);
    turns(&r, 3);
    unsigned reads = r.layer[0].reads;
    assert_true(r.layer[0].held > 0);
    assert_false(links_hurry(&r.links));
    broker_storage_pause(r.broker, false);
    turn(&r);
    assert_true(links_hurry(&r.links));
    turns(&r, 8);
    assert_int_equal(r.layer[0].held, 0);
    assert_true(r.layer[0].reads > reads);
    assert_int_equal(hear(&r, 1, got, sizeof(got)), sizeof(got));
    rig_clear(&r);
}

static void who_ends_while_holding_is_forgotten(void **state)
{
    (void)state;
    struct rig r;
    crowd_init(&r);
    r.layer[0].hold = 2;
    SAY(&r, 0, "\xe0\x00\xc0\x00\xc0\x00");
    turns(&r, 4);
    assert_false(links_hurry(&r.links));
    assert_int_equal(r.door.open, 3);
    rig_clear(&r);
}

/* What it has to say goes out before more is read, or a flood of questions would have no bound. */
static void a_transport_that_must_speak_is_not_read(void **state)
{
    (void)state;
    struct rig r;
    crowd_init(&r);
    struct link *l = newest(&r);
    r.layer[3].speaks = true;
    r.layer[3].read_error = EAGAIN;
    SAY(&r, 3, "\xc0\x00");
    poll_wait(&r.poll, 0);
    unsigned events;
    struct watch *w = poll_next(&r.poll, &events);
    assert_ptr_equal(w, &l->watch);
    link_ready(&r.links, w, events);
    assert_int_equal(l->watch.interest, POLL_OUT);
    r.layer[3].read_error = 0;
    turn(&r);
    assert_int_equal(r.layer[3].steps, 1);
    assert_int_equal(l->watch.interest, POLL_IN);
    turn(&r);
    EXPECT(&r, 3, "\xd0\x00");
    rig_clear(&r);
}

/* --- in front of MQTT --- */

static void want_proxy(struct rig *r)
{
    rig_init(r);
    r->conf->listeners[0]->proxy = CONF_PROXY_ANY;
}

static struct link *greeting(struct rig *r)
{
    return TAILQ_FIRST(&r->links.list[LINK_GREETING]);
}

#define HEADER "PROXY TCP4 192.0.2.1 192.0.2.2 50123 1883\r\n"

static void the_peer_is_whom_the_header_names(void **state)
{
    (void)state;
    struct rig r;
    want_proxy(&r);
    open_client(&r, 0);
    assert_int_equal(broker_stats(r.broker)->connections, 0);
    assert_int_equal(r.door.open, 1);
    /* What follows is for the broker: not a byte of it is lost. */
    SAY(&r, 0, HEADER CONNECT("0") SUBSCRIBE_A);
    turns(&r, 2);
    assert_null(greeting(&r));
    EXPECT(&r, 0, CONNACK SUBACK);
    assert_int_equal(broker_stats(r.broker)->connections, 1);
    assert_int_equal(r.door.open, 1);
    SAY(&r, 0, "\xe0\x00");
    turn(&r);
    assert_int_equal(r.door.open, 0);
    rig_clear(&r);
}

static void a_header_may_drip(void **state)
{
    (void)state;
    struct rig r;
    want_proxy(&r);
    open_client(&r, 0);
    for (size_t i = 0; i < sizeof(HEADER) - 1; i++) {
        say(&r, 0, &HEADER[i], 1);
        assert_non_null(greeting(&r));
        turn(&r);
        /* Nothing is left to be reported again. */
        poll_wait(&r.poll, 0);
        assert_false(poll_pending(&r.poll));
    }
    assert_null(greeting(&r));
    SAY(&r, 0, CONNECT("0"));
    turn(&r);
    EXPECT(&r, 0, CONNACK);
    rig_clear(&r);
}

static void assert_turned_away(struct rig *r, const char *why)
{
    expect_end(r, 0);
    assert_null(greeting(r));
    assert_int_equal(r->door.open, 0);
    assert_int_equal(r->links.slab.used, 0);
    assert_int_equal(broker_stats(r->broker)->connections, 0);
    assert_logged("Client connection from 127.0.0.1:1000 denied: ");
    assert_logged(why);
}

static void without_a_header_nobody_comes_in(void **state)
{
    (void)state;
    struct rig r;
    want_proxy(&r);
    open_client(&r, 0);
    SAY(&r, 0, CONNECT("0"));
    turn(&r);
    assert_turned_away(&r, "no PROXY header, or a broken one (enable_proxy_protocol on port 1883)");
    rig_clear(&r);
}

static void a_header_of_another_version_is_refused(void **state)
{
    (void)state;
    struct rig r;
    want_proxy(&r);
    r.conf->listeners[0]->proxy = CONF_PROXY_V2;
    open_client(&r, 0);
    SAY(&r, 0, HEADER CONNECT("0"));
    turn(&r);
    assert_turned_away(&r, "of another version");
    rig_clear(&r);
}

static void a_header_without_end_is_refused(void **state)
{
    (void)state;
    struct rig r;
    want_proxy(&r);
    open_client(&r, 0);
    SAY(&r, 0, "PROXY UNKNOWN ");
    turn(&r);
    for (int i = 0; i < 10; i++)
        SAY(&r, 0, "0123456789");
    turn(&r);
    assert_turned_away(&r, "too long");
    rig_clear(&r);
}

static void a_header_must_come_in_time(void **state)
{
    (void)state;
    struct rig r;
    want_proxy(&r);
    open_client(&r, 0);
    uint64_t until = r.now_ms + BROKER_CONNECT_MS;
    assert_int_equal(links_deadline(&r.links), until);
    SAY(&r, 0, "PROXY ");
    r.now_ms = until - 2;
    turn(&r);
    assert_non_null(greeting(&r));
    turn(&r);
    assert_turned_away(&r, "in time");
    assert_int_equal(links_deadline(&r.links), UINT64_MAX);
    rig_clear(&r);
}

static void who_leaves_before_the_header_is_let_go(void **state)
{
    (void)state;
    struct rig r;
    want_proxy(&r);
    open_client(&r, 0);
    SAY(&r, 0, "PROXY TCP4 ");
    assert_int_equal(shutdown(r.client[0], SHUT_WR), 0);
    turns(&r, 2);
    assert_turned_away(&r, "ended before its PROXY header did");
    rig_clear(&r);
}

static void tls_may_be_demanded_of_the_proxy(void **state)
{
    (void)state;
    static const char tls[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x14"
                              "\xc0\x00\x02\x01\xc0\x00\x02\x02\xc3\xcb\x07\x5b"
                              "\x20\x00\x05\x01\0\0\0\0" CONNECT("0");
    struct rig r;
    want_proxy(&r);
    r.conf->listeners[0]->proxy_v2_require_tls = true;
    open_client(&r, 0);
    say(&r, 0, tls, sizeof(tls) - 1);
    turns(&r, 2);
    EXPECT(&r, 0, CONNACK);
    rig_clear(&r);
    want_proxy(&r);
    r.conf->listeners[0]->proxy_v2_require_tls = true;
    open_client(&r, 0);
    SAY(&r, 0, HEADER CONNECT("0"));
    turn(&r);
    assert_turned_away(&r, "proxy_protocol_v2_require_tls");
    rig_clear(&r);
}

static void who_still_waits_at_the_end_is_closed(void **state)
{
    (void)state;
    struct rig r;
    want_proxy(&r);
    open_client(&r, 0);
    SAY(&r, 0, "PROXY ");
    turn(&r);
    assert_false(links_busy(&r.links));
    r.door.closed = true;
    open_client(&r, 1);
    SAY(&r, 1, HEADER CONNECT("1"));
    turn(&r);
    expect_end(&r, 1);
    rig_clear(&r);
}

/* --- in front of MQTT: TLS --- */

/* No handshake can succeed: who gets as far as that is let go without a line. */
static void want_tls(struct rig *r)
{
    rig_init(r);
    r->conf->listeners[0]->psk_hint = (char[]){"hint"};
}

static void tls_clear(struct rig *r)
{
    r->conf->listeners[0]->psk_hint = NULL;
    rig_clear(r);
}

static void who_speaks_something_else_is_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *said;
        const char *line;
    } strangers[] = {
        {"\x10\x0d",
         ": it appears to be using plain MQTT to connect to a TLS listener (psk_hint on "
         "port 1883)."},
        {"GET /", ": it appears to be using plain HTTP to connect to a TLS listener (psk_hint on"},
        {"\x80\x2e", ": what it sends is not TLS (psk_hint on port 1883)."},
    };
    for (size_t i = 0; i < ARRAY_SIZE(strangers); i++) {
        struct rig r;
        want_tls(&r);
        open_client(&r, 0);
        say(&r, 0, strangers[i].said, strlen(strangers[i].said));
        turn(&r);
        assert_turned_away(&r, strangers[i].line);
        tls_clear(&r);
    }
}

static void who_says_nothing_has_as_long_as_for_connect(void **state)
{
    (void)state;
    struct rig r;
    want_tls(&r);
    open_client(&r, 0);
    uint64_t until = r.now_ms + BROKER_CONNECT_MS;
    assert_int_equal(links_deadline(&r.links), until);
    r.now_ms = until - 2;
    turn(&r);
    assert_non_null(greeting(&r));
    turn(&r);
    assert_turned_away(&r, "denied: no TLS handshake in time (psk_hint on port 1883).");
    open_client(&r, 1);
    assert_int_equal(shutdown(r.client[1], SHUT_WR), 0);
    turn(&r);
    assert_logged("127.0.0.1:1001 denied: it ended before its TLS handshake began");
    tls_clear(&r);
}

static void a_proxy_comes_before_tls(void **state)
{
    (void)state;
    struct rig r;
    want_tls(&r);
    r.conf->listeners[0]->proxy = CONF_PROXY_ANY;
    open_client(&r, 0);
    SAY(&r, 0, HEADER CONNECT("0"));
    turns(&r, 2);
    assert_null(greeting(&r));
    assert_logged("from 192.0.2.1:50123 denied: it appears to be using plain MQTT");
    tls_clear(&r);
}

static uint64_t clock_ns;

/* Each look at this clock is a millisecond. */
static uint64_t tick(void)
{
    clock_ns += 1000000;
    return clock_ns;
}

static void handshakes_are_limited_in_each_turn(void **state)
{
    (void)state;
    struct rig r;
    want_tls(&r);
    r.links.cpu_ns = tick;
    for (int i = 0; i < CLIENTS; i++) {
        open_client(&r, i);
        SAY(&r, i, "\x16\x03\x01");
    }
    assert_int_equal(r.door.open, CLIENTS);
    turn(&r);
    assert_int_equal(r.door.open, CLIENTS - 3);
    assert_true(links_hurry(&r.links));
    /* Who waits is not watched. */
    assert_int_equal(greeting(&r)->watch.interest, POLL_NOTHING);
    expect_end(&r, 0);
    turn(&r);
    assert_int_equal(r.door.open, 0);
    assert_false(links_hurry(&r.links));
    tls_clear(&r);
}

/* It waits for its turn, and nobody has one any more. */
static void who_queues_at_the_end_is_forgotten(void **state)
{
    (void)state;
    struct rig r;
    want_tls(&r);
    r.links.cpu_ns = tick;
    for (int i = 0; i < CLIENTS; i++) {
        open_client(&r, i);
        SAY(&r, i, "\x16");
    }
    turn(&r);
    assert_true(links_hurry(&r.links));
    r.now_ms += BROKER_CONNECT_MS;
    r.links.now_ms = r.now_ms;
    links_expire(&r.links);
    assert_false(links_hurry(&r.links));
    assert_int_equal(r.door.open, 0);
    tls_clear(&r);
}

/* Each allocation on the way from accept to a delivered message fails once; nothing leaks or falls
 * over. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    unit_needs_tracking();
    bool failed = true;
    for (uint64_t n = 0; failed || n % 2; n++) {
        struct rig r;
        rig_init(&r);
        /* Every second one comes through a proxy. */
        r.conf->listeners[0]->proxy = n % 2 ? CONF_PROXY_ANY : CONF_PROXY_OFF;
        size_t skip = n % 2 ? 0 : sizeof(HEADER) - 1;
        mem_fail_after(n / 2, false);
        open_client(&r, 0);
        (void)send(r.client[0], &HEADER CONNECT("0") SUBSCRIBE_A PUBLISH_A[skip],
                   sizeof(HEADER CONNECT("0") SUBSCRIBE_A PUBLISH_A) - 1 - skip, MSG_NOSIGNAL);
        turns(&r, 4);
        failed = mem_failed() > 0;
        mem_fail_never();
        r.conf->listeners[0]->proxy = CONF_PROXY_OFF;
        connect_client(&r, 1, true);
        SAY(&r, 1, PUBLISH_A);
        turn(&r);
        EXPECT(&r, 1, PUBLISH_A);
        rig_clear(&r);
        assert_true(n < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(a_turn_costs_one_read_and_one_write_for_each_connection),
        UNIT_TEST(a_small_message_allocates_nothing),
        UNIT_TEST(nobody_is_watched_for_writing_while_all_is_taken),
        UNIT_TEST(a_short_write_goes_on_when_there_is_room),
        UNIT_TEST(a_socket_without_room_is_not_asked_again_before_it_has_some),
        UNIT_TEST(a_failing_socket_ends_its_connection_alone),
        UNIT_TEST(a_peer_that_leaves_is_forgotten),
        UNIT_TEST(a_refused_peer_gets_its_answer_and_some_time),
        UNIT_TEST(an_answer_that_nobody_takes_is_given_up),
        UNIT_TEST(what_the_transport_holds_is_read_without_an_event),
        UNIT_TEST(who_holds_much_does_not_keep_others_waiting),
        UNIT_TEST(what_is_held_survives_a_pause),
        UNIT_TEST(who_ends_while_holding_is_forgotten),
        UNIT_TEST(a_transport_that_must_speak_is_not_read),
        UNIT_TEST(the_peer_is_whom_the_header_names),
        UNIT_TEST(a_header_may_drip),
        UNIT_TEST(without_a_header_nobody_comes_in),
        UNIT_TEST(a_header_of_another_version_is_refused),
        UNIT_TEST(a_header_without_end_is_refused),
        UNIT_TEST(a_header_must_come_in_time),
        UNIT_TEST(who_leaves_before_the_header_is_let_go),
        UNIT_TEST(tls_may_be_demanded_of_the_proxy),
        UNIT_TEST(who_still_waits_at_the_end_is_closed),
        UNIT_TEST(who_speaks_something_else_is_told_apart),
        UNIT_TEST(who_says_nothing_has_as_long_as_for_connect),
        UNIT_TEST(a_proxy_comes_before_tls),
        UNIT_TEST(handshakes_are_limited_in_each_turn),
        UNIT_TEST(who_queues_at_the_end_is_forgotten),
        UNIT_TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
