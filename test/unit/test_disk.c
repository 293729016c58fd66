/*
 * The store's files and directories: what the store asks of files, where a store is found, made or
 * imported, and that nothing is left behind when that goes wrong.
 */
#include "server/disk.h"

#include "conf_helper.h"
#include "server/disk_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* --- a directory for each test --- */

static char top[64];

static char *path_of(const char *name)
{
    static char path[4][300];
    static unsigned turn;
    char *p = path[turn++ % 4];

    snprintf(p, sizeof(path[0]), "%s/%s", top, name);
    return p;
}

static void remove_all(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *e;
    char inner[600];

    while (dir && (e = readdir(dir))) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        snprintf(inner, sizeof(inner), "%s/%s", path, e->d_name);
        if (unlink(inner) != 0)
            remove_all(inner);
    }
    if (dir)
        closedir(dir);
    (void)rmdir(path);
}

static int setup(void **state)
{
    strcpy(top, "/tmp/test_disk.XXXXXX");
    assert_non_null(mkdtemp(top));
    captured_reset();
    return unit_begin(state);
}

static int teardown(void **state)
{
    remove_all(top);
    return unit_end(state);
}

static bool exists(const char *name)
{
    return access(path_of(name), F_OK) == 0;
}

static void put_file(const char *name, const void *bytes, size_t n)
{
    int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    close(fd);
}

static int count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    int n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

/* --- files --- */

struct rig {
    struct disk_files files;
    struct store_io io;
};

static void files_begin(struct rig *r)
{
    int dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    assert_true(dir >= 0);
    disk_files_init(&r->files, dir);
    r->io = disk_files_io(&r->files);
}

static ssize_t put(struct rig *r, uint64_t segment, uint64_t offset, const char *text, bool create)
{
    struct iovec iov[2] = {
        {.iov_base = (void *)(uintptr_t)text, .iov_len = 1},
        {.iov_base = (void *)(uintptr_t)(text + 1), .iov_len = strlen(text) - 1}};

    return r->io.write(r->io.ctx, segment, offset, iov, 2, create);
}

static void a_segment_is_a_file(void **state)
{
    struct rig r;
    char bytes[16] = "";
    struct stat st;

    (void)state;
    files_begin(&r);
    assert_int_equal(r.io.size(r.io.ctx, 0x1f), -ENOENT);
    assert_int_equal(r.io.read(r.io.ctx, 0x1f, 0, bytes, 1), -ENOENT);
    assert_int_equal(put(&r, 0x1f, 0, "hello", false), -ENOENT);
    assert_int_equal(put(&r, 0x1f, 0, "hello", true), 5);
    assert_int_equal(put(&r, 0x1f, 5, " you", false), 4);
    assert_int_equal(put(&r, 0x1f, 0, "again", true), -EEXIST);
    assert_int_equal(r.io.size(r.io.ctx, 0x1f), 9);
    assert_int_equal(r.io.read(r.io.ctx, 0x1f, 4, bytes, sizeof(bytes)), 5);
    assert_memory_equal(bytes, "o you", 5);
    assert_int_equal(r.io.sync(r.io.ctx, 0x1f), 0);
    assert_int_equal(r.io.truncate(r.io.ctx, 0x1f, 4), 0);
    assert_int_equal(r.io.size(r.io.ctx, 0x1f), 4);
    assert_int_equal(stat(path_of("000000000000001f.seg"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(r.io.remove(r.io.ctx, 0x1f), 0);
    assert_int_equal(r.io.remove(r.io.ctx, 0x1f), -ENOENT);
    assert_int_equal(r.io.size(r.io.ctx, 0x1f), -ENOENT);
    /* Its descriptor is not taken for a new file of this name. */
    assert_int_equal(put(&r, 0x1f, 0, "new", true), 3);
    assert_int_equal(r.io.sync(r.io.ctx, 0x20), -ENOENT);
    disk_files_clear(&r.files);
}

static void the_list_is_sorted_and_may_be_cut(void **state)
{
    static const uint64_t segments[] = {0x300, 0x100, UINT64_C(0xffffffffffffff00), 0x200, 0};
    struct rig r;
    uint64_t found[8];

    (void)state;
    files_begin(&r);
    assert_int_equal(r.io.list(r.io.ctx, found, 8), 0);
    for (size_t i = 0; i < ARRAY_SIZE(segments); i++)
        assert_int_equal(put(&r, segments[i], 0, "xx", true), 2);
    put_file("notes", "x", 1);
    put_file("0000000000000300.seg.damaged", "x", 1);
    put_file("0000000000000AB0.seg", "x", 1);
    assert_int_equal(r.io.list(r.io.ctx, NULL, 0), 5);
    assert_int_equal(r.io.list(r.io.ctx, found, 3), 5);
    assert_true(found[0] == 0 && found[1] == 0x100 && found[2] == 0x200);
    assert_int_equal(r.io.list(r.io.ctx, found, 8), 5);
    assert_true(found[3] == 0x300 && found[4] == segments[2]);
    disk_files_clear(&r.files);
}

static void copies_never_overwrite(void **state)
{
    struct rig r;
    char name[64];
    char small[8];

    (void)state;
    files_begin(&r);
    assert_int_equal(r.io.keep_copy(r.io.ctx, 7, name, sizeof(name)), -ENOENT);
    assert_int_equal(put(&r, 7, 0, "first", true), 5);
    assert_int_equal(r.io.keep_copy(r.io.ctx, 7, name, sizeof(name)), 0);
    assert_string_equal(name, "0000000000000007.seg.damaged");
    assert_int_equal(put(&r, 7, 0, "other", false), 5);
    assert_int_equal(r.io.keep_copy(r.io.ctx, 7, name, sizeof(name)), 0);
    assert_string_equal(name, "0000000000000007.seg.damaged.1");
    assert_int_equal(r.io.keep_copy(r.io.ctx, 7, small, sizeof(small)), -ENAMETOOLONG);
    for (int i = 0; i < 2; i++) {
        char bytes[8] = "";
        int fd =
            open(path_of(i ? "0000000000000007.seg.damaged.1" : "0000000000000007.seg.damaged"),
                 O_RDONLY);
        assert_int_equal(read(fd, bytes, sizeof(bytes)), 5);
        assert_string_equal(bytes, i ? "other" : "first");
        close(fd);
    }
    disk_files_clear(&r.files);
}

/* More unsynced files than are kept open. */
static void many_segments(void **state)
{
    enum { MANY = DISK_FILES_MAX * 3 };
    struct rig r;
    int before = count_fds();
    char byte;

    (void)state;
    files_begin(&r);
    for (uint64_t i = 0; i < MANY; i++)
        assert_int_equal(put(&r, i, 0, "ab", true), 2);
    assert_true(count_fds() <= before + 1 + DISK_FILES_RESERVE + DISK_FILES_MAX);
    for (uint64_t i = 0; i < MANY; i++)
        assert_int_equal(r.io.sync(r.io.ctx, i), 0);
    for (uint64_t i = 0; i < MANY; i++)
        assert_int_equal(r.io.read(r.io.ctx, i, 1, &byte, 1), 1);
    disk_files_clear(&r.files);
    assert_int_equal(count_fds(), before);
}

/* Clients have taken all descriptors: the store still gets its next file. */
static void without_descriptors(void **state)
{
    struct rig r;
    struct rlimit limit, small;
    int taken[256];
    int n = 0;

    (void)state;
    files_begin(&r);
    assert_int_equal(put(&r, 1, 0, "ab", true), 2);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    small = limit;
    small.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &small), 0);
    while (n < 256 && (taken[n] = dup(0)) >= 0)
        n++;
    assert_int_equal(put(&r, 2, 0, "ab", true), 2);
    assert_int_equal(put(&r, 3, 0, "ab", true), 2);
    /* Now the reserve is used up, and these three are not synced. */
    assert_int_equal(put(&r, 4, 0, "ab", true), -EMFILE);
    assert_int_equal(r.io.sync(r.io.ctx, 1), 0);
    assert_int_equal(put(&r, 4, 0, "ab", true), 2);
    assert_int_equal(r.io.sync(r.io.ctx, 4), 0);
    while (n > 0)
        close(taken[--n]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    disk_files_clear(&r.files);
}

static void a_read_that_does_not_wait(void **state)
{
    struct rig r;
    char bytes[8];
    ssize_t n;

    (void)state;
    files_begin(&r);
    assert_int_equal(disk_files_read_cached(&r.files, 5, 0, bytes, 8), -ENOENT);
    assert_int_equal(put(&r, 5, 0, "hello", true), 5);
    n = disk_files_read_cached(&r.files, 5, 1, bytes, 8);
    assert_true(n == 4 || n == -EAGAIN);
    if (n == 4)
        assert_memory_equal(bytes, "ello", 4);
    disk_files_clear(&r.files);
}

/* --- the whole --- */

struct whole {
    struct conf *conf;
    struct broker *broker;
    struct poll poll;
    struct disk *disk;
};

static void make_id(void *ctx, char out[BROKER_ID_MAX])
{
    (void)ctx;
    strcpy(out, "x");
}

/* Whoever runs the tests stays that. */
static const struct privileges nobody_else = {.drop = false};

static enum err open_store(struct whole *w)
{
    enum err e = disk_find(&w->disk, w->conf, &captured_log, &nobody_else, 1);

    assert_int_equal(e == ERR_OK, w->disk != NULL);
    return e ? e : disk_open(w->disk, w->conf, w->broker, &w->poll, 0, 1);
}

static enum err whole_open(struct whole *w)
{
    char text[200];
    struct broker_setup setup = {.log = captured_log, .seed = 1, .make_id = make_id};

    memset(w, 0, sizeof(*w));
    snprintf(text, sizeof(text), "listener 18830\npersistence true\npersistence_location %s\n",
             top);
    w->conf = loaded(text);
    setup.conf = w->conf;
    setup.persistent = true;
    w->broker = broker_new(&setup);
    assert_non_null(w->broker);
    assert_int_equal(poll_init(&w->poll), ERR_OK);
    captured_reset();
    return open_store(w);
}

static void whole_close(struct whole *w)
{
    assert_true(disk_close(w->disk, 0));
    broker_free(w->broker);
    poll_clear(&w->poll);
    conf_free(w->conf);
}

#define needs_persistence()                                                                        \
    do {                                                                                           \
        if (!feature_built(FEATURE_PERSISTENCE))                                                   \
            skip();                                                                                \
    } while (0)

static void without_persistence_there_is_none(void **state)
{
    struct conf *c = loaded("listener 18830\n");
    struct disk *d = (struct disk *)(void *)c;

    (void)state;
    captured_reset();
    assert_int_equal(disk_find(&d, c, &captured_log, &nobody_else, 1), ERR_OK);
    assert_null(d);
    assert_int_equal(disk_open(d, c, NULL, NULL, 0, 1), ERR_OK);
    disk_begin(d, 1);
    disk_turn(d, 1);
    assert_true(disk_deadline(d) == UINT64_MAX);
    assert_false(disk_failed(d));
    disk_set(d, c);
    disk_compact(d);
    disk_log_figures(d);
    assert_true(disk_close(d, 1));
    assert_int_equal(captured.used, 0);
    conf_free(c);
}

static void open_and_close(void **state)
{
    struct whole w;
    int before = count_fds();

    (void)state;
    needs_persistence();
    for (int i = 0; i < 2; i++) {
        assert_int_equal(whole_open(&w), ERR_OK);
        assert_true(exists("mosquitto.db.journal"));
        assert_logged("mosquitto.db.journal: new.");
        assert_int_equal(captured.errors, 0);
        disk_begin(w.disk, 1);
        disk_turn(w.disk, 1);
        assert_true(disk_deadline(w.disk) == UINT64_MAX);
        whole_close(&w);
    }
    assert_int_equal(count_fds(), before);
}

static void one_at_a_time(void **state)
{
    struct whole first, second;

    (void)state;
    needs_persistence();
    assert_int_equal(whole_open(&first), ERR_OK);
    assert_int_equal(whole_open(&second), ERR_EXISTS);
    assert_logged("Error: Another broker uses the store ");
    assert_int_equal(captured.errors, 1);
    whole_close(&second);
    whole_close(&first);
    assert_int_equal(whole_open(&first), ERR_OK);
    whole_close(&first);
}

/* Mosquitto's file without anything in it but its first chunk. */
static void put_database(const char *name, uint8_t version)
{
    uint8_t bytes[23 + 8 + 16] = "\0\xB5\0mosquitto db";

    bytes[22] = version;
    bytes[26] = 1;  /* the chunk's type */
    bytes[30] = 16; /* its length */
    bytes[31] = 9;
    bytes[39] = 1;
    bytes[40] = 8;
    put_file(name, bytes, sizeof(bytes));
}

static void a_file_is_imported_once(void **state)
{
    struct whole w;

    (void)state;
    needs_persistence();
    put_database("mosquitto.db", 6);
    put_file("mosquitto.db.imported", "old", 3);
    assert_int_equal(whole_open(&w), ERR_OK);
    whole_close(&w);
    assert_logged("Imported ");
    assert_false(exists("mosquitto.db"));
    assert_true(exists("mosquitto.db.imported") && exists("mosquitto.db.imported.1"));
    assert_true(exists("mosquitto.db.journal"));
    assert_false(exists("mosquitto.db.journal.import"));
    /* Another file beside a store is not touched. */
    put_database("mosquitto.db", 6);
    assert_int_equal(whole_open(&w), ERR_OK);
    assert_logged("mosquitto.db is not read: there is a store");
    assert_not_logged("Imported ");
    whole_close(&w);
    assert_true(exists("mosquitto.db"));
}

static void an_interrupted_import_begins_again(void **state)
{
    struct whole w;

    (void)state;
    needs_persistence();
    put_database("mosquitto.db", 5);
    assert_int_equal(mkdir(path_of("mosquitto.db.journal.import"), 0700), 0);
    put_file("mosquitto.db.journal.import/0000000000000000.seg", "half of something", 17);
    put_file("mosquitto.db.journal.import/0000000000000abc.seg", "", 0);
    assert_int_equal(whole_open(&w), ERR_OK);
    assert_logged("Imported ");
    assert_int_equal(captured.errors + captured.warnings, 0);
    whole_close(&w);
    assert_false(exists("mosquitto.db.journal.import"));
    assert_false(exists("mosquitto.db.journal/0000000000000abc.seg"));
}

static void an_import_that_was_all_but_done_is_finished(void **state)
{
    struct whole w;

    (void)state;
    needs_persistence();
    assert_int_equal(mkdir(path_of("mosquitto.db.journal.import"), 0700), 0);
    put_file("mosquitto.db.journal.import/mark", "", 0);
    assert_int_equal(whole_open(&w), ERR_OK);
    whole_close(&w);
    assert_true(exists("mosquitto.db.journal/mark"));
    assert_false(exists("mosquitto.db.journal.import"));
}

static void an_empty_file_is_imported_as_nothing(void **state)
{
    struct whole w;

    (void)state;
    needs_persistence();
    put_file("mosquitto.db", "", 0);
    assert_int_equal(whole_open(&w), ERR_OK);
    assert_logged("Warning: ");
    whole_close(&w);
    assert_true(exists("mosquitto.db.imported"));
}

static void what_cannot_be_imported_stays(void **state)
{
    static const struct {
        const char *line;
        enum err e;
        uint8_t version;
    } cases[] = {
        {"mosquitto.db has format 7; 3 to 6 can be imported.", ERR_UNSUPPORTED, 7},
        {"mosquitto.db has format 2; 3 to 6 can be imported.", ERR_UNSUPPORTED, 2},
        {"mosquitto.db is damaged at offset ", ERR_MALFORMED, 4},
    };
    int before = count_fds();
    struct whole w;

    (void)state;
    needs_persistence();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        put_database("mosquitto.db", cases[i].version);
        assert_int_equal(whole_open(&w), cases[i].e);
        assert_logged(cases[i].line);
        assert_int_equal(captured.errors, 1);
        whole_close(&w);
        assert_true(exists("mosquitto.db"));
        assert_false(exists("mosquitto.db.journal"));
        assert_false(exists("mosquitto.db.journal.import"));
    }
    assert_int_equal(count_fds(), before);
}

static void failing_memory_leaves_nothing_behind(void **state)
{
    size_t before = mem_used();
    int fds = count_fds();
    enum err e = ERR_NOMEM;
    struct whole w;

    (void)state;
    needs_persistence();
    unit_needs_tracking();
    for (unsigned n = 0; e == ERR_NOMEM; n++) {
        char text[200];
        struct broker_setup setup = {.log = captured_log, .seed = 1, .make_id = make_id};
        memset(&w, 0, sizeof(w));
        snprintf(text, sizeof(text), "port 18830\npersistence true\npersistence_location %s\n",
                 top);
        put_database("mosquitto.db", 6);
        w.conf = loaded(text);
        setup.conf = w.conf;
        setup.persistent = true;
        w.broker = broker_new(&setup);
        assert_int_equal(poll_init(&w.poll), ERR_OK);
        mem_fail_after(n, 0);
        e = open_store(&w);
        mem_fail_never();
        assert_true(e == ERR_OK || e == ERR_NOMEM);
        whole_close(&w);
        assert_int_equal(mem_used(), before);
        assert_int_equal(count_fds(), fds);
    }
    assert_int_equal(whole_open(&w), ERR_OK);
    whole_close(&w);
}

#define DISK_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISK_TEST(a_segment_is_a_file),
        DISK_TEST(the_list_is_sorted_and_may_be_cut),
        DISK_TEST(copies_never_overwrite),
        DISK_TEST(many_segments),
        DISK_TEST(without_descriptors),
        DISK_TEST(a_read_that_does_not_wait),
        DISK_TEST(without_persistence_there_is_none),
        DISK_TEST(open_and_close),
        DISK_TEST(one_at_a_time),
        DISK_TEST(a_file_is_imported_once),
        DISK_TEST(an_interrupted_import_begins_again),
        DISK_TEST(an_import_that_was_all_but_done_is_finished),
        DISK_TEST(an_empty_file_is_imported_as_nothing),
        DISK_TEST(what_cannot_be_imported_stays),
        DISK_TEST(failing_memory_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
