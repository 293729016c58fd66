/*
 * What is remembered of topics: every kind of change that must end it, those that must not, bounds,
 * failing memory, and random ones against a search.
 */
#include "core/topics.h"

#include "base/rng.h"
#include "core/trie.h"
#include "core/trie_walk.h"
#include "mqtt/topic.h"
#include "unit/rig.h"
#include "unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The trie looks at nothing but the addresses of sessions. */
struct fake {
    _Alignas(TRIE_SESSION_ALIGN) char nothing[TRIE_SESSION_ALIGN];
};

#define SESSIONS 8

static struct fake fakes[SESSIONS];

static struct session *fake(size_t i)
{
    return (struct session *)(void *)&fakes[i];
}

/* A trie, and what is remembered of it. */
struct house {
    struct trie trie;
    struct topics topics;
    struct trie_walk walk;
    struct trie_list found;
};

static void house_begin(struct house *h)
{
    memset(h, 0, sizeof(*h));
    assert_ok(trie_init(&h->trie, 5));
}

static void house_end(struct house *h)
{
    trie_walk_clear(&h->walk);
    trie_list_clear(&h->found);
    topics_clear(&h->topics);
    trie_clear(&h->trie);
}

static trie_place join(struct house *h, const char *filter, size_t who, enum qos qos)
{
    trie_place place;
    bool is_new;

    assert_int_equal(topic_check_subscription(str_c(filter)), REASON_OK);
    assert_ok(trie_subscribe(&h->trie, str_c(filter), fake(who), qos, &place, &is_new));
    return place;
}

static bool is_known(struct house *h, const char *topic)
{
    struct topic_words words;

    return topics_find(&h->topics, &h->trie.changes, str_c(topic), &words);
}

static struct topic_words search(struct house *h, struct str topic)
{
    trie_walk_begin(&h->trie, &h->walk);
    assert_ok(trie_walk_on(&h->trie, &h->walk, topic, UINT32_MAX));
    assert_ok(trie_collect(&h->walk, &h->found));
    return (struct topic_words){.v = h->found.v, .n = h->found.n};
}

static void keep(struct house *h, struct str topic)
{
    struct topic_words words = search(h, topic);

    topics_keep(&h->topics, &h->trie.changes, topic, &words);
}

/* As publications do it, until it is known. */
static void learn(struct house *h, const char *topic)
{
    keep(h, str_c(topic));
    if (!is_known(h, topic))
        keep(h, str_c(topic));
    assert_true(is_known(h, topic));
}

/* --- what gets in --- */

static void a_topic_is_known_from_the_second_time_on(void **state)
{
    struct topic_words words;
    struct house h;

    (void)state;
    house_begin(&h);
    trie_place place = join(&h, "a/+", 3, QOS_1);
    assert_false(is_known(&h, "a/b"));
    keep(&h, STR("a/b"));
    assert_false(is_known(&h, "a/b"));
    keep(&h, STR("a/b"));
    assert_true(topics_find(&h.topics, &h.trie.changes, STR("a/b"), &words));
    assert_int_equal(words.n, 1);
    assert_true(trie_word_session(words.v[0]) == fake(3));
    assert_int_equal(trie_word_qos(words.v[0]), QOS_1);
    assert_false(is_known(&h, "a/c"));
    assert_false(is_known(&h, "a/"));
    assert_false(is_known(&h, "a/bb"));
    assert_false(is_known(&h, ""));
    trie_leave(&h.trie, place, fake(3));
    house_end(&h);
}

static void who_has_no_subscribers_is_known_too(void **state)
{
    struct topic_words words = {.n = 7};
    struct house h;

    (void)state;
    house_begin(&h);
    learn(&h, "nobody/listens");
    assert_true(topics_find(&h.topics, &h.trie.changes, STR("nobody/listens"), &words));
    assert_int_equal(words.n, 0);
    house_end(&h);
}

/* One that was known was a name that a client may publish to. */
static void only_valid_names_get_in(void **state)
{
    static const char *const names[] = {"a/+", "#", "a\x01", "\xff/a", "a/b\x7f"};
    struct house h;

    (void)state;
    house_begin(&h);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        struct topic_words none = {0};
        for (unsigned k = 0; k < 3; k++)
            topics_keep(&h.topics, &h.trie.changes, str_c(names[i]), &none);
        assert_false(is_known(&h, names[i]));
    }
    house_end(&h);
}

static void long_names_are_not_kept(void **state)
{
    char name[TOPIC_NAME_MAX + 2];
    struct house h;

    (void)state;
    house_begin(&h);
    for (size_t n = 1; n <= TOPIC_NAME_MAX + 1; n++) {
        memset(name, 'n', n);
        name[n] = '\0';
        keep(&h, str_c(name));
        keep(&h, str_c(name));
        assert_int_equal(is_known(&h, name), n <= TOPIC_NAME_MAX);
    }
    house_end(&h);
}

static void nor_are_topics_with_very_many_subscribers(void **state)
{
    static uintptr_t words[TOPIC_WORDS_MAX + 1];
    struct house h;

    (void)state;
    house_begin(&h);
    for (size_t n = TOPIC_WORDS_MAX; n <= TOPIC_WORDS_MAX + 1; n++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "of/%zu", n);
        for (unsigned k = 0; k < 2; k++)
            topics_keep(&h.topics, &h.trie.changes, str_c(name),
                        &(struct topic_words){.v = words, .n = n});
        assert_int_equal(is_known(&h, name), n == TOPIC_WORDS_MAX);
    }
    house_end(&h);
}

/* --- what ends it --- */

struct concern {
    const char *filter;
    const char *topic;
    bool concerns;
};

#define LEVEL_20 "12345678901234567890"
#define LEVELS_59 LEVEL_20 "/" LEVEL_20 "/34567890123456789"

static const struct concern concerns[] = {
    {"a", "a", true},
    {"a", "b", false},
    {"a", "a/", false},
    {"a/b", "a/b", true},
    {"a/b", "a/bb", false},
    {"a/bb", "a/b", false},
    {"a/+", "a/b", true},
    {"a/+", "a", false},
    {"a/+", "a/b/c", false},
    {"+/b", "a/b", true},
    {"+/b", "a/c", false},
    {"+/+/c", "a//c", true},
    {"#", "a/b", true},
    {"#", "$SYS/a", false},
    {"+/a", "$SYS/a", false},
    {"$SYS/#", "$SYS/a", true},
    {"a/#", "a", true},
    {"a/#", "a/b/c", true},
    {"a/#", "ab", false},
    {"/#", "/a", true},
    {"/#", "a", false},
    {"/", "/", true},
    {"$share/g/a/+", "a/b", true},
    {"$share/g/a/+", "b/a", false},
    {"$share/g/#", "a", true},
    {"$share/g/a", "a", true},
    /* filters that end before, at and behind what is kept of one */
    {LEVELS_59, LEVELS_59, true},
    {LEVELS_59, LEVELS_59 "x", false},
    {LEVELS_59 "x", LEVELS_59 "x", true},
    {LEVELS_59 "x", LEVELS_59, false},
    {LEVELS_59 "xy", LEVELS_59 "xy", true},
    {LEVELS_59 "xy", LEVELS_59 "y", false},
    {LEVELS_59 "/#", LEVELS_59, true},
    {LEVELS_59 "x/#", LEVELS_59 "x", true},
    {LEVELS_59 "x/#", LEVELS_59 "y", false},
    {LEVELS_59 "/+/z", LEVELS_59 "/x/z", true},
    {"+/" LEVELS_59 "/b", "a/" LEVELS_59 "/b", true},
    {"x/+/" LEVELS_59 "/b", "y/a/" LEVELS_59 "/b", false},
};

/* Coming, changing its QoS and going. */
static void what_a_change_concerns_is_forgotten(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(concerns); i++) {
        const struct concern *c = &concerns[i];
        struct house h;
        house_begin(&h);
        for (unsigned step = 0; step < 3; step++) {
            learn(&h, c->topic);
            if (step < 2)
                (void)join(&h, c->filter, 1, step == 0 ? QOS_0 : QOS_2);
            else
                trie_leave(&h.trie, trie_find(&h.trie, str_c(c->filter), fake(1)), fake(1));
            if (is_known(&h, c->topic) == c->concerns)
                fail_msg("%s, %s: step %u", c->filter, c->topic, step);
        }
        house_end(&h);
    }
}

/* … and comes back with the next search. */
static void what_was_known_is_soon_known_again(void **state)
{
    struct house h;

    (void)state;
    house_begin(&h);
    learn(&h, "a/b");
    trie_place place = join(&h, "a/b", 0, QOS_0);
    assert_false(is_known(&h, "a/b"));
    keep(&h, STR("a/b"));
    assert_true(is_known(&h, "a/b"));
    trie_leave(&h.trie, place, fake(0));
    house_end(&h);
}

/* Each is looked at once; who has not asked for more changes than are kept must search. */
static void changes_elsewhere_do_no_harm_unless_they_are_many(void **state)
{
    struct house h;
    char filter[32];

    (void)state;
    house_begin(&h);
    learn(&h, "a/b");
    for (unsigned i = 0; i < 10 * CHANGES_KEPT; i++) {
        (void)snprintf(filter, sizeof(filter), "other/%u", i);
        (void)join(&h, filter, 0, QOS_0);
        if (i % CHANGES_KEPT == 0)
            assert_true(is_known(&h, "a/b"));
    }
    assert_true(is_known(&h, "a/b"));
    for (unsigned i = 0; i < CHANGES_KEPT + 1; i++) {
        (void)snprintf(filter, sizeof(filter), "other/%u", i);
        trie_leave(&h.trie, trie_find(&h.trie, str_c(filter), fake(0)), fake(0));
    }
    assert_false(is_known(&h, "a/b"));
    learn(&h, "a/b");
    for (unsigned i = CHANGES_KEPT + 1; i < 10 * CHANGES_KEPT; i++) {
        (void)snprintf(filter, sizeof(filter), "other/%u", i);
        trie_leave(&h.trie, trie_find(&h.trie, str_c(filter), fake(0)), fake(0));
    }
    house_end(&h);
}

/* Texts of changes that nobody will ask for are not kept; those that somebody may ask for are. */
static void a_long_silence_loses_no_change(void **state)
{
    struct house h;

    (void)state;
    house_begin(&h);
    for (unsigned i = 0; i < 5 * CHANGES_KEPT; i++)
        trie_leave(&h.trie, join(&h, "quiet", 0, QOS_0), fake(0));
    learn(&h, "a/b");
    trie_place place = join(&h, "a/+", 0, QOS_0);
    assert_false(is_known(&h, "a/b"));
    learn(&h, "a/b");
    trie_leave(&h.trie, place, fake(0));
    assert_false(is_known(&h, "a/b"));
    house_end(&h);
}

/* --- bounds --- */

static void name_number(char out[32], unsigned i)
{
    (void)snprintf(out, 32, "device/%u/temperature", i);
}

static void a_thousand_topics_have_room(void **state)
{
    struct house h;
    char name[32];

    (void)state;
    house_begin(&h);
    for (unsigned i = 0; i < 1000; i++) {
        name_number(name, i);
        learn(&h, name);
    }
    unsigned known = 0;
    for (unsigned i = 0; i < 1000; i++) {
        name_number(name, i);
        known += is_known(&h, name);
    }
    print_message("%u of 1000 known, %zu bytes\n", known, h.topics.bytes);
    assert_true(known >= 995);
    house_end(&h);
}

/* Each publishes once before the first publishes again. */
static void topics_that_take_turns_get_in(void **state)
{
    static const unsigned numbers[] = {2, 100, 1000, 10000};

    (void)state;
    for (size_t k = 0; k < ARRAY_SIZE(numbers); k++) {
        struct topic_words words = {0};
        unsigned known = 0;
        struct house h;
        char name[32];
        house_begin(&h);
        for (unsigned i = 0; i < 6 * numbers[k]; i++) {
            name_number(name, i % numbers[k]);
            if (topics_find(&h.topics, &h.trie.changes, str_c(name), &words))
                known += i >= 5 * numbers[k];
            else
                topics_keep(&h.topics, &h.trie.changes, str_c(name), &words);
        }
        print_message("%u of %u known\n", known, numbers[k]);
        assert_true(known >= numbers[k] - numbers[k] / 5);
        house_end(&h);
    }
}

static void memory_has_a_limit(void **state)
{
    static uintptr_t words[TOPIC_WORDS_MAX];
    static const size_t subscribers[] = {0, 1, TOPIC_WORDS_MAX};

    (void)state;
    unit_needs_tracking();
    for (size_t k = 0; k < ARRAY_SIZE(subscribers); k++) {
        struct house h;
        char name[32];
        house_begin(&h);
        size_t used = mem_used();
        for (unsigned i = 0; i < 60000; i++) {
            name_number(name, i / 2);
            topics_keep(&h.topics, &h.trie.changes, str_c(name),
                        &(struct topic_words){.v = words, .n = subscribers[k]});
        }
        print_message("%u topics with %zu subscribers: %zu bytes\n", h.topics.count, subscribers[k],
                      h.topics.bytes);
        assert_int_equal(mem_used() - used, h.topics.bytes);
        assert_true(h.topics.bytes <= TOPICS_BYTES_MAX);
        assert_true(h.topics.count <= TOPICS_WAYS * TOPICS_SETS_MAX);
        name_number(name, 29999);
        assert_true(is_known(&h, name));
        house_end(&h);
    }
}

/* Topics that were published to once upon a time may fill all memory; those of today get in all the
 * same, and stay. */
static void full_memory_is_no_reason_to_keep_the_old_ones(void **state)
{
    static uintptr_t words[TOPIC_WORDS_MAX];
    const unsigned old = 20000;
    unsigned known = 0;
    struct house h;
    char name[32];

    (void)state;
    house_begin(&h);
    for (unsigned i = 0; i < 2 * (old + 300); i++) {
        name_number(name, i / 2);
        topics_keep(&h.topics, &h.trie.changes, str_c(name),
                    &(struct topic_words){.v = words, .n = TOPIC_WORDS_MAX});
        assert_true(h.topics.bytes <= TOPICS_BYTES_MAX);
    }
    for (unsigned i = old; i < old + 300; i++) {
        name_number(name, i);
        known += is_known(&h, name);
    }
    print_message("%u of 300 new ones known\n", known);
    assert_true(known >= 270);
    house_end(&h);
}

/* Published once each, they push nobody out, and nothing is allocated for them. */
static void a_flood_of_topics_moves_nothing(void **state)
{
    struct house h;
    char name[32];

    (void)state;
    house_begin(&h);
    learn(&h, "steady");
    uint64_t calls = mem_calls();
    for (unsigned i = 0; i < 10000; i++) {
        name_number(name, i);
        topics_keep(&h.topics, &h.trie.changes, str_c(name), &(struct topic_words){0});
    }
    assert_int_equal(mem_calls(), calls);
    assert_true(is_known(&h, "steady"));
    house_end(&h);
}

static void without_memory_nothing_is_remembered(void **state)
{
    bool failed = true;

    (void)state;
    unit_needs_tracking();
    for (uint64_t n = 0; failed; n++) {
        struct house h;
        char name[32];
        house_begin(&h);
        trie_place place = join(&h, "#", 2, QOS_2);
        keep(&h, STR("warm"));
        mem_fail_after(n, 0);
        for (unsigned i = 0; i < 100; i++) {
            struct topic_words words;
            name_number(name, i / 2);
            keep(&h, str_c(name));
            if (topics_find(&h.topics, &h.trie.changes, str_c(name), &words))
                assert_true(words.n == 1 && trie_word_session(words.v[0]) == fake(2));
        }
        failed = mem_failed() > 0;
        mem_fail_never();
        learn(&h, "afterwards");
        trie_leave(&h.trie, place, fake(2));
        house_end(&h);
        assert_true(n < 1000);
    }
}

/* --- at random --- */

/* Levels of a few bytes and of many, so that some filters are longer than what is kept of them. */
static void random_text(struct rng *rng, char *out, bool filter)
{
    static const char *const levels[] = {"a", "b", "", "$x", LEVEL_20, LEVEL_20 "1"};
    size_t n = 1 + rng_below(rng, 5);

    out[0] = '\0';
    if (filter && rng_below(rng, 5) == 0)
        strcat(out, rng_below(rng, 2) ? "$share/g/" : "$share/h/");
    for (size_t i = 0; i < n; i++) {
        uint32_t kind = filter ? rng_below(rng, 8) : 7;
        if (i > 0)
            strcat(out, "/");
        if (kind == 0) {
            strcat(out, "#");
            return;
        }
        strcat(out, kind <= 2 ? "+" : levels[rng_below(rng, ARRAY_SIZE(levels))]);
    }
    if (strcmp(out, "") == 0 || out[strlen(out) - 1] == 'g' || out[strlen(out) - 1] == 'h')
        strcat(out, "x");
    if (str_has_prefix(str_c(out), STR("$share/")) && out[strlen(out) - 1] == '/')
        strcat(out, "x");
}

/* Subscriptions that there are. */
struct model {
    struct house h;
    struct rng rng;
    size_t n;
    struct {
        trie_place place;
        size_t who;
    } subs[256];
};

static void leave(struct model *m, size_t i)
{
    trie_leave(&m->h.trie, m->subs[i].place, fake(m->subs[i].who));
    m->subs[i] = m->subs[--m->n];
}

/* One comes, gets another QoS, or goes. */
static void random_change(struct model *m)
{
    char filter[256];
    size_t who = rng_below(&m->rng, SESSIONS);
    trie_place place;
    bool is_new;

    random_text(&m->rng, filter, true);
    if (m->n > 0 && (m->n == ARRAY_SIZE(m->subs) || rng_below(&m->rng, 5) < 2)) {
        leave(m, rng_below(&m->rng, (uint32_t)m->n));
        return;
    }
    if (topic_check_subscription(str_c(filter)) != REASON_OK)
        return;
    assert_ok(trie_subscribe(&m->h.trie, str_c(filter), fake(who), (enum qos)rng_below(&m->rng, 3),
                             &place, &is_new));
    if (is_new) {
        m->subs[m->n].place = place;
        m->subs[m->n++].who = who;
    }
}

/* True when it was known, and right. */
static bool random_publish(struct model *m)
{
    struct house *h = &m->h;
    struct topic_words known;
    char topic[256];

    random_text(&m->rng, topic, false);
    bool is = topics_find(&h->topics, &h->trie.changes, str_c(topic), &known);
    struct topic_words right = search(h, str_c(topic));
    if (!is) {
        topics_keep(&h->topics, &h->trie.changes, str_c(topic), &right);
        return false;
    }
    assert_int_equal(known.n, right.n);
    if (known.n > 0)
        assert_memory_equal(known.v, right.v, known.n * sizeof(*known.v));
    return true;
}

static void random_ones_are_what_a_search_finds(void **state)
{
    static const unsigned publications[] = {1, 5, 50};
    static struct model m;

    (void)state;
    for (size_t k = 0; k < ARRAY_SIZE(publications); k++) {
        unsigned known = 0;
        memset(&m, 0, sizeof(m));
        house_begin(&m.h);
        rng_seed(&m.rng, 4711 + k);
        for (unsigned i = 0; i < 60000; i++) {
            if (rng_below(&m.rng, publications[k] + 1) == 0)
                random_change(&m);
            else
                known += random_publish(&m);
        }
        print_message("%u publications for each change: %u of 60000 steps known\n", publications[k],
                      known);
        assert_true(known > 1000);
        while (m.n > 0)
            leave(&m, 0);
        house_end(&m.h);
    }
}

/* --- in the broker --- */

static void publish_thrice(struct rig *r, struct rig_client *p, const char *topic)
{
    for (unsigned i = 0; i < 3; i++)
        rig_publish(p, topic, "x", QOS_0, 0);
    rig_settle(r);
}

static void expect_thrice(struct rig_client *c, const char *topic)
{
    for (unsigned i = 0; i < 3; i++)
        rig_expect_publish(c, topic, "x", QOS_0);
    rig_expect_nothing(c);
}

/* Who is gone gets nothing, and what stood at its place is not looked at; who comes gets it. */
static void sessions_come_and_go_between_publications(void **state)
{
    static const char *const filters[] = {"a/b", "a/+", "#", "$share/g/a/b"};
    struct rig_client p;
    struct rig r;

    (void)state;
    rig_begin(&r, false);
    rig_connect(&r, &p, "publisher", true);
    publish_thrice(&r, &p, "a/b");
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
            struct rig_client c, again;
            rig_connect(&r, &c, "subscriber", true);
            rig_subscribe(&c, filters[i], QOS_0);
            publish_thrice(&r, &p, "a/b");
            expect_thrice(&c, "a/b");
            if (round == 0)
                rig_forget(&c);
            else if (round == 1)
                rig_unsubscribe(&c, filters[i]);
            else
                rig_connect(&r, &again, "subscriber", true); /* taken over */
            publish_thrice(&r, &p, "a/b");
            if (round > 0)
                rig_expect_nothing(round == 1 ? &c : &again);
            if (round == 2)
                rig_forget(&again);
            if (round > 0)
                rig_forget(&c);
        }
    }
    rig_forget(&p);
    rig_end(&r);
}

/* That a topic is known says nothing of who may publish to it, or of how. */
static void what_is_known_is_still_refused(void **state)
{
    struct rig_client own;
    struct rig_client other;
    struct rig r;

    (void)state;
    rig_setup(&r);
    r.conf.global.message_size_limit = 3;
    rig_acl(&r.listener, "topic read #\nuser ann\ntopic readwrite door\n");
    rig_start(&r);
    rig_connect_as(&r, &own, "own", "ann", true);
    rig_connect(&r, &other, "other", true);
    rig_subscribe(&other, "#", QOS_0);
    publish_thrice(&r, &own, "door");
    expect_thrice(&other, "door");
    publish_thrice(&r, &other, "door");
    rig_publish(&own, "door", "long", QOS_0, 0);
    publish_thrice(&r, &own, "$SYS/x");
    rig_expect_nothing(&other);
    assert_int_equal(broker_stats(r.b)->publish_denied, 3);
    assert_int_equal(broker_stats(r.b)->publish_dropped, 1);
    rig_send(&own,
             "\x36\x07\x00\x04"
             "door"
             "x",
             9); /* QoS 3 */
    rig_settle(&r);
    rig_expect_closed(&own);
    rig_forget(&own);
    rig_forget(&other);
    rig_end(&r);
}

/* Names behind a mount point are those that others see. */
static void mount_points_keep_topics_apart(void **state)
{
    struct rig_client inside[2];
    struct rig_client *p = &inside[0], *s = &inside[1];
    char mount[] = "m/";
    struct rig r;

    (void)state;
    rig_setup(&r);
    r.listener.mount_point = mount;
    rig_start(&r);
    rig_connect(&r, p, "p", true);
    rig_connect(&r, s, "s", true);
    rig_subscribe(s, "t", QOS_0);
    publish_thrice(&r, p, "t");
    expect_thrice(s, "t");
    publish_thrice(&r, p, "m/t");
    rig_expect_nothing(s);
    for (unsigned i = 0; i < 3; i++)
        assert_ok(broker_publish_local(r.b, STR("m/t"), STR("x"), false));
    rig_settle(&r);
    expect_thrice(s, "t");
    for (unsigned i = 0; i < 2; i++)
        rig_forget(&inside[i]);
    r.listener.mount_point = NULL;
    rig_end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(a_topic_is_known_from_the_second_time_on),
        UNIT_TEST(who_has_no_subscribers_is_known_too),
        UNIT_TEST(only_valid_names_get_in),
        UNIT_TEST(long_names_are_not_kept),
        UNIT_TEST(nor_are_topics_with_very_many_subscribers),
        UNIT_TEST(what_a_change_concerns_is_forgotten),
        UNIT_TEST(what_was_known_is_soon_known_again),
        UNIT_TEST(changes_elsewhere_do_no_harm_unless_they_are_many),
        UNIT_TEST(a_long_silence_loses_no_change),
        UNIT_TEST(a_thousand_topics_have_room),
        UNIT_TEST(topics_that_take_turns_get_in),
        UNIT_TEST(memory_has_a_limit),
        UNIT_TEST(full_memory_is_no_reason_to_keep_the_old_ones),
        UNIT_TEST(a_flood_of_topics_moves_nothing),
        UNIT_TEST(without_memory_nothing_is_remembered),
        UNIT_TEST(random_ones_are_what_a_search_finds),
        UNIT_TEST(sessions_come_and_go_between_publications),
        UNIT_TEST(what_is_known_is_still_refused),
        UNIT_TEST(mount_points_keep_topics_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
