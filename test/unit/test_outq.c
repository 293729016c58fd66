/*
 * The output queue against a naive model: one array of bytes.
 */
#include "base/outq.h"

#include "base/rng.h"
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#define KEEP 4

struct thing {
    struct blob blob;
    uint8_t bytes[20000];
};

static struct outq_pool pool;

static struct thing *thing_new(uint8_t first)
{
    struct thing *t = (struct thing *)(void *)blob_new(sizeof(*t));

    assert_non_null(t);
    for (size_t i = 0; i < sizeof(t->bytes); i++)
        t->bytes[i] = (uint8_t)(first + i);
    return t;
}

/* The first bytes that wait, as the system would get them. */
static size_t gather(const struct outq *q, int n, uint8_t *out, size_t cap)
{
    struct iovec iov[64];
    size_t total = 0;

    assert_true(n <= (int)ARRAY_SIZE(iov));
    n = outq_iovec(q, iov, n);
    for (int i = 0; i < n; i++) {
        assert_true(iov[i].iov_len > 0);
        assert_true(total + iov[i].iov_len <= cap);
        memcpy(out + total, iov[i].iov_base, iov[i].iov_len);
        total += iov[i].iov_len;
    }
    return total;
}

static void add_byte(struct outq *q, uint8_t byte)
{
    uint8_t *room = outq_room(q, &pool, 1);

    assert_non_null(room);
    *room = byte;
    outq_added(q, 1);
}

static void an_empty_queue_owns_nothing(void **state)
{
    struct outq q = {0};
    struct iovec iov;

    (void)state;
    outq_pool_init(&pool, KEEP);
    assert_int_equal(outq_iovec(&q, &iov, 1), 0);
    outq_drop(&q, &pool, 0);
    assert_ok(outq_copy(&q, &pool, NULL, 0));
    assert_ok(outq_move(&q, &(struct outq){0}, &pool, 0));
    assert_int_equal(outq_iovec(&q, &iov, 1), 0);
    outq_clear(&q, &pool);
    outq_pool_clear(&pool);
}

static void small_packets_share_a_chunk(void **state)
{
    struct outq q = {0};
    struct iovec iov[2];

    (void)state;
    outq_pool_init(&pool, KEEP);
    for (int i = 0; i < 100; i++) {
        uint8_t *room = outq_room(&q, &pool, 40);

        assert_non_null(room);
        memset(room, i, 40);
        outq_added(&q, 30);
    }
    assert_int_equal(q.bytes, 3000);
    assert_int_equal(outq_iovec(&q, iov, 2), 1);
    assert_int_equal(iov[0].iov_len, 3000);
    assert_int_equal(((uint8_t *)iov[0].iov_base)[30], 1);
    outq_drop(&q, &pool, 3000);
    assert_null(q.last);
    outq_pool_clear(&pool);
}

static void room_not_used_is_nothing_queued(void **state)
{
    struct outq q = {0};
    struct outq to = {0};
    struct thing *t = thing_new(0);
    struct iovec iov[3];

    (void)state;
    outq_pool_init(&pool, KEEP);
    assert_non_null(outq_room(&q, &pool, OUTQ_CONTIGUOUS));
    assert_int_equal(q.bytes, 0);
    assert_int_equal(outq_iovec(&q, iov, 3), 0);
    assert_ok(outq_slice(&q, &pool, &t->blob, t->bytes, 5));
    assert_non_null(outq_room(&q, &pool, 1));
    assert_int_equal(outq_iovec(&q, iov, 3), 1);
    assert_ptr_equal(iov[0].iov_base, t->bytes);
    outq_drop(&q, &pool, 5);
    assert_null(q.last);
    assert_null(q.last);
    /* Moving leaves it behind. */
    assert_non_null(outq_room(&q, &pool, 1));
    assert_ok(outq_move(&to, &q, &pool, 0));
    assert_null(q.last);
    assert_null(to.last);
    blob_unref(&t->blob);
    outq_pool_clear(&pool);
}

static void contiguous_room_is_contiguous(void **state)
{
    struct outq q = {0};

    (void)state;
    outq_pool_init(&pool, KEEP);
    for (size_t i = 0; i < 50; i++) {
        uint8_t *room = outq_room(&q, &pool, OUTQ_CONTIGUOUS);

        assert_non_null(room);
        memset(room, 1, OUTQ_CONTIGUOUS);
        outq_added(&q, OUTQ_CONTIGUOUS - i);
    }
    outq_clear(&q, &pool);
    assert_int_equal(q.bytes, 0);
    outq_pool_clear(&pool);
}

static void slices_are_referenced_and_not_copied(void **state)
{
    struct outq q = {0};
    struct thing *t = thing_new(0);
    struct iovec iov[3];

    (void)state;
    outq_pool_init(&pool, KEEP);
    add_byte(&q, 'x');
    assert_ok(outq_slice(&q, &pool, &t->blob, t->bytes + 10, 10000));
    assert_ok(outq_slice(&q, &pool, &t->blob, t->bytes, 0));
    add_byte(&q, 'y');
    assert_int_equal(t->blob.refs, 2);
    assert_int_equal(outq_iovec(&q, iov, 3), 3);
    assert_ptr_equal(iov[1].iov_base, t->bytes + 10);
    assert_int_equal(iov[1].iov_len, 10000);
    outq_drop(&q, &pool, 5001);
    assert_int_equal(t->blob.refs, 2);
    assert_int_equal(outq_iovec(&q, iov, 3), 2);
    assert_ptr_equal(iov[0].iov_base, t->bytes + 5010);
    outq_drop(&q, &pool, 5000);
    assert_int_equal(t->blob.refs, 1);
    assert_int_equal(q.bytes, 1);
    outq_drop(&q, &pool, 1);
    assert_null(q.last);
    blob_unref(&t->blob);
    outq_pool_clear(&pool);
}

/* The promise to the hot path: steady traffic allocates nothing, whatever it is made of. */
static void steady_traffic_allocates_nothing(void **state)
{
    struct outq held = {0};
    struct outq ready = {0};
    struct thing *t = thing_new(0);
    uint64_t calls = 0;

    (void)state;
    outq_pool_init(&pool, KEEP);
    for (int turn = 0; turn < 50; turn++) {
        for (int i = 0; i < 100; i++)
            add_byte(&held, 'x');
        assert_ok(outq_copy(&held, &pool, t->bytes, 5000));
        assert_ok(outq_slice(&held, &pool, &t->blob, t->bytes, 1000));
        assert_ok(outq_move(&ready, &held, &pool, 5500));
        outq_drop(&ready, &pool, 3000);
        outq_drop(&ready, &pool, ready.bytes);
        outq_clear(&held, &pool);
        if (turn == 0)
            calls = mem_calls();
    }
    assert_int_equal(mem_calls(), calls);
    blob_unref(&t->blob);
    outq_pool_clear(&pool);
}

static void the_pool_keeps_no_more_than_it_may(void **state)
{
    struct outq q = {0};
    size_t used = mem_used();

    (void)state;
    unit_needs_tracking();
    outq_pool_init(&pool, KEEP);
    for (int i = 0; i < 100; i++) {
        assert_non_null(outq_room(&q, &pool, OUTQ_CONTIGUOUS));
        outq_added(&q, OUTQ_CONTIGUOUS);
    }
    assert_true(mem_used() - used >= (size_t)100 * OUTQ_CONTIGUOUS);
    outq_drop(&q, &pool, q.bytes);
    assert_int_equal(mem_used() - used, KEEP * OUTQ_CHUNK);
    assert_int_equal(pool.spare_count, KEEP);
    outq_pool_clear(&pool);
}

static void moving_relinks_and_splits(void **state)
{
    struct outq from = {0};
    struct outq to = {0};
    struct thing *t = thing_new(0);
    uint8_t out[200];

    (void)state;
    outq_pool_init(&pool, KEEP);
    assert_ok(outq_copy(&to, &pool, "(", 1));
    assert_ok(outq_copy(&from, &pool, "abc", 3));
    assert_ok(outq_slice(&from, &pool, &t->blob, &t->bytes[48], 10));
    assert_ok(outq_copy(&from, &pool, "xyz", 3));
    assert_ok(outq_move(&to, &from, &pool, 2));
    assert_ok(outq_move(&to, &from, &pool, 4));
    assert_int_equal(gather(&to, 64, out, sizeof(out)), 7);
    assert_memory_equal(out, "(abc012", 7);
    assert_int_equal(gather(&from, 64, out, sizeof(out)), 10);
    assert_memory_equal(out, "3456789xyz", 10);
    assert_int_equal(t->blob.refs, 3);
    assert_ok(outq_move(&to, &from, &pool, from.bytes));
    assert_null(from.last);
    assert_int_equal(gather(&to, 64, out, sizeof(out)), 17);
    assert_memory_equal(out, "(abc0123456789xyz", 17);
    outq_clear(&to, &pool);
    assert_int_equal(t->blob.refs, 1);
    blob_unref(&t->blob);
    outq_pool_clear(&pool);
}

/* A receiver that does not read gets a few bytes each turn: they may not take a chunk each. */
static void many_small_moves_fill_chunks(void **state)
{
    struct outq from = {0};
    struct outq to = {0};
    size_t used = mem_used();

    (void)state;
    unit_needs_tracking();
    outq_pool_init(&pool, KEEP);
    for (int i = 0; i < 10000; i++) {
        assert_ok(outq_copy(&from, &pool, "ACK!", 4));
        assert_ok(outq_move(&to, &from, &pool, 4));
    }
    assert_int_equal(to.bytes, 40000);
    assert_true(mem_used() - used < 60000);
    outq_clear(&to, &pool);
    outq_pool_clear(&pool);
}

/* A head of 30 bytes may not take a chunk, nor one that is too long for a short one be cut off. */
static void a_packet_with_a_slice_takes_little_more(void **state)
{
    static const size_t heads[] = {0, 1, 30, 96, 97, 200, 5000};
    static uint8_t out[20000];
    struct thing *t = thing_new(7);
    struct outq q = {0};
    size_t used;

    (void)state;
    outq_pool_init(&pool, 0);
    for (size_t i = 0; i < ARRAY_SIZE(heads); i++) {
        struct str head = str_of((const char *)t->bytes, heads[i]);
        for (int first = 0; first < 2; first++) {
            if (first)
                add_byte(&q, '!');
            assert_ok(outq_copy_and_slice(&q, &pool, head, &t->blob,
                                          str_of((const char *)t->bytes + 100, 3000)));
            assert_int_equal(gather(&q, 64, out, sizeof(out)), (size_t)first + heads[i] + 3000);
            assert_memory_equal(out + first, t->bytes, heads[i]);
            assert_memory_equal(out + first + heads[i], t->bytes + 100, 3000);
            outq_drop(&q, &pool, q.bytes);
        }
    }
    assert_int_equal(t->blob.refs, 1);
    used = mem_used();
    for (int i = 0; i < 1000; i++)
        assert_ok(outq_copy_and_slice(&q, &pool, STR("a head"), &t->blob,
                                      str_of((const char *)t->bytes, 3000)));
    assert_true(mem_used() - used < 1000 * 200);
    outq_clear(&q, &pool);
    blob_unref(&t->blob);
    outq_pool_clear(&pool);
}

static void failure_queues_nothing(void **state)
{
    struct outq q = {0};
    struct outq to = {0};
    struct thing *t = thing_new(0);

    (void)state;
    unit_needs_tracking();
    outq_pool_init(&pool, 0);
    assert_ok(outq_copy(&q, &pool, "abc", 3));
    for (uint64_t n = 0; n < 3; n++) {
        mem_fail_after(n, 1);
        assert_err(outq_copy(&q, &pool, t->bytes, 16000), ERR_NOMEM);
    }
    assert_int_equal(q.bytes, 3);
    mem_fail_after(0, 1);
    assert_ok(outq_copy(&q, &pool, t->bytes, 2000));
    assert_ok(outq_copy(&q, &pool, t->bytes, 2000));
    assert_null(outq_room(&q, &pool, 2000));
    assert_err(outq_slice(&q, &pool, &t->blob, t->bytes, 100), ERR_NOMEM);
    for (uint64_t n = 0; n < 2; n++) {
        mem_fail_after(n, 1);
        assert_err(
            outq_copy_and_slice(&q, &pool, str_of((const char *)t->bytes, 100), &t->blob, STR("x")),
            ERR_NOMEM);
    }
    mem_fail_after(0, 1);
    assert_int_equal(t->blob.refs, 1);
    assert_err(outq_move(&to, &q, &pool, 1), ERR_NOMEM);
    assert_int_equal(q.bytes, 4003);
    assert_int_equal(to.bytes, 0);
    /* No segment needs to be split. */
    assert_ok(outq_move(&to, &q, &pool, 4003));
    outq_clear(&to, &pool);
    blob_unref(&t->blob);
    outq_pool_clear(&pool);
}

/* A queue and the bytes that should be in it. */
struct model {
    struct outq q;
    uint8_t *bytes;
    size_t n;
};

#define MODEL_MOST 400000

static void model_append(struct model *m, const uint8_t *p, size_t n)
{
    assert_true(m->n + n <= MODEL_MOST);
    memcpy(m->bytes + m->n, p, n);
    m->n += n;
}

static void model_cut(struct model *m, size_t n)
{
    m->n -= n;
    memmove(m->bytes, m->bytes + n, m->n);
}

static void model_check(const struct model *m)
{
    static uint8_t out[MODEL_MOST];
    size_t got = gather(&m->q, 64, out, sizeof(out));

    assert_int_equal(m->q.bytes, m->n);
    assert_true(got <= m->n);
    assert_true(got == m->n || got > 0);
    assert_memory_equal(out, m->bytes, got);
}

static size_t random_length(struct rng *rng, size_t most)
{
    size_t n = rng_below(rng, (uint32_t)1 << rng_below(rng, 15));

    return n < most ? n : most;
}

static void model_step(struct model *m, struct model *other, struct rng *rng, struct thing *t)
{
    size_t at = rng_below(rng, 1000);
    const uint8_t *p = t->bytes + at;
    size_t n = random_length(rng, sizeof(t->bytes) - at);
    uint8_t *room;

    switch (rng_below(rng, 6)) {
    case 0:
        n = n < OUTQ_CONTIGUOUS ? n : OUTQ_CONTIGUOUS;
        room = outq_room(&m->q, &pool, n);
        if (!room)
            return;
        n = rng_below(rng, (uint32_t)n + 1);
        memcpy(room, p, n);
        outq_added(&m->q, n);
        break;
    case 1:
        if (outq_copy(&m->q, &pool, p, n) != ERR_OK)
            return;
        break;
    case 2:
        if (outq_slice(&m->q, &pool, &t->blob, p, n) != ERR_OK)
            return;
        break;
    case 3: {
        size_t head = rng_below(rng, (uint32_t)n + 1);
        head = rng_below(rng, 2) && head > 50 ? 50 : head;
        if (outq_copy_and_slice(&m->q, &pool, str_of((const char *)p, head), &t->blob,
                                str_of((const char *)p + head, n - head)) != ERR_OK)
            return;
        break;
    }
    case 4:
        n = random_length(rng, m->n);
        if (outq_move(&other->q, &m->q, &pool, n) != ERR_OK)
            return;
        model_append(other, m->bytes, n);
        model_cut(m, n);
        return;
    default:
        n = m->n > 100000 || rng_below(rng, 10) == 0 ? m->n : random_length(rng, m->n);
        outq_drop(&m->q, &pool, n);
        model_cut(m, n);
        return;
    }
    model_append(m, p, n);
}

static void random_use(uint64_t seed, bool failures)
{
    struct model m[2] = {{.bytes = malloc(MODEL_MOST)}, {.bytes = malloc(MODEL_MOST)}};
    struct thing *t = thing_new((uint8_t)seed);
    struct rng rng;

    outq_pool_init(&pool, (uint32_t)seed % 3 * 4);
    rng_seed(&rng, seed);
    for (int round = 0; round < 4000; round++) {
        uint32_t which = rng_below(&rng, 2);

        if (failures)
            mem_fail_after(rng_below(&rng, 4), 0);
        model_step(&m[which], &m[!which], &rng, t);
        model_check(&m[0]);
        model_check(&m[1]);
    }
    mem_fail_never();
    outq_drop(&m[0].q, &pool, m[0].n);
    assert_null(m[0].q.last);
    outq_clear(&m[1].q, &pool);
    assert_int_equal(t->blob.refs, 1);
    blob_unref(&t->blob);
    outq_pool_clear(&pool);
    free(m[0].bytes);
    free(m[1].bytes);
}

static void random_use_matches_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++)
        random_use(seed, seed % 2 == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(an_empty_queue_owns_nothing),
        UNIT_TEST(small_packets_share_a_chunk),
        UNIT_TEST(room_not_used_is_nothing_queued),
        UNIT_TEST(contiguous_room_is_contiguous),
        UNIT_TEST(a_packet_with_a_slice_takes_little_more),
        UNIT_TEST(slices_are_referenced_and_not_copied),
        UNIT_TEST(steady_traffic_allocates_nothing),
        UNIT_TEST(the_pool_keeps_no_more_than_it_may),
        UNIT_TEST(moving_relinks_and_splits),
        UNIT_TEST(many_small_moves_fill_chunks),
        UNIT_TEST(failure_queues_nothing),
        UNIT_TEST(random_use_matches_the_model),
    };

    return cmocka_run_group_tests_name("outq", tests, NULL, NULL);
}
