/*
 * An eye on a run while it goes on.
 *
 * It must not disturb what is measured: a turn costs one comparison, and what is due (a slot of the
 * series that ends, the line, a look at whether somebody has pressed Ctrl-C) comes at most some
 * hundred times a second. A terminal that does not take the line at once is not waited for.
 */
#include "bench/watch.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "bench/stat.h"
#include "bench/stream.h"

enum {
    COLUMNS_MOST = 80,
    LINE_ROOM = 256,
};

#define NS_PER_S 1e9
#define DRAW_NS UINT64_C(100000000)
#define LOOK_NS UINT64_C(50000000)

/* The signal that asks the run to end; 0: none has. */
static volatile sig_atomic_t asked_by;

static void on_signal(int number)
{
    asked_by = number;
}

/* Whoever has us ignore a signal (nohup, a shell's background job) keeps that. */
static void catch_signal(int number)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    struct sigaction before;

    if (sigaction(number, NULL, &before) == 0 && before.sa_handler != SIG_IGN) {
        sigaction(number, &action, NULL);
    }
}

void watch_start(struct watch *w, bool progress, struct bench_error *error)
{
    memset(w, 0, sizeof *w);
    w->error = error;
    w->draws = progress && isatty(STDERR_FILENO) == 1;
    series_begin(&w->series, now_ns());
    catch_signal(SIGINT);
    catch_signal(SIGTERM);
}

/* What fits on a line of the terminal without wrapping. */
static size_t columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 ||
        size.ws_col > COLUMNS_MOST) {
        return COLUMNS_MOST - 1;
    }
    return size.ws_col - 1U;
}

/* Overwrites the line with this one, which may be empty. */
static void draw(struct watch *w, const char *text)
{
    struct pollfd terminal = {.fd = STDERR_FILENO, .events = POLLOUT};
    char line[LINE_ROOM + 2];
    size_t width = strlen(text);
    size_t blanks = w->drawn_width > width ? w->drawn_width - width : 0;
    int size;

    if (poll(&terminal, 1, 0) != 1 || (terminal.revents & POLLOUT) == 0) {
        return;
    }
    size = snprintf(line, sizeof line, "\r%s%*s%s", text, (int)blanks, "", width == 0 ? "\r" : "");
    (void)!write(STDERR_FILENO, line, (size_t)size);
    w->drawn_width = width;
}

static void put_rest(const struct watch *w, double passed, uint64_t done, char *text, size_t room)
{
    double left = w->goal.seconds - passed;

    text[0] = '\0';
    if (w->goal.count > 0 && w->rate > 0) {
        left = done < w->goal.count ? (double)(w->goal.count - done) / w->rate : 0;
    } else if (w->goal.seconds <= 0) {
        return;
    }
    snprintf(text, room, ", %.1f s left", left > 0 ? left : 0);
}

static void put_faults(const struct watch *w, char *text, size_t room)
{
    text[0] = '\0';
    if (w->streams != NULL) {
        snprintf(text, room, ", lost %" PRIu64 ", twice %" PRIu64, w->streams->lost,
                 w->streams->duplicates);
    }
}

/* Half of the rate is new: a figure that can be read while it changes. */
static void follow_rate(struct watch *w, uint64_t now)
{
    double seconds = (double)(now - w->drawn_ns) / NS_PER_S;
    double latest = seconds > 0 ? (double)(w->done - w->drawn_done) / seconds : 0;

    w->rate = w->rate > 0 ? (w->rate + latest) / 2 : latest;
    w->drawn_ns = now;
    w->drawn_done = w->done;
}

static void draw_progress(struct watch *w, uint64_t now)
{
    const struct series_mark *mark = &w->series.mark[w->series.marks - 1];
    double passed = (double)(now - w->series.begin_ns - mark->start_ns) / NS_PER_S;
    uint64_t done = w->done - w->from;
    char rest[48];
    char faults[64];
    char line[LINE_ROOM];

    follow_rate(w, now);
    put_rest(w, passed, done, rest, sizeof rest);
    put_faults(w, faults, sizeof faults);
    snprintf(line, sizeof line, "%s: %.0f/s, %" PRIu64 " in all%s; %.1f s%s", mark->name, w->rate,
             done, faults, passed, rest);
    line[columns()] = '\0';
    draw(w, line);
    w->draw_ns = now + DRAW_NS;
}

bool watch_due(struct watch *w, uint64_t now)
{
    series_note(&w->series, now, w->done);
    if (asked_by != 0) {
        w->interrupted = true;
        return bench_fail(w->error, "interrupted");
    }
    if (w->draws && w->series.marks > 0 && now >= w->draw_ns) {
        draw_progress(w, now);
    }
    w->due_ns = series_due(&w->series);
    if (w->due_ns > now + LOOK_NS) {
        w->due_ns = now + LOOK_NS;
    }
    return true;
}

void watch_phase(struct watch *w, const char *name, const char *unit, uint64_t from)
{
    uint64_t now = now_ns();

    series_note(&w->series, now, w->done);
    series_mark(&w->series, now, name, unit, from);
    w->goal = (struct watch_goal){0};
    w->done = w->from = w->drawn_done = from;
    w->drawn_ns = now;
    w->draw_ns = now + DRAW_NS;
    w->rate = 0;
}

void watch_goal(struct watch *w, uint64_t count, double seconds)
{
    w->goal = (struct watch_goal){count, seconds};
}

void watch_stop(struct watch *w)
{
    double passed = (double)(now_ns() - w->series.begin_ns) / NS_PER_S;

    series_note(&w->series, now_ns(), w->done);
    if (w->drawn_width > 0) {
        draw(w, "");
    }
    w->draws = false;
    w->interrupted = asked_by != 0;
    if (w->interrupted) {
        bench_fail(w->error, "interrupted by %s after %.1f s",
                   asked_by == SIGINT ? "SIGINT" : "SIGTERM", passed);
    }
}
