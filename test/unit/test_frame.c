/*
 * Cutting packets out of a stream: length fields, limits, every split.
 */
#include "mqtt/frame.h"

#include "unit.h"

#include <stdlib.h>

struct length {
    struct str in;
    enum err err;
    size_t need;
    size_t header; /* of a whole packet */
};

static const struct length lengths[] = {
    {STR(""), ERR_AGAIN, 0, 0},
    {STR("\x30"), ERR_AGAIN, 0, 0},
    {STR("\xC0\x00"), ERR_OK, 2, 2},
    {STR("\xC0\x00rest"), ERR_OK, 2, 2},
    {STR("\x40\x02\x00\x01"), ERR_OK, 4, 2},
    {STR("\x40\x02\x00"), ERR_AGAIN, 4, 0},
    {STR("\x40\x02"), ERR_AGAIN, 4, 0},
    {STR("\x30\x7F"), ERR_AGAIN, 129, 0},
    {STR("\x30\x80"), ERR_AGAIN, 0, 0},
    {STR("\x30\x80\x01"), ERR_AGAIN, 131, 0}, /* table 2.4 */
    {STR("\x30\xFF\x7F"), ERR_AGAIN, 16383 + 3, 0},
    {STR("\x30\xFF\xFF"), ERR_AGAIN, 0, 0},
    {STR("\x30\x80\x80\x01"), ERR_AGAIN, 16384 + 4, 0},
    {STR("\x30\xFF\xFF\x7F"), ERR_AGAIN, 2097151 + 4, 0},
    {STR("\x30\x80\x80\x80"), ERR_AGAIN, 0, 0},
    {STR("\x30\x80\x80\x80\x01"), ERR_AGAIN, 2097152 + 5, 0},
    {STR("\x30\xFF\xFF\xFF\x7F"), ERR_AGAIN, PACKET_MAX, 0},
    {STR("\x30\xFF\xFF\xFF\xFF"), ERR_MALFORMED, 0, 0},
    {STR("\x30\x80\x80\x80\x80"), ERR_MALFORMED, 0, 0},
    {STR("\x30\x80\x80\x80\x80\x01"), ERR_MALFORMED, 0, 0},
    {STR("\xC0\x80\x00"), ERR_OK, 3, 3}, /* padded: 3.1.1 does not forbid it */
    {STR("\x40\x82\x80\x80\x00\x12\x34"), ERR_OK, 7, 5},
};

static void length_fields_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        const struct length *t = &lengths[i];
        struct frame f;
        size_t need = 99;
        enum err e = frame_next(t->in, PACKET_MAX, &f, &need);
        if (e != t->err || need != t->need)
            fail_msg("case %zu: %s, need %zu", i, err_word(e), need);
        if (e != ERR_OK)
            continue;
        assert_int_equal(f.first, (uint8_t)t->in.p[0]);
        assert_int_equal(frame_type(&f), (uint8_t)t->in.p[0] >> 4);
        assert_true(f.whole.p == t->in.p && f.whole.n == need);
        assert_true(f.body.p == t->in.p + t->header && f.body.n == need - t->header);
    }
}

static void large_packets_are_refused_early(void **state)
{
    struct frame f;
    size_t need;

    (void)state;
    assert_int_equal(frame_next(STR("\x40\x02\x00\x01"), 4, &f, &need), ERR_OK);
    assert_int_equal(frame_next(STR("\x40\x02\x00\x01"), 3, &f, &need), ERR_TOO_LARGE);
    assert_int_equal(need, 4);
    /* told before it arrives */
    assert_int_equal(frame_next(STR("\x30\xFF\xFF\xFF\x7F"), 2000000, &f, &need), ERR_TOO_LARGE);
    assert_int_equal(need, PACKET_MAX);
    assert_int_equal(frame_next(STR("\x30\x7F"), 128, &f, &need), ERR_TOO_LARGE);
    assert_int_equal(frame_next(STR("\x30\x7F"), 129, &f, &need), ERR_AGAIN);
}

/* A stream of packets of all length sizes, cut anywhere: the same packets come out. */
static void packets_come_out_whole_at_every_split(void **state)
{
    static const size_t rests[] = {0, 1, 2, 127, 128, 300, 16383, 16384};
    size_t total = 0;
    size_t ends[ARRAY_SIZE(rests)];
    uint8_t *stream = calloc(1, 40000);

    (void)state;
    assert_non_null(stream);
    for (size_t i = 0; i < ARRAY_SIZE(rests); i++) {
        stream[total++] = 0x30;
        size_t rest = rests[i];
        for (; rest >= 128; rest >>= 7)
            stream[total++] = (uint8_t)(rest | 0x80);
        stream[total++] = (uint8_t)rest;
        total += rests[i];
        ends[i] = total;
    }
    for (size_t n = 0; n <= total; n++) {
        size_t at = 0;
        size_t i = 0;
        struct frame f;
        size_t need;
        while (frame_next(str_of((char *)stream + at, n - at), PACKET_MAX, &f, &need) == ERR_OK) {
            assert_int_equal(f.body.n, rests[i]);
            at += f.whole.n;
            assert_int_equal(at, ends[i++]);
        }
        assert_true(i == ARRAY_SIZE(rests) || n < ends[i]);
        assert_true(need == 0 || at + need == ends[i]);
    }
    free(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(length_fields_are_read),
        UNIT_TEST(large_packets_are_refused_early),
        UNIT_TEST(packets_come_out_whole_at_every_split),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
