/*
 * Dials: what comes of each step, and that nothing is waited for longer than it may take.
 */
#include "server/dial.h"

#include "dial_rig.h"

#include <stdlib.h>
#include <sys/resource.h>

#define CONNACK "\x20\x02\x00\x00"

/* --- tests --- */

static void connects(void **state)
{
    (void)state;
    struct rig r;
    char text[CONF_MAX];
    uint16_t port;
    int listener = listening(&port);
    rig_init(&r, bridge_to(text, port, 0, ""));
    await_links(&r, LINK_LIVE, 1);
    int fd = accepted(listener);
    assert_int_equal(hear_first(&r, fd), 0x10); /* CONNECT */
    assert_int_equal(r.door.open, 0);
    assert_int_equal(TAILQ_FIRST(&r.links.list[LINK_LIVE])->group, LINK_NO_GROUP);
    assert_int_equal(dials_deadline(r.dials), UINT64_MAX);
    assert_int_equal(send(fd, CONNACK, 4, 0), 4);
    await_log(&r, "Bridge up connected");
    (void)close(fd);
    await_log(&r, "Bridge up disconnected");
    assert_int_equal(count_links(&r, LINK_LIVE), 0);
    (void)close(listener);
    rig_clear(&r);
}

static void is_refused(void **state)
{
    (void)state;
    struct rig r;
    char text[CONF_MAX];
    uint16_t port;
    int closed = bound(&port);
    rig_init(&r, bridge_to(text, port, 0, ""));
    await_log(&r, "connection refused");
    assert_int_equal(count_links(&r, LINK_DIALLING), 0);
    (void)close(closed);
    rig_clear(&r);
}

static void tries_the_next_address(void **state)
{
    (void)state;
    struct rig r;
    char text[CONF_MAX];
    uint16_t one;
    uint16_t two;
    int closed = bound(&one);
    int listener = listening(&two);
    rig_init(&r, bridge_to(text, one, two, ""));
    await_links(&r, LINK_LIVE, 1);
    (void)close(accepted(listener));
    (void)close(listener);
    (void)close(closed);
    rig_clear(&r);
}

/* … of the same name. */
static void tries_all_addresses_of_a_name(void **state)
{
    (void)state;
    struct rig r;
    char text[CONF_MAX];
    char hosts[] = "/tmp/test_dial.XXXXXX";
    static const char lines[] = "127.0.0.2 two\n127.0.0.1 two\n";
    uint16_t port;
    int fd = mkstemp(hosts);
    assert_int_equal(write(fd, lines, sizeof(lines) - 1), sizeof(lines) - 1);
    int listener = bound(&port);
    (void)snprintf(
        text, sizeof(text),
        "listener 1883 127.0.0.1\nconnection up\naddress two:%u\ntopic # out\nrestart_timeout 1\n",
        port);
    rig_init_with(&r, text, hosts);
    await_log(&r, "connection refused (the last of 2 addresses, 127.0.0.");
    assert_logged("Bridge up: 127.0.0.1 port");
    assert_logged("Bridge up: 127.0.0.2 port");
    assert_int_equal(listen(listener, 16), 0);
    r.now_ms += 1000;
    await_links(&r, LINK_LIVE, 1);
    (void)close(accepted(listener));
    (void)close(listener);
    (void)close(fd);
    (void)unlink(hosts);
    rig_clear(&r);
}

static void cannot_look_up(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r,
             "listener 1883 127.0.0.1\nconnection up\naddress no_such..name:1883\ntopic # out\n");
    await_log(&r, "Unable to connect bridge up");
    assert_int_equal(count_links(&r, LINK_DIALLING), 0);
    rig_clear(&r);
}

static void waits_five_seconds(void **state)
{
    (void)state;
    struct rig r;
    char text[CONF_MAX];
    uint16_t one;
    uint16_t two;
    int stuffing[4];
    int silent = deaf(&one, stuffing);
    int listener = listening(&two);
    rig_init(&r, bridge_to(text, one, two, ""));
    await_links(&r, LINK_DIALLING, 1);
    uint64_t begun_ms = r.now_ms;
    turns(&r, 10);
    assert_true(dials_deadline(r.dials) <= begun_ms + 5000);
    r.now_ms = begun_ms + 4900;
    turns(&r, 10);
    assert_int_equal(count_links(&r, LINK_DIALLING), 1);
    assert_not_logged("no answer");
    r.now_ms += 1000;
    await_log(&r, "no answer within 5 s");
    await_links(&r, LINK_LIVE, 1);
    close_all(stuffing, 4);
    (void)close(silent);
    (void)close(listener);
    rig_clear(&r);
}

/* A section that goes takes its dial with it. */
static void is_not_wanted_any_more(void **state)
{
    (void)state;
    struct rig r;
    char text[CONF_MAX];
    uint16_t port;
    int stuffing[4];
    int silent = deaf(&port, stuffing);
    rig_init(&r, bridge_to(text, port, 0, ""));
    await_links(&r, LINK_DIALLING, 1);
    struct conf *fresh = loaded("listener 1883 127.0.0.1\n");
    assert_ok(broker_prepare(r.broker, fresh));
    broker_commit(r.broker);
    conf_free(r.conf);
    r.conf = fresh;
    r.now_ms += 1000;
    turn(&r);
    assert_int_equal(count_links(&r, LINK_DIALLING), 0);
    assert_int_equal(dials_deadline(r.dials), UINT64_MAX);
    close_all(stuffing, 4);
    (void)close(silent);
    rig_clear(&r);
}

/* The socket of a dial that is on its way when the broker ends is closed, and all is given back. */
static void ends_on_its_way(void **state)
{
    (void)state;
    struct rig r;
    char text[CONF_MAX];
    uint16_t port;
    int stuffing[4];
    int silent = deaf(&port, stuffing);
    rig_init(&r, bridge_to(text, port, 0, ""));
    await_links(&r, LINK_DIALLING, 1);
    rig_clear(&r);
    close_all(stuffing, 4);
    (void)close(silent);
}

static void has_no_descriptor(void **state)
{
    (void)state;
    struct rig r;
    char text[CONF_MAX];
    uint16_t port;
    struct rlimit was;
    int listener = listening(&port);
    rig_init(&r, bridge_to(text, port, 0, ""));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
    const struct rlimit none = {.rlim_cur = 3, .rlim_max = was.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    for (int i = 0; i < 20; i++)
        turn(&r);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
    assert_logged("no file descriptor is free");
    (void)close(listener);
    rig_clear(&r);
}

static void binds_to_a_wrong_address(void **state)
{
    (void)state;
    struct rig r;
    char text[CONF_MAX];
    uint16_t port;
    int listener = listening(&port);
    rig_init(&r, bridge_to(text, port, 0, "bridge_bind_address 192.0.2.1"));
    await_log(&r, "bridge_bind_address 192.0.2.1: cannot assign requested address");
    rig_clear(&r);
    rig_init(&r, bridge_to(text, port, 0, "bridge_bind_address ::1"));
    await_log(&r, "bridge_bind_address is of another family than the address");
    rig_clear(&r);
    (void)close(listener);
}

/* With a second address in use the first is tried from time to time, and closed at once. */
static void probes_the_first(void **state)
{
    (void)state;
    struct rig r;
    char text[CONF_MAX];
    uint16_t one;
    uint16_t two;
    int primary = bound(&one);
    int listener = listening(&two);
    rig_init(&r, bridge_to(text, one, two, "restart_timeout 5"));
    await_links(&r, LINK_LIVE, 1);
    int fd = accepted(listener);
    assert_int_equal(hear_first(&r, fd), 0x10);
    assert_int_equal(send(fd, CONNACK, 4, 0), 4);
    await_log(&r, "connected");
    assert_int_equal(listen(primary, 16), 0);
    int probe = -1;
    for (int i = 0; i < 200 && probe < 0; i++) {
        r.now_ms += 1000;
        turns(&r, 5);
        probe = accept4(primary, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    assert_true(probe >= 0);
    uint8_t got[64];
    for (int i = 0; i < 100 && recv(probe, got, sizeof(got), 0) < 0; i++)
        turn(&r);
    assert_int_equal(recv(probe, got, sizeof(got), 0), 0); /* not even CONNECT */
    (void)close(probe);
    (void)close(fd);
    (void)close(primary);
    (void)close(listener);
    rig_clear(&r);
}

/* Each allocation fails once in turn: then it takes another attempt, and nothing is lost. */
static void survives_failing_memory(void **state)
{
    (void)state;
    unit_needs_tracking();
    char text[CONF_MAX];
    uint16_t port;
    int listener = listening(&port);
    bool failed = true;
    for (uint64_t n = 0; failed; n++) {
        struct rig r;
        rig_init(&r, bridge_to(text, port, 0, "restart_timeout 1"));
        broker_tick(r.broker, (struct now){.mono_ms = r.now_ms, .wall_s = 1});
        (void)broker_work(r.broker); /* it is there, and wants to be connected */
        mem_fail_after(n, false);
        for (int i = 0; i < 40 && count_links(&r, LINK_LIVE) == 0; i++) {
            r.now_ms += 100;
            turn(&r);
        }
        failed = mem_failed() > 0;
        mem_fail_never();
        assert_int_equal(count_links(&r, LINK_LIVE), 1);
        (void)close(accepted(listener));
        rig_clear(&r);
    }
    (void)close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(connects),
        UNIT_TEST(is_refused),
        UNIT_TEST(tries_the_next_address),
        UNIT_TEST(tries_all_addresses_of_a_name),
        UNIT_TEST(cannot_look_up),
        UNIT_TEST(waits_five_seconds),
        UNIT_TEST(is_not_wanted_any_more),
        UNIT_TEST(ends_on_its_way),
        UNIT_TEST(has_no_descriptor),
        UNIT_TEST(binds_to_a_wrong_address),
        UNIT_TEST(probes_the_first),
        UNIT_TEST(survives_failing_memory),
    };
    return cmocka_run_group_tests_name("dial", tests, NULL, NULL);
}
