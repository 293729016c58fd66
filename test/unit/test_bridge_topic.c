/*
 * `topic` lines: words, quotes, prefixes, and which filters come out.
 */
#include "conf/bridge_topic.h"

#include "unit.h"

#include <stdio.h>
#include <string.h>

struct expected {
    const char *line, *local, *remote;
    unsigned local_prefix, remote_prefix;
    unsigned direction, qos;
};

static void check_topic(const struct expected *x)
{
    struct conf_bridge b = {0};
    const char *why = NULL;
    const struct conf_bridge_topic *t;

    if (bridge_topic_add(&b, str_c(x->line), &why) != ERR_OK)
        fail_msg("%s: %s", x->line, why ? why : "?");
    assert_int_equal(b.topic_count, 1);
    t = &b.topics[0];
    assert_string_equal(t->local, x->local);
    assert_string_equal(t->remote, x->remote);
    assert_int_equal(t->local_prefix, x->local_prefix);
    assert_int_equal(t->remote_prefix, x->remote_prefix);
    assert_int_equal(t->direction, x->direction);
    assert_int_equal(t->qos, x->qos);
    bridge_topics_free(&b);
    assert_int_equal(b.topic_count, 0);
}

static void lines_that_are_right(void **state)
{
    static const struct expected cases[] = {
        {"#", "#", "#", 0, 0, CONF_OUT, 0},
        {"a/+/b", "a/+/b", "a/+/b", 0, 0, CONF_OUT, 0},
        {"# out", "#", "#", 0, 0, CONF_OUT, 0},
        {"# in", "#", "#", 0, 0, CONF_IN, 0},
        {"# both 2", "#", "#", 0, 0, CONF_BOTH, 2},
        {"#\tboth \t 1  ", "#", "#", 0, 0, CONF_BOTH, 1},
        {"# in 1 l/ r/", "l/#", "r/#", 2, 2, CONF_IN, 1},
        {"# in 1 l/", "l/#", "#", 2, 0, CONF_IN, 1},
        {"# in 1 \"\" r/s/", "#", "r/s/#", 0, 4, CONF_IN, 1},
        {"# in 1 \"\" \"\"", "#", "#", 0, 0, CONF_IN, 1},
        {"x out 0 pre pre2", "prex", "pre2x", 3, 4, CONF_OUT, 0},
        {"\"\" out 1 here/a there/b", "here/a", "there/b", 6, 7, CONF_OUT, 1},
        {"\"a b/#\" both 2 \"l l/\" r/", "l l/a b/#", "r/a b/#", 4, 2, CONF_BOTH, 2},
        {"\"#\" in", "#", "#", 0, 0, CONF_IN, 0},
        {"a\"b", "a\"b", "a\"b", 0, 0, CONF_OUT, 0},
        {"# # comment", "#", "#", 0, 0, CONF_OUT, 0},
        {"# in # comment", "#", "#", 0, 0, CONF_IN, 0},
        {"# in 0 l/ r/ # comment \"", "l/#", "r/#", 2, 2, CONF_IN, 0},
        {"$SYS/# in 0 far/", "far/$SYS/#", "$SYS/#", 4, 0, CONF_IN, 0},
        {"/ out", "/", "/", 0, 0, CONF_OUT, 0},
        {"\xC3\xA4/# out", "\xC3\xA4/#", "\xC3\xA4/#", 0, 0, CONF_OUT, 0},
        {"# in 0 / /", "/#", "/#", 1, 1, CONF_IN, 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
        check_topic(&cases[i]);
}

static void lines_that_are_wrong(void **state)
{
    static const struct {
        const char *line, *why;
    } cases[] = {
        {"", "expected a pattern"},
        {"# up", "expected out, in or both"},
        {"a b in", "expected out, in or both"},
        {"# IN", "expected out, in or both"},
        {"# in 3", "expected 0, 1 or 2"},
        {"# in -1", "expected 0, 1 or 2"},
        {"# in x", "expected 0, 1 or 2"},
        {"# in l/", "expected 0, 1 or 2"},
        {"# in 0 +/", "expected a local prefix without + and #"},
        {"# in 0 l/ r#/", "expected a remote prefix without + and #"},
        {"# in 0 l", "expected local prefix and pattern to be a filter together"},
        {"# in 0 l/ r", "expected remote prefix and pattern to be a filter together"},
        {"+/x out 0 l r/", "expected local prefix and pattern"},
        {"a#b", "expected a pattern that is a filter"},
        {"a/#/b", "expected a pattern that is a filter"},
        {"a+", "expected a pattern that is a filter"},
        {"\"\"", "expected two prefixes beside an empty pattern"},
        {"\"\" in 0 l/", "expected two prefixes beside an empty pattern"},
        {"\"\" in 0 \"\" r/", "expected two prefixes beside an empty pattern"},
        {"# in 0 l/ r/ more", "expected nothing behind the remote prefix"},
        {"\"a b", "expected quotes at both ends"},
        {"\"", "expected quotes at both ends"},
        {"\"a\"b in", "expected quotes at both ends"},
        {"# in 0 \"l/ r/", "expected quotes at both ends"},
        {"$share/g/a in", "expected no shared subscription"},
        {"g/a in 0 \"\" $share/", "expected remote prefix and pattern"},
        {"a\xFF", "expected UTF-8 text"},
        {"a\x01", "expected UTF-8 text"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct conf_bridge b = {0};
        const char *why = "";
        if (bridge_topic_add(&b, str_c(cases[i].line), &why) != ERR_INVAL)
            fail_msg("%s was taken", cases[i].line);
        if (strncmp(why, cases[i].why, strlen(cases[i].why)) != 0)
            fail_msg("%s: %s", cases[i].line, why);
        assert_int_equal(why[strlen(why) - 1], '.');
        assert_null(b.topics);
    }
}

static void as_long_as_a_topic_may_be(void **state)
{
    static char line[2 * UINT16_MAX];
    struct conf_bridge b = {0};
    const char *why = NULL;

    (void)state;
    memset(line, 'a', UINT16_MAX);
    assert_ok(bridge_topic_add(&b, str_of(line, UINT16_MAX), &why));
    assert_int_equal(strlen(b.topics[0].local), UINT16_MAX);
    assert_err(bridge_topic_add(&b, str_of(line, UINT16_MAX), &why), ERR_EXISTS);
    memcpy(line + UINT16_MAX - 1, " in 0 b", 8);
    assert_ok(bridge_topic_add(&b, str_c(line), &why));
    memcpy(line + UINT16_MAX - 1, " in 0 bc", 9);
    assert_err(bridge_topic_add(&b, str_c(line), &why), ERR_INVAL);
    assert_string_equal(why, "expected no more than 65535 bytes of prefix and pattern.");
    bridge_topics_free(&b);
}

static void only_what_is_all_the_same_is_a_duplicate(void **state)
{
    static const char *const different[] = {
        "a/# in",           "a/# in 1",       "a/# out",        "a/# both",     "a/# in 0 b/",
        "a/# in 0 \"\" b/", "a/# in 0 b/ c/", "a/# in 0 a/ a/", "# in 0 a/ a/", "# in 0 \"\" a/"};
    struct conf_bridge b = {0};
    const char *why = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(different); i++)
        assert_ok(bridge_topic_add(&b, str_c(different[i]), &why));
    for (size_t i = 0; i < ARRAY_SIZE(different); i++)
        assert_err(bridge_topic_add(&b, str_c(different[i]), &why), ERR_EXISTS);
    assert_err(bridge_topic_add(&b, STR("\"a/#\"  in 0 \"\" \"\""), &why), ERR_EXISTS);
    assert_int_equal(b.topic_count, ARRAY_SIZE(different));
    bridge_topics_free(&b);
}

static void a_bridge_has_so_many_topics(void **state)
{
    struct conf_bridge b = {0};
    const char *why = NULL;
    char line[20];

    (void)state;
    for (unsigned i = 0; i < BRIDGE_TOPICS_MAX; i++) {
        snprintf(line, sizeof(line), "%u", i);
        assert_ok(bridge_topic_add(&b, str_c(line), &why));
    }
    assert_err(bridge_topic_add(&b, STR("x"), &why), ERR_INVAL);
    assert_string_equal(why, "expected no more than 4096 topics in one bridge.");
    bridge_topics_free(&b);
}

static void lists_are_compared_in_order(void **state)
{
    static const char *const lists[][3] = {{"a", "b", NULL},
                                           {"a", NULL, NULL},
                                           {"b", "a", NULL},
                                           {"a", "b in", NULL},
                                           {"a", "b", "c"}};
    struct conf_bridge b[ARRAY_SIZE(lists)] = {0};
    const char *why = NULL;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(lists[i]) && lists[i][j]; j++)
            assert_ok(bridge_topic_add(&b[i], str_c(lists[i][j]), &why));
    }
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        for (size_t j = 0; j < ARRAY_SIZE(lists); j++)
            assert_int_equal(bridge_topics_same(&b[i], &b[j]), i == j);
    }
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
        bridge_topics_free(&b[i]);
}

static void without_memory_nothing_is_added(void **state)
{
    struct conf_bridge b = {0};
    const char *why = NULL;
    enum err e = ERR_NOMEM;
    unsigned n = 0;

    (void)state;
    unit_needs_tracking();
    for (; e == ERR_NOMEM; n++) {
        mem_fail_after(n, 0);
        e = bridge_topic_add(&b, STR("# in 0 a/ b/"), &why);
        mem_fail_never();
        assert_int_equal(b.topic_count, e == ERR_OK);
    }
    assert_int_equal(e, ERR_OK);
    assert_int_equal(n, 4); /* two filters and the list */
    bridge_topics_free(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(lines_that_are_right),
        UNIT_TEST(lines_that_are_wrong),
        UNIT_TEST(as_long_as_a_topic_may_be),
        UNIT_TEST(only_what_is_all_the_same_is_a_duplicate),
        UNIT_TEST(a_bridge_has_so_many_topics),
        UNIT_TEST(lists_are_compared_in_order),
        UNIT_TEST(without_memory_nothing_is_added),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
