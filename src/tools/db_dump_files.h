/*
 * The segments of a store as they stood at one moment, for reading only.
 *
 * The broker may be running: it appends to the last segment and removes those at the front. All
 * segments are opened at once, so that they stay readable whatever becomes of their names, and
 * nothing is seen behind the sizes they had then: a journal is whole wherever one stops reading.
 */
#ifndef TOOLS_DB_DUMP_FILES_H
#define TOOLS_DB_DUMP_FILES_H

#include "base/err.h"
#include "base/str.h"
#include "store/io.h"

#include <stddef.h>
#include <stdint.h>

struct dump_segment;

struct dump_files {
    struct dump_segment *segments; /* ascending */
    size_t count;
    size_t cap;
    uint64_t bytes; /* of all */
    struct store_io io;
    /* What was read last by dump_files_at, and what follows it: queues are read in their order. */
    char *window;
    size_t window_cap;
    size_t window_len;
    uint64_t window_at;
};

/* ERR_SYSTEM, ERR_NOMEM: it has been said. Afterwards dump_files_close is due in any case. */
MUST_CHECK enum err dump_files_open(struct dump_files *f, const char *directory);
void dump_files_close(struct dump_files *f);
/*
 * The `n` bytes at a position of the journal, valid until the next call. An empty slice: they are
 * not there, or there is no memory.
 */
struct str dump_files_at(struct dump_files *f, uint64_t position, size_t n);

#endif
