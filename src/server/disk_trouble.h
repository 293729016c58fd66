/*
 * What the log says of a disk that is full, slow or failing: when it begins, when publishers are
 * paused, when it is over; while it lasts, or comes and goes, not more than once a minute. And what
 * $SYS says of it, at every change.
 */
#ifndef SERVER_DISK_TROUBLE_H
#define SERVER_DISK_TROUBLE_H

#include "base/log.h"
#include "core/broker.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

/* One kind of trouble. */
struct disk_plight {
    bool said;          /* its begin stands on the log, its end does not */
    uint64_t next_line; /* not before then, monotonic ms */
};

/* Beside the errnos, which are positive. */
enum disk_state { DISK_UNTOLD = -2, DISK_FULL = -1, DISK_OK = 0 };

struct disk_trouble {
    const struct log *log;
    const char *name; /* of the store */
    struct disk_plight writing;
    struct disk_plight behind;
    bool failed;  /* said */
    bool damaged; /* said */
    int told;     /* what $SYS says: enum disk_state, or the errno of what is wrong */
};

void disk_trouble_init(struct disk_trouble *t, const struct log *log, const char *name);
/* Once in a turn. */
void disk_trouble_watch(struct disk_trouble *t, const struct store *s, uint64_t now_ms);
/* Once in a turn: `$SYS/broker/storage/state`, if it has changed. */
void disk_trouble_tell(struct disk_trouble *t, const struct store *s, struct broker *b);

#endif
