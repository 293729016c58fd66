/*
 * Notices that files have changed, however they are replaced: written in place, renamed over, or
 * behind symbolic links that are swapped, as Kubernetes and certbot do.
 *
 * The directories on the way to each file are watched (inotify), not the file: who replaces a file
 * leaves the old one as it was. Of directories further up it is watched only whether they are moved
 * or removed. What happens there only leads to a look at the files that were named, once it has
 * become quiet: a certificate and its key are two files that belong together.
 * Without events it costs nothing.
 */
#ifndef SERVER_FILE_WATCH_H
#define SERVER_FILE_WATCH_H

#include "base/log.h"
#include "server/poll.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* So long nothing must have happened, and at most so long it may go on, before somebody looks. */
#define FILE_WATCH_QUIET_MS 300
#define FILE_WATCH_MOST_MS 2000

/* What tells a file from another one, and from itself before a change. */
struct file_state {
    int error; /* errno; 0: it is there */
    dev_t device;
    ino_t inode;
    off_t size;
    int64_t written_ns; /* mtime */
    int64_t changed_ns; /* ctime: may it be read, since when? */
    uint64_t entries;   /* of a directory: the same of all that is in it */
};

struct watched_file {
    char *path; /* as it was given */
    struct file_state state;
    bool changed; /* at the last look */
    bool wanted;  /* while a list replaces another */
};

struct watched_dir {
    int wd;
    uint32_t events; /* that are asked for */
    dev_t device;
    ino_t inode;
    bool wanted; /* while the list is made anew */
};

struct file_watch {
    const struct log *log;
    struct poll *poll;  /* NULL: nobody waits for events yet */
    struct watch watch; /* fd -1: there are no events, only looks */
    bool tried;         /* to have events */
    struct watched_file *files;
    size_t count, room;
    struct watched_dir *dirs;
    size_t dir_count, dir_room;
    bool blind;        /* some directory cannot be watched, and that was said */
    uint64_t first_ms; /* when the first event came that nobody has looked after, monotonic */
    uint64_t due_ms;   /* when to look; UINT64_MAX: nothing has happened */
};

/* `log` must outlive it. */
void file_watch_init(struct file_watch *w, const struct log *log);
void file_watch_clear(struct file_watch *w);
/* Tell events to whoever polls: the descriptor's watch is of this kind. */
void file_watch_join(struct file_watch *w, struct poll *poll, uint8_t kind);

/*
 * Watch these files or directories from now on, and no others; NULL among them is passed by. Of
 * those that were watched before it remembers how they were, of new ones how they are now.
 * ERR_NOMEM: some are not watched.
 */
MUST_CHECK enum err file_watch_set(struct file_watch *w, const char *const *paths, size_t count);
/* Compare all files with what they were at the last look: how many have changed. */
size_t file_watch_look(struct file_watch *w);
/* Had it, at the last look? */
bool file_watch_changed(const struct file_watch *w, const char *path);

/* What was found changed at the last look was not made use of: it counts as changed at the next
 * one, which is due soon. */
void file_watch_doubt(struct file_watch *w, uint64_t now_ms);

/* Its watch has been reported. */
void file_watch_ready(struct file_watch *w, uint64_t now_ms);
/* Is it time to look? To be asked when due. */
bool file_watch_is_quiet(struct file_watch *w, uint64_t now_ms);
static inline uint64_t file_watch_deadline(const struct file_watch *w)
{
    return w->due_ms;
}

#endif
