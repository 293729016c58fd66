/*
 * The running journal: what is promised is there after a kill or a power cut, whatever the disk
 * did.
 */
#include "store/store.h"

#include "store/frame.h"
#include "store_rig.h"
#include "unit.h"

#include <errno.h>
#include <string.h>

static struct store_rig rig;
static struct store_rig_found seen;

static void begin(uint64_t seed, bool fsync)
{
    store_rig_init(&rig, seed, fsync);
    rig.recover.apply_ctx = &seen;
    seen = (struct store_rig_found){0};
    assert_ok(store_rig_open(&rig));
}

static void reopen(void)
{
    store_rig_kill(&rig);
    seen = (struct store_rig_found){0};
    assert_ok(store_rig_open(&rig));
}

static void put_many(int n)
{
    for (int i = 0; i < n; i++) {
        store_rig_put_payload(&rig);
        store_rig_step(&rig);
    }
}

static void assert_found(uint64_t last)
{
    assert_false(seen.wrong);
    assert_int_equal(seen.gaps, 0);
    assert_int_equal(seen.first, last ? 1 : 0);
    assert_int_equal(seen.last, last);
    assert_int_equal(rig.found.turn, last);
}

static void what_is_put_comes_back(void **state)
{
    (void)state;
    for (int fsync = 0; fsync < 2; fsync++) {
        begin(3, fsync);
        assert_int_equal(rig.found.store_id, 0);
        put_many(100);
        assert_true(store_rig_settle(&rig, true));
        assert_int_equal(store_durable_turn(rig.store), 100);
        assert_true(store_figures(rig.store).segments > 3);
        memdisk_power_cut(rig.disk);
        reopen();
        assert_found(100);
        assert_int_equal(rig.errors + rig.warnings + rig.infos, 0);
        assert_int_equal(rig.found.store_id, 7);
        put_many(100);
        assert_true(store_rig_settle(&rig, false));
        reopen();
        assert_found(200);
        store_rig_clear(&rig);
    }
}

static void the_payload_is_where_it_was_said(void **state)
{
    uint8_t expected[STORE_RIG_PAYLOAD];
    uint8_t bytes[STORE_RIG_PAYLOAD];
    struct store_job job;
    uint64_t at[50];

    (void)state;
    begin(4, false);
    for (int i = 0; i < 50; i++) {
        at[i] = store_next_payload(rig.store);
        store_rig_put_payload(&rig);
        assert_false(store_read_job(rig.store, at[i], 1, bytes, &job));
        store_rig_step(&rig);
        store_seal(rig.store);
    }
    for (uint64_t i = 0; i < 50; i++) {
        size_t n = store_rig_payload(i + 1, expected);
        assert_true(store_read_job(rig.store, at[i], n, bytes, &job));
        store_run(&rig.io, &job);
        assert_int_equal(job.result, n);
        store_done(rig.store, rig.now_ms, &job);
        assert_memory_equal(bytes, expected, n);
    }
    assert_false(store_read_job(rig.store, store_written(rig.store), 1, bytes, &job));
    store_rig_clear(&rig);
}

static void the_first_write_is_a_header_and_synced(void **state)
{
    struct store_job job;

    (void)state;
    begin(5, false);
    store_rig_put_payload(&rig);
    assert_true(store_take_write(rig.store, 0, &job));
    assert_true(job.create && job.then_sync);
    assert_int_equal(job.iov_n, 1);
    assert_int_equal(job.iov[0].iov_len, STORE_SEGMENT_HEADER);
    store_run(&rig.io, &job);
    store_done(rig.store, 0, &job);
    assert_true(store_take_write(rig.store, 0, &job));
    assert_false(job.create || job.then_sync);
    assert_int_equal(job.offset, STORE_SEGMENT_HEADER);
    store_run(&rig.io, &job);
    store_done(rig.store, 0, &job);
    assert_false(store_take_write(rig.store, 0, &job));
    store_rig_clear(&rig);
}

static void one_write_takes_a_whole_backlog(void **state)
{
    struct store_job job;
    uint64_t segment = 0;

    (void)state;
    begin(6, false);
    put_many(1);
    rig.setup.segment_size = 1024 * 1024;
    store_set(rig.store, &rig.setup);
    for (int i = 0; i < 100; i++)
        store_rig_put(&rig, "record", 6);
    assert_true(store_take_write(rig.store, 0, &job));
    assert_int_equal(job.iov_n, STORE_IOV_MAX);
    store_run(&rig.io, &job);
    store_done(rig.store, 0, &job);
    assert_int_equal(store_durable_turn(rig.store), 1 + STORE_IOV_MAX);
    rig.setup.segment_size = 100;
    store_set(rig.store, &rig.setup);
    store_rig_put(&rig, "record", 6);
    store_rig_put(&rig, "record", 6);
    while (store_take_write(rig.store, 0, &job)) { /* never two segments in one */
        segment = job.segment;
        assert_int_equal(job.create, segment != 0);
        store_run(&rig.io, &job);
        store_done(rig.store, 0, &job);
    }
    assert_true(segment > 0);
    store_rig_clear(&rig);
}

static void putting_needs_no_memory(void **state)
{
    uint64_t calls;

    (void)state;
    unit_needs_tracking();
    begin(7, false);
    rig.setup.segment_size = 1024 * 1024 * 1024;
    store_set(rig.store, &rig.setup);
    put_many(20);
    calls = mem_calls();
    for (int i = 0; i < 100; i++) {
        store_rig_put(&rig, "a record", 8); /* into buffers that were used before */
        store_rig_step(&rig);
        store_seal(rig.store);
        store_sync_soon(rig.store);
        store_rig_step(&rig);
    }
    assert_int_equal(mem_calls(), calls);
    store_rig_clear(&rig);
}

static void without_memory_a_segment_grows_on(void **state)
{
    (void)state;
    unit_needs_tracking();
    begin(8, false);
    rig.setup.segment_size = 64;
    store_set(rig.store, &rig.setup);
    for (int i = 0; i < 100; i++) {
        struct buf room = {0};
        mem_fail_never();
        assert_ok(buf_reserve(&room, 4096));
        buf_clear(&rig.frame);
        rig.frame = room;
        mem_fail_after(0, 1);
        store_rig_put_payload(&rig);
        store_rig_step(&rig);
    }
    mem_fail_never();
    assert_true(store_figures(rig.store).segments <= 16);
    assert_true(store_rig_settle(&rig, true));
    reopen();
    assert_found(100);
    store_rig_clear(&rig);
}

static void a_failed_sync_is_the_end(void **state)
{
    (void)state;
    for (int fsync = 0; fsync < 2; fsync++) {
        uint64_t promised;
        begin(9, fsync);
        put_many(10);
        assert_true(store_rig_settle(&rig, false));
        rig.disk->sync_error = -EIO;
        store_rig_put_payload(&rig);
        for (int i = 0; i < 20 && !store_failed(rig.store); i++) {
            rig.now_ms += 30;
            store_rig_step(&rig);
        }
        assert_int_equal(store_failed(rig.store), EIO);
        promised = store_durable_turn(rig.store);
        assert_int_equal(promised, fsync ? 10 : 11);
        store_rig_put_payload(&rig);
        rig.now_ms += 10000;
        store_rig_step(&rig);
        store_rig_step(&rig);
        assert_int_equal(store_durable_turn(rig.store), promised);
        assert_false(store_wants_seal(rig.store));
        assert_int_equal(store_deadline(rig.store), UINT64_MAX);
        store_rig_clear(&rig);
    }
}

static void a_full_disk_is_tried_again(void **state)
{
    struct store_job job;

    (void)state;
    begin(10, false);
    put_many(10);
    assert_int_equal(store_trouble(rig.store), 0);
    rig.disk->capacity = memdisk_total(rig.disk) + 20;
    put_many(1);
    assert_int_equal(store_trouble(rig.store), ENOSPC);
    assert_int_equal(store_durable_turn(rig.store), 10);
    assert_false(store_take_write(rig.store, rig.now_ms, &job));
    assert_true(store_deadline(rig.store) <= rig.now_ms + STORE_RETRY_MS);
    put_many(5);
    rig.now_ms += STORE_RETRY_MS;
    put_many(1);
    assert_int_equal(store_durable_turn(rig.store), 10);
    rig.disk->capacity = 0;
    rig.now_ms += STORE_RETRY_MS;
    store_rig_step(&rig);
    assert_int_equal(store_trouble(rig.store), 0);
    assert_int_equal(store_durable_turn(rig.store), 17);
    assert_true(store_rig_settle(&rig, true));
    reopen();
    assert_found(17);
    store_rig_clear(&rig);
}

static void fail_once(uint64_t seed, uint64_t call)
{
    begin(seed, false);
    rig.disk->calls = 0;
    rig.disk->fail_at = call;
    for (int i = 0; i < 30 && !store_failed(rig.store); i++) {
        store_rig_put_payload(&rig);
        store_rig_step(&rig);
        rig.now_ms += STORE_RETRY_MS;
        store_rig_step(&rig);
    }
    rig.disk->fail_at = 0;
    if (store_rig_settle(&rig, false))
        assert_int_equal(store_durable_turn(rig.store), 30);
    else
        assert_int_equal(store_failed(rig.store), EIO);
    reopen();
    assert_found(rig.found.turn);
    store_rig_clear(&rig);
}

/* Every call of a store's first seconds fails once, and sometimes the file is there afterwards: it
 * is made once, the bytes come right. */
static void any_failed_write_is_made_good(void **state)
{
    (void)state;
    for (uint64_t call = 1; call < 60; call++)
        for (uint64_t seed = 0; seed < 6; seed++)
            fail_once(100 + seed, call);
}

static void a_file_of_somebody_else_is_not_written(void **state)
{
    uint8_t foreign[40] = "not ours";
    size_t n;

    (void)state;
    begin(12, false);
    memdisk_set(rig.disk, 0, foreign, sizeof(foreign));
    put_many(3);
    assert_int_equal(store_trouble(rig.store), EEXIST);
    rig.now_ms += STORE_RETRY_MS;
    put_many(3);
    assert_memory_equal(memdisk_bytes(rig.disk, 0, &n), foreign, sizeof(foreign));
    assert_int_equal(n, sizeof(foreign));
    assert_int_equal(store_durable_turn(rig.store), 0);
    store_rig_clear(&rig);
}

static void behind_until_half_of_it_is_written(void **state)
{
    static const uint8_t record[1000];

    (void)state;
    begin(13, false);
    rig.setup.max_unsynced = 10000;
    store_set(rig.store, &rig.setup);
    rig.disk->error_percent = 100;
    for (int i = 0; i < 9; i++)
        store_rig_put(&rig, record, sizeof(record));
    assert_false(store_is_behind(rig.store));
    store_rig_put(&rig, record, sizeof(record));
    assert_true(store_is_behind(rig.store));
    assert_int_equal(store_figures(rig.store).waiting_bytes, 10 * (1000 + STORE_FRAME_HEADER));
    rig.disk->error_percent = 0;
    rig.disk->capacity = 3000;
    store_rig_step(&rig);
    assert_true(store_is_behind(rig.store));
    rig.disk->capacity = 0;
    rig.now_ms += STORE_RETRY_MS;
    store_rig_step(&rig);
    assert_false(store_is_behind(rig.store));
    store_rig_clear(&rig);
}

static void a_seal_comes_when_all_is_quiet(void **state)
{
    uint64_t next;

    (void)state;
    begin(14, false);
    assert_false(store_wants_seal(rig.store)); /* there is nothing to seal */
    store_rig_put_payload(&rig);
    assert_false(store_wants_seal(rig.store));
    store_rig_step(&rig);
    assert_false(store_wants_seal(rig.store)); /* not synced */
    assert_true(store_rig_settle(&rig, false));
    assert_false(store_wants_seal(rig.store)); /* not yet */
    assert_true(store_deadline(rig.store) <= rig.now_ms + 1000);
    rig.now_ms += 1000;
    store_rig_step(&rig);
    assert_true(store_wants_seal(rig.store));
    next = store_next_payload(rig.store);
    store_seal(rig.store);
    assert_int_equal(store_next_payload(rig.store), next + STORE_FRAME_HEADER);
    assert_false(store_wants_seal(rig.store));
    store_seal(rig.store);
    store_rig_step(&rig);
    assert_int_equal(store_next_payload(rig.store), next + STORE_FRAME_HEADER);
    assert_false(store_is_clean(rig.store));
    assert_int_equal(store_deadline(rig.store), UINT64_MAX); /* not synced for its own sake */
    store_sync_soon(rig.store);
    assert_int_equal(store_deadline(rig.store), 0);
    assert_true(store_rig_settle(&rig, true));
    assert_int_equal(store_next_payload(rig.store), next + STORE_FRAME_HEADER);
    store_rig_clear(&rig);
}

static void deadlines_say_when(void **state)
{
    struct store_job job;

    (void)state;
    begin(15, false);
    assert_int_equal(store_deadline(rig.store), UINT64_MAX);
    store_rig_put_payload(&rig);
    assert_int_equal(store_deadline(rig.store), 0);
    rig.background = false;
    rig.now_ms = 5000;
    store_rig_step(&rig);
    assert_int_equal(store_deadline(rig.store), 5000 + rig.setup.sync_interval_ms);
    assert_false(store_take_background(rig.store, 5019, &job));
    assert_true(store_take_background(rig.store, 5020, &job));
    assert_int_equal(job.op, STORE_SYNC);
    assert_false(store_take_background(rig.store, 5020, &job)); /* one at a time */
    assert_int_equal(store_deadline(rig.store), UINT64_MAX);
    store_run(&rig.io, &job);
    store_done(rig.store, 5021, &job);
    assert_true(store_is_clean(rig.store));
    assert_int_equal(store_deadline(rig.store), 6021); /* a seal */
    store_rig_clear(&rig);
}

static void above_max_size_only_the_reserve_is_written(void **state)
{
    struct store_job job;
    uint64_t turn;

    (void)state;
    begin(16, false);
    rig.setup.max_size = 30000;
    store_set(rig.store, &rig.setup);
    store_set_live(rig.store, 29000); /* all of it is alive */
    for (int i = 0; i < 1000 && !store_trouble(rig.store); i++)
        put_many(1);
    assert_int_equal(store_trouble(rig.store), ENOSPC);
    assert_true(store_is_behind(rig.store));
    assert_true(memdisk_total(rig.disk) >= 30000 && memdisk_total(rig.disk) < 34000);
    turn = store_durable_turn(rig.store);
    put_many(1); /* what makes room */
    assert_true(store_durable_turn(rig.store) > turn);
    put_many(300);
    assert_true(memdisk_total(rig.disk) < 45000);
    turn = store_durable_turn(rig.store);
    put_many(10);
    assert_int_equal(store_durable_turn(rig.store), turn);
    assert_false(store_take_write(rig.store, rig.now_ms + 10000, &job));
    rig.setup.max_size = 300000;
    store_set(rig.store, &rig.setup);
    put_many(1);
    assert_int_equal(store_trouble(rig.store), 0);
    assert_int_equal(store_durable_turn(rig.store), rig.turn);
    store_rig_clear(&rig);
}

/* One life: turns, faults, and an end at any point. Returns the turn that must survive. */
static uint64_t live(uint64_t *durable)
{
    int turns = (int)rng_below(&rig.rng, 40);
    bool fsync = rig.setup.fsync;

    *durable = rig.found.turn;
    for (int i = 0; i < turns; i++) {
        if (rng_below(&rig.rng, 3))
            store_rig_put_payload(&rig);
        if (rng_below(&rig.rng, 8) == 0)
            store_seal(rig.store);
        if (rng_below(&rig.rng, 6) == 0)
            store_sync_soon(rig.store);
        rig.background = rng_below(&rig.rng, 4) > 0;
        store_rig_step(&rig);
        if (rng_below(&rig.rng, 10) == 0)
            rig.now_ms += STORE_RETRY_MS;
        if (store_is_clean(rig.store))
            *durable = rig.turn;
    }
    if (fsync && store_durable_turn(rig.store) > *durable)
        *durable = store_durable_turn(rig.store);
    return store_durable_turn(rig.store) > rig.found.turn ? store_durable_turn(rig.store)
                                                          : rig.found.turn;
}

static void lives(uint64_t seed, bool fsync)
{
    begin(seed, fsync);
    rig.setup.segment_size = 200 + rng_below(&rig.rng, 5000);
    store_set(rig.store, &rig.setup);
    for (int life = 0; life < 6; life++) {
        bool cut = rng_below(&rig.rng, 2);
        uint64_t durable;
        uint64_t promised;
        rig.disk->short_percent = rng_below(&rig.rng, 2) * 20;
        rig.disk->error_percent = rng_below(&rig.rng, 2) * 10;
        rig.disk->forget_percent = rng_below(&rig.rng, 101);
        promised = live(&durable);
        rig.disk->short_percent = rig.disk->error_percent = 0;
        if (cut) {
            store_rig_kill(&rig);
            memdisk_power_cut(rig.disk);
            promised = durable;
        }
        reopen();
        if (seen.wrong || seen.gaps || seen.last < promised || seen.last != rig.found.turn)
            fail_msg("seed %llu%s, life %d: promised %llu, found %llu", (unsigned long long)seed,
                     fsync ? ", fsync" : "", life, (unsigned long long)promised,
                     (unsigned long long)seen.last);
    }
    store_rig_clear(&rig);
}

static void what_is_promised_survives(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 600; seed++)
        lives(seed, seed % 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(what_is_put_comes_back),
        UNIT_TEST(the_payload_is_where_it_was_said),
        UNIT_TEST(the_first_write_is_a_header_and_synced),
        UNIT_TEST(one_write_takes_a_whole_backlog),
        UNIT_TEST(putting_needs_no_memory),
        UNIT_TEST(without_memory_a_segment_grows_on),
        UNIT_TEST(a_failed_sync_is_the_end),
        UNIT_TEST(a_full_disk_is_tried_again),
        UNIT_TEST(any_failed_write_is_made_good),
        UNIT_TEST(a_file_of_somebody_else_is_not_written),
        UNIT_TEST(behind_until_half_of_it_is_written),
        UNIT_TEST(a_seal_comes_when_all_is_quiet),
        UNIT_TEST(deadlines_say_when),
        UNIT_TEST(above_max_size_only_the_reserve_is_written),
        UNIT_TEST(what_is_promised_survives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
