/*
 * A directory of segment files as the store wants it (store/io.h).
 *
 * Descriptors stay open from a write to its sync, because the kernel tells of a failed write-back
 * only who has the file open. All functions may be called from two threads at once.
 */
#ifndef SERVER_DISK_FILES_H
#define SERVER_DISK_FILES_H

#include "base/err.h"
#include "store/io.h"

#include <pthread.h>

#define DISK_FILES_MAX 64
#define DISK_FILES_RESERVE 2

struct disk_file {
    int fd;       /* -1: this place is free */
    int error;    /* errno of a failed sync: it fails for ever */
    int users;    /* calls under way */
    bool dirty;   /* written since it was synced last */
    bool fresh;   /* made by us, and the directory has not been synced since */
    bool removed; /* to be closed by the last user */
    uint64_t used;
};

struct disk_files {
    int dir;
    pthread_mutex_t lock;
    uint64_t clock; /* counts uses */
    uint64_t segment[DISK_FILES_MAX];
    struct disk_file file[DISK_FILES_MAX];
    int reserve[DISK_FILES_RESERVE]; /* closed when clients have taken all other descriptors */
};

/* Takes the descriptor of the directory. */
void disk_files_init(struct disk_files *f, int dir);
void disk_files_clear(struct disk_files *f);
struct store_io disk_files_io(struct disk_files *f);
/* As read, but only what needs no waiting: -EAGAIN. */
ssize_t disk_files_read_cached(struct disk_files *f, uint64_t segment, uint64_t offset, void *to,
                               size_t n);

#endif
