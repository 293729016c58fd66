/*
 * The running journal's state, shared by store.c (frames in, jobs out), write.c (writing and
 * syncing) and clean.c (old segments).
 *
 * What is on the disk follows from three positions of the stream, since all is written in order and
 * synced in order: durable <= written <= next. A segment needs no state of its own.
 */
#ifndef STORE_INSIDE_H
#define STORE_INSIDE_H

#include "base/buf.h"
#include "store/frame.h"
#include "store/recover.h"

#define STORE_SPARES 4

struct store_job;

/*
 * A frame in memory. It lies in its own buffer: this node, the frame's header, the records; header
 * and records are one slice to be written.
 */
struct store_node {
    struct store_node *next;
    uint64_t position;
    uint64_t segment; /* that it belongs to */
    uint64_t turn;
    uint32_t cap;    /* bytes of the buffer; 0: the store's own, for a seal */
    uint32_t length; /* of the records */
};

/* The file of the segment whose header is to be written next. */
enum store_file {
    STORE_FILE_ABSENT,
    STORE_FILE_UNSURE, /* making it failed, before or after it came to be */
    STORE_FILE_THERE
};

struct store_clean {
    uint64_t live;      /* bytes, as the broker says */
    uint64_t allowance; /* bytes that may still be looked at in this turn */
    uint64_t copied;    /* bytes of what was recorded anew since then: they set no pace */
    uint64_t owed;      /* … of later turns */
    uint64_t paced;     /* store's `next` when the allowance was given */
    uint64_t look;      /* position of the frame that is being looked at, or comes next */
    uint64_t piece;     /* position of the first of its bytes not looked at … */
    uint32_t left;      /* … and how many there are; 0: none offered */
    bool untouched;     /* the piece was offered, and nothing of it looked at */
    uint64_t turn;      /* the last one that holds what is still true of what was looked at */

    uint8_t *data; /* read for looking at: `n` bytes from position `at` on */
    size_t cap;
    size_t n;
    uint64_t at;
    size_t want;   /* bytes from `look` on that are to be read; 0: none */
    bool reading;  /* the job is under way */
    bool passing;  /* the last frame was passed by: the next is likely to be, so read little */
    bool uncached; /* it would have to wait: it is for the background */

    uint64_t compact; /* look at all before this position, whatever the bounds say */
    /* A pass goes over all segments that were there when it began. */
    uint64_t pass_begin, pass_end;
    uint64_t pass_copied; /* bytes of what was recorded anew */
    uint64_t pass_live;   /* what the broker said when it began */
    bool futile;          /* the last pass freed next to nothing */
    uint64_t futile_size; /* bytes that it looked at … */
    uint64_t futile_live; /* … what the broker said … */
    uint64_t futile_ms;   /* … and when it was */

    uint64_t first; /* no message that is needed stands before it */
    /* Frames of a former process are always looked at: it may have ended between a message and what
     * became of it. */
    uint64_t own;

    int error; /* errno: what was read does not check; cleaning has stopped at … */
    uint64_t error_segment, error_offset;

    uint64_t segments, bytes; /* removed since the start */
};

struct store {
    /* of the setup */
    uint64_t sync_interval_ms;
    uint64_t segment_size;
    uint64_t max_size;
    uint64_t max_unsynced;
    bool fsync;

    bool begun;     /* a segment with the id is on the disk */
    bool job_out;   /* a background job is under way */
    bool housekept; /* the last one was a read or a removal: writing has precedence */
    bool sync_soon;
    bool behind;
    bool sealed;  /* the last frame is a seal */
    bool passing; /* the next frame is marked so */
    bool rotate;  /* the next frame begins a segment, whatever the size */
    int trouble, failed;
    uint64_t now_ms; /* when we were told the time last */

    uint64_t id;
    struct store_segment *segments;
    size_t count, cap;

    uint64_t next;    /* position of the frame that is put next */
    uint64_t written; /* all frames before are written */
    uint64_t durable; /* … and synced */
    uint64_t put_turn, written_turn, durable_turn;

    struct store_node *head, *tail; /* not wholly written */
    uint64_t progress;              /* bytes of the head, or of the segment's header before it */
    uint64_t waiting;               /* bytes in memory */
    uint64_t retry_ms;
    uint64_t headed; /* begin of the last segment that has its header, plus 1 */
    uint8_t header[STORE_SEGMENT_HEADER];
    enum store_file file;
    unsigned spares;
    struct buf spare[STORE_SPARES];

    uint64_t quiet_ms;   /* since when nothing is unsynced, if that is so */
    uint64_t seals_from; /* position from which on there are only seals, if sealed */
    uint64_t seal[STORE_FRAME_ROOM / 8]; /* a frame without records */

    uint64_t dirty_ms;   /* since when there is something unsynced */
    uint64_t sync_to;    /* durable when the sync under way is done */
    uint64_t sync_round; /* go on with the next segments up to here */
    uint64_t frames, writes, syncs;

    uint64_t oldest;     /* as frames say that are put now */
    uint64_t said;       /* an `oldest` that stands in a frame before … */
    uint64_t said_end;   /* … this position; 0: none waits for its sync */
    uint64_t removable;  /* all segments before may go */
    uint64_t removal_ms; /* not before then: it failed */

    struct store_clean clean;
};

/* Bytes that all segment files have once everything before `position` is written. */
uint64_t store_bytes_to(const struct store *s, uint64_t position);
/* The segment that holds this position; the last one, if it is behind all. */
size_t store_find(const struct store *s, uint64_t position);
/* Bytes after which a segment is followed by the next. */
uint64_t store_segment_limit(const struct store *s);

/* Where a frame's header begins in its buffer, behind the node. */
#define STORE_HEADER_AT (STORE_FRAME_ROOM - STORE_FRAME_HEADER)

static inline uint8_t *store_node_bytes(struct store_node *n)
{
    return (uint8_t *)n + STORE_HEADER_AT;
}

static inline uint64_t store_node_size(const struct store_node *n)
{
    return STORE_FRAME_HEADER + (uint64_t)n->length;
}

/* Written: its buffer is kept for another one, or freed. */
void store_node_forget(struct store *s, struct store_node *n);
/* Does more wait in memory than may? To be asked anew whenever that has changed. */
void store_update_behind(struct store *s);

/* Above max_size, even what makes room must wait: what readers get is not recorded any more. */
bool store_is_reserve_used(const struct store *s);
bool store_may_write(const struct store *s);
/* The next write, if store_may_write. */
void store_fill_write(struct store *s, struct store_job *job);
void store_write_done(struct store *s, const struct store_job *job);
/* When a sync is due, monotonic ms; UINT64_MAX: nothing is to be synced. */
uint64_t store_sync_due(const struct store *s);
void store_fill_sync(struct store *s, struct store_job *job);
void store_sync_done(struct store *s, const struct store_job *job);

void store_clean_init(struct store *s);
void store_clean_clear(struct store *s);
/* Begin of the first segment of which something must still be kept, once a frame of this turn is on
 * the disk; UINT64_MAX: all turns that have something to tell have been put. */
uint64_t store_clean_done(const struct store *s, uint64_t turn);
/* There is more than is promised, and a segment's worth of what was written waits for a sync before
 * it can be cleaned or removed: sync now. */
bool store_clean_presses(const struct store *s);
/* Will cleaning bring us below max_size, so that more may be written above it? */
bool store_clean_helps(const struct store *s);
/* Jobs of the background, and what came of them. */
bool store_clean_take(struct store *s, struct store_job *job);
/* The read that is wanted for it. */
bool store_clean_wants(struct store *s, struct store_job *job);
void store_clean_read(struct store *s, const struct store_job *job);
void store_clean_removed(struct store *s, const struct store_job *job);
/* As store_deadline. */
uint64_t store_clean_deadline(const struct store *s);

#endif
