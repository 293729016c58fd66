/*
 * A walk over all that a store's files hold: frames, and places where none can be read.
 *
 * Time is linear in the bytes, whatever they are: each is hashed at most once and searched at most
 * once, because a frame whose header is right is believed about its length even if its payload is
 * not right.
 */
#ifndef STORE_SCAN_H
#define STORE_SCAN_H

#include "base/log.h"
#include "store/frame.h"
#include "store/io.h"

struct scan_file {
    uint64_t begin;
    uint64_t size;
    bool header_ok;
    bool foreign; /* of another store, or of another place */
    bool copied;  /* a copy has been kept */
};

enum scan_kind {
    SCAN_FRAME,   /* bytes that are no frame, or whose checksum is not right */
    SCAN_MISSING, /* bytes that are not there */
    SCAN_HEADER,  /* of a segment; takes no room in the stream */
    SCAN_FOREIGN, /* a whole segment */
    SCAN_RECORDS  /* a right frame that nobody can make sense of */
};

struct scan_bad {
    enum scan_kind kind;
    bool always; /* cannot be a tail */
    size_t file;
    uint64_t begin, end; /* positions */
    /* As it was in front of it: */
    uint64_t turn, oldest, frames;
    uint64_t until; /* the last turn that may be affected; 0: not known */
};

struct scan {
    /* Of the caller: */
    const struct store_io *io;
    const struct log *log;
    const char *name; /* of the store, for the log */
    bool read_only;   /* files may come and go meanwhile */
    bool salvage;     /* not looked at here */
    enum err (*apply)(void *ctx, uint64_t position, struct str records);
    void *apply_ctx;

    struct scan_file *files; /* without empty ones; ascending */
    size_t count, cap;
    uint64_t *empty; /* segments without a byte: they say nothing */
    size_t empty_count;
    uint64_t store_id; /* 0: no file says */
    struct scan_bad *bad;
    size_t bad_count, bad_cap;

    /* After the last frame: */
    uint64_t turn, oldest, frames, next;
    uint64_t durable; /* the greatest that any frame says */

    /* What scan_run does beside looking: */
    bool applying; /* give frames from `from` on, before `until` and before the first bad … */
    bool skip;     /* … or behind bad ones too, without noting those again */
    uint64_t from, until;

    uint8_t *window; /* bytes of a file */
    size_t window_cap, window_n, window_file;
    uint64_t window_at;
    size_t asked; /* the first bad whose `until` is not known */
};

/*
 * Which files there are, and of which store; the caller has filled in his part, all else is 0.
 * ERR_SYSTEM and ERR_UNSUPPORTED (a format that is not ours) have been logged; ERR_NOMEM. In any
 * case scan_clear is due.
 */
MUST_CHECK enum err scan_open(struct scan *s);
/* Walk. Errors as above, and those of `apply`. */
MUST_CHECK enum err scan_run(struct scan *s);
void scan_clear(struct scan *s);

/* Position behind the last byte of a file, if all of it were frames. */
uint64_t scan_file_end(const struct scan_file *f);
/* Do the files follow each other without a gap, by name and size? */
bool scan_is_whole(const struct scan *s);
MUST_CHECK enum err scan_add_bad(struct scan *s, const struct scan_bad *bad);

#endif
