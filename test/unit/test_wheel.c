/*
 * The timing wheel against a naive model: the armed timers and their times.
 */
#include "base/wheel.h"

#include "base/rng.h"
#include "unit.h"

#define TIMERS 150

static void nothing_armed_nothing_due(void **state)
{
    struct wheel w;

    (void)state;
    wheel_init(&w, 1000);
    assert_true(wheel_next_ms(&w) == UINT64_MAX);
    assert_null(wheel_pop(&w));
    wheel_advance(&w, UINT64_C(1) << 60);
    assert_null(wheel_pop(&w));
    assert_true(w.now_ms == UINT64_C(1) << 60);
}

static void a_timer_fires_at_its_time_and_not_before(void **state)
{
    static const uint64_t delays[] = {1,     2,     63,     64,      65,       4095,       4096,
                                      60000, 90000, 262144, 3600000, 86400000, 31536000000};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(delays); i++) {
        for (uint64_t start = 0; start < 200; start += 7) {
            struct wheel_timer t = {0};
            struct wheel w;

            wheel_init(&w, start);
            wheel_arm(&w, &t, start + delays[i]);
            assert_true(wheel_armed(&t));
            wheel_advance(&w, start + delays[i] - 1);
            assert_null(wheel_pop(&w));
            wheel_advance(&w, start + delays[i]);
            assert_true(wheel_next_ms(&w) == w.now_ms);
            assert_ptr_equal(wheel_pop(&w), &t);
            assert_false(wheel_armed(&t));
            assert_null(wheel_pop(&w));
            assert_int_equal(w.count, 0);
        }
    }
}

static void the_past_is_due_at_once(void **state)
{
    struct wheel_timer t = {0};
    struct wheel w;

    (void)state;
    wheel_init(&w, 1000);
    wheel_arm(&w, &t, 5);
    assert_true(wheel_next_ms(&w) == 1000);
    assert_ptr_equal(wheel_pop(&w), &t);
    wheel_arm(&w, &t, 1000);
    assert_ptr_equal(wheel_pop(&w), &t);
}

static void the_clock_never_goes_back(void **state)
{
    struct wheel_timer t = {0};
    struct wheel w;

    (void)state;
    wheel_init(&w, 1000);
    wheel_arm(&w, &t, 1100);
    wheel_advance(&w, 900);
    assert_true(w.now_ms == 1000);
    wheel_advance(&w, 1100);
    assert_ptr_equal(wheel_pop(&w), &t);
}

static void arming_again_moves(void **state)
{
    struct wheel_timer t = {0};
    struct wheel w;

    (void)state;
    wheel_init(&w, 0);
    wheel_arm(&w, &t, 10);
    wheel_arm(&w, &t, 100000);
    assert_int_equal(w.count, 1);
    wheel_advance(&w, 99999);
    assert_null(wheel_pop(&w));
    wheel_advance(&w, 100000);
    wheel_arm(&w, &t, 100010); /* out of the due list */
    assert_null(wheel_pop(&w));
    wheel_advance(&w, 100010);
    assert_ptr_equal(wheel_pop(&w), &t);
}

static void disarming_takes_out(void **state)
{
    struct wheel_timer t[5] = {0};
    struct wheel w;

    (void)state;
    wheel_init(&w, 0);
    for (int i = 0; i < 5; i++)
        wheel_arm(&w, &t[i], 5000);
    wheel_disarm(&w, &t[2]);
    wheel_disarm(&w, &t[2]);
    wheel_disarm(&w, &t[4]);
    assert_int_equal(w.count, 3);
    wheel_advance(&w, 6000);
    wheel_disarm(&w, &t[3]);
    wheel_disarm(&w, &t[0]);
    assert_ptr_equal(wheel_pop(&w), &t[1]);
    assert_null(wheel_pop(&w));
    assert_true(wheel_next_ms(&w) == UINT64_MAX);
    wheel_arm(&w, &t[0], 7000);
    wheel_disarm(&w, &t[0]);
    assert_true(wheel_next_ms(&w) == UINT64_MAX);
}

/* Who stops popping at a budget must not starve those that have been due for longest. */
static void first_due_first_served(void **state)
{
    struct wheel_timer t[20] = {0};
    struct wheel w;

    (void)state;
    wheel_init(&w, 0);
    for (uint64_t i = 0; i < 20; i++)
        wheel_arm(&w, &t[i], 10 + i * 100);
    for (uint64_t now = 0; now <= 2000; now += 100)
        wheel_advance(&w, now);
    for (int i = 0; i < 20; i++)
        assert_ptr_equal(wheel_pop(&w), &t[i]);
}

/* Sleeping until wheel_next_ms wakes a handful of times for a timer an hour away. */
static void waiting_takes_few_steps(void **state)
{
    struct wheel_timer t = {0};
    struct wheel w;
    int steps = 0;

    (void)state;
    wheel_init(&w, 123456789);
    wheel_arm(&w, &t, 123456789 + 3600 * 1000);
    while (!wheel_pop(&w)) {
        wheel_advance(&w, wheel_next_ms(&w));
        steps++;
    }
    assert_true(w.now_ms == 123456789 + 3600 * 1000);
    assert_true(steps <= WHEEL_LEVELS);
}

/* Hours of nothing are skipped, not counted through: a billion jumps' worth of time in no time. */
static void idle_jumps_are_cheap(void **state)
{
    struct wheel_timer t = {0};
    struct wheel w;

    (void)state;
    wheel_init(&w, 0);
    wheel_arm(&w, &t, UINT64_MAX / 2);
    for (uint64_t i = 0; i < 100000; i++)
        wheel_advance(&w, i * 36000000);
    assert_int_equal(w.count, 1);
    assert_null(wheel_pop(&w));
    wheel_disarm(&w, &t);
}

struct model {
    struct wheel wheel;
    struct wheel_timer timers[TIMERS];
    bool armed[TIMERS];
    uint64_t due[TIMERS];
    struct rng rng;
};

/* Of any magnitude: a few milliseconds as likely as a few years. */
static uint64_t random_span(struct rng *rng)
{
    return rng_u64(rng) >> (64 - 1 - rng_below(rng, 42));
}

static uint64_t earliest(const struct model *m)
{
    uint64_t first = UINT64_MAX;

    for (size_t i = 0; i < TIMERS; i++) {
        if (m->armed[i] && m->due[i] < first)
            first = m->due[i];
    }
    return first;
}

static void model_pop(struct model *m)
{
    uint32_t budget = rng_below(&m->rng, 4) == 0 ? rng_below(&m->rng, 5) : UINT32_MAX;
    struct wheel_timer *t;

    while (budget > 0 && (t = wheel_pop(&m->wheel)) != NULL) {
        size_t i = (size_t)(t - m->timers);

        assert_true(i < TIMERS && m->armed[i]);
        assert_true(m->due[i] <= m->wheel.now_ms);
        m->armed[i] = false;
        budget--;
    }
    if (budget > 0)
        assert_true(earliest(m) > m->wheel.now_ms);
}

static void model_advance(struct model *m)
{
    uint64_t now = m->wheel.now_ms + random_span(&m->rng);
    uint64_t next = wheel_next_ms(&m->wheel);

    if (rng_below(&m->rng, 2) && next != UINT64_MAX)
        now = next;
    wheel_advance(&m->wheel, now);
    assert_true(m->wheel.now_ms == now);
    model_pop(m);
}

static void model_step(struct model *m)
{
    size_t i = rng_below(&m->rng, TIMERS);
    uint64_t span = random_span(&m->rng);

    switch (rng_below(&m->rng, 8)) {
    case 0:
        wheel_disarm(&m->wheel, &m->timers[i]);
        m->armed[i] = false;
        break;
    case 1:
    case 2:
        model_advance(m);
        break;
    case 3:
        m->due[i] = m->wheel.now_ms > span ? m->wheel.now_ms - span : 0;
        wheel_arm(&m->wheel, &m->timers[i], m->due[i]);
        m->armed[i] = true;
        break;
    default:
        m->due[i] = m->wheel.now_ms + span;
        wheel_arm(&m->wheel, &m->timers[i], m->due[i]);
        m->armed[i] = true;
    }
}

static void model_check(const struct model *m)
{
    uint64_t first = earliest(m);
    uint64_t next = wheel_next_ms(&m->wheel);
    size_t count = 0;

    for (size_t i = 0; i < TIMERS; i++) {
        assert_int_equal(wheel_armed(&m->timers[i]), m->armed[i]);
        count += m->armed[i];
    }
    assert_int_equal(m->wheel.count, count);
    if (first == UINT64_MAX)
        assert_true(next == UINT64_MAX);
    else if (first <= m->wheel.now_ms)
        assert_true(next == m->wheel.now_ms);
    else
        assert_true(next > m->wheel.now_ms && next <= first);
}

static void random_use(uint64_t seed, uint64_t start, int rounds)
{
    static struct model m;

    m = (struct model){0};
    rng_seed(&m.rng, seed);
    wheel_init(&m.wheel, start);
    for (int round = 0; round < rounds; round++) {
        model_step(&m);
        model_check(&m);
    }
    /* Sleeping on, all that is armed fires; the check says that no sleep is too long. */
    while (m.wheel.count > 0) {
        wheel_advance(&m.wheel, wheel_next_ms(&m.wheel));
        model_pop(&m);
        model_check(&m);
    }
}

static void random_use_matches_the_model(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 30; seed++) {
        random_use(seed, 0, 5000);
        random_use(seed, (UINT64_C(1) << 36) - 1000, 1000); /* a turn of the top level */
        random_use(seed, UINT64_C(1) << 62, 1000);
        random_use(seed, 1700000000000, 1000);
    }
}

/* Small steps and short spans, where each millisecond and each border of a level is met. */
static void every_millisecond_is_met(void **state)
{
    struct wheel_timer t[64] = {0};
    struct rng rng;
    struct wheel w;

    (void)state;
    rng_seed(&rng, 1);
    wheel_init(&w, 0);
    for (size_t i = 0; i < ARRAY_SIZE(t); i++)
        wheel_arm(&w, &t[i], 1 + rng_below(&rng, 10000));
    for (uint64_t now = 1; now < 300000; now++) {
        struct wheel_timer *due;

        wheel_advance(&w, now);
        while ((due = wheel_pop(&w)) != NULL) {
            assert_true(due->due_ms == now);
            wheel_arm(&w, due, now + 1 + rng_below(&rng, 10000));
        }
        for (size_t i = 0; i < ARRAY_SIZE(t); i++)
            assert_true(t[i].due_ms > now);
    }
    for (size_t i = 0; i < ARRAY_SIZE(t); i++)
        wheel_disarm(&w, &t[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(nothing_armed_nothing_due), UNIT_TEST(a_timer_fires_at_its_time_and_not_before),
        UNIT_TEST(the_past_is_due_at_once),   UNIT_TEST(the_clock_never_goes_back),
        UNIT_TEST(arming_again_moves),        UNIT_TEST(disarming_takes_out),
        UNIT_TEST(first_due_first_served),    UNIT_TEST(waiting_takes_few_steps),
        UNIT_TEST(idle_jumps_are_cheap),      UNIT_TEST(random_use_matches_the_model),
        UNIT_TEST(every_millisecond_is_met),
    };

    return cmocka_run_group_tests_name("wheel", tests, NULL, NULL);
}
