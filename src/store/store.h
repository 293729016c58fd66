/*
 * The running journal: frames go in, jobs for the disk come out.
 *
 * The store owns no file and no thread: it says what is to be done (struct store_job), somebody
 * does it with store_run, and store_done takes the result. Writes in the mode `write` are for the
 * loop, at once; everything that may wait (syncs, removals, reads for cleaning, and in the mode
 * `fsync` writing too) is a background job, one at a time.
 *
 * One turn of the caller:
 *     store_clean_next → broker_renew, while there is budget
 *     broker_take_records → store_put → broker_place(store_next_payload)
 *     store_take_write → store_run → store_done      (mode write)
 *     store_take_background → hand it to the thread, unless one is under way
 *     broker_durable(store_durable_turn), broker_storage_pause(store_is_behind)
 *
 * A frame is written whole or not at all as far as anybody can see: after a short or failed write
 * the rest waits in memory and is tried again STORE_RETRY_MS later, at the same place. A failed
 * sync is final: nothing more is promised (store_failed).
 *
 * Segments are never rewritten. When there is more than 2 × live bytes + 4 segments, the records of
 * the oldest are read and given to the broker, which records anew what is still true; when that has
 * been synced, the segment is removed (see clean.c).
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/buf.h"
#include "base/err.h"
#include "store/frame.h"
#include "store/io.h"
#include "store/recover.h"

#include <stdbool.h>
#include <stdint.h>

#define STORE_RETRY_MS 200

struct store; /* opaque */

struct store_setup {
    bool fsync;                /* a turn is durable when synced; otherwise when written */
    uint64_t sync_interval_ms; /* mode write: sync what was written, so often */
    uint64_t segment_size;     /* bytes after which a segment is followed by the next */
    uint64_t max_size;         /* bytes of all segments; 0 = no limit. Above it store_is_behind */
    uint64_t max_unsynced;     /* bytes of frames in memory above which store_is_behind */
    uint64_t new_id;           /* random, not 0: the store's id if `found` has none */
};

/* Takes what recovery found (found->segments is the store's afterwards). NULL without memory: then
 * *found is untouched. */
MUST_CHECK struct store *store_new(const struct store_setup *setup, struct recovered *found);
/* No job may be under way. Frames that were not written are lost. */
void store_free(struct store *s);
/* Other limits and intervals (a changed configuration); `fsync` and `new_id` are not looked at. */
void store_set(struct store *s, const struct store_setup *setup);

/* --- frames in --- */

/* Where the payload of the frame that is put next will begin. Changes only in store_put and
 * store_seal. */
uint64_t store_next_payload(const struct store *s);
/*
 * A turn's records: takes *frame, whose first STORE_FRAME_ROOM bytes (store/frame.h) are free for
 * the store's use, and leaves another, empty buffer or none in its place (one that was used before,
 * to be filled again). Turns grow. Needs no memory, cannot fail.
 */
void store_put(struct store *s, uint64_t turn, struct buf *frame);

/* The frame that is put next tells of nothing but messages and what became of them: when the last
 * of them is gone, none of it is true any more. */
void store_mark_passing(struct store *s);

/* --- jobs out --- */

enum store_op { STORE_WRITE, STORE_SYNC, STORE_READ, STORE_REMOVE };

#define STORE_IOV_MAX 64

struct store_job {
    enum store_op op;
    uint64_t segment;
    uint64_t offset;                 /* in the file */
    struct iovec iov[STORE_IOV_MAX]; /* WRITE: what; READ: where to, one */
    int iov_n;
    bool create;    /* WRITE: the file is new */
    bool then_sync; /* WRITE: and sync, if all of it was written */
    void *mark;     /* the store's own */
    /* Filled in by store_run: */
    int64_t result; /* bytes, 0, or negative errno */
    int sync_error; /* negative errno of then_sync, or 0 */
};

/* What the loop should write now; false: nothing, or the mode is fsync, or it is waiting to try
 * again. Follow with store_run and store_done, and ask again until false. */
bool store_take_write(struct store *s, uint64_t now_ms, struct store_job *job);
/* The next background job; false: nothing to do, or one is under way. Follow with store_run, on any
 * thread, and store_done in the store's. */
bool store_take_background(struct store *s, uint64_t now_ms, struct store_job *job);
/*
 * A read that cleaning waits for, which would else become a background job: to be tried at once, if
 * that needs no waiting. Follow with store_done; a result of -EAGAIN leaves it to the background.
 * It may come while a background job is under way.
 */
bool store_take_read(struct store *s, struct store_job *job);
/* Do it. Touches nothing but the job and what it points to. */
void store_run(const struct store_io *io, struct store_job *job);
void store_done(struct store *s, uint64_t now_ms, const struct store_job *job);
/* When store_take_write, store_take_background, store_clean_next or store_wants_seal may have
 * something, although nothing was put or done meanwhile: monotonic ms; UINT64_MAX = never. */
uint64_t store_deadline(const struct store *s);

/* --- what is known --- */

/* All turns up to this one have been stored, in the sense of the mode. 0 = none of this run. */
uint64_t store_durable_turn(const struct store *s);
/* All frames before this position have been written (and may be read). */
uint64_t store_written(const struct store *s);
/* Frames in memory exceed max_unsynced: let no more in. False again below half of it. */
bool store_is_behind(const struct store *s);
/* Is that because of max_size? */
bool store_is_full(const struct store *s);
/* Is everything written and synced? */
bool store_is_clean(const struct store *s);
/* errno of the write that failed last and is tried again, ENOSPC for max_size; 0 = none, it is
 * well. */
int store_trouble(const struct store *s);
/* errno of a failed sync: the process must end; 0 = none. */
int store_failed(const struct store *s);

struct store_figures {
    uint64_t segments;
    uint64_t bytes;                 /* of all segment files */
    uint64_t waiting_bytes;         /* of frames in memory */
    uint64_t unsynced_bytes;        /* written, not synced */
    uint64_t frames, writes, syncs; /* since the start */
    uint64_t cleaned_segments, cleaned_bytes;
};
struct store_figures store_figures(const struct store *s);

/* --- cleaning --- */

/* Live bytes as the broker counts them. Drives the cleaning: to be called once each turn, before
 * store_clean_next. */
void store_set_live(struct store *s, uint64_t bytes);
/* No message that is needed has its record before this position. Asked as often as
 * store_clean_next: frames marked as passing that end before it need not be looked at. */
void store_set_first(struct store *s, uint64_t position);
/*
 * A piece of the oldest segment's records to look at: those from *position on. False: none now (no
 * need, or they are being read). Until it is finished the same piece is given again.
 */
bool store_clean_next(struct store *s, uint64_t *position, struct str *records);
/* The first `n` bytes of that piece have been looked at; what is still true of them, `copied`
 * bytes, stands in the frame of `turn`, which is to be put next (or stood in earlier ones). */
void store_cleaned(struct store *s, size_t n, size_t copied, uint64_t turn);
/* Clean everything that stands in segments now, whatever the bounds say; sync now (SIGUSR1). */
void store_compact(struct store *s);
/*
 * What was read for cleaning cannot be read or does not check: cleaning has stopped there, nothing
 * is removed any more, and the next start will find the damage. 0 = no; otherwise errno (EBADMSG:
 * the checksum), and the place in the file.
 */
int store_damage(const struct store *s, uint64_t *segment, uint64_t *offset);

/* --- stored payloads --- */

/* The job that reads `n` bytes at a position into `to`; false: not written yet. Ranges do not cross
 * segments, since frames do not. */
bool store_read_job(const struct store *s, uint64_t position, size_t n, void *to,
                    struct store_job *job);

/* --- the end --- */

/* Sync now instead of when the interval is over. */
void store_sync_soon(struct store *s);
/*
 * A seal is an empty frame that tells that everything before it was synced: damage in the last
 * frames can then be told from a tail that never reached the disk. It moves store_next_payload, so
 * the store cannot put it by itself: the caller does when store_wants_seal, and the core has
 * gathered no records, and calls broker_place again. It is wanted when all has been quiet for a
 * second, and to let go of segments that have been cleaned. In the mode `write` a seal alone is not
 * synced until store_sync_soon.
 */
bool store_wants_seal(const struct store *s);
/*
 * Nothing, unless all is quiet and there is no seal yet. Needs no memory. At the end: until
 * store_is_clean, seal, and until store_is_clean again with store_sync_soon.
 */
void store_seal(struct store *s);

#endif
