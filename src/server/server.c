/*
 * The broker as a program: start, reload, stop.
 */
#include "server/server.h"

#include "base/mem.h"
#include "core/broker.h"
#include "server/disk.h"
#include "server/entropy.h"
#include "server/loop.h"
#include "server/signals.h"
#include "server/version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <unistd.h>

/* How long the last bytes may take when we stop. */
#define STOP_MS 2000

struct server {
    const struct conf_args *args;
    struct conf *conf;
    struct log log;
    struct logsink sink;
    struct broker *broker;
    struct loop loop;
};

/* A standard descriptor that is closed would be given to a socket, and then the log would be
 * written to a client. */
static void keep_standard_fds(void)
{
    int fd;
    do {
        fd = open("/dev/null", O_RDWR);
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        (void)close(fd);
    }
}

/* Each client is a descriptor, so take as many as we may have. */
static void raise_fd_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        abort(); /* so few bytes cannot fail, and a seed that can be guessed must not be used */
    }
    return seed;
}

static void use_conf(struct server *s, struct conf *conf)
{
    s->conf = conf;
    s->log.mask = conf->global.log_type;
    logsink_configure(&s->sink, &conf->global);
    mem_set_limit(conf->global.memory_limit);
}

static void log_start(const struct server *s)
{
    log_info(&s->log, "mosquitto version %s starting", MOSQUITTO_VERSION);
    if (s->args->file) {
        log_info(&s->log, "Config loaded from %s.", s->args->file);
    } else {
        log_info(&s->log, "Using default config.");
    }
    if (s->conf->local_only) {
        log_warning(&s->log, "Starting in local only mode. Connections will only be possible from "
                             "clients running on this machine.");
        log_warning(&s->log, "To let other machines connect, give a configuration file that has a "
                             "listener with -c FILE.");
        log_warning(&s->log, "Such a file also says who may connect, for example by "
                             "allow_anonymous.");
    }
}

static void log_longest_turn(const struct server *s)
{
    unsigned long long tenths = s->loop.watch.longest_ns / 100000;
    log_info(&s->log, "Longest turn: %llu.%llu ms of CPU.", tenths / 10, tenths % 10);
}

static void log_statistics(const struct server *s)
{
    const struct stats *n = broker_stats(s->broker);
    log_info(&s->log,
             "Connections: %llu now, %llu since the start. Sessions: %llu. Subscriptions: %llu. "
             "Retained messages: %llu.",
             (unsigned long long)n->connections, (unsigned long long)n->connections_opened,
             (unsigned long long)n->sessions, (unsigned long long)n->subscriptions,
             (unsigned long long)n->retained);
    disk_log_figures(s->loop.disk);
    log_longest_turn(s);
}

/* All of it or nothing: whatever is wrong with the new configuration, the old one stays in force.
 */
static void reload(struct server *s)
{
    log_info(&s->log, "Reloading config.");
    logsink_reopen(&s->sink);
    struct conf *fresh = NULL;
    const char *why = NULL;
    if (conf_load(s->args, &s->log, &fresh) != ERR_OK) {
        why = "it has errors";
    } else if (!listeners_same(s->conf, fresh)) {
        why = "listeners cannot be added, moved or removed without a restart";
    } else if (broker_prepare(s->broker, fresh) != ERR_OK) {
        why = "the broker cannot change over to it";
    }
    if (why) {
        log_error(&s->log, "Error: The configuration was not reloaded: %s.", why);
        conf_free(fresh);
        return;
    }
    struct conf *old = s->conf;
    conf_keep_fixed(fresh, old, &s->log);
    broker_commit(s->broker);
    disk_set(s->loop.disk, fresh);
    listeners_adopt(&s->loop.listeners, fresh);
    use_conf(s, fresh);
    conf_free(old);
    s->loop.at_once = true;
}

static bool wants(const struct server *s, enum signal_wish wish)
{
    return s->loop.wishes & 1U << wish;
}

/* Answer the signals that came, but for the one to stop. */
static void answer(struct server *s)
{
    if (wants(s, SIGNAL_SAVE)) {
        if (s->loop.disk) {
            disk_compact(s->loop.disk);
            s->loop.at_once = true;
        } else {
            log_info(&s->log, "There is nothing to save: persistence is off.");
        }
    }
    if (wants(s, SIGNAL_RELOAD)) {
        reload(s);
    } else if (wants(s, SIGNAL_REOPEN_LOG)) {
        logsink_reopen(&s->sink);
    }
    if (wants(s, SIGNAL_STATISTICS)) {
        log_statistics(s);
    }
    logsink_flush(&s->sink);
}

/* Until a signal says stop, or the store must not go on. */
static void run(struct server *s)
{
    while (!wants(s, SIGNAL_STOP)) {
        s->loop.wishes = 0;
        loop_turn(&s->loop);
        if (UNLIKELY(disk_failed(s->loop.disk))) {
            return;
        }
        if (UNLIKELY(s->loop.wishes != 0)) {
            answer(s);
        }
    }
}

/* Say good-bye within bounded time; a second signal ends that too. */
static void stop(struct server *s)
{
    struct loop *l = &s->loop;
    listeners_close(&l->listeners);
    broker_stop(s->broker, REASON_SHUTDOWN);
    l->at_once = true;
    l->wishes = 0;
    l->end_ms = l->now_ms + STOP_MS;
    do {
        loop_turn(l);
    } while (links_busy(&l->links) && l->now_ms < l->end_ms && !wants(s, SIGNAL_STOP) &&
             !disk_failed(l->disk));
}

/* What was acknowledged is stored, however this ends. */
static bool finish(struct server *s)
{
    if (!disk_failed(s->loop.disk)) {
        stop(s);
    }
    bool well = disk_close(s->loop.disk, s->loop.now_ms);
    s->loop.disk = NULL;
    log_longest_turn(s);
    log_info(&s->log, "mosquitto version %s terminating", MOSQUITTO_VERSION);
    return well;
}

static struct broker *make_broker(const struct server *s)
{
    struct broker_setup setup = {.conf = s->conf,
                                 .log = s->log,
                                 .seed = random_seed(),
                                 .persistent = s->conf->global.persistence,
                                 .make_id = entropy_make_id};
    return broker_new(&setup);
}

static enum server_exit serve(struct server *s)
{
    s->broker = make_broker(s);
    if (!s->broker) {
        log_error(&s->log, "Error: Out of memory.");
        return SERVER_EXIT_START;
    }
    enum err e = loop_init(&s->loop, s->broker, s->conf, &s->log, &s->sink);
    bool well = e == ERR_OK;
    if (well) {
        log_info(&s->log, "mosquitto version %s running", MOSQUITTO_VERSION);
        run(s);
        well = finish(s);
    } else if (e == ERR_NOMEM) {
        log_error(&s->log, "Error: Out of memory.");
    }
    (void)disk_close(s->loop.disk, s->loop.now_ms);
    broker_free(s->broker);
    loop_clear(&s->loop);
    return well ? SERVER_EXIT_OK : SERVER_EXIT_START;
}

enum server_exit server_run(const struct conf_args *args)
{
    struct server s = {.args = args};
    keep_standard_fds();
    logsink_init(&s.sink);
    s.log = (struct log){.mask = LOG_LEVEL_DEFAULT, .sink = logsink_line, .ctx = &s.sink};
    struct conf *conf = NULL;
    if (conf_load(args, &s.log, &conf) != ERR_OK) {
        logsink_clear(&s.sink);
        return SERVER_EXIT_CONFIG;
    }
    use_conf(&s, conf);
    log_start(&s);
    raise_fd_limit();
    enum server_exit code = serve(&s);
    logsink_clear(&s.sink);
    conf_free(s.conf);
    return code;
}
