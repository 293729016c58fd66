/*
 * A pipe that poll() calls writable takes PIPE_BUF bytes without waiting, a terminal some 256; a
 * socket can be asked not to wait; a file does not wait.
 */
#include "clients/stdout.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define TERMINAL_PIECE 256

/*
 * A standard descriptor that is not there would be the next one opened: the connection to the
 * broker. Writing to such a stdout is an error.
 */
static void occupy(void)
{
    static const int modes[] = {O_RDONLY, O_RDONLY, O_WRONLY};
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)!open("/dev/null", modes[fd]); /* the lowest that is free */
}

void client_stdout_init(struct client_stdout *o)
{
    struct stat st;
    *o = (struct client_stdout){0};
    signal(SIGPIPE, SIG_IGN);
    occupy();
    if (fstat(STDOUT_FILENO, &st) != 0)
        return;
    o->socket = S_ISSOCK(st.st_mode);
    o->breaks = o->socket || S_ISFIFO(st.st_mode);
    if (S_ISFIFO(st.st_mode))
        o->piece = PIPE_BUF;
    else if (S_ISCHR(st.st_mode) && isatty(STDOUT_FILENO))
        o->piece = TERMINAL_PIECE;
}

void client_stdout_clear(struct client_stdout *o)
{
    client_text_clear(&o->text);
}

struct pollfd client_stdout_poll(const struct client_stdout *o)
{
    bool watched = o->text.used > 0 || o->breaks;
    return (struct pollfd){.fd = watched ? STDOUT_FILENO : -1,
                           .events = o->text.used > 0 ? POLLOUT : 0};
}

/* A reader who is gone makes it writable too: the write tells. */
static bool is_writable(void)
{
    struct pollfd fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&fd, 1, 0) > 0;
}

static ssize_t write_piece(const struct client_stdout *o, size_t from)
{
    const char *at = o->text.bytes + from;
    size_t n = o->text.used - from;
    if (o->socket)
        return send(STDOUT_FILENO, at, n, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (o->piece && !is_writable()) {
        errno = EAGAIN;
        return -1;
    }
    return write(STDOUT_FILENO, at, o->piece && n > o->piece ? o->piece : n);
}

int client_stdout_write(struct client_stdout *o)
{
    size_t done = 0;
    int error = 0;
    while (done < o->text.used && error == 0) {
        ssize_t n = write_piece(o, done);
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            error = errno;
    }
    client_text_drop(&o->text, done);
    if (error == EAGAIN || error == EWOULDBLOCK)
        error = 0;
    return error == 0 && o->text.failed ? ENOMEM : error;
}
