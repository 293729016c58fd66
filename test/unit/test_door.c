/*
 * The door: limits, and what is said of those that are turned away.
 */
#include "server/door.h"

#include "conf_helper.h"
#include "unit.h"

#include <string.h>

struct rig {
    struct door door;
    struct conf_listener rules;
    uint16_t group;
};

static const struct peer one = {.ip = {192, 0, 2, 1}, .family = 4, .port = 50123};
static const struct peer two = {.ip = {0x20, 0x01, 0x0d, 0xb8, [15] = 2}, .family = 6, .port = 7};

/* The rules stay ours: nobody else lets them go. */
static void rig_init(struct rig *r)
{
    *r = (struct rig){.rules = {.refs = 1, .port = 1883, .max_connections = -1}};
    captured_reset();
    door_init(&r->door, &captured_log);
    assert_ok(door_add(&r->door, &r->rules, &r->group));
    door_group(&r->door, r->group)->sockets = 1;
}

static void rig_clear(struct rig *r)
{
    door_clear(&r->door);
    assert_int_equal(r->rules.refs, 1);
}

static bool admits(struct rig *r, const struct peer *peer)
{
    return door_admits(&r->door, r->group, peer, 1000);
}

static size_t lines(const char *text)
{
    size_t n = 0;
    for (const char *p = captured.text; (p = strstr(p, text)) != NULL; p++)
        n++;
    return n;
}

static void a_listener_has_its_limit(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.rules.max_connections = 2;
    for (int i = 0; i < 2; i++) {
        assert_true(admits(&r, &one));
        door_enter(&r.door, r.group);
    }
    assert_false(admits(&r, &one));
    assert_logged("Client connection from 192.0.2.1:50123 denied: max_connections exceeded (2 on "
                  "port 1883).");
    assert_false(admits(&r, &two));
    assert_logged("Client connection from 2001:db8::2:7 denied: max_connections exceeded (2 on");
    door_leave(&r.door, r.group);
    assert_true(admits(&r, &one));
    rig_clear(&r);
}

static void all_listeners_together_have_one(void **state)
{
    (void)state;
    struct rig r;
    uint16_t other;
    struct conf_listener second = {.refs = 1, .port = 1884, .max_connections = -1};
    rig_init(&r);
    assert_ok(door_add(&r.door, &second, &other));
    r.door.max_open = 2;
    door_enter(&r.door, r.group);
    door_enter(&r.door, other);
    assert_false(admits(&r, &one));
    assert_false(door_admits(&r.door, other, &one, 1000));
    assert_int_equal(lines("denied: global_max_connections exceeded (2)."), 2);
    /* The last one has gone, and so has its group: it had no socket. */
    door_leave(&r.door, other);
    assert_int_equal(second.refs, 1);
    assert_true(admits(&r, &one));
    r.door.max_open = 0;
    assert_false(admits(&r, &one));
    rig_clear(&r);
}

static void only_a_trusted_proxy_speaks_for_others(void **state)
{
    (void)state;
    struct conf_network net = {.ip = {192, 0, 2, 0}, .family = 4, .bits = 24};
    struct rig r;
    rig_init(&r);
    r.rules.proxy = CONF_PROXY_ANY;
    r.rules.trusted = &net;
    r.rules.trusted_count = 1;
    assert_true(admits(&r, &one));
    assert_false(admits(&r, &two));
    assert_logged("Client connection from 2001:db8::2:7 denied: not a trusted proxy (trusted_proxy "
                  "on port 1883).");
    /* Without the protocol nobody speaks for anybody. */
    r.rules.proxy = CONF_PROXY_OFF;
    assert_true(admits(&r, &two));
    rig_clear(&r);
}

static void a_unix_socket_has_a_path_and_no_port(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.rules.port = 0;
    r.rules.address = (char[]){"/run/a\nb"};
    r.rules.max_connections = 1;
    door_enter(&r.door, r.group);
    struct peer peer = {.listener = &r.rules};
    assert_false(admits(&r, &peer));
    assert_logged("denied: max_connections exceeded (1 on path /run/a\\x0ab).");
    assert_not_logged(":0 denied");
    rig_clear(&r);
}

static void a_flood_is_counted(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    r.rules.max_connections = 1;
    door_enter(&r.door, r.group);
    assert_int_equal(door_deadline(&r.door), UINT64_MAX);
    for (int i = 0; i < 5000; i++)
        assert_false(admits(&r, i % 2 ? &one : &two));
    assert_int_equal(lines("\n"), FLOOD_BURST);
    uint64_t due = door_deadline(&r.door);
    assert_in_range(due, 1000, 1000 + FLOOD_WINDOW_MS);
    door_tell(&r.door, due - 1);
    assert_not_logged("more.");
    door_tell(&r.door, due);
    assert_logged("Client connections denied: max_connections exceeded (1 on port 1883) … and "
                  "4,990 more.\n");
    assert_int_equal(door_deadline(&r.door), UINT64_MAX);
    rig_clear(&r);
}

static void what_is_about_an_address_is_counted_for_each(void **state)
{
    (void)state;
    struct rig r;
    struct refusal why = {.what = ": something", .personal = true};
    rig_init(&r);
    for (int i = 0; i < 100; i++)
        door_refuse(&r.door, &one, 1000, &why);
    door_refuse(&r.door, &two, 1000, &why);
    assert_logged("Client connection from 2001:db8::2:7 denied: something.");
    door_tell(&r.door, 1000 + FLOOD_WINDOW_MS);
    assert_logged("Client connections from 192.0.2.1 denied: something … and 90 more.");
    rig_clear(&r);
}

/* As many as a link can name; and a place that is free again is found. */
static void groups_are_limited(void **state)
{
    (void)state;
    struct rig r;
    uint16_t group = 0;
    rig_init(&r);
    struct group *places = mem_zalloc(UINT16_MAX * sizeof(*places));
    assert_non_null(places);
    for (size_t i = 0; i < UINT16_MAX; i++)
        places[i] = (struct group){.rules = conf_listener_ref(&r.rules), .sockets = 1};
    door_clear(&r.door);
    r.door.groups = places;
    r.door.group_count = UINT16_MAX;
    assert_err(door_add(&r.door, &r.rules, &group), ERR_FULL);
    door_enter(&r.door, 40000);
    places[40000].sockets = 0;
    door_leave(&r.door, 40000);
    assert_ok(door_add(&r.door, &r.rules, &group));
    assert_int_equal(group, 40000);
    rig_clear(&r);
}

static void without_memory_there_is_no_new_group(void **state)
{
    (void)state;
    unit_needs_tracking();
    struct rig r;
    uint16_t group = 0;
    rig_init(&r);
    mem_fail_after(0, false);
    assert_err(door_add(&r.door, &r.rules, &group), ERR_NOMEM);
    mem_fail_never();
    assert_int_equal(r.rules.refs, 2);
    assert_ok(door_add(&r.door, &r.rules, &group));
    rig_clear(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(a_listener_has_its_limit),
        UNIT_TEST(all_listeners_together_have_one),
        UNIT_TEST(only_a_trusted_proxy_speaks_for_others),
        UNIT_TEST(a_unix_socket_has_a_path_and_no_port),
        UNIT_TEST(a_flood_is_counted),
        UNIT_TEST(what_is_about_an_address_is_counted_for_each),
        UNIT_TEST(groups_are_limited),
        UNIT_TEST(without_memory_there_is_no_new_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
