/*
 * Log lines on their way out: which destinations get them, what happens to one that does not take
 * them, and how one configuration follows another.
 *
 * stderr is a pipe or a file of the test's own while a line is written.
 */
#include "server/logsink.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char dir[64];
static char file[96];
static char moved[96];
static int saved_stderr;
static int out; /* where stderr can be read */
static struct logsink sink;

static int setup(void **state)
{
    (void)snprintf(dir, sizeof(dir), "/tmp/test_logsink.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(file, sizeof(file), "%s/log", dir);
    (void)snprintf(moved, sizeof(moved), "%s/log.1", dir);
    int fd[2];
    if (pipe(fd) != 0 || fcntl(fd[0], F_SETFL, O_NONBLOCK) != 0)
        return -1;
    saved_stderr = dup(STDERR_FILENO);
    (void)dup2(fd[1], STDERR_FILENO);
    (void)close(fd[1]);
    out = fd[0];
    int result = unit_begin(state);
    logsink_init(&sink);
    return result;
}

static int teardown(void **state)
{
    logsink_clear(&sink);
    (void)dup2(saved_stderr, STDERR_FILENO);
    (void)close(saved_stderr);
    if (out >= 0)
        (void)close(out);
    (void)unlink(file);
    (void)unlink(moved);
    (void)rmdir(dir);
    return unit_end(state);
}

#define SINK_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static struct conf_global plain(unsigned dest)
{
    return (struct conf_global){.log_dest = dest, .log_file = file, .log_type = LOG_LEVEL_DEFAULT};
}

static void say(enum log_level level, const char *text)
{
    logsink_line(&sink, level, str_c(text), NULL);
}

static const char *drain(void)
{
    static char text[1 << 18];
    ssize_t n = read(out, text, sizeof(text) - 1);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static const char *contents(const char *path)
{
    static char text[1 << 16];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    text[fread(text, 1, sizeof(text) - 1, f)] = '\0';
    (void)fclose(f);
    return text;
}

/* Seconds since a moment that does not matter. */
static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void before_there_are_threads_lines_are_written_at_once(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_STDERR);
    logsink_configure(&sink, &g);
    say(LOG_LEVEL_NOTICE, "one");
    assert_string_equal(drain(), "one\n");
    logsink_flush(&sink);
    assert_string_equal(drain(), "");
}

/* What the thread has written: the text is awaited. */
static const char *await(const char *path, const char *end)
{
    static char text[1 << 16];
    for (int i = 0; i < 2000; i++) {
        size_t n = 0;
        FILE *f = fopen(path, "r");
        if (f) {
            n = fread(text, 1, sizeof(text) - 1, f);
            (void)fclose(f);
        }
        text[n] = '\0';
        if (n >= strlen(end) && strcmp(text + n - strlen(end), end) == 0)
            return text;
        (void)poll(NULL, 0, 5);
    }
    fail_msg("%s has not come", end);
    return NULL;
}

static void with_threads_lines_wait_for_the_end_of_the_turn(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_FILE);
    logsink_configure(&sink, &g);
    say(LOG_LEVEL_NOTICE, "zero");
    logsink_go(&sink);
    say(LOG_LEVEL_NOTICE, "one");
    say(LOG_LEVEL_DEBUG, "two");
    logsink_flush(&sink);
    assert_string_equal(await(file, "two\n"), "zero\none\ntwo\n");
}

static void what_waits_is_written_when_it_is_cleared(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_FILE | CONF_LOG_STDERR);
    logsink_configure(&sink, &g);
    logsink_go(&sink);
    for (int i = 0; i < 100; i++)
        say(LOG_LEVEL_ERROR, "line");
    logsink_clear(&sink);
    assert_int_equal(strlen(contents(file)), 500);
    assert_int_equal(strlen(drain()), 500);
}

static void lines_have_the_time_unless_it_is_not_wanted(void **state)
{
    (void)state;
    long long before = (long long)time(NULL) - 1;
    say(LOG_LEVEL_ERROR, "timed");
    char *rest = NULL;
    const char *text = drain();
    long long stamp = strtoll(text, &rest, 10);
    assert_in_range(stamp, before, before + 10);
    assert_string_equal(rest, ": timed\n");
}

static void no_line_is_lost_or_torn_when_many_come(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_FILE);
    logsink_configure(&sink, &g);
    char line[64];
    for (int i = 0; i < 1000; i++) {
        (void)snprintf(line, sizeof(line), "line number %d", i);
        say(LOG_LEVEL_DEBUG, line);
    }
    logsink_flush(&sink);
    const char *p = contents(file);
    for (int i = 0; i < 1000; i++) {
        int n = snprintf(line, sizeof(line), "line number %d\n", i);
        assert_memory_equal(p, line, (size_t)n);
        p += n;
    }
    assert_string_equal(p, "");
}

static void the_longest_line_fits(void **state)
{
    (void)state;
    char line[LOG_LINE_MAX + 1];
    memset(line, 'x', LOG_LINE_MAX);
    line[LOG_LINE_MAX] = '\0';
    for (int i = 0; i < 40; i++)
        say(LOG_LEVEL_DEBUG, line);
    logsink_flush(&sink);
    const char *text = drain();
    size_t count = 0;
    for (const char *p = text; (p = strchr(p, '\n')) != NULL; p++)
        count++;
    assert_int_equal(count, 40);
}

static void several_destinations_get_the_same(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_FILE | CONF_LOG_STDERR);
    logsink_configure(&sink, &g);
    say(LOG_LEVEL_ERROR, "both");
    assert_string_equal(drain(), "both\n");
    assert_string_equal(contents(file), "both\n");
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_mode & 07, 0);
}

static void no_destination_is_no_trouble(void **state)
{
    (void)state;
    struct conf_global g = plain(0);
    logsink_configure(&sink, &g);
    say(LOG_LEVEL_ERROR, "nobody");
    assert_string_equal(drain(), "");
    assert_int_equal(access(file, F_OK), -1);
}

static void a_moved_file_is_opened_again(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_FILE);
    logsink_configure(&sink, &g);
    say(LOG_LEVEL_INFO, "old");
    assert_int_equal(rename(file, moved), 0);
    logsink_reopen(&sink);
    say(LOG_LEVEL_INFO, "new");
    logsink_flush(&sink);
    assert_string_equal(contents(moved), "old\n");
    assert_string_equal(contents(file), "new\n");
}

static void a_moved_file_is_opened_again_for_the_thread(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_FILE);
    logsink_configure(&sink, &g);
    logsink_go(&sink);
    say(LOG_LEVEL_INFO, "old");
    logsink_flush(&sink);
    (void)await(file, "old\n");
    assert_int_equal(rename(file, moved), 0);
    logsink_reopen(&sink);
    say(LOG_LEVEL_INFO, "new");
    logsink_flush(&sink);
    assert_string_equal(await(file, "new\n"), "new\n");
    assert_string_equal(contents(moved), "old\n");
}

/* No descriptor is left. */
static void a_file_that_cannot_be_opened_again_is_kept(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_FILE);
    logsink_configure(&sink, &g);
    say(LOG_LEVEL_INFO, "old");
    assert_int_equal(rename(file, moved), 0);
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    struct rlimit none = {.rlim_cur = 0, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    logsink_reopen(&sink);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    say(LOG_LEVEL_INFO, "new");
    const char *text = contents(moved);
    assert_non_null(strstr(text, strerror(EMFILE)));
    assert_non_null(strstr(text, "; going on with the old one."));
    assert_non_null(strstr(text, "\nnew\n"));
    assert_int_equal(access(file, F_OK), -1);
}

static void a_file_that_could_not_be_opened_is_tried_again(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_FILE);
    assert_int_equal(mkdir(file, 0700), 0);
    logsink_configure(&sink, &g);
    assert_non_null(strstr(drain(), "Unable to open log file"));
    logsink_reopen(&sink);
    assert_non_null(strstr(drain(), "Unable to open log file"));
    assert_ok(logsink_prepare(&sink, &g)); /* stderr stands in for it as before */
    logsink_rollback(&sink);
    assert_int_equal(rmdir(file), 0);
    (void)drain();
    logsink_reopen(&sink);
    say(LOG_LEVEL_INFO, "here");
    assert_string_equal(contents(file), "here\n");
}

/* Tells a user of a container what to do. */
static void who_needs_the_right_is_said(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_FILE);
    char missing[128];
    char expected[64];
    (void)snprintf(missing, sizeof(missing), "%s/none/log", dir);
    (void)snprintf(expected, sizeof(expected), "The user with id %u must", (unsigned)geteuid());
    g.log_file = missing;
    logsink_configure(&sink, &g);
    assert_non_null(strstr(drain(), expected));
}

static void nothing_is_said_when_nothing_is_wanted(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_FILE);
    g.log_file = dir;
    g.log_type = 0;
    logsink_configure(&sink, &g);
    assert_string_equal(drain(), "");
}

static void the_container_s_names_are_our_own_descriptors(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_FILE);
    char name[] = "/dev/stderr";
    g.log_file = name;
    logsink_configure(&sink, &g);
    say(LOG_LEVEL_INFO, "here");
    assert_string_equal(drain(), "here\n");
}

static void the_file_is_given_away_but_not_one_with_two_names(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    struct conf_global g = plain(CONF_LOG_FILE);
    struct stat st;
    logsink_configure(&sink, &g);
    assert_ok(logsink_give_to(&sink, 12345, 54321));
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_uid, 12345);
    assert_int_equal(st.st_gid, 54321);
    assert_int_equal(link(file, moved), 0);
    assert_ok(logsink_give_to(&sink, 12345, 54321));
    assert_err(logsink_give_to(&sink, 1, 1), ERR_SYSTEM);
    assert_int_equal(stat(file, &st), 0);
    assert_int_equal(st.st_uid, 12345);
    g.log_dest = CONF_LOG_STDERR;
    logsink_configure(&sink, &g);
    assert_ok(logsink_give_to(&sink, 1, 1));
}

/* --- one configuration after another --- */

static void a_prepared_configuration_changes_nothing(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_STDERR);
    logsink_configure(&sink, &g);
    logsink_go(&sink);
    struct conf_global fresh = plain(CONF_LOG_FILE | CONF_LOG_TOPIC);
    fresh.log_json = true;
    fresh.log_timestamp = true;
    assert_ok(logsink_prepare(&sink, &fresh));
    say(LOG_LEVEL_INFO, "old");
    logsink_rollback(&sink);
    say(LOG_LEVEL_INFO, "older");
    assert_false(logsink_has_news(&sink));
    logsink_clear(&sink);
    assert_string_equal(drain(), "old\nolder\n");
    assert_string_equal(contents(file), "");
}

static void a_committed_configuration_takes_over_and_loses_nothing(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_STDERR);
    logsink_configure(&sink, &g);
    logsink_go(&sink);
    struct conf_global fresh = plain(CONF_LOG_FILE | CONF_LOG_TOPIC);
    fresh.log_json = true;
    say(LOG_LEVEL_INFO, "old");
    assert_ok(logsink_prepare(&sink, &fresh));
    logsink_commit(&sink);
    say(LOG_LEVEL_INFO, "new");
    assert_true(logsink_has_news(&sink));
    logsink_clear(&sink);
    assert_string_equal(drain(), "old\n");
    assert_string_equal(contents(file), "{\"level\":\"info\",\"message\":\"new\"}\n");
}

static void what_stays_is_not_opened_again(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_FILE);
    logsink_configure(&sink, &g);
    logsink_go(&sink);
    assert_int_equal(rename(file, moved), 0);
    struct conf_global fresh = plain(CONF_LOG_FILE | CONF_LOG_STDERR);
    assert_ok(logsink_prepare(&sink, &fresh));
    logsink_commit(&sink);
    say(LOG_LEVEL_INFO, "both");
    logsink_clear(&sink);
    assert_string_equal(contents(moved), "both\n");
    assert_string_equal(drain(), "both\n");
    assert_int_equal(access(file, F_OK), -1);
}

static void a_file_that_cannot_be_opened_refuses_it(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_STDERR);
    logsink_configure(&sink, &g);
    struct conf_global fresh = plain(CONF_LOG_FILE | CONF_LOG_STDOUT | CONF_LOG_TOPIC);
    fresh.log_file = dir;
    assert_err(logsink_prepare(&sink, &fresh), ERR_SYSTEM);
    assert_non_null(strstr(drain(), "Unable to open log file"));
    say(LOG_LEVEL_INFO, "still");
    assert_string_equal(drain(), "still\n");
    assert_false(logsink_has_news(&sink));
}

static void a_format_that_is_too_long_refuses_it(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_STDERR);
    char format[LOG_TIME_FORMAT_MAX + 1];
    memset(format, 'x', LOG_TIME_FORMAT_MAX);
    format[LOG_TIME_FORMAT_MAX] = '\0';
    logsink_configure(&sink, &g);
    g.log_timestamp_format = format;
    assert_err(logsink_prepare(&sink, &g), ERR_INVAL);
    assert_non_null(strstr(drain(), "log_timestamp_format"));
    format[LOG_TIME_FORMAT_MAX - 1] = '\0';
    assert_ok(logsink_prepare(&sink, &g));
    logsink_rollback(&sink);
}

static void without_memory_everything_stays(void **state)
{
    (void)state;
    unit_needs_tracking();
    struct conf_global g = plain(CONF_LOG_STDERR);
    logsink_configure(&sink, &g);
    logsink_go(&sink);
    struct conf_global fresh = plain(CONF_LOG_FILE | CONF_LOG_STDOUT | CONF_LOG_TOPIC);
    uint64_t n = 0;
    for (enum err e = ERR_NOMEM; e != ERR_OK; n++) {
        size_t before = mem_used();
        mem_fail_after(n, 0);
        e = logsink_prepare(&sink, &fresh);
        bool failed = mem_failed() > 0;
        mem_fail_never();
        assert_int_equal(e, failed ? ERR_NOMEM : ERR_OK);
        assert_true(failed || n > 0);
        if (failed)
            assert_int_equal(mem_used(), before);
    }
    assert_in_range(n, 7, 10); /* a path, two writers with a ring each, a buffer */
    logsink_commit(&sink);
    logsink_clear(&sink);
    const char *text = drain();
    for (uint64_t i = 1; i < n; i++) {
        assert_memory_equal(text, "Error: Out of memory", 20);
        text = strchr(text, '\n') + 1;
    }
    assert_string_equal(text, "");
}

/* Many reloads while the reader of the first destination sleeps: the loop waits for none. */
static void a_destination_that_hangs_holds_up_no_reload(void **state)
{
    (void)state;
    struct conf_global one = plain(CONF_LOG_STDERR);
    struct conf_global other = plain(CONF_LOG_FILE);
    char line[1001];
    memset(line, 'y', 1000);
    line[1000] = '\0';
    logsink_configure(&sink, &one);
    logsink_go(&sink);
    for (int i = 0; i < 200; i++)
        say(LOG_LEVEL_INFO, line);
    double begin = seconds();
    for (int i = 0; i < 6; i++) {
        say(LOG_LEVEL_INFO, "line");
        assert_ok(logsink_prepare(&sink, i % 2 == 0 ? &other : &one));
        logsink_commit(&sink);
        logsink_flush(&sink);
    }
    assert_true(seconds() - begin < 1);
    char bytes[1 << 18];
    for (int i = 0; i < 1000 && sink.retired_count > 0; i++) {
        (void)!read(out, bytes, sizeof(bytes));
        (void)poll(NULL, 0, 5);
        say(LOG_LEVEL_INFO, "x");
        logsink_flush(&sink);
    }
    assert_int_equal(sink.retired_count, 0);
    assert_int_equal(logsink_lost(&sink), 0);
}

static void a_file_that_cannot_be_opened_is_replaced_by_stderr(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_FILE);
    g.log_file = dir;
    logsink_configure(&sink, &g);
    assert_non_null(strstr(drain(), "Unable to open log file"));
    say(LOG_LEVEL_ERROR, "still here");
    assert_string_equal(drain(), "still here\n");
}

static void root_does_not_write_to_a_file_of_two_names(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    struct conf_global g = plain(CONF_LOG_FILE);
    struct stat st;
    int fd = open(moved, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(link(moved, file), 0);
    assert_err(logsink_prepare(&sink, &g), ERR_SYSTEM);
    logsink_configure(&sink, &g);
    say(LOG_LEVEL_INFO, "elsewhere");
    logsink_flush(&sink);
    assert_int_equal(stat(moved, &st), 0);
    assert_int_equal(st.st_size, 0);
    g.log_dest = CONF_LOG_STDERR;
    logsink_configure(&sink, &g);
}

static void a_link_is_not_followed(void **state)
{
    (void)state;
    assert_int_equal(symlink("/dev/null", file), 0);
    struct conf_global g = plain(CONF_LOG_FILE);
    logsink_configure(&sink, &g);
    assert_non_null(strstr(drain(), strerror(ELOOP)));
}

static void a_reader_that_is_gone_stops_nobody(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_STDERR | CONF_LOG_FILE);
    logsink_configure(&sink, &g);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)close(out);
    out = -1;
    say(LOG_LEVEL_ERROR, "who hears me");
    assert_string_equal(contents(file), "who hears me\n");
}

static void a_reader_that_sleeps_costs_lines_and_no_time(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_STDERR);
    logsink_configure(&sink, &g);
    char line[1001];
    memset(line, 'y', 1000);
    line[1000] = '\0';
    double begin = seconds();
    for (int i = 0; i < 2000; i++)
        say(LOG_LEVEL_DEBUG, line);
    logsink_flush(&sink);
    assert_true(seconds() - begin < 2);
    const char *text = drain();
    assert_int_equal(text[0], 'y');
    assert_int_equal(text[strlen(text) - 1], '\n');
    size_t taken = strlen(text) / 1001;
    assert_int_equal(strlen(text) % 1001, 0);
    say(LOG_LEVEL_ERROR, "awake");
    char expected[80];
    (void)snprintf(expected, sizeof(expected), "(%zu log lines were lost here)\nawake\n",
                   2000 - taken);
    assert_string_equal(drain(), expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SINK_TEST(before_there_are_threads_lines_are_written_at_once),
        SINK_TEST(with_threads_lines_wait_for_the_end_of_the_turn),
        SINK_TEST(what_waits_is_written_when_it_is_cleared),
        SINK_TEST(lines_have_the_time_unless_it_is_not_wanted),
        SINK_TEST(no_line_is_lost_or_torn_when_many_come),
        SINK_TEST(the_longest_line_fits),
        SINK_TEST(several_destinations_get_the_same),
        SINK_TEST(no_destination_is_no_trouble),
        SINK_TEST(a_moved_file_is_opened_again),
        SINK_TEST(a_moved_file_is_opened_again_for_the_thread),
        SINK_TEST(a_file_that_cannot_be_opened_again_is_kept),
        SINK_TEST(a_file_that_could_not_be_opened_is_tried_again),
        SINK_TEST(who_needs_the_right_is_said),
        SINK_TEST(nothing_is_said_when_nothing_is_wanted),
        SINK_TEST(the_container_s_names_are_our_own_descriptors),
        SINK_TEST(the_file_is_given_away_but_not_one_with_two_names),
        SINK_TEST(a_prepared_configuration_changes_nothing),
        SINK_TEST(a_committed_configuration_takes_over_and_loses_nothing),
        SINK_TEST(what_stays_is_not_opened_again),
        SINK_TEST(a_file_that_cannot_be_opened_refuses_it),
        SINK_TEST(a_format_that_is_too_long_refuses_it),
        SINK_TEST(without_memory_everything_stays),
        SINK_TEST(a_destination_that_hangs_holds_up_no_reload),
        SINK_TEST(a_file_that_cannot_be_opened_is_replaced_by_stderr),
        SINK_TEST(root_does_not_write_to_a_file_of_two_names),
        SINK_TEST(a_link_is_not_followed),
        SINK_TEST(a_reader_that_is_gone_stops_nobody),
        SINK_TEST(a_reader_that_sleeps_costs_lines_and_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
