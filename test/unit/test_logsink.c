/*
 * Log lines on their way out: how many writes, what happens to a destination that does not take
 * them.
 *
 * stderr is a pipe or a file of the test's own while a line is written.
 */
#include "server/logsink.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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
    return (struct conf_global){.log_dest = dest, .log_file = file};
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

static void lines_wait_for_the_end_of_the_turn(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_STDERR);
    logsink_configure(&sink, &g);
    say(LOG_LEVEL_NOTICE, "one");
    say(LOG_LEVEL_DEBUG, "two");
    assert_string_equal(drain(), "");
    logsink_flush(&sink);
    assert_string_equal(drain(), "one\ntwo\n");
    logsink_flush(&sink);
    assert_string_equal(drain(), "");
}

static void errors_do_not_wait(void **state)
{
    (void)state;
    struct conf_global g = plain(CONF_LOG_STDERR);
    logsink_configure(&sink, &g);
    say(LOG_LEVEL_INFO, "before");
    say(LOG_LEVEL_ERROR, "bad");
    assert_string_equal(drain(), "before\nbad\n");
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

/* Seconds since a moment that does not matter. */
static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
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
        SINK_TEST(lines_wait_for_the_end_of_the_turn),
        SINK_TEST(errors_do_not_wait),
        SINK_TEST(lines_have_the_time_unless_it_is_not_wanted),
        SINK_TEST(no_line_is_lost_or_torn_when_many_come),
        SINK_TEST(the_longest_line_fits),
        SINK_TEST(several_destinations_get_the_same),
        SINK_TEST(no_destination_is_no_trouble),
        SINK_TEST(a_moved_file_is_opened_again),
        SINK_TEST(a_file_that_cannot_be_opened_is_replaced_by_stderr),
        SINK_TEST(a_link_is_not_followed),
        SINK_TEST(a_reader_that_is_gone_stops_nobody),
        SINK_TEST(a_reader_that_sleeps_costs_lines_and_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
