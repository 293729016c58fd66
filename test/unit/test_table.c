/*
 * The hash table against a naive model: a flag for each possible key.
 */
#include "base/table.h"

#include "base/rng.h"
#include "unit.h"

#include <stdlib.h>

#define STEP 16 /* old slots that one call moves at most */

struct entry {
    uint64_t hash;
    uint32_t key;
    bool present;
};

/* What the table calls: counts the questions. */
struct asked {
    uint64_t hashes;
    uint64_t equals;
};

static struct asked asked;

static uint64_t entry_hash(const void *entry, const void *ctx)
{
    const struct entry *e = entry;

    assert_ptr_equal(ctx, &asked);
    asked.hashes++;
    return e->hash;
}

static bool entry_equal(const void *entry, const void *key, const void *ctx)
{
    const struct entry *e = entry;

    assert_ptr_equal(ctx, &asked);
    asked.equals++;
    return e->key == *(const uint32_t *)key;
}

static const struct table_ops ops = {entry_hash, entry_equal};

struct model {
    struct table table;
    struct entry *entries;
    uint32_t keys;
    uint32_t count;
};

enum hashing {
    HASH_GOOD,
    HASH_FEW_HOMES, /* long clusters that wrap around */
    HASH_ALL_SAME
};

static uint64_t hash_of(uint32_t key, enum hashing hashing)
{
    uint64_t hash = table_hash(42, &key, sizeof(key));

    if (hashing == HASH_FEW_HOMES)
        return (hash & ~(uint64_t)0xFFFFFFFF) | (hash & 1 ? 0xFFFFFFFE : 0xF0000000);
    return hashing == HASH_ALL_SAME ? UINT64_MAX : hash;
}

static void model_init(struct model *m, uint32_t keys, enum hashing hashing)
{
    *m = (struct model){.keys = keys, .entries = calloc(keys, sizeof(*m->entries))};
    assert_non_null(m->entries);
    for (uint32_t i = 0; i < keys; i++)
        m->entries[i] = (struct entry){.key = i, .hash = hash_of(i, hashing)};
}

static void model_clear(struct model *m)
{
    table_clear(&m->table);
    free(m->entries);
}

static struct entry *model_find(const struct model *m, uint32_t key)
{
    return table_find(&m->table, &ops, &asked, m->entries[key].hash, &key);
}

static enum err model_insert(struct model *m, uint32_t key)
{
    struct entry *e = &m->entries[key];
    enum err err = table_insert(&m->table, &ops, &asked, e->hash, e);

    if (err == ERR_OK) {
        e->present = true;
        m->count++;
    }
    return err;
}

static void model_remove(struct model *m, uint32_t key)
{
    struct entry *e = &m->entries[key];
    struct entry *removed = table_remove(&m->table, &ops, &asked, e->hash, &key);

    assert_ptr_equal(removed, e->present ? e : NULL);
    if (e->present)
        m->count--;
    e->present = false;
}

/* Everything that is in the model and nothing else is found, and the walk meets each entry once. */
static void model_check(const struct model *m)
{
    uint64_t cursor = 0;
    uint32_t met = 0;

    assert_int_equal(m->table.count, m->count);
    for (uint32_t key = 0; key < m->keys; key++) {
        struct entry *e = &m->entries[key];

        if (model_find(m, key) != (e->present ? e : NULL))
            fail_msg("key %u is %s", key, e->present ? "lost" : "still there");
    }
    for (const struct entry *e; (e = table_next(&m->table, &cursor)) != NULL; met++)
        assert_true(e->present);
    assert_int_equal(met, m->count);
}

static void an_empty_table_owns_nothing(void **state)
{
    struct table t = {0};
    uint64_t cursor = 0;
    uint32_t key = 1;

    (void)state;
    assert_null(table_find(&t, &ops, &asked, 1, &key));
    assert_null(table_remove(&t, &ops, &asked, 1, &key));
    assert_null(table_replace(&t, &ops, &asked, 1, &key, &key));
    assert_null(table_next(&t, &cursor));
    assert_null(t.slots);
    table_clear(&t);
}

static void small_tables_are_small(void **state)
{
    struct model m;
    size_t used = mem_used();

    (void)state;
    model_init(&m, 3, HASH_GOOD);
    for (uint32_t i = 0; i < 3; i++)
        assert_ok(model_insert(&m, i));
    assert_true(mem_used() - used <= 32);
    for (uint32_t i = 0; i < 3; i++)
        model_remove(&m, i);
    assert_null(m.table.slots);
    assert_int_equal(mem_used(), used);
    model_clear(&m);
}

static void hashes_are_keyed(void **state)
{
    (void)state;
    assert_true(table_hash(1, "abc", 3) == table_hash(1, "abc", 3));
    assert_true(table_hash(1, "abc", 3) != table_hash(2, "abc", 3));
    assert_true(table_hash(1, "abc", 3) != table_hash(1, "abd", 3));
    assert_true(table_hash(1, "", 0) != table_hash(2, "", 0));
    assert_true(table_mix(1, 2) != table_mix(1, 3));
    assert_true(table_mix(1, 2) != table_mix(2, 2));
}

static void entries_may_carry_flags(void **state)
{
    static uint64_t thing;
    struct table t = {0};
    uint64_t cursor = 0;
    char *tagged = (char *)&thing + 3;

    (void)state;
    assert_ok(table_insert(&t, &ops, &asked, UINT64_MAX, tagged));
    assert_ptr_equal(table_next(&t, &cursor), tagged);
    assert_null(table_next(&t, &cursor));
    table_clear(&t);
}

static void replacing_keeps_the_place(void **state)
{
    struct model m;
    struct entry twin;
    uint32_t key = 50;
    uint32_t absent = 500;

    (void)state;
    model_init(&m, 1000, HASH_GOOD);
    for (uint32_t i = 0; i < 400; i++)
        assert_ok(model_insert(&m, i));
    twin = m.entries[key];
    assert_ptr_equal(table_replace(&m.table, &ops, &asked, twin.hash, &key, &twin),
                     &m.entries[key]);
    assert_ptr_equal(model_find(&m, key), &twin);
    assert_int_equal(m.table.count, 400);
    assert_ptr_equal(table_replace(&m.table, &ops, &asked, twin.hash, &key, &m.entries[key]),
                     &twin);
    assert_null(table_replace(&m.table, &ops, &asked, m.entries[absent].hash, &absent, &twin));
    model_check(&m);
    model_clear(&m);
}

static void reserved_room_is_there(void **state)
{
    struct model m;

    (void)state;
    unit_needs_tracking();
    model_init(&m, 1000, HASH_GOOD);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_ok(table_reserve(&m.table, &ops, &asked));
        mem_fail_after(0, 1);
        assert_ok(table_reserve(&m.table, &ops, &asked));
        assert_ok(model_insert(&m, i));
        assert_int_equal(mem_failed(), 0);
        mem_fail_never();
    }
    model_check(&m);
    model_clear(&m);
}

/* One random insertion or removal; `growing` of 100 times an insertion. */
static void random_step(struct model *m, struct rng *rng, uint32_t growing)
{
    uint32_t key = rng_below(rng, m->keys);
    uint32_t moved = m->table.moved;
    const uint64_t *old = m->table.old;
    bool insert = rng_below(rng, 100) < growing;

    asked = (struct asked){0};
    if (insert && !m->entries[key].present) {
        assert_ok(model_insert(m, key));
        assert_true(asked.hashes <= STEP);
    } else if (!insert) {
        model_remove(m, key);
    }
    if (old && m->table.old == old)
        assert_true(m->table.moved - moved <= STEP);
}

static void random_use(uint32_t keys, enum hashing hashing, uint32_t rounds, uint32_t checks)
{
    struct model m;
    struct rng rng;

    model_init(&m, keys, hashing);
    rng_seed(&rng, keys);
    for (uint32_t round = 0; round < rounds; round++) {
        /* Fill, empty, and hover, so that it grows and shrinks while the former array still moves.
         */
        static const uint32_t growing[] = {95, 5, 60, 40, 99, 0};

        random_step(&m, &rng, growing[(uint64_t)round * ARRAY_SIZE(growing) * 3 / rounds % 6]);
        if (round % (rounds / checks) == 0)
            model_check(&m);
    }
    model_check(&m);
    for (uint32_t key = 0; key < keys; key++)
        model_remove(&m, key);
    assert_null(m.table.slots);
    assert_null(m.table.old);
    model_clear(&m);
}

static void random_use_of_small_tables(void **state)
{
    (void)state;
    for (uint32_t keys = 1; keys <= 40; keys++)
        random_use(keys, HASH_GOOD, 3000, 1000);
}

static void random_use_with_long_clusters(void **state)
{
    (void)state;
    for (uint32_t keys = 1; keys <= 120; keys += 7) {
        random_use(keys, HASH_FEW_HOMES, 2000, 500);
        random_use(keys, HASH_ALL_SAME, 2000, 500);
    }
}

static void random_use_of_a_large_table(void **state)
{
    (void)state;
    random_use(200000, HASH_GOOD, 2000000, 5);
}

/* Up and down a long way: no call moves much, and the array follows the number of entries. */
static void growing_and_shrinking_are_gradual(void **state)
{
    struct model m;
    uint64_t most = 0;
    const uint32_t many = 200000;

    (void)state;
    model_init(&m, many, HASH_GOOD);
    for (uint32_t i = 0; i < many; i++) {
        asked.hashes = 0;
        assert_ok(model_insert(&m, i));
        if (asked.hashes > most)
            most = asked.hashes;
    }
    assert_true(most > 0 && most <= STEP);
    assert_int_equal(m.table.size, 256 * 1024);
    for (uint32_t i = 0; i < many; i++) {
        model_remove(&m, i);
        if (!m.table.old && m.table.slots)
            assert_true(m.table.size < 16 || m.table.count + 1 >= m.table.size / 8);
    }
    assert_null(m.table.slots);
    model_clear(&m);
}

static void a_miss_rarely_touches_an_entry(void **state)
{
    struct model m;

    (void)state;
    model_init(&m, 200000, HASH_GOOD);
    for (uint32_t i = 0; i < 100000; i++)
        assert_ok(model_insert(&m, i));
    asked = (struct asked){0};
    for (uint32_t i = 100000; i < 200000; i++)
        assert_null(model_find(&m, i));
    assert_true(asked.equals < 100);
    assert_int_equal(asked.hashes, 0);
    model_clear(&m);
}

/* The same short story with each of its allocations failing once. */
static bool story_with_failure(uint64_t failing, bool all)
{
    struct model m;
    struct rng rng;
    bool failed;

    model_init(&m, 200, HASH_GOOD);
    rng_seed(&rng, 9);
    mem_fail_after(failing, all);
    for (uint32_t round = 0; round < 2000; round++) {
        uint32_t key = rng_below(&rng, m.keys);

        if (rng_below(&rng, 100) >= (round / 500 % 2 ? 3u : 90u)) {
            model_remove(&m, key);
        } else if (!m.entries[key].present && model_insert(&m, key) != ERR_OK) {
            assert_true(mem_failed() > 0);
            model_check(&m);
        }
        model_check(&m);
    }
    failed = mem_failed() > 0;
    mem_fail_never();
    model_check(&m);
    model_clear(&m);
    return failed;
}

/* The slots that a probe for this hash looks at, if it is not there. */
static size_t slots_asked(const struct table *t, uint64_t hash)
{
    size_t n = 1;

    for (uint32_t i = table_home(hash, t->size);
         t->slots[i] != 0 && t->slots[i] >> TABLE_TAG_SHIFT <= hash >> TABLE_TAG_SHIFT;
         i = table_after(i, t->size))
        n++;
    return n;
}

/* Without the order of tags these were 32 slots. */
static void a_miss_ends_early_in_a_full_table(void **state)
{
    const uint32_t full = 65536 / 8 * 7;
    struct model m;
    size_t asked_in_all = 0;

    (void)state;
    model_init(&m, 2 * full, HASH_GOOD);
    for (uint32_t i = 0; i < full; i++)
        assert_ok(model_insert(&m, i));
    assert_int_equal(m.table.size, 65536);
    assert_null(m.table.old);
    for (uint32_t i = full; i < 2 * full; i++)
        asked_in_all += slots_asked(&m.table, m.entries[i].hash);
    assert_true(asked_in_all < 5 * (size_t)full);
    model_clear(&m);
}

static void each_allocation_may_fail(void **state)
{
    uint64_t failing = 0;

    (void)state;
    unit_needs_tracking();
    while (story_with_failure(failing, false))
        failing++;
    assert_true(failing >= 10);
    for (uint64_t from = 0; from < failing; from++)
        assert_true(story_with_failure(from, true));
}

/* A walk goes on while entries come and go: it meets present entries only, and ends. */
static void a_walk_survives_changes(void **state)
{
    struct model m;
    struct rng rng;

    (void)state;
    model_init(&m, 3000, HASH_GOOD);
    rng_seed(&rng, 4);
    for (uint32_t walk = 0; walk < 60; walk++) {
        uint32_t growing = walk % 3 == 0 ? 95 : walk % 3 == 1 ? 50 : 5;
        uint64_t cursor = 0;
        const struct entry *e;

        while ((e = table_next(&m.table, &cursor)) != NULL) {
            assert_true(e->present);
            for (uint32_t steps = rng_below(&rng, 6); steps > 0; steps--)
                random_step(&m, &rng, growing);
        }
        for (uint32_t steps = 0; steps < 300; steps++)
            random_step(&m, &rng, growing);
    }
    model_clear(&m);
}

/* Checked at each step of each move. */
static void a_walk_without_changes_meets_all_in_both_arrays(void **state)
{
    struct model m;

    (void)state;
    model_init(&m, 400, HASH_GOOD);
    for (uint32_t i = 0; i < 390; i++) {
        assert_ok(model_insert(&m, i));
        if (m.table.old)
            model_check(&m);
    }
    model_clear(&m);
}

struct numbered {
    char other;
    uint64_t number;
};

static void ready_made_keys(void **state)
{
    static const size_t at = offsetof(struct numbered, number);
    struct numbered entries[] = {{'a', 7}, {'b', 1ULL << 60}, {'c', 0}};
    struct table t = {0};
    uint64_t missing = 8;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
        assert_ok(table_insert(&t, &table_of_numbers, &at, table_hash_number(entries[i].number),
                               &entries[i]));
    for (size_t i = 0; i < ARRAY_SIZE(entries); i++) {
        uint64_t key = entries[i].number;
        assert_ptr_equal(table_find(&t, &table_of_numbers, &at, table_hash_number(key), &key),
                         &entries[i]);
    }
    assert_null(table_find(&t, &table_of_numbers, &at, table_hash_number(missing), &missing));
    table_clear(&t);
    assert_ok(table_insert(&t, &table_of_words, NULL, table_hash_number(24), (void *)24));
    assert_ptr_equal(table_remove(&t, &table_of_words, NULL, table_hash_number(24), (void *)24),
                     (void *)24);
    assert_null(table_find(&t, &table_of_words, NULL, table_hash_number(24), (void *)24));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(an_empty_table_owns_nothing),
        UNIT_TEST(ready_made_keys),
        UNIT_TEST(small_tables_are_small),
        UNIT_TEST(hashes_are_keyed),
        UNIT_TEST(entries_may_carry_flags),
        UNIT_TEST(replacing_keeps_the_place),
        UNIT_TEST(reserved_room_is_there),
        UNIT_TEST(random_use_of_small_tables),
        UNIT_TEST(random_use_with_long_clusters),
        UNIT_TEST(random_use_of_a_large_table),
        UNIT_TEST(growing_and_shrinking_are_gradual),
        UNIT_TEST(a_miss_rarely_touches_an_entry),
        UNIT_TEST(a_miss_ends_early_in_a_full_table),
        UNIT_TEST(each_allocation_may_fail),
        UNIT_TEST(a_walk_survives_changes),
        UNIT_TEST(a_walk_without_changes_meets_all_in_both_arrays),
    };

    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
