/*
 * The thread that does for the store what may take long: one job at a time, and the reads that
 * clients wait for before it.
 *
 * All but the thread itself is called from the loop's thread.
 */
#ifndef SERVER_DISK_THREAD_H
#define SERVER_DISK_THREAD_H

#include "base/err.h"
#include "store/store.h"

#include <pthread.h>
#include <sys/queue.h>

/* Embedded in whatever wants the bytes. */
struct disk_read {
    STAILQ_ENTRY(disk_read) entry;
    struct store_job job; /* a STORE_READ, of one slice */
};

STAILQ_HEAD(disk_reads, disk_read);

struct disk_thread {
    const struct store_io *io;
    pthread_t id;
    pthread_mutex_t lock;
    pthread_cond_t wake;     /* for the thread: there is something to do */
    pthread_cond_t finished; /* for the loop's: a job is done */
    struct disk_reads wanted;
    struct disk_reads read;
    struct store_job *job; /* to be done, or being done */
    bool job_done;
    bool stop;
    int event; /* readable when something was done */
};

/* ERR_SYSTEM: errno. */
MUST_CHECK enum err disk_thread_start(struct disk_thread *t, const struct store_io *io);
/* After what is being done. */
void disk_thread_stop(struct disk_thread *t);
/* One at a time; it is the thread's until disk_thread_take_job. */
void disk_thread_do(struct disk_thread *t, struct store_job *job);
void disk_thread_read(struct disk_thread *t, struct disk_read *read);

/* The event was readable: it is not any more. */
void disk_thread_heard(struct disk_thread *t);
/* Is the job done? Waits for it if it should. */
bool disk_thread_take_job(struct disk_thread *t, bool wait);
/* The next read that is done, or NULL. */
struct disk_read *disk_thread_take_read(struct disk_thread *t);

#endif
