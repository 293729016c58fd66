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
        if (!access_may_write(str_c(mine[i])))
            fail_msg("'%s' was refused", mine[i]);
    for (size_t i = 0; i < ARRAY_SIZE(not_mine); i++)
        if (access_may_write(str_c(not_mine[i])))
            fail_msg("'%s' was allowed", not_mine[i]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(anonymous_clients_come_in_if_they_may),
        UNIT_TEST(some_topics_are_not_for_clients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
