/*
 * Recovery: tails and damage are told apart, nothing is taken for what it is not, and what can be
 * read of a damaged store is kept.
 */
#include "store/recover.h"

#include "store/frame.h"
#include "store_rig.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAMES_MAX 64

static struct store_rig rig;
static struct store_rig_found seen;

/* Of a store that was built: where its frames are. */
static struct {
    uint64_t position, segment, size; /* of frame i; frame i is turn i + 1, a last seal apart */
    uint64_t turn;
} frames[FRAMES_MAX];
static size_t frame_count;

static void begin(uint64_t seed)
{
    store_rig_init(&rig, seed, false);
    rig.recover.apply_ctx = &seen;
    rig.setup.segment_size = 500;
}

static enum err open_again(void)
{
    store_rig_kill(&rig);
    seen = (struct store_rig_found){0};
    return store_rig_open(&rig);
}

static void add_frame(uint64_t size)
{
    struct store_job job;

    frames[frame_count].position = store_next_payload(rig.store) - STORE_FRAME_HEADER - size;
    frames[frame_count].turn = rig.turn;
    assert_true(store_take_write(rig.store, rig.now_ms, &job));
    if (job.then_sync) { /* the first header */
        store_run(&rig.io, &job);
        store_done(rig.store, rig.now_ms, &job);
        assert_true(store_take_write(rig.store, rig.now_ms, &job));
    }
    store_run(&rig.io, &job);
    store_done(rig.store, rig.now_ms, &job);
    frames[frame_count].segment = job.segment;
    frames[frame_count++].size = size;
}

/* `turns` turns in small segments; `sealed`: synced and with a seal behind. */
static void build(uint64_t seed, int turns, bool sealed)
{
    begin(seed);
    seen = (struct store_rig_found){0};
    frame_count = 0;
    assert_ok(store_rig_open(&rig));
    for (int i = 0; i < turns; i++) {
        uint8_t payload[STORE_RIG_PAYLOAD];
        store_rig_put_payload(&rig);
        add_frame(STORE_FRAME_HEADER + store_rig_payload(rig.turn, payload));
    }
    if (sealed) {
        assert_true(store_rig_settle(&rig, false));
        store_seal(rig.store);
        add_frame(STORE_FRAME_HEADER);
    }
    store_rig_kill(&rig);
}

/* Try something on a copy of the disk. */
static struct memdisk *original;

static void use_copy(void)
{
    original = rig.disk;
    rig.disk = memdisk_clone(original);
    rig.io = memdisk_io(rig.disk);
}

static void drop_copy(void)
{
    store_rig_kill(&rig);
    memdisk_free(rig.disk);
    rig.disk = original;
    rig.io = memdisk_io(rig.disk);
}

/* The frame that this byte of a file belongs to; -1: it is of the segment's header. */
static int frame_at(uint64_t segment, size_t offset)
{
    for (size_t i = 0; i < frame_count; i++) {
        size_t first = (size_t)(frames[i].position - segment) + STORE_SEGMENT_HEADER;
        if (frames[i].segment == segment && offset >= first && offset - first < frames[i].size)
            return (int)i;
    }
    assert_true(offset < STORE_SEGMENT_HEADER);
    return -1;
}

static size_t segments_of(uint64_t *out)
{
    return (size_t)rig.io.list(rig.disk, out, FRAMES_MAX);
}

/* The error line says the file and the offset. */
static void assert_named(uint64_t segment, uint64_t offset)
{
    char name[STORE_NAME_MAX];
    char text[80];

    (void)snprintf(text, sizeof(text), "%s at offset %llu:", store_segment_name(segment, name),
                   (unsigned long long)offset);
    if (!strstr(rig.line, text))
        fail_msg("\"%s\" is not in \"%s\"", text, rig.line);
    assert_non_null(strstr(rig.line, "persistence_recover salvage"));
}

static void assert_prefix(uint64_t last)
{
    assert_false(seen.wrong);
    assert_int_equal(seen.gaps, 0);
    assert_int_equal(seen.last, last);
    assert_true(last == 0 || seen.first == 1);
    assert_int_equal(seen.count, last);
}

static void each_byte_of(uint64_t segment, size_t step, void (*check)(uint64_t, size_t))
{
    size_t size;

    (void)memdisk_bytes(rig.disk, segment, &size);
    for (size_t offset = 0; offset < size; offset += step) {
        size_t same;
        use_copy();
        memdisk_bytes(rig.disk, segment, &same)[offset] ^= (uint8_t)(1U << offset % 8);
        check(segment, offset);
        drop_copy();
    }
}

static void spoil(uint64_t segment, uint64_t offset)
{
    size_t size;
    uint8_t *p = memdisk_bytes(rig.disk, segment, &size);

    p[offset] ^= 1;
    memdisk_set(rig.disk, segment, p, size);
}

static uint64_t offset_of(size_t frame)
{
    return frames[frame].position - frames[frame].segment + STORE_SEGMENT_HEADER;
}

static void flip_is_refused_or_the_seal(uint64_t segment, size_t offset)
{
    int i = frame_at(segment, offset);
    uint64_t last = frames[frame_count - 1].turn;

    if (i == (int)frame_count - 1) {
        assert_ok(open_again());
        assert_prefix(last);
        assert_int_equal(rig.errors, 0);
        assert_int_equal(rig.infos, 1);
        return;
    }
    assert_err(open_again(), ERR_MALFORMED);
    assert_int_equal(rig.errors, 1);
    assert_named(segment, i < 0 ? 0 : frames[i].position - segment + STORE_SEGMENT_HEADER);
    assert_int_equal(rig.disk->writes + rig.disk->syncs + rig.disk->removals, 0);
}

static void every_flipped_byte_of_a_sealed_store(void **state)
{
    uint64_t segments[FRAMES_MAX];

    (void)state;
    build(3, 12, true);
    assert_true(segments_of(segments) >= 3);
    for (size_t i = 0, n = segments_of(segments); i < n; i++)
        each_byte_of(segments[i], 1, flip_is_refused_or_the_seal);
    store_rig_clear(&rig);
}

static void flip_cuts_the_tail(uint64_t segment, size_t offset)
{
    int i = frame_at(segment, offset);
    uint64_t kept = 0;

    if (segment == 0 && i < 0) { /* the first header was synced */
        assert_err(open_again(), ERR_MALFORMED);
        return;
    }
    for (size_t k = 0; k < frame_count; k++)
        if (i < 0 ? frames[k].segment < segment : (int)k < i)
            kept = frames[k].turn;
    assert_ok(open_again());
    assert_prefix(kept);
    assert_int_equal(rig.errors, 0);
    assert_int_equal(rig.infos, 1);
    assert_int_equal(rig.disk->copies, kept == 0);
    /* Cut for good. */
    assert_ok(open_again());
    assert_prefix(kept);
    assert_int_equal(rig.infos + rig.warnings, 0);
    store_rig_put_payload(&rig);
    assert_true(store_rig_settle(&rig, true));
    assert_ok(open_again());
    assert_prefix(kept + 1);
}

static void every_flipped_byte_of_what_was_not_synced(void **state)
{
    uint64_t segments[FRAMES_MAX];

    (void)state;
    build(3, 8, false);
    assert_true(segments_of(segments) >= 2);
    for (size_t i = 0, n = segments_of(segments); i < n; i++)
        each_byte_of(segments[i], 3, flip_cuts_the_tail);
    store_rig_clear(&rig);
}

static void flip_is_salvaged(uint64_t segment, size_t offset)
{
    int i = frame_at(segment, offset);
    bool seal = i == (int)frame_count - 1;
    uint64_t last = frames[frame_count - 1].turn;
    struct store_rig_found first;

    rig.recover.salvage = true;
    assert_ok(open_again());
    rig.recover.salvage = false;
    assert_false(seen.wrong);
    assert_int_equal(seen.count, last - (i >= 0 && !seal));
    assert_int_equal(rig.found.damaged, !seal);
    assert_int_equal(rig.disk->copies, !seal);
    assert_int_equal(rig.found.turn, last);
    first = seen;
    assert_ok(open_again());
    assert_int_equal(rig.errors + rig.warnings + rig.infos, 0);
    assert_memory_equal(&seen, &first, sizeof(seen));
    store_rig_put_payload(&rig);
    assert_true(store_rig_settle(&rig, true));
    assert_ok(open_again());
    assert_int_equal(seen.count, first.count + 1);
}

static void every_flipped_byte_is_salvaged(void **state)
{
    uint64_t segments[FRAMES_MAX];

    (void)state;
    build(3, 12, true);
    for (size_t i = 0, n = segments_of(segments); i < n; i++)
        each_byte_of(segments[i], 1, flip_is_salvaged);
    store_rig_clear(&rig);
}

static void shorten(uint64_t segment, size_t size)
{
    size_t old;
    uint8_t *p = memdisk_bytes(rig.disk, segment, &old);

    memdisk_set(rig.disk, segment, p, size);
}

static void a_file_is_copied_once(void **state)
{
    size_t i = 0;

    (void)state;
    build(7, 12, true);
    while (frames[i].segment != frames[i + 2].segment)
        i++;
    spoil(frames[i].segment, offset_of(i) + 50);
    spoil(frames[i].segment, offset_of(i + 2) + 50);
    rig.recover.salvage = true;
    assert_ok(open_again());
    assert_int_equal(rig.found.damaged, 2);
    assert_int_equal(seen.count, 10);
    assert_int_equal(rig.disk->copies, 1);
    store_rig_clear(&rig);
}

static void every_length_of_every_file(void **state)
{
    uint64_t segments[FRAMES_MAX];
    size_t n;

    (void)state;
    build(5, 12, true);
    n = segments_of(segments);
    for (size_t i = 0; i < n; i++) {
        size_t size;
        (void)memdisk_bytes(rig.disk, segments[i], &size);
        for (size_t length = 0; length < size; length++) {
            int at = length < STORE_SEGMENT_HEADER ? -1 : frame_at(segments[i], length);
            uint64_t kept = 0;
            for (size_t k = 0; k < frame_count; k++)
                if (frames[k].segment < segments[i] ||
                    (frames[k].segment == segments[i] && (int)k < at))
                    kept = frames[k].turn;
            use_copy();
            shorten(segments[i], length);
            if (i + 1 < n) {
                assert_err(open_again(), ERR_MALFORMED);
                rig.recover.salvage = true;
                assert_ok(open_again());
                rig.recover.salvage = false;
                assert_false(seen.wrong);
                assert_int_equal(seen.last, frames[frame_count - 1].turn);
                assert_true(rig.found.damaged > 0);
            } else {
                assert_ok(open_again());
                assert_prefix(kept);
            }
            assert_ok(open_again());
            assert_int_equal(rig.errors + rig.warnings + rig.infos, 0);
            drop_copy();
        }
    }
    store_rig_clear(&rig);
}

static void a_missing_segment(void **state)
{
    uint64_t segments[FRAMES_MAX];
    size_t n;

    (void)state;
    build(6, 14, true);
    n = segments_of(segments);
    for (size_t i = 0; i < n; i++) {
        uint64_t lost = 0;
        use_copy();
        memdisk_unlink(rig.disk, segments[i]);
        for (size_t k = 0; k < frame_count; k++)
            lost += frames[k].segment == segments[i] && k + 1 < frame_count;
        if (i + 1 < n) {
            assert_err(open_again(), ERR_MALFORMED);
            assert_int_equal(rig.disk->writes, 0);
            rig.recover.salvage = true;
            assert_ok(open_again());
            rig.recover.salvage = false;
            assert_int_equal(rig.found.damaged, 1);
        }
        assert_ok(open_again());
        assert_int_equal(rig.errors + rig.warnings, 0);
        assert_false(seen.wrong);
        assert_int_equal(seen.count, frames[frame_count - 1].turn - lost);
        drop_copy();
    }
    store_rig_clear(&rig);
}

static void a_foreign_segment(void **state)
{
    uint64_t segments[FRAMES_MAX];
    struct memdisk *other;
    size_t n;

    (void)state;
    build(21, 14, true);
    other = memdisk_clone(rig.disk);
    store_rig_clear(&rig);
    build(22, 14, true); /* the same frames, another id */
    n = segments_of(segments);
    for (size_t i = 0; i < n; i++) {
        size_t size;
        uint64_t lost = 0;
        uint8_t *p = memdisk_bytes(other, segments[i], &size);
        use_copy();
        memdisk_set(rig.disk, segments[i], p, size);
        assert_err(open_again(), ERR_MALFORMED);
        assert_named(segments[i], 0);
        rig.recover.salvage = true;
        assert_ok(open_again());
        rig.recover.salvage = false;
        for (size_t k = 0; k < frame_count; k++)
            lost += frames[k].segment == segments[i] && k + 1 < frame_count;
        assert_false(seen.wrong);
        assert_int_equal(seen.count, frames[frame_count - 1].turn - lost);
        assert_int_equal(rig.disk->copies, 1);
        assert_ok(open_again());
        assert_int_equal(rig.errors + rig.warnings + rig.infos, 0);
        assert_int_equal(seen.count, frames[frame_count - 1].turn - lost);
        drop_copy();
    }
    memdisk_free(other);
    store_rig_clear(&rig);
}

static void a_segment_under_a_wrong_name(void **state)
{
    size_t size;
    uint8_t *p;

    (void)state;
    build(23, 2, false); /* a single file */
    use_copy();
    p = memdisk_bytes(rig.disk, 0, &size);
    memdisk_set(rig.disk, 4096, p, size);
    memdisk_unlink(rig.disk, 0);
    assert_err(open_again(), ERR_MALFORMED);
    drop_copy();
    store_rig_clear(&rig);
}

static void another_format_is_refused(void **state)
{
    uint8_t head[STORE_SEGMENT_HEADER];
    struct store_segment_head h = {.format = STORE_FORMAT + 1, .store_id = 5, .segment = 0};

    (void)state;
    begin(24);
    store_segment_write(head, &h);
    memdisk_set(rig.disk, 0, head, sizeof(head));
    for (int salvage = 0; salvage < 2; salvage++) {
        rig.recover.salvage = salvage;
        assert_err(open_again(), ERR_UNSUPPORTED);
        assert_int_equal(rig.errors, 1);
        assert_non_null(strstr(rig.line, "format 2"));
    }
    assert_int_equal(rig.disk->writes + rig.disk->removals, 0);
    store_rig_clear(&rig);
}

static void what_cannot_be_read_is_never_a_new_store(void **state)
{
    static const uint8_t nothing[4096];

    (void)state;
    for (size_t n = 0; n <= sizeof(nothing); n += n < 64 ? 1 : 1008) {
        begin(25);
        memdisk_set(rig.disk, 0, nothing, n);
        if (n <= STORE_SEGMENT_HEADER) { /* the first write, torn */
            assert_ok(open_again());
            assert_int_equal(rig.warnings, 1);
            assert_int_equal(rig.found.store_id, 0);
            assert_int_equal(rig.disk->copies, n > 0);
            store_rig_put_payload(&rig);
            assert_true(store_rig_settle(&rig, true));
            assert_ok(open_again());
            assert_prefix(1);
        } else {
            assert_err(open_again(), ERR_MALFORMED);
            assert_named(0, 0);
            assert_int_equal(rig.disk->writes + rig.disk->removals, 0);
            rig.recover.salvage = true;
            assert_ok(open_again());
            assert_int_equal(rig.found.damaged, 1);
            assert_int_equal(rig.disk->copies, 1);
            rig.recover.salvage = false;
            assert_ok(open_again());
            assert_int_equal(rig.errors + rig.warnings, 0);
        }
        store_rig_clear(&rig);
    }
    begin(26);
    memdisk_set(rig.disk, 5000, nothing, 0);
    assert_err(open_again(), ERR_MALFORMED);
    store_rig_clear(&rig);
}

/* --- stores made by hand --- */

static uint8_t craft[16384];
static size_t craft_size;
static uint64_t craft_segment;

static void craft_begin(uint64_t segment)
{
    struct store_segment_head h = {.format = STORE_FORMAT, .store_id = 5, .segment = segment};

    craft_segment = segment;
    craft_size = STORE_SEGMENT_HEADER;
    store_segment_write(craft, &h);
}

/* The frame of a turn whose records are those of the rig; returns its position. */
static uint64_t craft_frame(uint64_t turn, uint64_t durable, uint64_t oldest)
{
    uint64_t position = craft_segment + craft_size - STORE_SEGMENT_HEADER;
    uint8_t *p = craft + craft_size + STORE_FRAME_HEADER;
    struct store_frame f = {.turn = turn, .durable = durable, .oldest = oldest};

    f.length = (uint32_t)store_rig_payload(turn, p);
    f.payload_sum = store_sum(str_of((char *)p, f.length));
    store_frame_write(craft + craft_size, &f, 5, position);
    craft_size += STORE_FRAME_HEADER + f.length;
    return position;
}

static uint64_t craft_end(void)
{
    memdisk_set(rig.disk, craft_segment, craft, craft_size);
    return craft_segment + craft_size - STORE_SEGMENT_HEADER;
}

/* Segments begin at 0, second, third; the last frame says that `oldest_index` is the oldest. */
static void craft_three(int oldest_index, uint64_t at[3])
{
    at[0] = 0;
    craft_begin(0);
    craft_frame(1, 0, 0);
    craft_frame(2, 0, 0);
    at[1] = craft_end();
    craft_begin(at[1]);
    craft_frame(3, 0, 0);
    craft_frame(4, 0, 0);
    at[2] = craft_end();
    craft_begin(at[2]);
    craft_frame(5, 0, 0);
    craft_frame(6, at[2], at[oldest_index]);
    (void)craft_end();
}

static void a_hole_before_the_oldest_is_none(void **state)
{
    uint64_t at[3];

    (void)state;
    begin(30);
    craft_three(2, at);
    memdisk_unlink(rig.disk, at[1]); /* both were removed; one removal was lost */
    assert_ok(open_again());
    assert_int_equal(rig.errors + rig.warnings, 0);
    assert_int_equal(seen.first, 5);
    assert_int_equal(seen.count, 2);
    assert_int_equal(store_figures(rig.store).segments, 1);
    assert_null(memdisk_bytes(rig.disk, 0, &(size_t){0}));
    store_rig_clear(&rig);
}

static void what_is_still_there_counts(void **state)
{
    uint64_t at[3];

    (void)state;
    begin(31);
    craft_three(1, at);
    assert_ok(open_again());
    assert_prefix(6);
    memdisk_unlink(rig.disk, 0);
    assert_ok(open_again());
    assert_int_equal(seen.first, 3);
    assert_int_equal(seen.count, 4);
    memdisk_unlink(rig.disk, at[1]);
    assert_err(open_again(), ERR_MALFORMED);
    store_rig_clear(&rig);
}

static void a_hole_in_front_is_damage(void **state)
{
    uint64_t at[3];

    (void)state;
    begin(32);
    craft_three(0, at);
    memdisk_unlink(rig.disk, 0);
    memdisk_unlink(rig.disk, at[1]);
    assert_err(open_again(), ERR_MALFORMED);
    assert_non_null(strstr(rig.line, "are missing"));
    rig.recover.salvage = true;
    assert_ok(open_again());
    assert_int_equal(seen.first, 5);
    rig.recover.salvage = false;
    assert_ok(open_again());
    assert_int_equal(rig.errors, 0);
    assert_int_equal(seen.count, 2);
    store_rig_clear(&rig);
}

static void a_hole_of_many_gigabytes(void **state)
{
    uint64_t far = (uint64_t)20 * 1024 * 1024 * 1024;

    (void)state;
    begin(33);
    craft_begin(0);
    craft_frame(1, 0, 0);
    (void)craft_end();
    craft_begin((uint64_t)1 << 62);
    craft_frame(9, (uint64_t)1 << 62, 0);
    (void)craft_end();
    assert_err(open_again(), ERR_MALFORMED);
    rig.recover.salvage = true;
    assert_err(open_again(), ERR_MALFORMED); /* no file can hold that */
    assert_non_null(strstr(rig.line, "cannot be filled"));
    rig.recover.salvage = false;
    memdisk_unlink(rig.disk, (uint64_t)1 << 62);
    craft_begin(far);
    craft_frame(9, far, 0);
    (void)craft_end();
    rig.recover.read_only = true;
    assert_ok(open_again());
    assert_int_equal(seen.count, 2);
    assert_int_equal(rig.found.damaged, 1);
    assert_int_equal(rig.disk->writes, 0);
    store_rig_clear(&rig);
}

static void turns_must_grow(void **state)
{
    uint64_t stale;

    (void)state;
    begin(34);
    craft_begin(0);
    craft_frame(5, 0, 0);
    stale = craft_frame(5, 0, 0); /* as if left over from another life */
    craft_frame(6, 0, 0);
    (void)craft_end();
    assert_ok(open_again());
    assert_int_equal(seen.count, 1);
    assert_int_equal(rig.found.next, stale);
    store_rig_clear(&rig);
}

static void lengths_are_not_trusted(void **state)
{
    struct store_frame f = {.turn = 1, .length = UINT32_MAX};

    (void)state;
    begin(35);
    craft_begin(0);
    store_frame_write(craft + craft_size, &f, 5, 0);
    craft_size += STORE_FRAME_HEADER + 100;
    (void)craft_end();
    assert_ok(open_again());
    assert_int_equal(seen.count, 0);
    assert_int_equal(rig.warnings, 1);
    assert_int_equal(rig.disk->copies, 1);
    store_rig_clear(&rig);
}

/* Headers that are right, each claiming all the rest: nothing is hashed twice. */
static void hostile_bytes_take_linear_time(void **state)
{
    size_t size = (size_t)4 * 1024 * 1024;
    uint8_t *p = calloc(1, size);
    struct store_segment_head h = {.format = STORE_FORMAT, .store_id = 5, .segment = 0};

    (void)state;
    begin(36);
    assert_non_null(p);
    store_segment_write(p, &h);
    for (size_t at = STORE_SEGMENT_HEADER; at + STORE_FRAME_HEADER <= size;
         at += STORE_FRAME_HEADER)
        store_frame_write(
            p + at,
            &(struct store_frame){.turn = at, .length = (uint32_t)(size - at - STORE_FRAME_HEADER)},
            5, at - STORE_SEGMENT_HEADER);
    memdisk_set(rig.disk, 0, p, size);
    assert_ok(open_again());
    assert_int_equal(seen.count, 0);
    for (size_t at = STORE_SEGMENT_HEADER; at + 4 <= size; at += 4)
        memcpy(p + at, "MQfr", 4);
    memdisk_set(rig.disk, 0, p, size);
    assert_ok(open_again());
    free(p);
    store_rig_clear(&rig);
}

/* --- records that make no sense --- */

static uint64_t refused_turn;

static enum err refuse_one(void *ctx, uint64_t position, struct str records)
{
    uint64_t turn;

    memcpy(&turn, records.p, sizeof(turn));
    return turn == refused_turn ? ERR_MALFORMED : store_rig_apply(ctx, position, records);
}

static void records_that_make_no_sense(void **state)
{
    (void)state;
    build(40, 12, true);
    rig.recover.apply = refuse_one;
    for (refused_turn = 1; refused_turn <= 12; refused_turn++) {
        uint64_t i = refused_turn - 1;
        use_copy();
        assert_err(open_again(), ERR_MALFORMED);
        assert_named(frames[i].segment, offset_of(i));
        rig.recover.salvage = true;
        assert_ok(open_again());
        assert_int_equal(seen.count, 11);
        rig.recover.salvage = false;
        assert_ok(open_again());
        assert_int_equal(seen.count, 11);
        drop_copy();
    }
    store_rig_clear(&rig);
}

static enum err no_memory(void *ctx, uint64_t position, struct str records)
{
    (void)ctx, (void)position, (void)records;
    return ERR_NOMEM;
}

static void an_error_of_who_applies_is_the_result(void **state)
{
    (void)state;
    build(41, 3, true);
    rig.recover.apply = no_memory;
    assert_err(open_again(), ERR_NOMEM);
    store_rig_clear(&rig);
}

/* --- looking --- */

static void a_look_changes_nothing(void **state)
{
    uint64_t segments[FRAMES_MAX];
    uint8_t before[16384];
    uint8_t *p;
    size_t size;
    size_t n;

    (void)state;
    build(50, 12, true);
    assert_ok(open_again()); /* from here on the frames say that all this was synced */
    store_rig_put_payload(&rig);
    store_rig_put_payload(&rig);
    rig.background = false;
    store_rig_step(&rig);
    store_rig_kill(&rig);
    assert_true(segments_of(segments) >= 3);
    spoil(segments[1], 60); /* damage … */
    n = segments_of(segments);
    (void)memdisk_bytes(rig.disk, segments[n - 1], &size);
    shorten(segments[n - 1], size - 1); /* … and a tail */
    p = memdisk_bytes(rig.disk, segments[1], &size);
    memcpy(before, p, size);
    rig.disk->writes = rig.disk->syncs = rig.disk->removals = 0;
    rig.recover.read_only = true;
    assert_ok(open_again());
    assert_false(seen.wrong);
    assert_int_equal(seen.count, 12);
    assert_int_equal(seen.last, 13);
    assert_int_equal(rig.found.damaged, 1);
    assert_true(rig.found.cut_bytes > STORE_FRAME_HEADER);
    assert_int_equal(rig.disk->syncs + rig.disk->writes + rig.disk->removals + rig.disk->copies, 0);
    p = memdisk_bytes(rig.disk, segments[1], &size);
    assert_memory_equal(before, p, size);
    store_rig_clear(&rig);
}

/* --- errors on the way --- */

/* Recovery fails at any call, or the power goes there; the next one finds what the first would. */
static void an_interrupted_repair_is_done_again(void **state)
{
    uint64_t segments[FRAMES_MAX];

    (void)state;
    for (uint64_t call = 1; call < 60; call++) {
        uint64_t seed = 60 + call;
        build(60, 12, true);
        assert_true(segments_of(segments) >= 3);
        use_copy();
        rng_seed(&rig.disk->rng, seed);
        spoil(segments[1], 60);
        spoil(frames[frame_count - 2].segment, offset_of(frame_count - 2) + 50);
        rig.recover.salvage = true;
        rig.disk->fail_from = call;
        if (open_again() == ERR_OK)
            assert_true(rig.disk->calls < call);
        rig.disk->fail_from = 0;
        store_rig_kill(&rig);
        if (call % 2)
            memdisk_power_cut(rig.disk);
        assert_ok(open_again());
        assert_false(seen.wrong);
        assert_int_equal(seen.count, 10);
        rig.recover.salvage = false;
        assert_ok(open_again());
        assert_int_equal(seen.count, 10);
        assert_int_equal(rig.errors, 0);
        drop_copy();
        store_rig_clear(&rig);
    }
}

static void without_memory_nothing_is_changed(void **state)
{
    uint64_t segments[FRAMES_MAX];
    size_t size;
    size_t n;

    (void)state;
    unit_needs_tracking();
    build(61, 12, false);
    n = segments_of(segments);
    (void)memdisk_bytes(rig.disk, segments[n - 1], &size);
    shorten(segments[n - 1], size - 1); /* there is something to be cut */
    for (uint64_t allowed = 0;; allowed++) {
        struct recovered found = {0};
        enum err e;
        size_t left;
        use_copy();
        rig.recover.io = &rig.io;
        mem_fail_after(allowed, 0);
        e = store_recover(&rig.recover, &found);
        mem_fail_never();
        assert_null(e ? found.segments : NULL);
        recovered_clear(&found);
        (void)memdisk_bytes(rig.disk, segments[n - 1], &left);
        assert_int_equal(left < size - 1, e == ERR_OK);
        drop_copy();
        if (!e)
            break;
        assert_err(e, ERR_NOMEM);
        assert_true(allowed < 100);
    }
    store_rig_clear(&rig);
}

static void what_was_found_is_synced(void **state)
{
    (void)state;
    build(62, 12, false);
    assert_ok(open_again());
    assert_true(store_is_clean(rig.store));
    store_rig_kill(&rig);
    rig.disk->forget_percent = 100;
    memdisk_power_cut(rig.disk);
    assert_ok(open_again());
    assert_prefix(12);
    store_rig_clear(&rig);
}

/* Any number of bytes anywhere: an answer, and never a wrong record. */
static void random_damage(void **state)
{
    uint64_t segments[FRAMES_MAX];
    struct rng rng;

    (void)state;
    rng_seed(&rng, 70);
    for (int round = 0; round < 300; round++) {
        size_t n;
        enum err e;
        build(70, 5 + (int)rng_below(&rng, 12), rng_below(&rng, 2));
        n = segments_of(segments);
        for (uint32_t k = rng_below(&rng, 4) + 1; k > 0; k--) {
            size_t size;
            uint64_t segment = segments[rng_below(&rng, (uint32_t)n)];
            uint8_t *p = memdisk_bytes(rig.disk, segment, &size);
            uint32_t at = rng_below(&rng, (uint32_t)size);
            uint32_t length = rng_below(&rng, (uint32_t)(size - at) + 1);
            if (rng_below(&rng, 3) == 0)
                memdisk_set(rig.disk, segment, p, at + 1);
            else
                memset(p + at, rng_below(&rng, 2) ? 0 : 0xA5, length);
        }
        e = open_again();
        if (e == ERR_OK)
            assert_prefix(rig.found.turn);
        else
            assert_err(e, ERR_MALFORMED);
        rig.recover.salvage = true;
        assert_ok(open_again());
        assert_false(seen.wrong);
        rig.recover.salvage = false;
        assert_ok(open_again());
        assert_false(seen.wrong);
        assert_int_equal(rig.errors, 0);
        store_rig_clear(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(every_flipped_byte_of_a_sealed_store),
        UNIT_TEST(every_flipped_byte_of_what_was_not_synced),
        UNIT_TEST(every_flipped_byte_is_salvaged),
        UNIT_TEST(a_file_is_copied_once),
        UNIT_TEST(every_length_of_every_file),
        UNIT_TEST(a_missing_segment),
        UNIT_TEST(a_foreign_segment),
        UNIT_TEST(a_segment_under_a_wrong_name),
        UNIT_TEST(another_format_is_refused),
        UNIT_TEST(what_cannot_be_read_is_never_a_new_store),
        UNIT_TEST(a_hole_before_the_oldest_is_none),
        UNIT_TEST(what_is_still_there_counts),
        UNIT_TEST(a_hole_in_front_is_damage),
        UNIT_TEST(a_hole_of_many_gigabytes),
        UNIT_TEST(turns_must_grow),
        UNIT_TEST(lengths_are_not_trusted),
        UNIT_TEST(hostile_bytes_take_linear_time),
        UNIT_TEST(records_that_make_no_sense),
        UNIT_TEST(an_error_of_who_applies_is_the_result),
        UNIT_TEST(a_look_changes_nothing),
        UNIT_TEST(an_interrupted_repair_is_done_again),
        UNIT_TEST(without_memory_nothing_is_changed),
        UNIT_TEST(what_was_found_is_synced),
        UNIT_TEST(random_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
