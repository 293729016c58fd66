/*
 * Which addresses are slowed down, for how long, and how many are remembered.
 */
#include "core/failures.h"

#include "unit/unit.h"

#include <arpa/inet.h>
#include <string.h>

static const struct failures_rule rule = {.limit = 3, .delay_ms = 1000};

static struct peer peer_at(const char *text)
{
    struct peer p = {.family = strchr(text, ':') ? 6 : 4};

    assert_int_equal(inet_pton(p.family == 6 ? AF_INET6 : AF_INET, text, p.ip), 1);
    return p;
}

static uint32_t fail_once(struct failures *f, const char *text, uint64_t now_ms)
{
    struct peer p = peer_at(text);

    return failures_note(f, &rule, &p, now_ms);
}

static bool is_slowed(struct failures *f, const char *text, uint64_t now_ms)
{
    struct peer p = peer_at(text);
    uint64_t turn;

    return failures_slow(f, &rule, &p, now_ms, &turn);
}

/* UINT64_MAX: too late. */
static uint64_t turn_of(struct failures *f, const char *text, uint64_t now_ms)
{
    struct peer p = peer_at(text);
    uint64_t turn = 0;

    assert_true(failures_slow(f, &rule, &p, now_ms, &turn));
    return turn;
}

static void exhaust(struct failures *f, const char *text, uint64_t now_ms)
{
    while (!is_slowed(f, text, now_ms))
        (void)fail_once(f, text, now_ms);
}

static void the_limit_is_told_once(void **state)
{
    struct failures f;

    (void)state;
    failures_init(&f, 1);
    assert_int_equal(fail_once(&f, "192.0.2.1", 0), 0);
    assert_int_equal(fail_once(&f, "192.0.2.1", 1), 0);
    assert_false(is_slowed(&f, "192.0.2.1", 1));
    assert_int_equal(fail_once(&f, "192.0.2.1", 2), 3);
    assert_true(is_slowed(&f, "192.0.2.1", 2));
    assert_int_equal(fail_once(&f, "192.0.2.1", 3), 0);
    assert_true(is_slowed(&f, "192.0.2.1", 3));
    failures_clear(&f);
}

static void turns_follow_each_other(void **state)
{
    struct failures f;

    (void)state;
    failures_init(&f, 1);
    for (unsigned i = 0; i < 3; i++)
        (void)fail_once(&f, "192.0.2.1", 500);
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(turn_of(&f, "192.0.2.1", 500), 500 + 1000 * i);
    assert_int_equal(turn_of(&f, "192.0.2.1", 500), UINT64_MAX);
    assert_int_equal(turn_of(&f, "192.0.2.1", 1499), UINT64_MAX);
    assert_int_equal(turn_of(&f, "192.0.2.1", 1500), 11500); /* one has become free */
    assert_int_equal(turn_of(&f, "192.0.2.1", 100000), 100000);
    assert_int_equal(turn_of(&f, "192.0.2.1", 100000), 101000);
    failures_clear(&f);
}

static void addresses_are_told_apart(void **state)
{
    static const struct {
        const char *guilty, *other;
        bool same;
    } cases[] = {
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
        {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
        {"c000:201::1", "192.0.2.1", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct failures f;
        failures_init(&f, i);
        exhaust(&f, cases[i].guilty, 0);
        assert_int_equal(is_slowed(&f, cases[i].other, 0), cases[i].same);
        failures_clear(&f);
    }
}

static void who_is_here_already_is_not_counted(void **state)
{
    static const char *const local[] = {"127.0.0.1", "127.255.3.4", "::1", "::ffff:127.0.0.1"};
    static const struct peer path = {0};
    struct failures f;

    (void)state;
    failures_init(&f, 1);
    for (unsigned n = 0; n < 20; n++) {
        uint64_t turn;
        for (size_t i = 0; i < ARRAY_SIZE(local); i++) {
            assert_int_equal(fail_once(&f, local[i], 0), 0);
            assert_false(is_slowed(&f, local[i], 0));
        }
        assert_int_equal(failures_note(&f, &rule, &path, 0), 0);
        assert_false(failures_slow(&f, &rule, &path, 0, &turn));
    }
    assert_int_equal(f.table.count, 0);
    exhaust(&f, "::2", 0); /* not a neighbour of ::1 that is forgiven */
    exhaust(&f, "128.0.0.1", 0);
    failures_clear(&f);
}

static void the_quiet_are_forgotten(void **state)
{
    struct failures f;

    (void)state;
    failures_init(&f, 1);
    exhaust(&f, "192.0.2.1", 1000);
    exhaust(&f, "192.0.2.2", 2000);
    assert_true(is_slowed(&f, "192.0.2.1", 1000 + FAILURES_QUIET_MS - 1));
    assert_false(is_slowed(&f, "192.0.2.1", 1000 + FAILURES_QUIET_MS));
    assert_true(is_slowed(&f, "192.0.2.2", 1000 + FAILURES_QUIET_MS));
    assert_int_equal(fail_once(&f, "192.0.2.1", 1000 + FAILURES_QUIET_MS), 0); /* from one again */
    for (unsigned i = 0; i < 3; i++) /* each failure keeps the memory of it */
        (void)fail_once(&f, "192.0.2.2", 2000 + FAILURES_QUIET_MS / 2);
    assert_true(is_slowed(&f, "192.0.2.2", 2000 + FAILURES_QUIET_MS));
    assert_false(is_slowed(&f, "192.0.2.3", 3 * FAILURES_QUIET_MS));
    assert_int_equal(f.table.count, 0); /* whoever asks */
    failures_clear(&f);
}

static const char *address_number(uint32_t n, char out[INET_ADDRSTRLEN])
{
    uint32_t ip = htonl(0x0a000000 + n);

    return inet_ntop(AF_INET, &ip, out, INET_ADDRSTRLEN);
}

static void the_oldest_go_first(void **state)
{
    struct failures f;
    char text[INET_ADDRSTRLEN];

    (void)state;
    failures_init(&f, 1);
    exhaust(&f, address_number(0, text), 0);
    exhaust(&f, address_number(1, text), 0);
    for (uint32_t i = 2; i < FAILURES_ADDRESSES; i++)
        (void)fail_once(&f, address_number(i, text), i);
    assert_int_equal(f.table.count, FAILURES_ADDRESSES);
    (void)fail_once(&f, address_number(0, text), FAILURES_ADDRESSES); /* the newest again */
    for (uint32_t i = 0; i < 100; i++)
        (void)fail_once(&f, address_number(FAILURES_ADDRESSES + i, text), FAILURES_ADDRESSES + i);
    assert_int_equal(f.table.count, FAILURES_ADDRESSES);
    assert_true(is_slowed(&f, address_number(0, text), FAILURES_ADDRESSES));
    assert_false(is_slowed(&f, address_number(1, text), FAILURES_ADDRESSES));
    failures_clear(&f);
}

static void without_memory_nothing_is_counted(void **state)
{
    struct failures f;

    unit_needs_tracking();
    (void)state;
    failures_init(&f, 1);
    for (uint64_t n = 0; n < 2; n++) {
        mem_fail_after(n, 1);
        assert_int_equal(fail_once(&f, "192.0.2.1", 0), 0);
        mem_fail_never();
        assert_int_equal(f.table.count, 0);
        assert_true(TAILQ_EMPTY(&f.list));
    }
    exhaust(&f, "192.0.2.1", 0);
    failures_clear(&f);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(the_limit_is_told_once),
        UNIT_TEST(turns_follow_each_other),
        UNIT_TEST(addresses_are_told_apart),
        UNIT_TEST(who_is_here_already_is_not_counted),
        UNIT_TEST(the_quiet_are_forgotten),
        UNIT_TEST(the_oldest_go_first),
        UNIT_TEST(without_memory_nothing_is_counted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
