/*
 * A ring between the loop and the thread that writes.
 *
 * Positions in the ring only grow. The loop puts lines behind `put`, which is its own; what it has
 * published ends at `head`, what the thread has taken at `tail`, and those two are under the lock:
 * it is taken once a turn, not once a line, and never while anything is written.
 *
 * `lost` lines are missing behind `head`: the loop makes sure that nothing is put after a loss
 * before the line that tells of it.
 */
#include "server/log_writer.h"

#include "base/base.h"
#include "base/mem.h"
#include "server/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#define RING (256 * 1024) /* bytes; a power of two */
#define PIECE (16 * 1024) /* what the thread takes out at once */
/* After a loss so much must be free again: lines that just fit would leave a gap at every other
 * one. */
#define PAUSE (RING / 4)
/* So much has been put in one turn that the thread should begin before its end. */
#define AHEAD (RING / 4)
/* Without a thread: how long to wait, once, for a reader that is behind. */
#define PATIENCE_MS 100
#define RETRY_MS 500 /* a destination that has failed is asked again after so long */
#define SLICE_MS 200 /* how often a thread that waits for a reader looks whether it is to end */
#define LAST_MS 2000 /* for the end of a writer of which nothing else was said */

_Static_assert((RING & (RING - 1)) == 0, "a power of two");
_Static_assert(PAUSE >= 2 * (LOG_TEXT_MAX + 1), "so that a line and what is lost before it fit");
_Static_assert(PIECE > LOG_TEXT_MAX, "a piece holds a line");

/* The loop's and the thread's, under the lock. */
struct shared {
    pthread_mutex_t lock;
    pthread_cond_t wake;     /* for the thread */
    pthread_cond_t finished; /* for the loop: done */
    size_t head;
    size_t tail;
    uint64_t lost;
    struct log_style style;
    bool reopened; /* the descriptor is another one now */
    bool finish;
    bool hurry; /* the process ends: what is refused now is given up */
    bool done;
    uint64_t deadline_ns;
    uint64_t given_up; /* lines at the end, those among them that tell of others included */
};

struct log_writer {
    int fd; /* -1: syslog */
    bool owned;
    bool waits; /* a pipe, terminal or socket: somebody reads at the other end, or does not */
    /* The loop's. */
    bool losing; /* there may be lost lines */
    bool stuck;  /* without a thread: the reader is behind */
    bool torn;   /* without a thread: the last line was cut in the middle */
    bool finishing;
    size_t put;
    size_t tail_seen; /* a position that `tail` has reached at least */
    uint64_t lost_ever;
    char *ring; /* RING bytes; NULL: there is no thread */
    struct shared shared;
    /* The thread's. */
    pthread_t id;
    char piece[PIECE];
};

static uint64_t now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* With the lock. False: that moment has come. */
static bool wait_until(struct shared *sh, pthread_cond_t *condition, uint64_t ns)
{
    struct timespec until = {.tv_sec = (time_t)(ns / 1000000000),
                             .tv_nsec = (long)(ns % 1000000000)};
    return pthread_cond_timedwait(condition, &sh->lock, &until) != ETIMEDOUT;
}

static void shared_init(struct shared *sh)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&sh->lock, NULL);
    (void)pthread_cond_init(&sh->wake, &attributes);
    (void)pthread_cond_init(&sh->finished, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

static void shared_clear(struct shared *sh)
{
    (void)pthread_cond_destroy(&sh->finished);
    (void)pthread_cond_destroy(&sh->wake);
    (void)pthread_mutex_destroy(&sh->lock);
}

/* --- making --- */

static struct log_writer *make(int fd, bool owned, const struct log_style *style)
{
    struct log_writer *w = mem_zalloc(sizeof(*w));
    if (!w) {
        return NULL;
    }
    shared_init(&w->shared);
    w->fd = fd;
    w->owned = owned;
    log_writer_set_style(w, style);
    return w;
}

struct log_writer *log_writer_new(int fd, bool owned, const struct log_style *style)
{
    struct log_writer *w = make(fd, owned, style);
    struct stat st;
    if (w) {
        /* What we opened ourselves does not block: it is asked by trying. */
        w->waits = !owned && !(fstat(fd, &st) == 0 && S_ISREG(st.st_mode));
    }
    return w;
}

/* At once, so that no descriptor is needed when there is none. */
static void open_syslog(void)
{
    openlog("mosquitto", LOG_PID | LOG_CONS | LOG_NDELAY, LOG_DAEMON);
}

struct log_writer *log_writer_new_syslog(const struct log_style *style)
{
    /* Never again: a former writer's thread that hangs in syslog() holds a lock of the library. */
    static pthread_once_t opened = PTHREAD_ONCE_INIT;
    (void)pthread_once(&opened, open_syslog);
    return make(-1, false, style);
}

void log_writer_set_style(struct log_writer *w, const struct log_style *style)
{
    (void)pthread_mutex_lock(&w->shared.lock);
    w->shared.style = *style;
    if (w->fd < 0 && !style->json) {
        w->shared.style.timestamp = false; /* syslog has its own */
    }
    (void)pthread_mutex_unlock(&w->shared.lock);
}

int log_writer_fd(const struct log_writer *w)
{
    return w->fd;
}

uint64_t log_writer_lost(struct log_writer *w)
{
    (void)pthread_mutex_lock(&w->shared.lock);
    uint64_t given_up = w->shared.given_up;
    (void)pthread_mutex_unlock(&w->shared.lock);
    return w->lost_ever + given_up;
}

/* --- writing: what both ways have in common --- */

/* Of n bytes of whole lines, as many whole lines as a pipe takes without waiting. */
static size_t whole_lines(const char *p, size_t n)
{
    if (n <= LOG_TEXT_MAX) {
        return n;
    }
    const char *newline = memrchr(p, '\n', LOG_TEXT_MAX);
    return newline ? (size_t)(newline - p) + 1 : LOG_TEXT_MAX;
}

/* One line, its priority in front. */
static size_t write_syslog(const char *p, size_t n)
{
    const char *newline = memchr(p, '\n', n);
    size_t length = newline ? (size_t)(newline - p) : n;
    if (length > 0) {
        syslog((unsigned char)p[0], "%.*s", (int)length - 1, p + 1);
    }
    return newline ? length + 1 : length;
}

/* How many of these bytes were written; 0: errno. */
static size_t write_some(const struct log_writer *w, const char *p, size_t n)
{
    if (w->fd < 0) {
        return write_syslog(p, n);
    }
    ssize_t written;
    do {
        written = write(w->fd, p, w->waits ? whole_lines(p, n) : n);
    } while (written < 0 && errno == EINTR);
    return written > 0 ? (size_t)written : 0;
}

static bool is_ready(const struct log_writer *w, int timeout_ms)
{
    struct pollfd p = {.fd = w->fd, .events = POLLOUT};
    return poll(&p, 1, timeout_ms) > 0;
}

/* A line as it stands in the ring and goes to write_some. */
static struct str line_for(const struct log_writer *w, int priority, struct log_text *copy,
                           const struct log_text *line)
{
    if (w->fd >= 0) {
        return str_of(line->bytes, line->n);
    }
    copy->bytes[0] = (char)priority; /* no facility of ours and no level makes a newline of it */
    size_t n = line->n - line->body;
    n = n < LOG_TEXT_MAX ? n : LOG_TEXT_MAX - 1;
    memcpy(copy->bytes + 1, line->bytes + line->n - n, n);
    return str_of(copy->bytes, n + 1);
}

static struct str loss_for(const struct log_writer *w, uint64_t lines, struct log_text *line,
                           struct log_text *copy)
{
    log_format_loss(line, &w->shared.style, lines);
    return line_for(w, LOG_DAEMON | LOG_WARNING, copy, line);
}

/* --- without a thread --- */

/* True: all of it was written. */
static bool write_line(struct log_writer *w, struct str line)
{
    while (line.n > 0) {
        size_t n = write_some(w, line.p, line.n);
        if (n == 0) {
            return false;
        }
        w->torn = line.p[n - 1] != '\n';
        line = str_of(line.p + n, line.n - n);
    }
    return true;
}

/* A reader that is behind gets a moment once, and then none until it has caught up. */
static bool may_write(struct log_writer *w)
{
    if (w->waits) {
        w->stuck = !is_ready(w, w->stuck ? 0 : PATIENCE_MS);
    }
    return !w->stuck;
}

static void put_at_once(struct log_writer *w, int priority, const struct log_text *line)
{
    struct shared *sh = &w->shared;
    struct log_text loss;
    struct log_text copy;
    bool taken = may_write(w) && (!w->torn || write_line(w, STR("\n")));
    if (taken && sh->lost > 0) {
        taken = write_line(w, loss_for(w, sh->lost, &loss, &copy));
        sh->lost = taken ? 0 : sh->lost;
    }
    if (!taken || !write_line(w, line_for(w, priority, &copy, line))) {
        sh->lost++;
        w->lost_ever++;
    }
}

/* --- with a thread: the loop's side --- */

static void ring_put(struct log_writer *w, struct str line)
{
    size_t at = w->put & (RING - 1);
    size_t first = RING - at < line.n ? RING - at : line.n;
    memcpy(w->ring + at, line.p, first);
    memcpy(w->ring, line.p + first, line.n - first);
    w->put += line.n;
}

static bool has_room(const struct log_writer *w, size_t n)
{
    return RING - (w->put - w->tail_seen) >= n;
}

/*
 * The ring was full when it was looked at last, or lines have been lost: look again. What is lost
 * is told before the line, or they wait both; true: the line may be put.
 */
static bool make_room(struct log_writer *w, size_t n)
{
    struct shared *sh = &w->shared;
    struct log_text line;
    struct log_text copy;
    struct str loss = STR("");
    (void)pthread_mutex_lock(&sh->lock);
    w->tail_seen = sh->tail;
    size_t wanted = n;
    if (sh->lost > 0) {
        loss = loss_for(w, sh->lost, &line, &copy);
        wanted = PAUSE;
    }
    bool room = has_room(w, wanted);
    if (room) {
        ring_put(w, loss);
        sh->lost = 0;
    } else {
        sh->lost++;
        w->lost_ever++;
        sh->head = w->put;
        (void)pthread_cond_signal(&sh->wake);
    }
    w->losing = !room;
    (void)pthread_mutex_unlock(&sh->lock);
    return room;
}

void log_writer_put(struct log_writer *w, int priority, const struct log_text *line)
{
    if (!w->ring) {
        put_at_once(w, priority, line);
        return;
    }
    struct log_text copy;
    struct str bytes = line_for(w, priority, &copy, line);
    if (UNLIKELY(w->losing || !has_room(w, bytes.n)) && !make_room(w, bytes.n)) {
        return;
    }
    size_t before = w->put;
    ring_put(w, bytes);
    if (UNLIKELY(before / AHEAD != w->put / AHEAD)) {
        log_writer_publish(w);
    }
}

void log_writer_publish(struct log_writer *w)
{
    struct shared *sh = &w->shared;
    if (!w->ring) {
        return;
    }
    (void)pthread_mutex_lock(&sh->lock);
    if (sh->head != w->put) {
        sh->head = w->put;
        (void)pthread_cond_signal(&sh->wake);
    }
    w->tail_seen = sh->tail;
    (void)pthread_mutex_unlock(&sh->lock);
}

void log_writer_reopen(struct log_writer *w, int fd)
{
    struct shared *sh = &w->shared;
    (void)pthread_mutex_lock(&sh->lock);
    (void)dup3(fd, w->fd, O_CLOEXEC); /* in one step: the thread may be writing */
    sh->reopened = true;
    w->torn = false;
    (void)pthread_cond_signal(&sh->wake);
    (void)pthread_mutex_unlock(&sh->lock);
    (void)close(fd);
}

/* --- the thread --- */

/* With the lock. Copies whole lines out of the ring; returns how many bytes. */
static size_t take(struct log_writer *w)
{
    struct shared *sh = &w->shared;
    size_t tail = sh->tail;
    size_t n = sh->head - tail;
    if (n == 0) {
        struct log_text line;
        struct log_text copy;
        struct str loss = loss_for(w, sh->lost, &line, &copy);
        sh->lost = 0;
        memcpy(w->piece, loss.p, loss.n);
        return loss.n;
    }
    (void)pthread_mutex_unlock(&sh->lock); /* up to head it is ours */
    n = n < PIECE ? n : PIECE;
    size_t at = tail & (RING - 1);
    size_t first = RING - at < n ? RING - at : n;
    memcpy(w->piece, w->ring + at, first);
    memcpy(w->piece + first, w->ring, n - first);
    const char *newline = memrchr(w->piece, '\n', n);
    n = newline ? (size_t)(newline - w->piece) + 1 : n;
    (void)pthread_mutex_lock(&sh->lock);
    sh->tail = tail + n;
    return n;
}

static bool is_over(const struct shared *sh)
{
    return sh->finish && now_ns() >= sh->deadline_ns;
}

/* The destination has failed; false: give up. */
static bool wait_for_another_try(struct shared *sh)
{
    uint64_t until = now_ns() + (uint64_t)RETRY_MS * 1000000;
    (void)pthread_mutex_lock(&sh->lock);
    bool again = !sh->hurry;
    while (again && !sh->hurry && !sh->reopened && wait_until(sh, &sh->wake, until)) {
        again = !is_over(sh);
    }
    again = again && !is_over(sh);
    (void)pthread_mutex_unlock(&sh->lock);
    return again;
}

/* Wait until somebody reads; false: give up. */
static bool wait_for_reader(struct log_writer *w)
{
    while (!is_ready(w, SLICE_MS)) {
        (void)pthread_mutex_lock(&w->shared.lock);
        bool over = is_over(&w->shared);
        (void)pthread_mutex_unlock(&w->shared.lock);
        if (over) {
            return false;
        }
    }
    return true;
}

/* Of a line of which `at` bytes are in a file that was replaced, the new file gets all. */
static size_t continue_at(struct log_writer *w, size_t at)
{
    struct shared *sh = &w->shared;
    (void)pthread_mutex_lock(&sh->lock);
    bool anew = sh->reopened;
    sh->reopened = false;
    (void)pthread_mutex_unlock(&sh->lock);
    if (!anew || at == 0) {
        return at;
    }
    const char *newline = memrchr(w->piece, '\n', at);
    return newline ? (size_t)(newline - w->piece) + 1 : 0;
}

/* Of the first n bytes of the piece, how many were written: fewer only when it gives up. */
static size_t deliver(struct log_writer *w, size_t n)
{
    size_t at = 0;
    while ((at = continue_at(w, at)) < n) {
        if (w->waits && !wait_for_reader(w)) {
            break;
        }
        size_t written = write_some(w, w->piece + at, n - at);
        at += written;
        if (written > 0) {
            continue;
        }
        bool later = errno == EAGAIN ? wait_for_reader(w) : wait_for_another_try(&w->shared);
        if (!later) {
            break;
        }
    }
    return at;
}

static uint64_t count_lines(const char *p, size_t n)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < n; i++) {
        lines += p[i] == '\n';
    }
    return lines;
}

/* With the lock: what was not delivered, of n bytes of the piece and all that waits. */
static void give_up(struct log_writer *w, size_t at, size_t n)
{
    struct shared *sh = &w->shared;
    sh->given_up += count_lines(w->piece + at, n - at);
    sh->lost = 0; /* the loop has counted those */
    for (; sh->tail != sh->head; sh->tail++) {
        sh->given_up += w->ring[sh->tail & (RING - 1)] == '\n';
    }
}

/* With the lock. Takes a piece and writes it; false: given up. */
static bool work(struct log_writer *w)
{
    struct shared *sh = &w->shared;
    size_t n = take(w);
    (void)pthread_mutex_unlock(&sh->lock);
    size_t at = deliver(w, n);
    (void)pthread_mutex_lock(&sh->lock);
    if (at < n) {
        give_up(w, at, n);
    }
    return at >= n;
}

static void *run(void *ctx)
{
    struct log_writer *w = ctx;
    struct shared *sh = &w->shared;
    bool well = true;
    (void)pthread_mutex_lock(&sh->lock);
    while (well && !(sh->finish && sh->head == sh->tail && sh->lost == 0)) {
        if (sh->head != sh->tail || sh->lost > 0) {
            well = work(w);
        } else {
            (void)pthread_cond_wait(&sh->wake, &sh->lock);
        }
    }
    sh->done = true;
    (void)pthread_cond_signal(&sh->finished);
    (void)pthread_mutex_unlock(&sh->lock);
    return NULL;
}

enum err log_writer_start(struct log_writer *w)
{
    if (w->ring) {
        return ERR_OK;
    }
    w->ring = mem_alloc(RING);
    if (!w->ring) {
        return ERR_NOMEM;
    }
    w->losing = w->shared.lost > 0;
    int error = thread_create(&w->id, run, w);
    if (error) {
        mem_free(w->ring, RING);
        w->ring = NULL;
        errno = error;
        return ERR_SYSTEM;
    }
    return ERR_OK;
}

/* --- the end --- */

void log_writer_finish(struct log_writer *w, unsigned timeout_ms)
{
    struct shared *sh = &w->shared;
    log_writer_publish(w);
    w->finishing = true;
    (void)pthread_mutex_lock(&sh->lock);
    sh->finish = true;
    sh->deadline_ns = now_ns() + (uint64_t)timeout_ms * 1000000;
    sh->done = sh->done || !w->ring;
    (void)pthread_cond_signal(&sh->wake);
    (void)pthread_mutex_unlock(&sh->lock);
}

bool log_writer_is_done(struct log_writer *w)
{
    (void)pthread_mutex_lock(&w->shared.lock);
    bool done = w->shared.done;
    (void)pthread_mutex_unlock(&w->shared.lock);
    return done;
}

static bool wait_for_end(struct shared *sh)
{
    (void)pthread_mutex_lock(&sh->lock);
    sh->hurry = true;
    (void)pthread_cond_signal(&sh->wake);
    while (!sh->done && wait_until(sh, &sh->finished, sh->deadline_ns)) {
    }
    bool done = sh->done;
    (void)pthread_mutex_unlock(&sh->lock);
    return done;
}

void log_writer_free(struct log_writer *w)
{
    if (!w->finishing) {
        log_writer_finish(w, LAST_MS);
    }
    if (!wait_for_end(&w->shared)) {
        (void)pthread_detach(w->id);
        return;
    }
    if (w->ring) {
        (void)pthread_join(w->id, NULL);
        mem_free(w->ring, RING);
    }
    if (w->owned) {
        (void)close(w->fd);
    }
    shared_clear(&w->shared);
    mem_free(w, sizeof(*w));
}
