/*
 * Subscriptions: random ones against a list and the plain matcher, shared groups, many subscribers,
 * failing memory.
 */
#include "core/trie.h"
#include "core/trie_walk.h"

#include "base/rng.h"
#include "mqtt/topic.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

/* The trie looks at nothing but the addresses of sessions. */
struct fake {
    _Alignas(TRIE_SESSION_ALIGN) char nothing[TRIE_SESSION_ALIGN];
};

#define SESSIONS 12
#define FILTER_MAX 256

static struct fake fakes[SESSIONS];

static struct session *session_at(struct fake *pool, size_t i)
{
    return (struct session *)(void *)&pool[i];
}

static struct session *fake(size_t i)
{
    return session_at(fakes, i);
}

static void trie_made(struct trie *t)
{
    assert_ok(trie_init(t, 99));
    assert_int_equal(trie_node_count(t), 1);
}

static trie_place join(struct trie *t, const char *filter, struct session *s, enum qos qos)
{
    trie_place place = 0;
    bool is_new;

    assert_int_equal(topic_check_subscription(str_c(filter)), REASON_OK);
    assert_ok(trie_subscribe(t, str_c(filter), s, qos, &place, &is_new));
    assert_true(is_new);
    assert_true(trie_find(t, str_c(filter), s) == place);
    return place;
}

/* What a topic matches, looked up in one go. */
static enum err look_up(struct trie *t, struct str topic, struct trie_list *words)
{
    static struct trie_walk w;
    enum err e;

    trie_walk_begin(t, &w);
    e = trie_walk_on(t, &w, topic, UINT32_MAX);
    if (!e)
        e = trie_collect(&w, words);
    trie_walk_clear(&w);
    w = (struct trie_walk){0};
    return e;
}

static size_t count_matches(struct trie *t, const char *topic)
{
    struct trie_list words = {0};
    size_t n;

    assert_ok(look_up(t, str_c(topic), &words));
    n = words.n;
    trie_list_clear(&words);
    return n;
}

static void assert_empty(struct trie *t)
{
    assert_int_equal(trie_node_count(t), 1);
    assert_int_equal(t->edges.count, 0);
    assert_int_equal(t->groups.count, 0);
    trie_clear(t);
}

/* --- by hand --- */

struct rule {
    const char *filter;
    const char *topic;
    bool matches;
};

static const struct rule rules[] = {
    {"a", "a", true},
    {"a", "a/", false},
    {"a/", "a/", true},
    {"/a", "a", false},
    {"/", "/", true},
    {"+", "a", true},
    {"+", "/", false},
    {"+/+", "/", true},
    {"+/+", "/a", true},
    {"/+", "/a", true},
    {"+", "/a", false},
    {"#", "a/b/c", true},
    {"#", "/", true},
    {"a/#", "a", true},
    {"a/#", "a/", true},
    {"a/#", "a/b/c", true},
    {"a/#", "ab", false},
    {"a/+/#", "a", false},
    {"a/+/#", "a/b", true},
    {"a/+/c", "a/b/c", true},
    {"a/+/c", "a/b/d", false},
    {"a//c", "a//c", true},
    {"a/+/c", "a//c", true},
    {"#", "$SYS/x", false},
    {"+/x", "$SYS/x", false},
    {"+/#", "$SYS/x", false},
    {"$SYS/#", "$SYS/x", true},
    {"$SYS/#", "$SYS", true},
    {"$SYS/+", "$SYS/x", true},
    {"a/#", "a/$x", true},
    {"a/+", "a/$x", true},
    {"#", "$", false},
    {"$share/g/a/#", "a", true},
    {"$share/g/#", "$SYS/x", false},
};

static void each_filter_matches_what_it_should(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        struct trie t;
        trie_made(&t);
        trie_place place = join(&t, rules[i].filter, fake(0), QOS_1);
        if (count_matches(&t, rules[i].topic) != rules[i].matches)
            fail_msg("'%s' and '%s'", rules[i].filter, rules[i].topic);
        trie_leave(&t, place, fake(0));
        assert_int_equal(count_matches(&t, rules[i].topic), 0);
        assert_empty(&t);
    }
}

static void subscribing_again_changes_the_qos_only(void **state)
{
    static const char *const filters[] = {"a/b", "$share/g/a/b"};
    char text[65536];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
        for (size_t others = 0; others < 3; others++) {
            struct trie t;
            trie_place places[3];
            trie_place again;
            bool is_new;
            enum qos qos;
            trie_made(&t);
            for (size_t k = 0; k <= others; k++)
                places[k] = join(&t, filters[i], fake(k), QOS_0);
            assert_ok(trie_subscribe(&t, str_c(filters[i]), fake(0), QOS_2, &again, &is_new));
            assert_false(is_new);
            assert_true(again == places[0]);
            (void)trie_describe(&t, again, fake(0), text, &qos);
            assert_int_equal(qos, QOS_2);
            for (size_t k = 0; k <= others; k++)
                trie_leave(&t, places[k], fake(k));
            assert_empty(&t);
        }
    }
}

/* A filter as long as there can be is described as it was. */
static void the_longest_filter_is_described(void **state)
{
    static const size_t lengths[] = {1, 23, 24, 25, 1000, 65535};
    char *text = malloc(65536);
    char *filter = malloc(65536);

    (void)state;
    assert_non_null(text);
    assert_non_null(filter);
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        for (unsigned slashes = 0; slashes < 2; slashes++) {
            struct trie t;
            enum qos qos;
            memset(filter, 'x', 65535);
            filter[lengths[i]] = '\0';
            for (size_t k = 5; slashes && k < lengths[i]; k += 400)
                filter[k] = '/';
            if (lengths[i] > 30)
                memcpy(filter, "$share/group/", 13);
            trie_made(&t);
            trie_place place = join(&t, filter, fake(1), QOS_1);
            size_t n = trie_describe(&t, place, fake(1), text, &qos);
            assert_int_equal(n, lengths[i]);
            assert_memory_equal(text, filter, n);
            assert_int_equal(qos, QOS_1);
            trie_leave(&t, place, fake(1));
            assert_empty(&t);
        }
    }
    free(text);
    free(filter);
}

/* --- shared groups --- */

static uintptr_t only_word(struct trie *t, const char *topic)
{
    struct trie_list words = {0};
    uintptr_t word;

    assert_ok(look_up(t, str_c(topic), &words));
    assert_int_equal(words.n, 1);
    word = words.v[0];
    trie_list_clear(&words);
    return word;
}

/* Whose turn it is, as a publication would ask. */
static struct session *next_member(struct trie *t, const char *topic)
{
    uintptr_t word = only_word(t, topic);
    uint32_t seen = 0;

    assert_true(trie_word_is_group(word));
    word = trie_group_next(word, &seen);
    assert_true(word != 0);
    assert_false(trie_word_is_group(word));
    return trie_word_session(word);
}

static size_t index_of(const struct session *s)
{
    return (size_t)((const struct fake *)(const void *)s - fakes);
}

static void members_of_a_group_take_turns(void **state)
{
    struct trie t;
    trie_place places[5];
    unsigned got[5] = {0};

    (void)state;
    trie_made(&t);
    for (size_t i = 0; i < 5; i++)
        places[i] = join(&t, "$share/g/t/+", fake(i), QOS_1);
    for (unsigned i = 0; i < 50; i++) {
        size_t who = index_of(next_member(&t, "t/x"));
        assert_in_range(who, 0, 4);
        got[who]++;
        if (i % 5 == 4)
            for (size_t k = 0; k < 5; k++)
                assert_int_equal(got[k], i / 5 + 1);
    }
    for (size_t i = 0; i < 5; i++)
        trie_leave(&t, places[i], fake(i));
    assert_empty(&t);
}

static void a_walk_over_a_group_sees_each_member_once(void **state)
{
    struct trie t;
    trie_place places[SESSIONS];

    (void)state;
    trie_made(&t);
    for (size_t i = 0; i < SESSIONS; i++)
        places[i] = join(&t, "$share/g/t", fake(i), (enum qos)(i % 3));
    for (size_t begin = 0; begin < 2 * SESSIONS; begin++) {
        unsigned seen[SESSIONS] = {0};
        uint32_t count = 0;
        uintptr_t word;
        uintptr_t group = only_word(&t, "t");
        while ((word = trie_group_next(group, &count))) {
            size_t who = index_of(trie_word_session(word));
            assert_int_equal(trie_word_qos(word), who % 3);
            seen[who]++;
        }
        for (size_t i = 0; i < SESSIONS; i++)
            assert_int_equal(seen[i], 1);
        (void)next_member(&t, "t");
    }
    for (size_t i = 0; i < SESSIONS; i++)
        trie_leave(&t, places[i], fake(i));
    assert_empty(&t);
}

static void members_may_leave_between_turns(void **state)
{
    struct trie t;
    trie_place places[SESSIONS];
    bool there[SESSIONS];

    (void)state;
    trie_made(&t);
    for (size_t i = 0; i < SESSIONS; i++) {
        places[i] = join(&t, "$share/g/t", fake(i), QOS_0);
        there[i] = true;
    }
    for (size_t left = SESSIONS; left > 0; left--) {
        size_t who = index_of(next_member(&t, "t"));
        assert_true(there[who]);
        there[who] = false;
        trie_leave(&t, places[who], fake(who)); /* with the last one the group goes */
    }
    assert_int_equal(count_matches(&t, "t"), 0);
    assert_empty(&t);
}

static void groups_plain_subscriptions_and_other_filters_are_apart(void **state)
{
    static const char *const filters[] = {"t", "$share/g/t", "$share/h/t", "$share/g/#", "#"};
    struct trie t;
    trie_place places[5];

    (void)state;
    trie_made(&t);
    for (size_t i = 0; i < 5; i++)
        places[i] = join(&t, filters[i], fake(0), QOS_2);
    assert_int_equal(count_matches(&t, "t"), 5);
    assert_int_equal(count_matches(&t, "u"), 2);
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = i + 1; k < 5; k++)
            assert_true(places[i] != places[k]);
        assert_int_equal(trie_place_is_shared(places[i]), filters[i][0] == '$');
        assert_false(trie_find(&t, str_c(filters[i]), fake(1)));
    }
    for (size_t i = 0; i < 5; i++) {
        trie_leave(&t, places[i], fake(0));
        assert_false(trie_find(&t, str_c(filters[i]), fake(0)));
        assert_int_equal(count_matches(&t, "t"), 4 - i);
    }
    assert_empty(&t);
}

/* --- against a list --- */

struct entry {
    char filter[FILTER_MAX];
    size_t who;
    enum qos qos;
    trie_place place;
};

struct model {
    struct trie t;
    struct rng rng;
    struct entry entries[600];
    size_t n;
    struct trie_list matches;
};

static const char *const texts[] = {"a", "b", "", "c$",
                                    "a level that is longer than a node has room"};

static void random_levels(struct rng *rng, char *out, bool filter)
{
    size_t n = 0;
    unsigned levels = 1 + rng_below(rng, 5);

    if (rng_below(rng, 6) == 0)
        out[n++] = '$';
    for (unsigned i = 0; i < levels; i++) {
        const char *word = texts[rng_below(rng, ARRAY_SIZE(texts))];
        unsigned dice = filter ? rng_below(rng, 8) : 8;
        if (i > 0)
            out[n++] = '/';
        if ((dice < 3 && (n == 0 || out[n - 1] == '/')) || (dice == 3 && i + 1 == levels && i > 0))
            word = dice < 3 ? "+" : "#";
        n += (size_t)sprintf(out + n, "%s", word);
    }
    if (n == 0)
        out[n++] = filter ? '#' : 'z';
    out[n] = '\0';
}

static void random_filter(struct rng *rng, char *out)
{
    size_t n = 0;

    if (rng_below(rng, 4) == 0)
        n = (size_t)sprintf(out, "$share/g%u/", rng_below(rng, 2));
    random_levels(rng, out + n, true);
    if (topic_check_subscription(str_c(out)) != REASON_OK)
        fail_msg("the test has made a bad filter '%s'", out);
}

static struct entry *model_find(struct model *m, const char *filter, size_t who)
{
    for (size_t i = 0; i < m->n; i++)
        if (m->entries[i].who == who && strcmp(m->entries[i].filter, filter) == 0)
            return &m->entries[i];
    return NULL;
}

static void model_subscribe(struct model *m)
{
    char filter[FILTER_MAX];
    size_t who = rng_below(&m->rng, SESSIONS);
    enum qos qos = (enum qos)rng_below(&m->rng, 3);
    trie_place place;
    bool is_new;

    random_filter(&m->rng, filter);
    struct entry *e = model_find(m, filter, who);
    assert_int_equal(trie_find(&m->t, str_c(filter), fake(who)), e ? e->place : 0);
    assert_ok(trie_subscribe(&m->t, str_c(filter), fake(who), qos, &place, &is_new));
    assert_int_equal(is_new, e == NULL);
    if (!e) {
        e = &m->entries[m->n++];
        *e = (struct entry){.who = who, .place = place};
        strcpy(e->filter, filter);
    }
    assert_true(e->place == place);
    e->qos = qos;
}

static void model_leave(struct model *m, size_t i)
{
    struct entry e = m->entries[i];

    m->entries[i] = m->entries[--m->n];
    trie_leave(&m->t, e.place, fake(e.who));
    assert_false(trie_find(&m->t, str_c(e.filter), fake(e.who)));
}

static void model_describe(struct model *m, size_t i)
{
    static char text[65536];
    const struct entry *e = &m->entries[i];
    enum qos qos;
    size_t n = trie_describe(&m->t, e->place, fake(e->who), text, &qos);

    assert_true(str_eq_c(str_of(text, n), e->filter));
    assert_int_equal(qos, e->qos);
    assert_true(trie_find(&m->t, str_c(e->filter), fake(e->who)) == e->place);
}

static int by_value(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;

    return (*x > *y) - (*x < *y);
}

/* Receivers as numbers: session and QoS, members of groups apart. */
#define MEMBER (UINT64_C(1) << 40)

static size_t expected(const struct model *m, struct str topic, uint64_t *out, size_t *groups)
{
    const char *seen[600];
    size_t n = 0;

    *groups = 0;
    for (size_t i = 0; i < m->n; i++) {
        const struct entry *e = &m->entries[i];
        struct str name;
        struct str inner = str_c(e->filter);
        bool shared = topic_is_shared(inner, &name, &inner);
        bool known = !shared;
        if (!topic_matches(inner, topic))
            continue;
        out[n++] = (shared ? MEMBER : 0) | e->who << 2 | e->qos;
        for (size_t k = 0; k < *groups && !known; k++)
            known = strcmp(seen[k], e->filter) == 0;
        if (!known)
            seen[(*groups)++] = e->filter;
    }
    return n;
}

static size_t found(struct model *m, struct str topic, uint64_t *out, size_t *groups)
{
    size_t n = 0;

    *groups = 0;
    assert_ok(look_up(&m->t, topic, &m->matches));
    for (size_t i = 0; i < m->matches.n; i++) {
        uintptr_t word = m->matches.v[i];
        uint32_t seen = 0;
        uintptr_t member;
        if (!trie_word_is_group(word)) {
            out[n++] = index_of(trie_word_session(word)) << 2 | trie_word_qos(word);
            continue;
        }
        ++*groups;
        while ((member = trie_group_next(word, &seen)))
            out[n++] = MEMBER | index_of(trie_word_session(member)) << 2 | trie_word_qos(member);
    }
    return n;
}

static void model_match(struct model *m)
{
    static uint64_t want[4096];
    static uint64_t have[4096];
    char topic[FILTER_MAX];
    size_t want_groups;
    size_t have_groups;

    random_levels(&m->rng, topic, false);
    size_t n = expected(m, str_c(topic), want, &want_groups);
    size_t k = found(m, str_c(topic), have, &have_groups);
    qsort(want, n, sizeof(want[0]), by_value);
    qsort(have, k, sizeof(have[0]), by_value);
    if (n != k || memcmp(want, have, n * sizeof(want[0])) != 0 || want_groups != have_groups)
        fail_msg("'%s': %zu receivers in %zu groups, not %zu in %zu", topic, k, have_groups, n,
                 want_groups);
}

static void model_clear(struct model *m)
{
    while (m->n > 0)
        model_leave(m, rng_below(&m->rng, (uint32_t)m->n));
    trie_list_clear(&m->matches);
    assert_empty(&m->t);
}

static void random_subscriptions_match_as_a_list_does(void **state)
{
    static struct model m;

    (void)state;
    for (unsigned seed = 1; seed <= 4; seed++) {
        m = (struct model){0};
        rng_seed(&m.rng, seed);
        trie_made(&m.t);
        for (unsigned step = 0; step < 6000; step++) {
            /* it grows and shrinks in turn */
            unsigned grow = step % 2000 < 1000 ? 3 : 1;
            if (rng_below(&m.rng, 4) < grow && m.n < ARRAY_SIZE(m.entries))
                model_subscribe(&m);
            else if (m.n > 0)
                model_leave(&m, rng_below(&m.rng, (uint32_t)m.n));
            if (m.n > 0)
                model_describe(&m, rng_below(&m.rng, (uint32_t)m.n));
            model_match(&m);
        }
        model_clear(&m);
    }
}

/* --- many --- */

static void a_hundred_thousand_subscribers_of_one_filter(void **state)
{
    const size_t count = 100000;
    struct fake *pool = aligned_alloc(TRIE_SESSION_ALIGN, count * sizeof(*pool));
    uint8_t *seen = calloc(count, 1);
    struct trie_list m = {0};
    struct trie t;
    trie_place place = 0;

    (void)state;
    assert_non_null(pool);
    assert_non_null(seen);
    trie_made(&t);
    for (size_t i = 0; i < count; i++)
        place = join(&t, "one/filter", session_at(pool, i), (enum qos)(i % 3));
    assert_int_equal(trie_node_count(&t), 2);
    uint64_t visits = t.visits;
    assert_ok(look_up(&t, STR("one/filter"), &m));
    assert_int_equal(m.n, count);
    assert_in_range(t.visits - visits, 1, 3);
    for (size_t i = 0; i < m.n; i++) {
        size_t who = (size_t)((struct fake *)(void *)trie_word_session(m.v[i]) - pool);
        assert_int_equal(trie_word_qos(m.v[i]), who % 3);
        assert_int_equal(seen[who]++, 0);
    }
    for (size_t i = 0; i < count; i++) /* in another order than they came */
        trie_leave(&t, place, session_at(pool, i * 7919 % count));
    trie_list_clear(&m);
    assert_empty(&t);
    free(pool);
    free(seen);
}

/* What does not match costs nothing, however much of it there is. */
static void matching_visits_what_may_match(void **state)
{
    struct trie t;
    trie_place places[3000];
    char filter[64];

    (void)state;
    trie_made(&t);
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        (void)sprintf(filter, i % 3 == 0 ? "a/%u/+" : i % 3 == 1 ? "%u/#" : "+/%u/c", i);
        places[i] = join(&t, filter, fake(0), QOS_0);
    }
    uint64_t before = t.visits;
    assert_int_equal(count_matches(&t, "a/3/c"), 1);
    assert_int_equal(count_matches(&t, "x/y/z"), 0);
    assert_int_equal(count_matches(&t, "1/y/z"), 1);
    assert_true(t.visits - before < 30);
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        trie_leave(&t, places[i], fake(0));
    assert_empty(&t);
}

/* All of {a, +} to the tenth power would be a thousand nodes; no node is asked twice. */
static void matching_asks_no_node_twice(void **state)
{
    struct trie t;
    trie_place places[1024];
    char filter[64];

    (void)state;
    trie_made(&t);
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        for (unsigned k = 0; k < 10; k++)
            memcpy(filter + 2 * k, i >> k & 1 ? "+/" : "a/", 2);
        filter[19] = '\0';
        places[i] = join(&t, filter, fake(0), QOS_0);
    }
    uint64_t before = t.visits;
    assert_int_equal(count_matches(&t, "a/a/a/a/a/a/a/a/a/a"), 1024);
    assert_true(t.visits - before <= trie_node_count(&t));
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++)
        trie_leave(&t, places[i], fake(0));
    assert_empty(&t);
}

static void the_deepest_topic_and_filter(void **state)
{
    char topic[2 * TOPIC_LEVELS_MAX];
    char filter[2 * TOPIC_LEVELS_MAX];
    struct trie t;
    trie_place places[3];

    (void)state;
    for (size_t i = 0; i < TOPIC_LEVELS_MAX; i++) {
        memcpy(topic + 2 * i, "a/", 2);
        memcpy(filter + 2 * i, "+/", 2);
    }
    topic[2 * TOPIC_LEVELS_MAX - 1] = filter[2 * TOPIC_LEVELS_MAX - 1] = '\0';
    trie_made(&t);
    places[0] = join(&t, topic, fake(0), QOS_0);
    places[1] = join(&t, filter, fake(1), QOS_0);
    filter[2 * TOPIC_LEVELS_MAX - 2] = '#';
    places[2] = join(&t, filter, fake(2), QOS_0);
    assert_int_equal(count_matches(&t, topic), 3);
    for (size_t i = 0; i < 3; i++)
        trie_leave(&t, places[i], fake(i));
    assert_empty(&t);
}

/* A tail without branches is one node; filters that leave it anywhere split it, and none is lost.
 */
static void edges_are_as_long_as_they_can_be(void **state)
{
    static const char *const filters[] = {
        "a/b/+/d/e/#", "a/b/+/d/e",   "a/b/+/x", "a/b/c/d/e", "a/b",        "a/#",  "a",
        "a/b/+/d/+/f", "+/b/+/d/e/f", "+/b/c",   "a/b/+/d/#", "a/b/+/d/e/", "a/b/", "+/+/+/d/e/f"};
    struct trie t;
    trie_place places[ARRAY_SIZE(filters)];

    (void)state;
    for (size_t first = 0; first < ARRAY_SIZE(filters); first++) {
        trie_made(&t);
        for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
            size_t k = (first + i) % ARRAY_SIZE(filters);
            places[k] = join(&t, filters[k], fake(0), QOS_0);
            if (i == 0)
                assert_int_equal(trie_node_count(&t), 2);
            assert_true(trie_node_count(&t) <= 2 * (i + 1) + 1);
        }
        assert_int_equal(count_matches(&t, "a/b/c/d/e"), 5);
        assert_int_equal(count_matches(&t, "a/b/c/d/e/f"), 6);
        assert_int_equal(count_matches(&t, "a/b/c/d"), 2);
        assert_int_equal(count_matches(&t, "a/b/c"), 2);
        assert_int_equal(count_matches(&t, "a/b/"), 2);
        assert_int_equal(count_matches(&t, "a/b/+/d"), 2);
        for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
            size_t k = (first + i * 5) % ARRAY_SIZE(filters);
            trie_leave(&t, places[k], fake(0));
        }
        assert_empty(&t);
    }
}

static void a_filter_of_its_own_takes_a_node(void **state)
{
    static const char *const forms[] = {"site/%u/+/temperature", "room/+/%u/#", "+/%u",
                                        "$share/g/site/%u/a/b/c/d/e/f/g/h/i/j/k/l"};
    enum { COUNT = 5000 };
    trie_place *places = calloc(COUNT, sizeof(*places));
    char filter[64];
    struct trie t;

    (void)state;
    assert_non_null(places);
    for (size_t f = 0; f < ARRAY_SIZE(forms); f++) {
        trie_made(&t);
        for (unsigned i = 0; i < COUNT; i++) {
            (void)sprintf(filter, forms[f], i);
            places[i] = join(&t, filter, fake(i % SESSIONS), QOS_0);
        }
        assert_in_range(trie_node_count(&t), COUNT + 2, COUNT + 3);
        for (unsigned i = 0; i < COUNT; i++)
            trie_leave(&t, places[i], fake(i % SESSIONS));
        assert_empty(&t);
    }
    free(places);
}

/* Levels that are looked at on the way along an edge count, too. */
static void long_edges_are_not_free(void **state)
{
    char topic[2 * TOPIC_LEVELS_MAX];
    struct trie t;
    trie_place place;

    (void)state;
    for (size_t i = 0; i < TOPIC_LEVELS_MAX; i++)
        memcpy(topic + 2 * i, i % 2 ? "+/" : "a/", 2);
    topic[2 * TOPIC_LEVELS_MAX - 1] = '\0';
    trie_made(&t);
    place = join(&t, topic, fake(0), QOS_0);
    uint64_t before = t.visits;
    assert_int_equal(count_matches(&t, topic), 1);
    assert_true(t.visits - before > TOPIC_LEVELS_MAX / 8);
    trie_leave(&t, place, fake(0));
    assert_empty(&t);
}

/* Who remembers what a topic matches is told of changes that concern it, and of no others. */
static void changes_are_told_by_their_filters(void **state)
{
    static const struct {
        const char *filter, *topic;
        bool spared;
    } rows[] = {
        {"a/b", "a/b", false},     {"a/b", "a/c", true},
        {"a/#", "a/x/y", false},   {"a/#", "a", false},
        {"a/#", "b", true},        {"#", "z", false},
        {"a/+/c", "a/x/c", false}, {"a/+/c", "a/x/d", true},
        {"a/+/#", "a/x", false},   {"$share/g/a/#", "a/x", false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct trie t;
        trie_made(&t);
        trie_place other = join(&t, "a/b/c/d", fake(1), QOS_0);
        for (unsigned leaving = 0; leaving < 2; leaving++) {
            t.changes.asked = t.changes.serial;
            uint64_t since = t.changes.serial;
            if (leaving)
                trie_leave(&t, trie_find(&t, str_c(rows[i].filter), fake(0)), fake(0));
            else
                (void)join(&t, rows[i].filter, fake(0), QOS_0);
            if (changes_spare(&t.changes, since, str_c(rows[i].topic)) != rows[i].spared)
                fail_msg("'%s' and '%s'", rows[i].filter, rows[i].topic);
        }
        trie_leave(&t, other, fake(1));
        assert_empty(&t);
    }
}

/* --- walks in several turns --- */

static bool is_found(const struct trie_list *words, size_t who)
{
    for (size_t i = 0; i < words->n; i++)
        if (!trie_word_is_group(words->v[i]) && trie_word_session(words->v[i]) == fake(who))
            return true;
    return false;
}

/*
 * A walk is parked after each node, and the trie changes meanwhile: who was subscribed all the time
 * is found, who never was is not.
 */
static void a_parked_walk_goes_on_over_a_changing_trie(void **state)
{
    static const char *const filters[] = {"a/b/c", "a/+/c", "+/b/#", "#", "a/#", "a/b/+"};
    static struct trie_walk first;
    struct rng rng;

    (void)state;
    rng_seed(&rng, 3);
    for (unsigned round = 0; round < 2000; round++) {
        struct trie t;
        struct trie_walk *w = NULL;
        struct trie_list words = {0};
        trie_place keep[ARRAY_SIZE(filters)];
        trie_place come[ARRAY_SIZE(filters)] = {0};
        unsigned stay = rng_below(&rng, 1u << ARRAY_SIZE(filters));
        enum err e = ERR_AGAIN;
        trie_made(&t);
        for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
            keep[i] = stay >> i & 1 ? join(&t, filters[i], fake(i), QOS_1) : 0;
        trie_walk_begin(&t, &first);
        while (e == ERR_AGAIN) {
            size_t i = rng_below(&rng, ARRAY_SIZE(filters));
            e = trie_walk_on(&t, w ? w : &first, STR("a/b/c"), 1);
            if (e == ERR_AGAIN && !w)
                w = trie_walk_park(&t, &first);
            if (come[i])
                trie_leave(&t, come[i], fake(i + 6));
            come[i] = come[i] ? 0 : join(&t, filters[i], fake(i + 6), QOS_0);
        }
        assert_ok(e);
        assert_ok(trie_collect(w ? w : &first, &words));
        for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
            assert_int_equal(is_found(&words, i), stay >> i & 1);
        if (w)
            trie_walk_free(&t, w);
        trie_walk_clear(&first);
        trie_list_clear(&words);
        for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
            if (keep[i])
                trie_leave(&t, keep[i], fake(i));
            if (come[i])
                trie_leave(&t, come[i], fake(i + 6));
        }
        first = (struct trie_walk){0};
        assert_empty(&t);
    }
}

/* Who leaves while a walk is parked leaves no node behind, with and without memory to note it. */
static void nodes_of_parked_walks_go_in_the_end(void **state)
{
    static struct trie_walk first;

    (void)state;
    unit_needs_tracking();
    for (uint64_t n = 0; n < 3; n++) {
        struct trie t;
        trie_place places[3];
        trie_made(&t);
        places[0] = join(&t, "a/b/a level that is longer than a node has room", fake(0), QOS_0);
        places[1] = join(&t, "a/+/c", fake(1), QOS_0);
        places[2] = join(&t, "#", fake(2), QOS_0);
        trie_walk_begin(&t, &first);
        assert_err(trie_walk_on(&t, &first, STR("a/b/c"), 2), ERR_AGAIN);
        struct trie_walk *w = trie_walk_park(&t, &first);
        assert_non_null(w);
        mem_fail_after(n, 1);
        for (size_t i = 0; i < 3; i++)
            trie_leave(&t, places[i], fake(i));
        mem_fail_never();
        assert_ok(trie_walk_on(&t, w, STR("a/b/c"), UINT32_MAX));
        trie_walk_free(&t, w);
        assert_empty(&t);
    }
}

/* --- failing memory --- */

/* The same subscription, with each of its allocations failing in turn, until it succeeds. */
static unsigned subscribe_failing(struct model *m, const char *filter, size_t who)
{
    const struct entry *known = model_find(m, filter, who);
    size_t nodes = trie_node_count(&m->t);
    trie_place place = 0;
    bool is_new;

    for (unsigned n = 0;; n++) {
        mem_fail_after(n, 0);
        enum err e = trie_subscribe(&m->t, str_c(filter), fake(who), QOS_1, &place, &is_new);
        mem_fail_never();
        if (e == ERR_OK) {
            trie_leave(&m->t, place, fake(who));
            if (known)
                m->entries[known - m->entries] = m->entries[--m->n];
            return n;
        }
        assert_err(e, ERR_NOMEM);
        /* An edge may have been split, and stays so. */
        assert_in_range(trie_node_count(&m->t), nodes, nodes + 1);
        nodes = trie_node_count(&m->t);
        assert_int_equal(trie_find(&m->t, str_c(filter), fake(who)), known ? known->place : 0);
        model_match(m);
    }
}

static void failing_memory_leaves_subscriptions_as_they_were(void **state)
{
    static struct model m;
    char filter[FILTER_MAX];
    unsigned failures = 0;

    (void)state;
    unit_needs_tracking();
    m = (struct model){0};
    rng_seed(&m.rng, 5);
    trie_made(&m.t);
    for (unsigned step = 0; step < 2000; step++) {
        if (m.n < 300)
            model_subscribe(&m);
        random_filter(&m.rng, filter);
        failures += subscribe_failing(&m, filter, rng_below(&m.rng, SESSIONS));
        for (size_t i = 0; i < m.n; i += 37)
            model_describe(&m, i);
    }
    assert_true(failures > 500);
    model_clear(&m);
}

static void the_first_of_everything_without_memory(void **state)
{
    static const char *const filters[] = {"a", "a/+/#", "$share/g/a", "$share/g/#",
                                          "a level that is longer than a node has room/b"};

    (void)state;
    unit_needs_tracking();
    for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
        size_t used = mem_used();
        for (unsigned n = 0;; n++) {
            struct trie t;
            trie_place place = 0;
            bool is_new;
            mem_fail_after(n, 0);
            enum err e = trie_init(&t, 1);
            if (e == ERR_OK)
                e = trie_subscribe(&t, str_c(filters[i]), fake(0), QOS_0, &place, &is_new);
            bool failed = mem_failed() > 0;
            mem_fail_never();
            assert_int_equal(e != ERR_OK, failed);
            if (e == ERR_OK)
                trie_leave(&t, place, fake(0));
            trie_clear(&t);
            assert_int_equal(mem_used(), used);
            if (!failed)
                break;
        }
    }
}

static void matching_without_memory_says_so(void **state)
{
    struct trie t;
    trie_place places[200];
    struct trie_list m = {0};
    char filter[32];

    (void)state;
    unit_needs_tracking();
    trie_made(&t);
    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        (void)sprintf(filter, i % 2 ? "$share/g%u/t" : "t", i);
        places[i] = i % 2 ? join(&t, filter, fake(0), QOS_0) : 0;
    }
    mem_fail_after(0, 1);
    assert_err(look_up(&t, STR("t"), &m), ERR_NOMEM);
    mem_fail_never();
    assert_ok(look_up(&t, STR("t"), &m));
    assert_int_equal(m.n, ARRAY_SIZE(places) / 2);
    trie_list_clear(&m);
    for (unsigned i = 1; i < ARRAY_SIZE(places); i += 2)
        trie_leave(&t, places[i], fake(0));
    assert_empty(&t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(each_filter_matches_what_it_should),
        UNIT_TEST(subscribing_again_changes_the_qos_only),
        UNIT_TEST(the_longest_filter_is_described),
        UNIT_TEST(members_of_a_group_take_turns),
        UNIT_TEST(a_walk_over_a_group_sees_each_member_once),
        UNIT_TEST(members_may_leave_between_turns),
        UNIT_TEST(groups_plain_subscriptions_and_other_filters_are_apart),
        UNIT_TEST(random_subscriptions_match_as_a_list_does),
        UNIT_TEST(a_hundred_thousand_subscribers_of_one_filter),
        UNIT_TEST(matching_visits_what_may_match),
        UNIT_TEST(matching_asks_no_node_twice),
        UNIT_TEST(the_deepest_topic_and_filter),
        UNIT_TEST(edges_are_as_long_as_they_can_be),
        UNIT_TEST(a_filter_of_its_own_takes_a_node),
        UNIT_TEST(long_edges_are_not_free),
        UNIT_TEST(changes_are_told_by_their_filters),
        UNIT_TEST(a_parked_walk_goes_on_over_a_changing_trie),
        UNIT_TEST(nodes_of_parked_walks_go_in_the_end),
        UNIT_TEST(failing_memory_leaves_subscriptions_as_they_were),
        UNIT_TEST(the_first_of_everything_without_memory),
        UNIT_TEST(matching_without_memory_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
