/*
 * The store's files in memory, and all the lies of which disks are capable.
 *
 * A file has two faces: what everybody reads, and what is on the disk for certain. Between them lie
 * the operations since the last sync; when the power goes, each of them has happened, or not, or in
 * part. Names are the same: a new file's name is certain when the file was synced, a removal when
 * another new name was.
 */
#ifndef SIM_FILES_H
#define SIM_FILES_H

#include "base/rng.h"
#include "store/io.h"
#include "util.h"

#include <stdbool.h>

struct file_op {
    uint64_t offset; /* a truncation: the size */
    uint8_t *data;   /* NULL: a truncation */
    uint32_t n;
};

struct file {
    uint64_t segment;
    struct bytes now;
    struct bytes synced;
    struct file_op *ops; /* since */
    uint32_t op_n;
    uint32_t op_cap;
    bool named;   /* the name is certain */
    bool removed; /* which is not certain */
};

/* Each in 1000 calls that it could strike. */
struct file_faults {
    unsigned cut_short; /* writes that take only a part */
    unsigned write;     /* EIO; some of it may have been written */
    unsigned read;
    unsigned sync; /* and what was to be synced may be gone */
    unsigned other;
};

struct files {
    struct rng *rng;
    struct file **all;
    uint32_t n;
    uint32_t cap;
    struct file_faults faults;
    uint64_t room;     /* bytes until the disk is full */
    uint32_t crash_in; /* the process dies in so many calls; 0 = it does not */
    bool dead;         /* it has: nothing that is called has an effect any more */
    uint64_t calls;
    uint64_t struck; /* faults, all in all */
    uint64_t losses; /* events in which what was not synced may have been lost */
    uint64_t copies; /* kept of damaged files */
};

void files_init(struct files *f, struct rng *rng);
void files_clear(struct files *f);
struct store_io files_io(struct files *f);
/* A process begins: it syncs the directory first, so that all names and removals are certain. */
void files_open(struct files *f);
/* Bytes of all files that are there. */
uint64_t files_bytes(const struct files *f);
/* The power goes, and comes back. */
void files_cut(struct files *f);

#endif
