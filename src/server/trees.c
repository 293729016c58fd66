/*
 * Text for a reader who may not read.
 */
#include "server/trees.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* How long a reader may make us wait, and how often we look. */
#define PATIENCE_MS 10000
#define PAUSE_MS 20
/* Of a file, in one turn. */
#define PIECES 16

void trees_init(struct trees *t)
{
    *t = (struct trees){.due_ms = UINT64_MAX};
}

void trees_clear(struct trees *t)
{
    buf_clear(&t->text);
    trees_init(t);
}

/* A pipe or terminal that is ready takes PIPE_BUF bytes without waiting. */
static bool is_ready(void)
{
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&p, 1, 0) > 0;
}

/* False: nobody will read this any more. */
static bool write_piece(struct trees *t)
{
    struct str all = buf_str(&t->text);
    size_t rest = all.n - t->sent;
    ssize_t n = write(STDOUT_FILENO, all.p + t->sent, rest < PIPE_BUF ? rest : PIPE_BUF);
    if (n > 0) {
        t->sent += (size_t)n;
    }
    return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

void trees_turn(struct trees *t, const struct log *log, uint64_t now_ms)
{
    if (now_ms < t->due_ms) {
        return;
    }
    bool alive = now_ms < t->end_ms;
    for (int i = 0; i < PIECES && alive && t->sent < buf_str(&t->text).n && is_ready(); i++) {
        alive = write_piece(t);
    }
    size_t rest = buf_str(&t->text).n - t->sent;
    if (rest > 0 && alive) {
        t->due_ms = now_ms + PAUSE_MS;
        return;
    }
    if (rest > 0) {
        log_warning(log,
                    "Warning: Nobody reads standard output: %zu bytes of the trees were not "
                    "printed.",
                    rest);
    }
    trees_clear(t);
}

void trees_print(struct trees *t, const struct broker *b, const struct log *log, uint64_t now_ms)
{
    if (t->due_ms != UINT64_MAX) {
        return;
    }
    if (broker_trees(b, &t->text) != ERR_OK) {
        log_error(log, "Error: Out of memory: the trees are not printed.");
        buf_clear(&t->text);
        return;
    }
    t->sent = 0;
    t->due_ms = now_ms;
    t->end_ms = now_ms + PATIENCE_MS;
    trees_turn(t, log, now_ms);
}
