/*
 * Finding the store's directory.
 *
 * Several brokers may try this at once, and any of them may end at any point: so each step looks at
 * what is there, and after the lock was taken, whether it still is.
 *
 * Root does this for the user that it is to become, whom the directories above may not even let
 * pass: what root makes here, and what a former broker left here as root, is given to that user,
 * and all later work goes through the descriptor. But the directory often is that user's already,
 * and whoever has taken the user over must not be able to have root give away something else: so
 * root gives nothing that was reached by a link, and no file of more than one name; and the content
 * of a mosquitto.db is read by that user, not by root.
 */
#include "server/disk_place.h"

#include "server/disk_files.h"
#include "server/disk_import.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DIR_MODE 0700
/* Others interfere so often at most. */
#define ATTEMPTS 20
/* So many mosquitto.db may have been imported under one name. */
#define IMPORTED_MAX 1000
#define NAME_SIZE 256
#define PLACE "MOSQUITTO_PERSISTENCE_LOCATION"

struct search {
    const struct conf_global *conf;
    const struct log *log;
    const struct privileges *who;
    int64_t wall_s;
    const char *location;
    int base; /* its descriptor */
    char file[NAME_SIZE];
    char journal[NAME_SIZE];
    char making[NAME_SIZE];
};

/* Its path, printable. */
static char *shown(const struct search *s, const char *name, char out[PATH_MAX])
{
    char path[PATH_MAX];
    size_t n = strlen(s->location);
    const char *slash = n > 0 && s->location[n - 1] == '/' ? "" : "/";
    (void)snprintf(path, sizeof(path), "%s%s%s", s->location, slash, name);
    str_escape(str_c(path), out, PATH_MAX);
    return out;
}

void disk_place_log_error(const struct log *log, const char *verb, const char *path, int why)
{
    if (why == EACCES || why == EPERM) {
        log_error(log, "Error: Cannot %s %s as uid %u: %s.", verb, path, geteuid(), strerror(why));
    } else {
        log_error(log, "Error: Cannot %s %s: %s.", verb, path, strerror(why));
    }
}

static enum err fail(const struct search *s, const char *verb, const char *name)
{
    int why = errno;
    char path[PATH_MAX];
    disk_place_log_error(s->log, verb, shown(s, name, path), why);
    return ERR_SYSTEM;
}

static int open_dir(int base, const char *name)
{
    return openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The name of what was made in a directory survives a power cut. */
static int sync_parent(int dir)
{
    int parent = open_dir(dir, "..");
    int result = parent >= 0 ? fsync(parent) : -1;
    int why = errno;
    if (parent >= 0) {
        (void)close(parent);
    }
    errno = why;
    return result;
}

/* --- giving to the user --- */

static bool is_roots(const struct stat *st)
{
    return st->st_uid == 0 && (S_ISDIR(st->st_mode) || (S_ISREG(st->st_mode) && st->st_nlink == 1));
}

/* What is root's becomes the user's. */
static int give(const struct search *s, int fd)
{
    struct stat st;
    if (!s->who->drop) {
        return 0;
    }
    if (fstat(fd, &st) != 0) {
        return -1;
    }
    return is_roots(&st) ? fchown(fd, s->who->uid, s->who->gid) : 0;
}

static int give_file(const struct search *s, int dir, const char *name)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK);
    if (fd < 0) {
        return errno == ELOOP || errno == ENOENT || errno == ENXIO ? 0 : -1;
    }
    int result = give(s, fd);
    (void)close(fd);
    return result;
}

static int give_files(const struct search *s, int dir)
{
    int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *all = copy >= 0 ? fdopendir(copy) : NULL;
    if (!all) {
        if (copy >= 0) {
            (void)close(copy);
        }
        return -1;
    }
    int result = 0;
    const struct dirent *entry;
    while (result == 0 && (entry = readdir(all)) != NULL) {
        if (entry->d_name[0] != '.') {
            result = give_file(s, dir, entry->d_name);
        }
    }
    (void)closedir(all);
    return result;
}

/* A store, or one in the making, with all that is in it. */
static enum err give_store(const struct search *s, int dir, const char *name)
{
    if (!s->who->drop) {
        return ERR_OK;
    }
    bool given = give_files(s, dir) == 0 && give(s, dir) == 0;
    return given ? ERR_OK : fail(s, "give to the user", name);
}

/* --- the location --- */

/*
 * Make it. Only what was made here is given away, and a link that has come into its place is not
 * followed: that takes a path without a slash at its end.
 */
static enum err make_location(struct search *s)
{
    char path[PATH_MAX];
    size_t n = strlen(s->location);
    while (n > 1 && s->location[n - 1] == '/') {
        n--;
    }
    (void)snprintf(path, sizeof(path), "%.*s", (int)n, s->location);
    if (mkdir(path, DIR_MODE) != 0) {
        bool there = errno == EEXIST; /* since just now */
        s->base = there ? open_dir(AT_FDCWD, s->location) : -1;
        return s->base >= 0 ? ERR_OK : fail(s, "make the directory", "");
    }
    s->base = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (s->base < 0) {
        return fail(s, "open the directory", "");
    }
    if (give(s, s->base) != 0) {
        return fail(s, "give to the user", "");
    }
    return sync_parent(s->base) == 0 ? ERR_OK : fail(s, "sync the directory above", "");
}

static enum err open_location(struct search *s)
{
    s->base = open_dir(AT_FDCWD, s->location);
    if (s->base < 0 && errno == ENOENT) {
        return make_location(s);
    }
    return s->base >= 0 ? ERR_OK : fail(s, "open the directory", "");
}

/* Is there something of this name? */
static bool exists(const struct search *s, const char *name)
{
    return faccessat(s->base, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* --- the lock --- */

/* Still the directory of this name? */
static bool is_there(const struct search *s, int dir, const char *name)
{
    struct stat here;
    struct stat there;
    return fstat(dir, &here) == 0 && fstatat(s->base, name, &there, 0) == 0 &&
           here.st_dev == there.st_dev && here.st_ino == there.st_ino;
}

/* Only the directory itself, not what a link points to, may be given away (*own). */
static int open_store(const struct search *s, const char *name, bool *own)
{
    int dir = openat(s->base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    *own = dir >= 0;
    return *own ? dir : open_dir(s->base, name);
}

/* ERR_AGAIN: it is not there (any more). */
static enum err open_locked(const struct search *s, const char *name, int *out)
{
    bool own;
    int dir = open_store(s, name, &own);
    if (dir < 0) {
        return errno == ENOENT ? ERR_AGAIN : fail(s, "open the directory", name);
    }
    enum err e = ERR_OK;
    if (flock(dir, LOCK_EX | LOCK_NB) != 0) {
        char path[PATH_MAX];
        e = errno == EWOULDBLOCK ? ERR_EXISTS : fail(s, "lock", name);
        if (e == ERR_EXISTS) {
            log_error(s->log, "Error: Another broker uses the store %s.", shown(s, name, path));
        }
    } else if (!is_there(s, dir, name)) {
        e = ERR_AGAIN;
    } else if (own) {
        e = give_store(s, dir, name);
    }
    if (e) {
        (void)close(dir);
        return e;
    }
    *out = dir;
    return ERR_OK;
}

/* --- the import --- */

/* What an earlier attempt has left. */
static enum err empty_dir(const struct search *s, int dir)
{
    struct disk_files files;
    uint64_t segments[64];
    int copy = fcntl(dir, F_DUPFD_CLOEXEC, 0);
    if (copy < 0) {
        return fail(s, "open", s->making);
    }
    disk_files_init(&files, copy);
    struct store_io io = disk_files_io(&files);
    ssize_t all = 0;
    int removed = 0;
    do {
        all = io.list(io.ctx, segments, ARRAY_SIZE(segments));
        for (ssize_t i = 0; i < all && i < (ssize_t)ARRAY_SIZE(segments) && removed == 0; i++) {
            removed = io.remove(io.ctx, segments[i]);
        }
    } while (all > 0 && removed == 0);
    disk_files_clear(&files);
    if (all < 0 || removed < 0) {
        errno = (int)(all < 0 ? -all : -removed);
        return fail(s, "empty", s->making);
    }
    return ERR_OK;
}

/* Never over an older one. */
static enum err put_aside(const struct search *s)
{
    char name[NAME_SIZE + 32];
    for (int i = 0; i < IMPORTED_MAX; i++) {
        (void)snprintf(name, sizeof(name), i == 0 ? "%s.imported" : "%s.imported.%d", s->file, i);
        if (exists(s, name)) {
            continue;
        }
        if (renameat2(s->base, s->file, s->base, name, RENAME_NOREPLACE) == 0) {
            return ERR_OK;
        }
        bool lacking = errno == EINVAL || errno == ENOSYS; /* in this file system */
        if (lacking && renameat(s->base, s->file, s->base, name) == 0) {
            return ERR_OK;
        }
        if (errno != EEXIST) {
            return fail(s, "rename", s->file);
        }
    }
    errno = EEXIST;
    return fail(s, "rename", s->file);
}

/* The last steps: after the first the import counts, and the second can be made up for later. */
static enum err make_it_the_store(const struct search *s)
{
    if (fsync(s->base) != 0) {
        return fail(s, "sync the directory of", s->making);
    }
    if (renameat2(s->base, s->making, s->base, s->journal, RENAME_NOREPLACE) != 0 &&
        renameat(s->base, s->making, s->base, s->journal) != 0) {
        return fail(s, "rename", s->making);
    }
    return fsync(s->base) == 0 ? ERR_OK : fail(s, "sync the directory of", s->journal);
}

static enum err read_as_user(void *ctx, const struct log *log)
{
    struct disk_import in = *(const struct disk_import *)ctx;
    in.log = log;
    return disk_import(&in);
}

static enum err import_file(const struct search *s, int dir)
{
    char path[PATH_MAX];
    struct disk_import in = {.conf = s->conf,
                             .log = s->log,
                             .name = shown(s, s->file, path),
                             .dir = dir,
                             .wall_s = s->wall_s};
    /* Root opens for the user what the user may not reach, but not what a link of the user names.
     */
    int links = s->who->drop ? O_NOFOLLOW : 0;
    in.file = openat(s->base, s->file, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | links);
    if (in.file < 0) {
        return errno == ENOENT ? ERR_AGAIN : fail(s, "open", s->file);
    }
    enum err e =
        s->who->drop ? privileges_do_as(s->who, s->log, read_as_user, &in) : disk_import(&in);
    (void)close(in.file);
    return e;
}

/* There is a file to be imported, and no store. */
static enum err import(const struct search *s, int *out)
{
    int dir = -1;
    if (mkdirat(s->base, s->making, DIR_MODE) != 0 && errno != EEXIST) {
        return fail(s, "make the directory", s->making);
    }
    enum err e = open_locked(s, s->making, &dir);
    if (e) {
        return e;
    }
    e = exists(s, s->journal) ? ERR_AGAIN : empty_dir(s, dir);
    if (!e) {
        e = import_file(s, dir);
    }
    if (!e && fsync(dir) != 0) {
        e = fail(s, "sync", s->making);
    }
    bool made = !e;
    if (!e) {
        e = put_aside(s);
    }
    if (!e) {
        e = make_it_the_store(s);
    }
    if (!made && empty_dir(s, dir) == ERR_OK) {
        (void)unlinkat(s->base, s->making, AT_REMOVEDIR);
    }
    if (e) {
        (void)close(dir);
        return e;
    }
    *out = dir;
    return ERR_OK;
}

/* An import came as far as putting the file aside. */
static enum err finish_import(const struct search *s, int *out)
{
    int dir = -1;
    enum err e = open_locked(s, s->making, &dir);
    if (e) {
        return e;
    }
    e = make_it_the_store(s);
    if (e) {
        (void)close(dir);
        return e;
    }
    *out = dir;
    return ERR_OK;
}

/* --- the search --- */

static void warn_of_file(const struct search *s)
{
    char file[PATH_MAX];
    char journal[PATH_MAX];
    if (exists(s, s->file)) {
        log_warning(s->log,
                    "Warning: %s is not read: there is a store, %s, already. To import the file "
                    "instead, move the store away; to be rid of this warning, the file.",
                    shown(s, s->file, file), shown(s, s->journal, journal));
    }
}

static enum err make_store(const struct search *s)
{
    if (mkdirat(s->base, s->journal, DIR_MODE) != 0 && errno != EEXIST) {
        return fail(s, "make the directory", s->journal);
    }
    return fsync(s->base) == 0 ? ERR_AGAIN : fail(s, "sync the directory of", s->journal);
}

/* ERR_AGAIN: something has changed, look again. */
static enum err look(const struct search *s, int *out)
{
    if (exists(s, s->journal)) {
        enum err e = open_locked(s, s->journal, out);
        if (!e) {
            warn_of_file(s);
        }
        return e;
    }
    if (exists(s, s->file)) {
        return import(s, out);
    }
    if (exists(s, s->making)) {
        return finish_import(s, out);
    }
    return make_store(s);
}

static enum err search(struct search *s, struct disk_place *out)
{
    enum err e = ERR_AGAIN;
    for (int i = 0; i < ATTEMPTS && e == ERR_AGAIN; i++) {
        e = look(s, &out->dir);
    }
    if (e == ERR_AGAIN) {
        errno = EAGAIN;
        e = fail(s, "get hold of", s->journal);
    }
    if (!e) {
        shown(s, s->journal, out->name);
    }
    return e;
}

enum err disk_place_find(const struct conf_global *g, const struct log *log,
                         const struct privileges *who, int64_t wall_s, struct disk_place *out)
{
    const char *given = getenv(PLACE);
    struct search s = {.conf = g, .log = log, .who = who, .wall_s = wall_s, .base = -1};
    s.location = given && *given ? given : g->persistence_location ? g->persistence_location : ".";
    (void)snprintf(s.file, sizeof(s.file), "%s", g->persistence_file);
    (void)snprintf(s.journal, sizeof(s.journal), "%s.journal", g->persistence_file);
    (void)snprintf(s.making, sizeof(s.making), "%s.journal.import", g->persistence_file);
    out->dir = -1;
    enum err e = open_location(&s);
    if (!e) {
        e = search(&s, out);
    }
    if (s.base >= 0) {
        (void)close(s.base);
    }
    return e;
}

enum err disk_place_check(const struct disk_place *p, const struct log *log)
{
    if (faccessat(p->dir, ".", R_OK | W_OK | X_OK, AT_EACCESS) == 0) {
        return ERR_OK;
    }
    disk_place_log_error(log, "write to", p->name, errno);
    return ERR_SYSTEM;
}
