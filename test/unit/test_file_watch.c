/*
 * Files that change, on a real file system: each way to replace one, when it is looked at, and what
 * is forgotten.
 */
#include "server/file_watch.h"

#include "conf_helper.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rig {
    char dir[32];
    struct poll poll;
    struct file_watch watch;
};

static char path_room[8][64];

/* One of eight paths that stay valid at a time. */
static const char *in(const struct rig *r, const char *name)
{
    static int next;
    char *path = path_room[next++ % 8];
    (void)snprintf(path, sizeof(path_room[0]), "%s/%s", r->dir, name);
    return path;
}

static void put(const struct rig *r, const char *name, const char *text)
{
    FILE *f = fopen(in(r, name), "we");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void lead(const struct rig *r, const char *name, const char *target)
{
    (void)unlink(in(r, name));
    assert_int_equal(symlink(target, in(r, name)), 0);
}

static void set(struct rig *r, const char *one, const char *two)
{
    const char *const paths[] = {one ? in(r, one) : NULL, two ? in(r, two) : NULL};
    assert_ok(file_watch_set(&r->watch, paths, 2));
}

static void rig_init(struct rig *r)
{
    captured_reset();
    memcpy(r->dir, "/tmp/test_file_watch.XXXXXX", 28);
    assert_non_null(mkdtemp(r->dir));
    assert_ok(poll_init(&r->poll));
    file_watch_init(&r->watch, &captured_log);
    file_watch_join(&r->watch, &r->poll, 7);
}

static void rig_clear(struct rig *r)
{
    char command[64];
    file_watch_clear(&r->watch);
    poll_clear(&r->poll);
    (void)snprintf(command, sizeof(command), "rm -r %s", r->dir);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
}

/* Has something been reported? */
static bool is_told(struct rig *r, uint64_t now_ms)
{
    unsigned events;
    poll_wait(&r->poll, 0);
    const struct watch *w = poll_next(&r->poll, &events);
    if (!w)
        return false;
    assert_ptr_equal(w, &r->watch.watch);
    file_watch_ready(&r->watch, now_ms);
    return true;
}

/* Something was, and the look that follows finds so many that have changed. */
static size_t news(struct rig *r)
{
    static uint64_t now_ms = 1000;
    now_ms += 100000;
    assert_true(is_told(r, now_ms));
    assert_int_equal(file_watch_deadline(&r->watch), now_ms + FILE_WATCH_QUIET_MS);
    assert_true(file_watch_is_quiet(&r->watch, now_ms + FILE_WATCH_QUIET_MS));
    assert_int_equal(file_watch_deadline(&r->watch), UINT64_MAX);
    return file_watch_look(&r->watch);
}

static void a_directory_further_up_may_be_exchanged(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    assert_int_equal(mkdir(in(&r, "up"), 0700), 0);
    assert_int_equal(mkdir(in(&r, "up/mid"), 0700), 0);
    assert_int_equal(mkdir(in(&r, "next"), 0700), 0);
    assert_int_equal(mkdir(in(&r, "next/mid"), 0700), 0);
    put(&r, "up/mid/a", "1");
    put(&r, "next/mid/a", "22");
    set(&r, "up/mid/a", NULL);
    put(&r, "other", "in a directory further up nothing else matters");
    assert_false(is_told(&r, 1));
    assert_int_equal(rename(in(&r, "up"), in(&r, "former")), 0);
    assert_int_equal(rename(in(&r, "next"), in(&r, "up")), 0);
    assert_int_equal(news(&r), 1);
    (void)is_told(&r, 1); /* of the watches that were given up */
    (void)file_watch_is_quiet(&r.watch, 100000);
    put(&r, "up/mid/a", "333");
    assert_int_equal(news(&r), 1);
    set(&r, "up/mid/a", "up/b"); /* what was further up is now what a file lies in */
    (void)file_watch_look(&r.watch);
    put(&r, "up/b", "1");
    assert_int_equal(news(&r), 1);
    rig_clear(&r);
}

static void each_way_to_replace_a_file_is_noticed(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    put(&r, "a", "1");
    put(&r, "b", "1");
    set(&r, "a", "b");
    assert_int_equal(file_watch_look(&r.watch), 0);
    assert_false(is_told(&r, 1));
    put(&r, "a", "22");
    assert_int_equal(news(&r), 1);
    assert_true(file_watch_changed(&r.watch, in(&r, "a")));
    assert_false(file_watch_changed(&r.watch, in(&r, "b")));
    assert_false(file_watch_changed(&r.watch, in(&r, "c")));
    put(&r, "new", "22");
    assert_int_equal(rename(in(&r, "new"), in(&r, "b")), 0);
    assert_int_equal(news(&r), 1);
    assert_true(file_watch_changed(&r.watch, in(&r, "b")));
    assert_int_equal(unlink(in(&r, "b")), 0);
    assert_int_equal(news(&r), 1);
    put(&r, "b", "22");
    assert_int_equal(news(&r), 1);
    assert_int_equal(chmod(in(&r, "b"), 0400), 0);
    assert_int_equal(news(&r), 1);
    rig_clear(&r);
}

static void what_nobody_named_is_looked_past(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    put(&r, "a", "1");
    set(&r, "a", NULL);
    put(&r, "other", "1");
    assert_int_equal(news(&r), 0);
    rig_clear(&r);
}

static void links_may_be_swapped_on_the_way(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    for (const char *name = "12"; *name; name++) {
        const char one[] = {*name, '\0'};
        const char file[] = {*name, '/', 'f', '\0'};
        assert_int_equal(mkdir(in(&r, one), 0700), 0);
        put(&r, file, one);
    }
    lead(&r, "data", "1");
    lead(&r, "f", "data/f");
    char absolute[64];
    (void)snprintf(absolute, sizeof(absolute), "%s/data", r.dir);
    lead(&r, "far", absolute);
    set(&r, "f", "far/f");
    assert_int_equal(file_watch_look(&r.watch), 0);
    lead(&r, "next", "2");
    assert_int_equal(rename(in(&r, "next"), in(&r, "data")), 0);
    assert_int_equal(news(&r), 2);
    /* The directory that they lead to now is watched. */
    put(&r, "2/f", "22");
    assert_int_equal(news(&r), 2);
    /* That one no more. */
    (void)is_told(&r, 1);
    (void)file_watch_is_quiet(&r.watch, UINT64_MAX - 1);
    put(&r, "1/f", "333");
    assert_false(is_told(&r, 1));
    rig_clear(&r);
}

static void links_without_end_lead_nowhere(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    lead(&r, "a", "b");
    lead(&r, "b", "a");
    set(&r, "a", "none/at/all");
    assert_int_equal(file_watch_look(&r.watch), 0);
    (void)unlink(in(&r, "a"));
    put(&r, "a", "1");
    assert_int_equal(news(&r), 1);
    /* What is missing may come. */
    assert_int_equal(mkdir(in(&r, "none"), 0700), 0);
    assert_int_equal(news(&r), 0);
    assert_int_equal(mkdir(in(&r, "none/at"), 0700), 0);
    assert_int_equal(news(&r), 0);
    put(&r, "none/at/all", "1");
    assert_int_equal(news(&r), 1);
    rig_clear(&r);
}

static void a_directory_changes_with_what_is_in_it(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    assert_int_equal(mkdir(in(&r, "d"), 0700), 0);
    put(&r, "d/one", "1");
    set(&r, "d", NULL);
    put(&r, "d/two", "1");
    assert_int_equal(news(&r), 1);
    put(&r, "d/one", "11");
    assert_int_equal(news(&r), 1);
    rig_clear(&r);
}

/* A directory is replaced by another one: the old one's watch says so. */
static void a_directory_may_be_another_one(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    assert_int_equal(mkdir(in(&r, "d"), 0700), 0);
    assert_int_equal(mkdir(in(&r, "new"), 0700), 0);
    put(&r, "d/f", "1");
    put(&r, "new/f", "2");
    set(&r, "d/f", NULL);
    assert_int_equal(rename(in(&r, "d"), in(&r, "old")), 0);
    assert_int_equal(rename(in(&r, "new"), in(&r, "d")), 0);
    assert_int_equal(news(&r), 1);
    (void)is_told(&r, 1);
    (void)file_watch_is_quiet(&r.watch, UINT64_MAX - 1);
    put(&r, "d/f", "22");
    assert_int_equal(news(&r), 1);
    rig_clear(&r);
}

static void a_look_waits_for_quiet_but_not_for_ever(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    put(&r, "a", "");
    set(&r, "a", NULL);
    put(&r, "a", "1");
    assert_true(is_told(&r, 1000));
    /* Until then nothing is reported, whatever happens. */
    uint64_t now_ms = 1000;
    unsigned waits = 0;
    do {
        put(&r, "a", "11");
        assert_false(is_told(&r, now_ms));
        assert_false(file_watch_is_quiet(&r.watch, file_watch_deadline(&r.watch) - 1));
        now_ms = file_watch_deadline(&r.watch);
        waits++;
    } while (!file_watch_is_quiet(&r.watch, now_ms));
    assert_in_range(now_ms, 1000 + FILE_WATCH_MOST_MS,
                    1000 + FILE_WATCH_MOST_MS + FILE_WATCH_QUIET_MS);
    assert_in_range(waits, 6, 8);
    assert_int_equal(file_watch_look(&r.watch), 1);
    put(&r, "a", "1");
    assert_true(is_told(&r, 5000));
    rig_clear(&r);
}

static void another_list_keeps_what_is_known_of_the_same_files(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    put(&r, "a", "1");
    put(&r, "b", "1");
    set(&r, "a", NULL);
    put(&r, "a", "22");
    set(&r, "b", "a");
    assert_int_equal(file_watch_look(&r.watch), 1);
    assert_true(file_watch_changed(&r.watch, in(&r, "a")));
    /* Nobody made use of it: so it is still news. */
    assert_true(is_told(&r, 1000));
    assert_true(file_watch_is_quiet(&r.watch, 2000));
    file_watch_doubt(&r.watch, 3000);
    assert_int_equal(file_watch_deadline(&r.watch), 3000 + FILE_WATCH_QUIET_MS);
    assert_int_equal(file_watch_look(&r.watch), 1);
    assert_int_equal(file_watch_look(&r.watch), 0);
    file_watch_doubt(&r.watch, 9000);
    set(&r, NULL, NULL);
    assert_int_equal(r.watch.count, 0);
    assert_int_equal(r.watch.dir_count, 0);
    rig_clear(&r);
}

static void nothing_is_opened_for_nothing(void **state)
{
    (void)state;
    struct rig r;
    rig_init(&r);
    set(&r, NULL, NULL);
    assert_int_equal(r.watch.watch.fd, -1);
    assert_int_equal(file_watch_deadline(&r.watch), UINT64_MAX);
    assert_int_equal(file_watch_look(&r.watch), 0);
    rig_clear(&r);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    unit_needs_tracking();
    bool failed = true;
    for (uint64_t n = 0; failed; n++) {
        struct rig r;
        rig_init(&r);
        put(&r, "a", "1");
        mem_fail_after(n, false);
        const char *const paths[] = {in(&r, "a"), in(&r, "b")};
        enum err e = file_watch_set(&r.watch, paths, 2);
        (void)file_watch_look(&r.watch);
        failed = mem_failed() > 0;
        mem_fail_never();
        assert_true(e == ERR_OK || e == ERR_NOMEM);
        assert_true(failed || (e == ERR_OK && captured.warnings == 0));
        rig_clear(&r);
        assert_true(n < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(each_way_to_replace_a_file_is_noticed),
        UNIT_TEST(a_directory_further_up_may_be_exchanged),
        UNIT_TEST(what_nobody_named_is_looked_past),
        UNIT_TEST(links_may_be_swapped_on_the_way),
        UNIT_TEST(links_without_end_lead_nowhere),
        UNIT_TEST(a_directory_changes_with_what_is_in_it),
        UNIT_TEST(a_directory_may_be_another_one),
        UNIT_TEST(a_look_waits_for_quiet_but_not_for_ever),
        UNIT_TEST(another_list_keeps_what_is_known_of_the_same_files),
        UNIT_TEST(nothing_is_opened_for_nothing),
        UNIT_TEST(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
