/*
 * Topic names and filters: validity, levels, matching, by tables.
 */
#include "mqtt/topic.h"

#include "unit.h"

#include <stdlib.h>

struct check {
    const char *text;
    enum reason reason;
};

static const struct check names[] = {
    {"a", REASON_OK},
    {"/", REASON_OK},
    {"//", REASON_OK},
    {"a/b/c", REASON_OK},
    {"$SYS/broker/uptime", REASON_OK},
    {"sensors/kitchen/temperature", REASON_OK},
    {"a b", REASON_OK},
    {"*,.-\"'", REASON_OK}, /* neighbours of the wildcards */
    {"abcdefgh*,\"$!%&'()3;+", REASON_TOPIC_WILDCARD},
    {"", REASON_TOPIC_EMPTY},
    {"+", REASON_TOPIC_WILDCARD},
    {"#", REASON_TOPIC_WILDCARD},
    {"a/+/b", REASON_TOPIC_WILDCARD},
    {"a/b#", REASON_TOPIC_WILDCARD},
    {"12345678#", REASON_TOPIC_WILDCARD},
    {"1234567+", REASON_TOPIC_WILDCARD},
    {"123456+8", REASON_TOPIC_WILDCARD},
    {"+2345678901234567", REASON_TOPIC_WILDCARD},
    {"1234567890#234567", REASON_TOPIC_WILDCARD},
};

static void names_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (topic_check_name(str_c(names[i].text)) != names[i].reason)
            fail_msg("%s", names[i].text);
    }
}

/* A wildcard at each place of names of each length, in exact allocations; nothing else is taken for
 * one. */
static void wildcards_are_found_at_every_place(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 40; n++) {
        char *p = malloc(n);
        assert_non_null(p);
        memset(p, 'a', n);
        for (size_t i = 0; i < n; i++) {
            for (int c = 0; c < 256; c++) {
                p[i] = (char)c;
                bool wild = c == '+' || c == '#';
                enum reason want = wild ? REASON_TOPIC_WILDCARD : REASON_OK;
                if (topic_check_name(str_of(p, n)) != want)
                    fail_msg("byte %d at %zu of %zu", c, i, n);
            }
            p[i] = 'a';
        }
        free(p);
    }
}

static const struct check filters[] = {
    {"a", REASON_OK},      {"+", REASON_OK},          {"#", REASON_OK},
    {"/", REASON_OK},      {"+/+", REASON_OK},        {"/+", REASON_OK},
    {"+/", REASON_OK},     {"a/#", REASON_OK},        {"/#", REASON_OK},
    {"+/#", REASON_OK},    {"+/a/+/b/#", REASON_OK},  {"$SYS/#", REASON_OK},
    {"$share", REASON_OK}, {"", REASON_TOPIC_EMPTY},  {"a#", REASON_FILTER},
    {"#a", REASON_FILTER}, {"a/#/b", REASON_FILTER},  {"#/", REASON_FILTER},
    {"##", REASON_FILTER}, {"++", REASON_FILTER},     {"+a", REASON_FILTER},
    {"a+", REASON_FILTER}, {"a/b+/c", REASON_FILTER}, {"a/+b/c", REASON_FILTER},
    {"+#", REASON_FILTER}, {"#+", REASON_FILTER},     {"a/+#", REASON_FILTER},
};

static void filters_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
        if (topic_check_filter(str_c(filters[i].text)) != filters[i].reason)
            fail_msg("%s", filters[i].text);
    }
}

static const struct check subscriptions[] = {
    {"a/+/#", REASON_OK},
    {"$share", REASON_OK}, /* an ordinary '$' filter */
    {"$share/group/a", REASON_OK},
    {"$share/group/#", REASON_OK},
    {"$share/group/+/b", REASON_OK},
    {"$share/group//", REASON_OK},
    {"$shared/group", REASON_OK},
    {"$SHARE/+/x", REASON_OK},
    {"", REASON_TOPIC_EMPTY},
    {"a#", REASON_FILTER},
    {"$share/", REASON_SHARE_NAME},
    {"$share/group", REASON_SHARE_NAME},
    {"$share/group/", REASON_SHARE_NAME},
    {"$share//a", REASON_SHARE_NAME},
    {"$share/+/a", REASON_SHARE_NAME},
    {"$share/#", REASON_SHARE_NAME},
    {"$share/gr#up/a", REASON_SHARE_NAME},
    {"$share/group/a#", REASON_FILTER},
    {"$share/group/#/a", REASON_FILTER},
};

static void subscriptions_are_checked(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(subscriptions); i++) {
        if (topic_check_subscription(str_c(subscriptions[i].text)) != subscriptions[i].reason)
            fail_msg("%s", subscriptions[i].text);
    }
}

static void shared_subscriptions_are_split(void **state)
{
    struct str group;
    struct str filter;

    (void)state;
    assert_true(topic_is_shared(STR("$share/g/a/b"), &group, &filter));
    assert_true(str_eq(group, STR("g")));
    assert_true(str_eq(filter, STR("a/b")));
    assert_true(topic_is_shared(STR("$share/g/"), &group, &filter));
    assert_true(str_eq(group, STR("g")));
    assert_int_equal(filter.n, 0);
    assert_true(topic_is_shared(STR("$share/g"), &group, &filter));
    assert_true(str_eq(group, STR("g")));
    assert_int_equal(filter.n, 0);
    assert_true(topic_is_shared(STR("$share/"), &group, &filter));
    assert_int_equal(group.n, 0);
    assert_false(topic_is_shared(STR("$share"), &group, &filter));
    assert_false(topic_is_shared(STR("a/$share/g/b"), &group, &filter));
    assert_false(topic_is_shared(str_of(NULL, 0), &group, &filter));
}

/* `levels` levels of one byte each */
static struct str deep(char *buf, size_t levels)
{
    for (size_t i = 0; i < levels; i++) {
        buf[2 * i] = 'a';
        buf[2 * i + 1] = '/';
    }
    return str_of(buf, 2 * levels - 1);
}

static void levels_are_limited(void **state)
{
    static char buf[65535];
    struct str group;
    struct str filter;

    (void)state;
    assert_int_equal(topic_check_name(deep(buf, TOPIC_LEVELS_MAX)), REASON_OK);
    assert_int_equal(topic_check_filter(deep(buf, TOPIC_LEVELS_MAX)), REASON_OK);
    assert_int_equal(topic_check_name(deep(buf, TOPIC_LEVELS_MAX + 1)), REASON_LEVELS);
    assert_int_equal(topic_check_filter(deep(buf, TOPIC_LEVELS_MAX + 1)), REASON_LEVELS);
    memset(buf, '/', sizeof(buf));
    assert_int_equal(topic_check_name(str_of(buf, TOPIC_LEVELS_MAX - 1)), REASON_OK);
    assert_int_equal(topic_check_name(str_of(buf, TOPIC_LEVELS_MAX)), REASON_LEVELS);
    assert_int_equal(topic_check_name(str_of(buf, sizeof(buf))), REASON_LEVELS);
    assert_int_equal(topic_check_filter(str_of(buf, sizeof(buf))), REASON_LEVELS);
    /* in a shared subscription the filter's levels count */
    struct str part = deep(buf + 9, TOPIC_LEVELS_MAX);
    memcpy(buf, "$share/g/", 9);
    struct str whole = str_of(buf, part.n + 9);
    assert_true(topic_is_shared(whole, &group, &filter));
    assert_int_equal(topic_check_subscription(whole), REASON_OK);
}

struct split {
    const char *topic;
    unsigned n;
    const char *levels[4];
};

static const struct split splits[] = {
    {"a", 1, {"a"}},      {"/", 2, {"", ""}},           {"a//b", 3, {"a", "", "b"}},
    {"/a", 2, {"", "a"}}, {"a/", 2, {"a", ""}},         {"abc/+/#", 3, {"abc", "+", "#"}},
    {"", 1, {""}},        {"///", 4, {"", "", "", ""}},
};

static void topics_are_split_into_levels(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(splits); i++) {
        const struct split *s = &splits[i];
        struct str topic = str_c(s->topic);
        struct str level;
        size_t at = 0;
        for (unsigned k = 0; k < s->n; k++) {
            assert_true(topic_level(topic, &at, &level));
            assert_true(str_eq_c(level, s->levels[k]));
        }
        assert_false(topic_level(topic, &at, &level));
        assert_false(topic_level(topic, &at, &level));
        assert_int_equal(topic_levels(topic), s->n);
    }
}

struct match {
    const char *filter;
    const char *name;
    bool matches;
};

static const struct match matches[] = {
    {"a", "a", true},
    {"a", "b", false},
    {"a", "A", false}, /* case matters (4.7.3) */
    {"a", "a/b", false},
    {"a/b", "a", false},
    {"a", "/a", false},
    {"/a", "/a", true},
    {"a/", "a", false},
    {"a/", "a/", true},
    {"ACCOUNTS", "Accounts", false},
    {"sport/tennis/player1/#", "sport/tennis/player1", true},
    {"sport/tennis/player1/#", "sport/tennis/player1/ranking", true},
    {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
    {"sport/tennis/player1/#", "sport/tennis/player11", false},
    {"sport/#", "sport", true},
    {"sport/#", "sports", false},
    {"#", "a", true},
    {"#", "/", true},
    {"#", "a/b/c", true},
    {"/#", "/", true},
    {"/#", "a", false},
    {"a/#", "a/", true},
    {"a/+/#", "a", false},
    {"a/+/#", "a/b", true},
    {"sport/tennis/+", "sport/tennis/player1", true},
    {"sport/tennis/+", "sport/tennis/player1/ranking", false},
    {"sport/+", "sport", false},
    {"sport/+", "sport/", true},
    {"+", "finance", true},
    {"+", "/finance", false},
    {"+/+", "/finance", true},
    {"/+", "/finance", true},
    {"+/tennis/#", "sport/tennis", true},
    {"+/b/+", "a/b/c", true},
    {"+/b/+", "a/c/c", false},
    {"#", "$SYS/x", false}, /* 4.7.2-1 */
    {"+/monitor/Clients", "$SYS/monitor/Clients", false},
    {"+", "$SYS", false},
    {"$SYS/#", "$SYS/monitor/Clients", true},
    {"$SYS/#", "$SYS", true},
    {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
    {"a/#", "a/$b", true}, /* only the first byte counts */
    {"a/+", "a/$b", true},
};

static void filters_match_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(matches); i++) {
        const struct match *m = &matches[i];
        if (topic_matches(str_c(m->filter), str_c(m->name)) != m->matches)
            fail_msg("%s, %s", m->filter, m->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(names_are_checked),
        UNIT_TEST(wildcards_are_found_at_every_place),
        UNIT_TEST(filters_are_checked),
        UNIT_TEST(subscriptions_are_checked),
        UNIT_TEST(shared_subscriptions_are_split),
        UNIT_TEST(levels_are_limited),
        UNIT_TEST(topics_are_split_into_levels),
        UNIT_TEST(filters_match_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
