/*
 * Cleaning: old segments go, and nothing with them. A small table of keys and versions stands for
 * the broker: it records what changes, and anew what is asked about and still true.
 */
#include "store/store.h"

#include "store/frame.h"
#include "store_rig.h"
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define KEYS 40
#define HISTORY 4096

/* A record: key, 3 bytes of length, version (0: deleted), and as many bytes as it has length. */
#define RECORD_HEAD 12

struct row {
    uint64_t version; /* 0: there is none */
    uint64_t position;
    uint32_t length;
};

static struct store_rig rig;
static struct row rows[KEYS];
static struct row past[HISTORY][KEYS]; /* rows after each turn */
static uint64_t version;
static struct buf records;
static uint64_t place;     /* of the next frame's records */
static uint64_t renew_max; /* records looked at in a turn */
static uint64_t renewed;   /* bytes */
static uint64_t looked;    /* bytes of pieces that were offered and looked at */
static bool passing;       /* frames are marked, and the first position is told */
static bool lie;           /* the broker says that nothing is alive */
static size_t largest;     /* payload of a record */

static void write_record(uint8_t key, uint64_t v, uint32_t length)
{
    static const uint8_t pad[1024 * 1024];
    uint8_t head[RECORD_HEAD] = {key, (uint8_t)length, (uint8_t)(length >> 8),
                                 (uint8_t)(length >> 16)};

    memcpy(head + 4, &v, sizeof(v));
    if (v)
        rows[key] = (struct row){.version = v, .position = place + records.len, .length = length};
    else
        rows[key] = (struct row){0};
    assert_ok(buf_add(&records, head, sizeof(head)));
    assert_ok(buf_add(&records, pad, length));
}

static bool read_record(struct str *in, uint8_t *key, struct row *row)
{
    const uint8_t *p = (const uint8_t *)in->p;

    if (in->n < RECORD_HEAD)
        return false;
    *key = p[0];
    row->length = (uint32_t)p[1] | (uint32_t)p[2] << 8 | (uint32_t)p[3] << 16;
    memcpy(&row->version, p + 4, sizeof(row->version));
    if (*key >= KEYS || in->n - RECORD_HEAD < row->length)
        return false;
    *in = str_of(in->p + RECORD_HEAD + row->length, in->n - RECORD_HEAD - row->length);
    return true;
}

static enum err apply(void *ctx, uint64_t position, struct str in)
{
    const char *begin = in.p;

    (void)ctx;
    while (in.n > 0) {
        struct row row = {.position = position + (uint64_t)(in.p - begin)};
        uint8_t key = 0;
        if (!read_record(&in, &key, &row))
            return ERR_MALFORMED;
        if (row.version == 0)
            row = (struct row){0};
        rows[key] = row;
        if (row.version > version)
            version = row.version;
    }
    return ERR_OK;
}

static uint64_t live_bytes(void)
{
    uint64_t n = 0;

    for (int i = 0; i < KEYS; i++)
        if (rows[i].version)
            n += RECORD_HEAD + rows[i].length;
    return n;
}

/* Look at one piece; how much of it. */
static size_t renew(uint64_t position, struct str piece, uint64_t *budget)
{
    size_t all = piece.n;

    while (piece.n > 0 && *budget > 0) {
        struct row row = {0};
        uint8_t key = 0;
        uint64_t at = position + (all - piece.n);
        size_t before = piece.n;
        assert_true(read_record(&piece, &key, &row));
        --*budget;
        if (row.version && rows[key].version == row.version && rows[key].position == at) {
            write_record(key, row.version, row.length);
            renewed += before - piece.n;
        }
    }
    return all - piece.n;
}

static void begin(uint64_t seed, bool fsync)
{
    store_rig_init(&rig, seed, fsync);
    rig.recover.apply = apply;
    memset(rows, 0, sizeof(rows));
    version = 0;
    renew_max = 1000;
    renewed = 0;
    looked = 0;
    passing = false;
    lie = false;
    largest = 300;
    assert_ok(store_rig_open(&rig));
    place = store_next_payload(rig.store);
}

static void end(void)
{
    store_rig_clear(&rig);
    buf_clear(&records);
}

static enum err reopen(void)
{
    enum err e;

    store_rig_kill(&rig);
    buf_drop(&records, records.len);
    memset(rows, 0, sizeof(rows));
    version = 0;
    e = store_rig_open(&rig);
    if (!e)
        place = store_next_payload(rig.store);
    return e;
}

static void change_some(void)
{
    for (uint32_t n = rng_below(&rig.rng, 4); n > 0; n--) {
        uint8_t key = (uint8_t)rng_below(&rig.rng, KEYS);
        bool gone = rng_below(&rig.rng, 4) == 0 || rng_below(&rig.rng, KEYS) > 25;
        write_record(key, gone ? 0 : ++version, gone ? 0 : rng_below(&rig.rng, (uint32_t)largest));
    }
}

/* Of all that is alive. */
static uint64_t first_position(void)
{
    uint64_t first = UINT64_MAX;

    for (int i = 0; i < KEYS; i++)
        if (rows[i].version && rows[i].position < first)
            first = rows[i].position;
    return first;
}

static void clean_some(uint64_t number)
{
    uint64_t budget = renew_max;
    uint64_t position;
    struct str piece;

    store_set_live(rig.store, lie ? 0 : live_bytes());
    while (budget > 0) {
        uint32_t before = records.len;
        size_t n;
        if (passing)
            store_set_first(rig.store, first_position());
        if (!store_clean_next(rig.store, &position, &piece))
            break;
        n = renew(position, piece, &budget);
        looked += n;
        store_cleaned(rig.store, n, records.len - before, number);
    }
}

/* One turn of a caller that does all as store.h says. */
static void turn(bool traffic)
{
    uint64_t number = rig.turn + 1;

    clean_some(number);
    if (traffic)
        change_some();
    if (records.len > 0 && passing)
        store_mark_passing(rig.store);
    if (records.len > 0)
        store_rig_put(&rig, buf_begin(&records), records.len);
    else if (store_wants_seal(rig.store))
        store_seal(rig.store);
    rig.turn = number;
    buf_drop(&records, records.len);
    place = store_next_payload(rig.store);
    memcpy(past[number % HISTORY], rows, sizeof(rows));
    store_rig_step(&rig);
}

/* Nobody writes for a while. */
static void rest(int turns)
{
    for (int i = 0; i < turns; i++)
        turn(false);
    rig.now_ms += 1000;
    for (int i = 0; i < 50; i++)
        turn(false);
}

static bool is_as_after(uint64_t number)
{
    for (int i = 0; i < KEYS; i++)
        if (rows[i].version != past[number % HISTORY][i].version ||
            rows[i].length != past[number % HISTORY][i].length)
            return false;
    return true;
}

static void the_size_stays_in_bounds(void **state)
{
    (void)state;
    for (int fsync = 0; fsync < 2; fsync++) {
        uint64_t most = 0;
        begin(1, fsync);
        for (int i = 0; i < 4000; i++) {
            struct store_figures f;
            uint64_t bound;
            turn(true);
            f = store_figures(rig.store);
            bound = 2 * live_bytes() + 4 * rig.setup.segment_size;
            most = f.bytes * 100 / bound > most ? f.bytes * 100 / bound : most;
        }
        if (most > 100)
            fail_msg("%llu %% of the bound", (unsigned long long)most);
        assert_true(store_figures(rig.store).cleaned_segments > 100);
        assert_true(rig.disk->removals >= store_figures(rig.store).cleaned_segments);
        assert_ok(reopen());
        assert_true(is_as_after(rig.found.turn));
        end();
    }
}

/* Frames of which nothing is alive go without being looked at; but not those of a former process.
 */
static void what_is_past_is_passed_by(void **state)
{
    uint64_t all = 0;

    (void)state;
    for (int pass = 0; pass < 2; pass++) {
        begin(3, false);
        passing = pass;
        for (int i = 0; i < 3000; i++)
            turn(true);
        assert_true(store_figures(rig.store).cleaned_segments > 50);
        if (!pass)
            all = looked;
        else
            assert_in_range(looked, all / 100, all / 2);
        assert_ok(reopen());
        assert_true(is_as_after(rig.found.turn));
        end();
    }
    begin(4, false);
    for (int i = 0; i < 20; i++) {
        passing = true;
        turn(true);
    }
    rest(5);
    assert_ok(reopen());
    passing = true;
    looked = 0;
    for (int i = 0; i < KEYS; i++)
        write_record((uint8_t)i, 0, 0);
    store_compact(rig.store);
    rest(100);
    assert_true(looked > 0);
    end();
}

/* What can be cleaned goes also when nobody writes any more, and then all is quiet. */
static void an_idle_store_cleans_up_and_rests(void **state)
{
    (void)state;
    for (int fsync = 0; fsync < 2; fsync++) {
        begin(2, fsync);
        for (int i = 0; i < 300; i++)
            turn(true);
        lie = false;
        for (int i = 0; i < KEYS; i++)
            write_record((uint8_t)i, 0, 0);
        rest(300);
        assert_true(store_figures(rig.store).bytes <= 4 * rig.setup.segment_size);
        assert_int_equal(store_deadline(rig.store), UINT64_MAX);
        assert_false(store_wants_seal(rig.store));
        assert_ok(reopen());
        assert_int_equal(live_bytes(), 0);
        end();
    }
}

static void compacting_leaves_what_is_alive(void **state)
{
    struct store_figures f;
    uint64_t live;

    (void)state;
    begin(3, false);
    for (int i = 0; i < 300; i++)
        turn(true);
    store_compact(rig.store);
    rest(300);
    f = store_figures(rig.store);
    live = live_bytes();
    assert_true(f.bytes < live + live / 2 + 1000);
    assert_int_equal(store_deadline(rig.store), UINT64_MAX);
    assert_ok(reopen());
    assert_true(is_as_after(rig.turn));
    end();
}

static void a_pass_that_frees_nothing_is_not_repeated(void **state)
{
    uint64_t before;

    (void)state;
    begin(4, false);
    for (int i = 0; i < KEYS; i++) {
        write_record((uint8_t)i, ++version, 1000);
        turn(false);
    }
    lie = true; /* it is all alive, but the broker says it is not */
    for (int i = 0; i < 500; i++)
        turn(false);
    before = renewed;
    assert_true(before > 0);
    rest(2000);
    assert_int_equal(renewed, before);
    assert_int_equal(store_deadline(rig.store), UINT64_MAX);
    assert_ok(reopen());
    assert_int_equal(live_bytes(), KEYS * (1000 + RECORD_HEAD));
    end();
}

static void a_broker_in_a_hurry_looks_at_little(void **state)
{
    (void)state;
    begin(5, false);
    renew_max = 1; /* pieces are given again until they are finished */
    for (int i = 0; i < 3000; i++)
        turn(i % 8 == 0);
    assert_true(store_figures(rig.store).cleaned_segments > 5);
    assert_ok(reopen());
    assert_true(is_as_after(rig.found.turn));
    end();
}

static void frames_larger_than_the_reading(void **state)
{
    (void)state;
    begin(6, false);
    largest = 400000;
    rig.setup.segment_size = 1024 * 1024;
    store_set(rig.store, &rig.setup);
    for (int i = 0; i < 300; i++)
        turn(true);
    assert_true(store_figures(rig.store).cleaned_segments > 10);
    assert_ok(reopen());
    assert_true(is_as_after(rig.found.turn));
    end();
}

static void what_does_not_check_is_not_removed(void **state)
{
    uint64_t segment;
    uint64_t offset;
    uint64_t bytes;
    uint8_t *p;
    size_t n;

    (void)state;
    for (size_t at = STORE_SEGMENT_HEADER + 10; at < 2000; at += 97) {
        begin(7, false);
        store_set_live(rig.store, UINT64_MAX);
        turn(true);
        while (store_figures(rig.store).segments < 2)
            turn(true);
        p = memdisk_bytes(rig.disk, 0, &n);
        if (at >= n) {
            end();
            continue;
        }
        p[at] ^= 1;
        for (int i = 0; i < 300; i++)
            turn(true);
        assert_int_equal(store_damage(rig.store, &segment, &offset), EBADMSG);
        assert_int_equal(segment, 0);
        assert_true(offset <= at);
        assert_non_null(memdisk_bytes(rig.disk, 0, &n));
        assert_int_equal(store_figures(rig.store).cleaned_segments, 0);
        bytes = store_figures(rig.store).bytes;
        turn(true);
        assert_true(store_figures(rig.store).bytes >= bytes);
        assert_true(store_deadline(rig.store) > 0);
        assert_err(reopen(), ERR_MALFORMED); /* the next start says so too */
        end();
    }
}

static void a_file_that_cannot_be_read_stays(void **state)
{
    uint64_t segment;
    uint64_t offset;

    (void)state;
    begin(8, false);
    while (store_figures(rig.store).segments < 2)
        turn(true);
    memdisk_set(rig.disk, 0, "short", 5);
    for (int i = 0; i < 300; i++)
        turn(true);
    assert_int_equal(store_damage(rig.store, &segment, &offset), EBADMSG);
    assert_int_equal(store_figures(rig.store).cleaned_segments, 0);
    end();
}

static void without_memory_it_waits(void **state)
{
    (void)state;
    unit_needs_tracking();
    begin(9, false);
    for (int i = 0; i < 60; i++) {
        struct buf room = {0};
        uint64_t used = 0;
        assert_ok(buf_reserve(&room, 8000));
        buf_clear(&rig.frame);
        rig.frame = room;
        assert_ok(buf_reserve(&records, 8000));
        mem_fail_after(0, 1);
        turn(true);
        used = store_figures(rig.store).cleaned_segments;
        mem_fail_never();
        assert_int_equal(used, 0);
    }
    for (int i = 0; i < 200; i++)
        turn(true);
    assert_true(store_figures(rig.store).cleaned_segments > 0);
    assert_ok(reopen());
    assert_true(is_as_after(rig.found.turn));
    end();
}

/* At the limit writing goes on as long as cleaning helps, and again as soon as it does. */
static void max_size_is_kept_and_left_again(void **state)
{
    uint64_t most = 0;

    (void)state;
    begin(10, false);
    rig.setup.max_size = 60000;
    rig.setup.segment_size = 4096;
    store_set(rig.store, &rig.setup);
    for (int i = 0; i < 4000; i++) {
        turn(true);
        assert_int_equal(store_trouble(rig.store), 0);
        most = memdisk_total(rig.disk) > most ? memdisk_total(rig.disk) : most;
    }
    assert_true(most <= 60000);
    /* More than fits is alive: it stops, and nothing is acknowledged. */
    for (int i = 0; i < 400; i++) {
        write_record((uint8_t)(i % KEYS), ++version, 2000);
        turn(false);
    }
    assert_int_equal(store_trouble(rig.store), ENOSPC);
    assert_true(store_durable_turn(rig.store) < rig.turn);
    assert_true(store_is_behind(rig.store));
    assert_in_range(memdisk_total(rig.disk), 60000 + 4096, 60000 + 5 * 4096);
    /* Readers have taken their messages. */
    for (int i = 0; i < KEYS; i++)
        write_record((uint8_t)i, 0, 0);
    turn(false); /* what has waited is written first … */
    assert_int_equal(store_trouble(rig.store), 0);
    for (int i = 0; i < 2000; i++)
        turn(false); /* … and then it shrinks */
    assert_int_equal(store_trouble(rig.store), 0);
    assert_int_equal(store_figures(rig.store).waiting_bytes, 0);
    assert_true(memdisk_total(rig.disk) < 60000);
    assert_ok(reopen());
    assert_int_equal(live_bytes(), 0);
    end();
}

static void a_removal_that_fails_is_tried_again(void **state)
{
    (void)state;
    begin(11, false);
    for (int i = 0; i < 400; i++) {
        rig.disk->fail_at =
            rng_below(&rig.rng, 3) == 0 && rig.job_out && !rig.job_ran && rig.job.op == STORE_REMOVE
                ? rig.disk->calls + 2
                : 0;
        turn(true);
        assert_int_equal(store_failed(rig.store), 0);
    }
    rig.disk->fail_at = 0;
    for (int i = 0; i < 300; i++)
        turn(true);
    assert_true(store_figures(rig.store).cleaned_segments > 10);
    assert_true(rig.disk->removals >= store_figures(rig.store).cleaned_segments);
    assert_ok(reopen());
    assert_true(is_as_after(rig.found.turn));
    end();
}

/* Several lives of one store, each ended by a kill or a power cut: the table is as it was after
 * some turn not before the last promised one. */
static void lives(uint64_t seed)
{
    begin(seed, seed % 2);
    passing = seed % 3 == 0;
    rig.setup.segment_size = 300 + rng_below(&rig.rng, 3000);
    rig.disk->forget_percent = rng_below(&rig.rng, 101);
    store_set(rig.store, &rig.setup);
    for (int life = 0; life < 6; life++) {
        uint64_t promised = rig.found.turn;
        uint64_t synced = rig.found.turn;
        memcpy(past[rig.turn % HISTORY], rows, sizeof(rows));
        renew_max = rng_below(&rig.rng, 2) ? 1000 : 3;
        rig.disk->short_percent = rng_below(&rig.rng, 3) == 0 ? 20 : 0;
        rig.disk->error_percent = rng_below(&rig.rng, 3) == 0 ? 10 : 0;
        for (uint32_t n = rng_below(&rig.rng, 150); n > 0; n--) {
            if (rng_below(&rig.rng, 50) == 0)
                store_compact(rig.store);
            rig.background = rng_below(&rig.rng, 5) > 0;
            turn(rng_below(&rig.rng, 3) > 0);
            if (rng_below(&rig.rng, 10) == 0)
                rig.now_ms += STORE_RETRY_MS;
            if (store_is_clean(rig.store))
                synced = rig.turn;
        }
        if (store_durable_turn(rig.store) > promised)
            promised = store_durable_turn(rig.store);
        if (rig.setup.fsync && store_durable_turn(rig.store) > synced)
            synced = store_durable_turn(rig.store);
        rig.disk->short_percent = rig.disk->error_percent = 0;
        if (rng_below(&rig.rng, 2)) {
            store_rig_kill(&rig);
            memdisk_power_cut(rig.disk);
            promised = synced;
        }
        assert_ok(reopen());
        /* Turns without records leave no frame. */
        for (uint64_t t = rig.found.turn; t < promised && !is_as_after(promised); t++)
            fail_msg("seed %llu, life %d: promised %llu, found %llu", (unsigned long long)seed,
                     life, (unsigned long long)promised, (unsigned long long)rig.found.turn);
        if (!is_as_after(rig.found.turn))
            fail_msg("seed %llu, life %d: not as after turn %llu", (unsigned long long)seed, life,
                     (unsigned long long)rig.found.turn);
    }
    end();
}

static void what_is_alive_survives(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 150; seed++)
        lives(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(the_size_stays_in_bounds),
        UNIT_TEST(what_is_past_is_passed_by),
        UNIT_TEST(an_idle_store_cleans_up_and_rests),
        UNIT_TEST(compacting_leaves_what_is_alive),
        UNIT_TEST(a_pass_that_frees_nothing_is_not_repeated),
        UNIT_TEST(a_broker_in_a_hurry_looks_at_little),
        UNIT_TEST(frames_larger_than_the_reading),
        UNIT_TEST(what_does_not_check_is_not_removed),
        UNIT_TEST(a_file_that_cannot_be_read_stays),
        UNIT_TEST(without_memory_it_waits),
        UNIT_TEST(max_size_is_kept_and_left_again),
        UNIT_TEST(a_removal_that_fails_is_tried_again),
        UNIT_TEST(what_is_alive_survives),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
