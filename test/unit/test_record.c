/*
 * Records: what is written is read back, what is cut short or made up is refused.
 */
#include "core/record.h"

#include "base/rng.h"
#include "unit.h"

#include <stdlib.h>

/* One of each type with every field that it has, small and large. */
static const struct record samples[] = {
    {.type = RECORD_CLIENT, .session = 1, .time = 0, .text = STR("")},
    {.type = RECORD_CLIENT,
     .session = UINT64_MAX,
     .seq = UINT64_MAX,
     .time = UINT64_MAX,
     .id = UINT16_MAX,
     .text = STR("client\0id")},
    {.type = RECORD_CLIENT_END, .session = 128},
    {.type = RECORD_SUBSCRIBE,
     .session = 127,
     .qos = 2,
     .flags = RECORD_FLAG_FEED,
     .text = STR("a/+/#")},
    {.type = RECORD_UNSUBSCRIBE, .session = 16384, .text = STR("$share/g/a")},
    {.type = RECORD_FED, .session = 3, .text = STR("a")},
    {.type = RECORD_MESSAGE, .number = 1, .qos = 1, .text = STR("a/b"), .payload = STR("x")},
    {.type = RECORD_MESSAGE, .number = UINT64_MAX - 1, .qos = 0, .text = STR("a")},
    {.type = RECORD_QUEUE,
     .session = 1,
     .number = 1u << 31,
     .seq = UINT64_C(1) << 63,
     .qos = 2,
     .flags = RECORD_FLAG_RETAIN},
    {.type = RECORD_BEGIN, .session = 1, .seq = 2, .id = UINT16_MAX},
    {.type = RECORD_RECEIVED, .session = 1, .seq = 2},
    {.type = RECORD_DONE, .session = 1, .seq = 0},
    {.type = RECORD_IN_ADD, .session = 1, .id = 1},
    {.type = RECORD_IN_REMOVE, .session = 1, .id = 0},
    {.type = RECORD_RETAIN, .number = 5},
    {.type = RECORD_RETAIN_CLEAR, .text = STR("a/b/c")},
    {.type = RECORD_GIVEN_FORMERLY, .session = 3, .number = 1u << 20},
    {.type = RECORD_FEED, .session = 3, .seq = 1u << 20, .qos = 1, .text = STR("a/#")},
    {.type = RECORD_GIVEN, .session = 3, .number = 1u << 20, .seq = 200},
    {.type = RECORD_BRIDGE, .session = 4, .flags = RECORD_FLAG_OWN},
    {.type = RECORD_OWNER, .session = 4, .id = 1883, .text = STR("joe")},
    {.type = RECORD_AUTHOR,
     .number = 1u << 20,
     .id = UINT16_MAX,
     .text = STR("joe"),
     .payload = STR("thermo")},
};

static void assert_same(const struct record *a, const struct record *b)
{
    assert_int_equal(a->type, b->type);
    assert_true(a->session == b->session);
    assert_true(a->number == b->number);
    assert_true(a->seq == b->seq);
    assert_true(a->time == b->time);
    assert_int_equal(a->id, b->id);
    assert_int_equal(a->qos, b->qos);
    assert_int_equal(a->flags, b->flags);
    assert_true(str_eq(a->text, b->text));
    assert_true(str_eq(a->payload, b->payload));
}

static void write_to(struct buf *out, const struct record *r)
{
    assert_ok(buf_reserve(out, RECORD_OVERHEAD + r->text.n + r->payload.n));
    size_t before = out->len;
    record_write(out, r);
    assert_true(out->len - before <= RECORD_OVERHEAD + r->text.n + r->payload.n);
}

static void every_type_has_a_sample(void **state)
{
    unsigned seen = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
        seen |= 1u << samples[i].type;
    assert_int_equal(seen, (1u << RECORD_TYPES) - 2);
}

static void records_come_back_as_they_were_written(void **state)
{
    struct buf out = {0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++)
        write_to(&out, &samples[i]);
    struct str in = buf_str(&out);
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct record r;
        assert_ok(record_read(&in, &r));
        assert_same(&r, &samples[i]);
    }
    assert_int_equal(in.n, 0);
    buf_clear(&out);
}

/* In an allocation of its own, so that a sanitizer sees a read behind its end. */
static enum err read_cut(struct str whole, size_t n, struct str *rest)
{
    char *copy = malloc(n > 0 ? n : 1);
    struct record r;

    assert_non_null(copy);
    if (n > 0)
        memcpy(copy, whole.p, n);
    *rest = str_of(copy, n);
    enum err e = record_read(rest, &r);
    if (!e) /* its strings lie within */
        assert_true(r.text.n + r.payload.n <= n);
    free(copy);
    return e;
}

static void a_record_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(samples); i++) {
        struct buf out = {0};
        struct str rest;
        write_to(&out, &samples[i]);
        for (size_t n = 0; n < out.len; n++)
            assert_err(read_cut(buf_str(&out), n, &rest), ERR_MALFORMED);
        assert_ok(read_cut(buf_str(&out), out.len, &rest));
        assert_int_equal(rest.n, 0);
        buf_clear(&out);
    }
}

struct refusal {
    const char *why;
    struct str bytes;
};

static const struct refusal refusals[] = {
    {"type 0", STR("\x00\x01")},
    {"the first type that there is not", STR("\x10\x01\x01\x01")},
    {"type 255", STR("\xff\x01")},
    {"a number of 11 bytes", STR("\x02\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01")},
    {"QoS 3", STR("\x03\x01\x03\x00\x01"
                  "a")},
    {"an id above 65535", STR("\x0b\x01\x80\x80\x04")},
    {"a text that is longer than all", STR("\x05\x01\x02"
                                           "a")},
    {"a text of nearly 2^64 bytes", STR("\x05\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"
                                        "a")},
};

static void what_makes_no_sense_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        struct str rest;
        if (read_cut(refusals[i].bytes, refusals[i].bytes.n, &rest) != ERR_MALFORMED)
            fail_msg("%s was accepted", refusals[i].why);
    }
}

static void random_bytes_are_read_or_refused(void **state)
{
    struct rng rng;
    unsigned accepted = 0;

    (void)state;
    rng_seed(&rng, 7);
    for (unsigned round = 0; round < 200000; round++) {
        char bytes[40];
        size_t n = rng_below(&rng, sizeof(bytes) + 1);
        for (size_t i = 0; i < n; i++)
            bytes[i] = (char)(rng_below(&rng, 3) ? rng_below(&rng, 20) : rng_below(&rng, 256));
        struct str in = str_of(bytes, n);
        struct record r;
        while (in.n > 0 && record_read(&in, &r) == ERR_OK) {
            struct buf out = {0};
            struct str again;
            struct record same;
            accepted++;
            assert_in_range(r.type, 1, RECORD_TYPES - 1);
            assert_true(r.qos <= 2);
            write_to(&out, &r);
            again = buf_str(&out);
            assert_ok(record_read(&again, &same));
            assert_same(&same, &r);
            buf_clear(&out);
        }
    }
    assert_true(accepted > 10000);
}

/* Cleaning passes by what is never recorded anew, and by nothing else. */
static void what_is_never_renewed_is_skipped(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(samples) / sizeof(samples[0]); i++) {
        bool ends = samples[i].type == RECORD_CLIENT_END || samples[i].type == RECORD_BEGIN ||
                    samples[i].type == RECORD_RECEIVED || samples[i].type == RECORD_DONE ||
                    samples[i].type == RECORD_IN_REMOVE || samples[i].type == RECORD_RETAIN ||
                    samples[i].type == RECORD_GIVEN_FORMERLY;
        struct buf out = {0};
        struct str in;
        write_to(&out, &samples[i]);
        in = buf_str(&out);
        assert_int_equal(record_skip(&in), ends);
        assert_int_equal(in.n, ends ? 0 : out.len);
        for (size_t n = 0; ends && n < out.len; n++) {
            in = str_of((const char *)buf_begin(&out), n);
            assert_false(record_skip(&in));
        }
        buf_clear(&out);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        UNIT_TEST(every_type_has_a_sample),
        UNIT_TEST(records_come_back_as_they_were_written),
        UNIT_TEST(a_record_cut_anywhere_is_refused),
        UNIT_TEST(what_makes_no_sense_is_refused),
        UNIT_TEST(random_bytes_are_read_or_refused),
        UNIT_TEST(what_is_never_renewed_is_skipped),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
