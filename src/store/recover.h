/*
 * Reading a store from its first segment to its last frame: at the start, and by who looks at it.
 *
 * A frame that does not check is the end of what reached the disk, or damage. Each frame says up to
 * which position everything had been synced when it was written. If a valid frame follows, anywhere
 * behind it or in a later segment, that says so of the bad one's position (durable > position), it
 * is damage. Otherwise what is bad and everything behind it is the tail that was not synced: cut.
 * A segment that is missing, too short, or without its header is judged by the same rule; so is the
 * first one, by the `oldest` of the last valid frame.
 */
#ifndef STORE_RECOVER_H
#define STORE_RECOVER_H

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "store/io.h"

struct store_segment {
    uint64_t begin; /* position of its first frame: its name */
    uint64_t end;   /* position behind its last */
};

struct recover_setup {
    const struct store_io *io;
    const struct log *log; /* what was cut, what is damaged, one line each */
    const char *name;      /* of the store, for the log: the directory */
    bool salvage; /* go on behind damage: keep a copy of the file, put fillers in the place of what
                     is lost */
    bool read_only; /* change nothing: neither cut nor fill (a look at a running or damaged store).
                       Damage is reported and skipped; a tail is ignored */
    /*
     * The records of one frame, in the order of the journal; `position` is that of their first
     * byte. An error ends the recovery, and is its result: ERR_MALFORMED is reported as damage of
     * this frame (salvage: it is counted and skipped).
     */
    enum err (*apply)(void *ctx, uint64_t position, struct str records);
    void *apply_ctx;
};

struct recovered {
    struct store_segment *segments; /* ascending; mem_alloc'ed, `cap` of them */
    size_t count;
    size_t cap;
    uint64_t store_id; /* 0: there was nothing, and a new store begins */
    uint64_t next;     /* position behind the last frame */
    uint64_t turn;     /* of the last frame */
    uint64_t frames;
    uint64_t cut_bytes; /* of the tail */
    uint64_t damaged;   /* places that could not be read */
    uint64_t damaged_bytes;
};

/*
 * ERR_OK: *out is filled in, recovered_clear is due. ERR_MALFORMED: refused (strict), nothing was
 * changed, the log names file, offset and what is affected. ERR_SYSTEM: a file cannot be read
 * (logged); ERR_NOMEM.
 */
MUST_CHECK enum err store_recover(const struct recover_setup *setup, struct recovered *out);
void recovered_clear(struct recovered *r);

#endif
