/*
 * The disk thread.
 */
#include "server/disk_thread.h"

#include "server/thread.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* With the lock held. */
static void tell(struct disk_thread *t)
{
    uint64_t one = 1;
    (void)!write(t->event, &one, sizeof(one)); /* cannot fail: the counter is far from full */
}

static void do_read(struct disk_thread *t)
{
    struct disk_read *r = STAILQ_FIRST(&t->wanted);
    STAILQ_REMOVE_HEAD(&t->wanted, entry);
    (void)pthread_mutex_unlock(&t->lock);
    store_run(t->io, &r->job);
    (void)pthread_mutex_lock(&t->lock);
    STAILQ_INSERT_TAIL(&t->read, r, entry);
    tell(t);
}

static void do_job(struct disk_thread *t)
{
    (void)pthread_mutex_unlock(&t->lock);
    store_run(t->io, t->job);
    (void)pthread_mutex_lock(&t->lock);
    t->job_done = true;
    (void)pthread_cond_signal(&t->finished);
    tell(t);
}

static void *run(void *ctx)
{
    struct disk_thread *t = ctx;
    (void)pthread_mutex_lock(&t->lock);
    while (!t->stop) {
        if (!STAILQ_EMPTY(&t->wanted)) {
            do_read(t);
        } else if (t->job && !t->job_done) {
            do_job(t);
        } else {
            (void)pthread_cond_wait(&t->wake, &t->lock);
        }
    }
    (void)pthread_mutex_unlock(&t->lock);
    return NULL;
}

enum err disk_thread_start(struct disk_thread *t, const struct store_io *io)
{
    *t = (struct disk_thread){.io = io};
    STAILQ_INIT(&t->wanted);
    STAILQ_INIT(&t->read);
    t->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (t->event < 0) {
        return ERR_SYSTEM;
    }
    (void)pthread_mutex_init(&t->lock, NULL);
    (void)pthread_cond_init(&t->wake, NULL);
    (void)pthread_cond_init(&t->finished, NULL);
    int error = thread_create(&t->id, run, t);
    if (error) {
        (void)close(t->event);
        errno = error;
        return ERR_SYSTEM;
    }
    return ERR_OK;
}

void disk_thread_stop(struct disk_thread *t)
{
    (void)pthread_mutex_lock(&t->lock);
    t->stop = true;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
    (void)pthread_join(t->id, NULL);
    (void)pthread_cond_destroy(&t->finished);
    (void)pthread_cond_destroy(&t->wake);
    (void)pthread_mutex_destroy(&t->lock);
    (void)close(t->event);
}

void disk_thread_do(struct disk_thread *t, struct store_job *job)
{
    (void)pthread_mutex_lock(&t->lock);
    t->job = job;
    t->job_done = false;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
}

void disk_thread_read(struct disk_thread *t, struct disk_read *read)
{
    (void)pthread_mutex_lock(&t->lock);
    STAILQ_INSERT_TAIL(&t->wanted, read, entry);
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&t->lock);
}

void disk_thread_heard(struct disk_thread *t)
{
    uint64_t count;
    (void)!read(t->event, &count, sizeof(count));
}

bool disk_thread_take_job(struct disk_thread *t, bool wait)
{
    (void)pthread_mutex_lock(&t->lock);
    while (wait && t->job && !t->job_done) {
        (void)pthread_cond_wait(&t->finished, &t->lock);
    }
    bool done = t->job_done;
    if (done) {
        t->job = NULL;
        t->job_done = false;
    }
    (void)pthread_mutex_unlock(&t->lock);
    return done;
}

struct disk_read *disk_thread_take_read(struct disk_thread *t)
{
    (void)pthread_mutex_lock(&t->lock);
    struct disk_read *r = STAILQ_FIRST(&t->read);
    if (r) {
        STAILQ_REMOVE_HEAD(&t->read, entry);
    }
    (void)pthread_mutex_unlock(&t->lock);
    return r;
}
