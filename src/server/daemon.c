/*
 * Into the background.
 */
#include "server/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

/* What the waiting process makes of a child that went without a word. */
#define CODE_LOST 1

static void leave_terminal(int first, int last)
{
    int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = first; fd <= last && nothing >= 0; fd++) {
        (void)dup2(nothing, fd);
    }
    if (nothing > STDERR_FILENO) {
        (void)close(nothing);
    }
}

static _Noreturn void wait_for(int pipe, pid_t child)
{
    unsigned char code = CODE_LOST;
    ssize_t n;
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    do {
        n = read(pipe, &code, sizeof(code));
    } while (n < 0 && errno == EINTR);
    _exit(n == (ssize_t)sizeof(code) ? code : CODE_LOST);
}

enum err daemon_begin(struct daemon *d)
{
    int fds[2];
    d->parent = -1;
    if (pipe2(fds, O_CLOEXEC) != 0) {
        return ERR_SYSTEM;
    }
    pid_t child = fork();
    if (child > 0) {
        (void)close(fds[1]);
        wait_for(fds[0], child);
    }
    int why = errno;
    (void)close(fds[0]);
    if (child < 0) {
        (void)close(fds[1]);
        errno = why;
        return ERR_SYSTEM;
    }
    /* Who leads a session could be given a terminal again; who does not, cannot. */
    (void)setsid();
    child = fork();
    if (child != 0) {
        if (child < 0) {
            unsigned char code = CODE_LOST;
            (void)!write(fds[1], &code, sizeof(code));
        }
        _exit(0);
    }
    leave_terminal(STDIN_FILENO, STDIN_FILENO);
    d->parent = fds[1];
    return ERR_OK;
}

static void tell(struct daemon *d, unsigned char code)
{
    (void)!write(d->parent, &code, sizeof(code));
    (void)close(d->parent);
    d->parent = -1;
}

void daemon_up(struct daemon *d)
{
    if (d->parent >= 0) {
        leave_terminal(STDOUT_FILENO, STDERR_FILENO);
        tell(d, 0);
    }
}

void daemon_failed(struct daemon *d, int code)
{
    if (d->parent >= 0) {
        tell(d, (unsigned char)code);
    }
}
