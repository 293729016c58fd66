/*
 * Verdicts in words: which questions can be asked, what decides besides an ACL, and failing memory.
 */
#include "auth/acl_explain.h"

#include "auth/acl.h"
#include "auth/realm.h"
#include "conf_helper.h"

#define LONG_TEXT 65536

static struct acl_question question(const char *user, enum acl_action action, const char *topic)
{
    return (struct acl_question){
        .user = str_c(user), .client = STR("c"), .action = action, .topic = str_c(topic)};
}

static void questions_are_checked(void **state)
{
    static const struct {
        enum acl_action action;
        const char *topic;
        const char *fault; /* its beginning; NULL: none */
    } cases[] = {
        {ACL_ACTION_READ, "a/b", NULL},
        {ACL_ACTION_WRITE, "$SYS/x", NULL},
        {ACL_ACTION_SUBSCRIBE, "+/#", NULL},
        {ACL_ACTION_SUBSCRIBE, "$share/g/a", NULL},
        {ACL_ACTION_READ, "", "the topic is empty"},
        {ACL_ACTION_SUBSCRIBE, "", "the topic is empty"},
        {ACL_ACTION_READ, "a/#", "a topic to read or write has no wildcards"},
        {ACL_ACTION_WRITE, "+", "a topic to read or write has no wildcards"},
        {ACL_ACTION_SUBSCRIBE, "a#", "no valid filter"},
        {ACL_ACTION_SUBSCRIBE, "$share//a", "expected $share/GROUP/FILTER"},
        {ACL_ACTION_READ, "a\x01", "expected UTF-8 text"},
    };
    struct acl_question q;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const char *fault;
        q = question("u", cases[i].action, cases[i].topic);
        fault = acl_question_fault(&q);
        if (!fault != !cases[i].fault ||
            (fault && strncmp(fault, cases[i].fault, strlen(cases[i].fault)) != 0))
            fail_msg("%s: %s", cases[i].topic, fault ? fault : "none");
    }
    q = question("u\n", ACL_ACTION_READ, "a");
    assert_non_null(acl_question_fault(&q));
    q = question("u", ACL_ACTION_READ, "a");
    q.client = STR("");
    assert_non_null(acl_question_fault(&q));
    q.client = STR("\xff");
    assert_non_null(acl_question_fault(&q));
}

static void long_questions_are_refused(void **state)
{
    char *text = mem_alloc(LONG_TEXT);
    struct acl_question q = question("u", ACL_ACTION_READ, "a");

    (void)state;
    assert_non_null(text);
    memset(text, 'x', LONG_TEXT);
    q.topic = str_of(text, LONG_TEXT - 1);
    assert_null(acl_question_fault(&q));
    q.topic = str_of(text, LONG_TEXT);
    assert_non_null(acl_question_fault(&q));
    memset(text, '/', LONG_TEXT);
    q.topic = str_of(text, 200);
    assert_string_equal(acl_question_fault(&q), "expected a topic of at most 200 levels");
    mem_free(text, LONG_TEXT);
}

static struct realm realm;

static void with_rules(struct conf_listener *l, const char *text)
{
    captured_reset();
    assert_ok(acl_parse(str_c(text), "acl", &captured_log, &realm.acl));
    l->realm = &realm;
}

static void assert_answer(const struct conf_listener *l, struct acl_question q, bool granted,
                          const char *answer)
{
    struct buf out = {0};
    bool is = !granted;

    assert_ok(acl_explain(l, &q, &out, &is));
    if (is != granted || !str_eq_c(buf_str(&out), answer))
        fail_msg("%d %.*s", is, STR_ARG(buf_str(&out)));
    buf_clear(&out);
}

static void answers(void **state)
{
    struct conf_listener l = {0};

    (void)state;
    assert_answer(&l, question("u", ACL_ACTION_READ, "a"), true, "granted: no acl_file");
    assert_answer(&l, question("u", ACL_ACTION_WRITE, "$SYS/x"), false,
                  "denied: the topic belongs to the broker, whatever an ACL says");
    with_rules(&l, "user u\ntopic deny b\n topic \t read a \ntopic $SYS/#\npattern m/%c\n");
    assert_answer(&l, question("u", ACL_ACTION_READ, "a"), true,
                  "granted by acl:3: topic \\x09 read a");
    assert_answer(&l, question("u", ACL_ACTION_WRITE, "a"), false,
                  "denied: no line of acl grants it");
    assert_answer(&l, question("u", ACL_ACTION_WRITE, "b"), false, "denied by acl:2: topic deny b");
    assert_answer(&l, question("u", ACL_ACTION_WRITE, "$SYS/broker/connection/x/state"), true,
                  "granted by acl:4: topic $SYS/#");
    assert_answer(&l, question("+", ACL_ACTION_READ, "a"), false,
                  "denied: acl has patterns, and so whoever has + or # in its name or id may do "
                  "only what its own lines grant");
    assert_answer(&l, question("u", ACL_ACTION_SUBSCRIBE, "#"), true,
                  "granted, as all subscriptions are without acl_subscribe check; reading at least "
                  "some of its messages is granted by acl:3: topic \\x09 read a");
    l.security.acl_subscribe_check = true;
    assert_answer(&l, question("u", ACL_ACTION_SUBSCRIBE, "$share/g/b"), false,
                  "denied by acl:2: topic deny b (acl_subscribe check)");
    acl_unref(realm.acl);
}

static void mount_points(void **state)
{
    struct conf_listener l = {.mount_point = (char *)(uintptr_t) "m/"};

    (void)state;
    with_rules(&l, "pattern m/%c\npattern read m/#\n");
    assert_answer(&l, question("", ACL_ACTION_WRITE, "c"), true,
                  "granted by acl:1: pattern m/%c (asked about 'm/c', as mount_point makes it)");
    assert_answer(&l, question("", ACL_ACTION_WRITE, "$SYS/x"), false,
                  "denied: the topic belongs to the broker, whatever an ACL says (asked about "
                  "'m/$SYS/x', as mount_point makes it)");
    l.mount_point = (char *)(uintptr_t) "m";
    assert_answer(&l, question("", ACL_ACTION_SUBSCRIBE, "#"), false,
                  "denied: a wildcard cannot follow this mount_point, or it makes the topic too "
                  "long (asked about 'm#', as mount_point makes it)");
    acl_unref(realm.acl);
}

static void a_mount_point_may_make_topics_too_long(void **state)
{
    char *text = mem_alloc(LONG_TEXT);
    struct conf_listener l = {.mount_point = (char *)(uintptr_t) "m/"};
    struct acl_question q = question("", ACL_ACTION_WRITE, "");

    (void)state;
    assert_non_null(text);
    with_rules(&l, "topic #\n");
    for (int i = 0; i < 2; i++) {
        struct buf out = {0};
        bool granted = true;
        memset(text, i ? '/' : 'x', LONG_TEXT);
        q.topic = str_of(text, i ? 199 : LONG_TEXT - 1);
        assert_null(acl_question_fault(&q));
        assert_ok(acl_explain(&l, &q, &out, &granted));
        assert_false(granted);
        buf_clear(&out);
    }
    acl_unref(realm.acl);
    mem_free(text, LONG_TEXT);
}

static void every_allocation_may_fail(void **state)
{
    struct conf_listener l = {.mount_point = (char *)(uintptr_t) "m/"};
    struct acl_question q = question("", ACL_ACTION_SUBSCRIBE, "c");
    struct buf out = {0};
    bool granted = false;
    uint64_t n = 0;
    enum err e;

    (void)state;
    unit_needs_tracking();
    with_rules(&l, "pattern m/%c\n");
    do {
        buf_clear(&out);
        mem_fail_after(n++, 0);
        e = acl_explain(&l, &q, &out, &granted);
        mem_fail_never();
        assert_true(e == ERR_OK || e == ERR_NOMEM);
    } while (e && n < 50);
    assert_true(n > 3 && n < 50);
    assert_true(granted);
    buf_clear(&out);
    acl_unref(realm.acl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(questions_are_checked),
        UNIT_TEST(long_questions_are_refused),
        UNIT_TEST(answers),
        UNIT_TEST(mount_points),
        UNIT_TEST(a_mount_point_may_make_topics_too_long),
        UNIT_TEST(every_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("acl_explain", tests, NULL, NULL);
}
