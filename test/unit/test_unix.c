/*
 * Listening at a path: what may be replaced, and what must never be touched.
 */
#include "net/unix.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static char dir[64];
static char path[80];

static int make_dir(void **state)
{
    strcpy(dir, "/tmp/test_unix.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(path, sizeof(path), "%s/s", dir);
    return unit_begin(state);
}

static int drop_dir(void **state)
{
    (void)unlink(path);
    return rmdir(dir) == 0 ? unit_end(state) : -1;
}

#define PATH_TEST(f) cmocka_unit_test_setup_teardown(f, make_dir, drop_dir)
#define UNLESS_BUILT()                                                                             \
    do {                                                                                           \
        if (!feature_built(FEATURE_UNIX_SOCKETS))                                                  \
            skip();                                                                                \
    } while (0)

static int connect_to(const char *where)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    memcpy(un.sun_path, where, strlen(where));
    if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

static bool is_there(void)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

static void clients_come_in_by_the_path(void **state)
{
    (void)state;
    UNLESS_BUILT();
    struct unix_file file;
    int fd = -1;
    assert_ok(unix_listen(path, &file, &fd));
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    int client = connect_to(path);
    assert_true(client >= 0);
    (void)close(client);
    (void)close(fd);
    unix_remove(path, &file);
    assert_false(is_there());
}

static void a_file_that_nobody_serves_is_replaced(void **state)
{
    (void)state;
    UNLESS_BUILT();
    struct unix_file old;
    struct unix_file file;
    int fd = -1;
    assert_ok(unix_listen(path, &old, &fd));
    (void)close(fd);
    assert_true(is_there());
    assert_ok(unix_listen(path, &file, &fd));
    int client = connect_to(path);
    assert_true(client >= 0);
    (void)close(client);
    (void)close(fd);
    unix_remove(path, &file);
    assert_false(is_there());
}

static void a_program_that_listens_is_left_alone(void **state)
{
    (void)state;
    UNLESS_BUILT();
    struct unix_file file;
    struct unix_file other;
    int fd = -1;
    int second = -1;
    assert_ok(unix_listen(path, &file, &fd));
    assert_err(unix_listen(path, &other, &second), ERR_EXISTS);
    assert_int_equal(second, -1);
    int client = connect_to(path);
    assert_true(client >= 0);
    (void)close(client);
    (void)close(fd);
    unix_remove(path, &file);
}

/* Its queue is full: connecting would have to wait. */
static void a_busy_program_is_left_alone_too(void **state)
{
    (void)state;
    UNLESS_BUILT();
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, path, strlen(path));
    int busy = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(busy, (struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(busy, 0), 0);
    int waiting = connect_to(path);
    assert_true(waiting >= 0);
    struct unix_file file;
    int fd = -1;
    assert_err(unix_listen(path, &file, &fd), ERR_EXISTS);
    assert_true(is_there());
    (void)close(waiting);
    (void)close(busy);
}

static void what_is_no_socket_is_never_removed(void **state)
{
    (void)state;
    UNLESS_BUILT();
    struct unix_file file;
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "mine", 4), 4);
    (void)close(fd);
    assert_err(unix_listen(path, &file, &fd), ERR_INVAL);
    assert_true(is_there());
    (void)unlink(path);
    assert_int_equal(symlink("/nowhere", path), 0);
    assert_err(unix_listen(path, &file, &fd), ERR_INVAL);
    assert_true(is_there());
}

static void a_socket_of_another_kind_is_left_alone(void **state)
{
    (void)state;
    UNLESS_BUILT();
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memcpy(un.sun_path, path, strlen(path));
    int dgram = socket(AF_UNIX, SOCK_DGRAM, 0);
    assert_int_equal(bind(dgram, (struct sockaddr *)&un, sizeof(un)), 0);
    struct unix_file file;
    int fd = -1;
    assert_err(unix_listen(path, &file, &fd), ERR_INVAL);
    assert_true(is_there());
    (void)close(dgram);
}

static void only_our_own_file_is_removed(void **state)
{
    (void)state;
    UNLESS_BUILT();
    struct unix_file ours;
    struct unix_file theirs;
    int fd = -1;
    int other = -1;
    assert_ok(unix_listen(path, &ours, &fd));
    assert_int_equal(unlink(path), 0);
    assert_ok(unix_listen(path, &theirs, &other));
    unix_remove(path, &ours);
    assert_true(is_there());
    unix_remove(path, &theirs);
    assert_false(is_there());
    (void)close(fd);
    (void)close(other);
}

static void a_long_path_is_told_of(void **state)
{
    (void)state;
    UNLESS_BUILT();
    char longest[256];
    struct unix_file file;
    int fd = -1;
    size_t max = unix_path_max();
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, path, strlen(path));
    longest[max + 1] = '\0';
    assert_err(unix_listen(longest, &file, &fd), ERR_TOO_LARGE);
    longest[max] = '\0';
    assert_ok(unix_listen(longest, &file, &fd));
    int client = connect_to(longest);
    assert_true(client >= 0);
    (void)close(client);
    (void)close(fd);
    unix_remove(longest, &file);
}

static void a_missing_directory_is_a_system_error(void **state)
{
    (void)state;
    UNLESS_BUILT();
    struct unix_file file;
    int fd = -1;
    assert_err(unix_listen("/no/such/directory/s", &file, &fd), ERR_SYSTEM);
    assert_int_equal(errno, ENOENT);
}

static void a_build_without_says_so(void **state)
{
    (void)state;
    struct unix_file file = {0};
    int fd = -1;
    if (feature_built(FEATURE_UNIX_SOCKETS))
        skip();
    assert_int_equal(unix_path_max(), 0);
    assert_err(unix_listen(path, &file, &fd), ERR_UNSUPPORTED);
    unix_remove(path, &file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        PATH_TEST(clients_come_in_by_the_path),
        PATH_TEST(a_file_that_nobody_serves_is_replaced),
        PATH_TEST(a_program_that_listens_is_left_alone),
        PATH_TEST(a_busy_program_is_left_alone_too),
        PATH_TEST(what_is_no_socket_is_never_removed),
        PATH_TEST(a_socket_of_another_kind_is_left_alone),
        PATH_TEST(only_our_own_file_is_removed),
        PATH_TEST(a_long_path_is_told_of),
        PATH_TEST(a_missing_directory_is_a_system_error),
        PATH_TEST(a_build_without_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
