/*
 * Stored messages: who needs them, where they are, and what they count for.
 */
#include "core/stored.h"

#include "base/rng.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct message *message_of(const char *payload)
{
    struct message *m = message_new(STR("topic"), str_c(payload), QOS_1);

    assert_non_null(m);
    return m;
}

/* Of a record with so many bytes, `content` of them the topic "topic" and a payload. */
static struct stored_size size_of(uint32_t record, uint32_t content)
{
    return (struct stored_size){.record = record, .payload = content - 5, .topic = 5};
}

/* An entry with a body; the caller holds the body. */
static struct stored *stored_made(struct stored_all *all, uint64_t number, struct message **m)
{
    struct stored *e;

    *m = message_of("payload");
    assert_ok(stored_reserve(all));
    e = stored_add(all, number);
    stored_place(all, e, number * 100, size_of(20, 12));
    stored_attach(all, e, *m);
    return e;
}

static void expect_nothing_left(struct stored_all *all)
{
    assert_int_equal(all->record_bytes, 0);
    assert_int_equal(all->resident_bytes, 0);
    assert_int_equal(all->count, 0);
    assert_int_equal(all->payload_bytes, 0);
    assert_true(TAILQ_EMPTY(&all->list));
    stored_clear(all);
}

static void a_body_finds_its_entry_and_back(void **state)
{
    struct stored_all all;
    struct message *m;
    struct message *other = message_of("x");

    (void)state;
    stored_init(&all);
    assert_null(stored_at(&all, 700));
    assert_null(stored_of(other));
    struct stored *e = stored_made(&all, 7, &m);
    assert_ptr_equal(stored_of(m), e);
    assert_ptr_equal(e->body, m);
    assert_ptr_equal(stored_at(&all, 700), e);
    assert_null(stored_at(&all, 701));
    assert_int_equal(e->number, 7);
    assert_int_equal(e->position, 700);
    assert_int_equal(all.record_bytes, 20);
    assert_int_equal(all.resident_bytes, m->blob.size);
    message_unref(m);
    assert_null(stored_at(&all, 700));
    message_unref(other);
    expect_nothing_left(&all);
}

/* A body that more than one needs lives as long as the last of them, and so does its entry. */
static void the_last_reference_to_the_body_ends_it(void **state)
{
    struct stored_all all;
    struct message *m;

    (void)state;
    stored_init(&all);
    (void)stored_made(&all, 1, &m);
    message_ref(m);
    message_unref(m);
    assert_non_null(stored_at(&all, 100));
    assert_int_equal(all.resident_bytes, m->blob.size);
    message_unref(m);
    assert_null(stored_at(&all, 100));
    expect_nothing_left(&all);
}

static void a_ticket_outlives_the_body(void **state)
{
    struct stored_all all;
    struct message *m;

    (void)state;
    stored_init(&all);
    struct stored *e = stored_made(&all, 1, &m);
    assert_int_equal(e->sum, 0);
    struct blob *ticket = blob_ref(stored_ticket(e));
    assert_ptr_equal(stored_of_ticket(ticket), e);
    assert_int_equal(e->sum, stored_sum(STR("topic"), STR("payload")));
    message_unref(m);
    assert_null(e->body);
    assert_int_equal(all.resident_bytes, 0);
    assert_int_equal(all.record_bytes, 20);
    assert_ptr_equal(stored_at(&all, 100), e);
    assert_int_equal(stored_ticket(e)->refs, 1); /* without a body too */
    assert_int_equal(e->sum, stored_sum(STR("topic"), STR("payload")));
    /* it comes back, under the same entry */
    m = message_of("payload");
    (void)blob_ref(&e->blob);
    stored_attach(&all, e, m);
    assert_ptr_equal(stored_of(m), e);
    assert_int_equal(all.resident_bytes, m->blob.size);
    blob_unref(ticket);
    assert_ptr_equal(stored_at(&all, 100), e);
    message_unref(m);
    assert_null(stored_at(&all, 100));
    expect_nothing_left(&all);
}

static void an_entry_without_a_body_may_be_given_back(void **state)
{
    struct stored_all all;

    (void)state;
    stored_init(&all);
    assert_ok(stored_reserve(&all));
    struct stored *e = stored_add(&all, 3);
    assert_int_equal(e->number, 3);
    assert_int_equal(e->position, 0);
    blob_unref(&e->blob); /* before it has a place */
    assert_ok(stored_reserve(&all));
    e = stored_add(&all, 3);
    stored_place(&all, e, 300, size_of(20, 12));
    assert_ptr_equal(stored_at(&all, 300), e);
    blob_unref(&e->blob);
    assert_null(stored_at(&all, 300));
    expect_nothing_left(&all);
}

static void entries_move(void **state)
{
    struct stored_all all;
    struct message *m;

    (void)state;
    stored_init(&all);
    struct stored *e = stored_made(&all, 1, &m);
    stored_place(&all, e, 5000, size_of(30, 12));
    assert_int_equal(stored_content(e), 12);
    assert_int_equal(e->position, 5000);
    assert_int_equal(all.record_bytes, 30);
    stored_place(&all, e, UINT64_MAX >> 8, size_of(10, 7)); /* as far as a journal can grow */
    assert_true(e->position == UINT64_MAX >> 8);
    assert_int_equal(stored_content(e), 7);
    assert_int_equal(all.record_bytes, 10);
    message_unref(m);
    expect_nothing_left(&all);
}

/* Held twice counts once, until the last reference goes. */
static void messages_without_a_record_count(void **state)
{
    struct stored_all all;
    struct message *a = message_of("payload");
    struct message *b = message_of("");

    (void)state;
    stored_init(&all);
    assert_int_equal(all.count, 0);
    stored_hold(&all, a);
    stored_hold(&all, a);
    stored_hold(&all, b);
    assert_null(stored_of(a));
    assert_int_equal(all.count, 2);
    assert_int_equal(all.payload_bytes, 7);
    message_ref(a);
    message_unref(a);
    assert_int_equal(all.count, 2);
    message_unref(a);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.payload_bytes, 0);
    message_unref(b);
    expect_nothing_left(&all);
}

/* Held by one who is not recorded, then by one who is: it counts once, also without its body. */
static void a_held_message_that_is_recorded_still_counts_once(void **state)
{
    struct stored_all all;
    struct message *m = message_of("payload");

    (void)state;
    stored_init(&all);
    stored_hold(&all, m);
    assert_ok(stored_reserve(&all));
    struct stored *e = stored_add(&all, 1);
    stored_place(&all, e, 100, size_of(20, 12));
    stored_attach(&all, e, m);
    stored_hold(&all, m);
    assert_ptr_equal(stored_of(m), e);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.payload_bytes, 7);
    struct blob *ticket = blob_ref(stored_ticket(e));
    message_unref(m);
    assert_int_equal(all.count, 1);
    assert_int_equal(all.payload_bytes, 7);
    stored_place(&all, e, 200, size_of(21, 12));
    assert_int_equal(all.count, 1);
    assert_int_equal(all.payload_bytes, 7);
    blob_unref(ticket);
    expect_nothing_left(&all);
}

static void what_was_prepared_may_not_be_needed(void **state)
{
    struct stored_all all;
    struct message *m;

    (void)state;
    stored_init(&all);
    assert_ok(stored_reserve(&all));
    assert_ok(stored_reserve(&all));
    (void)stored_made(&all, 2, &m);
    assert_ok(stored_reserve(&all));
    message_unref(m);
    expect_nothing_left(&all);
}

/* Looking in growing order, as cleaning does, and in any other. */
static void entries_are_found_by_their_place(void **state)
{
    struct stored_all all;
    struct stored *e[50];
    struct message *m[50];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 5);
    stored_init(&all);
    for (uint64_t i = 0; i < 50; i++)
        e[i] = stored_made(&all, i + 1, &m[i]);
    for (uint64_t i = 0; i < 50; i++) {
        assert_null(stored_at(&all, i * 100 + 99));
        assert_ptr_equal(stored_at(&all, i * 100 + 100), e[i]);
        assert_ptr_equal(stored_at(&all, i * 100 + 100), e[i]);
    }
    assert_null(stored_at(&all, 100000));
    for (unsigned n = 0; n < 2000; n++) {
        uint32_t i = rng_below(&rng, 50);
        assert_ptr_equal(stored_at(&all, i * 100 + 100), e[i]);
    }
    for (uint64_t i = 0; i < 50; i++) { /* each moves, or goes, as it is found */
        assert_ptr_equal(stored_at(&all, i * 100 + 100), e[i]);
        if (i % 3)
            stored_place(&all, e[i], 10000 + i, size_of(20, 12));
        else
            message_unref(m[i]);
        assert_null(stored_at(&all, i * 100 + 100));
    }
    for (uint64_t i = 0; i < 50; i++) {
        assert_ptr_equal(stored_at(&all, 10000 + i), i % 3 ? e[i] : NULL);
        if (i % 3)
            message_unref(m[i]);
    }
    expect_nothing_left(&all);
}

static void the_room_for_bodies_is_limited(void **state)
{
    struct stored_all all;
    struct message *m;

    (void)state;
    stored_init(&all);
    assert_true(stored_has_room(&all, SIZE_MAX / 2)); /* no limit */
    (void)stored_made(&all, 1, &m);
    all.resident_limit = m->blob.size + 10;
    assert_true(stored_has_room(&all, 10));
    assert_false(stored_has_room(&all, 11));
    all.resident_limit = m->blob.size - 1; /* lowered by a reload */
    assert_false(stored_has_room(&all, 0));
    message_unref(m);
    assert_true(stored_has_room(&all, 10));
    expect_nothing_left(&all);
}

static void sums_tell_topic_from_payload(void **state)
{
    static const struct str parts[] = {STR(""), STR("a"), STR("b"), STR("ab"), STR("ba")};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(parts) * ARRAY_SIZE(parts); i++) {
        uint32_t sum = stored_sum(parts[i / ARRAY_SIZE(parts)], parts[i % ARRAY_SIZE(parts)]);
        assert_int_not_equal(sum, 0);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(
                sum, stored_sum(parts[k / ARRAY_SIZE(parts)], parts[k % ARRAY_SIZE(parts)]));
    }
}

/* A failure leaves what was there, and nothing prepared. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    unit_needs_tracking();
    for (uint64_t n = 0;; n++) {
        struct stored_all all;
        struct message *m[600];
        uint64_t number = 0;
        bool failed = false;
        for (size_t i = 0; i < ARRAY_SIZE(m); i++)
            m[i] = message_of("x");
        stored_init(&all);
        mem_fail_after(n, 1);
        while (number < ARRAY_SIZE(m) && !failed) {
            failed = stored_reserve(&all) != ERR_OK;
            if (failed)
                break;
            stored_attach(&all, stored_add(&all, number + 1), m[number]);
            number++;
        }
        mem_fail_never();
        if (failed) { /* with memory it goes on */
            assert_ok(stored_reserve(&all));
            stored_attach(&all, stored_add(&all, number + 1), m[number]);
            assert_int_equal(stored_of(m[number])->number, number + 1);
        }
        for (size_t i = 0; i < ARRAY_SIZE(m); i++)
            message_unref(m[i]);
        expect_nothing_left(&all);
        if (!failed) {
            assert_true(n > 1);
            break;
        }
    }
}

/* --- anything in any order --- */

#define SLOTS 40

struct slot {
    struct message *m;   /* held, or NULL */
    struct blob *ticket; /* held, or NULL */
    uint32_t bytes;      /* of its record */
    uint64_t position;
};

static void fill(struct stored_all *all, struct slot *s, uint64_t position, uint32_t bytes)
{
    *s = (struct slot){.m = message_of("some payload"), .bytes = bytes, .position = position};
    assert_ok(stored_reserve(all));
    struct stored *e = stored_add(all, position);
    stored_place(all, e, position, size_of(bytes, bytes - 1));
    stored_attach(all, e, s->m);
}

static void change(struct stored_all *all, struct slot *s, uint32_t dice, uint64_t position)
{
    struct stored *e = s->m ? stored_of(s->m) : stored_of_ticket(s->ticket);

    if (dice == 0 && s->m && !s->ticket) {
        s->ticket = blob_ref(stored_ticket(e));
    } else if (dice == 1 && s->ticket) {
        blob_unref(s->ticket);
        s->ticket = NULL;
    } else if (dice == 2 && s->m) {
        message_unref(s->m);
        s->m = NULL;
    } else if (dice == 3 && !s->m) {
        s->m = message_of("some payload");
        (void)blob_ref(&e->blob);
        stored_attach(all, e, s->m);
    } else if (dice == 4) {
        s->bytes += 3;
        s->position = position;
        stored_place(all, e, position, size_of(s->bytes, s->bytes - 1));
    }
}

static void counts_hold_whatever_happens(void **state)
{
    struct stored_all all;
    struct slot slots[SLOTS] = {0};
    struct rng rng;

    (void)state;
    rng_seed(&rng, 1);
    stored_init(&all);
    for (uint64_t step = 1; step < 20000; step++) {
        struct slot *s = &slots[rng_below(&rng, SLOTS)];
        uint64_t records = 0;
        uint64_t resident = 0;
        uint64_t payloads = 0;
        uint64_t count = 0;
        if (s->m || s->ticket)
            change(&all, s, rng_below(&rng, 5), step);
        else
            fill(&all, s, step, 6 + rng_below(&rng, 100));
        if (rng_below(&rng, 4) == 0)
            assert_ok(stored_reserve(&all));
        for (unsigned i = 0; i < SLOTS; i++) {
            bool any = slots[i].m || slots[i].ticket;
            records += any ? slots[i].bytes : 0;
            resident += slots[i].m ? slots[i].m->blob.size : 0;
            payloads += any ? slots[i].bytes - 6 : 0;
            count += any;
        }
        assert_int_equal(all.count, count);
        assert_int_equal(all.payload_bytes, payloads);
        assert_int_equal(all.record_bytes, records);
        assert_int_equal(all.resident_bytes, resident);
        s = &slots[rng_below(&rng, SLOTS)];
        struct stored *e = s->m ? stored_of(s->m) : s->ticket ? stored_of_ticket(s->ticket) : NULL;
        if (s->position)
            assert_ptr_equal(stored_at(&all, s->position), e);
    }
    for (unsigned i = 0; i < SLOTS; i++) {
        message_unref(slots[i].m);
        blob_unref(slots[i].ticket);
    }
    expect_nothing_left(&all);
}

static void an_entry_costs_little(void **state)
{
    const unsigned n = 100000;
    struct stored_all all;
    struct blob **tickets = malloc(n * sizeof(*tickets));

    (void)state;
    unit_needs_tracking();
    assert_non_null(tickets);
    stored_init(&all);
    size_t used = mem_used();
    for (unsigned i = 0; i < n; i++) {
        assert_ok(stored_reserve(&all));
        tickets[i] = &stored_add(&all, i + 1)->blob;
    }
    double each = (double)(mem_used() - used) / n;
    print_message("a message that is only in the journal: %.1f bytes beside its row\n", each);
    assert_true(each <= 74);
    for (unsigned i = 0; i < n; i++)
        blob_unref(tickets[i]);
    free(tickets);
    expect_nothing_left(&all);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(a_body_finds_its_entry_and_back),
        UNIT_TEST(the_last_reference_to_the_body_ends_it),
        UNIT_TEST(a_ticket_outlives_the_body),
        UNIT_TEST(an_entry_without_a_body_may_be_given_back),
        UNIT_TEST(entries_move),
        UNIT_TEST(messages_without_a_record_count),
        UNIT_TEST(a_held_message_that_is_recorded_still_counts_once),
        UNIT_TEST(what_was_prepared_may_not_be_needed),
        UNIT_TEST(entries_are_found_by_their_place),
        UNIT_TEST(the_room_for_bodies_is_limited),
        UNIT_TEST(sums_tell_topic_from_payload),
        UNIT_TEST(every_allocation_may_fail),
        UNIT_TEST(counts_hold_whatever_happens),
        UNIT_TEST(an_entry_costs_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
