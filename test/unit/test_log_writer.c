/*
 * A destination with a thread of its own: nothing is lost that fits, what does not fit is counted
 * where it is missing, and nobody waits for whoever does not take lines.
 *
 * Built with SAN=thread this is also where a race would show.
 */
#include "server/log_writer.h"

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static const struct log_style plain; /* text without time */

static int reader = -1; /* the other end of a pipe */
static struct log_writer *writer;
static unsigned long long said; /* lines put */

static void begin_pipe(void)
{
    int fd[2];
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    reader = fd[0];
    said = 0;
    writer = log_writer_new(fd[1], false, &plain);
    assert_non_null(writer);
    assert_ok(log_writer_start(writer));
}

static void end_pipe(void)
{
    int fd = log_writer_fd(writer);
    log_writer_free(writer);
    (void)close(fd);
    (void)close(reader);
}

/* One line: its number, and as many bytes more. */
static void say(size_t more)
{
    struct log_text line = {.body = 0};
    int n = snprintf(line.bytes, 32, "%llu:", said++);
    memset(line.bytes + n, 'y', more);
    line.n = (size_t)n + more;
    line.bytes[line.n++] = '\n';
    log_writer_put(writer, 0, &line);
}

static double seconds(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Reads lines, which must come in order, with losses told where they are. */
struct check {
    unsigned long long next; /* line expected */
    unsigned long long lost;
    size_t n; /* bytes of a line that has not ended */
    char line[LOG_TEXT_MAX + 1];
};

static void check_line(struct check *c)
{
    unsigned long long number = 0;
    c->line[c->n] = '\0';
    if (sscanf(c->line, "(%llu log lines were lost here)", &number) == 1) {
        assert_int_not_equal(number, 0);
        c->lost += number;
        c->next += number;
    } else {
        assert_int_equal(sscanf(c->line, "%llu:", &number), 1);
        assert_int_equal(number, c->next);
        c->next++;
    }
    c->n = 0;
}

static void check_bytes(struct check *c, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] == '\n') {
            check_line(c);
        } else {
            assert_in_range(c->n, 0, LOG_TEXT_MAX - 1);
            c->line[c->n++] = p[i];
        }
    }
}

/* Reads until the line with this number minus one has come, or been told lost. */
static void read_until(struct check *c, unsigned long long next)
{
    char bytes[5000];
    double begin = seconds();
    while (c->next < next) {
        struct pollfd p = {.fd = reader, .events = POLLIN};
        (void)poll(&p, 1, 1000);
        ssize_t n = read(reader, bytes, sizeof(bytes));
        if (n > 0)
            check_bytes(c, bytes, (size_t)n);
        assert_true(seconds() - begin < 20);
    }
}

static void every_line_arrives_in_order(void **state)
{
    struct check c = {.next = 0};
    (void)state;
    begin_pipe();
    for (int turn = 0; turn < 500; turn++) {
        for (int i = 0; i < 40; i++)
            say((size_t)(turn * i) % 300);
        log_writer_publish(writer);
        read_until(&c, said);
    }
    assert_int_equal(c.lost, 0);
    assert_int_equal(log_writer_lost(writer), 0);
    end_pipe();
}

static void what_does_not_fit_is_counted_where_it_is_missing(void **state)
{
    struct check c = {.next = 0};
    (void)state;
    begin_pipe();
    double begin = seconds();
    for (int i = 0; i < 5000; i++)
        say(990);
    assert_true(seconds() - begin < 5); /* nobody reads, and nobody waits */
    unsigned long long lost = log_writer_lost(writer);
    assert_in_range(lost, 4000, 4999);
    read_until(&c, said); /* the last line is told of without another one */
    assert_int_equal(c.lost, lost);
    say(10);
    log_writer_publish(writer);
    read_until(&c, said);
    assert_int_equal(c.lost, lost);
    end_pipe();
}

/* Losses and lines alternate, with a reader that never quite catches up. */
static void losses_are_told_between_lines(void **state)
{
    struct check c = {.next = 0};
    (void)state;
    begin_pipe();
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 400; i++)
            say((size_t)(round * 31 + i * 7) % 1500);
        log_writer_publish(writer);
        read_until(&c, c.next + 50);
    }
    log_writer_publish(writer);
    read_until(&c, said);
    assert_int_equal(c.lost, log_writer_lost(writer));
    assert_in_range(c.lost, 1000, said);
    end_pipe();
}

static void what_waits_is_written_at_the_end(void **state)
{
    struct check c = {.next = 0};
    char bytes[65536];
    (void)state;
    begin_pipe();
    for (int i = 0; i < 50; i++)
        say(500);
    log_writer_finish(writer, 10000);
    int fd = log_writer_fd(writer);
    log_writer_free(writer);
    ssize_t n = read(reader, bytes, sizeof(bytes));
    assert_true(n > 0);
    check_bytes(&c, bytes, (size_t)n);
    assert_int_equal(c.next, 50);
    (void)close(fd);
    (void)close(reader);
}

static void the_end_does_not_wait_for_ever(void **state)
{
    (void)state;
    begin_pipe();
    for (int i = 0; i < 1000; i++)
        say(900);
    double begin = seconds();
    log_writer_finish(writer, 100);
    while (!log_writer_is_done(writer) && seconds() - begin < 10)
        (void)poll(NULL, 0, 10);
    assert_true(log_writer_is_done(writer));
    assert_true(seconds() - begin < 5);
    char bytes[65536 * 2];
    struct check c = {.next = 0};
    ssize_t n = read(reader, bytes, sizeof(bytes));
    check_bytes(&c, bytes, n > 0 ? (size_t)n : 0);
    unsigned long long missing = said - (c.next - c.lost);
    /* A line that tells of others and was not written either counts as one. */
    assert_in_range(log_writer_lost(writer), missing, missing + 3);
    end_pipe();
}

/* --- files --- */

static char path[] = "/tmp/test_log_writer.XXXXXX";

static size_t file_lines(struct check *c)
{
    static char bytes[1 << 20];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t n = fread(bytes, 1, sizeof(bytes), f);
    (void)fclose(f);
    check_bytes(c, bytes, n);
    assert_int_equal(c->n, 0);
    return n;
}

static int temporary(void)
{
    memcpy(strrchr(path, '.') + 1, "XXXXXX", 6);
    int fd = mkostemp(path, O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void a_full_disk_takes_lines_again_when_it_can(void **state)
{
    struct check c = {.next = 0};
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    assert_true(full >= 0);
    writer = log_writer_new(full, true, &plain);
    assert_non_null(writer);
    assert_ok(log_writer_start(writer));
    said = 0;
    for (int i = 0; i < 1000; i++)
        say(900);
    log_writer_publish(writer);
    unsigned long long lost = log_writer_lost(writer);
    assert_in_range(lost, 1, 999);
    log_writer_reopen(writer, temporary());
    log_writer_finish(writer, 5000);
    double begin = seconds();
    while (!log_writer_is_done(writer) && seconds() - begin < 10)
        (void)poll(NULL, 0, 5);
    log_writer_free(writer);
    (void)file_lines(&c);
    assert_int_equal(c.next, 1000);
    assert_int_equal(c.lost, lost);
    (void)unlink(path);
}

static void a_full_disk_does_not_hold_up_the_end(void **state)
{
    (void)state;
    int full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    writer = log_writer_new(full, true, &plain);
    assert_non_null(writer);
    assert_ok(log_writer_start(writer));
    say(10);
    double begin = seconds();
    log_writer_finish(writer, 5000);
    log_writer_free(writer);
    assert_true(seconds() - begin < 4);
}

/* A line that the old file has half of is whole in the new one. */
static void a_torn_line_is_written_anew_into_the_next_file(void **state)
{
    struct check c = {.next = 0};
    struct rlimit unlimited;
    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    writer = log_writer_new(temporary(), true, &plain);
    assert_non_null(writer);
    (void)unlink(path);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
    struct rlimit small = {.rlim_cur = 1050, .rlim_max = unlimited.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_ok(log_writer_start(writer));
    said = 0;
    for (int i = 0; i < 4; i++)
        say(400);
    log_writer_publish(writer);
    while (lseek(log_writer_fd(writer), 0, SEEK_END) < 1050)
        (void)poll(NULL, 0, 5);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
    log_writer_reopen(writer, temporary());
    log_writer_finish(writer, 5000);
    while (!log_writer_is_done(writer))
        (void)poll(NULL, 0, 5);
    log_writer_free(writer);
    c.next = 2; /* the first two are in the file that is gone */
    (void)file_lines(&c);
    assert_int_equal(c.next, 4);
    assert_int_equal(c.lost, 0);
    (void)unlink(path);
}

static void without_memory_it_goes_on_without_a_thread(void **state)
{
    struct check c = {.next = 0};
    (void)state;
    unit_needs_tracking();
    int fd = temporary();
    mem_fail_after(0, 0);
    assert_null(log_writer_new(fd, true, &plain));
    mem_fail_never();
    writer = log_writer_new(fd, true, &plain);
    mem_fail_after(0, 0);
    assert_err(log_writer_start(writer), ERR_NOMEM);
    mem_fail_never();
    said = 0;
    say(5);
    assert_int_equal(file_lines(&c), 8);
    log_writer_free(writer);
    (void)unlink(path);
}

static void lines_lost_before_the_thread_are_told_by_it(void **state)
{
    struct check c = {.next = 0};
    char bytes[4096];
    int fd[2];
    (void)state;
    assert_int_equal(pipe(fd), 0);
    assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
    reader = fd[0];
    writer = log_writer_new(fd[1], false, &plain);
    said = 0;
    for (int i = 0; i < 100; i++)
        say(1000);
    assert_int_not_equal(log_writer_lost(writer), 0);
    for (ssize_t n; (n = read(reader, bytes, sizeof(bytes))) > 0;)
        check_bytes(&c, bytes, (size_t)n);
    assert_ok(log_writer_start(writer));
    read_until(&c, 100);
    assert_int_equal(c.lost, log_writer_lost(writer));
    end_pipe();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT_TEST(every_line_arrives_in_order),
        UNIT_TEST(what_does_not_fit_is_counted_where_it_is_missing),
        UNIT_TEST(losses_are_told_between_lines),
        UNIT_TEST(what_waits_is_written_at_the_end),
        UNIT_TEST(the_end_does_not_wait_for_ever),
        UNIT_TEST(a_full_disk_takes_lines_again_when_it_can),
        UNIT_TEST(a_full_disk_does_not_hold_up_the_end),
        UNIT_TEST(a_torn_line_is_written_anew_into_the_next_file),
        UNIT_TEST(without_memory_it_goes_on_without_a_thread),
        UNIT_TEST(lines_lost_before_the_thread_are_told_by_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
