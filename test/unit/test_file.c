/*
 * Whole files: reading with a limit, replacing without a moment of half.
 */
#include "base/file.h"

#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static char file[80];

static int make_directory(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/test_file.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(file, sizeof(file), "%s/file", dir);
    return unit_begin(state);
}

static unsigned files_in_directory(bool remove_them)
{
    DIR *d = opendir(dir);
    unsigned count = 0;

    assert_non_null(d);
    for (const struct dirent *e; (e = readdir(d)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        count++;
        if (remove_them)
            (void)unlinkat(dirfd(d), e->d_name, 0);
    }
    (void)closedir(d);
    return count;
}

static int remove_directory(void **state)
{
    (void)files_in_directory(true);
    return rmdir(dir) == 0 ? unit_end(state) : -1;
}

static void assert_file_holds(const char *path, const char *text)
{
    struct buf b = {0};

    assert_ok(file_read(path, 1000, &b));
    assert_int_equal(b.len, strlen(text));
    assert_memory_equal(buf_begin(&b), text, b.len);
    buf_clear(&b);
}

static mode_t mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void written_bytes_are_read(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_ok(file_replace(file, STR("a\0b\n")));
    assert_ok(buf_add(&b, "before:", 7));
    assert_ok(file_read(file, 4, &b));
    assert_int_equal(b.len, 11);
    assert_memory_equal(buf_begin(&b), "before:a\0b\n", 11);
    buf_clear(&b);
    assert_ok(file_replace(file, str_of(NULL, 0)));
    assert_file_holds(file, "");
}

static void large_files_are_read_whole(void **state)
{
    struct buf b = {0};
    struct buf out = {0};

    (void)state;
    for (int i = 0; i < 50000; i++)
        assert_ok(buf_printf(&b, "line %d\n", i));
    assert_ok(file_replace(file, buf_str(&b)));
    assert_ok(file_read(file, b.len, &out));
    assert_int_equal(out.len, b.len);
    assert_memory_equal(buf_begin(&out), buf_begin(&b), b.len);
    buf_clear(&out);
    assert_err(file_read(file, b.len - 1, &out), ERR_TOO_LARGE);
    buf_clear(&out);
    buf_clear(&b);
}

static void the_limit_holds_without_a_known_size(void **state)
{
    struct buf b = {0};

    (void)state;
    assert_err(file_read("/dev/zero", 100000, &b), ERR_TOO_LARGE);
    assert_true(b.len <= 200000);
    buf_clear(&b);
    assert_err(file_read("/dev/zero", 0, &b), ERR_TOO_LARGE);
    buf_clear(&b);
    assert_ok(file_read("/dev/null", 0, &b));
    assert_int_equal(b.len, 0);
    buf_clear(&b);
}

static void what_cannot_be_read_says_why(void **state)
{
    struct buf b = {0};

    (void)state;
    errno = 0;
    assert_err(file_read(file, 100, &b), ERR_SYSTEM);
    assert_int_equal(errno, ENOENT);
    assert_err(file_read(dir, 100, &b), ERR_SYSTEM);
    assert_int_equal(errno, EISDIR);
    assert_int_equal(b.len, 0);
    buf_clear(&b);
}

static void reading_may_lack_memory(void **state)
{
    struct buf b = {0};

    (void)state;
    unit_needs_tracking();
    assert_ok(file_replace(file, STR("abc")));
    mem_fail_after(0, 1);
    assert_err(file_read(file, 100, &b), ERR_NOMEM);
    mem_fail_never();
    assert_file_holds(file, "abc");
}

static void the_mode_is_private_or_that_of_before(void **state)
{
    mode_t mask = umask(077);

    (void)state;
    assert_ok(file_replace(file, STR("1")));
    assert_int_equal(mode_of(file), 0600);
    assert_int_equal(chmod(file, 0664), 0);
    assert_ok(file_replace(file, STR("2")));
    assert_int_equal(mode_of(file), 0664);
    assert_file_holds(file, "2");
    assert_int_equal(files_in_directory(false), 1);
    (void)umask(mask);
}

static void the_owner_is_that_of_before(void **state)
{
    struct stat st;

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_ok(file_replace(file, STR("1")));
    assert_int_equal(chown(file, 1234, 2345), 0);
    assert_ok(file_replace(file, STR("2")));
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_uid, 1234);
    assert_int_equal(st.st_gid, 2345);
}

static void a_reader_of_the_old_file_keeps_it(void **state)
{
    char text[4] = {0};
    int fd;

    (void)state;
    assert_ok(file_replace(file, STR("old")));
    fd = open(file, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_ok(file_replace(file, STR("new")));
    assert_int_equal(read(fd, text, 3), 3);
    assert_string_equal(text, "old");
    (void)close(fd);
    assert_file_holds(file, "new");
}

static void a_symbolic_link_stays_one(void **state)
{
    char link_path[100];
    struct stat st;

    (void)state;
    (void)snprintf(link_path, sizeof(link_path), "%s/link", dir);
    assert_int_equal(symlink("file", link_path), 0);
    assert_ok(file_replace(file, STR("1")));
    assert_ok(file_replace(link_path, STR("2")));
    assert_file_holds(file, "2");
    assert_int_equal(lstat(link_path, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
}

static void a_name_without_directory_works(void **state)
{
    char before[4096];

    (void)state;
    assert_non_null(getcwd(before, sizeof(before)));
    assert_int_equal(chdir(dir), 0);
    assert_ok(file_replace("file", STR("here")));
    assert_int_equal(chdir(before), 0);
    assert_file_holds(file, "here");
}

static void failure_leaves_the_old_file_and_nothing_else(void **state)
{
    char missing[100];

    (void)state;
    (void)snprintf(missing, sizeof(missing), "%s/none/file", dir);
    assert_err(file_replace(missing, STR("x")), ERR_SYSTEM);
    assert_int_equal(errno, ENOENT);
    assert_err(file_replace(dir, STR("x")), ERR_SYSTEM);
    assert_int_equal(errno, EISDIR);
    assert_err(file_replace("/dev/null", STR("x")), ERR_SYSTEM);
    assert_int_equal(errno, EINVAL);
    assert_int_equal(files_in_directory(false), 0);
}

/* A write that fails halfway, as on a full disk: files may not grow beyond a size. */
static void a_failed_write_leaves_the_old_file(void **state)
{
    static char large[100000];
    struct rlimit before;
    enum err err;
    int why;

    (void)state;
    assert_ok(file_replace(file, STR("old")));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &(struct rlimit){5000, before.rlim_max}), 0);
    err = file_replace(file, str_of(large, sizeof(large)));
    why = errno;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_err(err, ERR_SYSTEM);
    assert_int_equal(why, EFBIG);
    assert_file_holds(file, "old");
    assert_int_equal(files_in_directory(false), 1);
}

#define FILE_TEST(f) cmocka_unit_test_setup_teardown(f, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FILE_TEST(written_bytes_are_read),
        FILE_TEST(large_files_are_read_whole),
        FILE_TEST(the_limit_holds_without_a_known_size),
        FILE_TEST(what_cannot_be_read_says_why),
        FILE_TEST(reading_may_lack_memory),
        FILE_TEST(the_mode_is_private_or_that_of_before),
        FILE_TEST(the_owner_is_that_of_before),
        FILE_TEST(a_reader_of_the_old_file_keeps_it),
        FILE_TEST(a_symbolic_link_stays_one),
        FILE_TEST(a_name_without_directory_works),
        FILE_TEST(failure_leaves_the_old_file_and_nothing_else),
        FILE_TEST(a_failed_write_leaves_the_old_file),
    };

    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}
