/*
 * Who may come in, and which topics are the broker's own.
 */
#include "core/access.h"

#include "auth/realm.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <string.h>

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

/* Before there is a session: a will. */
static void an_acl_decides_for_who_is_not_connected_yet(void **state)
{
    static const struct {
        const char *user;
        const char *client;
        const char *topic;
        bool granted;
        const char *rule;
    } cases[] = {
        {"joe", "c", "a", true, "/etc/acl:2"},
        {"joe", "c", "b", false, "/etc/acl:3"},
        {"joe", "c", "d", false, "acl_file /etc/acl: no line grants it"},
        {"", "c", "of/c", true, "/etc/acl:4"},
        {"", "+", "of/+", false, "acl_file /etc/acl: a name or id with + or # has no rights"},
    };
    struct conf_listener rules = {.refs = 1};
    char rule[ACCESS_RULE_MAX];

    (void)state;
    assert_true(access_decide_write(&rules, STR("joe"), STR("c"), STR("a")).granted);
    rig_acl(&rules, "user joe\ntopic write a\ntopic deny b\npattern write of/%c\n");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct acl_verdict v = access_decide_write(&rules, str_c(cases[i].user),
                                                   str_c(cases[i].client), str_c(cases[i].topic));
        access_rule(rules.realm->acl, &v, rule);
        if (v.granted != cases[i].granted || strcmp(rule, cases[i].rule) != 0)
            fail_msg("'%s' for '%s': %d, %s", cases[i].topic, cases[i].user, v.granted, rule);
    }
    rig_acl(&rules, NULL);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(anonymous_clients_come_in_if_they_may),
        UNIT_TEST(some_topics_are_not_for_clients),
        UNIT_TEST(a_mount_point_hides_nothing),
        UNIT_TEST(an_acl_decides_for_who_is_not_connected_yet),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
