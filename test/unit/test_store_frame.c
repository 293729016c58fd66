/*
 * Frames, segment headers and names: what is written is read again, and nothing else is.
 */
#include "store/frame.h"

#include "store/io.h"
#include "unit.h"

#include <string.h>

static const struct store_frame example = {.length = 77,
                                           .flags = STORE_FRAME_SEAL,
                                           .turn = 0x1122334455667788,
                                           .durable = 3,
                                           .oldest = 2,
                                           .payload_sum = 0xCAFEBABE};

static void a_frame_comes_back(void **state)
{
    uint8_t bytes[STORE_FRAME_HEADER];
    struct store_frame f;

    (void)state;
    store_frame_write(bytes, &example, 5, 1000);
    assert_true(store_frame_read(bytes, 5, 1000, &f));
    assert_memory_equal(&f.length, &example.length, sizeof(f.length));
    assert_int_equal(f.flags, example.flags);
    assert_int_equal(f.turn, example.turn);
    assert_int_equal(f.durable, 3);
    assert_int_equal(f.oldest, 2);
    assert_int_equal(f.payload_sum, example.payload_sum);
}

static void a_frame_is_of_one_store_and_place(void **state)
{
    uint8_t bytes[STORE_FRAME_HEADER];
    struct store_frame f;

    (void)state;
    store_frame_write(bytes, &example, 5, 1000);
    assert_false(store_frame_read(bytes, 6, 1000, &f));
    assert_false(store_frame_read(bytes, 5, 1001, &f));
    assert_false(store_frame_read(bytes, 1000, 5, &f));
}

static void every_spoiled_bit_is_seen(void **state)
{
    uint8_t bytes[STORE_FRAME_HEADER];
    uint8_t head[STORE_SEGMENT_HEADER];
    struct store_segment_head h = {.format = STORE_FORMAT, .store_id = 9, .segment = 4096};
    struct store_frame f;

    (void)state;
    store_frame_write(bytes, &example, 5, 1000);
    for (size_t bit = 0; bit < sizeof(bytes) * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_false(store_frame_read(bytes, 5, 1000, &f));
        bytes[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    store_segment_write(head, &h);
    for (size_t bit = 0; bit < sizeof(head) * 8; bit++) {
        head[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_false(store_segment_read(head, &h));
        head[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    assert_true(store_segment_read(head, &h));
}

static void bytes_are_the_same_everywhere(void **state)
{
    static const uint8_t begin[] = {'M',  'Q',  'f',  'r',  77,   0,    0,    0,
                                    1,    0,    0,    0,    0xBE, 0xBA, 0xFE, 0xCA,
                                    0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11};
    uint8_t bytes[STORE_FRAME_HEADER];

    (void)state;
    store_frame_write(bytes, &example, 5, 1000);
    assert_memory_equal(bytes, begin, sizeof(begin));
    /* The checksums too: a store outlives the program. */
    assert_memory_equal(bytes + STORE_FRAME_HEADER - 4, "\xcf\xda\xf2\xe7", 4);
    assert_int_equal(store_sum(STR("abc")), 0x892f3950);
    assert_int_equal(store_sum((struct str){0}), store_sum(STR("")));
}

static void a_segment_header_tells_its_format(void **state)
{
    uint8_t head[STORE_SEGMENT_HEADER];
    struct store_segment_head h = {.format = 12, .store_id = UINT64_MAX, .segment = 1};
    struct store_segment_head back;

    (void)state;
    store_segment_write(head, &h);
    assert_true(store_segment_read(head, &back));
    assert_int_equal(back.format, 12);
    assert_int_equal(back.store_id, UINT64_MAX);
    assert_int_equal(back.segment, 1);
}

static void names_are_positions(void **state)
{
    char name[STORE_NAME_MAX];
    uint64_t segment = 7;

    (void)state;
    assert_string_equal(store_segment_name(0xAB12, name), "000000000000ab12.seg");
    assert_true(store_segment_parse(name, &segment));
    assert_int_equal(segment, 0xAB12);
    assert_true(store_segment_parse("ffffffffffffffff.seg", &segment));
    assert_int_equal(segment, UINT64_MAX);
    assert_false(store_segment_parse("", &segment));
    assert_false(store_segment_parse("000000000000AB12.seg", &segment));
    assert_false(store_segment_parse("00000000000ab12.seg", &segment));
    assert_false(store_segment_parse("000000000000ab12.segx", &segment));
    assert_false(store_segment_parse("000000000000ab12xseg", &segment));
    assert_false(store_segment_parse("000000000000ab1g.seg", &segment));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(a_frame_comes_back),
        UNIT_TEST(a_frame_is_of_one_store_and_place),
        UNIT_TEST(every_spoiled_bit_is_seen),
        UNIT_TEST(bytes_are_the_same_everywhere),
        UNIT_TEST(a_segment_header_tells_its_format),
        UNIT_TEST(names_are_positions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
