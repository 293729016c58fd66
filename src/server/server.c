/*
 * The broker as a program: start, reload, stop.
 */
#include "server/server.h"

#include "base/feature.h"
#include "base/mem.h"
#include "core/broker.h"
#include "server/daemon.h"
#include "server/disk.h"
#include "server/entropy.h"
#include "server/keylog.h"
#include "server/loop.h"
#include "server/pidfile.h"
#include "server/privileges.h"
#include "server/secrets.h"
#include "server/signals.h"
#include "server/systemd.h"
#include "server/trees.h"
#include "server/version.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* How long the last bytes may take when we stop. */
#define STOP_MS 2000
#define STATUS_MAX 256
/* Of UMASK_SET. */
#define UMASK_MAX 0777

struct server {
    struct conf_args args;
    struct conf *conf;
    struct log log;
    struct logsink sink;
    bool starting; /* as configured: what keeps us from serving is shown to whoever starts us */
    struct privileges who;
    struct secrets secrets;
    struct daemon daemon;
    struct pidfile pid;
    struct systemd systemd;
    struct trees trees;
    struct broker *broker;
    struct loop loop;
};

/* A log_sink. The log may go where nobody looks who has just tried to start a broker. */
static void take_line(void *ctx, enum log_level level, struct str line,
                      const struct log_about *about)
{
    struct server *s = ctx;
    logsink_line(&s->sink, level, line, about);
    bool shown = !s->starting || s->conf->global.log_dest & CONF_LOG_STDERR;
    if (level == LOG_LEVEL_ERROR && !shown) {
        (void)fprintf(stderr, "%.*s\n", (int)line.n, line.p);
    }
}

/* --- the process --- */

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
static void raise_fd_limit(const struct log *log)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    if (limit.rlim_cur < limit.rlim_max) {
        rlim_t before = limit.rlim_cur;
        limit.rlim_cur = limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0) {
            limit.rlim_cur = before;
        }
    }
    log_info(log, "File descriptors: %llu at most, of which each client takes one.",
             (unsigned long long)limit.rlim_cur);
}

/* UMASK_SET of the environment: an octal number. */
static enum err set_umask(const struct log *log)
{
    const char *text = getenv("UMASK_SET");
    if (!text || !*text) {
        return ERR_OK;
    }
    char *end = NULL;
    unsigned long mask = strtoul(text, &end, 8);
    if (*text < '0' || *text > '7' || *end || mask > UMASK_MAX) {
        char shown[64];
        log_error(log,
                  "Error: UMASK_SET '%s' in the environment: expected an octal number from 0 "
                  "to 777.",
                  str_escape(str_c(text), shown, sizeof(shown)));
        return ERR_INVAL;
    }
    (void)umask((mode_t)mask);
    return ERR_OK;
}

static uint64_t random_seed(void)
{
    uint64_t seed = 0;
    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed)) {
        abort(); /* so few bytes cannot fail, and a seed that can be guessed must not be used */
    }
    return seed;
}

static int64_t wall_s(void)
{
    return (int64_t)time(NULL);
}

/* --- the configuration --- */

/* What the command line has to say in spite of the file. */
static enum err load(const struct server *s, struct conf **out)
{
    enum err e = conf_load(&s->args, &s->log, out);
    if (e != ERR_OK) {
        return e;
    }
    struct conf_global *g = &(*out)->global;
    unsigned elsewhere = g->log_dest & ~(unsigned)(CONF_LOG_STDERR | CONF_LOG_STDOUT);
    if (s->args.daemon && g->log_dest && !elsewhere) {
        g->log_dest = CONF_LOG_SYSLOG; /* there is no terminal any more */
    }
    /* Lines for nobody are not worded: 21,000 instructions a connection. What keeps us from serving
     * is said even so. */
    if (g->log_dest == 0) {
        g->log_type &= LOG_LEVEL_ERROR;
    }
    return ERR_OK;
}

static void use_conf(struct server *s, struct conf *conf)
{
    s->conf = conf;
    s->log.mask = conf->global.log_type;
    mem_set_limit(conf->global.memory_limit);
}

static void log_start(const struct server *s)
{
    log_info(&s->log, "mosquitto version %s starting", MOSQUITTO_VERSION);
    if (s->args.file) {
        log_info(&s->log, "Config loaded from %s.", s->args.file);
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

/* "ADDRESS port PORT", or the path of a Unix socket. */
static void name_listener(const struct conf_listener *l, char *out, size_t cap)
{
    char place[STATUS_MAX / 4];
    str_escape(str_c(l->address ? l->address : "*"), place, sizeof(place));
    if (l->port == 0) {
        (void)snprintf(out, cap, "%s", place);
    } else {
        (void)snprintf(out, cap, "%s port %u", place, l->port);
    }
}

/* One line for people, of where we can be reached. */
static void tell_ready(const struct server *s)
{
    char status[STATUS_MAX] = "Listening on ";
    size_t count = s->conf->listener_count;
    size_t used = strlen(status);
    size_t i;
    for (i = 0; i < count && used < sizeof(status) / 2; i++) {
        char name[STATUS_MAX / 3];
        name_listener(s->conf->listeners[i], name, sizeof(name));
        used +=
            (size_t)snprintf(status + used, sizeof(status) - used, "%s%s", i > 0 ? ", " : "", name);
    }
    if (i < count) {
        (void)snprintf(status + used, sizeof(status) - used, " and %zu more", count - i);
    }
    systemd_ready(status);
}

/* Every part that can refuse. On an error, which is on the log, nothing has changed. */
static enum err prepare_fresh(struct server *s, struct conf *fresh)
{
    enum err e = secrets_prepare(&s->secrets, fresh, &s->loop.door, wall_s());
    if (e == ERR_OK) {
        e = listeners_prepare(&s->loop.listeners, fresh);
    }
    if (e != ERR_OK) {
        secrets_rollback(&s->secrets, &s->loop.door, s->loop.now_ms);
        return e;
    }
    e = broker_prepare(s->broker, fresh);
    if (e != ERR_OK) {
        log_error(&s->log, "Error: The broker cannot change over to it: %s.", err_word(e));
    } else {
        e = logsink_prepare(&s->sink, &fresh->global);
    }
    if (e != ERR_OK) {
        listeners_rollback(&s->loop.listeners);
        secrets_rollback(&s->secrets, &s->loop.door, s->loop.now_ms);
    }
    return e;
}

/* Each listener has its keys from here on. */
static void take_keys(struct server *s, const struct conf *conf)
{
    secrets_warn(&s->secrets, conf, wall_s());
    secrets_hand_keys(&s->secrets, conf, &s->loop.door);
}

/* What is known of the keys of listeners, and must not be known of them. */
static void tell_keys(struct server *s)
{
    bool wanted = feature_built(FEATURE_SYS_TREE) && s->conf->global.sys_interval > 0;
    secrets_tell(&s->secrets, &s->loop.door, s->broker, wanted);
    if (secrets_are_held(&s->secrets, &s->loop.door)) {
        privileges_close_memory(&s->log);
    }
    s->loop.at_once = true;
}

/* Cannot fail. */
static void commit_fresh(struct server *s, struct conf *fresh)
{
    struct conf *old = s->conf;
    secrets_commit(&s->secrets);
    broker_commit(s->broker);
    listeners_commit(&s->loop.listeners, fresh);
    take_keys(s, fresh);
    logsink_commit(&s->sink);
    disk_set(s->loop.disk, fresh);
    use_conf(s, fresh);
    conf_free(old);
    tell_keys(s);
}

/* All of it or nothing: whatever is wrong with the new configuration, the old one stays in force.
 */
static void take_fresh(struct server *s)
{
    struct conf *fresh = NULL;
    enum err e = load(s, &fresh);
    if (!e) {
        e = conf_keep_fixed(fresh, s->conf, &s->log);
    }
    if (!e) {
        e = prepare_fresh(s, fresh);
    }
    if (!e) {
        commit_fresh(s, fresh);
        log_info(&s->log, "The configuration was reloaded.");
    } else {
        log_error(&s->log, "Error: The configuration was not reloaded; the former one stays in "
                           "force.");
        conf_free(fresh);
    }
}

static void reload(struct server *s)
{
    log_info(&s->log, "Reloading config.");
    listeners_lend_reserve(&s->loop.listeners);
    systemd_reloading();
    logsink_reopen(&s->sink);
    take_fresh(s);
    tell_ready(s);
    listeners_keep_reserve(&s->loop.listeners);
}

/* --- the run --- */

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
        trees_print(&s->trees, s->broker, &s->log, s->loop.now_ms);
    }
    logsink_flush(&s->sink);
}

/* What has its own time: signs of life, what is left of the trees, files that have changed. */
static void wake(struct server *s)
{
    uint64_t now_ms = s->loop.now_ms;
    if (now_ms >= s->systemd.due_ms) {
        listeners_lend_reserve(&s->loop.listeners); /* for the socket to systemd */
        systemd_live(&s->systemd, now_ms);
        listeners_keep_reserve(&s->loop.listeners);
    }
    trees_turn(&s->trees, &s->log, now_ms);
    if (now_ms >= secrets_deadline(&s->secrets)) {
        secrets_turn(&s->secrets, &s->loop.door, s->broker, now_ms, wall_s());
        tell_keys(s);
    }
}

/* When there is something to wake for, monotonic ms. */
static uint64_t next_wake(const struct server *s)
{
    return earlier(secrets_deadline(&s->secrets), earlier(s->systemd.due_ms, s->trees.due_ms));
}

/* Until a signal says stop, or the store must not go on. */
static void run(struct server *s)
{
    struct loop *l = &s->loop;
    while (!wants(s, SIGNAL_STOP)) {
        l->wishes = 0;
        l->wake_ms = next_wake(s);
        loop_turn(l);
        if (UNLIKELY(disk_failed(l->disk))) {
            return;
        }
        if (UNLIKELY(l->wishes != 0)) {
            answer(s);
        }
        if (UNLIKELY(l->now_ms >= next_wake(s))) {
            wake(s);
        }
    }
}

/* Say good-bye within bounded time; a second signal ends that too. */
static void stop(struct server *s)
{
    struct loop *l = &s->loop;
    systemd_stopping();
    listeners_close(&l->listeners);
    broker_stop(s->broker, REASON_SHUTDOWN);
    l->at_once = true;
    l->wishes = 0;
    l->wake_ms = UINT64_MAX;
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
                                 .version = MOSQUITTO_VERSION,
                                 .seed = random_seed(),
                                 .persistent = s->conf->global.persistence,
                                 .make_id = entropy_make_id};
    return broker_new(&setup);
}

/* --- start --- */

/* What takes root comes first. What goes wrong is an error on the log, but for ERR_NOMEM. */
static enum err prepare(struct server *s)
{
    enum err e = loop_init(&s->loop, s->broker, s->conf, &s->log, &s->sink);
    if (!e) {
        take_keys(s, s->conf);
        loop_watch_files(&s->loop, &s->secrets.files);
        e = loop_dial_bridges(&s->loop, &s->secrets.bridges, random_seed());
    }
    if (!e) {
        secrets_foresee(&s->secrets, &s->who);
        e = pidfile_write(&s->pid, s->conf->global.pid_file, &s->who, &s->log);
    }
    if (!e && s->who.drop) {
        listeners_give(&s->loop.listeners, s->who.uid, s->who.gid);
    }
    if (!e && s->who.drop && logsink_give_to(&s->sink, s->who.uid, s->who.gid) != ERR_OK) {
        log_warning(&s->log, "Warning: Cannot give the log file to uid %u: %s.", s->who.uid,
                    strerror(errno));
    }
    if (!e) {
        e = disk_find(&s->loop.disk, s->conf, &s->log, &s->who, wall_s());
    }
    return e ? e : privileges_drop(&s->who, &s->log);
}

static enum err start(struct server *s)
{
    enum err e = prepare(s);
    if (!e) {
        logsink_go(&s->sink);
        if (s->loop.disk) {
            systemd_starting("Reading the store");
        }
        e = loop_start(&s->loop, s->conf);
    }
    if (e == ERR_NOMEM) {
        log_error(&s->log, "Error: Out of memory.");
    }
    return e;
}

static void log_listeners(const struct server *s)
{
    char text[CONF_DESCRIPTION_MAX];
    for (size_t i = 0; i < s->conf->listener_count; i++) {
        conf_describe_listener(s->conf, s->conf->listeners[i], text, sizeof(text));
        log_info(&s->log, "%s", text);
    }
}

static void tell_running(struct server *s)
{
    log_listeners(s);
    log_info(&s->log, "mosquitto version %s running", MOSQUITTO_VERSION);
    logsink_flush(&s->sink);
    s->starting = false;
    tell_keys(s);
    daemon_up(&s->daemon);
    tell_ready(s);
    systemd_init(&s->systemd, s->loop.now_ms);
}

static enum server_exit serve(struct server *s)
{
    s->broker = make_broker(s);
    if (!s->broker) {
        log_error(&s->log, "Error: Out of memory.");
        return SERVER_EXIT_START;
    }
    bool well = start(s) == ERR_OK;
    if (well) {
        tell_running(s);
        run(s);
        well = finish(s);
    }
    (void)disk_close(s->loop.disk, s->loop.now_ms);
    loop_stop(&s->loop);
    broker_free(s->broker);
    loop_clear(&s->loop);
    trees_clear(&s->trees);
    pidfile_remove(&s->pid);
    return well ? SERVER_EXIT_OK : SERVER_EXIT_START;
}

static enum server_exit begin(struct server *s)
{
    if (s->args.daemon && daemon_begin(&s->daemon) != ERR_OK) {
        log_error(&s->log, "Error: Cannot go into the background: %s.", strerror(errno));
        return SERVER_EXIT_START;
    }
    use_conf(s, s->conf);
    logsink_configure(&s->sink, &s->conf->global);
    s->starting = true;
    log_start(s);
    raise_fd_limit(&s->log);
    if (s->args.tls_keylog) {
        log_warning(&s->log, "Warning: --tls-keylog: whoever can read that file can read what TLS "
                             "clients send and receive.");
    }
    return serve(s);
}

/* A configuration that can be used, as far as that can be told without using it. */
static enum err configure(struct server *s)
{
    enum err e = set_umask(&s->log);
    if (!e) {
        e = load(s, &s->conf);
    }
    if (!e) {
        e = privileges_find(&s->conf->global, &s->log, &s->who);
    }
    if (!e && s->args.tls_keylog) {
        e = keylog_open(s->args.tls_keylog, &s->log, &s->secrets.keylog);
    }
    return e ? e : secrets_load(&s->secrets, s->conf, !s->args.test, wall_s());
}

enum server_exit server_run(const struct conf_args *args)
{
    struct server s = {.args = *args, .daemon = {.parent = -1}};
    s.args.is_user = privileges_is_user;
    signals_hold();
    keep_standard_fds();
    logsink_init(&s.sink);
    trees_init(&s.trees);
    secrets_init(&s.secrets, &s.log);
    /* -q or not: what is wrong with the configuration is said. */
    unsigned mask = args->quiet ? LOG_LEVEL_ERROR : LOG_LEVEL_DEFAULT;
    s.log = (struct log){.mask = mask, .sink = take_line, .ctx = &s};
    enum server_exit code = SERVER_EXIT_OK;
    if (configure(&s) != ERR_OK) {
        code = SERVER_EXIT_CONFIG;
    } else if (args->test) {
        secrets_warn(&s.secrets, s.conf, wall_s());
        puts("Configuration file is OK.");
    } else {
        code = begin(&s);
    }
    daemon_failed(&s.daemon, (int)code);
    secrets_clear(&s.secrets);
    logsink_clear(&s.sink);
    conf_free(s.conf);
    return code;
}
