/*
 * One turn after another.
 */
#include "server/loop.h"

#include "base/mem.h"
#include "server/greeting.h"
#include "server/signals.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Read the CPU clock after so much time in turns: then it costs a thousandth of a busy broker at
 * most. */
#define SAMPLE_NS 400000
/* Giving memory back takes some ms, and so does closing many connections: not in the same turn. */
#define TRIM_LATER_MS 10

enum watch_kind {
    WATCH_LINK,
    WATCH_LISTENER,
    WATCH_SIGNALS,
    WATCH_DISK,
    WATCH_WORKER,
    WATCH_FILES,
    WATCH_NAMES
};

static uint64_t clock_ns(clockid_t clock)
{
    struct timespec t;
    (void)clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static uint64_t ms_of(uint64_t ns)
{
    return ns / 1000000;
}

static int64_t wall_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME_COARSE, &t);
    return t.tv_sec;
}

static enum err watch_signals(struct loop *l)
{
    l->signals.kind = WATCH_SIGNALS;
    enum err e = signals_open(&l->signals.fd);
    return e == ERR_OK ? poll_add(&l->poll, &l->signals, POLL_IN) : e;
}

enum err loop_init(struct loop *l, struct broker *broker, const struct conf *conf,
                   const struct log *log, struct logsink *sink)
{
    *l = (struct loop){.broker = broker,
                       .sink = sink,
                       .log = log,
                       .end_ms = UINT64_MAX,
                       .wake_ms = UINT64_MAX,
                       .at_once = true};
    trim_init(&l->trim);
    l->signals.fd = -1;
    l->watch.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    door_init(&l->door, log);
    links_init(&l->links, &l->poll, &l->door, broker, WATCH_LINK);
    listeners_init(&l->listeners, &l->poll, &l->door, log, WATCH_LISTENER);
    enum err e = poll_init(&l->poll);
    if (e == ERR_OK) {
        e = watch_signals(l);
    }
    if (e != ERR_OK) {
        log_error(log, "Error: Cannot wait for events: %s", strerror(errno));
        return e;
    }
    return listeners_bind(&l->listeners, conf);
}

static enum err start_worker(struct loop *l)
{
    enum err e = worker_start(&l->worker);
    if (e != ERR_OK) {
        return e;
    }
    l->worker_event = (struct watch){.fd = l->worker.event, .kind = WATCH_WORKER};
    return poll_add(&l->poll, &l->worker_event, POLL_IN);
}

enum err loop_start(struct loop *l, const struct conf *conf)
{
    enum err e = start_worker(l);
    if (e != ERR_OK) {
        log_error(l->log, "Error: Cannot start the thread that checks passwords: %s.",
                  strerror(errno));
        return e;
    }
    e = disk_open(l->disk, conf, l->broker, &l->poll, WATCH_DISK, wall_s());
    logsink_flush(l->sink); /* what was found is said before anybody can connect */
    return e == ERR_OK ? listeners_listen(&l->listeners) : e;
}

enum err loop_dial_bridges(struct loop *l, const struct bridge_keys *keys, uint64_t seed)
{
    const struct dials_setup setup = {.links = &l->links,
                                      .broker = l->broker,
                                      .keys = keys,
                                      .log = l->log,
                                      .watch_kind = WATCH_NAMES,
                                      .seed = seed};
    return dials_new(&setup, &l->dials);
}

void loop_watch_files(struct loop *l, struct file_watch *files)
{
    l->files = files;
    file_watch_join(files, &l->poll, WATCH_FILES);
}

void loop_stop(struct loop *l)
{
    worker_stop(&l->worker, l->broker);
}

void loop_clear(struct loop *l)
{
    listeners_close(&l->listeners);
    dials_free(l->dials);
    links_clear(&l->links);
    door_clear(&l->door);
    if (l->signals.fd >= 0) {
        (void)close(l->signals.fd);
    }
    poll_clear(&l->poll);
}

/* For poll_wait(), as of the end of the last turn. */
static int timeout_ms(const struct loop *l)
{
    if (l->at_once || links_hurry(&l->links) || logsink_has_news(l->sink)) {
        return 0;
    }
    uint64_t due = earlier(earlier(l->work_ms, l->end_ms), l->wake_ms);
    due = earlier(due, links_deadline(&l->links));
    due = earlier(due, listeners_deadline(&l->listeners));
    due = earlier(due, door_deadline(&l->door));
    due = earlier(due, disk_deadline(l->disk));
    due = earlier(due, dials_deadline(l->dials));
    if (due == UINT64_MAX) {
        return -1;
    }
    if (due <= l->now_ms) {
        return 0;
    }
    return (int)earlier(due - l->now_ms, INT_MAX);
}

static void begin(struct loop *l)
{
    l->watch.begin_ns = clock_ns(CLOCK_MONOTONIC);
    l->now_ms = ms_of(l->watch.begin_ns);
    l->links.now_ms = l->now_ms;
    l->links.spent = 0;
    l->at_once = false;
    broker_tick(l->broker, (struct now){.mono_ms = l->now_ms, .wall_s = wall_s()});
    disk_begin(l->disk, l->now_ms);
    listeners_wake(&l->listeners, l->now_ms);
    door_tell(&l->door, l->now_ms);
}

static void take_signals(struct loop *l)
{
    enum signal_wish wish;
    while ((wish = signals_next(l->signals.fd)) != SIGNAL_NONE) {
        l->wishes |= 1U << wish;
    }
}

static void serve(struct loop *l, struct watch *w, unsigned events)
{
    switch ((enum watch_kind)w->kind) {
    case WATCH_LINK:
        link_ready(&l->links, w, events);
        break;
    case WATCH_LISTENER:
        listener_ready(&l->listeners, w);
        break;
    case WATCH_SIGNALS:
        take_signals(l);
        break;
    case WATCH_DISK:
        disk_ready(l->disk, l->now_ms);
        break;
    case WATCH_WORKER:
        worker_ready(&l->worker, l->broker);
        break;
    case WATCH_FILES:
        file_watch_ready(l->files, l->now_ms);
        break;
    case WATCH_NAMES:
        dials_ready(l->dials, w, events);
        break;
    }
}

static void serve_reported(struct loop *l)
{
    struct watch *w;
    unsigned events;
    while (!broker_is_spent(l->broker) && !links_are_spent(&l->links) &&
           (w = poll_next(&l->poll, &events)) != NULL) {
        serve(l, w, events);
    }
}

/*
 * Until the budget is spent: the rest comes first in the next turn, which begins with a fresh one.
 * What was reported in a former turn goes before input that transports hold: neither can keep the
 * other waiting for ever.
 */
static void serve_ready(struct loop *l, bool left_over)
{
    if (left_over) {
        serve_reported(l);
    }
    links_read_held(&l->links);
    serve_reported(l);
    links_shake_hands(&l->links);
    listeners_accept(&l->listeners, &l->links);
}

static void end(struct loop *l)
{
    struct stopwatch *s = &l->watch;
    uint64_t now = clock_ns(CLOCK_MONOTONIC);
    uint64_t turn = now - s->begin_ns;
    l->now_ms = ms_of(now);
    s->unsampled_ns += turn;
    if (LIKELY(s->unsampled_ns < SAMPLE_NS)) {
        return;
    }
    uint64_t cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    uint64_t before = s->unsampled_ns - turn;
    uint64_t spent = cpu - s->cpu_ns;
    turn = earlier(turn, spent > before ? spent - before : 0);
    s->longest_ns = turn > s->longest_ns ? turn : s->longest_ns;
    s->cpu_ns = cpu;
    s->unsampled_ns = 0;
}

void loop_turn(struct loop *l)
{
    bool left_over = poll_pending(&l->poll);
    poll_wait(&l->poll, timeout_ms(l));
    begin(l);
    logsink_publish(l->sink, l->broker);
    serve_ready(l, left_over);
    (void)broker_work(l->broker);
    worker_turn(&l->worker, l->broker);
    dials_turn(l->dials);
    disk_turn(l->disk, l->now_ms);
    if (UNLIKELY(disk_failed(l->disk))) {
        return;
    }
    links_flush(&l->links);
    links_expire(&l->links);
    bool buried = links_bury(&l->links);
    l->work_ms = broker_next(l->broker); /* also what room in output queues has made possible */
    if (UNLIKELY(buried)) {
        l->work_ms = earlier(l->work_ms, l->now_ms + TRIM_LATER_MS);
    } else {
        uint64_t used = mem_used() + links_uncounted(&l->links);
        l->work_ms = earlier(l->work_ms, trim_turn(&l->trim, l->broker, used, l->now_ms));
    }
    logsink_flush(l->sink);
    end(l);
}
