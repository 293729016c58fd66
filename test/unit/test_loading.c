/*
 * Sessions while records are applied: found or made by number, ended, named, subscribed.
 */
#include "core/loading.h"

#include "unit.h"

#include <string.h>

static struct loading_session *session(struct loading *all, uint64_t number)
{
    struct loading_session *l = loading_session(all, number);

    assert_non_null(l);
    assert_int_equal(l->number, number);
    return l;
}

static const struct loading_filter *find(const struct loading_session *l, const char *text)
{
    const struct loading_filter *f;
    uint64_t cursor = 0;

    while ((f = loading_next_filter(l, &cursor))) {
        if (str_eq_c(str_of(f->text, f->len), text))
            return f;
    }
    return NULL;
}

static void sessions_are_found_or_made(void **state)
{
    struct loading all = {0};
    uint64_t cursor = 0;
    unsigned n = 0;

    (void)state;
    struct loading_session *five = session(&all, 5);
    struct loading_session *two = session(&all, 2);
    assert_ptr_not_equal(five, two);
    assert_ptr_equal(session(&all, 5), five);
    assert_null(five->id);
    assert_null(five->flow);
    assert_int_equal(all.highest, 5);
    while (loading_next(&all, &cursor))
        n++;
    assert_int_equal(n, 2);
    loading_clear(&all);
}

/* What has ended is gone with all that it had; what is said of its number later is another one. */
static void ended_sessions_are_gone(void **state)
{
    struct loading all = {0};
    uint64_t cursor = 0;

    (void)state;
    struct loading_session *l = session(&all, 3);
    assert_ok(loading_name(l, STR("id")));
    assert_ok(loading_need_flow(l));
    assert_ok(loading_subscribe(l, STR("a"), QOS_1));
    loading_end(&all, 3);
    assert_null(loading_next(&all, &cursor));
    loading_end(&all, 3);
    loading_end(&all, 9); /* never heard of, but its number was given */
    assert_int_equal(all.highest, 9);
    assert_null(session(&all, 3)->id);
    loading_clear(&all);
}

static void a_name_is_given_once(void **state)
{
    struct loading all = {0};

    (void)state;
    struct loading_session *l = session(&all, 1);
    assert_ok(loading_name(l, STR("client")));
    assert_ok(loading_name(l, STR("other")));
    assert_true(str_eq_c(str_of(l->id, l->id_len), "client"));
    l = session(&all, 2);
    assert_ok(loading_name(l, str_of(NULL, 0)));
    assert_non_null(l->id); /* known, and empty */
    assert_int_equal(l->id_len, 0);
    loading_clear(&all);
}

static void subscriptions_come_and_go(void **state)
{
    struct loading all = {0};
    uint64_t cursor = 0;

    (void)state;
    struct loading_session *l = session(&all, 1);
    assert_ok(loading_feed(l, STR("a"), QOS_1, 7));
    assert_ok(loading_feed(l, STR("a/b"), QOS_2, 8));
    assert_true(find(l, "a")->feed && find(l, "a")->qos == QOS_1 && find(l, "a")->since == 7);
    assert_ok(loading_subscribe(l, STR("a"), QOS_0)); /* anew */
    assert_true(!find(l, "a")->feed && find(l, "a")->qos == QOS_0);
    loading_fed(l, STR("a/b"));
    loading_fed(l, STR("unknown"));
    assert_true(!find(l, "a/b")->feed && find(l, "a/b")->qos == QOS_2);
    loading_unsubscribe(l, STR("unknown"));
    loading_unsubscribe(l, STR("a"));
    loading_unsubscribe(l, STR("a"));
    assert_null(find(l, "a"));
    assert_non_null(find(l, "a/b"));
    loading_unsubscribe(l, STR("a/b"));
    assert_null(loading_next_filter(l, &cursor));
    loading_clear(&all);
}

/* Held, by its body if it has one: whoever takes a reference keeps it beyond the end. */
static void messages_are_held_until_the_end(void **state)
{
    struct loading all = {0};
    struct stored_all stored;
    struct message *m = message_new(STR("t"), STR("x"), QOS_1);

    (void)state;
    assert_non_null(m);
    stored_init(&stored);
    assert_null(loading_find_message(&all, 4));
    struct stored *alone = loading_message(&all, &stored, 4);
    assert_non_null(alone);
    assert_int_equal(alone->number, 4);
    assert_ptr_equal(loading_message(&all, &stored, 4), alone);
    assert_ptr_equal(loading_find_message(&all, 4), alone);
    struct stored *wanted = loading_message(&all, &stored, 5);
    struct stored *with_body = loading_message(&all, &stored, 6);
    assert_true(wanted && with_body && wanted != with_body);
    struct blob *ticket = blob_ref(&wanted->blob);
    stored_attach(&stored, with_body, m); /* now its body is what is held */
    assert_int_equal(m->blob.refs, 1);
    loading_clear(&all);
    assert_int_equal(stored.resident_bytes, 0);
    assert_int_equal(stored_of_ticket(ticket)->number, 5);
    assert_int_equal(ticket->refs, 1);
    blob_unref(ticket);
    stored_clear(&stored);
}

static void every_allocation_for_messages_may_fail(void **state)
{
    (void)state;
    unit_needs_tracking();
    for (uint64_t n = 0;; n++) {
        struct loading all = {0};
        struct stored_all stored;
        bool ok = true;
        stored_init(&stored);
        mem_fail_after(n, 1);
        for (uint64_t number = 1; ok && number <= 500; number++)
            ok = loading_message(&all, &stored, number) != NULL;
        bool failed = mem_failed() > 0;
        mem_fail_never();
        assert_int_equal(ok, !failed);
        loading_clear(&all);
        stored_clear(&stored);
        if (!failed) {
            assert_true(n > 5);
            break;
        }
    }
}

static bool failing_script(struct loading *all)
{
    char filter[] = "filter/x";

    for (uint64_t number = 1; number <= 20; number++) {
        struct loading_session *l = loading_session(all, number);
        if (!l || loading_name(l, STR("client")) || loading_need_flow(l))
            return false;
        for (char c = 'a'; c <= 'p'; c++) {
            filter[7] = c;
            if (loading_subscribe(l, str_c(filter), QOS_1))
                return false;
        }
    }
    return true;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    unit_needs_tracking();
    for (int together = 0; together <= 1; together++) {
        uint64_t n = 0;
        for (bool done = false; !done; n++) {
            struct loading all = {0};
            size_t used = mem_used();
            mem_fail_after(n, together);
            bool ok = failing_script(&all);
            done = mem_failed() == 0;
            mem_fail_never();
            assert_int_equal(ok, done);
            loading_clear(&all);
            assert_int_equal(mem_used(), used);
        }
        assert_true(n > 50);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(sessions_are_found_or_made),
        UNIT_TEST(ended_sessions_are_gone),
        UNIT_TEST(a_name_is_given_once),
        UNIT_TEST(subscriptions_come_and_go),
        UNIT_TEST(messages_are_held_until_the_end),
        UNIT_TEST(every_allocation_for_messages_may_fail),
        UNIT_TEST(every_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
