/*
 * Where log lines go.
 */
#include "server/logsink.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A pipe that is ready takes so much without waiting. */
#define PIECE 4096
/* How long the broker waits once for a reader that is behind, before it goes on without. */
#define PATIENCE_MS 100
#define PREFIX_MAX 32
/* More than any line; the log cuts them before. */
#define LINE_MAX_BYTES (LOG_LINE_MAX + PREFIX_MAX + 8)

_Static_assert(LINE_MAX_BYTES <= PIECE, "a piece holds a line");
_Static_assert(LINE_MAX_BYTES <= LOGSINK_BUFFER / 2, "a line fits behind a half-full buffer");

static void add_out(struct logsink *s, int fd, bool file)
{
    struct stat st;
    bool regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
    s->outs[s->out_count++] = (struct log_out){.fd = fd, .file = file, .waits = !regular};
}

void logsink_init(struct logsink *s)
{
    s->out_count = 0;
    s->timestamp = true;
    s->path = NULL;
    s->used = 0;
    add_out(s, STDERR_FILENO, false);
}

static void close_outs(struct logsink *s)
{
    logsink_flush(s);
    for (size_t i = 0; i < s->out_count; i++) {
        if (s->outs[i].file) {
            (void)close(s->outs[i].fd);
        }
    }
    s->out_count = 0;
}

void logsink_clear(struct logsink *s)
{
    close_outs(s);
    str_dup_free(s->path);
    s->path = NULL;
}

/* -1: errno. A link is not followed: who may write to the directory must not choose what we append
 * to. */
static int open_file(const char *path)
{
    return open(
        path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0640);
}

static bool has_fd(const struct logsink *s, int fd)
{
    for (size_t i = 0; i < s->out_count; i++) {
        if (s->outs[i].fd == fd) {
            return true;
        }
    }
    return false;
}

/* A line of our own, about the file. */
static void complain(struct logsink *s, const char *then)
{
    char line[LOG_LINE_MAX];
    int n = snprintf(line, sizeof(line), "Error: Unable to open log file %s: %s%s", s->path,
                     strerror(errno), then);
    if (n > 0) {
        size_t length = (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1;
        logsink_line(s, LOG_LEVEL_ERROR, str_of(line, length), NULL);
    }
}

static void add_file(struct logsink *s)
{
    int fd = open_file(s->path);
    if (fd >= 0) {
        add_out(s, fd, true);
        return;
    }
    int why = errno;
    if (!has_fd(s, STDERR_FILENO)) {
        add_out(s, STDERR_FILENO, false);
    }
    errno = why;
    complain(s, "; logging to stderr instead.");
}

void logsink_configure(struct logsink *s, const struct conf_global *g)
{
    close_outs(s);
    s->timestamp = g->log_timestamp;
    if (g->log_dest & CONF_LOG_STDERR) {
        add_out(s, STDERR_FILENO, false);
    }
    if (g->log_dest & CONF_LOG_STDOUT) {
        add_out(s, STDOUT_FILENO, false);
    }
    str_dup_free(s->path);
    s->path = NULL;
    if (g->log_dest & CONF_LOG_FILE && g->log_file) {
        s->path = str_dup(str_c(g->log_file));
    }
    if (s->path) {
        add_file(s);
    }
}

void logsink_reopen(struct logsink *s)
{
    if (!s->path) {
        return;
    }
    int fd = open_file(s->path);
    if (fd < 0) {
        complain(s, "; going on with the old one.");
        return;
    }
    logsink_flush(s);
    for (size_t i = 0; i < s->out_count; i++) {
        if (s->outs[i].file) {
            (void)close(s->outs[i].fd);
            s->outs[i].fd = fd;
            return;
        }
    }
    add_out(s, fd, true);
}

/* May we write a piece without waiting? A reader that is behind gets a moment once, and then none
 * until it has caught up. */
static bool is_ready(struct log_out *o)
{
    if (!o->waits) {
        return true;
    }
    struct pollfd p = {.fd = o->fd, .events = POLLOUT};
    o->stuck = poll(&p, 1, o->stuck ? 0 : PATIENCE_MS) <= 0;
    return !o->stuck;
}

/* True: all of it was written. */
static bool write_all(struct log_out *o, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t w = write(o->fd, p, n);
        if (w < 0 && errno == EINTR) {
            continue;
        }
        if (w <= 0) {
            return false;
        }
        o->torn = p[w - 1] != '\n';
        p += w;
        n -= (size_t)w;
    }
    return true;
}

/* Say how many lines are missing here. False: not even that can be written. */
static bool write_loss(struct log_out *o)
{
    if (o->lost == 0) {
        return true;
    }
    char line[64];
    int n = snprintf(line, sizeof(line), "%s(%llu log lines were lost here)\n", o->torn ? "\n" : "",
                     (unsigned long long)o->lost);
    if (!write_all(o, line, (size_t)n)) {
        return false;
    }
    o->lost = 0;
    return true;
}

static uint64_t count_lines(const char *p, size_t n)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < n; i++) {
        lines += p[i] == '\n';
    }
    return lines;
}

/* The length of the whole lines in the first PIECE bytes; there is at least one. */
static size_t whole_lines(const char *p, size_t n)
{
    if (n <= PIECE) {
        return n;
    }
    const char *newline = memrchr(p, '\n', PIECE);
    return newline ? (size_t)(newline - p) + 1 : PIECE;
}

static void write_out(struct log_out *o, const char *p, size_t n)
{
    while (n > 0) {
        size_t piece = o->waits ? whole_lines(p, n) : n;
        if (!is_ready(o) || !write_loss(o) || !write_all(o, p, piece)) {
            o->lost += count_lines(p, n);
            return;
        }
        p += piece;
        n -= piece;
    }
}

void logsink_flush(struct logsink *s)
{
    if (LIKELY(s->used == 0)) {
        return;
    }
    for (size_t i = 0; i < s->out_count; i++) {
        write_out(&s->outs[i], s->buffer, s->used);
    }
    s->used = 0;
}

void logsink_line(void *ctx, enum log_level level, struct str line, const struct log_about *about)
{
    (void)about;
    struct logsink *s = ctx;
    if (s->out_count == 0) {
        return;
    }
    if (s->used > LOGSINK_BUFFER / 2) {
        logsink_flush(s);
    }
    if (s->timestamp) {
        struct timespec now;
        (void)clock_gettime(CLOCK_REALTIME_COARSE, &now);
        s->used +=
            (size_t)snprintf(s->buffer + s->used, PREFIX_MAX, "%lld: ", (long long)now.tv_sec);
    }
    size_t n = line.n < LOG_LINE_MAX ? line.n : LOG_LINE_MAX;
    memcpy(s->buffer + s->used, line.p, n);
    s->used += n;
    s->buffer[s->used++] = '\n';
    if (level & LOG_LEVEL_ERROR) {
        logsink_flush(s);
    }
}
