/*
 * Where log lines go.
 */
#include "server/logsink.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

/* How long what waits may take: when the process ends, and when only this destination does. */
#define CLEAR_MS 2000
#define RETIRE_MS 60000

void logsink_init(struct logsink *s)
{
    *s = (struct logsink){.plan = {.style = {.timestamp = true}, .mask = LOG_LEVEL_DEFAULT}};
    log_topic_init(&s->topic);
    s->plan.writers[LOG_PLACE_STDERR] = log_writer_new(STDERR_FILENO, false, &s->plan.style);
}

/* A line of our own, for those destinations that there are now. */
static void PRINTF(3, 4) say(struct logsink *s, enum log_level level, const char *fmt, ...)
{
    char line[LOG_LINE_MAX];
    va_list args;
    if (!(s->plan.mask & (unsigned)level)) {
        return;
    }
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    if (n > 0) {
        logsink_line(s, level, str_c(line), NULL);
    }
}

/* --- the file --- */

/* A file of several names, opened by root: it may be anybody's. */
static bool is_doubtful(int fd)
{
    struct stat st;
    return geteuid() == 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink > 1;
}

/* -1: errno. A link is not followed: who may write to the directory must not choose what we append
 * to. */
static int open_file(const char *path)
{
    int fd = open(
        path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK, 0640);
    if (fd >= 0 && is_doubtful(fd)) {
        (void)close(fd);
        errno = EMLINK;
        return -1;
    }
    return fd;
}

/* Who wants to run in a container sees here which user to give the directory to. */
static void say_file_trouble(struct logsink *s, const char *path, int error, const char *then)
{
    char name[512];
    char who[96] = "";
    if (error == EACCES || error == EPERM || error == ENOENT) {
        (void)snprintf(who, sizeof(who),
                       " The user with id %u must be allowed to write there (group %u).",
                       (unsigned)geteuid(), (unsigned)getegid());
    }
    say(s, LOG_LEVEL_ERROR, "Error: Unable to open log file %s: %s%s%s",
        str_escape(str_c(path), name, sizeof(name)), strerror(error), then, who);
}

/* It could not be opened at the start, and now it can. */
static void begin_file(struct logsink *s, int fd)
{
    struct log_writer *w = log_writer_new(fd, true, &s->plan.style);
    if (w && s->going && log_writer_start(w) != ERR_OK) {
        log_writer_free(w);
    } else if (w) {
        s->plan.writers[LOG_PLACE_FILE] = w;
    } else {
        (void)close(fd);
    }
}

void logsink_reopen(struct logsink *s)
{
    struct log_writer *w = s->plan.writers[LOG_PLACE_FILE];
    if (!s->plan.path) {
        return;
    }
    int fd = open_file(s->plan.path);
    if (fd < 0) {
        say_file_trouble(s, s->plan.path, errno, w ? "; going on with the old one." : ".");
    } else if (w) {
        log_writer_reopen(w, fd);
    } else {
        begin_file(s, fd);
    }
}

enum err logsink_give_to(struct logsink *s, uid_t uid, gid_t gid)
{
    struct log_writer *w = s->plan.writers[LOG_PLACE_FILE];
    struct stat st;
    if (!w || fstat(log_writer_fd(w), &st) != 0 || !S_ISREG(st.st_mode)) {
        return ERR_OK;
    }
    if (st.st_uid == uid && st.st_gid == gid) {
        return ERR_OK;
    }
    if (st.st_nlink > 1) {
        errno = EMLINK; /* it has another name: nobody knows whose file we would give away */
        return ERR_SYSTEM;
    }
    return fchown(log_writer_fd(w), uid, gid) == 0 ? ERR_OK : ERR_SYSTEM;
}

/* --- plans --- */

static int facility_of(uint32_t option)
{
    return option < 8 ? LOG_LOCAL0 + (int)(option << 3) : LOG_DAEMON;
}

/* ERR_TOO_LARGE: the format of times. */
static enum err style_of(struct log_style *style, const struct conf_global *g)
{
    struct str format = str_c(g->log_timestamp_format);
    *style = (struct log_style){.json = g->log_json, .timestamp = g->log_timestamp};
    if (format.n >= sizeof(style->time_format)) {
        return ERR_TOO_LARGE;
    }
    if (format.n > 0) {
        memcpy(style->time_format, format.p, format.n);
    }
    return ERR_OK;
}

/* In a container /dev/stdout is a link to who knows what, and is meant to be our own. */
static unsigned places_of(const struct conf_global *g, const char **path)
{
    static const unsigned bits[LOG_PLACES] = {CONF_LOG_STDERR, CONF_LOG_STDOUT, CONF_LOG_FILE,
                                              CONF_LOG_SYSLOG};
    unsigned places = 0;
    for (unsigned i = 0; i < LOG_PLACES; i++) {
        places |= g->log_dest & bits[i] ? 1U << i : 0;
    }
    struct str file = str_c(g->log_file);
    *path = g->log_file;
    if (!g->log_file || !(places & 1U << LOG_PLACE_FILE)) {
        places &= ~(1U << LOG_PLACE_FILE);
    } else if (str_eq_c(file, "/dev/stdout")) {
        places = (places & ~(1U << LOG_PLACE_FILE)) | 1U << LOG_PLACE_STDOUT;
    } else if (str_eq_c(file, "/dev/stderr")) {
        places = (places & ~(1U << LOG_PLACE_FILE)) | 1U << LOG_PLACE_STDERR;
    }
    return places;
}

/* Does the plan in force write there already? */
static bool is_kept(const struct logsink *s, enum log_place place)
{
    if (!s->plan.writers[place]) {
        return false;
    }
    return place != LOG_PLACE_FILE || str_eq_c(str_c(s->plan.path), s->next.path);
}

static struct log_writer *new_writer(enum log_place place, int fd, const struct log_style *style)
{
    switch (place) {
    case LOG_PLACE_STDERR:
        return log_writer_new(STDERR_FILENO, false, style);
    case LOG_PLACE_STDOUT:
        return log_writer_new(STDOUT_FILENO, false, style);
    case LOG_PLACE_SYSLOG:
        return log_writer_new_syslog(style);
    default:
        return log_writer_new(fd, true, style);
    }
}

/* ERR_SYSTEM: errno, and *fd is -1 if it is the file that cannot be opened. */
static enum err add_writer(struct logsink *s, enum log_place place, int *fd)
{
    struct log_plan *next = &s->next;
    if (is_kept(s, place)) {
        next->writers[place] = s->plan.writers[place];
        return ERR_OK;
    }
    *fd = place == LOG_PLACE_FILE ? open_file(next->path) : 0;
    if (*fd < 0) {
        return ERR_SYSTEM;
    }
    next->writers[place] = new_writer(place, *fd, &next->style);
    if (!next->writers[place]) {
        if (place == LOG_PLACE_FILE) {
            (void)close(*fd);
        }
        return ERR_NOMEM;
    }
    return s->going ? log_writer_start(next->writers[place]) : ERR_OK;
}

static enum err add_place(struct logsink *s, enum log_place place, bool replace)
{
    int fd = 0;
    enum err e = add_writer(s, place, &fd);
    if (e == ERR_OK) {
        return ERR_OK;
    }
    if (e == ERR_NOMEM) {
        say(s, LOG_LEVEL_ERROR, "Error: Out of memory for a log destination.");
    } else if (fd >= 0) {
        say(s, LOG_LEVEL_ERROR, "Error: Unable to start a thread for the log: %s", strerror(errno));
    } else if (replace) {
        say_file_trouble(s, s->next.path, errno, "; logging to stderr instead.");
        return add_place(s, LOG_PLACE_STDERR, false);
    } else {
        say_file_trouble(s, s->next.path, errno, ".");
    }
    return e;
}

static enum err add_places(struct logsink *s, const struct conf_global *g, bool replace)
{
    const char *path;
    unsigned places = places_of(g, &path);
    enum err e = ERR_OK;
    if (places & 1U << LOG_PLACE_FILE) {
        s->next.path = str_dup(str_c(path));
        if (!s->next.path) {
            say(s, LOG_LEVEL_ERROR, "Error: Out of memory for a log destination.");
            return ERR_NOMEM;
        }
    }
    for (unsigned i = 0; i < LOG_PLACES && e == ERR_OK; i++) {
        if (places & 1U << i) {
            e = add_place(s, (enum log_place)i, replace);
        }
    }
    return e;
}

/* `replace`: a file that cannot be opened, by stderr. */
static enum err prepare(struct logsink *s, const struct conf_global *g, bool replace)
{
    s->next = (struct log_plan){.facility = facility_of(g->log_facility),
                                .mask = g->log_type,
                                .topic = g->log_dest & CONF_LOG_TOPIC};
    if (style_of(&s->next.style, g) != ERR_OK) {
        say(s, LOG_LEVEL_ERROR, "Error: log_timestamp_format may have at most %d bytes.",
            LOG_TIME_FORMAT_MAX - 1);
        if (!replace) {
            return ERR_INVAL;
        }
    }
    enum err e = add_places(s, g, replace);
    if (e == ERR_OK && s->next.topic && log_topic_open(&s->topic) != ERR_OK) {
        say(s, LOG_LEVEL_ERROR, "Error: Out of memory for log_dest topic.");
        e = ERR_NOMEM;
    }
    if (e != ERR_OK) {
        logsink_rollback(s);
    }
    return e;
}

enum err logsink_prepare(struct logsink *s, const struct conf_global *g)
{
    /* What stderr stands in for since the start is no reason to refuse all else. */
    bool replaced = s->plan.path && !s->plan.writers[LOG_PLACE_FILE];
    return prepare(s, g, replaced && str_eq_c(str_c(s->plan.path), g->log_file));
}

void logsink_rollback(struct logsink *s)
{
    for (unsigned i = 0; i < LOG_PLACES; i++) {
        if (s->next.writers[i] && s->next.writers[i] != s->plan.writers[i]) {
            log_writer_free(s->next.writers[i]);
        }
    }
    if (!s->plan.topic) {
        log_topic_close(&s->topic);
    }
    str_dup_free(s->next.path);
    s->next = (struct log_plan){.path = NULL};
}

/* --- the end of a destination --- */

static void bury(struct logsink *s, struct log_writer *w)
{
    s->lost += log_writer_lost(w);
    log_writer_free(w);
}

/* What is done is freed. */
static void bury_retired(struct logsink *s)
{
    size_t kept = 0;
    for (size_t i = 0; i < s->retired_count; i++) {
        if (log_writer_is_done(s->retired[i])) {
            bury(s, s->retired[i]);
        } else {
            s->retired[kept++] = s->retired[i];
        }
    }
    s->retired_count = kept;
}

static void retire(struct logsink *s, struct log_writer *w)
{
    log_writer_finish(w, RETIRE_MS);
    if (s->retired_count == LOGSINK_RETIRED) {
        log_writer_finish(s->retired[0], 0);
        bury(s, s->retired[0]);
        s->retired[0] = s->retired[--s->retired_count];
    }
    s->retired[s->retired_count++] = w;
}

void logsink_commit(struct logsink *s)
{
    struct log_plan old = s->plan;
    s->plan = s->next;
    s->next = (struct log_plan){.path = NULL};
    s->stamp.known = false;
    for (unsigned i = 0; i < LOG_PLACES; i++) {
        if (old.writers[i] && old.writers[i] != s->plan.writers[i]) {
            retire(s, old.writers[i]);
        }
        if (s->plan.writers[i]) {
            log_writer_set_style(s->plan.writers[i], &s->plan.style);
        }
    }
    if (!s->plan.topic) {
        s->lost += s->topic.lost_ever;
        log_topic_close(&s->topic);
        s->topic.lost_ever = 0;
    }
    str_dup_free(old.path);
    bury_retired(s);
}

void logsink_configure(struct logsink *s, const struct conf_global *g)
{
    s->plan.mask = g->log_type; /* also for what is wrong with it */
    if (prepare(s, g, true) == ERR_OK) {
        logsink_commit(s);
    }
}

void logsink_go(struct logsink *s)
{
    s->going = true;
    for (unsigned i = 0; i < LOG_PLACES; i++) {
        struct log_writer *w = s->plan.writers[i];
        if (w && log_writer_start(w) != ERR_OK) {
            say(s, LOG_LEVEL_WARNING,
                "Warning: There is no thread for a log destination, which may slow the broker.");
        }
    }
}

void logsink_clear(struct logsink *s)
{
    logsink_rollback(s);
    for (unsigned i = 0; i < LOG_PLACES; i++) {
        if (s->plan.writers[i]) {
            retire(s, s->plan.writers[i]);
            s->plan.writers[i] = NULL;
        }
    }
    for (size_t i = 0; i < s->retired_count; i++) {
        log_writer_finish(s->retired[i], CLEAR_MS);
    }
    for (size_t i = 0; i < s->retired_count; i++) {
        bury(s, s->retired[i]);
    }
    s->retired_count = 0;
    log_topic_close(&s->topic);
    str_dup_free(s->plan.path);
    s->plan.path = NULL;
}

/* --- lines --- */

static bool has_writers(const struct log_plan *plan)
{
    for (unsigned i = 0; i < LOG_PLACES; i++) {
        if (plan->writers[i]) {
            return true;
        }
    }
    return false;
}

void logsink_line(void *ctx, enum log_level level, struct str line, const struct log_about *about)
{
    struct logsink *s = ctx;
    struct log_plan *plan = &s->plan;
    struct log_entry entry = {level, line, about};
    bool topic = log_topic_wants(&s->topic, &entry);
    if (!topic && !has_writers(plan)) {
        return;
    }
    log_format(&s->text, &plan->style, &s->stamp, &entry);
    int priority = plan->facility | log_level_name(level)->priority;
    for (unsigned i = 0; i < LOG_PLACES; i++) {
        if (plan->writers[i]) {
            log_writer_put(plan->writers[i], priority, &s->text);
        }
    }
    if (topic) {
        log_topic_put(&s->topic, level, &s->text);
    }
    s->waiting = true;
}

void logsink_flush(struct logsink *s)
{
    if (LIKELY(!s->waiting)) {
        return;
    }
    s->waiting = false;
    for (unsigned i = 0; i < LOG_PLACES; i++) {
        if (s->plan.writers[i]) {
            log_writer_publish(s->plan.writers[i]);
        }
    }
    if (UNLIKELY(s->retired_count > 0)) {
        bury_retired(s);
    }
}

void logsink_publish(struct logsink *s, struct broker *b)
{
    if (UNLIKELY(logsink_has_news(s))) {
        log_topic_publish(&s->topic, b, &s->plan.style);
    }
}

uint64_t logsink_lost(const struct logsink *s)
{
    uint64_t lost = s->lost + s->topic.lost_ever;
    for (unsigned i = 0; i < LOG_PLACES; i++) {
        lost += s->plan.writers[i] ? log_writer_lost(s->plan.writers[i]) : 0;
    }
    return lost;
}
