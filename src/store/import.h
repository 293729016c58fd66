/*
 * Mosquitto's own persistence file, formats 3, 4, 5 and 6, as records of our journal.
 *
 * Pure: bytes in, records out. The file is not trusted: lengths, counts, ids, topics and UTF-8 are
 * checked. It has no checksums.
 */
#ifndef STORE_IMPORT_H
#define STORE_IMPORT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct import_counts {
    unsigned format;
    uint64_t clients, subscriptions, messages, queued, retained; /* taken over */
    /* not taken over, because MQTT 3.1.1 cannot carry it, or because it makes no sense there: */
    uint64_t expired;    /* messages and sessions whose MQTT 5 expiry has passed */
    uint64_t properties; /* messages, rows, subscriptions and sessions that were taken over without
                            their MQTT 5 properties, options or expiry */
    uint64_t orphans;    /* rows of unknown messages or clients, subscriptions of unknown clients,
                            topics and ids that no client may use, chunks of unknown types … */
};

struct import_setup {
    struct str bytes; /* the whole file */
    int64_t wall_s;
    /*
     * Records that belong together, as the payload of a frame, of at most a few MiB; valid for the
     * call. An error ends the import and is its result.
     */
    enum err (*emit)(void *ctx, struct str records);
    void *ctx;
};

/*
 * ERR_OK with *counts (an empty file holds nothing; its format is 0); ERR_MALFORMED: not such a
 * file, or damaged: `*where` is the offset of the chunk and *what a phrase; nothing that was
 * emitted may be used. ERR_UNSUPPORTED: a format that we do not read (counts->format). ERR_NOMEM.
 */
MUST_CHECK enum err store_import(const struct import_setup *setup, struct import_counts *counts,
                                 uint64_t *where, const char **what);

#endif
