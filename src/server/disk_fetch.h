/*
 * Stored messages that the broker wants back.
 *
 * What is in the page cache is read at once, the rest by the thread. What cannot be read is
 * answered with nothing after a pause, so that being asked again does not become a loop.
 */
#ifndef SERVER_DISK_FETCH_H
#define SERVER_DISK_FETCH_H

#include "base/log.h"
#include "core/broker.h"
#include "server/disk_files.h"
#include "server/disk_thread.h"

#define DISK_FETCHES_MAX 16

enum disk_fetch_state {
    DISK_FETCH_FREE,
    DISK_FETCH_READING, /* on the thread */
    DISK_FETCH_FAILED   /* to be answered with nothing at `answer_ms` */
};

struct disk_fetch {
    struct disk_read read;
    struct fetch fetch;
    uint8_t *data;
    size_t cap;
    enum disk_fetch_state state;
    uint64_t answer_ms;
};

struct disk_fetches {
    const struct log *log;
    struct broker *broker;
    struct store *store;
    struct disk_files *files;
    struct disk_thread *thread;
    struct disk_fetch slot[DISK_FETCHES_MAX];
    int reading;
    int failed;
    bool more;          /* the broker may want more, and it was enough for one turn */
    uint64_t next_line; /* of complaints, in monotonic ms */
};

void disk_fetches_init(struct disk_fetches *f, const struct log *log, struct broker *broker,
                       struct store *store, struct disk_files *files, struct disk_thread *thread);
/* After the thread has stopped. */
void disk_fetches_clear(struct disk_fetches *f);
/* Once in a turn: take what the broker wants. */
void disk_fetches_turn(struct disk_fetches *f, uint64_t now_ms);
/* The thread may have read something. */
void disk_fetches_ready(struct disk_fetches *f, uint64_t now_ms);
/* When disk_fetches_turn should run again, whatever happens; UINT64_MAX = never. */
uint64_t disk_fetches_deadline(const struct disk_fetches *f);

#endif
