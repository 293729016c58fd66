/*
 * Who may come in, and which topics are the broker's own.
 */
#include "core/access.h"

#include "unit.h"

static void anonymous_clients_come_in_if_they_may(void **state)
{
    struct conf_listener rules = {0};
    const struct packet_connect nobody = {0};
    const struct packet_connect somebody = {
        .has_username = true, .has_password = true, .username = STR("u"), .password = STR("p")};

    (void)state;
    assert_false(access_may_connect(&rules, &nobody));
    assert_false(access_may_connect(&rules, &somebody)); /* nobody can check that yet */
    rules.security.allow_anonymous = true;
    assert_true(access_may_connect(&rules, &nobody));
    assert_true(access_may_connect(&rules, &somebody));
}

static void some_topics_are_not_for_clients(void **state)
{
    static const char *const mine[] = {"a",       "$",        "$a",
                                       "$SY",     "$CONTROL", "a/$SYS",
                                       "/$SYS/x", "$sys/x",   "$SYS/broker/connection/a/state"};
    static const char *const not_mine[] = {"$SYS/x",
                                           "$SYS",
                                           "$SYS/broker/uptime",
                                           "$SYS/broker/connection/a/b/state",
                                           "$SYS/broker/connection/state",
                                           "$SYS/broker/connection/a/state/x",
                                           "$CONTROL/dynamic-security/v1"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(mine); i++)
        if (!access_may_write(NULL, str_c(mine[i])))
            fail_msg("'%s' was refused", mine[i]);
    for (size_t i = 0; i < ARRAY_SIZE(not_mine); i++)
        if (access_may_write(NULL, str_c(not_mine[i])))
            fail_msg("'%s' was allowed", not_mine[i]);
}

/* Behind a mount point both count: what the client wrote, and what became of it. */
static void a_mount_point_hides_nothing(void **state)
{
    static const struct {
        const char *mount;
        const char *topic; /* as the broker sees it */
        bool good;
    } cases[] = {
        {"m/", "m/a", true},
        {"m/", "m/$x/a", true},
        {"m/", "m/$SYS/x", false},
        {"m/", "m/$CONTROL/x", false},
        {"m/", "m/$SYS/broker/connection/a/state", true},
        {"m", "m$SYS/x", false},
        {"$SYS/", "$SYS/x", false},
        {"$SYS/broker/", "$SYS/broker/connection/a/state", true},
        {"$CONTROL/", "$CONTROL/x", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct conf_listener map = {.mount_point = (char *)(uintptr_t)cases[i].mount};
        if (access_may_write(&map, str_c(cases[i].topic)) != cases[i].good)
            fail_msg("'%s' behind '%s'", cases[i].topic, cases[i].mount);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(anonymous_clients_come_in_if_they_may),
        UNIT_TEST(some_topics_are_not_for_clients),
        UNIT_TEST(a_mount_point_hides_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
