/*
 * A connection's output: the lanes and their order, packets byte for byte, failing memory.
 */
#include "core/outbox.h"

#include "mqtt/decode.h"
#include "mqtt/encode.h"
#include "mqtt/frame.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench {
    struct persist persist;
    struct stats stats;
    struct work work;
    struct outbox_hub hub;
    struct outbox o;
    struct publication_scratch scratch;
};

static void bench_begin(struct bench *r, bool persistent)
{
    memset(r, 0, sizeof(*r));
    persist_init(&r->persist, persistent);
    outbox_hub_init(&r->hub, &r->persist, &r->stats, &r->work);
}

static void next_turn(struct bench *r)
{
    uint64_t turn;
    struct buf frame = {0};

    (void)persist_end_turn(&r->persist, &turn, &frame);
    persist_reuse(&r->persist, &frame);
}

static void bench_end(struct bench *r)
{
    outbox_clear(&r->hub, &r->o);
    assert_true(TAILQ_EMPTY(&r->hub.dirty));
    assert_true(TAILQ_EMPTY(&r->hub.waiting));
    assert_int_equal(outbox_bytes(&r->o), 0);
    outbox_hub_clear(&r->hub);
    persist_clear(&r->persist);
}

static void put(struct bench *r, enum outbox_lane lane, const char *text)
{
    assert_ok(outbox_put(&r->hub, &r->o, lane, text, strlen(text)));
}

/* What is ready, in a malloc'd copy. */
static size_t ready_bytes(const struct bench *r, uint8_t **out)
{
    static struct iovec iov[1024];
    int n = outq_iovec(&r->o.ready, iov, (int)ARRAY_SIZE(iov));
    size_t at = 0;

    assert_true(n < (int)ARRAY_SIZE(iov));
    *out = malloc(r->o.ready.bytes + 1);
    assert_non_null(*out);
    for (int i = 0; i < n; i++) {
        memcpy(*out + at, iov[i].iov_base, iov[i].iov_len);
        at += iov[i].iov_len;
    }
    assert_int_equal(at, r->o.ready.bytes);
    return at;
}

static void assert_ready(const struct bench *r, const char *text)
{
    uint8_t *bytes;
    size_t n = ready_bytes(r, &bytes);

    if (!str_eq_c(str_of((char *)bytes, n), text))
        fail_msg("ready is '%.*s', not '%s'", (int)n, (char *)bytes, text);
    free(bytes);
}

/* Everything has been written. */
static void drain(struct bench *r)
{
    outq_drop(&r->o.ready, &r->hub.pool, r->o.ready.bytes);
    if (r->o.is_dirty)
        TAILQ_REMOVE(&r->hub.dirty, &r->o, dirty);
    r->o.is_dirty = false;
}

/* --- lanes --- */

static void without_persistence_nothing_waits(void **state)
{
    struct bench r;

    (void)state;
    bench_begin(&r, false);
    put(&r, OUTBOX_STORED, "a");
    put(&r, OUTBOX_NEXT, "b");
    put(&r, OUTBOX_NOW, "c");
    assert_null(r.o.held);
    assert_ready(&r, "abc");
    bench_end(&r);
}

static void what_must_be_stored_waits_for_its_turn(void **state)
{
    struct bench r;

    (void)state;
    bench_begin(&r, true);
    put(&r, OUTBOX_NEXT, "first ");
    put(&r, OUTBOX_STORED, "stored ");
    assert_ready(&r, "first ");
    assert_int_equal(outbox_bytes(&r.o), 13);
    outbox_release(&r.hub, r.persist.turn - 1);
    assert_ready(&r, "first ");
    outbox_release(&r.hub, r.persist.turn);
    assert_ready(&r, "first stored ");
    assert_null(r.o.held);
    assert_true(TAILQ_EMPTY(&r.hub.waiting));
    put(&r, OUTBOX_NEXT, "last");
    assert_ready(&r, "first stored last");
    bench_end(&r);
}

static void what_comes_behind_waits_too_and_only_now_passes(void **state)
{
    struct bench r;

    (void)state;
    bench_begin(&r, true);
    put(&r, OUTBOX_STORED, "1");
    put(&r, OUTBOX_NEXT, "2");
    put(&r, OUTBOX_NOW, "ping ");
    put(&r, OUTBOX_NEXT, "3");
    put(&r, OUTBOX_NOW, "pong ");
    assert_ready(&r, "ping pong ");
    outbox_release(&r.hub, r.persist.turn);
    assert_ready(&r, "ping pong 123");
    bench_end(&r);
}

static void stretches_leave_turn_by_turn(void **state)
{
    struct bench r;
    uint64_t first;

    (void)state;
    bench_begin(&r, true);
    first = r.persist.turn;
    put(&r, OUTBOX_STORED, "1");
    put(&r, OUTBOX_STORED, "2");
    next_turn(&r);
    put(&r, OUTBOX_NEXT, "3"); /* nothing of this turn: it goes with what is before it */
    put(&r, OUTBOX_STORED, "4");
    next_turn(&r);
    next_turn(&r);
    put(&r, OUTBOX_STORED, "5");
    put(&r, OUTBOX_NEXT, "6");
    outbox_release(&r.hub, first);
    assert_ready(&r, "123");
    outbox_release(&r.hub, first + 2);
    assert_ready(&r, "1234");
    put(&r, OUTBOX_NEXT, "7");
    outbox_release(&r.hub, first + 2);
    assert_ready(&r, "1234");
    outbox_release(&r.hub, first + 3);
    assert_ready(&r, "1234567");
    bench_end(&r);
}

/* Many turns behind: stretches come and go, the order stays. */
static void the_order_holds_over_many_turns(void **state)
{
    struct bench r;
    char packet[8];
    uint8_t *bytes;

    (void)state;
    bench_begin(&r, true);
    for (unsigned i = 0; i < 3000; i++) {
        (void)snprintf(packet, sizeof(packet), "%05u ", i);
        put(&r, i % 3 ? OUTBOX_STORED : OUTBOX_NEXT, packet);
        if (i % 2)
            next_turn(&r);
        if (i % 50 == 49)
            outbox_release(&r.hub, r.persist.turn - 10);
    }
    outbox_release(&r.hub, r.persist.turn);
    size_t n = ready_bytes(&r, &bytes);
    assert_int_equal(n, 3000 * 6);
    for (unsigned i = 0; i < 3000; i++) {
        (void)snprintf(packet, sizeof(packet), "%05u ", i);
        assert_memory_equal(bytes + (size_t)6 * i, packet, 6);
    }
    free(bytes);
    bench_end(&r);
}

static void only_what_is_ready_makes_dirty(void **state)
{
    struct bench r;

    (void)state;
    bench_begin(&r, true);
    put(&r, OUTBOX_STORED, "held");
    assert_false(r.o.is_dirty);
    assert_int_equal(r.work.spent, 0);
    outbox_release(&r.hub, r.persist.turn);
    assert_true(r.o.is_dirty);
    assert_true(TAILQ_FIRST(&r.hub.dirty) == &r.o);
    put(&r, OUTBOX_NEXT, "more");
    assert_int_equal(r.work.spent, WORK_WRITE); /* one write call for all */
    assert_null(TAILQ_NEXT(&r.o, dirty));
    assert_int_equal(r.stats.packets_sent, 2);
    bench_end(&r);
}

static void shut_drops_what_is_held(void **state)
{
    struct bench r;

    (void)state;
    bench_begin(&r, true);
    put(&r, OUTBOX_NEXT, "ready");
    put(&r, OUTBOX_STORED, "held");
    outbox_shut(&r.hub, &r.o, false);
    assert_null(r.o.held);
    assert_true(TAILQ_EMPTY(&r.hub.waiting));
    assert_ready(&r, "ready");
    for (int lane = OUTBOX_NOW; lane <= OUTBOX_STORED; lane++)
        assert_err(outbox_put(&r.hub, &r.o, (enum outbox_lane)lane, "x", 1), ERR_CLOSED);
    outbox_release(&r.hub, r.persist.turn);
    assert_ready(&r, "ready");
    outbox_shut(&r.hub, &r.o, true);
    assert_ready(&r, "");
    bench_end(&r);
}

static void clearing_takes_it_off_every_list(void **state)
{
    struct bench r;

    (void)state;
    bench_begin(&r, true);
    put(&r, OUTBOX_NEXT, "ready");
    put(&r, OUTBOX_STORED, "held");
    outbox_clear(&r.hub, &r.o);
    assert_false(r.o.is_dirty);
    assert_true(TAILQ_EMPTY(&r.hub.dirty));
    assert_true(TAILQ_EMPTY(&r.hub.waiting));
    bench_end(&r);
}

/* --- limits --- */

static void passing_the_mark_is_crowded(void **state)
{
    static char packet[1024];
    struct bench r;

    (void)state;
    bench_begin(&r, true);
    while (outbox_bytes(&r.o) + sizeof(packet) < OUTBOX_CROWDED) {
        /* both lanes count */
        enum outbox_lane lane =
            outbox_bytes(&r.o) < OUTBOX_CROWDED / 2 ? OUTBOX_NEXT : OUTBOX_STORED;
        assert_ok(outbox_put(&r.hub, &r.o, lane, packet, sizeof(packet)));
        assert_false(r.work.crowded);
    }
    assert_ok(outbox_put(&r.hub, &r.o, OUTBOX_NEXT, packet, sizeof(packet)));
    assert_true(r.work.crowded);
    assert_true(work_is_spent(&r.work));
    r.work = (struct work){0};
    assert_ok(outbox_put(&r.hub, &r.o, OUTBOX_NEXT, packet, sizeof(packet)));
    assert_false(r.work.crowded); /* told once: then it is up to the writer */
    bench_end(&r);
}

/* --- publications --- */

struct sample {
    size_t topic;
    size_t payload;
};

static const struct sample samples[] = {
    {1, 0},     {1, 1},     {10, 64},       {200, 1000}, {10, 1518}, {10, 1519},       {10, 1520},
    {10, 1521}, {10, 1522}, {10, 1523},     {10, 2048},  {10, 4096}, {10, 16000},      {2000, 0},
    {5000, 3},  {65535, 0}, {65535, 70000}, {3, 300000}, {1, 127},   {10, 16383 - 12},
};

static char *filled(size_t n, unsigned salt)
{
    char *p = malloc(n + 1);

    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)('a' + (i * 7 + salt) % 26);
    return p;
}

/* The packet as it might have come in, or empty. */
static struct str frame_of(const struct packet_publish *p, enum qos qos, bool make)
{
    struct packet_publish came = *p;
    char *out;
    size_t head;

    if (!make)
        return str_of(NULL, 0);
    came.qos = qos;
    came.id = 77;
    out = malloc(encode_publish_head_size(p->topic, p->payload.n, qos) + p->payload.n);
    assert_non_null(out);
    head = encode_publish_head((uint8_t *)out, &came);
    if (p->payload.n > 0)
        memcpy(out + head, p->payload.p, p->payload.n);
    return str_of(out, head + p->payload.n);
}

static void assert_published(const struct bench *r, const struct packet_publish *p,
                             const struct outbox_publish *how)
{
    uint8_t *bytes;
    size_t n = ready_bytes(r, &bytes);
    struct packet_publish got;
    struct frame f;
    size_t need;

    assert_ok(frame_next(str_of((char *)bytes, n), PACKET_MAX, &f, &need));
    assert_int_equal(f.whole.n, n);
    assert_int_equal(decode_publish(&f, &got), REASON_OK);
    assert_true(str_eq(got.topic, p->topic));
    assert_true(str_eq(got.payload, p->payload));
    assert_int_equal(got.qos, how->qos);
    assert_int_equal(got.id, how->id);
    assert_int_equal(got.retain, how->retain);
    assert_int_equal(got.dup, how->dup);
    free(bytes);
}

/* Came in with QoS 2, leaves with each; as a view of its packet, of slices, of a kept message. */
static void publish_one(struct bench *r, const struct packet_publish *p, enum qos qos,
                        unsigned kind)
{
    const struct outbox_publish how = {.qos = qos,
                                       .id = qos ? 0x1234 : 0,
                                       .retain = kind % 2,
                                       .dup = qos && kind > 1,
                                       .lane = OUTBOX_NEXT};
    struct publication pub;
    struct str frame = frame_of(p, QOS_2, kind == 1);
    struct packet_publish view = *p;
    uint64_t sent = r->stats.publish_sent;
    uint64_t bytes = r->stats.publish_bytes_sent;
    struct packet_publish came;
    struct frame f;
    size_t need;

    if (frame.n > 0) { /* its slices must lie in it */
        assert_ok(frame_next(frame, PACKET_MAX, &f, &need));
        assert_int_equal(decode_publish(&f, &came), REASON_OK);
        view = came;
    }
    view.qos = QOS_2;
    publication_init(&pub, &view, frame, &r->scratch);
    if (kind == 2)
        assert_ok(publication_keep(&pub));
    assert_ok(outbox_publish(&r->hub, &r->o, &pub, &how));
    publication_clear(&pub);
    if (frame.n > 0)
        memset((char *)(uintptr_t)frame.p, 'X', frame.n); /* the input is read into again */
    free((char *)(uintptr_t)frame.p);
    assert_published(r, p, &how);
    assert_int_equal(r->stats.publish_sent, sent + 1);
    assert_int_equal(r->stats.publish_bytes_sent, bytes + p->payload.n);
    drain(r);
}

static void publications_leave_byte_for_byte(void **state)
{
    struct bench r;

    (void)state;
    bench_begin(&r, false);
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        char *topic = filled(samples[i].topic, 1);
        char *payload = filled(samples[i].payload, 2);
        const struct packet_publish p = {.topic = str_of(topic, samples[i].topic),
                                         .payload = str_of(payload, samples[i].payload)};
        for (int qos = 0; qos <= 2; qos++)
            for (unsigned kind = 0; kind < 4; kind++)
                publish_one(&r, &p, (enum qos)qos, kind);
        free(topic);
        free(payload);
    }
    bench_end(&r);
}

/* One publication to several, each with its own flags and id. */
static void receivers_do_not_see_each_others_flags(void **state)
{
    static const size_t sizes[] = {10, 3000};

    (void)state;
    for (size_t k = 0; k < ARRAY_SIZE(sizes); k++) {
        struct bench r;
        struct outbox others[30] = {0};
        struct publication pub;
        char *payload = filled(sizes[k], 3);
        const struct packet_publish p = {.topic = STR("t"), .payload = str_of(payload, sizes[k])};
        struct packet_publish came = p;
        came.qos = QOS_2;
        bench_begin(&r, false);
        publication_init(&pub, &came, str_of(NULL, 0), &r.scratch);
        for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
            const struct outbox_publish how = {.qos = (enum qos)(i % 3),
                                               .id = (uint16_t)(i % 3 ? i : 0),
                                               .retain = i % 2,
                                               .dup = i % 3 && i % 5 == 0};
            assert_ok(outbox_publish(&r.hub, &others[i], &pub, &how));
        }
        publication_clear(&pub);
        for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
            const struct outbox_publish how = {.qos = (enum qos)(i % 3),
                                               .id = (uint16_t)(i % 3 ? i : 0),
                                               .retain = i % 2,
                                               .dup = i % 3 && i % 5 == 0};
            r.o.ready = others[i].ready;
            assert_published(&r, &p, &how);
            r.o.ready = (struct outq){0};
            outbox_clear(&r.hub, &others[i]);
        }
        free(payload);
        bench_end(&r);
    }
}

/* A large payload stands in memory once, however many queues it waits in. */
static void large_payloads_are_not_copied(void **state)
{
    struct bench r;
    struct outbox others[50] = {0};
    struct publication pub;
    char *payload = filled(100000, 3);
    const struct packet_publish p = {.topic = STR("t"), .payload = str_of(payload, 100000)};

    (void)state;
    unit_needs_tracking();
    bench_begin(&r, false);
    publication_init(&pub, &p, str_of(NULL, 0), &r.scratch);
    size_t used = mem_used();
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        assert_ok(outbox_publish(&r.hub, &others[i], &pub, &(struct outbox_publish){0}));
    publication_clear(&pub);
    assert_true(mem_used() - used < 100000 + 50 * 4096 + 40000);
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++)
        outbox_clear(&r.hub, &others[i]);
    free(payload);
    bench_end(&r);
}

/* --- failing memory --- */

typedef enum err adder(struct bench *r, enum outbox_lane lane);

static enum err add_small(struct bench *r, enum outbox_lane lane)
{
    return outbox_put(&r->hub, &r->o, lane, "0123456789", 10);
}

static enum err add_parts(struct bench *r, enum outbox_lane lane)
{
    static const char codes[20000] = {1, 2, 3};

    return outbox_put_parts(&r->hub, &r->o, lane, STR("head"), str_of(codes, sizeof(codes)));
}

static enum err add_publish(struct bench *r, enum outbox_lane lane, size_t topic, size_t payload)
{
    static char bytes[100000];
    struct publication pub;
    struct packet_publish p = {.topic = str_of(bytes, topic), .payload = str_of(bytes, payload)};
    enum err e;

    memset(bytes, 'x', sizeof(bytes));
    publication_init(&pub, &p, str_of(NULL, 0), &r->scratch);
    e = outbox_publish(&r->hub, &r->o, &pub, &(struct outbox_publish){.lane = lane});
    publication_clear(&pub);
    return e;
}

static enum err add_small_publish(struct bench *r, enum outbox_lane lane)
{
    return add_publish(r, lane, 10, 100);
}

static enum err add_large_publish(struct bench *r, enum outbox_lane lane)
{
    return add_publish(r, lane, 10, 100000);
}

static enum err add_long_topic(struct bench *r, enum outbox_lane lane)
{
    return add_publish(r, lane, 60000, 100000);
}

/* The number of allocations that it needs; each failed once and left nothing. */
static unsigned fail_each(struct bench *r, adder *add, enum outbox_lane lane)
{
    size_t ready = r->o.ready.bytes;
    size_t all = outbox_bytes(&r->o);
    struct stats stats = r->stats;

    for (unsigned n = 0;; n++) {
        mem_fail_after(n, 0);
        enum err e = add(r, lane);
        mem_fail_never();
        if (e == ERR_OK)
            return n;
        assert_err(e, ERR_NOMEM);
        assert_int_equal(r->o.ready.bytes, ready);
        assert_int_equal(outbox_bytes(&r->o), all);
        assert_int_equal(r->o.held != NULL, all > ready);
        assert_memory_equal(&r->stats, &stats, sizeof(stats));
    }
}

static void failing_memory_queues_nothing(void **state)
{
    static adder *const adders[] = {add_small, add_parts, add_small_publish, add_large_publish,
                                    add_long_topic};
    unsigned failures = 0;

    (void)state;
    unit_needs_tracking();
    for (size_t a = 0; a < ARRAY_SIZE(adders); a++) {
        for (unsigned kind = 0; kind < 8; kind++) {
            enum outbox_lane lane = kind & 1 ? OUTBOX_STORED : OUTBOX_NEXT;
            struct bench r;
            bench_begin(&r, true);
            if (kind & 2)
                put(&r, OUTBOX_NEXT, "ready");
            if (kind & 4)
                put(&r, OUTBOX_STORED, "held");
            failures += fail_each(&r, adders[a], lane);
            next_turn(&r);
            failures += fail_each(&r, adders[a], lane);
            bench_end(&r);
        }
    }
    assert_true(failures > 100);
}

/* Releasing may need memory to cut a segment in two; without it the rest leaves later, in order. */
static void releasing_without_memory_is_made_up_for(void **state)
{
    (void)state;
    unit_needs_tracking();
    for (unsigned n = 0; n < 8; n++) {
        struct bench r;
        bench_begin(&r, true);
        put(&r, OUTBOX_STORED, "1 ");
        next_turn(&r);
        put(&r, OUTBOX_STORED, "2 ");
        next_turn(&r);
        put(&r, OUTBOX_STORED, "3 ");
        mem_fail_after(n, 1);
        outbox_release(&r.hub, r.persist.turn - 2);
        outbox_release(&r.hub, r.persist.turn - 1);
        outbox_release(&r.hub, r.persist.turn);
        mem_fail_never();
        assert_int_equal(outbox_bytes(&r.o), 6);
        put(&r, OUTBOX_NEXT, "4");
        outbox_release(&r.hub, r.persist.turn);
        assert_ready(&r, "1 2 3 4");
        bench_end(&r);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(without_persistence_nothing_waits),
        UNIT_TEST(what_must_be_stored_waits_for_its_turn),
        UNIT_TEST(what_comes_behind_waits_too_and_only_now_passes),
        UNIT_TEST(stretches_leave_turn_by_turn),
        UNIT_TEST(the_order_holds_over_many_turns),
        UNIT_TEST(only_what_is_ready_makes_dirty),
        UNIT_TEST(shut_drops_what_is_held),
        UNIT_TEST(clearing_takes_it_off_every_list),
        UNIT_TEST(passing_the_mark_is_crowded),
        UNIT_TEST(publications_leave_byte_for_byte),
        UNIT_TEST(receivers_do_not_see_each_others_flags),
        UNIT_TEST(large_payloads_are_not_copied),
        UNIT_TEST(failing_memory_queues_nothing),
        UNIT_TEST(releasing_without_memory_is_made_up_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
