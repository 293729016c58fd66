/*
 * A terminal is waited for with the signals that would end us let in only while we wait: so none
 * comes between turning the echo off and knowing that it must be turned on again.
 */
#include "tools/passwd_prompt.h"

#include "base/base.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static const int signals[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
static volatile sig_atomic_t signal_seen;

/* The terminal, and how it was. */
struct terminal {
    bool there;
    struct termios before;
    sigset_t mask; /* before ours was set */
    struct sigaction actions[ARRAY_SIZE(signals)];
};

static void note_signal(int number)
{
    signal_seen = number;
}

static void hold_signals(struct terminal *t)
{
    struct sigaction note = {.sa_handler = note_signal};
    sigset_t held;

    sigemptyset(&held);
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        sigaddset(&held, signals[i]);
    sigprocmask(SIG_BLOCK, &held, &t->mask);
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++) {
        sigaction(signals[i], &note, &t->actions[i]);
        if (t->actions[i].sa_handler == SIG_IGN)
            sigaction(signals[i], &t->actions[i], NULL);
    }
}

static void release_signals(const struct terminal *t)
{
    for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
        sigaction(signals[i], &t->actions[i], NULL);
    sigprocmask(SIG_SETMASK, &t->mask, NULL);
}

/* No echo but of the newline; and no stopping, which would leave a shell without echo. */
static void begin(struct terminal *t)
{
    struct termios quiet;

    t->there = tcgetattr(STDIN_FILENO, &t->before) == 0;
    if (!t->there)
        return;
    hold_signals(t);
    quiet = t->before;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    quiet.c_lflag |= ECHONL;
    quiet.c_cc[VSUSP] = _POSIX_VDISABLE;
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &quiet);
}

/* A signal that was seen meanwhile now does what it would have done. */
static void end(const struct terminal *t)
{
    if (!t->there)
        return;
    (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &t->before);
    if (signal_seen)
        fputc('\n', stderr);
    release_signals(t);
    if (signal_seen)
        (void)raise(signal_seen);
}

/* The next byte; false at the end of the input, at a failure, and when a signal came. */
static bool read_byte(const struct terminal *t, char *byte)
{
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};

    while (!signal_seen) {
        ssize_t n;

        if (t->there && ppoll(&in, 1, NULL, &t->mask) < 0)
            continue;
        n = read(STDIN_FILENO, byte, 1);
        if (n >= 0 || errno != EINTR)
            return n == 1;
    }
    return false;
}

/* How many bytes the line has, cap - 1 of them in `out`; below zero: there is no line. */
static ssize_t read_line(const struct terminal *t, const char *prompt, char *out, size_t cap)
{
    size_t n = 0;
    bool any = false;
    char byte;

    if (t->there)
        fputs(prompt, stderr);
    while (read_byte(t, &byte)) {
        any = true;
        if (byte == '\n')
            break;
        if (n < cap - 1)
            out[n] = byte;
        n++;
    }
    if (n > 0 && n < cap && out[n - 1] == '\r')
        n--;
    out[n < cap ? n : cap - 1] = '\0';
    explicit_bzero(&byte, 1);
    return any ? (ssize_t)n : -1;
}

static enum err judge(const char *first, ssize_t n, const char *second, ssize_t again, size_t cap)
{
    const char *why = NULL;

    if (n < 0 || (n > 0 && again < 0))
        why = "A password is expected, twice, on two lines of standard input";
    else if (n == 0)
        why = "Empty password";
    else if ((size_t)n >= cap)
        why = "The password is longer than 65535 bytes";
    else if (strlen(first) != (size_t)n)
        why = "There is a zero byte in the password";
    else if (n != again || memcmp(first, second, (size_t)n) != 0)
        why = "Passwords do not match";
    if (why)
        fprintf(stderr, "Error: %s.\n", why);
    return why ? ERR_INVAL : ERR_OK;
}

enum err passwd_prompt(char *out, char *again, size_t cap)
{
    struct terminal t = {0};
    ssize_t first;
    ssize_t second = -1;
    enum err e;

    begin(&t);
    first = read_line(&t, "Password: ", out, cap);
    if (first > 0)
        second = read_line(&t, "Reenter password: ", again, cap);
    if (signal_seen) {
        explicit_bzero(out, cap);
        explicit_bzero(again, cap);
    }
    end(&t);
    e = signal_seen ? ERR_INVAL : judge(out, first, again, second, cap);
    explicit_bzero(again, cap);
    return e;
}
