/*
 * The trees that SIGUSR2 prints: their shape, that they are bounded, and memory that fails.
 */
#include "core/broker.h"

#include "base/mem.h"
#include "rig.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

/* What broker_trees says now, terminated. */
static const char *print(const struct rig *r, struct buf *out)
{
    buf_clear(out);
    assert_ok(broker_trees(r->b, out));
    assert_ok(buf_add(out, "", 1));
    return buf_str(out).p;
}

static void subscribe(struct rig_client *c, const char *filter, enum qos qos)
{
    rig_send_subscribe(c, 1, filter, qos);
    rig_settle(c->rig);
}

static void levels_are_indented_below_each_other(void **state)
{
    struct rig r;
    struct rig_client one = {0};
    struct rig_client two = {0};
    struct buf out = {0};

    (void)state;
    rig_begin(&r, false);
    rig_connect(&r, &one, "one", true);
    rig_connect(&r, &two, "two", true);
    subscribe(&one, "a/b/c", QOS_1);
    subscribe(&two, "a", QOS_2);
    subscribe(&two, "a/b-b", QOS_0);
    subscribe(&two, "/x/", QOS_0);
    subscribe(&one, "$share/g/a/#", QOS_0);
    rig_retain(&one, "r/s", "12345", QOS_1, 7);
    rig_settle(&r);
    assert_non_null(strstr(print(&r, &out), "Subscriptions:\n"
                                            "  \n"
                                            "    x\n"
                                            "       (two, 0)\n"
                                            "  $share\n"
                                            "    g\n"
                                            "      a\n"
                                            "        # (one, 0)\n"
                                            "  a (two, 2)\n"
                                            "    b\n"
                                            "      c (one, 1)\n"
                                            "    b-b (two, 0)\n"
                                            "Retained messages:\n"));
    assert_non_null(strstr(print(&r, &out), "  r\n    s (5 bytes, 1)\n"));
    buf_clear(&out);
    rig_forget(&one);
    rig_forget(&two);
    rig_end(&r);
}

static void several_at_one_filter_share_a_line(void **state)
{
    struct rig r;
    struct rig_client clients[3] = {0};
    struct buf out = {0};
    const char *text;

    (void)state;
    rig_begin(&r, false);
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++) {
        char id[8];
        snprintf(id, sizeof(id), "c%zu", i);
        rig_connect(&r, &clients[i], id, true);
        subscribe(&clients[i], "a/+", (enum qos)i);
    }
    text = print(&r, &out);
    assert_ptr_equal(strstr(text, "+"), strrchr(text, '+'));
    for (const char *const *want = (const char *const[]){"(c0, 0)", "(c1, 1)", "(c2, 2)", NULL};
         *want; want++)
        assert_non_null(strstr(text, *want));
    buf_clear(&out);
    for (size_t i = 0; i < ARRAY_SIZE(clients); i++)
        rig_forget(&clients[i]);
    rig_end(&r);
}

/* Names so long, and trees so deep, that each limit is reached. */
static void trees_are_bounded(void **state)
{
    struct rig r;
    struct rig_client c = {0};
    struct buf out = {0};
    char filter[4096];

    (void)state;
    rig_begin(&r, false);
    rig_connect(&r, &c, "c", true);
    for (unsigned i = 0; i < 1200; i++) {
        int n = snprintf(filter, sizeof(filter), "%u", i);
        for (int level = 0; level < 150; level++)
            n += snprintf(filter + n, sizeof(filter) - (size_t)n, "/%d-%u", level, i);
        subscribe(&c, filter, QOS_0);
    }
    print(&r, &out);
    assert_true(buf_str(&out).n < 1000000);
    assert_non_null(strstr(buf_str(&out).p, "\n  ... and "));
    buf_clear(&out);
    rig_forget(&c);
    rig_end(&r);
}

static void failing_memory_leaves_nothing_behind(void **state)
{
    struct rig r;
    struct rig_client c = {0};
    enum err e = ERR_NOMEM;
    unsigned failures = 0;

    (void)state;
    unit_needs_tracking();
    rig_begin(&r, false);
    rig_connect(&r, &c, "c", true);
    subscribe(&c, "a/b", QOS_1);
    rig_retain(&c, "a/b", "x", QOS_0, 0);
    rig_settle(&r);
    for (unsigned n = 0; e == ERR_NOMEM; n++, failures++) {
        struct buf out = {0};
        size_t before = mem_used();
        mem_fail_after(n, 0);
        e = broker_trees(r.b, &out);
        mem_fail_never();
        assert_true(e == ERR_OK || e == ERR_NOMEM);
        buf_clear(&out);
        assert_int_equal(mem_used(), before);
    }
    assert_true(failures > 3);
    rig_forget(&c);
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(levels_are_indented_below_each_other),
        UNIT_TEST(several_at_one_filter_share_a_line),
        UNIT_TEST(trees_are_bounded),
        UNIT_TEST(failing_memory_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
