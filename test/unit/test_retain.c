/*
 * Retained messages by topic, and cursors that walk while the tree changes under them.
 */
#include "core/retain.h"

#include "base/rng.h"
#include "mqtt/topic.h"
#include "unit.h"

#include <stdio.h>
#include <string.h>

static void retain_made(struct retain *r)
{
    assert_ok(retain_init(r, 5));
}

static void put(struct retain *r, const char *topic, const char *payload)
{
    struct message *m = message_new(str_c(topic), str_c(payload), QOS_1);
    struct retain_node *node;

    assert_non_null(m);
    assert_ok(retain_reserve(r, str_c(topic), &node));
    retain_set(r, node, m);
    message_unref(m);
}

static void assert_payload(const struct message *m, const char *payload)
{
    assert_non_null(m);
    assert_true(str_eq_c(message_payload(m), payload));
}

static void clear_empty(struct retain *r)
{
    assert_int_equal(r->count, 0);
    assert_int_equal(r->bytes, 0);
    assert_int_equal(r->edges.count, 0);
    retain_clear(r);
}

/* --- by topic --- */

static void messages_are_found_replaced_and_removed(void **state)
{
    static const char *const topics[] = {"a",  "a/b",    "a/b/c", "/",  "//", "a/",
                                         "/a", "$SYS/a", "$SYS",  "$a", "b",  "a level"};
    struct retain r;

    (void)state;
    retain_made(&r);
    for (size_t i = 0; i < ARRAY_SIZE(topics); i++) {
        assert_null(retain_find(&r, str_c(topics[i])));
        put(&r, topics[i], "old");
        put(&r, topics[i], topics[i]);
        assert_int_equal(r.count, i + 1);
    }
    uint64_t bytes = 0;
    for (size_t i = 0; i < ARRAY_SIZE(topics); i++) {
        assert_payload(retain_find(&r, str_c(topics[i])), topics[i]);
        bytes += 2 * strlen(topics[i]);
    }
    assert_int_equal(r.bytes, bytes);
    for (size_t i = 0; i < ARRAY_SIZE(topics); i++) {
        assert_true(retain_remove(&r, str_c(topics[i])));
        assert_false(retain_remove(&r, str_c(topics[i])));
        assert_null(retain_find(&r, str_c(topics[i])));
        for (size_t k = i + 1; k < ARRAY_SIZE(topics); k++)
            assert_payload(retain_find(&r, str_c(topics[k])), topics[k]);
    }
    clear_empty(&r);
}

static void what_is_reserved_and_not_used_goes(void **state)
{
    struct retain r;
    struct retain_node *node;

    (void)state;
    retain_made(&r);
    put(&r, "a/b", "x");
    assert_ok(retain_reserve(&r, STR("a/b/c/d"), &node));
    retain_drop_if_empty(&r, node);
    assert_int_equal(r.edges.count, 2);
    assert_ok(retain_reserve(&r, STR("a/b"), &node));
    retain_drop_if_empty(&r, node);
    assert_payload(retain_find(&r, STR("a/b")), "x");
    assert_true(retain_remove(&r, STR("a/b")));
    clear_empty(&r);
}

static void clearing_frees_everything(void **state)
{
    struct retain r;
    char topic[32];

    (void)state;
    retain_made(&r);
    for (unsigned i = 0; i < 1000; i++) {
        (void)sprintf(topic, "%s%u/%u/%u", i % 7 ? "" : "$", i % 3, i % 50, i);
        put(&r, topic, "payload");
    }
    assert_int_equal(r.count, 1000);
    retain_clear(&r);
}

static void a_walk_sees_each_message(void **state)
{
    struct retain r;
    char topic[32];
    uint64_t cursor = 0;
    unsigned seen = 0;

    (void)state;
    retain_made(&r);
    assert_null(retain_walk(&r, &cursor));
    for (unsigned i = 0; i < 500; i++) {
        (void)sprintf(topic, "%s%u/x", i % 2 ? "$" : "", i);
        put(&r, topic, "p");
    }
    cursor = 0;
    while (retain_walk(&r, &cursor))
        seen++;
    assert_int_equal(seen, 500);
    retain_clear(&r);
}

/* --- cursors --- */

static const char *const filters[] = {
    "#",      "+",      "+/+",  "+/#",    "a/#",    "a/+/c",   "a/+",   "+/b/+", "a",
    "a/b",    "/",      "/#",   "/+",     "a/",     "a//c",    "+/+/#", "b/+/#", "a/+/+/d",
    "$SYS/#", "$SYS/+", "$SYS", "$SYS/a", "$b/+/c", "a/b/c/#", "a/b/#", "+/+/c", "//#",
};

#define TOPIC_MAX 64
#define UNIVERSE 300

struct known {
    char topic[TOPIC_MAX];
    bool there;
    unsigned version;
};

#define CURSORS 6

struct walker {
    struct retain_cursor *c; /* NULL: not walking */
    const char *filter;
    bool stayed[UNIVERSE]; /* there since the walk began */
    uint8_t seen[UNIVERSE];
};

struct model {
    struct retain r;
    struct rng rng;
    struct known known[UNIVERSE];
    size_t n;
    struct walker walkers[CURSORS];
};

static void make_universe(struct model *m)
{
    static const char *const levels[] = {"a", "b", "c", "", "d"};

    for (unsigned i = 0; m->n < UNIVERSE; i++) {
        char *t = m->known[m->n].topic;
        unsigned depth = 1 + i % 4;
        size_t at = 0;
        bool twice = false;
        for (unsigned k = 0; k < depth; k++)
            at += (size_t)sprintf(t + at, "%s%s", k ? "/" : "",
                                  k == 0 && i % 9 == 0 ? (i % 2 ? "$SYS" : "$b")
                                                       : levels[rng_below(&m->rng, 5)]);
        for (size_t k = 0; k < m->n; k++)
            twice |= strcmp(m->known[k].topic, t) == 0;
        if (*t && !twice)
            m->n++;
        if (i > 20000)
            break;
    }
    assert_true(m->n > 200);
}

static size_t index_of(const struct model *m, struct str topic)
{
    for (size_t i = 0; i < m->n; i++)
        if (str_eq_c(topic, m->known[i].topic))
            return i;
    fail_msg("'%.*s' was never retained", STR_ARG(topic));
    return 0;
}

static void model_put(struct model *m, size_t i)
{
    char payload[16];

    (void)sprintf(payload, "%u", ++m->known[i].version);
    put(&m->r, m->known[i].topic, payload);
    m->known[i].there = true;
}

static void model_remove(struct model *m, size_t i)
{
    assert_int_equal(retain_remove(&m->r, str_c(m->known[i].topic)), m->known[i].there);
    m->known[i].there = false;
    for (size_t k = 0; k < CURSORS; k++)
        m->walkers[k].stayed[i] = false;
}

static void walker_begin(struct model *m, struct walker *w)
{
    w->filter = filters[rng_below(&m->rng, ARRAY_SIZE(filters))];
    w->c = retain_cursor_new(&m->r, str_c(w->filter), QOS_1);
    assert_non_null(w->c);
    assert_true(str_eq_c(retain_cursor_filter(w->c), w->filter));
    for (size_t i = 0; i < m->n; i++) {
        w->stayed[i] = m->known[i].there;
        w->seen[i] = 0;
    }
}

static void walker_saw(struct model *m, struct walker *w, const struct message *got)
{
    size_t i = index_of(m, message_topic(got));
    char payload[16];

    if (!topic_matches(str_c(w->filter), message_topic(got)))
        fail_msg("'%s' was given '%s'", w->filter, m->known[i].topic);
    assert_true(m->known[i].there);
    (void)sprintf(payload, "%u", m->known[i].version); /* the value of now */
    assert_payload(got, payload);
    if (w->seen[i]++)
        fail_msg("'%s' was given '%s' twice", w->filter, m->known[i].topic);
}

static void walker_end(struct model *m, struct walker *w)
{
    for (size_t i = 0; i < m->n; i++) {
        bool due = w->stayed[i] && topic_matches(str_c(w->filter), str_c(m->known[i].topic));
        if (due && !w->seen[i])
            fail_msg("'%s' was not given '%s'", w->filter, m->known[i].topic);
    }
    retain_cursor_free(&m->r, w->c);
    w->c = NULL;
}

static void walker_step(struct model *m, struct walker *w)
{
    unsigned given = 1 + rng_below(&m->rng, 4);
    unsigned budget = given;
    struct message *got;
    enum err e = retain_cursor_next(&m->r, w->c, &budget, &got);

    if (e == ERR_OK)
        walker_saw(m, w, got);
    else if (e == ERR_NOT_FOUND)
        walker_end(m, w);
    else
        assert_err(e, ERR_AGAIN);
    assert_true(budget <= given);
    if (e == ERR_AGAIN)
        assert_int_equal(budget, 0);
    if (e == ERR_OK)
        assert_true(budget < given);
}

static void model_clear(struct model *m)
{
    for (size_t k = 0; k < CURSORS; k++)
        if (m->walkers[k].c)
            retain_cursor_free(&m->r, m->walkers[k].c);
    for (size_t i = 0; i < m->n; i++)
        model_remove(m, i);
    clear_empty(&m->r);
}

/* `churn`: of 8 steps so many change the tree; the others let a cursor walk on. */
static void run(unsigned seed, unsigned churn, unsigned steps)
{
    static struct model m;

    m = (struct model){0};
    rng_seed(&m.rng, seed);
    retain_made(&m.r);
    make_universe(&m);
    for (size_t i = 0; i < m.n; i += 2)
        model_put(&m, i);
    for (unsigned step = 0; step < steps; step++) {
        size_t i = rng_below(&m.rng, (uint32_t)m.n);
        struct walker *w = &m.walkers[rng_below(&m.rng, CURSORS)];
        /* the tree nearly empties and fills again */
        bool more = rng_below(&m.rng, 10) < (step / 2000 % 2 ? 2u : 7u);
        if (rng_below(&m.rng, 8) >= churn)
            w->c ? walker_step(&m, w) : walker_begin(&m, w);
        else if (more)
            model_put(&m, i);
        else
            model_remove(&m, i);
    }
    model_clear(&m);
}

static void cursors_over_a_resting_tree_see_all(void **state)
{
    (void)state;
    run(1, 0, 100000);
}

static void cursors_over_a_changing_tree_see_what_stays_once(void **state)
{
    (void)state;
    for (unsigned seed = 2; seed < 8; seed++)
        run(seed, 1 + seed % 5, 40000);
}

static unsigned count_given(struct retain *r, const char *filter, unsigned *steps)
{
    struct retain_cursor *c = retain_cursor_new(r, str_c(filter), QOS_0);
    unsigned budget = UINT32_MAX;
    unsigned n = 0;
    struct message *m;

    assert_non_null(c);
    while (retain_cursor_next(r, c, &budget, &m) == ERR_OK)
        n++;
    *steps = UINT32_MAX - budget;
    retain_cursor_free(r, c);
    return n;
}

/* A filter without wildcards goes straight to its topic, whatever else there is. */
static void a_cursor_visits_what_its_filter_can_match(void **state)
{
    struct retain r;
    char topic[32];
    unsigned steps;

    (void)state;
    retain_made(&r);
    for (unsigned i = 0; i < 10000; i++) {
        (void)sprintf(topic, "a/%u/%u", i % 100, i);
        put(&r, topic, "p");
    }
    assert_int_equal(count_given(&r, "a/5/105", &steps), 1);
    assert_true(steps <= 6);
    assert_int_equal(count_given(&r, "a/5/+", &steps), 100);
    assert_true(steps <= 300);
    assert_int_equal(count_given(&r, "a/+/105", &steps), 1);
    assert_true(steps <= 310);
    assert_int_equal(count_given(&r, "b/#", &steps), 0);
    assert_true(steps <= 2);
    assert_int_equal(count_given(&r, "#", &steps), 10000);
    assert_int_equal(count_given(&r, "$SYS/#", &steps), 0);
    retain_clear(&r);
}

/* A cursor keeps the node on which it stands, and lets go of it with all that has become empty. */
static void a_cursor_survives_the_end_of_its_node(void **state)
{
    struct retain r;
    struct retain_cursor *c;
    unsigned budget = 100;
    struct message *m;

    (void)state;
    retain_made(&r);
    put(&r, "a/b/c/d/e", "1");
    put(&r, "x", "2");
    c = retain_cursor_new(&r, STR("a/#"), QOS_0);
    assert_non_null(c);
    assert_ok(retain_cursor_next(&r, c, &budget, &m));
    assert_payload(m, "1");
    assert_true(retain_remove(&r, STR("a/b/c/d/e")));
    assert_int_equal(r.edges.count, 6);
    put(&r, "a/b/c/d/e/f", "3"); /* below it: still to come */
    assert_ok(retain_cursor_next(&r, c, &budget, &m));
    assert_payload(m, "3");
    assert_true(retain_remove(&r, STR("a/b/c/d/e/f")));
    assert_err(retain_cursor_next(&r, c, &budget, &m), ERR_NOT_FOUND);
    retain_cursor_free(&r, c);
    assert_int_equal(r.edges.count, 1);
    assert_true(retain_remove(&r, STR("x")));
    clear_empty(&r);
}

static void a_cursor_that_is_finished_stays_so(void **state)
{
    struct retain r;
    struct retain_cursor *c;
    unsigned budget = 100;
    struct message *m;

    (void)state;
    retain_made(&r);
    c = retain_cursor_new(&r, STR("#"), QOS_0);
    assert_non_null(c);
    assert_err(retain_cursor_next(&r, c, &budget, &m), ERR_NOT_FOUND);
    assert_err(retain_cursor_next(&r, c, &budget, &m), ERR_NOT_FOUND);
    budget = 0;
    assert_err(retain_cursor_next(&r, c, &budget, &m), ERR_AGAIN);
    retain_cursor_free(&r, c);
    clear_empty(&r);
}

/* The longest filter and the deepest: nothing is cut. */
static void the_deepest_filter_has_its_levels(void **state)
{
    char topic[2 * TOPIC_LEVELS_MAX];
    char filter[2 * TOPIC_LEVELS_MAX];
    struct retain r;
    unsigned steps;

    (void)state;
    for (size_t i = 0; i < TOPIC_LEVELS_MAX; i++) {
        memcpy(topic + 2 * i, "a/", 2);
        memcpy(filter + 2 * i, "+/", 2);
    }
    topic[2 * TOPIC_LEVELS_MAX - 1] = filter[2 * TOPIC_LEVELS_MAX - 1] = '\0';
    retain_made(&r);
    put(&r, topic, "deep");
    assert_int_equal(count_given(&r, topic, &steps), 1);
    assert_int_equal(count_given(&r, filter, &steps), 1);
    filter[2 * TOPIC_LEVELS_MAX - 2] = '#';
    assert_int_equal(count_given(&r, filter, &steps), 1);
    filter[2 * TOPIC_LEVELS_MAX - 3] = '\0';
    assert_int_equal(count_given(&r, filter, &steps), 0);
    assert_true(retain_remove(&r, str_c(topic)));
    clear_empty(&r);
}

static void surely_no_match_is_never_wrong(void **state)
{
    struct retain r;

    (void)state;
    retain_made(&r);
    for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
        assert_false(retain_may_match(&r, str_c(filters[i])));
    put(&r, "a/b/c", "x");
    assert_true(retain_may_match(&r, STR("a/b/c")));
    assert_true(retain_may_match(&r, STR("#")));
    assert_true(retain_may_match(&r, STR("a/+/c")));
    assert_true(retain_may_match(&r, STR("a/b/c/#")));
    assert_false(retain_may_match(&r, STR("a/b")));
    assert_false(retain_may_match(&r, STR("x/#")));
    assert_false(retain_may_match(&r, STR("a/b/c/d")));
    retain_clear(&r);
}

/* --- failing memory --- */

static void failing_memory_changes_nothing(void **state)
{
    struct retain r;
    struct retain_node *node;
    unsigned failures = 0;
    char topic[1000]; /* levels of several classes of sizes, and one that is larger than all */
    int n_topic = snprintf(topic, sizeof(topic), "a/b/%020d/%040d/%0700d", 1, 2, 3);

    (void)state;
    unit_needs_tracking();
    assert_int_equal(n_topic, 4 + 20 + 1 + 40 + 1 + 700);
    retain_made(&r);
    put(&r, "a", "x");
    put(&r, "a/b/other", "y");
    size_t used = mem_used();
    uint32_t edges = r.edges.count;
    for (unsigned n = 0;; n++) {
        mem_fail_after(n, 0);
        enum err e = retain_reserve(&r, str_c(topic), &node);
        mem_fail_never();
        if (e == ERR_OK)
            break;
        failures++;
        assert_int_equal(r.edges.count, edges);
        assert_int_equal(r.count, 2);
        /* The table of edges may have grown, and a page of each class of sizes stays. */
        assert_true(mem_used() <= used + 4096 + 2 * (size_t)16384);
    }
    assert_true(failures >= 3);
    mem_fail_after(0, 1); /* from here on nothing may need memory */
    struct message *m = retain_find(&r, STR("a"));
    retain_set(&r, node, m);
    assert_true(retain_find(&r, str_c(topic)) == m);
    assert_true(retain_remove(&r, STR("a")));
    assert_null(retain_cursor_new(&r, STR("#"), QOS_0));
    mem_fail_never();
    retain_clear(&r);
}

static void beginning_without_memory(void **state)
{
    unsigned n = 0;
    enum err e;

    (void)state;
    unit_needs_tracking();
    do {
        struct retain r;
        mem_fail_after(n, 0);
        e = retain_init(&r, 1);
        mem_fail_never();
        assert_true(e == ERR_OK || e == ERR_NOMEM);
        retain_clear(&r);
        n++;
    } while (e);
    assert_true(n > 1);
}

/* Levels of every length, with messages that come and go: each node is given back as it was taken.
 */
static void levels_of_all_lengths_come_and_go(void **state)
{
    char topic[1200];
    struct retain r;

    (void)state;
    retain_made(&r);
    for (int n = 1; n < 1100; n++) {
        (void)snprintf(topic, sizeof(topic), "all/%0*d/x", n, 7);
        put(&r, topic, "y");
        if (n % 3 == 0)
            assert_true(retain_remove(&r, str_c(topic)));
        assert_int_equal(retain_find(&r, str_c(topic)) != NULL, n % 3 != 0);
    }
    retain_clear(&r);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(messages_are_found_replaced_and_removed),
        UNIT_TEST(what_is_reserved_and_not_used_goes),
        UNIT_TEST(clearing_frees_everything),
        UNIT_TEST(a_walk_sees_each_message),
        UNIT_TEST(cursors_over_a_resting_tree_see_all),
        UNIT_TEST(cursors_over_a_changing_tree_see_what_stays_once),
        UNIT_TEST(a_cursor_visits_what_its_filter_can_match),
        UNIT_TEST(a_cursor_survives_the_end_of_its_node),
        UNIT_TEST(a_cursor_that_is_finished_stays_so),
        UNIT_TEST(the_deepest_filter_has_its_levels),
        UNIT_TEST(surely_no_match_is_never_wrong),
        UNIT_TEST(failing_memory_changes_nothing),
        UNIT_TEST(beginning_without_memory),
        UNIT_TEST(levels_of_all_lengths_come_and_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
