/*
 * Files that change.
 */
#include "server/file_watch.h"

#include "base/mem.h"
#include "base/str.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * What may mean that a file is another one. Not that something was written: whoever has finished
 * writing closes, and our own journal, which may lie in the same directory, stays open.
 */
#define EVENTS                                                                                     \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB |            \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
/* Of a directory further up only whether it stays where it is: what happens in it does not matter.
 * Nor is it said when that cannot be told, as of a directory that may be passed but not read. */
#define EVENTS_ABOVE (IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define LINKS_MAX 40      /* symbolic links on the way to a file, as the kernel has it */
#define ENTRIES_MAX 10000 /* of a directory, that are looked at */

/* --- what a file is like --- */

static int64_t ns_of(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static uint64_t mix(uint64_t h)
{
    h ^= h >> 31;
    h *= 0x9e3779b97f4a7c15U;
    return h ^ h >> 29;
}

/* In whatever order they are listed. */
static uint64_t state_of_entries(const char *path)
{
    DIR *dir = opendir(path);
    const struct dirent *entry;
    uint64_t sum = 0;
    if (!dir) {
        return 0;
    }
    for (int i = 0; i < ENTRIES_MAX && (entry = readdir(dir)) != NULL; i++) {
        struct stat st;
        if (fstatat(dirfd(dir), entry->d_name, &st, 0) == 0 && !S_ISDIR(st.st_mode)) {
            sum += mix(mix(mix(st.st_ino) + (uint64_t)st.st_size) + (uint64_t)ns_of(&st.st_ctim));
        }
    }
    (void)closedir(dir);
    return sum;
}

static struct file_state state_of(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        return (struct file_state){.error = errno};
    }
    return (struct file_state){.device = st.st_dev,
                               .inode = st.st_ino,
                               .size = st.st_size,
                               .written_ns = ns_of(&st.st_mtim),
                               .changed_ns = ns_of(&st.st_ctim),
                               .entries = S_ISDIR(st.st_mode) ? state_of_entries(path) : 0};
}

static bool is_same(const struct file_state *a, const struct file_state *b)
{
    return a->error == b->error && a->device == b->device && a->inode == b->inode &&
           a->size == b->size && a->written_ns == b->written_ns && a->changed_ns == b->changed_ns &&
           a->entries == b->entries;
}

/* --- being told --- */

static void cannot_notice(const struct file_watch *w)
{
    log_warning(w->log,
                "Warning: Changes of files cannot be noticed (inotify): %s. Send SIGHUP after "
                "changing them.",
                strerror(errno));
}

static void join(struct file_watch *w)
{
    if (w->poll && w->watch.fd >= 0 && poll_add(w->poll, &w->watch, POLL_IN) != ERR_OK) {
        cannot_notice(w);
    }
}

void file_watch_join(struct file_watch *w, struct poll *poll, uint8_t kind)
{
    w->watch.kind = kind;
    w->poll = poll;
    join(w);
}

/* When there is something to watch for the first time. */
static void begin(struct file_watch *w)
{
    if (w->tried || w->count == 0) {
        return;
    }
    w->tried = true;
    w->watch.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (w->watch.fd < 0) {
        cannot_notice(w);
    }
    join(w);
}

/* --- directories --- */

static void cannot_watch(struct file_watch *w, const char *dir)
{
    char shown[256];
    if (w->blind) {
        return;
    }
    w->blind = true;
    log_warning(w->log,
                "Warning: Changes in the directory '%s' cannot be noticed: %s. Send SIGHUP after "
                "changing files there.",
                str_escape(str_c(dir), shown, sizeof(shown)), strerror(errno));
}

static struct watched_dir *one_more_dir(struct file_watch *w)
{
    if (w->dir_count == w->dir_room) {
        size_t room = w->dir_room ? 2 * w->dir_room : 8;
        struct watched_dir *grown =
            mem_realloc(w->dirs, w->dir_room * sizeof(*w->dirs), room * sizeof(*w->dirs));
        if (!grown) {
            return NULL;
        }
        w->dirs = grown;
        w->dir_room = room;
    }
    return &w->dirs[w->dir_count++];
}

static struct watched_dir *find_dir(const struct file_watch *w, const struct stat *st)
{
    for (size_t i = 0; i < w->dir_count; i++) {
        if (w->dirs[i].device == st->st_dev && w->dirs[i].inode == st->st_ino) {
            return &w->dirs[i];
        }
    }
    return NULL;
}

static void watch_dir(struct file_watch *w, const char *path, uint32_t events)
{
    struct stat st;
    if (w->watch.fd < 0 || stat(path, &st) != 0) {
        return;
    }
    struct watched_dir *dir = find_dir(w, &st);
    if (dir && (dir->events & events) == events) {
        dir->wanted = true;
        return;
    }
    events |= dir ? dir->events : 0;
    int wd = inotify_add_watch(w->watch.fd, path, events);
    dir = wd >= 0 && !dir ? one_more_dir(w) : dir;
    if (wd < 0 || !dir) {
        if (events & IN_CREATE) {
            cannot_watch(w, path);
        }
        return;
    }
    *dir = (struct watched_dir){
        .wd = wd, .events = events, .device = st.st_dev, .inode = st.st_ino, .wanted = true};
}

/* A path on its way through directories and links. */
struct walk {
    char at[PATH_MAX];       /* a directory without links, that has been reached */
    char rest[2 * PATH_MAX]; /* what is left of the path */
    int links;
};

/* Cut the first name off what is left; false: there is none. */
static bool next_name(struct walk *k, char name[NAME_MAX + 1])
{
    const char *from = k->rest + strspn(k->rest, "/");
    size_t n = strcspn(from, "/");
    if (n == 0 || n > NAME_MAX) {
        return false;
    }
    memcpy(name, from, n);
    name[n] = '\0';
    from += n + strspn(from + n, "/");
    memmove(k->rest, from, strlen(from) + 1);
    return true;
}

/* The path goes on where the link at `full` leads. */
static bool follow(struct walk *k, const char *full)
{
    char target[PATH_MAX];
    ssize_t n = readlink(full, target, sizeof(target));
    size_t rest = strlen(k->rest);
    if (n <= 0 || ++k->links > LINKS_MAX || (size_t)n + 1 + rest >= sizeof(k->rest)) {
        return false;
    }
    memmove(k->rest + n + 1, k->rest, rest + 1);
    memcpy(k->rest, target, (size_t)n);
    k->rest[n] = '/';
    if (target[0] == '/') {
        memcpy(k->at, "/", sizeof("/"));
    }
    return true;
}

/* One step further. False: it ends here, and what is there, or should be, has been watched. */
static bool step(struct file_watch *w, struct walk *k)
{
    char name[NAME_MAX + 1];
    char full[PATH_MAX];
    struct stat st;
    if (!next_name(k, name) ||
        (size_t)snprintf(full, sizeof(full), "%s/%s", k->at, name) >= sizeof(full)) {
        return false;
    }
    if (lstat(full, &st) != 0) {
        watch_dir(w, k->at, EVENTS);
        /* It may have come before we watched. */
        if (lstat(full, &st) != 0) {
            return false;
        }
    }
    if (S_ISLNK(st.st_mode)) {
        watch_dir(w, k->at, EVENTS);
        return follow(k, full);
    }
    if (S_ISDIR(st.st_mode)) {
        memcpy(k->at, full, strlen(full) + 1);
    }
    bool more = k->rest[0] && S_ISDIR(st.st_mode);
    watch_dir(w, k->at, more ? EVENTS_ABOVE : EVENTS);
    return more;
}

/* Watch all directories in which something decides which file this path names. */
static void watch_path(struct file_watch *w, const char *path)
{
    struct walk k = {.at = "."};
    if (path[0] == '/') {
        memcpy(k.at, "/", sizeof("/"));
    }
    if ((size_t)snprintf(k.rest, sizeof(k.rest), "%s", path) >= sizeof(k.rest)) {
        return;
    }
    while (step(w, &k)) {
    }
}

static void watch_dirs(struct file_watch *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->dir_count; i++) {
        w->dirs[i].wanted = false;
    }
    for (size_t i = 0; i < w->count; i++) {
        watch_path(w, w->files[i].path);
    }
    for (size_t i = 0; i < w->dir_count; i++) {
        if (w->dirs[i].wanted) {
            w->dirs[kept++] = w->dirs[i];
        } else {
            (void)inotify_rm_watch(w->watch.fd, w->dirs[i].wd);
        }
    }
    w->dir_count = kept;
}

/* The kernel has let go of it: the directory is gone, and another may get its number. */
static void forget_dir(struct file_watch *w, int wd)
{
    for (size_t i = 0; i < w->dir_count; i++) {
        if (w->dirs[i].wd == wd) {
            w->dirs[i] = w->dirs[--w->dir_count];
            return;
        }
    }
}

/* --- files --- */

static struct watched_file *find_file(const struct file_watch *w, const char *path)
{
    for (size_t i = 0; i < w->count; i++) {
        if (strcmp(w->files[i].path, path) == 0) {
            return &w->files[i];
        }
    }
    return NULL;
}

static enum err add_file(struct file_watch *w, const char *path)
{
    if (w->count == w->room) {
        size_t room = w->room ? 2 * w->room : 8;
        struct watched_file *grown =
            mem_realloc(w->files, w->room * sizeof(*w->files), room * sizeof(*w->files));
        if (!grown) {
            return ERR_NOMEM;
        }
        w->files = grown;
        w->room = room;
    }
    char *copy = str_dup(str_c(path));
    if (!copy) {
        return ERR_NOMEM;
    }
    w->files[w->count++] =
        (struct watched_file){.path = copy, .state = state_of(path), .wanted = true};
    return ERR_OK;
}

static void drop_unwanted(struct file_watch *w)
{
    size_t kept = 0;
    for (size_t i = 0; i < w->count; i++) {
        if (w->files[i].wanted) {
            w->files[kept++] = w->files[i];
        } else {
            str_dup_free(w->files[i].path);
        }
    }
    w->count = kept;
}

enum err file_watch_set(struct file_watch *w, const char *const *paths, size_t count)
{
    enum err e = ERR_OK;
    for (size_t i = 0; i < w->count; i++) {
        w->files[i].wanted = false;
    }
    for (size_t i = 0; i < count && e == ERR_OK; i++) {
        struct watched_file *f = paths[i] ? find_file(w, paths[i]) : NULL;
        if (f) {
            f->wanted = true;
        } else if (paths[i]) {
            e = add_file(w, paths[i]);
        }
    }
    drop_unwanted(w);
    begin(w);
    watch_dirs(w);
    return e;
}

size_t file_watch_look(struct file_watch *w)
{
    size_t changed = 0;
    watch_dirs(w);
    for (size_t i = 0; i < w->count; i++) {
        struct watched_file *f = &w->files[i];
        struct file_state now = state_of(f->path);
        f->changed = !is_same(&f->state, &now);
        f->state = now;
        changed += f->changed;
    }
    return changed;
}

bool file_watch_changed(const struct file_watch *w, const char *path)
{
    const struct watched_file *f = find_file(w, path);
    return f && f->changed;
}

/* --- events --- */

void file_watch_init(struct file_watch *w, const struct log *log)
{
    *w = (struct file_watch){.log = log, .watch = {.fd = -1}, .due_ms = UINT64_MAX};
}

void file_watch_clear(struct file_watch *w)
{
    for (size_t i = 0; i < w->count; i++) {
        str_dup_free(w->files[i].path);
    }
    mem_free(w->files, w->room * sizeof(*w->files));
    mem_free(w->dirs, w->dir_room * sizeof(*w->dirs));
    if (w->watch.fd >= 0) {
        (void)close(w->watch.fd);
    }
    file_watch_init(w, w->log);
}

/* Take what has been reported: was there anything? */
static bool drain(struct file_watch *w)
{
    _Alignas(struct inotify_event) char events[4096];
    ssize_t n;
    bool any = false;
    while (w->watch.fd >= 0 && (n = read(w->watch.fd, events, sizeof(events))) > 0) {
        any = true;
        for (char *p = events; p < events + n;) {
            const struct inotify_event *e = (const struct inotify_event *)(const void *)p;
            if (e->mask & IN_IGNORED) {
                forget_dir(w, e->wd);
            }
            p += sizeof(*e) + e->len;
        }
    }
    return any;
}

/* Events that cannot be asked for would be reported for ever, or are never. */
static void listen_for(struct file_watch *w, unsigned interest)
{
    if (w->watch.fd >= 0 && w->poll && poll_change(w->poll, &w->watch, interest) != ERR_OK) {
        cannot_notice(w);
    }
}

/* Not listened to until the look: a busy directory costs a few wake-ups a second at most. */
void file_watch_ready(struct file_watch *w, uint64_t now_ms)
{
    if (drain(w)) {
        listen_for(w, POLL_NOTHING);
        w->first_ms = now_ms;
        w->due_ms = now_ms + FILE_WATCH_QUIET_MS;
    }
}

void file_watch_doubt(struct file_watch *w, uint64_t now_ms)
{
    for (size_t i = 0; i < w->count; i++) {
        if (w->files[i].changed) {
            w->files[i].state = (struct file_state){.error = -1};
            w->first_ms = now_ms;
            w->due_ms = now_ms + FILE_WATCH_QUIET_MS;
        }
    }
}

bool file_watch_is_quiet(struct file_watch *w, uint64_t now_ms)
{
    if (now_ms < w->due_ms) {
        return false;
    }
    if (drain(w) && now_ms < w->first_ms + FILE_WATCH_MOST_MS) {
        w->due_ms = now_ms + FILE_WATCH_QUIET_MS;
        return false;
    }
    w->due_ms = UINT64_MAX;
    listen_for(w, POLL_IN);
    return true;
}
