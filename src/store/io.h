/*
 * What the store needs of files: a directory of segments, each named by the journal position at
 * which it begins.
 *
 * The server does this with files, the simulator with memory that lies. Nothing is cached above it:
 * a write that was not synced may be lost in a power cut, alone or with others, in any order.
 *
 * All calls block and may run on another thread than the store's, one at a time for each segment
 * but `sync`, which may run beside `write`. Errors are negative errno values.
 */
#ifndef STORE_IO_H
#define STORE_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct store_io {
    void *ctx;
    /* The segments that exist, ascending: up to `max` names; returns how many there are in all. */
    ssize_t (*list)(void *ctx, uint64_t *segments, size_t max);
    /* Bytes of the file, or -ENOENT. */
    int64_t (*size)(void *ctx, uint64_t segment);
    /* Fewer than n bytes only at the end of the file. */
    ssize_t (*read)(void *ctx, uint64_t segment, uint64_t offset, void *to, size_t n);
    /* As pwritev: may be short. `create`: the file must not exist yet. */
    ssize_t (*write)(void *ctx, uint64_t segment, uint64_t offset, const struct iovec *iov, int n,
                     bool create);
    /* The file's content, and its name in the directory, survive a power cut. */
    int (*sync)(void *ctx, uint64_t segment);
    int (*truncate)(void *ctx, uint64_t segment, uint64_t size);
    /* Whoever opens the store next must sync the directory first: what comes back after a power cut
     * must not come back later. */
    int (*remove)(void *ctx, uint64_t segment);
    /*
     * Keep a copy of the file as it is beside it, under a name that `list` does not show; synced.
     * Never overwrites an older copy. `name` gets its file name, terminated.
     */
    int (*keep_copy)(void *ctx, uint64_t segment, char *name, size_t name_max);
};

/* File name of a segment: 16 hexadecimal digits, ".seg". */
#define STORE_NAME_MAX 32
char *store_segment_name(uint64_t segment, char out[STORE_NAME_MAX]);
/* The reverse; false: it is not a segment's name. */
bool store_segment_parse(const char *name, uint64_t *segment);

#endif
